package getid

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
)

const (
	// maxClaim is the length of the longest body of a claim, in bytes. The data
	// in it, which we ignore, may be long.
	maxClaim = 256 << 10
	// maxToken is the length of the longest token. The sample has 397 bytes.
	maxToken = 8 << 10
	// maxKeyID is the length of the longest kid.
	maxKeyID = 128
	// signatureSize is that of ES512: two numbers of 66 bytes.
	signatureSize = 132
	// leeway is by how much Checkin.com's clock may differ from ours.
	leeway = time.Minute
)

// ids are those that may stand in the path of a URL. The ids that Checkin.com
// shows are 36 hexadecimal digits.
var ids = regexp.MustCompile(`^[A-Za-z0-9_-]{8,128}$`)

var errID = errors.New(`id of the verification is not 8 to 128 letters, digits, "-" and "_"`)

// VerifyClaim authenticates what the browser holds after the flow, data.ocr as
// JSON, and returns the id of the verification. The checks, in this order:
//
//   - The body must be a JSON object of at most 256 KiB with the strings id and
//     signed, which has no name twice, not even in another letter case, and in which
//     no more than 256 objects and arrays lie within each other. Else
//     [identity.ErrMalformed]. Of the other members, of which none is signed, nothing
//     is read or kept, and resultUrl is never followed.
//   - signed must be a token in the form of the JWS Compact Serialization, at most
//     8 KiB long, with the algorithm ES512, without critical headers and without
//     keys of its own; its iss must be [Config.Issuer], its id that of the body,
//     and exp and nbf, which the documented token does not have, must allow the
//     present time within a minute. Else [identity.ErrSignature]. None of this
//     costs more than reading it.
//   - The signature must be that of the key that the token names, or, if it names
//     none, of one of the first 10 keys. Else [identity.ErrSignature].
//
// [identity.ErrUnavailable] comes if the keys cannot be had now, or if so many
// signatures wait to be checked that the turn of this one does not come within
// [Config.Timeout] or the context's deadline.
//
// The same claim is good for ever and for anybody, see the package comment.
func (p *Provider) VerifyClaim(ctx context.Context, body []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if len(body) > maxClaim {
		return "", fmt.Errorf("getid: %w: longer than %d bytes", identity.ErrMalformed, maxClaim)
	}
	c, err := strictjson.Read(body, claimShape, readClaim)
	if err != nil {
		return "", fmt.Errorf("getid: %w: %w", identity.ErrMalformed, err)
	}
	if err := p.authenticate(ctx, c.signed, c.id, identity.ErrSignature); err != nil {
		return "", err
	}
	return c.id, nil
}

// claim is what is read of data.ocr.
type claim struct{ id, signed string }

// What is read of a claim, and of the two parts of its token.
var (
	claimShape  = strict("id", "signed")
	headerShape = strict(append([]string{"alg", "kid"}, slices.Concat(changeMeaning, bringKeys)...)...)
	tokenShape  = strict("id", "iss", "exp", "nbf")

	changeMeaning = []string{"crit", "b64", "zip"}
	bringKeys     = []string{"jwk", "jku", "x5u", "x5c"}
)

// strict is an object that decides, with these members.
func strict(names ...string) *strictjson.Shape {
	shape := &strictjson.Shape{Strict: true}
	for _, name := range names {
		shape.Members = append(shape.Members, strictjson.Member{Name: name})
	}
	return shape
}

func readClaim(root *strictjson.Value) (claim, error) {
	id := text(root.Get("id"))
	if !ids.MatchString(id) {
		return claim{}, errID
	}
	signed, ok := root.Get("signed").Text()
	if !ok {
		return claim{}, errors.New("signed is not a string")
	}
	return claim{id, string(signed)}, nil
}

// authenticate returns nil if the token is Checkin.com's and names the
// verification. The error wraps otherwise, or [identity.ErrUnavailable].
func (p *Provider) authenticate(ctx context.Context, signed, id string, otherwise error) error {
	t, err := p.readToken(signed, id)
	if err != nil {
		return fmt.Errorf("getid: %w: %w", otherwise, err)
	}
	ok, err := p.checkSignature(ctx, t)
	if err == nil && !ok {
		err = fmt.Errorf("getid: %w: no key matches", otherwise)
	}
	return err
}

func (p *Provider) checkSignature(ctx context.Context, t token) (bool, error) {
	set, err := p.keys.current(ctx, p.now())
	if err != nil {
		return false, err
	}
	ok, err := p.verify(ctx, set, t)
	if ok || err != nil || set.has(t.keyID) {
		return ok, err
	}
	// The key may be newer than the set.
	newer, err := p.keys.newer(ctx, set, p.now())
	if err != nil || newer == set {
		return false, err
	}
	return p.verify(ctx, newer, t)
}

// token is one that says what it should, and whose signature is not yet checked.
type token struct {
	content   string // what is signed
	signature []byte
	keyID     string // empty: it names no key
	sum       [sha256.Size]byte
}

// readToken makes every check but that of the signature. It does not leave them
// to the library's parser, which takes repeated names, and looks at the claims
// only after the costly signature.
func (p *Provider) readToken(signed, id string) (token, error) {
	if len(signed) > maxToken {
		return token{}, fmt.Errorf("token is longer than %d bytes", maxToken)
	}
	parts := strings.SplitN(signed, ".", 4)
	if len(parts) != 3 {
		return token{}, errors.New("token does not have three parts")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return token{}, errors.New("token is not base64url")
		}
	}
	header, claims, signature := decoded[0], decoded[1], decoded[2]
	keyID, err := strictjson.Read(header, headerShape, readHeader)
	if err != nil {
		return token{}, fmt.Errorf("token's header: %w", err)
	}
	if len(signature) != signatureSize {
		return token{}, fmt.Errorf("signature does not have %d bytes", signatureSize)
	}
	if err := p.checkClaims(claims, id); err != nil {
		return token{}, fmt.Errorf("token's claims: %w", err)
	}
	return token{
		content:   signed[:len(signed)-len(parts[2])-1],
		signature: signature,
		keyID:     keyID,
		sum:       sha256.Sum256([]byte(signed)),
	}, nil
}

// readHeader returns the kid, which is "" if there is none. What is null is not
// there: some write so, and for a key, or for its name, that says enough.
func readHeader(root *strictjson.Value) (keyID string, err error) {
	if text(root.Get("alg")) != jwt.SigningMethodES512.Alg() {
		return "", errors.New("alg is not ES512")
	}
	for _, name := range changeMeaning {
		if root.Get(name) != nil {
			return "", fmt.Errorf("%s is not allowed", name)
		}
	}
	for _, name := range bringKeys {
		if !isNull(root.Get(name)) {
			return "", fmt.Errorf("%s is not allowed", name)
		}
	}
	if kid := root.Get("kid"); !isNull(kid) {
		if keyID = text(kid); keyID == "" || len(keyID) > maxKeyID {
			return "", fmt.Errorf("kid is not a string of 1 to %d bytes", maxKeyID)
		}
	}
	return keyID, nil
}

// isNull reports whether v is not there, or null.
func isNull(v *strictjson.Value) bool {
	_, isText := v.Text()
	return v.Absent() && !isText
}

func (p *Provider) checkClaims(data []byte, id string) error {
	_, err := strictjson.Read(data, tokenShape, func(root *strictjson.Value) (struct{}, error) {
		if text(root.Get("id")) != id {
			return struct{}{}, errors.New("id is missing or another") // other tokens of this issuer have none
		}
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	var claims jwt.MapClaims
	if json.Unmarshal(data, &claims) != nil || p.claims.Validate(claims) != nil {
		return errors.New("iss is missing or another, or it is not the time for exp or nbf")
	}
	return nil
}

// verify reports whether a key of the set has made the signature.
func (p *Provider) verify(ctx context.Context, set *keySet, t token) (bool, error) {
	if set.hasVerified(t.sum) {
		return true, nil
	}
	keys := set.candidates(t.keyID)
	if len(keys) == 0 {
		return false, nil
	}
	select {
	case p.verifying <- struct{}{}:
		defer func() { <-p.verifying }()
	case <-ctx.Done():
	}
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("getid: %w: signature is not checked: %w", identity.ErrUnavailable, err)
		}
		if jwt.SigningMethodES512.Verify(t.content, t.signature, k.PublicKey) == nil {
			set.addVerified(t.sum)
			return true, nil
		}
	}
	return false, nil
}
