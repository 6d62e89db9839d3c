package okidhttp

import (
	"bytes"
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/okidkit/okidkit/identity"
)

//go:embed pages
var pageFiles embed.FS

var pageTemplates = template.Must(template.ParseFS(pageFiles, "pages/*"))

// pageData is the data of one kind of page.
type pageData interface {
	// template is the name of its file.
	template() string
	// sources is what its Content-Security-Policy allows beside the page itself.
	sources() identity.Sources
}

// startPage is where the gate sends people: why they are here, and a button.
type startPage struct {
	Action   string // where the button posts to
	ReturnTo string
	Note     string // what became of the last attempt; may be empty
}

func (startPage) template() string          { return "start.html" }
func (startPage) sources() identity.Sources { return identity.Sources{} }

// sdkPage hands the user over to the provider.
type sdkPage struct {
	SDK        identity.SDK
	Boot       template.JS
	ClaimURL   string // where what onComplete gets is posted to; "": it means nothing
	SuccessURL string
	ErrorURL   string
	RetryURL   string
	SupportID  string
}

func (sdkPage) template() string            { return "sdk.html" }
func (p sdkPage) sources() identity.Sources { return p.SDK.Sources }

// pendingPage waits for the verdict.
type pendingPage struct {
	StatusURL string
	NextURL   string // where to go when the status is final
	StartURL  string // where to begin anew
	Review    bool
}

func (pendingPage) template() string          { return "pending.html" }
func (pendingPage) sources() identity.Sources { return identity.Sources{} }

// messagePage says one thing.
type messagePage struct {
	Title, Text string
}

func (messagePage) template() string          { return "message.html" }
func (messagePage) sources() identity.Sources { return identity.Sources{} }

// render writes a page.
func (k *Kit) render(w http.ResponseWriter, status int, data pageData) {
	nonce := rand.Text()
	var page bytes.Buffer
	err := pageTemplates.ExecuteTemplate(&page, data.template(), struct {
		Nonce string
		Page  pageData
	}{nonce, data})
	if err != nil {
		k.cfg.Logger.Error("okidhttp: page cannot be rendered", "error", err)
		http.Error(w, problemInternal.Title, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentSecurityPolicy(nonce, data.sources()))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Referrer-Policy") == "" {
		h.Set("Referrer-Policy", "no-referrer")
	}
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // the client is gone
}

func contentSecurityPolicy(nonce string, s identity.Sources) string {
	own := "'nonce-" + nonce + "'"
	list := func(first string, more []string) string {
		return strings.Join(append([]string{first}, more...), " ")
	}
	frame := "'none'"
	if len(s.Frame) > 0 {
		frame = strings.Join(s.Frame, " ")
	}
	return strings.Join([]string{
		"default-src 'none'",
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors 'none'",
		"script-src " + list(own, s.Script),
		"style-src " + list(own, s.Style),
		"connect-src " + list("'self'", s.Connect),
		"img-src " + list("'self' data:", s.Image),
		"frame-src " + frame,
	}, "; ")
}

// Page shows users what they need: without an attempt in the query, why they are
// here and a button that starts a verification (where [Kit.RequireVerified]
// sends them, with return_to); with the attempt, the provider's SDK, to the
// attempt's own user only. An attempt that is finished leads on like
// [Kit.Success]. 401: nobody is logged in; 404: not the user's attempt; 405; 503
// with Retry-After: the store is away.
func (k *Kit) Page() http.Handler { return http.HandlerFunc(k.page) }

func (k *Kit) page(w http.ResponseWriter, r *http.Request) {
	if !k.allow(w, r, http.MethodGet) {
		return
	}
	subject, hash := k.subject(r)
	if subject == "" {
		k.unauthorized(w, r)
		return
	}
	p, ok := k.provider(r)
	if !ok {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	h, err := k.load(r.Context(), hash)
	if err != nil {
		k.observe(r.Context(), OutcomeStoreFailed, "error", err)
		k.problem(w, r, problemStoreAway, nil)
		return
	}
	query := r.URL.Query()
	if !query.Has("attempt") {
		k.startPage(w, r, h, p, k.returnTo(query.Get("return_to")))
		return
	}
	at, err := k.keys.openReference(query.Get("attempt"))
	a := h.find(at.attempt)
	if err != nil || at.subject != hash || a == nil {
		k.problem(w, r, problemNotFound, nil)
		return
	}
	p, ok = k.providers[a.provider]
	if a.status == identity.Created && !h.now.Before(a.expiresAt) {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, k.url("page"), http.StatusSeeOther) // nobody began, and nobody can
		return
	}
	if a.status.Final() || a.token == nil || !h.now.Before(a.expiresAt) || !ok {
		k.sendOn(w, r, at, a)
		return
	}
	session, err := k.session(at, a)
	if err != nil {
		k.problem(w, r, problemInternal, err)
		return
	}
	sdk := p.SDK(session, k.openContext(at, a).locale)
	w.Header().Set("Permissions-Policy", permissionsPolicy(sdk.Sources.Frame))
	page := sdkPage{
		SDK:        sdk,
		Boot:       template.JS(sdk.Boot), // constant, says identity.SDK
		SuccessURL: k.url("success", "attempt", a.reference),
		ErrorURL:   k.url("error", "attempt", a.reference),
		RetryURL:   k.url("page", "attempt", a.reference),
		SupportID:  a.id.String(),
	}
	if _, claims := p.(identity.ClaimVerifier); claims {
		page.ClaimURL = k.claimURL(a.provider, a.reference)
	}
	k.render(w, http.StatusOK, page)
}

// startPage shows the button, or sends on who needs none.
func (k *Kit) startPage(w http.ResponseWriter, r *http.Request, h *held, p identity.Provider, returnTo string) {
	if k.counts(h.grant(), h.now) {
		if returnTo == "" {
			returnTo = k.cfg.AfterSuccess
		}
		if k.isPage(returnTo) {
			k.render(w, http.StatusOK, messagePage{Title: problemVerified.Title, Text: problemVerified.Detail})
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, returnTo, http.StatusSeeOther)
		return
	}
	page := startPage{Action: k.url("start"), ReturnTo: returnTo}
	if p != k.cfg.Providers[0] {
		page.Action = k.url("start", "provider", p.Name())
	}
	if n := len(h.attempts); n > 0 {
		page.Note = notes[h.attempts[n-1].status]
	}
	// With no-referrer the button's request would carry the origin "null", and
	// older browsers, which send no Sec-Fetch-Site, would be refused.
	w.Header().Set("Referrer-Policy", "same-origin")
	k.render(w, http.StatusOK, page)
}

// isPage reports whether a target is the kit's own page, which must not lead to
// itself.
func (k *Kit) isPage(target string) bool {
	u, err := k.publicURL.Parse(target)
	if err != nil || u.Host != k.publicURL.Host {
		return false
	}
	mount := strings.TrimSuffix(k.publicURL.Path, "/")
	return u.Path == mount || u.Path == mount+"/" || u.Path == mount+"/page"
}

// notes tell the user what became of the last attempt.
var notes = map[identity.Status]string{
	identity.Review:  "Your last verification is being looked at by a person. You do not need to do anything now.",
	identity.Failed:  "Your last verification did not succeed. You can try again.",
	identity.Expired: "Your last verification was not finished in time. You can try again.",
	identity.Revoked: "Your verification does not count any more. Please verify again.",
}

// permissionsPolicy gives the provider's frames the camera.
func permissionsPolicy(frames []string) string {
	allowed := "self"
	for _, origin := range frames {
		if u, err := url.Parse(origin); err == nil && u.Host != "" {
			allowed += ` "` + origin + `"`
		}
	}
	return "camera=(" + allowed + "), microphone=(" + allowed + "), fullscreen=(" + allowed + "), geolocation=()"
}
