package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// corrupt overwrites a record with bytes that are none, and makes it due.
func corrupt(t *testing.T, w *world, key string) {
	rec, err := w.store.Get(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, w.store.Put(t.Context(), key, store.Write{
		Value: []byte("?"), Replaces: rec.Version, Version: rec.Version + 1, TTL: time.Hour, DueIn: 1,
	}))
	w.clock.add(time.Millisecond)
}

func dueKeys(t *testing.T, w *world) []string {
	keys, err := w.store.Due(t.Context(), 100)
	require.NoError(t, err)
	return keys
}

func TestExpiryByTheClock(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.later(30*time.Minute + attempt.ExpiryGrace - time.Second)
	assert.Equal(t, "created", w.status("alice", a))
	w.later(time.Second)
	assert.Equal(t, "expired", w.status("alice", a))
	w.later(time.Hour)
	assert.Equal(t, []string{"expired"}, w.host.heard(), "once")
	assert.Equal(t, identity.Verification{Status: identity.Expired}, w.host.last().Verification)
	assert.Empty(t, dueKeys(t, w), "nothing is left to do")

	assert.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}), "a signed event counts for more")
	assert.Equal(t, 200, w.gate("alice"))
}

func TestStartedExpiresLater(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.StartedLimit = 2 * time.Hour })
	a := w.start("alice").Attempt
	w.clock.add(time.Minute)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	for range 119 {
		w.later(time.Minute)
	}
	assert.Equal(t, "started", w.status("alice", a))
	w.later(time.Minute)
	assert.Equal(t, "expired", w.status("alice", a))
	assert.Equal(t, []string{"started", "expired"}, w.host.heard())
	assert.Equal(t, "v1", w.host.last().Verification.ID)
}

// A review has no limit; its verdict is asked for.
func TestReviewIsAskedFor(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Review}))
	w.provider.answer(a, "v1", identity.Review)
	for range 72 {
		w.later(time.Hour)
	}
	assert.Equal(t, "review", w.status("alice", a))
	assert.Equal(t, 403, w.gate("alice"))
	w.provider.answer(a, "v1", identity.Verified)
	w.later(refreshEvery)
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, []string{"review", "verified"}, w.host.heard())
}

// A verification whose webhook was lost is right within five minutes.
func TestLostWebhook(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.provider.answer(a, "v1", identity.Verified)
	for range 5 {
		w.later(time.Minute)
	}
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, 1, w.provider.asked())
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, []string{"started", "verified"}, w.host.heard(), "the webhook after all: nothing new")
}

func TestProviderAwayDoesNotStopTheWorker(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.provider.away = identity.ErrUnavailable
	for range 60 {
		w.later(time.Minute)
	}
	assert.Equal(t, 5, w.provider.asked(), "after 4, 4, 8, 15 and 15 minutes")
	w.provider.away = nil
	w.provider.answer(a, "v1", identity.Started)
	w.later(maxRefreshGap)
	require.Equal(t, 6, w.provider.asked())
	w.provider.answer(a, "v1", identity.Verified)
	w.later(refreshEvery)
	assert.Equal(t, 200, w.gate("alice"), "the usual pace again")
}

// After an outage many attempts are due at once. The provider is not flooded, and
// yet all are right within five minutes.
func TestRefreshesAreSpread(t *testing.T) {
	const users = 4 * maxRefreshes
	w := newWorld(t)
	for i := range users {
		user := "user " + strconv.Itoa(i)
		a := w.start(user).Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: user, Status: identity.Started}))
		w.provider.answer(a, user, identity.Verified)
	}
	w.clock.add(time.Hour)
	asked := 0
	for range 300 {
		w.later(time.Second)
		assert.LessOrEqual(t, w.provider.asked()-asked, maxRefreshes, "in one second")
		asked = w.provider.asked()
	}
	assert.Equal(t, users, asked)
	for i := range users {
		assert.Equal(t, 200, w.gate("user "+strconv.Itoa(i)))
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Async = true })
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- w.kit.Run(ctx) }()
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		w.clock.add(time.Millisecond)
		time.Sleep(pollEvery)
		synctest.Wait()
		assert.Equal(t, 200, w.gate("alice"))

		// The store going away and coming back is nothing that Run dies of.
		w.store.breakDown(errStoreIsAway)
		time.Sleep(10 * pollEvery)
		w.store.breakDown(nil)
		c := w.start("carol").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: c, ID: "v3", Status: identity.Verified}))
		w.clock.add(time.Millisecond)
		time.Sleep(pollEvery)
		synctest.Wait()
		assert.Equal(t, 200, w.gate("carol"))
		cancel()
		assert.NoError(t, <-ran)
	})
}

// Run ends only when the callbacks under way have returned.
func TestRunDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Async = true })
		ctx, cancel := context.WithCancel(t.Context())
		a := w.start("alice").Attempt
		release := make(chan struct{})
		w.host.failing(func(Event) error { <-release; return nil })
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		w.clock.add(time.Millisecond)
		ran := make(chan error, 1)
		go func() { ran <- w.kit.Run(ctx) }()
		synctest.Wait()
		require.Len(t, w.host.heard(), 1)
		cancel()
		synctest.Wait()
		assert.Empty(t, ran)
		close(release)
		assert.NoError(t, <-ran)
		assert.Equal(t, 200, w.gate("alice"), "and what they did is committed")
	})
}

// Any number of replicas may run the worker: each thing is done once.
func TestWorkersShareTheWork(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Async = true })
	others := []*Kit{w.kit, w.replica(), w.replica()}
	const users = 40
	for i := range users {
		user := string(rune('a'+i%26)) + string(rune('a'+i/26))
		a := w.start(user).Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: user, Status: identity.Verified}))
	}
	w.clock.add(time.Millisecond)
	var wg sync.WaitGroup
	for _, k := range others {
		wg.Go(func() { runOnce(t, k) })
	}
	wg.Wait()
	assert.Len(t, w.host.heard(), users)
}

// The clock and the provider may both say that it is over.
func TestExpiryIsToldOnce(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.later(30*time.Minute + attempt.ExpiryGrace)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Expired}))
	assert.Equal(t, []string{"expired"}, w.host.heard())
}

// A clock that is set back harms nothing.
func TestClockIsSetBack(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.clock.add(time.Minute)
	w.clock.add(-10 * time.Minute)
	w.host.failing(nil)
	w.work()
	assert.Equal(t, []string{"started"}, w.host.heard(), "it is not due")
	w.later(11 * time.Minute)
	assert.Equal(t, []string{"started", "started"}, w.host.heard())
}

// One callback that hangs holds up nobody else's.
func TestHangingCallbackHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Async = true })
		release := make(chan struct{})
		w.host.failing(func(e Event) error {
			if e.Subject == "alice" {
				<-release
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- w.kit.Run(ctx) }()
		for _, user := range []string{"alice", "bob"} {
			a := w.start(user).Attempt
			require.Equal(t, 200, w.webhook(notice{Reference: a, ID: user, Status: identity.Verified}))
			w.clock.add(time.Millisecond)
			time.Sleep(pollEvery)
			synctest.Wait()
		}
		assert.Equal(t, 200, w.gate("bob"))
		assert.Equal(t, 403, w.gate("alice"))
		close(release)
		cancel()
		assert.NoError(t, <-ran)
	})
}

// A store that can be read but not written is not asked without a pause.
func TestReadOnlyStoreIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range dueBatch + 1 {
			w.start(strconv.Itoa(i))
		}
		w.clock.add(time.Hour)
		looks := &readOnlyStore{Store: w.store}
		k := w.replica(func(c *Config) { c.Store = looks })
		ctx, cancel := context.WithTimeout(t.Context(), 10*pollEvery)
		defer cancel()
		require.NoError(t, k.Run(ctx))
		assert.LessOrEqual(t, looks.dues, 12)
	})
}

type readOnlyStore struct {
	store.Store
	dues int
}

func (*readOnlyStore) Put(context.Context, string, store.Write) error { return errStoreIsAway }

func (s *readOnlyStore) Due(ctx context.Context, limit int) ([]string, error) {
	s.dues++
	return s.Store.Due(ctx, limit)
}

// A provider that panics ends neither the worker nor its work on others.
func TestProviderPanics(t *testing.T) {
	w := newWorld(t)
	for _, user := range []string{"alice", "bob"} {
		a := w.start(user).Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: user, Status: identity.Started}))
		w.provider.answer(a, user, identity.Verified)
	}
	w.kit = w.replica(func(c *Config) { c.Providers = []identity.Provider{panickingProvider{w.provider}} })
	w.later(refreshEvery)
	assert.Equal(t, 403, w.gate("alice"))
	assert.Equal(t, 200, w.gate("bob"))
	assert.Contains(t, w.log.String(), "panicked")
}

// panickingProvider does not take alice's id.
type panickingProvider struct{ *fakeProvider }

func (p panickingProvider) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	if id == "alice" {
		panic("no such id")
	}
	return p.fakeProvider.Fetch(ctx, id)
}

// An attempt outlives the configuration of its provider, and what is asked of
// that waits until it is back.
func TestProviderThatIsNotConfiguredAnyMore(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.provider.answer(a, "v1", identity.Verified)
	with := w.kit
	w.kit = w.replica(func(c *Config) { c.Providers = []identity.Provider{&fakeProvider{name: "second", clock: w.clock}} })
	w.later(refreshEvery)
	assert.Equal(t, "started", w.status("alice", a))
	assert.Equal(t, 200, w.get("alice", "/verify/page?attempt="+a).Code)
	w.kit = with
	w.later(refreshEvery)
	assert.Equal(t, 200, w.gate("alice"))
}

// Replicas do not all take what has been due for longest.
func TestDueRecordsAreDrawnByLot(t *testing.T) {
	w := newWorld(t)
	for i := range dueLook {
		w.start("user " + strconv.Itoa(i))
		w.clock.add(time.Millisecond)
	}
	w.later(24 * time.Hour)
	require.Len(t, w.host.heard(), dueBatch)
	late := 0
	for _, e := range w.host.events {
		n, err := strconv.Atoi(strings.TrimPrefix(e.Subject, "user "))
		require.NoError(t, err)
		if n >= dueBatch {
			late++
		}
	}
	assert.NotZero(t, late)
	for range 3 {
		w.work()
	}
	assert.Len(t, w.host.heard(), dueLook)
}

// A Run that has ended can be followed by another, as by a process that is elected
// again: live streams end with each, and go on in between.
func TestRunAgain(t *testing.T) {
	w := newWorld(t)
	ref := w.start("alice").Attempt
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.kit.Run(ctx) }()
		ended, ok := w.kit.streams.enter(attempt.HashSubject("alice"))
		require.True(t, ok)
		assert.False(t, isClosed(ended))
		cancel()
		assert.NoError(t, <-done)
		assert.True(t, isClosed(ended))
		w.kit.streams.leave(attempt.HashSubject("alice"))
	}
	ended, _ := w.kit.streams.enter(attempt.HashSubject("alice"))
	assert.False(t, isClosed(ended), "a stream after Run has ended")
	assert.NotEmpty(t, ref)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Callbacks that do not look at their context hold up nobody else, and not the end of
// Run either.
func TestStuckCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		defer close(forever)
		const stuck = 3 * workers
		var told atomic.Int64
		w := newWorld(t, func(c *Config) {
			c.Async, c.Now = true, time.Now
			c.Store = memstore.New()
			c.OnVerified = func(_ context.Context, e Event) error {
				if strings.HasPrefix(e.Subject, "stuck") {
					<-forever
				} else {
					told.Add(1)
				}
				return nil
			}
		})
		w.clock.now = time.Now()
		verify := func(user string) {
			ref := w.start(user).Attempt
			require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: user, Status: identity.Verified, At: time.Now()}))
		}
		for i := range stuck {
			verify(fmt.Sprint("stuck ", i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.kit.Run(ctx) }()
		time.Sleep(time.Second)
		verify("alice")
		time.Sleep(10 * time.Minute)
		assert.EqualValues(t, 1, told.Load())
		assert.Equal(t, stuck, w.outcomes.of(OutcomeStuck))
		cancel()
		time.Sleep(time.Second)
		assert.Len(t, done, 1, "Run has ended")
	})
}

// halfStore cannot ask all of its parts what is due.
type halfStore struct{ store.Store }

func (s halfStore) Due(ctx context.Context, limit int) ([]string, error) {
	keys, err := s.Store.Due(ctx, limit)
	return keys, errors.Join(err, errStoreIsAway)
}

// What can be found is worked on, though a part of the store is away, and that is told.
func TestPartOfTheStoreIsAway(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Async = true })
	w.kit = w.replica(func(c *Config) { c.Async, c.Store = true, halfStore{w.store} })
	ref := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	w.clock.add(time.Second)
	_, err := w.kit.engine.RunOnce(t.Context())
	assert.ErrorIs(t, err, errStoreIsAway)
	assert.Equal(t, []string{"verified"}, w.host.heard())
}
