package okidtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okid/portal"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

// site is an app with all four providers, as a browser meets it.
type site struct {
	t      *testing.T
	url    string
	log    *lockedBuffer
	okID   *okidtest.OKID
	portal *okidtest.Portal
	getID  *okidtest.GetID
	direct *okidtest.Direct
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// newSite starts the app and the four fakes. With signed, GetID's webhooks are authenticated.
func newSite(t *testing.T, signed bool) *site {
	s := &site{t: t, log: &lockedBuffer{}}
	server := httptest.NewUnstartedServer(nil)
	s.url = "http://" + server.Listener.Addr().String()
	hostedConfig := okidtest.HostedConfig{RetryDelays: []time.Duration{}}
	var err error
	s.okID, err = okidtest.NewOKID(okidtest.Config{})
	require.NoError(t, err)
	s.getID, err = okidtest.NewGetID(okidtest.GetIDConfig{})
	require.NoError(t, err)
	hostedConfig.WebhookURL = s.url + "/verify/webhook?provider=okidportal"
	s.portal, err = okidtest.NewPortal(hostedConfig)
	require.NoError(t, err)
	hostedConfig.WebhookURL = s.url + "/verify/webhook?provider=getiddirect"
	s.direct, err = okidtest.NewDirect(hostedConfig)
	require.NoError(t, err)
	for _, fake := range []interface {
		Start() error
		Close()
	}{s.okID, s.getID, s.portal, s.direct} {
		require.NoError(t, fake.Start())
		t.Cleanup(fake.Close)
	}

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	okidConfig := s.okID.ProviderConfig()
	okidConfig.HTTPClient = client
	first, err := okid.New(okidConfig)
	require.NoError(t, err)
	second, err := getid.New(getid.Config{APIKey: okidtest.DefaultGetIDKey, BaseURL: s.getID.URL(), JWKSURL: s.getID.JWKSURL(), ScriptURL: s.getID.ScriptURL(), HTTPClient: client})
	require.NoError(t, err)
	portalConfig := s.portal.ProviderConfig()
	portalConfig.HTTPClient = client
	third, err := portal.New(portalConfig)
	require.NoError(t, err)
	directConfig := s.direct.ProviderConfig()
	directConfig.HTTPClient = client
	direct, err := direct.New(directConfig)
	require.NoError(t, err)
	var fourth identity.Provider = direct
	if signed {
		fourth, err = direct.Signed(s.direct.Signing())
		require.NoError(t, err)
	}
	kit, err := okidhttp.New(okidhttp.Config{
		Providers: []identity.Provider{first, second, third, fourth},
		Store:     memstore.New(),
		PublicURL: s.url + "/verify",
		Keys:      [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject: func(r *http.Request) (string, error) {
			c, err := r.Cookie("user")
			if err != nil {
				return "", okidhttp.ErrAnonymous
			}
			return c.Value, nil
		},
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/verify/", kit)
	mux.Handle("GET /cellar", kit.RequireVerified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		grant, _ := okidhttp.GrantFrom(r.Context())
		_, _ = io.WriteString(w, grant.Provider)
	})))
	server.Config.Handler = mux
	server.Start()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- kit.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ran)
		server.Close()
	})
	return s
}

// browser is a client of a user's.
func (s *site) browser(user string) *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	u, err := url.Parse(s.url)
	require.NoError(s.t, err)
	jar.SetCookies(u, []*http.Cookie{{Name: "user", Value: user}})
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *site) do(client *http.Client, method, path string, h http.Header, body []byte) (*http.Response, []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(body))
	require.NoError(s.t, err)
	for name, values := range h {
		r.Header[name] = values
	}
	resp, err := client.Do(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp, answer
}

var accept = http.Header{"Accept": {"application/json"}}

// attempt is what the app answers to a start.
type attempt struct {
	Attempt, Provider string
	ProcessToken      string `json:"process_token"`
	PageURL           string `json:"page_url"`
	SDK               struct{ URL string }
}

func (s *site) start(client *http.Client, provider string) (a attempt) {
	s.t.Helper()
	resp, body := s.do(client, http.MethodPost, "/verify/start?provider="+provider, accept, nil)
	require.Equal(s.t, http.StatusCreated, resp.StatusCode, string(body))
	require.NoError(s.t, json.Unmarshal(body, &a))
	return a
}

// cellar is who verified the user, or "" if nobody did.
func (s *site) cellar(client *http.Client) string {
	s.t.Helper()
	resp, body := s.do(client, http.MethodGet, "/cellar", accept, nil)
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// Each of the four lets a user be verified, in one app.
func TestFourProviders(t *testing.T) {
	for _, signed := range []bool{false, true} {
		s := newSite(t, signed)
		alice, bob, carol, dave := s.browser("alice"), s.browser("bob"), s.browser("carol"), s.browser("dave")
		start := s.url + "/verify/start?provider="
		require.NoError(t, s.okID.VerifyUser(t.Context(), alice, start+"okid", okidtest.Passport(time.Now())))
		require.NoError(t, s.portal.VerifyUser(t.Context(), bob, start+"okidportal", nil))
		require.NoError(t, s.direct.VerifyUser(t.Context(), carol, start+"getiddirect", nil))
		a := s.start(dave, "getid")
		id, _ := s.getID.Begin()
		require.NoError(t, s.getID.Complete(id, okidtest.Approved, nil))
		claim, err := s.getID.Claim(id, okidtest.Token{})
		require.NoError(t, err)
		resp, body := s.do(dave, http.MethodPost, "/verify/claim?provider=getid&attempt="+a.Attempt, http.Header{"Content-Type": {"application/json"}, "Accept": accept["Accept"]}, claim)
		require.Equal(t, http.StatusOK, resp.StatusCode, string(body))

		assert.Equal(t, "okid", s.cellar(alice))
		assert.Equal(t, "okidportal", s.cellar(bob))
		assert.Equal(t, "getiddirect", s.cellar(carol))
		assert.Equal(t, "getid", s.cellar(dave))
		assert.Error(t, s.portal.VerifyUser(t.Context(), alice, start+"okid", nil), "she is verified already")
	}
}

// No provider can settle an attempt of another's, whatever it says and whoever signed it.
func TestProvidersKeepApart(t *testing.T) {
	for _, signed := range []bool{false, true} {
		s := newSite(t, signed)
		user := s.browser("alice")
		victims := map[string]attempt{}
		for _, provider := range []string{"okid", "okidportal", "getiddirect", "getid"} {
			victims[provider] = s.start(user, provider)
		}
		// Verdicts that are real, of somebody who is old enough, at each provider.
		mallory := s.browser("mallory")
		for _, p := range []string{"okidportal", "getiddirect"} {
			s.start(mallory, p)
		}
		id, _ := s.getID.Begin()
		require.NoError(t, s.getID.Complete(id, okidtest.Approved, nil))

		for provider, victim := range victims {
			if provider != "okid" {
				found := okidtest.Passport(time.Now())
				found.Metadata = map[string]string{okid.MetadataReference: victim.Attempt}
				h, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, time.Now(), okid.WebhookBody{Event: okid.EventCompleted, Data: found})
				s.do(user, http.MethodPost, "/verify/webhook?provider=okid", h, body)
				s.do(user, http.MethodPost, "/verify/webhook?provider="+provider, h, body)
			}
			for _, to := range []string{"okid", "okidportal", "getiddirect", "getid"} {
				for _, body := range []string{
					`{"verification_id":"` + s.portal.IDs()[1] + `","status":"verified","extra_data":{"reference":"` + victim.Attempt + `"}}`,
					`{"id":"645cae276a9ba02a2daa09ff","metadata":{"externalId":"` + victim.Attempt + `"},"processingState":"done","overallResult":{"status":"approved"}}`,
				} {
					s.do(user, http.MethodPost, "/verify/webhook?provider="+to, nil, []byte(body))
				}
			}
			claim, err := s.getID.Claim(id, okidtest.Token{})
			require.NoError(t, err)
			// It is Mallory's own, so it counts for her, whatever attempt she names.
			s.do(mallory, http.MethodPost, "/verify/claim?provider=getid&attempt="+victim.Attempt, http.Header{"Content-Type": {"application/json"}, "Accept": accept["Accept"]}, claim)
		}
		// An answer of the portal's that is about another attempt, with the id that was asked for.
		s.portal.FailFetch(1, okidtest.Answer("application/json", `{"verification_id":"`+s.portal.IDs()[0]+`","status":"verified","extra_data":{"reference":"`+victims["okid"].Attempt+`"}}`))
		s.direct.FailFetch(1, okidtest.Answer("application/json", `{"id":"x","metadata":{"externalId":"`+s.direct.IDs()[1]+`"},"processingState":"done","overallResult":{"status":"approved"}}`))
		for _, p := range []string{"okidportal", "getiddirect"} {
			s.do(user, http.MethodGet, "/verify/success?attempt="+victims[p].Attempt, accept, nil)
		}
		for provider, victim := range victims {
			resp, body := s.do(user, http.MethodGet, "/verify/status?attempt="+victim.Attempt, accept, nil)
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.NotContains(t, string(body), "verified", provider)
		}
		assert.Empty(t, s.cellar(user))
		assert.Equal(t, "getid", s.cellar(mallory))
	}
}

// A thousand hints about one attempt are no more than one question in two seconds, and what the
// provider then says counts.
func TestHintFlood(t *testing.T) {
	s := newSite(t, false)
	user := s.browser("alice")
	a := s.start(user, "okidportal")
	id := s.portal.IDs()[0]
	require.NoError(t, s.portal.SetWebhookURL(""))
	require.NoError(t, s.portal.Begin(id))
	hint := []byte(`{"status":"verified","extra_data":{"reference":"` + a.Attempt + `"}}`)
	began, sent := time.Now(), 0
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			for range 125 {
				resp, _ := s.do(user, http.MethodPost, "/verify/webhook?provider=okidportal", nil, hint)
				assert.Equal(t, http.StatusOK, resp.StatusCode)
				mu.Lock()
				sent++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	assert.Equal(t, 1000, sent)
	assert.LessOrEqual(t, s.portal.FetchCalls(), 1+int(took/(2*time.Second)))
	assert.Empty(t, s.cellar(user), "a hint is no verdict")

	require.NoError(t, s.portal.Complete(id, portal.StatusVerified, nil))
	s.do(user, http.MethodPost, "/verify/webhook?provider=okidportal", nil, hint)
	assert.Eventually(t, func() bool { return s.cellar(user) == "okidportal" }, 20*time.Second, 50*time.Millisecond)
	for _, secret := range []string{okidtest.DefaultPortalKey, id, "Jane"} {
		assert.NotContains(t, s.log.String(), secret)
	}
}

// Links are secrets of a user's: they are in no log, and no key is in a link.
func TestLinksAreSecrets(t *testing.T) {
	s := newSite(t, false)
	for _, provider := range []string{"okidportal", "getiddirect"} {
		user := s.browser("user of " + provider)
		a := s.start(user, provider)
		resp, _ := s.do(user, http.MethodGet, strings.TrimPrefix(a.PageURL, s.url), http.Header{"Accept": {"text/html"}}, nil)
		assert.Equal(t, http.StatusSeeOther, resp.StatusCode)
		assert.Equal(t, "no-referrer", resp.Header.Get("Referrer-Policy"))
		link := resp.Header.Get("Location")
		assert.Equal(t, a.SDK.URL, link)
		assert.Empty(t, a.ProcessToken)
		for _, key := range []string{okidtest.DefaultPortalKey, okidtest.DefaultDirectKey} {
			assert.NotContains(t, link, key)
		}
		u, err := url.Parse(link)
		require.NoError(t, err)
		for _, values := range u.Query() {
			assert.NotContains(t, s.log.String(), values[0])
		}
		resp, _ = s.do(s.browser("mallory"), http.MethodGet, strings.TrimPrefix(a.PageURL, s.url), http.Header{"Accept": {"text/html"}}, nil)
		assert.Equal(t, http.StatusNotFound, resp.StatusCode, "the link is the attempt's subject's alone")
	}
}
