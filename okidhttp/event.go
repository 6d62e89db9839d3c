package okidhttp

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Event is what a callback is told.
//
// It prints, logs and marshals as its ID and status alone: subject, metadata and
// verification are the host's to name.
type Event struct {
	// ID is the same however often the event is told, and different for every
	// other event. Use it as an idempotency key.
	ID string
	// Status is what the attempt has become, or, in OnVerified and Decide, is
	// about to become.
	Status identity.Status
	// Reason tells why an attempt failed when it was not the provider that
	// refused: [ReasonPolicy], [ReasonDocumentExpired], [ReasonDocumentUnreadable],
	// or [identity.ReasonError]. Empty otherwise.
	Reason string
	// Subject is whom it is about, as Config.Subject named them when the attempt
	// began.
	Subject string
	// Attempt is the attempt's reference, as the start route gave it out.
	Attempt string
	// Provider is the name of the attempt's provider.
	Provider string
	// Metadata is what Config.Metadata said when the attempt began.
	Metadata map[string]string
	// Verification is what the provider found out, with its personal fields.
	// They exist for the length of the callback and are not kept. When an
	// attempt expires by the clock, it holds no more than the ID.
	Verification identity.Verification
}

// The reasons for which the kit itself refuses a verification.
const (
	// ReasonPolicy is the Reason of an attempt that [Config.Decide] refused.
	ReasonPolicy = "policy"
	// ReasonDocumentExpired is the Reason of an attempt whose document had expired
	// when it was verified. See [Config.AllowExpiredDocument].
	ReasonDocumentExpired = "document_expired"
	// ReasonDocumentUnreadable is the Reason of an attempt whose document has an
	// expiry date that cannot be read. See [Config.AllowExpiredDocument].
	ReasonDocumentUnreadable = "document_expiry_unreadable"
)

// refused reports whether the reason of a failed attempt is one of the kit's own, and
// not the provider's.
func refused(reason string) bool {
	switch reason {
	case ReasonPolicy, ReasonDocumentExpired, ReasonDocumentUnreadable:
		return true
	}
	return false
}

// String is the ID and the status.
func (e Event) String() string { return e.ID + " " + string(e.Status) }

// Format is String for every verb.
func (e Event) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue is the ID and the status.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", e.ID), slog.String("status", string(e.Status)))
}

// MarshalText is String.
func (e Event) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// eventID names the event of an attempt with this number, which stands in the
// record before anybody is told.
func eventID(attempt attemptID, number int64) string {
	var buf [64]byte
	b := hex.AppendEncode(append(buf[:0], "okidkit event "...), attempt[:])
	sum := sha256.Sum256(strconv.AppendInt(append(b, ' '), number, 10))
	return string(lowerBase32.AppendEncode(append(buf[:0], "evt_"...), sum[:15]))
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567")

// Permanent marks a callback's error as one that no later try will mend. The
// notice becomes a dead letter and the provider gets its 200. An attempt about to
// be verified is failed; what was closed stays closed. A nil err gives nil.
func Permanent(err error) error { return mark(err, errPermanent) }

// Temporary marks an error of Config.Decide as "could not tell": the question is
// asked again later. A nil err gives nil.
func Temporary(err error) error { return mark(err, errTemporary) }

var (
	errPermanent = errors.New("permanent")
	errTemporary = errors.New("temporary")
)

func mark(err, as error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", as, err)
}

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

// call runs one of the host's functions; nil has nothing to say. A panic comes
// back as an error that matches errPanic.
func (k *Kit) call(ctx context.Context, f func(context.Context, Event) error, e Event) (err error) {
	if f == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err // the lease may be somebody else's by now
	}
	ctx, cancel := withTimeoutFromNow(ctx, k.cfg.CallbackTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return f(ctx, e)
}

var errPanic = errors.New("callback panicked")

// panicError is a panic of the host's. It matches errPanic.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) what() string  { return fmt.Sprintf("%v: %v", errPanic, e.value) }
func (e *panicError) Error() string { return e.what() + "\n" + string(e.stack) }
func (e *panicError) Unwrap() error { return errPanic }

// vetoed reports whether an error of Config.Decide refuses.
func vetoed(err error) bool {
	return err != nil && !errors.Is(err, errTemporary) && !errors.Is(err, errPanic) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// backoff is how long to wait before try number tries, counted from 1: from one
// second, doubling, to ten minutes, and up to a quarter longer so that many
// failures do not come back at once. The event's ID draws the lot.
func backoff(id string, tries int64) time.Duration {
	d := 10 * time.Minute
	if tries < 11 {
		d = min(d, time.Second<<(tries-1))
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", id, tries))
	return d + d/4*time.Duration(sum[0])/256
}

// A callback that has failed minFailures times, and for giveUpAfter, makes its
// notice a dead letter.
const (
	minFailures = 10
	giveUpAfter = 72 * time.Hour
)
