package identity

import (
	"errors"
	"fmt"
	"time"
)

// What a provider answers when it cannot do what was asked. They are matched
// with [errors.Is]; the errors that wrap them carry the cause for a log, and
// never a secret or a personal field.
var (
	// ErrSignature: the message is not signed, or not by the provider.
	ErrSignature = errors.New("signature is missing or wrong")

	// ErrTimestamp: the message says no readable time, or one that lies in the
	// future.
	ErrTimestamp = errors.New("timestamp is missing or unusable")

	// ErrStale: the message is signed by the provider and well formed, but was
	// sent too long ago to be believed. It comes together with the [Notice],
	// which is then a hint: a reason to ask the provider, and no more.
	ErrStale = errors.New("message is too old")

	// ErrMalformed: the message is authentic but not what the provider documents.
	ErrMalformed = errors.New("message is malformed")

	// ErrNotFound: the provider does not know the verification.
	ErrNotFound = errors.New("provider does not know the verification")

	// ErrRefused: the provider answered, and its answer was no, or cannot be
	// used. Trying again without a change will not help.
	ErrRefused = errors.New("provider refused")

	// ErrUnavailable: the provider could not be reached, or says that it cannot
	// answer now. Try again later.
	ErrUnavailable = errors.New("provider is unavailable")

	// ErrUncertain comes with ErrRefused or ErrUnavailable when the request may
	// have been carried out all the same: the answer was lost or cannot be read.
	ErrUncertain = errors.New("request may have been carried out")
)

// RateLimitError says that the provider has been asked too often, or asks for a pause
// for another reason. [errors.Is] finds [ErrUnavailable] in it. Find it itself, and
// with it the time to wait, with [errors.As].
type RateLimitError struct {
	// RetryAfter is how long the provider asks to be left alone. Zero: it did not
	// say. It is as the provider gave it, but for a time that is over, which is a
	// millisecond: bound it before waiting.
	RetryAfter time.Duration
}

// Error says how long to wait.
func (e *RateLimitError) Error() string {
	if e.RetryAfter <= 0 {
		return ErrUnavailable.Error() + ", and asks for a pause"
	}
	return fmt.Sprintf("%v, and asks for a pause of %v", ErrUnavailable, e.RetryAfter)
}

// Unwrap is ErrUnavailable.
func (e *RateLimitError) Unwrap() error { return ErrUnavailable }
