package getid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
)

func TestNewRefuses(t *testing.T) {
	type config = getid.Config
	base := func(url string) func(*config) { return func(c *config) { c.BaseURL = url } }
	keys := func(keys ...getid.Key) func(*config) { return func(c *config) { c.Keys = keys } }
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	good := getid.Key{ID: "a", PublicKey: &keyPair(0).PublicKey}
	for name, tc := range map[string]struct {
		change func(*config)
		field  string
	}{
		"API key empty":                {func(c *config) { c.APIKey = "" }, "APIKey"},
		"API key that splits a header": {func(c *config) { c.APIKey = "canary\r\nX: y" }, "APIKey"},
		"header that is two":           {func(c *config) { c.APIKeyHeader = "X-Canary: a\r\nB" }, "APIKeyHeader"},
		"header with a space":          {func(c *config) { c.APIKeyHeader = "X canary" }, "APIKeyHeader"},
		"base URL http":                {base("http://canary.test"), "BaseURL"},
		"base URL with query":          {base("https://getid.test?canary"), "BaseURL"},
		"JWKS URL http":                {func(c *config) { c.JWKSURL = "http://canary.test/certs" }, "JWKSURL"},
		"JWKS URL and keys":            {func(c *config) { c.JWKSURL, c.Keys = jwksURL, []getid.Key{good} }, "JWKSURL"},
		"script URL http":              {func(c *config) { c.ScriptURL = "http://canary.test/x.js" }, "ScriptURL"},
		"script URL as data":           {func(c *config) { c.ScriptURL = "data:text/javascript,canary" }, "ScriptURL"},
		"key missing":                  {keys(getid.Key{}), "Keys"},
		"key on another curve":         {keys(getid.Key{PublicKey: &p256.PublicKey}), "Keys"},
		"two keys with one ID":         {keys(good, good), "Keys"},
		"11 keys":                      {keys(make([]getid.Key, 11)...), "Keys"},
		"session time negative":        {func(c *config) { c.SessionTime = -1 }, "SessionTime"},
		"timeout negative":             {func(c *config) { c.Timeout = -1 }, "Timeout"},
		"verifications negative":       {func(c *config) { c.MaxVerifications = -1 }, "MaxVerifications"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config{APIKey: apiKey}
			tc.change(&c)
			p, err := getid.New(c)
			require.ErrorContains(t, err, "getid: "+tc.field+" ")
			assert.Nil(t, p)
			assert.NotContains(t, err.Error(), "canary")
			assert.NotContains(t, err.Error(), "\n", "one problem, one line")
		})
	}
}

func TestNewReportsEverything(t *testing.T) {
	_, err := getid.New(getid.Config{
		APIKeyHeader: "canary canary", BaseURL: "http://canary.test", JWKSURL: "canary", Keys: make([]getid.Key, 1), ScriptURL: "canary",
		SessionTime: -1, Timeout: -1, MaxVerifications: -1,
	})
	require.Error(t, err)
	for _, field := range []string{"APIKey", "APIKeyHeader", "BaseURL", "JWKSURL", "Keys", "ScriptURL", "SessionTime", "Timeout", "MaxVerifications"} {
		assert.ErrorContains(t, err, "getid: "+field+" ")
	}
	assert.NotContains(t, err.Error(), "canary")
}

func TestNewAccepts(t *testing.T) {
	_, err := getid.New(getid.Config{APIKey: "k"})
	require.NoError(t, err, "the API key is all that is required")
	for _, url := range []string{"https://getid.test", "https://getid.test:8443/v2/", "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:8080/fake"} {
		_, err := getid.New(getid.Config{APIKey: "k", BaseURL: url, JWKSURL: url + "?live=1", ScriptURL: url + "?a=b"})
		assert.NoError(t, err, url)
	}
	keys := []getid.Key{{PublicKey: &keyPair(0).PublicKey}, {PublicKey: &keyPair(1).PublicKey}, {ID: strings.Repeat("k", 9), PublicKey: &keyPair(2).PublicKey}}
	p, err := getid.New(getid.Config{APIKey: "k", Keys: keys})
	require.NoError(t, err)
	keys[0] = getid.Key{}
	_, err = p.VerifyClaim(t.Context(), claimOf(genuine()))
	require.NoError(t, err, "the caller's list is not ours")
}
