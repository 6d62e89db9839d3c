package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// A verification from the start to the gate, and to its withdrawal, without any HTTP.
func TestLifecycle(t *testing.T) {
	w := newWorld(t)
	at := w.start("alice")
	for _, word := range []identity.Status{identity.Started, identity.Review} {
		outcome, err := w.webhook(at, word, "")
		require.NoError(t, err)
		assert.Equal(t, attempt.Applied, outcome)
	}
	assert.False(t, w.open("alice"))
	outcome, err := w.webhook(at, identity.Verified, "")
	require.NoError(t, err)
	assert.Equal(t, attempt.Applied, outcome)
	assert.True(t, w.open("alice"))
	outcome, err = w.webhook(at, identity.Verified, "")
	require.NoError(t, err)
	assert.Equal(t, attempt.Duplicate, outcome)
	w.provider.says["v1"] = identity.Failed
	_, err = w.webhook(at, identity.Failed, "")
	require.NoError(t, err)
	assert.False(t, w.open("alice"))
	assert.Equal(t, []identity.Status{identity.Started, identity.Review, identity.Verified, identity.Revoked}, w.host.words())
}

// In whatever order two words arrive, and whatever the provider says when it is asked,
// the gate ends the same.
func TestOrderOfWords(t *testing.T) {
	words := []identity.Status{identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired}
	for _, truth := range words[2:] {
		for i, one := range words {
			for _, other := range words[:i] {
				var ends []bool
				for _, order := range [][]identity.Status{{one, other}, {other, one}} {
					w := newWorld(t)
					at := w.start("alice")
					w.provider.says["v1"] = truth
					for _, word := range order {
						_, err := w.webhook(at, word, "")
						require.NoError(t, err)
					}
					ends = append(ends, w.open("alice"))
				}
				assert.Equal(t, ends[0], ends[1], "%s and %s, %s", one, other, truth)
			}
		}
	}
}

// What the host's policy refuses stays refused, and what it cannot tell is asked again.
func TestDecide(t *testing.T) {
	decides := func(c *Config) { c.Policy.Decides = true }
	w := newWorld(t, decides)
	at := w.start("alice")
	w.host.unsure = errors.New("database is away")
	_, err := w.webhook(at, identity.Verified, "")
	assert.ErrorIs(t, err, attempt.ErrCallback)
	w.host.unsure, w.host.refusal = nil, &attempt.Refusal{Reason: "too_young", Final: true}
	w.later(time.Minute)
	assert.Equal(t, identity.Failed, w.attempt(at).Status)
	assert.Equal(t, "too_young", w.host.heard[0].Reason)
	assert.Equal(t, 1, w.counts[Vetoed])
	w.provider.says["v1"] = identity.Verified
	w.host.refusal = nil
	_, err = w.webhook(at, identity.Verified, "again")
	require.NoError(t, err)
	assert.False(t, w.open("alice"))
}

// A store that is away is told of, and nothing is taken for done.
func TestStoreIsAway(t *testing.T) {
	w := newWorld(t)
	at := w.start("alice")
	w.store.broken = errAway
	outcome, err := w.webhook(at, identity.Verified, "")
	assert.ErrorIs(t, err, ErrStore)
	assert.ErrorIs(t, err, errAway)
	assert.Equal(t, StoreFailed, outcome)
	_, _, err = w.Grant(t.Context(), at.Subject)
	assert.ErrorIs(t, err, errAway)
	w.store.broken = nil
	outcome, err = w.webhook(at, identity.Verified, "")
	require.NoError(t, err)
	assert.Equal(t, attempt.Applied, outcome)
}

func (w *world) claimer(subject, id string) *claimer {
	return &claimer{w.Engine, attempt.Claim{Provider: "fake", ID: id}, subject, attempt.HashSubject(subject)}
}

// A claim is used for one attempt: again for that, and for no other, not even of the
// same user.
func TestClaimIsUsedOnce(t *testing.T) {
	w := newWorld(t)
	c := w.claimer("alice", "session1")
	for range 2 {
		assert.NoError(t, c.use(t.Context(), attempt.ID{1}))
	}
	assert.ErrorIs(t, c.use(t.Context(), attempt.ID{2}), ErrClaimTaken)
	assert.ErrorIs(t, w.claimer("bob", "session1").use(t.Context(), attempt.ID{1}), ErrClaimTaken)
	require.NoError(t, w.store.Delete(t.Context(), c.key()))
	require.NoError(t, w.store.Put(t.Context(), c.key(), store.Write{Value: []byte("?"), Version: 1, TTL: time.Hour}))
	assert.ErrorIs(t, c.use(t.Context(), attempt.ID{1}), attempt.ErrCorrupt, "what cannot be read is not unused")
}

// A user who presents a claim twice at once gets the same answer twice, whoever is
// quicker.
func TestClaimBesideItself(t *testing.T) {
	w := newWorld(t)
	w.provider.says["session1"] = identity.Verified
	c := w.claimer("alice", "session1")
	s, err := w.Load(t.Context(), c.hash) // before the other tab has written anything
	require.NoError(t, err)
	a, err := w.Claim(t.Context(), "alice", c.Claim)
	require.NoError(t, err)
	require.Equal(t, identity.Verified, a.Status)
	s, fresh, err := c.note(t.Context(), s)
	require.NoError(t, err)
	assert.False(t, fresh)
	assert.NotNil(t, c.Claimed(s.Record))
}

// What a process that died has begun, the user finishes who tries again, whenever that
// is; and if nobody does, Run.
func TestClaimThatIsLeftBehind(t *testing.T) {
	for _, used := range []bool{false, true} {
		for _, retry := range []time.Duration{0, time.Minute, 61 * time.Minute, 48 * time.Hour} {
			for _, byRun := range []bool{false, true} {
				w := newWorld(t)
				w.provider.says["session1"] = identity.Verified
				c := w.claimer("alice", "session1")
				s, err := w.Load(t.Context(), c.hash)
				require.NoError(t, err)
				s, fresh, err := c.note(t.Context(), s)
				require.NoError(t, err)
				require.True(t, fresh)
				if used {
					require.NoError(t, c.use(t.Context(), s.Attempts[0].ID))
				}
				w.clock = w.clock.Add(retry)
				if byRun {
					w.later(30 * time.Second)
					w.later(time.Minute)
				} else {
					_, err := w.Claim(t.Context(), "alice", c.Claim)
					assert.NoError(t, err)
					w.later(returnEvery)
				}
				assert.True(t, w.open("alice"), "used %v, after %v, by Run %v", used, retry, byRun)
				assert.Equal(t, []identity.Status{identity.Verified}, w.host.words())
				_, err = w.Claim(t.Context(), "bob", c.Claim)
				assert.ErrorIs(t, err, ErrClaimTaken)
			}
		}
	}
}

// A claim that was noted, and that somebody else used first, leaves no trace.
func TestNotedClaimOfAnother(t *testing.T) {
	for _, byRun := range []bool{false, true} {
		w := newWorld(t)
		w.provider.says["session1"] = identity.Verified
		c := w.claimer("alice", "session1")
		s, err := w.Load(t.Context(), c.hash)
		require.NoError(t, err)
		_, _, err = c.note(t.Context(), s)
		require.NoError(t, err)
		_, err = w.Claim(t.Context(), "bob", c.Claim)
		require.NoError(t, err)
		if byRun {
			w.later(30 * time.Second)
		} else {
			_, err = w.Claim(t.Context(), "alice", c.Claim)
			assert.ErrorIs(t, err, ErrClaimTaken)
		}
		s, err = w.Load(t.Context(), c.hash)
		require.NoError(t, err)
		assert.Empty(t, s.Attempts)
		assert.Empty(t, s.Starts, "it does not count against the limit")
		assert.False(t, w.open("alice"))
		assert.Equal(t, []identity.Status{identity.Verified}, w.host.words())
	}
}

// Of two claims at once, where the limit allows one, the other can be presented later.
func TestClaimsAtOnceUnderTheLimit(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.StartLimit = func(now time.Time, starts []time.Time) time.Duration {
			if len(starts) == 0 {
				return 0
			}
			return starts[len(starts)-1].Add(24 * time.Hour).Sub(now)
		}
	})
	w.provider.says["session1"], w.provider.says["session2"] = identity.Failed, identity.Verified
	c := w.claimer("alice", "session2")
	s, err := w.Load(t.Context(), c.hash) // before the other is noted
	require.NoError(t, err)
	_, err = w.Claim(t.Context(), "alice", attempt.Claim{Provider: "fake", ID: "session1"})
	require.NoError(t, err)
	_, _, err = c.note(t.Context(), s)
	var limited *LimitError
	require.ErrorAs(t, err, &limited)
	assert.Equal(t, 24*time.Hour, limited.Wait)
	w.clock = w.clock.Add(25 * time.Hour)
	a, err := w.Claim(t.Context(), "alice", c.Claim)
	require.NoError(t, err)
	assert.Equal(t, identity.Verified, a.Status)
}

// A process that dies while it asks the provider leaves an attempt without a token; when
// its time is over, another start takes its place, so that there are never two in use.
func TestStartAfterACrash(t *testing.T) {
	w := newWorld(t)
	crash := func(subject string) *attempt.Attempt {
		s := starter{w.Engine, w.startRequest(subject), attempt.HashSubject(subject)}
		snap, err := w.Load(t.Context(), s.hash)
		require.NoError(t, err)
		a, err := s.begin(t.Context(), snap)
		require.NoError(t, err)
		return a
	}
	abandoned := crash("alice")
	w.clock = w.clock.Add(StartTime)
	at := w.start("alice")
	assert.NotEqual(t, abandoned.ID, at.Attempt)
	assert.Nil(t, w.attempt(abandoned.Address()))
	outcome, err := w.webhook(abandoned.Address(), identity.Verified, "")
	require.NoError(t, err)
	assert.Equal(t, attempt.UnknownAttempt, outcome)
	assert.False(t, w.open("alice"))

	abandoned = crash("bob")
	w.later(StartTime)
	assert.Nil(t, w.attempt(abandoned.Address()), "the worker clears it away")
	assert.Empty(t, w.host.heard)
}

// Without the store nobody can say how much is asked elsewhere, so nothing is asked.
func TestNoQuestionsWithoutTheStore(t *testing.T) {
	w := newWorld(t)
	w.store.broken = errAway
	allowed, err := newQuota().take(t.Context(), w.Engine, w.clock)
	assert.False(t, allowed)
	assert.ErrorIs(t, err, errAway)
	w.store.broken = nil
	require.NoError(t, w.store.Put(t.Context(), quotaKey, store.Write{Value: []byte("?"), Version: 1, TTL: time.Hour}))
	allowed, err = newQuota().take(t.Context(), w.Engine, w.clock)
	assert.True(t, allowed, "what cannot be read is of no second")
	assert.NoError(t, err)
}

func TestDeadListIsBounded(t *testing.T) {
	l := new(deadList)
	for i := range maxListed {
		at := attempt.Address{Attempt: attempt.ID{byte(i >> 8), byte(i)}}
		n, listed := l.find(at)
		require.False(t, listed)
		l.addresses = slices.Insert(l.addresses, n, at)
	}
	assert.LessOrEqual(t, len(l.encode()), store.MaxValueLen)
	again := new(deadList)
	require.NoError(t, again.decode(l.encode()))
	assert.Equal(t, l.addresses, again.addresses)
	assert.ErrorIs(t, again.decode([]byte{listFormat, 1}), attempt.ErrCorrupt)
	assert.ErrorIs(t, again.decode(nil), attempt.ErrCorrupt)

	// An attempt for which there is no place is entered when there is.
	w := newWorld(t)
	at := w.start("alice")
	shard := listShard(at.Subject)
	set := func(addresses []attempt.Address) {
		require.NoError(t, w.rewriteList(t.Context(), shard, func(list *deadList) error { list.addresses = addresses; return nil }))
	}
	set(l.addresses)
	w.host.fails = Permanent(errors.New("no such user"))
	outcome, err := w.webhook(at, identity.Failed, "")
	require.NoError(t, err)
	require.Equal(t, attempt.DeadLetter, outcome)
	w.later(time.Second)
	assert.Contains(t, w.log.String(), errListFull.Error())
	set(nil)
	w.later(listRetry)
	listed, err := w.Listed(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []attempt.Address{at}, listed)
}

// A subject that is erased while Run lists a dead letter leaves no trace in the list.
func TestEraseWhileALetterIsListed(t *testing.T) {
	w := newWorld(t)
	at := w.start("alice")
	w.host.fails = Permanent(errors.New("no such user"))
	_, err := w.webhook(at, identity.Failed, "")
	require.NoError(t, err)
	require.NoError(t, w.Erase(t.Context(), at.Subject)) // the worker has read the record before
	require.NoError(t, w.listDeadLetters(t.Context(), at))
	listed, err := w.Listed(t.Context())
	require.NoError(t, err)
	assert.Empty(t, listed)
}

// Nothing that is personal reaches the log with a callback's error.
func TestCallbackErrorsAreScrubbed(t *testing.T) {
	e := Event{Subject: "user-1", Verification: identity.Verification{FirstName: "Jan", LastName: "Janssen", DocumentNumber: "XR123456"}}
	text := CallbackError(e, errors.New("account USER-1: JANSSEN is not known, document xr123456")).Error()
	for _, personal := range []string{"user-1", "janssen", "xr123456"} {
		assert.NotContains(t, string(bytes.ToLower([]byte(text))), personal)
	}
}

// An attempt that has expired and is to have a verification which the user has claimed
// stays in the record, however many finished ones there are, until it has it.
func TestNotedClaimIsKept(t *testing.T) {
	w := newWorld(t)
	w.provider.says["session1"] = identity.Verified
	w.start("alice")
	w.later(40 * time.Minute)
	c := w.claimer("alice", "session1")
	s, err := w.Load(t.Context(), c.hash)
	require.NoError(t, err)
	require.Equal(t, identity.Expired, s.Attempts[0].Status)
	s, _, err = c.note(t.Context(), s)
	require.NoError(t, err)
	require.NoError(t, c.use(t.Context(), s.Attempts[0].ID)) // and the process dies
	for i := range attempt.MaxFinished + 1 {
		at := w.start("alice")
		n := identity.Notice{Provider: "fake", Verification: identity.Verification{ID: fmt.Sprint("v", i), Status: identity.Failed}}
		_, err := w.Deliver(t.Context(), at, n)
		require.NoError(t, err)
	}
	w.later(time.Minute)
	w.later(time.Minute)
	assert.True(t, w.open("alice"))
}

// Whoever reads the list of dead letters takes off it what stands there without reason,
// but no letter that comes up meanwhile, whenever that is.
func TestLetterWhileTheListIsTidied(t *testing.T) {
	for reads := range 3 {
		w := newWorld(t)
		at := w.start("alice")
		giveUp := func(word identity.Status) {
			t.Helper()
			w.host.fails = Permanent(errors.New("no such user"))
			outcome, err := w.webhook(at, word, "")
			require.NoError(t, err)
			require.Equal(t, attempt.DeadLetter, outcome)
			w.later(time.Second)
			w.host.fails = nil
		}
		giveUp(identity.Failed)
		var ids []string
		read := func() {
			ids = nil
			require.NoError(t, w.EachDeadLetter(t.Context(), func(l DeadLetter) bool { ids = append(ids, l.ID); return true }))
		}
		read()
		require.Len(t, ids, 1)
		require.NoError(t, w.ReplayDeadLetter(t.Context(), ids[0]))
		w.store.afterGet = func(key string) {
			if key != at.Subject.Key() {
				return
			}
			if reads--; reads < 0 { // of the record, in which there was no letter
				w.store.afterGet = nil
				w.provider.says["v1"] = identity.Verified
				giveUp(identity.Verified)
			}
		}
		read()
		if w.store.afterGet != nil { // it comes up afterwards
			w.store.afterGet = nil
			w.provider.says["v1"] = identity.Verified
			giveUp(identity.Verified)
		}
		read()
		assert.Len(t, ids, 1)
		require.NoError(t, w.unlist(t.Context(), at.Subject)) // of an Erase before the attempt began
		read()
		assert.Len(t, ids, 1)
	}
}

// The time of a callback runs from when it is called, and not from when it first looks at
// its context.
func TestCallTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.CallbackTimeout = 10 * time.Second })
		began := time.Now()
		err := w.Call(t.Context(), func(ctx context.Context) error {
			time.Sleep(6 * time.Second)
			<-ctx.Done()
			return ctx.Err()
		})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 10*time.Second, time.Since(began))
	})
}
