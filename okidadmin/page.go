package okidadmin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/okidkit/okidkit/okidhttp"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"at": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
}).Parse(pageHTML))

// page is the data of the one template.
type page struct {
	Nonce    string
	Language string
	Brand    okidhttp.Brand
	Actor    string
	// Notice and Problem are what became of an action, in English words for T.
	Notice, Problem string
	Overview        *overview
	User            *user
}

// T is a text in the language of the page.
func (p *page) T(english string) string { return translate(p.Language, english) }

// maxLetters bounds the list of dead letters.
const maxLetters = 100

// overview is how things stand.
type overview struct {
	okidhttp.Overview
	Health        string // in English words for T
	Well          bool
	Counts        []count
	Letters       []okidhttp.DeadLetter
	MoreLetters   bool
	Unaddressable int // of the letters
	NoLetters     bool
}

// count is how often an outcome came up.
type count struct {
	Outcome okidhttp.Outcome
	Times   int64
}

// user is somebody, and what there is to know of them.
type user struct {
	Subject  string
	Grant    *okidhttp.Grant // nil: not verified
	Attempts []okidhttp.Attempt
}

// page is one with nothing on it yet.
func (a *admin) page(r *http.Request, actor string) *page {
	return &page{Nonce: rand.Text(), Language: accepted(r.Header.Get("Accept-Language")), Brand: a.Brand, Actor: actor}
}

// overview fills in how things stand. What cannot be read is said on the page.
func (a *admin) overview(ctx context.Context, p *page) {
	o := &overview{Health: "Everything works.", Well: true}
	p.Overview = o
	var err error
	if o.Overview, err = a.Kit.Overview(ctx); err == nil {
		err = a.Kit.Check(ctx)
	}
	switch {
	case errors.Is(err, okidhttp.ErrDegraded):
		o.Health, o.Well = "It works, but somebody should have a look. The log says at what.", false
	case err != nil:
		o.Health, o.Well = "The store cannot be reached.", false
	}
	if err != nil {
		a.Logger.WarnContext(ctx, "okidadmin: check", "error", err)
	}
	for outcome, n := range o.Outcomes {
		o.Counts = append(o.Counts, count{outcome, n})
	}
	slices.SortFunc(o.Counts, func(a, b count) int { return cmp.Compare(a.Outcome, b.Outcome) })
	for letter, err := range a.Kit.DeadLetters(ctx) {
		if err != nil {
			a.Logger.WarnContext(ctx, "okidadmin: dead letters", "error", err)
			o.NoLetters = true
			return
		}
		if o.MoreLetters = len(o.Letters) == maxLetters; o.MoreLetters {
			return
		}
		if letter.Reason == okidhttp.DeadUnaddressable {
			o.Unaddressable++
		}
		o.Letters = append(o.Letters, letter)
	}
}

// user shows somebody, whether anything is known of them or not.
func (a *admin) user(w http.ResponseWriter, r *http.Request, status int, p *page, subject string) {
	attempts, err := a.Kit.Attempts(r.Context(), subject)
	if err != nil {
		a.failed(w, r, "attempts", err)
		return
	}
	slices.Reverse(attempts)
	p.User = &user{Subject: subject, Attempts: attempts}
	grant, err := a.Kit.Grant(r.Context(), subject)
	switch {
	case err == nil:
		p.User.Grant = &grant
	case !errors.Is(err, okidhttp.ErrNotVerified):
		a.failed(w, r, "grant", err)
		return
	}
	a.write(w, r, status, p)
}

// failed answers if the store cannot be read.
func (a *admin) failed(w http.ResponseWriter, r *http.Request, what string, err error) {
	a.Logger.WarnContext(r.Context(), "okidadmin: "+what, "error", err)
	w.Header().Set("Retry-After", "5")
	a.refuse(w, r, http.StatusServiceUnavailable, "This is not available right now.")
}

// refuse answers with a page that says one thing.
func (a *admin) refuse(w http.ResponseWriter, r *http.Request, status int, says string) {
	p := a.page(r, "")
	p.Problem = says
	a.write(w, r, status, p)
}

// head sets the headers of every answer.
func (a *admin) head(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer the forms' origin would be "null"
}

func (a *admin) write(w http.ResponseWriter, r *http.Request, status int, p *page) {
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p); err != nil {
		a.Logger.ErrorContext(r.Context(), "okidadmin: page", "error", err)
		http.Error(w, otherFailureSays, http.StatusInternalServerError)
		return
	}
	a.head(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+p.Nonce+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the client is gone
}
