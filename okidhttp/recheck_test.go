package okidhttp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

const day = 24 * time.Hour

// verifiedUser is a world in which alice is verified.
func verifiedUser(t *testing.T, changes ...func(*Config)) (w *world, ref string) {
	t.Helper()
	w = newWorld(t, changes...)
	ref = w.start("alice").Attempt
	w.provider.answer(ref, "v1", identity.Verified)
	require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	return w, ref
}

// A withdrawal whose webhook is lost is found all the same.
func TestLostWithdrawal(t *testing.T) {
	for _, word := range []identity.Status{identity.Failed, identity.Expired, identity.Review} {
		for after, within := range map[time.Duration]time.Duration{time.Hour: day, 30 * day: 7 * day} {
			w, ref := verifiedUser(t)
			for range after / time.Hour {
				w.later(time.Hour)
			}
			require.Equal(t, 200, w.gate("alice"))
			w.provider.answer(ref, "v1", word)
			for range within/time.Hour + 1 {
				w.later(time.Hour)
			}
			assert.Equal(t, 403, w.gate("alice"), "%s after %v", word, after)
			assert.Equal(t, []string{"verified", "revoked"}, w.host.heard())
		}
	}
}

// How often a verification is asked about, by the days on which it is.
func TestRecheckVerified(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		days   []int
	}{
		{"by default", func(*Config) {}, []int{1, 2, 3, 4, 5, 6, 7, 14, 21, 28}},
		{"as set", func(c *Config) { c.RecheckVerified = 2 * day }, []int{2, 4, 6, 8, 10, 12, 14, 28}},
		{"never", func(c *Config) { c.RecheckVerified = -1 }, nil},
		{"while it counts", func(c *Config) { c.MaxAge = 3 * day }, []int{1, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := verifiedUser(t, tt.change)
			var days []int
			for hour := 1; hour <= 30*24; hour++ {
				before := w.provider.asked()
				w.later(time.Hour)
				if w.provider.asked() > before {
					days = append(days, hour/24)
				}
			}
			assert.Equal(t, tt.days, days)
			assert.Equal(t, []string{"verified"}, w.host.heard())
		})
	}
}

// A provider that is away is asked more often, until it answers.
func TestRecheckDuringAnOutage(t *testing.T) {
	w, ref := verifiedUser(t)
	w.provider.away = identity.ErrUnavailable
	var hours []int
	for hour := 1; hour <= 72; hour++ {
		before := w.provider.asked()
		w.later(time.Hour)
		if w.provider.asked() > before {
			hours = append(hours, hour)
		}
	}
	assert.Equal(t, []int{24, 25, 27, 31, 39, 55}, hours)
	assert.Equal(t, 200, w.gate("alice"))
	w.provider.away = nil
	w.provider.answer(ref, "v1", identity.Failed)
	for range 25 {
		w.later(time.Hour)
	}
	assert.Equal(t, 403, w.gate("alice"))
}

// A verification that a newer one has overtaken would count again if that were revoked,
// so it is asked about, too.
func TestRecheckOfWhatWasOvertaken(t *testing.T) {
	w, first := verifiedUser(t, func(c *Config) { c.MaxAge = 300 * day })
	w.clock.add(301 * day)
	second := w.start("alice").Attempt
	require.NotEqual(t, first, second)
	w.provider.answer(second, "v2", identity.Verified)
	require.Equal(t, 200, w.webhook(notice{Reference: second, ID: "v2", Status: identity.Verified}))
	w.provider.answer(second, "v2", identity.Failed)
	for range 3 {
		w.later(day)
	}
	assert.Equal(t, 403, w.gate("alice"))
}

// One limit holds for the questions of all processes together, whether an attempt is under
// way or is verified, and each has its turn.
func TestQuestionsOfAllReplicas(t *testing.T) {
	for status, every := range map[identity.Status]time.Duration{identity.Started: refreshEvery, identity.Verified: day} {
		w := newWorld(t)
		kits := []*Kit{w.kit, w.replica(), w.replica()}
		const users = 3 * maxRefreshes
		for i := range users {
			ref := w.start(fmt.Sprint("user ", i)).Attempt
			w.provider.answer(ref, fmt.Sprint("v", i), status)
			require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: fmt.Sprint("v", i), Status: status}))
		}
		w.clock.add(every)
		asked := 0
		for range 90 {
			before := w.provider.asked()
			for _, k := range kits {
				for range users/dueBatch + 1 {
					runOnce(t, k)
				}
			}
			inThisSecond := w.provider.asked() - before
			assert.LessOrEqual(t, inThisSecond, maxRefreshes, status)
			asked += inThisSecond
			w.clock.add(time.Second)
		}
		assert.Equal(t, users, asked, status)
	}
}

// After an answer that there were too many questions, nobody asks about that attempt for
// as long as the provider says, within bounds.
func TestRateLimited(t *testing.T) {
	limited := func(d time.Duration) error { return fmt.Errorf("okid: %w", &identity.RateLimitError{RetryAfter: d}) }
	for _, tt := range []struct{ says, quiet time.Duration }{
		{0, time.Minute}, {time.Millisecond, 2 * time.Second}, {time.Second, 2 * time.Second}, {10 * time.Minute, 10 * time.Minute}, {100 * time.Hour, time.Hour},
	} {
		t.Run(tt.says.String(), func(t *testing.T) {
			w := newWorld(t)
			ref := w.start("alice").Attempt
			require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started}))
			w.provider.away = limited(tt.says)
			w.get("alice", "/verify/success?attempt="+ref)
			require.Equal(t, 1, w.provider.asked())
			visit := func() {
				w.get("alice", "/verify/success?attempt="+ref)
				w.status("alice", ref)
				w.work()
				// A contradiction is settled by asking, and a stale webhook is a reason to.
				w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started, Note: "late", At: w.clock.Now().Add(-time.Hour)})
			}
			step := tt.quiet / 20
			for range 19 {
				w.clock.add(step)
				visit()
			}
			assert.Equal(t, 1, w.provider.asked(), "not before %v", tt.quiet)
			w.provider.away = nil
			w.provider.answer(ref, "v1", identity.Verified)
			w.clock.add(step + statusRefreshEvery)
			visit()
			assert.Equal(t, 200, w.gate("alice"))
		})
	}
	t.Run("a contradiction", func(t *testing.T) {
		w, ref := verifiedUser(t)
		w.provider.away = limited(0)
		for i := range 30 {
			require.Equal(t, 503, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed}))
			assert.Equal(t, 1, w.provider.asked(), i)
			w.later(time.Second)
		}
		w.provider.away = nil
		w.provider.answer(ref, "v1", identity.Failed)
		w.later(15 * time.Minute)
		assert.Equal(t, 403, w.gate("alice"))
	})
	t.Run("events that come by themselves are taken", func(t *testing.T) {
		w := newWorld(t)
		ref := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started}))
		w.provider.away = limited(time.Hour)
		w.get("alice", "/verify/success?attempt="+ref)
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
		assert.Equal(t, 200, w.gate("alice"))
	})
	t.Run("a claim", func(t *testing.T) {
		w, p := newClaimWorld(t)
		p.away = limited(time.Hour)
		for range 5 {
			code, _ := w.claim("alice", `{"id":"session1"}`)
			assert.Equal(t, 202, code)
			w.later(10 * time.Minute)
		}
		assert.Equal(t, 1, p.asked())
		p.away = nil
		p.says("session1", identity.Verified)
		w.later(time.Hour)
		assert.Equal(t, 200, w.gate("alice"))
	})
}
