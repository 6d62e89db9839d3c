package okidhttp

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/memstore"
)

// slowHost is a world in a synctest bubble, with one clock, whose OnVerified takes
// as long as the test says.
func slowHost(t *testing.T, takes func(context.Context) error) *world {
	return newWorld(t, func(c *Config) {
		c.Store, c.Now = memstore.New(), time.Now
		c.Lease, c.CallbackTimeout = 3*time.Second, time.Minute
		told := c.OnVerified
		c.OnVerified = func(ctx context.Context, e Event) error {
			if err := told(ctx, e); err != nil {
				return err
			}
			return takes(ctx)
		}
	})
}

func TestLeaseIsRenewedWhileTheHostIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowHost(t, func(context.Context) error {
			<-time.After(25 * time.Second)
			return nil
		})
		other := w.replica(func(c *Config) {
			c.Store, c.Now, c.Lease, c.OnVerified = w.kit.cfg.Store, time.Now, w.kit.cfg.Lease, w.kit.cfg.OnVerified
		})
		ref := w.start("alice").Attempt

		answered := make(chan int)
		n := notice{Reference: ref, ID: "v1", Status: identity.Verified, At: time.Now()}
		go func() { answered <- w.webhook(n) }()
		for range 24 {
			<-time.After(time.Second)
			runOnce(t, other)
			assert.Equal(t, 1, len(w.host.heard()), "the other process leaves the lease alone")
		}
		assert.Equal(t, 200, <-answered)
		assert.Equal(t, []string{"verified"}, w.host.heard())
		assert.Equal(t, 200, w.gate("alice"))
	})
}

func TestLeaseOfAProcessThatDiedIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowHost(t, func(context.Context) error { return nil })
		ref := w.start("alice").Attempt
		n := identity.Notice{Provider: "fake", Reference: ref, Verification: identity.Verification{ID: "v1", Status: identity.Verified}}
		editIn(t, w.kit.cfg.Store, w.kit, "alice", func(r *attempt.Record, now time.Time) {
			todo := w.kit.engine.Policy().Step(&r.Attempts[0], &attempt.Webhook{Notice: n, Clock: now}, now)
			require.NotNil(t, todo.Call) // and nobody makes it, nor renews the lease
		})

		<-time.After(2 * time.Second)
		w.work()
		assert.Empty(t, w.host.heard())
		<-time.After(2 * time.Second)
		w.work()
		assert.Equal(t, []string{"verified"}, w.host.heard())
	})
}

func TestLostLeaseEndsTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		w := slowHost(t, func(ctx context.Context) error {
			close(began)
			<-ctx.Done()
			return nil // the host does not even say so
		})
		n := notice{Reference: w.start("alice").Attempt, ID: "v1", Status: identity.Verified, At: time.Now()}
		answered := make(chan int)
		go func() { answered <- w.webhook(n) }()
		<-began
		erasedAt := time.Now()
		require.NoError(t, w.kit.Erase(t.Context(), "alice"))
		assert.Equal(t, 503, <-answered)
		assert.LessOrEqual(t, time.Since(erasedAt), w.kit.cfg.Lease/3)
		assert.Equal(t, 403, w.gate("alice"), "what was done under a lost lease does not stand")
	})
}

// Who cannot renew a lease does not know whether somebody else has it by now.
func TestLeaseThatCannotBeRenewedEndsTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		w := slowHost(t, func(ctx context.Context) error {
			close(began)
			<-ctx.Done()
			return ctx.Err()
		})
		s := &countingStore{Store: w.kit.cfg.Store}
		c := w.kit.cfg
		w.kit = w.replica(func(other *Config) {
			other.Store, other.Now, other.Lease, other.CallbackTimeout, other.OnVerified = s, c.Now, c.Lease, c.CallbackTimeout, c.OnVerified
		})
		n := notice{Reference: w.start("alice").Attempt, ID: "v1", Status: identity.Verified, At: time.Now()}
		answered := make(chan int)
		claimedAt := time.Now()
		go func() { answered <- w.webhook(n) }()
		<-began
		s.breakDown(errors.New("away"))
		assert.Equal(t, 503, <-answered)
		assert.LessOrEqual(t, time.Since(claimedAt), w.kit.cfg.Lease)
	})
}

// A callback that ignores its context does not keep the lease for ever.
func TestCallbackThatNeverReturnsLosesTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := slowHost(t, func(context.Context) error {
			<-release
			return nil
		})
		n := notice{Reference: w.start("alice").Attempt, ID: "v1", Status: identity.Verified, At: time.Now()}
		answered := make(chan int)
		go func() { answered <- w.webhook(n) }()
		<-time.After(3*w.kit.cfg.CallbackTimeout + 2*w.kit.cfg.Lease)

		other := w.replica(func(c *Config) { c.Store, c.Now = w.kit.cfg.Store, time.Now })
		runOnce(t, other)
		assert.Equal(t, []string{"verified", "verified"}, w.host.heard())
		assert.Equal(t, w.host.events[0].ID, w.host.events[1].ID)
		assert.Equal(t, 200, w.gate("alice"))
		close(release)
		assert.Equal(t, 503, <-answered)
		assert.Equal(t, 200, w.gate("alice"))
	})
}
