package memstore

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/okidkit/okidkit/store"
)

// A signal is there when the change returns, and there is none without one.
func TestWatchIsExact(t *testing.T) {
	c := newClock()
	s := New(WithClock(c.Now))
	put := func(key string, old, version uint64) error {
		return s.Put(t.Context(), key, store.Write{Replaces: old, Version: version, TTL: time.Hour, DueIn: time.Minute})
	}
	tests := []struct {
		name   string
		change func() error
		want   int // signals
		err    error
	}{
		{"beginning", func() error { return nil }, 1, nil},
		{"nothing", func() error { return nil }, 0, nil},
		{"create", func() error { return put("k", 0, 1) }, 1, nil},
		{"repeat", func() error { return put("k", 0, 1) }, 0, nil},
		{"conflict", func() error { return put("k", 3, 2) }, 0, store.ErrConflict},
		{"invalid", func() error { return put("k", 1, 0) }, 0, store.ErrInvalid},
		{"replace", func() error { return put("k", 1, 2) }, 1, nil},
		{"another key", func() error { return put("kk", 0, 1) }, 0, nil},
		{"Get", func() error { _, err := s.Get(t.Context(), "k"); return err }, 0, nil},
		{"due time", func() error { c.Advance(time.Minute); _, err := s.Due(t.Context(), 9); return err }, 0, nil},
		{"Delete", func() error { return s.Delete(t.Context(), "k") }, 1, nil},
		{"Delete of nothing", func() error { return s.Delete(t.Context(), "k") }, 0, nil},
		{"create again", func() error { return put("k", 0, 1) }, 1, nil},
		{"end", func() error { c.Advance(time.Hour); return nil }, 0, nil},
		{"Delete of an expired record", func() error { return s.Delete(t.Context(), "k") }, 0, nil},
	}
	w, err := s.Watch(t.Context(), "k")
	require.NoError(t, err)
	for _, tt := range tests {
		require.ErrorIs(t, tt.change(), tt.err, tt.name)
		require.Len(t, w, tt.want, tt.name)
		if tt.want > 0 {
			<-w
		}
	}
}

func TestWatchLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := New()
	ctx, cancel := context.WithCancel(t.Context())
	for range 100 {
		for _, key := range []string{"a", "b"} {
			_, err := s.Watch(ctx, key)
			require.NoError(t, err)
		}
	}
	goleak.VerifyNone(t, before)
	cancel()
	goleak.VerifyNone(t, before)
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Empty(t, s.watches)
}

func TestPutWithoutWatchersAllocatesNothingMore(t *testing.T) {
	s := New()
	version := uint64(0)
	put := func() {
		_ = s.Put(t.Context(), "k", store.Write{Replaces: version, Version: version + 1, TTL: time.Hour})
		version++
	}
	put()
	assert.Zero(t, testing.AllocsPerRun(100, put))
}
