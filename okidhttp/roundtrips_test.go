package okidhttp

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/redisstore"
)

// roundTrips counts what a Redis client sends and waits for. A pipeline is one.
type roundTrips struct{ n atomic.Int64 }

func (c *roundTrips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmds)
	}
}

// onRedis gives a kit a store in Redis that counts.
func (c *roundTrips) onRedis(t *testing.T) func(*Config) {
	return func(cfg *Config) {
		server := miniredis.RunT(t)
		server.SetTime(cfg.Now())
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, PoolSize: 1})
		t.Cleanup(func() { _ = client.Close() })
		client.AddHook(c)
		s, err := redisstore.New(client)
		require.NoError(t, err)
		cfg.Store = s
	}
}

// How often each request waits for Redis.
func TestRoundTrips(t *testing.T) {
	counted := new(roundTrips)
	w := newWorld(t, counted.onRedis(t))
	// Once, so that there is a connection and the server has the scripts.
	require.Equal(t, 200, w.webhook(notice{Reference: w.start("bob").Attempt, ID: "v0", Status: identity.Verified}))
	w.work()

	var a string
	deliver := func(s identity.Status) func() {
		return func() { require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: s})) }
	}
	for _, tt := range []struct {
		name string
		do   func()
		want int64
	}{
		{"start", func() { a = w.start("alice").Attempt }, 3},
		{"start, resumed", func() { require.Equal(t, a, w.start("alice").Attempt) }, 1},
		{"gate, shut", func() { require.Equal(t, 403, w.gate("alice")) }, 1},
		{"fresh webhook", deliver(identity.Started), 3},
		{"duplicate webhook", deliver(identity.Started), 1},
		{"status", func() { require.Equal(t, "started", w.status("alice", a)) }, 1},
		{"fresh webhook that opens the gate", deliver(identity.Verified), 3},
		{"duplicate of what was overtaken", deliver(identity.Started), 1},
		{"duplicate of what opened the gate", deliver(identity.Verified), 1},
		{"gate, open", func() { require.Equal(t, 200, w.gate("alice")) }, 1},
		{"return", func() { require.Equal(t, 303, w.get("alice", "/verify/success?attempt="+a).Code) }, 1},
		{"start, verified", func() { require.Equal(t, 409, w.tryStart("alice").Code) }, 1},
		{"work, none due", w.work, 1},
		{"webhook of a stranger", func() {
			require.Equal(t, 401, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed, Forged: true}))
		}, 0},
	} {
		before := counted.n.Load()
		tt.do()
		assert.Equal(t, tt.want, counted.n.Load()-before, tt.name)
	}
}

// How often a claim waits for Redis: to read the record and whether the claim was
// used, to note it, to use it, and for the verdict's two writes.
func TestRoundTripsOfAClaim(t *testing.T) {
	counted := new(roundTrips)
	w, p := newClaimWorld(t, counted.onRedis(t))
	p.says("warm", identity.Verified)
	p.says("done", identity.Verified)
	p.says("slow", identity.Started)
	p.says("silent", "")
	claim := func(user, id string, code int) func() {
		return func() {
			got, _ := w.claim(user, `{"id":"`+id+`"}`)
			require.Equal(t, code, got)
		}
	}
	claim("eve", "warm", 200)() // once, so that there is a connection and the server has the scripts
	w.start("alice")
	w.start("bob")
	for _, tt := range []struct {
		name string
		do   func()
		want int64
	}{
		{"verified", claim("alice", "done", 200), 6},
		{"verified, again", claim("alice", "done", 200), 1},
		{"of another user", claim("bob", "done", 409), 2},
		{"processing", claim("bob", "slow", 202), 6},
		{"processing, again", claim("bob", "slow", 202), 2},
		{"without a start", claim("carol", "silent", 202), 5},
	} {
		before := counted.n.Load()
		tt.do()
		assert.Equal(t, tt.want, counted.n.Load()-before, tt.name)
	}
}
