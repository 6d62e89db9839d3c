package okidhttp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

// meetingStore lets nobody write whose a verification is before all who are
// expected have come to that.
type meetingStore struct {
	store.Store
	expected *sync.WaitGroup
}

func (s meetingStore) Put(ctx context.Context, key string, w store.Write) error {
	if strings.HasPrefix(key, "c:") {
		s.expected.Done()
		s.expected.Wait()
	}
	return s.Store.Put(ctx, key, w)
}

// claimsAtOnce presents claims, each at a replica of its own, of which none has
// seen anything of the others before it writes. All are for the attempt, if there
// is one.
func claimsAtOnce(w *world, p *claimProvider, attempt string, claims [][2]string) []int {
	var expected, all sync.WaitGroup
	expected.Add(len(claims))
	codes := make([]int, len(claims))
	for i, claim := range claims {
		kit := w.replica(func(c *Config) {
			c.Providers, c.Store = []identity.Provider{p}, meetingStore{w.store, &expected}
		})
		all.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/verify/claim?attempt="+attempt, strings.NewReader(`{"id":"`+claim[1]+`"}`))
			r.Header.Set("Test-User", claim[0])
			rec := httptest.NewRecorder()
			kit.ServeHTTP(rec, r)
			codes[i] = rec.Code
		})
	}
	all.Wait()
	return codes
}

func TestClaimsAtOnce(t *testing.T) {
	same := [2]string{"alice", "session1"}
	t.Run("one user, one verification", func(t *testing.T) {
		w, p := newClaimWorld(t)
		ref := w.start("alice").Attempt
		p.says("session1", identity.Verified)
		for _, code := range claimsAtOnce(w, p, ref, [][2]string{same, same, same, same, same, same}) {
			assert.Contains(t, []int{200, 202}, code)
		}
		assert.Equal(t, 1, p.asked(), "all tabs share one question")
		assert.Equal(t, []string{"verified"}, w.host.heard())
		assert.Len(t, w.record("alice").Attempts, 1)
		assert.Equal(t, "verified", w.status("alice", ref))
	})
	t.Run("one user, two verifications", func(t *testing.T) {
		w, p := newClaimWorld(t)
		ref := w.start("alice").Attempt
		p.says("session1", identity.Failed)
		p.says("session2", identity.Verified)
		codes := claimsAtOnce(w, p, ref, [][2]string{same, {"alice", "session2"}})
		assert.Equal(t, []int{200, 200}, codes)
		assert.Len(t, w.record("alice").Attempts, 2, "each has its own")
		assert.Equal(t, 200, w.gate("alice"))
		assert.ElementsMatch(t, []string{"failed", "verified"}, w.host.heard())
	})
	t.Run("many users, one verification", func(t *testing.T) {
		w, p := newClaimWorld(t)
		p.says("session1", identity.Verified)
		var claims [][2]string
		for i := range 6 {
			claims = append(claims, [2]string{fmt.Sprint("user ", i), "session1"})
		}
		count := map[int]int{}
		for i, code := range claimsAtOnce(w, p, "", claims) {
			count[code]++
			assert.Equal(t, code == 200, w.gate(claims[i][0]) == 200)
		}
		assert.Equal(t, map[int]int{200: 1, 409: 5}, count)
		assert.Equal(t, []string{"verified"}, w.host.heard())
		assert.Equal(t, 1, p.asked())
	})
}

// A process may die at any of its operations on the store: the user who tries
// again gets the verdict, the host hears of it as one event, and nobody else gets
// the verification.
func TestClaimSurvivesACrashAnywhere(t *testing.T) {
	const body = `{"id":"session1"}`
	for _, word := range []identity.Status{identity.Verified, identity.Failed} {
		for operations := range 8 {
			for mode := range 4 {
				written, async := mode&1 != 0, mode&2 != 0
				name := fmt.Sprintf("%s after %d operations, written %v, async %v", word, operations, written, async)
				w, p := newClaimWorld(t)
				sound := w.kit
				p.says("session1", word)
				ref := w.start("alice").Attempt
				w.kit = w.replica(func(c *Config) {
					c.Providers = []identity.Provider{p}
					c.Store = &crashingStore{Store: w.store, left: operations, written: written}
					c.Async = async
				})
				code, got := w.claim("alice", body, "?attempt="+ref)
				assert.Contains(t, []int{200, 202, 503}, code, name)
				w.kit = sound
				if code != 503 {
					assert.Equal(t, ref, got.Attempt, name)
					for range 3 {
						w.later(time.Minute)
					}
					assert.Equal(t, string(word), w.status("alice", ref), name)
				}
				code, got = w.claim("alice", body, "?attempt="+ref)
				assert.Contains(t, []int{200, 202}, code, name)
				for range 3 {
					w.later(time.Minute)
				}
				assert.Equal(t, string(word), w.status("alice", ref), name)
				assert.Equal(t, ref, got.Attempt, name)
				ids := map[string]bool{}
				for _, e := range w.host.events {
					ids[e.ID] = true
				}
				assert.Len(t, ids, 1, name)
				code, _ = w.claim("bob", body)
				assert.Equal(t, 409, code, name)
			}
		}
	}
}

// Who is erased while the provider is asked does not come back with its answer.
func TestEraseDuringClaim(t *testing.T) {
	w, p := newClaimWorld(t)
	p.says("session1", identity.Verified)
	p.asking = func() { require.NoError(t, w.kit.Erase(t.Context(), "alice")) }
	for range 2 {
		code, _ := w.claim("alice", `{"id":"session1"}`)
		assert.Equal(t, 409, code, "it is used")
	}
	w.later(time.Hour)
	assert.Empty(t, w.record("alice").Attempts)
	assert.Empty(t, w.host.heard())
	assert.Equal(t, 403, w.gate("alice"))
}

// What was erased, or forgotten with the record, is spent: an old claim neither
// brings anybody back nor renews MaxAge.
func TestSpentClaim(t *testing.T) {
	for name, forget := range map[string]func(*world){
		"erased": func(w *world) {
			w.clock.add(time.Minute)
			require.NoError(t, w.kit.Erase(t.Context(), "alice"))
		},
		"forgotten": func(w *world) { w.clock.add(90 * 24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newClaimWorld(t, func(c *Config) { c.MaxAge, c.Retention = 30*24*time.Hour, 90*24*time.Hour })
			p.says("session1", identity.Verified)
			const body = `{"id":"session1"}`
			code, _ := w.claim("alice", body)
			require.Equal(t, 200, code)
			forget(w)
			for _, user := range []string{"alice", "bob"} {
				code, _ = w.claim(user, body)
				assert.Equal(t, 409, code, user)
				assert.Equal(t, 403, w.gate(user))
			}
			assert.Equal(t, []string{"verified"}, w.host.heard())
			assert.Empty(t, w.record("alice").Attempts)
		})
	}
}

// A claim that came too soon after others can be presented later.
func TestLimitedClaimIsNotSpent(t *testing.T) {
	w, p := newClaimWorld(t, func(c *Config) { c.StartLimit = AtMost(1, 24*time.Hour) })
	p.says("session1", identity.Failed)
	p.says("session2", identity.Verified)
	w.claim("alice", `{"id":"session1"}`)
	code, _ := w.claim("alice", `{"id":"session2"}`)
	assert.Equal(t, 429, code)
	w.clock.add(25 * time.Hour)
	code, _ = w.claim("alice", `{"id":"session2"}`)
	assert.Equal(t, 200, code)
}

// A user with any number of genuine verifications fills nothing but the marks that
// say whose they are.
func TestClaimsDoNotPileUp(t *testing.T) {
	w, p := newClaimWorld(t, func(c *Config) { c.StartLimit = AtMost(5, 24*time.Hour) })
	const n = 100
	refused := 0
	for i := range n {
		id := fmt.Sprintf("b2dce275031c3785ec1b7ac89983c67e%04d", i)
		p.says(id, []identity.Status{identity.Failed, identity.Review, identity.Started}[i%3])
		code, _ := w.claim("alice", `{"id":"`+id+`"}`)
		if code == 429 {
			refused++
		}
		w.later(time.Hour)
	}
	assert.Less(t, len(w.record("alice").AppendTo(nil)), 16<<10, "bytes of the record")
	assert.NotZero(t, refused)
	marks := map[string]bool{}
	for _, written := range w.store.values {
		if strings.HasPrefix(written, "c:") {
			marks[written] = true
			assert.LessOrEqual(t, len(written), 96, "bytes of a mark, with its key")
		}
	}
	assert.Len(t, marks, n-refused)
}
