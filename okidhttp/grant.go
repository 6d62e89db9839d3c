package okidhttp

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// ErrNotVerified is returned by [Kit.Grant] and [Kit.Kept] if the subject has no valid
// verification.
var ErrNotVerified = errors.New("okidhttp: subject is not verified")

// Grant is what the kit remembers of a valid verification. It is all that the record keeps in
// clear, and nothing in it says who somebody is.
type Grant struct {
	// VerifiedAt is when the verification began to count.
	VerifiedAt time.Time
	// Provider is the name of the provider that verified.
	Provider string
	// DocumentType is the provider's word for the document, and may be empty.
	DocumentType string
	// DocumentExpiry is the last day on which the document is valid. It is zero if the
	// provider does not tell, and [identity.UnreadableDate] if it cannot be read.
	DocumentExpiry identity.Date
	// AgeOver lists those ages of [Config.AgeOver] that the user has reached. An age is added
	// on the day on which it is reached: until then that day is kept, sealed.
	AgeOver []int
	// Country is the country that issued the document, as an ISO 3166-1 alpha-3 code such as
	// "NLD". It is empty if the provider does not tell.
	Country string
}

// Over reports whether the user is known to have reached an age, which must be one of
// [Config.AgeOver].
func (g Grant) Over(years int) bool { return slices.Contains(g.AgeOver, years) }

// Grant returns what a subject's verification grants, or [ErrNotVerified] if the subject has
// no valid one. It is for code that is not behind [Kit.RequireVerified]. Any other error means
// that the store cannot be read, so that nobody knows.
func (k *Kit) Grant(ctx context.Context, subject string) (Grant, error) {
	g, _, err := k.engine.Grant(ctx, attempt.HashSubject(subject))
	switch {
	case err != nil:
		return Grant{}, err
	case g == nil:
		return Grant{}, ErrNotVerified
	}
	return Grant(*g), nil
}

// Kept returns the fields named in [Config.Keep] of the verification on which the subject's
// grant rests, with its ID and Status. It returns the errors of [Kit.Grant], and another one
// if the key that sealed the fields is gone.
func (k *Kit) Kept(ctx context.Context, subject string) (identity.Verification, error) {
	v, ok, err := k.engine.Kept(ctx, attempt.HashSubject(subject))
	if err == nil && !ok {
		err = ErrNotVerified
	}
	return v, err
}
