package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okidtest"
)

// checkin is Checkin.com: a fake GetID, with which a server has a second provider.
type checkin struct {
	*okidtest.GetID
	apiKey    string
	elsewhere *httptest.Server // gets what a server sends to anybody but the fakes

	mu     sync.Mutex
	visits []string                  // to elsewhere
	faults map[string][]http.Handler // of the result API, by id; then comes the fake's own answer
}

// newCheckin starts a GetID for servers that have its environment.
func newCheckin(t *testing.T, cfg okidtest.GetIDConfig) *checkin {
	t.Helper()
	c := &checkin{apiKey: "getid-api-key-71930-of-the-tests", faults: map[string][]http.Handler{}}
	cfg.APIKey = c.apiKey
	var err error
	c.GetID, err = okidtest.NewGetID(cfg)
	require.NoError(t, err)
	c.elsewhere = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.visits = append(c.visits, r.Method+" "+r.URL.String())
	}))
	t.Cleanup(c.elsewhere.Close)
	require.NoError(t, c.Start())
	t.Cleanup(c.GetID.Close)
	return c
}

// env is the environment that makes it a server's provider. Who is not on this
// machine is reached by way of elsewhere.
func (c *checkin) env(t *testing.T) map[string]string {
	results := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.next(strings.TrimPrefix(r.URL.Path, "/verifications/results/")).ServeHTTP(w, r)
	}))
	t.Cleanup(results.Close)
	return map[string]string{
		"GETID_URL": results.URL, "GETID_API_KEY": c.apiKey, "GETID_JWKS_URL": c.JWKSURL(), "GETID_SCRIPT_URL": c.ScriptURL(),
		"HTTP_PROXY": c.elsewhere.URL, "HTTPS_PROXY": c.elsewhere.URL,
	}
}

// launch is l for a server with this second provider.
func (c *checkin) launch(t *testing.T, l launcher, env map[string]string) *server {
	t.Helper()
	all := c.env(t)
	maps.Copy(all, env)
	s := l(t, all)
	s.secrets = append(s.secrets, c.apiKey)
	return s
}

// fail makes the result API answer so, the next n times that it is asked about an
// id.
func (c *checkin) fail(id string, n int, h http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[id] = slices.Repeat([]http.Handler{h}, n)
}

// says makes the result API say this of an id.
func (c *checkin) says(id, body string) { c.fail(id, 1000, okidtest.Answer("application/json", body)) }

// next is who answers a question about an id.
func (c *checkin) next(id string) http.Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults[id]) == 0 {
		return c
	}
	h := c.faults[id][0]
	c.faults[id] = c.faults[id][1:]
	return h
}

// asked is how often the fake was asked for a path that begins like this.
func (c *checkin) asked(path string) int {
	n := 0
	for _, r := range c.Requests() {
		if strings.HasPrefix(r.URL.Path, path) {
			n++
		}
	}
	return n
}

// visited are the requests to anybody but the fakes.
func (c *checkin) visited() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.visits
}

// claim is what the browser has after a verification with this verdict; "" is none
// yet.
func (c *checkin) claim(t *testing.T, v okidtest.Verdict) (id, body string) {
	t.Helper()
	id, _ = c.Begin()
	if v != "" {
		require.NoError(t, c.Complete(id, v, nil))
	}
	return id, c.claimWith(t, id, okidtest.Token{})
}

// claimWith is the claim to a verification, with this token.
func (c *checkin) claimWith(t *testing.T, id string, token okidtest.Token) string {
	t.Helper()
	body, err := c.Claim(id, token)
	require.NoError(t, err)
	return string(body)
}

// edited is a claim with changes that anybody can make in the page; nil takes a
// member away.
func edited(t *testing.T, claim string, changes map[string]any) string {
	t.Helper()
	var members map[string]any
	require.NoError(t, json.Unmarshal([]byte(claim), &members))
	maps.Copy(members, changes)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	body, err := json.Marshal(members)
	require.NoError(t, err)
	return string(body)
}

// tokenOf is the token of a claim.
func tokenOf(t *testing.T, claim string) string {
	t.Helper()
	var c struct{ Signed string }
	require.NoError(t, json.Unmarshal([]byte(claim), &c))
	return c.Signed
}

// claims presents a claim, as the page does.
func (u *user) claims(t *testing.T, claim string, header ...string) answer {
	t.Helper()
	return u.do(t, "POST", "/verify/claim", claim, append([]string{"Content-Type: application/json", "Accept: application/json"}, header...)...)
}

// claimed presents a claim that is accepted. A verdict is waited for: on a busy
// machine the first answer may come before it.
func (u *user) claimed(t *testing.T, claim string, code int, status string) *attempt {
	t.Helper()
	got := u.claims(t, claim)
	if code == http.StatusOK && got.status == http.StatusAccepted {
		require.Eventually(t, func() bool {
			got = u.claims(t, claim)
			return got.status != http.StatusAccepted
		}, patience, 250*time.Millisecond)
	}
	require.Equal(t, code, got.status, got.body)
	assert.Equal(t, "no-store", got.header.Get("Cache-Control"))
	var body struct{ Attempt, Status string }
	require.NoError(t, json.Unmarshal([]byte(got.body), &body))
	require.Equal(t, status, body.Status)
	require.NotEmpty(t, body.Attempt)
	return &attempt{user: u, Attempt: body.Attempt}
}

// A verification by GetID opens the same gate, tells the same callbacks and has
// the same status as one by okID.
func TestGetID(t *testing.T) { everywhere(t, testGetID) }

func testGetID(t *testing.T, launch launcher) {
	c := newCheckin(t, okidtest.GetIDConfig{})
	s := c.launch(t, launch, nil)
	alice, bob := s.logIn(t, "alice"), s.logIn(t, "bob")

	got := alice.do(t, "POST", "/verify/start?provider=getid", "", "Accept: application/json")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	var started struct {
		Attempt  string
		ClaimURL string `json:"claim_url"`
		SDK      struct {
			ScriptURL string `json:"script_url"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &started))
	claimURL, ok := strings.CutPrefix(started.ClaimURL, s.url)
	require.True(t, ok, started.ClaimURL)
	assert.Equal(t, c.ScriptURL(), started.SDK.ScriptURL)
	a := &attempt{user: alice, Attempt: started.Attempt}
	alice.shut(t)

	_, claim := c.claim(t, okidtest.Approved)
	for range 5 {
		got = alice.do(t, "POST", claimURL, claim)
		require.Equal(t, http.StatusOK, got.status, got.body)
		assert.JSONEq(t, `{"attempt":"`+a.Attempt+`","status":"verified"}`, got.body)
	}
	s.told(t, a, "verified")
	alice.opened(t)
	a.is(t, "verified")
	assert.Equal(t, 1, c.asked("/verifications/"), "and no more than once")

	got = bob.claims(t, claim)
	assert.Equal(t, http.StatusConflict, got.status)
	assert.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	assert.NotContains(t, got.body, "alice")
	bob.shut(t)
	_, own := c.claim(t, okidtest.Declined)
	bob.claimed(t, own, http.StatusOK, "failed")
	assert.Equal(t, "failed", receive(t, s.lines).Callback)
	bob.shut(t)
	assert.Equal(t, http.StatusConflict, bob.claims(t, claim).status)

	// There are no webhooks of GetID's.
	for _, body := range []string{claim, completed(a, "ver_1")} {
		d := s.signed(body)
		d.query = "?provider=getid"
		assert.Equal(t, http.StatusNotFound, s.deliver(t, d).status)
	}
	assert.Equal(t, http.StatusConflict, alice.do(t, "POST", "/verify/start", "").status, "okID asks nobody who is verified")
	s.stop(t)
	assert.Contains(t, s.stderr(t), "claim_taken")
	s.keeps(t, tokenOf(t, claim))
	assert.Empty(t, c.visited())
}

// What becomes of each verdict, whatever the browser says of it.
func TestGetIDOutcomes(t *testing.T) { everywhere(t, testGetIDOutcomes) }

func testGetIDOutcomes(t *testing.T, launch launcher) {
	c := newCheckin(t, okidtest.GetIDConfig{})
	s := c.launch(t, launch, nil)
	for _, tt := range []struct {
		verdict okidtest.Verdict
		status  string
	}{
		{okidtest.Approved, "verified"},
		{okidtest.Declined, "failed"},
		{okidtest.NeedsReview, "review"},
		{okidtest.Errored, "failed"},
	} {
		u := s.logIn(t, "user-"+string(tt.verdict))
		id, claim := c.claim(t, tt.verdict)
		lie := edited(t, claim, map[string]any{
			"applicationStatus": "approved", "resultUrl": c.elsewhere.URL + "/" + id,
			"data": map[string]any{"status": "done", "results": map[string]any{"status": "approved"}},
		})
		a := u.claimed(t, lie, http.StatusOK, tt.status)
		s.told(t, a, tt.status)
		a.is(t, tt.status)
		if tt.status == "verified" {
			u.opened(t)
		} else {
			u.shut(t)
		}
		if tt.status != "review" {
			continue
		}
		require.NoError(t, c.Complete(id, okidtest.Approved, nil))
		require.Eventually(t, func() bool { // asked for at most once in two seconds
			return strings.Contains(u.claims(t, claim).body, `"verified"`)
		}, patience, 250*time.Millisecond)
		s.told(t, a, "verified")
		u.opened(t)
	}
	assert.Empty(t, c.visited())
	s.stop(t)
}

// Only done and approved verifies. What the browser says is approved throughout.
func TestGetIDVerdicts(t *testing.T) {
	t.Parallel()
	c := newCheckin(t, okidtest.GetIDConfig{})
	s := c.launch(t, launch, nil)
	missing := ""
	states := []string{`"processing"`, `"done"`, `"approved"`, `"Done"`, `"done "`, `"finished"`, `""`, `null`, `true`, `{"status":"done"}`, missing}
	verdicts := []string{
		`"approved"`, `"declined"`, `"needs-review"`, `"error"`, `"pending"`, `"Approved"`, `"approved "`, `"verified"`, `"completed"`, `"done"`, `""`, `null`, `true`, `["approved"]`, missing,
	}
	want := func(state, verdict string) (int, string) {
		switch state {
		case `"processing"`:
			return http.StatusAccepted, "started"
		case `"done"`:
			switch verdict {
			case `"approved"`:
				return http.StatusOK, "verified"
			case `"declined"`, `"error"`:
				return http.StatusOK, "failed"
			case `"needs-review"`:
				return http.StatusOK, "review"
			}
		}
		return http.StatusAccepted, "created"
	}
	member := func(value string) string {
		if value == missing {
			return ""
		}
		return `"status":` + value
	}
	for i, state := range states {
		for j, verdict := range verdicts {
			name := fmt.Sprintf("state %s, verdict %s", state, verdict)
			u := s.logIn(t, fmt.Sprintf("user-%d-%d", i, j))
			id, claim := c.claim(t, okidtest.Approved)
			data := strings.TrimSuffix(fmt.Sprintf(`{"results":{%s},%s`, member(verdict), member(state)), ",") + "}"
			c.says(id, fmt.Sprintf(`{"data":%s,"signed":%q}`, data, tokenOf(t, claim)))
			code, status := want(state, verdict)
			got := u.claims(t, claim)
			assert.Equal(t, code, got.status, name)
			assert.Contains(t, got.body, `"status":"`+status+`"`, name)
			assert.Equal(t, status == "verified", u.do(t, "GET", "/members", "").status == http.StatusOK, name)
		}
	}
	s.client.CloseIdleConnections()
	s.terminate(t)
	count := map[string]int{}
	for _, l := range s.wait(t) {
		count[l.Callback]++
	}
	assert.Equal(t, 1, count["verified"])
	assert.Equal(t, 2, count["failed"])
	assert.Equal(t, 1, count["review"])
	assert.Zero(t, count["revoked"]+count[""])
}

// Nothing that a claim or an answer names is gone to.
func TestGetIDGoesNowhereElse(t *testing.T) {
	t.Parallel()
	c := newCheckin(t, okidtest.GetIDConfig{KeyID: true})
	s := c.launch(t, launch, nil)
	for i, target := range []string{
		c.elsewhere.URL + "/result",
		"http://169.254.169.254/latest/meta-data/",
		"http://[::ffff:169.254.169.254]/latest/meta-data/",
		"http://metadata.google.internal/",
		"https://evil.example/result",
		"//evil.example/result",
		"file:///etc/passwd",
		"gopher://evil.example:6379/_FLUSHALL",
	} {
		u := s.logIn(t, fmt.Sprint("user-", i))
		id, _ := c.claim(t, okidtest.Declined)
		claim := c.claimWith(t, id, okidtest.Token{Claims: map[string]any{"resultUrl": target}})
		claim = edited(t, claim, map[string]any{"resultUrl": target, "applicationStatus": "approved"})
		u.claimed(t, claim, http.StatusOK, "failed")
		receive(t, s.lines)
		u.shut(t)

		for _, name := range []string{"jku", "x5u"} {
			forged := okidtest.Token{Signature: okidtest.SignedOtherKey, Header: map[string]any{name: target, "kid": target}}
			assert.Equal(t, http.StatusUnauthorized, u.claims(t, c.claimWith(t, id, forged)).status)
		}
	}
	s.stop(t)
	assert.Empty(t, c.visited())
	for _, r := range c.Requests() {
		assert.Regexp(t, `^/(certs|verifications/results/[0-9a-f]{36})$`, r.URL.Path)
		assert.Equal(t, r.URL.Path != "/certs", r.Header.Get("X-API-Key") == c.apiKey, "the key goes to the result API alone")
	}
}

// A crowd with one genuine claim: one of them is verified, once.
func TestGetIDFirstUserWins(t *testing.T) { everywhere(t, testGetIDFirstUserWins) }

func testGetIDFirstUserWins(t *testing.T, launch launcher) {
	const users, each = 8, 5
	c := newCheckin(t, okidtest.GetIDConfig{})
	s := c.launch(t, launch, nil)
	_, claim := c.claim(t, okidtest.Approved)
	crowd := make([]*user, users)
	for i := range crowd {
		crowd[i] = s.logIn(t, fmt.Sprint("user-", i))
	}
	got := make([][each]answer, users)
	var all sync.WaitGroup
	for i, u := range crowd {
		for j := range each {
			at := u.at(s.only((i + j) % len(s.replicas)))
			all.Go(func() { got[i][j] = at.claims(t, claim) })
		}
	}
	all.Wait()
	var winner *user
	for i, u := range crowd {
		conflicts := 0
		for _, a := range got[i] {
			if a.status == http.StatusConflict {
				conflicts++
			} else {
				assert.Contains(t, []int{200, 202}, a.status, a.body)
			}
		}
		require.Contains(t, []int{0, each}, conflicts, u.name)
		if conflicts == 0 {
			require.Nil(t, winner, "there is one")
			winner = u
		}
	}
	require.NotNil(t, winner)
	a := winner.claimed(t, claim, http.StatusOK, "verified")
	s.told(t, a, "verified")
	for _, u := range crowd {
		for i := range s.replicas {
			if at := u.at(s.only(i)); u == winner {
				at.opened(t)
			} else {
				at.shut(t)
				assert.Equal(t, http.StatusConflict, at.claims(t, claim).status)
			}
		}
	}
	s.stop(t)
}

// What takes GetID a while is followed, by whichever replica is there.
func TestGetIDTakesItsTime(t *testing.T) { everywhere(t, testGetIDTakesItsTime) }

func testGetIDTakesItsTime(t *testing.T, launch launcher) {
	c := newCheckin(t, okidtest.GetIDConfig{})
	s := c.launch(t, launch, nil)
	for name, wait := range map[string]func(id string){
		"alice": func(id string) { require.NoError(t, c.CompleteAfter(2, id, okidtest.Approved, nil)) },
		"bob":   func(id string) { c.fail(id, 2, okidtest.GetIDStatus(http.StatusAccepted)) },
	} {
		u := s.logIn(t, name)
		id, claim := c.claim(t, okidtest.Approved) // so says the browser
		wait(id)
		a := u.claimed(t, claim, http.StatusAccepted, "started")
		s.told(t, a, "started")
		u.shut(t)
	}
	for range 2 {
		l := receive(t, s.lines)
		require.Equal(t, "verified", l.Callback)
		u := s.logIn(t, l.Subject)
		require.Eventually(t, func() bool { return u.do(t, "GET", "/members", "").status == http.StatusOK }, patience, 10*time.Millisecond)
		(&attempt{user: u, Attempt: l.Attempt}).is(t, "verified")
	}
	assert.Equal(t, 4, c.asked("/verifications/"), "beside the two that got 202")
	s.stop(t)
}

// The claim is kept while the result API cannot be asked.
func TestGetIDAway(t *testing.T) { everywhere(t, testGetIDAway) }

func testGetIDAway(t *testing.T, launch launcher) {
	c := newCheckin(t, okidtest.GetIDConfig{})
	s := c.launch(t, launch, nil)
	faults := []struct {
		answer http.Handler
		tries  int // within one question
	}{
		{okidtest.GetIDStatus(500), 1},
		{okidtest.GetIDStatus(503), 3},
		{okidtest.GetIDStatus(404), 1},
		{okidtest.GetIDStatus(403), 1},
		{okidtest.Answer("text/html", "<h1>maintenance</h1>"), 1},
		{okidtest.Answer("application/json", `{"data":{"status":"done","results":{"status":"approved"}}}`), 1}, // unsigned
		{http.RedirectHandler(c.elsewhere.URL, http.StatusTemporaryRedirect), 1},                               // with the API key
		{chatter(http.StatusBadGateway), 3},
		{babble(), 1},
		{okidtest.Huge(), 1},
	}
	for i, fault := range faults {
		u := s.logIn(t, fmt.Sprint("user-", i))
		id, claim := c.claim(t, okidtest.Approved)
		c.fail(id, fault.tries, fault.answer)
		got := u.claims(t, claim)
		assert.Equal(t, http.StatusAccepted, got.status)
		assert.Contains(t, got.body, `"created"`)
	}
	verified := map[string]bool{}
	for range faults {
		l := receive(t, s.lines) // from the worker
		assert.Equal(t, "verified", l.Callback)
		verified[l.Subject] = true
	}
	assert.Len(t, verified, len(faults))
	s.stop(t)
	assert.Contains(t, s.stderr(t), "level=WARN msg=\"okidhttp: provider_failed\"")
	assert.Contains(t, s.stderr(t), "credentials (HTTP 403)")
	s.keeps(t, words()...)
	assert.Empty(t, c.visited())
}

// The keys are fetched at most once in 30 seconds, whatever is sent and whatever
// comes back, and a new key counts as soon as it may be fetched.
func TestGetIDKeys(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	for name, fault := range map[string]http.Handler{
		"away":    okidtest.GetIDStatus(503),
		"garbage": okidtest.Answer("application/json", `{"keys":[{"kty":"oct","k":"AAAA"}]}`),
		"none":    okidtest.Answer("application/json", `{}`),
		"page":    okidtest.Answer("text/html", "<h1>maintenance</h1>"),
		"huge":    okidtest.Huge(),
		"no HTTP": babble(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCheckin(t, okidtest.GetIDConfig{KeyID: true})
			s := c.launch(t, launch, nil)
			u := s.logIn(t, "alice")
			c.FailJWKS(1, fault)
			_, claim := c.claim(t, okidtest.Approved)
			for range 50 {
				got := u.claims(t, claim)
				require.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
				require.NotEmpty(t, got.header.Get("Retry-After"))
			}
			assert.Equal(t, 1, c.asked("/certs"))
			assert.Zero(t, c.asked("/verifications/"))
			s.stop(t)
			s.keeps(t, words()...)
		})
	}
	t.Run("rotation under a flood", func(t *testing.T) {
		t.Parallel()
		c := newCheckin(t, okidtest.GetIDConfig{KeyID: true})
		s := c.launch(t, launch, nil)
		alice, mallory := s.logIn(t, "alice"), s.logIn(t, "mallory")
		_, claim := c.claim(t, okidtest.Approved)
		fetched := now()
		alice.claimed(t, claim, http.StatusOK, "verified")
		receive(t, s.lines)

		c.RotateKeys(false)
		_, newer := c.claim(t, okidtest.Approved)
		id, _ := c.Begin()
		flood := 0
		require.Eventually(t, func() bool {
			for i := range 10 {
				unknown := c.claimWith(t, id, okidtest.Token{Header: map[string]any{"kid": fmt.Sprint(flood, i)}})
				assert.Equal(t, http.StatusUnauthorized, mallory.claims(t, unknown).status)
			}
			flood++
			got := mallory.claims(t, newer)
			return assert.Contains(t, []int{200, 401}, got.status) && got.status == http.StatusOK
		}, patience, 250*time.Millisecond)
		took := now().Sub(fetched)
		t.Logf("%d unknown keys in %v, the keys were fetched %d times", 10*flood, took, c.asked("/certs"))
		assert.Equal(t, 2, c.asked("/certs"))
		assert.GreaterOrEqual(t, took, 30*time.Second)
		assert.Equal(t, "verified", receive(t, s.lines).Callback)
		_, other := c.claim(t, okidtest.Approved)
		assert.Equal(t, http.StatusOK, s.logIn(t, "bob").claims(t, other).status)
		receive(t, s.lines)
		s.stop(t)
	})
}

// While 200 clients present tokens whose signature must be checked, and is wrong,
// okID's webhooks are taken and the gate opens.
func TestGetIDFlood(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	c := newCheckin(t, okidtest.GetIDConfig{})
	s := c.launch(t, launch, nil)
	mallory := s.logIn(t, "mallory")
	id, _ := c.Begin()
	claims := make([]string, 10)
	for i := range claims {
		claims[i] = c.claimWith(t, id, okidtest.Token{Signature: okidtest.SignedOtherKey})
	}
	var bystanders []*attempt
	for i := range 10 {
		bystanders = append(bystanders, s.logIn(t, fmt.Sprint("user-", i)).begin(t))
	}
	ended := make(chan struct{})
	var flood, begun sync.WaitGroup
	var refused atomic.Int64
	begun.Add(200)
	for i := range 200 {
		flood.Go(func() {
			first := true
			for {
				got := mallory.claims(t, claims[i%len(claims)])
				assert.Contains(t, []int{401, 503}, got.status) // wrong, or no turn in time
				refused.Add(1)
				if first {
					begun.Done()
					first = false
				}
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	begun.Wait()
	before := now()
	for _, a := range bystanders {
		require.Equal(t, http.StatusOK, s.deliver(t, s.signed(completed(a, a.id))).status)
		s.told(t, a, "verified")
		a.user.opened(t)
	}
	took := now().Sub(before)
	close(ended)
	flood.Wait()
	t.Logf("%d webhooks and their gates took %v beside %d refused claims", len(bystanders), took, refused.Load())
	assert.Zero(t, c.asked("/verifications/"))
	s.stop(t)
}

// A claim outlives all processes, and so does whose it is.
func TestGetIDRestart(t *testing.T) {
	t.Parallel()
	addr := redistest.Server(t)
	c := newCheckin(t, okidtest.GetIDConfig{})
	env := map[string]string{"REDIS_URL": "redis://" + addr, "OKID_KEYS": randomKey()}
	first := c.launch(t, launch, env)
	alice, bob := first.logIn(t, "alice"), first.logIn(t, "bob")
	_, done := c.claim(t, okidtest.Approved)
	first.told(t, alice.claimed(t, done, http.StatusOK, "verified"), "verified")
	id, slow := c.claim(t, "")
	b := bob.claimed(t, slow, http.StatusAccepted, "started")
	first.told(t, b, "started")
	first.stop(t)

	require.NoError(t, c.Complete(id, okidtest.Approved, nil))
	second := c.launch(t, launch, env)
	alice, bob = alice.at(second), bob.at(second)
	b.user = bob
	second.told(t, b, "verified")
	bob.claimed(t, slow, http.StatusOK, "verified")
	alice.claimed(t, done, http.StatusOK, "verified")
	alice.opened(t)
	for _, claim := range []string{done, slow} {
		assert.Equal(t, http.StatusConflict, second.logIn(t, "carol").claims(t, claim).status)
	}
	second.stop(t)
}

// Nobody but the host learns who the person is: not the log, not the answers, not
// Redis, not even while the host's callback fails; and nobody at all a secret.
func TestGetIDLeaksNothing(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	addr := redistest.Server(t)
	c := newCheckin(t, okidtest.GetIDConfig{})
	h := newHost(t)
	env := map[string]string{"REDIS_URL": "redis://" + addr, "CALLBACK_URL": h.URL}
	s := c.launch(t, launch, env)
	const name = "subject-of-the-canary"
	u := s.logIn(t, name)
	tell := func(id, token, verdict string) {
		w := words()
		c.says(id, fmt.Sprintf(`{"data":{"status":"done","results":{"status":%q,"concerns":[{"id":%q,"service":%[2]q,"message":%[2]q,"status":%[2]q}]},
			"checks":[{"name":%[2]q,"status":%[2]q,"comment":%[2]q}],"documents":[{"name":"document","files":[{"kind":"front","uri":%[2]q}]}],
			"metadata":{"ipAddress":%[2]q,"city":%[2]q,"userAgent":%[2]q},
			"attributes":{"documentType":"id-card","firstName":%[2]q,"originalFirstName":%[2]q,"lastName":%[3]q,"documentNumbers":[%[4]q],"idNumber":%[4]q,
			"dateOfBirth":%[5]q,"dateOfExpiry":"2093-11-17","placeOfBirth":%[2]q}},"signed":%[6]q}`, verdict, w[0], w[1], w[2], w[3], token))
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	var claims []string
	look := func() {
		t.Helper()
		dump := everything(t, client)
		for _, secret := range append(words(), name, c.apiKey) {
			assert.NotContains(t, dump, secret)
		}
		for _, claim := range claims {
			assert.NotContains(t, dump, tokenOf(t, claim))
		}
	}

	for _, verdict := range []string{"declined", "approved"} {
		id, claim := c.claim(t, okidtest.Verdict(verdict))
		claim = edited(t, claim, map[string]any{"data": map[string]any{"attributes": map[string]any{"firstName": words()[0]}}, "comment": words()[1]})
		claims = append(claims, claim)
		tell(id, tokenOf(t, claim), verdict)
		h.answer <- func(w http.ResponseWriter, r *http.Request) { chatter(http.StatusInternalServerError).ServeHTTP(w, r) }
		got := u.claims(t, claim)
		require.Less(t, got.status, 300, got.body)
		look() // what is to be told again is there, but sealed
		for range 2 {
			receive(t, s.lines)
			receive(t, h.called)
		}
		require.Eventually(t, func() bool {
			return strings.Contains(u.claims(t, claim).body, map[string]string{"declined": "failed", "approved": "verified"}[verdict])
		}, patience, 50*time.Millisecond)
		look()
	}
	u.opened(t)

	// Claims that are wrong in every way, and full of words.
	_, good := c.claim(t, okidtest.Approved)
	token := tokenOf(t, good)
	for _, bad := range []string{
		edited(t, good, map[string]any{"id": words()[2]}),
		edited(t, good, map[string]any{"signed": words()[2]}),
		edited(t, good, map[string]any{"signed": token + words()[2]}),
		edited(t, good, map[string]any{"Signed": words()[0]}),
		strings.Replace(good, "{", `{"`+words()[0]+`":1,"`+words()[0]+`":2,`, 1),
		good + words()[0],
		words()[0],
	} {
		assert.Contains(t, []int{400, 401}, u.claims(t, bad).status)
	}
	for _, path := range []string{"/verify/page", "/verify/page?provider=getid", "/members", "/"} {
		u.do(t, "GET", path, "", "Accept: text/html")
	}
	s.stop(t)
	look()
	s.keeps(t, words()...)
	s.keeps(t, token)
	for _, claim := range claims {
		s.keeps(t, tokenOf(t, claim))
	}
	assert.NotContains(t, s.stderr(t), name)
	assert.Contains(t, s.stderr(t), "callback_failed", "it does log")
}

// everything is all that Redis holds.
func everything(t *testing.T, client *redis.Client) string {
	t.Helper()
	var all strings.Builder
	keys := client.Scan(t.Context(), 0, "*", 1000).Iterator()
	for keys.Next(t.Context()) {
		key := keys.Val()
		fmt.Fprintln(&all, key)
		kind, err := client.Type(t.Context(), key).Result()
		require.NoError(t, err)
		switch kind {
		case "string":
			value, err := client.Get(t.Context(), key).Result()
			require.NoError(t, err)
			all.WriteString(value)
		case "zset":
			members, err := client.ZRange(t.Context(), key, 0, -1).Result()
			require.NoError(t, err)
			fmt.Fprintln(&all, members)
		default:
			require.Equal(t, "none", kind, "a kind of key that this test does not know")
		}
	}
	require.NoError(t, keys.Err())
	require.NotZero(t, all.Len())
	return all.String()
}
