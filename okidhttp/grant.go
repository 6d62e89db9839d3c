package okidhttp

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
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
	later
}

// Over reports whether the user is known to have reached an age. It must be one
// of Config.AgeOver.
func (g Grant) Over(years int) bool { return slices.Contains(g.AgeOver, years) }

// maxDocumentType bounds what stands in clear and came from the provider.
const maxDocumentType = 64

func (k *Kit) newGrant(provider string, v identity.Verification, now time.Time) *Grant {
	g := &Grant{
		VerifiedAt:     now,
		Provider:       provider,
		DocumentExpiry: v.DocumentExpiry,
	}
	if len(v.DocumentType) <= maxDocumentType {
		g.DocumentType = v.DocumentType
	}
	today := k.today(now)
	for _, years := range k.cfg.AgeOver {
		if v.DateOfBirth.YearsUntil(today) >= years {
			g.AgeOver = append(g.AgeOver, years)
		}
	}
	return g
}

// today is the day at now where the host is.
func (k *Kit) today(now time.Time) identity.Date { return identity.DateOf(now.In(k.cfg.Location)) }

// refusesDocument says why a document opens no gate at now, or "". The day of its
// expiry lasts until it has ended in Config.Location.
func (k *Kit) refusesDocument(expiry identity.Date, now time.Time) (reason string) {
	switch {
	case k.cfg.AllowExpiredDocument:
		return ""
	case expiry.Unreadable():
		return ReasonDocumentUnreadable
	case !expiry.IsZero() && expiry.Before(k.today(now)):
		return ReasonDocumentExpired
	}
	return ""
}

// counts reports whether a grant opens the gate at now.
func (k *Kit) counts(g *Grant, now time.Time) bool {
	switch {
	case g == nil:
		return false
	case k.cfg.MaxAge > 0 && now.Sub(g.VerifiedAt) >= k.cfg.MaxAge:
		return false
	}
	return k.refusesDocument(g.DocumentExpiry, now) == ""
}

// Grant returns what a subject's verification grants, and [ErrNotVerified] if it
// has none that counts now. It is what [Kit.RequireVerified] asks, for code that
// is not behind a route. Any other error means that the store is away, and
// nobody knows.
func (k *Kit) Grant(ctx context.Context, subject string) (Grant, error) {
	g, err := k.grant(ctx, hashSubject(subject))
	if err != nil {
		return Grant{}, err
	}
	return *g, nil
}

func (k *Kit) grant(ctx context.Context, subject subjectHash) (*Grant, error) {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := k.cfg.Store.Get(ctx, subject.key())
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNotVerified
	}
	var g *Grant
	if err == nil {
		g, err = decodeGrant(rec.Value, subject)
	}
	if err != nil {
		return nil, storeError(ctx, err)
	}
	if !k.counts(g, rec.Now) {
		return nil, ErrNotVerified
	}
	return g, nil
}

// Kept returns the fields of Config.Keep of the verification that the subject's
// grant rests on, and its ID and Status. The errors are those of [Kit.Grant],
// and one more if the keys that sealed the fields are gone.
func (k *Kit) Kept(ctx context.Context, subject string) (identity.Verification, error) {
	hash := hashSubject(subject)
	h, err := k.load(ctx, hash)
	if err != nil {
		return identity.Verification{}, err
	}
	g := h.grant()
	if !k.counts(g, h.now) {
		return identity.Verification{}, ErrNotVerified
	}
	for i := range h.attempts {
		if a := &h.attempts[i]; a.grant == g {
			if len(a.kept) == 0 {
				return identity.Verification{ID: a.providerID, Status: a.status}, nil
			}
			return k.openVerification(sealKept, address{hash, a.id}, a.kept)
		}
	}
	return identity.Verification{}, ErrNotVerified
}
