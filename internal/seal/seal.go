// Package seal keeps what must not be read or changed: it encrypts values with keys of which
// the first seals and all open, and makes the references that name an attempt to the
// outside.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// keyLen is the length of each of Config.Keys, in bytes.
const keyLen = 32

// A sealed value is the salt of its key, and then a nonce of 12 bytes, the
// ciphertext, and a tag of 16.
const (
	saltLen = 4
	sealLen = saltLen + 12 + 16 // without the ciphertext
)

// ErrUnsealable is the answer for bytes that none of the keys sealed for this
// purpose and place. It says no more, since the bytes may come from a stranger.
var ErrUnsealable = errors.New("value was not sealed with these keys for this place")

// Keyring seals what must not be read, and opens only what it sealed. The first
// key seals, all open.
//
// The keys stay behind a pointer, so that printing a struct which holds a Keyring shows
// an address, whatever the verb.
type Keyring struct {
	current *atomic.Pointer[[]*masterKey]
}

// New copies the keys, which Check must have found good.
func New(keys [][]byte) Keyring {
	r := Keyring{new(atomic.Pointer[[]*masterKey])}
	r.Set(keys)
	return r
}

// Set replaces the keys. What is known of one that stays is kept.
func (r Keyring) Set(keys [][]byte) {
	masters := make([]*masterKey, len(keys))
	for i, k := range keys {
		masters[i] = &masterKey{key: slices.Clone(k), ciphers: map[salt]cipher.AEAD{}}
		for _, old := range r.keys() {
			if hmac.Equal(old.key, k) {
				masters[i] = old
			}
		}
	}
	r.current.Store(&masters)
}

func (r Keyring) keys() []*masterKey {
	if keys := r.current.Load(); keys != nil {
		return *keys
	}
	return nil
}

// masterKey is one of Config.Keys.
//
// AES-256-GCM with a random nonce wears a key out after 2^32 messages, which a busy
// site reaches. So messages are sealed with keys derived from this one by HKDF and a
// random salt, each for no more than maxMessages.
type masterKey struct {
	key []byte

	mu      sync.Mutex
	current salt // what seals,
	left    int  // and for how many messages
	ciphers map[salt]cipher.AEAD
}

// salt names a derived key.
type salt [saltLen]byte

const (
	// maxMessages is how many messages one process seals with one derived key.
	maxMessages = 1 << 20
	// maxCiphers bounds the memory for derived keys, at about a kilobyte each.
	maxCiphers = 1024
)

// sealing returns the derived key that seals the next message.
func (m *masterKey) sealing() (salt, cipher.AEAD) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left == 0 {
		_, _ = rand.Read(m.current[:]) // never fails, says its documentation
		m.left = maxMessages
	}
	m.left--
	aead := m.ciphers[m.current]
	if aead == nil {
		aead = m.derive(m.current)
		m.keep(m.current, aead)
	}
	return m.current, aead
}

// open opens what was sealed with a key derived from this one. Only keys that have
// sealed something are kept, so that forgeries do not push them out.
func (m *masterKey) open(sealed, about []byte) ([]byte, error) {
	s := salt(sealed)
	m.mu.Lock()
	aead := m.ciphers[s]
	m.mu.Unlock()
	known := aead != nil
	if !known {
		aead = m.derive(s)
	}
	plain, err := aead.Open(nil, nil, sealed[saltLen:], about)
	if err == nil && !known {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.keep(s, aead)
	}
	return plain, err
}

// keep remembers a derived key. The lock must be held.
func (m *masterKey) keep(s salt, aead cipher.AEAD) {
	if len(m.ciphers) >= maxCiphers {
		clear(m.ciphers) // each comes back when it is needed
	}
	m.ciphers[s] = aead
}

func (m *masterKey) derive(s salt) cipher.AEAD {
	// Without HKDF's extraction, since the key is random from end to end.
	key, err := hkdf.Expand(sha256.New, m.key, "okidkit sealed value "+string(s[:]), keyLen)
	if err != nil {
		panic(err) // the length is one that HKDF has
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length of the key is constant
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // it is AES
	}
	return aead
}

// Check says what is wrong with which key, and nothing of what is in it.
func Check(keys [][]byte) (problems []string) {
	if len(keys) == 0 {
		return []string{" is empty: give at least one key of 32 random bytes"}
	}
	for i, k := range keys {
		switch {
		case len(k) == 0:
			problems = append(problems, fmt.Sprintf("[%d] is empty: is the variable set that it comes from?", i))
		case len(k) != keyLen:
			problems = append(problems, fmt.Sprintf("[%d] has %d bytes instead of %d", i, len(k), keyLen))
		case looksConstant(k):
			problems = append(problems, fmt.Sprintf("[%d] is not random: it has fewer than 8 different bytes", i))
		}
		if slices.ContainsFunc(keys[:i], func(other []byte) bool { return hmac.Equal(k, other) }) {
			problems = append(problems, fmt.Sprintf("[%d] stands there twice", i))
		}
	}
	return problems
}

// looksConstant reports whether a key is one that a person typed as a stand-in:
// 32 random bytes practically always have more different values.
func looksConstant(k []byte) bool {
	var different [256]bool
	n := 0
	for _, b := range k {
		if !different[b] {
			different[b] = true
			n++
		}
	}
	return n < 8
}

// Seal encrypts plain. Only [Keyring.Open] with the same purpose and place gives it back.
func (r Keyring) Seal(purpose, place string, plain []byte) []byte {
	salt, aead := r.keys()[0].sealing()
	out := append(make([]byte, 0, sealLen+len(plain)), salt[:]...)
	return aead.Seal(out, nil, plain, sealedAbout(purpose, place))
}

// Open is the inverse of [Keyring.Seal]. The error is [ErrUnsealable].
func (r Keyring) Open(purpose, place string, sealed []byte) ([]byte, error) {
	if len(sealed) < sealLen {
		return nil, ErrUnsealable
	}
	about := sealedAbout(purpose, place)
	for _, key := range r.keys() {
		if plain, err := key.open(sealed, about); err == nil {
			return plain, nil
		}
	}
	return nil, ErrUnsealable
}

// sealedAbout is what a sealed value is bound to. No purpose contains a zero.
func sealedAbout(purpose, place string) []byte {
	return slices.Concat([]byte(purpose), []byte{0}, []byte(place))
}

// sealReference is the purpose of references.
const sealReference = "okidkit reference"

const (
	// ReferenceLen is the length of a reference: 72 bytes in base64.
	ReferenceLen = 96
	// placeLen is the length of what a reference holds, in bytes.
	placeLen = ReferenceLen/4*3 - sealLen
)

// NewReference returns a reference that holds a place of 40 bytes. It is opaque, cannot
// be forged, and is 96 characters of base64url.
func (r Keyring) NewReference(place string) string {
	return base64.RawURLEncoding.EncodeToString(r.Seal(sealReference, "", []byte(place)))
}

// OpenReference is the inverse of [Keyring.NewReference]. The error is [ErrUnsealable]
// for whatever was never made with these keys.
func (r Keyring) OpenReference(ref string) (place []byte, err error) {
	if len(ref) != ReferenceLen {
		return nil, ErrUnsealable
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(ref)
	if err != nil {
		return nil, ErrUnsealable
	}
	place, err = r.Open(sealReference, "", sealed)
	if err == nil && len(place) != placeLen {
		err = ErrUnsealable
	}
	return place, err
}
