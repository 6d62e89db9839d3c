package okidhttp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

// Coming back proves nothing and breaks nothing.
func TestReturnGrantsNothing(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	before := w.record("alice").Attempts[0].Status
	for _, route := range []string{"success", "error"} {
		for range 5 {
			rec := w.get("alice", "/verify/"+route+"?attempt="+a+"&status=completed&verification_id=v1")
			require.Equal(t, 200, rec.Code)
			assert.Contains(t, rec.Body.String(), "moves on by itself")
			assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
			assert.Equal(t, "no-referrer", rec.Header().Get("Referrer-Policy"))
		}
	}
	assert.Equal(t, before, w.record("alice").Attempts[0].Status)
	assert.Equal(t, 403, w.gate("alice"))
	assert.Empty(t, w.host.heard())
	assert.Zero(t, w.provider.asked(), "there is no id to ask for")
}

func TestReturnAsksTheProvider(t *testing.T) {
	for _, tt := range []struct {
		truth    identity.Status
		code     int
		location string
	}{
		{identity.Verified, 303, "/"},
		{identity.Failed, 303, "https://app.example/verify/page"},
		{identity.Expired, 303, "https://app.example/verify/page"},
		{identity.Review, 200, ""},
		{identity.Started, 200, ""},
		{"", 200, ""},
	} {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
		w.provider.answer(a, "v1", tt.truth)
		rec := w.get("alice", "/verify/error?attempt="+a)
		assert.Equal(t, tt.code, rec.Code, tt.truth)
		assert.Equal(t, tt.location, rec.Header().Get("Location"), tt.truth)
		assert.Equal(t, tt.truth == identity.Verified, w.gate("alice") == 200, tt.truth)
	}
}

// However often users reload or ask, the provider is asked once in a while.
func TestReturnAsksSeldom(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.provider.answer(a, "v1", identity.Started)
	for range 10 {
		w.get("alice", "/verify/success?attempt="+a)
		w.status("alice", a)
	}
	assert.Equal(t, 1, w.provider.asked())
	w.clock.add(returnEvery)
	for range 10 {
		w.get("alice", "/verify/success?attempt="+a)
	}
	assert.Equal(t, 2, w.provider.asked())
	for range 20 {
		w.clock.add(time.Second)
		w.status("alice", a)
	}
	assert.Equal(t, 2+20/5, w.provider.asked())
}

// Nobody but the user, where they are logged in, learns anything.
func TestStrangersSeeNothing(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	made := newReference(w.kit, attempt.Address{Subject: attempt.HashSubject("nobody at all"), Attempt: attempt.ID{1}})

	nonce := regexp.MustCompile(`nonce="[^"]*"`)
	page := func(user, target string) string {
		rec := w.get(user, target)
		header := rec.Header()
		header.Del("Content-Security-Policy")
		text, err := json.Marshal(header)
		require.NoError(t, err)
		return http.StatusText(rec.Code) + string(text) + nonce.ReplaceAllString(rec.Body.String(), "")
	}
	for _, route := range []string{"success", "error", "status"} {
		want := page("", "/verify/"+route)
		for _, reference := range []string{a, made, "x", "", a[:95] + "!"} {
			for _, user := range []string{"", "bob"} {
				assert.Equal(t, want, page(user, "/verify/"+route+"?attempt="+reference), "%s %q", route, user)
			}
		}
		assert.NotContains(t, want, a)
	}
	assert.Contains(t, page("", "/verify/success"), "OK")
	assert.Contains(t, page("bob", "/verify/status?attempt="+a), "Not Found")
	assert.Contains(t, page("bob", "/verify/page?attempt="+a), "Not Found")
	assert.Contains(t, page("", "/verify/page?attempt="+a), "Unauthorized")
	assert.Zero(t, w.provider.asked())
	assert.Equal(t, "started", w.status("alice", a))
}

func TestReturnTo_LeadsBack(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest("GET", "/members/wine?year=1990", nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Test-User", "alice")
	rec := httptest.NewRecorder()
	w.kit.RequireVerified(http.NotFoundHandler()).ServeHTTP(rec, r)
	require.Equal(t, 303, rec.Code)
	page := rec.Header().Get("Location")
	assert.Equal(t, "https://app.example/verify/page?return_to=%2Fmembers%2Fwine%3Fyear%3D1990", page)

	rec = w.get("alice", page)
	require.Equal(t, 200, rec.Code)
	assert.Contains(t, rec.Body.String(), `name="return_to" value="/members/wine?year=1990"`)
	assert.Contains(t, rec.Body.String(), `action="https://app.example/verify/start"`)
	assert.Equal(t, "same-origin", rec.Header().Get("Referrer-Policy"), "or the form's origin would be null")

	a := w.start("alice", "return_to", "/members/wine?year=1990")
	assert.NotContains(t, w.provider.starts[0].SuccessURL, "wine")
	require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, "/members/wine?year=1990", w.get("alice", "/verify/success?attempt="+a.Attempt).Header().Get("Location"))
	assert.Equal(t, "/members/wine?year=1990", w.get("alice", page).Header().Get("Location"), "verified already")

	for _, evil := range []string{"//evil.example", `/\evil.example`, "https://evil.example", "javascript:alert(1)"} {
		b := w.start("bob", "return_to", evil)
		require.Equal(t, 200, w.webhook(notice{Reference: b.Attempt, ID: "b" + evil, Status: identity.Failed}))
	}
	b := w.start("bob", "return_to", "//evil.example")
	require.Equal(t, 200, w.webhook(notice{Reference: b.Attempt, ID: "last", Status: identity.Verified}))
	assert.Equal(t, "/", w.get("bob", "/verify/success?attempt="+b.Attempt).Header().Get("Location"))
}

func TestSDKPage(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice")
	rec := w.get("alice", "/verify/page?attempt="+a.Attempt)
	require.Equal(t, 200, rec.Code)
	csp := rec.Header().Get("Content-Security-Policy")
	nonce := regexp.MustCompile(`'nonce-([A-Z0-9]{26})'`).FindStringSubmatch(csp)
	require.NotNil(t, nonce, csp)
	assert.Contains(t, csp, "default-src 'none'")
	assert.Contains(t, csp, "frame-ancestors 'none'")
	assert.Contains(t, csp, "https://cdn.fake.example")
	assert.Contains(t, csp, "frame-src https://hosted.fake.example")
	assert.NotContains(t, csp, "unsafe")
	assert.Contains(t, rec.Header().Get("Permissions-Policy"), `camera=(self "https://hosted.fake.example")`)
	assert.Equal(t, "no-referrer", rec.Header().Get("Referrer-Policy"))
	assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	assert.Equal(t, strings.Count(rec.Body.String(), "<script"), strings.Count(rec.Body.String(), `<script nonce="`+nonce[1]+`"`))
	assert.NotRegexp(t, `\son[a-z]+=`, rec.Body.String(), "no inline handlers")
	assert.NotContains(t, w.get("alice", "/verify/page?attempt="+a.Attempt).Body.String(), nonce[1], "a nonce is used once")

	require.Equal(t, 200, w.webhook(notice{Reference: a.Attempt, ID: "v1", Status: identity.Verified}))
	rec = w.get("alice", "/verify/page?attempt="+a.Attempt)
	assert.Equal(t, 303, rec.Code)
	assert.NotContains(t, rec.Body.String(), a.ProcessToken)
}

// Nothing that goes into the page breaks out of it.
func TestSDKPageIsInjectionSafe(t *testing.T) {
	w := newWorld(t)
	evil := `"'</script><script>alert(1)</script><!--` + "\u2028"
	w.kit.providers[0] = &evilProvider{w.provider, evil}
	a := w.start("alice").Attempt
	body := w.get("alice", "/verify/page?attempt="+a).Body.String()
	assert.NotContains(t, body, "<script>alert")
	assert.NotContains(t, body, "\u2028")
	assert.Equal(t, strings.Count(body, "<script"), strings.Count(body, "</script"))
}

type evilProvider struct {
	*fakeProvider
	evil string
}

func (p *evilProvider) SDK(identity.Session, string) identity.SDK {
	return identity.SDK{ScriptURL: p.evil, Config: map[string]any{"token": p.evil}, Boot: "function () {}"}
}

func TestStartPageTellsOfTheLastAttempt(t *testing.T) {
	for status, words := range startWords {
		if status == "" || status == identity.Verified {
			continue
		}
		w := newWorld(t)
		a := w.start("alice").Attempt
		if status == identity.Revoked {
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
			w.provider.answer(a, "v1", identity.Failed)
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
		} else {
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: status}))
		}
		body := w.get("alice", "/verify/page?again=1").Body.String()
		for _, text := range []string{words.title, words.message, words.button} {
			assert.Contains(t, body, text, status)
		}
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	ask := func(etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/verify/status?attempt="+a, nil)
		r.Header.Set("If-None-Match", etag)
		return w.do(r, "alice")
	}
	rec := ask("")
	assert.Equal(t, `{"status":"created","updated_at":"2026-03-01T12:00:00Z","retry_after":1}`+"\n", rec.Body.String())
	assert.Equal(t, "private, no-store", rec.Header().Get("Cache-Control"))
	etag := rec.Header().Get("ETag")
	for _, known := range []string{etag, "W/" + etag, `"other", ` + etag} {
		rec = ask(known)
		assert.Equal(t, 304, rec.Code, known)
		assert.Empty(t, rec.Body.String())
	}

	w.clock.add(time.Second)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	rec = ask(etag)
	assert.Equal(t, 200, rec.Code)
	assert.Equal(t, `{"status":"verified","updated_at":"2026-03-01T12:00:01Z"}`+"\n", rec.Body.String())
	assert.Equal(t, 405, w.do(httptest.NewRequest("POST", "/verify/status?attempt="+a, nil), "alice").Code)
}

func TestStatusStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		open := func() (*httptest.ResponseRecorder, chan struct{}) {
			r := httptest.NewRequest("GET", "/verify/status?attempt="+a, nil)
			r.Header.Set("Accept", "text/event-stream")
			r.Header.Set("Test-User", "alice")
			rec, done := httptest.NewRecorder(), make(chan struct{})
			go func() { defer close(done); w.kit.ServeHTTP(rec, r) }()
			return rec, done
		}
		first, done := open()
		_, done2 := open()
		_, done3 := open()
		synctest.Wait()
		fourth, done4 := open()
		<-done4
		assert.Equal(t, 429, fourth.Code)

		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
		time.Sleep(heartbeatEvery + statusEvery)
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		<-done
		<-done2
		<-done3
		assert.Equal(t, "text/event-stream", first.Header().Get("Content-Type"))
		events := strings.Split(strings.TrimSpace(first.Body.String()), "\n\n")
		require.Len(t, events, 4, first.Body.String())
		for i, word := range []string{"created", "started", ":", "verified"} {
			assert.Contains(t, events[i], word)
		}
		_, done5 := open()
		<-done5 // a final status ends the stream at once, and the places are free again
	})
}

// A store that tells of changes is not asked all the time, and a change shows at
// once. One that merely promises to tell is asked as if it did not.
func TestStatusStreamWatches(t *testing.T) {
	for name, tt := range map[string]struct {
		notifies, silent bool
		reads            int           // in ten seconds in which nothing happens
		within           time.Duration // a change shows
	}{
		"watched": {true, false, 1 + 1 + 2, 0},
		"silent":  {true, true, 1 + 10, statusEvery},
		"polled":  {false, false, 1 + 10, statusEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memstore.New()
				w := newWorld(t, func(c *Config) { c.Store, c.Now = mem, time.Now })
				w.store.Store = mem
				reader := w.replica(func(c *Config) {
					c.Now = time.Now
					if tt.notifies {
						c.Store = notifyingStore{w.store, mem, tt.silent}
					}
				})
				a := w.start("alice").Attempt
				w.store.counts()
				r := httptest.NewRequest("GET", "/verify/status?attempt="+a, nil)
				r.Header.Set("Accept", "text/event-stream")
				r.Header.Set("Test-User", "alice")
				done := make(chan struct{})
				go func() { defer close(done); reader.ServeHTTP(httptest.NewRecorder(), r) }()
				<-time.After(10*time.Second + time.Millisecond)
				gets, _ := w.store.counts()
				assert.Equal(t, tt.reads, gets)
				began := time.Now()
				require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified, At: time.Now()}))
				<-done
				assert.LessOrEqual(t, time.Since(began), tt.within)
			})
		})
	}
}

// notifyingStore counts like the first store, and tells of changes like the second.
type notifyingStore struct {
	*countingStore
	store.Notifier
	silent bool
}

func (s notifyingStore) Watch(ctx context.Context, key string) (<-chan struct{}, error) {
	if s.silent {
		return make(chan struct{}), nil
	}
	return s.Notifier.Watch(ctx, key)
}

// A client that connects again is not told what it knows, and is sent away for good
// when there is no more to come.
func TestStatusStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		open := func(last string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/verify/status?attempt="+a, nil)
			r.Header.Set("Accept", "text/event-stream")
			r.Header.Set("Last-Event-ID", last)
			ctx, cancel := context.WithTimeout(r.Context(), statusEvery/2)
			defer cancel()
			return w.do(r.WithContext(ctx), "alice")
		}
		id := regexp.MustCompile(`(?m)^id: (.+)$`)
		first := id.FindStringSubmatch(open("").Body.String())
		require.NotNil(t, first)
		again := open(first[1])
		assert.Equal(t, 200, again.Code)
		assert.Equal(t, ":\n\n", again.Body.String())
		assert.Contains(t, open("of another age").Body.String(), "event: status")

		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		last := open(first[1])
		assert.Contains(t, last.Body.String(), `"status":"verified"`)
		done := open(id.FindStringSubmatch(last.Body.String())[1])
		assert.Equal(t, 204, done.Code)
		assert.Equal(t, "private, no-store", done.Header().Get("Cache-Control"))
		assert.Equal(t, "Cookie, Authorization, Accept", done.Header().Get("Vary"))
		assert.Empty(t, done.Body.String())
	})
}

// However many listen and ask, a user has three streams, and the provider is asked
// once in five seconds.
func TestStatusFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
		w.provider.answer(a, "v1", identity.Started)
		w.get("alice", "/verify/success?attempt="+a)
		w.clock.add(statusRefreshEvery)
		before := w.provider.asked()
		ctx, cancel := context.WithCancel(t.Context())
		var refused, asked atomic.Int32
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				r := httptest.NewRequestWithContext(ctx, "GET", "/verify/status?attempt="+a, nil)
				r.Header.Set("Accept", "text/event-stream")
				if w.do(r, "alice").Code == 429 {
					refused.Add(1)
				}
			})
			all.Go(func() {
				if w.do(httptest.NewRequest("GET", "/verify/status?attempt="+a, nil), "alice").Code == 200 {
					asked.Add(1)
				}
			})
		}
		synctest.Wait()
		cancel()
		all.Wait()
		assert.EqualValues(t, 500-maxStreams, refused.Load())
		assert.EqualValues(t, 500, asked.Load())
		assert.Equal(t, 1, w.provider.asked()-before)
	})
}

func TestStreamsEndWithRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		r := httptest.NewRequest("GET", "/verify/status?attempt="+a, nil)
		r.Header.Set("Accept", "text/event-stream")
		r.Header.Set("Test-User", "alice")
		done := make(chan struct{})
		go func() { defer close(done); w.kit.ServeHTTP(httptest.NewRecorder(), r) }()
		ctx, cancel := contextWithCancel(t)
		ran := make(chan error)
		go func() { ran <- w.kit.Run(ctx) }()
		synctest.Wait()
		cancel()
		assert.NoError(t, <-ran)
		<-done
	})
}

// That a user came back is remembered though somebody else wrote at that moment.
func TestReturnIsRememberedThroughAConflict(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.kit = w.replica(func(c *Config) { c.Store = &conflictingStore{Store: w.store, conflicts: 1} })
	w.get("alice", "/verify/success?attempt="+a)
	w.provider.answer(a, "v1", identity.Verified)
	w.clock.add(statusRefreshEvery)
	assert.Equal(t, "verified", w.status("alice", a))
}

// conflictingStore refuses its first writes.
type conflictingStore struct {
	store.Store
	conflicts int
}

func (s *conflictingStore) Put(ctx context.Context, key string, w store.Write) error {
	if s.conflicts--; s.conflicts >= 0 {
		return store.ErrConflict
	}
	return s.Store.Put(ctx, key, w)
}

// Users who ask for their status do not make a failing callback be called more
// often than its backoff says.
func TestPollingKeepsTheBackoff(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.provider.answer(a, "v1", identity.Verified)
	w.host.failing(func(Event) error { return errors.New("database is away") })
	w.get("alice", "/verify/success?attempt="+a)
	for range 120 {
		w.clock.add(statusRefreshEvery)
		w.status("alice", a)
	}
	assert.Less(t, len(w.host.heard()), 12, "in ten minutes")
}

// HEAD asks for the header alone, and is no stream.
func TestStatusHead(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	r := httptest.NewRequest("HEAD", "/verify/status?attempt="+a, nil)
	r.Header.Set("Accept", "text/event-stream")
	rec := w.do(r, "alice")
	assert.Equal(t, 200, rec.Code)
	assert.Equal(t, "application/json", rec.Header().Get("Content-Type"))
}

// An attempt that the record has dropped is not found, by its own user either.
func TestAttemptThatIsGone(t *testing.T) {
	w := newWorld(t)
	gone := newReference(w.kit, attempt.Address{Subject: attempt.HashSubject("alice"), Attempt: attempt.ID{1}})
	for _, route := range []string{"success", "error", "status", "page"} {
		assert.Equal(t, 404, w.get("alice", "/verify/"+route+"?attempt="+gone).Code, route)
	}
}

// Nobody can begin with a token that has expired; the page offers another.
func TestPageOfAnExpiredToken(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.clock.add(30 * time.Minute)
	rec := w.get("alice", "/verify/page?attempt="+a)
	assert.Equal(t, 303, rec.Code)
	assert.Equal(t, "https://app.example/verify/page", rec.Header().Get("Location"))
}

// The page's button leads to the provider that the page was asked for.
func TestPageOfAnotherProvider(t *testing.T) {
	w := newWorld(t)
	second := &fakeProvider{name: "second", clock: w.clock}
	w.kit = w.replica(func(c *Config) { c.Providers = append(c.Providers, second) })
	assert.Contains(t, w.get("alice", "/verify/page?provider=second").Body.String(), `action="https://app.example/verify/start?provider=second"`)
	assert.Equal(t, 404, w.get("alice", "/verify/page?provider=nobody").Code)
	assert.Equal(t, 405, w.do(httptest.NewRequest("POST", "/verify/page", nil), "alice").Code)
	assert.Equal(t, 405, w.do(httptest.NewRequest("POST", "/verify/success", nil), "alice").Code)
}

// A page that the host has named as its own is never one that leads to itself.
func TestAfterSuccessIsTheKitsOwnPage(t *testing.T) {
	for _, target := range []string{
		"/verify", "/verify/", "/verify/page", "/verify/page/?x=1", "/verify/start", "/Verify/PAGE", "/verify/%70age", "/verify/page#x", "/verify//page",
		"/x/../verify/page", "/verify/./page", "/x/%2e%2e/verify/page", "/verify%2Fpage", "/verify/page ",
		"https://app.example/verify/page", "HTTPS://APP.example:443/verify/page", "http://app.example:80/verify", "https://app.example:/verify/page",
		"https://app.example:0443/verify/", "https://app.example/x/../verify/page", "https://app.example/x/%2E%2E/verify", `https://app.example/verify\page`,
		"https://ａpp.example/verify/page", "https://app%EF%BC%8Eexample/verify/page",
	} {
		w := newWorld(t, func(c *Config) { c.AfterSuccess = target })
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		rec := w.get("alice", "/verify/page")
		assert.Equal(t, 200, rec.Code, target)
		assert.Contains(t, rec.Body.String(), "Already verified", target)
	}
	for _, target := range []string{
		"/verify/pages", "/page", "/verified", "https://other.example/verify/page", "/verify/status", "/verify/page/more", "/?to=/verify/page",
		"https://app.example:8443/verify/page", "https://b%C3%BCcher.example/shop",
	} {
		w := newWorld(t, func(c *Config) { c.AfterSuccess = target })
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		assert.Equal(t, target, w.get("alice", "/verify/page").Header().Get("Location"))
	}
}
