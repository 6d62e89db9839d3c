package okidhttp

import (
	"context"
	"errors"
	"sync"
	"time"
)

// lease is the right to call the host about an attempt. Whoever holds it wrote
// its owner number into the record; a holder that finds another number there has
// lost it.
type lease struct {
	owner int64
	until time.Time
	event int64 // what it was taken for
}

// leased reports whether somebody holds the lease at now.
func (a *attempt) leased(now time.Time) bool {
	return a.lease.owner != 0 && now.Before(a.lease.until)
}

// takeLease gives whoever writes the attempt next the lease for a pending notice.
func (k *Kit) takeLease(a *attempt, p *pending, now time.Time) {
	p.tries++
	a.lease = lease{owner: int64(randomNonZero()), until: now.Add(k.cfg.Lease), event: p.event}
}

// keepLease starts to renew the lease of w, for as long as the provider, Decide and
// a callback may take. It ends the calls with cancel when that is over, and when
// somebody else has the lease, or may have it because the store cannot be asked. The
// function that it returns ends the calls and the renewal, for which it waits.
func (k *Kit) keepLease(w *work, cancel context.CancelFunc) (stop func()) {
	last := k.cfg.Now().Add(3 * k.cfg.CallbackTimeout)
	until := w.h.readAt.Add(k.cfg.Lease) // it was taken after that
	left := func() time.Duration { return until.Sub(k.cfg.Now()) }
	if left() <= 0 {
		cancel()
	}
	var mu sync.Mutex // held by a renewal
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(k.cfg.Lease/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if w.calls.Err() != nil {
			return
		}
		begun := k.cfg.Now()
		ctx, end := context.WithTimeout(w.calls, left())
		err := k.renewLease(ctx, w.at, w.owner)
		end()
		if err == nil {
			until = begun.Add(k.cfg.Lease)
		}
		if errors.Is(err, errFenced) || left() <= 0 || !k.cfg.Now().Before(last) {
			cancel()
			return
		}
		timer.Reset(min(k.cfg.Lease/3, left()))
	})
	return func() {
		cancel()
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
	}
}

// returnLease gives back a lease whose event is not pending any more, so that nobody
// waits for its end.
func (k *Kit) returnLease(ctx context.Context, w *work) error {
	return k.rewriteAttempt(ctx, w.at, func(_ *held, a *attempt) error {
		if a.lease.owner != w.owner {
			return errUnchanged
		}
		a.lease = lease{}
		return nil
	})
}

func (k *Kit) renewLease(ctx context.Context, at address, owner int64) error {
	_, err := k.rewrite(ctx, at.subject, nil, func(h *held) error {
		a := h.find(at.attempt)
		if a == nil || a.lease.owner != owner {
			return errFenced
		}
		a.lease.until = h.now.Add(k.cfg.Lease)
		return nil
	})
	return err
}
