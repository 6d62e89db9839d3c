package attempt

import (
	"slices"
	"strings"
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
	RemindBefore         time.Duration
	FingerprintKey       [][]byte
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
	Country        string
}

// StoredGrant is a grant in a record.
type StoredGrant struct {
	Grant
	Ages []byte // sealed: when the other ages of AgeOver will be reached
	unknownFields
}

func (g *StoredGrant) fields(c *coder) {
	c.time(1, &g.VerifiedAt)
	c.text(2, &g.Provider)
	c.text(3, &g.DocumentType)
	c.date(4, &g.DocumentExpiry)
	each(c, 5, &g.AgeOver, func(years *int) { n := int64(*years); c.int(5, &n); *years = int(n) })
	c.text(6, &g.Country)
	c.bytes(7, &g.Ages)
}

// maxDocumentType bounds what stands in clear and came from the provider, in bytes.
const maxDocumentType = 64

// newGrant is what the verification of an attempt grants from now on.
func (p *Policy) newGrant(a *Attempt, v *identity.Verification, now time.Time) *StoredGrant {
	g := &StoredGrant{Grant: Grant{VerifiedAt: now, Provider: a.Provider, DocumentExpiry: v.DocumentExpiry}}
	if a.ByStaff {
		g.Provider = StaffProvider
	}
	if len(v.DocumentType) <= maxDocumentType {
		g.DocumentType = v.DocumentType
	}
	if IsCountry(v.IssuingCountry) {
		g.Country = v.IssuingCountry
	}
	today := p.today(now)
	var later []age
	for _, years := range p.AgeOver {
		switch reached := v.DateOfBirth.PlusYears(years); {
		case reached.IsZero():
		case today.Before(reached):
			later = append(later, age{years: int64(years), reached: reached})
		default:
			g.AgeOver = append(g.AgeOver, years)
		}
	}
	if len(later) > 0 {
		g.Ages = p.Sealer.Seal(sealAges, a.of.Key(), encode(&ages{list: later}))
	}
	return g
}

// IsCountry reports whether a text has the form of an ISO 3166-1 alpha-3 code.
func IsCountry(code string) bool {
	return len(code) == 3 && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// ages says when somebody will reach those ages of Policy.AgeOver that they had not
// reached when they were verified. Each day tells the date of birth, so they are sealed.
type ages struct {
	list []age
	unknownFields
}

type age struct {
	years   int64
	reached identity.Date
	unknownFields
}

func (s *ages) fields(c *coder) { each(c, 1, &s.list, func(a *age) { c.nested(1, a) }) }

func (a *age) fields(c *coder) {
	c.int(1, &a.years)
	c.date(2, &a.reached)
}

// ComeOfAge adds the ages that the subject has reached since the verification.
func (p *Policy) ComeOfAge(g *StoredGrant, of SubjectHash, now time.Time) {
	today := p.today(now)
	for _, a := range p.agesToCome(g, of) {
		if !today.Before(a.reached) && slices.Contains(p.AgeOver, int(a.years)) {
			g.AgeOver = append(g.AgeOver, int(a.years))
		}
	}
}

// Younger reports whether the subject is known not to have reached an age at now.
func (p *Policy) Younger(g *StoredGrant, of SubjectHash, years int, now time.Time) bool {
	today := p.today(now)
	return slices.ContainsFunc(p.agesToCome(g, of), func(a age) bool { return int(a.years) == years && today.Before(a.reached) })
}

// agesToCome opens what a grant says of the ages that had not been reached. Where the key
// is gone that sealed it, nobody knows of any.
func (p *Policy) agesToCome(g *StoredGrant, of SubjectHash) []age {
	if len(g.Ages) == 0 {
		return nil
	}
	var later ages
	plain, err := p.Sealer.Open(sealAges, of.Key(), g.Ages)
	if err != nil || decode(plain, &later) != nil {
		return nil
	}
	return later.list
}

// today is the day at now where the host is.
func (p *Policy) today(now time.Time) identity.Date { return identity.DateOf(now.In(p.Location)) }

// The reasons for which the kit refuses a verification by itself, and the one for a host
// that gives none.
const (
	ReasonPolicy             = "policy"
	ReasonDocumentExpired    = identity.ReasonDocumentExpired
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

// Renews reports whether a subject's verification counts that is not this attempt's.
func (p *Policy) Renews(r *Record, id ID, now time.Time) bool {
	return r.first(func(a *Attempt) bool {
		return a.ID != id && a.Status == identity.Verified && a.Grant != nil && p.Counts(&a.Grant.Grant, now)
	}) != nil
}

// setStatus gives an attempt its next status.
func (p *Policy) setStatus(a *Attempt, s identity.Status, v *identity.Verification, now time.Time) {
	a.Status, a.UpdatedAt, a.Reason, a.Refused, a.RuledOut, a.Lapsed, a.Reminded = s, now, "", false, false, false, false
	if s == identity.Failed {
		a.Reason = v.Reason
	}
	if s.Final() || s == identity.Review {
		a.dropLetters(func(l *Letter) bool { return l.Reason == DeadNoVerdict })
		a.Token = nil             // nobody needs it again
		a.ClaimedAt = time.Time{} // people take their time
	}
	if s == identity.Verified {
		a.Grant = p.newGrant(a, v, now)
		a.Kept = p.sealKept(a, v)
		a.discard(func(*Entry) bool { return true }) // older news would contradict it
		a.dropLetters(func(*Letter) bool { return true })
	} else {
		a.Grant, a.Kept = nil, nil
		a.discard(func(e *Entry) bool { return e.Status == Expiring })
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
	v.Nationality, v.IssuingCountry = upTo(identity.MaxText, v.Nationality), upTo(identity.MaxText, v.IssuingCountry)
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
