package attempt

import "github.com/okidkit/okidkit/identity"

// What a record holds of a person is sealed to the place where it stands: the record and
// attempt of its address.
const (
	sealSubject = "okidkit subject"
	sealToken   = "okidkit process token"
	sealContext = "okidkit attempt context"
	sealNotice  = "okidkit pending notice"
	sealKept    = "okidkit kept fields"
	sealAges    = "okidkit ages"
	sealStaff   = "okidkit staff"
)

// Context is what the host gave along when the attempt began.
type Context struct {
	ReturnTo string
	Locale   string
	Metadata []Member
	Trace    string // what leads back to the trace of the start
	unknownFields
}

// Member is one member of the host's metadata.
type Member struct {
	Name, Value string
	unknownFields
}

func (x *Context) fields(c *coder) {
	c.text(1, &x.ReturnTo)
	c.text(2, &x.Locale)
	each(c, 3, &x.Metadata, func(m *Member) { c.nested(3, m) })
	c.text(4, &x.Trace)
}

func (m *Member) fields(c *coder) {
	c.text(1, &m.Name)
	c.text(2, &m.Value)
}

// sealedVerification is a verification on its way to a callback.
type sealedVerification struct {
	identity.Verification
	unknownFields
}

func (v *sealedVerification) fields(c *coder) {
	c.text(1, &v.ID)
	c.text(2, (*string)(&v.Status))
	c.time(3, &v.CreatedAt)
	c.time(4, &v.CompletedAt)
	c.text(5, &v.DocumentType)
	c.date(6, &v.DocumentExpiry)
	c.text(7, &v.FirstName)
	c.text(8, &v.LastName)
	c.text(9, &v.DocumentNumber)
	c.date(10, &v.DateOfBirth)
	c.text(11, &v.Reason)
	each(c, 12, &v.Concerns, func(concern *identity.Concern) {
		sealed := sealedConcern{Concern: *concern}
		c.nested(12, &sealed)
		*concern = sealed.Concern
	})
	c.text(13, &v.Nationality)
	c.text(14, &v.IssuingCountry)
}

// sealedConcern is a concern of a sealed verification.
type sealedConcern struct {
	identity.Concern
	unknownFields
}

func (s *sealedConcern) fields(c *coder) {
	c.text(1, &s.ID)
	c.text(2, &s.Service)
	c.text(3, &s.Status)
	c.text(4, &s.Message)
}

func (p *Policy) sealNotice(a *Attempt, v *identity.Verification) []byte {
	return p.Sealer.Seal(sealNotice, a.Address().Place(), encode(&sealedVerification{Verification: *v}))
}

func (p *Policy) openNotice(a *Attempt, e *Entry) (identity.Verification, error) {
	return p.openVerification(sealNotice, a, e.Notice)
}

func (p *Policy) openVerification(purpose string, a *Attempt, sealed []byte) (identity.Verification, error) {
	plain, err := p.Sealer.Open(purpose, a.Address().Place(), sealed)
	if err != nil {
		return identity.Verification{}, err
	}
	var v sealedVerification
	err = decode(plain, &v)
	return v.Verification, err
}

// sealKept keeps the fields that the host asked for; nil if there are none.
func (p *Policy) sealKept(a *Attempt, v *identity.Verification) []byte {
	if len(p.Keep) == 0 {
		return nil
	}
	kept := identity.Verification{ID: v.ID, Status: v.Status}
	for _, f := range p.Keep {
		if err := kept.Set(f, v.Get(f)); err != nil {
			continue // a date that is none is not kept
		}
	}
	return p.Sealer.Seal(sealKept, a.Address().Place(), encode(&sealedVerification{Verification: kept}))
}

// OpenKept returns the fields that the host keeps of a verified attempt, and the
// verification's ID and Status. The error is the Sealer's.
func (p *Policy) OpenKept(a *Attempt) (identity.Verification, error) {
	if len(a.Kept) == 0 {
		return identity.Verification{ID: a.ProviderID, Status: a.Status}, nil
	}
	return p.openVerification(sealKept, a, a.Kept)
}

// SealContext writes down what the host gave along.
func (p *Policy) SealContext(a *Attempt, x *Context) {
	a.Context = nil
	if plain := encode(x); len(plain) > 0 {
		a.Context = p.Sealer.Seal(sealContext, a.Address().Place(), plain)
	}
}

// OpenContext returns what the attempt began with. It is empty, too, if the key is gone:
// then there is nothing to compare with, and no page to go back to.
func (p *Policy) OpenContext(a *Attempt) Context {
	var x Context
	if len(a.Context) == 0 {
		return x
	}
	plain, err := p.Sealer.Open(sealContext, a.Address().Place(), a.Context)
	if err != nil || decode(plain, &x) != nil {
		return Context{}
	}
	return x
}

// SealToken writes down the provider's token.
func (p *Policy) SealToken(a *Attempt, token string) {
	a.Token = p.Sealer.Seal(sealToken, a.Address().Place(), []byte(token))
}

// OpenToken returns the provider's token. The error is the Sealer's.
func (p *Policy) OpenToken(a *Attempt) (string, error) {
	token, err := p.Sealer.Open(sealToken, a.Address().Place(), a.Token)
	return string(token), err
}

// SealSubject writes down whose record it is.
func (p *Policy) SealSubject(r *Record, subject string) {
	r.Subject = p.Sealer.Seal(sealSubject, r.of.Key(), []byte(subject))
}

// OpenSubject returns whose record it is. The error is the Sealer's.
func (p *Policy) OpenSubject(r *Record) (string, error) {
	subject, err := p.Sealer.Open(sealSubject, r.of.Key(), r.Subject)
	return string(subject), err
}
