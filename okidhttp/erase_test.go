package okidhttp

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

func TestErase(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Keep = []identity.Field{identity.LastName} })
	a := w.start("alice").Attempt
	verified := notice{Reference: a, ID: "v1", Status: identity.Verified, At: w.clock.Now()}
	require.Equal(t, 200, w.webhook(verified))
	require.Equal(t, 200, w.gate("alice"))

	require.NoError(t, w.kit.Erase(t.Context(), "alice"))
	require.NoError(t, w.kit.Erase(t.Context(), "alice"), "again")
	assert.Equal(t, 403, w.gate("alice"))
	_, err := w.kit.Kept(t.Context(), "alice")
	assert.ErrorIs(t, err, ErrNotVerified)

	for _, status := range []identity.Status{identity.Verified, identity.Started, identity.Failed} {
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: status}))
	}
	w.later(time.Hour)
	assert.Empty(t, w.record("alice").Attempts, "nothing is recreated")
	assert.Equal(t, []string{"verified"}, w.host.heard())
	assert.Equal(t, 201, w.tryStart("alice").Code)

	w.store.breakDown(errStoreIsAway)
	assert.ErrorIs(t, w.kit.Erase(t.Context(), "alice"), errStoreIsAway)
}

// Who is erased while the host is told of them does not come back by the commit.
func TestEraseDuringCallback(t *testing.T) {
	for name, result := range map[string]error{"told": nil, "failed": errors.New("no")} {
		w := newWorld(t)
		a := w.start("alice").Attempt
		w.host.failing(func(Event) error {
			require.NoError(t, w.kit.Erase(t.Context(), "alice"))
			return result
		})
		require.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}), name)
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}), name)
		assert.Empty(t, w.record("alice").Attempts, name)
		assert.Equal(t, 403, w.gate("alice"), name)
	}
}
