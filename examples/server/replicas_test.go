package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// onThree is a server of three replicas that share a Redis.
func onThree(t *testing.T) *server {
	addr := redistest.Server(t)
	return launchReplicas(t, 3, map[string]string{"REDIS_URL": "redis://" + addr})
}

// only is one replica of the server, for requests that it alone is to get.
func (s *server) only(i int) *server {
	p := s.replicas[i]
	return &server{
		url: "http://" + p.addr, secret: s.secret, fake: s.fake, witness: s.witness, client: s.client,
		replicas: []*process{p}, lines: s.lines,
	}
}

// watch follows the live status of an attempt at one replica. What comes is the
// status, or "heartbeat"; the channel is closed when the stream ends as it should.
func (u *user) watch(t *testing.T, a *attempt) <-chan string {
	t.Helper()
	resp := u.open(t, t.Context(), "GET", "/verify/status?attempt="+a.Attempt, "", u.with([]string{"Accept: text/event-stream"})...)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	seen := make(chan string, 1000)
	go func() {
		defer resp.Body.Close()
		stream := bufio.NewScanner(resp.Body)
		for stream.Scan() {
			const data = "data: "
			switch line := stream.Text(); {
			case line == ":":
				seen <- "heartbeat"
			case len(line) > len(data) && line[:len(data)] == data:
				var body struct{ Status string }
				if json.Unmarshal([]byte(line[len(data):]), &body) != nil {
					body.Status = line
				}
				seen <- body.Status
			}
		}
		if err := stream.Err(); err != nil {
			seen <- err.Error()
			return
		}
		close(seen)
	}()
	return seen
}

// Who watches at one replica sees what was told to another, and does not keep the
// replica from ending.
func TestLiveStatusAcrossReplicas(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	s := onThree(t)
	first, second, third := s.only(0), s.only(1), s.only(2)
	alice, bob := s.logIn(t, "alice"), s.logIn(t, "bob")
	a, b := alice.begin(t), bob.begin(t)
	live := alice.at(second).watch(t, a)
	cut := bob.at(third).watch(t, b)
	for _, seen := range []<-chan string{live, cut} {
		assert.Equal(t, "started", receive(t, seen))
		assert.Equal(t, "heartbeat", receive(t, seen))
	}

	require.Equal(t, http.StatusOK, first.deliver(t, first.signed(completed(a, a.id))).status)
	committed := now()
	assert.Equal(t, "verified", receive(t, live))
	took := now().Sub(committed)
	t.Logf("seen at another replica %v after the commit", took)
	assert.Less(t, took, 5*time.Second)
	assert.Empty(t, receive(t, live), "the end")
	s.told(t, a, "verified")

	third.terminate(t)
	assert.Empty(t, receive(t, cut), "the end")
	assert.Empty(t, third.wait(t))
	bob.at(second).shut(t)
	s.stop(t)
}

// However many users wait at however many replicas, the provider is asked about an
// attempt once in a while.
func TestReplicasAskTheProviderOnce(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	for _, tt := range []struct {
		route string
		every time.Duration
	}{
		{"success", 2 * time.Second},
		{"status", 5 * time.Second},
	} {
		t.Run(tt.route, func(t *testing.T) {
			t.Parallel()
			s := onThree(t)
			alice := s.logIn(t, "alice")
			a := alice.begin(t)
			var asked atomic.Int64
			slow := make(chan struct{})
			s.fake.FailFetch(1000, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				select {
				case <-slow:
				case <-r.Context().Done():
				}
				_ = json.NewEncoder(w).Encode(okid.VerificationBody{
					ID: a.id, Status: okid.StatusStarted, CreatedAt: stamp(0), Metadata: map[string]string{okid.MetadataReference: a.Attempt},
				})
			}))
			ask := func(i int, route string) answer {
				return alice.at(s.only(i%3)).do(t, "GET", "/verify/"+route+"?attempt="+a.Attempt, "")
			}

			// One comes back and waits for the provider. The others do not wait.
			const users = 100
			begun := now()
			answers := make(chan answer, users)
			go func() { answers <- ask(0, "success") }()
			for i := 1; i < users; i++ {
				go func() { answers <- ask(i, tt.route) }()
			}
			for range users - 1 {
				assert.Equal(t, http.StatusOK, receive(t, answers).status)
			}
			close(slow)
			assert.Equal(t, http.StatusOK, receive(t, answers).status)

			// They go on asking, until it is time to ask the provider again.
			n := 0
			for ; asked.Load() < 2 && now().Sub(begun) < patience; n++ {
				assert.Equal(t, http.StatusOK, ask(n, tt.route).status)
			}
			took := now().Sub(begun)
			t.Logf("%d requests in %v, the provider was asked %d times", users+n, took, asked.Load())
			assert.GreaterOrEqual(t, asked.Load(), int64(2))
			// The kit keeps times to the millisecond.
			assert.LessOrEqual(t, asked.Load(), 1+int64(took/(tt.every-time.Millisecond)))

			require.NoError(t, s.fake.Complete(a.id, okidtest.Passport(now())))
			s.settle(t)
			s.told(t, a, "verified")
			assert.Equal(t, http.StatusSeeOther, ask(1, "success").status)
			s.stop(t)
		})
	}
}
