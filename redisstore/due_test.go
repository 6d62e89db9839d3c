//go:build unix

package redisstore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
)

// inIndex enters keys that are due behind the store's back, the first the longest.
func inIndex(t testing.TB, s *Store, shard int, keys ...string) {
	var members []redis.Z
	for i, key := range keys {
		members = append(members, redis.Z{Score: float64(i), Member: key})
	}
	require.NoError(t, s.client.ZAdd(t.Context(), s.indexes[shard], members...).Err())
}

func numbered(name string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, name+strconv.Itoa(i))
	}
	return keys
}

// A shard with very many entries of records that are gone is worked off in parts,
// and the records that are due stand behind all of them.
func TestManyExpired(t *testing.T) {
	addr := redistest.Server(t)
	client := connect(t, addr)
	s := open(t, client)
	shard := shardOf("k")
	inIndex(t, s, shard, "gone")
	each(s, t.Context(), func(_ string, err error) { require.NoError(t, err) }) // connects and loads the scripts
	require.NoError(t, s.Put(t.Context(), "k", store.Write{Version: 1, TTL: time.Hour, DueIn: 1}))
	const gone = 10_500
	inIndex(t, s, shard, append(numbered("gone", gone), "k")...)

	var c trips
	client.AddHook(&c)
	keys, err := s.Due(t.Context(), math.MaxInt)
	require.NoError(t, err)
	assert.Equal(t, []string{"k"}, keys)
	assert.EqualValues(t, 2*(1+gone/1000), c.n.Swap(0), "round trips, to look and to sweep")
	assert.Equal(t, 1, indexed(t, s))

	c.n.Store(0)
	_, err = s.Due(t.Context(), math.MaxInt)
	require.NoError(t, err)
	assert.EqualValues(t, 1, c.n.Load(), "where nothing is gone")
}

// What is in the index but has no record is dropped. Something that is no record is
// reported, stays, and is not in the way of others.
func TestPoisonInIndex(t *testing.T) {
	m := newMini(t)
	client := connect(t, m.Addr())
	s := open(t, client)
	shard := shardOf("k")
	require.NoError(t, s.Put(t.Context(), "k", store.Write{Version: 1, TTL: 24 * time.Hour, DueIn: time.Second}))
	inIndex(t, s, shard, "missing", "short", "list", "empty", "")
	require.NoError(t, client.Set(t.Context(), s.name(shard, "short"), "secret1", 0).Err())
	require.NoError(t, client.Set(t.Context(), s.name(shard, "empty"), "", 0).Err())
	require.NoError(t, client.LPush(t.Context(), s.name(shard, "list"), "x").Err())
	m.advance(time.Second)

	for range 2 {
		keys, err := s.Due(t.Context(), 10)
		require.ErrorContains(t, err, "3 keys that are due have something else than a record")
		assert.NotContains(t, err.Error(), "secret")
		assert.NotContains(t, err.Error(), "list", "a key may be personal")
		assert.Equal(t, []string{"k"}, keys)
		assert.Equal(t, 4, indexed(t, s))
		for range 3 {
			keys, err = s.Due(t.Context(), 10)
			require.NoError(t, err, "for an hour")
			assert.Equal(t, []string{"k"}, keys)
		}
		m.advance(time.Hour)
	}
	require.NoError(t, client.Del(t.Context(), s.name(shard, "short"), s.name(shard, "empty"), s.name(shard, "list")).Err())
	_, err := s.Due(t.Context(), 10)
	require.NoError(t, err)
	assert.Equal(t, 1, indexed(t, s))
}

func TestManyForeignValuesStarveNobody(t *testing.T) {
	addr := redistest.Server(t)
	client := connect(t, addr)
	s := open(t, client)
	shard := shardOf("k")
	require.NoError(t, s.Put(t.Context(), "k", store.Write{Version: 1, TTL: time.Hour, DueIn: 1}))
	keys := numbered("list", 10_000)
	pipe := client.Pipeline()
	for _, key := range keys {
		pipe.LPush(t.Context(), s.name(shard, key), "x")
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	inIndex(t, s, shard, append(keys, "k")...)
	for i := range 3 {
		got, err := s.Due(t.Context(), 1)
		assert.Equal(t, i == 0, err != nil, "%v", err)
		assert.Equal(t, []string{"k"}, got)
	}
	assert.Equal(t, len(keys)+1, indexed(t, s))
}

// Where a server can say that a record is not there while it is, the entry stays for
// some visits, each after a pause twice as long, and is due when the record is back.
func TestRecordsOutOfSight(t *testing.T) {
	m := newMini(t)
	s := open(t, connect(t, m.Addr()))
	s.visits, s.pause = 3, 10*time.Second
	due := func() []string {
		keys, err := s.Due(t.Context(), 10)
		require.NoError(t, err)
		return keys
	}
	w := store.Write{Version: 1, TTL: time.Hour, DueIn: time.Second}
	for away := range 5 {
		t.Run(fmt.Sprint("away for visits: ", away), func(t *testing.T) {
			require.NoError(t, s.Put(t.Context(), "k", w))
			m.advance(time.Second)
			name := s.name(shardOf("k"), "k")
			value, err := m.Get(name)
			require.NoError(t, err)
			m.Del(name)
			for visit := range away {
				assert.Empty(t, due())
				for range 10 {
					assert.Empty(t, due(), "and no visit")
				}
				if visit < s.visits {
					m.advance(s.pause<<visit - time.Millisecond)
					assert.Empty(t, due(), "and no visit")
					m.advance(2 * time.Millisecond)
				}
			}
			require.NoError(t, m.Set(name, value))
			if away <= s.visits {
				assert.Equal(t, []string{"k"}, due())
				require.NoError(t, s.Delete(t.Context(), "k"))
			} else {
				assert.Empty(t, due(), "dropped")
				m.Del(name)
			}
			assert.Zero(t, indexed(t, s))
		})
	}
	// A Put makes it an entry like any other.
	inIndex(t, s, shardOf("k"), "k")
	assert.Empty(t, due())
	require.NoError(t, s.Put(t.Context(), "k", w))
	assert.Empty(t, due())
	m.advance(time.Second)
	assert.Equal(t, []string{"k"}, due())
}

// The entries of a store for a Cluster stay for a week.
func TestClusterVisits(t *testing.T) {
	s := open(t, connect(t, "127.0.0.1:1", "127.0.0.1:2"))
	stay := time.Duration(0)
	for visit := range s.visits {
		stay += s.pause << visit
	}
	assert.InDelta(t, 7*24, stay.Hours(), 24)
	assert.Less(t, s.visits, 32, "fits in the fraction of a score")
	assert.Zero(t, open(t, connect(t, "127.0.0.1:1")).visits)
}

// An entry that somebody else has changed since it was seen is theirs.
func TestSweepLeavesWhatChanged(t *testing.T) {
	m := newMini(t)
	s := open(t, connect(t, m.Addr()))
	shard := shardOf("k")
	inIndex(t, s, shard, "k")
	entries, _, err := dueEntries(answer(s.runAll(t.Context(), []call{s.due(shard, 1, 0)})[0]))
	require.NoError(t, err)
	require.Equal(t, []dueEntry{{"k", "0", 0, true}}, entries)
	w := store.Write{Version: 1, TTL: time.Hour, DueIn: time.Minute}
	require.NoError(t, s.Put(t.Context(), "k", w))
	looks, err := looksOf(answer(s.runAll(t.Context(), []call{s.sweep(shard, entries)})[0]))
	require.NoError(t, err)
	assert.Equal(t, []int64{0}, looks, "not due any more")
	assert.Equal(t, 1, indexed(t, s))
	m.advance(time.Minute)
	keys, err := s.Due(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, []string{"k"}, keys)
}

// An index that is something else refuses every write as a whole, also when it is
// repeated, and holds up no other shard.
func TestForeignIndex(t *testing.T) {
	addr := redistest.Server(t)
	client := connect(t, addr)
	s := open(t, client)
	shard := shardOf("k")
	require.NoError(t, s.Put(t.Context(), "k", keeps("v")))
	other := keysOf((shard+1)%shards, 1)[0]
	require.NoError(t, s.Put(t.Context(), other, store.Write{Version: 1, TTL: time.Hour, DueIn: 1}))
	require.NoError(t, client.Set(t.Context(), s.indexes[shard], "foreign", 0).Err())
	for range 3 {
		for _, dueIn := range []time.Duration{0, 1} {
			w := store.Write{Replaces: 1, Version: 2, TTL: time.Hour, DueIn: dueIn}
			require.ErrorContains(t, s.Put(t.Context(), "k", w), "WRONGTYPE")
		}
		require.ErrorContains(t, s.Delete(t.Context(), "k"), "WRONGTYPE")
	}
	rec, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "v", string(rec.Value))
	assert.ErrorContains(t, s.Check(t.Context()), "ZADD: WRONGTYPE")
	require.Eventually(t, func() bool {
		keys, err := s.Due(t.Context(), 10)
		assert.ErrorContains(t, err, fmt.Sprintf("shards [%d]: ", shard))
		assert.ErrorContains(t, err, "WRONGTYPE")
		return slices.Equal(keys, []string{other})
	}, time.Minute, time.Millisecond)
}

// While one master of a Cluster is away, Due has the keys of the others.
func TestDueWithoutOneMaster(t *testing.T) {
	testenv.Long(t)
	tests := map[string]func(*redistest.Process, testing.TB){"dead": (*redistest.Process).Kill, "frozen": (*redistest.Process).Freeze}
	for name, strike := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			masters, _ := redistest.ReplicatedCluster(t, 0)
			client := connectWith(t, &redis.UniversalOptions{
				Addrs: []string{masters[0].Addr, masters[1].Addr, masters[2].Addr}, ContextTimeoutEnabled: true, ReadTimeout: 100 * time.Millisecond,
			})
			s := open(t, client)
			var away, here []string
			for shard := range shards {
				key := keysOf(shard, 1)[0]
				require.NoError(t, s.Put(t.Context(), key, store.Write{Version: 1, TTL: time.Hour, DueIn: 1}))
				master, err := client.(*redis.ClusterClient).MasterForKey(t.Context(), s.indexes[shard])
				require.NoError(t, err)
				if master.Options().Addr == masters[0].Addr {
					away = append(away, key)
				} else {
					here = append(here, key)
				}
			}
			require.NotEmpty(t, away)
			require.Eventually(t, func() bool {
				keys, err := s.Due(t.Context(), 100)
				return err == nil && len(keys) == shards
			}, time.Minute, time.Millisecond)

			strike(masters[0], t)
			for _, limit := range []int{len(here), 100} {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				keys, err := s.Due(ctx, limit)
				cancel()
				require.Error(t, err)
				assert.ErrorContains(t, err, "shards [")
				assert.ElementsMatch(t, here, keys)
			}
			if name == "frozen" {
				masters[0].Thaw(t)
				keys, err := s.Due(t.Context(), 100)
				require.NoError(t, err)
				assert.ElementsMatch(t, append(here, away...), keys)
			}
		})
	}
}
