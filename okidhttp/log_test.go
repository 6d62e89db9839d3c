package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

// hangUpStore is a store whose client hangs up while it reads or writes.
type hangUpStore struct {
	store.Store
	hangUp func() // nil: nobody does
	err    error  // what it says then; nil: what the context says
}

func (s *hangUpStore) Get(ctx context.Context, key string) (store.Record, error) {
	if s.hangUp != nil {
		s.hangUp()
		<-ctx.Done()
		return store.Record{}, s.why(ctx)
	}
	return s.Store.Get(ctx, key)
}

func (s *hangUpStore) why(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	return ctx.Err()
}

// A client that hangs up is no failure of the store's or the provider's.
func TestClientHangsUp(t *testing.T) {
	for _, says := range []error{nil, errors.New("connection reset")} {
		hanging := &hangUpStore{err: says}
		w, p := newClaimWorld(t, func(c *Config) {
			hanging.Store = c.Store
			c.Store = hanging
			c.Providers = append(c.Providers, &fakeProvider{name: "signs", clock: &fakeClock{}})
		})
		p.says("session1", identity.Started)
		a := w.start("alice").Attempt
		signed := `{"Reference":"` + a + `","ID":"v1","Status":"verified"}`
		gate := w.kit.RequireVerified(http.NotFoundHandler())
		for _, tt := range []struct {
			name, method, target, body string
			handler                    http.Handler
		}{
			{"gate", "GET", "/members", "", gate},
			{"page", "GET", "/verify/page", "", w.kit},
			{"page of an attempt", "GET", "/verify/page?attempt=" + a, "", w.kit},
			{"success", "GET", "/verify/success?attempt=" + a, "", w.kit},
			{"error", "GET", "/verify/error?attempt=" + a, "", w.kit},
			{"status", "GET", "/verify/status?attempt=" + a, "", w.kit},
			{"start", "POST", "/verify/start", "", w.kit},
			{"claim", "POST", "/verify/claim", `{"id":"session2"}`, w.kit},
			{"webhook", "POST", "/verify/webhook?provider=signs", signed, w.kit},
		} {
			t.Run(fmt.Sprint(tt.name, " ", says), func(t *testing.T) {
				before := w.outcomes.of(OutcomeClientGone)
				log := len(w.log.String())
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				hanging.hangUp = hangUp
				r := httptest.NewRequestWithContext(ctx, tt.method, tt.target, strings.NewReader(tt.body))
				r.Header.Set("Test-User", "alice")
				tt.handler.ServeHTTP(httptest.NewRecorder(), r)
				hanging.hangUp = nil
				assert.Equal(t, before+1, w.outcomes.of(OutcomeClientGone))
				assert.Zero(t, w.outcomes.of(OutcomeStoreFailed))
				assert.NotContains(t, w.log.String()[log:], "WARN")
			})
		}
	}
}

// The same, while the provider is asked.
func TestClientHangsUpAtTheProvider(t *testing.T) {
	w, p := newClaimWorld(t)
	ref := w.start("alice").Attempt
	var hangUp func()
	p.asking = func() { hangUp() }
	p.hanging = true
	for _, tt := range []struct{ name, method, target, body string }{
		{"claim", "POST", "/verify/claim", `{"id":"session1"}`},
		{"success", "GET", "/verify/success?attempt=" + ref, ""},
	} {
		w.clock.add(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		hangUp = cancel
		r := httptest.NewRequestWithContext(ctx, tt.method, tt.target, strings.NewReader(tt.body))
		before := w.outcomes.of(OutcomeClientGone)
		w.do(r, "alice")
		assert.Equal(t, before+1, w.outcomes.of(OutcomeClientGone), tt.name)
		assert.Zero(t, w.outcomes.of(OutcomeProviderFailed), tt.name)
	}
	assert.NotContains(t, w.log.String(), "WARN")
}

// A store that fails is one, also while somebody hangs up elsewhere.
func TestStoreFailsAtStart(t *testing.T) {
	w := newWorld(t)
	w.store.breakDown(errStoreIsAway)
	assert.Equal(t, 503, w.tryStart("alice").Code)
	assert.Equal(t, 1, w.outcomes.of(OutcomeStoreFailed))
	assert.Zero(t, w.outcomes.of(OutcomeClientGone))
}

// What a stranger can cause at will fills no log: the first lines of each second are
// there, and how many more there were. Observer gets every one.
func TestLinesAreBounded(t *testing.T) { synctest.Test(t, testLinesAreBounded) }

func testLinesAreBounded(t *testing.T) {
	w := newWorld(t)
	forged := notice{Forged: true}
	for range 1000 {
		require.Equal(t, 401, w.webhook(forged))
	}
	lines := func(of string) int { return strings.Count(w.log.String(), of) }
	assert.Equal(t, maxLines, lines(`"okidhttp: unauthentic"`))
	assert.Zero(t, lines("left out"))
	for i := range 5 {
		r := httptest.NewRequest("POST", "/verify/start", nil)
		r.Header.Set("Origin", "https://evil.example/"+strconv.Itoa(i))
		require.Equal(t, 403, w.do(r, "alice").Code)
	}
	assert.Equal(t, 5, lines(`"code":"cross_origin"`), "each kind by itself")

	w.clock.add(time.Second)
	w.webhook(forged)
	assert.Equal(t, maxLines+1, lines(`"okidhttp: unauthentic"`))
	assert.Equal(t, 1, lines(`"level":"WARN","msg":"okidhttp: lines left out","kind":"unauthentic","count":990`))
	assert.Equal(t, 1001, w.outcomes.of(OutcomeUnauthentic))

	for range 2*maxLines - 1 {
		w.webhook(forged)
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() { assert.NoError(t, w.kit.Run(ctx)) }()
	time.Sleep(3 * pollEvery)
	assert.Equal(t, 1, lines("left out"), "the second has not passed")
	w.clock.add(time.Second)
	time.Sleep(3 * pollEvery)
	stop()
	synctest.Wait()
	assert.Equal(t, 1, lines(`"kind":"unauthentic","count":10`), "Run tells, once")
	assert.Equal(t, 2, lines("left out"))
}

// What happens once to somebody's verification is logged each time.
func TestLinesThatCount(t *testing.T) {
	w := newWorld(t)
	const all = 3 * maxLines
	for i := range all {
		a := w.start(fmt.Sprint("user ", i)).Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: fmt.Sprint("v", i), Status: identity.Verified}))
	}
	for _, o := range []Outcome{OutcomeStarted, OutcomeApplied} {
		assert.Equal(t, all, strings.Count(w.log.String(), `"okidhttp: `+string(o)+`"`))
	}
}

// constants are all the outcomes that there are.
func constants(t *testing.T) map[Outcome]bool {
	file, err := parser.ParseFile(token.NewFileSet(), "outcome.go", nil, 0)
	require.NoError(t, err)
	all := map[Outcome]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Outcome" {
				text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				all[Outcome(text)] = true
			}
		}
		return true
	})
	require.Greater(t, len(all), 20)
	return all
}

// A hundred thousand forged requests leave nothing behind: no record, no outcome that
// is not a constant, and no memory that grows with them.
func TestForgedPostsLeaveNothing(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(nowhere{}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	text := func() string { return strconv.FormatUint(random.Uint64(), 36) }
	for i := range 100_000 {
		route := "webhook"
		if i%10 == 0 {
			route = []string{"start", "claim", "status", "success", "error", "page", text()}[random.IntN(7)]
		}
		r := httptest.NewRequest("POST", "/verify/"+route+"?provider="+[]string{"fake", text()}[i%2]+"&attempt="+text(), strings.NewReader(text()))
		r.Header.Set("X-okID-Signature", text())
		r.Header.Set(text(), text())
		rec := httptest.NewRecorder()
		w.kit.ServeHTTP(rec, r)
		require.GreaterOrEqual(t, rec.Code, 400)
	}
	gets, puts := w.store.counts()
	assert.Zero(t, gets)
	assert.Zero(t, puts)
	all := constants(t)
	for o := range w.outcomes.count {
		assert.True(t, all[o], o)
	}
	assert.GreaterOrEqual(t, w.outcomes.of(OutcomeUnauthentic), 40_000)
	assert.LessOrEqual(t, w.kit.engine.Kinds(), len(all)+30, "outcomes and codes")
	assert.Zero(t, w.kit.claimTurns.Subjects())
	assert.Zero(t, w.kit.engine.Starting())
	assert.Empty(t, w.kit.streams.open)
	assert.Zero(t, w.kit.bodiesHeld())
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// Metadata fails for a user whom the kit knows.
func TestMetadataErrorIsScrubbed(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Metadata = func(*http.Request) (map[string]string, error) {
			return nil, errors.New("GET /accounts/alice%40example.com: 404")
		}
	})
	require.Equal(t, 500, w.tryStart("alice@example.com").Code)
	assert.Contains(t, w.log.String(), "GET /accounts/[redacted]: 404")
	assert.NotContains(t, w.log.String(), "alice")
}
