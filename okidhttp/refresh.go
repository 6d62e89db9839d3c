package okidhttp

import (
	"context"
	"errors"
	"hash/crc32"
	"sync"
	"time"

	"github.com/okidkit/okidkit/identity"
)

const (
	// refreshEvery is how often the worker asks the provider about an attempt
	// that is under way, in case its webhook was lost.
	refreshEvery = 4 * time.Minute
	// A claim is followed more closely: after 2, 4, 8 … 60 seconds, for as long as
	// claimLimit. Then the verdict is overdue.
	minClaimRefresh = 2 * time.Second
	maxClaimRefresh = time.Minute
	claimLimit      = 15 * time.Minute
	// maxRefreshEvery is how far apart these questions become while the provider
	// does not answer them.
	maxRefreshEvery = 15 * time.Minute
	// maxRefreshes is how many such questions one process asks in a second. What
	// is too much, after an outage, is spread over the next refreshSpread.
	maxRefreshes  = 50
	refreshSpread = time.Minute
)

// reconcile asks the provider about an attempt of which no webhook tells.
func (k *Kit) reconcile(ctx context.Context, at address, a *attempt) error {
	if !k.refreshes.allow(k.cfg.Now()) {
		return k.rewriteAttempt(ctx, at, func(h *held, a *attempt) error {
			lot := time.Duration(crc32.ChecksumIEEE(a.id[:])) * refreshSpread >> 32
			a.refreshAt = h.now.Add(time.Second + lot)
			return nil
		})
	}
	unanswered := a.unanswered
	every := a.refreshAt.Sub(a.fetchedAt) / 2 // another process may have asked meanwhile
	word, err := k.refresh(ctx, at, refreshRequest{id: a.providerID, every: min(every, refreshEvery/2)})
	switch answered := word != ""; {
	case answered && unanswered > 0:
		unanswered = 0
	case !answered && err != nil:
		unanswered++
	default:
		return err
	}
	return errors.Join(err, k.rewriteAttempt(ctx, at, func(h *held, a *attempt) error {
		a.unanswered = unanswered
		if unanswered > 0 && !a.refreshAt.IsZero() && a.claimedAt.IsZero() {
			a.refreshAt = h.now.Add(min(refreshEvery<<min(unanswered-1, 8), maxRefreshEvery))
		}
		return nil
	}))
}

// refreshEvery is how long the worker waits before it asks about an attempt again.
func (a *attempt) refreshEvery(now time.Time) time.Duration {
	if a.claimedAt.IsZero() {
		return refreshEvery
	}
	return min(max(now.Sub(a.claimedAt), minClaimRefresh), maxClaimRefresh)
}

// overdue surfaces an attempt whose claim has led to no verdict in time.
func (k *Kit) overdue(ctx context.Context, at address) error {
	err := k.rewriteAttempt(ctx, at, func(h *held, a *attempt) error {
		if a.claimedAt.IsZero() {
			return errUnchanged
		}
		a.claimedAt = time.Time{}
		a.events++
		a.addLetter(letter{event: a.events, reason: DeadNoVerdict, status: a.status, applied: true, since: h.now})
		return nil
	})
	if err == nil {
		k.observe(ctx, OutcomeNoVerdict, "attempt", at.attempt)
	}
	return err
}

// perSecond counts what happens within one second of a clock.
type perSecond struct {
	mu     sync.Mutex
	second int64
	n      int
}

// allow counts, unless there were too many in this second.
func (c *perSecond) allow(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := now.Unix(); s != c.second {
		c.second, c.n = s, 0
	}
	c.n++
	return c.n <= maxRefreshes
}

// refreshRequest says on whose account the provider is to be asked.
type refreshRequest struct {
	id       string        // the provider's id; without one there is no asking
	every    time.Duration // not if it was asked within that time
	returned bool          // the user came back, which is remembered
}

// refresh asks the provider how an attempt stands, and delivers the answer. It
// returns the provider's word, and "" if it was not asked.
func (k *Kit) refresh(ctx context.Context, at address, r refreshRequest) (identity.Status, error) {
	var asked attempt
	var asks bool
	_, err := k.rewrite(ctx, at.subject, nil, func(h *held) error {
		a := h.find(at.attempt)
		if a == nil {
			asks = false
			return errUnchanged
		}
		asks = r.id != "" && h.now.Sub(a.fetchedAt) >= r.every
		if !asks && (!r.returned || a.returned) {
			return errUnchanged
		}
		if r.returned {
			a.comeBack(h.now)
		}
		if asks {
			a.fetchedAt = h.now
			if !a.status.Final() {
				a.refreshAt = h.now.Add(a.refreshEvery(h.now))
			}
		}
		asked = *a
		return nil
	})
	if err != nil || !asks {
		return "", err
	}
	n, err := k.fetch(ctx, &asked, r.id)
	if err != nil {
		k.observe(ctx, OutcomeProviderFailed, "attempt", at.attempt, "error", err)
		return "", err
	}
	outcome, err := k.deliver(ctx, at, n, fromFetch, asked.status)
	if err == nil {
		k.observeNotice(ctx, outcome, n, at.attempt, nil)
	}
	return n.Verification.Status, err
}
