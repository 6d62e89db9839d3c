package attempt

import (
	"bytes"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Record is all that the store keeps of one subject.
type Record struct {
	Subject  []byte      // sealed
	Starts   []time.Time // the last attempts, oldest first, for the host's limit
	Attempts []Attempt   // oldest first
	of       SubjectHash
	unknownFields
}

// Attempt is one try of one subject to be verified.
type Attempt struct {
	ID         ID
	Reference  string
	Provider   string
	ProviderID string // the provider's id of the verification; "" until it is learnt
	Status     identity.Status
	Reason     string // why it failed; "" if the provider gives no reason
	Refused    bool   // by the host's policy, or for the document
	RuledOut   bool   // refused, and the subject may not begin another attempt
	Lapsed     bool   // expired because nobody told anything in time
	CreatedAt  time.Time
	BegunAt    time.Time // CreatedAt by the kit's clock
	UpdatedAt  time.Time // of the last change of status
	AskingTo   time.Time // until then, a start is asking the provider for the token
	ExpiresAt  time.Time // of the token; once there is a claim, of what is left to wait for
	Token      []byte    // sealed; gone once it would lead nowhere, or to another verification
	Context    []byte    // sealed Context
	Returned   bool      // the subject came back from the provider
	FetchedAt  time.Time // when the provider was last asked
	RefreshAt  time.Time // when the worker asks the provider next
	Unanswered int64     // how often in a row it did not answer
	QuietUntil time.Time // the provider must not be asked before
	Polled     bool      // the provider told its id at the start, and may tell nothing by itself
	HintAt     time.Time // when the provider is asked because somebody says that there is news
	ClaimID    string    // the verification that a claim presented for this attempt, until it is its own
	ClaimedAt  time.Time // when the user's claim came, until a verdict is overdue
	Seen       []Digest  // of the last webhooks that meant something
	Events     int64     // how many events there have been; numbers them
	Outbox     []Entry   // in the order of their events
	Letters    []Letter  // of which the host will not be told any more
	ListAt     time.Time // when the attempt is entered in the list of dead letters
	Lease      Lease
	Grant      *StoredGrant // what a verified attempt grants
	Kept       []byte       // sealed fields that the host keeps
	Actions    []Action     // what staff have done, oldest first
	ByStaff    bool         // staff have decided: no word of the provider's counts any more
	Reminded   bool         // the host knows, or need not, that the verification will stop to count
	Document   []byte       // the fingerprint of the document, as in the key of its record
	of         SubjectHash
	unknownFields
}

// Lease is the right to call the host about an attempt. Whoever holds it wrote its owner
// number into the record; a holder that finds another number there has lost it.
type Lease struct {
	Owner int64
	Until time.Time
	Event int64 // of the entry that it was taken for
}

// Digest is how much of a webhook's digest is kept: 128 bits.
type Digest [16]byte

// short is as much of a digest as is kept.
func short(digest [32]byte) Digest { return Digest(digest[:len(Digest{})]) }

const (
	// maxSeen bounds the digests kept for an attempt. Dropping the oldest is safe: they
	// only spare the tables a look at what was applied already.
	maxSeen = 16
	// boundLen is how much of the subject's hash stands in the record.
	boundLen = 16
	// MaxFinished is how many finished attempts a record keeps beside those on which
	// something depends, and how many with dead letters.
	MaxFinished = 8
	// MaxStarts is how many starts a record keeps for the host's limit.
	MaxStarts = 32
)

// format is the first byte of every record. A reader refuses another one, which closes
// the gate.
const format = 1

// NewRecord returns the record of a subject of whom nothing is known.
func NewRecord(of SubjectHash) *Record { return &Record{of: of} }

// Of returns whose record it is.
func (r *Record) Of() SubjectHash { return r.of }

// AppendTo writes the record behind out. It begins with the format and a part of the
// subject's hash, so that a record which was copied to another place is not read there.
// The grant comes next, so that the gate reads it without a look at the rest.
func (r *Record) AppendTo(out []byte) []byte {
	c := coder{out: append(out, format)}
	c.out = append(c.out, r.of[:boundLen]...)
	if g := r.stored(); g != nil {
		c.sized(g)
	} else {
		c.out = append(c.out, 0)
	}
	c.message(r)
	return c.out
}

// Decode reads the record of a subject. It keeps parts of b, which nobody may change any
// more. The error wraps [ErrCorrupt] if b is not that.
func Decode(b []byte, of SubjectHash) (*Record, error) {
	_, b, err := splitGrant(b, of)
	if err != nil {
		return nil, err
	}
	r := NewRecord(of)
	if err := decode(b, r); err != nil {
		return nil, err
	}
	for i := range r.Attempts {
		r.Attempts[i].of = of
	}
	return r, nil
}

// DecodeGrant reads the grant of a record and no more. It returns nil if there is none,
// and an error that wraps [ErrCorrupt] if b is not the subject's record.
func DecodeGrant(b []byte, of SubjectHash) (*StoredGrant, error) {
	v, _, err := splitGrant(b, of)
	if err != nil || len(v) == 0 {
		return nil, err
	}
	g := new(StoredGrant)
	if err := decode(v, g); err != nil {
		return nil, err
	}
	if g.VerifiedAt.IsZero() {
		return nil, ErrCorrupt
	}
	return g, nil
}

func splitGrant(b []byte, of SubjectHash) (grant, rest []byte, err error) {
	if len(b) < 1+boundLen || b[0] != format || !bytes.Equal(b[1:1+boundLen], of[:boundLen]) {
		return nil, nil, ErrCorrupt
	}
	return splitSized(b[1+boundLen:])
}

// The tags below are written to stores. One is never used again for something else:
// those of a Record are 1 to 3, of an Attempt 1 to 39, of an Entry 1 to 16, of which 8,
// 12 and 13 are retired, and of a Letter 1 to 8.

func (r *Record) fields(c *coder) {
	c.bytes(1, &r.Subject)
	each(c, 2, &r.Starts, func(t *time.Time) { c.time(2, t) })
	each(c, 3, &r.Attempts, func(a *Attempt) { c.nested(3, a) })
}

func (a *Attempt) fields(c *coder) {
	c.array(1, a.ID[:])
	c.text(2, &a.Reference)
	c.text(3, &a.Provider)
	c.text(4, &a.ProviderID)
	c.text(5, (*string)(&a.Status))
	c.text(6, &a.Reason)
	c.flag(7, &a.Lapsed)
	c.time(8, &a.CreatedAt)
	c.time(9, &a.UpdatedAt)
	c.time(10, &a.AskingTo)
	c.time(11, &a.ExpiresAt)
	c.bytes(12, &a.Token)
	c.bytes(13, &a.Context)
	c.flag(14, &a.Returned)
	c.time(15, &a.FetchedAt)
	c.time(16, &a.RefreshAt)
	each(c, 17, &a.Seen, func(d *Digest) { c.array(17, d[:]) })
	each(c, 18, &a.Outbox, func(e *Entry) { c.nested(18, e) })
	c.int(19, &a.Lease.Owner)
	c.time(20, &a.Lease.Until)
	if c.reading && c.tag == 21 {
		a.Grant = new(StoredGrant)
	}
	if a.Grant != nil {
		c.nested(21, a.Grant)
	}
	c.bytes(22, &a.Kept)
	c.time(23, &a.BegunAt)
	c.int(24, &a.Events)
	c.int(25, &a.Lease.Event)
	each(c, 26, &a.Letters, func(l *Letter) { c.nested(26, l) })
	c.time(27, &a.ListAt)
	c.int(28, &a.Unanswered)
	c.time(29, &a.ClaimedAt)
	c.text(30, &a.ClaimID)
	c.time(31, &a.QuietUntil)
	c.flag(32, &a.Refused)
	c.flag(33, &a.RuledOut)
	each(c, 34, &a.Actions, func(x *Action) { c.nested(34, x) })
	c.flag(35, &a.ByStaff)
	c.flag(36, &a.Reminded)
	c.bytes(37, &a.Document)
	c.flag(38, &a.Polled)
	c.time(39, &a.HintAt)
}

func (e *Entry) fields(c *coder) {
	c.text(1, (*string)(&e.Status))
	c.flag(2, &e.Applied)
	c.flag(3, &e.Fetched)
	c.bytes(4, &e.Notice)
	c.time(5, &e.Since)
	c.int(6, &e.Tries)
	c.time(7, &e.Due)
	c.int(9, &e.Event)
	c.array(10, e.Digest[:])
	c.int(11, &e.Failures)
	c.flag(14, &e.Held)
	c.int(15, (*int64)(&e.Awareness))
	c.flag(16, &e.ByStaff)
}

// Find returns the attempt with this id, or nil.
func (r *Record) Find(id ID) *Attempt {
	return r.first(func(a *Attempt) bool { return a.ID == id })
}

// first returns the first attempt of which is holds, or nil.
func (r *Record) first(is func(*Attempt) bool) *Attempt {
	for i := range r.Attempts {
		if is(&r.Attempts[i]) {
			return &r.Attempts[i]
		}
	}
	return nil
}

// remove takes an attempt out of the record, as if it had never been started.
func (r *Record) remove(id ID) {
	a := r.Find(id)
	if i := slices.IndexFunc(r.Starts, a.CreatedAt.Equal); i >= 0 {
		r.Starts = slices.Delete(r.Starts, i, i+1)
	}
	r.Attempts = slices.DeleteFunc(r.Attempts, func(a Attempt) bool { return a.ID == id })
}

// Prune drops the oldest attempts on which nothing depends any more. Those with dead
// letters do not make place for others.
func (r *Record) Prune() {
	grant := r.stored()
	for _, lettered := range []bool{false, true} {
		idle := func(a Attempt) bool {
			return a.Status.Final() && !a.RuledOut && !r.alone(a.ID, a.Document) && a.ClaimID == "" && len(a.Outbox) == 0 && (grant == nil || a.Grant != grant) && len(a.Letters) > 0 == lettered
		}
		surplus := -MaxFinished
		for _, a := range r.Attempts {
			if idle(a) {
				surplus++
			}
		}
		if surplus <= 0 {
			continue
		}
		// In a copy, since somebody may hold a pointer to an attempt that stays.
		r.Attempts = slices.DeleteFunc(slices.Clone(r.Attempts), func(a Attempt) bool {
			if surplus <= 0 || !idle(a) {
				return false
			}
			surplus--
			return true
		})
	}
}

// Address returns where the attempt is kept.
func (a *Attempt) Address() Address { return Address{a.of, a.ID} }

// Usable reports whether the token of an attempt can still be used.
func (a *Attempt) Usable(now time.Time) bool { return a.Token != nil && now.Before(a.ExpiresAt) }

// WaitsForVerdict reports whether the subject can do nothing about an attempt but wait: they
// have done their part, or may have done it on another device, and there is no verdict.
func (a *Attempt) WaitsForVerdict(now time.Time) bool {
	switch {
	case a.Status.Final():
		return false
	case a.Status == identity.Review, a.Returned, a.ClaimID != "":
		return true
	}
	return a.Status == identity.Started && !a.Usable(now)
}

// leased reports whether somebody holds the lease.
func (a *Attempt) leased(now time.Time) bool {
	return a.Lease.Owner != 0 && now.Before(a.Lease.Until)
}

// RenewLease lets the owner hold the lease until a later time. It reports whether it is
// still the owner's.
func (a *Attempt) RenewLease(owner int64, until time.Time) bool {
	if a.Lease.Owner != owner {
		return false
	}
	a.Lease.Until = until
	return true
}

func (a *Attempt) hasSeen(digest [32]byte) bool {
	return slices.Contains(a.Seen, short(digest))
}

// see remembers a digest.
func (a *Attempt) see(digest [32]byte) {
	if digest == [32]byte{} || a.hasSeen(digest) {
		return
	}
	if len(a.Seen) == maxSeen {
		a.Seen = slices.Delete(a.Seen, 0, 1)
	}
	a.Seen = append(a.Seen, short(digest))
}
