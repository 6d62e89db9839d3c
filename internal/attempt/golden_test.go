package attempt

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goldenRecord is what testdata/record.hex says, without what is sealed.
func goldenRecord() *Record {
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 1e6, time.UTC) }
	return (&Record{
		Starts: []time.Time{at(0), at(1)},
		Attempts: []Attempt{
			{
				ID: ID{1}, Provider: "okid", Status: identity.Created,
				CreatedAt: at(0), BegunAt: at(0), UpdatedAt: at(0), AskingTo: at(2),
			},
			{
				ID: ID{2, 0, 0xff}, Provider: "okid", ProviderID: "ver_1", Status: identity.Verified,
				Reason: "policy", Lapsed: true, CreatedAt: at(1), BegunAt: at(1), UpdatedAt: at(5), ExpiresAt: at(30),
				Returned: true, FetchedAt: at(3), RefreshAt: at(7), Unanswered: 2, ClaimedAt: at(2), Events: 5,
				Seen: []Digest{{1}, {2}},
				Outbox: []Entry{
					{
						Status: identity.Failed, Applied: true, Fetched: true, Digest: Digest{1}, Since: at(4),
						Tries: 3, Failures: 2, Due: at(6), Held: true, Awareness: Aware, Event: 4,
					},
					{Status: identity.Started, Event: 5},
				},
				Letters: []Letter{{Event: 2, Reason: DeadCallback, Status: identity.Review, Applied: true, Since: at(3), Failures: 10}},
				ListAt:  at(4),
				Lease:   Lease{Owner: -1 << 63, Until: at(9), Event: 4},
				Grant: &StoredGrant{Grant: Grant{
					VerifiedAt: at(5), Provider: "okid", DocumentType: "passport",
					DocumentExpiry: identity.Date{Year: 2030, Month: 1, Day: 31}, AgeOver: []int{18, 21},
				}},
			},
		},
	}).with(testHash)
}

var goldenContext = Context{ReturnTo: "/cellar", Locale: "sv-SE", Metadata: []Member{{Name: "order", Value: "7"}}}

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
	r, err := Decode(b, testHash)
	require.NoError(t, err)
	g, err := DecodeGrant(b, testHash)
	require.NoError(t, err)
	assert.Equal(t, &goldenRecord().Attempts[1].Grant.Grant, &g.Grant)
	assert.Equal(t, b, r.encode(testHash), "written back, it is the same")

	p := testPolicy()
	subject, err := p.OpenSubject(r)
	require.NoError(t, err)
	assert.Equal(t, "alice", subject)
	a := &r.Attempts[1]
	token, err := p.OpenToken(a)
	require.NoError(t, err)
	assert.Equal(t, "tok_1", token)
	assert.Equal(t, goldenContext, p.OpenContext(a))
	v, err := p.openNotice(a, &a.Outbox[0])
	require.NoError(t, err)
	assert.Equal(t, goldenVerification(), v)
	v, err = p.OpenKept(a)
	require.NoError(t, err)
	assert.Equal(t, identity.Verification{ID: "ver_1", Status: identity.Verified, FirstName: person.FirstName}, v)
	r.Subject, a.Token, a.Context, a.Outbox[0].Notice, a.Kept = nil, nil, nil, nil, nil
	assert.Equal(t, goldenRecord(), r)
}
