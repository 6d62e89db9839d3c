package okidhttp

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

func relayed(t *testing.T, changes ...func(*Config)) (w *world, ref string) {
	w = newWorld(t, append(changes, func(c *Config) { c.RequireReturn = true })...)
	ref = w.start("mallory").Attempt
	w.provider.answer(ref, "v1", identity.Verified)
	return w, ref
}

// Somebody who finishes an attempt that another account began verifies nobody.
func TestHeldUntilTheSubjectComesBack(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"sync":    func(*Config) {},
		"async":   func(c *Config) { c.Async = true },
		"confirm": func(c *Config) { c.ConfirmByFetch = true },
	} {
		t.Run(name, func(t *testing.T) {
			w, ref := relayed(t, change)
			completed := notice{Reference: ref, ID: "v1", Status: identity.Verified}
			assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started}))
			assert.Equal(t, 200, w.webhook(completed))
			assert.Equal(t, 200, w.webhook(completed))
			w.later(time.Hour)
			for _, user := range []string{"", "victim"} {
				rec := w.get(user, "/verify/success?attempt="+ref)
				assert.Equal(t, 200, rec.Code)
				assert.NotContains(t, rec.Body.String(), ref)
			}
			w.later(10 * time.Minute)
			assert.Equal(t, []string{"started"}, w.host.heard())
			assert.Equal(t, "started", w.status("mallory", ref))
			assert.Equal(t, 403, w.gate("mallory"))

			w.clock.add(returnEvery)
			rec := w.get("mallory", "/verify/success?attempt="+ref)
			if name == "async" {
				w.later(time.Second)
			} else {
				assert.Equal(t, 303, rec.Code, "the verdict is there at once")
			}
			assert.Equal(t, []string{"started", "verified"}, w.host.heard())
			assert.Equal(t, 200, w.gate("mallory"))
			assert.Equal(t, 200, w.webhook(completed))
			assert.Len(t, w.host.heard(), 2)
		})
	}
}

func TestHeldWithoutTheProvider(t *testing.T) {
	w, ref := relayed(t)
	assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	w.provider.away = identity.ErrUnavailable
	assert.Equal(t, 200, w.get("mallory", "/verify/success?attempt="+ref).Code, "the pending page")
	w.later(time.Second)
	assert.Equal(t, []string{"verified"}, w.host.heard(), "the signed notice is enough")
	assert.Equal(t, 200, w.gate("mallory"))
}

func TestReturnedBeforeTheWebhook(t *testing.T) {
	w, ref := relayed(t)
	delete(w.provider.answers, "v1")
	assert.Equal(t, 200, w.get("mallory", "/verify/error?attempt="+ref).Code)
	assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, 200, w.gate("mallory"))
}

// What closes is never held.
func TestHeldIsContradicted(t *testing.T) {
	w, ref := relayed(t)
	assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	w.provider.answer(ref, "v1", identity.Failed)
	assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed}))
	assert.Equal(t, []string{"failed"}, w.host.heard(), "the host has never heard of the verification")
	w.get("mallory", "/verify/success?attempt="+ref)
	assert.Equal(t, "failed", w.status("mallory", ref))
	assert.Equal(t, 403, w.gate("mallory"))
}

// Nor does what contradicts it close anything, or is told, before the provider was asked.
func TestHeldIsContradictedInVain(t *testing.T) {
	for _, denial := range []identity.Status{identity.Failed, identity.Expired} {
		w, ref := relayed(t)
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: denial}))
		assert.Equal(t, 1, w.provider.asked(), denial)
		assert.Empty(t, w.host.heard(), denial)
		assert.Equal(t, "created", w.status("mallory", ref), denial)
	}
}

// Whoever comes back to an attempt that has failed, and is held to be verified all the
// same, is sent on as verified, also by a replica that would not have held it.
func TestReturnToWhatHadFailed(t *testing.T) {
	for _, requires := range []bool{true, false} {
		w, ref := relayed(t, func(c *Config) { c.AfterSuccess, c.AfterError = "/in", "/out" })
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed}))
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
		w.later(time.Minute)
		require.Equal(t, "failed", w.status("mallory", ref))
		w.kit = w.replica(func(c *Config) { c.RequireReturn, c.AfterSuccess, c.AfterError = requires, "/in", "/out" })
		assert.Equal(t, "/in", w.get("mallory", "/verify/success?attempt="+ref).Header().Get("Location"))
		assert.Equal(t, 200, w.gate("mallory"))
	}
}

// A return that cannot be noted is not taken for one that was: the user is told to try
// again, and not led on.
func TestReturnWhileTheStoreIsReadOnly(t *testing.T) {
	for _, word := range []identity.Status{"", identity.Started, identity.Failed} {
		w, ref := relayed(t)
		if word != "" {
			require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: word}))
		}
		healthy := w.kit
		w.kit = w.replica(func(c *Config) { c.RequireReturn, c.Store = true, &readOnlyStore{Store: c.Store} })
		rec := w.get("mallory", "/verify/success?attempt="+ref)
		assert.Equal(t, 503, rec.Code, word)
		assert.NotEmpty(t, rec.Header().Get("Retry-After"))
		w.kit = healthy
		w.provider.away = identity.ErrUnavailable
		require.NotEqual(t, 503, w.get("mallory", "/verify/success?attempt="+ref).Code)
		w.provider.away = nil
		require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
		w.later(time.Minute)
		assert.Equal(t, 200, w.gate("mallory"), word)
	}
}

// Nobody comes back in time: the attempt expires. Who comes later is still verified,
// whether or not the provider can be asked.
func TestHeldExpires(t *testing.T) {
	for _, away := range []error{nil, identity.ErrUnavailable} {
		w, ref := relayed(t)
		assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started}))
		assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
		w.later(25 * time.Hour)
		w.later(time.Minute)
		assert.Equal(t, []string{"started", "expired"}, w.host.heard())

		w.provider.away = away
		assert.Equal(t, 303, w.get("mallory", "/verify/success?attempt="+ref).Code)
		w.later(time.Second)
		assert.Equal(t, []string{"started", "expired", "verified"}, w.host.heard())
		assert.Equal(t, 200, w.gate("mallory"))
	}
}

// What contradicts a held verification is settled by asking, also after the attempt has
// expired.
func TestHeldIsContradictedAfterItExpired(t *testing.T) {
	for _, truth := range []identity.Status{identity.Verified, identity.Failed} {
		w, ref := relayed(t)
		assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
		w.later(25 * time.Hour)
		w.provider.answer(ref, "v1", truth)
		assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Failed}))
		w.later(time.Minute)
		w.get("mallory", "/verify/success?attempt="+ref)
		w.later(time.Minute)
		assert.Equal(t, truth == identity.Verified, w.gate("mallory") == 200, truth)
	}
}

// Whatever comes first, the notice that closes or the one that is held, or the user: a
// person whom the provider confirms is verified.
func TestHeldInEveryOrder(t *testing.T) {
	for _, denial := range []identity.Status{identity.Failed, identity.Expired} {
		for _, async := range []bool{false, true} {
			permute([]identity.Status{denial, identity.Verified, "return"}, func(order []identity.Status) {
				w, ref := relayed(t, func(c *Config) { c.Async = async })
				for _, word := range order {
					if word == "return" {
						w.get("mallory", "/verify/success?attempt="+ref)
					} else {
						require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: word}), order)
					}
					w.later(3 * time.Second)
					w.later(3 * time.Second)
				}
				w.later(time.Hour)
				assert.Equal(t, 200, w.gate("mallory"), order)
				assert.Equal(t, "verified", string(w.host.last().Status), order)
			})
		}
	}
}

// A HEAD request is a program's look, and nobody's return.
func TestHeadIsNoReturn(t *testing.T) {
	w, ref := relayed(t)
	require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	r := httptest.NewRequest(http.MethodHead, "/verify/success?attempt="+ref, nil)
	assert.Equal(t, 200, w.do(r, "mallory").Code)
	w.later(time.Minute)
	assert.Equal(t, 403, w.gate("mallory"))
	assert.Empty(t, w.host.heard())
}

// It is held though the host does not want to hear of it.
func TestHeldThoughNobodyIsTold(t *testing.T) {
	w, ref := relayed(t, func(c *Config) { c.OnVerified = nil })
	assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, 403, w.gate("mallory"))
	w.get("mallory", "/verify/success?attempt="+ref)
	assert.Equal(t, 200, w.gate("mallory"))
}
