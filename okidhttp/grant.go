package okidhttp

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// ErrNotVerified: the subject has no verification that counts now.
var ErrNotVerified = errors.New("okidhttp: subject is not verified")

// Grant is what the kit remembers of a verification that counts, and all that it
// keeps in clear: nothing in it says who somebody is.
type Grant struct {
	// VerifiedAt is when the verification began to count.
	VerifiedAt time.Time
	// Provider is the name of the provider that verified.
	Provider string
	// DocumentType is the provider's word for the document. May be empty.
	DocumentType string
	// DocumentExpiry is the last day on which the document is valid. It is zero if
	// the provider did not tell, and [identity.UnreadableDate] if it told what
	// cannot be read.
	DocumentExpiry identity.Date
	// AgeOver lists those of Config.AgeOver that the user had reached when the
	// verification began to count.
	AgeOver []int
}

// Over reports whether the user is known to have reached an age. It must be one
// of Config.AgeOver.
func (g Grant) Over(years int) bool { return slices.Contains(g.AgeOver, years) }

// Grant returns what a subject's verification grants, and [ErrNotVerified] if it
// has none that counts now. It is what [Kit.RequireVerified] asks, for code that
// is not behind a route. Any other error means that the store is away, and
// nobody knows.
func (k *Kit) Grant(ctx context.Context, subject string) (Grant, error) {
	g, err := k.engine.Grant(ctx, attempt.HashSubject(subject))
	switch {
	case err != nil:
		return Grant{}, err
	case g == nil:
		return Grant{}, ErrNotVerified
	}
	return Grant(*g), nil
}

// Kept returns the fields of Config.Keep of the verification that the subject's
// grant rests on, and its ID and Status. The errors are those of [Kit.Grant],
// and one more if the keys that sealed the fields are gone.
func (k *Kit) Kept(ctx context.Context, subject string) (identity.Verification, error) {
	v, ok, err := k.engine.Kept(ctx, attempt.HashSubject(subject))
	if err == nil && !ok {
		err = ErrNotVerified
	}
	return v, err
}
