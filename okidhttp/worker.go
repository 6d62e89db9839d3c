package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/okidkit/okidkit/identity"
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
	// expiryGrace is how long after the end of its token an attempt that nobody
	// started counts as expired, for notices that are still on their way.
	expiryGrace = 5 * time.Minute
)

// Run does what nobody waits for: callbacks that failed are tried again,
// attempts that nobody finished expire, and verifications whose webhook was lost
// are asked for at the provider. It returns nil when ctx ends, after the
// callbacks under way have returned, or have not though their time is long over.
// Every replica may run it, and it may run again after it has returned. When it
// ends, so do the live status streams that this kit has open, so that a server can
// shut down.
//
// A kit needs one Run somewhere. Without it nothing is lost, but what failed
// waits until it is delivered again, with Config.Async nobody is told of anything,
// and nothing expires.
func (k *Kit) Run(ctx context.Context) error {
	defer k.streams.end()
	w := newWorker(k)
	defer w.wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-k.wake:
		}
		k.sumUp(ctx, k.lines.take(k.cfg.Now())...)
		pause := pollEvery
		n, err := w.round(ctx)
		if err != nil && ctx.Err() == nil {
			k.observe(ctx, OutcomeStoreFailed, "error", err)
		}
		if n >= dueBatch && !w.failed.Swap(false) {
			pause = busyPause // there is more
		}
		timer.Reset(pause)
	}
}

// worker works on records that are due, each by itself, so that one whose
// callback hangs holds up no other.
type worker struct {
	kit    *Kit
	slots  chan struct{}
	failed atomic.Bool // a record could not be worked on since this was last asked

	mu   sync.Mutex
	busy map[string]bool // the keys that are being worked on
}

func newWorker(k *Kit) *worker {
	return &worker{kit: k, slots: make(chan struct{}, workers), busy: map[string]bool{}}
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
	return 3*w.kit.cfg.CallbackTimeout + 4*storeTimeout
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
		w.kit.observe(ctx, OutcomeStuck)
		free()
	})
	return func() { overdue.Stop(); free() }, true
}

// round begins to work on what is due now, up to a batch, and returns how many
// records are due. It waits while all slots are taken.
func (w *worker) round(ctx context.Context) (int, error) {
	dueCtx, cancel := withTimeout(ctx, storeTimeout)
	keys, err := w.kit.cfg.Store.Due(dueCtx, dueLook)
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
			if err := w.kit.runRecord(ctx, key); err != nil {
				w.failed.Store(true)
				if !gone(ctx, err) {
					w.kit.observe(ctx, OutcomeStoreFailed, "error", err)
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

// runRecord does what is due in one record.
func (k *Kit) runRecord(ctx context.Context, key string) (err error) {
	defer func() {
		if v := recover(); v != nil { // of a provider's; the host's are seen to
			err = fmt.Errorf("worker panicked\n%s", debug.Stack())
		}
	}()
	of, err := subjectOfKey(key)
	if err != nil {
		return k.setAside(ctx, key, err)
	}
	for range maxTasks {
		if ctx.Err() != nil {
			return nil
		}
		h, err := k.load(ctx, of)
		if errors.Is(err, errCorrupt) {
			return k.setAside(ctx, key, err)
		}
		if err != nil {
			return err
		}
		due := k.nextTask(h)
		if due.task == noTask {
			return nil // its due time was rounded, or somebody else has done the work
		}
		if err := k.runTask(ctx, h, due); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

// setAside makes a record that cannot be read due again only after an hour, so
// that it does not stand in the way of others. Its bytes stay as they are.
func (k *Kit) setAside(ctx context.Context, key string, cause error) error {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := k.cfg.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	w := store.Write{Value: rec.Value, Replaces: rec.Version, Version: randomNonZero(), TTL: k.cfg.Retention, DueIn: time.Hour}
	return errors.Join(cause, k.cfg.Store.Put(ctx, key, w))
}

// task is something that an attempt waits for.
type task int

const (
	noTask      task = iota
	taskAbandon      // Start never came back with a token
	taskTell         // a notice waits for its callback
	taskExpire       // nobody told anything in time
	taskRefresh      // ask the provider
	taskList         // enter it in the list of dead letters
	taskOverdue      // a claim has led to no verdict
	taskClaim        // whoever noted a claim did not use it
)

// dueTask is what an attempt waits for next, and until when.
type dueTask struct {
	task
	attempt attemptID
	event   int64 // to be told
	at      time.Time
}

// nextDue is what an attempt waits for next.
func (k *Kit) nextDue(a *attempt) dueTask {
	next := dueTask{attempt: a.id}
	earlier := func(t task, event int64, at time.Time) {
		if !at.IsZero() && (next.task == noTask || at.Before(next.at)) {
			next.task, next.event, next.at = t, event, at
		}
	}
	earlier(taskAbandon, 0, a.askingTo)
	earlier(taskList, 0, a.listAt)
	if a.claimID != "" {
		earlier(taskClaim, 0, a.claimedAt.Add(claimPatience))
	}
	if a.awaitsEvent(a.lease.event) {
		earlier(taskTell, a.lease.event, a.lease.until) // before what came earlier but failed
	}
	for i := range a.pending {
		if p := &a.pending[i]; !p.held && !a.overtaken(p) {
			// Also after a lease for an event that is not pending any more.
			earlier(taskTell, p.event, latest(p.due, a.lease.until))
		}
	}
	if a.alive() {
		return next
	}
	if a.status == identity.Verified && a.providerID != "" {
		earlier(taskRefresh, 0, a.refreshAt)
	}
	if a.status.Final() {
		return next
	}
	switch a.status {
	case identity.Created:
		if !a.expiresAt.IsZero() {
			earlier(taskExpire, 0, a.expiresAt.Add(expiryGrace))
		}
	case identity.Started:
		earlier(taskExpire, 0, a.updatedAt.Add(k.cfg.StartedLimit))
	}
	if a.providerID != "" {
		earlier(taskRefresh, 0, a.refreshAt)
	}
	if !a.claimedAt.IsZero() && a.claimID == "" {
		earlier(taskOverdue, 0, a.claimedAt.Add(claimLimit))
	}
	return next
}

// latest is the later of two times.
func latest(t, u time.Time) time.Time {
	if t.Before(u) {
		return u
	}
	return t
}

// nextTask is the first thing in a record that is due.
func (k *Kit) nextTask(h *held) dueTask {
	now := h.clock(k)
	for i := range h.attempts {
		if due := k.nextDue(&h.attempts[i]); due.task != noTask && !now.Before(due.at) {
			return due
		}
	}
	return dueTask{}
}

// dueIn is how long a record may be left alone, and 0 for ever.
func (k *Kit) dueIn(h *held) time.Duration {
	var first time.Time
	for i := range h.attempts {
		if due := k.nextDue(&h.attempts[i]); due.task != noTask && (first.IsZero() || due.at.Before(first)) {
			first = due.at
		}
	}
	if first.IsZero() {
		return 0
	}
	return max(first.Sub(h.clock(k)), 1)
}

// runTask does one thing that is due. An outcome that the host will hear of, or
// that is tried again later, is no error.
func (k *Kit) runTask(ctx context.Context, h *held, due dueTask) error {
	at := address{h.subject, due.attempt}
	a := h.find(due.attempt)
	var outcome Outcome
	var err error
	switch due.task {
	case taskAbandon:
		_, err = k.rewrite(ctx, at.subject, h, func(h *held) error { return k.release(h, due.attempt) })
	case taskExpire:
		n := identity.Notice{Provider: a.provider, Reference: a.reference}
		n.Verification = identity.Verification{ID: a.providerID, Status: identity.Expired}
		lost := a.unaddressable()
		outcome, err = k.deliver(ctx, at, n, fromClock, "")
		if lost && err == nil {
			k.observe(ctx, OutcomeUnaddressable, "attempt", due.attempt)
		}
	case taskClaim:
		err = k.finishClaim(ctx, at, a)
	case taskOverdue:
		err = k.overdue(ctx, at)
	case taskList:
		err = k.listDeadLetters(ctx, at)
	case taskRefresh:
		err = k.reconcile(ctx, h, at, a)
	case taskTell:
		w := &work{at: at, h: h, event: due.event}
		k.takeLease(a, a.first(func(p *pending) bool { return p.event == due.event }), h.clock(k))
		w.owner = a.lease.owner
		if err := k.save(ctx, h); err != nil {
			return err
		}
		outcome, err = k.carryOut(ctx, w)
	}
	if err == nil && outcome != "" && outcome != OutcomeDeadLetter {
		k.observe(ctx, outcome, "attempt", due.attempt)
	}
	if errors.Is(err, errStore) {
		return err
	}
	return nil
}

// release ends a Start's claim. An attempt that got no token, and of which nothing was
// ever heard, is dropped. Another one ends like one that was started.
func (k *Kit) release(h *held, id attemptID) error {
	a := h.find(id)
	if a == nil || a.askingTo.IsZero() {
		return errUnchanged
	}
	a.askingTo = time.Time{}
	if a.unheardOf() {
		h.attempts = slices.DeleteFunc(h.attempts, func(a attempt) bool { return a.id == id })
	} else if a.expiresAt.IsZero() {
		a.expiresAt = h.now.Add(k.cfg.StartedLimit)
	}
	return nil
}

// unheardOf reports whether nobody can know of an attempt: there is no token for
// it, and the provider has told nothing of it.
func (a *attempt) unheardOf() bool {
	return a.status == identity.Created && a.token == nil && a.providerID == "" && a.claimID == "" && len(a.pending) == 0
}
