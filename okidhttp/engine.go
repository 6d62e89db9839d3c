package okidhttp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

// Everything that becomes known about an attempt, from a webhook, from a
// question to the provider or from the clock, is a notice and goes through
// deliver. It is
//
//	admitted:    the attempt is changed by the pure function admit, and written,
//	             with a lease if the host is to be told;
//	carried out: what contradicts is settled by asking the provider, and the host
//	             is called;
//	committed:   the attempt is written again, if the lease still holds.
//
// What closes the gate is written as soon as it is sure, what opens it when the
// host knows. A crash in between leaves a record that is due when the lease ends,
// for Run or for the next delivery to carry out.

var (
	// errInFlight: somebody else holds the lease, so the notice is durable or
	// taken care of, but whether it took effect cannot be said now.
	errInFlight = errors.New("notice is being handled elsewhere")
	// errFenced: the lease was lost, so whoever took it decides.
	errFenced = fmt.Errorf("lease was lost: %w", errInFlight)
	// errAttemptGone: the attempt is not there, or not any more.
	errAttemptGone = fmt.Errorf("attempt is gone: %w", errInFlight)
	// errCallback wraps what the host's function returned.
	errCallback = errors.New("callback failed")
	// errProvider wraps what the provider answered when it had to be asked.
	errProvider = errors.New("provider could not settle it")
	// errStore wraps what the store answered.
	errStore = errors.New("store failed")
	// errUnchanged is what a change of a record returns that makes none.
	errUnchanged = errors.New("nothing to write")
)

// storeError is an error of the store's. If its context was cancelled meanwhile it says
// so, which not every store does.
func storeError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w: %w", errStore, context.Canceled, err)
	}
	return fmt.Errorf("%w: %w", errStore, err)
}

// maxConflicts bounds how often one change is tried against others.
const maxConflicts = 20

// storeTimeout bounds one operation of the store.
const storeTimeout = 3 * time.Second

// held is a record as it was read, and what is needed to write it back.
type held struct {
	*record
	subject subjectHash
	version uint64
	now     time.Time // the store's clock at the read
	readAt  time.Time // the kit's clock at the read
}

// load reads a subject's record. A subject without one gets an empty record at
// version 0.
func (k *Kit) load(ctx context.Context, of subjectHash) (*held, error) {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := k.cfg.Store.Get(ctx, of.key())
	h := &held{subject: of, version: rec.Version, now: rec.Now, readAt: k.cfg.Now()}
	if errors.Is(err, store.ErrNotFound) {
		h.record = new(record)
		return h, nil
	}
	if err == nil {
		h.record, err = decodeRecord(rec.Value, of)
	}
	if err != nil {
		return nil, storeError(ctx, err)
	}
	return h, nil
}

// clock is the store's clock now, as far as the kit's has gone on since the read.
func (h *held) clock(k *Kit) time.Time { return h.now.Add(k.cfg.Now().Sub(h.readAt)) }

// save writes the record back. The error wraps store.ErrConflict if somebody
// else did meanwhile.
func (k *Kit) save(ctx context.Context, h *held) error {
	h.prune()
	buf := buffers.Get().(*buffer)
	defer buf.release()
	buf.bytes = h.appendTo(buf.bytes[:0], h.subject)
	w := store.Write{
		Value:    buf.bytes,
		Replaces: h.version,
		Version:  randomNonZero(),
		TTL:      k.cfg.UnverifiedRetention,
		DueIn:    k.dueIn(h),
	}
	if h.grant() != nil {
		w.TTL = k.cfg.Retention
	}
	err := k.write(ctx, h.subject.key(), w)
	if err == nil {
		h.version = w.Version
	}
	return err
}

// buffer is memory for one record on its way to the store, which copies it.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// maxBuffer bounds the memory that waits for the next record, in bytes.
const maxBuffer = 16 << 10

func (b *buffer) release() {
	if cap(b.bytes) <= maxBuffer {
		buffers.Put(b)
	}
}

// write puts a record, and once more if the answer may be lost though the write
// is not: the same write recognises itself.
func (k *Kit) write(ctx context.Context, key string, w store.Write) error {
	err := k.put(ctx, key, w)
	if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrInvalid) {
		err = k.put(ctx, key, w)
	}
	if err != nil {
		return storeError(ctx, err)
	}
	return nil
}

func (k *Kit) put(ctx context.Context, key string, w store.Write) error {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	return k.cfg.Store.Put(ctx, key, w)
}

func randomNonZero() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails, says its documentation
		if n := binary.NativeEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// rewrite changes a subject's record, however often it takes: change is called
// again on what others wrote meanwhile. h is the record as it was read last, or
// nil. What comes back is the record as it was written, or as it was read if
// change returned errUnchanged.
func (k *Kit) rewrite(ctx context.Context, of subjectHash, h *held, change func(*held) error) (*held, error) {
	for range maxConflicts {
		if h == nil {
			var err error
			if h, err = k.load(ctx, of); err != nil {
				return nil, err
			}
		}
		if err := change(h); errors.Is(err, errUnchanged) {
			return h, nil
		} else if err != nil {
			return nil, err
		}
		if err := k.save(ctx, h); err == nil {
			return h, nil
		} else if !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
		h = nil
	}
	return nil, errInFlight
}

// rewriteAttempt is rewrite for one attempt. If that is gone, the error is
// errAttemptGone.
func (k *Kit) rewriteAttempt(ctx context.Context, at address, change func(*held, *attempt) error) error {
	_, err := k.rewrite(ctx, at.subject, nil, func(h *held) error {
		a := h.find(at.attempt)
		if a == nil {
			return errAttemptGone
		}
		return change(h, a)
	})
	return err
}

// deliver is the one door, to the attempt at an address. The outcome says what
// came of the notice; an error that wraps errInFlight, errCallback, errProvider
// or errStore says why it has no effect yet. basis is the status that the attempt
// had when the question was asked to which a fetched notice is the answer.
func (k *Kit) deliver(ctx context.Context, at address, n identity.Notice, src source, basis identity.Status) (Outcome, error) {
	outcome, _, err := k.deliverInto(ctx, nil, at, n, src, basis, nil)
	return outcome, err
}

// deliverInto is deliver for a record that was read already, or nil. Before the notice
// is admitted, the attempt is changed by before, which may be nil, and returns
// errUnchanged if there is nothing to change. It returns the record as it was written
// last.
func (k *Kit) deliverInto(ctx context.Context, h *held, at address, n identity.Notice, src source, basis identity.Status, before func(*held, *attempt) error) (Outcome, *held, error) {
	var ad admission
	h, err := k.rewrite(ctx, at.subject, h, func(h *held) error {
		a := h.find(at.attempt)
		if a == nil {
			ad = admission{outcome: OutcomeUnknownAttempt}
			return errUnchanged
		}
		believed := src
		if src == fromFetch && a.status != basis {
			believed = fromWebhook // overtaken while it was on its way
		}
		unchanged := errUnchanged
		if before != nil {
			unchanged = before(h, a)
		}
		if ad = k.admit(at, a, n, believed, h.now); !ad.changed {
			return unchanged
		}
		return nil
	})
	if err == nil && ad.taken {
		k.observeOddities(ctx, n.Verification, at.attempt, ad.refused)
	}
	switch {
	case err != nil:
		return OutcomeStoreFailed, nil, err
	case ad.outcome == OutcomeInFlight:
		return ad.outcome, h, errInFlight
	case ad.outcome == OutcomeQueued:
		k.wakeUp()
		return ad.outcome, h, nil
	case ad.owed == 0:
		return ad.outcome, h, nil
	}
	w := &work{at: at, h: h, owner: h.find(at.attempt).lease.owner, event: ad.owed}
	if ad.taken {
		v := n.Verification // a copy, for which duplicates need no memory
		w.v = &v
	}
	outcome, err := k.carryOut(ctx, w)
	return outcome, w.h, err
}

// observeOddities tells what is odd about a verification that has just become known.
func (k *Kit) observeOddities(ctx context.Context, v identity.Verification, id attemptID, refused bool) {
	if v.DocumentExpiry.Unreadable() {
		k.observe(ctx, OutcomeUnreadable, "attempt", id, "field", "document_expiry")
	}
	if v.DateOfBirth.Unreadable() {
		k.observe(ctx, OutcomeUnreadable, "attempt", id, "field", "date_of_birth")
	}
	if refused {
		k.observe(ctx, OutcomeDocumentRefused, "attempt", id)
	}
}

// fetch asks the provider about an attempt. The answer is about this attempt or
// it is an error.
func (k *Kit) fetch(ctx context.Context, a *attempt, id string) (identity.Notice, error) {
	p, ok := k.providers[a.provider]
	if !ok {
		return identity.Notice{}, fmt.Errorf("%w: %s is not configured any more", identity.ErrUnavailable, a.provider)
	}
	ctx, cancel := context.WithTimeout(ctx, k.cfg.CallbackTimeout)
	defer cancel()
	n, err := p.Fetch(ctx, id)
	if err != nil {
		return identity.Notice{}, err
	}
	n = received(n, a.provider)
	_, claimed := p.(identity.ClaimVerifier) // such a provider does not know our reference
	if n.Verification.ID != id || n.Reference != a.reference && !claimed {
		return identity.Notice{}, fmt.Errorf("%w: the verification it names is another one", identity.ErrNotFound)
	}
	return n, nil
}

// wakeUp tells a Run of this kit that something is due.
func (k *Kit) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}
