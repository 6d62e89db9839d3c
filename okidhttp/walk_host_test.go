package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// told are the statuses that a host can have a callback for.
var told = []identity.Status{
	identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired, identity.Revoked,
}

// allCallbacks is a bit for each of them.
const allCallbacks = 1<<6 - 1

// hostModel is the app of a walk: what it does when it is called, and what it knows.
type hostModel struct {
	stories []*story // of the attempts, in the order in which they became known
	erasing []string // the users who are to be erased

	// How often each user was erased, and when last.
	erasures map[string]int
	erasedAt map[string]time.Time
}

func newHostModel() hostModel {
	return hostModel{erasures: map[string]int{}, erasedAt: map[string]time.Time{}}
}

// story is what happened around one attempt.
type story struct {
	reference string
	user      string
	provider  string

	// What the host knows: it takes an event in once.
	events map[string]identity.Status
	last   identity.Status
	open   bool // it lets the user in
	late   bool // it was called by a process that had slept past its lease
	said   map[string]telling

	accepted, refused bool // by the host's policy
	returned          bool // the user came back,
	back              bool // and was there until the answer came
	verifiedAt        int  // in the trace
	lettered          bool // it had a dead letter once
	dropped           bool // somebody dropped a dead letter
	erased            bool
}

func (s *story) String() string { return s.user + "'s " + s.reference[len(s.reference)-6:] }

// telling is a call of the host that succeeded.
type telling struct {
	status identity.Status
	op     *operation
	faults int // of the operation until then
}

// story is that of the attempt with this reference.
func (w *walk) story(reference string) *story {
	for _, s := range w.stories {
		if s.reference == reference {
			return s
		}
	}
	s := &story{reference: reference, events: map[string]identity.Status{}, said: map[string]telling{}}
	w.stories = append(w.stories, s)
	return s
}

// configure gives a kit the host's functions.
func (w *walk) configure(c *Config) {
	callbacks := []*func(context.Context, Event) error{&c.OnStarted, &c.OnReview, &c.OnVerified, &c.OnFailed, &c.OnExpired, &c.OnRevoked}
	for i, f := range callbacks {
		*f = nil
		if w.callbacks&(1<<i) != 0 {
			*f = w.told
		}
	}
	if w.policy {
		c.Decide = w.decide
	}
	if w.flaw.host != nil {
		w.flaw.host(w, c)
	}
}

// has reports whether the host has a callback for a status.
func (w *walk) has(s identity.Status) bool {
	for i, with := range told {
		if with == s {
			return w.callbacks&(1<<i) != 0
		}
	}
	return false
}

// call is that one attempt is called about, until it is over. It reports whether the
// process may have slept past its lease.
func (w *walk) call(e Event) (s *story, late bool) {
	s, op := w.story(e.Attempt), w.running
	late = w.overran(op) // while it was about to call: nobody can prevent that
	s.late = s.late || late
	for _, other := range w.underWay {
		if other != op && other.calling == e.Attempt && !other.dead && !w.overran(other) && !late {
			w.problem("the host is told of %s while it is being told already", e.Status)
		}
	}
	if e.Subject != s.user {
		w.problem("the host is told of %s about %q", s, e.Subject)
	}
	return s, late
}

// lasts lets a call last.
func (w *walk) lasts(s *story) {
	op := w.running
	op.calling = s.reference
	defer func() { op.calling = "" }()
	for range 3 {
		w.rest()
	}
}

var errTooYoung = Refuse("too_young")

// decide is the host's policy. It does not change its mind.
func (w *walk) decide(_ context.Context, e Event) error {
	s, _ := w.call(e)
	v := w.verification(e.Verification.ID)
	if e.Status != identity.Verified || e.Verification.Status != identity.Verified {
		w.problem("the policy is asked about somebody who is %s", e.Verification.Status)
	}
	unsure := w.chance(0.3)
	w.tell("policy about %s: refuses %v, unsure %v", s, v.unwanted, unsure)
	w.lasts(s)
	if unsure {
		switch pick(w, 0, 1, 2) {
		case 0:
			panic("the host's policy is away")
		case 1:
			return fmt.Errorf("policy: %w", context.DeadlineExceeded)
		}
		return errors.New("the host's policy is away")
	}
	if v.unwanted {
		s.refused = true
		return errTooYoung
	}
	s.accepted = true
	return nil
}

// told is every callback. Whether it has an effect shows at once, what it returns
// later; a failure may have had its effect.
func (w *walk) told(_ context.Context, e Event) error {
	s, late := w.call(e)
	op := w.running
	comesAgain := e.Status == identity.Review || e.Status == identity.Expired || e.Status == identity.Started && s.provider == "claims"
	for id, before := range s.said {
		if id != e.ID && before.status == e.Status && !comesAgain && e.Reason == "" && !s.refused && !s.lettered {
			w.problem("the host is told of %s as two events", e.Status)
		}
	}
	if before, ok := s.said[e.ID]; ok && before.op.faults == before.faults && !w.overran(before.op) && !late {
		w.problem("the host is told twice of %s", e.Status)
	}
	if l := op.replays; l.ID != "" && l.Attempt == e.Attempt && l.Status == e.Status && l.ID != e.ID && !s.late {
		w.problem("a dead letter about %s is replayed as another event", e.Status)
	}
	if e.Status == identity.Verified && e.Reason != ReasonStaff && w.verification(e.Verification.ID).unfit {
		w.problem("the host is told of verified though the document does not count")
	}
	if e.Status == identity.Verified && e.Reason != ReasonStaff && w.policy && !s.accepted {
		w.problem("the host is told of verified though its policy did not accept it")
	}
	if s.erased && op.began.After(w.erasedAt[s.user]) {
		w.problem("the host is told of %s about somebody who was erased", e.Status)
	}
	status, known := s.events[e.ID]
	if known && status != e.Status {
		w.problem("one event is %s, and was %s", e.Status, status)
	}
	fails := w.chance(0.35)
	effect := !fails || w.chance(0.5)
	if effect && !known {
		s.events[e.ID] = e.Status
		s.open = e.Status == identity.Verified || s.open && e.Status != identity.Revoked
	}
	if !fails {
		s.last = e.Status
	}
	w.tell("call %s of %s (%s), fails: %v, has an effect: %v", e.Status, s, e.ID[4:8], fails, effect)
	w.lasts(s)
	w.tell("call %s of %s ends", e.Status, s)
	switch err := errors.New("the host's database is away"); {
	case !fails:
		s.said[e.ID] = telling{e.Status, op, op.faults}
		return nil
	case w.permanent && w.chance(0.4):
		s.lettered = true
		return Permanent(err)
	case w.chance(0.3):
		panic(err)
	default:
		return err
	}
}
