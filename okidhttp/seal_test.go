package okidhttp

import (
	"errors"
	"testing"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A part of one record does not open in another: whoever can write to the store
// cannot give one subject's attempt to another.
func TestSealedPartsDoNotMove(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.start("alice"), w.start("bob")
	stolen := w.record("alice").Attempts[0]
	w.edit("bob", func(r *attempt.Record, _ time.Time) {
		r.Attempts[0].Token, r.Attempts[0].Context = stolen.Token, stolen.Context
	})
	rec := w.get("bob", "/verify/page?attempt="+bob.Attempt)
	assert.Equal(t, 500, rec.Code)
	assert.NotContains(t, rec.Body.String(), alice.ProcessToken)
}

// Keys are rotated without anybody noticing: what was begun, kept or left waiting
// under the old key goes on under the new one.
func TestKeyRotationOfAKit(t *testing.T) {
	keep := func(c *Config) { c.Keep = []identity.Field{identity.FirstName} }
	w := newWorld(t, keep)
	begun, waiting, verified := w.start("alice"), w.start("bob"), w.start("carol")
	require.Equal(t, 200, w.webhook(notice{Reference: verified.Attempt, ID: "v3", Status: identity.Verified}))
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: waiting.Attempt, ID: "v2", Status: identity.Verified}))
	w.host.failing(nil)

	w.kit = w.replica(keep, func(c *Config) { c.Keys = [][]byte{testKey(2), testKey(1)} })
	assert.Equal(t, 200, w.tryStart("alice").Code, "resumed")
	require.Equal(t, 200, w.webhook(notice{Reference: begun.Attempt, ID: "v1", Status: identity.Verified}))
	w.later(time.Minute)
	for _, user := range []string{"alice", "bob", "carol"} {
		assert.Equal(t, 200, w.gate(user))
		v, err := w.kit.Kept(t.Context(), user)
		require.NoError(t, err)
		assert.Equal(t, "Canaryfirst", v.FirstName)
	}

	// With the old key gone the gate stays as it is, and old notices mean nothing.
	w.kit = w.replica(keep, func(c *Config) { c.Keys = [][]byte{testKey(2)} })
	assert.Equal(t, 200, w.gate("carol"))
	_, err := w.kit.Kept(t.Context(), "carol")
	assert.ErrorIs(t, err, errUnsealable)
	assert.Equal(t, 200, w.webhook(notice{Reference: verified.Attempt, ID: "v3", Status: identity.Failed}))
	assert.Equal(t, 200, w.gate("carol"))
}
