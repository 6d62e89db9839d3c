package attempt

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/seal"
)

var (
	testHash = HashSubject("alice")
	testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	person   = identity.Verification{
		FirstName: "Canaryfirst", LastName: "Canarylast", DocumentNumber: "CANARY123", DocumentType: "passport",
		DocumentExpiry: identity.Date{Year: 2030, Month: 1, Day: 31}, DateOfBirth: identity.Date{Year: 1990, Month: 5, Day: 17},
	}
)

// testPolicy is that of a host which hears of everything.
func testPolicy() *Policy {
	key := sha256.Sum256([]byte{1})
	owner := int64(0)
	p := &Policy{
		Hears:        map[identity.Status]bool{},
		AgeOver:      []int{18},
		Keep:         []identity.Field{identity.FirstName},
		Location:     time.UTC,
		Lease:        30 * time.Second,
		StartedLimit: 24 * time.Hour,
		Sealer:       seal.New([][]byte{key[:]}),
		NewOwner:     func() int64 { owner++; return owner },
	}
	for _, s := range []identity.Status{identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired, identity.Revoked} {
		p.Hears[s] = true
	}
	return p
}

// testAttempt is one that has just begun, in its record.
func testAttempt(p *Policy) (*Record, *Attempt) {
	r := NewRecord(testHash)
	a := p.Begin(r, ID{1}, "reference", "alice", "fake", testTime, testTime)
	p.SealToken(a, "token")
	a.ExpiresAt = testTime.Add(30 * time.Minute)
	return r, a
}

// webhook is a notice about the attempt. The note tells two of the same apart.
func webhook(s identity.Status, note string) *Webhook {
	v := person
	v.ID, v.Status = "v1", s
	return &Webhook{Clock: testTime, Notice: identity.Notice{
		Provider: "fake", Reference: "reference", Verification: v, Digest: sha256.Sum256([]byte(string(s) + note)),
	}}
}

// answer is what the provider says to a question.
func answer(ask *Ask, s identity.Status) *Answer {
	n := webhook(s, "answer").Notice
	n.Digest = [32]byte{}
	return &Answer{Ask: ask, Notice: n, Clock: testTime}
}

// The host is called after the attempt has been written with a lease, and the gate opens
// when the host knows.
func TestVerifiedStepByStep(t *testing.T) {
	p := testPolicy()
	_, a := testAttempt(p)
	todo := p.Step(a, webhook(identity.Verified, ""), testTime)
	require.True(t, todo.Changed)
	require.NotNil(t, todo.Call)
	assert.Equal(t, identity.Verified, todo.Call.Status)
	assert.Equal(t, identity.Created, a.Status)
	assert.Nil(t, a.Grant)
	assert.Equal(t, Trying, a.Outbox[0].Awareness)

	assert.Equal(t, InFlight, p.Step(a, webhook(identity.Verified, ""), testTime).Outcome, "while the host is told")

	todo = p.Step(a, &HostSaid{Call: todo.Call, Called: true}, testTime)
	assert.True(t, todo.Changed)
	assert.Equal(t, Applied, todo.Outcome)
	assert.NoError(t, todo.Err)
	assert.Equal(t, identity.Verified, a.Status)
	assert.Equal(t, []int{18}, a.Grant.AgeOver)
	assert.Empty(t, a.Outbox)
	assert.Zero(t, a.Lease)
	assert.Nil(t, a.Token)

	again := p.Step(a, webhook(identity.Verified, ""), testTime)
	assert.Equal(t, Todo{Outcome: Duplicate}, again, "and nothing is written")
}

// What the host said counts for the attempt as it stands then: news that came meanwhile
// is settled before the gate opens.
func TestNewsDuringTheCall(t *testing.T) {
	for _, verdict := range []identity.Status{identity.Verified, identity.Failed} {
		p := testPolicy()
		_, a := testAttempt(p)
		call := p.Step(a, webhook(identity.Verified, ""), testTime).Call
		assert.ErrorIs(t, p.Step(a, webhook(identity.Failed, ""), testTime).Err, ErrInFlight)
		todo := p.Step(a, &HostSaid{Call: call, Called: true}, testTime)
		require.NotNil(t, todo.Ask, "the provider is asked")
		assert.True(t, todo.Changed)
		assert.Equal(t, Aware, a.awaits(identity.Verified).Awareness, "whoever goes on after a crash does not call again")
		assert.Equal(t, identity.Created, a.Status)
		todo = p.Step(a, answer(todo.Ask, verdict), testTime)
		if verdict == identity.Verified {
			assert.Equal(t, Applied, todo.Outcome)
			assert.Equal(t, identity.Verified, a.Status, "without another call")
			continue
		}
		require.NotNil(t, todo.Call)
		assert.Equal(t, identity.Revoked, todo.Call.Status, "since the host knows")
		assert.Equal(t, identity.Revoked, a.Status)
	}
}

// An answer to a question that was asked before something else came up settles nothing.
func TestAnswerThatWasOvertaken(t *testing.T) {
	p := testPolicy()
	p.ConfirmByFetch = true
	_, a := testAttempt(p)
	todo := p.Step(a, webhook(identity.Verified, ""), testTime)
	require.NotNil(t, todo.Ask)
	p.Step(a, webhook(identity.Failed, ""), testTime)
	todo = p.Step(a, answer(todo.Ask, identity.Verified), testTime)
	assert.NotNil(t, todo.Ask, "so it is asked anew")
	assert.Nil(t, todo.Call)
}

// Who has lost the lease changes nothing, and whoever holds one for an entry that is gone
// gives it back.
func TestFenced(t *testing.T) {
	p := testPolicy()
	_, a := testAttempt(p)
	call := p.Step(a, webhook(identity.Verified, ""), testTime).Call
	later := testTime.Add(p.Lease)
	other := p.Step(a, Due{call.Work.Event}, later)
	require.NotNil(t, other.Call)
	assert.Equal(t, Unsure, a.Outbox[0].Awareness, "the first may have told the host")
	assert.Equal(t, other.Call.Work.Event, call.Work.Event, "the same event")
	assert.Equal(t, Todo{Outcome: InFlight, Err: ErrFenced}, p.Step(a, &HostSaid{Call: call, Called: true}, later))
	a.Outbox = nil
	todo := p.Step(a, &HostSaid{Call: other.Call, Called: true}, later)
	assert.ErrorIs(t, todo.Err, ErrFenced)
	assert.True(t, todo.Changed)
	assert.Zero(t, a.Lease)
}

// Step does not change its input, so that it can be taken anew after a conflict.
func TestStepIsRepeatable(t *testing.T) {
	p := testPolicy()
	r, a := testAttempt(p)
	verified := p.Step(a, webhook(identity.Verified, ""), testTime).Call
	refused := &HostSaid{Call: verified, Refusal: &Refusal{Reason: "too_young", Final: true}}
	for range 2 {
		c := *r
		c.Attempts = append([]Attempt(nil), r.Attempts...)
		c.Attempts[0].Outbox = append([]Entry(nil), a.Outbox...)
		todo := p.Step(&c.Attempts[0], refused, testTime)
		require.NotNil(t, todo.Call)
		assert.Equal(t, identity.Failed, todo.Call.Status)
		assert.Equal(t, "too_young", todo.Call.Reason)
		assert.True(t, todo.Call.Final)
		assert.NotEqual(t, verified.Work.Event, todo.Call.Work.Event)
	}
}

// Nothing waits for a time that never comes: whatever was done, what is in the outbox and
// not held is due.
func TestWhatWaitsIsDue(t *testing.T) {
	p := testPolicy()
	_, a := testAttempt(p)
	for _, in := range []Input{
		webhook(identity.Started, ""), webhook(identity.Failed, ""), webhook(identity.Verified, ""), Lapse{}, Refresh{ID: "v1", Returned: true},
	} {
		p.Step(a, in, testTime)
		for range 3 {
			due := p.nextDue(a)
			if len(a.Outbox) == 0 {
				break
			}
			require.Equal(t, TaskTell, due.Task, "%T", in)
			require.False(t, due.At.IsZero())
			todo := p.Step(a, Due{due.Event}, due.At)
			require.True(t, todo.Ask != nil || todo.Call != nil, "%T", in)
			if todo.Call != nil {
				p.Step(a, &HostSaid{Call: todo.Call, Called: true}, due.At)
			} else {
				p.Step(a, answer(todo.Ask, identity.Failed), due.At)
			}
		}
	}
}

// Awareness is what the host may know, whoever tried to tell it.
func TestAwareness(t *testing.T) {
	p := testPolicy()
	begin := func() (*Attempt, *Call) {
		_, a := testAttempt(p)
		return a, p.Step(a, webhook(identity.Verified, ""), testTime).Call
	}
	a, call := begin()
	p.Step(a, &HostSaid{Call: call, Err: ErrCallback}, testTime)
	assert.Equal(t, Unaware, a.Outbox[0].Awareness, "the policy could not tell")
	a, call = begin()
	p.Step(a, &HostSaid{Call: call, Called: true, Err: ErrCallback}, testTime)
	assert.Equal(t, Unsure, a.Outbox[0].Awareness, "the callback failed")
	todo := p.Step(a, Due{1}, testTime.Add(time.Minute))
	p.Step(a, &HostSaid{Call: todo.Call, Err: ErrCallback}, testTime.Add(time.Minute))
	assert.Equal(t, Unsure, a.Outbox[0].Awareness, "it stays unsure, though the second try came to nothing")
	a, call = begin()
	p.ConfirmByFetch = true // a replica with another configuration
	todo = p.Step(a, &HostSaid{Call: call, Called: true}, testTime)
	require.NotNil(t, todo.Ask)
	p.Step(a, &Answer{Ask: todo.Ask, Err: identity.ErrUnavailable}, testTime)
	assert.Equal(t, Aware, a.Outbox[0].Awareness, "told, but not committed")
}

func TestQuietFor(t *testing.T) {
	for says, quiet := range map[time.Duration]time.Duration{
		0: time.Minute, time.Second: 2 * time.Second, 10 * time.Minute: 10 * time.Minute, 100 * time.Hour: time.Hour,
	} {
		d, ok := quietFor(&identity.RateLimitError{RetryAfter: says})
		assert.True(t, ok)
		assert.Equal(t, quiet, d)
	}
	_, ok := quietFor(identity.ErrUnavailable)
	assert.False(t, ok)
}
