package store_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/okidkit/okidkit/store"
)

// table is a store in the shape that one over a database has: a row for each key, and a
// lock where there would be a transaction.
type table struct {
	mu   sync.Mutex
	rows map[string]row
	now  func() time.Time // the database's clock
}

type row struct {
	value    []byte
	version  uint64
	ends, at time.Time // at is when it is due, and zero if it never is
}

var _ store.Store = (*table)(nil)

func newTable(now func() time.Time) *table { return &table{rows: map[string]row{}, now: now} }

func (t *table) Get(ctx context.Context, key string) (store.Record, error) {
	if err := cmp.Or(store.CheckKey(key), ctx.Err()); err != nil {
		return store.Record{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	r, ok := t.live(key, now)
	if !ok {
		return store.Record{Now: now}, store.ErrNotFound
	}
	return store.Record{Value: bytes.Clone(r.value), Version: r.version, Now: now}, nil
}

func (t *table) Put(ctx context.Context, key string, w store.Write) error {
	if err := cmp.Or(w.Check(key), ctx.Err()); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	switch r, _ := t.live(key, now); r.version {
	case w.Version:
		return nil // a repeat, whose answer was lost
	case w.Replaces: // 0 if there is no record
	default:
		return store.ErrConflict
	}
	r := row{value: bytes.Clone(w.Value), version: w.Version, ends: now.Add(w.TTL)}
	if w.DueIn > 0 {
		r.at = now.Add(w.DueIn)
	}
	t.rows[key] = r
	return nil
}

func (t *table) Delete(ctx context.Context, key string) error {
	if err := cmp.Or(store.CheckKey(key), ctx.Err()); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, key)
	return nil
}

func (t *table) Due(ctx context.Context, limit int) ([]string, error) {
	if err := cmp.Or(store.CheckLimit(limit), ctx.Err()); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var keys []string
	for key := range t.rows { // a database has an index
		if r, ok := t.live(key, now); ok && !r.at.IsZero() && !r.at.After(now) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return t.rows[a].at.Compare(t.rows[b].at) })
	return keys[:min(limit, len(keys))], nil
}

// live is the row of a key, unless it has ended.
func (t *table) live(key string, now time.Time) (row, bool) {
	r, ok := t.rows[key]
	if !ok || !now.Before(r.ends) {
		return row{}, false
	}
	return r, true
}

// A store of your own has four methods. Prove it with storetest.Run in a test.
func ExampleStore() {
	ctx := context.Background()
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	s := newTable(func() time.Time { return now })

	// Fixed versions make the example short; a program draws them at random.
	err := s.Put(ctx, "greeting", store.Write{Value: []byte("hello"), Version: 7, TTL: time.Hour, DueIn: time.Minute})
	fmt.Println(err)
	fmt.Println(s.Put(ctx, "greeting", store.Write{Value: []byte("bye"), Replaces: 3, Version: 9, TTL: time.Hour}))

	now = now.Add(time.Minute)
	fmt.Println(s.Due(ctx, 10))
	now = now.Add(time.Hour)
	_, err = s.Get(ctx, "greeting")
	fmt.Println(err)
	// Output:
	// <nil>
	// store: record was changed by somebody else
	// [greeting] <nil>
	// store: record not found
}
