package okidhttp

import (
	"context"
	"net/http"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// returnEvery is how often one user's coming back may make the kit ask the
// provider.
const returnEvery = 2 * time.Second

// Success is where the provider sends users who went through with it: GET, with
// the attempt in the query. Coming here proves nothing. If the verdict is not
// known, the provider is asked, once in two seconds; then the user goes to the
// page that they wanted to see, to Config.AfterSuccess or Config.AfterError with
// 303, or sees a page that moves on by itself. Somebody else, or the same user
// where they are not logged in, sees a page that tells nothing.
func (k *Kit) Success() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { k.comeBack(w, r, false) })
}

// Error is where the provider sends users for whom it did not work. It does what
// [Kit.Success] does, since what counts is the verdict, not the way a user came;
// while there is none, it also offers the way back to the verification.
func (k *Kit) Error() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { k.comeBack(w, r, true) })
}

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
			NextURL: k.url("page"),
		})
		return
	}
	ctx := r.Context()
	h, err := k.load(ctx, at.subject)
	if err != nil {
		k.failed(ctx, OutcomeStoreFailed, err)
		k.problem(w, r, problemStoreAway, nil)
		return
	}
	a := h.find(at.attempt)
	if a == nil {
		k.problem(w, r, problemNotFound, nil)
		return
	}
	if r.Method == http.MethodGet { // HEAD is a program's look, and nobody's return
		a = k.handleReturn(ctx, at, a)
	}
	k.sendOn(w, r, at, a, h.now, stopped)
}

// handleReturn notes that the subject came back, and asks the provider if that may
// change anything. It returns the attempt as it then stands.
func (k *Kit) handleReturn(ctx context.Context, at address, a *attempt) *attempt {
	request := refreshRequest{id: a.providerID, every: returnEvery, returned: true}
	switch {
	case !a.status.Final(), a.byClock, a.held() != nil:
	case k.cfg.RequireReturn && !a.returned:
		request.id = "" // a final verdict may yet turn out to be another, and then waits for nobody
	default:
		return a
	}
	return k.refreshFor(ctx, at, a, request)
}

// returnWait bounds how long a user waits for the provider. The host's callback,
// if the answer leads to one, comes on top, unless Config.Async.
const returnWait = 3 * time.Second

// refreshFor asks the provider for a user who waits, and returns the attempt as
// it then stands.
func (k *Kit) refreshFor(ctx context.Context, at address, a *attempt, r refreshRequest) *attempt {
	ctx, cancel := context.WithTimeout(ctx, returnWait)
	defer cancel()
	if _, err := k.refresh(ctx, at, r); err != nil {
		return a // the user sees what is known
	}
	if h, err := k.load(ctx, at.subject); err == nil && h.find(at.attempt) != nil {
		return h.find(at.attempt)
	}
	return a
}

// sendOn brings the user to where the attempt's status leads.
func (k *Kit) sendOn(w http.ResponseWriter, r *http.Request, at address, a *attempt, now time.Time, stopped bool) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case a.status == identity.Verified:
		target := k.cfg.AfterSuccess
		if returnTo := k.openContext(at, a).returnTo; returnTo != "" {
			target = returnTo
		}
		http.Redirect(w, r, target, http.StatusSeeOther)
	case a.status.Final():
		http.Redirect(w, r, k.cfg.AfterError, http.StatusSeeOther)
	default:
		page := PendingPage{
			Review:      a.status == identity.Review,
			Stopped:     stopped,
			StatusURL:   k.url("status", "attempt", a.reference),
			NextURL:     k.url("success", "attempt", a.reference),
			ResumeURL:   k.url("page"),
			SupportCode: a.id.String(),
		}
		if a.usable(now) {
			page.ResumeURL = k.url("page", "attempt", a.reference)
		}
		k.render(w, r, http.StatusOK, &page)
	}
}
