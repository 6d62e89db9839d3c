package apiclient_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/apiclient"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "has no usable host",
		"://canary":                  "is not a URL",
		"/canary":                    "has no usable host",
		"canary.test":                "has no usable host",
		"https:canary.test":          "is not a URL",
		"https:///canary":            "has no usable host",
		"https://:443":               "has no usable host",
		"http://canary.test":         "is not https",
		"http://10.0.0.1":            "is not https",
		"http://169.254.169.254":     "is not https",
		"http://localhost.canary":    "is not https",
		"http://127.0.0.1.canary":    "is not https",
		"http://[::2]":               "is not https",
		"file://localhost/canary":    "is not https",
		"ftp://127.0.0.1/canary":     "is not https",
		"javascript:canary":          "is not a URL",
		"data:text/javascript,x":     "is not a URL",
		"https://canary@host.test":   "has user information",
		"https://a:canary@host.test": "has user information",
		"https://host.test?":         "has a query",
		"https://host.test#canary":   "has a fragment",
		"https://host.test#":         "has a fragment",
		"https://host.test;canary":   "has no usable host",
		"https://host.test,canary":   "has no usable host",
		"https://höst.test":          "has no usable host",
		"https://host.test:canary":   "is not a URL",
		"https://host.test/%zz":      "is not a URL",
		"https://host.test/\x00":     "is not a URL",
	} {
		_, err := apiclient.ParseURL(text)
		assert.EqualError(t, err, want, text)
		_, err = apiclient.ParseBaseURL(text)
		assert.EqualError(t, err, want, text)
	}
}

func TestParseURLAccepts(t *testing.T) {
	for text, base := range map[string]string{
		"https://host.test":             "https://host.test",
		"https://host.test/":            "https://host.test",
		"https://host.test:8443/v2//":   "https://host.test:8443/v2",
		"https://host.test/a%2Fb/":      "https://host.test/a%2Fb",
		"https://under_score.host.test": "https://under_score.host.test",
		"https://[2001:db8::1]:1":       "https://[2001:db8::1]:1",
		"http://localhost:8080":         "http://localhost:8080",
		"http://LOCALHOST":              "http://LOCALHOST",
		"http://127.0.0.1:1":            "http://127.0.0.1:1",
		"http://127.8.9.10":             "http://127.8.9.10",
		"http://[::1]:8080/fake":        "http://[::1]:8080/fake",
	} {
		u, err := apiclient.ParseURL(text)
		require.NoError(t, err, text)
		assert.Equal(t, text, u.String())
		u, err = apiclient.ParseBaseURL(text)
		require.NoError(t, err, text)
		assert.Equal(t, base, u.String())
	}
	u, err := apiclient.ParseURL("HTTPS://host.test/sdk.js?v=1")
	require.NoError(t, err)
	assert.Equal(t, "https://host.test/sdk.js?v=1", u.String())
	_, err = apiclient.ParseBaseURL("https://host.test?canary")
	assert.EqualError(t, err, "has a query")
}

func TestCheckKey(t *testing.T) {
	for key, want := range map[string]string{
		"":               "is empty",
		" \t\n":          "is empty",
		"canary\n":       "begins or ends with white space",
		" canary":        "begins or ends with white space",
		"canary\r\nX: y": "contains control characters",
		"can\x00ary":     "contains control characters",
		"can\x7fary":     "contains control characters",
		"can\u0085ary":   "contains control characters",
		"canary\xff":     "contains control characters",
	} {
		assert.EqualError(t, apiclient.CheckKey(key), want, "%q", key)
	}
	for _, key := range []string{"k", "sk live 1", "Bearer abc", "eyJhbGciOi.J9+/=", "ключ"} {
		assert.NoError(t, apiclient.CheckKey(key), "%q", key)
	}
}
