package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

func TestStart(t *testing.T) { everywhere(t, testStart) }

func testStart(t *testing.T, launch launcher) {
	s := launch(t, nil)
	u := s.logIn(t, "alice")
	a := u.start(t, http.StatusCreated)

	assert.Len(t, a.Attempt, 96)
	assert.Equal(t, []string{a.ProcessToken}, s.allTokens())
	assert.True(t, a.ExpiresAt.After(now()))
	assert.Equal(t, s.url+"/verify/page?attempt="+a.Attempt, a.PageURL)
	assert.Equal(t, s.fake.SDKURL(), a.SDK.ScriptURL)
	assert.Equal(t, map[string]string{
		"apiUrl": s.fake.URL(), "frontendUrl": s.fake.URL(), "processToken": a.ProcessToken, "flowName": "standard", "locale": "en",
	}, a.SDK.Config)
	assert.Equal(t, okid.GenerateRequest{
		Metadata:    map[string]string{"reference": a.Attempt}, // and not who the user is
		CallbackURL: s.url + "/verify/webhook?provider=okid",
		SuccessURL:  s.url + "/verify/success?attempt=" + a.Attempt,
		ErrorURL:    s.url + "/verify/error?attempt=" + a.Attempt,
	}, receive(t, s.asked))
	a.is(t, "created")
	u.shut(t)

	again := u.start(t, http.StatusOK)
	assert.Equal(t, a, again)
	assert.Equal(t, 1, s.fake.GenerateCalls())
	assert.NotEqual(t, a.ProcessToken, s.logIn(t, "bob").start(t, http.StatusCreated).ProcessToken)
	s.stop(t)
}

func TestStartRefuses(t *testing.T) { everywhere(t, testStartRefuses) }

func testStartRefuses(t *testing.T, launch launcher) {
	s := launch(t, nil)
	alice := s.logIn(t, "alice")
	tests := []struct {
		name   string
		user   *user
		method string
		path   string
		header []string
		want   int
	}{
		{"nobody", s.logIn(t, ""), "POST", "start", nil, 401},
		{"forged cookie", &user{server: s, cookie: alice.cookie[:len(alice.cookie)-2] + "AA"}, "POST", "start", nil, 401},
		{"cookie of another name", &user{server: s, cookie: "session=Ym9i" + alice.cookie[strings.Index(alice.cookie, "."):]}, "POST", "start", nil, 401},
		{"GET", alice, "GET", "start", nil, 405},
		{"HEAD", alice, "HEAD", "start", nil, 405},
		{"from another site", alice, "POST", "start", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"from a sibling site", alice, "POST", "start", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"from another origin", alice, "POST", "start", []string{"Origin: https://evil.example"}, 403},
		{"unknown provider", alice, "POST", "start?provider=getid", nil, 404},
		{"unknown route", alice, "POST", "claim", nil, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.user.do(t, tt.method, "/verify/"+tt.path, "", tt.header...)
			assert.Equal(t, tt.want, got.status, got.body)
			assert.NotContains(t, got.body, "process_token")
		})
	}
	assert.Zero(t, s.fake.GenerateCalls())
}

// Every way that a verification can end, and what the user sees of it.
func TestOutcomes(t *testing.T) { everywhere(t, testOutcomes) }

func testOutcomes(t *testing.T, launch launcher) {
	s := launch(t, nil)
	tests := []struct {
		status string
		end    func(id string) error
		event  string
		leads  string // to where the user goes who comes back
	}{
		{"verified", func(id string) error { return s.fake.Complete(id, okidtest.Passport(now())) }, okid.EventCompleted, "/members"},
		{"failed", s.fake.Fail, okid.EventFailed, s.url + "/verify/page"},
		{"expired", s.fake.Expire, okid.EventExpired, s.url + "/verify/page"},
	}
	for _, tt := range tests {
		t.Run(tt.status, func(t *testing.T) {
			u := s.logIn(t, "user-"+tt.status)
			a := u.begin(t)
			a.is(t, "started")
			u.shut(t)

			// Coming back proves nothing, either way.
			for _, route := range []string{"success", "error"} {
				for _, who := range []struct {
					*user
					sees string
				}{{u, "One moment"}, {s.logIn(t, "mallory"), "Continue where you began"}, {s.logIn(t, ""), "Continue where you began"}} {
					got := who.do(t, "GET", "/verify/"+route+"?attempt="+a.Attempt, "", "Accept: text/html")
					assert.Equal(t, http.StatusOK, got.status)
					assert.Contains(t, got.body, who.sees)
				}
				a.is(t, "started")
				u.shut(t)
			}

			require.NoError(t, tt.end(a.id))
			s.settle(t)
			s.told(t, a, tt.status)
			a.is(t, tt.status)
			for range 3 {
				require.NoError(t, s.fake.Deliver(a.id, tt.event))
				require.NoError(t, s.fake.Deliver(a.id, okid.EventStarted))
			}
			s.settle(t)
			for _, d := range s.fake.Deliveries() {
				assert.Equal(t, okidtest.Accepted, d.State)
			}
			a.is(t, tt.status)

			for _, route := range []string{"success", "error"} {
				got := u.do(t, "GET", "/verify/"+route+"?attempt="+a.Attempt, "")
				assert.Equal(t, http.StatusSeeOther, got.status)
				assert.Equal(t, tt.leads, got.header.Get("Location"))
			}
			if tt.status != "verified" {
				u.shut(t)
				return
			}
			u.opened(t)
			s.logIn(t, "mallory").shut(t)
			got := u.do(t, "POST", "/verify/start", "")
			assert.Equal(t, http.StatusConflict, got.status)
			assert.Contains(t, got.body, "already_verified")
		})
	}
	s.stop(t)
}

// A browser's way, from the gate and back to it.
func TestBrowserJourney(t *testing.T) { everywhere(t, testBrowserJourney) }

func testBrowserJourney(t *testing.T, launch launcher) {
	s := launch(t, nil)
	html := "Accept: text/html,application/xhtml+xml"
	follow := func(t *testing.T, u *user, from answer) answer {
		t.Helper()
		require.Equal(t, http.StatusSeeOther, from.status, from.body)
		return u.do(t, "GET", strings.TrimPrefix(from.header.Get("Location"), s.url), "", html)
	}

	nobody := s.logIn(t, "")
	got := nobody.do(t, "GET", "/members?table=7", "", html)
	assert.Equal(t, "/?next=%2Fmembers%3Ftable%3D7", got.header.Get("Location"))
	assert.Contains(t, follow(t, nobody, got).body, `name="next" value="/members?table=7"`)

	u := s.logIn(t, "alice")
	got = follow(t, u, u.do(t, "GET", "/members?table=7", "", html))
	require.Equal(t, http.StatusOK, got.status)
	assert.Contains(t, got.body, `action="`+s.url+`/verify/start"`)
	assert.Contains(t, got.body, `name="return_to" value="/members?table=7"`)

	got = u.do(t, "POST", "/verify/start", "return_to=%2Fmembers%3Ftable%3D7", html,
		"Content-Type: application/x-www-form-urlencoded", "Origin: "+s.url, "Sec-Fetch-Site: same-origin")
	page := got.header.Get("Location")
	got = follow(t, u, got)
	require.Equal(t, http.StatusOK, got.status)
	assert.Contains(t, got.body, s.allTokens()[0])
	assert.Contains(t, got.header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	mallory := s.logIn(t, "mallory").do(t, "GET", strings.TrimPrefix(page, s.url), "", html)
	assert.Equal(t, http.StatusNotFound, mallory.status)
	assert.NotContains(t, mallory.body, s.allTokens()[0])

	id, err := s.fake.Begin(s.allTokens()[0])
	require.NoError(t, err)
	require.NoError(t, s.fake.Complete(id, okidtest.IDCard(now())))
	s.settle(t)
	back, err := url.Parse(receive(t, s.asked).SuccessURL)
	require.NoError(t, err)
	got = u.do(t, "GET", back.RequestURI(), "", html)
	assert.Equal(t, "/members?table=7", got.header.Get("Location"))
	got = follow(t, u, got)
	assert.Equal(t, http.StatusOK, got.status)
	assert.Contains(t, got.body, "hello alice")
	assert.Contains(t, got.body, "old enough")

	a := &attempt{Attempt: back.Query().Get("attempt"), user: u}
	s.told(t, a, "started")
	s.told(t, a, "verified")
	s.stop(t)
}

func TestLogInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	s := launch(t, nil)
	for next, want := range map[string]string{
		"/members?a=1":           "/members?a=1",
		"":                       "/",
		"members":                "/",
		"https://evil.example":   "/",
		"//evil.example":         "/",
		`/\evil.example`:         "/",
		"/\t/evil.example":       "/",
		"/\n/evil.example":       "/",
		"javascript:alert(1)":    "/",
		"http:evil.example":      "/",
		"/./\\evil.example":      "/",
		"\x00//evil.example":     "/",
		" //evil.example":        "/",
		"https:/\\/evil.example": "/",
	} {
		got := s.do(t, "POST", "/login", url.Values{"user": {"alice"}, "next": {next}}.Encode(), "Content-Type: application/x-www-form-urlencoded")
		assert.Equal(t, http.StatusSeeOther, got.status)
		assert.Equal(t, want, got.header.Get("Location"), "%q", next)
	}
	for _, name := range []string{"", "%20", strings.Repeat("x", 129), "%ff"} {
		got := s.do(t, "POST", "/login", "user="+name, "Content-Type: application/x-www-form-urlencoded")
		assert.Equal(t, http.StatusBadRequest, got.status, name)
		assert.Empty(t, got.header.Get("Set-Cookie"))
	}
}

// What becomes known late of one attempt is nothing to the next.
func TestSecondAttempt(t *testing.T) { everywhere(t, testSecondAttempt) }

func testSecondAttempt(t *testing.T, launch launcher) {
	s := launch(t, nil)
	u := s.logIn(t, "alice")
	first := u.begin(t)
	require.NoError(t, s.fake.Fail(first.id))
	s.settle(t)
	s.told(t, first, "failed")

	second := u.begin(t)
	assert.NotEqual(t, first.Attempt, second.Attempt)
	late := func() {
		t.Helper()
		require.NoError(t, s.fake.Deliver(first.id, okid.EventStarted))
		require.NoError(t, s.fake.Deliver(first.id, okid.EventFailed))
		require.NoError(t, s.fake.Expire(first.id))
		s.settle(t)
		first.is(t, "failed")
	}
	late()
	second.is(t, "started")
	u.shut(t)

	require.NoError(t, s.fake.Complete(second.id, okidtest.Passport(now())))
	s.settle(t)
	s.told(t, second, "verified")
	late()
	second.is(t, "verified")
	u.opened(t)
	s.stop(t)
}

func TestAttemptsAreLimited(t *testing.T) { everywhere(t, testAttemptsAreLimited) }

func testAttemptsAreLimited(t *testing.T, launch launcher) {
	s := launch(t, nil)
	u := s.logIn(t, "alice")
	for range 5 {
		a := u.begin(t)
		require.NoError(t, s.fake.Fail(a.id))
		s.settle(t)
		s.told(t, a, "failed")
	}
	got := u.do(t, "POST", "/verify/start", "")
	assert.Equal(t, http.StatusTooManyRequests, got.status)
	assert.Regexp(t, `^[1-9][0-9]{4}$`, got.header.Get("Retry-After"), "seconds, and nearly a day of them")
	assert.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	assert.Equal(t, 5, s.fake.GenerateCalls())
	s.logIn(t, "bob").start(t, http.StatusCreated)
}

// What a user may do at once is one attempt, however often it is asked for.
func TestParallelStarts(t *testing.T) { everywhere(t, testParallelStarts) }

func testParallelStarts(t *testing.T, launch launcher) {
	s := launch(t, nil)
	u := s.logIn(t, "alice")
	answers := make(chan answer, 50)
	for range cap(answers) {
		go func() { answers <- u.do(t, "POST", "/verify/start", "") }()
	}
	count := map[int]int{}
	tokens := map[string]bool{}
	for range cap(answers) {
		got := receive(t, answers)
		count[got.status]++
		var a attempt
		require.NoError(t, json.Unmarshal([]byte(got.body), &a))
		tokens[a.ProcessToken] = true
	}
	assert.Equal(t, map[int]int{201: 1, 200: cap(answers) - 1}, count)
	assert.Len(t, tokens, 1)
	assert.Equal(t, 1, s.fake.GenerateCalls())
}

func TestProviderTrouble(t *testing.T) { everywhere(t, testProviderTrouble) }

func testProviderTrouble(t *testing.T, launch launcher) {
	s := launch(t, nil)
	elsewhere := newHost(t)
	for _, tt := range []struct {
		name   string
		answer http.Handler
		times  int
		want   int
	}{
		{"refuses", okidtest.Status(403), 1, 502},
		{"fails", okidtest.Status(500), 1, 503},
		{"busy", okidtest.Status(429), 3, 503},
		{"garbage", okidtest.Garbage(), 1, 502},
		{"redirect", http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect), 1, 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := s.logIn(t, "user-"+tt.name)
			s.fake.FailGenerate(tt.times, tt.answer)
			got := u.do(t, "POST", "/verify/start", "")
			assert.Equal(t, tt.want, got.status, got.body)
			if tt.want == 503 {
				assert.NotEmpty(t, got.header.Get("Retry-After"))
			}
			u.start(t, http.StatusCreated)
		})
	}
	assert.Empty(t, elsewhere.called, "the API key goes nowhere else")
}

func TestCallbackFails(t *testing.T) { everywhere(t, testCallbackFails) }

func testCallbackFails(t *testing.T, launch launcher) {
	h := newHost(t)
	s := launch(t, map[string]string{"CALLBACK_URL": h.URL})
	for _, tt := range []struct {
		name  string
		fails http.HandlerFunc
	}{
		{"500", status(500)},
		{"404", status(404)},
		{"304", status(304)},
		// Not to be followed: a page that answers 200 is no answer.
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := s.logIn(t, "user-"+tt.name)
			a := u.begin(t)
			assert.Equal(t, "started", receive(t, h.called).Callback)

			stillShut := func(then http.HandlerFunc) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					u.shut(t)
					then(w, r)
				}
			}
			h.answer <- stillShut(tt.fails)
			h.answer <- stillShut(tt.fails)
			h.answer <- stillShut(status(200))
			require.NoError(t, s.fake.Complete(a.id, okidtest.Passport(now())))
			s.settle(t)
			// The worker tries again by itself, so whose tries the second and third
			// are is a matter of luck.
			answers := deliverUntilAccepted(t, s, a, okid.EventCompleted)
			assert.Equal(t, 500, answers[0])
			assert.Subset(t, []int{500, 503, 200}, answers)

			said := s.told(t, a, "verified")
			for range 2 {
				assert.Equal(t, said, s.told(t, a, "verified"))
			}
			for range 3 {
				assert.Equal(t, said, receive(t, h.called))
			}
			a.is(t, "verified")
			u.opened(t)
		})
	}
	assert.Empty(t, h.called)
	s.stop(t)
}

// status is a host that answers with this status.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// deliverUntilAccepted sends an event again until it is answered 200, as okID
// does, and returns all answers, that to the first delivery included.
func deliverUntilAccepted(t *testing.T, s *server, a *attempt, event string) (answers []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		answers = answers[:0]
		for _, d := range s.fake.Deliveries() {
			if d.ID == a.id && d.Event == event {
				answers = append(answers, d.Tries[0].Status)
			}
		}
		if answers[len(answers)-1] == http.StatusOK {
			return answers
		}
		require.NoError(t, s.fake.Deliver(a.id, event))
		require.NoError(t, s.fake.Wait(ctx))
	}
}

func TestCallbackHangs(t *testing.T) { everywhere(t, testCallbackHangs) }

func testCallbackHangs(t *testing.T, launch launcher) {
	h := newHost(t)
	s := launch(t, map[string]string{"CALLBACK_URL": h.URL})
	u := s.logIn(t, "alice")
	a := u.begin(t)
	receive(t, h.called)

	h.answer <- hold(nil)
	require.NoError(t, s.fake.Complete(a.id, okidtest.Passport(now())))
	receive(t, h.called)
	// The server is there for others, and says that it is busy with this one.
	s.logIn(t, "bob").start(t, http.StatusCreated)
	u.shut(t)
	a.is(t, "started")
	d := s.fake.Deliveries()[1]
	require.Equal(t, okid.EventCompleted, d.Event)

	s.settle(t)
	answers := deliverUntilAccepted(t, s, a, okid.EventCompleted)
	assert.Equal(t, 500, answers[0])
	assert.Equal(t, s.told(t, a, "verified"), s.told(t, a, "verified"))
	u.opened(t)
	s.stop(t)
}

// A server that is told to stop finishes what it has begun, and nobody who only
// watches keeps it.
func TestTerminate(t *testing.T) { everywhere(t, testTerminate) }

func testTerminate(t *testing.T, launch launcher) {
	h := newHost(t)
	s := launch(t, map[string]string{"CALLBACK_URL": h.URL})
	u := s.logIn(t, "alice")
	a := u.begin(t)
	receive(t, h.called)
	stream := s.open(t, t.Context(), "GET", "/verify/status?attempt="+a.Attempt, "", u.with([]string{"Accept: text/event-stream"})...)
	require.Equal(t, http.StatusOK, stream.StatusCode)

	release := make(chan struct{})
	h.answer <- hold(release)
	require.NoError(t, s.fake.Complete(a.id, okidtest.Passport(now())))
	receive(t, h.called)
	s.terminate(t)

	// The stream ends and new connections are refused while the callback runs.
	assert.Contains(t, read(t, stream).body, `"status":"started"`)
	s.refuses(t)
	require.False(t, s.ended(), "it did not wait")

	close(release)
	s.settle(t)
	assert.Equal(t, 200, s.fake.Deliveries()[1].Tries[0].Status)
	s.told(t, a, "verified")
	assert.Empty(t, s.wait(t))
}

// hold answers when it is released, or the server hangs up.
func hold(release <-chan struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
}

// refuses waits until nothing listens any more.
func (s *server) refuses(t *testing.T) {
	t.Helper()
	for _, p := range s.replicas {
		require.Eventually(t, func() bool {
			conn, err := net.Dial("tcp", p.addr)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		}, patience, 10*time.Millisecond, "it still listens")
	}
}

// Two environments that share a webhook secret, as staging and production do
// when nobody thought of it.
func TestEnvironmentsDoNotMix(t *testing.T) {
	t.Parallel()
	staging := launch(t, nil)
	production := launch(t, map[string]string{"OKID_WEBHOOK_SECRET": staging.secret})
	there, here := staging.logIn(t, "alice").begin(t), production.logIn(t, "alice").start(t, http.StatusCreated)

	for _, pair := range []struct{ of, to *attempt }{{there, here}, {here, there}} {
		got := pair.to.user.deliver(t, pair.to.user.signed(completed(pair.of, "ver_1")))
		assert.Equal(t, http.StatusOK, got.status)
		assert.Empty(t, got.body)
	}
	here.is(t, "created")
	there.is(t, "started")
	here.user.shut(t)
	there.user.shut(t)
	got := production.do(t, "GET", "/verify/status?attempt="+there.Attempt, "", here.user.with(nil)...)
	assert.Equal(t, http.StatusNotFound, got.status)
	got = production.do(t, "GET", "/members", "", there.user.with(nil)...)
	assert.Equal(t, http.StatusUnauthorized, got.status, "a log-in there is none here")
	staging.stop(t)
	production.stop(t)
}

// Nothing that the server hands out is made from a request.
func TestHostHeader(t *testing.T) {
	t.Parallel()
	s := launch(t, map[string]string{"PUBLIC_URL": "https://cellar.example"})
	evil := []string{"Host: evil.example", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: /evil.example",
		"X-Original-URL: //evil.example", "Forwarded: host=evil.example;proto=http", "X-Host: evil.example", "Referer: https://evil.example/"}
	u := s.logIn(t, "alice")
	got := s.do(t, "POST", "/login", "user=alice", append(evil, "Content-Type: application/x-www-form-urlencoded")...)
	assert.Contains(t, got.header.Get("Set-Cookie"), "; Secure")
	assert.Equal(t, "/", got.header.Get("Location"))

	got = u.do(t, "POST", "/verify/start", "", evil...)
	require.Equal(t, http.StatusCreated, got.status, got.body)
	var a attempt
	require.NoError(t, json.Unmarshal([]byte(got.body), &a))
	const mount = "https://cellar.example/verify/"
	assert.Equal(t, mount+"page?attempt="+a.Attempt, a.PageURL)
	assert.Equal(t, okid.GenerateRequest{
		Metadata:    map[string]string{"reference": a.Attempt},
		CallbackURL: mount + "webhook?provider=okid",
		SuccessURL:  mount + "success?attempt=" + a.Attempt,
		ErrorURL:    mount + "error?attempt=" + a.Attempt,
	}, receive(t, s.asked))

	got = u.do(t, "GET", "/members", "", append(evil, "Accept: text/html")...)
	assert.Equal(t, mount+"page?return_to=%2Fmembers", got.header.Get("Location"))
	got = u.do(t, "POST", "/verify/start", "", append(evil, "Origin: https://cellar.example")...)
	assert.Equal(t, http.StatusOK, got.status, "a proxy may rename the host")
	got = u.do(t, "POST", "/verify/start", "", "Host: cellar.example", "Origin: https://evil.example")
	assert.Equal(t, http.StatusForbidden, got.status)
	s.stop(t)
	s.keeps(t, "evil.example")
}

func TestStatusStream(t *testing.T) { everywhere(t, testStatusStream) }

func testStatusStream(t *testing.T, launch launcher) {
	s := launch(t, nil)
	u := s.logIn(t, "alice")
	a := u.start(t, http.StatusCreated)
	path, accept := "/verify/status?attempt="+a.Attempt, []string{"Accept: text/event-stream"}

	streams := make([]*bufio.Scanner, 3)
	for i := range streams {
		resp := s.open(t, t.Context(), "GET", path, "", u.with(accept)...)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
		streams[i] = bufio.NewScanner(resp.Body)
	}
	assert.Equal(t, http.StatusTooManyRequests, u.do(t, "GET", path, "", accept...).status)
	see := func(status string) {
		t.Helper()
		for _, stream := range streams {
			for stream.Scan() && stream.Text() != "event: status" {
				assert.NotContains(t, stream.Text(), "data:")
			}
			var event string
			for stream.Scan() && stream.Text() != "" {
				event += stream.Text() + "\n"
			}
			assert.Contains(t, event, fmt.Sprintf(`data: {"status":%q,`, status))
		}
	}

	see("created")
	id, err := s.fake.Begin(a.ProcessToken)
	require.NoError(t, err)
	see("started")
	require.NoError(t, s.fake.Complete(id, okidtest.Passport(now())))
	see("verified")
	for _, stream := range streams {
		assert.False(t, stream.Scan(), "it ends")
		assert.NoError(t, stream.Err())
	}
	s.told(t, a, "started")
	s.told(t, a, "verified")
	s.stop(t)
}

// Whoever asks for what is not theirs learns nothing, not even whether it is
// there.
func TestStrangersLearnNothing(t *testing.T) { everywhere(t, testStrangersLearnNothing) }

func testStrangersLearnNothing(t *testing.T, launch launcher) {
	s := launch(t, nil)
	alice, mallory, nobody := s.logIn(t, "alice"), s.logIn(t, "mallory"), s.logIn(t, "")
	a := alice.begin(t)
	mallory.start(t, http.StatusCreated)
	other := launch(t, nil).logIn(t, "alice").start(t, http.StatusCreated)

	for _, accept := range []string{"application/json", "text/event-stream", "text/html"} {
		var first answer
		for i, ask := range []struct {
			*user
			attempt string
		}{
			{mallory, a.Attempt},
			{nobody, a.Attempt},
			{alice, other.Attempt},
			{alice, strings.Repeat("A", 96)},
			{alice, a.Attempt[:95]},
			{alice, a.Attempt[:95] + "!"},
			{alice, a.id},
			{alice, ""},
			{nobody, "x"},
		} {
			got := ask.do(t, "GET", "/verify/status?attempt="+ask.attempt, "", "Accept: "+accept)
			got.header.Del("Date")
			if accept == "text/html" { // whose nonce is random
				got.header.Del("Content-Security-Policy")
				got.body = got.body[strings.Index(got.body, "<body>"):]
			}
			if i == 0 {
				first = got
				require.Equal(t, http.StatusNotFound, got.status)
			}
			assert.Equal(t, first, got, "%s of %s", ask.attempt, ask.name)
		}
	}
	a.is(t, "started")
}

func TestHealth(t *testing.T) { everywhere(t, testHealth) }

func testHealth(t *testing.T, launch launcher) {
	s := launch(t, nil)
	for _, path := range []string{"/healthz", "/readyz"} {
		assert.Equal(t, http.StatusOK, s.do(t, "GET", path, "").status)
	}
	u := s.logIn(t, "alice")
	got := u.do(t, "POST", "/logout", "")
	assert.Equal(t, http.StatusSeeOther, got.status)
	assert.Contains(t, got.header.Get("Set-Cookie"), "session=; Path=/; Max-Age=0")
	assert.Equal(t, http.StatusUnauthorized, s.do(t, "GET", "/members", "").status)
}
