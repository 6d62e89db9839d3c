package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// What [Engine.Check] finds while users are served all the same.
var (
	// ErrLost means that the store has lost a record since the engine first looked.
	ErrLost = errors.New("the store has lost records")
	// ErrLate means that something is due, and nobody works on it.
	ErrLate = errors.New("what is due is not worked on: does Run run?")
)

const (
	// canaryKey is that of a record that is there to be missed.
	canaryKey = "k:canary"
	// late is how long something may be due before that is a sign that nobody works.
	late = 5 * time.Minute
)

// Check tells whether the engine can work. The error joins all that it finds: [ErrLost],
// [ErrLate], what the store's own Check says, and one that wraps [ErrStore].
func (e *Engine) Check(ctx context.Context) error {
	var errs []error
	if e.checker != nil {
		if err := e.checker.Check(ctx); err != nil {
			errs = append(errs, storeProblem(err))
		}
	}
	errs = append(errs, e.lookAtCanary(ctx), e.lookAtDue(ctx))
	return errors.Join(errs...)
}

// storeProblem is what a store has found out about itself.
func storeProblem(err error) error {
	if errors.Is(err, store.ErrDegraded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}

// lookAtCanary makes the canary, if nobody has, and misses it if it was there before.
func (e *Engine) lookAtCanary(ctx context.Context) error {
	get, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(get, canaryKey)
	if errors.Is(err, store.ErrNotFound) {
		rec.Version = randomNonZero()
		err = e.write(ctx, canaryKey, store.Write{Version: rec.Version, TTL: e.cfg.Retention})
		if errors.Is(err, store.ErrConflict) {
			return nil // somebody else has made it; the next look tells which
		}
	}
	if err != nil {
		return storeError(ctx, err)
	}
	if !e.canary.CompareAndSwap(0, rec.Version) && e.canary.Load() != rec.Version {
		return ErrLost
	}
	return nil
}

// lookAtDue looks at what is due for longest.
func (e *Engine) lookAtDue(ctx context.Context) error {
	due, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	keys, err := e.cfg.Store.Due(due, 1)
	if err != nil {
		return storeError(ctx, err)
	}
	for _, key := range keys {
		of, err := attempt.SubjectOfKey(key)
		if err != nil {
			continue // is no subject's
		}
		s, err := e.Load(ctx, of)
		if errors.Is(err, attempt.ErrCorrupt) {
			continue // which Run sets aside
		} else if err != nil {
			return err
		}
		if task := e.policy.NextTask(s.Record, s.Now); task.Task != attempt.NoTask && s.Now.Sub(task.At) >= late {
			return ErrLate
		}
	}
	return nil
}
