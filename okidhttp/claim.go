package okidhttp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
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
	p, verifier, ok := k.claimProvider(r)
	if !ok {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	turn := turnOf{subject: hash}
	if err := k.waitToClaim(r.Context(), turn); err != nil {
		k.observe(r.Context(), OutcomeBusy)
		k.problem(w, r, problemBusy, nil)
		return
	}
	defer k.claimTurns.leave(turn, false)
	body, bad := k.claims.read(w, r)
	if bad != nil {
		k.refuse(w, r, *bad)
		return
	}
	defer body.release()
	ctx := r.Context()
	id, err := verifier.VerifyClaim(ctx, body.bytes)
	switch {
	case err == nil:
	case errors.Is(err, identity.ErrUnavailable):
		k.failed(ctx, OutcomeProviderFailed, err, "provider", p.Name())
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
	body.release()
	if !k.enter(w, r, &k.claimsInFlight) {
		return
	}
	defer k.claimsInFlight.Add(-1)
	c := claimer{kit: k, subject: subject, hash: hash, provider: p.Name(), id: id}
	if at, ok := k.attemptOf(hash, r); ok {
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

// waitToClaim waits for the subject's turn.
func (k *Kit) waitToClaim(ctx context.Context, of turnOf) error {
	ctx, cancel := withTimeout(ctx, userTime)
	defer cancel()
	_, err := k.claimTurns.wait(ctx, of)
	return err
}

// claimURL is where a page posts the claim to an attempt's verification.
func (k *Kit) claimURL(provider, reference string) string {
	return k.url("claim", "provider", provider, "attempt", reference)
}

// claimProvider is the one that ?provider= names, or the first, of those that take
// claims.
func (k *Kit) claimProvider(r *http.Request) (identity.Provider, identity.ClaimVerifier, bool) {
	name, _ := parameter(r, "provider")
	for _, p := range k.cfg.Providers {
		if v, ok := p.(identity.ClaimVerifier); ok && (name == "" || name == p.Name()) {
			return p, v, true
		}
	}
	return nil, nil, false
}

// claimer ties a verification to a subject.
//
// A claim is used at one moment: when the record comes into being that says whose it
// is. Before that it is noted with the attempt that is to have it, so that [Kit.Run]
// can finish what a process that died has begun. After that it is used for good,
// whatever becomes of the subject's record.
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
		var fresh bool
		var bad *problem
		if h, fresh, bad, err = c.note(ctx, h); bad != nil || err != nil {
			return nil, cmp.Or(bad, &problemStoreAway), err
		}
		if a = c.claimed(h); a == nil { // or somebody has been quicker
			a = c.noted(h)
			at := address{c.hash, a.id}
			switch err := c.use(ctx, at.attempt); {
			case errors.Is(err, errClaimTaken):
				return nil, c.taken(ctx), c.forget(ctx, at)
			case err != nil:
				return nil, &problemStoreAway, err
			case fresh:
				return c.ask(ctx, h, a)
			}
			if err := k.rewriteAttempt(ctx, at, c.take); err != nil {
				return nil, &problemStoreAway, err
			}
		}
	}
	if a.status == identity.Verified {
		return a, nil, nil
	}
	return k.refreshFor(ctx, address{c.hash, a.id}, a, refreshRequest{id: c.id, every: returnEvery, returned: true}), nil, nil
}

func (c *claimer) taken(ctx context.Context) *problem {
	c.kit.observe(ctx, OutcomeClaimTaken, "provider", c.provider)
	return &problemClaimTaken
}

// note writes down which attempt is to have the verification, unless that is done
// already or the claim is used. fresh is true if it was not noted before.
func (c *claimer) note(ctx context.Context, h *held) (noted *held, fresh bool, bad *problem, err error) {
	k := c.kit
	if c.noted(h) == nil {
		if c.open(h) == nil {
			if limited := k.limited(ctx, h); limited != nil {
				return nil, false, limited, nil // and the verification can be claimed later
			}
		}
		by, used, err := c.user(ctx)
		if err == nil && used && by.subject == c.hash { // perhaps at this moment, in another tab
			h, err = k.load(ctx, c.hash)
		}
		switch {
		case err != nil:
			return nil, false, nil, err
		case used && (by.subject != c.hash || c.claimed(h) == nil && c.noted(h) == nil):
			return nil, false, c.taken(ctx), nil
		}
	}
	noted, err = k.rewrite(ctx, c.hash, h, func(h *held) error {
		fresh, bad = false, nil
		if c.claimed(h) != nil || c.noted(h) != nil {
			return errUnchanged
		}
		a := c.open(h)
		if a == nil {
			if bad = k.limited(ctx, h); bad != nil {
				return errUnchanged
			}
			a = k.addAttempt(h, c.subject, c.provider)
		}
		a.claimID, a.claimedAt, a.fetchedAt = c.id, h.now, h.now
		fresh = true
		return nil
	})
	return noted, fresh, bad, err
}

// take gives the attempt the verification, if that is still to be done. What is left to
// wait for is the verdict, and for that there is as much time as after a start that
// the provider told of.
func (c *claimer) take(h *held, a *attempt) error {
	if a.claimID != c.id {
		return errUnchanged
	}
	if a.byClock { // the user was slow, but is not gone
		a.status, a.byClock, a.updatedAt = identity.Created, false, h.now
	}
	a.claimID = ""
	a.token = nil // it would lead to another verification
	a.expiresAt = h.now.Add(c.kit.cfg.StartedLimit)
	a.claimedAt, a.fetchedAt = h.now, h.now
	a.comeBack(h.now)
	c.kit.learn(a, c.id, h.now)
	return nil
}

// forget takes back what was noted of a verification that is somebody else's.
func (c *claimer) forget(ctx context.Context, at address) error {
	return c.kit.rewriteAttempt(ctx, at, func(h *held, a *attempt) error {
		if a.claimID != c.id {
			return errUnchanged
		}
		a.claimID, a.claimedAt = "", time.Time{}
		if a.unheardOf() && a.askingTo.IsZero() {
			h.remove(a.id)
		}
		return nil
	})
}

// finishClaim does what is left of a claim that was noted.
func (k *Kit) finishClaim(ctx context.Context, at address, a *attempt) error {
	c := claimer{kit: k, hash: at.subject, provider: a.provider, id: a.claimID}
	err := c.use(ctx, a.id)
	if errors.Is(err, errClaimTaken) {
		return c.forget(ctx, at)
	} else if err != nil {
		return err
	}
	return k.rewriteAttempt(ctx, at, c.take)
}

// ask fetches the verdict, and gives the attempt the verification along with it.
// Without a verdict the worker follows the attempt.
func (c *claimer) ask(ctx context.Context, h *held, a *attempt) (*attempt, *problem, error) {
	k, at, basis := c.kit, address{c.hash, a.id}, a.status
	ctx, cancel := context.WithTimeout(ctx, returnWait)
	defer cancel()
	n, err := k.fetch(ctx, a, c.id)
	if err != nil {
		k.failed(ctx, OutcomeProviderFailed, err, "attempt", at.attempt)
	}
	ctx = context.WithoutCancel(ctx) // the claim is used, so what comes of it is written
	if err != nil {
		err = errors.Join(k.rewriteAttempt(ctx, at, c.take), k.keepQuiet(ctx, at, err))
	} else {
		h.now, h.readAt = h.clock(k), k.cfg.Now()
		var outcome Outcome
		outcome, h, err = k.deliverInto(ctx, h, at, n, fromFetch, basis, c.take)
		switch {
		case err == nil:
			k.observeNotice(ctx, outcome, n, at.attempt, nil)
			if a := h.find(at.attempt); a != nil {
				return a, nil, nil
			}
		case errors.Is(err, errStore):
			k.failed(ctx, OutcomeStoreFailed, err, "attempt", at.attempt)
		}
	}
	h, reloaded := k.load(ctx, c.hash)
	if reloaded != nil {
		return nil, &problemStoreAway, reloaded
	}
	switch a := h.find(at.attempt); {
	case a == nil: // erased meanwhile
		return nil, c.taken(ctx), nil
	case a.providerID == c.id:
		return a, nil, nil
	}
	return nil, &problemStoreAway, err // Run finishes it, or the same claim again
}

// claimed is the attempt of this verification, or nil.
func (c *claimer) claimed(h *held) *attempt {
	return h.first(func(a *attempt) bool { return a.provider == c.provider && a.providerID == c.id })
}

// noted is the attempt that is to have this verification, or nil.
func (c *claimer) noted(h *held) *attempt {
	return h.first(func(a *attempt) bool { return a.provider == c.provider && a.claimID == c.id })
}

// open is the attempt that the claim belongs to, or nil: the wanted one, or the
// last.
func (c *claimer) open(h *held) *attempt {
	var last *attempt
	for i := range h.attempts {
		a := &h.attempts[i]
		if a.provider != c.provider || a.providerID != "" || a.claimID != "" || a.status != identity.Created && !a.byClock {
			continue
		}
		if last = a; a.id == c.wanted {
			break
		}
	}
	return last
}

const (
	// claimRetention is how long a verification belongs to the subject who claimed
	// it, whatever becomes of the subject's record.
	claimRetention = 10 * 365 * 24 * time.Hour
	// claimPatience is how long a claim may stay noted without being used, before
	// the worker takes that for the sign of a dead process.
	claimPatience = 30 * time.Second
	// claimFormat is the first byte of the record that says whose a verification is,
	// which the address of its attempt follows.
	claimFormat = 2
)

var errClaimTaken = errors.New("verification was claimed before")

// key is the key of the record that says whose the verification is.
func (c *claimer) key() string {
	sum := sha256.Sum256([]byte("okidkit claim\x00" + c.provider + "\x00" + c.id))
	return "c:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// user is the attempt for which the claim was used, if it was.
func (c *claimer) user(ctx context.Context) (by address, used bool, err error) {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := c.kit.cfg.Store.Get(ctx, c.key())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return address{}, false, nil
	case err == nil && (len(rec.Value) != 1+addressLen || rec.Value[0] != claimFormat):
		err = errCorrupt
	}
	if err != nil {
		return address{}, false, storeError(ctx, err)
	}
	return addressAt(rec.Value[1:]), true, nil
}

// use makes the verification the attempt's. The error is errClaimTaken if it was used
// for another one.
func (c *claimer) use(ctx context.Context, id attemptID) error {
	mine := address{c.hash, id}
	value := append([]byte{claimFormat}, mine.place()...)
	err := c.kit.write(ctx, c.key(), store.Write{Value: value, Version: randomNonZero(), TTL: claimRetention})
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	by, used, err := c.user(ctx)
	switch {
	case err != nil:
		return err
	case !used:
		return storeError(ctx, store.ErrConflict) // it has just ended, after all these years
	case by != mine:
		return errClaimTaken
	}
	return nil
}
