package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
	"github.com/okidkit/okidkit/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// mini is a fake server whose clock stands still until advance.
type mini struct {
	*miniredis.Miniredis
	now time.Time
}

func newMini(t testing.TB) *mini {
	m := &mini{miniredis.RunT(t), start}
	m.SetTime(m.now)
	m.ClockTTL(true)
	return m
}

func (m *mini) advance(d time.Duration) {
	m.now = m.now.Add(d)
	m.SetTime(m.now)
}

// connect returns a client that is set up as the package asks for.
func connect(t testing.TB, addrs ...string) redis.UniversalClient {
	return connectWith(t, &redis.UniversalOptions{Addrs: addrs, ContextTimeoutEnabled: true})
}

func connectWith(t testing.TB, opts *redis.UniversalOptions) redis.UniversalClient {
	c := redis.NewUniversalClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func open(t testing.TB, c redis.UniversalClient, opts ...Option) *Store {
	s, err := New(c, opts...)
	require.NoError(t, err)
	return s
}

func TestStoreOnMiniredis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err == nil { // which says the same, sooner
		testenv.Long(t)
	}
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		m := newMini(t)
		fault := func() func() {
			m.SetError("MISCONF disk is full")
			return func() { m.SetError("") }
		}
		return storetest.Harness{Store: open(t, connect(t, m.Addr())), Advance: m.advance, Faults: []func() func(){fault}}
	})
}

// onServer runs the suite on one server for all cases.
func onServer(t *testing.T, c redis.UniversalClient, faults ...func() func()) {
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		return storetest.Harness{Store: open(t, c, WithPrefix(fmt.Sprintf("case %d:", n.Add(1)))), Faults: faults}
	})
}

func TestStoreOnRedis(t *testing.T) {
	t.Parallel()
	addr := redistest.Server(t)
	admin := connect(t, addr)
	allow(t, admin, "on >password ~* &* +@all")
	var faults []func() func()
	for _, command := range []string{"zadd", "zrem", "set", "del", "zrangebyscore"} {
		faults = append(faults, func() func() {
			allow(t, admin, "-"+command)
			return func() { allow(t, admin, "+@all") }
		})
	}
	onServer(t, connectAs(t, addr), faults...)
}

func TestStoreOnCluster(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	addrs := redistest.SharedCluster(t)
	onServer(t, connect(t, addrs...))
}

// keeps is what a record needs that stays until the end of the test.
func keeps(value string) store.Write {
	return store.Write{Value: []byte(value), Version: 1, TTL: time.Hour}
}

func TestNew(t *testing.T) {
	client := connect(t, "127.0.0.1:1") // nobody is there, and nobody is asked
	ring := redis.NewRing(&redis.RingOptions{})
	t.Cleanup(func() { _ = ring.Close() })
	tests := []struct {
		name   string
		client redis.UniversalClient
		prefix string
		want   []string // what the error names; none: valid
	}{
		{"plain", client, "app:", nil},
		{"no prefix", client, "", nil},
		{"no client", nil, "", []string{"client is nil"}},
		{"Ring", ring, "", []string{"Ring"}},
		{"left brace", client, "a{", []string{"brace"}},
		{"right brace", client, "}a", []string{"brace"}},
		{"all at once", nil, "{a}", []string{"client is nil", "brace"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(tt.client, WithPrefix(tt.prefix))
			if tt.want == nil {
				require.NoError(t, err)
				assert.NotNil(t, s)
				return
			}
			assert.Nil(t, s)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

// The names and bytes in Redis are a format: another version of this package
// must find them.
func TestFormat(t *testing.T) {
	m := newMini(t)
	s := open(t, connect(t, m.Addr()))
	w := store.Write{Value: []byte("value"), Version: 0x0102030405060708, TTL: time.Minute, DueIn: 2 * time.Second}
	require.NoError(t, s.Put(t.Context(), "key", w))

	assert.Equal(t, []string{"okidkit:{9}", "okidkit:{9}:key"}, m.Keys())
	got, err := m.DB(0).Get("okidkit:{9}:key")
	require.NoError(t, err)
	assert.Equal(t, "\x01\x02\x03\x04\x05\x06\x07\x08value", got)
	assert.Equal(t, time.Minute, m.TTL("okidkit:{9}:key"))
	due, err := m.SortedSet("okidkit:{9}")
	require.NoError(t, err)
	assert.Equal(t, map[string]float64{"key": float64(start.Add(2 * time.Second).UnixMilli())}, due)

	require.NoError(t, s.Delete(t.Context(), "key"))
	assert.Empty(t, m.Keys(), "nothing stays behind")
}

func TestPrefixesKeepStoresApart(t *testing.T) {
	m := newMini(t)
	client := connect(t, m.Addr())
	for _, prefix := range []string{"", "a", "ab", "a:"} {
		require.NoError(t, open(t, client, WithPrefix(prefix)).Put(t.Context(), "k", keeps(prefix)))
	}
	for _, prefix := range []string{"", "a", "ab", "a:"} {
		rec, err := open(t, client, WithPrefix(prefix)).Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, prefix, string(rec.Value))
	}
}

func TestMillis(t *testing.T) {
	const ms = time.Millisecond
	for d, want := range map[time.Duration]int64{
		0: 0, 1: 1, ms - 1: 1, ms: 1, ms + 1: 2, time.Hour: 3_600_000,
		math.MaxInt64: math.MaxInt64 / 1_000_000, math.MaxInt64 - ms: math.MaxInt64 / 1_000_000,
	} {
		assert.Equal(t, want, millis(d), "%v", d)
	}
}

// Real servers refuse lifetimes that overflow.
func TestLongLivesOnRedis(t *testing.T) {
	addr := redistest.Server(t)
	client := connect(t, addr)
	s := open(t, client)
	for _, ttl := range []time.Duration{1, 10 * 365 * 24 * time.Hour, math.MaxInt64} {
		key := ttl.String()
		require.NoError(t, s.Put(t.Context(), key, store.Write{Version: 1, TTL: ttl, DueIn: ttl - 1}))
		left, err := client.PTTL(t.Context(), s.name(shardOf(key), key)).Result()
		require.NoError(t, err)
		assert.LessOrEqual(t, left.Milliseconds(), millis(ttl))
		if ttl > time.Hour {
			assert.Greater(t, left, ttl-time.Hour)
		}
	}
}

// trips counts what a client sends: commands, and pipelines as one.
type trips struct {
	n     atomic.Int64
	names sync.Map
}

func (c *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		c.names.Store(cmd.Name(), true)
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(1)
		for _, cmd := range cmds {
			c.names.Store(cmd.Name(), true)
		}
		return next(ctx, cmds)
	}
}

// each calls every method once.
func each(s *Store, ctx context.Context, call func(method string, err error)) {
	call("Put", s.Put(ctx, "k", keeps("v")))
	_, err := s.Get(ctx, "k")
	call("Get", err)
	_, err = s.Due(ctx, 10)
	call("Due", err)
	call("Delete", s.Delete(ctx, "k"))
}

func TestOneRoundTrip(t *testing.T) {
	client := connect(t, newMini(t).Addr())
	s := open(t, client)
	each(s, t.Context(), func(_ string, err error) { require.NoError(t, err) }) // loads the scripts
	var c trips
	client.AddHook(&c)
	each(s, t.Context(), func(method string, err error) {
		require.NoError(t, err)
		assert.EqualValues(t, 1, c.n.Swap(0), method)
	})
	c.names.Range(func(name, _ any) bool {
		return assert.Equal(t, "evalsha", name)
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	each(s, ended, func(method string, err error) {
		require.ErrorIs(t, err, context.Canceled, method)
		assert.Zero(t, c.n.Load(), "%s with an ended context", method)
	})
}

func TestOneRoundTripForEachMaster(t *testing.T) {
	addrs := redistest.SharedCluster(t)
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = cluster.Close() })
	var c trips
	cluster.OnNewNode(func(node *redis.Client) { node.AddHook(&c) })
	s := open(t, cluster)
	each(s, t.Context(), func(_ string, err error) { require.NoError(t, err) })
	for method, want := range map[string]int{"Put": 1, "Get": 1, "Delete": 1, "Due": len(addrs)} {
		c.n.Store(0)
		each(s, t.Context(), func(m string, err error) {
			require.NoError(t, err)
			if n := c.n.Swap(0); m == method {
				assert.EqualValues(t, want, n, method)
			}
		})
	}
}

// Servers forget scripts, when they restart or fail over or are told to.
func TestScriptsAreLoadedAgain(t *testing.T) {
	servers := map[string]func(t *testing.T) []string{
		"server":  func(t *testing.T) []string { return []string{redistest.Server(t)} },
		"cluster": func(t *testing.T) []string { return redistest.SharedCluster(t) },
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			addrs := start(t)
			client := connect(t, addrs...)
			s := open(t, client)
			for range 2 {
				var methods []string
				each(s, t.Context(), func(method string, err error) {
					require.NoError(t, err, method)
					methods = append(methods, method)
					for _, addr := range addrs {
						require.NoError(t, connect(t, addr).ScriptFlush(t.Context()).Err())
					}
				})
				assert.Len(t, methods, 4)
				assert.NoError(t, s.Check(t.Context()))
			}
		})
	}
}

// What a server says instead of working is never taken for an answer.
func TestServerErrors(t *testing.T) {
	for _, reply := range []string{
		"LOADING Redis is loading the dataset in memory",
		"READONLY You can't write against a read only replica.",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"OOM command not allowed when used memory > 'maxmemory'.",
		"NOAUTH Authentication required.",
		"CLUSTERDOWN The cluster is down",
	} {
		t.Run(strings.Fields(reply)[0], func(t *testing.T) {
			m := newMini(t)
			s := open(t, connectWith(t, &redis.UniversalOptions{Addrs: []string{m.Addr()}, MaxRetries: -1}))
			require.NoError(t, s.Put(t.Context(), "k", keeps("v")))
			m.SetError(reply)
			each(s, t.Context(), func(method string, err error) {
				require.ErrorContains(t, err, reply, method)
				for _, answer := range []error{store.ErrNotFound, store.ErrConflict, store.ErrInvalid} {
					assert.NotErrorIs(t, err, answer, method)
				}
			})
			assert.ErrorContains(t, s.Check(t.Context()), reply)
			m.SetError("")
			rec, err := s.Get(t.Context(), "k")
			require.NoError(t, err, "without a restart")
			assert.Equal(t, "v", string(rec.Value))
		})
	}
}

func TestReplicaIsReadOnly(t *testing.T) {
	p := redistest.Start(t, "--replicaof", "127.0.0.1", "1")
	s := open(t, connect(t, p.Addr))
	assert.ErrorContains(t, s.Put(t.Context(), "k", keeps("v")), "READONLY")
	assert.ErrorContains(t, s.Delete(t.Context(), "k"), "READONLY")
	assert.ErrorContains(t, s.Check(t.Context()), "READONLY")
}

// Without memory a Put fails and changes nothing, and the others go on.
func TestOutOfMemory(t *testing.T) {
	addr := redistest.Server(t)
	client := connect(t, addr)
	s := open(t, client)
	require.NoError(t, s.Put(t.Context(), "k", keeps("v")))
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	for _, dueIn := range []time.Duration{0, time.Minute} {
		w := store.Write{Value: []byte("next"), Replaces: 1, Version: 2, TTL: time.Hour, DueIn: dueIn}
		assert.ErrorContains(t, s.Put(t.Context(), "k", w), "OOM")
	}
	rec, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "v", string(rec.Value))
	_, err = s.Due(t.Context(), 1)
	require.NoError(t, err)
	assert.NoError(t, s.Delete(t.Context(), "k"))
}

// proxy stands between client and server, and loses answers.
type proxy struct {
	net.Listener
	server string
	lose   atomic.Bool // the next answer, and its connection
	lost   atomic.Int64
	wg     sync.WaitGroup
}

func newProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l, server: server}
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.wg.Go(func() {
		defer func() { _ = server.Close() }()
		forward(server, client, func() bool { return true })
	})
	forward(client, server, func() bool {
		if p.lose.CompareAndSwap(true, false) {
			p.lost.Add(1)
			return false
		}
		return true
	})
}

// forward copies from src to dst as long as keep says so.
func forward(dst, src net.Conn, keep func() bool) {
	buf := make([]byte, 1<<16)
	for {
		n, err := src.Read(buf)
		if err != nil || !keep() {
			return
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

// go-redis repeats a command whose answer was lost. The Put then finds its own
// version and must not take it for somebody else's.
func TestLostAnswers(t *testing.T) {
	m := newMini(t)
	p := newProxy(t, m.Addr())
	s := open(t, connect(t, p.Addr().String()))
	each(s, t.Context(), func(_ string, err error) { require.NoError(t, err) }) // connects and loads the scripts

	p.lose.Store(true)
	require.NoError(t, s.Put(t.Context(), "k", keeps("v")), "a create")
	p.lose.Store(true)
	w := store.Write{Value: []byte("w"), Replaces: 1, Version: 2, TTL: time.Hour, DueIn: time.Minute}
	require.NoError(t, s.Put(t.Context(), "k", w), "a replace")
	p.lose.Store(true)
	rec, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "w", string(rec.Value))
	m.advance(time.Minute)
	p.lose.Store(true)
	keys, err := s.Due(t.Context(), 10)
	require.NoError(t, err)
	assert.Equal(t, []string{"k"}, keys)
	p.lose.Store(true)
	require.NoError(t, s.Delete(t.Context(), "k"))
	assert.EqualValues(t, 5, p.lost.Load())
}

// The clocks of the processes do not matter, however far they are off: only the
// server's counts.
func TestTimeIsTheServers(t *testing.T) {
	for _, now := range []time.Time{
		time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		t.Run(now.Format(time.DateOnly), func(t *testing.T) {
			m := newMini(t)
			m.now = now
			m.advance(0)
			a, b := open(t, connect(t, m.Addr())), open(t, connect(t, m.Addr()))
			w := store.Write{Version: 1, TTL: 2 * time.Minute, DueIn: time.Minute}
			require.NoError(t, a.Put(t.Context(), "k", w))
			for _, s := range []*Store{a, b} {
				rec, err := s.Get(t.Context(), "k")
				require.NoError(t, err)
				assert.True(t, rec.Now.Equal(now), "%v", rec.Now)
				keys, err := s.Due(t.Context(), 1)
				require.NoError(t, err)
				assert.Empty(t, keys)
			}
			m.advance(time.Minute + time.Millisecond)
			for _, s := range []*Store{a, b} {
				keys, err := s.Due(t.Context(), 1)
				require.NoError(t, err)
				assert.Equal(t, []string{"k"}, keys)
			}
			m.advance(time.Minute)
			for _, s := range []*Store{a, b} {
				_, err := s.Get(t.Context(), "k")
				require.ErrorIs(t, err, store.ErrNotFound)
			}
		})
	}
}

// A due time between two milliseconds is rounded up.
func TestDueIsNeverEarly(t *testing.T) {
	m := newMini(t)
	m.advance(time.Millisecond / 2)
	s := open(t, connect(t, m.Addr()))
	require.NoError(t, s.Put(t.Context(), "k", store.Write{Version: 1, TTL: time.Hour, DueIn: time.Millisecond}))
	m.advance(time.Millisecond - 1)
	keys, err := s.Due(t.Context(), 1)
	require.NoError(t, err)
	assert.Empty(t, keys)
	m.advance(time.Millisecond)
	keys, err = s.Due(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, []string{"k"}, keys)
}

// keysOf finds keys of a shard.
func keysOf(shard, n int) (keys []string) {
	for i := 0; len(keys) < n; i++ {
		if key := fmt.Sprintf("key%d", i); shardOf(key) == shard {
			keys = append(keys, key)
		}
	}
	return keys
}

// indexed is how many keys the sorted sets hold.
func indexed(t *testing.T, s *Store) int {
	var n int64
	for _, index := range s.indexes {
		entries, err := s.client.ZCard(t.Context(), index).Result()
		require.NoError(t, err)
		n += entries
	}
	return int(n)
}

func TestIndexDoesNotLeak(t *testing.T) {
	m := newMini(t)
	s := open(t, connect(t, m.Addr()))
	const n = 100
	for i := range n {
		require.NoError(t, s.Put(t.Context(), fmt.Sprint("expires", i), store.Write{Version: 1, TTL: 2 * time.Second, DueIn: time.Second}))
		require.NoError(t, s.Put(t.Context(), fmt.Sprint("never due", i), store.Write{Version: 1, TTL: time.Second, DueIn: math.MaxInt64}))
		require.NoError(t, s.Put(t.Context(), fmt.Sprint("deleted", i), store.Write{Version: 1, TTL: time.Hour, DueIn: time.Second}))
		require.NoError(t, s.Delete(t.Context(), fmt.Sprint("deleted", i)))
		require.NoError(t, s.Put(t.Context(), fmt.Sprint("cleared", i), store.Write{Version: 1, TTL: time.Hour, DueIn: time.Second}))
		require.NoError(t, s.Put(t.Context(), fmt.Sprint("cleared", i), store.Write{Replaces: 1, Version: 2, TTL: time.Hour}))
	}
	assert.Equal(t, n, indexed(t, s), "those that may come to be due")
	m.advance(2 * time.Second)
	keys, err := s.Due(t.Context(), 1)
	require.NoError(t, err)
	assert.Empty(t, keys)
	assert.Zero(t, indexed(t, s))
}

// Something else at the name of a record is an error, not an answer.
func TestForeignValues(t *testing.T) {
	m := newMini(t)
	client := connect(t, m.Addr())
	s := open(t, client)
	require.NoError(t, client.Set(t.Context(), s.name(shardOf("short"), "short"), "secret", 0).Err())
	require.NoError(t, client.LPush(t.Context(), s.name(shardOf("list"), "list"), "secret").Err())
	for _, key := range []string{"short", "list"} {
		_, err := s.Get(t.Context(), key)
		require.Error(t, err)
		assert.NotErrorIs(t, err, store.ErrNotFound)
		assert.NotContains(t, err.Error(), "secret")
		require.Error(t, s.Put(t.Context(), key, keeps("v")))
		require.NoError(t, s.Delete(t.Context(), key))
		require.NoError(t, s.Put(t.Context(), key, keeps("v")))
	}
}

// Whatever a server answers, record and dueEntries return.
func FuzzReplies(f *testing.F) {
	f.Add("1700000000", "999999", "\x00\x00\x00\x00\x00\x00\x00\x01value")
	f.Add("0", "1", "1234567")
	f.Add("x", "", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		rec, err := record([]any{a, b, c})
		if err == nil {
			require.Equal(t, c[versionLen:], string(rec.Value))
			w := store.Write{Value: rec.Value, Version: rec.Version, TTL: 1}
			require.Equal(t, c, string((&Store{}).put(0, "k", w).args[1].([]byte)))
		} else {
			require.Equal(t, store.Record{}, rec)
		}
		if entries, _, err := dueEntries([]any{a, b, c, a}, nil); err == nil {
			require.Len(t, entries, 1)
		}
	})
}

func TestReplies(t *testing.T) {
	for _, reply := range []any{nil, int64(1), "x", []any{}, []any{int64(1), int64(2), nil}, []any{"1", "x", nil}} {
		_, err := record(reply)
		require.Error(t, err, "%v", reply)
		assert.NotErrorIs(t, err, store.ErrNotFound)
	}
	require.NoError(t, written(int64(1)))
	require.ErrorIs(t, written(int64(0)), store.ErrConflict)
	for _, reply := range []any{nil, int64(2), "1"} {
		err := written(reply)
		require.Error(t, err, "%v", reply)
		assert.NotErrorIs(t, err, store.ErrConflict)
	}
	for _, reply := range []any{nil, "0", []any{}, []any{"0", "k"}, []any{"0", "k", "1"}, []any{"0", "k", "soon", "1"}, []any{"0", "k", int64(1), "1"}} {
		_, _, err := dueEntries(reply, nil)
		require.Error(t, err, "%v", reply)
	}
	_, _, err := dueEntries([]any{"0"}, errors.New("no answer"))
	require.ErrorContains(t, err, "no answer")
	_, err = looksOf([]any{"1"}, nil)
	require.Error(t, err)
}
