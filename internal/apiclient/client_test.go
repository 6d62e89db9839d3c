package apiclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/apiclient"
)

const maxAnswer = 1000

var (
	get  = apiclient.Request{Method: http.MethodGet, URL: "https://host.test/path", Authorize: authorize, MaxAnswer: maxAnswer}
	post = apiclient.Request{Method: http.MethodPost, URL: "https://host.test/path", Authorize: authorize, MaxAnswer: maxAnswer, Body: []byte(`{"a":1}`)}
)

func authorize(r *http.Request) { r.Header.Set("X-Key", "canary-key") }

// to is the request to another URL.
func to(url string, r apiclient.Request) apiclient.Request {
	r.URL = url
	return r
}

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

func serve(t *testing.T, h http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestDo(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, []string{"canary-key"}, r.Header.Values("X-Key"))
		assert.Equal(t, "application/json", r.Header.Get("Accept"))
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, r.Method, r.URL.Path, r.Header.Get("Content-Type"), string(body))
	})
	a, err := apiclient.Do(t.Context(), http.DefaultTransport, to(url+"/a", get))
	require.NoError(t, err)
	assert.Equal(t, http.StatusCreated, a.Status)
	assert.Equal(t, "GET/a", string(a.Body))
	a, err = apiclient.Do(t.Context(), http.DefaultTransport, to(url+"/b", post))
	require.NoError(t, err)
	assert.Equal(t, `POST/bapplication/json{"a":1}`, string(a.Body))

	_, err = apiclient.Do(t.Context(), http.DefaultTransport, apiclient.Request{Method: "GET", URL: serve(t, func(_ http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("X-Key"))
	})})
	require.NoError(t, err, "there is no need for a key")
}

// TestMaxAnswer: the bound is exact, and what is beyond is not read.
func TestMaxAnswer(t *testing.T) {
	for length, want := range map[int]error{0: nil, maxAnswer: nil, maxAnswer + 1: apiclient.ErrTooLong, 100 * maxAnswer: apiclient.ErrTooLong} {
		body := strings.NewReader(strings.Repeat("x", length))
		a, err := apiclient.Do(t.Context(), transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body)}, nil
		}), get)
		require.ErrorIs(t, err, want)
		if want == nil {
			assert.Len(t, a.Body, length)
		}
		assert.Equal(t, max(0, length-maxAnswer-1), body.Len(), "left to read")
	}
}

// unreadable is a body that nobody should read.
type unreadable struct{ t *testing.T }

func (b unreadable) Read([]byte) (int, error) { b.t.Error("body was read"); return 0, io.EOF }
func (unreadable) Close() error               { return nil }

// TestStatus counts the tries. Only what cannot count twice is repeated, no
// redirect is followed, and the body of a refusal does not matter.
func TestStatus(t *testing.T) {
	for status, tries := range map[int][2]int{ // of get and post
		202: {1, 1}, 204: {1, 1}, 301: {1, 1}, 307: {1, 1}, 400: {1, 1}, 401: {1, 1}, 404: {1, 1}, 408: {1, 1},
		429: {3, 3}, 500: {1, 1}, 501: {1, 1}, 502: {1, 1}, 503: {1, 1}, 504: {1, 1}, 599: {1, 1},
	} {
		for i, r := range []apiclient.Request{get, post} {
			synctest.Test(t, func(t *testing.T) {
				began, got := time.Now(), 0
				refuse := transport(func(*http.Request) (*http.Response, error) {
					got++
					resp := answer(status, "", "Location", "https://canary.test/")
					resp.Body = unreadable{t}
					return resp, nil
				})
				a, err := apiclient.Do(t.Context(), refuse, r)
				require.NoError(t, err)
				assert.Equal(t, apiclient.Answer{Status: status}, a)
				assert.Equal(t, tries[i], got, "%s %d", r.Method, status)
				assert.LessOrEqual(t, time.Since(began), time.Second)

				got = 0
				_, err = apiclient.DoOnce(t.Context(), refuse, r)
				require.NoError(t, err)
				assert.Equal(t, 1, got)
			})
		}
	}
}

func TestRetrySucceeds(t *testing.T) {
	for _, r := range []apiclient.Request{get, post} {
		synctest.Test(t, func(t *testing.T) {
			var bodies []string
			a, err := apiclient.Do(t.Context(), transport(func(r *http.Request) (*http.Response, error) {
				sent, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, "canary-key", r.Header.Get("X-Key"))
				bodies = append(bodies, string(sent))
				switch len(bodies) {
				case 1:
					return answer(http.StatusTooManyRequests, ""), nil
				case 2:
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
				}
				return answer(http.StatusOK, "good"), nil
			}), r)
			require.NoError(t, err)
			assert.Equal(t, "good", string(a.Body))
			body := string(r.Body)
			assert.Equal(t, []string{body, body, body}, bodies, "the body is sent again in full")
		})
	}
}

func TestTransportErrors(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for name, tc := range map[string]struct {
		err   error
		tries int
		told  bool // whether the cause is in the error
	}{
		"connection refused": {dial, 3, true},
		"wrapped":            {fmt.Errorf("canary: %w", dial), 3, true},
		"proxy":              {&net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial}, 3, true},
		"connection reset":   {&net.OpError{Op: "read", Net: "tcp", Err: errors.New("reset")}, 1, true},
		"connection lost":    {io.ErrUnexpectedEOF, 1, false},
		"garbage":            {errors.New("malformed HTTP response \"canary\""), 1, false},
	} {
		for _, r := range []apiclient.Request{get, post} {
			t.Run(r.Method+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tries := 0
					_, err := apiclient.Do(t.Context(), transport(func(*http.Request) (*http.Response, error) { tries++; return nil, tc.err }), r)
					require.Error(t, err)
					assert.Equal(t, tc.tries > 1, errors.Is(err, apiclient.ErrUnsent))
					_, told := errors.AsType[*net.OpError](err)
					assert.Equal(t, tc.told, told)
					assert.NotContains(t, err.Error(), "canary")
					assert.Equal(t, tc.tries, tries)
				})
			})
		}
	}
}

// TestRealConnectionErrors: the errors of the real transport are what the fakes
// above pretend.
func TestRealConnectionErrors(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		s := httptest.NewServer(http.NotFoundHandler())
		s.Close()
		_, err := apiclient.Do(t.Context(), http.DefaultTransport, to(s.URL, post))
		require.ErrorIs(t, err, apiclient.ErrUnsent)
	})
	t.Run("closed without an answer", func(t *testing.T) {
		url := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		_, err := apiclient.Do(t.Context(), http.DefaultTransport, to(url, post))
		require.Error(t, err)
		require.NotErrorIs(t, err, apiclient.ErrUnsent)
	})
	t.Run("closed in the middle of the answer", func(t *testing.T) {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "canary")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		a, err := apiclient.Do(t.Context(), http.DefaultTransport, to(url, post))
		require.Error(t, err)
		require.NotErrorIs(t, err, apiclient.ErrUnsent)
		assert.NotContains(t, err.Error(), "canary")
		assert.Zero(t, a)
	})
	t.Run("certificate of somebody else", func(t *testing.T) {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		_, err := apiclient.Do(t.Context(), http.DefaultTransport, to(s.URL, get))
		require.ErrorContains(t, err, "certificate")
		require.NotErrorIs(t, err, apiclient.ErrUnsent)
	})
}

func TestRetryAfter(t *testing.T) {
	const date = "Mon, 30 Jun 2025 10:18:00 GMT"
	for name, tc := range map[string]struct {
		after, date string
		tries       int
		least, most time.Duration
	}{
		"none":             {"", "", 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"zero":             {"0", "", 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"negative":         {"-5", "", 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"underflow":        {"-9223372037", "", 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"nonsense":         {"soon", "", 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"one second":       {"1", "", 3, 2 * time.Second, 2 * time.Second},
		"two seconds":      {"2", "", 3, 4 * time.Second, 4 * time.Second},
		"three seconds":    {"3", "", 1, 0, 0},
		"a day":            {"86400", "", 1, 0, 0},
		"overflow":         {"9223372036854775807", "", 1, 0, 0},
		"beyond overflow":  {"99999999999999999999", "", 1, 0, 0},
		"date":             {"Mon, 30 Jun 2025 10:18:01 GMT", date, 3, 2 * time.Second, 2 * time.Second},
		"date far ahead":   {"Mon, 30 Jun 2025 11:18:00 GMT", date, 1, 0, 0},
		"date gone by":     {"Mon, 30 Jun 2025 10:17:00 GMT", date, 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"date and no Date": {"Mon, 30 Jun 2025 11:18:00 GMT", "", 3, 300 * time.Millisecond, 600 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				began := time.Now()
				a, err := apiclient.Do(t.Context(), transport(func(*http.Request) (*http.Response, error) {
					tries++
					return answer(http.StatusTooManyRequests, "", "Retry-After", tc.after, "Date", tc.date), nil
				}), post)
				require.NoError(t, err)
				assert.Equal(t, http.StatusTooManyRequests, a.Status)
				assert.Equal(t, tc.tries, tries)
				assert.GreaterOrEqual(t, time.Since(began), tc.least)
				assert.LessOrEqual(t, time.Since(began), tc.most)
			})
		})
	}
}

// TestRetryAfterTold: whoever asks once is told in full how long to wait.
func TestRetryAfterTold(t *testing.T) {
	const date = "Mon, 30 Jun 2025 10:18:00 GMT"
	clock := func() time.Time { return time.Date(2025, 6, 30, 10, 17, 0, 0, time.UTC) }
	for name, tc := range map[string]struct {
		after, date string
		now         func() time.Time
		want        time.Duration
	}{
		"none":                 {"", "", clock, 0},
		"seconds":              {"7200", "", nil, 2 * time.Hour},
		"more than there is":   {"9223372036854775807", "", nil, math.MaxInt64 / time.Second * time.Second},
		"much more":            {"99999999999999999999", "", nil, math.MaxInt64 / time.Second * time.Second},
		"none at all":          {"0", "", nil, time.Millisecond},
		"negative":             {"-99999999999999999999", "", nil, 0},
		"nonsense":             {"soon", "", clock, 0},
		"date by their clock":  {"Mon, 30 Jun 2025 12:18:00 GMT", date, clock, 2 * time.Hour},
		"date by ours":         {"Mon, 30 Jun 2025 12:18:00 GMT", "", clock, 2*time.Hour + time.Minute},
		"date without a clock": {"Mon, 30 Jun 2025 12:18:00 GMT", "", nil, 0},
		"date gone by":         {"Mon, 30 Jun 2025 10:00:00 GMT", date, clock, time.Millisecond},
	} {
		r := get
		r.Now = tc.now
		a, err := apiclient.DoOnce(t.Context(), transport(func(*http.Request) (*http.Response, error) {
			return answer(http.StatusTooManyRequests, "", "Retry-After", tc.after, "Date", tc.date), nil
		}), r)
		require.NoError(t, err)
		assert.Equal(t, tc.want, a.RetryAfter, name)
	}
}

// TestContext: its end ends everything, and says so.
func TestContext(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := apiclient.Do(ctx, transport(func(*http.Request) (*http.Response, error) {
			assert.Fail(t, "a request was sent")
			return nil, errors.New("no")
		}), get)
		require.ErrorIs(t, err, apiclient.ErrUnsent)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 1, strings.Count(err.Error(), "canceled"))
	})
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, errors.New("canary")
	}
	hangInBody := func(r *http.Request) (*http.Response, error) {
		pr, pw := io.Pipe()
		context.AfterFunc(r.Context(), func() { pw.CloseWithError(errors.New("canary")) })
		return &http.Response{StatusCode: http.StatusOK, Body: pr}, nil
	}
	refuse := func(*http.Request) (*http.Response, error) {
		return answer(http.StatusTooManyRequests, "", "Retry-After", "2"), nil
	}
	hangInDial := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("canary")}
	}
	for name, tc := range map[string]struct {
		f      transport
		unsent bool
	}{
		"during the dial": {hangInDial, true}, "during the exchange": {hang, false}, "during the body": {hangInBody, false}, "in a pause": {refuse, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began, tries := time.Now(), 0
				_, err := apiclient.Do(ctx, transport(func(r *http.Request) (*http.Response, error) { tries++; return tc.f(r) }), post)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, tc.unsent, errors.Is(err, apiclient.ErrUnsent))
				assert.Equal(t, name == "in a pause", strings.Contains(err.Error(), "HTTP 429"))
				assert.NotContains(t, err.Error(), "canary")
				assert.Equal(t, time.Second, time.Since(began))
				assert.Equal(t, 1, tries)
			})
		})
	}
}

// TestRedirects: the key never reaches a second host.
func TestRedirects(t *testing.T) {
	other := serve(t, func(http.ResponseWriter, *http.Request) { assert.Fail(t, "a redirect was followed") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{other + "/canary", "/canary", "//canary.test/", "https://canary.test:x/%zz", ""} {
			first := 0
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				first++
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			})
			for _, r := range []apiclient.Request{get, post} {
				a, err := apiclient.Do(t.Context(), http.DefaultTransport, to(url, r))
				require.NoError(t, err)
				assert.Equal(t, status, a.Status)
			}
			assert.Equal(t, 2, first)
		}
	}
}

// TestBadRequest: one that cannot be made is quoted nowhere.
func TestBadRequest(t *testing.T) {
	_, err := apiclient.DoOnce(t.Context(), http.DefaultTransport, to("https://a:canary@host.test/%zz", get))
	require.ErrorIs(t, err, apiclient.ErrUnsent)
	assert.NotContains(t, err.Error(), "canary")
}
