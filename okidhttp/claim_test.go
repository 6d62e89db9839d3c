package okidhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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
)

// claimProvider is a fakeProvider that verifies in the browser: its claims are
// {"id":"…"}, and it knows no reference.
type claimProvider struct {
	*fakeProvider
	keysAway  bool
	verifying func() // is called by VerifyClaim; may be nil
	asking    func() // is called by Fetch; may be nil
	hanging   bool   // Fetch waits for the end of its context
}

func (p *claimProvider) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	if p.asking != nil {
		p.asking()
	}
	if p.hanging {
		<-ctx.Done()
		return identity.Notice{}, fmt.Errorf("%w: %w", identity.ErrUnavailable, ctx.Err())
	}
	return p.fakeProvider.Fetch(ctx, id)
}

func (p *claimProvider) Start(context.Context, identity.StartRequest) (identity.Session, error) {
	return identity.Session{ExpiresAt: p.clock.Now().Add(time.Hour)}, nil
}

func (p *claimProvider) EchoesReference() bool { return false }

func (p *claimProvider) VerifyClaim(_ context.Context, body []byte) (string, error) {
	if p.verifying != nil {
		p.verifying()
	}
	var c struct {
		ID     string
		Forged bool
	}
	switch err := json.Unmarshal(body, &c); {
	case p.keysAway:
		return "", identity.ErrUnavailable
	case err != nil:
		return "", identity.ErrMalformed
	case c.Forged:
		return "", identity.ErrSignature
	}
	return c.ID, nil
}

// VerifyWebhook hides the one of fakeProvider: there are none.
func (p *claimProvider) VerifyWebhook() {}

func (p *claimProvider) says(id string, s identity.Status) { p.answer("", id, s) }

func newClaimWorld(t *testing.T, changes ...func(*Config)) (*world, *claimProvider) {
	w := newWorld(t)
	p := &claimProvider{fakeProvider: w.provider}
	w.kit = w.replica(append([]func(*Config){func(c *Config) { c.Providers = []identity.Provider{p} }}, changes...)...)
	return w, p
}

// claimJSON is the answer of the claim route.
type claimJSON struct{ Attempt, Status string }

// claim presents a claim, and returns the answer.
func (w *world) claim(user, body string, query ...string) (int, claimJSON) {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/verify/claim"+strings.Join(query, ""), strings.NewReader(body))
	rec := w.do(r, user)
	var got claimJSON
	if rec.Code < 300 {
		require.NoError(w.t, json.Unmarshal(rec.Body.Bytes(), &got))
	}
	return rec.Code, got
}

func TestClaim(t *testing.T) {
	for _, tt := range []struct {
		says   identity.Status
		code   int
		status string
		heard  []string
		gate   int
	}{
		{identity.Verified, 200, "verified", []string{"verified"}, 200},
		{identity.Failed, 200, "failed", []string{"failed"}, 403},
		{identity.Review, 200, "review", []string{"review"}, 403},
		{identity.Started, 202, "started", []string{"started"}, 403},
		{"", 202, "created", []string{}, 403},
	} {
		t.Run(string(tt.says), func(t *testing.T) {
			w, p := newClaimWorld(t)
			ref := w.start("alice").Attempt
			p.says("session1", tt.says)
			for range 3 {
				code, got := w.claim("alice", `{"id":"session1"}`, "?attempt="+ref)
				assert.Equal(t, tt.code, code)
				assert.Equal(t, claimJSON{ref, tt.status}, got)
			}
			assert.Equal(t, tt.heard, w.host.heard())
			assert.Equal(t, tt.gate, w.gate("alice"))
			assert.Len(t, w.record("alice").Attempts, 1)
		})
	}
}

func TestClaimRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		user string
		body string
		code int
		edit func(*http.Request)
	}{
		{"nobody", "", `{"id":"session1"}`, 401, nil},
		{"forged", "alice", `{"id":"session1","forged":true}`, 401, nil},
		{"no JSON", "alice", `canary`, 400, nil},
		{"empty", "alice", ``, 400, nil},
		{"GET", "alice", ``, 405, func(r *http.Request) { r.Method = http.MethodGet }},
		{"cross-site", "alice", `{"id":"session1"}`, 403, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		{"other origin", "alice", `{"id":"session1"}`, 403, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
		{"encoded", "alice", `{"id":"session1"}`, 415, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }},
		{"too large", "alice", strings.Repeat(" ", 256<<10+1), 413, nil},
		{"another provider", "alice", `{"id":"session1"}`, 404, func(r *http.Request) { r.URL.RawQuery = "provider=okid" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p := newClaimWorld(t)
			p.says("session1", identity.Verified)
			r := httptest.NewRequest(http.MethodPost, "/verify/claim", strings.NewReader(tt.body))
			if tt.edit != nil {
				tt.edit(r)
			}
			assert.Equal(t, tt.code, w.do(r, tt.user).Code)
			_, puts := w.store.counts()
			assert.Zero(t, puts, "nothing is written")
			assert.Zero(t, p.asked())
			assert.NotContains(t, w.log.String(), "canary")
		})
	}
	w, p := newClaimWorld(t)
	p.keysAway = true
	code, _ := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 503, code)

	okid := newWorld(t)
	code, _ = okid.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 404, code, "a provider that has webhooks takes no claims")
}

// Whoever presents a verification first keeps it, for ten years, and whatever
// becomes of the record.
func TestFirstSubjectWins(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Verified)
	code, _ := w.claim("alice", `{"id":"session1"}`)
	require.Equal(t, 200, code)
	refused := func() {
		t.Helper()
		asked := p.asked()
		code, _ := w.claim("bob", `{"id":"session1"}`)
		assert.Equal(t, 409, code)
		assert.Equal(t, asked, p.asked())
		assert.Equal(t, 403, w.gate("bob"))
	}
	refused()
	assert.Contains(t, w.log.String(), string(OutcomeClaimTaken))
	w.clock.add(9 * 365 * 24 * time.Hour)
	refused()
	require.NoError(t, w.kit.Erase(t.Context(), "alice"))
	refused()
}

func TestManyPresentOneClaim(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Verified)
	var all sync.WaitGroup
	codes := make([]int, 40)
	for i := range codes {
		all.Go(func() { codes[i], _ = w.claim(fmt.Sprint("user ", i%8), `{"id":"session1"}`) })
	}
	all.Wait()
	won := 0
	for i := range 8 {
		if w.gate(fmt.Sprint("user ", i)) == 200 {
			won++
		}
	}
	assert.Equal(t, 1, won)
	assert.Equal(t, []string{"verified"}, w.host.heard())
}

// Without an attempt in the query, a claim finds the one that is open, or makes
// one, as often as Config.StartLimit allows.
func TestClaimWithoutStart(t *testing.T) {
	w, p := newClaimWorld(t, func(c *Config) { c.StartLimit = AtMost(2, time.Hour) })
	p.says("session1", identity.Failed)
	p.says("session2", identity.Failed)
	p.says("session3", identity.Verified)
	started := w.start("alice").Attempt
	_, got := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, started, got.Attempt)
	code, got := w.claim("alice", `{"id":"session2"}`)
	assert.Equal(t, 200, code)
	assert.NotEqual(t, started, got.Attempt)
	code, _ = w.claim("alice", `{"id":"session3"}`)
	assert.Equal(t, 429, code)
	w.clock.add(time.Hour)
	code, _ = w.claim("alice", `{"id":"session3"}`)
	assert.Equal(t, 200, code)
	assert.Equal(t, 200, w.gate("alice"))
}

// Somebody else's attempt is nobody's business.
func TestClaimForAForeignAttempt(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Verified)
	foreign := w.start("bob").Attempt
	_, got := w.claim("alice", `{"id":"session1"}`, "?attempt="+foreign)
	assert.NotEqual(t, foreign, got.Attempt)
	assert.Equal(t, "created", w.status("bob", foreign))
	assert.Equal(t, 200, w.gate("alice"))
}

// A verification in process is asked for until there is a verdict.
func TestClaimIsFollowed(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Started)
	code, got := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 202, code)
	var times []int
	for second := range 200 {
		asked := p.asked()
		w.later(time.Second)
		if p.asked() > asked {
			times = append(times, second+1)
		}
	}
	assert.Equal(t, []int{2, 4, 8, 16, 32, 64, 124, 184}, times, "in seconds after the claim")
	p.says("session1", identity.Verified)
	w.later(time.Minute)
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, "verified", w.status("alice", got.Attempt))
	asked := p.asked()
	w.later(time.Hour)
	assert.Equal(t, asked, p.asked())
}

// If there is none after a quarter of an hour, somebody should know. It is asked
// for all the same.
func TestOverdueVerdict(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Started)
	_, got := w.claim("alice", `{"id":"session1"}`)
	for range 16 {
		w.later(time.Minute)
	}
	assert.Equal(t, 1, w.outcomes.of(OutcomeNoVerdict))
	letters := deadLetters(t, w.kit)
	require.Len(t, letters, 1)
	assert.Equal(t, DeadNoVerdict, letters[0].Reason)
	assert.Equal(t, "session1", letters[0].VerificationID)

	require.NoError(t, w.kit.ReplayDeadLetter(t.Context(), letters[0].ID))
	assert.Len(t, deadLetters(t, w.kit), 1, "still none")
	p.says("session1", identity.Verified)
	require.NoError(t, w.kit.ReplayDeadLetter(t.Context(), letters[0].ID))
	assert.Equal(t, "verified", w.status("alice", got.Attempt))
	assert.Empty(t, deadLetters(t, w.kit))
}

func TestReviewedClaim(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Review)
	_, got := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, "review", got.Status)
	asked := p.asked()
	for range 20 {
		w.later(time.Minute)
	}
	assert.Empty(t, deadLetters(t, w.kit), "people take their time")
	assert.Equal(t, asked+int(20*time.Minute/refreshEvery), p.asked())
	p.says("session1", identity.Verified)
	w.later(refreshEvery)
	assert.Equal(t, []string{"review", "verified"}, w.host.heard())
}

// A technical error is a failed attempt with a reason, and the user may try again.
func TestClaimOfAnError(t *testing.T) {
	w, p := newClaimWorld(t)
	v := person
	v.ID, v.Status, v.Reason = "session1", identity.Failed, identity.ReasonError
	v.Concerns = []identity.Concern{{ID: "DC030", Service: "doc-check", Status: "declined", Message: "Canary concern"}}
	p.answers["session1"] = identity.Notice{Provider: "fake", Verification: v}
	w.host.failing(func(Event) error { return errors.New("away, says Canary concern") })
	code, _ := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 200, code, "what closes stands before the host knows")
	w.host.failing(nil)
	w.later(time.Minute)
	e := w.host.last()
	assert.Equal(t, identity.ReasonError, e.Reason)
	assert.Equal(t, v.Concerns, e.Verification.Concerns, "concerns reach the callback")
	assert.NotContains(t, w.log.String(), "Canary")
	assert.NotContains(t, strings.Join(w.store.values, ""), "Canary")
}

func TestClaimWhileTheProviderIsAway(t *testing.T) {
	w, p := newClaimWorld(t)
	p.away = identity.ErrUnavailable
	code, _ := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 202, code)
	p.away = nil
	p.says("session1", identity.Verified)
	w.later(time.Minute)
	assert.Equal(t, 200, w.gate("alice"))
}

// However long it is away, and however late it has a verdict, it is asked; but
// not for ever, and not less often than if it were processing.
func TestClaimWhileTheProviderIsAwayForLong(t *testing.T) {
	w, p := newClaimWorld(t)
	p.away = identity.ErrRefused // its word for wrong credentials
	ref := w.start("alice").Attempt
	w.later(time.Minute)
	code, _ := w.claim("alice", `{"id":"session1"}`, "?attempt="+ref)
	assert.Equal(t, 202, code)
	var times []int
	for second := range 200 {
		asked := p.asked()
		w.later(time.Second)
		if p.asked() > asked {
			times = append(times, second+1)
		}
	}
	assert.Equal(t, []int{2, 4, 8, 16, 32, 64, 124, 184}, times, "in seconds after the claim")
	for range 23 * 60 {
		w.later(time.Minute)
	}
	assert.Equal(t, "created", w.status("alice", ref), "though the attempt had an hour")
	for range 60 {
		w.later(2 * time.Minute)
	}
	assert.Equal(t, "expired", w.status("alice", ref))
	asked := p.asked()
	for range 60 {
		w.later(time.Hour)
	}
	assert.Equal(t, asked, p.asked())

	p.away = nil
	p.says("session1", identity.Verified)
	code, got := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 200, code, "the user may ask")
	assert.Equal(t, claimJSON{ref, "verified"}, got)
	assert.Equal(t, []string{"expired", "verified"}, w.host.heard())
}

// Without a start, too, an attempt ends.
func TestClaimIsNotFollowedForEver(t *testing.T) {
	w, p := newClaimWorld(t)
	p.away = identity.ErrUnavailable
	_, got := w.claim("alice", `{"id":"session1"}`)
	for range 150 {
		w.later(10 * time.Minute)
	}
	assert.Equal(t, "expired", w.status("alice", got.Attempt))
	asked := p.asked()
	w.later(24 * time.Hour)
	assert.Equal(t, asked, p.asked())
}

// A user who took longer than the attempt lasted has a verification all the same.
func TestClaimAfterTheAttemptExpired(t *testing.T) {
	for _, says := range []identity.Status{identity.Verified, identity.Started} {
		w, p := newClaimWorld(t)
		ref := w.start("alice").Attempt
		w.later(time.Hour + 6*time.Minute)
		require.Equal(t, "expired", w.status("alice", ref))
		p.says("session1", says)
		code, got := w.claim("alice", `{"id":"session1"}`, "?attempt="+ref)
		assert.Equal(t, ref, got.Attempt)
		heard := []string{"expired", "verified"}
		if says == identity.Started {
			assert.Equal(t, 202, code)
			heard = []string{"expired", "started", "verified"}
			p.says("session1", identity.Verified)
			w.later(time.Minute)
		}
		assert.Equal(t, "verified", w.status("alice", ref))
		assert.Equal(t, heard, w.host.heard())
		assert.Equal(t, 200, w.gate("alice"))
	}
}

// A page that is loaded again after the claim begins no other verification.
func TestPageAfterTheClaim(t *testing.T) {
	w, p := newClaimWorld(t)
	ref := w.start("alice").Attempt
	p.says("session1", identity.Started)
	code, _ := w.claim("alice", `{"id":"session1"}`, "?attempt="+ref)
	require.Equal(t, 202, code)
	page := w.get("alice", "/verify/page?attempt="+ref).Body.String()
	assert.NotContains(t, page, "client.resume")
	assert.Contains(t, page, "client.follow")
	assert.NotEqual(t, ref, w.start("alice").Attempt, "who asks for another gets one")
}

// A claim never touches an attempt of another provider's, or one that is over.
func TestClaimForAnotherAttempt(t *testing.T) {
	okid := &fakeProvider{name: "okid"}
	w, p := newClaimWorld(t, func(c *Config) { c.Providers = append(c.Providers, okid) })
	okid.clock = w.clock
	const body = `{"id":"session1"}`
	p.says("session1", identity.Verified)
	p.says("session2", identity.Failed)
	r := httptest.NewRequest(http.MethodPost, "/verify/start?provider=okid", nil)
	r.Header.Set("Accept", "application/json")
	var foreign startJSON
	require.NoError(t, json.Unmarshal(w.do(r, "alice").Body.Bytes(), &foreign))
	_, got := w.claim("alice", body, "?attempt="+foreign.Attempt)
	assert.NotEqual(t, foreign.Attempt, got.Attempt)
	assert.Equal(t, "created", w.status("alice", foreign.Attempt))

	// The verdict is withdrawn, and neither the claim nor another one for the same
	// attempt brings it back.
	p.says("session1", identity.Failed)
	at := w.at(got.Attempt)
	s, err := w.kit.engine.Load(t.Context(), at.Subject)
	require.NoError(t, err)
	w.kit.engine.Refresh(t.Context(), at, s.Find(at.Attempt), attempt.Refresh{ID: "session1"})
	require.Equal(t, "revoked", w.status("alice", got.Attempt))
	p.says("session1", identity.Verified)
	w.clock.add(time.Minute)
	code, again := w.claim("alice", body)
	assert.Equal(t, 200, code)
	assert.Equal(t, claimJSON{got.Attempt, "revoked"}, again)
	_, other := w.claim("alice", `{"id":"session2"}`, "?attempt="+got.Attempt)
	assert.NotEqual(t, got.Attempt, other.Attempt)
	assert.Equal(t, 403, w.gate("alice"))
	assert.Equal(t, []string{"verified", "revoked", "failed"}, w.host.heard())
}

func TestClaimWhileTheStoreIsAway(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Verified)
	w.store.breakDown(errStoreIsAway)
	code, _ := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 503, code)
	w.store.breakDown(nil)
	code, _ = w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 200, code)
}

// The claim proves that the subject was there.
func TestClaimIsAReturn(t *testing.T) {
	w, p := newClaimWorld(t, func(c *Config) { c.RequireReturn = true })
	p.says("session1", identity.Verified)
	code, _ := w.claim("alice", `{"id":"session1"}`)
	assert.Equal(t, 200, code)
	assert.Equal(t, 200, w.gate("alice"))
}

// The cost of a claim in store operations.
func TestClaimCost(t *testing.T) {
	w, p := newClaimWorld(t)
	w.start("alice")
	p.says("session1", identity.Verified)
	w.store.counts()
	w.claim("alice", `{"id":"session1"}`)
	gets, puts := w.store.counts()
	assert.Equal(t, [2]int{2, 4}, [2]int{gets, puts})
	w.claim("alice", `{"id":"session1"}`)
	gets, puts = w.store.counts()
	assert.Equal(t, [2]int{1, 0}, [2]int{gets, puts}, "again")
}

// A page finds out where the claim goes.
func TestClaimURL(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Verified)
	rec := w.tryStart("alice")
	var started struct {
		Attempt  string
		ClaimURL string `json:"claim_url"`
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &started))
	query, ok := strings.CutPrefix(started.ClaimURL, "https://app.example/verify/claim")
	require.True(t, ok, started.ClaimURL)
	assert.Contains(t, w.get("alice", "/verify/page?attempt="+started.Attempt).Body.String(), "/claim?provider=fake")
	_, got := w.claim("alice", `{"id":"session1"}`, query)
	assert.Equal(t, claimJSON{started.Attempt, "verified"}, got)

	assert.NotContains(t, newWorld(t).tryStart("alice").Body.String(), "claim_url")
}

// However many claims wait to be checked, each subject has few of them, their bodies
// have room of their own, and neither webhooks nor the claims of others wait for them.
func TestManyClaims(t *testing.T) {
	signs := &fakeProvider{name: "signs"}
	w, p := newClaimWorld(t, func(c *Config) {
		c.Providers = append(c.Providers, signs)
		c.MaxInFlight = 1
	})
	signs.clock = w.clock
	claim := func(user, body string) *httptest.ResponseRecorder {
		return w.do(httptest.NewRequest("POST", "/verify/claim", strings.NewReader(body)), user)
	}
	r := httptest.NewRequest("POST", "/verify/start?provider=signs", nil)
	var started startJSON
	require.NoError(t, json.Unmarshal(w.do(r, "alice").Body.Bytes(), &started))

	synctest.Test(t, func(t *testing.T) {
		var checked atomic.Int64
		release := make(chan struct{})
		p.verifying = func() { checked.Add(1); <-release }
		large := `{"id":"session1","forged":true}` + strings.Repeat(" ", 250<<10)
		const users, each = 30, 10
		var wg sync.WaitGroup
		var refused atomic.Int64
		for i := range users * each {
			wg.Go(func() {
				rec := claim(fmt.Sprintf("mallory %d", i/each), large)
				if rec.Code == 503 {
					refused.Add(1)
					assert.NotEmpty(t, rec.Header().Get("Retry-After"))
				} else {
					assert.Equal(t, 401, rec.Code)
				}
			})
			synctest.Wait()
			assert.LessOrEqual(t, checked.Load(), int64(i/each+1)*maxClaims)
		}
		const fit = claimLarge / (256<<10 + 1) // one byte more shows that it is not too large
		assert.EqualValues(t, fit, checked.Load())
		assert.LessOrEqual(t, w.kit.bodiesHeld(), int64(claimLarge))
		const waiting = fit / maxClaims * (each - maxClaims)
		assert.EqualValues(t, users*each-fit-waiting, refused.Load())
		assert.Equal(t, int(refused.Load()), w.outcomes.of(OutcomeBusy))

		n := w.webhookRequest(notice{Reference: started.Attempt, ID: "v1", Status: identity.Verified})
		n.URL.RawQuery = "provider=signs"
		assert.Equal(t, 200, w.do(n, "").Code)
		p.verifying = nil
		assert.Equal(t, 401, claim("bob", `{"id":"session2","forged":true}`).Code, "a small one finds room")
		close(release)
		wg.Wait()
		assert.Zero(t, w.kit.bodiesHeld())
		assert.Zero(t, w.kit.claimTurns.Subjects())
	})
}

// Who waits for a turn that does not come is told so.
func TestClaimWaitsForItsTurn(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Verified)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p.verifying = func() { <-release }
		var wg sync.WaitGroup
		claims := func(n int, codes ...int) {
			for range n {
				wg.Go(func() {
					got, _ := w.claim("alice", `{"id":"session1"}`)
					assert.Contains(t, codes, got)
				})
			}
			synctest.Wait()
		}
		claims(maxClaims, 200, 202) // one of them may be telling the host
		claims(maxClaimCrowd-maxClaims, 503)
		assert.Zero(t, w.outcomes.of(OutcomeBusy), "they wait")
		claims(1, 503)
		assert.Equal(t, 1, w.outcomes.of(OutcomeBusy))
		time.Sleep(userTime + time.Millisecond)
		claims(2, 200, 202)
		close(release)
		wg.Wait()
		assert.Equal(t, []string{"verified"}, w.host.heard())
	})
}

// Claims that are being dealt with are counted apart from webhooks.
func TestClaimsInFlight(t *testing.T) {
	signs := &fakeProvider{name: "signs"}
	w, p := newClaimWorld(t, func(c *Config) {
		c.Providers = append(c.Providers, signs)
		c.MaxInFlight = 1
	})
	signs.clock = w.clock
	p.says("session1", identity.Verified)
	asked, release := make(chan struct{}), make(chan struct{})
	p.asking = func() { close(asked); <-release }
	first := make(chan int)
	go func() { code, _ := w.claim("alice", `{"id":"session1"}`); first <- code }()
	<-asked
	code, _ := w.claim("bob", `{"id":"session2"}`)
	assert.Equal(t, 503, code)
	code, _ = w.claim("bob", `{"id":"session2","forged":true}`)
	assert.Equal(t, 401, code, "what is forged takes no place")
	r := w.webhookRequest(notice{ID: "v1", Status: identity.Verified})
	r.URL.RawQuery = "provider=signs"
	assert.Equal(t, 200, w.do(r, "").Code)
	close(release)
	assert.Equal(t, 200, <-first)
}
