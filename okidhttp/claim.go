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

// Claim takes what a provider's SDK hands over in the browser when a user has finished, for
// providers without webhooks: for GetID the object data.ocr. It takes a same-origin POST of a
// logged-in user with that JSON as its body. The claim belongs to the attempt in the query; if
// there is none, to the user's last open attempt with this provider, or to a new one.
//
// Nothing in the body is believed but the signed id of the verification, and whoever presents
// an id first keeps it. The verdict is fetched from the provider. The answer is 200 if there is
// one (verified, failed or review), and 202 if not; see [Kit.Status] for how to wait for it:
//
//	{"attempt":"…","status":"verified"}
//
// The other answers are 400 if the body cannot be read; 401 if nobody is logged in, or if the
// claim is not signed by the provider; 403 if the request comes from another origin; 404 if no
// provider takes claims; 405; 408; 409 if the verification was used before; 413; 415; 429 with
// Retry-After because of [Config.StartLimit]; 500 if the body was read by something in front of
// the kit; and 503 with Retry-After if the store or the provider's keys cannot be reached, or if
// there is too much to do, in all or for this user.
func (k *Kit) Claim() http.Handler { return k.route("claim", k.claim) }

func (k *Kit) claim(w http.ResponseWriter, r *http.Request) {
	if !k.allow(w, r, http.MethodPost) {
		return
	}
	if err := k.csrf.Check(r); err != nil {
		k.problem(w, r, problemCrossOrigin, err)
		return
	}
	subject, hash, ok := k.knownSubject(w, r, func() string { return "" })
	if !ok {
		return
	}
	p, verifier, ok := k.providers.claiming(r)
	if !ok {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	k.engine.ByProvider(r.Context(), p.Name())
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
