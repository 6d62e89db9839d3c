package okidhttp

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

func fingerprinting(c *Config) { c.FingerprintKey = [][]byte{testKey(7)} }

// The host is told who else is verified with the same document, however it is written.
func TestSameDocument(t *testing.T) {
	w := newWorld(t, fingerprinting)
	same := func(user string, n notice, form ...string) []string {
		n.ID = "v-" + user + n.Number + n.Document
		w.verify(user, n, form...)
		return w.host.last().SameDocument
	}
	assert.Empty(t, same("alice", notice{Number: "AB 12-34", Country: "NLD"}))
	assert.Equal(t, []string{"alice"}, same("bob", notice{Number: "ab1234", Country: "NLD", Document: "Passport"}))
	assert.Equal(t, []string{"alice", "bob"}, same("carol", notice{Number: "AB1234", Country: "NLD"}))
	assert.Empty(t, same("dave", notice{Number: "AB1234", Country: "BEL"}), "another country's")
	assert.Empty(t, same("erin", notice{Number: "AB1234", Country: "NLD", Document: "id-card"}), "another kind")
	assert.Empty(t, same("frank", notice{Number: "AB1235", Country: "NLD"}), "another number")
	assert.Equal(t, []string{"bob", "carol"}, same("alice", notice{Number: "AB1234", Country: "NLD", Document: "passport"}, "renew", "1"), "one's own never counts")
	assert.Empty(t, same("grace", notice{Number: "--", Country: "NLD"}), "no number at all")
	assert.Empty(t, same("heidi", notice{Number: "<<", Country: "NLD"}), "no number at all")

	require.NoError(t, w.kit.Revoke(t.Context(), "bob", bySam))
	assert.Equal(t, []string{"alice", "carol"}, same("ivan", notice{Number: "AB1234", Country: "NLD"}), "who is not verified does not count")
	require.NoError(t, w.kit.Erase(t.Context(), "alice"))
	assert.Equal(t, []string{"carol", "ivan"}, same("judy", notice{Number: "AB1234", Country: "NLD"}), "nor who is erased")
}

// Decide is asked with it, and who is refused does not stand in anybody's way.
func TestSameDocumentDecides(t *testing.T) {
	w := newWorld(t, fingerprinting, func(c *Config) {
		c.Decide = func(_ context.Context, e Event) error {
			if len(e.SameDocument) > 0 {
				return Refuse("other_account")
			}
			return nil
		}
	})
	w.verify("alice", notice{ID: "v1"})
	w.verify("bob", notice{ID: "v2"})
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, 403, w.gate("bob"))
	require.NoError(t, w.kit.Revoke(t.Context(), "alice", bySam))
	w.verify("bob", notice{ID: "v3"})
	assert.Equal(t, 200, w.gate("bob"))
}

// Of two who come at the same moment, the later one is told of the earlier one, and not
// the other way round.
func TestSameDocumentAtOnce(t *testing.T) {
	for range 20 {
		w := newWorld(t, fingerprinting)
		var mu sync.Mutex
		told := map[string][]string{}
		w.kit = w.replica(fingerprinting, func(c *Config) {
			c.Decide = func(_ context.Context, e Event) error {
				mu.Lock()
				defer mu.Unlock()
				told[e.Subject] = e.SameDocument
				return nil
			}
		})
		users := []string{"alice", "bob", "carol"}
		var all sync.WaitGroup
		for _, user := range users {
			ref := w.start(user).Attempt
			all.Go(func() {
				for w.webhook(notice{Reference: ref, ID: "v-" + user, Status: identity.Verified}) != 200 {
				}
			})
		}
		all.Wait()
		var seen [3]int
		for _, user := range users {
			require.Less(t, len(told[user]), 3)
			seen[len(told[user])]++
			for _, other := range told[user] {
				assert.NotContains(t, told[other], user, "one of two is first: %v", told)
			}
		}
		assert.Equal(t, [3]int{1, 1, 1}, seen, "%v", told)
	}
}

// A new key finds what the old one has seen, as long as both are there.
func TestSameDocumentRotation(t *testing.T) {
	w := newWorld(t, fingerprinting)
	w.verify("alice", notice{ID: "v1"})
	for _, tt := range []struct {
		keys [][]byte
		user string
		want []string
	}{
		{[][]byte{testKey(7), testKey(8)}, "bob", []string{"alice"}},
		{[][]byte{testKey(8), testKey(7)}, "carol", []string{"alice", "bob"}},
		{[][]byte{testKey(7), testKey(8)}, "dave", []string{"carol", "alice", "bob"}},
		{[][]byte{testKey(8)}, "erin", []string{"carol"}},
	} {
		w.kit = w.replica(func(c *Config) { c.FingerprintKey = tt.keys })
		w.verify(tt.user, notice{ID: "v-" + tt.user})
		assert.Equal(t, tt.want, w.host.last().SameDocument)
	}
	require.NoError(t, w.kit.Erase(t.Context(), "carol"))
	w.verify("frank", notice{ID: "v-frank"})
	assert.Equal(t, []string{"erin"}, w.host.last().SameDocument)
}

// Nothing that is stored can be read without the key, and erasing leaves nobody's trace.
func TestSameDocumentIsNotReadable(t *testing.T) {
	w := newWorld(t, fingerprinting)
	w.verify("subject-canary", notice{ID: "v1", Number: "NUMBER-CANARY"})
	for _, value := range w.store.values {
		for _, canary := range []string{"canary", "NUMBER", "CANARY"} {
			assert.NotContains(t, value, canary)
		}
	}
	key := documentRecords(w)
	require.Len(t, key, 1)
	w.start("subject-canary", "renew", "1") // another attempt, without a document
	require.NoError(t, w.kit.Erase(t.Context(), "subject-canary"))
	rec, err := w.store.Get(t.Context(), key[0])
	require.NoError(t, err)
	assert.Len(t, rec.Value, 1, "no hash of anybody")
	w.clock.add(2 * time.Minute)
	_, err = w.store.Get(t.Context(), key[0])
	assert.Error(t, err, "and soon no record")
}

// documentRecords are the keys of the records of documents.
func documentRecords(w *world) (keys []string) {
	for _, value := range w.store.values {
		if strings.HasPrefix(value, "d:") && (len(keys) == 0 || keys[len(keys)-1] != value[:45]) {
			keys = append(keys, value[:45])
		}
	}
	return keys
}

// Whoever is erased while the host is called leaves no trace either.
func TestSameDocumentErasedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.kit = w.replica(fingerprinting, func(c *Config) {
		c.Decide = func(ctx context.Context, e Event) error { return w.kit.Erase(ctx, e.Subject) }
	})
	a := w.start("alice").Attempt
	w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified})
	rec, err := w.store.Get(t.Context(), documentRecords(w)[0])
	require.NoError(t, err)
	assert.Len(t, rec.Value, 1)

	// Between the two writes, to the subject's record and to the document's, too.
	w = newWorld(t, fingerprinting)
	a = w.start("alice").Attempt
	erased := false
	w.store.brokenFor = func(key string) error {
		if strings.HasPrefix(key, "d:") && !erased {
			erased = true
			require.NoError(t, w.kit.Erase(t.Context(), "alice"))
		}
		return nil
	}
	w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified})
	require.True(t, erased)
	w.store.brokenFor = nil
	rec, err = w.store.Get(t.Context(), documentRecords(w)[0])
	require.NoError(t, err)
	assert.Len(t, rec.Value, 1)
}

// What cannot be found out is not nothing: the verification waits.
func TestSameDocumentUnknown(t *testing.T) {
	w := newWorld(t, fingerprinting)
	w.verify("alice", notice{ID: "v1"})
	b := w.start("bob").Attempt
	w.store.brokenFor = func(key string) error {
		if strings.HasPrefix(key, "d:") {
			return errors.New("store is away")
		}
		return nil
	}
	code := w.webhook(notice{Reference: b, ID: "v2", Status: identity.Verified})
	assert.GreaterOrEqual(t, code, 500)
	assert.Equal(t, 403, w.gate("bob"))
	w.store.brokenFor = nil
	w.later(time.Minute)
	assert.Equal(t, 200, w.gate("bob"))
	assert.Equal(t, []string{"alice"}, w.host.last().SameDocument)

	_, err := New(Config{FingerprintKey: [][]byte{make([]byte, 16)}})
	assert.ErrorContains(t, err, "FingerprintKey[0] has 16 bytes")
}
