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

// DeadLetter is an event of which the host was not told in the end, and will not
// be unless somebody asks for it.
//
// It prints, logs and marshals as its ID, reason and status alone.
type DeadLetter struct {
	// ID is that of the event: Event.ID, in every try.
	ID string
	// Reason says why it is there.
	Reason DeadReason
	// Status is what the host was to be told of.
	Status identity.Status
	// Subject, Attempt and Provider are those of the event.
	Subject, Attempt, Provider string
	// VerificationID is the provider's id of the verification. "": never learnt.
	VerificationID string
	// Since is when the kit gave up, by the store's clock.
	Since time.Time
	// Failures is how often the callback failed.
	Failures int
}

// DeadReason says why an event became a dead letter.
type DeadReason string

const (
	// DeadCallback: the host's callback failed for days, or with [Permanent].
	DeadCallback DeadReason = "callback"
	// DeadUnaddressable: the user came back from the provider, but no webhook of
	// the attempt ever came, so that there is no id by which the provider could be
	// asked. The attempt has expired, and the user may start another.
	DeadUnaddressable DeadReason = "unaddressable"
	// DeadNoVerdict: the provider has had a claimed verification for 15 minutes
	// without a verdict. It is still asked; the letter goes when it has one.
	DeadNoVerdict DeadReason = "no_verdict"
)

// String is the ID, the reason and the status.
func (l DeadLetter) String() string {
	return l.ID + " " + string(l.Reason) + " " + string(l.Status)
}

// Format is String for every verb.
func (l DeadLetter) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// LogValue is the ID, the reason and the status.
func (l DeadLetter) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", l.ID), slog.String("reason", string(l.Reason)), slog.String("status", string(l.Status)))
}

// MarshalText is String.
func (l DeadLetter) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// DeadLetters lists the dead letters of all subjects, in no particular order. It
// reads one record for each, so it is for people and not for every minute. An
// error ends it. A letter is listed once [Kit.Run] has come by, within seconds.
//
// They go with what makes them pointless: newer news that was told, the subject's
// [Kit.Erase], or the end of the record.
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

// DeadLetter returns the dead letter with this ID, or [ErrNoDeadLetter].
func (k *Kit) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	l, err := k.engine.DeadLetter(ctx, id)
	return deadLetter(l), letterError(err)
}

// DropDeadLetter forgets a dead letter. The error is [ErrNoDeadLetter] if it is
// not there.
func (k *Kit) DropDeadLetter(ctx context.Context, id string) error {
	return letterError(k.engine.DropDeadLetter(ctx, id))
}

// ReplayDeadLetter tells the host again, with the same event ID, and returns when
// that is done. What is personal was not kept, so the provider is asked for it.
// If it is the verdict that is missing, only the provider is asked.
//
// If it does not work, the error says why, and the event is tried again like any
// other until it works or is given up anew. The error is [ErrNoDeadLetter] if the
// letter is not there, or pointless since the attempt has moved on, in which case
// it is dropped; [ErrGivenUpAgain] if the callback gave it up again; and
// [ErrNotReplayable] if no verification can be asked about.
func (k *Kit) ReplayDeadLetter(ctx context.Context, id string) error {
	return letterError(k.engine.ReplayDeadLetter(ctx, id))
}

var (
	// ErrNoDeadLetter: there is no dead letter with this ID, or not any more.
	ErrNoDeadLetter = errors.New("okidhttp: no such dead letter")
	// ErrGivenUpAgain is returned by [Kit.ReplayDeadLetter] if the callback failed with
	// [Permanent], so that the event is a dead letter as before.
	ErrGivenUpAgain = errors.New("okidhttp: callback gave the event up again")
	// ErrNotReplayable: a dead letter with the reason [DeadUnaddressable] tells of a
	// verification of which not even the id is known.
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
