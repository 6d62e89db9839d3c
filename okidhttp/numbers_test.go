package okidhttp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
)

// What users are promised in numbers is written out here, so that nobody changes a
// constant without noticing. Other tests are free to name the constants.

// streamRequest is a request of alice's for the live status.
func streamRequest(ctx context.Context, attempt string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/verify/status?attempt="+attempt, nil)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Test-User", "alice")
	return r
}

// timedWriter notes when something is written.
type timedWriter struct {
	*httptest.ResponseRecorder
	began time.Time
	at    []time.Duration
}

func (w *timedWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *timedWriter) Write(b []byte) (int, error) {
	w.at = append(w.at, time.Since(w.began))
	return w.ResponseRecorder.Write(b)
}

// sharedRecorder lets a test read the body while it is written.
type sharedRecorder struct {
	*httptest.ResponseRecorder
	body syncBuffer
}

func (r *sharedRecorder) Write(b []byte) (int, error)       { return r.body.Write(b) }
func (r *sharedRecorder) WriteString(s string) (int, error) { return r.body.Write([]byte(s)) }

// A stream on which nothing happens gives a sign of life every 15 seconds.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ref := w.start("alice").Attempt
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		rec := &timedWriter{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
		w.kit.ServeHTTP(rec, streamRequest(ctx, ref))
		assert.Equal(t, []time.Duration{0, 15 * time.Second, 30 * time.Second, 45 * time.Second}, rec.at)
	})
}

// A change on one replica shows on another within a second, though the store tells
// nobody.
func TestStatusOverReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Store, c.Now = memstore.New(), time.Now })
		w.store.Store = w.kit.cfg.Store
		reader := w.replica(func(c *Config) { c.Now = time.Now }) // whose store is no Notifier
		ref := w.start("alice").Attempt
		rec, done := &sharedRecorder{ResponseRecorder: httptest.NewRecorder()}, make(chan struct{})
		go func() { defer close(done); reader.ServeHTTP(rec, streamRequest(t.Context(), ref)) }()
		for _, word := range []identity.Status{identity.Started, identity.Review, identity.Verified} {
			time.Sleep(time.Minute + 123*time.Millisecond)
			require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: word, At: time.Now()}))
			time.Sleep(time.Second)
			synctest.Wait()
			assert.Contains(t, rec.body.String(), `"status":"`+string(word)+`"`)
		}
		<-done
	})
}

// One user has at most three streams on each replica, however many ask.
func TestStreamsOfOneUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ref := w.start("alice").Attempt
		var all sync.WaitGroup
		var refused atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		for _, k := range []*Kit{w.kit, w.replica()} {
			for range 50 {
				all.Go(func() {
					rec := httptest.NewRecorder()
					k.ServeHTTP(rec, streamRequest(ctx, ref))
					if rec.Code == http.StatusTooManyRequests {
						refused.Add(1)
					}
				})
			}
		}
		synctest.Wait()
		assert.EqualValues(t, 100-6, refused.Load())
		cancel()
		all.Wait()
	})
}

// What depends on the user says so to caches.
func TestVary(t *testing.T) {
	w, ref := verifiedUser(t)
	gate := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/members", nil)
	r.Header.Set("Test-User", "alice")
	w.kit.RequireVerified(http.NotFoundHandler()).ServeHTTP(gate, r)
	status := w.do(httptest.NewRequest(http.MethodGet, "/verify/status?attempt="+ref, nil), "alice")
	for _, rec := range []*httptest.ResponseRecorder{gate, status} {
		vary := strings.Join(rec.Header().Values("Vary"), ", ")
		for _, name := range []string{"Cookie", "Authorization", "Accept"} {
			assert.Contains(t, strings.Split(vary, ", "), name)
		}
		assert.Equal(t, "private, no-store", rec.Header().Get("Cache-Control"))
	}
}

// The log says which secret signed a webhook.
func TestLogNamesTheSecret(t *testing.T) {
	w, _ := verifiedUser(t)
	assert.Contains(t, w.log.String(), `"signed_by":"secret 0"`)
}

// A verification that was refused is counted as that, once, however it became known.
func TestRefusalsAreCounted(t *testing.T) {
	expired := identity.Date{Year: 2020, Month: 1, Day: 1}
	for name, tt := range map[string]struct {
		decide func(context.Context, Event) error
		notice notice
		want   string
	}{
		"by the host":      {func(context.Context, Event) error { return Refuse("too_young") }, notice{ID: "v1", Status: identity.Verified}, "vetoed"},
		"for the document": {nil, notice{ID: "v1", Status: identity.Verified, Expiry: expired}, "document_refused"},
	} {
		for _, async := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", async ", async), func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.Decide, c.Async = tt.decide, async })
				tt.notice.Reference = w.start("alice").Attempt
				require.Equal(t, 200, w.webhook(tt.notice))
				w.later(time.Second)
				assert.Equal(t, "failed", w.status("alice", tt.notice.Reference))
				assert.Equal(t, 1, w.outcomes.of(Outcome(tt.want)))
				assert.Zero(t, w.outcomes.of("applied"))
				assert.Equal(t, 1, strings.Count(w.log.String(), tt.want))
			})
		}
	}
}

// How long the scripts of the pages wait, in milliseconds: for the provider's script
// before they say that it does not come, for an event before they ask instead, and for
// a verdict before they show a way out.
func TestPageTimes(t *testing.T) {
	w := newWorld(t)
	begun := w.start("alice").Attempt
	sdk := w.get("alice", "/verify/page?attempt="+begun).Body.String()
	require.Equal(t, 200, w.webhook(notice{Reference: begun, ID: "v1", Status: identity.Started}))
	pending := w.get("alice", "/verify/success?attempt="+begun).Body.String()
	client := w.get("", "/verify/client.js").Body.String()
	for _, tt := range []struct {
		page, script string
		want         string
	}{
		{sdk, `setTimeout\(trouble, (\d+)\)`, "9000"},
		{client, `patience = (\d+);`, "9000"},
		{client, `setTimeout\(ask, (\d+)\)`, "1500"},
		{pending, `(?s)slow\.hidden = false;\s*\}, (\d+)\)`, "10000"},
		{pending, `http-equiv="refresh" content="(\d+)"`, "3"},
	} {
		found := regexp.MustCompile(tt.script).FindStringSubmatch(tt.page)
		if assert.NotNil(t, found, tt.script) {
			assert.Equal(t, tt.want, found[1], tt.script)
		}
	}
}
