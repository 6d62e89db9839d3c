//go:build unix

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
)

// writers put records that are due, one after the other in each shard, and repeat
// what fails until it is acknowledged.
type writers struct {
	store  *Store
	pause  sync.RWMutex // locked: nobody writes
	stop   context.CancelFunc
	wg     sync.WaitGroup
	counts [shards]atomic.Int64   // of what was acknowledged
	acked  [shards]map[string]ack // the last of each key; to be read after stop

	struck atomic.Pointer[time.Time] // when a master failed, if one did
	lost   atomic.Int64
	last   atomic.Value // why a write was refused
}

type ack struct {
	version uint64
	at      time.Time
}

func startWriters(t *testing.T, s *Store) *writers {
	ctx, stop := context.WithCancel(t.Context())
	w := &writers{store: s, stop: stop}
	for shard := range shards {
		w.acked[shard] = map[string]ack{}
		w.wg.Go(func() {
			for ctx.Err() == nil {
				for _, key := range keysOf(shard, 20) {
					for !w.write(t, ctx, shard, key) && ctx.Err() == nil {
					}
				}
			}
		})
	}
	t.Cleanup(func() {
		stop()
		w.wg.Wait()
	})
	return w
}

// write tries to put the next version of a record, and reports whether that was
// acknowledged.
func (w *writers) write(t *testing.T, ctx context.Context, shard int, key string) bool {
	w.pause.RLock()
	defer w.pause.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	last := w.acked[shard][key]
	err := w.store.Put(ctx, key, store.Write{
		Value: []byte(key), Replaces: last.version, Version: last.version + 1, TTL: time.Hour, DueIn: 1,
	})
	if errors.Is(err, store.ErrConflict) {
		var rec store.Record
		if rec, err = w.store.Get(ctx, key); err == nil || errors.Is(err, store.ErrNotFound) {
			// Redis answers before it replicates.
			struck := w.struck.Load()
			assert.True(t, struck != nil && last.at.Sub(*struck).Abs() < time.Second,
				"%s is at version %d, acknowledged was %d at %v, the master failed at %v", key, rec.Version, last.version, last.at, struck)
			w.lost.Add(1)
			w.acked[shard][key] = ack{rec.Version, time.Now()}
			return false
		}
	}
	if err != nil {
		w.last.Store(err.Error())
		return false
	}
	w.acked[shard][key] = ack{last.version + 1, time.Now()}
	w.counts[shard].Add(1)
	return true
}

// goOn waits until each writer has been told of more than one success, but for those of
// some shards.
func (w *writers) goOn(t *testing.T, except ...int) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log("last error:", w.last.Load())
		}
	}()
	for shard := range w.counts {
		if !slices.Contains(except, shard) {
			before := w.counts[shard].Load()
			require.Eventually(t, func() bool { return w.counts[shard].Load() > before+1 }, soon, time.Millisecond, "shard %d", shard)
		}
	}
}

// check stops the writers, and sees that nothing is lost.
func (w *writers) check(t *testing.T) {
	t.Helper()
	w.stop()
	w.wg.Wait()
	var want []string
	for shard := range shards {
		want = slices.AppendSeq(want, maps.Keys(w.acked[shard]))
		for key, last := range w.acked[shard] {
			rec, err := w.store.Get(t.Context(), key)
			require.NoError(t, err, key)
			assert.Equal(t, key, string(rec.Value))
			assert.True(t, rec.Version == last.version || rec.Version == last.version+1, // which was under way when they stopped
				"%s has version %d, acknowledged was %d", key, rec.Version, last.version)
		}
	}
	t.Logf("acknowledged: %d, of which lost: %d", w.total(), w.lost.Load())
	require.Eventually(t, func() bool {
		due, err := w.store.Due(t.Context(), 1_000_000)
		return err == nil && isSubset(want, due)
	}, soon, 10*time.Millisecond, "all are due")
}

func (w *writers) total() (n int64) {
	for shard := range w.counts {
		n += w.counts[shard].Load()
	}
	return n
}

func isSubset(part, all []string) bool {
	in := make(map[string]bool, len(all))
	for _, key := range all {
		in[key] = true
	}
	return !slices.ContainsFunc(part, func(key string) bool { return !in[key] })
}

// A Cluster is resharded under load, and each time interrupted at another point. Due is
// right or an error, the other shards go on, and nothing is lost.
func TestInterruptedReshards(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	addrs := redistest.Cluster(t)
	s := open(t, impatient(t, addrs))
	nodes := nodesOf(t, addrs)
	const reshards, perShard = 10, 100
	var waiting []string // records that are due all the time
	for shard := range shards {
		waiting = append(waiting, keysOf(shard, 200)[100:][:perShard]...)
	}
	for _, key := range waiting {
		require.NoError(t, s.Put(t.Context(), key, store.Write{Value: []byte(key), Version: 1, TTL: time.Hour, DueIn: 1}))
	}
	require.Len(t, waiting, 1600)
	w := startWriters(t, s)
	var answers, errs int
	look := func() bool { // whether all is in sight
		keys, err := s.Due(t.Context(), 1_000_000)
		if err != nil {
			errs++
			return false
		}
		answers++
		return assert.True(t, isSubset(waiting, keys), "Due without an error says less")
	}
	for i := range reshards {
		shard := i
		m := moveOf(t, s, nodes, shard)
		m.importing(t)
		m.migrating(t)
		total, err := m.source.ClusterCountKeysInSlot(t.Context(), int(m.slot)).Result()
		require.NoError(t, err)
		some, err := m.source.ClusterGetKeysInSlot(t.Context(), int(m.slot), int(total)*i/(reshards-1)).Result()
		require.NoError(t, err)
		if len(some) > 0 {
			m.keys(t, m.source, m.target, some...)
		}
		for range 3 {
			look()
			w.goOn(t, shard)
		}
		if i%2 == 0 {
			m.finish(t)
		} else {
			w.pause.Lock() // it may begin with saying that nothing is moved
			m.fix(t)
			w.pause.Unlock()
		}
		require.Eventually(t, look, soon, time.Millisecond)
		w.goOn(t)
	}
	t.Logf("Due: %d answers, %d errors", answers, errs)
	assert.Positive(t, errs, "the moves were seen")
	w.check(t)
	for _, key := range waiting {
		rec, err := s.Get(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, key, string(rec.Value))
		require.NoError(t, s.Put(t.Context(), key, store.Write{Replaces: 1, Version: 2, TTL: time.Hour}))
	}
}

// fix has redis-cli end the move, if it is installed, as an administrator would.
func (m *move) fix(t *testing.T) {
	path, err := exec.LookPath("redis-cli")
	if err != nil {
		m.finish(t)
		return
	}
	require.Eventually(t, func() bool { // the servers may not have agreed yet on the move before
		return exec.CommandContext(t.Context(), path, "--cluster", "fix", m.source.Options().Addr, "--cluster-yes").Run() == nil
	}, soon, 10*time.Millisecond)
}

// impatient is a client that gives a server up soon and tries again soon.
func impatient(t *testing.T, addrs []string) redis.UniversalClient {
	return connectWith(t, &redis.UniversalOptions{
		Addrs: addrs, ContextTimeoutEnabled: true, ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond,
		DialTimeout: 200 * time.Millisecond, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 20 * time.Millisecond,
	})
}

// A master fails under load and is replaced. Nothing that was acknowledged is lost but
// what had been for less than a second, which Redis does not promise to keep, and
// the store goes on by itself, soon and without a restart, also when the old master is back.
func TestFailover(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	cluster := func(t *testing.T) (*redistest.Process, redis.UniversalClient) {
		masters, _ := redistest.ReplicatedCluster(t, 1)
		return masters[0], impatient(t, []string{masters[0].Addr, masters[1].Addr, masters[2].Addr})
	}
	sentinel := func(t *testing.T) (*redistest.Process, redis.UniversalClient) {
		servers, sentinel := redistest.Sentinel(t)
		client := redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: redistest.SentinelMaster, SentinelAddrs: []string{sentinel},
			ContextTimeoutEnabled: true, ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, DialTimeout: 200 * time.Millisecond,
		})
		t.Cleanup(func() { _ = client.Close() })
		return servers[0], client
	}
	servers := map[string]func(t *testing.T) (*redistest.Process, redis.UniversalClient){"Cluster": cluster, "Sentinel": sentinel}
	for name, start := range servers {
		for _, frozen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, frozen: %v", name, frozen), func(t *testing.T) {
				t.Parallel()
				master, client := start(t)
				s := open(t, client)
				s.pingEvery = patience
				w := startWriters(t, s)
				var watched [shards]<-chan struct{}
				for shard := range watched {
					watched[shard] = watch(t, t.Context(), s, keysOf(shard, 30)[29])
					signalled(t, watched[shard])
				}
				w.goOn(t)
				struck := time.Now()
				w.struck.Store(&struck)
				if frozen {
					master.Freeze(t)
				} else {
					master.Kill(t)
				}
				w.goOn(t)
				assert.Less(t, time.Since(struck), soon/2, "not only when go-redis looks by itself")
				if frozen {
					master.Thaw(t)
					follows(t, master)
					w.goOn(t)
				}
				for shard, signals := range watched {
					require.Eventually(t, func() bool { // the first may be that of the connection
						drain(signals)
						key := keysOf(shard, 30)[29]
						rec, err := s.Get(t.Context(), key)
						if err != nil && !errors.Is(err, store.ErrNotFound) {
							return false
						}
						if s.Put(t.Context(), key, store.Write{Replaces: rec.Version, Version: rec.Version + 1, TTL: time.Hour}) != nil {
							return false
						}
						select {
						case <-signals:
							return true
						case <-time.After(patience):
							return false
						}
					}, soon, time.Millisecond, "signals of shard %d", shard)
				}
				w.check(t)
			})
		}
	}
}

// follows waits until a server that was the master follows another.
func follows(t *testing.T, server *redistest.Process) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	require.Eventually(t, func() bool {
		info, err := client.InfoMap(t.Context(), "replication").Result()
		return err == nil && info["Replication"]["role"] == "slave" && info["Replication"]["master_link_status"] == "up"
	}, soon, 10*time.Millisecond)
}
