package attempt

import (
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Claim is a verification that a subject has claimed, authentic.
type Claim struct {
	Provider string
	ID       string // the provider's id of the verification
	Wanted   ID     // the attempt that it is for; zero: not said
}

// Claimed returns the attempt that has the verification, or nil.
func (c *Claim) Claimed(r *Record) *Attempt {
	return r.first(func(a *Attempt) bool { return a.Provider == c.Provider && a.ProviderID == c.ID })
}

// Noted returns the attempt that is to have the verification, or nil.
func (c *Claim) Noted(r *Record) *Attempt {
	return r.first(func(a *Attempt) bool { return a.Provider == c.Provider && a.ClaimID == c.ID })
}

// Open returns the attempt that the claim belongs to, or nil: the wanted one, or the
// last.
func (c *Claim) Open(r *Record) *Attempt {
	var last *Attempt
	for i := range r.Attempts {
		a := &r.Attempts[i]
		if a.Provider != c.Provider || a.ProviderID != "" || a.ClaimID != "" || a.ByStaff || a.Status != identity.Created && !a.Lapsed {
			continue
		}
		if last = a; a.ID == c.Wanted {
			break
		}
	}
	return last
}

// Note writes down that an attempt is to have the verification.
func (c *Claim) Note(a *Attempt, now time.Time) {
	a.ClaimID, a.ClaimedAt, a.FetchedAt = c.ID, now, now
}

// Forget takes back what was noted of a verification that is somebody else's. It reports
// whether there was anything to take back.
func (c *Claim) Forget(r *Record, id ID) bool {
	a := r.Find(id)
	if a == nil || a.ClaimID != c.ID {
		return false
	}
	a.ClaimID, a.ClaimedAt = "", time.Time{}
	if a.unheardOf() && a.AskingTo.IsZero() {
		r.remove(id)
	}
	return true
}

// claimed gives the attempt the verification, if that is still to be done, and takes what
// the provider said of it. What is left to wait for is the verdict, and for that there is
// as much time as after a start that the provider told of.
func (p *Policy) claimed(a *Attempt, in *Claimed, now time.Time) Todo {
	var todo Todo
	var src source
	if in.Answer != nil {
		src = a.sourceOf(in.Answer)
	}
	if a.ClaimID == in.ID {
		todo.Changed = true
		if a.Lapsed { // the user was slow, but is not gone
			a.Status, a.Lapsed, a.UpdatedAt = identity.Created, false, now
			a.Events++
		}
		a.ClaimID = ""
		a.Token = nil // it would lead to another verification
		a.ExpiresAt = now.Add(p.StartedLimit)
		a.ClaimedAt, a.FetchedAt = now, now
		a.markReturned(now)
		p.learn(a, in.ID, now)
	}
	if in.Answer == nil {
		return todo
	}
	next := p.refreshed(a, in.Answer, src, now)
	next.Changed = next.Changed || todo.Changed
	return next
}
