package identity

import (
	"fmt"
	"strings"
	"time"
)

// Date is a day on the calendar without time or zone, as it is printed in a
// passport. The zero value means "not known". Every other value that is no day,
// [UnreadableDate] above all, means that there is a date which cannot be read:
// whoever depends on it must not take it for one that is not there.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// UnreadableDate is what a [Provider] reports for a date that is there, and that
// [ParseDate] cannot read.
var UnreadableDate = Date{Year: -1}

// ParseDate reads the forms of a date that leave no doubt: YYYY-MM-DD, YYYYMMDD,
// and the date-times of RFC 3339, of which the date counts as it is written,
// whatever the time and the zone. It refuses everything else, and days that do
// not exist, with an error that wraps [ErrMalformed]. The error never quotes its
// input, which may be somebody's date of birth.
func ParseDate(s string) (Date, error) {
	if n := len(time.DateOnly); len(s) > n && isTime(s[n:]) {
		s = s[:n]
	}
	var year, month, day string
	switch {
	case len(s) == len(time.DateOnly) && s[4] == '-' && s[7] == '-':
		year, month, day = s[:4], s[5:7], s[8:]
	case len(s) == len("20060102"):
		year, month, day = s[:4], s[4:6], s[6:]
	}
	if d := (Date{Year: number(year), Month: time.Month(number(month)), Day: number(day)}); d.Exists() {
		return d, nil
	}
	return Date{}, fmt.Errorf("%w: not a date as YYYY-MM-DD, YYYYMMDD or RFC 3339", ErrMalformed)
}

// isTime reports whether s is what follows the date in a date-time of RFC 3339.
func isTime(s string) bool {
	const shortest = "T00:00:00Z"
	if len(s) < len(shortest) || s[0] != 'T' && s[0] != 't' || s[6] != ':' || !isClock(s[1:6]) || !upTo(s[7:9], 60) {
		return false
	}
	zone := s[9:]
	if zone[0] == '.' {
		zone = strings.TrimLeft(zone[1:], "0123456789")
		if len(s) == len("T00:00:00.")+len(zone) {
			return false
		}
	}
	switch {
	case zone == "Z" || zone == "z":
		return true
	case len(zone) == len("+00:00"):
		return (zone[0] == '+' || zone[0] == '-') && isClock(zone[1:])
	}
	return false
}

// isClock reports whether s, which has five bytes, is hours and minutes.
func isClock(s string) bool { return s[2] == ':' && upTo(s[:2], 23) && upTo(s[3:], 59) }

func upTo(s string, most int) bool { return 0 <= number(s) && number(s) <= most }

// number reads decimal digits and nothing else; -1 is what is no number.
func number(s string) (n int) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// Exists reports whether there is such a day, in the years 1 to 9999.
func (d Date) Exists() bool {
	return 1 <= d.Year && d.Year <= 9999 && d == DateOf(time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC))
}

// DateOf is the day of t in t's own zone.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{Year: y, Month: m, Day: d}
}

// IsZero reports whether the date is not known.
func (d Date) IsZero() bool { return d == Date{} }

// Unreadable reports whether there is a date, and it cannot be read: d is neither
// the zero value nor a day that exists.
func (d Date) Unreadable() bool { return !d.IsZero() && !d.Exists() }

// Before reports whether d is an earlier day than e. An unreadable date is before
// nothing, and nothing is before it.
func (d Date) Before(e Date) bool {
	if d.Unreadable() || e.Unreadable() {
		return false
	}
	if d.Year != e.Year {
		return d.Year < e.Year
	}
	if d.Month != e.Month {
		return d.Month < e.Month
	}
	return d.Day < e.Day
}

// YearsUntil is how many whole years lie between d and e: the age on day e of
// somebody born on d. Somebody born on 29 February completes a year on 1 March
// of a year that has no such day. It is 0 if either date is not known or
// unreadable, or if e comes before d.
func (d Date) YearsUntil(e Date) int {
	if !d.Exists() || !e.Exists() || e.Before(d) {
		return 0
	}
	years := e.Year - d.Year
	if e.Month < d.Month || e.Month == d.Month && e.Day < d.Day {
		years--
	}
	return years
}

// PlusYears is the day on which somebody born on d reaches an age, as [Date.YearsUntil]
// counts it. It is zero if d is not known or unreadable, or if there is no such day.
func (d Date) PlusYears(years int) Date {
	if !d.Exists() {
		return Date{}
	}
	d = DateOf(time.Date(d.Year+years, d.Month, d.Day, 0, 0, 0, 0, time.UTC))
	if !d.Exists() {
		return Date{}
	}
	return d
}

// String is YYYY-MM-DD, "" for the zero value, and "unreadable" for a date that is.
func (d Date) String() string {
	switch {
	case d.IsZero():
		return ""
	case d.Unreadable():
		return "unreadable"
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
}
