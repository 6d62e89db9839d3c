package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDate(t *testing.T) {
	d, err := ParseDate("2028-02-29")
	require.NoError(t, err)
	assert.Equal(t, Date{2028, time.February, 29}, d)
	assert.Equal(t, "2028-02-29", d.String())
	assert.Equal(t, d, DateOf(time.Date(2028, 2, 29, 23, 59, 0, 0, time.UTC)))
	for _, bad := range []string{"", "2027-02-29", "2028-2-9", "29-02-2028", "canary", "2028-13-01", "2028/02/29", "2028-00-10", "2028-02-00", "2028-02-30", "0000-01-01", "-028-02-03", "+028-02-03", "2028-+2-03", "2028-02- 3", "２028-02-03"} {
		_, err := ParseDate(bad)
		require.ErrorIs(t, err, ErrMalformed, bad)
		if bad != "" {
			assert.NotContains(t, err.Error(), bad)
		}
	}
	for _, clear := range []string{
		"20280229", "2028-02-29T00:00:00Z", "2028-02-29T23:59:59Z", "2028-02-29T00:00:00.000Z", "2028-02-29T12:30:00.123456789Z",
		"2028-02-29T00:00:00+14:00", "2028-02-29T23:59:59-12:00", "2028-02-29T23:59:60Z", "2028-02-29t00:00:00z", "2028-02-29T00:00:00-00:00",
	} {
		got, err := ParseDate(clear)
		require.NoError(t, err, clear)
		assert.Equal(t, d, got, "the date as it is written: %s", clear)
	}
	for _, bad := range []string{
		"20270229", "20280230", "00000101", "2028022", "202802290", "2028-0229", "202802-29", "-0280229", "2028 229", "29022028",
		"2027-02-29T00:00:00Z", "2028-02-29T", "2028-02-29Z", "2028-02-29T00:00Z", "2028-02-29T00:00:00", "2028-02-29 00:00:00Z",
		"2028-02-29T24:00:00Z", "2028-02-29T00:60:00Z", "2028-02-29T00:00:61Z", "2028-02-29T00:00:00+0000", "2028-02-29T00:00:00+24:00",
		"2028-02-29T00:00:00.Z", "2028-02-29T00:00:00,5Z", "2028-02-29T0:00:00Z", "20280229T000000Z", "2028-02-29T00:00:00Z canary",
		" 2028-02-29", "2028-02-29 ", "2028-02-29\n", "2028-02-29T00:00:00Z\n", "29/02/2028", "02/29/2028", "29.02.2028", "2028-W09-2", "2028-060",
		"Feb 29, 2028", "29 FEB 2028", "280229", "1835395200", "unreadable", "N/A", "never",
	} {
		_, err := ParseDate(bad)
		assert.ErrorIs(t, err, ErrMalformed, bad)
	}
	assert.True(t, Date{}.IsZero())
	assert.Empty(t, Date{}.String())
	assert.False(t, d.IsZero())

	ordered := []Date{{1999, 12, 31}, {2000, 1, 1}, {2000, 1, 2}, {2000, 2, 1}, {2001, 1, 1}}
	for i, a := range ordered {
		for j, b := range ordered {
			assert.Equal(t, i < j, a.Before(b), "%v %v", a, b)
		}
	}
}

func TestYearsUntil(t *testing.T) {
	for _, tt := range []struct {
		born, day string
		want      int
	}{
		{"2000-06-15", "2018-06-14", 17},
		{"2000-06-15", "2018-06-15", 18},
		{"2000-06-15", "2018-07-01", 18},
		{"2000-06-15", "2018-05-30", 17},
		{"2000-02-29", "2018-02-28", 17},
		{"2000-02-29", "2018-03-01", 18},
		{"2000-02-29", "2020-02-29", 20},
		{"2018-06-15", "2000-06-15", 0},
		{"2018-06-15", "2018-06-15", 0},
	} {
		born, err := ParseDate(tt.born)
		require.NoError(t, err)
		day, err := ParseDate(tt.day)
		require.NoError(t, err)
		assert.Equal(t, tt.want, born.YearsUntil(day), tt)
		assert.Zero(t, Date{}.YearsUntil(day))
		assert.Zero(t, born.YearsUntil(Date{}))
	}
}

// TestUnreadableDate: a date that cannot be read is none that is not there, and
// nothing follows from it.
func TestUnreadableDate(t *testing.T) {
	day := Date{2000, time.January, 1}
	for _, d := range []Date{UnreadableDate, {2028, 2, 30}, {2028, 0, 0}, {0, 1, 1}, {10000, 1, 1}, {Day: -1}} {
		assert.True(t, d.Unreadable())
		assert.False(t, d.IsZero())
		assert.False(t, d.Exists())
		assert.Equal(t, "unreadable", d.String())
		assert.Zero(t, d.YearsUntil(day))
		assert.Zero(t, day.YearsUntil(d))
		for _, other := range []Date{day, {}, d, UnreadableDate, {9999, 12, 31}} {
			assert.False(t, d.Before(other), other)
			assert.False(t, other.Before(d), other)
		}
		v := Verification{DateOfBirth: d}
		assert.Empty(t, v.Get(DateOfBirth))
		require.ErrorIs(t, v.Set(DateOfBirth, d.String()), ErrMalformed)
		assert.Equal(t, d, v.DateOfBirth, "unchanged")
	}
	assert.False(t, day.Unreadable())
	assert.False(t, Date{}.Unreadable())
}

func TestRateLimitError(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0:                "provider is unavailable, and asks for a pause",
		90 * time.Second: "provider is unavailable, and asks for a pause of 1m30s",
	} {
		err := fmt.Errorf("okid: %w", &RateLimitError{RetryAfter: after})
		require.ErrorIs(t, err, ErrUnavailable)
		assert.NotErrorIs(t, err, ErrRefused)
		assert.EqualError(t, err, "okid: "+want)
		limit, ok := errors.AsType[*RateLimitError](err)
		require.True(t, ok)
		assert.Equal(t, after, limit.RetryAfter)
	}
}

// FuzzParseDate: what is read begins with the digits of the date that is meant.
func FuzzParseDate(f *testing.F) {
	for _, seed := range []string{"2028-02-29", "20280229", "2028-02-29T23:59:60.5+01:00", "2028-2-9", "20280230", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDate(s)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.True(t, d.IsZero())
			return
		}
		require.True(t, d.Exists())
		again, err := ParseDate(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
		compact := strings.ReplaceAll(d.String(), "-", "")
		require.True(t, s == compact || strings.HasPrefix(s, d.String()) && (len(s) == 10 || s[10] == 'T' || s[10] == 't'), s)
	})
}

func TestFields(t *testing.T) {
	var v Verification
	for f, text := range map[Field]string{FirstName: "Jane", LastName: "Roe", DocumentNumber: "Z1", DateOfBirth: "1990-02-03"} {
		assert.True(t, f.Valid())
		require.NoError(t, v.Set(f, text))
		assert.Equal(t, text, v.Get(f))
	}
	assert.Equal(t, Verification{FirstName: "Jane", LastName: "Roe", DocumentNumber: "Z1", DateOfBirth: Date{1990, 2, 3}}, v)
	assert.ErrorIs(t, v.Set(DateOfBirth, "soon"), ErrMalformed)
	assert.Equal(t, "1990-02-03", v.Get(DateOfBirth), "unchanged")
	require.NoError(t, v.Set(DateOfBirth, ""))
	assert.Empty(t, v.Get(DateOfBirth))
	assert.False(t, Field("shoe_size").Valid())
	assert.ErrorIs(t, v.Set("shoe_size", "42"), ErrMalformed)
	assert.Empty(t, v.Get("shoe_size"))
}

func TestFinal(t *testing.T) {
	for s, want := range map[Status]bool{
		Created: false, Started: false, Review: false, "": false, "anything": false,
		Verified: true, Failed: true, Expired: true, Revoked: true,
	} {
		assert.Equal(t, want, s.Final(), s)
	}
}

func TestNothingPersonalIsPrinted(t *testing.T) {
	type host struct { // as the comment on Verification has it
		v func() Verification
		n func() Notice
		s func() Session
	}
	v := Verification{ID: "ver_1", Status: Verified, FirstName: "Canary", LastName: "Canary", DocumentNumber: "CANARY", DateOfBirth: Date{1990, 2, 3}, Concerns: []Concern{{ID: "canary", Message: "canary"}}}
	n := Notice{Provider: "okid", Event: "completed", Verification: v, Metadata: map[string]string{"a": "canary"}, Reference: "canary"}
	s := Session{Token: "canary", ExpiresAt: time.Unix(0, 0).UTC()}
	for want, value := range map[string]any{
		"ver_1 verified":                     v,
		"okid completed ver_1 verified":      n,
		"session until 1970-01-01T00:00:00Z": s,
		"identity.Concern(redacted)":         v.Concerns[0],
	} {
		h := host{func() Verification { return v }, func() Notice { return n }, func() Session { return s }}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			assert.NotRegexp(t, `(?i)canary|63616e617279|\b1990\b`, fmt.Sprintf(verb, []any{h, &h}))
		}

		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			assert.Equal(t, want, fmt.Sprintf(verb, value))
			fmt.Fprintf(&out, verb, []any{value, &value, struct{ X any }{value}})
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", value, "list", []any{value})
		data, err := json.Marshal(map[string]any{"x": value})
		require.NoError(t, err)
		out.Write(data)
		assert.NotRegexp(t, `(?i)canary|\b1990\b`, out.String())
	}
}

// The day on which an age is reached is the first on which it is counted.
func TestPlusYears(t *testing.T) {
	for born, want := range map[Date]Date{
		{2008, 3, 2}:   {2026, 3, 2},
		{2008, 2, 29}:  {2026, 3, 1},
		{2008, 12, 31}: {2026, 12, 31},
		{9990, 1, 1}:   {},
		{}:             {},
		UnreadableDate: {},
	} {
		got := born.PlusYears(18)
		assert.Equal(t, want, got, born)
		if !want.IsZero() {
			assert.Equal(t, 18, born.YearsUntil(got))
			before := time.Date(got.Year, got.Month, got.Day-1, 0, 0, 0, 0, time.UTC)
			assert.Equal(t, 17, born.YearsUntil(DateOf(before)))
		}
	}
}
