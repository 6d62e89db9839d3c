package main

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
)

// launcher is launch, for one setting or another.
type launcher func(t *testing.T, env map[string]string) *server

// everywhere runs a scenario with one process and its memory, and, if there is Redis
// on this machine, with three replicas, each launch on a database of its own.
func everywhere(t *testing.T, scenario func(*testing.T, launcher)) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		scenario(t, launch)
	})
	t.Run("redis, three replicas", func(t *testing.T) {
		testenv.Long(t)
		t.Parallel()
		addr := redistest.Server(t)
		database := 0
		scenario(t, func(t *testing.T, env map[string]string) *server {
			t.Helper()
			all := map[string]string{"REDIS_URL": fmt.Sprintf("redis://%s/%d", addr, database)}
			database++
			maps.Copy(all, env)
			return launchReplicas(t, 3, all)
		})
	})
}

// onRedis runs a test with a single server and with a Cluster, if there is Redis
// on this machine.
func onRedis(t *testing.T, f func(t *testing.T, env map[string]string)) {
	env := func(url string) map[string]string {
		return map[string]string{
			"REDIS_URL": url, "OKID_KEYS": randomKey(), "OKID_API_KEY": rand.Text(), "OKID_WEBHOOK_SECRET": rand.Text(),
		}
	}
	t.Run("single", func(t *testing.T) {
		t.Parallel()
		f(t, env("redis://"+redistest.Server(t)))
	})
	t.Run("cluster", func(t *testing.T) {
		testenv.Long(t)
		t.Parallel()
		f(t, env("redis://"+strings.Join(redistest.Cluster(t), ",")))
	})
}

// at is the same user, with the same session, at another replica.
func (u *user) at(s *server) *user { return &user{server: s, name: u.name, cookie: u.cookie} }

// What is started at one replica, told to another and asked of a third is one
// thing; and it outlives all three.
func TestReplicas(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, env map[string]string) {
		first, second, third := launch(t, env), launch(t, env), launch(t, env)
		assert.Equal(t, http.StatusOK, third.do(t, "GET", "/readyz", "").status)
		alice := first.logIn(t, "alice")
		a := alice.begin(t)
		alice.at(third).shut(t)

		d := second.signed(completed(a, a.id))
		require.Equal(t, http.StatusOK, second.deliver(t, d).status)
		verified := second.told(t, a, "verified")
		assert.NotEmpty(t, verified.EventID)
		for _, s := range []*server{first, second, third} {
			alice.at(s).opened(t)
			require.Equal(t, http.StatusOK, s.deliver(t, d).status)
		}
		for _, s := range []*server{first, second, third} {
			s.stop(t) // and has told nothing more
		}

		later := launch(t, env)
		alice.at(later).opened(t)
		require.Equal(t, http.StatusOK, later.deliver(t, d).status)
		later.stop(t)
	})
}

// The same event delivered to all replicas at once is told by one of them.
func TestParallelReplayOnReplicas(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, env map[string]string) {
		const copies = 200
		replicas := []*server{launch(t, env), launch(t, env), launch(t, env), launch(t, env)}
		bob := replicas[0].logIn(t, "bob")
		a := bob.begin(t)
		d := replicas[0].signed(completed(a, a.id))
		answers := make(chan answer, copies)
		for i := range copies {
			go func() { answers <- replicas[i%len(replicas)].deliver(t, d) }()
		}
		count := map[int]int{}
		for range copies {
			got := receive(t, answers)
			count[got.status]++
			assert.Equal(t, got.status == http.StatusServiceUnavailable, got.header.Get("Retry-After") != "")
		}
		assert.Equal(t, copies, count[200]+count[503], "%v", count)
		for range count[503] {
			require.Equal(t, http.StatusOK, replicas[1].deliver(t, d).status)
		}
		told := 0
		for _, s := range replicas {
			bob.at(s).opened(t)
			s.client.CloseIdleConnections()
			s.terminate(t)
			for _, l := range s.wait(t) {
				told++
				assert.Equal(t, "verified", l.Callback)
			}
		}
		assert.Equal(t, 1, told)
	})
}

// Without Redis nobody gets through and nothing is taken for done.
func TestRedisAway(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	redis := redistest.Start(t)
	s := launch(t, map[string]string{"REDIS_URL": "redis://" + redis.Addr})
	u := s.logIn(t, "alice")
	a := u.begin(t)
	d := s.signed(completed(a, a.id))

	redis.Freeze(t)
	for _, got := range []answer{s.deliver(t, d), u.do(t, "GET", "/members", ""), u.do(t, "POST", "/verify/start", "")} {
		assert.Equal(t, http.StatusServiceUnavailable, got.status)
		assert.NotEmpty(t, got.header.Get("Retry-After"))
	}
	assert.Equal(t, http.StatusServiceUnavailable, s.do(t, "GET", "/readyz", "").status)
	assert.Equal(t, http.StatusOK, s.do(t, "GET", "/healthz", "").status)
	redis.Thaw(t)

	var got answer
	require.Eventually(t, func() bool { got = s.deliver(t, d); return got.status != http.StatusServiceUnavailable }, patience, 100_000_000)
	assert.Equal(t, http.StatusOK, got.status, got.body)
	s.told(t, a, "verified")
	u.opened(t)
	s.stop(t)
}
