package okidtest

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"

	"github.com/okidkit/okidkit/okid"
)

//go:embed web
var web embed.FS

var flowPage = template.Must(template.New("flow.html").Funcs(template.FuncMap{"json": toJSON}).ParseFS(web, "web/flow.html"))

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// A step is what the flow page shows.
type step string

const (
	stepUnknown step = "unknown" // there is no such token
	stepLate    step = "late"    // the token expired before the user began
	stepBegin   step = "begin"
	stepChoose  step = "choose"
	stepEnded   step = "ended"
	stepLeft    step = "left"
)

// view is the data of web/flow.html.
type view struct {
	Step         step
	Status       string // of the verification
	Person       okid.VerificationBody
	Flow, Locale string // as the SDK was given them
	Next         string // where the user goes afterwards, or empty
	Message      *message
}

// message is what the flow page tells the SDK, when framed. okID's own protocol
// is not documented.
type message struct {
	Outcome string            `json:"okid"` // "complete", "error" or "close"
	Data    map[string]string `json:"data"` // for onComplete or onError
	Next    string            `json:"next,omitempty"`
}

// serveFlow shows where a verification stands.
func (o *OKID) serveFlow(w http.ResponseWriter, r *http.Request) {
	o.show(w, r, o.view(r))
}

// serveChoice carries out the button that was pressed.
func (o *OKID) serveChoice(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	choice := r.PostFormValue("choice")

	// A double click is one choice.
	o.choosing.Lock()
	defer o.choosing.Unlock()
	v := o.view(r)

	var err error
	switch {
	case v.Step == stepBegin && choice == "begin":
		_, err = o.Begin(r.URL.Query().Get("process_token"))
	case v.Step == stepChoose && choice == "passport":
		err = o.Complete(v.Person.ID, Passport(o.cfg.Clock()))
	case v.Step == stepChoose && choice == "id-card":
		err = o.Complete(v.Person.ID, IDCard(o.cfg.Clock()))
	case v.Step == stepChoose && choice == "fail":
		err = o.Fail(v.Person.ID)
	case v.Step == stepChoose && choice == "expire":
		err = o.Expire(v.Person.ID)
	case v.Step == stepChoose && choice == "leave":
		v.Step, v.Message = stepLeft, &message{Outcome: "close"}
		o.show(w, r, v)
		return
	}
	if err != nil {
		// Only if the token expired since o.view: the page will say so.
		o.cfg.Logger.Info("choice not carried out", "err", err)
	}
	// A query alone keeps the path, which only the browser knows: the fake may
	// be mounted under a prefix. http.Redirect would resolve it.
	w.Header().Set("Location", "?"+r.URL.RawQuery)
	w.WriteHeader(http.StatusSeeOther)
}

func (o *OKID) view(r *http.Request) view {
	query := r.URL.Query()
	person := Passport(o.cfg.Clock())
	page := view{Person: person, Flow: query.Get("flow_name"), Locale: query.Get("locale")}

	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.byToken[query.Get("process_token")]
	if v == nil {
		page.Step = stepUnknown
		page.Message = &message{Outcome: "error", Data: map[string]string{"code": "token_unknown"}}
		return page
	}
	page.Person.ID = v.record.ID
	page.Status = v.record.Status
	switch v.record.Status {
	case "":
		page.Step = stepBegin
		if !o.cfg.Clock().Before(v.expires) {
			page.Step = stepLate
			page.Next = v.urls.ErrorURL
			page.Message = &message{Outcome: "error", Data: map[string]string{"code": "token_expired"}, Next: page.Next}
		}
	case okid.StatusStarted:
		page.Step = stepChoose
	case okid.StatusCompleted:
		page.Step = stepEnded
		page.Next = v.urls.SuccessURL
		page.Message = &message{Outcome: "complete", Data: map[string]string{"id": v.record.ID, "status": page.Status}, Next: page.Next}
	default:
		page.Step = stepEnded
		page.Next = v.urls.ErrorURL
		page.Message = &message{Outcome: "error", Data: map[string]string{"code": "verification_" + page.Status, "id": v.record.ID}, Next: page.Next}
	}
	return page
}

func (o *OKID) show(w http.ResponseWriter, r *http.Request, v view) {
	var page bytes.Buffer
	if err := flowPage.Execute(&page, v); err != nil {
		o.cfg.Logger.Error("flow page", "err", err)
		http.Error(w, "flow page cannot be shown", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// The URL carries the process token.
	h.Set("Referrer-Policy", "same-origin")
	// Any page may frame it, as any page may use the SDK.
	h.Set("Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'")
	switch v.Step {
	case stepUnknown:
		w.WriteHeader(http.StatusNotFound)
	case stepLate:
		w.WriteHeader(http.StatusGone)
	}
	_, _ = w.Write(page.Bytes())
}

// serveSDK serves web/okid.js, which is one class expression, and declares its
// name in the way that is asked for: okID does not document its own.
func serveSDK(w http.ResponseWriter, r *http.Request) {
	declare := map[string]string{"": "", "class": "", "var": "var okID = ", "window": "window.okID = "}
	prefix, ok := declare[r.URL.Query().Get("as")]
	if !ok {
		http.Error(w, "as must be var, class or window", http.StatusBadRequest)
		return
	}
	writeFile(w, "okid.js", "text/javascript; charset=utf-8", prefix)
}

func serveFile(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { writeFile(w, name, contentType, "") }
}

func writeFile(w http.ResponseWriter, name, contentType, prefix string) {
	content, err := web.ReadFile("web/" + name)
	if err != nil {
		panic("okidtest: cannot happen, the file is embedded: " + err.Error())
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(append([]byte(prefix), content...))
}
