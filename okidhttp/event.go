package okidhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
	"github.com/okidkit/okidkit/internal/text"
)

// Event is what a callback is told.
//
// It prints, logs and marshals as its ID and status alone, since the other fields may be
// personal.
type Event struct {
	// ID identifies the event: it is the same each time the event is told, and different
	// for every other event. Use it as an idempotency key.
	ID string
	// Status is what the attempt has become. In OnVerified and Decide, it is what the
	// attempt is about to become.
	Status identity.Status
	// Reason is why the attempt failed, or was revoked: what [Refuse] was given,
	// [ReasonPolicy], [ReasonDocumentExpired], [ReasonDocumentUnreadable], or what the
	// provider says, such as [identity.ReasonError]. It is empty if the provider refused
	// and gives no reason. [ReasonStaff] is also the reason of a verification that staff have
	// approved, of which nothing else is known.
	Reason string
	// Final says that the refusal rules out another attempt. See [Refusal.Final].
	Final bool
	// Subject is the user, as [Config.Subject] named them when the attempt began.
	Subject string
	// Attempt is the reference of the attempt, as [Kit.Start] gave it out.
	Attempt string
	// Provider is the name of the attempt's provider.
	Provider string
	// Metadata is what [Config.Metadata] returned when the attempt began.
	Metadata map[string]string
	// Verification is what the provider found out, with its personal fields, which are
	// not kept after the callback. If the attempt expired because nobody finished it in
	// time, only its ID is set.
	Verification identity.Verification
	// Renewal says that another verification of the subject counts. OnVerified: it is replaced
	// by this one. Otherwise it stands whatever became of this attempt, and the gate stays open.
	Renewal bool
	// SameDocument lists the other subjects who are verified with the same document, in the
	// order in which they first presented it, for Decide and OnVerified. Somebody whose
	// verification with it is under way, and was first, counts as well. One who cannot be named,
	// because the key that sealed the name is gone, is listed as "". It is nil without
	// [Config.FingerprintKey], and if the document has no number.
	SameDocument []string
	// ExpiresAt is when the verification will stop to count. It is set for OnExpiring alone.
	ExpiresAt time.Time
}

// The reasons for which the kit itself refuses a verification.
const (
	// ReasonPolicy is the Reason of an attempt that [Config.Decide] refused with a
	// reason that is not of the form that [Refuse] describes.
	ReasonPolicy = attempt.ReasonPolicy
	// ReasonDocumentExpired is the Reason of an attempt whose document had expired
	// when it was verified. See [Config.AllowExpiredDocument].
	ReasonDocumentExpired = attempt.ReasonDocumentExpired
	// ReasonDocumentUnreadable is the Reason of an attempt whose document has an
	// expiry date that cannot be read. See [Config.AllowExpiredDocument].
	ReasonDocumentUnreadable = attempt.ReasonDocumentUnreadable
	// ReasonStaff is the Reason of what [Kit.Revoke] and [Kit.Approve] have decided.
	ReasonStaff = attempt.ReasonStaff
)

// String returns the ID and the status.
func (e Event) String() string { return e.ID + " " + string(e.Status) }

// Format writes String for every verb.
func (e Event) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue returns the ID and the status.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", e.ID), slog.String("status", string(e.Status)))
}

// MarshalText returns String.
func (e Event) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// Permanent returns an error that wraps err and tells the kit not to call again: no later
// try would succeed. The event becomes a [DeadLetter], and the provider's webhook is answered
// with 200. An attempt that was about to be verified fails; a gate that was shut stays shut.
// If err is nil, Permanent returns nil.
func Permanent(err error) error { return engine.Permanent(err) }

// Refuse returns the error with which [Config.Decide] refuses a verification. The reason
// is a word for programs, such as "too_young": 1 to 64 lower-case letters, digits and
// underscores, of which the first is a letter. It says nothing that is personal, since
// the record keeps it in clear, the log has it, and the user's browser is told. The pages
// show the text that [Config.Texts] has for it. A reason of another form counts as
// [ReasonPolicy].
func Refuse(reason string) Refusal {
	if !text.IsReason(reason) {
		reason = ReasonPolicy
	}
	return Refusal{reason: reason}
}

// Refusal is an error that refuses a verification. It is made by [Refuse]; the zero value
// refuses with [ReasonPolicy]. An error that wraps one refuses as well.
type Refusal struct {
	reason string
	final  bool
}

// Final returns the refusal, but one that also rules out another try: the subject may not
// begin another attempt as long as the record is kept, which [Config.UnverifiedRetention]
// says, or until it is erased. Use it where no other document would help.
func (r Refusal) Final() Refusal {
	r.final = true
	return r
}

// Error returns the reason.
func (r Refusal) Error() string { return "verification refused: " + cmp.Or(r.reason, ReasonPolicy) }

// callback is the host's function for a status, or nil.
func (c *Config) callback(s identity.Status) func(context.Context, Event) error {
	switch s {
	case identity.Started:
		return c.OnStarted
	case identity.Review:
		return c.OnReview
	case identity.Verified:
		return c.OnVerified
	case identity.Failed:
		return c.OnFailed
	case identity.Expired:
		return c.OnExpired
	case identity.Revoked:
		return c.OnRevoked
	}
	return nil
}

// callbacks are the host as the engine sees it.
type callbacks struct{ *Config }

// Decide asks Config.Decide, if there is one.
func (h callbacks) Decide(ctx context.Context, e engine.Event) (*attempt.Refusal, error) {
	if h.Config.Decide == nil {
		return nil, nil
	}
	err := h.Config.Decide(ctx, Event(e))
	if r, ok := errors.AsType[Refusal](err); ok {
		return &attempt.Refusal{Reason: cmp.Or(r.reason, ReasonPolicy), Final: r.final}, nil
	}
	return nil, err
}

// Notify calls the callback for the event's status, if there is one.
func (h callbacks) Notify(ctx context.Context, e engine.Event) error {
	if !e.ExpiresAt.IsZero() {
		return h.OnExpiring(ctx, Event(e))
	}
	if f := h.callback(e.Status); f != nil {
		return f(ctx, Event(e))
	}
	return nil
}
