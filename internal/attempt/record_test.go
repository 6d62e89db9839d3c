package attempt

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// encode is the record of a subject as it stands in the store.
func (r *Record) encode(of SubjectHash) []byte {
	c := *r
	c.of = of
	return c.AppendTo(nil)
}

// with is a record as it is read for a subject.
func (r *Record) with(of SubjectHash) *Record {
	r.of = of
	for i := range r.Attempts {
		r.Attempts[i].of = of
	}
	return r
}

// sampleRecord has a value in every field.
func sampleRecord() *Record {
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 1e6, time.UTC) }
	grant := &StoredGrant{Grant: Grant{
		VerifiedAt: at(5), Provider: "okid", DocumentType: "passport",
		DocumentExpiry: identity.Date{Year: 2030, Month: 1, Day: 31}, AgeOver: []int{18, 21},
	}}
	return (&Record{
		Subject: []byte("sealed subject"),
		Starts:  []time.Time{at(0), at(1)},
		Attempts: []Attempt{
			{ID: ID{1}, Reference: "r1", Provider: "okid", Status: identity.Created, CreatedAt: at(0), UpdatedAt: at(0), AskingTo: at(2)},
			{
				ID: ID{2, 0, 0xff}, Reference: "r2", Provider: "okid", ProviderID: "ver_1", Status: identity.Verified,
				Reason: "x", Lapsed: true, CreatedAt: at(1), BegunAt: at(1), UpdatedAt: at(5), Events: 4, ExpiresAt: at(30), Token: []byte("sealed token"),
				Context: []byte("sealed context"), Returned: true, FetchedAt: at(3), RefreshAt: at(7), Unanswered: 2, ClaimedAt: at(2),
				Seen: []Digest{{1}, {2}},
				Outbox: []Entry{
					{Status: identity.Failed, Applied: true, Fetched: true, Notice: []byte("sealed"), Since: at(4), Tries: 3, Failures: 2, Due: at(6), Held: true, Awareness: Unsure, Event: 3, Digest: Digest{1}},
					{Status: identity.Started, Event: 4},
				},
				Lease:   Lease{Owner: -1 << 63, Until: at(9), Event: 4},
				Letters: []Letter{{Event: 2, Reason: DeadCallback, Status: identity.Review, Applied: true, Since: at(3), Failures: 10}},
				ListAt:  at(4),
				Grant:   grant, Kept: []byte("sealed kept"),
			},
		},
	}).with(testHash)
}

func TestRecordRoundTrip(t *testing.T) {
	for name, r := range map[string]*Record{"empty": NewRecord(testHash), "full": sampleRecord()} {
		b := r.encode(testHash)
		got, err := Decode(b, testHash)
		require.NoError(t, err, name)
		assert.Equal(t, r, got, name)
		assert.Equal(t, b, got.encode(testHash), name)
	}
	g, err := DecodeGrant(sampleRecord().encode(testHash), testHash)
	require.NoError(t, err)
	assert.Equal(t, &sampleRecord().Attempts[1].Grant.Grant, &g.Grant)
	g, err = DecodeGrant((&Record{}).encode(testHash), testHash)
	require.NoError(t, err)
	assert.Nil(t, g)
}

// An older version keeps what a newer one wrote, wherever it stands.
func TestRecordKeepsUnknownFields(t *testing.T) {
	r := sampleRecord()
	extra := encode(&Member{Name: "from", Value: "the future"})
	for i := range extra { // the tags 1 and 2 become 101 and 102
		if (extra[i] == 1 || extra[i] == 2) && (i == 0 || i == 6) {
			extra[i] += 100
		}
	}
	r.raw = extra
	r.Attempts[0].raw = extra
	r.Attempts[1].Outbox[0].raw = extra
	r.Attempts[1].Letters[0].raw = extra
	r.Attempts[1].Grant.raw = extra
	b := r.encode(testHash)
	got, err := Decode(b, testHash)
	require.NoError(t, err)
	assert.Equal(t, r, got)
	assert.Equal(t, b, got.encode(testHash))
	assert.Equal(t, 6, bytes.Count(b, []byte("the future")), "each once, and the grant's in front, too")
}

func TestRecordRefused(t *testing.T) {
	good := sampleRecord().encode(testHash)
	start := func() []byte { return append([]byte{format}, testHash[:boundLen]...) }
	for name, b := range map[string][]byte{
		"empty":           {},
		"another format":  append([]byte{format + 1}, good[1:]...),
		"cut off":         good[:len(good)-1],
		"somebody else's": sampleRecord().encode(HashSubject("bob")),
		"grant too long":  append(start(), 200, 1),
		"bad tag":         append(start(), 0, 0xff),
		"bad time":        append(start(), 0, 2, 2, 0xff, 0xff),
		"endless list":    append(append(start(), 0), bytes.Repeat([]byte{3, 0}, maxList+1)...),
	} {
		_, err := Decode(b, testHash)
		assert.ErrorIs(t, err, ErrCorrupt, name)
	}
	for name, b := range map[string][]byte{
		"somebody else's":  sampleRecord().encode(HashSubject("bob")),
		"grant of no time": append(start(), 2, 99, 0),
		"cut off":          good[:20],
	} {
		g, err := DecodeGrant(b, testHash)
		assert.ErrorIs(t, err, ErrCorrupt, name)
		assert.Nil(t, g, name)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add((&Record{}).encode(testHash))
	f.Add(sampleRecord().encode(testHash))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b, testHash)
		if err != nil {
			return
		}
		again, err := Decode(r.encode(testHash), testHash)
		require.NoError(t, err)
		require.Equal(t, r.encode(testHash), again.encode(testHash))
	})
}

func TestPruneKeepsWhatCounts(t *testing.T) {
	r := NewRecord(testHash)
	for i := range 20 {
		r.Attempts = append(r.Attempts, Attempt{ID: ID{byte(i)}, Status: identity.Failed})
	}
	r.Attempts[0].Status, r.Attempts[0].Grant = identity.Verified, &StoredGrant{Grant: Grant{VerifiedAt: time.Unix(1, 0)}}
	r.Attempts[1].Outbox = []Entry{{Status: identity.Verified, Held: true}}
	r.Attempts[3].Letters = []Letter{{Status: identity.Failed}}
	r.Attempts[2].Status = identity.Started
	r.Prune()
	var ids []byte
	for _, a := range r.Attempts {
		ids = append(ids, a.ID[0])
	}
	assert.Equal(t, []byte{0, 1, 2, 3, 12, 13, 14, 15, 16, 17, 18, 19}, ids)
	assert.NotNil(t, r.Grant())
}
