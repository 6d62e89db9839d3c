package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// The list of dead letters says which attempts have some, since a store cannot be
// searched. Every truth about them stands in the subject's record; Run enters an
// attempt afterwards, and what is listed without reason is taken off when somebody
// reads the list.

const (
	// listShards is over how many records the list is spread, by the first bits of
	// the subject's hash. It must never change.
	listShards = 16
	// maxListed bounds one of these records: 40 bytes for each attempt.
	maxListed = 10_000
	// listRetry is when an attempt is entered for which there was no place.
	listRetry = time.Hour
	// listFormat is the first byte of such a record.
	listFormat = 1
)

// deadList is one part of the list.
type deadList struct {
	version   uint64
	addresses []attempt.Address // sorted
}

var errListFull = errors.New("list of dead letters is full")

func listKey(shard int) string { return fmt.Sprintf("dead:%x", shard) }

func listShard(of attempt.SubjectHash) int { return int(of[0]) % listShards }

func (e *Engine) loadList(ctx context.Context, shard int) (*deadList, error) {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(ctx, listKey(shard))
	l := &deadList{version: rec.Version}
	if errors.Is(err, store.ErrNotFound) {
		return l, nil
	}
	if err == nil {
		err = l.decode(rec.Value)
	}
	if err != nil {
		return nil, storeError(ctx, err)
	}
	return l, nil
}

// rewriteList changes a part of the list, unless change returns errUnchanged. If somebody
// else wrote meanwhile, change is called again on what they wrote.
func (e *Engine) rewriteList(ctx context.Context, shard int, change func(*deadList) error) error {
	for range maxRounds {
		l, err := e.loadList(ctx, shard)
		if err != nil {
			return err
		}
		if err := change(l); errors.Is(err, errUnchanged) {
			return nil
		} else if err != nil {
			return err
		}
		err = e.write(ctx, listKey(shard), store.Write{
			Value: l.encode(), Replaces: l.version, Version: randomNonZero(), TTL: e.cfg.Retention,
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return attempt.ErrInFlight
}

// listDeadLetters enters an attempt in the list. It writes also if the attempt is there
// already, so that unlist, which may have read the record before, does not take it off.
func (e *Engine) listDeadLetters(ctx context.Context, at attempt.Address) error {
	var full bool
	err := e.rewriteList(ctx, listShard(at.Subject), func(l *deadList) error {
		i, listed := l.find(at)
		if full = !listed && len(l.addresses) >= maxListed; full {
			return errUnchanged
		}
		if !listed {
			l.addresses = slices.Insert(l.addresses, i, at)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if full {
		e.Observe(ctx, StoreFailed, "attempt", at.Attempt, "error", errListFull)
	}
	err = e.rewriteAttempt(ctx, at, func(s *Snapshot, a *attempt.Attempt) error {
		var listed attempt.Listed
		if full {
			listed.Again = s.Clock().Add(listRetry)
		}
		e.policy.Step(a, listed, s.Clock())
		return nil
	})
	if errors.Is(err, ErrGone) { // erased meanwhile, so that it must not be listed
		return e.unlist(ctx, at.Subject)
	}
	return err
}

// Listed returns the attempts in the list of dead letters.
func (e *Engine) Listed(ctx context.Context) (all []attempt.Address, err error) {
	for shard := range listShards {
		l, err := e.loadList(ctx, shard)
		if err != nil {
			return nil, err
		}
		all = append(all, l.addresses...)
	}
	return all, nil
}

// unlist takes the attempts of a subject off the list that have no dead letters. The
// record is read after the list, so that a letter which comes up meanwhile is listed by a
// write that this one conflicts with.
func (e *Engine) unlist(ctx context.Context, of attempt.SubjectHash) error {
	return e.rewriteList(ctx, listShard(of), func(l *deadList) error {
		s, err := e.Load(ctx, of)
		if err != nil {
			return err
		}
		before := len(l.addresses)
		l.addresses = slices.DeleteFunc(l.addresses, func(at attempt.Address) bool {
			return at.Subject == of && !s.hasLetters(at.Attempt)
		})
		if len(l.addresses) == before {
			return errUnchanged
		}
		return nil
	})
}

// hasLetters reports whether an attempt is there and has dead letters.
func (s *Snapshot) hasLetters(id attempt.ID) bool {
	a := s.Find(id)
	return a != nil && len(a.Letters) > 0
}

func (l *deadList) find(at attempt.Address) (i int, listed bool) {
	return slices.BinarySearchFunc(l.addresses, at, func(a, b attempt.Address) int {
		return cmp.Or(bytes.Compare(a.Subject[:], b.Subject[:]), bytes.Compare(a.Attempt[:], b.Attempt[:]))
	})
}

func (l *deadList) encode() []byte {
	out := []byte{listFormat}
	for _, at := range l.addresses {
		out = append(out, at.Place()...)
	}
	return out
}

func (l *deadList) decode(b []byte) error {
	if len(b) == 0 || b[0] != listFormat || len(b[1:])%attempt.AddressLen != 0 {
		return attempt.ErrCorrupt
	}
	for part := range slices.Chunk(b[1:], attempt.AddressLen) {
		l.addresses = append(l.addresses, attempt.AddressAt(part))
	}
	return nil
}
