package memstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/store"
	"github.com/okidkit/okidkit/store/storetest"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness {
		c := newClock()
		return storetest.Harness{Store: New(WithClock(c.Now)), Advance: c.Advance}
	})
}

func TestNilClockIsTheSystems(t *testing.T) {
	s := New(WithClock(nil))
	before := time.Now()
	rec, err := s.Get(t.Context(), "k")
	require.ErrorIs(t, err, store.ErrNotFound)
	assert.False(t, rec.Now.Before(before))
	assert.False(t, rec.Now.After(time.Now()))
}

// held is how many records the store has in memory, alive or not.
func held(t *testing.T, s *Store) int {
	t.Helper()
	require.Equal(t, len(s.records), s.ends.Len())
	require.LessOrEqual(t, s.dues.Len(), len(s.records))
	return len(s.records)
}

func TestShortLivedRecordsDoNotPileUp(t *testing.T) {
	c := newClock()
	s := New(WithClock(c.Now))
	const alive = 10
	for i := range 100_000 {
		w := store.Write{Version: 1, TTL: alive * time.Millisecond, DueIn: time.Millisecond}
		require.NoError(t, s.Put(t.Context(), fmt.Sprint(i), w))
		c.Advance(time.Millisecond)
		require.LessOrEqual(t, held(t, s), alive+1)
	}
}

// A burst that ends all at once is worked off by the writes that follow it.
func TestExpiredBurstIsSwept(t *testing.T) {
	c := newClock()
	s := New(WithClock(c.Now))
	const burst = 1000
	for i := range burst {
		require.NoError(t, s.Put(t.Context(), fmt.Sprint("old", i), store.Write{Version: 1, TTL: time.Second, DueIn: 1}))
	}
	c.Advance(time.Second)
	for i := range burst {
		before := held(t, s)
		require.NoError(t, s.Put(t.Context(), fmt.Sprint("new", i), store.Write{Version: 1, TTL: time.Hour}))
		require.GreaterOrEqual(t, held(t, s), before-1, "a Put sweeps a bounded number")
	}
	assert.Equal(t, burst, held(t, s))
	assert.Zero(t, s.dues.Len())
}

func TestExpiredRecordsAreFreedOnAccess(t *testing.T) {
	tests := map[string]func(s *Store) error{
		"Get": func(s *Store) error {
			_, err := s.Get(t.Context(), "k")
			return err
		},
		"Put":    func(s *Store) error { return s.Put(t.Context(), "k", store.Write{Replaces: 1, Version: 2, TTL: 1}) },
		"Delete": func(s *Store) error { return s.Delete(t.Context(), "k") },
		"Due": func(s *Store) error {
			_, err := s.Due(t.Context(), 1)
			return err
		},
	}
	for name, access := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			s := New(WithClock(c.Now))
			require.NoError(t, s.Put(t.Context(), "k", store.Write{Version: 1, TTL: time.Second, DueIn: 1}))
			require.Equal(t, 1, held(t, s))
			c.Advance(time.Second)
			_ = access(s) // what it answers is storetest's to check
			assert.Zero(t, held(t, s))
			assert.Zero(t, s.dues.Len())
		})
	}
}

// Repeats, conflicts and invalid calls keep nothing.
func TestOneRecordHoldsOnePlaceInEachQueue(t *testing.T) {
	s := New()
	for v := range uint64(100) {
		w := store.Write{Replaces: v, Version: v + 1, TTL: time.Hour, DueIn: time.Hour}
		require.NoError(t, s.Put(t.Context(), "k", w))
		require.NoError(t, s.Put(t.Context(), "k", w))
		w.Version = 1000
		require.ErrorIs(t, s.Put(t.Context(), "k", w), store.ErrConflict)
	}
	assert.Equal(t, 1, held(t, s))
	assert.Equal(t, 1, s.dues.Len())
}

func TestGetAllocatesOnlyTheValue(t *testing.T) {
	s := New()
	require.NoError(t, s.Put(t.Context(), "k", store.Write{Value: make([]byte, 700), Version: 1, TTL: time.Hour}))
	assert.EqualValues(t, 1, testing.AllocsPerRun(100, func() { _, _ = s.Get(t.Context(), "k") }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = s.Get(t.Context(), "missing") }))
}

func TestDueLooksAtNoMoreThanItMust(t *testing.T) {
	for _, n := range []int{100, 10_000} {
		s := New()
		for i := range n {
			w := store.Write{Version: 1, TTL: 48 * time.Hour, DueIn: time.Duration(1+i%24) * time.Hour}
			require.NoError(t, s.Put(t.Context(), fmt.Sprint(i), w))
		}
		for i := range 10 {
			require.NoError(t, s.Put(t.Context(), fmt.Sprint("due", i), store.Write{Version: 1, TTL: time.Hour, DueIn: 1}))
		}
		yielded := 0
		for tm := range s.dues.inOrder() {
			yielded++
			if tm.at.After(s.now()) {
				break
			}
		}
		assert.Equal(t, 11, yielded, "with %d records that are not due", n)
	}
}
