package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/load/byturns"
	"github.com/okidkit/okidkit/memstore"
)

// diary is an Observer that writes everything down.
type diary struct {
	mu      sync.Mutex
	entries []entry
	trace   string
}

// entry is an operation that has ended.
type entry struct {
	within string // the operation that it was a part of
	Operation
	Result
}

type diaryKey struct{}

func (d *diary) Begin(ctx context.Context, o Operation) (context.Context, func(Result)) {
	within, _ := ctx.Value(diaryKey{}).(string)
	return context.WithValue(ctx, diaryKey{}, o.Name), func(r Result) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.entries = append(d.entries, entry{within, o, r})
	}
}

func (d *diary) Count(context.Context, Outcome) {}

func (d *diary) Trace(context.Context) string { return d.trace }

// take returns what was written since the last time, a line for each: what it was a part of, its
// name, provider, status, outcome, status code and trace.
func (d *diary) take() (all []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		failed := ""
		if e.Err != nil {
			failed = " failed"
		}
		all = append(all, strings.TrimPrefix(fmt.Sprintf("%s/%s %s %s %s %d %s%s", e.within, e.Name, e.Result.Provider, e.Result.Status, e.Outcome, e.Code, e.Result.Trace, failed), "/"))
	}
	d.entries = nil
	return all
}

// Every operation is observed with what came of it, and leads back to the start of its attempt.
func TestObserver(t *testing.T) {
	d := &diary{trace: "trace-1"}
	w := newWorld(t, func(c *Config) { c.Observer = d })
	a := w.start("alice").Attempt
	assert.Equal(t, []string{"start/provider.start fake created  0 trace-1", "start fake created started 201 trace-1"}, d.take())
	d.trace = "" // of what comes later
	w.start("alice")
	assert.Equal(t, []string{"start fake created  200 trace-1"}, d.take(), "resumed")
	w.get("alice", "/verify/page?attempt="+a)
	assert.Equal(t, []string{"page    200 "}, d.take())
	assert.Equal(t, 403, w.gate("alice"))
	assert.Equal(t, []string{"gate    403 "}, d.take())

	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	assert.Equal(t, []string{"webhook/callback fake started  0 trace-1", "webhook fake started applied 200 trace-1"}, d.take())
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	assert.Equal(t, []string{"webhook fake started duplicate 200 trace-1"}, d.take())
	require.Equal(t, 401, w.webhook(notice{Reference: a, Forged: true}))
	assert.Equal(t, []string{"webhook fake  unauthentic 401 "}, d.take())

	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, []string{"webhook/callback fake verified  0 trace-1 failed", "webhook fake started callback_failed 500 trace-1"}, d.take())
	w.host.failing(nil)
	w.provider.answer(a, "v1", identity.Verified)
	w.later(10 * time.Minute)
	entries := d.take()
	assert.Contains(t, entries, "run.tell/callback fake verified  0 trace-1")
	assert.Contains(t, entries, "run.tell fake verified applied 0 trace-1")
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, []string{"gate    200 "}, d.take())
	w.status("alice", a)
	assert.Equal(t, []string{"status fake verified  200 trace-1"}, d.take())
	w.get("alice", "/verify/success?attempt="+a)
	assert.Equal(t, []string{"success fake verified  303 trace-1"}, d.take())
	w.get("", "/verify/client.js")
	assert.Equal(t, []string{"client    200 "}, d.take())
	w.kit.Client().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/client.d.ts", nil))
	assert.Equal(t, []string{"client    200 "}, d.take())
}

// What is behind the gate is no part of it, and a start's trace that is too long is not kept.
func TestObserverBounds(t *testing.T) {
	d := &diary{trace: strings.Repeat("x", 129)}
	w := newWorld(t, func(c *Config) { c.Observer = d })
	w.verify("alice", notice{})
	for _, line := range d.take() {
		assert.NotContains(t, line, "xxx")
	}
	within := "never called"
	w.kit.RequireVerified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		within, _ = r.Context().Value(diaryKey{}).(string)
		w.WriteHeader(http.StatusTeapot)
	})).ServeHTTP(httptest.NewRecorder(), func() *http.Request {
		r := httptest.NewRequest("GET", "/members", nil)
		r.Header.Set("Test-User", "alice")
		return r
	}())
	assert.Empty(t, within)
	assert.Equal(t, []string{"gate    200 "}, d.take())
}

// How late a task of Run's is, is told.
func TestObserverLate(t *testing.T) {
	d := &diary{}
	w := newWorld(t, func(c *Config) { c.Observer = d })
	w.start("alice")
	w.clock.add(3 * time.Hour)
	w.work()
	require.NotEmpty(t, d.entries)
	lapse := d.entries[len(d.entries)-1]
	assert.Equal(t, "run.lapse", lapse.Name)
	assert.Positive(t, lapse.Late)
	assert.Less(t, lapse.Late, 3*time.Hour)
}

// Nothing personal of a callback's error is told.
func TestObserverSecrecy(t *testing.T) {
	d := &diary{}
	w := newWorld(t, func(c *Config) { c.Observer = d })
	w.host.failing(func(e Event) error { return fmt.Errorf("no account for %s", e.Subject) })
	a := w.start("alice@example.com").Attempt
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	found := false
	for _, e := range d.entries {
		if e.Err != nil {
			found = true
			assert.NotContains(t, e.Err.Error(), "alice")
			assert.NotContains(t, fmt.Sprintf("%+v", e.Err), "alice@")
		}
	}
	assert.True(t, found)
}

// idle is an Observer that does nothing.
type idle struct{}

func (idle) Begin(ctx context.Context, _ Operation) (context.Context, func(Result)) {
	return ctx, func(Result) {}
}

func (idle) Count(context.Context, Outcome) {}

func (idle) Trace(context.Context) string { return "" }

// BenchmarkObserver is what an Observer costs at the gate, by turns with a gate that has none. The
// Observer's own work comes on top.
func BenchmarkObserver(b *testing.B) {
	gate := func(o Observer) func(int) error {
		kit := partsKit(b, memstore.New())
		if o != nil {
			observed, err := New(Config{
				Providers: []identity.Provider{&fakeProvider{name: "fake"}}, Store: kit.cfg.Store, PublicURL: "https://app.example/verify",
				Keys: [][]byte{testKey(1)}, Subject: kit.cfg.Subject, Observer: o,
			})
			require.NoError(b, err)
			kit = observed
		}
		require.NoError(b, kit.Approve(b.Context(), "alice", bySam))
		h := kit.RequireVerified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		r := httptest.NewRequest("GET", "/members", nil)
		r.Header.Set("Test-User", "alice")
		return func(int) error {
			const times = 100
			for range times {
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					return fmt.Errorf("answer %d", w.Code)
				}
			}
			return nil
		}
	}
	byturns.Compare(b, byturns.Do("hundred", gate(nil)), byturns.Do("observed", gate(idle{})))
}
