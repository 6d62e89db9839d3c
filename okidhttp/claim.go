package okidhttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
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
// with Retry-After: Config.StartLimit; 503 with Retry-After: the store is away, or the
// provider's keys are.
func (k *Kit) Claim() http.Handler { return http.HandlerFunc(k.claim) }

func (k *Kit) claim(w http.ResponseWriter, r *http.Request) {
	if !k.allow(w, r, http.MethodPost) {
		return
	}
	if err := k.csrf.Check(r); err != nil {
		k.problem(w, r, problemCrossOrigin, err)
		return
	}
	if !k.enter(w, r) {
		return
	}
	defer k.leave()
	subject, hash := k.subject(r)
	if subject == "" {
		k.unauthorized(w, r)
		return
	}
	p, verifier, ok := k.claimProvider(r)
	if !ok {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	body, bad := k.readBody(w, r)
	if bad != nil {
		k.problem(w, r, *bad, nil)
		return
	}
	ctx := r.Context()
	id, err := verifier.VerifyClaim(ctx, body)
	switch {
	case err == nil:
	case errors.Is(err, identity.ErrUnavailable):
		k.observe(ctx, OutcomeProviderFailed, "provider", p.Name(), "error", err)
		k.problem(w, r, problemProviderAway, nil)
		return
	case errors.Is(err, identity.ErrMalformed):
		k.observe(ctx, OutcomeMalformed, "provider", p.Name(), "error", err)
		k.problem(w, r, problemBadRequest, nil)
		return
	default:
		k.observe(ctx, OutcomeUnauthentic, "provider", p.Name(), "error", err)
		k.problem(w, r, problemUnauthentic, nil)
		return
	}
	c := claimer{kit: k, subject: subject, hash: hash, provider: p.Name(), id: id}
	if at, ok := k.ownAttempt(r); ok {
		c.wanted = at.attempt
	}
	a, bad, err := c.claim(ctx)
	if bad != nil {
		k.problem(w, r, *bad, err)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if !a.status.Final() && a.status != identity.Review {
		w.WriteHeader(http.StatusAccepted)
	}
	_ = json.NewEncoder(w).Encode(struct { // the client is gone
		Attempt string          `json:"attempt"`
		Status  identity.Status `json:"status"`
	}{a.reference, a.status})
}

// claimURL is where a page posts the claim to an attempt's verification.
func (k *Kit) claimURL(provider, reference string) string {
	return k.url("claim", "provider", provider, "attempt", reference)
}

// claimProvider is the one that ?provider= names, or the first, of those that take
// claims.
func (k *Kit) claimProvider(r *http.Request) (identity.Provider, identity.ClaimVerifier, bool) {
	name := r.URL.Query().Get("provider")
	for _, p := range k.cfg.Providers {
		if v, ok := p.(identity.ClaimVerifier); ok && (name == "" || name == p.Name()) {
			return p, v, true
		}
	}
	return nil, nil, false
}

// claimer ties a verification to a subject.
type claimer struct {
	kit      *Kit
	subject  string
	hash     subjectHash
	provider string
	id       string    // of the verification, authenticated
	wanted   attemptID // the attempt that it is for; zero: not said
}

// claim returns the attempt as it stands after the provider was asked.
func (c *claimer) claim(ctx context.Context) (*attempt, *problem, error) {
	k := c.kit
	h, err := k.load(ctx, c.hash)
	if err != nil {
		return nil, &problemStoreAway, err
	}
	a := c.claimed(h)
	if a == nil {
		if c.open(h) == nil {
			if limited := k.limited(ctx, h); limited != nil {
				return nil, limited, nil // and the verification can be claimed later
			}
		}
		switch err := c.own(ctx, h.now); {
		case errors.Is(err, errClaimTaken):
			k.observe(ctx, OutcomeClaimTaken, "provider", c.provider)
			return nil, &problemClaimTaken, nil
		case err != nil:
			return nil, &problemStoreAway, err
		}
		var fresh bool
		var limited *problem
		h, err = k.rewrite(ctx, c.hash, h, func(h *held) error {
			fresh, limited = false, nil
			if a = c.claimed(h); a != nil {
				return errUnchanged
			}
			if a = c.open(h); a == nil {
				if limited = k.limited(ctx, h); limited != nil {
					return errUnchanged
				}
				a = k.addAttempt(h, c.subject, c.provider)
			}
			c.take(a, h.now)
			fresh = true
			return nil
		})
		switch {
		case err != nil:
			return nil, &problemStoreAway, err
		case limited != nil:
			return nil, limited, nil
		case fresh:
			return c.ask(ctx, h, a)
		}
	}
	if a.status == identity.Verified {
		return a, nil, nil
	}
	return k.refreshFor(ctx, address{c.hash, a.id}, a, refreshRequest{id: c.id, every: returnEvery, returned: true}), nil, nil
}

// take gives the attempt the verification. What is left to wait for is the verdict,
// and for that there is as much time as after a start that the provider told of.
func (c *claimer) take(a *attempt, now time.Time) {
	if a.byClock { // the user was slow, but is not gone
		a.status, a.byClock, a.updatedAt = identity.Created, false, now
	}
	a.token = nil // it would lead to another verification
	a.expiresAt = now.Add(c.kit.cfg.StartedLimit)
	a.claimedAt, a.fetchedAt = now, now
	a.comeBack(now)
	a.learn(c.id, now)
}

// ask fetches the verdict. Without one the worker follows the attempt.
func (c *claimer) ask(ctx context.Context, h *held, a *attempt) (*attempt, *problem, error) {
	k, at, basis := c.kit, address{c.hash, a.id}, a.status
	ctx, cancel := context.WithTimeout(ctx, returnWait)
	defer cancel()
	n, err := k.fetch(ctx, a, c.id)
	if err != nil {
		k.observe(ctx, OutcomeProviderFailed, "attempt", a.id, "error", err)
		return a, nil, nil
	}
	asked := *a // since what cannot be written must not be told
	h.now, h.readAt = h.clock(k), k.cfg.Now()
	switch outcome, err := k.deliverInto(ctx, h, at, n, fromFetch, basis); {
	case err == nil:
		k.observeNotice(ctx, outcome, n, asked.id, nil)
	case errors.Is(err, errStore):
		k.observe(ctx, OutcomeStoreFailed, "attempt", asked.id, "error", err)
	}
	if h, err = k.load(ctx, c.hash); err == nil && h.find(at.attempt) != nil {
		return h.find(at.attempt), nil, nil
	}
	return &asked, nil, nil
}

// claimed is the attempt of this verification, or nil.
func (c *claimer) claimed(h *held) *attempt {
	for i := range h.attempts {
		if a := &h.attempts[i]; a.provider == c.provider && a.providerID == c.id {
			return a
		}
	}
	return nil
}

// open is the attempt that the claim belongs to, or nil: the wanted one, or the
// last.
func (c *claimer) open(h *held) *attempt {
	var last *attempt
	for i := range h.attempts {
		a := &h.attempts[i]
		if a.provider != c.provider || a.providerID != "" || a.status != identity.Created && !a.byClock {
			continue
		}
		if last = a; a.id == c.wanted {
			break
		}
	}
	return last
}

// claimRetention is how long a verification belongs to the subject who claimed
// it, whatever becomes of the subject's record.
const claimRetention = 10 * 365 * 24 * time.Hour

// claimFormat is the first byte of the record that says whose a verification is.
const claimFormat = 1

var errClaimTaken = errors.New("verification was claimed before")

// claimGrace is how long after a claim the subject's record may still be without
// it, because a process died in between. A claim that is gone from the record later
// was erased or is forgotten, and is spent: it must not open the gate again.
const claimGrace = time.Hour

// own makes the verification the subject's, unless it is another's or spent.
func (c *claimer) own(ctx context.Context, now time.Time) error {
	sum := sha256.Sum256([]byte("okidkit claim\x00" + c.provider + "\x00" + c.id))
	key := "c:" + base64.RawURLEncoding.EncodeToString(sum[:])
	mine := append([]byte{claimFormat}, c.hash[:]...)
	value := binary.BigEndian.AppendUint64(slices.Clone(mine), uint64(now.UnixMilli()))
	err := c.kit.write(ctx, key, store.Write{Value: value, Version: randomNonZero(), TTL: claimRetention})
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := c.kit.cfg.Store.Get(ctx, key)
	switch {
	case err != nil:
		return storeError(err)
	case len(rec.Value) < len(value) || !bytes.HasPrefix(rec.Value, mine):
		return errClaimTaken
	}
	claimed := time.UnixMilli(int64(binary.BigEndian.Uint64(rec.Value[len(mine):])))
	if now.Sub(claimed) > claimGrace {
		return errClaimTaken
	}
	return nil
}
