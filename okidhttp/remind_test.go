package okidhttp

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// reminders is a world that counts reminders by when they came.
func reminders(t *testing.T, changes ...func(*Config)) (w *world, ends func() []time.Time) {
	w = newWorld(t, append([]func(*Config){func(c *Config) { c.RecheckVerified = -1 }}, changes...)...)
	w.kit = w.replica(append([]func(*Config){func(c *Config) { c.RecheckVerified = -1; c.OnExpiring = w.host.told }}, changes...)...)
	return w, func() (ends []time.Time) {
		for _, e := range w.host.events {
			if !e.ExpiresAt.IsZero() {
				assert.Equal(t, identity.Verified, e.Status)
				assert.Equal(t, "alice", e.Subject)
				ends = append(ends, e.ExpiresAt)
			}
		}
		return ends
	}
}

// The host is told once, ahead of whatever ends the verification first.
func TestOnExpiring(t *testing.T) {
	auckland, err := time.LoadLocation("Pacific/Auckland")
	require.NoError(t, err)
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		change func(*Config)
		expiry identity.Date
		told   time.Time // zero: never
		ends   time.Time
	}{
		"age":                      {func(c *Config) { c.MaxAge = 100 * day }, identity.Date{}, begin.Add(75 * day), begin.Add(100 * day)},
		"age, as set":              {func(c *Config) { c.MaxAge = 100 * day; c.RemindBefore = 3 * day }, identity.Date{}, begin.Add(97 * day), begin.Add(100 * day)},
		"document":                 {func(*Config) {}, identity.Date{Year: 2026, Month: 5, Day: 31}, time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)},
		"document, where it is":    {func(c *Config) { c.Location = auckland }, identity.Date{Year: 2026, Month: 5, Day: 31}, time.Date(2026, 5, 2, 0, 0, 0, 0, auckland), time.Date(2026, 6, 1, 0, 0, 0, 0, auckland)},
		"the earlier one":          {func(c *Config) { c.MaxAge = 400 * day }, identity.Date{Year: 2026, Month: 5, Day: 31}, time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)},
		"at once":                  {func(*Config) {}, identity.Date{Year: 2026, Month: 3, Day: 10}, begin, time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC)},
		"no matter for documents":  {func(c *Config) { c.AllowExpiredDocument = true }, identity.Date{Year: 2026, Month: 5, Day: 31}, time.Time{}, time.Time{}},
		"nothing ends before 2030": {func(*Config) {}, identity.Date{}, time.Time{}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			w, ends := reminders(t, tt.change)
			w.verify("alice", notice{Expiry: tt.expiry})
			if tt.told.IsZero() {
				w.later(1000 * day)
				assert.Empty(t, ends())
				return
			}
			if wait := tt.told.Sub(w.clock.Now()); wait > 0 {
				w.later(wait - time.Second)
				assert.Empty(t, ends(), "a second before")
				w.later(time.Second)
			}
			w.later(time.Millisecond)
			require.Len(t, ends(), 1)
			assert.True(t, tt.ends.Equal(ends()[0]), ends()[0])
			assert.Equal(t, 200, w.gate("alice"))
			w.later(tt.ends.Sub(w.clock.Now()))
			assert.Equal(t, 403, w.gate("alice"), "it has said so")
			w.later(100 * day)
			assert.Len(t, ends(), 1, "once")
		})
	}
}

// A reminder is told until the host knows, and not about what does not stand any more.
func TestOnExpiringIsKept(t *testing.T) {
	set := func(c *Config) { c.MaxAge = 40 * day; c.RemindBefore = 10 * day }
	w, ends := reminders(t, set)
	w.verify("alice", notice{})
	w.host.failing(func(e Event) error { return errors.New("mail is away") })
	w.later(30 * day)
	w.host.failing(nil)
	w.later(time.Minute)
	require.Len(t, ends(), 2)
	assert.Equal(t, w.host.last().ID, w.host.events[1].ID, "the same event")
	w.later(time.Hour)
	assert.Len(t, ends(), 2)

	w, ends = reminders(t, set)
	w.verify("alice", notice{})
	w.later(29 * day)
	w.verify("alice", notice{ID: "v2"}, "renew", "1")
	w.later(2 * day)
	assert.Empty(t, ends(), "it was renewed")
	w.later(28 * day)
	assert.Len(t, ends(), 1, "and the new one ends, too")

	w, ends = reminders(t, set)
	w.verify("alice", notice{})
	w.host.failing(func(e Event) error { return errors.New("mail is away") })
	w.later(30 * day)
	w.host.failing(nil)
	require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
	w.later(5 * day)
	assert.Len(t, ends(), 1, "the try that failed")
	assert.Equal(t, identity.Revoked, w.host.last().Status, "nothing comes after it")

	w, ends = reminders(t, set)
	w.verify("alice", notice{})
	w.host.failing(func(Event) error { return Permanent(errors.New("no such user")) })
	w.later(30 * day)
	w.work()
	w.host.failing(nil)
	for l, err := range w.kit.DeadLetters(t.Context()) {
		require.NoError(t, err)
		assert.Equal(t, identity.Status("expiring"), l.Status)
		require.NoError(t, w.kit.ReplayDeadLetter(t.Context(), l.ID))
	}
	assert.Len(t, ends(), 2)
	assert.Equal(t, 200, w.gate("alice"), "whatever becomes of the reminder")
}

func TestRemindBefore(t *testing.T) {
	for _, c := range []Config{{RemindBefore: -1}, {MaxAge: time.Hour, RemindBefore: time.Hour}} {
		_, err := New(c)
		assert.ErrorContains(t, err, "RemindBefore is negative, or not less than MaxAge")
	}
}
