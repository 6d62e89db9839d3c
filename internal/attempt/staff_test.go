package attempt

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

var bySam = &StaffWord{Actor: "sam", Reason: "Passport seen at the counter."}

// Staff approve anew while somebody who may have told the host of their first word has died.
// What withdraws the second takes the first back, too.
func TestRevokeAfterTwoApprovals(t *testing.T) {
	p := testPolicy()
	r, a := testAttempt(p)
	p.Approve(a, bySam, testTime)
	require.NotNil(t, p.Step(a, Due{Event: a.Outbox[0].Event}, testTime).Call)
	p.Approve(a, bySam, testTime)
	require.Len(t, a.Outbox, 1)
	assert.Equal(t, []ID{a.ID}, p.Revoke(r, bySam, testTime))
	assert.Equal(t, identity.Revoked, a.Status)
	assert.Equal(t, identity.Revoked, a.Outbox[0].Status)
}

// An approval that was given up would come back by a replay, so it is withdrawn like one that
// waits.
func TestRevokeOfAnApprovalThatWasGivenUp(t *testing.T) {
	for _, called := range []bool{true, false} {
		p := testPolicy()
		r, a := testAttempt(p)
		p.Approve(a, bySam, testTime)
		call := p.Step(a, Due{Event: a.Outbox[0].Event}, testTime).Call
		todo := p.Step(a, &HostSaid{Call: call, Called: called, Err: ErrCallback, Permanent: true}, testTime)
		require.Equal(t, DeadLetter, todo.Outcome)
		require.Len(t, a.Letters, 1)
		event := a.Letters[0].Event

		assert.Equal(t, []ID{a.ID}, p.Revoke(r, bySam, testTime))
		want := identity.Failed
		if called {
			want = identity.Revoked
		}
		assert.Equal(t, want, a.Status)
		assert.Equal(t, want, a.Outbox[0].Status)
		assert.ErrorIs(t, p.Step(a, Replay{Event: event}, testTime).Err, ErrNoLetter)
		assert.Nil(t, r.Grant())
		assert.Empty(t, p.Revoke(r, bySam, testTime), "once")
	}
}
