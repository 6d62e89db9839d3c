package portal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid/portal"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// transport is an http.RoundTripper made of a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func newProvider(t *testing.T, f transport, changes ...func(*portal.Config)) *portal.Provider {
	t.Helper()
	c := portal.Config{URL: "https://portal.test/base/", APIKey: "canary-key", HTTPClient: &http.Client{Transport: f}, Now: func() time.Time { return now }}
	for _, change := range changes {
		change(&c)
	}
	p, err := portal.New(c)
	require.NoError(t, err)
	return p
}

// says is a portal that always answers the same.
func says(t *testing.T, body string) *portal.Provider {
	return newProvider(t, func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, body), nil })
}

func TestConfig(t *testing.T) {
	_, err := portal.New(portal.Config{Timeout: -1})
	for _, field := range []string{"URL is empty", "APIKey is empty", "Timeout is negative"} {
		assert.ErrorContains(t, err, field)
	}
	for _, url := range []string{"http://portal.test", "https://user:canary@portal.test", "https://portal.test?a=b", "portal.test"} {
		_, err := portal.New(portal.Config{URL: url, APIKey: "k"})
		require.ErrorContains(t, err, "URL", url)
		assert.NotContains(t, err.Error(), "canary")
	}
}

func TestNothingPrintsTheKey(t *testing.T) {
	p := newProvider(t, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(verb, p), "canary")
		assert.NotContains(t, fmt.Sprintf(verb, portal.Config{APIKey: "canary"}), "canary")
	}
}

func TestStart(t *testing.T) {
	p := newProvider(t, func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, "POST https://portal.test/base/api/generate-verification", r.Method+" "+r.URL.String())
		assert.Equal(t, []string{"canary-key"}, r.Header.Values(portal.KeyHeader))
		assert.JSONEq(t, `{"extra_data":{"reference":"r-1","plan":"x"},"return_url":"https://app.test/s"}`, string(body))
		return answer(http.StatusCreated, `{"verificationId":"ver_abc123","expiresAt":"2026-03-01T12:20:00Z","flow":["terms"],"modules":{"terms":{}}}`), nil
	})
	s, err := p.Start(t.Context(), identity.StartRequest{
		Reference: "r-1", Metadata: map[string]string{"plan": "x"}, CallbackURL: "https://app.test/w", SuccessURL: "https://app.test/s", ErrorURL: "https://app.test/e",
	})
	require.NoError(t, err)
	assert.Equal(t, identity.Session{ID: "ver_abc123", Token: "ver_abc123", ExpiresAt: now.Add(20 * time.Minute)}, s)
	assert.Equal(t, identity.SDK{URL: "https://portal.test/base/verify?verification_id=ver_abc123"}, p.SDK(s, "nl"))
}

func TestStartWithoutTime(t *testing.T) {
	s, err := says(t, `{"verificationId":"ver_1","expiresAt":"soon"}`).Start(t.Context(), identity.StartRequest{Reference: "r"})
	require.NoError(t, err)
	assert.Equal(t, now.Add(portal.DefaultSessionTime), s.ExpiresAt)
}

func TestStartRefusesAnswer(t *testing.T) {
	for _, body := range []string{`{}`, `[]`, `{"verificationId":1}`, `{"verificationId":"../x"}`, `{"verificationId":"a","verificationId":"b"}`, `{"verificationid":"a"}`, ``} {
		_, err := says(t, body).Start(t.Context(), identity.StartRequest{Reference: "r"})
		require.ErrorIs(t, err, identity.ErrRefused, body)
		require.ErrorIs(t, err, identity.ErrUncertain, body)
	}
}

func TestStartRefusesRequest(t *testing.T) {
	p := newProvider(t, func(*http.Request) (*http.Response, error) { return nil, errors.New("a request was sent") })
	for name, r := range map[string]identity.StartRequest{
		"no reference":    {},
		"reference twice": {Reference: "r", Metadata: map[string]string{"reference": "x"}},
		"by letter case":  {Reference: "r", Metadata: map[string]string{"Reference": "x"}},
		"not UTF-8":       {Reference: "r", Metadata: map[string]string{"a": "\xff"}},
	} {
		_, err := p.Start(t.Context(), r)
		assert.ErrorIs(t, err, identity.ErrMalformed, name)
	}
}

func TestSDK(t *testing.T) {
	p := newProvider(t, nil, func(c *portal.Config) { c.UseSDK = true })
	sdk := p.SDK(identity.Session{Token: "ver_1"}, "not a locale")
	assert.Empty(t, sdk.URL)
	assert.Equal(t, "https://portal.test/base/verification-sdk.js", sdk.ScriptURL)
	assert.Equal(t, []string{"https://portal.test"}, sdk.Sources.Script)
	text, err := json.Marshal(sdk)
	require.NoError(t, err)
	assert.JSONEq(t, `{"script_url":"https://portal.test/base/verification-sdk.js","config":{"baseUrl":"https://portal.test/base",
		"verificationId":"ver_1","locale":"en","styleUrl":"https://portal.test/base/modal.css"}}`, string(text))
}

// Every word, as a text and as an object, and what cannot be understood.
func TestFetchStatus(t *testing.T) {
	words := map[string]identity.Status{
		"generated": identity.Created, "initiated": identity.Started, "in_progress": identity.Started, "validating": identity.Started,
		"needs_manual_review": identity.Review, "needs_template": identity.Review,
		"verified": identity.Verified, "rejected": identity.Failed, "junk": identity.Failed, "failed": identity.Failed,
		"document_expired": identity.Failed, "expired": identity.Expired,
		"Verified": "", "completed": "", "approved": "", "": "", "success": "",
	}
	for word, want := range words {
		for _, form := range []string{`{"verification_id":"ver_1","status":%q}`, `{"id":"ver_1","status":{"current":%q,"progress":{"document":"completed"}}}`} {
			n, err := says(t, fmt.Sprintf(form, word)).Fetch(t.Context(), "ver_1")
			require.NoError(t, err, word)
			assert.Equal(t, want, n.Verification.Status, form, word)
			assert.Equal(t, "ver_1", n.Verification.ID)
			assert.Equal(t, portal.Name, n.Provider)
			assert.Empty(t, n.Reference)
			assert.Equal(t, word == "document_expired", n.Verification.Reason == identity.ReasonDocumentExpired)
		}
	}
	for _, unclear := range []string{
		`{"id":"ver_1"}`, `{"id":"ver_1","status":null}`, `{"id":"ver_1","status":1}`, `{"id":"ver_1","status":["verified"]}`,
		`{"id":"ver_1","status":{}}`, `{"id":"ver_1","status":{"current":{"current":"verified"}}}`,
		`{"id":"ver_1","status":"verified","data":{"status":"rejected"}}`,
		`{"id":"ver_1","status":{"current":"verified"},"data":{"status":{"current":"in_progress"}}}`,
	} {
		n, err := says(t, unclear).Fetch(t.Context(), "ver_1")
		require.NoError(t, err, unclear)
		assert.Empty(t, n.Verification.Status, unclear)
	}
}

func TestFetchRefusesAnswer(t *testing.T) {
	for _, body := range []string{
		`{"status":"verified"}`, `{"id":"ver_2","status":"verified"}`, `{"id":"ver_1","verification_id":"ver_2","status":"verified"}`,
		`{"id":"ver_1","status":"verified","status":{"current":"rejected"}}`, `{"id":"ver_1","status":"rejected","Status":"verified"}`,
		`{"id":"ver_1","status":{"current":"verified","current":"rejected"}}`, `{"id":"ver_1","status":"verified","extra_data":"r"}`,
		`{"id":"ver_1","status":"verified","extra_data":{"reference":1}}`, `{"id":"ver_1"`, `{"id":"ver_1","status":"verified"} {}`,
	} {
		_, err := says(t, body).Fetch(t.Context(), "ver_1")
		assert.ErrorIs(t, err, identity.ErrRefused, body)
	}
}

func TestFetchPerson(t *testing.T) {
	n, err := says(t, `{"id":"ver_1","status":"verified","created_at":"2026-03-01T11:00:00Z","extra_data":{"reference":"r-1","plan":"x","n":[1]},
		"data":{"document":{"results":{"document_type":"passport"}}},
		"exported_data":{"first_name":"Jane","last_name":"Roe","document_number":"Z1","expiry_date":"2030-01-31","date_of_birth":"1990-2-3","nationality":"NLD","issuing_country":"nl"}}`).Fetch(t.Context(), "ver_1")
	require.NoError(t, err)
	assert.Equal(t, "r-1", n.Reference)
	assert.Equal(t, map[string]string{"plan": "x"}, n.Metadata)
	v := n.Verification
	assert.Equal(t, []string{"Jane", "Roe", "Z1", "passport", "NLD", ""}, []string{v.FirstName, v.LastName, v.DocumentNumber, v.DocumentType, v.Nationality, v.IssuingCountry})
	assert.Equal(t, "2030-01-31", v.DocumentExpiry.String())
	assert.True(t, v.DateOfBirth.Unreadable(), "there, but not clear")
}

func TestFetchErrors(t *testing.T) {
	for status, want := range map[int]error{
		400: identity.ErrRefused, 401: identity.ErrRefused, 403: identity.ErrRefused, 302: identity.ErrRefused,
		404: identity.ErrNotFound, 500: identity.ErrUnavailable, 503: identity.ErrUnavailable,
	} {
		asked := 0
		p := newProvider(t, func(*http.Request) (*http.Response, error) {
			asked++
			a := answer(status, "canary")
			a.Header.Set("Location", "https://elsewhere.test/canary")
			return a, nil
		})
		_, err := p.Fetch(t.Context(), "ver_1")
		require.ErrorIs(t, err, want)
		assert.NotContains(t, err.Error(), "canary")
		assert.NotContains(t, err.Error(), "ver_1", "who knows the id can act on the verification")
		assert.Equal(t, 1, asked, "one question is one request, and a redirect is not followed")
	}
	p := newProvider(t, func(*http.Request) (*http.Response, error) {
		a := answer(429, "")
		a.Header.Set("Retry-After", "7")
		return a, nil
	})
	_, err := p.Fetch(t.Context(), "ver_1")
	var limited *identity.RateLimitError
	require.ErrorAs(t, err, &limited)
	assert.Equal(t, 7*time.Second, limited.RetryAfter)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Fetch(ctx, "ver_1")
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Fetch(t.Context(), "../ver_1")
	require.ErrorIs(t, err, identity.ErrMalformed)
}

func TestReadHint(t *testing.T) {
	p := newProvider(t, nil)
	for body, want := range map[string]string{
		`{"extra_data":{"reference":"r-1"},"status":"verified"}`:  "r-1",
		`{"event":"x","data":{"extra_data":{"reference":"r-1"}}}`: "r-1",
		`{"verification_id":"ver_1","status":"verified"}`:         "",
		`{}`:                             "",
		`{"extra_data":{"reference":1}}`: "",
		`{"extra_data":"r"}`:             "",
	} {
		hint, err := p.ReadHint(nil, []byte(body))
		require.NoError(t, err, body)
		assert.Equal(t, want, hint.Reference, body)
	}
	for _, body := range []string{``, `x`, `[]`, `"r"`, `{`, `null`, `{} {}`} {
		_, err := p.ReadHint(nil, []byte(body))
		assert.ErrorIs(t, err, identity.ErrMalformed, body)
	}
}

func FuzzReadHint(f *testing.F) {
	f.Add([]byte(`{"data":{"extra_data":{"reference":"r-1"}}}`))
	p, err := portal.New(portal.Config{URL: "https://portal.test", APIKey: "k"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := p.ReadHint(nil, body); err != nil && !errors.Is(err, identity.ErrMalformed) {
			t.Fatal(err)
		}
	})
}
