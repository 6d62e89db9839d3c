package identity

import (
	"fmt"
	"time"
)

// Date is a day on the calendar without time or zone, as it is printed in a
// passport. The zero value means "not known".
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// ParseDate reads YYYY-MM-DD, the form in which the providers give dates. It
// refuses days that do not exist. The error never quotes its input, which may
// be somebody's date of birth.
func ParseDate(s string) (Date, error) {
	if len(s) == len(time.DateOnly) && s[4] == '-' && s[7] == '-' {
		d := Date{Year: number(s[:4]), Month: time.Month(number(s[5:7])), Day: number(s[8:])}
		if d.Exists() {
			return d, nil
		}
	}
	return Date{}, fmt.Errorf("%w: date is not YYYY-MM-DD", ErrMalformed)
}

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

// Before reports whether d is an earlier day than e.
func (d Date) Before(e Date) bool {
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
// of a year that has no such day. It is 0 if either date is not known, or if e
// comes before d.
func (d Date) YearsUntil(e Date) int {
	if d.IsZero() || e.IsZero() || e.Before(d) {
		return 0
	}
	years := e.Year - d.Year
	if e.Month < d.Month || e.Month == d.Month && e.Day < d.Day {
		years--
	}
	return years
}

// String is YYYY-MM-DD, and "" for the zero value.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
}
