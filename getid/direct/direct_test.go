package direct_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// transport is an http.RoundTripper made of a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func newProvider(t *testing.T, f transport, changes ...func(*direct.Config)) *direct.Provider {
	t.Helper()
	c := direct.Config{URL: "https://partner.test/base/", APIKey: "canary-key", Flow: "my flow", HTTPClient: &http.Client{Transport: f}, Now: func() time.Time { return now }}
	for _, change := range changes {
		change(&c)
	}
	p, err := direct.New(c)
	require.NoError(t, err)
	return p
}

// says is a GetID that always answers the same.
func says(t *testing.T, body string) *direct.Provider {
	return newProvider(t, func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, body), nil })
}

func TestConfig(t *testing.T) {
	_, err := direct.New(direct.Config{Timeout: -1, SessionTime: -1, FailRedirect: "onCanary"})
	for _, field := range []string{"URL is empty", "APIKey is empty", "Flow", "Timeout is negative", "SessionTime is negative", "FailRedirect"} {
		assert.ErrorContains(t, err, field)
	}
	assert.NotContains(t, err.Error(), "Canary")
}

func TestNothingPrintsTheKey(t *testing.T) {
	p := newProvider(t, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(verb, p), "canary")
		assert.NotContains(t, fmt.Sprintf(verb, direct.Config{APIKey: "canary"}), "canary")
	}
}

func TestStart(t *testing.T) {
	for _, body := range []string{
		`{"url":"https://partner.test/vp/flow?token=eyJ.canary"}`,
		`{"responseCode":200,"data":{"url":"https://partner.test/vp/flow?token=eyJ.canary"}}`,
		`{"url":"https://partner.test/vp/flow?token=eyJ.canary","data":{"url":"https://partner.test/vp/flow?token=eyJ.canary"}}`,
	} {
		p := newProvider(t, func(r *http.Request) (*http.Response, error) {
			sent, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, "POST https://partner.test/base/api/v1/tokenized-url?externalId=r-1&name=my+flow", r.Method+" "+r.URL.String())
			assert.Equal(t, []string{"canary-key"}, r.Header.Values(direct.KeyHeader))
			assert.JSONEq(t, `{"redirects":{"onComplete":"https://app.test/s","onFail":"https://app.test/e"},"metadata":{"labels":{"plan":"x"}}}`, string(sent))
			return answer(http.StatusOK, body), nil
		})
		s, err := p.Start(t.Context(), identity.StartRequest{
			Reference: "r-1", Metadata: map[string]string{"plan": "x"}, CallbackURL: "https://app.test/w", SuccessURL: "https://app.test/s", ErrorURL: "https://app.test/e",
		})
		require.NoError(t, err)
		assert.Equal(t, identity.Session{ID: "r-1", Token: "https://partner.test/vp/flow?token=eyJ.canary", ExpiresAt: now.Add(12 * time.Hour)}, s)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", s, s, s), "canary")
		assert.Equal(t, identity.SDK{URL: s.Token}, p.SDK(s, "nl"))
	}
}

func TestStartRefusesAnswer(t *testing.T) {
	for _, body := range []string{
		``, `{}`, `[]`, `{"url":1}`, `{"url":"javascript:alert(1)"}`, `{"url":"http://elsewhere.test/x"}`, `{"url":"/vp/flow"}`,
		`{"url":"https://a.test/1","data":{"url":"https://a.test/2"}}`, `{"url":"https://a.test/1","URL":"https://a.test/2"}`,
		`{"url":"https://a.test/` + strings.Repeat("x", 5000) + `"}`,
	} {
		_, err := says(t, body).Start(t.Context(), identity.StartRequest{Reference: "r"})
		require.ErrorIs(t, err, identity.ErrRefused)
		require.ErrorIs(t, err, identity.ErrUncertain)
		assert.NotContains(t, err.Error(), "a.test")
	}
}

func TestStartRefusesRequest(t *testing.T) {
	p := newProvider(t, func(*http.Request) (*http.Response, error) { return nil, errors.New("a request was sent") })
	many := map[string]string{}
	for i := range 31 {
		many[fmt.Sprint(i)] = "x"
	}
	for name, r := range map[string]identity.StartRequest{
		"no reference":       {},
		"no ID":              {Reference: "r/../x"},
		"long":               {Reference: strings.Repeat("r", 129)},
		"more than 30":       {Reference: "r", Metadata: many},
		"metadata not UTF-8": {Reference: "r", Metadata: map[string]string{"a": "\xff"}},
	} {
		_, err := p.Start(t.Context(), r)
		assert.ErrorIs(t, err, identity.ErrMalformed, name)
	}
}

func TestFetchStatus(t *testing.T) {
	for _, tt := range []struct {
		body string
		want identity.Status
	}{
		{`"processingState":"processing"`, identity.Started},
		{`"processingState":"processing","overallResult":{"status":"approved"}`, identity.Started},
		{`"processingState":"done","overallResult":{"status":"approved"}`, identity.Verified},
		{`"processingStatus":"done","overallResult":{"status":"approved"}`, identity.Verified},
		{`"processingState":"done","processingStatus":"done","overallResult":{"status":"approved"}`, identity.Verified},
		{`"processingState":"done","overallResult":{"status":"declined"}`, identity.Failed},
		{`"processingState":"done","overallResult":{"status":"needs-review"}`, identity.Review},
		{`"processingState":"done","overallResult":{"status":"error"}`, identity.Failed},
		{`"processingState":"done","processingStatus":"processing","overallResult":{"status":"approved"}`, ""},
		{`"processingState":1,"processingStatus":"done","overallResult":{"status":"approved"}`, ""},
		{`"processingState":"done"`, ""},
		{`"processingState":"done","overallResult":null`, ""},
		{`"processingState":"done","overallResult":"approved"`, ""},
		{`"processingState":"done","overallResult":{"status":"Approved"}`, ""},
		{`"processingState":"done","overallResult":{"status":"pending"}`, ""},
		{`"processingState":"finished","overallResult":{"status":"approved"}`, ""},
		{`"overallResult":{"status":"approved"}`, ""},
	} {
		n, err := says(t, `{"responseCode":200,"id":"645cae276a9ba02a2daa09ff","metadata":{"externalId":"r-1"},`+tt.body+`}`).Fetch(t.Context(), "r-1")
		require.NoError(t, err, tt.body)
		assert.Equal(t, tt.want, n.Verification.Status, tt.body)
		assert.Equal(t, "r-1", n.Reference)
		assert.Equal(t, "r-1", n.Verification.ID)
		assert.Equal(t, strings.Contains(tt.body, `"error"`), n.Verification.Reason == identity.ReasonError)
	}
}

func TestFetchRefusesAnswer(t *testing.T) {
	const verdict = `"processingState":"done","overallResult":{"status":"approved"}`
	for _, body := range []string{
		`{` + verdict + `}`, `{"metadata":{},` + verdict + `}`, `{"metadata":{"externalId":"r-2"},` + verdict + `}`,
		`{"metadata":{"externalId":"r-1","externalId":"r-1"},` + verdict + `}`, `{"metadata":{"externalId":"r-1"},` + verdict + `,"ProcessingState":"x"}`,
		`{"metadata":{"externalId":"r-1"},"processingState":"done","overallResult":{"status":"declined","Status":"approved"}}`,
		`{"metadata":"r-1",` + verdict + `}`, `{"metadata":{"externalId":1},` + verdict + `}`, `[]`, `{`,
		`{"responseCode":401,"metadata":{"externalId":"r-1"},` + verdict + `}`,
	} {
		_, err := says(t, body).Fetch(t.Context(), "r-1")
		assert.ErrorIs(t, err, identity.ErrRefused, body)
	}
	_, err := says(t, `{"responseCode":404}`).Fetch(t.Context(), "r-1")
	assert.ErrorIs(t, err, identity.ErrNotFound)
}

func TestFetchPerson(t *testing.T) {
	extracted := func(more string) string {
		return `{"id":"a","metadata":{"externalId":"r-1","createdAt":"2026-03-01T11:00:00.000Z","labels":{"plan":"x"}},"processingState":"done",
		"overallResult":{"status":"approved","validationDate":"2026-03-01T11:01:00.000Z","concerns":[{"service":"doc-check","status":"approved","message":"m"}]},
		"application":{"documents":[{"issuingCountry":"NLD","documentType":"id-card"}]},
		"servicesResults":{"docCheck":{"extracted":{"ocr":[{"category":"First name","content":"Jane"},{"category":"Last name","content":"Roe"},
		{"category":"Date of birth","content":"1990-02-03"},{"category":"Document number","content":"Z1"},{"category":"Date of expiry","content":"2030-01-31"},
		{"category":"Nationality","content":"NLD"},{"category":"Tax number","content":"1"}` + more + `]}}}}`
	}
	n, err := says(t, extracted("")).Fetch(t.Context(), "r-1")
	require.NoError(t, err)
	v := n.Verification
	assert.Equal(t, []string{"Jane", "Roe", "Z1", "id-card", "NLD", "NLD", "1990-02-03", "2030-01-31"},
		[]string{v.FirstName, v.LastName, v.DocumentNumber, v.DocumentType, v.Nationality, v.IssuingCountry, v.DateOfBirth.String(), v.DocumentExpiry.String()})
	assert.Equal(t, now.Add(-time.Hour), v.CreatedAt)
	assert.Equal(t, map[string]string{"plan": "x"}, n.Metadata)
	require.Len(t, v.Concerns, 1)

	for _, more := range []string{`,{"category":"Date of expiry","content":"2040-01-31"}`, `,{"category":"Date of expiry","content":"31.01.2040"}`} {
		n, err := says(t, extracted(more)).Fetch(t.Context(), "r-1")
		require.NoError(t, err)
		assert.True(t, n.Verification.DocumentExpiry.Unreadable(), "read twice, and differently")
	}
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
		_, err := p.Fetch(t.Context(), "r-1")
		require.ErrorIs(t, err, want)
		assert.NotContains(t, err.Error(), "canary")
		assert.Equal(t, 1, asked)
	}
	p := says(t, `{}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Fetch(ctx, "r-1")
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Fetch(t.Context(), "a/b")
	require.ErrorIs(t, err, identity.ErrMalformed)
}

func TestErase(t *testing.T) {
	var asked []string
	p := newProvider(t, func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		return answer(http.StatusOK, `{"responseCode":200,"id":"645cae","metadata":{"externalId":"r-1"},"processingState":"done"}`), nil
	})
	require.NoError(t, p.Erase(t.Context(), "r-1"))
	assert.Equal(t, []string{"GET /base/api/v1/application/r-1", "DELETE /base/api/v1/application/645cae"}, asked)

	require.ErrorIs(t, p.Erase(t.Context(), "r-2"), identity.ErrRefused, "somebody else's is not deleted")
	gone := newProvider(t, func(*http.Request) (*http.Response, error) { return answer(http.StatusNotFound, ""), nil })
	require.NoError(t, gone.Erase(t.Context(), "r-1"))
	away := newProvider(t, func(*http.Request) (*http.Response, error) { return answer(http.StatusBadGateway, ""), nil })
	require.ErrorIs(t, away.Erase(t.Context(), "r-1"), identity.ErrUnavailable)
}

func TestReadHint(t *testing.T) {
	p := says(t, `{}`)
	for body, want := range map[string]string{
		`{"id":"a","metadata":{"externalId":"r-1"},"processingState":"done","overallResult":{"status":"approved"}}`: "r-1",
		`{"id":"a"}`: "", `{"metadata":{"externalId":1}}`: "", `{"metadata":"r-1"}`: "",
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
	f.Add([]byte(`{"metadata":{"externalId":"r-1"}}`))
	p, err := direct.New(direct.Config{URL: "https://partner.test", APIKey: "k", Flow: "f"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := p.ReadHint(nil, body); err != nil && !errors.Is(err, identity.ErrMalformed) {
			t.Fatal(err)
		}
	})
}
