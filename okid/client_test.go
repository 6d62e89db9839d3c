package okid_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid"
)

const (
	session = `{"process_token":"tok_v1_0123456789abcdef0123456789abcd","expires_at":"2025-06-30T23:59:59Z"}`
	fetched = `{"id":"ver_1","status":"completed","verification_details":{"first_name":"Jane"},"metadata":{"reference":"r-1","user_id":"u-1"}}`
)

var start = identity.StartRequest{Reference: "r-1"}

// transport is an http.RoundTripper made of a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is a response as a transport gives it.
func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func over(f transport) func(*okid.Config) {
	return func(c *okid.Config) { c.HTTPClient = &http.Client{Transport: f} }
}

func serve(t *testing.T, h http.HandlerFunc) func(*okid.Config) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return func(c *okid.Config) { c.APIURL, c.HTTPClient = s.URL+"/base/", s.Client() }
}

// calls are the two methods that ask okID something.
var calls = map[string]func(context.Context, *okid.Provider) error{
	"Start": func(ctx context.Context, p *okid.Provider) error { _, err := p.Start(ctx, start); return err },
	"Fetch": func(ctx context.Context, p *okid.Provider) error { _, err := p.Fetch(ctx, "ver_1"); return err },
}

func TestStart(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusCreated} {
		p := newProvider(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, "POST /base/v1/verification/generate", r.Method+" "+r.URL.Path)
			assert.Equal(t, []string{apiKey}, r.Header.Values(okid.KeyHeader))
			assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
			assert.JSONEq(t, `{"metadata":{"reference":"r-1","plan":"<b>&\"é"},"callback_url":"https://app.test/w",
				"success_url":"https://app.test/s","error_url":"https://app.test/e"}`, string(body))
			w.WriteHeader(status)
			_, _ = io.WriteString(w, session)
		}))
		r := identity.StartRequest{
			Reference:   "r-1",
			Metadata:    map[string]string{"plan": `<b>&"é`},
			CallbackURL: "https://app.test/w",
			SuccessURL:  "https://app.test/s",
			ErrorURL:    "https://app.test/e",
		}
		got, err := p.Start(t.Context(), r)
		require.NoError(t, err)
		assert.Equal(t, identity.Session{
			Token:     "tok_v1_0123456789abcdef0123456789abcd",
			ExpiresAt: time.Date(2025, 6, 30, 23, 59, 59, 0, time.UTC),
		}, got)
		assert.Equal(t, map[string]string{"plan": `<b>&"é`}, r.Metadata, "the caller's map was changed")
	}
}

func TestStartRefusesRequest(t *testing.T) {
	p := newProvider(t, over(func(*http.Request) (*http.Response, error) {
		assert.Fail(t, "a request was sent")
		return nil, errors.New("no")
	}))
	for name, r := range map[string]identity.StartRequest{
		"no reference":               {},
		"reference twice":            {Reference: "r", Metadata: map[string]string{"reference": "canary"}},
		"reference by letter case":   {Reference: "r", Metadata: map[string]string{"Reference": "canary"}},
		"reference same twice":       {Reference: "canary", Metadata: map[string]string{"reference": "canary"}},
		"two keys by letter case":    {Reference: "r", Metadata: map[string]string{"canary": "1", "Canary": "2"}},
		"reference not UTF-8":        {Reference: "canary\xff"},
		"metadata not UTF-8":         {Reference: "r", Metadata: map[string]string{"a": "canary\xff"}},
		"key of metadata not UTF-8":  {Reference: "r", Metadata: map[string]string{"canary\xff": "a"}},
		"URL not UTF-8":              {Reference: "r", CallbackURL: "https://canary\xff"},
		"key of metadata with bytes": {Reference: "r", Metadata: map[string]string{"\xfe": "a", "\xff": "canary"}},
	} {
		_, err := p.Start(t.Context(), r)
		assert.ErrorIs(t, err, identity.ErrMalformed, name)
		assert.NotErrorIs(t, err, identity.ErrUncertain, name)
		assert.NotContains(t, fmt.Sprint(err), "canary", name)
	}
}

func TestStartRefusesAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"empty":                 ``,
		"not JSON":              `canary`,
		"HTML":                  `<html>canary</html>`,
		"list":                  `[]`,
		"empty object":          `{}`,
		"no token":              `{"expires_at":"2025-06-30T23:59:59Z"}`,
		"token null":            `{"process_token":null,"expires_at":"2025-06-30T23:59:59Z"}`,
		"token number":          `{"process_token":1,"expires_at":"2025-06-30T23:59:59Z"}`,
		"token empty":           `{"process_token":"","expires_at":"2025-06-30T23:59:59Z"}`,
		"token with space":      `{"process_token":"canary 1","expires_at":"2025-06-30T23:59:59Z"}`,
		"token with line feed":  `{"process_token":"canary\n","expires_at":"2025-06-30T23:59:59Z"}`,
		"token not ASCII":       `{"process_token":"canaryé","expires_at":"2025-06-30T23:59:59Z"}`,
		"token too long":        `{"process_token":"` + strings.Repeat("c", 1025) + `","expires_at":"2025-06-30T23:59:59Z"}`,
		"trailing data":         session + `canary`,
		"second value":          session + session,
		"token twice":           `{"process_token":"canary","process_token":"b","expires_at":"2025-06-30T23:59:59Z"}`,
		"token by letter case":  `{"process_token":"canary","Process_Token":"b","expires_at":"2025-06-30T23:59:59Z"}`,
		"expiry by letter case": `{"process_token":"canary","EXPIRES_AT":"2025-06-30T23:59:59Z"}`,
		"longer than 1 MiB":     `{"canary":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
			got, err := p.Start(t.Context(), start)
			require.ErrorIs(t, err, identity.ErrRefused)
			require.ErrorIs(t, err, identity.ErrUncertain)
			assert.Zero(t, got)
			assert.NotContains(t, err.Error(), "canary")
		})
	}
}

// TestSessionTime: a session whose end cannot be read is no reason to lose it.
func TestSessionTime(t *testing.T) {
	written := time.Date(2025, 6, 30, 23, 59, 59, 0, time.UTC)
	guessed := at.Add(okid.DefaultSessionTime)
	for expiry, want := range map[string]time.Time{
		`"2025-06-30T23:59:59Z"`: written, `"2025-06-30T23:59:59.000Z"`: written, `"2025-07-01T01:59:59+0200"`: written, `"2025-06-30T23:59:59"`: written,
		`"2025-06-30 23:59:59"`: written, `1751327999`: written, `"1751327999"`: written, `1751327999000`: written,
		`null`: guessed, `""`: guessed, `"canary"`: guessed, `17513279990`: guessed, `1.751327999e9`: guessed, `{}`: guessed, `[]`: guessed, `true`: guessed,
		`"2025-06-31T23:59:59Z"`: guessed, `"\ud800"`: guessed, `"30-06-2025 23:59:59"`: guessed,
	} {
		p := newProvider(t, over(func(*http.Request) (*http.Response, error) {
			return answer(http.StatusOK, `{"process_token":"tok","expires_at":`+expiry+`}`), nil
		}), func(c *okid.Config) { c.Now = func() time.Time { return at } })
		got, err := p.Start(t.Context(), start)
		require.NoError(t, err, expiry)
		assert.Equal(t, identity.Session{Token: "tok", ExpiresAt: want}, got, expiry)
	}
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, over(func(*http.Request) (*http.Response, error) {
			return answer(http.StatusOK, `{"process_token":"tok"}`), nil
		}))
		got, err := p.Start(t.Context(), start)
		require.NoError(t, err)
		assert.Equal(t, time.Now().Add(okid.DefaultSessionTime), got.ExpiresAt, "without a clock of the host's")
	})
}

// TestRateLimit: the time to wait comes to the caller as okID gave it, and a question
// is asked once.
func TestRateLimit(t *testing.T) {
	const date = "Mon, 30 Jun 2025 10:18:00 GMT" // at
	for name, tc := range map[string]struct {
		status int
		header []string
		want   time.Duration
		limit  bool
	}{
		"nothing said":               {429, nil, 0, true},
		"seconds":                    {429, []string{"Retry-After", "30"}, 30 * time.Second, true},
		"a day":                      {429, []string{"Retry-After", "86400"}, 24 * time.Hour, true},
		"a date":                     {429, []string{"Retry-After", "Mon, 30 Jun 2025 12:18:00 GMT", "Date", date}, 2 * time.Hour, true},
		"a date by our clock":        {429, []string{"Retry-After", "Mon, 30 Jun 2025 12:18:00 GMT"}, 2 * time.Hour, true},
		"a date gone by":             {429, []string{"Retry-After", "Mon, 30 Jun 2025 10:00:00 GMT"}, time.Millisecond, true},
		"no time at all":             {429, []string{"Retry-After", "0"}, time.Millisecond, true},
		"nonsense":                   {429, []string{"Retry-After", "canary"}, 0, true},
		"away for a while":           {503, []string{"Retry-After", "120"}, 2 * time.Minute, true},
		"away":                       {503, nil, 0, false},
		"broken, and says how long":  {500, []string{"Retry-After", "120"}, 0, false},
		"a fraction is not a number": {429, []string{"Retry-After", "1.5"}, 0, true},
		"a negative time is none":    {429, []string{"Retry-After", "-5"}, 0, true},
	} {
		for call := range calls {
			if call == "Start" && tc.want < 3*time.Second {
				continue // it is repeated, see TestStatusCodes
			}
			t.Run(call+" "+name, func(t *testing.T) {
				tries := 0
				p := newProvider(t, over(func(*http.Request) (*http.Response, error) {
					tries++
					return answer(tc.status, "canary", tc.header...), nil
				}), func(c *okid.Config) { c.Now = func() time.Time { return at } })
				err := calls[call](t.Context(), p)
				require.ErrorIs(t, err, identity.ErrUnavailable)
				require.NotErrorIs(t, err, identity.ErrUncertain)
				limit, ok := errors.AsType[*identity.RateLimitError](err)
				require.Equal(t, tc.limit, ok)
				if ok {
					assert.Equal(t, tc.want, limit.RetryAfter)
				}
				assert.Equal(t, 1, tries)
				assert.NotContains(t, err.Error(), "canary")
			})
		}
	}
}

func TestFetch(t *testing.T) {
	p := newProvider(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "GET /base/v1/verification/ver_1", r.Method+" "+r.URL.Path)
		assert.Equal(t, []string{apiKey}, r.Header.Values(okid.KeyHeader))
		_, _ = io.WriteString(w, fetched)
	}))
	got, err := p.Fetch(t.Context(), "ver_1")
	require.NoError(t, err)
	assert.Equal(t, identity.Notice{
		Provider:     "okid",
		Verification: identity.Verification{ID: "ver_1", Status: identity.Verified, FirstName: "Jane"},
		Reference:    "r-1",
		Metadata:     map[string]string{"user_id": "u-1"},
	}, got)
}

func TestFetchStatus(t *testing.T) {
	for status, want := range map[string]identity.Status{
		`"completed"`: identity.Verified, `"started"`: identity.Started, `"failed"`: identity.Failed, `"expired"`: identity.Expired,
		`"verified"`: "", `"Completed"`: "", `"approved"`: "", `""`: "", `null`: "",
	} {
		p := newProvider(t, over(func(*http.Request) (*http.Response, error) {
			return answer(http.StatusOK, `{"id":"ver_1","status":`+status+`}`), nil
		}))
		got, err := p.Fetch(t.Context(), "ver_1")
		require.NoError(t, err, status)
		assert.Equal(t, want, got.Verification.Status, status)
	}
}

func TestFetchRefusesID(t *testing.T) {
	p := newProvider(t, over(func(*http.Request) (*http.Response, error) {
		assert.Fail(t, "a request was sent")
		return nil, errors.New("no")
	}))
	for _, id := range []string{
		"", " ", ".", "..", "../generate", "ver/1", `ver\1`, "ver_1?x=1", "ver_1#x", "ver%2f1", "ver_1\n", "ver.1", "ver:1", "vér", "ver_1;", "ver 1",
		"\x00", strings.Repeat("a", 129),
	} {
		_, err := p.Fetch(t.Context(), id)
		assert.ErrorIs(t, err, identity.ErrMalformed, "%q", id)
	}
}

func TestFetchRefusesAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"empty":                    ``,
		"not JSON":                 `canary`,
		"list":                     `[` + fetched + `]`,
		"no id":                    `{"status":"completed"}`,
		"id null":                  `{"id":null,"status":"completed"}`,
		"another id":               `{"id":"ver_2","status":"completed"}`,
		"id by letter case":        `{"id":"VER_1","status":"completed"}`,
		"unusable id":              `{"id":"canary/1","status":"completed"}`,
		"trailing data":            fetched + `canary`,
		"status twice":             `{"id":"ver_1","status":"failed","status":"completed"}`,
		"status by letter case":    `{"id":"ver_1","status":"failed","Status":"completed"}`,
		"status number":            `{"id":"ver_1","status":1}`,
		"status object":            `{"id":"ver_1","status":{"current":"completed"}}`,
		"metadata list":            `{"id":"ver_1","status":"completed","metadata":["canary"]}`,
		"reference number":         `{"id":"ver_1","status":"completed","metadata":{"reference":1}}`,
		"reference by letter case": `{"id":"ver_1","metadata":{"reference":"a","REFERENCE":"b"}}`,
		"too deep":                 `{"id":"ver_1","x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
		"longer than 1 MiB":        `{"id":"ver_1","canary":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
			got, err := p.Fetch(t.Context(), "ver_1")
			require.ErrorIs(t, err, identity.ErrRefused)
			require.NotErrorIs(t, err, identity.ErrUncertain)
			require.NotErrorIs(t, err, identity.ErrMalformed)
			assert.Zero(t, got)
			assert.NotContains(t, err.Error(), "canary")
		})
	}
}

// TestLargestAnswer: the cap is exact.
func TestLargestAnswer(t *testing.T) {
	for extra, want := range map[int]error{0: nil, 1: identity.ErrRefused} {
		padding := strings.Repeat(" ", 1<<20-len(fetched)+extra)
		p := newProvider(t, over(func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, fetched+padding), nil }))
		_, err := p.Fetch(t.Context(), "ver_1")
		assert.ErrorIs(t, err, want)
	}
}

// TestStatusCodes counts the tries, and looks at what each status code ends in.
func TestStatusCodes(t *testing.T) {
	type outcome struct {
		tries     int
		want      error
		uncertain bool
	}
	for _, tc := range []struct {
		status       int
		start, fetch outcome
	}{
		{202, outcome{1, identity.ErrRefused, true}, outcome{1, identity.ErrRefused, false}},
		{204, outcome{1, identity.ErrRefused, true}, outcome{1, identity.ErrRefused, false}},
		{301, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{302, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{303, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{304, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{307, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{308, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{400, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{401, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{403, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{404, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrNotFound, false}},
		{409, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{422, outcome{1, identity.ErrRefused, false}, outcome{1, identity.ErrRefused, false}},
		{429, outcome{3, identity.ErrUnavailable, false}, outcome{1, identity.ErrUnavailable, false}},
		{500, outcome{1, identity.ErrUnavailable, true}, outcome{1, identity.ErrUnavailable, false}},
		{501, outcome{1, identity.ErrUnavailable, true}, outcome{1, identity.ErrUnavailable, false}},
		{502, outcome{1, identity.ErrUnavailable, true}, outcome{1, identity.ErrUnavailable, false}},
		{503, outcome{1, identity.ErrUnavailable, false}, outcome{1, identity.ErrUnavailable, false}},
		{504, outcome{1, identity.ErrUnavailable, true}, outcome{1, identity.ErrUnavailable, false}},
		{599, outcome{1, identity.ErrUnavailable, true}, outcome{1, identity.ErrUnavailable, false}},
	} {
		for name, want := range map[string]outcome{"Start": tc.start, "Fetch": tc.fetch} {
			t.Run(fmt.Sprint(name, " ", tc.status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					began, tries := time.Now(), 0
					p := newProvider(t, over(func(r *http.Request) (*http.Response, error) {
						tries++
						assert.Equal(t, []string{apiKey}, r.Header.Values(okid.KeyHeader))
						return answer(tc.status, session+"canary", "Location", "https://canary.test/"), nil
					}))
					err := calls[name](t.Context(), p)
					require.ErrorIs(t, err, want.want)
					assert.Equal(t, want.uncertain, errors.Is(err, identity.ErrUncertain))
					assert.Contains(t, err.Error(), fmt.Sprint(tc.status))
					assert.NotContains(t, err.Error(), "canary")
					assert.Equal(t, want.tries, tries)
					assert.LessOrEqual(t, time.Since(began), time.Second)
				})
			})
		}
	}
}

func TestTransportErrors(t *testing.T) {
	for _, tc := range []struct {
		name      string
		err       error
		uncertain bool // of Start
	}{
		{"connection refused", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}, false},
		{"connection reset", &net.OpError{Op: "read", Net: "tcp", Err: errors.New("reset")}, true},
		{"garbage", errors.New("malformed HTTP response \"canary\""), true},
	} {
		for name, call := range calls {
			t.Run(name+" "+tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newProvider(t, over(func(*http.Request) (*http.Response, error) { return nil, tc.err }))
					err := call(t.Context(), p)
					require.ErrorIs(t, err, identity.ErrUnavailable)
					assert.Equal(t, name == "Start" && tc.uncertain, errors.Is(err, identity.ErrUncertain))
					assert.NotContains(t, err.Error(), "canary")
				})
			})
		}
	}
}

// TestTimeout: one clock covers the connection, the answer, the pauses and every
// retry.
func TestTimeout(t *testing.T) {
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	hangInBody := func(r *http.Request) (*http.Response, error) {
		pr, pw := io.Pipe()
		context.AfterFunc(r.Context(), func() { pw.CloseWithError(r.Context().Err()) })
		return &http.Response{StatusCode: http.StatusOK, Body: pr}, nil
	}
	for where, f := range map[string]transport{"answer": hang, "body": hangInBody} {
		for name, call := range calls {
			for timeout, want := range map[time.Duration]time.Duration{0: okid.DefaultTimeout, 3 * time.Second: 3 * time.Second} {
				t.Run(fmt.Sprint(where, name, timeout), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := newProvider(t, over(f), func(c *okid.Config) { c.Timeout = timeout })
						began := time.Now()
						err := call(t.Context(), p)
						assert.Equal(t, want, time.Since(began))
						require.ErrorIs(t, err, identity.ErrUnavailable)
						require.ErrorIs(t, err, context.DeadlineExceeded)
						assert.Equal(t, name == "Start", errors.Is(err, identity.ErrUncertain))
					})
				})
			}
		}
	}

	t.Run("slow refusals", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			p := newProvider(t, over(func(r *http.Request) (*http.Response, error) {
				tries++
				if err := pause(r.Context(), 6*time.Second); err != nil {
					return nil, err
				}
				return answer(http.StatusTooManyRequests, ""), nil
			}))
			began := time.Now()
			_, err := p.Start(t.Context(), start)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, okid.DefaultTimeout, time.Since(began))
			assert.Equal(t, 2, tries)
		})
	})
}

// pause waits for d of the fake clock.
func pause(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errPaused)
	defer cancel()
	<-ctx.Done()
	if context.Cause(ctx) == errPaused {
		return nil
	}
	return ctx.Err()
}

var errPaused = errors.New("pause is over")

func TestCancel(t *testing.T) {
	for name, call := range calls {
		t.Run(name+" before", func(t *testing.T) {
			p := newProvider(t, over(func(*http.Request) (*http.Response, error) {
				assert.Fail(t, "a request was sent")
				return nil, errors.New("no")
			}))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := call(ctx, p)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, identity.ErrUnavailable)
			require.NotErrorIs(t, err, identity.ErrUncertain)
		})
		t.Run(name+" during", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := newProvider(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // or the server does not see us leave
				cancel()
				<-r.Context().Done()
			}))
			err := call(ctx, p)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, identity.ErrUnavailable)
			assert.Equal(t, name == "Start", errors.Is(err, identity.ErrUncertain))
		})
		t.Run(name+" in a pause", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				tries := 0
				p := newProvider(t, over(func(*http.Request) (*http.Response, error) {
					tries++
					return answer(http.StatusTooManyRequests, "", "Retry-After", "2"), nil
				}))
				began := time.Now()
				err := call(ctx, p)
				require.ErrorIs(t, err, identity.ErrUnavailable)
				require.NotErrorIs(t, err, identity.ErrUncertain)
				assert.Equal(t, 1, tries)
				if name == "Fetch" {
					assert.Zero(t, time.Since(began), "who asks decides when to ask again")
					return
				}
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, 50*time.Millisecond, time.Since(began))
			})
		})
	}
}

// TestClientIsNotChanged: the host's client stays as it is, and its own settings
// do not reach us.
func TestClientIsNotChanged(t *testing.T) {
	jar := &countingJar{}
	rt := transport(func(*http.Request) (*http.Response, error) {
		return answer(http.StatusOK, fetched, "Set-Cookie", "a=b"), nil
	})
	client := &http.Client{Transport: rt, Jar: jar, Timeout: 1}
	p := newProvider(t, func(c *okid.Config) { c.HTTPClient = client })
	_, err := p.Fetch(t.Context(), "ver_1")
	require.NoError(t, err)
	assert.Zero(t, jar.used)
	assert.Nil(t, client.CheckRedirect)
	assert.Equal(t, time.Duration(1), client.Timeout)
}

type countingJar struct {
	http.CookieJar
	used int
}

func TestErrorsHoldNoSecret(t *testing.T) {
	for name, call := range calls {
		for _, status := range []int{302, 401, 404, 503} {
			p := newProvider(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", r.Header.Get(okid.KeyHeader))
				w.Header().Set("Retry-After", "60")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, r.Header.Get(okid.KeyHeader)+secret)
			}))
			err := call(t.Context(), p)
			require.Error(t, err, name)
			for _, verb := range []string{"%v", "%+v", "%#v"} {
				assert.NotContains(t, fmt.Sprintf(verb, err), "canary")
			}
		}
	}
}
