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
	_, oldest, now, err := e.backlog(ctx, 1)
	if err == nil && !oldest.IsZero() && now.Sub(oldest) >= late {
		err = ErrLate
	}
	return err
}

// maxBacklog bounds what Backlog counts.
const maxBacklog = 1000

// Backlog returns how many records are due, counted up to maxBacklog, and since when the first of
// them has been.
func (e *Engine) Backlog(ctx context.Context) (due int, oldest time.Time, err error) {
	due, oldest, _, err = e.backlog(ctx, maxBacklog)
	return due, oldest, err
}

// backlog is Backlog up to a limit, with the time by the store's clock.
func (e *Engine) backlog(ctx context.Context, limit int) (due int, oldest, now time.Time, err error) {
	get, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	keys, err := e.cfg.Store.Due(get, limit)
	if err != nil {
		return 0, oldest, now, storeError(ctx, err)
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
			return 0, oldest, now, err
		}
		if task := e.policy.NextTask(s.Record, s.Now); task.Task != attempt.NoTask {
			return len(keys), task.At, s.Now, nil
		}
	}
	return len(keys), oldest, now, nil
}
