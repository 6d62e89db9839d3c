package okidhttp

import (
	"context"
	"errors"
	"sync"
)

// turns lets few requests of a subject go on at the same time, and some more wait.
type turns struct {
	atOnce, most int // most: with those who wait
	mu           sync.Mutex
	of           map[turnOf]*turn
}

type turnOf struct {
	subject  subjectHash
	provider string
}

// turn is what the requests of one subject share. Its fields but taken are guarded by
// turns.mu.
type turn struct {
	crowd    int           // those whose turn it is, and those who wait
	taken    chan struct{} // holds one token for each whose turn it is
	failures int
}

var errCrowd = errors.New("the subject has asked for this too often at the same time")

// wait returns when it is the caller's turn, until leave is called. failed reports
// whether somebody before them has failed meanwhile. The error is errCrowd if there
// are too many already, or the context's.
func (t *turns) wait(ctx context.Context, of turnOf) (failed bool, err error) {
	t.mu.Lock()
	mine := t.of[of]
	if mine == nil {
		mine = &turn{taken: make(chan struct{}, t.atOnce)}
		if t.of == nil {
			t.of = map[turnOf]*turn{}
		}
		t.of[of] = mine
	}
	if mine.crowd >= t.most {
		t.mu.Unlock()
		return false, errCrowd
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

// leave gives the turn to the next one.
func (t *turns) leave(of turnOf, failed bool) {
	t.mu.Lock()
	mine := t.of[of]
	if failed {
		mine.failures++
	}
	t.mu.Unlock()
	<-mine.taken
	t.drop(of, mine)
}

func (t *turns) drop(of turnOf, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.crowd--; mine.crowd == 0 {
		delete(t.of, of)
	}
}
