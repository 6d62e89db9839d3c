package attempt

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// SubjectHash stands for a subject in the store and in references. It takes no key, so
// that rotating keys loses nobody's record.
type SubjectHash [sha256.Size]byte

// HashSubject returns the hash that stands for a subject.
func HashSubject(subject string) SubjectHash {
	var buf [128]byte
	b := append(buf[:0], "okidkit subject\x00"...)
	return sha256.Sum256(append(b, subject...))
}

// Key returns the key of the subject's record in the store.
func (h SubjectHash) Key() string {
	var buf [2 + 43]byte
	b := append(buf[:0], "s:"...)
	return string(base64.RawURLEncoding.AppendEncode(b, h[:]))
}

// SubjectOfKey is the inverse of [SubjectHash.Key]. The error wraps [ErrCorrupt] if the
// key is not a subject's.
func SubjectOfKey(key string) (h SubjectHash, err error) {
	text, ok := strings.CutPrefix(key, "s:")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%w: its key is not a subject's", ErrCorrupt)
	}
	return SubjectHash(b), nil
}

// ID tells the attempts of one subject apart.
type ID [8]byte

// String returns what logs and support pages show of an attempt. It opens nothing.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns the ID as String does, for logs in JSON.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// Address says where an attempt is kept.
type Address struct {
	Subject SubjectHash
	Attempt ID
}

// AddressLen is the length of an address as [Address.Place] writes it, in bytes.
const AddressLen = len(SubjectHash{}) + len(ID{})

// AddressAt is the inverse of [Address.Place].
func AddressAt(place []byte) (a Address) {
	copy(a.Attempt[:], place[copy(a.Subject[:], place):])
	return a
}

// Place returns what the parts of an attempt are sealed to, so that a part which is
// copied to another record or attempt does not open.
func (a Address) Place() string { return string(a.Subject[:]) + string(a.Attempt[:]) }
