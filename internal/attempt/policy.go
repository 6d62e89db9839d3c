package attempt

import (
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Policy is what the host has decided, and what the pure functions of this package need
// beside the attempt. It must not change while it is used.
type Policy struct {
	// Hears says for which statuses the host has a callback.
	Hears map[identity.Status]bool
	// Decides says that the host looks at each verification before it counts.
	Decides bool
	// The following are those of okidhttp.Config.
	ConfirmByFetch       bool
	RequireReturn        bool
	Async                bool
	AllowExpiredDocument bool
	MaxAge               time.Duration
	AgeOver              []int
	Keep                 []identity.Field
	Location             *time.Location
	Lease                time.Duration
	StartedLimit         time.Duration
	RecheckVerified      time.Duration
	// Sealer seals what must not be read in the store.
	Sealer Sealer
	// NewOwner returns a number that no owner of a lease has had. It is not 0.
	NewOwner func() int64
}

// Sealer seals bytes, and opens only what it has sealed for the same purpose and place.
type Sealer interface {
	Seal(purpose, place string, plain []byte) []byte
	Open(purpose, place string, sealed []byte) ([]byte, error)
}

// Grant is okidhttp.Grant.
type Grant struct {
	VerifiedAt     time.Time
	Provider       string
	DocumentType   string
	DocumentExpiry identity.Date
	AgeOver        []int
}

// StoredGrant is a grant in a record.
type StoredGrant struct {
	Grant
	unknownFields
}

func (g *StoredGrant) fields(c *coder) {
	c.time(1, &g.VerifiedAt)
	c.text(2, &g.Provider)
	c.text(3, &g.DocumentType)
	c.date(4, &g.DocumentExpiry)
	each(c, 5, &g.AgeOver, func(years *int) { n := int64(*years); c.int(5, &n); *years = int(n) })
}

// maxDocumentType bounds what stands in clear and came from the provider, in bytes.
const maxDocumentType = 64

// newGrant is what a verification grants from now on.
func (p *Policy) newGrant(provider string, v *identity.Verification, now time.Time) *StoredGrant {
	g := &StoredGrant{Grant: Grant{VerifiedAt: now, Provider: provider, DocumentExpiry: v.DocumentExpiry}}
	if len(v.DocumentType) <= maxDocumentType {
		g.DocumentType = v.DocumentType
	}
	today := p.today(now)
	for _, years := range p.AgeOver {
		if v.DateOfBirth.YearsUntil(today) >= years {
			g.AgeOver = append(g.AgeOver, years)
		}
	}
	return g
}

// today is the day at now where the host is.
func (p *Policy) today(now time.Time) identity.Date { return identity.DateOf(now.In(p.Location)) }

// The reasons for which the kit refuses a verification by itself, and the one for a host
// that gives none.
const (
	ReasonPolicy             = "policy"
	ReasonDocumentExpired    = "document_expired"
	ReasonDocumentUnreadable = "document_expiry_unreadable"
)

// Refusal is why a verification does not count that the provider confirms.
type Refusal struct {
	// Reason is one of the constants above, or the host's.
	Reason string
	// Final says that the subject may not begin another attempt.
	Final bool
}

// refusesDocument returns why a document opens no gate at now, or "". The day of its
// expiry lasts until it has ended where the host is.
func (p *Policy) refusesDocument(expiry identity.Date, now time.Time) (reason string) {
	switch {
	case p.AllowExpiredDocument:
		return ""
	case expiry.Unreadable():
		return ReasonDocumentUnreadable
	case !expiry.IsZero() && expiry.Before(p.today(now)):
		return ReasonDocumentExpired
	}
	return ""
}

// Counts reports whether a grant, which may be nil, opens the gate at now.
func (p *Policy) Counts(g *Grant, now time.Time) bool {
	switch {
	case g == nil:
		return false
	case p.MaxAge > 0 && now.Sub(g.VerifiedAt) >= p.MaxAge:
		return false
	}
	return p.refusesDocument(g.DocumentExpiry, now) == ""
}

// stored is what stands of all attempts: the grant of the latest verified one.
func (r *Record) stored() *StoredGrant {
	var latest *StoredGrant
	for i := range r.Attempts {
		a := &r.Attempts[i]
		if a.Status == identity.Verified && a.Grant != nil && (latest == nil || !a.Grant.VerifiedAt.Before(latest.VerifiedAt)) {
			latest = a.Grant
		}
	}
	return latest
}

// Grant returns what stands of all attempts, or nil.
func (r *Record) Grant() *Grant {
	if g := r.stored(); g != nil {
		return &g.Grant
	}
	return nil
}

// Granting returns the attempt on which the record's grant rests, or nil.
func (r *Record) Granting() *Attempt {
	g := r.stored()
	return r.first(func(a *Attempt) bool { return g != nil && a.Grant == g })
}

// setStatus gives an attempt its next status.
func (p *Policy) setStatus(a *Attempt, s identity.Status, v *identity.Verification, now time.Time) {
	a.Status, a.UpdatedAt, a.Reason, a.Refused, a.RuledOut, a.Lapsed = s, now, "", false, false, false
	if s == identity.Failed {
		a.Reason = v.Reason
	}
	if s.Final() || s == identity.Review {
		a.dropLetters(func(l *Letter) bool { return l.Reason == DeadNoVerdict })
		a.Token = nil             // nobody needs it again
		a.ClaimedAt = time.Time{} // people take their time
	}
	if s == identity.Verified {
		a.Grant = p.newGrant(a.Provider, v, now)
		a.Kept = p.sealKept(a, v)
		a.discard(func(*Entry) bool { return true }) // older news would contradict it
		a.dropLetters(func(*Letter) bool { return true })
	} else {
		a.Grant, a.Kept = nil, nil
	}
	p.scheduleRefresh(a, now)
}

// belongs reports whether a notice can be about the attempt: the provider and its id are
// the attempt's, and what the host had sent along is unchanged.
func (p *Policy) belongs(a *Attempt, n *identity.Notice) bool {
	if n.Provider != a.Provider || a.ProviderID != "" && n.Verification.ID != a.ProviderID {
		return false
	}
	if len(n.Metadata) == 0 {
		return true
	}
	for _, sent := range p.OpenContext(a).Metadata {
		if got, ok := n.Metadata[sent.Name]; ok && got != sent.Value {
			return false
		}
	}
	return true
}

// learn remembers the provider's id of the attempt's verification, so that the provider
// can be asked.
func (p *Policy) learn(a *Attempt, id string, now time.Time) bool {
	if a.ProviderID != "" || id == "" {
		return false
	}
	a.ProviderID = id
	a.dropLetters(func(l *Letter) bool { return l.Reason == DeadUnaddressable })
	p.scheduleRefresh(a, now)
	return true
}

// clockSkew is how far the provider's clock may be from ours.
const clockSkew = 5 * time.Minute

// implausible reports whether a notice tells of a time at which this attempt cannot have
// been what the notice says, by the store's clock and by the kit's: one of them being
// wrong must not cost an event.
func implausible(a *Attempt, v *identity.Verification, now, clock time.Time) bool {
	outside := func(begun, now time.Time) bool {
		for _, t := range []time.Time{v.CreatedAt, v.CompletedAt} {
			if !t.IsZero() && (t.Before(begun.Add(-clockSkew)) || t.After(now.Add(clockSkew))) {
				return true
			}
		}
		return false
	}
	return outside(a.CreatedAt, now) && outside(a.BegunAt, clock)
}

// maxConcernText bounds the texts of a concern, and of a reason, in bytes.
const maxConcernText = 256

// Received returns a notice as it is worked with: the provider is the one that was asked,
// whatever another that it wraps may say, and what is too long is left out, so that a
// record has room for all that may have to wait in it.
func Received(n identity.Notice, provider string) identity.Notice {
	n.Provider = provider
	v := &n.Verification
	v.DocumentType = upTo(identity.MaxText, v.DocumentType)
	v.FirstName, v.LastName = upTo(identity.MaxText, v.FirstName), upTo(identity.MaxText, v.LastName)
	v.DocumentNumber = upTo(identity.MaxText, v.DocumentNumber)
	v.Reason = upTo(maxConcernText, v.Reason)
	if len(v.Concerns) > identity.MaxConcerns || slices.ContainsFunc(v.Concerns, tooLong) {
		v.Concerns = slices.DeleteFunc(slices.Clone(v.Concerns), tooLong) // they are the provider's
		v.Concerns = v.Concerns[:min(len(v.Concerns), identity.MaxConcerns)]
	}
	return n
}

// upTo is the text, or "" if it is longer than most bytes.
func upTo(most int, text string) string {
	if len(text) > most {
		return ""
	}
	return text
}

func tooLong(c identity.Concern) bool {
	return max(len(c.ID), len(c.Service), len(c.Status), len(c.Message)) > maxConcernText
}
