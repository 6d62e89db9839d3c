package direct_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
)

const signedBody = `{"id":"645cae","metadata":{"externalId":"r-1"},"processingState":"done","overallResult":{"status":"approved"}}`

// signer is one way to sign, of which only the settings may decide.
type signer struct {
	name      string
	algorithm direct.Algorithm
	key       crypto.PublicKey
	sign      func(message []byte) []byte
}

func signers(t *testing.T) []signer {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	must := func(b []byte, err error) []byte { require.NoError(t, err); return b }
	return []signer{
		{"rsa sha256", direct.RSAWithSHA256, &rsaKey.PublicKey, func(m []byte) []byte {
			sum := sha256.Sum256(m)
			return must(rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, sum[:]))
		}},
		{"rsa sha512", direct.RSAWithSHA512, &rsaKey.PublicKey, func(m []byte) []byte {
			sum := sha512.Sum512(m)
			return must(rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA512, sum[:]))
		}},
		{"rsa pss", direct.RSAPSSWithSHA256, &rsaKey.PublicKey, func(m []byte) []byte {
			sum := sha256.Sum256(m)
			return must(rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, sum[:], nil))
		}},
		{"ecdsa asn1", direct.ECDSAWithSHA256, &ecKey.PublicKey, func(m []byte) []byte {
			sum := sha256.Sum256(m)
			return must(ecdsa.SignASN1(rand.Reader, ecKey, sum[:]))
		}},
		{"ecdsa raw", direct.ECDSAWithSHA512, &ecKey.PublicKey, func(m []byte) []byte {
			sum := sha512.Sum512(m)
			r, s, err := ecdsa.Sign(rand.Reader, ecKey, sum[:])
			require.NoError(t, err)
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}},
		{"ed25519", direct.Ed25519, edPublic, func(m []byte) []byte { return ed25519.Sign(edKey, m) }},
	}
}

func header(signature, timestamp string) http.Header {
	h := http.Header{}
	h.Set(direct.SignatureHeader, signature)
	h.Set(direct.TimestampHeader, timestamp)
	return h
}

// Each algorithm, content and encoding is accepted by a provider that is set to it, and by no
// other.
func TestVerifyWebhook(t *testing.T) {
	const timestamp = "2026-03-01T11:59:00.061Z"
	contents := []string{signedBody + timestamp, signedBody + "." + timestamp, timestamp + signedBody, timestamp + "." + signedBody}
	encodings := []func([]byte) string{base64.StdEncoding.EncodeToString, hex.EncodeToString}
	all := signers(t)
	for _, s := range all {
		for content, message := range contents {
			for encoding, encode := range encodings {
				h := header(encode(s.sign([]byte(message))), timestamp)
				for _, set := range all {
					for wantContent := range contents {
						p, err := says(t, `{}`).Signed(direct.Signing{
							Keys: []crypto.PublicKey{set.key}, Algorithm: set.algorithm, Content: direct.Content(wantContent), Encoding: direct.Encoding(encoding),
						})
						require.NoError(t, err)
						n, err := p.VerifyWebhook(h, []byte(signedBody), now)
						if s.name != set.name || content != wantContent {
							require.ErrorIs(t, err, identity.ErrSignature, "%s as %s", s.name, set.name)
							continue
						}
						require.NoError(t, err, s.name)
						assert.Equal(t, identity.Verified, n.Verification.Status)
						assert.Equal(t, "r-1", n.Reference)
						assert.Equal(t, "key 1", n.SignedBy)
						assert.NotZero(t, n.Digest)
					}
				}
			}
		}
	}
}

func TestVerifyWebhookRefuses(t *testing.T) {
	s := signers(t)[0]
	p, err := says(t, `{}`).Signed(direct.Signing{Keys: []crypto.PublicKey{s.key}})
	require.NoError(t, err)
	sign := func(body, timestamp string) http.Header {
		return header(base64.StdEncoding.EncodeToString(s.sign([]byte(body+timestamp))), timestamp)
	}
	fresh := now.Format(time.RFC3339)
	for name, tt := range map[string]struct {
		h    http.Header
		body string
		want error
	}{
		"no signature":  {http.Header{direct.TimestampHeader: {fresh}}, signedBody, identity.ErrSignature},
		"no timestamp":  {http.Header{direct.SignatureHeader: {"eA=="}}, signedBody, identity.ErrTimestamp},
		"two":           {http.Header{direct.TimestampHeader: {fresh}, direct.SignatureHeader: {"eA==", "eA=="}}, signedBody, identity.ErrSignature},
		"other body":    {sign(signedBody, fresh), strings.Replace(signedBody, "r-1", "r-2", 1), identity.ErrSignature},
		"hex":           {header(hex.EncodeToString(s.sign([]byte(signedBody+fresh))), fresh), signedBody, identity.ErrSignature},
		"stale":         {sign(signedBody, now.Add(-11*time.Minute).Format(time.RFC3339)), signedBody, identity.ErrStale},
		"future":        {sign(signedBody, now.Add(6*time.Minute).Format(time.RFC3339)), signedBody, identity.ErrTimestamp},
		"no time":       {sign(signedBody, "yesterday"), signedBody, identity.ErrTimestamp},
		"not an object": {sign(`[]`, fresh), `[]`, identity.ErrMalformed},
		"twice":         {sign(`{"metadata":{},"metadata":{}}`, fresh), `{"metadata":{},"metadata":{}}`, identity.ErrMalformed},
	} {
		n, err := p.VerifyWebhook(tt.h, []byte(tt.body), now)
		require.ErrorIs(t, err, tt.want, name)
		assert.Equal(t, name == "stale", n.Reference == "r-1", name)
	}
	// Milliseconds, and another time than the header's, which is signed.
	_, err = p.VerifyWebhook(sign(signedBody, "1772366340061"), []byte(signedBody), now)
	require.NoError(t, err)
	h := sign(signedBody, fresh)
	h.Set(direct.TimestampHeader, now.Add(time.Second).Format(time.RFC3339))
	_, err = p.VerifyWebhook(h, []byte(signedBody), now)
	require.ErrorIs(t, err, identity.ErrSignature)
}

func TestSigning(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no small keys")
	}
	for name, s := range map[string]direct.Signing{
		"no key":    {},
		"small key": {Keys: []crypto.PublicKey{&small.PublicKey}},
		"no fit":    {Keys: []crypto.PublicKey{ed25519.PublicKey(make([]byte, 32))}},
		"constants": {Keys: []crypto.PublicKey{signers(t)[0].key}, Algorithm: 9, Content: 9, Encoding: 9, Tolerance: -1},
	} {
		_, err := says(t, `{}`).Signed(s)
		assert.ErrorContains(t, err, "Signing.", name)
	}
}
