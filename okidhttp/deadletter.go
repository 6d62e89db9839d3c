package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
)

// DeadLetter is an event that was given up: the host was not told of it, and will not be,
// unless somebody calls [Kit.ReplayDeadLetter].
//
// It prints, logs and marshals as its ID, reason and status alone.
type DeadLetter struct {
	// ID is the [Event.ID].
	ID string
	// Reason says why the event was given up.
	Reason DeadReason
	// Status is the status that the host was to be told of.
	Status identity.Status
	// Subject, Attempt and Provider are those of the event.
	Subject, Attempt, Provider string
	// VerificationID is the provider's id of the verification. It is empty if the provider
	// never told it.
	VerificationID string
	// Since is when the kit gave up, by the store's clock.
	Since time.Time
	// Failures is how often the callback failed.
	Failures int
}

// DeadReason says why an event became a dead letter. These constants are the only values.
type DeadReason string

const (
	// DeadCallback means that the callback failed for three days, or with [Permanent].
	DeadCallback DeadReason = "callback"
	// DeadUnaddressable means that the user came back from the provider, but that no webhook
	// of the attempt ever came, so that there is no id by which the provider could be asked.
	// The attempt has expired, and the user may start another.
	DeadUnaddressable DeadReason = "unaddressable"
	// DeadNoVerdict means that the provider has had a claimed verification for 15 minutes
	// without a verdict. The provider is still asked, and the letter goes when there is one.
	DeadNoVerdict DeadReason = "no_verdict"
)

// String returns the ID, the reason and the status.
func (l DeadLetter) String() string {
	return l.ID + " " + string(l.Reason) + " " + string(l.Status)
}

// Format writes String for every verb.
func (l DeadLetter) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// LogValue returns the ID, the reason and the status.
func (l DeadLetter) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", l.ID), slog.String("reason", string(l.Reason)), slog.String("status", string(l.Status)))
}

// MarshalText returns String.
func (l DeadLetter) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// DeadLetters lists the dead letters of all subjects, in no particular order. It reads one
// record for each of them, so it is meant for people, and not for every minute. An error ends
// the list. A letter is listed once [Kit.Run] has noticed it, within seconds.
//
// A dead letter goes when it has become pointless: when the host was told of something
// newer, when its subject is erased, or when the record expires.
func (k *Kit) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		err := k.engine.EachDeadLetter(ctx, func(l engine.DeadLetter) bool { return yield(deadLetter(l), nil) })
		if err != nil {
			yield(DeadLetter{}, err)
		}
	}
}

// deadLetter is a dead letter as the host sees it.
func deadLetter(l engine.DeadLetter) DeadLetter {
	return DeadLetter{l.ID, DeadReason(l.Reason), l.Status, l.Subject, l.Attempt, l.Provider, l.VerificationID, l.Since, l.Failures}
}

// DeadLetter returns the dead letter with this ID, or [ErrNoDeadLetter] if there is none.
func (k *Kit) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	l, err := k.engine.DeadLetter(ctx, id)
	return deadLetter(l), letterError(err)
}

// DropDeadLetter forgets a dead letter. It returns [ErrNoDeadLetter] if there is none with
// this ID.
func (k *Kit) DropDeadLetter(ctx context.Context, id string) error {
	return letterError(k.engine.DropDeadLetter(ctx, id))
}

// ReplayDeadLetter tells the host of a dead letter again, with the same event ID, and returns
// when that is done. Since personal fields were not kept, the provider is asked for them. If
// it is the verdict that is missing, only the provider is asked.
//
// If that fails, the error says why, and the event is tried again like any other until the
// host was told or the event is given up anew. ReplayDeadLetter returns [ErrNoDeadLetter] if
// there is no such letter, or if the attempt has moved on since, in which case the letter is
// dropped; [ErrGivenUpAgain] if the callback gave the event up again; and [ErrNotReplayable]
// if there is no verification to ask about.
func (k *Kit) ReplayDeadLetter(ctx context.Context, id string) error {
	return letterError(k.engine.ReplayDeadLetter(ctx, id))
}

var (
	// ErrNoDeadLetter is returned if there is no dead letter with an ID, or not any more.
	ErrNoDeadLetter = errors.New("okidhttp: no such dead letter")
	// ErrGivenUpAgain is returned by [Kit.ReplayDeadLetter] if the callback failed with
	// [Permanent], so that the event is a dead letter as before.
	ErrGivenUpAgain = errors.New("okidhttp: callback gave the event up again")
	// ErrNotReplayable is returned by [Kit.ReplayDeadLetter] for the reason
	// [DeadUnaddressable]: not even the id of the verification is known.
	ErrNotReplayable = errors.New("okidhttp: dead letter names no verification that could be asked about")
)

// letterError is the engine's error as the host sees it.
func letterError(err error) error {
	switch {
	case err == attempt.ErrNoLetter:
		return ErrNoDeadLetter
	case errors.Is(err, attempt.ErrNoLetter):
		return fmt.Errorf("%w: %w", ErrNoDeadLetter, err)
	case errors.Is(err, attempt.ErrNotReplayable):
		return ErrNotReplayable
	case errors.Is(err, engine.ErrGivenUpAgain):
		return ErrGivenUpAgain
	}
	return err
}
