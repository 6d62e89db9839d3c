package okidhttp

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

func cached(c *Config) { c.GrantCache = time.Second }

// A busy user costs the store one read a second, and one who is shut out a read for each visit.
func TestGrantCache(t *testing.T) {
	w := newWorld(t, cached)
	reads := func(visits, want int) int {
		before := w.store.gets
		for range visits {
			assert.Equal(t, want, w.gate("alice"))
		}
		return w.store.gets - before
	}
	assert.Equal(t, 5, reads(5, 403))
	w.verify("alice", notice{})
	assert.Equal(t, 1, reads(100, 200))
	w.clock.add(999 * time.Millisecond)
	assert.Zero(t, reads(100, 200))
	w.clock.add(time.Millisecond)
	assert.Equal(t, 1, reads(100, 200))
	w.clock.add(-time.Hour) // a clock that was set
	assert.Equal(t, 1, reads(1, 200))

	w.store.broken = errors.New("store is away")
	assert.Equal(t, 200, w.gate("alice"), "of whom it is known")
	w.clock.add(time.Second)
	assert.Equal(t, 503, w.gate("alice"))
}

// What this process changes counts at once, and what another one does within the setting.
func TestGrantCacheRevoked(t *testing.T) {
	for name, shut := range map[string]func(k *Kit) error{
		"revoked": func(k *Kit) error { return k.Revoke(t.Context(), "alice", bySam) },
		"erased":  func(k *Kit) error { return k.Erase(t.Context(), "alice") },
	} {
		w := newWorld(t, cached)
		other := w.replica(cached)
		w.verify("alice", notice{})
		require.Equal(t, 200, w.gate("alice"))
		require.NoError(t, shut(w.kit))
		assert.Equal(t, 403, w.gate("alice"), "%s here", name)

		w.verify("alice", notice{ID: "v2"})
		require.Equal(t, 200, w.gate("alice"))
		require.NoError(t, shut(other))
		assert.Equal(t, 200, w.gate("alice"), "%s elsewhere", name)
		w.clock.add(time.Second)
		assert.Equal(t, 403, w.gate("alice"), "%s elsewhere", name)
	}
}

// A process that reads the record for another reason, as when the store has told it of a change, has
// heard of it.
func TestGrantCacheHears(t *testing.T) {
	w := newWorld(t, cached)
	other := w.replica(cached)
	ref := w.verify("alice", notice{})
	require.Equal(t, 200, w.gate("alice"))
	require.NoError(t, other.Revoke(t.Context(), "alice", bySam))
	require.Equal(t, "revoked", w.status("alice", ref))
	assert.Equal(t, 403, w.gate("alice"))

	w.verify("alice", notice{ID: "v2"})
	require.Equal(t, 200, w.gate("alice"))
	require.NoError(t, other.Erase(t.Context(), "alice"))
	_, err := w.kit.Attempts(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, 403, w.gate("alice"))
}

// What ends by time ends also from memory, and a renewal elsewhere is not overlooked.
func TestGrantCacheEnds(t *testing.T) {
	day := func(c *Config) { c.GrantCache, c.MaxAge, c.RemindBefore = 10*time.Hour, 24*time.Hour, time.Hour }
	w := newWorld(t, day)
	other := w.replica(day)
	w.verify("alice", notice{})
	w.clock.add(20 * time.Hour)
	require.Equal(t, 200, w.gate("alice"))
	w.clock.add(4*time.Hour - time.Second)
	require.Equal(t, 200, w.gate("alice"))
	w.clock.add(time.Second)
	assert.Equal(t, 403, w.gate("alice"))
	w.kit, other = other, w.kit
	w.verify("alice", notice{ID: "v2"})
	w.kit = other
	assert.Equal(t, 200, w.gate("alice"))
}

// A read that was overtaken by a change is not remembered.
func TestGrantCacheRace(t *testing.T) {
	slow := &slowReads{Store: memstore.New()}
	w := newWorld(t, cached, func(c *Config) {
		slow.Store = c.Store
		c.Store = slow
	})
	w.verify("alice", notice{})
	began, goOn := make(chan struct{}), make(chan struct{})
	slow.hold = func() { close(began); <-goOn }
	passed := make(chan int, 1)
	go func() { passed <- w.gate("alice") }()
	<-began
	slow.hold = nil
	require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
	close(goOn)
	assert.Equal(t, 200, <-passed, "it had read before")
	assert.Equal(t, 403, w.gate("alice"))
}

// slowReads is a store of which one read has its answer, and waits.
type slowReads struct {
	store.Store
	hold func()
}

func (s *slowReads) Get(ctx context.Context, key string) (store.Record, error) {
	rec, err := s.Store.Get(ctx, key)
	if hold := s.hold; hold != nil {
		hold()
	}
	return rec, err
}

// Who may pass by what was granted elsewhere is not asked of the cache: staff see what is so.
func TestGrantIsNotCached(t *testing.T) {
	w := newWorld(t, cached)
	other := w.replica(cached)
	w.verify("alice", notice{})
	require.Equal(t, 200, w.gate("alice"))
	require.NoError(t, other.Revoke(t.Context(), "alice", bySam))
	_, err := w.kit.Grant(t.Context(), "alice")
	assert.ErrorIs(t, err, ErrNotVerified)
}
