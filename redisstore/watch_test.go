//go:build unix

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
)

// soon is how long a signal may take on a machine that is very busy.
const soon = time.Minute

func watch(t testing.TB, ctx context.Context, s *Store, key string) <-chan struct{} {
	t.Helper()
	w, err := s.Watch(ctx, key)
	require.NoError(t, err)
	return w
}

func signalled(t testing.TB, w <-chan struct{}) {
	t.Helper()
	select {
	case <-w:
	case <-time.After(soon):
		require.Fail(t, "no signal")
	}
}

func drain(w <-chan struct{}) {
	select {
	case <-w:
	default:
	}
}

// old starts a server that does not know the commands of version 7.
func old(t testing.TB) *redistest.Process {
	return redistest.Start(t, "--rename-command", "SSUBSCRIBE", "", "--rename-command", "SPUBLISH", "")
}

// serversToWatch are the kinds of servers that differ in their Pub/Sub. The number of
// connections is the greatest that watches of all keys may have.
var serversToWatch = map[string]struct {
	start       func(t *testing.T) []string
	connections int
}{
	"miniredis":                     {func(t *testing.T) []string { return []string{newMini(t).Addr()} }, 1},
	"server":                        {func(t *testing.T) []string { return []string{redistest.Server(t)} }, 1},
	"server without shard channels": {func(t *testing.T) []string { return []string{old(t).Addr} }, 1},
	"cluster":                       {func(t *testing.T) []string { return redistest.SharedCluster(t) }, shards},
}

// connectionsOf is how many Pub/Sub connections servers have.
func connectionsOf(t testing.TB, addrs []string) (n int) {
	for _, addr := range addrs {
		list, err := connect(t, addr).Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
		require.NoError(t, err)
		n += strings.Count(list, "\n")
	}
	return n
}

func TestWatchAcrossProcesses(t *testing.T) {
	for name, server := range serversToWatch {
		t.Run(name, func(t *testing.T) {
			addrs := server.start(t)
			for _, protocol := range []int{2, 3} {
				here := open(t, connectWith(t, &redis.UniversalOptions{Addrs: addrs, Protocol: protocol}))
				there := open(t, connect(t, addrs...))
				for i := range 2 * shards {
					key := fmt.Sprint("key", i)
					w := watch(t, t.Context(), here, key)
					signalled(t, w)
					require.NoError(t, there.Put(t.Context(), key, keeps("v")))
					signalled(t, w)
					require.NoError(t, there.Delete(t.Context(), key))
					signalled(t, w)
				}
			}
		})
	}
}

// Many watches share the connections, which are closed after the last, and nothing
// of them stays behind.
func TestWatchConnections(t *testing.T) {
	for name, server := range serversToWatch {
		if name == "miniredis" {
			continue // does not list its clients
		}
		t.Run(name, func(t *testing.T) {
			addrs := server.start(t)
			before := goleak.IgnoreCurrent()
			client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: addrs})
			s := open(t, client)
			const many = 10_000
			for range 2 {
				ctx, cancel := context.WithCancel(t.Context())
				var all []<-chan struct{}
				for i := range many {
					all = append(all, watch(t, ctx, s, fmt.Sprint("key", i)))
				}
				for _, w := range all {
					signalled(t, w)
				}
				assert.Equal(t, server.connections, connectionsOf(t, addrs))
				require.NoError(t, s.Put(t.Context(), "key42", keeps("v")))
				signalled(t, all[42])
				require.NoError(t, s.Delete(t.Context(), "key42"))

				cancel()
				require.Eventually(t, func() bool { return connectionsOf(t, addrs) == 0 }, soon, time.Millisecond)
			}
			s.mu.Lock()
			assert.Zero(t, s.listeners)
			s.mu.Unlock()
			require.NoError(t, client.Close())
			goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).addIdleConn"))
		})
	}
}

// A key that nobody watches any more leaves no subscription, though others do.
func TestWatchUnsubscribes(t *testing.T) {
	p := redistest.Start(t)
	client := connect(t, p.Addr)
	s := open(t, client)
	of := func(key string) int64 {
		name := s.name(shardOf(key), key)
		broadcast, err := client.PubSubNumSub(t.Context(), name).Result()
		require.NoError(t, err)
		assert.Zero(t, broadcast[name], "with PUBLISH a Cluster would tell all its servers")
		return subscribers(t, client, name)
	}
	signalled(t, watch(t, t.Context(), s, "stays"))
	ctx, cancel := context.WithCancel(t.Context())
	signalled(t, watch(t, ctx, s, "goes"))
	signalled(t, watch(t, ctx, s, "stays"))
	assert.EqualValues(t, 1, of("goes"))
	cancel()
	require.Eventually(t, func() bool { return of("goes") == 0 }, soon, time.Millisecond)
	assert.EqualValues(t, 1, of("stays"))
}

// What a write publishes is the record's name, once for each change.
func TestPublishes(t *testing.T) {
	for name, server := range serversToWatch {
		t.Run(name, func(t *testing.T) {
			addrs := server.start(t)
			client := connect(t, addrs...)
			s := open(t, client)
			subscribe := client.SSubscribe
			if name == "miniredis" || name == "server without shard channels" {
				subscribe = client.Subscribe
			}
			sub := subscribe(t.Context(), "okidkit:{9}:key")
			t.Cleanup(func() { _ = sub.Close() })
			_, err := sub.Receive(t.Context())
			require.NoError(t, err)

			require.NoError(t, s.Put(t.Context(), "key", keeps("a create")))
			require.NoError(t, s.Put(t.Context(), "key", keeps("its repeat")))
			conflict := keeps("a conflict")
			conflict.Version = 2
			require.ErrorIs(t, s.Put(t.Context(), "key", conflict), store.ErrConflict)
			conflict.Replaces = 1
			require.NoError(t, s.Put(t.Context(), "key", conflict), "a replace")
			require.NoError(t, s.Delete(t.Context(), "key"))
			require.NoError(t, s.Delete(t.Context(), "key"), "of nothing")
			_, err = s.Get(t.Context(), "key")
			require.ErrorIs(t, err, store.ErrNotFound)
			require.NoError(t, s.Put(t.Context(), "key", keeps("the last")))
			for range 4 {
				msg, err := sub.ReceiveMessage(t.Context())
				require.NoError(t, err)
				assert.Equal(t, "okidkit:{9}:key", msg.Channel)
				assert.Empty(t, msg.Payload)
			}
			require.NoError(t, sub.Ping(t.Context()))
			last, err := sub.Receive(t.Context())
			require.NoError(t, err)
			assert.IsType(t, &redis.Pong{}, last, "no further message")
		})
	}
}

// Without the right to publish or subscribe there are no signals, and all else is
// as it was. The right may come later.
func TestWatchWithoutPermission(t *testing.T) {
	for name, missing := range map[string]string{
		"channels": "resetchannels", "commands": "-@pubsub", "sharded commands": "-spublish -ssubscribe", "all": "resetchannels -@pubsub",
	} {
		t.Run(name, func(t *testing.T) {
			p := redistest.Start(t)
			admin := connect(t, p.Addr)
			allow(t, admin, "on >password ~okidkit:* &okidkit:* +@all "+missing)
			client := connectAs(t, p.Addr)
			s := open(t, client)
			w := watch(t, t.Context(), s, "k")
			each(s, t.Context(), func(method string, err error) { require.NoError(t, err, method) })
			require.ErrorIs(t, s.Check(t.Context()), ErrNoSignals)
			var c trips
			client.AddHook(&c)
			each(s, t.Context(), func(method string, err error) {
				require.NoError(t, err, method)
				assert.EqualValues(t, 1, c.n.Swap(0), method)
			})
			require.Eventually(t, func() bool {
				log, err := admin.ACLLog(t.Context(), 100).Result()
				require.NoError(t, err)
				for _, entry := range log {
					if entry.Context == "toplevel" {
						return true // an attempt to subscribe
					}
				}
				return false
			}, soon, time.Millisecond)
			assert.Empty(t, w)

			allow(t, admin, "&okidkit:* +@all")
			signalled(t, w)
			require.NoError(t, s.Check(t.Context()))
			require.NoError(t, s.Put(t.Context(), "k", keeps("v")))
			signalled(t, w)
		})
	}
}

// After a connection was lost, watchers are told when there is another.
func TestWatchReconnects(t *testing.T) {
	for name, server := range serversToWatch {
		if name == "miniredis" {
			continue // cannot kill
		}
		t.Run(name, func(t *testing.T) {
			addrs := server.start(t)
			s := open(t, connect(t, addrs...))
			a, b := watch(t, t.Context(), s, "a"), watch(t, t.Context(), s, "b")
			signalled(t, a)
			signalled(t, b)
			for v := range uint64(3) {
				for _, addr := range addrs {
					require.NoError(t, connect(t, addr).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
				}
				signalled(t, a)
				signalled(t, b)
				require.NoError(t, s.Put(t.Context(), "a", store.Write{Replaces: v, Version: v + 1, TTL: time.Hour}))
				signalled(t, a)
			}
		})
	}
}

// Watch returns at once also where nobody answers, and works when somebody does.
func TestWatchBeforeServer(t *testing.T) {
	m := newMini(t)
	addr := m.Addr()
	m.Close()
	s := open(t, connect(t, addr))
	w := watch(t, t.Context(), s, "k")
	require.NoError(t, m.Restart())
	signalled(t, w)
	require.NoError(t, s.Put(t.Context(), "k", keeps("v")))
	signalled(t, w)
}

// A connection whose other end says nothing is given up. The timeouts that go-redis
// must never have do no harm here.
func TestWatchFrozenServer(t *testing.T) {
	for _, timeout := range []time.Duration{patience, -1, -2} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			p := redistest.Start(t)
			before := goleak.IgnoreCurrent()
			client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{p.Addr}, ReadTimeout: timeout, WriteTimeout: timeout})
			s := open(t, client)
			s.pingEvery = patience
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := watch(t, ctx, s, "k")
			signalled(t, w)
			require.Eventually(t, connected, soon, time.Millisecond)
			p.Freeze(t)
			require.Eventually(t, func() bool { return !connected() }, soon, time.Millisecond, "gives the connection up")
			late := watch(t, ctx, s, "late")
			drain(w)
			p.Thaw(t)
			signalled(t, w)
			signalled(t, late)
			require.NoError(t, s.Put(t.Context(), "late", keeps("v")))
			signalled(t, late)

			p.Freeze(t)
			cancel()
			p.Thaw(t)
			require.NoError(t, client.Close())
			goleak.VerifyNone(t, before)
		})
	}
}

// Pings keep a connection on which nothing happens.
func TestWatchQuietly(t *testing.T) {
	p := redistest.Start(t)
	client := connect(t, p.Addr)
	s := open(t, client)
	s.pingEvery = patience
	w := watch(t, t.Context(), s, "k")
	signalled(t, w)
	require.Eventually(t, func() bool {
		stats, err := client.Info(t.Context(), "commandstats").Result()
		require.NoError(t, err)
		_, ping, _ := strings.Cut(stats, "cmdstat_ping:calls=")
		var calls int
		_, _ = fmt.Sscan(strings.SplitN(ping, ",", 2)[0], &calls)
		return calls > 10
	}, soon, patience)
	require.NoError(t, s.Put(t.Context(), "k", keeps("v")))
	signalled(t, w)
}

// A server may be replaced by one of another version.
func TestWatchAcrossVersions(t *testing.T) {
	before := old(t)
	after := redistest.Start(t)
	var current atomic.Pointer[redistest.Process]
	current.Store(before)
	s := open(t, connectWith(t, &redis.UniversalOptions{
		Addrs: []string{"server"}, Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, current.Load().Addr)
		},
	}))
	w := watch(t, t.Context(), s, "k")
	signalled(t, w)
	for i, next := range []*redistest.Process{after, before, after} {
		last := current.Swap(next)
		require.NoError(t, connect(t, last.Addr).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
		signalled(t, w)
		version := uint64(i + 1)
		there := open(t, connect(t, next.Addr))
		require.NoError(t, there.Delete(t.Context(), "k"))
		drain(w)
		require.NoError(t, there.Put(t.Context(), "k", store.Write{Version: version, TTL: time.Hour}))
		signalled(t, w)
	}
}

// A Cluster moves a slot from one server to another while it is watched.
func TestWatchFollowsSlot(t *testing.T) {
	addrs := redistest.SharedCluster(t)
	s := open(t, connect(t, addrs...))
	w := watch(t, t.Context(), s, "k")
	signalled(t, w)

	name := s.name(shardOf("k"), "k")
	var nodes []*redis.Client
	var target *redis.Client
	for _, addr := range addrs {
		node := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { _ = node.Close() })
		nodes = append(nodes, node)
		if subscribers(t, node, name) == 0 {
			target = node
		}
	}
	slot, err := target.ClusterKeySlot(t.Context(), name).Result()
	require.NoError(t, err)
	id, err := target.Do(t.Context(), "CLUSTER", "MYID").Text()
	require.NoError(t, err)
	for _, node := range nodes { // there are no records to move
		require.NoError(t, node.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", id).Err())
	}
	// Without any command that would be redirected.
	require.Eventually(t, func() bool { return subscribers(t, target, name) == 1 }, soon/4, 10*time.Millisecond)
	signalled(t, w)
	require.NoError(t, s.Put(t.Context(), "k", keeps("v")))
	signalled(t, w)
	require.NoError(t, s.Delete(t.Context(), "k"))
	signalled(t, w)
}

// subscribers is how many watch a name by its shard channel.
func subscribers(t testing.TB, node redis.UniversalClient, name string) int64 {
	n, err := node.PubSubShardNumSub(t.Context(), name).Result()
	require.NoError(t, err)
	return n[name]
}

// connected reports whether a listener has a connection. It looks for the writer, which
// is there for as long as that: a read ends with every message.
func connected() bool { return strings.Contains(allStacks(), ".(*listener).write(") }

// Watchers come and go and follow records while these change, and connections are
// lost. Each follower sees the last change of its record.
func TestWatchUnderStress(t *testing.T) {
	testenv.Long(t)
	for name, server := range serversToWatch {
		if name == "miniredis" {
			continue // cannot kill
		}
		t.Run(name, func(t *testing.T) {
			addrs := server.start(t)
			client := connect(t, addrs...)
			stores := []*Store{open(t, client), open(t, client)}
			const keys, last = 20, 40
			ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
			defer cancel()
			var wg sync.WaitGroup
			for i := range keys {
				key := fmt.Sprint("key", i)
				for j := range 4 {
					wg.Go(func() { // follows to the end
						s := stores[j%2]
						w, err := s.Watch(ctx, key)
						for assert.NoError(t, err) {
							select {
							case <-w:
							case <-ctx.Done():
								assert.Fail(t, "no signal after the last change")
								return
							}
							var rec store.Record
							if rec, err = s.Get(ctx, key); rec.Version == last {
								return
							}
							if errors.Is(err, store.ErrNotFound) {
								err = nil // not yet there
							}
						}
					})
					wg.Go(func() { // comes and goes
						for range 20 {
							ctx, cancel := context.WithCancel(ctx)
							w, err := stores[j%2].Watch(ctx, key)
							if assert.NoError(t, err) && rand.IntN(2) == 0 {
								<-w
							}
							cancel()
						}
					})
				}
				wg.Go(func() {
					for v := range uint64(last) {
						err := stores[i%2].Put(ctx, key, store.Write{Replaces: v, Version: v + 1, TTL: time.Hour})
						if !assert.NoError(t, err) {
							return
						}
					}
				})
			}
			wg.Go(func() {
				for range 3 {
					for _, addr := range addrs {
						assert.NoError(t, connect(t, addr).ClientKillByFilter(ctx, "TYPE", "pubsub").Err())
					}
				}
			})
			wg.Wait()
		})
	}
}

func TestWatchWithClosedClient(t *testing.T) {
	before := goleak.IgnoreCurrent()
	m := newMini(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	s := open(t, client)
	ctx, cancel := context.WithCancel(t.Context())
	signalled(t, watch(t, ctx, s, "k"))
	require.NoError(t, client.Close())
	watch(t, ctx, s, "k")
	cancel()
	m.Close()
	goleak.VerifyNone(t, before)
}
