package okidhttp

import (
	"context"
	"errors"
	"hash/crc32"
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
	// Config.RecheckVerified becomes recheckSlows times as long after as many times.
	recheckSlows = 7
	// minRecheck is how soon a verification is asked about again for which the
	// provider gave no answer; the pause doubles, up to what it would be anyway.
	minRecheck = time.Hour
	// maxRefreshes is how many such questions all processes together ask in a
	// second. What is too much, after an outage, is spread over the next
	// refreshSpread.
	maxRefreshes  = 50
	refreshSpread = time.Minute
)

// reconcile asks the provider about an attempt of which no webhook tells.
func (k *Kit) reconcile(ctx context.Context, h *held, at address, a *attempt) error {
	allowed, err := k.questions.take(ctx, k, h.clock(k))
	if err != nil {
		return err
	}
	if !allowed {
		return k.rewriteAttempt(ctx, at, func(h *held, a *attempt) error {
			lot := time.Duration(crc32.ChecksumIEEE(a.id[:])) * refreshSpread >> 32
			a.refreshAt = h.now.Add(time.Second + lot)
			return nil
		})
	}
	if k.refreshEvery(a, h.now) == 0 { // the verification does not count any more
		return k.rewriteAttempt(ctx, at, func(_ *held, a *attempt) error {
			a.refreshAt = time.Time{}
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
			first, most := refreshEvery, maxRefreshEvery
			if a.status == identity.Verified {
				first, most = minRecheck, k.refreshEvery(a, h.now)
			}
			a.refreshAt = latest(h.now.Add(min(first<<min(unanswered-1, 8), most)), a.quietUntil)
		}
		return nil
	}))
}

// scheduleRefresh sets when the worker asks the provider about an attempt again,
// if it does.
func (k *Kit) scheduleRefresh(a *attempt, now time.Time) {
	every := k.refreshEvery(a, now)
	if a.refreshAt = now.Add(every); every == 0 {
		a.refreshAt = time.Time{}
	}
}

// refreshEvery is how long the worker waits before it asks about an attempt again;
// 0: it does not.
func (k *Kit) refreshEvery(a *attempt, now time.Time) time.Duration {
	switch {
	case a.status == identity.Verified && k.counts(a.grant, now):
		every := max(k.cfg.RecheckVerified, 0)
		if now.Sub(a.grant.VerifiedAt) >= recheckSlows*every {
			every *= recheckSlows
		}
		return every
	case a.status.Final():
		return 0
	case !a.claimedAt.IsZero():
		return min(max(now.Sub(a.claimedAt), minClaimRefresh), maxClaimRefresh)
	}
	return refreshEvery
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

// The pause after an answer that there were too many questions.
const (
	minQuiet     = 2 * time.Second
	defaultQuiet = time.Minute // if the provider names none
	maxQuiet     = time.Hour
)

// quietFor is how long the provider must not be asked after this error, and whether
// that is so at all.
func quietFor(err error) (time.Duration, bool) {
	limited, ok := errors.AsType[*identity.RateLimitError](err)
	switch {
	case !ok:
		return 0, false
	case limited.RetryAfter <= 0:
		return defaultQuiet, true
	}
	return min(max(limited.RetryAfter, minQuiet), maxQuiet), true
}

// keepQuiet notes that the provider must not be asked about an attempt for a while, if
// its error says so.
func (k *Kit) keepQuiet(ctx context.Context, at address, err error) error {
	pause, ok := quietFor(err)
	if !ok {
		return nil
	}
	// Also if whoever asked has gone.
	return k.rewriteAttempt(context.WithoutCancel(ctx), at, func(h *held, a *attempt) error {
		a.quietUntil = h.now.Add(pause)
		if !a.refreshAt.IsZero() {
			a.refreshAt = latest(a.refreshAt, a.quietUntil)
		}
		return nil
	})
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
		asks = r.id != "" && h.now.Sub(a.fetchedAt) >= r.every && !h.now.Before(a.quietUntil)
		if !asks && (!r.returned || a.returned) {
			return errUnchanged
		}
		if r.returned {
			a.comeBack(h.now)
		}
		if asks {
			a.fetchedAt = h.now
			k.scheduleRefresh(a, h.now)
		}
		asked = *a
		return nil
	})
	if err != nil || !asks {
		return "", err
	}
	n, err := k.fetch(ctx, &asked, r.id)
	if err != nil {
		k.failed(ctx, OutcomeProviderFailed, err, "attempt", at.attempt)
		return "", errors.Join(err, k.keepQuiet(ctx, at, err))
	}
	outcome, err := k.deliver(ctx, at, n, fromFetch, asked.status)
	if err == nil {
		k.observeNotice(ctx, outcome, n, at.attempt, nil)
	}
	return n.Verification.Status, err
}
