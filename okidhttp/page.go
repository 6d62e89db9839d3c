package okidhttp

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
)

// Page shows users what they need. Without an attempt in the query it is the page to which
// [Kit.RequireVerified] leads: it says why the user is here, and has a button that starts a
// verification. With an attempt it starts the provider's SDK, or leads to the provider's own page
// with 303, for the attempt's own user only; if the attempt is finished, it leads on as [Kit.Success] does. A client that asks for JSON gets
// what [Kit.Start] answers instead of the page with the SDK. The other answers are 401 if nobody
// is logged in; 404 for an attempt that is not the user's; 405; and 503 with
// Retry-After if the store cannot be reached.
func (k *Kit) Page() http.Handler { return k.route("page", k.page) }

func (k *Kit) page(w http.ResponseWriter, r *http.Request) {
	if !k.allow(w, r, http.MethodGet) {
		return
	}
	_, hash, err := k.cfg.subject(r)
	switch {
	case err != nil:
		k.subjectFailed(w, r, err)
		return
	case hash == attempt.SubjectHash{}:
		k.logIn(w, r)
		return
	}
	s, err := k.engine.Load(r.Context(), hash)
	if err != nil {
		k.storeAway(w, r, err)
		return
	}
	reference, ok := parameter(r, "attempt")
	if !ok {
		k.startPage(w, r, s)
		return
	}
	at, ok := k.engine.OpenReference(reference)
	a := s.Find(at.Attempt)
	if !ok || at.Subject != hash || a == nil {
		k.problem(w, r, problemNotFound, nil)
		return
	}
	p := k.providers.named(a.Provider)
	if a.Status == identity.Created && !s.Now.Before(a.ExpiresAt) {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, k.mount.url("page"), http.StatusSeeOther) // nobody began, and nobody can
		return
	}
	if a.Status.Final() || !a.Usable(s.Now) || p == nil {
		k.sendOn(w, r, a, s.Now, false)
		return
	}
	policy := k.engine.Policy()
	token, err := policy.OpenToken(a)
	if err != nil {
		k.problem(w, r, problemInternal, fmt.Errorf("process token: %w", err))
		return
	}
	began := k.startedBody(p, a.Reference, identity.Session{Token: token, ExpiresAt: a.ExpiresAt}, policy.OpenContext(a).Locale)
	if wantsJSON(r) {
		k.handOut(w, http.StatusOK, began)
		return
	}
	if began.SDK.URL != "" {
		k.leave(w, r, began)
		return
	}
	k.render(w, r, http.StatusOK, &SDKPage{
		Started:     began,
		ClientURL:   k.clientURL(),
		SuccessURL:  k.mount.url("success", "attempt", a.Reference),
		RetryURL:    began.PageURL,
		SupportCode: a.ID.String(),
		PhoneCode:   k.phoneCode(r, began.PageURL),
	})
}

// leave sends the user to the provider's own page. Whoever comes from the page's form is
// shown a page first, as [Kit.logIn] does.
func (k *answers) leave(w http.ResponseWriter, r *http.Request, began startedBody) {
	if fromForm, _ := parameter(r, "leave"); fromForm != "" {
		w.Header().Set("Refresh", "0; url="+began.PageURL)
		k.render(w, r, http.StatusOK, &MessagePage{
			Kind: "leave", Title: "Verify your identity",
			Message: "The verification takes place on our partner's page. You come back here afterwards.", Button: "Continue", NextURL: began.PageURL,
		})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // where they are is nobody else's to know
	http.Redirect(w, r, began.SDK.URL, http.StatusSeeOther)
}

// logIn sends nobody to the host's log-in. Whoever comes from the page's form is shown
// a page first that goes on by itself: the form's Content-Security-Policy holds for all
// redirects that its answer leads to, and would not let it go to a log-in elsewhere.
func (k *answers) logIn(w http.ResponseWriter, r *http.Request) {
	next := k.mount.startPageURL(r, k.mount.startWish(r))
	if attempt, ok := parameter(r, "attempt"); ok {
		next = k.mount.url("page", "attempt", attempt)
	}
	if fromForm, _ := parameter(r, "login"); fromForm == "" || k.cfg.Unauthorized == nil && k.cfg.LoginURL == "" || !wantsPage(r) {
		k.unauthorized(w, r, next)
		return
	}
	w.Header().Set("Refresh", "0; url="+next)
	k.render(w, r, http.StatusOK, &MessagePage{
		Kind: "login", Title: problemAnonymous.Title, Message: problemAnonymous.Detail, Button: "Continue", NextURL: next,
	})
}

// startPage shows the button, or sends on who needs none. Whoever waits for a verdict is shown
// that instead, unless the query has again, since another attempt may cost money.
func (k *answers) startPage(w http.ResponseWriter, r *http.Request, s *engine.Snapshot) {
	last := s.Last()
	p := k.providers.chosen(r)
	wish := k.mount.startWish(r)
	if last != nil && last.Status != identity.Verified && last.Status != identity.Revoked {
		// Who tries again wants to get to where they wanted before, by the same provider.
		if _, named := parameter(r, "provider"); !named && k.providers.named(last.Provider) != nil {
			p = k.providers.named(last.Provider)
		}
		wish.returnTo = cmp.Or(wish.returnTo, k.engine.Policy().OpenContext(last).ReturnTo)
	}
	if p == nil {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	counts := k.engine.Policy().Counts(s.Grant(), s.Now)
	missing := k.missing(r, s, counts)
	if counts && missing == nil {
		returnTo := cmp.Or(wish.returnTo, k.cfg.AfterSuccess)
		if k.mount.isPage(returnTo) {
			k.render(w, r, http.StatusOK, &MessagePage{Kind: "verified", Title: problemVerified.Title, Message: problemVerified.Detail})
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, returnTo, http.StatusSeeOther)
		return
	}
	if a := s.RuledOut(); a != nil {
		k.render(w, r, http.StatusOK, &MessagePage{
			Kind: "refused", Title: problemRuledOut.Title, Message: problemRuledOut.Detail, Reason: k.texts.Reason(k.language(r), a.Reason),
			SupportCode: a.ID.String(),
		})
		return
	}
	if again, _ := parameter(r, "again"); again == "" && last != nil && last.WaitsForVerdict(s.Now) {
		here, more := k.mount.url("page"), "?"
		if r.URL.RawQuery != "" {
			here, more = here+"?"+r.URL.RawQuery, "&"
		}
		k.wait(w, r, last, s.Now, &PendingPage{Stopped: last.Usable(s.Now), NextURL: here, AgainURL: here + more + "again=1"})
		return
	}
	page := StartPage{
		StartURL: k.mount.url("start"), ReturnTo: wish.returnTo, Locale: cmp.Or(wish.locale, k.language(r)), Renew: counts,
		Provider: displayName(p), LeaveURL: cmp.Or(k.cfg.Brand.HomeURL, "/"),
	}
	if p.Name() != k.providers[0].Name() { // not every provider can be compared itself
		page.StartURL = k.mount.url("start", "provider", p.Name())
	}
	words := startWords[""]
	if last != nil {
		page.Last, page.SupportCode = last.Status, last.ID.String()
		page.Reason = k.texts.Reason(k.language(r), last.Reason)
		if w, ok := startWords[last.Status]; ok && (last.Status != identity.Started || last.Usable(s.Now)) {
			words = w
		}
	}
	page.Title, page.Message, page.Button = words.title, words.message, words.button
	if missing != nil {
		k.sayUnmet(&page, missing, s, k.language(r))
	}
	if a, _, _ := k.engine.Policy().Resumable(s.Record, p.Name(), s.Now); a == nil {
		if wait := k.engine.Policy().Limit(s.Record, k.cfg.StartLimit, s.Now); wait > 0 {
			page.Message, page.StartURL = k.limited(wait).Detail, ""
		}
	}
	k.render(w, r, http.StatusOK, &page)
}

// startWords tell the user what became of the last attempt.
var startWords = map[identity.Status]struct{ title, message, button string }{
	"":                {"Verify your identity", "This part of the site needs to know who you are. It takes about two minutes.", "Start verification"},
	identity.Started:  {"Verify your identity", "You have begun a verification, which is not finished. You can go on with it.", "Continue the verification"},
	identity.Review:   {"A person is having a look", "Your last verification is being looked at by a person. You do not need to do anything now.", "Start another verification"},
	identity.Failed:   {"Not verified", "Your last verification did not succeed. You can try again.", "Try again"},
	identity.Expired:  {"Not verified", "Your last verification was not finished in time. You can try again.", "Try again"},
	identity.Revoked:  {"Please verify again", "Your verification does not count any more. Please verify again.", "Start verification"},
	identity.Verified: {"Please verify again", "Your verification does not count any more. Please verify again.", "Start verification"}, // for Config.MaxAge, say
}
