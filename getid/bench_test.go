package getid

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

const benchID = "b2dce275031c3785ec1b7ac89983c67e1a9f"

func benchToken(tb testing.TB, key *ecdsa.PrivateKey) string {
	token, err := jwt.NewWithClaims(jwt.SigningMethodES512, jwt.MapClaims{
		"resultUrl": "http://localhost:3030/verifications/results/" + benchID,
		"id":        benchID,
		"iss":       DefaultIssuer,
	}).SignedString(key)
	require.NoError(tb, err)
	return token
}

// benchClaim is a claim of usual length.
func benchClaim(tb testing.TB, key *ecdsa.PrivateKey) []byte {
	return fmt.Appendf(nil, `{"applicationStatus":"approved","resultUrl":"https://ocr.regily.com/verifications/results/%s","id":%[1]q,"signed":%q,
		"data":{"results":{"status":"approved","concerns":[]},"status":"done","attributes":{"documentType":"id-card","firstName":"JANE","lastName":"ROE"}}}`,
		benchID, benchToken(tb, key))
}

func benchProvider(tb testing.TB, keys ...Key) *Provider {
	p, err := New(Config{APIKey: "key", Keys: keys})
	require.NoError(tb, err)
	return p
}

func benchKey(tb testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(tb, err)
	return key
}

// BenchmarkClaim compares a claim with one check of a P-521 signature, below
// which none can come that is new, and with what is refused before that check.
func BenchmarkClaim(b *testing.B) {
	key := benchKey(b)
	good := benchClaim(b, key)
	p := benchProvider(b, Key{PublicKey: &key.PublicKey})
	run := func(name string, body []byte, want error, each func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				each()
				if _, err := p.VerifyClaim(context.Background(), body); !errors.Is(err, want) {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		content := "content"
		sum := sha512.Sum512([]byte(content))
		signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature) {
				b.Fatal("signature is good")
			}
		}
	})
	run("new", good, nil, func() { clear(p.keys.set.verified) })
	run("known", good, nil, func() {})
	run("bad signature", benchClaim(b, benchKey(b)), identity.ErrSignature, func() {})
	refused := func(header string) []byte {
		parts := strings.Split(benchToken(b, key), ".")
		parts[0] = base64.RawURLEncoding.EncodeToString([]byte(header))
		return []byte(`{"id":"` + benchID + `","signed":"` + strings.Join(parts, ".") + `"}`)
	}
	run("refused alg", refused(`{"alg":"HS256","typ":"JWT"}`), identity.ErrSignature, func() {})
	run("refused claims", []byte(strings.ReplaceAll(string(good), ".eyJ", ".eyK")), identity.ErrSignature, func() {})
	run("refused JSON", good[:len(good)-1], identity.ErrMalformed, func() {})
}

// BenchmarkFetch is a result whose token the claim has shown before, and one whose
// token is new: the difference is the check of the signature.
func BenchmarkFetch(b *testing.B) {
	key := benchKey(b)
	body := fmt.Sprintf(`{"data":{"results":{"status":"approved","concerns":[]},"checks":[{"name":"docCheck","status":"approved","comment":""}],
		"status":"done","attributes":{"documentType":"id-card","firstName":"JANE","lastName":"ROE","dateOfBirth":"1990-02-03"}},"signed":%q}`, benchToken(b, key))
	p, err := New(Config{APIKey: "key", Keys: []Key{{PublicKey: &key.PublicKey}}, HTTPClient: &http.Client{Transport: transport(body)}})
	require.NoError(b, err)
	for name, each := range map[string]func(){"known": func() {}, "new": func() { clear(p.keys.set.verified) }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				each()
				if n, err := p.Fetch(context.Background(), benchID); err != nil || n.Verification.Status != identity.Verified {
					b.Fatal(err)
				}
			}
		})
	}
}

// transport answers everything with itself.
type transport string

func (t transport) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(t)))}, nil
}

// BenchmarkFlood is a new claim while others keep sending signatures that are
// wrong: what it waits for is its turn, and the CPU beside the turns stays free.
func BenchmarkFlood(b *testing.B) {
	key, other := benchKey(b), benchKey(b)
	p := benchProvider(b, Key{PublicKey: &key.PublicKey})
	good, bad := benchClaim(b, key), benchClaim(b, other)
	ctx, cancel := context.WithCancel(context.Background())
	var crowd sync.WaitGroup
	defer crowd.Wait()
	defer cancel()
	var checks int
	for range 8 {
		crowd.Go(func() {
			for ctx.Err() == nil {
				_, _ = p.VerifyClaim(ctx, bad)
			}
		})
	}
	for b.Loop() {
		set := p.keys.set
		set.mu.Lock()
		clear(set.verified)
		set.mu.Unlock()
		if _, err := p.VerifyClaim(ctx, good); err != nil {
			b.Fatal(err)
		}
		checks = max(checks, len(p.verifying))
	}
	b.ReportMetric(float64(checks), "turns-taken")
}
