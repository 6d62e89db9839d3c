package getid

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// TestTurn: a claim whose signature does not get its turn in time is neither taken
// nor refused.
func TestTurn(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)
	body := benchClaim(t, key)
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{APIKey: "key", Keys: []Key{{PublicKey: &key.PublicKey}}, MaxVerifications: 2})
		require.NoError(t, err)
		for range 2 {
			p.verifying <- struct{}{}
		}
		for within, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Hour: DefaultTimeout} {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			began := time.Now()
			_, err = p.VerifyClaim(ctx, body)
			cancel()
			require.ErrorIs(t, err, identity.ErrUnavailable)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, identity.ErrSignature)
			assert.Equal(t, want, time.Since(began))
		}
		<-p.verifying
		_, err = p.VerifyClaim(t.Context(), body)
		require.NoError(t, err)
		assert.Len(t, p.verifying, 1, "the turn is given back")
	})
}

// TestNewer: who has looked at an older set gets the one that has come meanwhile,
// though it is not the time for a fetch.
func TestNewer(t *testing.T) {
	now := time.Unix(0, 0)
	old, set := newKeySet(nil, now), newKeySet(nil, now)
	s := &keySource{set: set, tried: now, fetch: func(context.Context) ([]Key, error) { panic("fetch") }}
	got, err := s.newer(t.Context(), old, now)
	require.NoError(t, err)
	assert.Same(t, set, got)
	got, err = s.newer(t.Context(), set, now)
	require.NoError(t, err)
	assert.Same(t, set, got)
}

// TestRememberedTokens: as many as there is room for, the oldest go first.
func TestRememberedTokens(t *testing.T) {
	set := newKeySet(nil, time.Time{})
	sum := func(i int) [sha256.Size]byte { return [sha256.Size]byte{byte(i), byte(i >> 8)} }
	for i := range 3 * maxVerified {
		set.addVerified(sum(i))
		set.addVerified(sum(i))
		require.True(t, set.hasVerified(sum(i)))
		require.True(t, set.hasVerified(sum(max(0, i-maxVerified+1))))
		require.False(t, i >= maxVerified && set.hasVerified(sum(i-maxVerified)))
	}
	assert.Len(t, set.verified, maxVerified)
}
