package engine

import (
	"context"
	"sync"
	"time"
)

// withTimeout is context.WithTimeout for calls that mostly end without waiting for
// anything: its timer starts when somebody asks for more than whether the context has
// ended, or asks that again.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	b := &bounded{parent: ctx, limit: d}
	return b, b.end
}

// withTimeoutFromNow is the same for calls that take their time before they ask: the
// limit counts from now on, and not from the first question.
func withTimeoutFromNow(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	now := time.Now // the clock of all contexts' deadlines
	b := &bounded{parent: ctx, deadline: now().Add(d), asked: true}
	return b, b.end
}

type bounded struct {
	parent   context.Context
	limit    time.Duration
	deadline time.Time // zero: limit after the timer has started

	mu     sync.Mutex
	asked  bool
	ended  bool
	timed  context.Context // nil until the timer starts
	cancel context.CancelFunc
}

func (b *bounded) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.timed != nil {
		b.cancel()
	}
}

// timer is the context that has the timer.
func (b *bounded) timer() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timed == nil && b.deadline.IsZero() {
		b.timed, b.cancel = context.WithTimeout(b.parent, b.limit)
	} else if b.timed == nil {
		b.timed, b.cancel = context.WithDeadline(b.parent, b.deadline)
	}
	if b.ended {
		b.cancel()
	}
	return b.timed
}

func (b *bounded) Deadline() (time.Time, bool) { return b.timer().Deadline() }

func (b *bounded) Done() <-chan struct{} { return b.timer().Done() }

func (b *bounded) Err() error {
	b.mu.Lock()
	first := !b.asked && !b.ended && b.timed == nil
	b.asked = true
	b.mu.Unlock()
	if first {
		return b.parent.Err()
	}
	return b.timer().Err()
}

// Value lets contexts that are derived from this one find the one with the timer.
func (b *bounded) Value(key any) any {
	b.mu.Lock()
	timed := b.timed
	b.mu.Unlock()
	if timed != nil {
		return timed.Value(key)
	}
	return b.parent.Value(key)
}
