// Package names compares the name of an account with the name on a document.
//
// The same name is written in many ways: with fewer given names or initials, with the family
// name first, without diacritics, or as the machine-readable zone of a passport writes it
// (ICAO Doc 9303: Müller as MUELLER, Sørensen as SOERENSEN). [Compare] knows these, and grades
// how sure it is. What it does not know is who somebody is: two people share a name, and one
// person has two. It knows no nicknames, no translations (Jan, Johannes, John), and no
// transliteration between scripts.
package names

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Name is a name in its two parts. Where they are not told apart, all of it may stand in
// either.
type Name struct {
	Given, Family string
}

// Grade says how sure it is that two names are the same. The zero value is [Different].
// Greater is surer.
type Grade int

const (
	// Different: one of the names has what the other cannot have.
	Different Grade = iota
	// Unknown: the names cannot be compared, since one is empty, or in another script.
	Unknown
	// Similar: a person should have a look. One family name of several, or one letter that
	// differs.
	Similar
	// Likely: the same name, written in another way that people use.
	Likely
	// Same: the same name, but for letter case, diacritics, hyphens and the like.
	Same
)

// String returns the grade's word, such as "likely".
func (g Grade) String() string {
	if words := [...]string{"different", "unknown", "similar", "likely", "same"}; Different <= g && g <= Same {
		return words[g]
	}
	return "invalid"
}

// Reason says what decided a [Grade]. It is not personal.
type Reason string

const (
	Equal       Reason = "equal"
	Order       Reason = "order"        // the parts are the other way round
	FewerGiven  Reason = "fewer_given"  // one has not all given names of the other
	Initials    Reason = "initials"     // of given names
	Particles   Reason = "particles"    // one is without van, de, al and the like
	Truncated   Reason = "truncated"    // as in a machine-readable zone that is full
	FewerFamily Reason = "fewer_family" // one has not all family names of the other
	Spelling    Reason = "spelling"     // one letter differs
	Empty       Reason = "empty"        // there is nothing to compare
	Script      Reason = "script"       // one is not in Latin letters
	OtherGiven  Reason = "other_given"  // the given names differ
	OtherFamily Reason = "other_family" // the family names differ
)

const (
	maxName       = 256 // bytes of a part that are looked at
	maxWords      = 16  // words of a part that are looked at
	fullZone      = 28  // letters from which on a name may be cut off
	leastSpelling = 5   // letters from which on one may differ
)

// particles are words of family names that people leave out.
const particles = " a af al av ben bin bint d da das de del della den der des di do dos du e el het ibn la le los op t te ten ter van vom von y zu zum zur "

// Result is what came of a comparison. The zero value says that the names differ.
type Result struct {
	Grade Grade
	Why   Reason
}

// Compare compares two names, in either order. It takes little time whatever they are.
func Compare(a, b Name) Result {
	x, y := read(a), read(b)
	switch {
	case len(x.given)+len(x.family) == 0 || len(y.given)+len(y.family) == 0:
		return Result{Unknown, Empty}
	case x.foreign || y.foreign:
		if a == b {
			return Result{Same, Equal}
		}
		return Result{Unknown, Script}
	}
	if joined(x.given).equal(joined(y.given)) && joined(x.family).equal(joined(y.family)) {
		return Result{Same, Equal}
	}
	best := compare(x, y)
	turned := joined(x.given).equal(joined(y.family)) && joined(x.family).equal(joined(y.given))
	if best.Grade < Likely && (turned || sameBag(x.all(), y.all())) {
		return Result{Likely, Order}
	}
	return best
}

// parts is a name as words.
type parts struct {
	given, family []word
	foreign       bool // has letters that are not Latin
}

func (p parts) all() []word { return append(slices.Clone(p.given), p.family...) }

// word is one word of a name in its two spellings, without and with the letters that
// ICAO 9303 writes for diacritics. They are the same for most.
type word struct{ plain, zone string }

func (w word) equal(v word) bool {
	return w.plain == v.plain || w.plain == v.zone || w.zone == v.plain || w.zone == v.zone
}

func (w word) particle() bool { return strings.Contains(particles, " "+w.plain+" ") }

// initial reports whether w is the first letter of v.
func (w word) initial(v word) bool { return len(w.plain) == 1 && strings.HasPrefix(v.plain, w.plain) }

func compare(x, y parts) Result {
	family, given := compareFamily(x.family, y.family), compareGiven(x.given, y.given)
	if cut := compareCut(x, y); cut.Grade > min(family.Grade, given.Grade) {
		return cut
	}
	switch {
	case family.Grade == Different, family.Grade < given.Grade:
		return family
	}
	return given
}

// compareFamily compares family names, in which every word counts.
func compareFamily(x, y []word) Result {
	less := func(words []word) []word {
		return slices.DeleteFunc(slices.Clone(words), func(w word) bool { return w.particle() })
	}
	bareX, bareY := less(x), less(y)
	switch {
	case len(x) == 0 || len(y) == 0:
		return Result{Unknown, Empty}
	case joined(x).equal(joined(y)):
		return Result{Same, Equal}
	case len(bareX) > 0 && len(bareY) > 0 && joined(bareX).equal(joined(bareY)):
		return Result{Likely, Particles}
	case within(bareX, bareY) || within(bareY, bareX):
		return Result{Similar, FewerFamily}
	case near(joined(bareX), joined(bareY)):
		return Result{Similar, Spelling}
	}
	return Result{Different, OtherFamily}
}

// compareGiven compares given names, of which people leave some out.
func compareGiven(x, y []word) Result {
	switch {
	case len(x) == 0 && len(y) == 0:
		return Result{Same, Equal}
	case len(x) == 0 || len(y) == 0:
		return Result{Unknown, Empty}
	case joined(x).equal(joined(y)):
		return Result{Same, Equal}
	case within(x, y) || within(y, x):
		return Result{Likely, FewerGiven}
	case abbreviates(x, y) || abbreviates(y, x):
		return Result{Likely, Initials}
	case near(x[0], y[0]) && (len(x) == 1 || len(y) == 1 || len(x) == len(y) && slices.EqualFunc(x[1:], y[1:], word.equal)):
		return Result{Similar, Spelling}
	}
	return Result{Different, OtherGiven}
}

// compareCut compares names of which one is so long that it may have been cut off.
func compareCut(x, y parts) Result {
	a, b := joined(append(slices.Clone(x.family), x.given...)).zone, joined(append(slices.Clone(y.family), y.given...)).zone
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) >= fullZone && strings.HasPrefix(b, a) {
		return Result{Likely, Truncated}
	}
	return Result{}
}

// joined is a name without its spaces, which people put elsewhere.
func joined(words []word) (all word) {
	for _, w := range words {
		all.plain += w.plain
		all.zone += w.zone
	}
	return all
}

// within reports whether all words of x are words of y, in the same order.
func within(x, y []word) bool {
	for _, w := range y {
		if len(x) > 0 && x[0].equal(w) {
			x = x[1:]
		}
	}
	return len(x) == 0
}

// abbreviates is within where words of x may be initials. One at least is none, or the
// first.
func abbreviates(x, y []word) bool {
	if len(x) == 0 || len(y) == 0 || !x[0].equal(y[0]) && !x[0].initial(y[0]) {
		return false
	}
	for _, w := range y {
		if len(x) > 0 && (x[0].equal(w) || x[0].initial(w)) {
			x = x[1:]
		}
	}
	return len(x) == 0
}

func sameBag(x, y []word) bool {
	if len(x) != len(y) {
		return false
	}
	y = slices.Clone(y)
	for _, w := range x {
		i := slices.IndexFunc(y, w.equal)
		if i < 0 {
			return false
		}
		y = slices.Delete(y, i, i+1)
	}
	return true
}

// near reports whether one letter differs between two long words, is missing, or has
// changed places with the next.
func near(x, y word) bool {
	a, b := x.plain, y.plain
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) < leastSpelling || len(b)-len(a) > 1 {
		return false
	}
	for len(a) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}

// read splits a name into words.
func read(n Name) parts {
	var p parts
	var foreign [2]bool
	p.given, foreign[0] = words(n.Given)
	p.family, foreign[1] = words(n.Family)
	p.foreign = foreign[0] || foreign[1]
	return p
}

func words(s string) (all []word, foreign bool) {
	for len(s) > maxName || !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s[:min(len(s), maxName)], "")
	}
	s = apostrophes.Replace(strings.ToLower(norm.NFC.String(s)))
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) }) {
		plain := strip(letters.Replace(field))
		if len(all) == maxWords || plain == "" {
			continue
		}
		for i := range len(plain) {
			if plain[i] >= utf8.RuneSelf {
				foreign = true
			}
		}
		all = append(all, word{plain, strip(letters.Replace(zone.Replace(field)))})
	}
	return all, foreign
}

// strip takes diacritics off.
func strip(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
}

var (
	// apostrophes are no part of a name as it is compared: O'Neill is ONeill.
	apostrophes = strings.NewReplacer("'", "", "’", "", "‘", "", "`", "", "´", "", "ʼ", "", "ʹ", "")
	// letters have no diacritics that could be taken off.
	letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ħ", "h", "ı", "i", "ŋ", "n", "ŧ", "t", "ĳ", "ij")
	// zone is how ICAO 9303 writes letters for which there are several ways.
	zone = strings.NewReplacer("ä", "ae", "å", "aa", "ö", "oe", "ø", "oe", "ü", "ue", "ñ", "n", "ð", "d", "þ", "th")
)
