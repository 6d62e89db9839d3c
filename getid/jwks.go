package getid

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/apiclient"
	"github.com/okidkit/okidkit/internal/strictjson"
)

const (
	// maxKeys is how many members a key set may have; maxJWKS is how many bytes.
	maxKeys = 50
	maxJWKS = 256 << 10
	// maxTried is how many keys are tried for a token that names none.
	maxTried = 10
	// maxVerified is how many tokens are remembered as verified.
	maxVerified = 256

	// keysFresh is the age at which keys are fetched again. The vendor's sample
	// keeps them as long.
	keysFresh = 10 * time.Minute
	// keysStale is the age up to which keys count while no newer can be had.
	keysStale = 24 * time.Hour
	// cooldown is the time from one fetch to the next, whatever came of it. Only
	// while there never was a set it is shorter at first: firstCooldown, then twice
	// that, and so on.
	cooldown      = 30 * time.Second
	firstCooldown = time.Second
	// fetchTimeout is how long a fetch may take: users wait for it.
	fetchTimeout = 5 * time.Second
)

// Key is a public key with which Checkin.com signs.
type Key struct {
	// ID is the kid by which tokens name the key. A key without one counts for
	// tokens that name no key, and for those that name one we do not have.
	ID string
	// PublicKey is on the curve P-521.
	PublicKey *ecdsa.PublicKey
}

// ParseJWKS reads a JSON Web Key Set of at most 256 KiB and 50 members. A member
// that is not a public key on P-521 for signatures with ES512 is left out, and so
// is one whose kid another had before. What is null counts as absent, and coordinates
// may lack their leading zeros or have the padding of base64url. It returns [identity.ErrMalformed] if the
// document is none, or no key is left.
func ParseJWKS(data []byte) ([]Key, error) {
	if len(data) > maxJWKS {
		return nil, fmt.Errorf("getid: %w: key set is longer than %d bytes", identity.ErrMalformed, maxJWKS)
	}
	keys, err := strictjson.Read(data, keysShape, readKeys)
	if err != nil {
		return nil, fmt.Errorf("getid: %w: key set: %w", identity.ErrMalformed, err)
	}
	return keys, nil
}

var keysShape = &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "keys", Shape: &strictjson.Shape{
	Max: maxKeys + 1,
	Elements: &strictjson.Shape{Members: []strictjson.Member{
		{Name: "kty"}, {Name: "crv"}, {Name: "use"}, {Name: "alg"}, {Name: "kid"}, {Name: "x"}, {Name: "y"}, {Name: "d"},
	}},
}}}}

func readKeys(root *strictjson.Value) ([]Key, error) {
	var keys []Key
	members, ids := 0, map[string]bool{}
	for member := range root.Get("keys").Elements() {
		if members++; members > maxKeys {
			return nil, fmt.Errorf("it has more than %d members", maxKeys)
		}
		if k, ok := readKey(member); ok && !ids[k.ID] {
			ids[k.ID] = k.ID != ""
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key for ES512")
	}
	return keys, nil
}

// readKey reads a JWK (RFC 7517, RFC 7518 section 6.2).
func readKey(jwk *strictjson.Value) (Key, bool) {
	is := func(name, want string) bool { return text(jwk.Get(name)) == want }
	ifThere := func(name, want string) bool { return isNull(jwk.Get(name)) || is(name, want) }
	private := !isNull(jwk.Get("d")) // who publishes that key has lost it
	if private || !is("kty", "EC") || !is("crv", "P-521") || !ifThere("use", "sig") || !ifThere("alg", "ES512") {
		return Key{}, false
	}
	id := text(jwk.Get("kid"))
	if !isNull(jwk.Get("kid")) && id == "" || len(id) > maxKeyID {
		return Key{}, false
	}
	const size = signatureSize / 2
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed
	if !readCoordinate(point[1:1+size], jwk.Get("x")) || !readCoordinate(point[1+size:], jwk.Get("y")) {
		return Key{}, false
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P521(), point) // it must be on the curve
	return Key{ID: id, PublicKey: public}, err == nil
}

// readCoordinate reads a coordinate in base64url. Some writers leave out the zeros
// that it begins with, or pad the base64url, though RFC 7518 allows neither.
func readCoordinate(to []byte, v *strictjson.Value) bool {
	written, encoding := text(v), base64.RawURLEncoding
	if strings.HasSuffix(written, "=") {
		encoding = base64.URLEncoding
	}
	decoded, err := encoding.Strict().DecodeString(written)
	if err != nil || len(decoded) == 0 || len(decoded) > len(to) {
		return false
	}
	copy(to[len(to)-len(decoded):], decoded)
	return true
}

// ParsePEM reads one or more blocks of type "PUBLIC KEY", each with a key on the
// curve P-521, and nothing else. The keys have no ID. It returns
// [identity.ErrMalformed].
func ParsePEM(data []byte) ([]Key, error) {
	var keys []Key
	for rest := bytes.TrimSpace(data); len(rest) > 0 || len(keys) == 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("getid: %w: not PEM blocks of public keys", identity.ErrMalformed)
		}
		parsed, _ := x509.ParsePKIXPublicKey(block.Bytes)
		public, ok := parsed.(*ecdsa.PublicKey)
		if !ok || public.Curve != elliptic.P521() {
			return nil, fmt.Errorf("getid: %w: not a public key on P-521", identity.ErrMalformed)
		}
		keys = append(keys, Key{PublicKey: public})
	}
	return keys, nil
}

// keySet is a set of keys, and the tokens that are known to be signed with one of
// them: what is remembered of a key goes when the key goes.
type keySet struct {
	keys    []Key
	fetched time.Time

	mu       sync.Mutex
	verified map[[sha256.Size]byte]bool
	order    [][sha256.Size]byte // of verified; the oldest is at next once it is full
	next     int
}

func newKeySet(keys []Key, fetched time.Time) *keySet {
	return &keySet{keys: keys, fetched: fetched, verified: map[[sha256.Size]byte]bool{}}
}

// has reports whether there is a key with this ID.
func (s *keySet) has(id string) bool {
	return id != "" && slices.ContainsFunc(s.keys, func(k Key) bool { return k.ID == id })
}

// candidates are the keys that may have signed a token which names the key id, or
// which names none if id is empty.
func (s *keySet) candidates(id string) []Key {
	var unnamed []Key
	for _, k := range s.keys {
		if id != "" && k.ID == id {
			return []Key{k}
		}
		if (id == "" || k.ID == "") && len(unnamed) < maxTried {
			unnamed = append(unnamed, k)
		}
	}
	return unnamed
}

func (s *keySet) hasVerified(token [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.verified[token]
}

func (s *keySet) addVerified(token [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.verified[token]:
		return
	case len(s.order) < maxVerified:
		s.order = append(s.order, token)
	default:
		delete(s.verified, s.order[s.next])
		s.order[s.next] = token
		s.next = (s.next + 1) % maxVerified
	}
	s.verified[token] = true
}

// keySource has the keys that count now. It exists because the libraries for this
// fetch again for every key id that they do not know, or keep a goroutine running.
type keySource struct {
	fetch func(context.Context) ([]Key, error) // nil: the keys are fixed

	mu     sync.Mutex
	set    *keySet       // nil: none yet
	tried  time.Time     // when the last fetch began
	err    error         // what came of it
	failed int           // how many have failed in a row
	flight chan struct{} // closed at the end of the fetch that is under way; nil: none is
}

// current returns keys that are fresh, or, if such cannot be had, keys that count
// all the same.
func (s *keySource) current(ctx context.Context, now time.Time) (*keySet, error) {
	s.mu.Lock()
	set := s.set
	s.mu.Unlock()
	if s.fetch == nil || set != nil && now.Sub(set.fetched) < keysFresh {
		return set, nil
	}
	set, err := s.newer(ctx, set, now)
	if set != nil && now.Sub(set.fetched) < keysStale {
		return set, nil
	}
	return nil, err
}

// newer returns the keys that are newer than old, and old if there are none and
// it is not the time to fetch them. With an error, which says that they cannot be
// had, it returns old, too.
func (s *keySource) newer(ctx context.Context, old *keySet, now time.Time) (*keySet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set != old || s.fetch == nil {
		return s.set, nil
	}
	if s.flight == nil {
		if !s.tried.IsZero() && now.Sub(s.tried) < s.pause() {
			return old, s.err
		}
		s.tried, s.flight = now, make(chan struct{})
		// The fetch must outlive the request that caused it, or who hangs up
		// early could use up every fetch that the cooldown allows.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		go func() {
			defer cancel()
			keys, err := s.fetch(ctx)
			s.land(keys, err)
		}()
	}
	flight := s.flight
	s.mu.Unlock()
	select {
	case <-flight:
		s.mu.Lock()
		return s.set, s.err
	case <-ctx.Done():
		s.mu.Lock()
		return old, fmt.Errorf("getid: %w: keys: %w", identity.ErrUnavailable, ctx.Err())
	}
}

// pause is the time from one fetch to the next.
func (s *keySource) pause() time.Duration {
	if s.set != nil || s.failed == 0 || s.failed > 5 {
		return cooldown
	}
	// Without any keys all claims fail. That must not last for long because one fetch
	// failed, and must not become a flood because many do.
	return firstCooldown << (s.failed - 1)
}

// land ends a fetch.
func (s *keySource) land(keys []Key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
	if s.err = err; err == nil {
		s.set, s.failed = newKeySet(keys, s.tried), 0
	}
	close(s.flight)
	s.flight = nil
}

// fetchKeys fetches a key set. A set without a usable key is taken for an outage:
// the keys that we have stay.
func (p *Provider) fetchKeys(ctx context.Context, url string) ([]Key, error) {
	var keys []Key
	a, err := apiclient.DoOnce(ctx, p.transport, apiclient.Request{Method: http.MethodGet, URL: url, MaxAnswer: maxJWKS})
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("HTTP %d", a.Status)
	}
	if err == nil {
		keys, err = strictjson.Read(a.Body, keysShape, readKeys)
	}
	if err != nil {
		return nil, fmt.Errorf("getid: %w: key set: %w", identity.ErrUnavailable, err)
	}
	return keys, nil
}
