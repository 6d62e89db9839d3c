package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/sqltest"
	"github.com/okidkit/okidkit/internal/testenv"
)

// inTime is how soon every answer must come, whatever is wrong with the database.
const inTime = 10 * time.Second

// fault is something that happens to a database and ends.
type fault struct {
	name    string
	args    []string // for redis-server
	proxied bool     // there is a proxy between the database and the server
	begin   func(t *testing.T, r *rig)
	end     func(t *testing.T, r *rig)

	reads   bool // what is known can still be read
	works   bool // everything works, if later
	may     bool // now and then something fails all the same
	forgets bool // the records are gone
}

// rig is what faults are made with.
type rig struct {
	*redistest.Process
	admin    *redis.Client
	postgres *sqltest.Process
	db       *sql.DB
	proxy    *proxy
}

func (r *rig) do(t *testing.T, args ...any) {
	t.Helper()
	require.NoError(t, r.admin.Do(t.Context(), args...).Err())
}

// byCommand is a fault that commands to Redis begin and end.
func byCommand(begin, end string) fault {
	do := func(command string) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) {
			var args []any
			for word := range strings.FieldsSeq(command) {
				args = append(args, word)
			}
			r.do(t, args...)
		}
	}
	return fault{begin: do(begin), end: do(end), reads: true}
}

// byProxy is a fault of the network.
func byProxy(treat func(answers int, chunk []byte) (rest []byte, goesOn bool)) fault {
	return fault{
		proxied: true,
		begin:   func(_ *testing.T, r *rig) { r.proxy.treat.Store(&treat) },
		end:     func(_ *testing.T, r *rig) { r.proxy.treat.Store(&untreated) },
	}
}

func (f fault) named(name string) fault { f.name = name; return f }

func faults() []fault {
	killed := fault{
		begin: func(t *testing.T, r *rig) { r.Kill(t) },
		end:   func(t *testing.T, r *rig) { r.Restart(t) },
	}
	durable, empty := killed, killed
	durable.args = []string{"--appendonly", "yes", "--appendfsync", "always"}
	empty.forgets = true
	return []fault{
		durable.named("killed"),
		empty.named("killed, and comes back empty"),
		byCommand("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE").named("read-only"),
		byCommand("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0").named("too few replicas"),
		byCommand("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0").named("out of memory"),
		slowly().named("slow"),
		cutOffAfter(4).named("some answers cut off"),
		cutOffAfter(0).named("all answers cut off"),
		byProxy(lost).named("no answers"),
	}
}

// slowly is a fault by which every answer is late.
func slowly() fault {
	f := byProxy(func(_ int, chunk []byte) ([]byte, bool) {
		<-time.After(100 * time.Millisecond)
		return chunk, true
	})
	f.works = true
	return f
}

// cutOffAfter is a fault by which every connection breaks in the midst of the answer after the
// first n. A write may have taken place then, and nobody hears of it.
func cutOffAfter(n int) fault {
	f := byProxy(func(answers int, chunk []byte) ([]byte, bool) {
		if answers < n {
			return chunk, true
		}
		return chunk[:len(chunk)/2], false
	})
	f.works, f.may = n > 0, n > 0
	return f
}

// Whatever happens to Redis, nobody gets through who is not known to be verified,
// nothing is taken for done, every answer comes soon, and when it is over the
// server goes on by itself.
func TestRedisFaults(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			process := redistest.Start(t, f.args...)
			r := &rig{Process: process, admin: redis.NewClient(&redis.Options{Addr: process.Addr})}
			t.Cleanup(func() { _ = r.admin.Close() })
			addr := r.Addr
			if f.proxied {
				r.proxy = newProxy(t, r.Addr)
				addr = r.proxy.addr
			}
			s := launch(t, map[string]string{asServer: asSaboteur, "REDIS_URL": "redis://" + addr})
			f.strike(t, r, s)
		})
	}
}

// strike lets a fault begin and end, and asserts what the server does meanwhile and afterwards.
func (f fault) strike(t *testing.T, r *rig, s *server) {
	t.Helper()
	alice := s.logIn(t, "alice").begin(t)
	require.Equal(t, http.StatusOK, s.deliver(t, s.signed(completed(alice, alice.id))).status)
	s.told(t, alice, "verified")
	bob := s.logIn(t, "bob").begin(t)
	verifies := s.signed(completed(bob, bob.id))

	f.begin(t, r)
	f.holds(t, s, alice, bob, verifies)
	f.end(t, r)

	require.Eventually(t, func() bool { return s.do(t, "GET", "/readyz", "").status == http.StatusOK }, patience, pollEvery)
	if f.forgets {
		alice.user.shut(t)
		assert.Equal(t, http.StatusOK, s.deliver(t, verifies).status, "it means nothing now")
		bob.user.shut(t)
		bob = bob.user.begin(t)
		verifies = s.signed(completed(bob, bob.id))
	} else {
		alice.user.opened(t)
	}
	require.Eventually(t, func() bool { return s.send(verifies) == http.StatusOK }, patience, pollEvery)
	s.told(t, bob, "verified")
	bob.user.opened(t)
	require.Equal(t, http.StatusOK, s.deliver(t, verifies).status)
	s.stop(t) // and has told nothing more
}

// holds asserts how the server answers during a fault.
func (f fault) holds(t *testing.T, s *server, alice, bob *attempt, verifies delivery) {
	t.Helper()
	ready, gate := http.StatusServiceUnavailable, http.StatusServiceUnavailable
	if f.works {
		ready = http.StatusOK
	}
	if f.reads || f.works {
		gate = http.StatusOK
	}
	for _, request := range []struct {
		name string
		send func() answer
		want int
	}{
		{"liveness", func() answer { return s.do(t, "GET", "/healthz", "") }, http.StatusOK},
		{"readiness", func() answer { return s.do(t, "GET", "/readyz", "") }, ready},
		{"gate of who is verified", func() answer { return alice.user.do(t, "GET", "/members", "") }, gate},
		{"gate of who is not", func() answer { return bob.user.do(t, "GET", "/members", "") }, max(gate, http.StatusForbidden)},
		{"start", func() answer { return s.logIn(t, "carol").do(t, "POST", "/verify/start", "") }, max(ready, http.StatusCreated)},
		{"webhook", func() answer { return s.deliver(t, verifies) }, ready},
	} {
		begun := now()
		got := request.send()
		assert.Less(t, now().Sub(begun), inTime, request.name)
		if !f.may || got.status < http.StatusInternalServerError {
			assert.Equal(t, request.want, got.status, "%s: %s", request.name, got.body)
		}
		if got.status == http.StatusServiceUnavailable && request.name != "readiness" {
			assert.NotEmpty(t, got.header.Get("Retry-After"), request.name)
		}
	}
}

// When another master takes over in a Cluster, as it was asked to or because the
// old one has died, the server finds it, and what was known is known.
func TestClusterFailover(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	masters, replicas := redistest.ReplicatedCluster(t, 1)
	var addrs []string
	for _, p := range masters {
		addrs = append(addrs, p.Addr)
	}
	replica := &rig{Process: replicas[0], admin: redis.NewClient(&redis.Options{Addr: replicas[0].Addr})}
	t.Cleanup(func() { _ = replica.admin.Close() })
	s := launch(t, map[string]string{asServer: asSaboteur, "REDIS_URL": "redis://" + strings.Join(addrs, ",")})
	var all []*attempt
	for i := range 12 {
		all = append(all, s.logIn(t, fmt.Sprintf("user-%d", i)).begin(t))
	}
	verify := func(attempts []*attempt) {
		t.Helper()
		for _, a := range attempts {
			a.user.shut(t)
			verifies := s.signed(completed(a, a.id))
			require.Eventually(t, func() bool {
				status := s.send(verifies)
				assert.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, status)
				return status == http.StatusOK
			}, patience, pollEvery)
			s.told(t, a, "verified")
			require.Equal(t, http.StatusOK, s.deliver(t, verifies).status)
		}
	}
	ready := func() bool { return s.do(t, "GET", "/readyz", "").status == http.StatusOK }

	verify(all[:4])
	replica.takesOver(t)
	require.Eventually(t, ready, patience, pollEvery)
	verify(all[4:8])

	replica.caughtUp(t) // what a master had not passed on would be lost
	replica.Kill(t)
	for i, a := range all {
		begun := now()
		got := a.user.do(t, "GET", "/members", "")
		assert.Less(t, now().Sub(begun), inTime)
		known := http.StatusOK
		if i >= 8 {
			known = http.StatusForbidden
		}
		assert.Contains(t, []int{known, http.StatusServiceUnavailable}, got.status)
	}
	assert.Equal(t, http.StatusOK, s.do(t, "GET", "/healthz", "").status)
	require.Eventually(t, ready, patience, pollEvery)
	verify(all[8:])
	for _, a := range all {
		a.user.opened(t)
	}
	s.stop(t) // and has told nothing more
}

// replication is what Redis says of it.
func (r *rig) replication(t *testing.T) string {
	t.Helper()
	info, err := r.admin.Info(t.Context(), "replication").Result()
	require.NoError(t, err)
	return info
}

// takesOver makes a replica the master, whom the old one follows. Redis forgets that it
// was asked to after five seconds, for instance as the masters did not vote soon enough;
// then it is asked again.
func (r *rig) takesOver(t *testing.T) {
	t.Helper()
	const forgotten = 6 * time.Second
	var asked time.Time
	require.Eventually(t, func() bool {
		info := r.replication(t)
		if strings.Contains(info, "role:master\r\n") {
			return strings.Contains(info, "connected_slaves:1\r\n")
		}
		if now().Sub(asked) > forgotten {
			asked = now()
			r.do(t, "CLUSTER", "FAILOVER")
		}
		return false
	}, patience, pollEvery)
}

var (
	masterOffset  = regexp.MustCompile(`master_repl_offset:(\d+)`)
	replicaOffset = regexp.MustCompile(`slave0:.*state=online,offset=(\d+)`)
)

// caughtUp waits until the replica of a master has all that it has.
func (r *rig) caughtUp(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		info := r.replication(t)
		has, passedOn := masterOffset.FindStringSubmatch(info), replicaOffset.FindStringSubmatch(info)
		return has != nil && passedOn != nil && has[1] == passedOn[1]
	}, patience, pollEvery)
}

// proxy stands between a server and Redis, and treats what Redis answers.
type proxy struct {
	addr  string
	conns sync.WaitGroup
	treat atomic.Pointer[func(answers int, chunk []byte) (rest []byte, goesOn bool)]
}

var (
	untreated = func(_ int, chunk []byte) ([]byte, bool) { return chunk, true }
	lost      = func(int, []byte) ([]byte, bool) { return nil, true }
)

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{addr: l.Addr().String()}
	p.treat.Store(&untreated)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = l.Close(); p.conns.Wait() })
	p.conns.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.serve(ctx, client, to) })
		}
	})
	return p
}

func (p *proxy) serve(ctx context.Context, client net.Conn, to string) {
	defer client.Close()
	var d net.Dialer
	server, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _ = client.Close(); _ = server.Close() })()
	p.conns.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	chunk := make([]byte, 64<<10)
	for answers := 0; ; answers++ {
		n, err := server.Read(chunk)
		if err != nil {
			return
		}
		rest, goesOn := (*p.treat.Load())(answers, chunk[:n])
		if _, err := client.Write(rest); err != nil || !goesOn {
			return
		}
	}
}
