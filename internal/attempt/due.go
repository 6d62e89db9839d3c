package attempt

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Task is something that an attempt waits for.
type Task int

const (
	NoTask      Task = iota
	TaskAbandon      // a start never came back with a token
	TaskTell         // an entry of the outbox is due
	TaskLapse        // nobody told anything in time
	TaskRefresh      // ask the provider
	TaskList         // enter the attempt in the list of dead letters
	TaskOverdue      // a claim has led to no verdict
	TaskClaim        // whoever noted a claim did not use it
	TaskRemind       // a verification will soon stop to count
)

// DueTask is what an attempt waits for next, and until when.
type DueTask struct {
	Task
	Attempt ID
	Event   int64 // to be told
	At      time.Time
}

const (
	// ExpiryGrace is how long after the end of its token an attempt that nobody started
	// counts as expired, for notices that are still on their way.
	ExpiryGrace = 5 * time.Minute
	// claimPatience is how long a claim may stay noted without being used, before that
	// is taken for the sign of a dead process.
	claimPatience = 30 * time.Second
)

// nextDue is what an attempt waits for next.
func (p *Policy) nextDue(a *Attempt) DueTask {
	next := DueTask{Attempt: a.ID}
	earlier := func(t Task, event int64, at time.Time) {
		if !at.IsZero() && (next.Task == NoTask || at.Before(next.At)) {
			next.Task, next.Event, next.At = t, event, at
		}
	}
	earlier(TaskAbandon, 0, a.AskingTo)
	earlier(TaskList, 0, a.ListAt)
	if a.ClaimID != "" {
		earlier(TaskClaim, 0, a.ClaimedAt.Add(claimPatience))
	}
	if a.entry(a.Lease.Event) != nil {
		earlier(TaskTell, a.Lease.Event, a.Lease.Until) // before what came earlier but failed
	}
	for i := range a.Outbox {
		if e := &a.Outbox[i]; !e.Held && !a.overtaken(e) {
			// Also after a lease for an event that is not in the outbox any more.
			earlier(TaskTell, e.Event, latest(e.Due, a.Lease.Until))
		}
	}
	if a.busy() {
		return next
	}
	earlier(TaskRemind, 0, p.remindAt(a))
	if a.ProviderID != "" {
		earlier(TaskRefresh, 0, a.RefreshAt)
		earlier(TaskRefresh, 0, a.HintAt)
	}
	if a.Status.Final() {
		return next
	}
	switch a.Status {
	case identity.Created:
		if !a.ExpiresAt.IsZero() {
			earlier(TaskLapse, 0, a.ExpiresAt.Add(ExpiryGrace))
		}
	case identity.Started:
		earlier(TaskLapse, 0, a.UpdatedAt.Add(p.StartedLimit))
	}
	if !a.ClaimedAt.IsZero() && a.ClaimID == "" {
		earlier(TaskOverdue, 0, a.ClaimedAt.Add(claimLimit))
	}
	return next
}

// latest is the later of two times.
func latest(t, u time.Time) time.Time {
	if t.Before(u) {
		return u
	}
	return t
}

// NextTask returns the first thing in a record that is due at now.
func (p *Policy) NextTask(r *Record, now time.Time) DueTask {
	for i := range r.Attempts {
		if due := p.nextDue(&r.Attempts[i]); due.Task != NoTask && !now.Before(due.At) {
			return due
		}
	}
	return DueTask{}
}

// DueIn returns how long after now a record may be left alone, and 0 for ever.
func (p *Policy) DueIn(r *Record, now time.Time) time.Duration {
	var first time.Time
	for i := range r.Attempts {
		if due := p.nextDue(&r.Attempts[i]); due.Task != NoTask && (first.IsZero() || due.At.Before(first)) {
			first = due.At
		}
	}
	if first.IsZero() {
		return 0
	}
	return max(first.Sub(now), 1)
}

// EventID names the event of an attempt with this number, which stands in the record
// before anybody is told.
func EventID(id ID, number int64) string {
	var buf [64]byte
	b := hex.AppendEncode(append(buf[:0], "okidkit event "...), id[:])
	sum := sha256.Sum256(strconv.AppendInt(append(b, ' '), number, 10))
	return string(lowerBase32.AppendEncode(append(buf[:0], "evt_"...), sum[:15]))
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567")

// backoff is how long to wait before try number tries, counted from 1: from one second,
// doubling, to ten minutes, and up to a quarter longer so that many failures do not come
// back at once. The event's ID draws the lot.
func backoff(id string, tries int64) time.Duration {
	d := 10 * time.Minute
	if tries < 11 {
		d = min(d, time.Second<<(tries-1))
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", id, tries))
	return d + d/4*time.Duration(sum[0])/256
}
