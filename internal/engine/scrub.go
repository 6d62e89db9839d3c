package engine

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/okidkit/okidkit/identity"
)

const (
	redacted = "[redacted]"
	// maxErrorText bounds the text of a host's error that is looked through, in bytes.
	maxErrorText = 16 << 10
	// maxEncodings is how many times over a text may be encoded.
	maxEncodings = 5
)

// scrub is the text of a host's error without what is personal about the event. The
// text goes to the log.
//
// Values are found in any letter case, with and without accents, as a date may be
// written, and escaped or encoded as %XX, \u, \x, \NNN, HTML entities, base64, hex or
// a list of bytes, also one in another. A value of fewer than four letters, or six
// digits, is found where it is a word of its own, and not within other words, numbers
// and addresses, of which it would leave nothing readable. A text that is longer than
// maxErrorText, or encoded more than maxEncodings times over, is dropped. The stack of
// a panic stays as it is: there are no values in it.
func (e Event) scrub(err error) string {
	stack := ""
	text := fmt.Sprint(err) // which survives an Error method that panics
	if p, ok := err.(*panicError); ok {
		text, stack = p.what(), "\n"+string(p.stack)
	}
	if len(text) > maxErrorText {
		return redacted + stack
	}
	s := newScrubber(e)
	s.hidden = make([]bool, len(text))
	s.look(layerOf(text), 0)
	if s.lost {
		return redacted + stack
	}
	var out strings.Builder
	for i := range len(text) {
		switch {
		case !s.hidden[i]:
			out.WriteByte(text[i])
		case i == 0 || !s.hidden[i-1]:
			out.WriteString(redacted)
		}
	}
	return out.String() + stack
}

// scrubber looks for the values of one event in one text.
type scrubber struct {
	exact, plain []term // in lower case, and without accents
	dates        []*regexp.Regexp
	hidden       []bool // the bytes of the text that are part of a value
	lost         bool   // the text is encoded too many times over
}

// term is a value, or a part of one: words with no more than a little punctuation
// between them.
type term struct {
	words  []string
	whole  bool // it is found only where it is no part of a longer word
	number bool // it is digits alone
}

func newScrubber(e Event) *scrubber {
	s := &scrubber{}
	v := e.Verification
	for _, name := range []string{v.FirstName, v.LastName} {
		s.add(name)
		for word := range strings.FieldsFuncSeq(name, isPunctuation) {
			s.add(word)
		}
	}
	s.add(e.Subject)
	s.add(v.DocumentNumber)
	for _, c := range v.Concerns {
		s.add(c.Message)
	}
	for _, value := range e.Metadata {
		s.add(value)
	}
	if v.DateOfBirth.Exists() {
		s.addDate(v.DateOfBirth)
	}
	for _, terms := range [][]term{s.exact, s.plain} { // a short one may stand next to a long one
		slices.SortStableFunc(terms, func(a, b term) int { return cmp.Compare(len(b.words[0]), len(a.words[0])) })
	}
	return s
}

func (s *scrubber) add(value string) {
	lower := layerOf(value).lower()
	s.exact = appendTerm(s.exact, lower.text)
	s.plain = appendTerm(s.plain, lower.plain().text)
	if spelt := spellings.Replace(lower.text); spelt != lower.text {
		s.plain = appendTerm(s.plain, layerOf(spelt).plain().text)
	}
}

func appendTerm(terms []term, text string) []term {
	t := term{words: strings.FieldsFunc(text, isPunctuation), number: true}
	if len(t.words) == 0 {
		return terms
	}
	length := 0
	for _, c := range strings.Join(t.words, "") {
		length++
		if c >= utf8.RuneSelf { // of which far fewer words are made
			length++
		}
		t.number = t.number && '0' <= c && c <= '9'
	}
	t.whole = length < 4 || t.number && length < 6
	return append(terms, t)
}

// isPunctuation reports whether a rune parts words.
func isPunctuation(c rune) bool { return !isWord(c) }
func isWord(c rune) bool        { return unicode.In(c, unicode.L, unicode.N, unicode.M) }
func isDigit(c rune) bool       { return '0' <= c && c <= '9' }

// look hides the values in a text that has been decoded depth times.
func (s *scrubber) look(l layer, depth int) {
	s.find(l, false)
	deeper := func(l layer) {
		if depth == maxEncodings {
			s.lost = true
			return
		}
		s.look(l, depth+1)
	}
	l.blobs(func(decoded layer) {
		if strings.ContainsFunc(decoded.text, unicode.IsControl) || strings.ContainsRune(decoded.text, utf8.RuneError) {
			s.find(decoded, true)
		} else {
			deeper(decoded)
		}
	})
	if decoded := l.unescape(); decoded.text != l.text {
		deeper(decoded)
	}
}

// find hides the values that stand in a text as they are. In noise, which may be any
// bytes, a short one means nothing.
func (s *scrubber) find(l layer, noise bool) {
	exact := l.lower()
	plain := exact.plain()
	for _, in := range []struct {
		layer
		terms []term
	}{{exact, s.exact}, {plain, s.plain}} {
		for _, t := range in.terms {
			if noise && t.whole {
				continue
			}
			for from, to := range t.all(in.text) {
				if !t.whole || s.stands(in.layer, from, to, t.number) {
					s.hide(in.layer, from, to)
				}
			}
		}
	}
	for _, date := range s.dates {
		for from := 0; ; {
			match := date.FindStringIndex(plain.text[from:])
			if match == nil {
				break
			}
			begin, end := from+match[0], from+match[1]
			if s.parted(plain, begin, end, isDigit) {
				s.hide(plain, begin, end)
			}
			from = begin + 1 // a digit or an ASCII letter
		}
	}
}

// all finds a term in a text, again and again.
func (t term) all(text string) func(yield func(from, to int) bool) {
	return func(yield func(from, to int) bool) {
		for from := 0; ; from++ {
			i := strings.Index(text[from:], t.words[0])
			if i < 0 {
				return
			}
			from += i
			if n, ok := t.prefix(text[from:]); ok && !yield(from, from+n) {
				return
			}
		}
	}
}

// prefix is how long a term is with which a text begins.
func (t term) prefix(text string) (n int, ok bool) {
	for i, word := range t.words {
		for between := 0; i > 0 && between < 3; between++ {
			c, size := utf8.DecodeRuneInString(text[n:])
			if size == 0 || !isPunctuation(c) {
				break
			}
			n += size
		}
		if !strings.HasPrefix(text[n:], word) {
			return 0, false
		}
		n += len(word)
	}
	return n, true
}

// stands reports whether a part of a text is a word of its own, and, for a number, no
// part of a longer one, of an address, a version or a time.
func (s *scrubber) stands(l layer, from, to int, number bool) bool {
	if !s.parted(l, from, to, isWord) {
		return false
	}
	if !number {
		return true
	}
	before, after := l.text[max(0, from-2):from], l.text[to:min(len(l.text), to+2)]
	return (len(before) < 2 || !joins(before[1], before[0])) && (len(after) < 2 || !joins(after[0], after[1]))
}

// parted reports whether a part of a text has no such rune at either side, unless that
// belongs to another value.
func (s *scrubber) parted(l layer, from, to int, like func(rune) bool) bool {
	c, size := utf8.DecodeLastRuneInString(l.text[:from])
	if size > 0 && like(c) && !s.hidden[l.at[from-1].from] {
		return false
	}
	c, size = utf8.DecodeRuneInString(l.text[to:])
	return size == 0 || !like(c) || s.hidden[l.at[to].from]
}

// joins reports whether a number goes on beyond a mark.
func joins(mark, beyond byte) bool {
	return strings.IndexByte(".,:/-", mark) >= 0 && (beyond == mark || isDigit(rune(beyond)))
}

func (s *scrubber) hide(l layer, from, to int) {
	for _, at := range l.at[from:to] {
		for i := at.from; i < at.to; i++ {
			s.hidden[i] = true
		}
	}
}

// months are how the names of months begin, without accents, in the languages of the
// kit.
var months = [...]string{
	"jan|ene", "fe[bv]", "m[aä]r|maa|mrt|mae", "a[pv]r|abr", "ma[yij]|mei", "jun|juin", "jul|juil", "au[gs]|ago|aou", "se[pt]", "o[ck]t|out", "nov", "de[cz]|dic",
}

// addDate adds what people and programs make of a date.
func (s *scrubber) addDate(d identity.Date) {
	number := func(n int) string { return fmt.Sprintf("0?%d", n) }
	const (
		gap  = `(?:[^\pL\pN]{1,4}|[年月년월] ?)(?:\pL{1,7}[^\pL\pN]{1,4})?` // also the name of a field
		some = `[^\pL\pN]{0,4}(?:(?:de|of) )?`
		nth  = `(?:st|nd|rd|th|er|e)?`
	)
	replace := strings.NewReplacer(
		"YYYY", fmt.Sprintf("%04d", d.Year), "YY", fmt.Sprintf("(?:%04d|%02d)", d.Year, d.Year%100), "yy", fmt.Sprintf("%02d", d.Year%100),
		"MMM", "(?:"+months[d.Month-1]+`)\pL*`, "MM", fmt.Sprintf("%02d", d.Month), "M", number(int(d.Month)),
		"DD", fmt.Sprintf("%02d", d.Day), "D", number(d.Day)+nth,
		"|", gap, "~", some, "@", `(?: \d\d:\d\d:\d\d(?: [a-z]{2,5})?)?`,
	)
	for _, form := range []string{
		"YYYY|M|D", "D|M|YY", "M|D|YY", "yy|MM|DD", "yyMMDD",
		"D~MMM~YY", "MMM~D@~YYYY", `YYYY~(?:time\.)?MMM~D`,
	} {
		s.dates = append(s.dates, regexp.MustCompile(replace.Replace(form)))
	}
	year, month, day := fmt.Sprintf("%04d ", d.Year), fmt.Sprintf("%02d ", d.Month), fmt.Sprintf("%02d ", d.Day)
	for _, form := range []string{year + month + day, day + month + year, month + day + year} {
		s.plain = appendTerm(s.plain, form) // eight digits, also in longer numbers
	}
	unix := time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Unix()
	if seconds := strconv.FormatInt(max(unix, -unix), 10); len(seconds) >= 6 {
		s.dates = append(s.dates, regexp.MustCompile(seconds+"(?:000){0,3}")) // also in smaller units
	}
}

// layer is a text, and where in the original each of its bytes comes from.
type layer struct {
	text string
	at   []span
}

type span struct{ from, to int }

// layerOf is an original. What is not UTF-8 is taken for Latin-1.
func layerOf(text string) layer {
	at := make([]span, len(text))
	for i := range at {
		at[i] = span{i, i + 1}
	}
	return layer{text, at}.runes(func(c rune) string { return string(c) })
}

// runes is the layer with something for each rune. What is left out belongs to what
// comes before it.
func (l layer) runes(each func(rune) string) layer {
	var text strings.Builder
	at := make([]span, 0, len(l.text))
	for i := 0; i < len(l.text); {
		c, size := utf8.DecodeRuneInString(l.text[i:])
		if c == utf8.RuneError && size == 1 {
			c = rune(l.text[i])
		}
		from := span{l.at[i].from, l.at[i+size-1].to}
		i += size
		s := each(c)
		if s == "" && len(at) > 0 {
			at[len(at)-1].to = max(at[len(at)-1].to, from.to)
		}
		text.WriteString(s)
		for range len(s) {
			at = append(at, from)
		}
	}
	return layer{text.String(), at}
}

func (l layer) lower() layer {
	return l.runes(func(c rune) string {
		if c == 0 || unicode.Is(unicode.Cf, c) { // UTF-16, and what nobody sees
			return ""
		}
		if c = unicode.ToLower(c); c == 'ς' {
			c = 'σ'
		}
		return string(c)
	})
}

// plain is a layer in lower case without accents.
func (l layer) plain() layer {
	return l.runes(func(c rune) string {
		if unicode.Is(unicode.Mn, c) {
			return ""
		}
		if s, ok := plainLetters[c]; ok {
			return s
		}
		return string(c)
	})
}

// spellings are how letters are written that a system does not have.
var spellings = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "å", "aa", "ø", "oe", "þ", "th")

// plainLetters are those of Latin alphabets without their accents.
var plainLetters = func() map[rune]string {
	all := map[rune]string{'ß': "ss", 'æ': "ae", 'œ': "oe", 'ĳ': "ij"}
	for plain, letters := range map[string]string{
		"a": "àáâãäåāăą", "c": "çćĉċč", "d": "ďđð", "e": "èéêëēĕėęě", "g": "ĝğġģ", "h": "ĥħ", "i": "ìíîïĩīĭįı", "j": "ĵ", "k": "ķ",
		"l": "ĺļľŀł", "n": "ñńņňŋ", "o": "òóôõöøōŏő", "r": "ŕŗř", "s": "śŝşšș", "t": "ţťŧțþ", "u": "ùúûüũūŭůűų", "w": "ŵ", "y": "ýÿŷ", "z": "źżž",
	} {
		for _, c := range letters {
			all[c] = plain
		}
	}
	return all
}()

// escape is one rune or byte in disguise. A rune that may be a byte is one: then UTF-8
// was taken for Latin-1.
var escape = regexp.MustCompile(`(?i)%[0-9a-f]{2}|[%\\]ud[89ab][0-9a-f]{2}[%\\]ud[c-f][0-9a-f]{2}` +
	`|\\(?-i:U)00[0-9a-f]{6}|[%\\]u[0-9a-f]{4}|\\u\{[0-9a-f]{1,6}\}|\\x[0-9a-f]{2}|\\[0-7]{3}|\\[abfnrtv"'/\\]` +
	`|&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});?|[\x{80}-\x{ff}]`)

// unescape is the layer with every escape as what it stands for.
func (l layer) unescape() layer {
	var out layer
	var text strings.Builder
	end := 0
	keep := func(to int) {
		text.WriteString(l.text[end:to])
		out.at = append(out.at, l.at[end:to]...)
		end = to
	}
	for _, m := range escape.FindAllStringIndex(l.text, -1) {
		keep(m[0])
		s := unescape(l.text[m[0]:m[1]])
		text.WriteString(s)
		for range len(s) {
			out.at = append(out.at, span{l.at[m[0]].from, l.at[m[1]-1].to})
		}
		end = m[1]
	}
	keep(len(l.text))
	out.text = text.String()
	return out.runes(func(c rune) string { return string(c) })
}

// unescape is what one escape stands for: a rune, or one byte of it.
func unescape(s string) string {
	number := func(digits string, base int) uint64 {
		n, _ := strconv.ParseUint(strings.Trim(digits, "{}"), base, 32) // they are digits
		return n
	}
	switch {
	case s[0] == '&':
		return html.UnescapeString(s)
	case s[0] == '%' && len(s) == 3:
		return string([]byte{byte(number(s[1:], 16))})
	case s[0] >= utf8.RuneSelf:
		c, _ := utf8.DecodeRuneInString(s)
		return string([]byte{byte(c)})
	case len(s) == len(`\u0000\u0000`):
		return string(utf16.DecodeRune(rune(number(s[2:6], 16)), rune(number(s[8:], 16))))
	case s[1] == 'x' || s[1] == 'X':
		return string([]byte{byte(number(s[2:], 16))})
	case s[1] == 'u' || s[1] == 'U':
		return string(rune(number(s[2:], 16)))
	case len(s) == len(`\000`):
		return string([]byte{byte(number(s[1:], 8))})
	case strings.ContainsAny(s[1:], `"'/\`):
		return s[1:]
	}
	return " " // a newline, say
}

// What may be bytes in disguise: base64 of either alphabet, hex digits, perhaps in groups,
// and decimal numbers, as package fmt prints bytes.
var (
	base64Run  = regexp.MustCompile(`[A-Za-z0-9+/_-]{5,}={0,2}`)
	hexRun     = regexp.MustCompile(`(?i)(?:0x)?[0-9a-f]{2}(?:[ :,]{0,2}(?:0x)?[0-9a-f]{2}){3,}`)
	decimalRun = regexp.MustCompile(`[0-9]{1,3}(?:[ ,]{1,2}[0-9]{1,3}){3,}`)

	urlAlphabet = strings.NewReplacer("+", "-", "/", "_")
	hexDigits   = strings.NewReplacer("0x", "", "0X", "", " ", "", ":", "", ",", "")
)

// blobs are what the runs of a layer stand for that may be bytes in disguise. All of a
// blob comes from its whole run. A run may have more in front than what was encoded, so
// it is decoded from each place where that can begin.
func (l layer) blobs(yield func(layer)) {
	each := func(runs *regexp.Regexp, most int, decode func(run string, skip int) []byte) {
		for _, m := range runs.FindAllStringIndex(l.text, -1) {
			from := span{l.at[m[0]].from, l.at[m[1]-1].to}
			for skip := range most {
				if decoded := decode(l.text[m[0]:m[1]], skip); len(decoded) > 3 {
					yield(layer{string(decoded), slices.Repeat([]span{from}, len(decoded))}.runes(func(c rune) string { return string(c) }))
				}
			}
		}
	}
	each(base64Run, 4, func(run string, skip int) []byte {
		run = urlAlphabet.Replace(strings.TrimRight(run[skip:], "="))
		if len(run)%4 == 1 {
			run = run[:len(run)-1]
		}
		decoded, _ := base64.RawURLEncoding.DecodeString(run)
		return decoded
	})
	each(hexRun, 2, func(run string, skip int) []byte {
		run = hexDigits.Replace(run)[skip:]
		decoded, _ := hex.DecodeString(run[:len(run)&^1])
		return decoded
	})
	each(decimalRun, 1, func(run string, _ int) (decoded []byte) {
		for digits := range strings.FieldsFuncSeq(run, isPunctuation) {
			n, err := strconv.ParseUint(digits, 10, 8)
			if err != nil {
				return nil
			}
			decoded = append(decoded, byte(n))
		}
		return decoded
	})
}
