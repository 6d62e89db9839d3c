package okid_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okid"
)

const (
	apiKey = "canary-api-key"
	secret = "canary-webhook-4b1d7e2f9a"
)

// at is when everything in these tests happens.
var at = time.Date(2025, 6, 30, 10, 18, 0, 0, time.UTC)

func newProvider(t testing.TB, change ...func(*okid.Config)) *okid.Provider {
	t.Helper()
	c := okid.Config{APIKey: apiKey, WebhookSecrets: []string{secret}}
	for _, f := range change {
		f(&c)
	}
	p, err := okid.New(c)
	require.NoError(t, err)
	return p
}

// sum is the HMAC-SHA256 of content.
func sum(key, content string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(content))
	return m.Sum(nil)
}

// header is that of a webhook.
func header(signature, timestamp string) http.Header {
	h := http.Header{}
	h.Set(okid.SignatureHeader, signature)
	h.Set(okid.TimestampHeader, timestamp)
	return h
}

// signed is the header of a webhook that is sent at the usual time and signed in
// the usual way.
func signed(body string) http.Header {
	return header(hex.EncodeToString(sum(secret, body)), strconv.FormatInt(at.Unix(), 10))
}
