package okidhttp

import (
	"bytes"
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
)

// Nothing that says who somebody is, no token and no key leaves the callbacks:
// not into the store, a log at any level, or an answer, whatever goes wrong.
func TestCanary(t *testing.T) {
	subject := ""
	var answers bytes.Buffer
	w := newWorld(t, func(c *Config) {
		c.Keep = []identity.Field{identity.FirstName, identity.DateOfBirth}
		c.AgeOver = []int{18}
		c.Metadata = func(*http.Request) (map[string]string, error) {
			return map[string]string{"account": "canary-account"}, nil
		}
		c.OnUnknown = func(_ context.Context, n identity.Notice) error {
			return fmt.Errorf("unknown %s", n.Verification.FirstName)
		}
	})
	do := func(r *http.Request, user string) *httptest.ResponseRecorder {
		rec := w.do(r, user)
		fmt.Fprintln(&answers, rec.Code, rec.Header())
		answers.Write(rec.Body.Bytes())
		return rec
	}
	get := func(target string) {
		for _, accept := range []string{"text/html", "application/json"} {
			for _, user := range []string{"", "bob", subject} {
				r := httptest.NewRequest("GET", target, nil)
				r.Header.Set("Accept", accept)
				do(r, user)
			}
		}
	}
	var mu sync.Mutex
	var told []string
	w.host.failing(func(e Event) error {
		mu.Lock()
		defer mu.Unlock() // the worker tells of several attempts at once
		told = append(told, fmt.Sprintf("%+v", e))
		v := e.Verification
		everything := fmt.Sprint(e.Subject, e.Metadata, v.FirstName, v.LastName, v.DocumentNumber, v.DateOfBirth)
		switch len(told) % 4 {
		case 0:
			panic(everything)
		case 1:
			return errors.New(everything)
		case 2:
			return Permanent(errors.New(everything))
		}
		return nil
	})

	for i, word := range []identity.Status{identity.Started, identity.Review, identity.Failed, identity.Verified, identity.Expired, ""} {
		subject = fmt.Sprintf("canary-subject%d@example.com", i)
		a := w.start(subject, "return_to", "/canary-page").Attempt // its answer is the one place for the token
		id := fmt.Sprint("v", i)
		w.provider.answer(a, id, identity.Failed)
		for range 4 {
			do(w.webhookRequest(notice{Reference: a, ID: id, Status: word, Metadata: map[string]string{"account": "canary-account"}}), "")
			w.later(time.Minute)
		}
		do(w.webhookRequest(notice{Reference: a, ID: id, Status: identity.Verified, At: w.clock.Now().Add(-time.Hour)}), "")
		for _, route := range []string{"success", "error", "status"} {
			get("/verify/" + route + "?attempt=" + a)
		}
		get("/verify/page")
		w.provider.away = fmt.Errorf("%w: %w", identity.ErrUnavailable, context.DeadlineExceeded)
		get("/verify/success?attempt=" + a)
		w.provider.away = nil
		w.later(25 * time.Hour)
	}
	do(w.webhookRequest(notice{Reference: "elsewhere", ID: "v1", Status: identity.Verified}), "")
	w.store.breakDown(errStoreIsAway)
	get("/verify/page")
	w.store.breakDown(nil)
	require.GreaterOrEqual(t, len(told), 8)

	for name, text := range map[string]string{
		"log":     w.log.String(),
		"store":   strings.Join(w.store.values, "\n"),
		"answers": answers.String(),
		"events":  strings.Join(told, "\n"),
	} {
		require.NotEmpty(t, text, name)
		for _, canary := range []string{"canaryfirst", "canarylast", "canary0001", "1990-02-03", "tok_canary", "canary-subject", "canary-account"} {
			assert.NotContains(t, strings.ToLower(text), canary, name)
		}
		assert.NotContains(t, text, string(testKey(1)), name)
	}
	assert.NotContains(t, strings.Join(w.store.values, "\n"), "canary-page")
	assert.Contains(t, w.log.String(), "callback failed", "or this test has seen nothing")
}
