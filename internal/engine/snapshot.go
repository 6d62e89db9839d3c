package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// storeTimeout bounds one operation of the store.
const storeTimeout = 3 * time.Second

// Snapshot is a record as it was read, and what is needed to write it back.
type Snapshot struct {
	*attempt.Record
	// Now is the store's clock at the read.
	Now     time.Time
	version uint64
	readAt  time.Time // the engine's clock at the read
	engine  *Engine
}

// Clock returns the store's clock now, as far as the engine's has gone on since the read.
func (s *Snapshot) Clock() time.Time { return s.Now.Add(s.engine.cfg.Now().Sub(s.readAt)) }

// Load reads a subject's record. A subject without one gets an empty record. The error
// wraps [ErrStore].
func (e *Engine) Load(ctx context.Context, of attempt.SubjectHash) (*Snapshot, error) {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(ctx, of.Key())
	s := &Snapshot{version: rec.Version, Now: rec.Now, readAt: e.cfg.Now(), engine: e}
	if err == nil {
		e.grants.seen(of, rec.Version)
	} else {
		e.grants.forget(of) // which is not there any more, or nobody knows
	}
	if errors.Is(err, store.ErrNotFound) {
		s.Record = attempt.NewRecord(of)
		return s, nil
	}
	if err == nil {
		s.Record, err = attempt.Decode(rec.Value, of)
	}
	if err != nil {
		return nil, storeError(ctx, err)
	}
	return s, nil
}

// save writes the record back. The error wraps store.ErrConflict if somebody else did
// meanwhile.
func (e *Engine) save(ctx context.Context, s *Snapshot) error {
	s.Prune()
	buf := buffers.Get().(*buffer)
	defer buf.release()
	buf.bytes = s.AppendTo(buf.bytes[:0])
	w := store.Write{
		Value:    buf.bytes,
		Replaces: s.version,
		Version:  randomNonZero(),
		TTL:      e.cfg.UnverifiedRetention,
		DueIn:    e.policy.DueIn(s.Record, s.Clock()),
	}
	if s.Grant() != nil {
		w.TTL = e.cfg.Retention
	}
	err := e.write(ctx, s.Of().Key(), w)
	e.grants.forget(s.Of())
	if err == nil {
		s.version = w.Version
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

// write puts a record, and once more if the answer may be lost though the write is not:
// the same write recognises itself.
func (e *Engine) write(ctx context.Context, key string, w store.Write) error {
	err := e.put(ctx, key, w)
	if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrInvalid) {
		err = e.put(ctx, key, w)
	}
	if err != nil {
		return storeError(ctx, err)
	}
	return nil
}

func (e *Engine) put(ctx context.Context, key string, w store.Write) error {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	return e.cfg.Store.Put(ctx, key, w)
}

// rewrite changes a subject's record, however often it takes: change is called again on
// what others wrote meanwhile. s is the record as it was read last, or nil. What comes
// back is the record as it was written, or as it was read if change returned
// errUnchanged.
func (e *Engine) rewrite(ctx context.Context, of attempt.SubjectHash, s *Snapshot, change func(*Snapshot) error) (*Snapshot, error) {
	for range maxRounds {
		if s == nil {
			var err error
			if s, err = e.Load(ctx, of); err != nil {
				return nil, err
			}
		}
		if err := change(s); errors.Is(err, errUnchanged) {
			return s, nil
		} else if err != nil {
			return nil, err
		}
		if err := e.save(ctx, s); err == nil {
			return s, nil
		} else if !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
		s = nil
	}
	return nil, attempt.ErrInFlight
}

// rewriteAttempt is rewrite for one attempt. If that is gone, the error is ErrGone.
func (e *Engine) rewriteAttempt(ctx context.Context, at attempt.Address, change func(*Snapshot, *attempt.Attempt) error) error {
	_, err := e.rewrite(ctx, at.Subject, nil, func(s *Snapshot) error {
		a := s.Find(at.Attempt)
		if a == nil {
			return ErrGone
		}
		return change(s, a)
	})
	return err
}

// storeError wraps what the store answered. If its context was cancelled meanwhile it
// says so, which not every store does.
func storeError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w: %w", ErrStore, context.Canceled, err)
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}
