package getid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
)

const (
	apiKey  = "canary-api-key"
	id      = "b2dce275031c3785ec1b7ac89983c67e1a9f"
	baseURL = "https://api.test/base"
	jwksURL = "https://keys.test/certs"
)

// at is when these tests begin.
var at = time.Date(2025, 6, 30, 10, 18, 0, 0, time.UTC)

// keyPair is the key number i, the same in all tests.
func keyPair(i int) *ecdsa.PrivateKey { return keyPairs()[i] }

var keyPairs = sync.OnceValue(func() []*ecdsa.PrivateKey {
	keys := make([]*ecdsa.PrivateKey, 11)
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader); err != nil {
			panic(err)
		}
	}
	return keys
})

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign makes a token of header and claims, with a signature that is right for
// whatever they say.
func sign(key *ecdsa.PrivateKey, header, claims string) string {
	return signContent(key, b64([]byte(header))+"."+b64([]byte(claims)))
}

func signContent(key *ecdsa.PrivateKey, content string) string {
	sum := sha512.Sum512([]byte(content))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	size := (key.Params().BitSize + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return content + "." + b64(signature)
}

// The header and claims of the vendor's sample.
const (
	header = `{"alg":"ES512","typ":"JWT"}`
	claims = `{"resultUrl":"http://localhost:3030/verifications/results/` + id + `","id":"` + id + `","iss":"regily"}`
)

// genuine is the token in the form of that sample. A signature on P-521 is slow, so
// all tests share the one.
var genuine = sync.OnceValue(func() string { return sign(keyPair(0), header, claims) })

func withKID(kid string) string { return `{"alg":"ES512","typ":"JWT","kid":"` + kid + `"}` }

// claimOf is the body that a page posts.
func claimOf(token string) []byte {
	return []byte(`{"applicationStatus":"approved","resultUrl":"https://canary.test/` + id + `","id":"` + id + `","signed":"` + token + `","data":{"status":"done"}}`)
}

// jwk is a key of a set.
func jwk(key *ecdsa.PrivateKey, kid string) map[string]any {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	size := (len(point) - 1) / 2
	m := map[string]any{"kty": "EC", "crv": key.Params().Name, "use": "sig", "alg": "ES512", "x": b64(point[1 : 1+size]), "y": b64(point[1+size:])}
	if kid != "" {
		m["kid"] = kid
	}
	return m
}

func jwks(keys ...map[string]any) string {
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// vendor is a transport at whose other end are the result API and the keys. It
// counts what is sent.
type vendor struct {
	mu               sync.Mutex
	serveKeys        func(*http.Request) (*http.Response, error)
	serveResult      func(*http.Request) (*http.Response, error)
	keys, results    atomic.Int32 // requests for them
	other            atomic.Int32 // requests that nobody should make
	keyless, keyfull atomic.Int32 // requests without and with the API key
}

func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	v.mu.Lock()
	serveKeys, serveResult := v.serveKeys, v.serveResult
	v.mu.Unlock()
	if r.Header.Get(getid.DefaultAPIKeyHeader) == apiKey {
		v.keyfull.Add(1)
	} else {
		v.keyless.Add(1)
	}
	switch u := r.URL.String(); {
	case r.Method == http.MethodGet && u == jwksURL:
		v.keys.Add(1)
		return serveKeys(r)
	case r.Method == http.MethodGet && strings.HasPrefix(u, baseURL+"/verifications/results/") && serveResult != nil:
		v.results.Add(1)
		return serveResult(r)
	}
	v.other.Add(1)
	return answer(http.StatusNotFound, ""), nil
}

func (v *vendor) setKeys(f func(*http.Request) (*http.Response, error)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.serveKeys = f
}

func (v *vendor) publish(keys ...map[string]any) { v.setKeys(always(http.StatusOK, jwks(keys...))) }

func (v *vendor) answerResult(status int, body string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.serveResult = always(status, body)
}

func always(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return answer(status, body), nil }
}

// answer is a response as a transport gives it.
func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// clock stands still until it is moved.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time            { return at.Add(time.Duration(c.past.Load())) }
func (c *clock) advance(d time.Duration)   { c.past.Add(int64(d)) }
func (c *clock) config(conf *getid.Config) { conf.Now = c.now }

// newVendor publishes keyPair(0) without a kid.
func newVendor() *vendor {
	v := &vendor{}
	v.publish(jwk(keyPair(0), ""))
	return v
}

func newProvider(t testing.TB, v *vendor, change ...func(*getid.Config)) *getid.Provider {
	t.Helper()
	c := getid.Config{APIKey: apiKey, BaseURL: baseURL, JWKSURL: jwksURL, HTTPClient: &http.Client{Transport: v}}
	new(clock).config(&c)
	for _, f := range change {
		f(&c)
	}
	p, err := getid.New(c)
	require.NoError(t, err)
	return p
}

func fixed(keys ...getid.Key) func(*getid.Config) {
	return func(c *getid.Config) { c.JWKSURL, c.Keys = "", keys }
}
