package attempt

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// newer is what a newer version wrote into a message beside the fields that this one
// knows.
func newer() []byte {
	var c coder
	write(&c, 1001, "by a newer version")
	return c.out
}

// shared is the record of a subject in a store that this version shares with a newer one.
type shared struct {
	t     *testing.T
	p     *Policy
	bytes []byte
}

// change reads the record, changes it, and writes it back as every process does.
func (s *shared) change(f func(r *Record)) {
	s.t.Helper()
	r, err := Decode(s.bytes, testHash)
	require.NoError(s.t, err)
	f(r)
	r.Prune()
	s.bytes = r.AppendTo(nil)
}

// step takes one step of the first attempt.
func (s *shared) step(in Input, now time.Time) (todo Todo) {
	s.t.Helper()
	s.change(func(r *Record) { todo = s.p.Step(&r.Attempts[0], in, now) })
	return todo
}

// messages calls f with every message that the record holds, sealed ones included, and
// writes back what f makes of them.
func (s *shared) messages(f func(name string, m message)) {
	s.t.Helper()
	s.change(func(r *Record) {
		f("record", r)
		for i := range r.Attempts {
			a := &r.Attempts[i]
			f("attempt", a)
			begun := s.p.OpenContext(a)
			f("context", &begun)
			for i := range begun.Metadata {
				f("metadata", &begun.Metadata[i])
			}
			s.p.SealContext(a, &begun)
			for i := range a.Outbox {
				f("entry", &a.Outbox[i])
			}
			for i := range a.Letters {
				f("letter", &a.Letters[i])
			}
			if a.Grant != nil {
				f("grant", a.Grant)
			}
		}
	})
}

// upgrade is a newer version that writes the record.
func (s *shared) upgrade() {
	s.t.Helper()
	s.messages(func(_ string, m message) { *m.unknown() = newer() })
}

// newer lists the messages that hold what a newer version wrote.
func (s *shared) newer() (names []string) {
	s.t.Helper()
	s.messages(func(name string, m message) {
		if string(*m.unknown()) == string(newer()) {
			names = append(names, name)
		} else {
			assert.Empty(s.t, *m.unknown(), name)
		}
	})
	return names
}

// Replicas of this and of a newer version share a store: whatever this one does to a
// record, what the newer one wrote stays as long as the message in which it stands.
func TestNewerVersionsFieldsSurviveSteps(t *testing.T) {
	p := testPolicy()
	r, a := testAttempt(p)
	p.SealContext(a, &goldenContext)
	s := &shared{t, p, r.AppendTo(nil)}
	now := testTime
	later := func(d time.Duration) time.Time { now = now.Add(d); return now }
	s.upgrade()
	always := []string{"record", "attempt", "context", "metadata"}
	waiting := append(always, "entry")
	require.Equal(t, always, s.newer())

	todo := s.step(webhook(identity.Started, ""), now)
	assert.Equal(t, always, s.newer(), "the entry is this version's")
	s.upgrade()
	s.step(&HostSaid{Call: todo.Call, Called: true, Err: ErrCallback}, now)
	assert.Equal(t, waiting, s.newer(), "put off")
	todo = s.step(Due{todo.Call.Work.Event}, later(time.Minute))
	assert.Equal(t, waiting, s.newer(), "tried again")
	s.step(&HostSaid{Call: todo.Call, Called: true}, now)
	assert.Equal(t, always, s.newer(), "told")

	s.step(Refresh{ID: "v1", Returned: true}, later(time.Minute))
	assert.Equal(t, always, s.newer(), "the user came back")

	todo = s.step(webhook(identity.Verified, ""), now)
	s.upgrade()
	assert.ErrorIs(t, s.step(webhook(identity.Verified, "again"), now).Err, ErrInFlight)
	assert.Equal(t, waiting, s.newer(), "delivered again")
	s.step(&HostSaid{Call: todo.Call, Called: true}, now)
	assert.Equal(t, always, s.newer(), "verified")

	s.upgrade()
	todo = s.step(webhook(identity.Failed, ""), later(time.Minute))
	require.NotNil(t, todo.Ask)
	s.step(answer(todo.Ask, identity.Verified), now)
	assert.Equal(t, append(always, "grant"), s.newer(), "contradicted in vain")
	g, _, err := splitGrant(s.bytes, testHash)
	require.NoError(t, err)
	assert.Contains(t, string(g), string(newer()), "the grant in front, too")

	todo = s.step(webhook(identity.Failed, "once more"), now)
	todo = s.step(answer(todo.Ask, identity.Failed), now)
	s.step(&HostSaid{Call: todo.Call, Called: true, Err: ErrCallback, Permanent: true}, now)
	assert.Equal(t, always, s.newer(), "revoked, and given up")
	s.upgrade()
	s.step(Listed{}, now)
	s.change(func(r *Record) { p.Begin(r, ID{2}, "another", "alice", "fake", now, now) })
	assert.Equal(t, append(always, "letter"), s.newer(), "another attempt")

	todo = s.step(Replay{todo.Call.Work.Event}, now)
	require.NotNil(t, todo.Ask)
	assert.Equal(t, always, s.newer(), "replayed, it is this version's")
}

// A newer version may keep more finished attempts than this one, which drops them when it
// writes the record. Whoever has just begun an attempt goes on with it.
func TestPruneAfterANewerVersionKeptMore(t *testing.T) {
	p := testPolicy()
	r := NewRecord(testHash)
	for i := range 2 * MaxFinished {
		r.Attempts = append(r.Attempts, Attempt{ID: ID{byte(i)}, Provider: "fake", Status: identity.Failed})
	}
	r, err := Decode(r.AppendTo(nil), testHash)
	require.NoError(t, err)
	require.Len(t, r.Attempts, 2*MaxFinished)
	a := p.Begin(r, ID{99}, "reference", "alice", "fake", testTime, testTime)
	r.Prune()
	assert.Equal(t, ID{99}, a.ID)
	r, err = Decode(r.AppendTo(nil), testHash)
	require.NoError(t, err)
	require.Len(t, r.Attempts, MaxFinished+1)
	assert.Equal(t, ID{MaxFinished}, r.Attempts[0].ID, "the oldest went")
	assert.Equal(t, "reference", r.Find(ID{99}).Reference)
}
