package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// A document that had expired already, or whose expiry cannot be read, verifies nobody,
// and nobody is told that it did.
func TestDocumentIsRefused(t *testing.T) {
	expired, unreadable := identity.Date{Year: 2026, Month: 2, Day: 28}, identity.UnreadableDate // it is 1 March 2026
	for _, tt := range []struct {
		expiry identity.Date
		reason string
	}{
		{identity.Date{}, ""},
		{identity.Date{Year: 2026, Month: 3, Day: 1}, ""},
		{expired, ReasonDocumentExpired},
		{unreadable, ReasonDocumentUnreadable},
		{identity.Date{Year: 2030, Month: 2, Day: 30}, ReasonDocumentUnreadable},
	} {
		for name, change := range map[string]func(*Config){
			"told":          func(*Config) {},
			"async":         func(c *Config) { c.Async = true },
			"decided":       func(c *Config) { c.Decide = func(context.Context, Event) error { return nil } },
			"confirmed":     func(c *Config) { c.ConfirmByFetch = true },
			"nobody asks":   func(c *Config) { c.OnVerified = nil },
			"nobody at all": func(c *Config) { c.OnVerified, c.OnFailed = nil, nil },
		} {
			for _, allow := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %v, allowed %v", name, tt.expiry, allow), func(t *testing.T) {
					w := newWorld(t, change, func(c *Config) { c.AllowExpiredDocument = allow })
					ref := w.start("alice").Attempt
					w.provider.answer(ref, "v1", identity.Verified)
					n := w.provider.answers["v1"]
					n.Verification.DocumentExpiry = tt.expiry
					w.provider.answers["v1"] = n
					require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified, Expiry: tt.expiry}))
					w.later(time.Second)
					if tt.reason == "" || allow {
						assert.Equal(t, 200, w.gate("alice"))
						assert.Zero(t, w.outcomes.of(OutcomeDocumentRefused))
						return
					}
					assert.Equal(t, 403, w.gate("alice"))
					assert.Equal(t, "failed", w.status("alice", ref))
					assert.Equal(t, tt.reason, w.record("alice").Attempts[0].Reason)
					assert.Equal(t, 1, w.outcomes.of(OutcomeDocumentRefused))
					if name != "nobody at all" {
						assert.Equal(t, []string{"failed"}, w.host.heard())
						assert.Equal(t, tt.reason, w.host.last().Reason)
					}
					// It stays so, and the user may try again.
					require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified, Expiry: tt.expiry, Note: "again"}))
					w.later(time.Minute)
					assert.Equal(t, 403, w.gate("alice"))
					assert.NotEqual(t, ref, w.start("alice").Attempt)
				})
			}
		}
	}
}

// What cannot be read is told of, by the name of the field and never by its value.
func TestUnreadableDatesAreReported(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AllowExpiredDocument, c.AgeOver = true, []int{18} })
	ref := w.start("alice").Attempt
	odd := notice{Reference: ref, ID: "v1", Status: identity.Verified, Expiry: identity.Date{Year: -7}, Born: identity.UnreadableDate}
	require.Equal(t, 200, w.webhook(odd))
	require.Equal(t, 200, w.webhook(odd), "once")
	assert.Equal(t, 2, w.outcomes.of(OutcomeUnreadable))
	for _, field := range []string{"document_expiry", "date_of_birth"} {
		assert.Regexp(t, `"level":"WARN"[^\n]*unreadable_date[^\n]*"field":"`+field+`"`, w.log.String())
	}
	assert.NotContains(t, w.log.String(), "-7")
	g, err := w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.Empty(t, g.AgeOver, "nobody knows how old alice is")
	assert.True(t, g.DocumentExpiry.Unreadable())

	// Whoever has let it count does not, once the host is stricter.
	w.kit = w.replica()
	assert.Equal(t, 403, w.gate("alice"))
}

// It is told of however it became known: by a webhook, by the answer to a question, or by
// one that settles what a webhook said, and then once.
func TestUnreadableDatesAreReportedWhereverTheyStand(t *testing.T) {
	odd := person
	odd.ID, odd.Status, odd.DocumentExpiry, odd.DateOfBirth = "v1", identity.Verified, identity.UnreadableDate, identity.UnreadableDate
	for name, become := range map[string]func(t *testing.T, change func(*Config)) *world{
		"answer": func(t *testing.T, change func(*Config)) *world {
			w := newWorld(t, change)
			ref := w.start("alice").Attempt
			require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started}))
			w.provider.answers["v1"] = identity.Notice{Reference: ref, Verification: odd}
			w.later(refreshEvery)
			return w
		},
		"confirmation": func(t *testing.T, change func(*Config)) *world {
			w := newWorld(t, change, func(c *Config) { c.ConfirmByFetch = true })
			ref := w.start("alice").Attempt
			w.provider.answers["v1"] = identity.Notice{Reference: ref, Verification: odd}
			require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
			return w
		},
		"webhook and confirmation": func(t *testing.T, change func(*Config)) *world {
			w := newWorld(t, change, func(c *Config) { c.ConfirmByFetch = true })
			ref := w.start("alice").Attempt
			w.provider.answers["v1"] = identity.Notice{Reference: ref, Verification: odd}
			require.Equal(t, 200, w.webhook(notice{
				Reference: ref, ID: "v1", Status: identity.Verified, Expiry: odd.DocumentExpiry, Born: odd.DateOfBirth,
			}))
			return w
		},
		"claim": func(t *testing.T, change func(*Config)) *world {
			w, p := newClaimWorld(t, change)
			p.says("session1", identity.Verified)
			n := p.answers["session1"]
			n.Verification.DocumentExpiry, n.Verification.DateOfBirth = odd.DocumentExpiry, odd.DateOfBirth
			p.answers["session1"] = n
			w.claim("alice", `{"id":"session1"}`)
			return w
		},
	} {
		for _, allow := range []bool{false, true} {
			w := become(t, func(c *Config) { c.AllowExpiredDocument = allow })
			assert.Equal(t, allow, w.gate("alice") == 200, name)
			for _, field := range []string{"document_expiry", "date_of_birth"} {
				assert.Equal(t, 1, strings.Count(w.log.String(), `"field":"`+field+`"`), "%s, %s", name, field)
			}
		}
	}
}

// A day ends where the host says that it does.
func TestLocation(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	for _, tt := range []struct {
		zone          *time.Location
		adult, passes bool
	}{
		{nil, true, false}, // in UTC it is 2 March
		{time.UTC, true, false},
		{newYork, false, true},
		{time.FixedZone("Auckland", 13*3600), true, false},
	} {
		w := newWorld(t, func(c *Config) { c.Location, c.AgeOver = tt.zone, []int{18} })
		ref := w.start("alice").Attempt
		w.clock.now = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC) // 1 March, 20:00 in New York
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified,
			Born: identity.Date{Year: 2008, Month: 3, Day: 2}, Expiry: identity.Date{Year: 2026, Month: 3, Day: 2}}))
		g, err := w.kit.Grant(t.Context(), "alice")
		require.NoError(t, err, tt.zone)
		assert.Equal(t, tt.adult, g.Over(18), tt.zone)
		w.clock.add(day)
		assert.Equal(t, tt.passes, w.gate("alice") == 200, "%v, one day later", tt.zone)
	}
}

// What a provider says at too great length is left out, so that a record has room for
// all that may have to wait in it.
func TestLongTextsAreLeftOut(t *testing.T) {
	w := newWorld(t)
	w.host.failing(func(Event) error { return errors.New("database is away") })
	ref := w.start("alice").Attempt
	for _, word := range []identity.Status{identity.Started, identity.Review, identity.Expired, identity.Failed, identity.Verified} {
		w.webhook(notice{Reference: ref, ID: "v1", Status: word, Long: 255 << 10})
	}
	assert.Less(t, len(w.record("alice").AppendTo(nil)), 16<<10)
	for _, e := range w.host.events {
		assert.Empty(t, e.Verification.FirstName)
		assert.Len(t, e.Verification.Concerns, 1, "the one that is short")
	}
}
