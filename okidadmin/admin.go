// Package okidadmin is a page for the people who operate an app that uses the kit: what is due and
// what was given up, whether the store works, and, for one user, every attempt with what became of
// it and who of the staff has done what. They can revoke and approve a verification, lift a limit,
// erase a user, and tell the host again of what it was not told.
//
//	admin, err := okidadmin.New(okidadmin.Config{
//		Kit:       kit,
//		Authorize: func(r *http.Request) (string, error) { return staffName(r) }, // your log-in
//	})
//	mux.Handle("/admin/", admin)
//
// The page shows nothing that a document says, and no URL of it has a user's name: what is looked up is
// posted, and links have the attempt's reference, which opens nothing for anybody else. It needs no
// script.
package okidadmin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/okidkit/okidkit/okidhttp"
)

// Config is what the page needs. Kit and Authorize are required.
type Config struct {
	// Kit is whose attempts are shown. For people to be found by the support code that the kit's
	// pages show, set its [okidhttp.Config.SupportCodes].
	Kit *okidhttp.Kit

	// Authorize returns the name of whoever of the staff makes a request, at most 200 bytes, which
	// history and log will have. With "" the answer is 403; so it is with any error, but for
	// [okidhttp.ErrAnonymous], which is 401. The error is logged. It must not rely on anything that
	// another site's page could send along beside cookies.
	Authorize func(r *http.Request) (actor string, err error)

	// Brand gives the page its name and color. The logo is not shown.
	Brand okidhttp.Brand

	// Audit, if not nil, is told of every action before it takes place. If it returns an error,
	// the action does not take place, and the error is logged. The log has what was done, by whom and to which attempt,
	// and neither the user nor the reason, which may have a person's name in it.
	Audit func(ctx context.Context, a Action) error

	// Logger gets a line for each action, and one for what did not work. If nil, it is
	// slog.Default().
	Logger *slog.Logger
}

// Action is something that somebody of the staff does.
type Action struct {
	// Name is "revoke", "approve", "reset_limit", "erase", "replay" or "drop".
	Name string
	// Subject is the user to whom it is done.
	Subject string
	// DeadLetter is the id of what is told again or dropped. It is empty otherwise.
	DeadLetter string
	// By is who does it, and why.
	By okidhttp.Staff
}

type admin struct {
	Config
	csrf *http.CrossOriginProtection
}

// New returns the page, to be mounted anywhere. The error names every problem with the Config. It
// does no I/O.
//
// The page answers GET with 200, and a form with 303 or, if something is missing in it, 422. The other
// answers are 401 and 403 (see [Config.Authorize]), 403 for a form of another site's, 404 for an
// attempt that is not there, 405, 413, and 503 if the store cannot be read.
func New(cfg Config) (http.Handler, error) {
	var errs []error
	if cfg.Kit == nil {
		errs = append(errs, errors.New("there is no Kit"))
	}
	if cfg.Authorize == nil {
		errs = append(errs, errors.New("there is no Authorize: say who may open the page"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("okidadmin: unusable Config:\n%w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &admin{cfg, http.NewCrossOriginProtection()}, nil
}

const (
	// maxForm bounds what is read of a form, in bytes.
	maxForm = 16 << 10
	// timeLimit bounds one request. Replaying a dead letter takes as long as a callback.
	timeLimit = 45 * time.Second
)

func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), timeLimit)
	defer cancel()
	r = r.WithContext(ctx)
	actor, err := a.Authorize(r)
	switch {
	case errors.Is(err, okidhttp.ErrAnonymous):
		a.refuse(w, r, http.StatusUnauthorized, "Please log in.")
		return
	case err != nil:
		a.Logger.WarnContext(ctx, "okidadmin: Authorize failed", "error", err)
		fallthrough
	case actor == "":
		a.refuse(w, r, http.StatusForbidden, "This page is not for you.")
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		a.get(w, r, actor)
	case http.MethodPost:
		if err := a.csrf.Check(r); err != nil {
			a.refuse(w, r, http.StatusForbidden, "The form is another site's.")
			return
		}
		a.post(w, r, actor)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		a.refuse(w, r, http.StatusMethodNotAllowed, "The page has no such method.")
	}
}

// get shows the overview, or the user of an attempt.
func (a *admin) get(w http.ResponseWriter, r *http.Request, actor string) {
	query := r.URL.Query()
	page := a.page(r, actor)
	page.Notice = notices[query.Get("done")]
	page.Problem = problems[query.Get("failed")]
	reference := query.Get("attempt")
	if reference == "" {
		a.overview(r.Context(), page)
		a.write(w, r, http.StatusOK, page)
		return
	}
	subject, err := a.Kit.Find(r.Context(), reference)
	switch {
	case errors.Is(err, okidhttp.ErrNoAttempt):
		page.Problem = "There is no such attempt, or not any more."
		a.overview(r.Context(), page)
		a.write(w, r, http.StatusNotFound, page)
	case err != nil:
		a.failed(w, r, "find", err)
	default:
		a.user(w, r, http.StatusOK, page, subject)
	}
}

// post does what a form asks for.
func (a *admin) post(w http.ResponseWriter, r *http.Request, actor string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			status = http.StatusRequestEntityTooLarge
		}
		a.refuse(w, r, status, "The form cannot be read.")
		return
	}
	if r.PostForm.Get("action") == "find" {
		a.find(w, r, actor)
		return
	}
	a.act(w, r, actor)
}

// find leads to the user whom somebody has named by name, by an attempt's support code or
// reference, or by a link with one.
func (a *admin) find(w http.ResponseWriter, r *http.Request, actor string) {
	text := strings.TrimSpace(r.PostForm.Get("user"))
	subject, err := a.Kit.Find(r.Context(), codeIn(text))
	if errors.Is(err, okidhttp.ErrNoAttempt) {
		subject, err = text, nil
	}
	if err != nil {
		a.failed(w, r, "find", err)
		return
	}
	attempts, err := a.Kit.Attempts(r.Context(), subject)
	switch {
	case err != nil:
		a.failed(w, r, "find", err)
	case subject == "":
		a.redirect(w, "", "", "")
	case len(attempts) > 0:
		a.redirect(w, attempts[len(attempts)-1].Reference, "", "")
	default: // there is no link to who has no attempt
		page := a.page(r, actor)
		a.user(w, r, http.StatusOK, page, subject)
	}
}

// codeIn is the support code or the reference that a text has: a link's parameter, or the text
// without what people put between the digits that they read out.
func codeIn(text string) string {
	if _, after, ok := strings.Cut(text, "attempt="); ok {
		code, _, _ := strings.Cut(after, "&")
		return code
	}
	if plain := strings.NewReplacer(" ", "", "-", "").Replace(text); len(plain) == len("0123456789abcdef") {
		return plain
	}
	return text
}
