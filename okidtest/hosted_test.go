package okidtest_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid/portal"
	"github.com/okidkit/okidkit/okidtest"
)

// hosted is either fake whose provider has a page of its own.
type hosted interface {
	http.Handler
	Start() error
	Close()
	URL() string
	IDs() []string
	SetWebhookURL(string) error
	SetChaos(okidtest.Chaos) error
	Deliveries() []okidtest.Delivery
	Wait(context.Context) error
	StartCalls() int
	FetchCalls() int
	FailStart(int, http.Handler)
	FailFetch(int, http.Handler)
	Begin(id string) error
}

// fakeOf is one of the two, with what differs.
type fakeOf struct {
	name     string
	make     func(okidtest.HostedConfig) (hosted, error)
	provider func(hosted, *http.Client) (identity.Provider, error)
	complete func(f hosted, id, word string, found map[string]any) error
	words    map[string]identity.Status // the providers', for verdicts
	birth    string                     // the name of the date of birth
}

var fakes = []fakeOf{
	{
		name: "portal",
		make: func(c okidtest.HostedConfig) (hosted, error) { return okidtest.NewPortal(c) },
		provider: func(f hosted, c *http.Client) (identity.Provider, error) {
			cfg := f.(*okidtest.Portal).ProviderConfig()
			cfg.HTTPClient = c
			return portal.New(cfg)
		},
		complete: func(f hosted, id, word string, found map[string]any) error {
			return f.(*okidtest.Portal).Complete(id, word, found)
		},
		words: map[string]identity.Status{
			portal.StatusVerified: identity.Verified, portal.StatusNeedsManualReview: identity.Review, portal.StatusNeedsTemplate: identity.Review,
			portal.StatusRejected: identity.Failed, portal.StatusJunk: identity.Failed, portal.StatusFailed: identity.Failed,
			portal.StatusDocumentExpired: identity.Failed, portal.StatusExpired: identity.Expired, portal.StatusValidating: identity.Started, "approved": "",
		},
		birth: "date_of_birth",
	},
	{
		name: "direct",
		make: func(c okidtest.HostedConfig) (hosted, error) { return okidtest.NewDirect(c) },
		provider: func(f hosted, c *http.Client) (identity.Provider, error) {
			cfg := f.(*okidtest.Direct).ProviderConfig()
			cfg.HTTPClient = c
			return direct.New(cfg)
		},
		complete: func(f hosted, id, word string, found map[string]any) error {
			return f.(*okidtest.Direct).Complete(id, okidtest.Verdict(word), found)
		},
		words: map[string]identity.Status{
			"approved": identity.Verified, "needs-review": identity.Review, "declined": identity.Failed, "error": identity.Failed, "verified": "",
		},
		birth: "Date of birth",
	},
}

// eachFake runs a test with both fakes, in both forms of their answers.
func eachFake(t *testing.T, test func(t *testing.T, of fakeOf, fake hosted, p identity.Provider)) {
	for _, of := range fakes {
		for _, other := range []bool{false, true} {
			t.Run(fmt.Sprint(of.name, other), func(t *testing.T) {
				fake, err := of.make(okidtest.HostedConfig{OtherForm: other, RetryDelays: []time.Duration{}})
				require.NoError(t, err)
				require.NoError(t, fake.Start())
				t.Cleanup(fake.Close)
				p, err := of.provider(fake, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
				require.NoError(t, err)
				test(t, of, fake, p)
			})
		}
	}
}

func beginAt(t *testing.T, p identity.Provider, reference string) (identity.Session, string) {
	t.Helper()
	s, err := p.Start(t.Context(), identity.StartRequest{
		Reference: reference, Metadata: map[string]string{"plan": "gold"}, SuccessURL: "https://app.example/s?attempt=" + reference, ErrorURL: "https://app.example/e",
	})
	require.NoError(t, err)
	return s, p.SDK(s, "nl").URL
}

// A verification from its start over every word to a reviewer's change, as the kit's providers see it.
func TestHostedVerification(t *testing.T) {
	eachFake(t, func(t *testing.T, of fakeOf, fake hosted, p identity.Provider) {
		s, _ := beginAt(t, p, "r-1")
		id := fake.IDs()[0]
		n, err := p.Fetch(t.Context(), s.ID)
		if of.name == "direct" {
			require.ErrorIs(t, err, identity.ErrNotFound, "nothing was handed in")
		} else {
			require.NoError(t, err)
			assert.Equal(t, identity.Created, n.Verification.Status)
		}
		require.NoError(t, fake.Begin(id))
		require.NoError(t, fake.Begin(id))
		n, err = p.Fetch(t.Context(), s.ID)
		require.NoError(t, err)
		assert.Equal(t, identity.Started, n.Verification.Status)
		for word, want := range of.words {
			require.NoError(t, of.complete(fake, id, word, nil))
			n, err = p.Fetch(t.Context(), s.ID)
			require.NoError(t, err)
			assert.Equal(t, want, n.Verification.Status, word)
			assert.Equal(t, "r-1", n.Reference)
			assert.Equal(t, "gold", n.Metadata["plan"])
			if want == identity.Verified {
				v := n.Verification
				assert.Equal(t, "Jane Roe Z000001 1990-02-03 NLD", strings.Join([]string{v.FirstName, v.LastName, v.DocumentNumber, v.DateOfBirth.String(), v.Nationality}, " "))
				assert.True(t, v.DocumentExpiry.Exists())
			}
		}
		for word, want := range of.words {
			if want == identity.Verified {
				require.NoError(t, of.complete(fake, id, word, map[string]any{of.birth: "soon"}))
				n, err = p.Fetch(t.Context(), s.ID)
				require.NoError(t, err)
				assert.Equal(t, identity.UnreadableDate, n.Verification.DateOfBirth)
				assert.ErrorIs(t, of.complete(fake, id, word, map[string]any{"x": func() {}}), okidtest.ErrConfig)
			}
		}
		assert.ErrorIs(t, fake.Begin("nobody"), okidtest.ErrNotFound)
		assert.ErrorIs(t, of.complete(fake, "nobody", "verified", nil), okidtest.ErrNotFound)
	})
}

func TestHostedFaults(t *testing.T) {
	eachFake(t, func(t *testing.T, _ fakeOf, fake hosted, p identity.Provider) {
		s, _ := beginAt(t, p, "r-1")
		require.NoError(t, fake.Begin(fake.IDs()[0]))
		ask := func() error { _, err := p.Fetch(t.Context(), s.ID); return err }
		fake.FailFetch(1, okidtest.Status(503))
		require.ErrorIs(t, ask(), identity.ErrUnavailable)
		fake.FailFetch(1, okidtest.TooManyRequests(7))
		var limited *identity.RateLimitError
		require.ErrorAs(t, ask(), &limited)
		fake.FailFetch(1, okidtest.Garbage())
		require.ErrorIs(t, ask(), identity.ErrRefused)
		fake.FailFetch(1, okidtest.Huge())
		require.Error(t, ask())
		require.NoError(t, ask())
		assert.Equal(t, 5, fake.FetchCalls())
		fake.FailStart(1, http.RedirectHandler("https://elsewhere.example/", http.StatusFound))
		_, err := p.Start(t.Context(), identity.StartRequest{Reference: "r-2"})
		require.ErrorIs(t, err, identity.ErrRefused)
		assert.Equal(t, 2, fake.StartCalls())
		assert.NotContains(t, fmt.Sprintf("%v %+v %s", fake, fake, fake), "simulated")
	})
}

// The key is asked for, and errors have the provider's form.
func TestHostedKey(t *testing.T) {
	for _, of := range fakes {
		fake, err := of.make(okidtest.HostedConfig{APIKey: "another"})
		require.NoError(t, err)
		for _, path := range []string{"/api/generate-verification", "/api/v1/tokenized-url?name=x"} {
			w := httptest.NewRecorder()
			fake.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader("{}")))
			assert.Contains(t, []int{401, 404}, w.Code, path)
		}
		assert.Empty(t, fake.IDs())
		fake.Close()
	}
}

// Webhooks meet the same chaos as those of the first two fakes.
func TestHostedWebhooks(t *testing.T) {
	eachFake(t, func(t *testing.T, of fakeOf, fake hosted, p identity.Provider) {
		var mu sync.Mutex
		var bodies []string
		app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			bodies = append(bodies, string(body))
			hint, err := p.(identity.HintReader).ReadHint(r.Header, body)
			assert.NoError(t, err)
			assert.Equal(t, "r-1", hint.Reference)
		}))
		defer app.Close()
		beginAt(t, p, "r-1")
		id := fake.IDs()[0]
		require.NoError(t, fake.Begin(id))
		require.NoError(t, fake.Wait(t.Context()))
		assert.Empty(t, fake.Deliveries(), "nobody entered a URL")

		require.ErrorIs(t, fake.SetWebhookURL("javascript:x"), okidtest.ErrConfig)
		require.NoError(t, fake.SetWebhookURL(app.URL))
		require.NoError(t, fake.SetChaos(okidtest.Chaos{Copies: 2, Rewrite: true}))
		require.NoError(t, of.complete(fake, id, "x", nil))
		require.NoError(t, fake.Wait(t.Context()))
		require.NoError(t, fake.SetChaos(okidtest.Chaos{Drop: true, Only: []string{"y"}}))
		require.NoError(t, of.complete(fake, id, "y", nil))
		require.NoError(t, fake.Wait(t.Context()))
		assert.Len(t, bodies, 3)
		assert.NotEqual(t, bodies[0], bodies[1])
		assert.Equal(t, okidtest.Dropped, fake.Deliveries()[3].State)
	})
}

// GetID's webhooks can be authenticated, with the fake's own scheme.
func TestDirectSigning(t *testing.T) {
	fake, err := okidtest.NewDirect(okidtest.HostedConfig{RetryDelays: []time.Duration{}})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	defer fake.Close()
	p, err := direct.New(fake.ProviderConfig())
	require.NoError(t, err)
	signed, err := p.Signed(fake.Signing())
	require.NoError(t, err)
	var errs []error
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, err := signed.VerifyWebhook(r.Header, body, time.Now())
		errs = append(errs, err)
	}))
	defer app.Close()
	require.NoError(t, fake.SetWebhookURL(app.URL))
	_, err = p.Start(t.Context(), identity.StartRequest{Reference: "r-1"})
	require.NoError(t, err)
	send := func(c okidtest.Chaos) {
		require.NoError(t, fake.SetChaos(c))
		require.NoError(t, fake.Complete("r-1", okidtest.Approved, nil))
		require.NoError(t, fake.Wait(t.Context()))
	}
	send(okidtest.Chaos{})
	send(okidtest.Chaos{WrongKey: true})
	send(okidtest.Chaos{Skew: -time.Hour})
	require.Len(t, errs, 3)
	assert.NoError(t, errs[0])
	assert.ErrorIs(t, errs[1], identity.ErrSignature)
	assert.ErrorIs(t, errs[2], identity.ErrStale)

	require.NoError(t, p.Erase(t.Context(), "r-1"))
	assert.True(t, fake.Erased("r-1"))
	_, err = p.Fetch(t.Context(), "r-1")
	assert.ErrorIs(t, err, identity.ErrNotFound)
}

// The pages on which a person picks the outcome, without a script.
func TestHostedPages(t *testing.T) {
	eachFake(t, func(t *testing.T, of fakeOf, fake hosted, p identity.Provider) {
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		defer client.CloseIdleConnections()
		get := func(u string) (int, string) {
			resp, err := client.Get(u)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			return resp.StatusCode, string(body)
		}
		choose := func(u, choice string) (int, string) {
			resp, err := client.PostForm(u, url.Values{"choice": {choice}})
			require.NoError(t, err)
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusSeeOther {
				return resp.StatusCode, ""
			}
			next, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
			require.NoError(t, err)
			return get(next.String())
		}
		good := map[string]string{"portal": "verified", "direct": "approved"}[of.name]
		s, link := beginAt(t, p, "r-1")
		code, body := get(link)
		assert.Equal(t, 200, code)
		assert.Contains(t, body, `value="`+good+`"`)
		base, err := url.Parse(link)
		require.NoError(t, err)
		for _, file := range []string{"flow.css", "flow.js"} { // as the page names them
			named, err := base.Parse(body[strings.LastIndex(body[:strings.Index(body, file)], `"`)+1 : strings.Index(body, file)+len(file)])
			require.NoError(t, err)
			code, _ := get(named.String())
			assert.Equal(t, 200, code, named)
		}
		code, body = choose(link, "leave")
		assert.Equal(t, 200, code)
		assert.Contains(t, body, "You left")
		code, _ = choose(link, "")
		assert.Equal(t, 400, code)
		code, body = choose(link, "slow")
		assert.Equal(t, 200, code)
		assert.Contains(t, body, `href="https://app.example/s?attempt=r-1"`)
		assert.Contains(t, body, "data-message")
		_, _ = choose(link, "x") // too late
		for range 3 {
			n, err := p.Fetch(t.Context(), s.ID)
			require.NoError(t, err)
			assert.Equal(t, identity.Started, n.Verification.Status)
		}
		n, err := p.Fetch(t.Context(), s.ID)
		require.NoError(t, err)
		assert.Equal(t, identity.Verified, n.Verification.Status)
		code, _ = get(strings.Replace(link, "=", "=x", 1))
		assert.Equal(t, 404, code)
	})
}

func TestHostedLateLink(t *testing.T) {
	for _, of := range fakes {
		now := time.Now()
		fake, err := of.make(okidtest.HostedConfig{Clock: func() time.Time { return now }, SessionTTL: time.Minute})
		require.NoError(t, err)
		require.NoError(t, fake.Start())
		p, err := of.provider(fake, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
		require.NoError(t, err)
		_, link := beginAt(t, p, "r-1")
		now = now.Add(time.Hour)
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, httptest.NewRequest("GET", strings.TrimPrefix(link, fake.URL()), nil))
		assert.Equal(t, 410, w.Code)
		assert.ErrorIs(t, fake.Begin(fake.IDs()[0]), okidtest.ErrExpired)
		fake.Close()
	}
}

func TestHostedConfig(t *testing.T) {
	for _, of := range fakes {
		_, err := of.make(okidtest.HostedConfig{PublicURL: "x", WebhookURL: "y", SessionTTL: -1, RetryDelays: []time.Duration{-1}, Chaos: okidtest.Chaos{Copies: -1}})
		require.ErrorIs(t, err, okidtest.ErrConfig)
		for _, field := range []string{"PublicURL", "WebhookURL", "SessionTTL", "RetryDelays", "Chaos.Copies"} {
			assert.ErrorContains(t, err, field)
		}
		assert.NotPanics(t, func() {
			f, err := of.make(okidtest.HostedConfig{Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			f.Close()
			f.Close()
		})
	}
}
