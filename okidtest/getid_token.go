package okidtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
)

// Token says how the token of a claim is made. The zero value makes a genuine
// one: signed by the current key, with the header and claims of the documented
// sample, beside what GetIDConfig asks for.
type Token struct {
	// Header and Claims replace or add to those of a genuine token; nil takes one
	// away, and json.RawMessage("null") makes it null.
	Header, Claims map[string]any
	// Signature is what the token is signed with.
	Signature TokenSignature
}

// TokenSignature is what a token is signed with.
type TokenSignature int

const (
	SignedES512    TokenSignature = iota // the current key, in the form of JOSE: r and s, 66 bytes each
	SignedDER                            // the current key, in the form of ASN.1
	SignedOtherKey                       // a key that is in no set
	SignedHS256                          // an HMAC whose secret is the current public key, as PEM
	Unsigned                             // nothing: the algorithm is none
)

// signingKey is a key of the set.
type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

func newSigningKey() signingKey {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		panic("okidtest: cannot happen, crypto/rand never fails: " + err.Error())
	}
	return signingKey{id: rand.Text(), key: key}
}

// coordinate is the length of x, y, r and s on P-521, in bytes.
const coordinate = 66

// jwk is the public half (RFC 7518, section 6.2).
func (k signingKey) jwk() object {
	point, err := k.key.PublicKey.Bytes()
	if err != nil {
		panic("okidtest: cannot happen, the key is on the curve: " + err.Error())
	}
	x, y := point[1:1+coordinate], point[1+coordinate:]
	return object{"kty": "EC", "crv": "P-521", "use": "sig", "alg": "ES512", "kid": k.id, "x": base64url(x), "y": base64url(y)}
}

// RotateKeys makes a new signing key. The old ones stay in the set, or leave it
// if keep is false: then no token that they signed can be verified any more.
func (g *GetID) RotateKeys(keep bool) {
	k := newSigningKey()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !keep {
		g.keys = nil
	}
	g.keys = append(g.keys, k)
}

// KeyID is the kid of the current signing key.
func (g *GetID) KeyID() string { return g.signer().id }

func (g *GetID) signer() signingKey {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.keys[len(g.keys)-1]
}

// sign makes a token in the compact form of RFC 7515.
func (g *GetID) sign(id string, t Token) (string, error) {
	signer := g.signer()
	header := object{"alg": "ES512", "typ": "JWT"}
	claims := object{
		// The sample's token names this host too, and not that of the API.
		"resultUrl": "http://localhost:3030/verifications/results/" + id,
		"id":        id,
		"iss":       "regily",
	}
	if g.cfg.KeyID {
		header["kid"] = signer.id
	}
	if g.cfg.TokenTTL > 0 {
		claims["exp"] = g.cfg.Clock().Add(g.cfg.TokenTTL).Unix()
	}
	switch t.Signature {
	case SignedHS256:
		header["alg"] = "HS256"
	case Unsigned:
		header["alg"] = "none"
	}
	h, err := overlay(header, t.Header)
	if err != nil {
		return "", err
	}
	c, err := overlay(claims, t.Claims)
	if err != nil {
		return "", err
	}
	input := base64url(h) + "." + base64url(c)
	signature, err := signer.signature(t.Signature, input)
	if err != nil {
		return "", err
	}
	return input + "." + base64url(signature), nil
}

// signature signs the first two parts of a token.
func (k signingKey) signature(s TokenSignature, input string) ([]byte, error) {
	digest := sha512.Sum512([]byte(input))
	switch s {
	case SignedOtherKey:
		return newSigningKey().signature(SignedES512, input)
	case SignedES512:
		r, s, err := ecdsa.Sign(rand.Reader, k.key, digest[:])
		if err != nil {
			return nil, err
		}
		signature := make([]byte, 2*coordinate)
		r.FillBytes(signature[:coordinate])
		s.FillBytes(signature[coordinate:])
		return signature, nil
	case SignedDER:
		return ecdsa.SignASN1(rand.Reader, k.key, digest[:])
	case SignedHS256:
		der, err := x509.MarshalPKIXPublicKey(&k.key.PublicKey)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		_, _ = mac.Write([]byte(input))
		return mac.Sum(nil), nil
	case Unsigned:
		return nil, nil
	default:
		return nil, fmt.Errorf("%w: Token.Signature is unknown", ErrConfig)
	}
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
