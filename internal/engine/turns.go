package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/okidkit/okidkit/internal/attempt"
)

// Turns lets few requests of a subject go on at the same time, and some more wait.
type Turns struct {
	AtOnce, Most int // Most: with those who wait
	mu           sync.Mutex
	of           map[TurnOf]*turn
}

type TurnOf struct {
	Subject  attempt.SubjectHash
	Provider string
}

// turn is what the requests of one subject share. Its fields but taken are guarded by
// Turns.mu.
type turn struct {
	crowd    int           // those whose turn it is, and those who wait
	taken    chan struct{} // holds one token for each whose turn it is
	failures int
}

var ErrCrowd = errors.New("the subject has asked for this too often at the same time")

// Wait returns when it is the caller's turn, until Leave is called. failed reports
// whether somebody before them has failed meanwhile. The error is ErrCrowd if there
// are too many already, or the context's.
func (t *Turns) Wait(ctx context.Context, of TurnOf) (failed bool, err error) {
	t.mu.Lock()
	mine := t.of[of]
	if mine == nil {
		mine = &turn{taken: make(chan struct{}, t.AtOnce)}
		if t.of == nil {
			t.of = map[TurnOf]*turn{}
		}
		t.of[of] = mine
	}
	if mine.crowd >= t.Most {
		t.mu.Unlock()
		return false, ErrCrowd
	}
	mine.crowd++
	failures := mine.failures
	t.mu.Unlock()
	select {
	case mine.taken <- struct{}{}:
	case <-ctx.Done():
		t.drop(of, mine)
		return false, ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return mine.failures != failures, nil
}

// Leave gives the turn to the next one.
func (t *Turns) Leave(of TurnOf, failed bool) {
	t.mu.Lock()
	mine := t.of[of]
	if failed {
		mine.failures++
	}
	t.mu.Unlock()
	<-mine.taken
	t.drop(of, mine)
}

func (t *Turns) drop(of TurnOf, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.crowd--; mine.crowd == 0 {
		delete(t.of, of)
	}
}

// Subjects returns how many subjects have requests that go on or wait.
func (t *Turns) Subjects() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.of)
}
