package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// What Decide returns decides: a refusal refuses, and nothing else does.
func TestRefuse(t *testing.T) {
	for name, tt := range map[string]struct {
		verdict error
		status  string // of the attempt, and of the webhook
		answer  int
		reason  string
		final   bool
	}{
		"accepted":         {nil, "verified", 200, "", false},
		"refused":          {Refuse("too_young"), "failed", 200, "too_young", false},
		"finally":          {Refuse("too_young").Final(), "failed", 200, "too_young", true},
		"wrapped":          {fmt.Errorf("policy: %w", Refuse("name_mismatch")), "failed", 200, "name_mismatch", false},
		"the kit's reason": {Refuse(ReasonDocumentExpired), "failed", 200, "document_expired", false},
		"no reason":        {Refuse(""), "failed", 200, "policy", false},
		"a sentence":       {Refuse("Alice Liddell is 12").Final(), "failed", 200, "policy", true},
		"too long":         {Refuse(strings.Repeat("a", 65)), "failed", 200, "policy", false},
		"the zero value":   {Refusal{}, "failed", 200, "policy", false},
		"cannot tell":      {errors.New("database is away"), "created", 500, "", false},
		"out of time":      {context.DeadlineExceeded, "created", 500, "", false},
		"gives up":         {Permanent(errors.New("no such user")), "failed", 200, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Decide = func(context.Context, Event) error { return tt.verdict } })
			a := w.start("alice").Attempt
			require.Equal(t, tt.answer, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
			rec := w.get("alice", "/verify/status?attempt="+a)
			assert.Equal(t, tt.status, w.status("alice", a))
			assert.Equal(t, tt.reason != "", strings.Contains(rec.Body.String(), fmt.Sprintf("%q:%q", "reason", tt.reason)), rec.Body)
			assert.Equal(t, tt.final, strings.Contains(rec.Body.String(), `"final":true`), rec.Body)
			if tt.reason != "" {
				assert.Equal(t, tt.reason, w.host.last().Reason)
				assert.Equal(t, tt.final, w.host.last().Final)
			}
			assert.Equal(t, tt.final, w.tryStart("alice").Code == http.StatusForbidden)
		})
	}
}

// After a final refusal nobody may try again, and everybody is told why.
func TestFinalRefusal(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Decide = func(context.Context, Event) error { return Refuse("too_young").Final() }
		c.StartLimit = func(time.Time, []time.Time) time.Duration { return 0 }
	})
	a, other := w.start("alice").Attempt, w.start("bob").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))

	rec := w.tryStart("alice")
	assert.Equal(t, http.StatusForbidden, rec.Code)
	assert.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
	assert.JSONEq(t, `{"status":403,"code":"ruled_out","title":"Not verified","detail":"Your last verification was refused, and another try is not possible.","reason":"too_young"}`, rec.Body.String())

	rec = browser(w, "alice", http.MethodPost, "/verify/start")
	assert.Equal(t, http.StatusSeeOther, rec.Code)
	for _, page := range []string{rec.Header().Get("Location"), "/verify/", "/verify/page?return_to=%2Fmembers"} {
		page = strings.TrimPrefix(page, "https://app.example")
		rec = browser(w, "alice", http.MethodGet, page)
		assert.Equal(t, 200, rec.Code, page)
		assert.Contains(t, rec.Body.String(), "You are younger than this site requires.", page)
		assert.NotContains(t, rec.Body.String(), "<form", page)
	}
	for _, way := range []string{"page", "success", "error"} { // which lead to the same page
		rec = browser(w, "alice", http.MethodGet, "/verify/"+way+"?attempt="+a)
		assert.Equal(t, http.StatusSeeOther, rec.Code, way)
		assert.Equal(t, w.kit.mount.url("page"), rec.Header().Get("Location"), way)
	}
	assert.Equal(t, "created", w.status("bob", other), "others are not concerned")

	// However much time passes, and however many others end: it stands until it is erased.
	w.later(100 * 24 * time.Hour)
	assert.Equal(t, http.StatusForbidden, w.tryStart("alice").Code)
	require.NoError(t, w.kit.Erase(t.Context(), "alice"))
	assert.Equal(t, http.StatusCreated, w.tryStart("alice").Code)
}

// browser is a request of one.
func browser(w *world, user, method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://app.example"+target, nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.do(r, user)
}

// A refusal that is not final says why, and offers another try.
func TestRefusalIsShown(t *testing.T) {
	reason := "document_expired"
	w := newWorld(t, func(c *Config) {
		c.Decide = func(context.Context, Event) error { return Refuse(reason) }
		c.Texts = map[string]map[string]string{"en": {"name_mismatch": "The name is not that of your account."}}
	})
	for user, tt := range map[string]struct{ reason, text string }{
		"alice": {"document_expired", "has expired"},
		"bob":   {"name_mismatch", "The name is not that of your account."},
		"carol": {"unknown_to_the_kit", ""},
	} {
		reason = tt.reason
		a := w.start(user).Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: user, Status: identity.Verified}))
		page := browser(w, user, http.MethodGet, "/verify/").Body.String()
		assert.Contains(t, page, tt.text)
		assert.NotContains(t, page, tt.reason)
		assert.Contains(t, page, "<form")
	}
}
