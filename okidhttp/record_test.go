package okidhttp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

var testHash = hashSubject("alice")

// encode is the record of a subject as it stands in the store.
func (r *record) encode(of subjectHash) []byte { return r.appendTo(nil, of) }

// sampleRecord has a value in every field.
func sampleRecord() *record {
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 1e6, time.UTC) }
	grant := &Grant{
		VerifiedAt: at(5), Provider: "okid", DocumentType: "passport",
		DocumentExpiry: identity.Date{Year: 2030, Month: 1, Day: 31}, AgeOver: []int{18, 21},
	}
	return &record{
		subject: []byte("sealed subject"),
		starts:  []time.Time{at(0), at(1)},
		attempts: []attempt{
			{id: attemptID{1}, reference: "r1", provider: "okid", status: identity.Created, createdAt: at(0), updatedAt: at(0), askingTo: at(2)},
			{
				id: attemptID{2, 0, 0xff}, reference: "r2", provider: "okid", providerID: "ver_1", status: identity.Verified,
				reason: "x", byClock: true, createdAt: at(1), begunAt: at(1), updatedAt: at(5), events: 4, expiresAt: at(30), token: []byte("sealed token"),
				context: []byte("sealed context"), returned: true, fetchedAt: at(3), refreshAt: at(7), unanswered: 2, claimedAt: at(2),
				seen: [][digestLen]byte{{1}, {2}},
				pending: []pending{
					{status: identity.Failed, applied: true, fetched: true, notice: []byte("sealed"), since: at(4), tries: 3, failures: 2, unheard: 1, told: true, due: at(6), held: true, event: 3, digest: [digestLen]byte{1}},
					{status: identity.Started, event: 4},
				},
				lease:   lease{owner: -1 << 63, until: at(9), event: 4},
				letters: []letter{{event: 2, reason: DeadCallback, status: identity.Review, applied: true, since: at(3), failures: 10}},
				listAt:  at(4),
				grant:   grant, kept: []byte("sealed kept"),
			},
		},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, r := range map[string]*record{"empty": {}, "full": sampleRecord()} {
		b := r.encode(testHash)
		got, err := decodeRecord(b, testHash)
		require.NoError(t, err, name)
		assert.Equal(t, r, got, name)
		assert.Equal(t, b, got.encode(testHash), name)
	}
	g, err := decodeGrant(sampleRecord().encode(testHash), testHash)
	require.NoError(t, err)
	assert.Equal(t, sampleRecord().attempts[1].grant, g)
	g, err = decodeGrant((&record{}).encode(testHash), testHash)
	require.NoError(t, err)
	assert.Nil(t, g)
}

// An older version keeps what a newer one wrote, wherever it stands.
func TestRecordKeepsUnknownFields(t *testing.T) {
	r := sampleRecord()
	extra := encode(&pair{name: "from", value: "the future"})
	for i := range extra { // the tags 1 and 2 become 101 and 102
		if (extra[i] == 1 || extra[i] == 2) && (i == 0 || i == 6) {
			extra[i] += 100
		}
	}
	r.raw = extra
	r.attempts[0].raw = extra
	r.attempts[1].pending[0].raw = extra
	r.attempts[1].letters[0].raw = extra
	r.attempts[1].grant.raw = extra
	b := r.encode(testHash)
	got, err := decodeRecord(b, testHash)
	require.NoError(t, err)
	assert.Equal(t, r, got)
	assert.Equal(t, b, got.encode(testHash))
	assert.Equal(t, 6, bytes.Count(b, []byte("the future")), "each once, and the grant's in front, too")
}

func TestRecordRefused(t *testing.T) {
	good := sampleRecord().encode(testHash)
	start := func() []byte { return append([]byte{recordFormat}, testHash[:boundLen]...) }
	for name, b := range map[string][]byte{
		"empty":           {},
		"another format":  append([]byte{recordFormat + 1}, good[1:]...),
		"cut off":         good[:len(good)-1],
		"somebody else's": sampleRecord().encode(hashSubject("bob")),
		"grant too long":  append(start(), 200, 1),
		"bad tag":         append(start(), 0, 0xff),
		"bad time":        append(start(), 0, 2, 2, 0xff, 0xff),
		"endless list":    append(append(start(), 0), bytes.Repeat([]byte{3, 0}, maxList+1)...),
	} {
		_, err := decodeRecord(b, testHash)
		assert.ErrorIs(t, err, errCorrupt, name)
	}
	for name, b := range map[string][]byte{
		"somebody else's":  sampleRecord().encode(hashSubject("bob")),
		"grant of no time": append(start(), 2, 99, 0),
		"cut off":          good[:20],
	} {
		g, err := decodeGrant(b, testHash)
		assert.ErrorIs(t, err, errCorrupt, name)
		assert.Nil(t, g, name)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add((&record{}).encode(testHash))
	f.Add(sampleRecord().encode(testHash))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b, testHash)
		if err != nil {
			return
		}
		again, err := decodeRecord(r.encode(testHash), testHash)
		require.NoError(t, err)
		require.Equal(t, r.encode(testHash), again.encode(testHash))
	})
}

// Whatever a subject does, the record stays small.
func TestRecordStaysSmall(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.StartLimit = AtMost(32, time.Second)
		c.Metadata = nil
	})
	words := []identity.Status{identity.Started, identity.Review, identity.Failed, identity.Expired, identity.Verified}
	random := rand.New(rand.NewPCG(1, 2))
	largest := 0
	for i := range 300 {
		rec := w.tryStart("alice", "return_to", "/"+strings.Repeat("x", random.IntN(100)))
		if rec.Code == 201 {
			attempts := w.record("alice").attempts
			ref := attempts[len(attempts)-1].reference
			w.provider.answer(ref, ref[:20], words[random.IntN(len(words))])
			for range random.IntN(4) {
				w.webhook(notice{Reference: ref, ID: ref[:20], Status: words[random.IntN(4)]})
			}
		}
		w.later(time.Duration(random.IntN(48)) * time.Hour)
		size := len(w.record("alice").encode(testHash))
		largest = max(largest, size)
		require.LessOrEqual(t, len(w.record("alice").starts), maxStarts, i)
	}
	assert.Less(t, largest, 32<<10)
	t.Logf("largest record: %d bytes", largest)
}

func TestPruneKeepsWhatCounts(t *testing.T) {
	r := new(record)
	for i := range 20 {
		r.attempts = append(r.attempts, attempt{id: attemptID{byte(i)}, status: identity.Failed})
	}
	r.attempts[0].status, r.attempts[0].grant = identity.Verified, &Grant{VerifiedAt: time.Unix(1, 0)}
	r.attempts[1].pending = []pending{{status: identity.Verified, held: true}}
	r.attempts[3].letters = []letter{{status: identity.Failed}}
	r.attempts[2].status = identity.Started
	r.prune()
	var ids []byte
	for _, a := range r.attempts {
		ids = append(ids, a.id[0])
	}
	assert.Equal(t, []byte{0, 1, 2, 3, 12, 13, 14, 15, 16, 17, 18, 19}, ids)
	assert.NotNil(t, r.grant())
}

// A date that is none, as a provider may send, does not make the record unreadable. It
// stays one that cannot be read, and does not become one that is not there.
func TestRecordKeepsUnreadableDates(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AllowExpiredDocument = true })
	a := w.start("alice").Attempt
	at, err := w.kit.keys.openReference(a)
	require.NoError(t, err)
	n := identity.Notice{Provider: "fake", Reference: a}
	n.Verification = identity.Verification{ID: "v1", Status: identity.Verified, DocumentExpiry: identity.Date{Year: 2030}}
	_, err = w.kit.deliver(t.Context(), at, n, fromWebhook, "")
	require.NoError(t, err)
	assert.Equal(t, 200, w.gate("alice"))
	g, err := w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.True(t, g.DocumentExpiry.Unreadable())
}

// Dead letters go with the attempts that they belong to.
func TestDeadLettersDoNotPileUp(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.StartLimit = AtMost(maxStarts, time.Hour) })
	w.host.failing(func(Event) error { return Permanent(errors.New("no such user")) })
	for i := range 3 * maxFinished {
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: strconv.Itoa(i), Status: identity.Failed}))
		w.clock.add(10 * time.Minute)
	}
	assert.Len(t, w.record("alice").attempts, maxFinished)
}
