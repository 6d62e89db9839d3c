package attempt

import (
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// StaffProvider is the provider of a grant that rests on the word of the host's staff.
const StaffProvider = "staff"

// ReasonStaff is the reason of what the host's staff have decided.
const ReasonStaff = "staff"

// The things that staff can do.
const (
	ActionRevoke     = "revoke"
	ActionApprove    = "approve"
	ActionResetLimit = "reset_limit"
)

// maxActions bounds how many actions of staff an attempt remembers. The oldest go first.
const maxActions = 8

// Action is something that staff have done, in the record.
type Action struct {
	Action string
	At     time.Time
	Said   []byte // sealed StaffWord
	unknownFields
}

func (x *Action) fields(c *coder) {
	c.text(1, &x.Action)
	c.time(2, &x.At)
	c.bytes(3, &x.Said)
}

// StaffWord is who acts, and why.
type StaffWord struct {
	Actor, Reason string
	unknownFields
}

func (w *StaffWord) fields(c *coder) {
	c.text(1, &w.Actor)
	c.text(2, &w.Reason)
}

// note adds what staff have done to the history of an attempt.
func (p *Policy) note(a *Attempt, action string, by *StaffWord, now time.Time) {
	if len(a.Actions) == maxActions {
		a.Actions = slices.Delete(a.Actions, 0, 1)
	}
	a.Actions = append(a.Actions, Action{Action: action, At: now, Said: p.Sealer.Seal(sealStaff, a.Address().Place(), encode(by))})
}

// OpenAction returns who did something, and why. Both are empty if the key is gone.
func (p *Policy) OpenAction(a *Attempt, x *Action) StaffWord {
	var w StaffWord
	plain, err := p.Sealer.Open(sealStaff, a.Address().Place(), x.Said)
	if err != nil || decode(plain, &w) != nil {
		return StaffWord{}
	}
	return w
}

// Revoke withdraws whatever verification of a subject stands, waits to or was given up, and keeps what
// is finished as it is, so that no old word of the provider's undoes it. It returns the
// addresses of what it has withdrawn. Attempts that are under way go on.
func (p *Policy) Revoke(r *Record, by *StaffWord, now time.Time) (revoked []ID) {
	for i := range r.Attempts {
		a := &r.Attempts[i]
		stands := a.Status == identity.Verified || a.awaits(identity.Verified) != nil || a.misinformed() || a.approvalGivenUp()
		if !stands {
			a.ByStaff = a.ByStaff || a.Status.Final() && a.ClaimID == "" // else somebody is claiming it
			continue
		}
		next := identity.Failed
		if a.Status == identity.Verified || a.mayKnow(&Work{}) {
			next = identity.Revoked
		}
		v := &identity.Verification{ID: a.ProviderID, Status: next}
		a.discard(func(e *Entry) bool { return !e.Applied })
		a.dropLetters(func(l *Letter) bool { return !l.Applied }) // no replay undoes it
		p.setStatus(a, next, v, now)
		a.ByStaff, a.Reason = true, ReasonStaff
		p.note(a, ActionRevoke, by, now)
		p.queue(a, Entry{Status: next, Applied: true, ByStaff: true}, v, now)
		revoked = append(revoked, a.ID)
	}
	return revoked
}

// Approve lets an attempt be verified by the word of staff. The gate opens when the host
// knows.
func (p *Policy) Approve(a *Attempt, by *StaffWord, now time.Time) {
	v := &identity.Verification{ID: a.ProviderID, Status: identity.Verified}
	e := Entry{Status: identity.Verified, ByStaff: true}
	if a.mayKnow(&Work{}) {
		e.Awareness = Unsure // of a verification, and a revocation must take back either
	}
	a.discard(func(e *Entry) bool { return !e.Applied })
	a.ByStaff = true
	p.note(a, ActionApprove, by, now)
	if !p.Hears[identity.Verified] {
		a.Events++
		p.setStatus(a, identity.Verified, v, now)
		return
	}
	p.queue(a, e, v, now)
}

// queue adds an event to the outbox, if the host hears of it.
func (p *Policy) queue(a *Attempt, e Entry, v *identity.Verification, now time.Time) {
	a.Events++
	if !p.Hears[e.Status] {
		return
	}
	e.Event, e.Since, e.Due, e.Notice = a.Events, now, now, p.sealNotice(a, v)
	a.Outbox = append(a.Outbox, e)
}

// Approvable returns the attempt that staff would approve, or nil if that takes a new one.
func (r *Record) Approvable() *Attempt {
	if last := r.Last(); last != nil && last.Status != identity.Verified && last.Status != identity.Revoked {
		return last
	}
	return nil
}

// ResetLimit forgets the starts of a subject, and lifts what rules out another one. It
// reports whether there was anything to do.
func (p *Policy) ResetLimit(r *Record, by *StaffWord, now time.Time) bool {
	reset := len(r.Starts) > 0
	r.Starts = nil
	for i := range r.Attempts {
		reset = reset || r.Attempts[i].RuledOut
		r.Attempts[i].RuledOut = false
	}
	if last := r.Last(); last != nil && reset {
		p.note(last, ActionResetLimit, by, now)
	}
	return reset
}
