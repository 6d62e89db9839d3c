package okidhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

func TestStart(t *testing.T) {
	w := newWorld(t)
	rec := w.tryStart("alice", "locale", "nl-NL")
	require.Equal(t, 201, rec.Code, rec.Body.String())
	assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	assert.Equal(t, "application/json", rec.Header().Get("Content-Type"))
	var body map[string]any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &body))
	attempt := body["attempt"].(string)
	assert.Equal(t, map[string]any{
		"attempt":       attempt,
		"provider":      "fake",
		"process_token": "tok_canary_1",
		"expires_at":    "2026-03-01T12:30:00Z",
		"page_url":      "https://app.example/verify/page?attempt=" + attempt,
		"sdk": map[string]any{
			"script_url": "https://cdn.fake.example/sdk.js",
			"config":     map[string]any{"token": "tok_canary_1", "locale": "nl-NL"},
		},
	}, body)

	require.Len(t, w.provider.starts, 1)
	assert.Equal(t, identity.StartRequest{
		Reference:   attempt,
		CallbackURL: "https://app.example/verify/webhook?provider=fake",
		SuccessURL:  "https://app.example/verify/success?attempt=" + attempt,
		ErrorURL:    "https://app.example/verify/error?attempt=" + attempt,
	}, w.provider.starts[0])
}

func TestStartByForm(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest("POST", "/verify/start", strings.NewReader("return_to=/members"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	rec := w.do(r, "alice")
	require.Equal(t, 303, rec.Code)
	location := rec.Header().Get("Location")
	assert.True(t, strings.HasPrefix(location, "https://app.example/verify/page?attempt="))
	assert.NotContains(t, location, "tok_canary")
	assert.Equal(t, "no-referrer", rec.Header().Get("Referrer-Policy"))
}

// Whoever has been logged out meanwhile and presses the button is led on to the log-in,
// wherever that is: by a page of the kit's, since the form's own policy would not let the
// browser go straight to another origin. Nothing of what they wanted is lost.
func TestStartByFormOfNobody(t *testing.T) {
	const elsewhere = "https://login.elsewhere.example/"
	for name, unauthorized := range map[string]http.Handler{
		"redirect": http.RedirectHandler(elsewhere, http.StatusSeeOther),
		"default":  nil,
	} {
		w := newWorld(t, func(c *Config) { c.Unauthorized = unauthorized })
		second := &fakeProvider{name: "second", clock: w.clock}
		w.kit = w.replica(func(c *Config) { c.Providers, c.Unauthorized = append(c.Providers, second), unauthorized })
		r := httptest.NewRequest("POST", "/verify/start?provider=second", strings.NewReader("return_to=/members%3Fx&locale=pl"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", "text/html,application/xhtml+xml")
		rec := w.do(r, "")
		require.Equal(t, 303, rec.Code)
		const page = "https://app.example/verify/page?return_to=%2Fmembers%3Fx&locale=pl&provider=second"
		require.Equal(t, page+"&login=1", rec.Header().Get("Location"))

		rec = w.get("", page+"&login=1")
		if unauthorized == nil {
			assert.Equal(t, 401, rec.Code)
			continue
		}
		require.Equal(t, 200, rec.Code, "no redirect, which would be the form's")
		assert.Equal(t, "0; url="+page, rec.Header().Get("Refresh"))
		assert.Contains(t, rec.Body.String(), `href="`+strings.ReplaceAll(page, "&", "&amp;")+`"`)
		assert.Contains(t, rec.Header().Get("Content-Security-Policy"), "form-action 'self'")

		rec = w.get("", page)
		assert.Equal(t, 303, rec.Code, name)
		assert.Equal(t, elsewhere, rec.Header().Get("Location"))

		assert.Contains(t, w.get("alice", page+"&login=1").Body.String(), "Start verification", "logged in again")
		assert.Empty(t, w.provider.starts)
		assert.Empty(t, second.starts)

		// A program is told at once.
		rec = w.do(httptest.NewRequest("POST", "/verify/start", nil), "")
		assert.Equal(t, elsewhere, rec.Header().Get("Location"))
		r = httptest.NewRequest("GET", page+"&login=1", nil)
		assert.Equal(t, elsewhere, w.do(r, "").Header().Get("Location"))
	}
}

// Forms of nobody do not keep those of users from being read.
func TestStartByFormOfManyStrangers(t *testing.T) {
	w := newWorld(t)
	form := func(user, origin string) int {
		r := httptest.NewRequest("POST", "/verify/start", strings.NewReader("return_to=/"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Origin", origin)
		return w.do(r, user).Code
	}
	require.True(t, w.kit.strangers.Small.Take(strangerSmall))
	assert.Equal(t, 503, form("", "https://app.example"))
	assert.Equal(t, 303, form("alice", "https://app.example"))
	w.kit.strangers.Small.Give(strangerSmall)
	assert.Equal(t, 303, form("", "https://app.example"))
	assert.Equal(t, 403, form("", "https://evil.example"), "before anything is read")
	assert.Zero(t, w.kit.strangers.Held())
}

func TestStartRefuses(t *testing.T) {
	post := func(change func(*http.Request)) *http.Request {
		r := httptest.NewRequest("POST", "/verify/start", nil)
		r.Header.Set("Accept", "application/json")
		if change != nil {
			change(r)
		}
		return r
	}
	with := func(name, value string) *http.Request {
		return post(func(r *http.Request) { r.Header.Set(name, value) })
	}
	body := func(contentType, body string) *http.Request {
		r := httptest.NewRequest("POST", "/verify/start", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		return r
	}
	const form = "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name    string
		request *http.Request
		user    string
		want    int
	}{
		{"GET", httptest.NewRequest("GET", "/verify/start", nil), "alice", 405},
		{"HEAD", httptest.NewRequest("HEAD", "/verify/start", nil), "alice", 405},
		{"cross-site", with("Sec-Fetch-Site", "cross-site"), "alice", 403},
		{"same site, another origin", with("Sec-Fetch-Site", "same-site"), "alice", 403},
		{"foreign origin", with("Origin", "https://evil.example"), "alice", 403},
		{"origin null", with("Origin", "null"), "alice", 403},
		{"nobody", post(nil), "", 401},
		{"unknown provider", post(func(r *http.Request) { r.URL.RawQuery = "provider=nobody" }), "alice", 404},
		{"return_to that is no text", body("application/json", `{"return_to":1}`), "alice", 400},
		{"broken JSON", body("application/json", `{"locale":`), "alice", 400},
		{"JSON and more", body("application/json", `{} {}`), "alice", 400},
		{"large body", body(form, "return_to="+strings.Repeat("a", maxStartBody)), "alice", 400},
		{"large JSON", body("application/json", `{"return_to":"`+strings.Repeat("a", maxStartBody)+`"}`), "alice", 400},
		{"broken form", body(form, "a=%zz"), "alice", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			rec := w.do(tt.request, tt.user)
			assert.Equal(t, tt.want, rec.Code, rec.Body.String())
			if tt.want == 405 {
				assert.Equal(t, "POST", rec.Header().Get("Allow"))
			}
			assert.Empty(t, w.provider.starts)
			assert.Empty(t, w.record("alice").Attempts)
		})
	}
}

func TestStartAcceptsTheSiteItself(t *testing.T) {
	for name, header := range map[string][2]string{
		"same-origin":                      {"Sec-Fetch-Site", "same-origin"},
		"typed in":                         {"Sec-Fetch-Site", "none"},
		"older browser":                    {"Origin", "https://app.example"},
		"a client that is not a browser":   {"X-Nothing", "x"},
		"older browser, proxy's own names": {"Origin", "https://app.example"},
	} {
		w := newWorld(t)
		r := httptest.NewRequest("POST", "http://10.0.0.7:8080/verify/start", nil)
		r.Header.Set(header[0], header[1])
		assert.Equal(t, 201, w.do(r, "alice").Code, name)
	}
}

// Whatever host a request claims, the provider is told of the configured one.
func TestStartIgnoresTheHost(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest("POST", "http://evil.example/verify/start", nil)
	r.Host = "evil.example"
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-Host"} {
		r.Header.Set(name, "evil.example")
	}
	rec := w.do(r, "alice")
	require.Equal(t, 201, rec.Code)
	assert.NotContains(t, rec.Body.String(), "evil.example")
	assert.NotContains(t, fmt.Sprint(w.provider.starts), "evil.example")
}

func TestStartResumes(t *testing.T) {
	w := newWorld(t)
	first := w.start("alice", "return_to", "/one")
	for range 3 {
		rec := w.tryStart("alice", "return_to", "/two")
		require.Equal(t, 200, rec.Code)
		assert.Contains(t, rec.Body.String(), first.ProcessToken)
		assert.Contains(t, rec.Body.String(), first.Attempt)
	}
	require.Equal(t, 200, w.webhook(notice{Reference: first.Attempt, ID: "v1", Status: identity.Started}))
	assert.Equal(t, 200, w.tryStart("alice").Code, "a verification that has begun is resumed, too")
	assert.Len(t, w.provider.starts, 1)
	bob := w.start("bob")
	assert.NotEqual(t, first.ProcessToken, bob.ProcessToken)

	w.clock.add(29*time.Minute + 1)
	second := w.start("alice")
	assert.NotEqual(t, first.Attempt, second.Attempt, "the token's last minute is not given out")
	assert.Equal(t, "started", w.status("alice", first.Attempt), "the first stays as it was")

	require.Equal(t, 200, w.webhook(notice{Reference: first.Attempt, ID: "v1", Status: identity.Verified}))
	location := w.get("alice", "/verify/success?attempt="+first.Attempt).Header().Get("Location")
	assert.Equal(t, "/two", location, "where the user wanted to go last")
}

// 50 starts at once ask the provider once, and all get the same token.
func TestStartConcurrently(t *testing.T) {
	w := newWorld(t)
	other := w.replica()
	release := make(chan struct{})
	w.provider.onStart = func(identity.StartRequest) error { <-release; return nil }
	var wg sync.WaitGroup
	codes, tokens := make([]int, 50), make([]string, 50)
	for i := range 50 {
		kit := []*Kit{w.kit, other}[i%2]
		wg.Go(func() {
			r := httptest.NewRequest("POST", "/start", nil)
			r.Header.Set("Test-User", "alice")
			rec := httptest.NewRecorder()
			if i == 49 {
				close(release)
			}
			kit.ServeHTTP(rec, r)
			var body startJSON
			if assert.NoError(t, json.Unmarshal(rec.Body.Bytes(), &body), rec.Body.String()) {
				codes[i], tokens[i] = rec.Code, body.ProcessToken
			}
		})
	}
	wg.Wait()
	assert.Len(t, w.provider.starts, 1)
	created := 0
	for i := range codes {
		assert.Equal(t, "tok_canary_1", tokens[i])
		if codes[i] == 201 {
			created++
		} else {
			assert.Equal(t, 200, codes[i])
		}
	}
	assert.Equal(t, 1, created)
}

// A webhook that overtakes the answer of the provider finds its attempt.
func TestWebhookBeforeStartReturns(t *testing.T) {
	w := newWorld(t)
	w.provider.onStart = func(r identity.StartRequest) error {
		assert.Equal(t, 200, w.webhook(notice{Reference: r.Reference, ID: "v1", Status: identity.Started}))
		return nil
	}
	a := w.start("alice")
	assert.Equal(t, "started", w.status("alice", a.Attempt))
	assert.Equal(t, []string{"started"}, w.host.heard())
	assert.Equal(t, 200, w.tryStart("alice").Code, "and its token can be resumed")
}

func TestStartFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		want    int
		charged bool
	}{
		{"refused", identity.ErrRefused, 502, false},
		{"away", identity.ErrUnavailable, 503, false},
		{"not to be sent", identity.ErrMalformed, 500, false},
		{"answer lost", fmt.Errorf("%w %w", identity.ErrUnavailable, identity.ErrUncertain), 503, true},
		{"answer unreadable", fmt.Errorf("%w %w", identity.ErrRefused, identity.ErrUncertain), 502, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.provider.onStart = func(identity.StartRequest) error { return tt.err }
			rec := w.tryStart("alice")
			require.Equal(t, tt.want, rec.Code)
			assert.Equal(t, tt.want == 503, rec.Header().Get("Retry-After") != "")
			assert.NotContains(t, rec.Body.String(), tt.err.Error())
			assert.Empty(t, w.record("alice").Attempts, "nothing is left behind")
			assert.Equal(t, tt.charged, len(w.record("alice").Starts) == 1)

			w.provider.onStart = nil
			assert.Equal(t, 201, w.tryStart("alice").Code)
		})
	}
	t.Run("expired on arrival", func(t *testing.T) {
		w := newWorld(t)
		w.provider.onStart = func(identity.StartRequest) error { w.clock.add(-31 * time.Minute); return nil }
		assert.Equal(t, 502, w.tryStart("alice").Code)
	})
	t.Run("the user began all the same", func(t *testing.T) {
		w := newWorld(t)
		var reference string
		w.provider.onStart = func(r identity.StartRequest) error {
			reference = r.Reference
			w.webhook(notice{Reference: r.Reference, ID: "v1", Status: identity.Started})
			return fmt.Errorf("%w %w", identity.ErrUnavailable, identity.ErrUncertain)
		}
		require.Equal(t, 503, w.tryStart("alice").Code)
		assert.Equal(t, "started", w.status("alice", reference))
		assert.Equal(t, 200, w.webhook(notice{Reference: reference, ID: "v1", Status: identity.Verified}))
		assert.Equal(t, 200, w.gate("alice"))
	})
}

func TestStartLimit(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		a := w.start("alice")
		require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: fmt.Sprint(i), Status: identity.Failed}))
		w.clock.add(time.Hour)
	}
	rec := w.tryStart("alice")
	require.Equal(t, 429, rec.Code)
	assert.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
	assert.Equal(t, strconv.Itoa(19*3600), rec.Header().Get("Retry-After"))
	assert.Len(t, w.provider.starts, 5)
	assert.Equal(t, 201, w.tryStart("bob").Code, "the limit is each subject's own")

	w.clock.add(19*time.Hour - time.Second)
	assert.Equal(t, 429, w.tryStart("alice").Code)
	w.clock.add(time.Second)
	assert.Equal(t, 201, w.tryStart("alice").Code)
	assert.Zero(t, AtMost(0, time.Hour)(time.Now(), nil)-time.Hour)
}

func TestStartWhenVerified(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxAge = 24 * time.Hour })
	a := w.start("alice")
	require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, 409, w.tryStart("alice").Code)
	w.clock.add(24 * time.Hour)
	assert.Equal(t, 201, w.tryStart("alice").Code, "once it does not count any more")
}

func TestStartMetadata(t *testing.T) {
	metadata, fail := map[string]string{"plan": "gold"}, error(nil)
	w := newWorld(t, func(c *Config) {
		c.Metadata = func(*http.Request) (map[string]string, error) { return metadata, fail }
	})
	a := w.start("alice")
	assert.Equal(t, map[string]string{"plan": "gold"}, w.provider.starts[0].Metadata)
	require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Verified,
		Metadata: map[string]string{"plan": "gold", "added by the provider": "x"}}))
	assert.Equal(t, map[string]string{"plan": "gold"}, w.host.last().Metadata, "what the host said, not what came back")

	for name, bad := range map[string]map[string]string{
		"the kit's own name": {"reference": "mine"},
		"no name":            {"": "x"},
		"too large":          {"x": strings.Repeat("x", maxMetadata)},
	} {
		metadata = bad
		assert.Equal(t, 500, w.tryStart("bob").Code, name)
	}
	metadata, fail = nil, errors.New("no")
	assert.Equal(t, 500, w.tryStart("bob").Code)
	assert.Len(t, w.provider.starts, 1)
}

func TestSeveralProviders(t *testing.T) {
	w := newWorld(t)
	second := &fakeProvider{name: "second", clock: w.clock, answers: map[string]identity.Notice{}}
	w.kit = w.replica(func(c *Config) { c.Providers = append(c.Providers, second) })
	r := httptest.NewRequest("POST", "/verify/start?provider=second", nil)
	rec := w.do(r, "alice")
	require.Equal(t, 201, rec.Code)
	require.Len(t, second.starts, 1)
	assert.Equal(t, "https://app.example/verify/webhook?provider=second", second.starts[0].CallbackURL)

	n := notice{Reference: second.starts[0].Reference, ID: "v1", Status: identity.Verified}
	assert.Equal(t, 200, w.webhook(n), "the first provider has no say")
	assert.Equal(t, 403, w.gate("alice"))
	request := w.webhookRequest(n)
	request.URL.RawQuery = "provider=second"
	assert.Equal(t, 200, w.do(request, "").Code)
	assert.Equal(t, 200, w.gate("alice"))
}

// A hundred users at once never see each other's token.
func TestUsersAreApart(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	owner := map[string]string{}
	for i := range 100 {
		wg.Go(func() {
			user := fmt.Sprint("user", i)
			a := w.start(user)
			page := w.get(user, "/verify/page?attempt="+a.Attempt)
			assert.Equal(t, 200, page.Code)
			assert.Contains(t, page.Body.String(), `"`+a.ProcessToken+`"`)
			mu.Lock()
			defer mu.Unlock()
			assert.Empty(t, owner[a.ProcessToken])
			owner[a.ProcessToken] = user
		})
	}
	wg.Wait()
	assert.Len(t, owner, 100)
}

// An attempt of which something is known stays, though its Start has failed and
// the host has not been told yet.
func TestStartFailsAfterAQueuedNotice(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Async = true })
	w.provider.onStart = func(r identity.StartRequest) error {
		assert.Equal(t, 200, w.webhook(notice{Reference: r.Reference, ID: "v1", Status: identity.Verified}))
		return fmt.Errorf("%w %w", identity.ErrUnavailable, identity.ErrUncertain)
	}
	require.Equal(t, 503, w.tryStart("alice").Code)
	w.later(time.Minute)
	assert.Equal(t, []string{"verified"}, w.host.heard())
	assert.Equal(t, 200, w.gate("alice"))
}

// Wherever a process dies that starts an attempt, there is one in the end that
// can be used.
func TestStartSurvivesACrashAnywhere(t *testing.T) {
	for operations := range 5 {
		for _, written := range []bool{false, true} {
			name := fmt.Sprintf("after %d operations, written %v", operations, written)
			w := newWorld(t)
			healthy := w.kit
			w.kit = w.replica(func(c *Config) { c.Store = &crashingStore{Store: w.store, left: operations, written: written} })
			w.tryStart("alice")
			w.kit = healthy
			w.later(startTime + time.Second)
			a := w.start("alice").Attempt
			usable := 0
			for _, a := range w.record("alice").Attempts {
				if a.Token != nil {
					usable++
				}
			}
			assert.Equal(t, 1, usable, name)
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}), name)
			assert.Equal(t, 200, w.gate("alice"), name)
		}
	}
}

// Those who wait for a Start that fails do not each ask the provider in turn.
func TestStartOutageIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		w.provider.onStart = func(identity.StartRequest) error { <-release; return identity.ErrUnavailable }
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { assert.Equal(t, 503, w.tryStart("alice").Code) })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		assert.Len(t, w.provider.starts, 1)
	})
}

// A token whose key is gone cannot be resumed; the user begins anew.
func TestStartWhenTheKeyIsGone(t *testing.T) {
	w := newWorld(t)
	w.start("alice")
	w.kit = w.replica(func(c *Config) { c.Keys = [][]byte{testKey(2)} })
	assert.Equal(t, 201, w.tryStart("alice").Code)
}

// A limit beyond what the record remembers is the limit that it remembers.
func TestAtMostMoreThanIsRemembered(t *testing.T) {
	now := time.Unix(1e9, 0)
	starts := slices.Repeat([]time.Time{now}, maxStarts)
	assert.Equal(t, time.Hour, AtMost(maxStarts+1, time.Hour)(now, starts))
	assert.Zero(t, AtMost(maxStarts+1, time.Hour)(now, starts[1:]))
}

func TestStartByMultipartForm(t *testing.T) {
	w := newWorld(t)
	const body = "--x\r\nContent-Disposition: form-data; name=\"locale\"\r\n\r\nnl\r\n--x--\r\n"
	r := httptest.NewRequest("POST", "/verify/start", strings.NewReader(body))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	rec := w.do(r, "alice")
	assert.Equal(t, 201, rec.Code)
	assert.Contains(t, rec.Body.String(), `"locale":"nl"`)
}

// Attempts that never end stop new ones, before the record becomes large.
func TestStartStopsAtManyOpenAttempts(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.StartLimit = func(time.Time, []time.Time) time.Duration { return 0 } })
	for i := range maxOpen {
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: strconv.Itoa(i), Status: identity.Review}))
	}
	assert.Equal(t, 429, w.tryStart("alice").Code)
	assert.Len(t, w.provider.starts, maxOpen)
}

// Who waits for a start of theirs that asks a slow provider already costs the store
// nothing, and goes when their request does; and there are never many of them.
func TestStartsThatHangUp(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		w.provider.onStart = func(identity.StartRequest) error { time.Sleep(10 * time.Second); return nil }
		start := func(ctx context.Context) int {
			r := httptest.NewRequestWithContext(ctx, "POST", "/verify/start", nil)
			return w.do(r, "alice").Code
		}
		ctx, hangUp := context.WithCancel(t.Context())
		const all = 500
		var waiting, refused atomic.Int64
		waiting.Add(all)
		for range all {
			go func() {
				if start(ctx) == 503 && ctx.Err() == nil {
					refused.Add(1)
				}
				waiting.Add(-1)
			}()
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		gets, _ := w.store.counts()
		assert.Equal(t, 1, gets)
		assert.EqualValues(t, all-maxStartCrowd, refused.Load())
		assert.EqualValues(t, maxStartCrowd, waiting.Load())
		assert.Equal(t, all-maxStartCrowd, w.outcomes.of(OutcomeBusy))

		hangUp()
		synctest.Wait()
		assert.EqualValues(t, 1, waiting.Load(), "the one that asks the provider goes on, for what was asked is kept")
		assert.Equal(t, 200, start(t.Context()))
		synctest.Wait()
		assert.Zero(t, waiting.Load())
		assert.Len(t, w.provider.starts, 1)
		assert.Zero(t, w.kit.engine.Starting())
	})
}

// Another process that asks the provider is waited for with growing pauses, by one
// request of the subject's at a time.
func TestStartsWaitForAnotherProcess(t *testing.T) {
	w := newWorld(t)
	other := w.replica()
	synctest.Test(t, func(t *testing.T) {
		w.provider.onStart = func(identity.StartRequest) error { time.Sleep(10 * time.Second); return nil }
		var wg sync.WaitGroup
		wg.Go(func() { assert.Equal(t, 201, w.tryStart("alice").Code) })
		synctest.Wait()
		w.store.counts()
		for range 20 {
			wg.Go(func() {
				r := httptest.NewRequest("POST", "/verify/start", nil)
				r.Header.Set("Test-User", "alice")
				rec := httptest.NewRecorder()
				other.ServeHTTP(rec, r)
				assert.Equal(t, 200, rec.Code)
			})
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		gets, _ := w.store.counts()
		assert.LessOrEqual(t, gets, 22)
		wg.Wait()
		assert.Len(t, w.provider.starts, 1)
	})
}

// A form that somebody in front of the kit has parsed counts, and nothing else is
// taken for one.
func TestStartAfterTheFormWasParsed(t *testing.T) {
	multipart := "--b\r\nContent-Disposition: form-data; name=\"return_to\"\r\n\r\n/cellar\r\n--b--\r\n"
	for _, tt := range []struct {
		name        string
		contentType string
		body        string
		parse       func(*http.Request) error
		code        int
		returnTo    string
	}{
		{"form", "application/x-www-form-urlencoded", "return_to=/cellar", (*http.Request).ParseForm, 201, "/cellar"},
		{"multipart form", "multipart/form-data; boundary=b", multipart, func(r *http.Request) error { return r.ParseMultipartForm(1 << 20) }, 201, "/cellar"},
		{"multipart form, but only the query", "multipart/form-data; boundary=b", multipart, (*http.Request).ParseForm, 201, "/cellar"},
		{"JSON", "application/json", `{"return_to":"/cellar"}`, (*http.Request).ParseForm, 201, "/cellar"},
		{"large JSON", "application/json", `{"return_to":"` + strings.Repeat("a", maxStartBody) + `"}`, (*http.Request).ParseForm, 400, ""},
		{"drained JSON", "application/json", `{"return_to":"/cellar"}`, func(r *http.Request) error { _, err := io.Copy(io.Discard, r.Body); return err }, 201, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			r := httptest.NewRequest("POST", "/verify/start", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			require.NoError(t, tt.parse(r))
			require.Equal(t, tt.code, w.do(r, "alice").Code)
			assert.Zero(t, w.kit.bodiesHeld())
			for i := range w.record("alice").Attempts {
				a := &w.record("alice").Attempts[i]
				assert.Equal(t, tt.returnTo, w.kit.engine.Policy().OpenContext(a).ReturnTo)
			}
		})
	}
}

// Who has gone already needs no attempt, which would cost money.
func TestStartOfNobodyWhoWaits(t *testing.T) {
	leaving := &leavingStore{}
	w := newWorld(t, func(c *Config) { leaving.Store, c.Store = c.Store, leaving })
	ctx, hangUp := context.WithCancel(t.Context())
	leaving.hangUp = hangUp
	w.do(httptest.NewRequestWithContext(ctx, "POST", "/verify/start", nil), "alice")
	assert.Empty(t, w.provider.starts)
	assert.Empty(t, w.record("alice").Attempts)
	assert.Equal(t, 1, w.outcomes.of(OutcomeClientGone))
}

// leavingStore is one that answers, though to nobody any more.
type leavingStore struct {
	store.Store
	hangUp func()
}

func (s *leavingStore) Get(ctx context.Context, key string) (store.Record, error) {
	defer s.hangUp()
	return s.Store.Get(ctx, key)
}
