package wire

import (
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
)

// Text, Instant, Country and Date read optional fields. One that cannot be read is not
// there. A date that cannot be read is: a document that may have expired is not one that
// never does.

// Text is a text of at most [identity.MaxText] bytes.
func Text(v *strictjson.Value) string {
	b, _ := v.Text()
	if len(b) > identity.MaxText {
		return ""
	}
	return string(b)
}

// Instant is a time as [ParseTime] reads it, written as a text or a number.
func Instant(v *strictjson.Value) time.Time {
	written, ok := v.Text()
	if !ok {
		written, _ = v.Number()
	}
	t, ok := ParseTime(written)
	if !ok {
		return time.Time{}
	}
	return t
}

// Date is a date, or [identity.UnreadableDate] for what is there and is none.
func Date(v *strictjson.Value) identity.Date {
	if v.Absent() {
		return identity.Date{}
	}
	b, _ := v.Text()
	d, err := identity.ParseDate(string(b))
	if err != nil {
		return identity.UnreadableDate
	}
	return d
}

var countryCode = regexp.MustCompile(`^[A-Z]{3}$`)

// Country is the text if it has the form of an ISO 3166-1 alpha-3 code.
func Country(text string) string {
	if !countryCode.MatchString(text) {
		return ""
	}
	return text
}

// Cut shortens a text to 256 bytes, without cutting through a character.
func Cut(s string) string {
	end := min(len(s), 256)
	for end > 0 && end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// List reads the elements of an array as far as they can be read.
func List[T any](array *strictjson.Value, read func(*strictjson.Value) (T, bool)) []T {
	var all []T
	for v := range array.Elements() {
		if one, ok := read(v); ok {
			all = append(all, one)
		}
	}
	return all
}

// ValidID reports whether id is 1 to 128 letters, digits, "-" and "_", so that it may
// stand in the path of a URL.
func ValidID[T ~string | ~[]byte](id T) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return 1 <= len(id) && len(id) <= 128
}

// ParseTime reads a time of which the provider documents no form but RFC 3339, as far as it
// leaves no doubt. Three forms are told apart by length alone: 10 digits are seconds
// until the year 2286, 13 digits are milliseconds since 2001, and a date with a time
// has at least 19 characters.
func ParseTime[T ~string | ~[]byte](text T) (time.Time, bool) {
	switch len(text) {
	case 10:
		n, ok := digits(text)
		return time.Unix(n, 0).UTC(), ok
	case 13:
		n, ok := digits(text)
		return time.UnixMilli(n).UTC(), ok
	}
	var t time.Time
	if len(text) == len("2006-01-02T15:04:05Z") && t.UnmarshalText([]byte(text)) == nil {
		return t.UTC(), true
	}
	m := dateTime.FindSubmatch([]byte(text))
	if m == nil {
		return time.Time{}, false
	}
	zone := "Z"
	if len(m[3]) > 0 {
		zone = string(m[3]) + ":" + string(m[4])
	}
	err := t.UnmarshalText(fmt.Appendf(nil, "%sT%s%s", m[1], m[2], zone))
	return t.UTC(), err == nil
}

// dateTime is here because UnmarshalText, which is quick, takes 9:00 for 09:00 and a
// comma for a point, but not all that leaves no doubt.
var dateTime = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?:[Zz]|([+-](?:[01]\d|2[0-3])):?([0-5]\d))?$`)

// digits reads at most 18 decimal digits and nothing else.
func digits[T ~string | ~[]byte](text T) (n int64, ok bool) {
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
