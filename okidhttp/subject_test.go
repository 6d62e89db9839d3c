package okidhttp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// sessions is a host's Config.Subject that can break down, and in which the session of
// a request may end or change hands.
type sessions struct {
	broken error
	now    func(user string) (string, error) // if not nil, who a user is by now
	mu     sync.Mutex
}

func (s *sessions) subject(r *http.Request) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := r.Header.Get("Test-User")
	switch {
	case s.broken != nil:
		return "alice", s.broken // whoever comes along with an error does not count
	case s.now != nil:
		return s.now(user)
	}
	return user, nil
}

func (s *sessions) become(now func(string) (string, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// asks are requests to everything that asks who the user is, with how it answers nobody.
func asks(w *world, attempt string) map[string]struct {
	do     func() *httptest.ResponseRecorder
	nobody int
} {
	type ask = struct {
		do     func() *httptest.ResponseRecorder
		nobody int
	}
	gate := w.kit.RequireVerified(http.NotFoundHandler())
	to := func(app http.Handler, method, target, accept string) func() *httptest.ResponseRecorder {
		return func() *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, target, strings.NewReader(`{"id":"session1"}`))
			r.Header.Set("Accept", accept)
			rec := httptest.NewRecorder()
			app.ServeHTTP(rec, r)
			return rec
		}
	}
	return map[string]ask{
		"gate":          {to(gate, "GET", "/members", "text/html"), 401},
		"gate, JSON":    {to(gate, "POST", "/members", "application/json"), 401},
		"start, JSON":   {to(w.kit, "POST", "/verify/start", "application/json"), 401},
		"start, form":   {to(w.kit, "POST", "/verify/start", "text/html"), 303},
		"start page":    {to(w.kit, "GET", "/verify/page", "text/html"), 401},
		"page":          {to(w.kit, "GET", "/verify/page?attempt="+attempt, "text/html"), 401},
		"success":       {to(w.kit, "GET", "/verify/success?attempt="+attempt, "text/html"), 200},
		"error":         {to(w.kit, "GET", "/verify/error?attempt="+attempt, "text/html"), 200},
		"success, none": {to(w.kit, "GET", "/verify/success", "text/html"), 200},
		"status":        {to(w.kit, "GET", "/verify/status?attempt="+attempt, "application/json"), 404},
		"status, none":  {to(w.kit, "GET", "/verify/status?attempt=x", "application/json"), 404},
		"stream":        {to(w.kit, "GET", "/verify/status?attempt="+attempt, "text/event-stream"), 404},
		"claim":         {to(w.kit, "POST", "/verify/claim", "application/json"), 401},
	}
}

// When nobody can tell who somebody is, they are not sent to log in, and are not a
// stranger. The operator hears of it.
func TestSubjectFails(t *testing.T) {
	host := &sessions{}
	w, _ := newClaimWorld(t, func(c *Config) { c.Subject = host.subject })
	a := w.start("alice").Attempt
	host.broken = fmt.Errorf("dial tcp 10.0.0.1:6379: %w", context.DeadlineExceeded)
	all := asks(w, a)
	for name, ask := range all {
		before := w.outcomes.of(OutcomeSubjectFailed)
		rec := ask.do()
		assert.Equal(t, 503, rec.Code, name)
		assert.NotEmpty(t, rec.Header().Get("Retry-After"), name)
		assert.Contains(t, rec.Header().Get("Cache-Control"), "no-store", name)
		assert.NotContains(t, rec.Body.String(), "10.0.0.1", name)
		assert.Equal(t, before+1, w.outcomes.of(OutcomeSubjectFailed), name)
	}
	assert.Equal(t, all["status"].do().Body.String(), all["status, none"].do().Body.String(), "nobody learns which attempts there are")
	assert.Contains(t, w.log.String(), `"level":"WARN","msg":"okidhttp: subject_failed","error":"dial tcp 10.0.0.1:6379`)
	host.broken = nil
	assert.Equal(t, "created", w.status("alice", a))
}

// An error of the session store may quote what the session is found by, which is a secret.
func TestSubjectErrorIsScrubbed(t *testing.T) {
	const id = "bXktc2Vzc2lvbi1pZA-canary"
	for name, tt := range map[string]struct {
		header, value, quotes, want string
	}{
		"cookie":     {"Cookie", "theme=dark; session=" + id, "GET sessions:" + id + ": i/o timeout in the dark", "GET sessions:[redacted]: i/o timeout in the dark"},
		"escaped":    {"Cookie", "session=canary%40example.com", `no rows for "canary@example.com"`, `no rows for "[redacted]"`},
		"no escape":  {"Cookie", "session=100%canary", "100%canary: EOF", "[redacted]: EOF"},
		"repeated":   {"Cookie", "a=" + id + "; b=other-canary", "other-canary, " + id, "[redacted], [redacted]"},
		"bearer":     {"Authorization", "Bearer " + id, "token " + id + " cannot be checked", "token [redacted] cannot be checked"},
		"basic auth": {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("canary@example.com:canary-password")), "LDAP bind canary@example.com canary-password", "LDAP bind [redacted] [redacted]"},
		"elsewhere":  {"Accept", "text/html", "dial tcp 10.0.0.1:6379", "dial tcp 10.0.0.1:6379"},
	} {
		host := &sessions{broken: errors.New(tt.quotes)}
		w := newWorld(t, func(c *Config) { c.Subject = host.subject })
		r := httptest.NewRequest(http.MethodGet, "/verify/status?attempt=x", nil)
		r.Header.Set(tt.header, tt.value)
		assert.Equal(t, 503, w.do(r, "").Code, name)
		want, err := json.Marshal(tt.want)
		require.NoError(t, err)
		assert.Contains(t, w.log.String(), `"error":`+string(want), name)
		assert.NotContains(t, w.log.String(), "canary", name)
	}
}

// Errors by which hosts say that nobody is logged in are that, and no failure.
func TestSubjectIsNobody(t *testing.T) {
	for name, err := range map[string]error{
		"empty":     nil,
		"anonymous": ErrAnonymous,
		"wrapped":   fmt.Errorf("no session: %w", ErrAnonymous),
		"no cookie": fmt.Errorf("session: %w", http.ErrNoCookie),
	} {
		host := &sessions{}
		w, _ := newClaimWorld(t, func(c *Config) { c.Subject = host.subject })
		a := w.start("alice").Attempt
		host.broken = err
		for what, ask := range asks(w, a) {
			assert.Equal(t, ask.nobody, ask.do().Code, "%s %s", name, what)
		}
		assert.Zero(t, w.outcomes.of(OutcomeSubjectFailed), name)
	}
}

// Who hangs up while the host looks for their session is no fault of the host's.
func TestSubjectOfAClientThatIsGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	for _, err := range []error{context.Canceled, errors.New("driver: operation was cancelled")} {
		host := &sessions{}
		w := newWorld(t, func(c *Config) { c.Subject = host.subject })
		host.broken = err
		w.kit.RequireVerified(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/members", nil))
		assert.Equal(t, 1, w.outcomes.of(OutcomeSubjectFailed), "the client waits: %v", err)
	}
	cancel()
	for _, err := range []error{context.Canceled, errors.New("driver: operation was cancelled")} {
		host := &sessions{}
		w := newWorld(t, func(c *Config) { c.Subject = host.subject })
		host.broken = err
		w.kit.RequireVerified(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/members", nil))
		assert.Zero(t, w.outcomes.of(OutcomeSubjectFailed), err)
		assert.Equal(t, 1, w.outcomes.of(OutcomeClientGone), err)
		assert.NotContains(t, w.log.String(), "WARN")
	}
}

// A live stream is its user's for as long as they are logged in.
func TestStreamEndsWithTheSession(t *testing.T) {
	for name, now := range map[string]func(string) (string, error){
		"logged out":            func(string) (string, error) { return "", nil },
		"somebody else":         func(string) (string, error) { return "bob", nil },
		"session store is away": func(string) (string, error) { return "alice", errors.New("session store is away") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &sessions{}
				w := newWorld(t, func(c *Config) { c.Subject = host.subject })
				a := w.start("alice").Attempt
				r := as("alice", httptest.NewRequest("GET", "/verify/status?attempt="+a, nil))
				r.Header.Set("Accept", "text/event-stream")
				rec, done := httptest.NewRecorder(), make(chan struct{})
				go func() { defer close(done); w.kit.ServeHTTP(rec, r) }()
				<-time.After(3*statusEvery + statusEvery/2)
				select {
				case <-done:
					t.Fatal("while the user is logged in it goes on")
				default:
				}
				synctest.Wait()
				sent := rec.Body.String()
				host.become(now)
				n := w.webhookRequest(notice{Reference: a, ID: "v1", Status: identity.Verified})
				require.Equal(t, 200, w.do(n, "").Code)
				began := time.Now()
				<-done
				assert.LessOrEqual(t, time.Since(began), statusEvery)
				assert.Equal(t, sent, rec.Body.String(), "what became of it is told to nobody")
			})
		})
	}
}
