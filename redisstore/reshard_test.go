//go:build unix

package redisstore

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
)

// node is one server of a Cluster.
type node struct {
	*redis.Client
	id string
}

// nodesOf connects to each server by itself.
func nodesOf(t testing.TB, addrs []string) (nodes []*node) {
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { _ = c.Close() })
		id, err := c.ClusterMyID(t.Context()).Result()
		require.NoError(t, err)
		nodes = append(nodes, &node{c, id})
	}
	return nodes
}

// move is the move of a shard's slot from one server to another, by hand. Each step is
// one that redis-cli takes, and may be killed after.
type move struct {
	slot           int64
	source, target *node
	nodes          []*node
}

func moveOf(t testing.TB, s *Store, nodes []*node, shard int) *move {
	slot, err := nodes[0].ClusterKeySlot(t.Context(), s.indexes[shard]).Result()
	require.NoError(t, err)
	owner := nodes[0].ownerOf(t, slot)
	i := slices.IndexFunc(nodes, func(n *node) bool { return n.id == owner })
	return &move{slot: slot, source: nodes[i], target: nodes[(i+1)%len(nodes)], nodes: nodes}
}

// ownerOf is the id of the server to which a slot belongs, as this one sees it.
func (n *node) ownerOf(t testing.TB, slot int64) string {
	shards, err := n.ClusterShards(t.Context()).Result()
	require.NoError(t, err)
	for _, shard := range shards {
		if !slices.ContainsFunc(shard.Slots, func(r redis.SlotRange) bool { return r.Start <= slot && slot <= r.End }) {
			continue
		}
		for _, owner := range shard.Nodes {
			if owner.Role == "master" {
				return owner.ID
			}
		}
	}
	return ""
}

func (m *move) importing(t testing.TB) {
	require.NoError(t, m.target.Do(t.Context(), "CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.source.id).Err())
}

func (m *move) migrating(t testing.TB) {
	require.NoError(t, m.source.Do(t.Context(), "CLUSTER", "SETSLOT", m.slot, "MIGRATING", m.target.id).Err())
}

// keys moves keys from one server to another.
func (m *move) keys(t testing.TB, from, to *node, keys ...string) {
	host, port, err := net.SplitHostPort(to.Options().Addr)
	require.NoError(t, err)
	args := []any{"MIGRATE", host, port, "", 0, 10_000, "KEYS"}
	for _, key := range keys {
		args = append(args, key)
	}
	require.NoError(t, from.Do(t.Context(), args...).Err())
}

// all moves what is left in the slot.
func (m *move) all(t testing.TB, from, to *node) {
	for {
		keys, err := from.ClusterGetKeysInSlot(t.Context(), int(m.slot), 1000).Result()
		require.NoError(t, err)
		if len(keys) == 0 {
			return
		}
		m.keys(t, from, to, keys...)
	}
}

// finish goes on with the move, wherever it stopped, to its end.
func (m *move) finish(t testing.TB) {
	m.importing(t)
	m.migrating(t)
	m.all(t, m.source, m.target)
	m.assign(t, m.target)
}

// back undoes the move. Until that is done, the source does not know of what it has not.
func (m *move) back(t testing.TB) {
	require.NoError(t, m.source.Do(t.Context(), "CLUSTER", "SETSLOT", m.slot, "STABLE").Err())
	require.NoError(t, m.target.Do(t.Context(), "CLUSTER", "SETSLOT", m.slot, "NODE", m.source.id).Err()) // it may have forgotten
	m.all(t, m.target, m.source)
	m.assign(t, m.source)
}

// assign says to all servers whose the slot is, which ends every move. The owner goes
// first, as with redis-cli, so that at no time it is nobody's.
func (m *move) assign(t testing.TB, owner *node) {
	for _, n := range append([]*node{owner}, m.nodes...) {
		require.NoError(t, n.Do(t.Context(), "CLUSTER", "SETSLOT", m.slot, "NODE", owner.id).Err())
		require.NoError(t, n.Do(t.Context(), "CLUSTER", "SETSLOT", m.slot, "STABLE").Err())
	}
}

// due is what Due names of a shard.
func due(ctx context.Context, s *Store, shard int) ([]string, error) {
	keys, err := s.Due(ctx, 10_000)
	keys = slices.DeleteFunc(keys, func(key string) bool { return shardOf(key) != shard })
	slices.Sort(keys)
	return keys, err
}

// While a slot is on its way from one server to another, every answer is right or an
// error, and afterwards nothing is lost that was acknowledged.
func TestHalfMovedSlots(t *testing.T) {
	testenv.Long(t)
	addrs := redistest.Cluster(t)
	s := open(t, connectWith(t, &redis.UniversalOptions{
		Addrs: addrs, ContextTimeoutEnabled: true, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 5 * time.Millisecond,
	}))
	nodes := nodesOf(t, addrs)
	states := []struct {
		name string
		// moved says which of the two are at the target.
		record, index        bool
		importing, migrating bool
	}{
		{"importing only", false, false, true, false},
		{"migrating only", false, false, false, true},
		{"nothing moved", false, false, true, true},
		{"record moved", true, false, true, true},
		{"index moved", false, true, true, true},
		{"both moved", true, true, true, true},
	}
	ends := map[string]func(*move, testing.TB){"finished": (*move).finish, "rolled back": (*move).back}
	shard := -1
	for _, state := range states {
		for end, leave := range ends {
			shard++
			t.Run(state.name+", "+end, func(t *testing.T) {
				const methods = 5 // of which each has a record that was moved and one that was not
				keys := keysOf(shard, 2*methods+1)
				moved, stayed, fresh := keys[:methods], keys[methods:2*methods], keys[2*methods]
				now := store.Write{Value: []byte("value"), Version: 1, TTL: time.Hour, DueIn: 1}
				for _, key := range keys[:2*methods] {
					require.NoError(t, s.Put(t.Context(), key, now))
				}
				want := slices.Sorted(slices.Values(keys[:2*methods]))
				require.Eventually(t, func() bool {
					got, err := due(t.Context(), s, shard)
					return err == nil && slices.Equal(got, want)
				}, soon, time.Millisecond)

				m := moveOf(t, s, nodes, shard)
				if state.importing {
					m.importing(t)
				}
				if state.migrating {
					m.migrating(t)
				}
				if state.record {
					for _, key := range moved {
						m.keys(t, m.source, m.target, s.name(shard, key))
					}
				}
				if state.index {
					m.keys(t, m.source, m.target, s.indexes[shard])
				}

				for range 3 {
					got, err := due(t.Context(), s, shard)
					if err == nil {
						assert.Equal(t, want, got, "Due without an error")
					} else {
						assert.Subset(t, want, got)
					}
				}
				var watched []<-chan struct{}
				for i, keys := range [][]string{moved, stayed} {
					rec, err := s.Get(t.Context(), keys[0])
					if assert.NotErrorIs(t, err, store.ErrNotFound, "Get") && err == nil {
						assert.EqualValues(t, 1, rec.Version)
					}
					next := store.Write{Replaces: 1, Version: 2, TTL: time.Hour, DueIn: 1}
					err = s.Put(t.Context(), keys[1], next)
					assert.NotErrorIs(t, err, store.ErrConflict, "Put")
					next.DueIn = 0
					if err = s.Put(t.Context(), keys[2], next); err == nil {
						want = slices.DeleteFunc(want, func(key string) bool { return key == keys[2] })
					}
					assert.NotErrorIs(t, err, store.ErrConflict, "Put")
					if err = s.Delete(t.Context(), keys[3]); err == nil {
						want = slices.DeleteFunc(want, func(key string) bool { return key == keys[3] })
					}
					w := watch(t, t.Context(), s, keys[4])
					if i == 0 {
						if err := s.Check(t.Context()); err != nil {
							assert.False(t, isMild(err), "%v", err)
						}
					}
					watched = append(watched, w)
				}
				if err := s.Put(t.Context(), fresh, now); err == nil {
					want = append(want, fresh)
					slices.Sort(want)
				}

				leave(m, t)
				require.Eventually(t, func() bool {
					got, err := due(t.Context(), s, shard)
					return err == nil && slices.Equal(got, want)
				}, soon, 10*time.Millisecond)
				for _, key := range want {
					_, err := s.Get(t.Context(), key)
					assert.NoError(t, err, key)
				}
				for i, key := range []string{moved[4], stayed[4]} {
					require.Eventually(t, func() bool { // it may not have heard yet where to listen
						drain(watched[i])
						rec, err := s.Get(t.Context(), key)
						require.NoError(t, err)
						require.NoError(t, s.Put(t.Context(), key, store.Write{Replaces: rec.Version, Version: rec.Version + 1, TTL: time.Hour}))
						select {
						case <-watched[i]:
							return true
						case <-time.After(patience):
							return false
						}
					}, soon, time.Millisecond)
				}
				assert.NoError(t, s.Check(t.Context()))
			})
		}
	}
}

// Where the source of a move was told to stop, or was replaced by a replica that knew
// of none, it says that there is nothing where there is. That does not last, so that
// Due takes nothing away for it.
func TestForgottenMove(t *testing.T) {
	testenv.Long(t)
	masters, replicas := redistest.ReplicatedCluster(t, 1)
	addrs := []string{masters[0].Addr, masters[1].Addr, masters[2].Addr}
	s := open(t, connect(t, addrs...))
	s.pause = time.Millisecond
	nodes := nodesOf(t, addrs)
	replica := nodesOf(t, []string{replicas[0].Addr})[0]
	var mine []int // the shards of the first master
	for shard := range shards {
		if moveOf(t, s, nodes, shard).source == nodes[0] {
			mine = append(mine, shard)
		}
	}
	tests := []struct {
		name   string
		forget func(t *testing.T, m *move)
	}{
		{"told to stop", func(t *testing.T, m *move) {
			require.NoError(t, m.source.Do(t.Context(), "CLUSTER", "SETSLOT", m.slot, "STABLE").Err())
		}},
		{"replaced", func(t *testing.T, m *move) {
			require.NoError(t, replica.ClusterFailover(t.Context()).Err())
			m.source, m.nodes = replica, []*node{replica, nodes[1], nodes[2]}
			require.Eventually(t, func() bool { // all but the target, which believes nobody while it imports
				return replica.ownerOf(t, m.slot) == replica.id && nodes[2].ownerOf(t, m.slot) == replica.id
			}, soon, 10*time.Millisecond)
		}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shard := mine[i]
			want := keysOf(shard, 10)
			slices.Sort(want)
			for _, key := range want {
				require.NoError(t, s.Put(t.Context(), key, store.Write{Version: 1, TTL: time.Hour, DueIn: 1}))
			}
			all := func() bool {
				keys, err := due(t.Context(), s, shard)
				return err == nil && slices.Equal(keys, want)
			}
			require.Eventually(t, all, soon, time.Millisecond)
			m := moveOf(t, s, nodes, shard)
			m.importing(t)
			m.migrating(t)
			for _, key := range want[:5] {
				m.keys(t, m.source, m.target, s.name(shard, key))
			}
			tt.forget(t, m)
			// The client may not know the new server yet. And the target may hold the
			// slot for nobody's, so that its shards answer CLUSTERDOWN until the end.
			seen := func() bool {
				keys, _ := due(t.Context(), s, shard)
				return slices.Equal(keys, want[5:])
			}
			require.Eventually(t, seen, soon, time.Millisecond)
			for range 3 {
				assert.True(t, seen())
			}
			m.back(t)
			require.Eventually(t, all, soon, time.Millisecond)
		})
	}
}

// The keys of a half-moved slot, of which most likely nothing can be done, come
// after those of all others.
func TestHalfMovedSlotHoldsUpNobody(t *testing.T) {
	addrs := redistest.SharedCluster(t)
	s := open(t, connect(t, addrs...))
	const shard, other = 3, 4
	// The stuck ones have been due for longest, and are more than Due looks at in one go.
	stuck, behind, free := keysOf(shard, 1101)[:1100], keysOf(shard, 1101)[1100], keysOf(other, 5)
	var names []string
	for _, key := range append(append(stuck, behind), free...) {
		require.NoError(t, s.Put(t.Context(), key, store.Write{Version: 1, TTL: time.Hour, DueIn: 1}))
		names = append(names, s.name(shard, key))
	}
	require.Eventually(t, func() bool {
		keys, err := s.Due(t.Context(), 10_000)
		return err == nil && len(keys) == len(names)
	}, soon, time.Millisecond)
	inIndex(t, s, shard, append(stuck, behind)...)
	m := moveOf(t, s, nodesOf(t, addrs), shard)
	m.importing(t)
	m.migrating(t)
	m.keys(t, m.source, m.target, names[:len(stuck)]...)

	inSight := append(free, behind)
	for _, limit := range []int{len(inSight), len(inSight) + 3, 10_000} {
		keys, err := s.Due(t.Context(), limit)
		require.ErrorContains(t, err, "shards [3]: ")
		require.Len(t, keys, min(limit, len(names)))
		assert.ElementsMatch(t, inSight, keys[:len(inSight)])
		assert.Subset(t, stuck, keys[len(inSight):])
	}
	m.finish(t)
}
