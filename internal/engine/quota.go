package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/okidkit/okidkit/store"
)

const (
	// maxRefreshes is how many questions all processes together ask the provider in a
	// second of their own accord. What is too much, after an outage, is spread over the
	// next refreshSpread.
	maxRefreshes  = 50
	refreshSpread = time.Minute
	// quotaKey is the key of the record in which all processes count the questions
	// that they ask the provider of their own accord.
	quotaKey = "questions"
	// quotaBatch is how many questions a process takes at once, so that it need not
	// write for each. What it does not ask within the second is lost.
	quotaBatch = 10
	// quotaFormat is the first byte of the record.
	quotaFormat = 1
)

// quota is what one process may still ask the provider within one second of the
// store's clock.
type quota struct {
	turn   chan struct{} // holds one token while somebody uses what follows
	second int64
	left   int
}

func newQuota() *quota { return &quota{turn: make(chan struct{}, 1)} }

// take reports whether one more question may be asked at now, which is the store's
// clock. Without the store nobody knows, and none may.
func (q *quota) take(ctx context.Context, e *Engine, now time.Time) (bool, error) {
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done(): // of Run, which must not wait for a store that hangs
		return false, nil
	}
	if now.Unix() <= q.second && q.left > 0 {
		q.left--
		return true, nil
	}
	for range 3 {
		second, got, err := e.takeQuestions(ctx)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil || got == 0 {
			return false, err
		}
		q.second, q.left = second, got-1
		return true, nil
	}
	return false, nil // so many others ask that there is nothing left
}

// takeQuestions takes what is left of this second's questions, up to a batch.
func (e *Engine) takeQuestions(ctx context.Context) (second int64, got int, err error) {
	get, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(get, quotaKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, 0, storeError(ctx, err)
	}
	second = rec.Now.Unix()
	taken := 0
	if b := rec.Value; len(b) == 10 && b[0] == quotaFormat && int64(binary.BigEndian.Uint64(b[1:])) == second {
		taken = int(b[9])
	}
	if got = min(quotaBatch, maxRefreshes-taken); got <= 0 {
		return second, 0, nil
	}
	value := binary.BigEndian.AppendUint64([]byte{quotaFormat}, uint64(second))
	return second, got, e.write(ctx, quotaKey, store.Write{
		Value: append(value, byte(taken+got)), Replaces: rec.Version, Version: randomNonZero(), TTL: time.Minute,
	})
}
