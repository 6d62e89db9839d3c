package okidhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"log/slog"
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
	"github.com/okidkit/okidkit/memstore"
)

func goodConfig() Config {
	return Config{
		Providers: []identity.Provider{&fakeProvider{name: "fake"}},
		Store:     memstore.New(),
		PublicURL: "https://app.example/verify",
		Keys:      [][]byte{testKey(1)},
		Subject:   func(*http.Request) (string, error) { return "", nil },
	}
}

func executed() *template.Template {
	t := template.Must(template.New("message.html").Parse("hello"))
	_ = t.Execute(io.Discard, nil)
	return t
}

func TestNewRefuses(t *testing.T) {
	_, err := New(goodConfig())
	require.NoError(t, err)
	named := func(name string) identity.Provider { return &fakeProvider{name: name} }
	for name, tt := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no provider":          {func(c *Config) { c.Providers = nil }, "Providers is empty"},
		"nil provider":         {func(c *Config) { c.Providers = []identity.Provider{nil} }, "Providers[0] is nil"},
		"provider's name":      {func(c *Config) { c.Providers = []identity.Provider{named("O K")} }, "Providers[0] has a name"},
		"provider without one": {func(c *Config) { c.Providers = []identity.Provider{named("")} }, "Providers[0] has a name"},
		"provider twice":       {func(c *Config) { c.Providers = []identity.Provider{named("a"), named("a")} }, `"a" twice`},
		"no store":             {func(c *Config) { c.Store = nil }, "Store is nil"},
		"no subject":           {func(c *Config) { c.Subject = nil }, "Subject is nil"},
		"no keys":              {func(c *Config) { c.Keys = nil }, "Keys is empty"},
		"short key":            {func(c *Config) { c.Keys = [][]byte{testKey(1)[:31]} }, "Keys[0] has 31 bytes"},
		"long key":             {func(c *Config) { c.Keys = [][]byte{testKey(1), append(testKey(2), 0)} }, "Keys[1] has 33 bytes"},
		"unset key":            {func(c *Config) { c.Keys = [][]byte{nil} }, "Keys[0] is empty: is the variable set"},
		"zero key":             {func(c *Config) { c.Keys = [][]byte{make([]byte, 32)} }, "Keys[0] is not random"},
		"typed key":            {func(c *Config) { c.Keys = [][]byte{[]byte(strings.Repeat("changeme", 4))} }, "Keys[0] is not random"},
		"key twice":            {func(c *Config) { c.Keys = [][]byte{testKey(1), testKey(1)} }, "Keys[1] stands there twice"},
		"no URL":               {func(c *Config) { c.PublicURL = "" }, "PublicURL is empty"},
		"http URL":             {func(c *Config) { c.PublicURL = "http://app.example/verify" }, "PublicURL must be https"},
		"http to an address":   {func(c *Config) { c.PublicURL = "http://10.0.0.1/verify" }, "PublicURL must be https"},
		"looks like loopback":  {func(c *Config) { c.PublicURL = "http://127.0.0.1.example/verify" }, "PublicURL must be https"},
		"relative URL":         {func(c *Config) { c.PublicURL = "/verify" }, "PublicURL is not an absolute"},
		"URL without host":     {func(c *Config) { c.PublicURL = "https://:443/verify" }, "PublicURL is not an absolute"},
		"URL of another kind":  {func(c *Config) { c.PublicURL = "ftp://app.example" }, "PublicURL is not an absolute"},
		"URL with a query":     {func(c *Config) { c.PublicURL = "https://app.example/?x=1" }, "PublicURL must have no"},
		"URL with a fragment":  {func(c *Config) { c.PublicURL = "https://app.example/#x" }, "PublicURL must have no"},
		"URL with a user":      {func(c *Config) { c.PublicURL = "https://u:p@app.example" }, "PublicURL must have no"},
		"URL with dots":        {func(c *Config) { c.PublicURL = "https://app.example/a/../b" }, "PublicURL has a path"},
		"URL with two slashes": {func(c *Config) { c.PublicURL = "https://app.example//verify" }, "PublicURL has a path"},
		"URL not in ASCII":     {func(c *Config) { c.PublicURL = "https://bücher.example/verify" }, "PublicURL has a host that is not ASCII"},
		"the same, escaped":    {func(c *Config) { c.PublicURL = "https://b%C3%BCcher.example/verify" }, "PublicURL has a host that is not ASCII"},
		"URL with a zone":      {func(c *Config) { c.PublicURL = "https://[fe80::1%25eth0]/verify" }, "PublicURL has a host that browsers"},
		"URL with no port":     {func(c *Config) { c.PublicURL = "https://app.example:65536/verify" }, "PublicURL has a port"},
		"unreadable URL":       {func(c *Config) { c.PublicURL = "https://app.example/%zz" }, "PublicURL cannot be read"},
		"unknown field":        {func(c *Config) { c.Keep = []identity.Field{"shoe_size"} }, "Keep[0]"},
		"age":                  {func(c *Config) { c.AgeOver = []int{18, 0} }, "AgeOver[1]"},
		"negative MaxAge":      {func(c *Config) { c.MaxAge = -1 }, "MaxAge is negative"},
		"callback timeout":     {func(c *Config) { c.CallbackTimeout = time.Hour }, "CallbackTimeout is not between"},
		"negative timeout":     {func(c *Config) { c.CallbackTimeout = -1 }, "CallbackTimeout is not between"},
		"started limit":        {func(c *Config) { c.StartedLimit = time.Second }, "StartedLimit is not between"},
		"retention":            {func(c *Config) { c.Retention = time.Hour }, "Retention is not between"},
		"unverified retention": {func(c *Config) { c.UnverifiedRetention = time.Hour }, "UnverifiedRetention is not between 100 days and 100 years"},
		"in flight":            {func(c *Config) { c.MaxInFlight = -1 }, "MaxInFlight is negative"},
		"lease":                {func(c *Config) { c.Lease = time.Millisecond }, "Lease is not between"},
		"body":                 {func(c *Config) { c.MaxBody = 1 }, "MaxBody is not between"},
		"brand's name":         {func(c *Config) { c.Brand.Name = "a\nb" }, "Brand.Name"},
		"brand's color":        {func(c *Config) { c.Brand.Color = "red;}" }, "Brand.Color"},
		"brand's logo":         {func(c *Config) { c.Brand.LogoURL = "http://app.example/logo.png" }, "Brand.LogoURL"},
		"brand's logo's host":  {func(c *Config) { c.Brand.LogoURL = "https://a;b/logo.png" }, "Brand.LogoURL"},
		"brand's privacy":      {func(c *Config) { c.Brand.PrivacyURL = "//evil.example" }, "Brand.PrivacyURL"},
		"script to return to":  {func(c *Config) { c.ReturnURLs = []string{"com.example.app:/x", "javascript:alert(1)"} }, "ReturnURLs[1] is neither"},
		"path to return to":    {func(c *Config) { c.ReturnURLs = []string{"/x"} }, "ReturnURLs[0] is neither"},
		"http to return to":    {func(c *Config) { c.ReturnURLs = []string{"http://m.example/x"} }, "ReturnURLs[0] is neither"},
		"log-in":               {func(c *Config) { c.LoginURL = "//evil.example" }, "LoginURL is neither"},
		"brand's home":         {func(c *Config) { c.Brand.HomeURL = "javascript:alert(1)" }, "Brand.HomeURL"},
		"texts' language":      {func(c *Config) { c.Texts = map[string]map[string]string{"über": nil} }, "Texts has a language"},
		"texts' text":          {func(c *Config) { c.Texts = map[string]map[string]string{"it": {"Hello": "Ciao"}} }, `Texts["it"] has a text that the kit does not have: "Hello"`},
		"pages without one":    {func(c *Config) { c.Pages = template.New("other.html") }, "Pages has none of the templates start.html"},
		"pages that fail":      {func(c *Config) { c.Pages = template.Must(template.New("sdk.html").Parse("{{.Nothing}}")) }, "Pages cannot be shown"},
		"pages in use":         {func(c *Config) { c.Pages = executed() }, "Pages has been executed"},
		"AfterSuccess":         {func(c *Config) { c.AfterSuccess = "//evil.example" }, "AfterSuccess is neither"},
		"AfterError":           {func(c *Config) { c.AfterError = "javascript:alert(1)" }, "AfterError is neither"},
	} {
		c := goodConfig()
		tt.change(&c)
		kit, err := New(c)
		assert.Nil(t, kit, name)
		assert.ErrorContains(t, err, tt.says, name)
	}
}

// Every problem is named at once, and no key is.
func TestNewNamesEveryProblem(t *testing.T) {
	_, err := New(Config{Keys: [][]byte{[]byte("hunter2")}, MaxAge: -1})
	for _, name := range []string{"Providers", "Store", "Subject", "PublicURL", "Keys[0]", "MaxAge"} {
		assert.ErrorContains(t, err, name)
	}
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestNewAcceptsLoopback(t *testing.T) {
	for _, u := range []string{"http://127.0.0.1:8080/verify", "http://[::1]:8080", "http://localhost/verify/", "http://app.localhost"} {
		c := goodConfig()
		c.PublicURL = u
		kit, err := New(c)
		if assert.NoError(t, err, u) {
			assert.Equal(t, strings.TrimSuffix(u, "/")+"/page", kit.mount.url("page"))
		}
	}
}

// However a host writes its URL, it is the one that browsers and providers see: they
// start verifications, come back, and are let out again.
func TestPublicURLAsBrowsersWriteIt(t *testing.T) {
	for written, want := range map[string]string{
		"https://app.example/verify":             "https://app.example/verify",
		"HTTPS://App.Example/Verify/":            "https://app.example/Verify",
		"https://app.example:443/verify":         "https://app.example/verify",
		"https://app.example:0443/verify":        "https://app.example/verify",
		"https://app.example:/verify":            "https://app.example/verify",
		"https://app.example:8443/verify":        "https://app.example:8443/verify",
		"https://app.example:80/verify":          "https://app.example:80/verify",
		"http://LOCALHOST:80/verify":             "http://localhost/verify",
		"http://localhost:443/verify":            "http://localhost:443/verify",
		"https://[2001:DB8:0:0::00A]:443/verify": "https://[2001:db8::a]/verify",
		"https://[2001:DB8::A]:8443/verify":      "https://[2001:db8::a]:8443/verify",
		"https://xn--BCHER-kva.example/verify":   "https://xn--bcher-kva.example/verify",
		"https://app.example/%C3%BCber/verify":   "https://app.example/%C3%BCber/verify",
		"https://app.example/über mich":          "https://app.example/%C3%BCber%20mich",
		"https://APP.example":                    "https://app.example",
		"https://192.0.2.1:443":                  "https://192.0.2.1",
	} {
		w := newWorld(t, func(c *Config) { c.PublicURL, c.AfterSuccess = written, written })
		assert.Equal(t, want+"/page", w.kit.mount.url("page"), written)
		u, err := url.Parse(want)
		require.NoError(t, err)
		origin := u.Scheme + "://" + u.Host

		r := httptest.NewRequest(http.MethodPost, "http://10.0.0.7:8080/start", nil) // behind a proxy that changes Host
		r.Header.Set("Origin", origin)
		require.Equal(t, 201, w.do(r, "alice").Code, written)
		r = httptest.NewRequest(http.MethodPost, "http://10.0.0.7:8080/start", nil)
		r.Header.Set("Origin", strings.Replace(origin, "://", "://x", 1))
		require.Equal(t, 403, w.do(r, "alice").Code, written)

		a := w.provider.starts[0]
		assert.Equal(t, want+"/webhook?provider=fake", a.CallbackURL)
		assert.Equal(t, want+"/success?attempt="+a.Reference, a.SuccessURL)
		require.Equal(t, 200, w.webhook(notice{Reference: a.Reference, ID: "v1", Status: identity.Verified}))
		assert.Equal(t, 200, w.get("alice", "/page").Code, "AfterSuccess does not lead to itself: %s", written)
		if u.Path != "" {
			assert.Equal(t, "/members", w.kit.mount.returnTo(origin+"/members"), written)
		}
	}
}

// Changing a Config after New changes nothing.
func TestNewCopiesKeys(t *testing.T) {
	c := goodConfig()
	kit, err := New(c)
	require.NoError(t, err)
	ref := newReference(kit, attempt.Address{})
	clear(c.Keys[0])
	_, err = kit.keys.OpenReference(ref)
	assert.NoError(t, err)
}

// Whatever way they are printed, what holds keys and personal data shows none.
func TestNothingPrintsSecrets(t *testing.T) {
	c := goodConfig()
	kit, err := New(c)
	require.NoError(t, err)
	e := Event{ID: "evt_1", Status: identity.Verified, Subject: "canary-subject", Attempt: "r", Verification: person,
		Metadata: map[string]string{"x": "canary-metadata"}}
	n := identity.Notice{Provider: "fake", Verification: person, Metadata: e.Metadata}
	timeless := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{} // whose digits may be those of a birthday
		}
		return a
	}}
	for name, value := range map[string]any{
		"config": c, "config pointer": &c, "kit": kit, "event": e, "event pointer": &e, "notice": n, "verification": person,
		"within a struct": struct {
			C Config
			E Event
			N identity.Notice
		}{c, e, n},
		"in a list": []Event{e},
	} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&out, verb, value)
		}
		slog.New(slog.NewTextHandler(&out, timeless)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&out, timeless)).Info("x", "value", value)
		if name != "kit" {
			data, err := json.Marshal(value)
			if err == nil {
				out.Write(data)
			}
		}
		text := strings.ToLower(out.String())
		assert.NotContains(t, text, "canary", name)
		assert.NotContains(t, text, "1990", name)
		for _, form := range []string{"%x", "%d", "%s", "%#v", "%v"} {
			key := fmt.Sprintf(form, testKey(1)[:6])
			assert.NotContains(t, text, strings.ToLower(strings.Trim(key, "[]{}")), name)
		}
	}
}

// Nor does changing its lists.
func TestNewCopiesLists(t *testing.T) {
	c := goodConfig()
	c.Keep, c.AgeOver = []identity.Field{identity.LastName}, []int{18}
	kit, err := New(c)
	require.NoError(t, err)
	c.Providers[0], c.Keep[0], c.AgeOver[0] = nil, "shoe_size", 0
	assert.NotNil(t, kit.cfg.Providers[0])
	assert.Equal(t, identity.LastName, kit.cfg.Keep[0])
	assert.Equal(t, 18, kit.cfg.AgeOver[0])
}

// hidden wraps a provider, and forgets what it can do.
type hidden struct{ identity.Provider }

// A provider that could never bring a verdict is refused, and so is one that is none.
func TestProvidersThatCannotWork(t *testing.T) {
	good := &fakeProvider{name: "fake"}
	var none *fakeProvider
	for name, tt := range map[string]struct {
		provider identity.Provider
		want     string
	}{
		"hidden":    {hidden{good}, "VerifyWebhook"},
		"typed nil": {none, "nil"},
		"nil":       {nil, "nil"},
	} {
		_, err := New(Config{
			Providers: []identity.Provider{tt.provider}, Store: memstore.New(), PublicURL: "https://app.example/verify",
			Keys: [][]byte{testKey(1)}, Subject: func(*http.Request) (string, error) { return "", nil },
		})
		assert.ErrorContains(t, err, "Providers[0]", name)
		assert.ErrorContains(t, err, tt.want, name)
	}
	var store *memstore.Store
	_, err := New(Config{Store: store})
	assert.ErrorContains(t, err, "Store is nil")
}

// renamed wraps a provider under another name, which its notices do not know.
type renamed struct{ *fakeProvider }

func (renamed) Name() string { return "other" }

func TestRenamedProvider(t *testing.T) {
	w := newWorld(t)
	w.kit = w.replica(func(c *Config) { c.Providers = []identity.Provider{renamed{w.provider}} })
	ref := w.start("alice").Attempt
	w.provider.answer(ref, "v1", identity.Verified)
	require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started}))
	w.get("alice", "/verify/success?attempt="+ref)
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, "other", w.host.last().Provider)
}

// clumsy is an Observer that panics wherever it can.
type clumsy struct{ inEnd bool }

func (c clumsy) Begin(context.Context, Operation) (context.Context, func(Result)) {
	if c.inEnd {
		return nil, func(Result) { panic("no such span") }
	}
	panic("no such span")
}

func (clumsy) Count(context.Context, Outcome) { panic("no such label") }

func (clumsy) Trace(context.Context) string { panic("no such trace") }

// An Observer that panics costs nothing but what it would have told.
func TestObserverPanics(t *testing.T) {
	for _, o := range []Observer{clumsy{}, clumsy{inEnd: true}} {
		testObserverPanics(t, o)
	}
}

func testObserverPanics(t *testing.T, o Observer) {
	w := newWorld(t, func(c *Config) { c.Observer = o })
	ref := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	w.later(time.Minute)
	assert.Equal(t, 200, w.gate("alice"))
	assert.Contains(t, w.log.String(), "Observer panicked")
}

// The log names an attempt as its pages do.
func TestSupportCodeInTheLog(t *testing.T) {
	w := newWorld(t)
	w.start("alice")
	id := w.record("alice").Attempts[0].ID
	assert.Contains(t, w.log.String(), `"attempt":"`+id.String()+`"`)
}
