package okidhttp

import (
	"net/http"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// Success is where the provider sends users who have finished. It takes a GET with the attempt
// in the query. Coming here proves nothing: if the verdict is not known yet, the provider is
// asked, at most once in two seconds for each attempt. Then the user gets 303 to the page that
// they wanted to see, or to [Config.AfterSuccess] or [Config.AfterError]; or, while there is no
// verdict, a page that moves on by itself. Anybody else, and the user where they are not logged
// in, gets a page that reveals nothing. The answer is 503 with Retry-After if the store cannot be
// read, or if [Config.RequireReturn] needs the return to be noted and it cannot be written.
func (k *Kit) Success() http.Handler { return k.route("success", k.success) }

func (k *Kit) success(w http.ResponseWriter, r *http.Request) { k.comeBack(w, r, false) }

// Error is where the provider sends users who were stopped. It does what [Kit.Success] does,
// since the verdict counts and not the way a user came; while there is none, it also offers the
// way back to the verification.
func (k *Kit) Error() http.Handler { return k.route("error", k.failure) }

func (k *Kit) failure(w http.ResponseWriter, r *http.Request) { k.comeBack(w, r, true) }

// comeBack is Error if the user was stopped, else Success.
func (k *Kit) comeBack(w http.ResponseWriter, r *http.Request, stopped bool) {
	if !k.allow(w, r, http.MethodGet) {
		return
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	at, ok, err := k.ownAttempt(r)
	if err != nil {
		k.subjectFailed(w, r, err)
		return
	}
	if !ok {
		// The link is for whoever can log in here, and for those whose cookie only a
		// link on the site itself brings along (SameSite=Strict).
		k.render(w, r, http.StatusOK, &MessagePage{
			Kind:    "stranger",
			Title:   "Continue where you began",
			Message: "You can close this page. Go back to the device or window in which you began: it moves on by itself.",
			Button:  "Continue here instead",
			NextURL: k.mount.url("page"),
		})
		return
	}
	ctx := r.Context()
	s, err := k.engine.Load(ctx, at.Subject)
	if err != nil {
		k.storeAway(w, r, err)
		return
	}
	a := s.Find(at.Attempt)
	if a == nil {
		k.problem(w, r, problemNotFound, nil)
		return
	}
	k.engine.Concerns(ctx, a)
	if r.Method == http.MethodGet { // HEAD is a program's look, and nobody's return
		if a, err = k.engine.Return(ctx, at, s); err != nil {
			k.storeAway(w, r, err)
			return
		}
	}
	k.sendOn(w, r, a, s.Now, stopped)
}

// sendOn brings the user to where the attempt's status leads.
func (k *answers) sendOn(w http.ResponseWriter, r *http.Request, a *attempt.Attempt, now time.Time, stopped bool) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case a.Status == identity.Verified:
		target := k.cfg.AfterSuccess
		if returnTo := k.engine.Policy().OpenContext(a).ReturnTo; returnTo != "" {
			target = returnTo
		}
		http.Redirect(w, r, target, http.StatusSeeOther)
	case a.Status.Final():
		http.Redirect(w, r, k.cfg.AfterError, http.StatusSeeOther)
	default:
		next := k.mount.url("success", "attempt", a.Reference)
		k.wait(w, r, a, now, &PendingPage{Stopped: stopped, NextURL: next, AgainURL: k.mount.url("page", "again", "1")})
	}
}

// wait renders the page of somebody who waits for a verdict.
func (k *answers) wait(w http.ResponseWriter, r *http.Request, a *attempt.Attempt, now time.Time, page *PendingPage) {
	page.Review = a.Status == identity.Review
	page.ClientURL, page.Attempt, page.SupportCode = k.clientURL(), a.Reference, a.ID.String()
	if a.Usable(now) {
		page.ResumeURL, page.AgainURL = k.mount.url("page", "attempt", a.Reference), ""
		page.PhoneCode = k.phoneCode(r, page.ResumeURL)
	}
	k.render(w, r, http.StatusOK, page)
}
