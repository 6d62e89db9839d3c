package okidhttp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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
	addresses []address // sorted
}

var errListFull = errors.New("list of dead letters is full")

func listKey(shard int) string { return fmt.Sprintf("dead:%x", shard) }

func listShard(of subjectHash) int { return int(of[0]) % listShards }

func (k *Kit) loadList(ctx context.Context, shard int) (*deadList, error) {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := k.cfg.Store.Get(ctx, listKey(shard))
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

// rewriteList changes a part of the list, unless change returns false.
func (k *Kit) rewriteList(ctx context.Context, shard int, change func(*deadList) bool) error {
	for range maxConflicts {
		l, err := k.loadList(ctx, shard)
		if err != nil {
			return err
		}
		if !change(l) {
			return nil
		}
		err = k.write(ctx, listKey(shard), store.Write{
			Value: l.encode(), Replaces: l.version, Version: randomNonZero(), TTL: k.cfg.Retention,
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return errInFlight
}

// listDeadLetters enters an attempt in the list.
func (k *Kit) listDeadLetters(ctx context.Context, at address) error {
	var full bool
	err := k.rewriteList(ctx, listShard(at.subject), func(l *deadList) bool {
		i, listed := l.find(at)
		if full = !listed && len(l.addresses) >= maxListed; full || listed {
			return false
		}
		l.addresses = slices.Insert(l.addresses, i, at)
		return true
	})
	if err != nil {
		return err
	}
	if full {
		k.observe(ctx, OutcomeStoreFailed, "attempt", at.attempt, "error", errListFull)
	}
	err = k.rewriteAttempt(ctx, at, func(h *held, a *attempt) error {
		a.listAt = time.Time{}
		if full {
			a.listAt = h.now.Add(listRetry)
		}
		return nil
	})
	if errors.Is(err, errAttemptGone) { // erased meanwhile, so that it must not be listed
		return k.rewriteList(ctx, listShard(at.subject), func(l *deadList) bool { return l.remove(at) })
	}
	return err
}

// unlist takes all attempts of a subject off the list.
func (k *Kit) unlist(ctx context.Context, of subjectHash) error {
	return k.rewriteList(ctx, listShard(of), func(l *deadList) bool {
		before := len(l.addresses)
		l.addresses = slices.DeleteFunc(l.addresses, func(at address) bool { return at.subject == of })
		return len(l.addresses) != before
	})
}

func (l *deadList) find(at address) (i int, listed bool) {
	return slices.BinarySearchFunc(l.addresses, at, func(a, b address) int {
		return cmp.Or(bytes.Compare(a.subject[:], b.subject[:]), bytes.Compare(a.attempt[:], b.attempt[:]))
	})
}

func (l *deadList) remove(at address) bool {
	i, listed := l.find(at)
	if listed {
		l.addresses = slices.Delete(l.addresses, i, i+1)
	}
	return listed
}

func (l *deadList) encode() []byte {
	out := []byte{listFormat}
	for _, at := range l.addresses {
		out = append(out, at.place()...)
	}
	return out
}

func (l *deadList) decode(b []byte) error {
	if len(b) == 0 || b[0] != listFormat || len(b[1:])%addressLen != 0 {
		return errCorrupt
	}
	for part := range slices.Chunk(b[1:], addressLen) {
		l.addresses = append(l.addresses, addressAt(part))
	}
	return nil
}
