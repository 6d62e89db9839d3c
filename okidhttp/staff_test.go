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

var bySam = Staff{Actor: "sam", Reason: "Passport seen at the counter."}

// Staff close the gate at once, on every replica, and no old word of the provider's opens
// it. A new verification does.
func TestRevoke(t *testing.T) {
	w, ref := verifiedUser(t)
	lapsed := w.start("alice", "renew", "1").Attempt
	w.later(2 * time.Hour)
	require.Equal(t, "expired", w.status("alice", lapsed))
	other := w.replica()

	require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
	assert.Equal(t, 403, w.gate("alice"))
	_, err := other.Grant(t.Context(), "alice")
	assert.ErrorIs(t, err, ErrNotVerified)
	e := w.host.last()
	assert.Equal(t, identity.Revoked, e.Status)
	assert.Equal(t, ReasonStaff, e.Reason)
	assert.Equal(t, ref, e.Attempt)

	for _, old := range []notice{
		{Reference: ref, ID: "v1", Status: identity.Verified},
		{Reference: ref, ID: "v1", Status: identity.Verified, Note: "again"},
		{Reference: lapsed, ID: "v2", Status: identity.Verified},
		{Reference: ref, ID: "v1", Status: identity.Failed},
	} {
		w.provider.answer(old.Reference, old.ID, identity.Verified)
		assert.Equal(t, 200, w.webhook(old), "%+v", old)
		w.later(time.Minute)
		assert.Equal(t, 403, w.gate("alice"), "%+v", old)
	}
	w.get("alice", "/verify/success?attempt="+ref)
	w.later(30 * 24 * time.Hour)
	assert.Equal(t, 403, w.gate("alice"))
	assert.ErrorIs(t, w.kit.Revoke(t.Context(), "alice", bySam), ErrNothingToDo)

	w.verify("alice", notice{})
	assert.Equal(t, 200, w.gate("alice"))
	assert.ErrorIs(t, w.kit.Revoke(t.Context(), "nobody", bySam), ErrNothingToDo)
}

// All that stands is revoked, also what stood before a renewal.
func TestRevokeAfterRenewal(t *testing.T) {
	w, _ := verifiedUser(t)
	w.verify("alice", notice{ID: "v2"}, "renew", "1")
	require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
	assert.Equal(t, 403, w.gate("alice"))
	assert.Equal(t, []string{"verified", "verified", "revoked", "revoked"}, w.host.heard())
}

// What waits for the host does not open the gate any more, whether the host knows or not.
func TestRevokeWhatWaits(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.provider.answer(a, "v1", identity.Verified)
	w.host.failing(func(Event) error { return errors.New("answer lost") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.host.failing(nil)
	require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
	assert.Equal(t, identity.Revoked, w.host.last().Status, "the host may know")
	w.later(time.Hour)
	assert.Equal(t, 403, w.gate("alice"))
	assert.Equal(t, "revoked", w.status("alice", a))

	w = newWorld(t, func(c *Config) { c.RequireReturn = true })
	a = w.start("alice").Attempt
	w.provider.answer(a, "v1", identity.Verified)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
	assert.Equal(t, []string{"failed"}, w.host.heard(), "it was held, so the host knows of nothing")
	w.get("alice", "/verify/success?attempt="+a)
	assert.Equal(t, 403, w.gate("alice"))
}

// If the host cannot be told, the gate is shut all the same, and the host hears of it later.
func TestRevokeWhileTheHostIsAway(t *testing.T) {
	w, _ := verifiedUser(t)
	w.host.failing(func(Event) error { return errors.New("database is away") })
	assert.ErrorIs(t, w.kit.Revoke(t.Context(), "alice", bySam), ErrNotTold)
	assert.Equal(t, 403, w.gate("alice"))
	w.host.failing(nil)
	w.later(time.Minute)
	assert.Equal(t, []string{"verified", "revoked", "revoked"}, w.host.heard())
	w.store.broken = errors.New("store is away")
	err := w.kit.Revoke(t.Context(), "alice", bySam)
	assert.ErrorContains(t, err, "store is away")
	assert.NotErrorIs(t, err, ErrNotTold)
}

// Staff verify whom the provider does not, in any state of the last attempt.
func TestApprove(t *testing.T) {
	for name, prepare := range map[string]func(w *world) (reference string){
		"nobody knows them": func(*world) string { return "" },
		"created":           func(w *world) string { return w.start("alice").Attempt },
		"review": func(w *world) string {
			a := w.start("alice").Attempt
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Review}))
			return a
		},
		"failed": func(w *world) string {
			a := w.start("alice").Attempt
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
			return a
		},
		"expired": func(w *world) string {
			a := w.start("alice").Attempt
			w.later(2 * time.Hour)
			return a
		},
		"revoked by staff": func(w *world) string {
			w.verify("alice", notice{ID: "v1"})
			require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
			return ""
		},
	} {
		for _, deaf := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", deaf ", deaf), func(t *testing.T) {
				w := newWorld(t, func(c *Config) {
					c.Decide = func(context.Context, Event) error { return errors.New("nobody asks") }
					if name == "revoked by staff" {
						c.Decide = nil
					}
					c.RequireReturn = name != "revoked by staff"
					if deaf {
						c.OnVerified = nil
					}
				})
				ref := prepare(w)
				require.NoError(t, w.kit.Approve(t.Context(), "alice", bySam))
				assert.Equal(t, 200, w.gate("alice"))
				g, err := w.kit.Grant(t.Context(), "alice")
				require.NoError(t, err)
				assert.Equal(t, Grant{VerifiedAt: w.clock.Now(), Provider: StaffProvider}, g)
				if !deaf {
					e := w.host.last()
					assert.Equal(t, identity.Verified, e.Status)
					assert.Equal(t, ReasonStaff, e.Reason)
					assert.Equal(t, "alice", e.Subject)
					assert.Equal(t, identity.Verification{ID: e.Verification.ID, Status: identity.Verified}, e.Verification)
				}
				assert.ErrorIs(t, w.kit.Approve(t.Context(), "alice", bySam), ErrNothingToDo)

				if ref != "" { // the provider's word about that attempt counts no more
					assert.Equal(t, "verified", w.status("alice", ref), "its page moves on")
					for _, s := range []identity.Status{identity.Failed, identity.Expired, identity.Review, identity.Verified} {
						w.provider.answer(ref, "v1", identity.Failed)
						assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: s, Note: "late"}))
					}
				}
				w.later(40 * 24 * time.Hour)
				assert.Equal(t, 200, w.gate("alice"))
				asked := w.provider.asked()
				w.later(40 * 24 * time.Hour)
				assert.Equal(t, asked, w.provider.asked(), "nobody is asked about it")

				require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
				assert.Equal(t, 403, w.gate("alice"))
			})
		}
	}
}

// The gate opens when the host knows.
func TestApproveWhileTheHostIsAway(t *testing.T) {
	w := newWorld(t)
	w.host.failing(func(Event) error { return errors.New("database is away") })
	assert.ErrorIs(t, w.kit.Approve(t.Context(), "alice", bySam), ErrNotTold)
	assert.Equal(t, 403, w.gate("alice"))
	w.host.failing(nil)
	w.later(time.Minute)
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, w.host.events[0].ID, w.host.last().ID)
}

// A denial that waits to be settled, or to be told, does not undo what staff say after it.
func TestApproveBesideADenial(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	w.host.failing(nil)
	require.NoError(t, w.kit.Approve(t.Context(), "alice", bySam))
	w.later(time.Hour)
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, "verified", string(w.host.last().Status))
}

func TestResetLimit(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.StartLimit = AtMost(1, time.Hour)
		c.Decide = func(context.Context, Event) error { return Refuse("too_young").Final() }
	})
	assert.ErrorIs(t, w.kit.ResetLimit(t.Context(), "alice", bySam), ErrNothingToDo)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	require.Equal(t, 429, w.tryStart("alice").Code)
	require.NoError(t, w.kit.ResetLimit(t.Context(), "alice", bySam))
	b := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: b, ID: "v2", Status: identity.Verified}))
	require.Equal(t, 403, w.tryStart("alice").Code)
	require.NoError(t, w.kit.ResetLimit(t.Context(), "alice", bySam))
	assert.Equal(t, 201, w.tryStart("alice").Code)
	assert.Contains(t, w.page("alice", "/verify/", ""), "Verify your identity")
}

// The history names who acted, and has nothing of the user; the store has neither to read.
func TestAttempts(t *testing.T) {
	w := newWorld(t)
	all, err := w.kit.Attempts(t.Context(), "alice")
	require.NoError(t, err)
	assert.Empty(t, all)

	a := w.verify("alice", notice{ID: "v1"})
	began := w.clock.Now()
	w.later(time.Hour)
	require.NoError(t, w.kit.Revoke(t.Context(), "alice", Staff{Actor: "actor-canary", Reason: "reason-canary"}))
	all, err = w.kit.Attempts(t.Context(), "alice")
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, Attempt{
		ID: w.record("alice").Attempts[0].ID.String(), Reference: a, Provider: "fake", VerificationID: "v1",
		Status: identity.Revoked, Reason: ReasonStaff, CreatedAt: began, UpdatedAt: w.clock.Now(),
		Actions: []Action{{Action: "revoke", Staff: Staff{"actor-canary", "reason-canary"}, At: w.clock.Now()}},
	}, all[0])

	w.host.failing(func(Event) error { return Permanent(errors.New("no")) })
	require.NoError(t, w.kit.ResetLimit(t.Context(), "alice", bySam))
	require.Error(t, w.kit.Approve(t.Context(), "alice", bySam))
	w.later(time.Minute)
	all, err = w.kit.Attempts(t.Context(), "alice")
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Len(t, all[1].DeadLetters, 1)
	assert.False(t, all[1].Counts)
	assert.Equal(t, "reset_limit", all[0].Actions[1].Action)
	w.host.failing(nil)
	require.NoError(t, w.kit.ReplayDeadLetter(t.Context(), all[1].DeadLetters[0]))
	all, err = w.kit.Attempts(t.Context(), "alice")
	require.NoError(t, err)
	assert.True(t, all[1].Counts)

	for _, value := range w.store.values {
		assert.NotContains(t, value, "reason-canary")
		assert.NotContains(t, value, "actor-canary")
	}
	assert.NotContains(t, w.log.String(), "reason-canary")
	assert.Contains(t, w.log.String(), `"actor":"actor-canary"`)
	assert.NotContains(t, fmt.Sprintf("%+v %#v", all, all), "canary")
	for range 20 {
		_ = w.kit.Revoke(t.Context(), "alice", bySam)
		_ = w.kit.Approve(t.Context(), "alice", bySam)
	}
	all, err = w.kit.Attempts(t.Context(), "alice")
	require.NoError(t, err)
	assert.Less(t, len(all), 15, "the history is bounded")
}

func TestStaffIsRequired(t *testing.T) {
	w, _ := verifiedUser(t)
	for _, by := range []Staff{{}, {Actor: "sam"}, {Reason: "why"}, {"sam", strings.Repeat("x", 201)}, {"\xff", "why"}} {
		assert.ErrorContains(t, w.kit.Revoke(t.Context(), "alice", by), "an Actor and a Reason")
		assert.ErrorContains(t, w.kit.Approve(t.Context(), "alice", by), "an Actor and a Reason")
		assert.ErrorContains(t, w.kit.ResetLimit(t.Context(), "alice", by), "an Actor and a Reason")
	}
	assert.Equal(t, 200, w.gate("alice"))
	cfg := Config{Providers: []identity.Provider{&fakeProvider{name: "staff"}}}
	_, err := New(cfg)
	assert.ErrorContains(t, err, `Providers has "staff", which stands for the host's staff`)
}
