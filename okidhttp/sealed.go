package okidhttp

import (
	"github.com/okidkit/okidkit/identity"
)

// What a record holds of a person is sealed to the place where it stands: the
// record and attempt of its address.

// sealedVerification is a verification on its way to a callback.
type sealedVerification struct {
	identity.Verification
	later
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
}

// sealedConcern is a concern of a sealed verification.
type sealedConcern struct {
	identity.Concern
	later
}

func (s *sealedConcern) fields(c *coder) {
	c.text(1, &s.ID)
	c.text(2, &s.Service)
	c.text(3, &s.Status)
	c.text(4, &s.Message)
}

func (k *Kit) sealNotice(at address, v identity.Verification) []byte {
	return k.keys.seal(sealNotice, at.place(), encode(&sealedVerification{Verification: v}))
}

func (k *Kit) openNotice(at address, sealed []byte) (identity.Verification, error) {
	return k.openVerification(sealNotice, at, sealed)
}

func (k *Kit) openVerification(purpose string, at address, sealed []byte) (identity.Verification, error) {
	plain, err := k.keys.open(purpose, at.place(), sealed)
	if err != nil {
		return identity.Verification{}, err
	}
	var v sealedVerification
	err = decode(plain, &v)
	return v.Verification, err
}

// sealKept keeps the fields that the host asked for; nil if there are none.
func (k *Kit) sealKept(at address, v identity.Verification) []byte {
	if len(k.cfg.Keep) == 0 {
		return nil
	}
	kept := identity.Verification{ID: v.ID, Status: v.Status}
	for _, f := range k.cfg.Keep {
		if err := kept.Set(f, v.Get(f)); err != nil {
			continue // a date that is none is not kept
		}
	}
	return k.keys.seal(sealKept, at.place(), encode(&sealedVerification{Verification: kept}))
}

func (k *Kit) sealContext(at address, x attemptContext) []byte {
	plain := encode(&x)
	if len(plain) == 0 {
		return nil
	}
	return k.keys.seal(sealContext, at.place(), plain)
}

// openContext is what the attempt began with. It is empty, too, if the key is
// gone: then there is nothing to compare with, and no page to go back to.
func (k *Kit) openContext(at address, a *attempt) attemptContext {
	var x attemptContext
	if len(a.context) == 0 {
		return x
	}
	plain, err := k.keys.open(sealContext, at.place(), a.context)
	if err != nil || decode(plain, &x) != nil {
		return attemptContext{}
	}
	return x
}
