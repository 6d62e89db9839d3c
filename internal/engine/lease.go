package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/okidkit/okidkit/internal/attempt"
)

// leased is the time for which the host and the provider may be called under a lease. The
// zero value has not begun.
type leased struct {
	calls context.Context
	stop  func()
}

// begin returns the context for calls under the owner's lease, which ends when the lease
// is lost. From the first call of it on, the lease is renewed.
func (l *leased) begin(ctx context.Context, e *Engine, at attempt.Address, s *Snapshot, owner int64) context.Context {
	if l.calls == nil {
		var cancel context.CancelFunc
		l.calls, cancel = context.WithCancel(ctx)
		l.stop = e.keepLease(l.calls, cancel, at, owner, s.readAt)
	}
	return l.calls
}

// end ends the calls and the renewal, for which it waits.
func (l *leased) end() {
	if l.stop != nil {
		l.stop()
	}
}

// keepLease starts to renew a lease that was taken after a moment, for as long as the
// provider, Decide and a callback may take. It ends the calls with cancel when that is
// over, and when somebody else has the lease, or may have it because the store cannot be
// asked. The function that it returns ends the calls and the renewal, for which it waits.
func (e *Engine) keepLease(calls context.Context, cancel context.CancelFunc, at attempt.Address, owner int64, taken time.Time) (stop func()) {
	lease := e.policy.Lease
	last := e.cfg.Now().Add(3 * e.cfg.CallbackTimeout)
	until := taken.Add(lease)
	left := func() time.Duration { return until.Sub(e.cfg.Now()) }
	if left() <= 0 {
		cancel()
	}
	var mu sync.Mutex // held by a renewal
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(lease/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if calls.Err() != nil {
			return
		}
		begun := e.cfg.Now()
		ctx, end := context.WithTimeout(calls, left())
		err := e.renewLease(ctx, at, owner)
		end()
		if err == nil {
			until = begun.Add(lease)
		}
		if errors.Is(err, attempt.ErrFenced) || left() <= 0 || !e.cfg.Now().Before(last) {
			cancel()
			return
		}
		timer.Reset(min(lease/3, left()))
	})
	return func() {
		cancel()
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
	}
}

func (e *Engine) renewLease(ctx context.Context, at attempt.Address, owner int64) error {
	_, err := e.rewrite(ctx, at.Subject, nil, func(s *Snapshot) error {
		a := s.Find(at.Attempt)
		if a == nil || !a.RenewLease(owner, s.Now.Add(e.policy.Lease)) {
			return attempt.ErrFenced
		}
		return nil
	})
	return err
}
