//go:build unix

package redisstore

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/store"
)

const (
	patience = 50 * time.Millisecond // of callers
	// patient is how long go-redis waits for a server: longer than the tests may
	// take, so that none of them passes by waiting.
	patient = time.Hour
)

// everyMethod calls each method with a context of its own. Its writes may still
// take place when nobody waits for them any more, so they have a key of their own.
func everyMethod(s *Store, newContext func() (context.Context, context.CancelFunc), call func(method string, err error)) {
	methods := map[string]func(ctx context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := s.Get(ctx, "given up"); return err },
		"Put":    func(ctx context.Context) error { return s.Put(ctx, "given up", keeps("v")) },
		"Delete": func(ctx context.Context) error { return s.Delete(ctx, "given up") },
		"Due":    func(ctx context.Context) error { _, err := s.Due(ctx, 1); return err },
		"Check":  s.Check,
	}
	for name, method := range methods {
		ctx, cancel := newContext()
		call(name, method(ctx))
		cancel()
	}
}

func TestFrozenServer(t *testing.T) {
	tests := []struct {
		name string
		opts redis.UniversalOptions
		cold bool // no connection yet
	}{
		{"client as asked for", redis.UniversalOptions{ContextTimeoutEnabled: true}, false},
		{"client as asked for, cold", redis.UniversalOptions{ContextTimeoutEnabled: true}, true},
		{"client as asked for, no retries", redis.UniversalOptions{ContextTimeoutEnabled: true, MaxRetries: -1}, false},
		{"default client", redis.UniversalOptions{}, false},
		{"default client, cold", redis.UniversalOptions{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := redistest.Start(t)
			before := goleak.IgnoreCurrent()
			tt.opts.Addrs, tt.opts.ReadTimeout = []string{p.Addr}, patient
			client := redis.NewUniversalClient(&tt.opts)
			s := open(t, client)
			if !tt.cold {
				each(s, t.Context(), func(_ string, err error) { require.NoError(t, err) })
			}

			p.Freeze(t)
			deadline := func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), patience)
			}
			everyMethod(s, deadline, func(method string, err error) {
				assert.ErrorIs(t, err, context.DeadlineExceeded, method)
			})
			if !tt.opts.ContextTimeoutEnabled {
				cancelled := func() (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(patience, cancel)
					return ctx, cancel
				}
				everyMethod(s, cancelled, func(method string, err error) {
					assert.ErrorIs(t, err, context.Canceled, method)
				})
			}
			p.Thaw(t)

			each(s, t.Context(), func(method string, err error) { assert.NoError(t, err, method) })
			require.NoError(t, client.Close())
			goleak.VerifyNone(t, before)
		})
	}
}

// Calls that were given up do not pile up, however many there are.
func TestGivenUpCallsAreBounded(t *testing.T) {
	p := redistest.Start(t)
	const poolSize = 3
	s := open(t, connectWith(t, &redis.UniversalOptions{Addrs: []string{p.Addr}, ReadTimeout: patient, PoolSize: poolSize}))
	each(s, t.Context(), func(_ string, err error) { require.NoError(t, err) })
	p.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, err := s.Get(ctx, "k")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool { return detached() <= poolSize }, time.Minute, time.Millisecond)
	assert.NotZero(t, detached())
	p.Thaw(t)
	require.Eventually(t, func() bool { return detached() == 0 }, time.Minute, time.Millisecond)
}

// detached is how many goroutines of detach there are.
func detached() int {
	return strings.Count(allStacks(), "created by github.com/okidkit/okidkit/redisstore.detach")
}

func allStacks() string {
	stacks := make([]byte, 1<<24)
	return string(stacks[:runtime.Stack(stacks, true)])
}

// A value belongs to the caller again when Put returns, also before go-redis has
// sent it. The race detector sees it if not.
func TestGivenUpPutLeavesValueAlone(t *testing.T) {
	p := redistest.Start(t)
	s := open(t, connectWith(t, &redis.UniversalOptions{Addrs: []string{p.Addr}, ReadTimeout: patient}))
	each(s, t.Context(), func(_ string, err error) { require.NoError(t, err) })
	for range 20 { // on a busy machine the time may be over before anything was sent
		p.Freeze(t)
		w := keeps(strings.Repeat("v", 1<<20))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := s.Put(ctx, "k", w)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		clear(w.Value)
		p.Thaw(t)
		require.Eventually(t, func() bool { return detached() == 0 }, time.Minute, time.Millisecond)
		rec, err := s.Get(t.Context(), "k")
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, strings.Repeat("v", 1<<20), string(rec.Value))
		return
	}
	assert.Fail(t, "no Put took place in the end")
}
