package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/store"
)

// Due implements [store.Store]. The order is exact to the millisecond. The cost
// depends on the records that are due, up to limit in each of the 16 shards, and
// not on how many others there are.
//
// While one master of a Cluster is away, Due returns the keys of the others with an
// error, within the client's timeouts or, with ContextTimeoutEnabled, the deadline
// of ctx. While a slot is half moved, the keys whose record cannot be looked at
// follow all others, with an error as well: a Get tells whether there is one.
func (s *Store) Due(ctx context.Context, limit int) ([]string, error) {
	if err := store.CheckLimit(limit); err != nil {
		return nil, err
	}
	return await(ctx, s, "due", func() ([]string, error) {
		l := lookout{store: s}
		return l.all(ctx, limit)
	})
}

// lookout is one call of Due.
type lookout struct {
	store  *Store
	found  []dueEntry
	failed shardErrors
	paged  bool // whether any shard took more than one page
}

// page is what the lookout asks one shard for next.
type page struct {
	shard   int
	missing int        // how many records it may still give
	from    int        // how many entries of its index were kept
	doubts  []dueEntry // those whose record was not in sight
}

// dueEntry is a key whose due time has come.
type dueEntry struct {
	key      string
	score    string // the due time as the server writes it
	at       float64
	doubtful bool // whether its record was not in sight
}

func (l *lookout) all(ctx context.Context, limit int) ([]string, error) {
	pages := make([]*page, shards)
	for shard := range pages {
		pages[shard] = &page{shard: shard, missing: limit}
	}
	for len(pages) > 0 {
		doubtful, unfinished := l.look(ctx, pages)
		l.sweep(ctx, doubtful)
		pages = unfinished
		l.paged = l.paged || len(pages) > 0
	}
	// What is in doubt comes last, so that it is not in the way of the others: most
	// likely its record cannot be written now.
	slices.SortFunc(l.found, func(a, b dueEntry) int {
		switch {
		case a.doubtful == b.doubtful:
			return cmp.Compare(a.at, b.at)
		case a.doubtful:
			return 1
		}
		return -1
	})
	if l.paged { // an entry that moved may be on two pages
		named := map[string]bool{}
		l.found = slices.DeleteFunc(l.found, func(e dueEntry) bool {
			again := named[e.key]
			named[e.key] = true
			return again
		})
	}
	names := make([]string, min(limit, len(l.found)))
	for i := range names {
		names[i] = l.found[i].key
	}
	return names, l.failed.join()
}

// look gets the pages, and returns those with doubts and those that go on.
func (l *lookout) look(ctx context.Context, pages []*page) (doubtful, unfinished []*page) {
	var calls []call
	for _, p := range pages {
		calls = append(calls, l.store.due(p.shard, p.missing, p.from))
	}
	for i, cmd := range l.store.runAll(ctx, calls) {
		p := pages[i]
		entries, more, err := dueEntries(answer(cmd))
		if err != nil {
			l.failed.add(p.shard, err)
			continue
		}
		p.doubts = nil
		for _, e := range entries {
			if e.doubtful {
				p.doubts = append(p.doubts, e)
			} else {
				l.keep(p, e)
			}
		}
		if len(p.doubts) > 0 {
			doubtful = append(doubtful, p)
		}
		if more {
			unfinished = append(unfinished, p)
		}
	}
	return doubtful, unfinished
}

// sweep settles the doubts.
func (l *lookout) sweep(ctx context.Context, pages []*page) {
	var calls []call
	for _, p := range pages {
		calls = append(calls, l.store.sweep(p.shard, p.doubts))
	}
	for i, cmd := range l.store.runAll(ctx, calls) {
		p := pages[i]
		looks, err := looksOf(answer(cmd))
		if err == nil && len(looks) != len(p.doubts) {
			err = fmt.Errorf("reply of %d fields to %d", len(looks), len(p.doubts))
		}
		if err != nil {
			l.failed.add(p.shard, err)
			for _, e := range p.doubts {
				l.keep(p, e)
			}
			continue
		}
		foreign := 0
		for j, e := range p.doubts {
			switch looks[j] {
			case isThere:
				e.doubtful = false
				l.keep(p, e)
			case isForeign:
				foreign++
			}
		}
		if foreign > 0 {
			l.failed.add(p.shard, fmt.Errorf("%d keys that are due have something else than a record", foreign))
		}
	}
}

func (l *lookout) keep(p *page, e dueEntry) {
	p.from++
	if !e.doubtful {
		p.missing--
	}
	l.found = append(l.found, e)
}

// shardErrors are what went wrong in the shards. Those of one server fail alike.
type shardErrors []shardError

type shardError struct {
	shards []int
	err    error
}

func (e *shardErrors) add(shard int, err error) {
	for i, other := range *e {
		if other.err.Error() == err.Error() {
			if !slices.Contains(other.shards, shard) {
				(*e)[i].shards = append(other.shards, shard)
			}
			return
		}
	}
	*e = append(*e, shardError{[]int{shard}, err})
}

func (e shardErrors) join() error {
	var errs []error
	for _, f := range e {
		err := f.err
		if len(f.shards) < shards {
			err = fmt.Errorf("shards %v: %w", f.shards, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// dueEntries reads what dueScript returns. If more, it has to run again for the rest.
func dueEntries(reply any, err error) (entries []dueEntry, more bool, _ error) {
	if err != nil {
		return nil, false, err
	}
	fields, _ := reply.([]any)
	if len(fields)%3 != 1 {
		return nil, false, fmt.Errorf("reply of %d fields", len(fields))
	}
	for rest := fields[1:]; len(rest) > 0; rest = rest[3:] {
		key, _ := rest[0].(string)
		score, _ := rest[1].(string)
		at, err := strconv.ParseFloat(score, 64)
		if err != nil {
			return nil, false, fmt.Errorf("due time: %w", err)
		}
		entries = append(entries, dueEntry{key, score, at, rest[2] != "1"})
	}
	return entries, fields[0] == "1", nil
}

// What sweepScript says of an entry that still counts.
const (
	isThere   int64 = 1
	isForeign int64 = 2
)

// looksOf reads what sweepScript returns.
func looksOf(reply any, err error) (looks []int64, _ error) {
	if err != nil {
		return nil, err
	}
	fields, _ := reply.([]any)
	for _, field := range fields {
		look, ok := field.(int64)
		if !ok {
			return nil, fmt.Errorf("reply %T is no number", field)
		}
		looks = append(looks, look)
	}
	return looks, nil
}

// answer is what the server answered to one command of a pipeline. Where there is an
// answer, an error beside it is not the command's own: go-redis lays that of an ended
// context on all of them when one server keeps it waiting.
func answer(cmd *redis.Cmd) (any, error) {
	if reply := cmd.Val(); reply != nil {
		return reply, nil
	}
	return nil, cmd.Err()
}
