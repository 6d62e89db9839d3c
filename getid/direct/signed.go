package direct

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA512
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
	"github.com/okidkit/okidkit/internal/wire"
)

// The headers of a webhook (https://checkin.com/get_started/webhooks.html).
const (
	SignatureHeader = "X-Signature"
	TimestampHeader = "X-Timestamp"
)

const (
	// DefaultTolerance is how old a signed webhook may be. GetID tries for five minutes, and
	// does not say whether it signs each try.
	DefaultTolerance = 10 * time.Minute
	maxTolerance     = 24 * time.Hour
	maxSkew          = 5 * time.Minute
)

// Signing is how GetID signs the webhooks of one deployment. GetID's documents say that the body
// and the time are signed with a private key, and no more (https://vvorld.github.io/): ask GetID
// for the rest. Nothing in a request chooses any of it.
type Signing struct {
	// Keys are GetID's public keys: *[rsa.PublicKey], *[ecdsa.PublicKey] or
	// [ed25519.PublicKey], as [crypto/x509.ParsePKIXPublicKey] reads them. A webhook may be
	// signed with any of them. Those that do not fit Algorithm are an error.
	Keys []crypto.PublicKey
	// Algorithm is how they sign. Default: [RSAWithSHA256].
	Algorithm Algorithm
	// Content is what they sign. Default: [BodyTimestamp].
	Content Content
	// Encoding is how signatures are written. Default: [Base64].
	Encoding Encoding
	// Tolerance is how old a webhook may be, up to 24 hours. Default: [DefaultTolerance].
	Tolerance time.Duration
}

// Algorithm is how a signature is made.
type Algorithm int

const (
	RSAWithSHA256    Algorithm = iota // RSA, PKCS #1 v1.5
	RSAWithSHA512                     // RSA, PKCS #1 v1.5
	RSAPSSWithSHA256                  // RSA-PSS
	ECDSAWithSHA256                   // ECDSA, in ASN.1 or as r and s, one after the other
	ECDSAWithSHA512                   // the same
	Ed25519
)

// Content is which bytes are signed. The timestamp is the header as it was sent.
type Content int

const (
	BodyTimestamp    Content = iota // the body and the timestamp
	BodyDotTimestamp                // with a full stop in between
	TimestampBody                   // the timestamp and the body
	TimestampDotBody                // with a full stop in between
)

// Encoding is how a signature is written.
type Encoding int

const (
	Base64 Encoding = iota // the standard or the URL alphabet, padded or not
	Hex                    // in either case
)

// SignedProvider is a [Provider] whose webhooks are authenticated. Make it with
// [Provider.Signed].
type SignedProvider struct {
	*Provider
	signing Signing
}

var _ identity.WebhookVerifier = (*SignedProvider)(nil)

// Signed returns the provider with webhooks that are authenticated, so that one which is signed
// counts by itself, and one which is not is refused. It does no I/O. The error names every field
// that is wrong.
func (p *Provider) Signed(s Signing) (*SignedProvider, error) {
	s.Keys = slices.Clone(s.Keys)
	s.Tolerance = cmp.Or(s.Tolerance, DefaultTolerance)
	var problems []error
	wrong := func(text string, args ...any) {
		problems = append(problems, fmt.Errorf("getiddirect: Signing."+text, args...))
	}
	if len(s.Keys) == 0 || len(s.Keys) > 10 {
		wrong("Keys are not 1 to 10")
	}
	if s.Algorithm < RSAWithSHA256 || s.Algorithm > Ed25519 {
		wrong("Algorithm is not one of the constants")
	}
	if s.Content < BodyTimestamp || s.Content > TimestampDotBody {
		wrong("Content is not one of the constants")
	}
	if s.Encoding < Base64 || s.Encoding > Hex {
		wrong("Encoding is not one of the constants")
	}
	if s.Tolerance < 0 || s.Tolerance > maxTolerance {
		wrong("Tolerance is negative or longer than 24 hours")
	}
	for i, key := range s.Keys {
		if !s.Algorithm.fits(key) {
			wrong("Keys[%d] is not a key for Algorithm, of a safe size", i)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &SignedProvider{p, s}, nil
}

func (a Algorithm) fits(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k != nil && a <= RSAPSSWithSHA256 && k.N != nil && k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k != nil && (a == ECDSAWithSHA256 || a == ECDSAWithSHA512) && k.Curve != nil && k.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return a == Ed25519 && len(k) == ed25519.PublicKeySize
	}
	return false
}

// VerifyWebhook authenticates a webhook and reads it, as [identity.WebhookVerifier] says. The time
// is signed along with the body.
func (p *SignedProvider) VerifyWebhook(h http.Header, body []byte, now time.Time) (identity.Notice, error) {
	timestamp, err := only(h, TimestampHeader)
	if err != nil {
		return identity.Notice{}, fmt.Errorf("getiddirect: %w: %w", identity.ErrTimestamp, err)
	}
	text, err := only(h, SignatureHeader)
	if err != nil {
		return identity.Notice{}, fmt.Errorf("getiddirect: %w: %w", identity.ErrSignature, err)
	}
	signature, ok := p.signing.Encoding.decode(text)
	if !ok {
		return identity.Notice{}, fmt.Errorf("getiddirect: %w: it is not in the form that is configured", identity.ErrSignature)
	}
	signed := p.signing.Content.join(timestamp, body)
	by := slices.IndexFunc(p.signing.Keys, func(key crypto.PublicKey) bool { return p.signing.Algorithm.verify(key, signed, signature) })
	if by < 0 {
		return identity.Notice{}, fmt.Errorf("getiddirect: %w: no key has made it", identity.ErrSignature)
	}
	sent, ok := wire.ParseTime(timestamp)
	switch {
	case !ok:
		return identity.Notice{}, fmt.Errorf("getiddirect: %w: neither Unix time nor a date with a time", identity.ErrTimestamp)
	case sent.Sub(now) > maxSkew:
		return identity.Notice{}, fmt.Errorf("getiddirect: %w: it lies in the future", identity.ErrTimestamp)
	}
	a, err := strictjson.Read(body, applicationShape, readApplication)
	if err != nil {
		return identity.Notice{}, fmt.Errorf("getiddirect: %w: %w", identity.ErrMalformed, err)
	}
	n := a.notice
	n.Event, n.Digest, n.SignedBy = "application", a.digest, fmt.Sprintf("key %d", by+1)
	if now.Sub(sent) > p.signing.Tolerance {
		return n, fmt.Errorf("getiddirect: %w", identity.ErrStale)
	}
	return n, nil
}

// only returns the value of a header that must be there exactly once.
func only(h http.Header, name string) (string, error) {
	if values := h.Values(name); len(values) == 1 && values[0] != "" {
		return values[0], nil
	}
	return "", errors.New("header is missing or repeated")
}

func (e Encoding) decode(text string) ([]byte, bool) {
	if len(text) > 4<<10 {
		return nil, false
	}
	var b []byte
	var err error
	if e == Hex {
		b, err = hex.DecodeString(text)
	} else {
		text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		b, err = base64.RawStdEncoding.Strict().DecodeString(text)
	}
	return b, err == nil && len(b) > 0
}

func (c Content) join(timestamp string, body []byte) []byte {
	switch c {
	case BodyDotTimestamp:
		return slices.Concat(body, []byte("."), []byte(timestamp))
	case TimestampBody:
		return slices.Concat([]byte(timestamp), body)
	case TimestampDotBody:
		return slices.Concat([]byte(timestamp), []byte("."), body)
	}
	return slices.Concat(body, []byte(timestamp))
}

func (a Algorithm) verify(key crypto.PublicKey, signed, signature []byte) bool {
	hash := crypto.SHA256
	if a == RSAWithSHA512 || a == ECDSAWithSHA512 {
		hash = crypto.SHA512
	}
	digest := hash.New()
	digest.Write(signed)
	sum := digest.Sum(nil)
	switch k := key.(type) {
	case *rsa.PublicKey:
		if a == RSAPSSWithSHA256 {
			return rsa.VerifyPSS(k, hash, sum, signature, nil) == nil
		}
		return rsa.VerifyPKCS1v15(k, hash, sum, signature) == nil
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(k, sum, signature) {
			return true
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		return ecdsa.Verify(k, sum, new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
	case ed25519.PublicKey:
		return ed25519.Verify(k, signed, signature)
	}
	return false
}
