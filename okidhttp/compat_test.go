package okidhttp

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

// newer is what a newer version of the kit wrote into a message beside the fields
// that this one knows.
func newer() []byte {
	var c coder
	write(&c, 1001, "by a newer version")
	return c.out
}

// messages calls f with every message that a subject's record holds, sealed ones
// and the grant in front included, and writes back what f makes of them.
func (w *world) messages(user string, f func(name string, m message)) {
	w.t.Helper()
	hash := hashSubject(user)
	_, err := w.kit.rewrite(context.Background(), hash, nil, func(h *held) error {
		f("record", h.record)
		for i := range h.attempts {
			a := &h.attempts[i]
			at := address{hash, a.id}
			f("attempt", a)
			begun := w.kit.openContext(at, a)
			f("context", &begun)
			for i := range begun.metadata {
				f("metadata", &begun.metadata[i])
			}
			a.context = w.kit.sealContext(at, begun)
			for i := range a.pending {
				f("pending", &a.pending[i])
			}
			for i := range a.letters {
				f("letter", &a.letters[i])
			}
			if a.grant != nil {
				f("grant", a.grant)
			}
		}
		if g, err := decodeGrant(h.encode(hash), hash); assert.NoError(w.t, err) && g != nil {
			f("grant in front", g)
		}
		return nil
	})
	require.NoError(w.t, err)
}

// upgrade is a newer version that writes the record.
func (w *world) upgrade(user string) {
	w.t.Helper()
	w.messages(user, func(_ string, m message) { *m.unknown() = newer() })
}

// newer lists the messages that hold what a newer version wrote.
func (w *world) newer(user string) (names []string) {
	w.t.Helper()
	w.messages(user, func(name string, m message) {
		if string(*m.unknown()) == string(newer()) {
			names = append(names, name)
		} else {
			assert.Empty(w.t, *m.unknown(), name)
		}
	})
	return names
}

// Replicas of this and of a newer version share a store: whatever this one does to
// a record, what the newer one wrote stays as long as the message in which it
// stands.
func TestNewerVersionsFieldsSurviveAFlow(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Metadata = func(*http.Request) (map[string]string, error) { return map[string]string{"order": "7"}, nil }
	})
	away := func(Event) error { return errors.New("host is away") }
	a := w.start("alice", "return_to", "/cellar").Attempt
	w.upgrade("alice")
	always := []string{"record", "attempt", "context", "metadata"}
	require.Equal(t, always, w.newer("alice"))

	require.Equal(t, a, w.start("alice", "return_to", "/attic").Attempt)
	assert.Equal(t, always, w.newer("alice"), "resumed")

	w.host.failing(away)
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	assert.Equal(t, always, w.newer("alice"), "the pending notice is this version's")
	w.upgrade("alice")
	waiting := append(always, "pending")
	w.later(time.Minute)
	assert.Equal(t, waiting, w.newer("alice"), "tried again")
	w.host.failing(nil)
	w.later(time.Hour)
	assert.Equal(t, always, w.newer("alice"), "told")

	w.host.failing(away)
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.upgrade("alice")
	require.Equal(t, 500, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, waiting, w.newer("alice"), "delivered again")
	assert.Equal(t, 403, w.gate("alice"))
	w.host.failing(nil)
	w.later(time.Hour)
	assert.Equal(t, always, w.newer("alice"), "verified")
	assert.Equal(t, 200, w.gate("alice"))

	w.upgrade("alice")
	open := append(always, "grant", "grant in front")
	w.provider.answer(a, "v1", identity.Verified)
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	assert.Equal(t, open, w.newer("alice"), "contradicted in vain")
	assert.Equal(t, 200, w.gate("alice"))
	assert.Equal(t, "/attic", w.get("alice", "/verify/success?attempt="+a).Header().Get("Location"))

	w.provider.answer(a, "v1", identity.Failed)
	w.host.failing(func(Event) error { return Permanent(errors.New("host does not listen")) })
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed, Note: "once more"}))
	assert.Equal(t, always, w.newer("alice"), "revoked")
	assert.Equal(t, 403, w.gate("alice"))
	w.upgrade("alice")
	w.host.failing(nil)
	w.start("alice")
	assert.Equal(t, append(always, "letter"), w.newer("alice"), "another attempt")
}

// A newer version may keep more finished attempts than this one, which drops them
// while it begins the next.
func TestStartAfterANewerVersionKeptMore(t *testing.T) {
	w := newWorld(t)
	hash := hashSubject("alice")
	r := &record{subject: w.kit.keys.seal(sealSubject, hash.key(), []byte("alice"))}
	for i := range 2 * maxFinished {
		r.attempts = append(r.attempts, attempt{id: attemptID{byte(i)}, provider: "fake", status: identity.Failed})
	}
	require.NoError(t, w.store.Put(t.Context(), hash.key(), store.Write{Value: r.encode(hash), Version: 1, TTL: time.Hour}))

	a := w.start("alice").Attempt
	assert.Equal(t, a, w.provider.starts[0].Reference)
	assert.Equal(t, "created", w.status("alice", a))
	assert.Len(t, w.record("alice").attempts, maxFinished+1)
}

// goldenRecord is what testdata/record.hex says, without what is sealed.
func goldenRecord() *record {
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 1e6, time.UTC) }
	return &record{
		starts: []time.Time{at(0), at(1)},
		attempts: []attempt{
			{
				id: attemptID{1}, provider: "okid", status: identity.Created,
				createdAt: at(0), begunAt: at(0), updatedAt: at(0), askingTo: at(2),
			},
			{
				id: attemptID{2, 0, 0xff}, provider: "okid", providerID: "ver_1", status: identity.Verified,
				reason: "policy", byClock: true, createdAt: at(1), begunAt: at(1), updatedAt: at(5), expiresAt: at(30),
				returned: true, fetchedAt: at(3), refreshAt: at(7), unanswered: 2, claimedAt: at(2), events: 5,
				seen: [][digestLen]byte{{1}, {2}},
				pending: []pending{
					{
						status: identity.Failed, applied: true, fetched: true, digest: [digestLen]byte{1}, since: at(4),
						tries: 3, unheard: 1, failures: 2, told: true, due: at(6), held: true, event: 4,
					},
					{status: identity.Started, event: 5},
				},
				letters: []letter{{event: 2, reason: DeadCallback, status: identity.Review, applied: true, since: at(3), failures: 10}},
				listAt:  at(4),
				lease:   lease{owner: -1 << 63, until: at(9), event: 4},
				grant: &Grant{
					VerifiedAt: at(5), Provider: "okid", DocumentType: "passport",
					DocumentExpiry: identity.Date{Year: 2030, Month: 1, Day: 31}, AgeOver: []int{18, 21},
				},
			},
		},
	}
}

// goldenVerification has a value in every field.
func goldenVerification() identity.Verification {
	v := person
	v.ID, v.Status, v.Reason = "ver_1", identity.Failed, identity.ReasonError
	v.Concerns = []identity.Concern{{ID: "DC030", Service: "doc-check", Status: "declined", Message: "expired"}}
	v.CreatedAt = time.Date(2026, 3, 1, 12, 1, 0, 0, time.UTC)
	v.CompletedAt = time.Date(2026, 3, 1, 12, 4, 0, 0, time.UTC)
	return v
}

// A record in the format of the first version, with a value in every field, which
// every later version must be able to read. The file never changes; a newer format
// gets another one.
func TestGoldenRecord(t *testing.T) {
	text, err := os.ReadFile("testdata/record.hex")
	require.NoError(t, err)
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	require.NoError(t, err)
	r, err := decodeRecord(b, testHash)
	require.NoError(t, err)
	g, err := decodeGrant(b, testHash)
	require.NoError(t, err)
	assert.Equal(t, goldenRecord().attempts[1].grant, g)
	assert.Equal(t, b, r.encode(testHash), "written back, it is the same")

	k := newWorld(t).kit
	open := func(purpose, place string, sealed *[]byte) string {
		t.Helper()
		plain, err := k.keys.open(purpose, place, *sealed)
		require.NoError(t, err)
		*sealed = nil
		return string(plain)
	}
	assert.Equal(t, "alice", open(sealSubject, testHash.key(), &r.subject))
	for i := range r.attempts {
		a := &r.attempts[i]
		at, err := k.keys.openReference(a.reference)
		require.NoError(t, err)
		assert.Equal(t, address{testHash, a.id}, at)
		a.reference = ""
	}
	a := &r.attempts[1]
	at := address{testHash, a.id}
	assert.Equal(t, "tok_1", open(sealToken, at.place(), &a.token))
	assert.Equal(t, attemptContext{returnTo: "/cellar", locale: "sv-SE", metadata: []pair{{name: "order", value: "7"}}}, k.openContext(at, a))
	v, err := k.openNotice(at, a.pending[0].notice)
	require.NoError(t, err)
	assert.Equal(t, goldenVerification(), v)
	v, err = k.openVerification(sealKept, at, a.kept)
	require.NoError(t, err)
	assert.Equal(t, identity.Verification{ID: "ver_1", Status: identity.Verified, FirstName: person.FirstName}, v)
	a.context, a.pending[0].notice, a.kept = nil, nil, nil
	assert.Equal(t, goldenRecord(), r)
}
