package okidhttp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
)

// keyLen is the length of each of Config.Keys, in bytes.
const keyLen = 32

// saltLen is the length of the random part of a sealed value, in bytes.
const saltLen = 16

// errUnsealable is the answer for bytes that none of the keys sealed for this
// purpose and place. It says no more, since the bytes may come from a stranger.
var errUnsealable = errors.New("value was not sealed with these keys for this place")

// keyring seals what must not be read, and opens only what it sealed. The first
// key seals, all open, so keys can be rotated by putting a new one in front.
//
// Each message has a key of its own, HMAC-SHA256(key, purpose and random salt),
// and AES-256-GCM under a constant nonce: a nonce drawn at random would have to
// be changed after 2^32 messages under one key, which a busy site reaches.
//
// The keys stay behind a function, so that printing a struct which holds a
// keyring shows an address, whatever the verb.
type keyring struct {
	keys func() []*sync.Pool // one of derivers for each key
}

// newKeyring copies the keys, which checkKeys must have found good.
func newKeyring(keys [][]byte) keyring {
	pools := make([]*sync.Pool, len(keys))
	for i, k := range keys {
		key := slices.Clone(k)
		pools[i] = &sync.Pool{New: func() any { return &deriver{mac: hmac.New(sha256.New, key)} }}
	}
	return keyring{keys: func() []*sync.Pool { return pools }}
}

// deriver makes the keys of messages. It is kept because hashing one of
// Config.Keys costs more than the rest.
type deriver struct {
	mac hash.Hash
	buf []byte
}

// checkKeys says what is wrong with which key, and nothing of what is in it.
func checkKeys(keys [][]byte) (problems []string) {
	if len(keys) == 0 {
		return []string{" is empty: give at least one key of 32 random bytes"}
	}
	for i, k := range keys {
		switch {
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

// seal encrypts plain. Only open with the same purpose and place gives it back.
func (r keyring) seal(purpose, place string, plain []byte) []byte {
	out := make([]byte, saltLen, saltLen+len(plain)+16)
	_, _ = rand.Read(out) // never fails, says its documentation
	return messageCipher(r.keys()[0], purpose, out).Seal(out, zeroNonce, plain, []byte(place))
}

// open is the inverse of seal.
func (r keyring) open(purpose, place string, sealed []byte) ([]byte, error) {
	if len(sealed) < saltLen+16 {
		return nil, errUnsealable
	}
	salt, box := sealed[:saltLen], sealed[saltLen:]
	for _, key := range r.keys() {
		plain, err := messageCipher(key, purpose, salt).Open(nil, zeroNonce, box, []byte(place))
		if err == nil {
			return plain, nil
		}
	}
	return nil, errUnsealable
}

var zeroNonce = make([]byte, 12)

func messageCipher(key *sync.Pool, purpose string, salt []byte) cipher.AEAD {
	d := key.Get().(*deriver)
	defer key.Put(d)
	d.mac.Reset()
	d.buf = append(append(append(d.buf[:0], purpose...), 0), salt...)
	d.mac.Write(d.buf)
	d.buf = d.mac.Sum(d.buf[:0])
	block, err := aes.NewCipher(d.buf)
	if err != nil {
		panic(err) // the length of the key is constant
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM wants
	}
	return gcm
}

// The purposes for which values are sealed.
const (
	sealReference = "okidkit reference"
	sealSubject   = "okidkit subject"
	sealToken     = "okidkit process token"
	sealContext   = "okidkit attempt context"
	sealNotice    = "okidkit pending notice"
	sealKept      = "okidkit kept fields"
)

// subjectHash stands for a subject in the store and in references. It takes no
// key, so that rotating keys loses nobody's record.
type subjectHash [sha256.Size]byte

func hashSubject(subject string) subjectHash {
	var buf [128]byte
	b := append(buf[:0], "okidkit subject\x00"...)
	return sha256.Sum256(append(b, subject...))
}

// key is the key of the subject's record.
func (h subjectHash) key() string {
	var buf [2 + 43]byte
	b := append(buf[:0], "s:"...)
	return string(base64.RawURLEncoding.AppendEncode(b, h[:]))
}

// subjectOfKey is the inverse of key.
func subjectOfKey(key string) (h subjectHash, err error) {
	text, ok := strings.CutPrefix(key, "s:")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%w: its key is not a subject's", errCorrupt)
	}
	return subjectHash(b), nil
}

// attemptID tells the attempts of one subject apart.
type attemptID [8]byte

func newAttemptID() (id attemptID) {
	_, _ = rand.Read(id[:])
	return id
}

// String is what logs and support pages show of an attempt. It opens nothing.
func (id attemptID) String() string { return fmt.Sprintf("%x", id[:]) }

// address is what a reference holds: where the attempt is kept.
type address struct {
	subject subjectHash
	attempt attemptID
}

// addressLen is the length of an address, in bytes.
const addressLen = len(subjectHash{}) + len(attemptID{})

// addressAt reads what place wrote.
func addressAt(place []byte) (a address) {
	copy(a.attempt[:], place[copy(a.subject[:], place):])
	return a
}

// place is where the parts of an attempt are sealed to, so that a part copied to
// another record or attempt does not open.
func (a address) place() string {
	return string(a.subject[:]) + string(a.attempt[:])
}

// newReference makes the reference by which outside events find an attempt. It
// is opaque, cannot be forged, and is 96 characters of base64url.
func (r keyring) newReference(a address) string {
	return base64.RawURLEncoding.EncodeToString(r.seal(sealReference, "", []byte(a.place())))
}

// referenceLen is the length of a reference: 72 bytes in base64.
const referenceLen = 96

// openReference is the inverse of newReference. Whatever does not open was never
// minted with these keys.
func (r keyring) openReference(ref string) (address, error) {
	if len(ref) != referenceLen {
		return address{}, errUnsealable
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(ref)
	if err != nil {
		return address{}, errUnsealable
	}
	plain, err := r.open(sealReference, "", sealed)
	if err != nil {
		return address{}, err
	}
	if len(plain) != addressLen {
		return address{}, errUnsealable
	}
	return addressAt(plain), nil
}
