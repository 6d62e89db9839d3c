package okidhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

func TestWebhookVerifies(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice")
	require.Equal(t, http.StatusForbidden, w.gate("alice"))

	require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Started}))
	assert.Equal(t, "started", w.status("alice", a.Attempt))
	assert.Equal(t, http.StatusForbidden, w.gate("alice"))

	require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, "verified", w.status("alice", a.Attempt))
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, http.StatusForbidden, w.gate("bob"))
	assert.Equal(t, []string{"started", "verified"}, w.host.heard())

	e := w.host.last()
	assert.Equal(t, "alice", e.Subject)
	assert.Equal(t, a.Attempt, e.Attempt)
	assert.Equal(t, "fake", e.Provider)
	assert.Equal(t, "Canaryfirst", e.Verification.FirstName)
	assert.Equal(t, "v1", e.Verification.ID)
}

// A notice is known again by what is signed, not by how or when it comes.
func TestWebhookAppliesOnce(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice")
	for _, wait := range []time.Duration{0, time.Second, 6 * time.Minute, 25 * time.Hour, 90 * 24 * time.Hour} {
		w.clock.add(wait)
		require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Verified}), wait)
		// The same thing in other words, which has another digest.
		require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Verified, Note: wait.String()}), wait)
	}
	assert.Equal(t, []string{"verified"}, w.host.heard())
	for i := range 3 * maxSeen {
		require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Started, Note: strings.Repeat("x", i)}))
	}
	assert.Equal(t, []string{"verified"}, w.host.heard())
	assert.LessOrEqual(t, len(w.record("alice").Attempts[0].Seen), maxSeen)
}

func TestWebhookStoreOperations(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice")
	n := notice{Reference: a.Attempt, ID: "v1", Status: identity.Verified}
	w.store.counts()
	for _, step := range []struct {
		name       string
		do         func() int
		gets, puts int
	}{
		{"fresh", func() int { return w.webhook(n) }, 1, 2},
		{"duplicate", func() int { return w.webhook(n) }, 1, 0},
		{"gate", func() int { return w.gate("alice") }, 1, 0},
		{"status", func() int { w.status("alice", a.Attempt); return 200 }, 1, 0},
		{"forged", func() int { w.webhook(notice{Forged: true}); return 200 }, 0, 0},
	} {
		require.Equal(t, 200, step.do(), step.name)
		gets, puts := w.store.counts()
		assert.Equal(t, []int{step.gets, step.puts}, []int{gets, puts}, step.name)
	}
}

// Whatever is wrong with a delivery, it is answered as documented, writes
// nothing and calls nobody.
func TestWebhookRefuses(t *testing.T) {
	type request = *http.Request
	post := func(w *world, n notice) request { return w.webhookRequest(n) }
	for _, tt := range []struct {
		name    string
		request func(w *world, attempt string) request
		want    int
		header  string // that must be there
		outcome Outcome
	}{
		{"forged", func(w *world, a string) request { return post(w, notice{Reference: a, Forged: true}) }, 401, "", OutcomeUnauthentic},
		{"not JSON", func(w *world, _ string) request {
			return httptest.NewRequest("POST", "/webhook", strings.NewReader("x"))
		}, 401, "", OutcomeUnauthentic},
		{"empty", func(w *world, _ string) request { return httptest.NewRequest("POST", "/webhook", nil) }, 401, "", OutcomeUnauthentic},
		{"malformed", func(w *world, a string) request { return post(w, notice{Reference: a, Malformed: true}) }, 400, "", OutcomeMalformed},
		{"no reference", func(w *world, _ string) request { return post(w, notice{ID: "v1", Status: identity.Verified}) }, 200, "", OutcomeUnknownAttempt},
		{"made-up reference", func(w *world, _ string) request {
			return post(w, notice{Reference: strings.Repeat("A", 96), ID: "v1", Status: identity.Verified})
		}, 200, "", OutcomeUnknownAttempt},
		{"endless reference", func(w *world, _ string) request {
			return post(w, notice{Reference: strings.Repeat("A", 100_000), ID: "v1", Status: identity.Verified})
		}, 200, "", OutcomeUnknownAttempt},
		{"reference of another environment", func(w *world, a string) request {
			other := w.replica(func(c *Config) { c.Keys = [][]byte{testKey(9)} })
			at := w.at(a)
			return post(w, notice{Reference: newReference(other, at), ID: "v1", Status: identity.Verified})
		}, 200, "", OutcomeUnknownAttempt},
		{"attempt that is gone", func(w *world, a string) request {
			at := w.at(a)
			at.Attempt[0]++
			return post(w, notice{Reference: newReference(w.kit, at), ID: "v1", Status: identity.Verified})
		}, 200, "", OutcomeUnknownAttempt},
		{"subject without a record", func(w *world, _ string) request {
			return post(w, notice{Reference: newReference(w.kit, attempt.Address{Subject: attempt.HashSubject("carol")}), ID: "v1", Status: identity.Verified})
		}, 200, "", OutcomeUnknownAttempt},
		{"changed metadata", func(w *world, a string) request {
			return post(w, notice{Reference: a, ID: "v1", Status: identity.Verified, Metadata: map[string]string{"plan": "platinum"}})
		}, 200, "", OutcomeUnknownAttempt},
		{"created before the attempt", func(w *world, a string) request {
			return post(w, notice{Reference: a, ID: "v1", Status: identity.Verified, Created: w.clock.Now().Add(-clockSkew - time.Millisecond)})
		}, 200, "", OutcomeImplausible},
		{"created in the future", func(w *world, a string) request {
			return post(w, notice{Reference: a, ID: "v1", Status: identity.Verified, Created: w.clock.Now().Add(clockSkew + time.Millisecond)})
		}, 200, "", OutcomeImplausible},
		{"GET", func(*world, string) request { return httptest.NewRequest("GET", "/webhook", nil) }, 405, "Allow", ""},
		{"PUT", func(*world, string) request { return httptest.NewRequest("PUT", "/webhook", nil) }, 405, "Allow", ""},
		{"declared too large", func(w *world, _ string) request {
			r := httptest.NewRequest("POST", "/webhook", strings.NewReader("{}"))
			r.ContentLength = 256<<10 + 1
			return r
		}, 413, "", ""},
		{"too large without a length", func(w *world, _ string) request {
			r := httptest.NewRequest("POST", "/webhook", io.LimitReader(zeros{}, 1<<30))
			r.ContentLength = -1
			return r
		}, 413, "", ""},
		{"gzip", func(w *world, a string) request {
			r := post(w, notice{Reference: a, ID: "v1", Status: identity.Verified})
			r.Header.Set("Content-Encoding", "gzip")
			return r
		}, 415, "", ""},
		{"two encodings", func(w *world, a string) request {
			r := post(w, notice{Reference: a, ID: "v1", Status: identity.Verified})
			r.Header["Content-Encoding"] = []string{"identity", "br"}
			return r
		}, 415, "", ""},
		{"body read by a middleware", func(w *world, a string) request {
			r := post(w, notice{Reference: a, ID: "v1", Status: identity.Verified})
			_, _ = io.Copy(io.Discard, r.Body)
			return r
		}, 500, "", OutcomeBodyRead},
		{"body closed by a middleware", func(w *world, a string) request {
			r := post(w, notice{Reference: a, ID: "v1", Status: identity.Verified})
			r.Body = closedBody{}
			return r
		}, 500, "", OutcomeBodyRead},
		{"broken off", func(w *world, _ string) request {
			return httptest.NewRequest("POST", "/webhook", io.MultiReader(strings.NewReader("{"), brokenReader{}))
		}, 400, "", ""},
		{"unknown provider", func(w *world, a string) request {
			r := post(w, notice{Reference: a, ID: "v1", Status: identity.Verified})
			r.URL.RawQuery = "provider=nobody"
			return r
		}, 404, "", ""},
		{"stale, and the provider does not know it", func(w *world, a string) request {
			return post(w, notice{Reference: a, ID: "v1", Status: identity.Verified, At: w.clock.Now().Add(-6 * time.Minute)})
		}, 401, "", OutcomeStale},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) {
				c.Metadata = func(*http.Request) (map[string]string, error) { return map[string]string{"plan": "gold"}, nil }
			})
			a := w.start("alice").Attempt
			before := w.record("alice")
			before.Attempts[0].FetchedAt = time.Time{}
			r := tt.request(w, a)
			seen := w.outcomes.of(tt.outcome)

			rec := w.do(r, "")
			assert.Equal(t, tt.want, rec.Code, rec.Body.String())
			if tt.header != "" {
				assert.NotEmpty(t, rec.Header().Get(tt.header))
			}
			if tt.want != 200 {
				assert.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
			}
			if tt.outcome != "" {
				assert.Equal(t, seen+1, w.outcomes.of(tt.outcome))
			}
			after := w.record("alice")
			after.Attempts[0].FetchedAt = time.Time{} // asking is remembered
			after.Attempts[0].RefreshAt = before.Attempts[0].RefreshAt
			assert.Equal(t, before, after, "the record must not change")
			assert.Empty(t, w.host.heard())
			assert.Equal(t, http.StatusForbidden, w.gate("alice"))
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type closedBody struct{}

func (closedBody) Read([]byte) (int, error) { return 0, http.ErrBodyReadAfterClose }
func (closedBody) Close() error             { return nil }

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// An unknown word changes nothing, but it is authentic: the provider can be asked.
func TestUnknownWord(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: ""}))
	assert.Equal(t, "created", w.status("alice", a))
	assert.Contains(t, w.log.String(), OutcomeUnknownWord)
	assert.Empty(t, w.host.heard())
	w.provider.answer(a, "v1", identity.Verified)
	w.later(refreshEvery)
	assert.Equal(t, 200, w.gate("alice"))
}

// An id belongs to one attempt, and an attempt has one id.
func TestWebhookOfAnotherVerification(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice")
	require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Started}))
	require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v2", Status: identity.Verified}))
	assert.Equal(t, "started", w.status("alice", a.Attempt))
	assert.Equal(t, []string{"started"}, w.host.heard())
}

func TestOnUnknown(t *testing.T) {
	var got []identity.Notice
	fail := errors.New("database is away")
	w := newWorld(t, func(c *Config) {
		c.OnUnknown = func(_ context.Context, n identity.Notice) error {
			got = append(got, n)
			return fail
		}
	})
	n := notice{Reference: "started elsewhere", ID: "v9", Status: identity.Verified}
	assert.Equal(t, 500, w.webhook(n))
	fail = nil
	assert.Equal(t, 200, w.webhook(n))
	require.Len(t, got, 2)
	assert.Equal(t, "v9", got[1].Verification.ID)
}

// A webhook that is too old is a reason to ask, and settled if the provider says so.
func TestStaleWebhook(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	stale := func(s identity.Status) int {
		return w.webhook(notice{Reference: a, ID: "v1", Status: s, At: w.clock.Now().Add(-time.Hour)})
	}
	assert.Equal(t, 401, stale(identity.Verified), "the provider does not know it")
	w.provider.answer(a, "v1", identity.Started)
	assert.Equal(t, 401, stale(identity.Verified), "asked a moment ago")
	assert.Equal(t, 1, w.provider.asked())

	w.clock.add(staleEvery)
	assert.Equal(t, 401, stale(identity.Verified), "the provider has no verdict")
	assert.Equal(t, "started", w.status("alice", a))
	assert.Equal(t, 200, stale(identity.Started), "that is what stands")

	w.clock.add(staleEvery)
	w.provider.answer(a, "v1", identity.Verified)
	assert.Equal(t, 200, stale(identity.Verified))
	assert.Equal(t, 3, w.provider.asked())
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, 200, stale(identity.Verified), "stands already")
	assert.Equal(t, 3, w.provider.asked())
	assert.Equal(t, []string{"started", "verified"}, w.host.heard())

	w.clock.add(staleEvery)
	w.provider.answer("another reference", "v1", identity.Failed)
	assert.Equal(t, 401, stale(identity.Failed), "the answer is about somebody else")
	assert.Equal(t, 200, w.gate("alice"))
}

// The body of a webhook is read to the cap and no further.
func TestWebhookReadsNoMoreThanTheCap(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxBody = 4096 })
	body := &countingReader{Reader: zeros{}}
	r := httptest.NewRequest("POST", "/webhook", body)
	r.ContentLength = -1
	require.Equal(t, 413, w.do(r, "").Code)
	assert.LessOrEqual(t, body.n, 4097)
}

type countingReader struct {
	io.Reader
	n int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}

// A sender that trickles is cut off.
func TestWebhookSlowBody(t *testing.T) {
	w := newWorld(t)
	blocked := new(deadlineBody)
	r := httptest.NewRequest("POST", "/webhook", blocked)
	r.ContentLength = -1
	rec := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder(), body: blocked}
	synctest.Test(t, func(t *testing.T) {
		blocked.unblocked = make(chan struct{})
		w.kit.ServeHTTP(rec, r)
	})
	assert.Equal(t, http.StatusRequestTimeout, rec.Code)
}

// deadlineBody blocks until a read deadline is set.
type deadlineBody struct{ unblocked chan struct{} }

func (b *deadlineBody) Read([]byte) (int, error) { <-b.unblocked; return 0, errors.New("i/o timeout") }

type deadlineRecorder struct {
	*httptest.ResponseRecorder
	body *deadlineBody
}

func (r *deadlineRecorder) SetReadDeadline(t time.Time) error {
	close(r.body.unblocked)
	return nil
}

func TestCallbackFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(Event) error
	}{
		{"error", func(Event) error { return errors.New("database is away") }},
		{"panic", func(Event) error { panic("boom") }},
		{"its own deadline", func(Event) error { return context.DeadlineExceeded }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			a := w.start("alice").Attempt
			n := notice{Reference: a, ID: "v1", Status: identity.Verified}
			w.host.failing(tt.fail)
			require.Equal(t, 500, w.webhook(n))
			assert.Equal(t, http.StatusForbidden, w.gate("alice"), "nothing opens")
			assert.Equal(t, "created", w.status("alice", a))
			require.Equal(t, 500, w.webhook(n), "the next delivery tries again")

			w.host.failing(nil)
			w.later(time.Hour)
			assert.Equal(t, 200, w.gate("alice"), "and so does the worker")
			require.Equal(t, 200, w.webhook(n))
			w.later(time.Hour)
			assert.Equal(t, []string{"verified", "verified", "verified"}, w.host.heard())
			for _, e := range w.host.events {
				assert.Equal(t, w.host.events[0].ID, e.ID)
				assert.Equal(t, w.host.events[0].Verification, e.Verification)
			}
		})
	}
}

func TestCallbackBackoff(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.host.failing(func(Event) error { return errors.New("no") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	var waits []time.Duration
	for tries := 1; tries < 15; tries++ {
		start := w.clock.Now()
		for len(w.host.heard()) == tries {
			w.later(time.Second)
		}
		waits = append(waits, w.clock.Now().Sub(start))
	}
	for i, wait := range waits {
		least := min(time.Second<<i, 10*time.Minute)
		assert.GreaterOrEqual(t, wait, least)
		assert.LessOrEqual(t, wait, least+least/4+time.Second)
	}
	verified := func() (n int) {
		for _, word := range w.host.heard() {
			if word == "verified" {
				n++
			}
		}
		return n
	}
	w.later(giveUpAfter)
	tries := verified()
	w.later(giveUpAfter)
	assert.Equal(t, tries, verified(), "a dead letter is not tried again")
	assert.Equal(t, http.StatusForbidden, w.gate("alice"))
	assert.Contains(t, w.log.String(), string(OutcomeDeadLetter))
}

func TestPermanent(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.host.failing(func(Event) error { return Permanent(errors.New("no such user")) })
	n := notice{Reference: a, ID: "v1", Status: identity.Verified}
	require.Equal(t, 200, w.webhook(n), "the provider need not send it again")
	require.Equal(t, 200, w.webhook(n))
	w.later(24 * time.Hour)
	assert.Equal(t, []string{"verified"}, w.host.heard()[:1])
	assert.NotContains(t, w.host.heard()[1:], "verified")
	assert.Equal(t, http.StatusForbidden, w.gate("alice"))
	assert.NoError(t, Permanent(nil))
}

// What closes takes effect though the host cannot be told; what opens does not.
func TestClosingDoesNotWait(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.host.failing(func(Event) error { return errors.New("no") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	assert.Equal(t, "failed", w.status("alice", a))
	w.host.failing(nil)
	w.later(time.Hour)
	assert.Equal(t, []string{"failed", "failed"}, w.host.heard())

	b := w.start("bob").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: b, ID: "v2", Status: identity.Verified}))
	require.Equal(t, 200, w.gate("bob"))
	w.provider.answer(b, "v2", identity.Failed)
	w.host.failing(func(Event) error { return errors.New("no") })
	require.Equal(t, 500, w.webhook(notice{Reference: b, ID: "v2", Status: identity.Failed}))
	assert.Equal(t, http.StatusForbidden, w.gate("bob"), "revoked at once")
	assert.Equal(t, "revoked", w.status("bob", b))
}

func TestDecide(t *testing.T) {
	var verdict error = Refuse("too_young")
	w := newWorld(t, func(c *Config) {
		c.Decide = func(_ context.Context, e Event) error {
			assert.Equal(t, identity.Verified, e.Status)
			assert.Equal(t, "Canaryfirst", e.Verification.FirstName)
			return verdict
		}
	})
	a := w.start("alice").Attempt
	n := notice{Reference: a, ID: "v1", Status: identity.Verified}
	require.Equal(t, 200, w.webhook(n))
	assert.Equal(t, []string{"failed"}, w.host.heard())
	assert.Equal(t, "too_young", w.host.last().Reason)
	assert.Equal(t, "failed", w.status("alice", a))

	// It stays so, whatever the provider says.
	verdict = nil
	w.provider.answer(a, "v1", identity.Verified)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified, Note: "again"}))
	w.later(time.Hour)
	assert.Equal(t, "failed", w.status("alice", a))
	assert.Equal(t, http.StatusForbidden, w.gate("alice"))

	for name, undecided := range map[string]error{
		"database": errors.New("database is away"),
		"deadline": context.DeadlineExceeded,
	} {
		verdict = undecided
		a := w.start(name).Attempt
		require.Equal(t, 500, w.webhook(notice{Reference: a, ID: name, Status: identity.Verified}), name)
		assert.Equal(t, "created", w.status(name, a), name)
		verdict = nil
		w.later(time.Minute)
		assert.Equal(t, 200, w.gate(name), name)
	}
}

func TestNilCallbacks(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.OnStarted, c.OnVerified, c.OnFailed = nil, nil, nil })
	a := w.start("alice").Attempt
	w.store.counts()
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	gets, puts := w.store.counts()
	assert.Equal(t, []int{1, 1}, []int{gets, puts})
	assert.Equal(t, 200, w.gate("alice"))
}

func TestAsync(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Async = true })
	a := w.start("alice").Attempt
	n := notice{Reference: a, ID: "v1", Status: identity.Verified}
	for range 3 {
		require.Equal(t, 200, w.webhook(n))
	}
	assert.Empty(t, w.host.heard())
	assert.Equal(t, http.StatusForbidden, w.gate("alice"))
	w.later(time.Millisecond)
	assert.Equal(t, []string{"verified"}, w.host.heard())
	assert.Equal(t, 200, w.gate("alice"))
	require.Equal(t, 200, w.webhook(n))
	w.later(time.Millisecond)
	assert.Len(t, w.host.heard(), 1)
}

func TestConfirmByFetch(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ConfirmByFetch = true })
	a := w.start("alice").Attempt
	n := notice{Reference: a, ID: "v1", Status: identity.Verified}
	for name, prepare := range map[string]func(){
		"away":           func() { w.provider.away = identity.ErrUnavailable },
		"unknown":        func() { w.provider.away = nil },
		"somebody else":  func() { w.provider.answer("another reference", "v1", identity.Verified) },
		"not yet":        func() { w.provider.answer(a, "v1", identity.Started) },
		"unknown status": func() { w.provider.answer(a, "v1", "") },
	} {
		prepare()
		require.Equal(t, 503, w.webhook(n), name)
		assert.Equal(t, http.StatusForbidden, w.gate("alice"), name)
		w.provider.away = nil
		delete(w.provider.answers, "v1")
	}
	w.provider.answer(a, "v1", identity.Verified)
	w.later(time.Hour)
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, []string{"verified"}, w.host.heard())

	b := w.start("bob").Attempt
	w.provider.answer(b, "v2", identity.Failed)
	require.Equal(t, 200, w.webhook(notice{Reference: b, ID: "v2", Status: identity.Verified}))
	assert.Equal(t, "failed", w.status("bob", b))
	assert.Equal(t, []string{"verified", "failed"}, w.host.heard())
}

// 64 deliveries at once over two replicas: one callback, and every delivery is
// acknowledged in the end.
func TestWebhookConcurrently(t *testing.T) {
	w := newWorld(t)
	other := w.replica()
	a := w.start("alice").Attempt
	request := w.webhookRequest(notice{Reference: a, ID: "v1", Status: identity.Verified})
	body, err := io.ReadAll(request.Body)
	require.NoError(t, err)

	var wg sync.WaitGroup
	var acknowledged atomic.Int32
	for i := range 64 {
		kit := []*Kit{w.kit, other}[i%2]
		wg.Go(func() {
			for {
				rec := httptest.NewRecorder()
				kit.ServeHTTP(rec, httptest.NewRequest("POST", "/webhook", bytes.NewReader(body)))
				switch rec.Code {
				case 200:
					acknowledged.Add(1)
					return
				case 503:
					assert.NotEmpty(t, rec.Header().Get("Retry-After"))
				default:
					t.Errorf("answer %d", rec.Code)
					return
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 64, acknowledged.Load())
	assert.Equal(t, []string{"verified"}, w.host.heard())
	assert.Equal(t, 200, w.gate("alice"))
}

// A notice that comes while the host is being told of another waits for its turn.
func TestNoticeDuringCallback(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.host.failing(func(e Event) error {
		if e.Status == identity.Started {
			assert.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		}
		return nil
	})
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	assert.Equal(t, []string{"started"}, w.host.heard())
	w.later(2 * time.Second)
	assert.Equal(t, []string{"started", "verified"}, w.host.heard(), "it was durable all the same")
	assert.Equal(t, 200, w.gate("alice"))
}

// A crash leaves a lease behind; when it ends, the work is done again with the
// same event id.
func TestLeaseOfACrashedProcess(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	n := notice{Reference: a, ID: "v1", Status: identity.Verified}
	crash := func() (id string) {
		defer func() { _ = recover() }()
		w.host.failing(func(e Event) error { id = e.ID; panic(http.ErrAbortHandler) })
		k := w.replica(func(c *Config) { c.Store = &dyingStore{w.store} })
		k.ServeHTTP(httptest.NewRecorder(), w.webhookRequest(n))
		return id
	}
	id := crash()
	require.NotEmpty(t, id)
	w.host.failing(nil)
	assert.Equal(t, 503, w.webhook(n), "the lease holds")
	w.later(w.kit.cfg.Lease - time.Second)
	assert.Len(t, w.host.heard(), 1)
	w.later(time.Second)
	assert.Equal(t, []string{"verified", "verified"}, w.host.heard())
	assert.Equal(t, id, w.host.last().ID)
	assert.Equal(t, 200, w.webhook(n))
	assert.Equal(t, 200, w.gate("alice"))
}

// dyingStore lets the first write through and no other.
type dyingStore struct{ *countingStore }

func (s *dyingStore) Put(ctx context.Context, key string, w store.Write) error {
	err := s.countingStore.Put(ctx, key, w)
	s.countingStore = &countingStore{Store: s.Store, broken: errStoreIsAway}
	return err
}

// Somebody who holds the lease no longer does not commit.
func TestFencedCommit(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	n := notice{Reference: a, ID: "v1", Status: identity.Verified}
	slept := false
	w.host.failing(func(Event) error {
		if slept {
			return nil
		}
		slept = true
		w.clock.add(w.kit.cfg.Lease) // paused past the end of the lease
		other := w.replica()
		rec := httptest.NewRecorder()
		other.ServeHTTP(rec, w.webhookRequest(n))
		assert.Equal(t, 200, rec.Code)
		return errors.New("the first holder's opinion does not count any more")
	})
	assert.Equal(t, 503, w.webhook(n))
	assert.Equal(t, 200, w.gate("alice"))
	assert.Empty(t, w.record("alice").Attempts[0].Outbox)
	assert.Equal(t, w.host.events[0].ID, w.host.events[1].ID)
}

func TestStoreAway(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	n := notice{Reference: a, ID: "v1", Status: identity.Verified}
	require.Equal(t, 200, w.webhook(n))
	require.Equal(t, 200, w.gate("alice"))
	w.store.breakDown(errStoreIsAway)
	for _, target := range []string{"/status?attempt=" + a, "/success?attempt=" + a, "/page", "/page?attempt=" + a} {
		rec := w.get("alice", target)
		assert.Equal(t, 503, rec.Code, target)
		assert.NotEmpty(t, rec.Header().Get("Retry-After"), target)
		assert.NotContains(t, rec.Body.String(), errStoreIsAway.Error(), target)
	}
	assert.Equal(t, 503, w.webhook(n))
	assert.Equal(t, 503, w.gate("alice"), "never open by accident")
	assert.Equal(t, 503, w.tryStart("bob").Code)
	w.store.breakDown(nil)
	assert.Equal(t, 200, w.webhook(n))
	assert.Equal(t, 200, w.gate("alice"))
}

// A process may die at any of its operations on the store, before or after the
// write took place: what was acknowledged happens, and as one event.
func TestWebhookSurvivesACrashAnywhere(t *testing.T) {
	for _, word := range []identity.Status{identity.Verified, identity.Failed} {
		for operations := range 6 {
			for mode := range 4 {
				written, async := mode&1 != 0, mode&2 != 0
				name := fmt.Sprintf("%s after %d operations, written %v, async %v", word, operations, written, async)
				w := newWorld(t)
				a := w.start("alice").Attempt
				w.kit = w.replica(func(c *Config) {
					c.Store = &crashingStore{Store: w.store, left: operations, written: written}
					c.Async = async
				})
				n := notice{Reference: a, ID: "v1", Status: word}
				code := w.webhook(n)
				w.kit = w.replica()
				for range 10 {
					w.later(time.Minute)
				}
				if code == 200 {
					assert.Equal(t, string(word), w.status("alice", a), name)
				}
				assert.Empty(t, w.record("alice").Attempts[0].Outbox, name)
				require.Equal(t, 200, w.webhook(n), name)
				assert.Equal(t, string(word), w.status("alice", a), name)
				ids := map[string]bool{}
				for _, e := range w.host.events {
					ids[e.ID] = true
				}
				assert.Len(t, ids, 1, name)
			}
		}
	}
}

// crashingStore fails for good after some operations. The first write that fails
// takes place all the same if written is set.
type crashingStore struct {
	store.Store
	left    int
	written bool
}

func (s *crashingStore) Get(ctx context.Context, key string) (store.Record, error) {
	if s.left--; s.left < 0 {
		return store.Record{}, errStoreIsAway
	}
	return s.Store.Get(ctx, key)
}

func (s *crashingStore) Put(ctx context.Context, key string, w store.Write) error {
	s.left--
	if s.left >= 0 {
		return s.Store.Put(ctx, key, w)
	}
	if s.left == -1 && s.written {
		_ = s.Store.Put(ctx, key, w)
	}
	return errStoreIsAway
}

// The host knew, but that could not be written down, and then the provider
// withdraws: the host must hear of it.
func TestLostCommitIsRevoked(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.provider.answer(a, "v1", identity.Failed)
	w.host.failing(func(e Event) error {
		if e.Status == identity.Verified {
			w.store.breakDown(errStoreIsAway)
		}
		return nil
	})
	require.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.store.breakDown(nil)
	w.clock.add(time.Minute)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	w.later(time.Hour)
	assert.Equal(t, []string{"verified", "revoked"}, w.host.heard())
	assert.Equal(t, http.StatusForbidden, w.gate("alice"))
}

// Where no worker runs, a notice that is delivered again tells what is owed.
func TestRedeliveryTellsWhatIsOwed(t *testing.T) {
	fail := func(Event) error { return errors.New("database is away") }
	t.Run("a revocation", func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		w.provider.answer(a, "v1", identity.Failed)
		w.host.failing(fail)
		n := notice{Reference: a, ID: "v1", Status: identity.Failed}
		require.Equal(t, 500, w.webhook(n))
		require.Equal(t, 500, w.webhook(n))
		w.host.failing(nil)
		require.Equal(t, 200, w.webhook(n))
		assert.Equal(t, []string{"verified", "revoked", "revoked", "revoked"}, w.host.heard())
	})
	t.Run("a refusal of the host's own", func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Decide = func(context.Context, Event) error { return Refuse("too_young") } })
		a := w.start("alice").Attempt
		w.host.failing(fail)
		n := notice{Reference: a, ID: "v1", Status: identity.Verified}
		require.Equal(t, 500, w.webhook(n))
		require.Equal(t, 500, w.webhook(n))
		w.host.failing(nil)
		require.Equal(t, 200, w.webhook(n))
		assert.Equal(t, []string{"failed", "failed", "failed"}, w.host.heard())
	})
}

// A notice is plausible if it is so by the kit's clock or by the store's.
func TestClocksThatDisagree(t *testing.T) {
	for _, skew := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		w := newWorld(t)
		w.store.Store = memstore.New(memstore.WithClock(func() time.Time { return w.clock.Now().Add(skew) }))
		a := w.start("alice").Attempt
		w.clock.add(time.Minute)
		n := notice{Reference: a, ID: "v1", Status: identity.Verified, Created: w.clock.Now().Add(-30 * time.Second)}
		require.Equal(t, 200, w.webhook(n), skew)
		assert.Equal(t, 200, w.gate("alice"), skew)
	}
}

// Who is confirmed is who the provider's answer says, also if the host is told
// at a later delivery.
func TestConfirmedDataIsTheFetched(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ConfirmByFetch = true })
	a := w.start("alice").Attempt
	at := w.at(a)
	w.provider.answer(a, "v1", identity.Verified)
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.get("alice", "/verify/success?attempt="+a) // fetched, and the host could not be told
	w.host.failing(nil)
	forged := identity.Notice{Provider: "fake", Reference: a, Digest: [32]byte{1}}
	forged.Verification = identity.Verification{ID: "v1", Status: identity.Verified, FirstName: "Forged"}
	_, err := w.kit.engine.Deliver(t.Context(), at, forged)
	require.NoError(t, err)
	assert.Equal(t, identity.Verified, w.host.last().Status)
	assert.Equal(t, person.FirstName, w.host.last().Verification.FirstName)
}

// Only failures of the callback make a dead letter, not the time that nobody ran.
func TestOneFailureAfterALongOutage(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Async = true })
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.host.failing(func(Event) error { return errors.New("just starting") })
	w.later(giveUpAfter + time.Hour)
	w.host.failing(nil)
	w.later(time.Hour)
	assert.Equal(t, []string{"verified", "verified"}, w.host.heard())
	assert.Equal(t, 200, w.gate("alice"))
}

// What the host gave up on is not brought to it again, in whatever words or
// however it comes.
func TestDeadLetterStaysDead(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Review}))
	w.provider.answer(a, "v1", identity.Verified)
	w.host.failing(func(e Event) error { return Permanent(errors.New("no such user")) })
	for range 48 {
		w.later(refreshEvery)
	}
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified, Note: "in other words"}))
	w.get("alice", "/verify/success?attempt="+a)
	assert.Equal(t, []string{"review", "verified"}, w.host.heard())
	assert.Len(t, w.record("alice").Attempts[0].Letters, 1)
}

func TestOutcomesAreCountedOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		async bool
		fail  error
		want  Outcome
	}{
		{"applied", false, nil, OutcomeApplied},
		{"applied by the worker", true, nil, OutcomeApplied},
		{"given up", false, Permanent(errors.New("no such user")), OutcomeDeadLetter},
		{"given up by the worker", true, Permanent(errors.New("no such user")), OutcomeDeadLetter},
		{"failed", false, errors.New("database is away"), OutcomeCallbackFailed},
	} {
		w := newWorld(t, func(c *Config) { c.Async = tt.async })
		a := w.start("alice").Attempt
		w.host.failing(func(Event) error { return tt.fail })
		w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified})
		w.later(time.Millisecond)
		assert.Equal(t, 1, w.outcomes.of(tt.want), tt.name)
	}
}

// A denial in other words is not acknowledged before the host knows of the
// revocation that it leads to.
func TestDenialWaitsForTheRevocation(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.provider.answer(a, "v1", identity.Failed)
	w.host.failing(func(Event) error { return errors.New("database is away") })
	assert.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	assert.Equal(t, 403, w.gate("alice"))
	for _, n := range []notice{{Status: identity.Failed, Note: "in other words"}, {Status: identity.Expired}} {
		n.Reference, n.ID = a, "v1"
		assert.Equal(t, 500, w.webhook(n))
	}
	w.host.failing(nil)
	assert.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed, Note: "once more"}))
	assert.Equal(t, "revoked", string(w.host.last().Status))
	heard := len(w.host.heard())
	assert.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	assert.Len(t, w.host.heard(), heard)
}

// Back-pressure: whoever comes while too much is going on is told to come again.
func TestMaxInFlight(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxInFlight = 2 })
	refs := []string{w.start("alice").Attempt, w.start("bob").Attempt, w.start("carol").Attempt}
	called, release := make(chan struct{}, 2), make(chan struct{})
	w.host.failing(func(Event) error {
		called <- struct{}{}
		<-release
		return nil
	})
	answers := make(chan int, 2)
	for _, ref := range refs[:2] {
		n := notice{Reference: ref, ID: ref[:9], Status: identity.Verified}
		go func() { answers <- w.webhook(n) }()
	}
	<-called
	<-called
	assert.Zero(t, w.kit.bodiesHeld(), "what is authentic has this bound instead")
	third := notice{Reference: refs[2], ID: "v3", Status: identity.Verified}
	rec := w.do(w.webhookRequest(third), "")
	assert.Equal(t, 503, rec.Code)
	assert.Equal(t, "1", rec.Header().Get("Retry-After"))
	assert.Contains(t, w.log.String(), string(OutcomeBusy))
	assert.Equal(t, 403, w.gate("carol"), "the gate goes on")
	close(release)
	assert.Equal(t, []int{200, 200}, []int{<-answers, <-answers})
	assert.Equal(t, 200, w.webhook(third))
}

// An authentic webhook that is too old, and of which nobody could be asked, is no news
// for anybody.
func TestStaleWebhookOfAnUnknownAttempt(t *testing.T) {
	unknown := 0
	w := newWorld(t, func(c *Config) { c.OnUnknown = func(context.Context, identity.Notice) error { unknown++; return nil } })
	n := notice{Reference: "elsewhere", ID: "v1", Status: identity.Verified, At: w.clock.Now().Add(-time.Hour)}
	assert.Equal(t, 401, w.webhook(n))
	assert.Zero(t, unknown)
	n.At = w.clock.Now()
	assert.Equal(t, 200, w.webhook(n))
	assert.Equal(t, 1, unknown)
}
