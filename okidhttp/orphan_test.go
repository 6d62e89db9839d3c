package okidhttp

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// A verification may count at once, if the host does not want to hear of it, while a
// callback for older news is under way, or its process has died. What contradicts it
// later is settled all the same.
func TestLeaseForWhatIsNotPendingAnyMore(t *testing.T) {
	for _, async := range []bool{false, true} {
		for _, dies := range []bool{false, true} {
			w := newWorld(t, func(c *Config) { c.OnVerified, c.Async = nil, async })
			ref := w.start("alice").Attempt
			w.provider.answer(ref, "v1", identity.Failed)
			w.host.failing(func(e Event) error {
				if e.Status != identity.Started {
					return nil
				}
				assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
				if dies {
					w.store.breakDown(errStoreIsAway)
				}
				return nil
			})
			w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started})
			if async {
				w.later(time.Second)
			}
			w.store.breakDown(nil)
			require.Equal(t, 200, w.gate("alice"), "async %v, dies %v", async, dies)
			if !dies {
				assert.Zero(t, w.record("alice").Attempts[0].Lease, "it is given back")
			}
			code := w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed})
			if dies && !async {
				assert.Equal(t, 503, code, "the lease still stands")
			} else {
				assert.Equal(t, 200, code)
			}
			w.later(time.Minute)
			assert.Equal(t, 403, w.gate("alice"), "async %v, dies %v", async, dies)
			assert.Equal(t, []string{"started", "revoked"}, w.host.heard())
			assert.Empty(t, w.record("alice").Attempts[0].Outbox)
		}
	}
}

// aware is a world in which OnVerified took effect, and gave up all the same.
func aware(t *testing.T) (w *world, l DeadLetter) {
	w, l = givenUp(t, identity.Verified)
	w.host.failing(nil)
	w.provider.answer(l.Attempt, "v1", identity.Failed)
	return w, l
}

// A host that may know of a verification which it gave up hears that it does not stand.
func TestWithdrawalOfWhatWasGivenUp(t *testing.T) {
	t.Run("replayed", func(t *testing.T) {
		w, l := aware(t)
		require.NoError(t, w.kit.ReplayDeadLetter(t.Context(), l.ID))
		assert.Equal(t, []string{"verified", "revoked"}, w.host.heard())
		assert.Equal(t, "revoked", w.status("alice", l.Attempt))
		assert.Empty(t, deadLetters(t, w.kit))
	})
	t.Run("told by a webhook", func(t *testing.T) {
		w, l := aware(t)
		require.Equal(t, 200, w.webhook(notice{Reference: l.Attempt, ID: "v1", Status: identity.Failed}))
		assert.Equal(t, []string{"verified", "revoked"}, w.host.heard())
		assert.Empty(t, deadLetters(t, w.kit))
		assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), l.ID), ErrNoDeadLetter)
	})
	t.Run("told by an old webhook", func(t *testing.T) {
		w, l := aware(t)
		w.provider.answer(l.Attempt, "v1", identity.Verified)
		require.Equal(t, 200, w.webhook(notice{Reference: l.Attempt, ID: "v1", Status: identity.Failed}))
		assert.Equal(t, []string{"verified"}, w.host.heard())
		require.NoError(t, w.kit.ReplayDeadLetter(t.Context(), l.ID))
		assert.Equal(t, 200, w.gate("alice"))
	})
	t.Run("the provider does not know it any more", func(t *testing.T) {
		w, l := aware(t)
		delete(w.provider.answers, "v1")
		require.NoError(t, w.kit.ReplayDeadLetter(t.Context(), l.ID))
		assert.Equal(t, []string{"verified", "revoked"}, w.host.heard())
	})
	t.Run("dropped", func(t *testing.T) {
		w, l := aware(t)
		require.NoError(t, w.kit.DropDeadLetter(t.Context(), l.ID))
		require.Equal(t, 200, w.webhook(notice{Reference: l.Attempt, ID: "v1", Status: identity.Failed}))
		assert.Equal(t, []string{"verified"}, w.host.heard(), "somebody has seen to it")
	})
	t.Run("it was never told", func(t *testing.T) {
		w := newWorld(t, func(c *Config) {
			c.Decide = func(context.Context, Event) error { return Permanent(errors.New("no such user")) }
		})
		ref := w.start("alice").Attempt
		w.provider.answer(ref, "v1", identity.Failed)
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
		w.later(time.Second)
		w.later(time.Second)
		require.NoError(t, w.kit.ReplayDeadLetter(t.Context(), deadLetters(t, w.kit)[0].ID))
		assert.Empty(t, w.host.heard())
	})
}

// A replay that is given up again says so.
func TestReplayIsGivenUpAgain(t *testing.T) {
	w, l := givenUp(t, identity.Failed)
	assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), l.ID), ErrGivenUpAgain)
	w.later(time.Second)
	assert.Len(t, deadLetters(t, w.kit), 1)
}

// Older news is not told any more once the host may have heard of a verification, however
// long that takes to count.
func TestOlderNewsIsNotToldWhileVerifiedWaits(t *testing.T) {
	for _, effect := range []error{nil, errors.New("timeout, though it was written")} {
		w := newWorld(t)
		ref := w.start("alice").Attempt
		w.provider.answer(ref, "v1", identity.Verified)
		w.host.failing(func(Event) error { return errors.New("database is away") })
		require.Equal(t, 500, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed}))
		w.host.failing(func(e Event) error {
			if e.Status == identity.Verified {
				w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed, Note: "again"})
				w.provider.away = identity.ErrUnavailable
				return effect
			}
			return nil
		})
		w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified})
		for range 5 {
			w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed})
			w.later(30 * time.Second)
		}
		w.provider.away = nil
		w.host.failing(nil)
		w.later(time.Hour)
		w.later(time.Hour)
		assert.Equal(t, 200, w.gate("alice"))
		assert.Equal(t, "verified", string(w.host.last().Status), effect)
		assert.NotContains(t, w.host.heard()[1:], "failed", effect)
	}
}

// A refusal that takes the place of the provider's is told once, with its own reason.
func TestRefusalAfterAFailureThatWasNotTold(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Decide = func(context.Context, Event) error { return Refuse("too_young") } })
	ref := w.start("alice").Attempt
	w.provider.answer(ref, "v1", identity.Verified)
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed}))
	require.Equal(t, 500, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	w.host.events = nil
	w.host.failing(nil)
	for range 5 {
		w.later(time.Minute)
	}
	assert.Equal(t, []string{"failed"}, w.host.heard())
	assert.Equal(t, "too_young", w.host.last().Reason)
}

// A start whose process died before the token was written leaves an attempt that ends,
// though the provider has told of it.
func TestStartThatWasLeftBehindEnds(t *testing.T) {
	for name, first := range map[string]notice{
		"held":         {Status: identity.Verified},
		"unknown word": {Status: ""},
	} {
		w := newWorld(t, func(c *Config) { c.RequireReturn = true })
		w.provider.onStart = func(identity.StartRequest) error { w.store.breakDown(errStoreIsAway); return nil }
		require.Equal(t, 503, w.tryStart("alice").Code)
		w.store.breakDown(nil)
		ref := w.provider.starts[0].Reference
		first.Reference, first.ID = ref, "v1"
		require.Equal(t, 200, w.webhook(first), name)
		for range 30 {
			w.later(time.Hour)
		}
		assert.Equal(t, []string{"expired"}, w.host.heard(), name)
		assert.Equal(t, "expired", w.status("alice", ref), name)
	}
}

// A verification that is told again while older news is being settled by asking is not
// dropped with what the answer settles.
func TestVerifiedAgainDuringAQuestion(t *testing.T) {
	w, ref := relayed(t)
	require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	w.provider.answer(ref, "v1", identity.Review)
	w.provider.asking = func() {
		w.provider.asking = nil
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified, Note: "a reviewer's"}))
		w.provider.answer(ref, "v1", identity.Verified)
	}
	w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed})
	w.later(time.Minute)
	w.provider.away = identity.ErrUnavailable // the signed notice is enough
	w.get("mallory", "/verify/success?attempt="+ref)
	w.later(time.Minute)
	assert.Equal(t, 200, w.gate("mallory"))
}

// Older news does not wait for a held verification, of which the host cannot have heard,
// however often somebody tried.
func TestOlderNewsIsToldWhileVerifiedIsHeld(t *testing.T) {
	w, ref := relayed(t, func(c *Config) { c.ConfirmByFetch = true })
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed}))
	w.provider.away = identity.ErrUnavailable
	require.Equal(t, 503, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	// A process takes the lease, and dies.
	w.edit("mallory", func(r *attempt.Record, now time.Time) {
		e := awaits(&r.Attempts[0], identity.Verified)
		e.Due = now
		require.NotNil(t, w.kit.engine.Policy().Step(&r.Attempts[0], attempt.Due{Event: e.Event}, now).Ask)
	})
	w.provider.away = nil
	w.host.failing(nil)
	for range 5 {
		w.later(time.Minute)
	}
	assert.Contains(t, w.host.heard()[1:], "failed")
	assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed}))
	assert.Equal(t, 403, w.gate("mallory"))
}

// Nor is older news replayed while the host may have heard of a verification.
func TestOlderNewsIsNotReplayedWhileVerifiedWaits(t *testing.T) {
	w, l := givenUp(t, identity.Failed)
	w.provider.answer(l.Attempt, "v1", identity.Verified)
	w.host.failing(func(Event) error { return errors.New("timeout, though it was written") })
	require.Equal(t, 500, w.webhook(notice{Reference: l.Attempt, ID: "v1", Status: identity.Verified}))
	w.host.failing(nil)
	assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), l.ID), errInFlight)
	w.later(time.Minute)
	assert.Equal(t, []string{"failed", "verified", "verified"}, w.host.heard())
	assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), l.ID), ErrNoDeadLetter)
	assert.Equal(t, 200, w.gate("alice"))
}
