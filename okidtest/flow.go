package okidtest

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"log/slog"
	"net/http"

	"github.com/okidkit/okidkit/okid"
)

//go:embed web
var web embed.FS

var flowPage = parsePage("flow.html")

func parsePage(name string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{"json": toJSON}).ParseFS(web, "web/"+name))
}

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
	o.show(w, o.view(r))
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
		o.show(w, v)
		return
	}
	if err != nil {
		// Only if the token expired since o.view: the page will say so.
		o.cfg.Logger.Info("choice not carried out", "err", err)
	}
	showAgain(w, r.URL.RawQuery)
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

func (o *OKID) show(w http.ResponseWriter, v view) {
	code := http.StatusOK
	switch v.Step {
	case stepUnknown:
		code = http.StatusNotFound
	case stepLate:
		code = http.StatusGone
	}
	// The URL carries the process token.
	w.Header().Set("Referrer-Policy", "same-origin")
	writePage(w, o.cfg.Logger, code, flowPage, v)
}

// writePage shows a page on which a person picks the outcome.
func writePage(w http.ResponseWriter, log *slog.Logger, code int, page *template.Template, view any) {
	var text bytes.Buffer
	if err := page.Execute(&text, view); err != nil {
		log.Error("flow page", "err", err)
		http.Error(w, "flow page cannot be shown", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// Any page may frame it, as any page may use the script that does.
	h.Set("Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'")
	w.WriteHeader(code)
	_, _ = w.Write(text.Bytes())
}

// showAgain sends the browser from a choice to the page, with this query.
func showAgain(w http.ResponseWriter, query string) {
	// A query alone keeps the path, which only the browser knows: the fake may
	// be mounted under a prefix. http.Redirect would resolve it.
	w.Header().Set("Location", "?"+query)
	w.WriteHeader(http.StatusSeeOther)
}

// serveSDK serves web/okid.js, which is one class expression, and declares its
// name in the way that is asked for: okID does not document its own. What it
// calls comes after it, so that the file begins with the class.
func serveSDK(w http.ResponseWriter, r *http.Request) {
	declare := map[string]string{"": "", "class": "", "var": "var okID = ", "window": "window.okID = "}
	prefix, ok := declare[r.URL.Query().Get("as")]
	if !ok {
		http.Error(w, "as must be var, class or window", http.StatusBadRequest)
		return
	}
	writeFiles(w, "text/javascript; charset=utf-8", prefix, "okid.js", "dialog.js")
}

func serveFile(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { writeFiles(w, contentType, "", name) }
}

// writeFiles serves the files of web, one after the other, behind the prefix.
func writeFiles(w http.ResponseWriter, contentType, prefix string, names ...string) {
	body := []byte(prefix)
	for _, name := range names {
		content, err := web.ReadFile("web/" + name)
		if err != nil {
			panic("okidtest: cannot happen, the file is embedded: " + err.Error())
		}
		body = append(body, content...)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(body)
}
