package okidhttp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// route asks for a page behind the gate with these requirements.
func (w *world) route(user, accept string, requirements ...Requirement) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/route", nil)
	r.Header.Set("Test-User", user)
	r.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	w.kit.RequireVerified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), requirements...).ServeHTTP(rec, r)
	return rec
}

// verify verifies a user by what the provider found out.
func (w *world) verify(user string, n notice, form ...string) (reference string) {
	w.t.Helper()
	reference = w.start(user, form...).Attempt
	n.Reference, n.Status = reference, identity.Verified
	if n.ID == "" {
		n.ID = "v-" + reference
	}
	w.provider.answer(reference, n.ID, identity.Verified)
	require.Equal(w.t, 200, w.webhook(n))
	return reference
}

// Each requirement against grants that just meet it, just miss it, and do not tell.
func TestRequirements(t *testing.T) {
	zones := map[string]*time.Location{}
	for _, name := range []string{"UTC", "America/Los_Angeles", "Pacific/Auckland"} {
		zone, err := time.LoadLocation(name)
		require.NoError(t, err)
		zones[name] = zone
	}
	date := func(y int, m time.Month, d int) identity.Date { return identity.Date{Year: y, Month: m, Day: d} }
	for name, tt := range map[string]struct {
		found   notice
		require Requirement
		// The status a moment before this time, and at it, where the host is.
		at           string
		before, then int
	}{
		"comes of age at midnight":                {notice{Born: date(2010, 4, 1)}, Over(16), "2026-04-01 00:00:00", 403, 200},
		"comes of age on 1 March, born on 29 Feb": {notice{Born: date(2012, 2, 29)}, Over(15), "2027-03-01 00:00:00", 403, 200},
		"and on 29 February where there is one":   {notice{Born: date(2012, 2, 29)}, Over(16), "2028-02-29 00:00:00", 403, 200},
		"is old enough":                           {notice{}, Over(18), "2026-03-02 12:00:00", 200, 200},
		"age is not told":                         {notice{Unborn: true}, Over(16), "2030-03-01 12:00:00", 403, 403},
		"age cannot be read":                      {notice{Born: identity.UnreadableDate}, Over(16), "2030-03-01 12:00:00", 403, 403},
		"document":                                {notice{Document: "passport"}, Document("id-card", "Passport"), "2026-03-02 12:00:00", 200, 200},
		"another document":                        {notice{Document: "passport"}, Document("id-card"), "2026-03-02 12:00:00", 403, 403},
		"country":                                 {notice{Country: "BEL"}, Country("NLD", "BEL"), "2026-03-02 12:00:00", 200, 200},
		"another country":                         {notice{Country: "DEU"}, Country("NLD", "BEL"), "2026-03-02 12:00:00", 403, 403},
		"no country":                              {notice{}, Country("NLD"), "2026-03-02 12:00:00", 403, 403},
		"no country as it should be":              {notice{Country: "nld"}, Country("NLD"), "2026-03-02 12:00:00", 403, 403},
		"provider":                                {notice{}, From("other", "fake"), "2026-03-02 12:00:00", 200, 200},
		"another provider":                        {notice{}, From("other"), "2026-03-02 12:00:00", 403, 403},
	} {
		for zoneName, zone := range zones {
			t.Run(name+", "+zoneName, func(t *testing.T) {
				w := newWorld(t, func(c *Config) {
					c.AgeOver, c.Location, c.AllowExpiredDocument = []int{15, 16, 18}, zone, true
					c.Providers = append(c.Providers, &fakeProvider{name: "other"})
				})
				at, err := time.ParseInLocation(time.DateTime, tt.at, zone)
				require.NoError(t, err)
				w.verify("alice", tt.found)
				w.clock.add(at.Add(-time.Second).Sub(w.clock.Now()))
				assert.Equal(t, tt.before, w.route("alice", "", tt.require).Code, "a second before")
				w.clock.add(time.Second)
				assert.Equal(t, tt.then, w.route("alice", "", tt.require).Code, "then")
				assert.Equal(t, 200, w.route("alice", "").Code, "without it")
				assert.Equal(t, 403, w.route("bob", "", tt.require).Code, "nobody knows him")
			})
		}
	}
}

func TestWithin(t *testing.T) {
	w := newWorld(t)
	w.verify("alice", notice{})
	w.clock.add(5*time.Minute - time.Millisecond)
	assert.Equal(t, 200, w.route("alice", "", Within(5*time.Minute)).Code)
	w.clock.add(time.Millisecond)
	assert.Equal(t, 403, w.route("alice", "", Within(5*time.Minute)).Code)
	assert.Equal(t, 200, w.route("alice", "", Within(6*time.Minute)).Code)
}

// What clients are told: the first requirement that is not met, and its bound.
func TestUnmetRequirement(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AgeOver = []int{16, 21} })
	w.verify("alice", notice{Born: identity.Date{Year: 2009, Month: 5, Day: 5}, Country: "DEU"})
	w.clock.add(time.Hour)
	for name, tt := range map[string]struct {
		requirements []Requirement
		members      string
		query        url.Values
		says, offers string
	}{
		"over, who is younger": {
			[]Requirement{Over(21), Within(time.Minute)}, `"requirement":"over","age":21`,
			url.Values{"requirement": {"over"}, "age": {"21"}}, "You must be 21 or older.", "",
		},
		"within": {
			[]Requirement{Over(16), Within(90 * time.Second)}, `"requirement":"within","max_age":90`,
			url.Values{"requirement": {"within"}, "max_age": {"90"}}, "more recent", "/verify/start",
		},
		"from": {
			[]Requirement{From(StaffProvider)}, `"requirement":"from","providers":["staff"]`,
			url.Values{"requirement": {"from"}, "providers": {"staff"}}, "a verification by staff", "",
		},
		"document": {
			[]Requirement{Document("id-card", "visa")}, `"requirement":"document","documents":["id-card","visa"]`,
			url.Values{"requirement": {"document"}, "documents": {"id-card,visa"}}, "another document: id-card, visa", "/verify/start",
		},
		"country": {
			[]Requirement{Country("NLD", "BEL")}, `"requirement":"country","countries":["NLD","BEL"]`,
			url.Values{"requirement": {"country"}, "countries": {"NLD,BEL"}}, "another country: NLD, BEL", "/verify/start",
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec := w.route("alice", "application/json", tt.requirements...)
			assert.Equal(t, 403, rec.Code)
			assert.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
			assert.Contains(t, rec.Header().Get("Cache-Control"), "no-store")
			assert.JSONEq(t, `{"type":"https://github.com/okidkit/okidkit/problems/requirement","status":403,"code":"requirement","title":"More is needed here",
				"detail":"The user's verification does not meet what this requires.",`+tt.members+`}`, rec.Body.String())

			rec = w.route("alice", "text/html", tt.requirements...)
			require.Equal(t, 303, rec.Code)
			to, err := url.Parse(rec.Header().Get("Location"))
			require.NoError(t, err)
			tt.query.Set("return_to", "/route")
			assert.Equal(t, tt.query, to.Query())

			rec = w.get("alice", to.RequestURI())
			assert.Equal(t, 200, rec.Code)
			page := rec.Body.String()
			assert.Contains(t, page, tt.says)
			if tt.offers == "" {
				assert.NotContains(t, page, "<form", "another verification would tell the same")
				return
			}
			assert.Contains(t, page, `action="https://app.example`+tt.offers+`"`)
			assert.Contains(t, page, `name="renew" value="1"`)
			assert.Contains(t, page, `name="return_to" value="/route"`)
		})
	}
}

// The page believes nobody: what the query says that the kit cannot check, it does not say.
func TestRequirementInQuery(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AgeOver = []int{18} })
	w.verify("alice", notice{Unborn: true})
	for query, says := range map[string]string{
		"requirement=over&age=18":             "You must be 18 or older. Your verification does not tell your age.",
		"requirement=over&age=19":             "",
		"requirement=over&age=-1":             "",
		"requirement=over":                    "",
		"requirement=over&max_age=18":         "",
		"requirement=from&providers=evil":     "",
		"requirement=country&countries=XX":    "",
		"requirement=document&documents=":     "",
		"requirement=within&max_age=0":        "",
		"requirement=within&max_age=99999999": "", // which is met
		"requirement=<script>&=1":             "",
		"age=18":                              "",
	} {
		rec := w.get("alice", "/verify/page?"+query)
		if says == "" {
			assert.Equal(t, 303, rec.Code, query)
			continue
		}
		assert.Contains(t, rec.Body.String(), says, query)
	}
	assert.Contains(t, w.get("bob", "/verify/page?requirement=over&age=18").Body.String(), "Verify your identity", "nothing of his stands")
}

// A requirement that cannot be checked is found where the route is wired.
func TestRequirementsThatCannotBeChecked(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AgeOver = []int{18} })
	for says, wrong := range map[string]Requirement{
		"Over(21) needs 21 in Config.AgeOver":                           Over(21),
		"Within needs a whole number of seconds":                        Within(0),
		"Within needs a whole number of seconds, at":                    Within(time.Second / 2),
		`From("okid") needs the name of one of Config.Providers`:        From("fake", "okid"),
		"From needs at least one argument":                              From(),
		`Document("") needs one word`:                                   Document(""),
		`Document("a,b") needs one word`:                                Document("a,b"),
		`Country("NL") needs an ISO 3166-1 alpha-3 code, such as NLD`:   Country("NL"),
		`Country("Holland") needs an ISO 3166-1 alpha-3 code, such as `: Country("Holland"),
		"a Requirement is not made by hand":                             {},
	} {
		func() {
			defer func() { assert.Contains(t, fmt.Sprint(recover()), says) }()
			w.kit.RequireVerified(http.NotFoundHandler(), Over(18), wrong)
			assert.Fail(t, "wired", says)
		}()
	}
}

// Until an age is reached, the day of it is sealed. Without its key nobody has that age.
func TestAgesToCome(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AgeOver = []int{12, 18, 21} })
	w.verify("alice", notice{Born: identity.Date{Year: 2008, Month: 3, Day: 2}, Expiry: identity.Date{Year: 2036, Month: 1, Day: 1}})
	g, err := w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, []int{12}, g.AgeOver)
	w.clock.add(24 * time.Hour)
	g, err = w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, []int{12, 18}, g.AgeOver)
	assert.True(t, g.Over(18))

	require.NoError(t, w.kit.SetKeys([][]byte{testKey(9)}))
	g, err = w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, []int{12}, g.AgeOver)
	assert.Contains(t, w.get("alice", "/verify/page?requirement=over&age=21").Body.String(), "does not tell your age")
}

// The gate needs nothing more to check requirements.
func TestRequirementsCostNothing(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AgeOver = []int{18} })
	w.verify("alice", notice{Country: "NLD"})
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	cost := func(gate http.Handler) (allocs float64, gets int) {
		r := httptest.NewRequest(http.MethodGet, "/route", nil)
		r.Header.Set("Test-User", "alice")
		before := w.store.gets
		allocs = testing.AllocsPerRun(100, func() { gate.ServeHTTP(httptest.NewRecorder(), r) })
		return allocs, w.store.gets - before
	}
	plain, reads := cost(w.kit.RequireVerified(next))
	three, readsOfThree := cost(w.kit.RequireVerified(next, Over(18), Within(time.Hour), Country("NLD", "BEL")))
	assert.LessOrEqual(t, three, plain+1)
	assert.Equal(t, reads, readsOfThree)
}

func BenchmarkRequirements(b *testing.B) {
	all := []Requirement{Over(18), Within(time.Hour), Country("BEL", "NLD")}
	now := time.Now()
	g := &attempt.Grant{VerifiedAt: now, AgeOver: []int{16, 18}, Country: "NLD"}
	for b.Loop() {
		if unmet(all, g, now) != nil {
			b.Fatal("unmet")
		}
	}
}

// Another verification while one stands: it replaces that when it succeeds, and not before.
func TestRenewal(t *testing.T) {
	w := newWorld(t)
	first := w.verify("alice", notice{ID: "v1"})
	assert.False(t, w.host.last().Renewal)
	assert.Equal(t, 409, w.tryStart("alice").Code, "without a wish for it")
	for _, no := range []string{"", "0", "true", "yes"} {
		assert.Equal(t, 409, w.tryStart("alice", "renew", no).Code, no)
	}
	w.clock.add(time.Hour)
	old := w.clock.Now().Add(-time.Hour)

	// It fails, and what stood stands.
	failed := w.start("alice", "renew", "1").Attempt
	assert.NotEqual(t, first, failed)
	assert.Equal(t, 200, w.gate("alice"))
	require.Equal(t, 200, w.webhook(notice{Reference: failed, ID: "v2", Status: identity.Started}))
	require.Equal(t, 200, w.webhook(notice{Reference: failed, ID: "v2", Status: identity.Failed}))
	assert.True(t, w.host.last().Renewal, "the host is told that it stands")
	g, err := w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, old, g.VerifiedAt)

	// It succeeds, and replaces what stood.
	r := httptest.NewRequest(http.MethodPost, "/verify/start", strings.NewReader(`{"renew":true}`))
	r.Header.Set("Content-Type", "application/json")
	require.Equal(t, 201, w.do(r, "alice").Code)
	second := w.record("alice").Attempts[2].Reference
	require.Equal(t, 200, w.webhook(notice{Reference: second, ID: "v3", Status: identity.Verified}))
	assert.Equal(t, "verified", string(w.host.last().Status))
	assert.True(t, w.host.last().Renewal)
	g, err = w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, w.clock.Now(), g.VerifiedAt)

	// It is withdrawn, and what stood before still does.
	w.provider.answer(second, "v3", identity.Failed)
	require.Equal(t, 200, w.webhook(notice{Reference: second, ID: "v3", Status: identity.Failed}))
	assert.Equal(t, "revoked", string(w.host.last().Status))
	assert.True(t, w.host.last().Renewal)
	assert.Equal(t, 200, w.gate("alice"))

	// All of them count for the limit.
	for range 2 {
		a := w.start("alice", "renew", "1").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v-" + a, Status: identity.Failed}))
	}
	assert.Equal(t, 429, w.tryStart("alice", "renew", "1").Code)
}

// A wish to renew where nothing stands begins a verification like any other.
func TestRenewalOfNothing(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Decide = func(_ context.Context, e Event) error {
			if e.Subject == "bob" {
				return Refuse("too_young").Final()
			}
			return nil
		}
	})
	a := w.start("alice", "renew", "1").Attempt
	assert.Equal(t, a, w.start("alice", "renew", "1").Attempt, "which is resumed")
	b := w.start("bob").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: b, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, 403, w.tryStart("bob", "renew", "1").Code, "a final refusal rules it out")
}
