package attempt

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// DeadReason says why an event became a dead letter. The values are those of
// okidhttp.DeadReason.
type DeadReason string

const (
	DeadCallback      DeadReason = "callback"
	DeadUnaddressable DeadReason = "unaddressable"
	DeadNoVerdict     DeadReason = "no_verdict"
)

// Letter is a dead letter: an event of which the host will not be told any more.
type Letter struct {
	Event    int64
	Reason   DeadReason
	Status   identity.Status
	Applied  bool // the attempt had taken it on
	Since    time.Time
	Failures int64
	Aware    bool // the host may know of this verification, which does not stand
	ByStaff  bool // it is the word of staff
	unknownFields
}

func (l *Letter) fields(c *coder) {
	c.int(1, &l.Event)
	c.text(2, (*string)(&l.Reason))
	c.text(3, (*string)(&l.Status))
	c.flag(4, &l.Applied)
	c.time(5, &l.Since)
	c.int(6, &l.Failures)
	c.flag(7, &l.Aware)
	c.flag(8, &l.ByStaff)
}

// ErrNoLetter is returned if there is no such dead letter, or not any more.
var ErrNoLetter = errors.New("no such dead letter")

// ErrNotReplayable is returned for a dead letter that names no verification which could
// be asked about.
var ErrNotReplayable = errors.New("dead letter names no verification that could be asked about")

// Letter returns the dead letter of the event with this number, or nil.
func (a *Attempt) Letter(event int64) *Letter {
	for i := range a.Letters {
		if a.Letters[i].Event == event {
			return &a.Letters[i]
		}
	}
	return nil
}

// addLetter adds a dead letter, which is to be listed.
func (a *Attempt) addLetter(l Letter) {
	a.Letters = append(a.Letters, l)
	a.ListAt = l.Since
}

func (a *Attempt) dropLetters(is func(*Letter) bool) {
	a.Letters = slices.DeleteFunc(a.Letters, func(l Letter) bool { return is(&l) })
}

// giveUp makes a dead letter of an entry. aware is true if the host may know of the
// verification that it tells of.
func (a *Attempt) giveUp(e *Entry, aware bool, now time.Time) {
	event := e.Event
	a.addLetter(Letter{Event: event, Reason: DeadCallback, Status: e.Status, Applied: e.Applied, Since: now, Failures: e.Failures, Aware: aware, ByStaff: e.ByStaff})
	a.discard(func(other *Entry) bool { return other.Event == event })
}

// gaveUp reports whether a notice with this status became a dead letter before the
// attempt could take it on.
func (a *Attempt) gaveUp(s identity.Status) bool {
	return slices.ContainsFunc(a.Letters, func(l Letter) bool { return !l.Applied && l.Status == s })
}

// approvalGivenUp reports whether a replay would approve the attempt by the word of staff.
func (a *Attempt) approvalGivenUp() bool {
	return slices.ContainsFunc(a.Letters, func(l Letter) bool { return !l.Applied && l.ByStaff })
}

// misinformed reports whether the host may believe in a verification that was given up,
// and of which it would not hear that it does not stand.
func (a *Attempt) misinformed() bool {
	return a.Status == identity.Failed && slices.ContainsFunc(a.Letters, func(l Letter) bool { return l.Aware })
}

// Unaddressable reports whether the user went through with an attempt of which the
// provider has never told.
func (a *Attempt) Unaddressable() bool { return a.Returned && a.ProviderID == "" }

// replay puts a dead letter back into the outbox, and goes on with it.
func (p *Policy) replay(a *Attempt, event int64, now time.Time) Todo {
	l := a.Letter(event)
	switch {
	case l == nil:
		return Todo{Err: ErrNoLetter}
	case l.Reason == DeadUnaddressable:
		return Todo{Err: ErrNotReplayable}
	}
	again := Entry{Event: l.Event, Status: l.Status, Applied: l.Applied, Since: now, Due: now, ByStaff: l.ByStaff}
	if l.Aware {
		again.Awareness = Unsure
	}
	late := l.Applied && l.Status != a.Status && !(l.Status == Expiring && a.Status == identity.Verified)
	if a.leased(now) || a.overtaken(&again) {
		return Todo{Outcome: InFlight, Err: ErrInFlight}
	}
	a.dropLetters(func(l *Letter) bool { return l.Event == event })
	if late {
		return Todo{Changed: true, Err: fmt.Errorf("%w: the attempt is %s meanwhile", ErrNoLetter, a.Status)}
	}
	a.Outbox = append(a.Outbox, again)
	slices.SortFunc(a.Outbox, func(e, f Entry) int { return cmp.Compare(e.Event, f.Event) })
	w := p.takeLease(a, a.entry(event), now)
	return changed(p.proceed(a, w, now))
}
