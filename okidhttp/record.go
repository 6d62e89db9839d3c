package okidhttp

import (
	"bytes"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// record is all that the store keeps of one subject.
type record struct {
	subject  []byte      // sealed
	starts   []time.Time // the last attempts, oldest first, for Config.StartLimit
	attempts []attempt   // oldest first
	later
}

// attempt is one try of one subject to be verified.
type attempt struct {
	id         attemptID
	reference  string
	provider   string
	providerID string // the provider's id of the verification; "" until it is learnt
	status     identity.Status
	reason     string // why it failed, if it was not the provider that refused
	byClock    bool   // expired because nobody told anything in time
	createdAt  time.Time
	begunAt    time.Time // createdAt by the kit's clock
	updatedAt  time.Time // of the last change of status
	askingTo   time.Time // until then, a Start is asking the provider for the token
	expiresAt  time.Time // of the token; once there is a claim, of what is left to wait for
	token      []byte    // sealed; gone once it would lead nowhere, or to another verification
	context    []byte    // sealed attemptContext
	returned   bool      // the subject came back from the provider
	fetchedAt  time.Time // when the provider was last asked
	refreshAt  time.Time // when the worker asks the provider next
	unanswered int64     // how often in a row it did not answer
	quietUntil time.Time // the provider must not be asked before
	claimID    string    // the verification that a claim presented for this attempt, until it is its own
	claimedAt  time.Time // when the user's claim came, until a verdict is overdue
	seen       [][digestLen]byte
	events     int64     // how many events there have been; numbers them
	pending    []pending // in the order of their events
	letters    []letter  // of which the host will not be told any more
	listAt     time.Time // when the attempt is entered in the list of dead letters
	lease      lease
	grant      *Grant // what a verified attempt grants
	kept       []byte // sealed fields named in Config.Keep
	later
}

// pending is a notice of which the host has not been told yet.
type pending struct {
	event    int64           // the number of the event that the host is to be told of
	status   identity.Status // what the notice says
	applied  bool            // the attempt has taken it on; only the callback is owed
	fetched  bool            // it was fetched with the secret key
	digest   [digestLen]byte
	notice   []byte // sealed: the verification with its personal fields
	since    time.Time
	tries    int64     // how often somebody has taken the lease for it
	unheard  int64     // how many of these ended before OnVerified was called
	failures int64     // how often the callback failed
	told     bool      // OnVerified has succeeded, but could not be committed
	due      time.Time // of the next try
	held     bool      // it waits for the subject to come back
	later
}

// attemptContext is what the host gave along when the attempt began.
type attemptContext struct {
	returnTo string
	locale   string
	metadata []pair
	later
}

// pair is one member of the host's metadata.
type pair struct {
	name, value string
	later
}

const (
	// digestLen is how much of a notice's digest is kept: 128 bits.
	digestLen = 16
	// maxSeen bounds the digests kept for an attempt. Dropping the oldest is
	// safe: they only spare the state machine a look at what it applied already.
	maxSeen = 16
	// boundLen is how much of the subject's hash stands in the record.
	boundLen = 16
	// maxFinished is how many finished attempts a record keeps beside those on
	// which something depends, and how many with dead letters.
	maxFinished = 8
)

// recordFormat is the first byte of every record. A reader refuses another one,
// which closes the gate.
const recordFormat = 1

// appendTo writes the record of a subject behind out. It begins with the format and a
// part of the subject's hash, so that a record which was copied to another place is not
// read there. The grant comes next, so that the gate reads it without a look at
// the rest.
func (r *record) appendTo(out []byte, of subjectHash) []byte {
	c := coder{out: append(out, recordFormat)}
	c.out = append(c.out, of[:boundLen]...)
	if g := r.grant(); g != nil {
		c.sized(g)
	} else {
		c.out = append(c.out, 0)
	}
	c.message(r)
	return c.out
}

func decodeRecord(b []byte, of subjectHash) (*record, error) {
	_, b, err := splitGrant(b, of)
	if err != nil {
		return nil, err
	}
	r := new(record)
	return r, decode(b, r)
}

// decodeGrant reads the grant of a record and no more; nil if there is none.
func decodeGrant(b []byte, of subjectHash) (*Grant, error) {
	v, _, err := splitGrant(b, of)
	if err != nil || len(v) == 0 {
		return nil, err
	}
	g := new(Grant)
	if err := decode(v, g); err != nil {
		return nil, err
	}
	if g.VerifiedAt.IsZero() {
		return nil, errCorrupt
	}
	return g, nil
}

func splitGrant(b []byte, of subjectHash) (grant, rest []byte, err error) {
	if len(b) < 1+boundLen || b[0] != recordFormat || !bytes.Equal(b[1:1+boundLen], of[:boundLen]) {
		return nil, nil, errCorrupt
	}
	return splitSized(b[1+boundLen:])
}

// The tags below are written to stores: one is never used again for something
// else.

func (r *record) fields(c *coder) {
	c.bytes(1, &r.subject)
	each(c, 2, &r.starts, func(t *time.Time) { c.time(2, t) })
	each(c, 3, &r.attempts, func(a *attempt) { c.nested(3, a) })
}

func (a *attempt) fields(c *coder) {
	c.array(1, a.id[:])
	c.text(2, &a.reference)
	c.text(3, &a.provider)
	c.text(4, &a.providerID)
	c.text(5, (*string)(&a.status))
	c.text(6, &a.reason)
	c.flag(7, &a.byClock)
	c.time(8, &a.createdAt)
	c.time(9, &a.updatedAt)
	c.time(10, &a.askingTo)
	c.time(11, &a.expiresAt)
	c.bytes(12, &a.token)
	c.bytes(13, &a.context)
	c.flag(14, &a.returned)
	c.time(15, &a.fetchedAt)
	c.time(16, &a.refreshAt)
	each(c, 17, &a.seen, func(d *[digestLen]byte) { c.array(17, d[:]) })
	each(c, 18, &a.pending, func(p *pending) { c.nested(18, p) })
	c.int(19, &a.lease.owner)
	c.time(20, &a.lease.until)
	if c.reading && c.tag == 21 {
		a.grant = new(Grant)
	}
	if a.grant != nil {
		c.nested(21, a.grant)
	}
	c.bytes(22, &a.kept)
	c.time(23, &a.begunAt)
	c.int(24, &a.events)
	c.int(25, &a.lease.event)
	each(c, 26, &a.letters, func(l *letter) { c.nested(26, l) })
	c.time(27, &a.listAt)
	c.int(28, &a.unanswered)
	c.time(29, &a.claimedAt)
	c.text(30, &a.claimID)
	c.time(31, &a.quietUntil)
}

func (p *pending) fields(c *coder) {
	c.text(1, (*string)(&p.status))
	c.flag(2, &p.applied)
	c.flag(3, &p.fetched)
	c.bytes(4, &p.notice)
	c.time(5, &p.since)
	c.int(6, &p.tries)
	c.time(7, &p.due)
	c.int(9, &p.event)
	c.array(10, p.digest[:])
	c.int(11, &p.failures)
	c.flag(12, &p.told)
	c.int(13, &p.unheard)
	c.flag(14, &p.held)
}

func (g *Grant) fields(c *coder) {
	c.time(1, &g.VerifiedAt)
	c.text(2, &g.Provider)
	c.text(3, &g.DocumentType)
	c.date(4, &g.DocumentExpiry)
	each(c, 5, &g.AgeOver, func(years *int) { n := int64(*years); c.int(5, &n); *years = int(n) })
}

func (x *attemptContext) fields(c *coder) {
	c.text(1, &x.returnTo)
	c.text(2, &x.locale)
	each(c, 3, &x.metadata, func(p *pair) { c.nested(3, p) })
}

func (p *pair) fields(c *coder) {
	c.text(1, &p.name)
	c.text(2, &p.value)
}

// find returns the attempt with this id, or nil.
func (r *record) find(id attemptID) *attempt {
	return r.first(func(a *attempt) bool { return a.id == id })
}

// first returns the first attempt of which is holds, or nil.
func (r *record) first(is func(*attempt) bool) *attempt {
	for i := range r.attempts {
		if is(&r.attempts[i]) {
			return &r.attempts[i]
		}
	}
	return nil
}

// remove takes an attempt out of the record, as if it had never been started.
func (r *record) remove(id attemptID) {
	a := r.find(id)
	if i := slices.IndexFunc(r.starts, a.createdAt.Equal); i >= 0 {
		r.starts = slices.Delete(r.starts, i, i+1)
	}
	r.attempts = slices.DeleteFunc(r.attempts, func(a attempt) bool { return a.id == id })
}

// grant is what stands of all attempts: that of the latest verified one.
func (r *record) grant() *Grant {
	var latest *Grant
	for i := range r.attempts {
		a := &r.attempts[i]
		if a.status == identity.Verified && a.grant != nil && (latest == nil || !a.grant.VerifiedAt.Before(latest.VerifiedAt)) {
			latest = a.grant
		}
	}
	return latest
}

// prune drops the oldest attempts on which nothing depends any more. Those with
// dead letters do not make place for others.
func (r *record) prune() {
	grant := r.grant()
	for _, lettered := range []bool{false, true} {
		idle := func(a attempt) bool {
			return a.status.Final() && len(a.pending) == 0 && (grant == nil || a.grant != grant) && len(a.letters) > 0 == lettered
		}
		surplus := -maxFinished
		for _, a := range r.attempts {
			if idle(a) {
				surplus++
			}
		}
		if surplus <= 0 {
			continue
		}
		// In a copy, since somebody may hold a pointer to an attempt that stays.
		r.attempts = slices.DeleteFunc(slices.Clone(r.attempts), func(a attempt) bool {
			if surplus <= 0 || !idle(a) {
				return false
			}
			surplus--
			return true
		})
	}
}

// first returns the first pending notice of which is holds, or nil.
func (a *attempt) first(is func(*pending) bool) *pending {
	for i := range a.pending {
		if is(&a.pending[i]) {
			return &a.pending[i]
		}
	}
	return nil
}

// awaits returns the notice with this status that waits for its callback, or nil.
func (a *attempt) awaits(s identity.Status) *pending {
	return a.first(func(p *pending) bool { return p.status == s })
}

// overtaken reports whether the host may have heard of a verification that is newer
// than this news. The news then waits for what becomes of the verification, since it
// must not be the host's last word.
func (a *attempt) overtaken(p *pending) bool {
	v := a.awaits(identity.Verified)
	return p.applied && v != nil && v.event > p.event && (v.told || v.tries > v.unheard)
}

// awaitsEvent reports whether the event with this number is pending.
func (a *attempt) awaitsEvent(number int64) bool {
	return a.first(func(p *pending) bool { return p.event == number }) != nil
}

// replayed reports whether the notice was a dead letter, which keeps nothing of
// what it said.
func (p *pending) replayed() bool { return len(p.notice) == 0 }

// alive reports whether any notice waits for its callback, and for nobody else.
func (a *attempt) alive() bool {
	return a.first(func(p *pending) bool { return !p.held }) != nil
}

// held returns the notice that waits for the subject to come back, or nil.
func (a *attempt) held() *pending { return a.first(func(p *pending) bool { return p.held }) }

// comeBack notes that the subject came back from the provider, which is what held
// notices waited for.
func (a *attempt) comeBack(now time.Time) {
	a.returned = true
	for i := range a.pending {
		if p := &a.pending[i]; p.held {
			p.held, p.due = false, now
		}
	}
}

// contradicted reports whether a notice waits to be settled that says something
// else than verified.
func (a *attempt) contradicted() bool {
	return a.first(func(p *pending) bool { return !p.applied && p.status != identity.Verified }) != nil
}

// drop takes the notices of which is holds off the attempt.
func (a *attempt) drop(is func(*pending) bool) {
	a.pending = slices.DeleteFunc(a.pending, func(p pending) bool { return is(&p) })
}

func (a *attempt) hasSeen(digest [32]byte) bool {
	return slices.Contains(a.seen, short(digest))
}

// see remembers a digest.
func (a *attempt) see(digest [32]byte) {
	if digest == [32]byte{} || a.hasSeen(digest) {
		return
	}
	if len(a.seen) == maxSeen {
		a.seen = slices.Delete(a.seen, 0, 1)
	}
	a.seen = append(a.seen, short(digest))
}

// short is as much of a digest as is kept.
func short(digest [32]byte) [digestLen]byte { return [digestLen]byte(digest[:digestLen]) }
