package okidhttp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
)

const (
	// maxClaims bounds the claims of one subject that one process works on at the
	// same time, and maxClaimCrowd these and those that wait for them, which costs
	// less than to refuse them all the time.
	maxClaims     = 3
	maxClaimCrowd = 256
)

// Claim takes what a provider's SDK hands over in the browser when a user is
// done, where the provider has no webhooks: for GetID the object data.ocr. It is a
// same-origin POST of a logged-in user with that JSON as its body. With the query's
// attempt it belongs to that attempt; else to the user's last one of this provider
// that is open, or to a new one.
//
// Nothing in the body is believed but the signed id of the verification, and
// whoever presents an id first keeps it. The verdict is fetched from the provider.
//
// 200: there is a verdict, verified, failed or review; 202: not yet, see
// [Kit.Status]:
//
//	{"attempt":"…","status":"verified"}
//
// 401: nobody is logged in, or the claim is not the provider's; 409: this verification
// is another user's, or the user's own, whose record has forgotten it since; 400; 403:
// cross-origin; 404: there is no provider that takes claims; 405; 408; 413; 415; 429
// with Retry-After: Config.StartLimit; 500: the body had been read; 503 with
// Retry-After: the store is away, the provider's keys are, or there is too much to do,
// in all or of this user's.
func (k *Kit) Claim() http.Handler { return http.HandlerFunc(k.claim) }

func (k *Kit) claim(w http.ResponseWriter, r *http.Request) {
	if !k.allow(w, r, http.MethodPost) {
		return
	}
	if err := k.csrf.Check(r); err != nil {
		k.problem(w, r, problemCrossOrigin, err)
		return
	}
	subject, hash, ok := k.knownSubject(w, r)
	if !ok {
		return
	}
	p, verifier, ok := k.providers.claiming(r)
	if !ok {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	turn := engine.TurnOf{Subject: hash}
	waiting, cancel := context.WithTimeout(r.Context(), userTime)
	_, err := k.claimTurns.Wait(waiting, turn)
	cancel()
	if err != nil {
		k.engine.Observe(r.Context(), engine.Busy)
		k.problem(w, r, problemBusy, nil)
		return
	}
	defer k.claimTurns.Leave(turn, false)
	body, err := k.claims.Read(w, r)
	if err != nil {
		k.refuse(w, r, err)
		return
	}
	defer body.Release()
	ctx := r.Context()
	id, err := verifier.VerifyClaim(ctx, body.Bytes)
	switch {
	case err == nil:
	case errors.Is(err, identity.ErrUnavailable):
		k.engine.Failed(ctx, attempt.ProviderFailed, err, "provider", p.Name())
		k.problem(w, r, problemProviderAway, nil)
		return
	case errors.Is(err, identity.ErrMalformed):
		k.engine.Observe(ctx, engine.Malformed, "provider", p.Name(), "error", err)
		k.problem(w, r, problemBadRequest, nil)
		return
	default:
		k.engine.Observe(ctx, engine.Unauthentic, "provider", p.Name(), "error", err)
		k.problem(w, r, problemUnauthentic, nil)
		return
	}
	body.Release()
	if !k.enter(w, r, &k.claimsInFlight) {
		return
	}
	defer k.claimsInFlight.Add(-1)
	c := attempt.Claim{Provider: p.Name(), ID: id}
	if at, ok := k.attemptOf(hash, r); ok {
		c.Wanted = at.Attempt
	}
	a, err := k.engine.Claim(ctx, subject, c)
	limited, ok := errors.AsType[*engine.LimitError](err)
	switch {
	case ok:
		k.problem(w, r, problemLimited.after(limited.Wait), nil)
		return
	case errors.Is(err, engine.ErrClaimTaken):
		if !errors.Is(err, engine.ErrStore) { // in taking back what was noted
			err = nil
		}
		k.problem(w, r, problemClaimTaken, err)
		return
	case err != nil:
		k.problem(w, r, problemStoreAway, err)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if !a.Status.Final() && a.Status != identity.Review {
		w.WriteHeader(http.StatusAccepted)
	}
	_ = json.NewEncoder(w).Encode(struct { // the client is gone
		Attempt string          `json:"attempt"`
		Status  identity.Status `json:"status"`
	}{a.Reference, a.Status})
}
