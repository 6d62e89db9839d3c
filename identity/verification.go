package identity

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/okidkit/okidkit/internal/redact"
)

// Verification is what a provider found out about one person. Everything but ID
// and Status is optional: providers leave out what they did not see.
//
// It is personal data, so it prints, logs and marshals as its ID and status
// alone ("okid ver_… verified"). Name the field to have it:
// v.FirstName, v.DateOfBirth.String().
//
// That holds for one that lies in an exported field, a slice, a map or an interface,
// but not for one in an unexported field of another struct: package fmt can call no
// method there, and prints every field that it finds. A pointer helps with %v and its
// like, but fmt follows it for a verb that does not fit, such as %s. Let such a field
// be a function that returns the Verification: of a function fmt prints the address.
type Verification struct {
	// ID is the provider's own id of the verification. Empty while unknown.
	ID string
	// Status is the verdict. Empty if the provider used an unknown word.
	Status Status
	// Reason tells why Status is [Failed] when it is not that the provider
	// refused the person, or why it did: [ReasonError] or [ReasonDocumentExpired]. Empty
	// otherwise. It is not personal.
	Reason string
	// CreatedAt and CompletedAt are the provider's times. Zero: not told.
	CreatedAt, CompletedAt time.Time

	// DocumentType is the provider's word: "passport", "id-card".
	DocumentType string
	// DocumentExpiry is the last day on which the document is valid. One that is
	// there and cannot be read is not zero, see [Date.Unreadable].
	DocumentExpiry Date

	FirstName      string
	LastName       string
	DocumentNumber string
	DateOfBirth    Date
	// Nationality and IssuingCountry, which is the country that issued the document,
	// are ISO 3166-1 alpha-3 codes, such as "NLD".
	Nationality, IssuingCountry string

	// Concerns are what the provider found fault with, at most [MaxConcerns].
	Concerns []Concern
}

// ReasonError is the [Verification.Reason] of a verification that a technical
// error at the provider ended: nothing is known about the person, who may try
// again.
const ReasonError = "provider_error"

// ReasonDocumentExpired is the [Verification.Reason] of a verification that failed because
// the document had expired: another one may do.
const ReasonDocumentExpired = "document_expired"

// MaxText is how many bytes a text of a [Verification] has at most, names, numbers and
// types. A longer one is left out: a record of a verification must stay small.
const MaxText = 1 << 10

// MaxConcerns is how many concerns a [Verification] has at most.
const MaxConcerns = 32

// redacted makes T print, log and marshal as its name alone.
type redacted[T any] = redact.Type[T]

// Concern is one thing that a provider found fault with, in the provider's own
// words. Each is at most 256 bytes long, and empty if the provider did not tell.
// A message may be about the person, so a concern prints, logs and marshals
// without its content.
type Concern struct {
	redacted[Concern]
	ID      string // "DC030"
	Service string // what found it: "doc-check"
	Status  string // what follows from it: "declined"
	Message string // for people
}

// Field names a personal field of a [Verification].
type Field string

// The personal fields, for lists of those that a host wants kept.
const (
	FirstName      Field = "first_name"
	LastName       Field = "last_name"
	DocumentNumber Field = "document_number"
	DateOfBirth    Field = "date_of_birth"
)

// Valid reports whether f is one of the fields above.
func (f Field) Valid() bool {
	switch f {
	case FirstName, LastName, DocumentNumber, DateOfBirth:
		return true
	}
	return false
}

// Get returns one personal field as text, dates as YYYY-MM-DD. It is "" if the
// provider did not tell, if it told a date that is unreadable (which tells nothing
// about the person; ask v.DateOfBirth.Unreadable()), or if f is not valid.
func (v Verification) Get(f Field) string {
	switch f {
	case FirstName:
		return v.FirstName
	case LastName:
		return v.LastName
	case DocumentNumber:
		return v.DocumentNumber
	case DateOfBirth:
		if v.DateOfBirth.Exists() {
			return v.DateOfBirth.String()
		}
	}
	return ""
}

// Set is the inverse of Get; a date may have any form that [ParseDate] reads. It
// returns an error that wraps [ErrMalformed] for a field that is not valid and for
// a date that is not one, and then changes nothing.
func (v *Verification) Set(f Field, text string) error {
	switch f {
	case FirstName:
		v.FirstName = text
	case LastName:
		v.LastName = text
	case DocumentNumber:
		v.DocumentNumber = text
	case DateOfBirth:
		if text == "" {
			v.DateOfBirth = Date{}
			return nil
		}
		d, err := ParseDate(text)
		if err != nil {
			return err
		}
		v.DateOfBirth = d
	default:
		return fmt.Errorf("%w: no such field", ErrMalformed)
	}
	return nil
}

// String is the id and the status.
func (v Verification) String() string { return v.ID + " " + string(v.Status) }

// Format prints String for every verb, so that %+v and %#v leak nothing.
func (v Verification) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// LogValue is the id and the status.
func (v Verification) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", v.ID), slog.String("status", string(v.Status)))
}

// MarshalText is String: encoding/json, too, writes no personal field unless it
// is named.
func (v Verification) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
