package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
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
	for _, bad := range []string{"", "2027-02-29", "2028-2-9", "29-02-2028", "2028-02-29T00:00:00Z", "canary", "2028-13-01", "2028/02/29", "2028-00-10", "2028-02-00", "2028-02-30", "0000-01-01", "-028-02-03", "+028-02-03", "2028-+2-03", "2028-02- 3", "２028-02-03"} {
		_, err := ParseDate(bad)
		require.ErrorIs(t, err, ErrMalformed, bad)
		if bad != "" {
			assert.NotContains(t, err.Error(), bad)
		}
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
	v := Verification{ID: "ver_1", Status: Verified, FirstName: "Canary", LastName: "Canary", DocumentNumber: "CANARY", DateOfBirth: Date{1990, 2, 3}, Concerns: []Concern{{ID: "canary", Message: "canary"}}}
	n := Notice{Provider: "okid", Event: "completed", Verification: v, Metadata: map[string]string{"a": "canary"}, Reference: "canary"}
	s := Session{Token: "canary", ExpiresAt: time.Unix(0, 0).UTC()}
	for want, value := range map[string]any{
		"ver_1 verified":                     v,
		"okid completed ver_1 verified":      n,
		"session until 1970-01-01T00:00:00Z": s,
		"identity.Concern(redacted)":         v.Concerns[0],
	} {
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
		assert.NotRegexp(t, `(?i)canary|1990`, out.String())
	}
}
