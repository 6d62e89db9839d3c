package attempt

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Fingerprints returns what stands for the document of a verification, under each of
// Policy.FingerprintKey: equal for equal documents, and nothing without the key. There are
// none if the document has no number.
func (p *Policy) Fingerprints(v *identity.Verification) (prints [][]byte) {
	if len(p.FingerprintKey) == 0 {
		return nil
	}
	number := plainWord(v.DocumentNumber)
	if number == "" {
		return nil
	}
	for _, key := range p.FingerprintKey {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("okidkit document\x00" + plainWord(v.IssuingCountry) + "\x00" + plainWord(v.DocumentType) + "\x00" + number))
		prints = append(prints, mac.Sum(nil))
	}
	return prints
}

// plainWord is a text without what providers write in different ways.
func plainWord(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '_', '.', '/', '<':
			return -1
		}
		return r
	}, strings.ToUpper(s))
}

// fingerprint notes the document of a verification with its attempt, before anybody is
// told, so that it can be erased with the subject.
func (p *Policy) fingerprint(a *Attempt, v *identity.Verification) (changed bool) {
	prints := p.Fingerprints(v)
	if len(prints) == 0 || bytes.Equal(a.Document, prints[0]) {
		return false
	}
	a.Document = prints[0]
	return true
}

// HasDocument reports whether a verification with one of these fingerprints counts for a
// subject, or, if underWay, waits to.
func (p *Policy) HasDocument(r *Record, prints [][]byte, underWay bool, now time.Time) bool {
	return r.first(func(a *Attempt) bool {
		counts := a.Status == identity.Verified && a.Grant != nil && p.Counts(&a.Grant.Grant, now)
		return a.has(prints) && (counts || underWay && a.awaits(identity.Verified) != nil)
	}) != nil
}

func (a *Attempt) has(prints [][]byte) bool {
	for _, print := range prints {
		if len(a.Document) > 0 && bytes.Equal(a.Document, print) {
			return true
		}
	}
	return false
}

// alone reports whether an attempt is the only one that remembers its document.
func (r *Record) alone(id ID, document []byte) bool {
	return len(document) > 0 && r.first(func(a *Attempt) bool { return a.ID != id && bytes.Equal(a.Document, document) }) == nil
}
