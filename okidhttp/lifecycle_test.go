package okidhttp

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// In whatever order the provider's notices arrive, and however often, the gate
// ends the same, and so does the attempt, but for a verification that counted
// for a while and reads "revoked".
func TestOrderDoesNotMatter(t *testing.T) {
	words := []identity.Status{identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired}
	sets := 0
	for set := 1; set < 1<<len(words); set++ {
		var multiset []identity.Status
		for i, word := range words {
			if set>>i&1 == 1 {
				multiset = append(multiset, word)
			}
		}
		// Each set once as it is, and once with one of its words twice.
		for twice := -1; twice < len(multiset); twice++ {
			notices := multiset
			if twice >= 0 {
				notices = append(append([]identity.Status{}, multiset...), multiset[twice])
			}
			if len(notices) > 5 {
				continue
			}
			for _, truth := range []identity.Status{identity.Verified, identity.Failed, identity.Expired} {
				sets++
				sameInEveryOrder(t, notices, truth)
			}
		}
	}
	t.Logf("%d multisets, each in every order", sets)
}

// sameInEveryOrder delivers notices in all their orders. truth is what the
// provider says when it is asked.
func sameInEveryOrder(t *testing.T, notices []identity.Status, truth identity.Status) {
	t.Helper()
	type end struct {
		gate   int
		status string
	}
	var first *end
	var firstOrder []identity.Status
	quiet := func(c *Config) { c.Logger = slog.New(slog.DiscardHandler) }
	permute(notices, func(order []identity.Status) {
		w := newWorld(t, quiet)
		a := w.start("alice").Attempt
		w.provider.answer(a, "v1", truth)
		for i, word := range order {
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: word, Note: fmt.Sprint(i)}))
		}
		got := end{w.gate("alice"), w.status("alice", a)}
		if got.status == "revoked" {
			got.status = "closed after all"
		}
		seen := map[string]bool{}
		for _, e := range w.host.events {
			require.False(t, seen[e.ID], "%v with %s: told twice of %s", order, truth, e.Status)
			seen[e.ID] = true
		}
		// The host's last word about the gate is the gate.
		open := false
		for _, e := range w.host.events {
			open = e.Status == identity.Verified || open && e.Status != identity.Revoked
		}
		require.Equal(t, open, got.gate == 200, "%v with %s: the host was told %v", order, truth, w.host.heard())
		if first == nil {
			first, firstOrder = &got, append([]identity.Status{}, order...)
			return
		}
		require.Equal(t, first.gate, got.gate, "%v and %v with %s", firstOrder, order, truth)
		if first.status != "closed after all" && got.status != "closed after all" {
			require.Equal(t, first.status, got.status, "%v and %v with %s", firstOrder, order, truth)
		}
	})
}

// permute calls f with every order of s, and at most once with equal ones.
func permute(s []identity.Status, f func([]identity.Status)) {
	var rec func(int)
	rec = func(n int) {
		if n == len(s) {
			f(s)
			return
		}
		for i := n; i < len(s); i++ {
			if slices.Contains(s[n:i], s[i]) {
				continue
			}
			s[n], s[i] = s[i], s[n]
			rec(n + 1)
			s[n], s[i] = s[i], s[n]
		}
	}
	rec(0)
}

func TestContradictions(t *testing.T) {
	t.Run("the provider does not know it: what stands stays", func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
		assert.Equal(t, "verified", w.status("alice", a))
	})
	t.Run("the provider does not know it: what came first stands", func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		assert.Equal(t, "failed", w.status("alice", a))
	})
	t.Run("the provider is away: it stays open until it can be asked", func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		w.provider.away = identity.ErrUnavailable
		require.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
		assert.Equal(t, "verified", w.status("alice", a))
		w.provider.away = nil
		w.provider.answer(a, "v1", identity.Failed)
		w.later(time.Minute)
		assert.Equal(t, "revoked", w.status("alice", a))
		assert.Equal(t, []string{"verified", "revoked"}, w.host.heard())
		assert.Equal(t, 403, w.gate("alice"))
	})
	t.Run("revoked is for good", func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		w.provider.answer(a, "v1", identity.Failed)
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
		w.provider.answer(a, "v1", identity.Verified)
		for _, note := range []string{"", "again"} {
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified, Note: note}))
		}
		assert.Equal(t, "revoked", w.status("alice", a))
		assert.Equal(t, 403, w.gate("alice"))
	})
	t.Run("a verdict fetched before the attempt changed is not believed blindly", func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		w.provider.answer(a, "v1", identity.Verified)
		p, now := w.kit.engine.Policy(), w.clock.Now()
		n := identity.Notice{Provider: "fake", Reference: a, Verification: identity.Verification{ID: "v1", Status: identity.Review}}
		before := attempt.Attempt{Provider: "fake", ProviderID: "v1", Status: identity.Started}
		after := &w.record("alice").Attempts[0]
		todo := p.Step(after, &attempt.Answer{Ask: before.Ask("v1"), Notice: n, Clock: now}, now)
		assert.Equal(t, attempt.Late, todo.Outcome)
		assert.Equal(t, identity.Verified, after.Status)
	})
	t.Run("a failure while the host still is told of success is settled after it", func(t *testing.T) {
		w := newWorld(t)
		a := w.start("alice").Attempt
		w.provider.answer(a, "v1", identity.Failed)
		w.host.failing(func(e Event) error {
			if e.Status == identity.Verified {
				assert.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
			}
			return nil
		})
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		w.later(2 * time.Second)
		assert.Equal(t, []string{"verified", "revoked"}, w.host.heard())
		assert.Equal(t, 403, w.gate("alice"))
	})
}

// A second attempt and the first do not touch each other.
func TestAttemptsAreIsolated(t *testing.T) {
	w := newWorld(t)
	first := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: first, ID: "v1", Status: identity.Failed}))
	second := w.start("alice").Attempt
	require.NotEqual(t, first, second)
	require.Equal(t, 200, w.webhook(notice{Reference: second, ID: "v2", Status: identity.Verified}))
	require.Equal(t, 200, w.gate("alice"))
	for i, word := range []identity.Status{identity.Failed, identity.Expired, identity.Started, identity.Review} {
		require.Equal(t, 200, w.webhook(notice{Reference: first, ID: "v1", Status: word, Note: fmt.Sprint(i)}))
	}
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, "failed", w.status("alice", first))
	assert.Equal(t, "verified", w.status("alice", second))
	assert.Equal(t, []string{"failed", "verified"}, w.host.heard())
}

// What the host could not be told in time is not told after something newer.
func TestOlderNewsIsNotToldAfterVerified(t *testing.T) {
	for _, first := range []identity.Status{identity.Started, identity.Review, identity.Failed, identity.Expired} {
		w := newWorld(t)
		a := w.start("alice").Attempt
		w.provider.answer(a, "v1", identity.Verified)
		w.host.failing(func(Event) error { return errors.New("database is away") })
		require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: first}), first)
		w.host.failing(nil)
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}), first)
		w.later(time.Minute)
		w.later(time.Minute)
		assert.Equal(t, []string{string(first), "verified"}, w.host.heard())
	}
}

// The provider's present word, fetched while the host is told of a success, is
// not lost: the success is withdrawn.
func TestFetchedWordDuringCallback(t *testing.T) {
	for _, word := range []identity.Status{identity.Failed, identity.Expired, identity.Review} {
		w := newWorld(t)
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
		w.provider.answer(a, "v1", word)
		w.host.failing(func(e Event) error {
			if e.Status == identity.Verified {
				w.get("alice", "/verify/success?attempt="+a)
			}
			return nil
		})
		w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified})
		w.later(time.Minute)
		assert.Equal(t, "revoked", string(w.host.last().Status), word)
		assert.Equal(t, 403, w.gate("alice"), word)
	}
}

// The same, when the callback has failed and would be tried again.
func TestFetchedReviewStopsAWaitingVerified(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.provider.answer(a, "v1", identity.Review)
	w.clock.add(500 * time.Millisecond)
	w.get("alice", "/verify/success?attempt="+a)
	w.host.failing(nil)
	w.later(time.Minute)
	assert.Equal(t, 403, w.gate("alice"))
}

// A failure that comes before the gate has opened keeps it shut until the
// provider can be asked, however long that takes.
func TestFailureDuringCallbackKeepsTheGateShut(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.provider.away = identity.ErrUnavailable
	w.host.failing(func(e Event) error {
		if e.Status == identity.Verified {
			require.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
		}
		return nil
	})
	assert.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	for range 80 {
		w.later(time.Hour)
		require.Equal(t, 403, w.gate("alice"))
	}
	w.provider.away = nil
	w.provider.answer(a, "v1", identity.Failed)
	w.later(time.Hour)
	w.later(time.Hour)
	assert.Equal(t, 403, w.gate("alice"))
	assert.Equal(t, []string{"verified", "revoked"}, w.host.heard())
}

// An open question to the provider is never given up.
func TestContradictionOutlastsALongOutage(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.provider.away = identity.ErrUnavailable
	require.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	for range 80 {
		w.later(time.Hour)
	}
	require.Equal(t, 200, w.gate("alice"))
	w.provider.away = nil
	w.provider.answer(a, "v1", identity.Failed)
	w.later(time.Hour)
	assert.Equal(t, 403, w.gate("alice"))
}

// The provider's own "expired" counts for more than the clock's, whether or not
// the host has heard of the clock's.
func TestSignedExpiredAfterTheClock(t *testing.T) {
	for _, hostDown := range []bool{false, true} {
		w := newWorld(t)
		a := w.start("alice").Attempt
		w.provider.answer(a, "v1", identity.Failed)
		if hostDown {
			w.host.failing(func(Event) error { return errors.New("database is away") })
		}
		w.later(30*time.Minute + attempt.ExpiryGrace)
		w.host.failing(nil)
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Expired}))
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		assert.Equal(t, 403, w.gate("alice"), "host down: %v", hostDown)
		assert.Equal(t, 1, w.provider.asked(), "it contradicts, host down: %v", hostDown)
		assert.Equal(t, "expired", w.host.heard()[0])
		assert.NotContains(t, w.host.heard(), "verified")
	}
}

// A failure that comes while the host is told of what the provider had settled
// is settled by asking once more.
func TestContradictionDuringSettledCallback(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.provider.answer(a, "v1", identity.Verified)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Expired}))
	w.host.failing(func(e Event) error {
		if e.Status == identity.Verified {
			assert.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
		}
		return nil
	})
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.later(time.Minute)
	assert.Equal(t, []string{"expired", "verified"}, w.host.heard())
	assert.Equal(t, 200, w.gate("alice"))
}

// Two changes to the same status are two events.
func TestEachChangeHasItsEventID(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.later(30*time.Minute + attempt.ExpiryGrace)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Review}))
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Expired}))
	require.Equal(t, []string{"expired", "review", "expired"}, w.host.heard())
	ids := map[string]bool{}
	for _, e := range w.host.events {
		ids[e.ID] = true
	}
	assert.Len(t, ids, 3)
}

// What the provider answered to settle a contradiction is not undone by a
// verified notice that waits, though it is what stands already.
func TestAnswerThatConfirmsWhatStands(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.later(30*time.Minute + attempt.ExpiryGrace)
	w.provider.answer(a, "v1", identity.Expired)
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed})
	w.host.failing(nil)
	w.later(time.Hour)
	assert.Equal(t, 403, w.gate("alice"))
}

// If nothing stands, and the provider cannot tell, what closes counts for more.
func TestContradictionThatNobodyCanSettle(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Async = true })
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	w.later(time.Minute)
	w.later(time.Minute)
	assert.Equal(t, "failed", w.status("alice", a))
	assert.Equal(t, 403, w.gate("alice"))
	assert.Equal(t, []string{"failed"}, w.host.heard())
}
