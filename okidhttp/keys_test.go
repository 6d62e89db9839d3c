package okidhttp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// The documented way to rotate keys loses nothing at any moment of the deployments: of
// two replicas, each has either the keys of before or those of after.
func TestKeyRotationOverReplicas(t *testing.T) {
	older, newer := testKey(1), testKey(2)
	steps := [][][]byte{{older}, {older, newer}, {newer, older}, {newer}}
	type begun struct {
		user, ref string
		step      int
	}
	w := newWorld(t)
	var all []begun
	for step, keys := range steps {
		before := steps[max(step-1, 0)]
		mixes := [][2][][]byte{{before, before}, {keys, before}, {keys, keys}}
		for mix, ring := range mixes {
			var kits [2]*Kit
			for i := range kits {
				kits[i] = w.replica(func(c *Config) { c.Keys = ring[i] })
			}
			for i, k := range kits {
				w.kit = k
				user := fmt.Sprint("user ", step, mix, i)
				b := begun{user: user, ref: w.start(user).Attempt, step: step}
				all = append(all, b)
				other := kits[1-i]
				w.kit = other
				id := "v " + user
				w.provider.answer(b.ref, id, identity.Verified)
				rec := httptest.NewRecorder()
				other.ServeHTTP(rec, w.webhookRequest(notice{Reference: b.ref, ID: id, Status: identity.Started}))
				require.Equal(t, 200, rec.Code)
				assert.Equal(t, "started", w.status(user, b.ref), "step %d, deployed to %d", step, mix)
				assert.NotEqual(t, 404, w.get(user, "/verify/page?attempt="+b.ref).Code)
			}
		}
		if step == 2 {
			// What began under the old key is finished before that is dropped.
			for _, b := range all {
				require.Equal(t, 200, w.webhook(notice{Reference: b.ref, ID: "v " + b.user, Status: identity.Verified}))
			}
		}
	}
	assert.Zero(t, w.outcomes.of(OutcomeUnknownAttempt))
	for _, b := range all {
		if b.step <= 2 {
			assert.Equal(t, 200, w.gate(b.user), "%v, after the old key is gone", b)
		}
	}
}

// Keys are changed while the kit runs: what a dropped key sealed opens no more.
func TestSetKeys(t *testing.T) {
	w, ref := verifiedUser(t)
	old := w.start("bob").Attempt

	require.NoError(t, w.kit.SetKeys([][]byte{testKey(1), testKey(2)}))
	assert.Equal(t, "created", w.status("bob", old))
	require.NoError(t, w.kit.SetKeys([][]byte{testKey(2)}))
	assert.Equal(t, 200, w.webhook(notice{Reference: old, ID: "v2", Status: identity.Verified}))
	assert.Equal(t, 1, w.outcomes.of(OutcomeUnknownAttempt))
	assert.Equal(t, 403, w.gate("bob"))
	assert.Equal(t, 200, w.gate("alice"), "who is verified stays so")

	fresh := w.start("carol").Attempt
	assert.Equal(t, 200, w.webhook(notice{Reference: fresh, ID: "v3", Status: identity.Verified}))
	assert.Equal(t, 200, w.gate("carol"))

	err := w.kit.SetKeys([][]byte{{1}, testKey(3), testKey(3)})
	assert.ErrorContains(t, err, "keys[0]")
	assert.ErrorContains(t, err, "keys[2]")
	assert.Error(t, w.kit.SetKeys(nil))
	assert.Equal(t, "verified", w.status("carol", fresh), "the keys are as before")
	assert.NotEmpty(t, ref)
}

func TestSetKeysWhileServing(t *testing.T) {
	w, _ := verifiedUser(t)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 50 {
				assert.NoError(t, w.kit.SetKeys([][]byte{testKey(1), testKey(byte(2 + (i+j)%3))}))
			}
		})
		all.Go(func() {
			for range 50 {
				ref := w.start(fmt.Sprint("user ", i)).Attempt
				assert.Equal(t, 200, w.do(httptest.NewRequest(http.MethodGet, "/verify/status?attempt="+ref, nil), fmt.Sprint("user ", i)).Code)
			}
		})
	}
	all.Wait()
	w.clock.add(time.Second)
}
