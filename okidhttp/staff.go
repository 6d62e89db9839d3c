package okidhttp

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
)

// StaffProvider is the [Grant.Provider] of whoever is verified by [Kit.Approve].
const StaffProvider = attempt.StaffProvider

// maxStaffText bounds the texts of a Staff, in bytes.
const maxStaffText = 200

// Staff says who of the host's staff acts, and why. Both are required, and kept, sealed, in
// the history of the attempt. The log has the actor.
type Staff struct {
	// Actor is who acts, such as a log-in name. At most 200 bytes.
	Actor string
	// Reason is why, in the actor's own words. At most 200 bytes.
	Reason string
}

// word checks who acts, and why.
func (s Staff) word() (attempt.StaffWord, error) {
	for _, text := range []string{s.Actor, s.Reason} {
		if text == "" || len(text) > maxStaffText || !utf8.ValidString(text) {
			return attempt.StaffWord{}, errors.New("okidhttp: Staff needs an Actor and a Reason, each of at most 200 bytes")
		}
	}
	return attempt.StaffWord{Actor: s.Actor, Reason: s.Reason}, nil
}

var (
	// ErrNothingToDo is returned by [Kit.Revoke] if the subject has no verification, by
	// [Kit.Approve] if the subject is verified, and by [Kit.ResetLimit] if there is nothing
	// to reset.
	ErrNothingToDo = errors.New("okidhttp: nothing to do")
	// ErrNotTold is returned, with the cause, by [Kit.Revoke] and [Kit.Approve] if what was
	// decided is durable, but the callback failed. It is called again as for any event, unless
	// it has given the event up, which is then a [DeadLetter].
	ErrNotTold = errors.New("okidhttp: decided, but the host was not told yet")
)

// Revoke withdraws whatever verification of a subject counts, or is about to, by the word of
// staff. The gate shuts at once, on every replica, and OnRevoked is called, with
// [ReasonStaff]. No webhook of an older attempt undoes it; a new verification does, and so
// does [Kit.Approve]. The errors are [ErrNothingToDo] and [ErrNotTold], and others mean that
// nothing was decided.
func (k *Kit) Revoke(ctx context.Context, subject string, by Staff) error {
	word, err := by.word()
	if err != nil {
		return err
	}
	return staffError(k.engine.Revoke(ctx, attempt.HashSubject(subject), word))
}

// Approve verifies a subject by the word of staff. It ends the subject's last attempt, if that
// is not verified or revoked, and a new one otherwise. OnVerified is called before the gate
// opens, with [ReasonStaff]; [Config.Decide] is not asked. The grant tells neither age nor
// document, and its provider is [StaffProvider]. No webhook of the attempt undoes it. The errors
// are [ErrNothingToDo] and [ErrNotTold], after which the gate opens when OnVerified returns
// nil, and others mean that nothing was decided.
func (k *Kit) Approve(ctx context.Context, subject string, by Staff) error {
	word, err := by.word()
	if err != nil {
		return err
	}
	return staffError(k.engine.Approve(ctx, subject, word))
}

// ResetLimit forgets how often a subject has tried, for [Config.StartLimit], and lifts what
// [Refusal.Final] has ruled out. The errors are [ErrNothingToDo], and others mean that nothing
// was reset.
func (k *Kit) ResetLimit(ctx context.Context, subject string, by Staff) error {
	word, err := by.word()
	if err != nil {
		return err
	}
	return staffError(k.engine.ResetLimit(ctx, attempt.HashSubject(subject), word))
}

// staffError is the engine's error as the host sees it.
func staffError(err error) error {
	switch {
	case errors.Is(err, engine.ErrNothing):
		return ErrNothingToDo
	case errors.Is(err, engine.ErrNotTold):
		return errors.Join(ErrNotTold, err)
	}
	return err
}

// Attempt is one try of a subject to be verified, as staff may see it. Nothing in it is
// personal, but for what staff have written.
type Attempt struct {
	// ID is the support code that the pages show and the log has. Reference is
	// [Event.Attempt].
	ID, Reference string
	// Provider is the name of the provider, and VerificationID the provider's id of the
	// verification, which is empty until it is known.
	Provider, VerificationID string
	// Status is the attempt's status, and Reason and Final say why, as in [Event].
	Status identity.Status
	Reason string
	Final  bool
	// CreatedAt is when the attempt began, and UpdatedAt when its status changed last.
	CreatedAt, UpdatedAt time.Time
	// Returned says that the user came back from the provider.
	Returned bool
	// Counts says that the gate is open because of this attempt.
	Counts bool
	// Waiting is how many events the host has yet to be told, and DeadLetters are the IDs of
	// those that were given up.
	Waiting     int
	DeadLetters []string
	// Actions are what staff have done, oldest first: the last eight.
	Actions []Action
}

// Action is something that staff have done.
//
// It prints, logs and marshals without its fields, since staff may have written anything.
type Action struct {
	redacted[Action]

	// Action is "revoke", "approve" or "reset_limit".
	Action string
	// Staff is who has acted, and why. It is zero if the key that sealed it is gone.
	Staff Staff
	// At is when.
	At time.Time
}

// Attempts returns the attempts of a subject that the record still has, oldest first: those
// on which something depends, and a few more. Nobody has any of whom nothing is known. An
// error means that the store cannot be read.
func (k *Kit) Attempts(ctx context.Context, subject string) ([]Attempt, error) {
	s, err := k.engine.Load(ctx, attempt.HashSubject(subject))
	if err != nil {
		return nil, err
	}
	policy := k.engine.Policy()
	counts := policy.Counts(s.Grant(), s.Now)
	granting := s.Granting()
	var all []Attempt
	for i := range s.Attempts {
		a := &s.Attempts[i]
		shown := Attempt{
			ID: a.ID.String(), Reference: a.Reference, Provider: a.Provider, VerificationID: a.ProviderID,
			Status: a.Status, Reason: a.Reason, Final: a.RuledOut, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
			Returned: a.Returned, Counts: counts && a == granting, Waiting: len(a.Outbox),
		}
		for j := range a.Letters {
			shown.DeadLetters = append(shown.DeadLetters, attempt.EventID(a.ID, a.Letters[j].Event))
		}
		for j := range a.Actions {
			x := &a.Actions[j]
			word := policy.OpenAction(a, x)
			shown.Actions = append(shown.Actions, Action{Action: x.Action, Staff: Staff{word.Actor, word.Reason}, At: x.At})
		}
		all = append(all, shown)
	}
	return all, nil
}
