package okidhttp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

func TestGate(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AgeOver = []int{18, 40} })
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	var grant Grant
	var through bool
	gate := w.kit.RequireVerified(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { grant, through = GrantFrom(r.Context()) }))
	for _, tt := range []struct {
		user, accept, method string
		want                 int
	}{
		{"alice", "text/html", "GET", 200},
		{"alice", "", "POST", 200},
		{"bob", "text/html", "GET", 303},
		{"bob", "text/html", "POST", 303},
		{"bob", "application/json", "GET", 403},
		{"bob", "", "GET", 403},
		{"", "text/html", "GET", 401},
		{"", "", "GET", 401},
	} {
		r := httptest.NewRequest(tt.method, "/members", nil)
		r.Header.Set("Accept", tt.accept)
		r.Header.Set("Test-User", tt.user)
		rec := httptest.NewRecorder()
		through = false
		gate.ServeHTTP(rec, r)
		assert.Equal(t, tt.want, rec.Code, tt)
		assert.Equal(t, tt.want == 200, through, tt)
		assert.Contains(t, rec.Header().Get("Cache-Control"), "no-store", tt)
		if tt.want == 403 {
			assert.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
		}
		if tt.want == 303 {
			assert.Equal(t, tt.method == "GET", rec.Header().Get("Location") == "https://app.example/verify/page?return_to=%2Fmembers", tt)
		}
	}
	assert.Equal(t, Grant{
		VerifiedAt: w.clock.Now(), Provider: "fake", DocumentType: "passport",
		DocumentExpiry: identity.Date{Year: 2030, Month: 1, Day: 31}, AgeOver: []int{18},
	}, grant)
	assert.True(t, grant.Over(18))
	assert.False(t, grant.Over(40))
	assert.False(t, grant.Over(17), "not asked for")
	_, through = GrantFrom(t.Context())
	assert.False(t, through)

	got, err := w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, grant, got)
	_, err = w.kit.Grant(t.Context(), "bob")
	assert.ErrorIs(t, err, ErrNotVerified)
	w.store.breakDown(errStoreIsAway)
	_, err = w.kit.Grant(t.Context(), "alice")
	assert.ErrorIs(t, err, errStoreIsAway)
	assert.NotErrorIs(t, err, ErrNotVerified)
}

func TestGateUnauthorized(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Unauthorized = http.RedirectHandler("/login", http.StatusSeeOther)
		c.Subject = func(*http.Request) (string, error) { return "alice", fmt.Errorf("no session: %w", ErrAnonymous) }
	})
	rec := w.get("", "/verify/page")
	assert.Equal(t, "/login", rec.Header().Get("Location"))
	assert.Equal(t, 303, w.gate(""), "nobody is nobody, whatever else is returned")
}

// A verification ends without any event, at the very instant.
func TestGateEndsByTheClock(t *testing.T) {
	verified := func(change func(*Config)) *world {
		w := newWorld(t, change)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		require.Equal(t, 200, w.gate("alice"))
		return w
	}
	until := func(w *world, y int, m time.Month, d int) time.Duration {
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Sub(w.clock.Now())
	}

	w := verified(func(c *Config) { c.MaxAge = 24 * time.Hour })
	w.clock.add(24*time.Hour - time.Millisecond)
	assert.Equal(t, 200, w.gate("alice"))
	w.clock.add(time.Millisecond)
	assert.Equal(t, 403, w.gate("alice"))

	w = verified(func(*Config) {}) // the passport is valid up to and with 2030-01-31
	w.clock.add(until(w, 2030, 2, 1) - time.Millisecond)
	assert.Equal(t, 200, w.gate("alice"))
	w.clock.add(time.Millisecond)
	assert.Equal(t, 403, w.gate("alice"))

	w = verified(func(c *Config) { c.AllowExpiredDocument = true })
	w.clock.add(until(w, 2030, 2, 1))
	assert.Equal(t, 200, w.gate("alice"))

	w = verified(func(c *Config) { c.Retention = 90 * 24 * time.Hour })
	w.clock.add(90 * 24 * time.Hour)
	assert.Equal(t, 403, w.gate("alice"), "the record is gone")
}

func TestKept(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Keep = []identity.Field{identity.LastName, identity.DateOfBirth} })
	_, err := w.kit.Kept(t.Context(), "alice")
	assert.ErrorIs(t, err, ErrNotVerified)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	v, err := w.kit.Kept(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, identity.Verification{
		ID: "v1", Status: identity.Verified, LastName: "Canarylast", DateOfBirth: identity.Date{Year: 1990, Month: 2, Day: 3},
	}, v)

	none := newWorld(t)
	b := none.start("bob").Attempt
	require.Equal(t, 200, none.webhook(notice{Reference: b, ID: "v2", Status: identity.Verified}))
	v, err = none.kit.Kept(t.Context(), "bob")
	require.NoError(t, err)
	assert.Equal(t, identity.Verification{ID: "v2", Status: identity.Verified}, v)

	// What was kept goes with the verification.
	w.provider.answer(a, "v1", identity.Failed)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	assert.Empty(t, w.record("alice").Attempts[0].Kept)
}

// A record that cannot be read closes the gate and stands in nobody's way.
func TestCorruptRecord(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	key := attempt.HashSubject("alice").Key()
	corrupt(t, w, key)
	assert.Equal(t, 503, w.gate("alice"))
	assert.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	require.Len(t, dueKeys(t, w), 1)
	w.work()
	assert.Empty(t, dueKeys(t, w), "set aside")
	assert.Contains(t, w.log.String(), errCorrupt.Error())
}

// Who accepts HTML is shown a page, but not who asks for JSON as well.
func TestGateAnswersAsAccepted(t *testing.T) {
	w := newWorld(t)
	for accept, want := range map[string]int{
		"":                                403,
		"*/*":                             403,
		"application/json":                403,
		"text/html":                       303,
		"TEXT/HTML":                       303,
		"text/html,application/xhtml+xml": 303,
		"text/html,application/json":      403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/members", nil)
		r.Header.Set("Test-User", "bob")
		r.Header.Set("Accept", accept)
		rec := httptest.NewRecorder()
		w.kit.RequireVerified(http.NotFoundHandler()).ServeHTTP(rec, r)
		assert.Equal(t, want, rec.Code, accept)
	}
}

// The gate does not need the keys; what was kept does.
func TestKeptWhenTheKeyIsGone(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Keep = []identity.Field{identity.LastName} })
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.kit = w.replica(func(c *Config) { c.Keys = [][]byte{testKey(2)} })
	assert.Equal(t, 200, w.gate("alice"))
	_, err := w.kit.Kept(t.Context(), "alice")
	assert.ErrorIs(t, err, errUnsealable)
	w.store.breakDown(errStoreIsAway)
	_, err = w.kit.Kept(t.Context(), "alice")
	assert.ErrorIs(t, err, errStoreIsAway)
}

// Whoever is not verified is forgotten sooner.
func TestUnverifiedRetention(t *testing.T) {
	w := newWorld(t)
	for user, s := range map[string]identity.Status{"alice": identity.Verified, "bob": identity.Failed} {
		require.Equal(t, 200, w.webhook(notice{Reference: w.start(user).Attempt, ID: user, Status: s}))
	}
	w.later(180 * 24 * time.Hour)
	assert.Equal(t, 200, w.gate("alice"))
	assert.NotEmpty(t, w.record("alice").Attempts)
	assert.Empty(t, w.record("bob").Attempts)
}

// What one answer's header becomes on its way out is no other answer's.
func TestGateHeadersAreEachAnswersOwn(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	gate := w.kit.RequireVerified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var first http.Header
	for i := range 3 {
		r := httptest.NewRequest(http.MethodGet, "/members", nil)
		r.Header.Set("Test-User", "alice")
		rec := httptest.NewRecorder()
		gate.ServeHTTP(rec, r)
		h := rec.Header()
		assert.Equal(t, http.Header{"Cache-Control": {"private, no-store"}, "Vary": {"Cookie, Authorization, Accept"}}, h)
		if i == 0 {
			first = h
		}
		for name := range h { // as middleware does that compresses, or rewrites
			h[name][0] += ", edited"
			h[name] = append(h[name], "added")
		}
		assert.Equal(t, []string{"private, no-store, edited", "added"}, first["Cache-Control"])
		assert.Equal(t, []string{"Cookie, Authorization, Accept, edited", "added"}, first["Vary"])
	}
}

// What a context is derived from the gate's ends with it, and finds what it had.
func TestGateContext(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "x"))
	w.kit.RequireVerified(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		derived, stop := context.WithCancel(r.Context())
		defer stop()
		assert.Equal(t, "x", derived.Value(key{}))
		grant, ok := GrantFrom(derived)
		assert.True(t, ok)
		assert.Equal(t, "fake", grant.Provider)
		cancel()
		assert.ErrorIs(t, derived.Err(), context.Canceled)
	})).ServeHTTP(httptest.NewRecorder(), as("alice", httptest.NewRequestWithContext(ctx, "GET", "/members", nil)))
}

func as(user string, r *http.Request) *http.Request {
	r.Header.Set("Test-User", user)
	return r
}

// Middleware in front of the kit may have said something about every answer. What keeps
// one user's answer from another holds all the same, and what it said stays.
func TestHeadersOfOthers(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	gate := w.kit.RequireVerified(http.NotFoundHandler())
	requests := map[string]*http.Request{"gate, nobody": httptest.NewRequest("GET", "/members", nil)}
	for name, accept := range map[string]string{"page": "text/html", "program": "application/json", "stream": "text/event-stream"} {
		add := func(what, method, target string) {
			r := httptest.NewRequest(method, target, nil)
			r.Header.Set("Accept", accept)
			requests[what+", "+name] = as("alice", r)
		}
		add("gate", "GET", "/members")
		add("start", "POST", "/verify/start")
		add("start by GET", "GET", "/verify/start")
		add("start page", "GET", "/verify/page")
		add("page", "GET", "/verify/page?attempt="+a)
		add("success", "GET", "/verify/success?attempt="+a)
		add("stranger", "GET", "/verify/success")
		add("status", "HEAD", "/verify/status?attempt="+a)
		add("status, none", "GET", "/verify/status?attempt=x")
		add("nothing", "GET", "/verify/nothing")
		add("method", "PUT", "/verify/claim")
	}
	for name, r := range requests {
		rec := httptest.NewRecorder()
		h := rec.Header()
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("Vary", "Origin")
		h.Set("Referrer-Policy", "unsafe-url")
		app := http.Handler(w.kit)
		if r.URL.Path == "/members" {
			app = gate
		}
		app.ServeHTTP(rec, r)
		assert.Contains(t, h.Get("Cache-Control"), "no-store", name)
		assert.NotContains(t, h.Get("Cache-Control"), "public", name)
		assert.Equal(t, "Origin", h.Get("Vary"), name)
		varies := strings.HasPrefix(name, "gate") || strings.HasPrefix(name, "status")
		assert.Equal(t, varies, strings.Contains(strings.Join(h["Vary"], ", "), "Cookie"), name)
		if h.Get("Content-Type") == "text/html; charset=utf-8" && !strings.HasPrefix(name, "gate") {
			assert.Contains(t, []string{"no-referrer", "same-origin"}, h.Get("Referrer-Policy"), name)
		}
	}
}
