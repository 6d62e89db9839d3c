package okidhttp

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

const (
	// pollEvery is how often Run looks for what is due.
	pollEvery = time.Second
	// dueBatch is how many records Run takes on at once.
	dueBatch = 100
	// workers is how many records one Run works on at the same time.
	workers = 8
	// expiryGrace is how long after the end of its token an attempt that nobody
	// started counts as expired, for notices that are still on their way.
	expiryGrace = 5 * time.Minute
	// refreshEvery is how often the worker asks the provider about an attempt
	// that is under way, in case its webhook was lost.
	refreshEvery = 4 * time.Minute
)

// Run does what nobody waits for: callbacks that failed are tried again,
// attempts that nobody finished expire, and verifications whose webhook was lost
// are asked for at the provider. It returns nil when ctx ends, after the
// callbacks under way have returned. Every replica may run it. When it ends, so
// do the live status streams of this kit, so that a server can shut down.
//
// Without Run nothing is lost, but what failed waits until it is delivered again.
func (k *Kit) Run(ctx context.Context) error {
	defer k.stop.Do(func() { close(k.stopped) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-k.wake:
		}
		wait := pollEvery
		n, err := k.runDue(ctx)
		if err != nil && ctx.Err() == nil {
			k.observe(ctx, OutcomeStoreFailed, "error", err)
		} else if n == dueBatch {
			wait = 0
		}
		timer.Reset(wait)
	}
}

// runDue works through what is due now, up to a batch, and returns how many
// records that were.
func (k *Kit) runDue(ctx context.Context) (int, error) {
	dueCtx, cancel := context.WithTimeout(ctx, storeTimeout)
	keys, err := k.cfg.Store.Due(dueCtx, dueBatch)
	cancel()
	if err != nil {
		return 0, storeError(err)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := k.runRecord(ctx, key); err != nil {
				k.observe(ctx, OutcomeStoreFailed, "error", err)
			}
		})
	}
	wg.Wait()
	return len(keys), nil
}

// maxTasks bounds the work on one record in one go.
const maxTasks = 16

// runRecord does what is due in one record.
func (k *Kit) runRecord(ctx context.Context, key string) error {
	for range maxTasks {
		if ctx.Err() != nil {
			return nil
		}
		h, err := k.load(ctx, key)
		if errors.Is(err, errCorrupt) {
			return k.setAside(ctx, key, err)
		}
		if err != nil {
			return err
		}
		a, t := k.nextTask(h)
		if a == nil {
			// Its due time was rounded, or somebody else has done the work.
			return nil
		}
		if err := k.runTask(ctx, h, a, t); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

// setAside makes a record that cannot be read due again only after an hour, so
// that it does not stand in the way of others. Its bytes stay as they are.
func (k *Kit) setAside(ctx context.Context, key string, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
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
)

// nextDue is what an attempt waits for next, and until when.
func (k *Kit) nextDue(a *attempt) (t task, at time.Time) {
	earlier := func(next task, when time.Time) {
		if !when.IsZero() && (t == noTask || when.Before(at)) {
			t, at = next, when
		}
	}
	earlier(taskAbandon, a.claimedTo)
	for _, p := range a.pending {
		switch {
		case p.dead:
		case a.lease.owner != 0:
			earlier(taskTell, a.lease.until)
		default:
			earlier(taskTell, p.due)
		}
	}
	if a.status.Final() || a.alive() {
		return t, at
	}
	switch a.status {
	case identity.Created:
		if !a.expiresAt.IsZero() {
			earlier(taskExpire, a.expiresAt.Add(expiryGrace))
		}
	case identity.Started:
		earlier(taskExpire, a.updatedAt.Add(k.cfg.StartedLimit))
	}
	if a.providerID != "" {
		earlier(taskRefresh, a.refreshAt)
	}
	return t, at
}

// nextTask is the first thing in a record that is due, or a nil attempt.
func (k *Kit) nextTask(h *held) (*attempt, task) {
	now := h.clock(k)
	for i := range h.attempts {
		if t, at := k.nextDue(&h.attempts[i]); t != noTask && !now.Before(at) {
			return &h.attempts[i], t
		}
	}
	return nil, noTask
}

// dueIn is how long a record may be left alone, and 0 for ever.
func (k *Kit) dueIn(h *held) time.Duration {
	var first time.Time
	for i := range h.attempts {
		if t, at := k.nextDue(&h.attempts[i]); t != noTask && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return 0
	}
	return max(first.Sub(h.clock(k)), 1)
}

// runTask does one thing that is due. An outcome that the host will hear of, or
// that is tried again later, is no error.
func (k *Kit) runTask(ctx context.Context, h *held, a *attempt, t task) error {
	hash, err := subjectOfKey(h.key)
	if err != nil {
		return err
	}
	at := address{hash, a.id}
	switch t {
	case taskAbandon:
		return k.abandon(ctx, h, a)
	case taskExpire:
		n := identity.Notice{Provider: a.provider, Reference: a.reference}
		n.Verification = identity.Verification{ID: a.providerID, Status: identity.Expired}
		_, err = k.deliver(ctx, at, n, clock, "")
	case taskRefresh:
		_, err = k.refresh(ctx, at, refreshRequest{id: a.providerID, every: refreshEvery / 2})
	case taskTell:
		now := h.clock(k)
		i := slices.IndexFunc(a.pending, func(p pending) bool {
			return !p.dead && (a.lease.owner != 0 || !now.Before(p.due))
		})
		k.takeLease(a, now)
		w := &work{at: at, h: h, owner: a.lease.owner, owed: a.pending[i].status}
		if err := k.save(ctx, h); err != nil {
			return err
		}
		_, err = k.carryOut(ctx, w)
	}
	if errors.Is(err, errStore) {
		return err
	}
	return nil
}

// abandon drops an attempt for which the provider never gave a token, and keeps
// one that turned out to be alive all the same.
func (k *Kit) abandon(ctx context.Context, h *held, a *attempt) error {
	id := a.id
	if a.status == identity.Created && a.token == nil {
		h.attempts = slices.DeleteFunc(h.attempts, func(a attempt) bool { return a.id == id })
	} else {
		a.claimedTo = time.Time{}
	}
	return k.save(ctx, h)
}

// refreshRequest says on whose account the provider is to be asked.
type refreshRequest struct {
	id       string        // the provider's id; without one there is no asking
	every    time.Duration // not if it was asked within that time
	returned bool          // the user came back, which is remembered
}

// refresh asks the provider how an attempt stands, and delivers the answer. It
// returns the provider's word, and "" if it was not asked.
func (k *Kit) refresh(ctx context.Context, at address, r refreshRequest) (identity.Status, error) {
	h, err := k.load(ctx, at.subject.key())
	if err != nil {
		return "", err
	}
	a := h.find(at.attempt)
	if a == nil {
		return "", nil
	}
	asks := r.id != "" && h.now.Sub(a.fetchedAt) >= r.every
	if !asks && (!r.returned || a.returned) {
		return "", nil
	}
	a.returned = a.returned || r.returned
	if asks {
		a.fetchedAt = h.now
	}
	if asks && !a.status.Final() {
		a.refreshAt = h.now.Add(refreshEvery)
	}
	asked := *a
	if err := k.save(ctx, h); errors.Is(err, store.ErrConflict) {
		return "", nil // somebody else is at it
	} else if err != nil || !asks {
		return "", err
	}
	n, err := k.fetch(ctx, &asked, r.id)
	if err != nil {
		k.observe(ctx, OutcomeProviderFailed, "attempt", at.attempt, "error", err)
		return "", err
	}
	outcome, err := k.deliver(ctx, at, n, fetched, asked.status)
	if err == nil {
		k.observe(ctx, outcome, "notice", n, "attempt", at.attempt)
	}
	return n.Verification.Status, err
}
