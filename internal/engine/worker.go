package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

const (
	// pollEvery is how often Run looks for what is due.
	pollEvery = time.Second
	// busyPause is the pause while more is due than Run takes on at once.
	busyPause = 20 * time.Millisecond
	// dueBatch is how many records Run takes on at once, drawn by lot from the dueLook
	// that have been due for longest: replicas that all took the oldest would be in
	// each other's way.
	dueBatch = 100
	dueLook  = 4 * dueBatch
	// workers is how many records one Run works on at the same time.
	workers = 8
)

// Run performs background work until ctx is done, and then returns nil, after the work
// under way has ended or is long overdue: it retries callbacks, lets attempts lapse, and
// asks providers about verifications whose webhook was lost. It may run again.
func (e *Engine) Run(ctx context.Context) error {
	w := newWorker(e)
	defer w.wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-e.wake:
		}
		e.sumUp(ctx, e.lines.take(e.cfg.Now())...)
		pause := pollEvery
		n, err := w.round(ctx)
		if err != nil && ctx.Err() == nil {
			e.Observe(ctx, StoreFailed, "error", err)
		}
		if n >= dueBatch && !w.failed.Swap(false) {
			pause = busyPause // there is more
		}
		timer.Reset(pause)
	}
}

// RunOnce works on what is due now, up to a batch, and waits until that is done. It
// returns how many records were due.
func (e *Engine) RunOnce(ctx context.Context) (int, error) {
	w := newWorker(e)
	defer w.wait()
	return w.round(ctx)
}

// worker works on records that are due, each by itself, so that one whose
// callback hangs holds up no other.
type worker struct {
	engine *Engine
	slots  chan struct{}
	failed atomic.Bool // a record could not be worked on since this was last asked

	mu   sync.Mutex
	busy map[string]bool // the keys that are being worked on
}

func newWorker(e *Engine) *worker {
	return &worker{engine: e, slots: make(chan struct{}, workers), busy: map[string]bool{}}
}

// wait returns when no record is being worked on, but for those that are overdue.
func (w *worker) wait() {
	for range workers {
		w.slots <- struct{}{}
	}
	for range workers {
		<-w.slots
	}
}

// patience is how long the work on one event may take if everybody keeps to their
// deadlines.
func (w *worker) patience() time.Duration {
	return 3*w.engine.cfg.CallbackTimeout + 4*storeTimeout
}

// slot takes one of the slots and returns what gives it back. That happens by itself
// when the work is overdue: a callback that does not look at its context must not take
// the place of others for ever.
func (w *worker) slot(ctx context.Context) (release func(), ok bool) {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	free := sync.OnceFunc(func() { <-w.slots })
	overdue := time.AfterFunc(w.patience(), func() {
		w.engine.Observe(ctx, Stuck)
		free()
	})
	return func() { overdue.Stop(); free() }, true
}

// round begins to work on what is due now, up to a batch, and returns how many
// records are due. It waits while all slots are taken.
func (w *worker) round(ctx context.Context) (int, error) {
	dueCtx, cancel := withTimeout(ctx, storeTimeout)
	keys, err := w.engine.cfg.Store.Due(dueCtx, dueLook)
	cancel()
	if err != nil {
		err = storeError(ctx, err) // and the keys are those that could be found all the same
	}
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, key := range keys[:min(len(keys), dueBatch)] {
		if !w.enter(key) {
			continue
		}
		release, ok := w.slot(ctx)
		if !ok {
			w.leave(key)
			return len(keys), err
		}
		go func() {
			defer release()
			defer w.leave(key)
			if err := w.engine.RunRecord(ctx, key); err != nil {
				w.failed.Store(true)
				if !Gone(ctx, err) {
					w.engine.Observe(ctx, StoreFailed, "error", err)
				}
			}
		}()
	}
	return len(keys), err
}

// enter reports whether nobody works on the record yet.
func (w *worker) enter(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[key] {
		return false
	}
	w.busy[key] = true
	return true
}

func (w *worker) leave(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, key)
}

// maxTasks bounds the work on one record in one go.
const maxTasks = 16

// RunRecord does what is due in one record.
func (e *Engine) RunRecord(ctx context.Context, key string) (err error) {
	defer func() {
		if v := recover(); v != nil { // of a provider's; the host's are seen to
			err = fmt.Errorf("worker panicked\n%s", debug.Stack())
		}
	}()
	if isErasure(key) {
		return e.erase(ctx, key)
	}
	of, err := attempt.SubjectOfKey(key)
	if err != nil {
		return e.setAside(ctx, key, err)
	}
	for range maxTasks {
		if ctx.Err() != nil {
			return nil
		}
		s, err := e.Load(ctx, of)
		if errors.Is(err, attempt.ErrCorrupt) {
			return e.setAside(ctx, key, err)
		}
		if err != nil {
			return err
		}
		due := e.policy.NextTask(s.Record, s.Clock())
		if due.Task == attempt.NoTask {
			return nil // its due time was rounded, or somebody else has done the work
		}
		if err := e.runTask(ctx, s, due); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

// setAside makes a record that cannot be read due again only after an hour, so
// that it does not stand in the way of others. Its bytes stay as they are.
func (e *Engine) setAside(ctx context.Context, key string, cause error) error {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	w := store.Write{Value: rec.Value, Replaces: rec.Version, Version: randomNonZero(), TTL: e.cfg.Retention, DueIn: time.Hour}
	return errors.Join(cause, e.cfg.Store.Put(ctx, key, w))
}

// runTask does one thing that is due. An outcome that the host will hear of, or that is
// tried again later, is no error.
func (e *Engine) runTask(ctx context.Context, s *Snapshot, due attempt.DueTask) error {
	at := attempt.Address{Subject: s.Of(), Attempt: due.Attempt}
	a := s.Find(due.Attempt)
	ctx, span := e.Begin(ctx, e.taskOperation(s, a, due))
	var res result
	var err error
	defer func() { span.End(0, err) }()
	switch due.Task {
	case attempt.TaskAbandon:
		err = e.abandon(ctx, at, s)
	case attempt.TaskLapse:
		lost := a.Unaddressable()
		res, err = e.process(ctx, at, s, attempt.Lapse{})
		if lost && err == nil {
			e.Observe(ctx, Unaddressable, "attempt", due.Attempt)
		}
	case attempt.TaskClaim:
		err = e.finishClaim(ctx, at, a)
	case attempt.TaskOverdue:
		res, err = e.process(ctx, at, s, attempt.Overdue{})
		if err == nil && res.Todo.Changed {
			e.Observe(ctx, NoVerdict, "attempt", due.Attempt)
		}
	case attempt.TaskList:
		err = e.listDeadLetters(ctx, at)
	case attempt.TaskRefresh:
		err = e.reconcile(ctx, at, s)
	case attempt.TaskRemind:
		res, err = e.process(ctx, at, s, attempt.Remind{Superseded: s.Granting() != a})
	case attempt.TaskTell:
		res, err = e.process(ctx, at, s, attempt.Due{Event: due.Event})
	}
	if err == nil && res.Outcome != "" && res.Outcome != attempt.DeadLetter && !isRefusal(res.Outcome) {
		e.Observe(ctx, res.Outcome, "attempt", due.Attempt)
	}
	if errors.Is(err, ErrStore) {
		return err
	}
	return nil
}

// taskOperation is what an Observer is told of a task.
func (e *Engine) taskOperation(s *Snapshot, a *attempt.Attempt, due attempt.DueTask) (o Operation) {
	if e.Observer == nil {
		return o
	}
	return Operation{Name: taskNames[due.Task], Provider: a.Provider, Status: a.Status, Late: max(s.Now.Sub(due.At), 0), Trace: e.policy.OpenContext(a).Trace}
}

// reconcile asks the provider about an attempt of which no webhook tells.
func (e *Engine) reconcile(ctx context.Context, at attempt.Address, s *Snapshot) error {
	allowed, err := e.questions.take(ctx, e, s.Clock())
	if err != nil {
		return err
	}
	a := s.Find(at.Attempt)
	var in attempt.Input = attempt.Refresh{ID: a.ProviderID, Every: a.RoutineEvery(), Routine: true}
	if !allowed {
		lot := time.Duration(crc32.ChecksumIEEE(a.ID[:])) * refreshSpread >> 32
		in = attempt.Postpone{By: time.Second + lot}
	}
	_, err = e.process(ctx, at, s, in)
	return err
}
