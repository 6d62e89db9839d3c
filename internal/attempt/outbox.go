package attempt

import (
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Entry is an event of which the host has not been told yet, or that must be settled
// first. It stays in the outbox until that is done.
type Entry struct {
	Event     int64           // the number of the event
	Status    identity.Status // what the notice says
	Applied   bool            // the attempt has taken it on; only the callback is owed
	Fetched   bool            // it was fetched with the secret key
	Digest    Digest
	Notice    []byte // sealed: the verification with its personal fields; "" if it was replayed
	Since     time.Time
	Tries     int64     // how often somebody has taken the lease for it
	Failures  int64     // how often the callback failed
	Due       time.Time // of the next try
	Held      bool      // it waits for the subject to come back
	Awareness Awareness
	ByStaff   bool // it is the word of staff, of which nobody is asked
	unknownFields
}

// Awareness is what the host may know of a verification in the outbox.
type Awareness int64

const (
	// Unaware: the host has not been told.
	Unaware Awareness = iota
	// Trying: whoever holds the lease, or died with it, may have told the host. An
	// earlier one has not.
	Trying
	// Unsure: the host was told and did not say that it knows, or somebody died who may
	// have told it.
	Unsure
	// Aware: the host knows, though that is not committed.
	Aware
)

// entry returns the entry of the event with this number, or nil.
func (a *Attempt) entry(event int64) *Entry {
	return a.firstEntry(func(e *Entry) bool { return e.Event == event })
}

// firstEntry returns the first entry of which is holds, or nil.
func (a *Attempt) firstEntry(is func(*Entry) bool) *Entry {
	for i := range a.Outbox {
		if is(&a.Outbox[i]) {
			return &a.Outbox[i]
		}
	}
	return nil
}

// awaits returns the entry with this status, or nil.
func (a *Attempt) awaits(s identity.Status) *Entry {
	return a.firstEntry(func(e *Entry) bool { return e.Status == s })
}

// discard takes the entries of which is holds out of the outbox.
func (a *Attempt) discard(is func(*Entry) bool) {
	a.Outbox = slices.DeleteFunc(a.Outbox, func(e Entry) bool { return is(&e) })
}

// isOf reports whether a notice is the one in the entry, delivered again.
func (e *Entry) isOf(n *identity.Notice) bool {
	return n.Digest != [32]byte{} && e.Digest == short(n.Digest)
}

// replayed reports whether the entry was a dead letter, which keeps nothing of what it
// said.
func (e *Entry) replayed() bool { return len(e.Notice) == 0 }

// overtaken reports whether the host may have heard of a verification that is newer than
// this news. The news then waits for what becomes of the verification, since it must not
// be the host's last word.
func (a *Attempt) overtaken(e *Entry) bool {
	v := a.awaits(identity.Verified)
	return e.Applied && v != nil && v.Event > e.Event && v.Awareness != Unaware
}

// busy reports whether any entry waits for its callback, and for nobody else.
func (a *Attempt) busy() bool {
	return a.firstEntry(func(e *Entry) bool { return !e.Held }) != nil
}

// Holding reports whether a verification waits for the subject to come back.
func (a *Attempt) Holding() bool {
	return a.firstEntry(func(e *Entry) bool { return e.Held }) != nil
}

// contradicted reports whether an entry waits to be settled that says something else
// than verified.
func (a *Attempt) contradicted() bool {
	return a.firstEntry(func(e *Entry) bool { return !e.Applied && e.Status != identity.Verified }) != nil
}

// markReturned notes that the subject came back from the provider, which is what held
// entries waited for.
func (a *Attempt) markReturned(now time.Time) {
	a.Returned = true
	for i := range a.Outbox {
		if e := &a.Outbox[i]; e.Held {
			e.Held, e.Due = false, now
		}
	}
}

// mayKnow reports whether the host may have heard of a verification that was never
// committed, so that a failure must reach it as a revocation. Whoever works on that
// verification knows whether its own try has come to the call.
func (a *Attempt) mayKnow(w *Work) bool {
	e := a.awaits(identity.Verified)
	switch {
	case a.misinformed():
		return true
	case e == nil:
		return false
	case e.Event == w.Event:
		return w.told || w.called || e.Awareness > Trying
	}
	return w.told || e.Awareness != Unaware
}

// takeLease gives whoever writes the attempt next the lease for an entry.
func (p *Policy) takeLease(a *Attempt, e *Entry, now time.Time) Work {
	e.Tries++
	if e.Awareness < Unsure {
		e.Awareness++
	}
	a.Lease = Lease{Owner: p.NewOwner(), Until: now.Add(p.Lease), Event: e.Event}
	return Work{Owner: a.Lease.Owner, Event: e.Event}
}
