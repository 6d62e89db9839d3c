package attempt

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Step decides what an input means for an attempt, and changes the attempt accordingly.
// The caller writes the attempt, if Todo.Changed, before it carries out what is to be
// done, and feeds what comes of that to the next Step. If the write is refused because
// somebody else wrote meanwhile, the caller calls Step again with the same input and the
// attempt as it stands then; Step does not change the input.
//
// now is the store's clock.
func (p *Policy) Step(a *Attempt, in Input, now time.Time) Todo {
	switch in := in.(type) {
	case *Webhook:
		return p.accept(a, &in.Notice, fromWebhook, in.Clock, now)
	case Lapse:
		n := identity.Notice{Provider: a.Provider, Verification: identity.Verification{ID: a.ProviderID, Status: identity.Expired}}
		return p.accept(a, &n, fromClock, now, now)
	case Due:
		return p.due(a, in.Event, now)
	case *Answer:
		return p.answered(a, in, now)
	case *HostSaid:
		return p.hostSaid(a, in, now)
	case Refresh:
		return p.refresh(a, in, now)
	case Hinted:
		return a.hinted(now)
	case Postpone:
		a.RefreshAt = now.Add(in.By)
		if !a.HintAt.IsZero() {
			a.HintAt = a.RefreshAt
		}
		return Todo{Changed: true}
	case *Claimed:
		return p.claimed(a, in, now)
	case Overdue:
		return overdue(a, now)
	case Remind:
		return p.remind(a, in, now)
	case Replay:
		return p.replay(a, in.Event, now)
	case Drop:
		if a.Letter(in.Event) == nil {
			return Todo{Err: ErrNoLetter}
		}
		a.dropLetters(func(l *Letter) bool { return l.Event == in.Event })
		return Todo{Changed: true}
	case Listed:
		a.ListAt = in.Again
		return Todo{Changed: true}
	}
	panic(fmt.Sprintf("attempt: Step has no %T", in)) // no package but this one has inputs
}

// Input is something that has happened to an attempt.
type Input interface{ input() }

// Webhook is an authentic notice of the provider's. Clock is the kit's clock when it
// came.
type Webhook struct {
	Notice identity.Notice
	Clock  time.Time
}

// Lapse says that nobody told anything in time.
type Lapse struct{}

// Due says that it is time to try the entry of an event.
type Due struct{ Event int64 }

// Answer is what came of Todo.Ask: a notice or an error.
type Answer struct {
	Ask    *Ask
	Notice identity.Notice
	Err    error
	Clock  time.Time // the kit's, when it came
}

// HostSaid is what came of Todo.Call. If Err and Refusal are nil, the host has been told,
// or has nothing against it.
type HostSaid struct {
	Call    *Call
	Called  bool     // whether the host was told, and not only asked to decide
	Refusal *Refusal // by the host's policy
	Err     error
	// Permanent says that no later try will mend Err.
	Permanent bool
}

// Refresh says that somebody wants to know how the attempt stands.
type Refresh struct {
	// ID is the provider's id of the verification. If empty, the provider is not asked.
	ID string
	// Every is how often the provider may be asked at most.
	Every time.Duration
	// Returned says that the subject came back, which is remembered.
	Returned bool
	// Routine says that the worker asks, of its own accord.
	Routine bool
}

// Hinted says that somebody, who may be anybody, claims that there is news of the attempt.
type Hinted struct{}

// Postpone says that the worker may not ask the provider now.
type Postpone struct{ By time.Duration }

// Claimed says that the subject has claimed the verification which was noted with the
// attempt. Answer is what the provider said of it, and may be nil.
type Claimed struct {
	ID     string
	Answer *Answer
}

// Overdue says that a claim has led to no verdict in time.
type Overdue struct{}

// Replay says that somebody wants the host to be told of a dead letter again.
type Replay struct{ Event int64 }

// Drop says that somebody wants a dead letter to be forgotten.
type Drop struct{ Event int64 }

// Listed says that the attempt is in the list of dead letters, or, if Again is not zero,
// that there was no place for it until then.
type Listed struct{ Again time.Time }

func (*Webhook) input()  {}
func (Lapse) input()     {}
func (Due) input()       {}
func (*Answer) input()   {}
func (*HostSaid) input() {}
func (Refresh) input()   {}
func (Hinted) input()    {}
func (Postpone) input()  {}
func (*Claimed) input()  {}
func (Overdue) input()   {}
func (Replay) input()    {}
func (Drop) input()      {}
func (Listed) input()    {}

// Todo is what there is to do after a Step. At most one of Ask and Call is set; if both
// are nil, Outcome and Err say what has come of it all.
type Todo struct {
	// Changed says that the attempt must be written.
	Changed bool
	// Ask is a question to the provider, of which the Answer is the next input.
	Ask *Ask
	// Call is a call of the host, of which HostSaid is the next input.
	Call *Call

	Outcome Outcome
	// Err says why the input has no effect yet. It wraps one of this package's errors.
	Err error
	// Event is the event that was postponed or given up, with the Outcome.
	Event int64

	// News says that a notice was taken on as something new.
	News bool
	// Refused says why the kit itself has refused a verification just now, for its
	// document.
	Refused string
}

// changed is a Todo after which the attempt must be written.
func changed(t Todo) Todo {
	t.Changed = true
	return t
}

// Ask is a question to the provider.
type Ask struct {
	// ID is the provider's id of the verification.
	ID string
	// Work is what the answer is for, under its lease. It is nil for a Refresh.
	Work *Work

	status  identity.Status // what the attempt was when the question came up,
	events  int64           // and how many events it had had
	details bool            // for what a dead letter no longer says
	routine bool
	hinted  bool
}

// Call is a call of the host under a lease.
type Call struct {
	Work Work
	// Status is what the host is told of. If it is verified, the host is asked to
	// decide before.
	Status identity.Status
	// Reason is why the attempt failed. It is "" if the provider gives no reason.
	Reason string
	// Final says that the subject may not begin another attempt.
	Final bool
	// ByStaff says that staff have decided, so that the host is not asked to.
	ByStaff bool
	// ExpiresAt is when the verification will stop to count, if that is the news.
	ExpiresAt time.Time
}

// Work is an entry of the outbox in the hands of whoever holds its lease. It knows what
// the record may not keep in clear.
type Work struct {
	Owner int64
	Event int64
	// Verification is what the host is told. It is nil as long as it is sealed.
	Verification *identity.Verification

	answer  *Answer  // what the provider said last
	called  bool     // the host was told of the verification, in this try,
	told    bool     // with success,
	refusal *Refusal // or its policy refused it
}

// Outcome is what came of an input. The values are those of okidhttp.Outcome.
type Outcome string

const (
	Applied        Outcome = "applied"
	Queued         Outcome = "queued"
	Held           Outcome = "held"
	Duplicate      Outcome = "duplicate"
	Late           Outcome = "late"
	UnknownWord    Outcome = "unknown_word"
	UnknownAttempt Outcome = "unknown_attempt"
	Implausible    Outcome = "implausible_time"
	InFlight       Outcome = "in_flight"
	CallbackFailed Outcome = "callback_failed"
	DeadLetter     Outcome = "dead_letter"
	ProviderFailed Outcome = "provider_failed"
)

var (
	// ErrInFlight is returned if somebody else holds the lease, so that the notice is
	// durable or taken care of, but whether it took effect cannot be said now.
	ErrInFlight = errors.New("notice is being handled elsewhere")
	// ErrFenced is returned if the lease was lost, so that whoever took it decides.
	ErrFenced = fmt.Errorf("lease was lost: %w", ErrInFlight)
	// ErrCallback wraps what the host's function returned.
	ErrCallback = errors.New("callback failed")
	// ErrProvider wraps what the provider answered when it had to be asked.
	ErrProvider = errors.New("provider could not settle it")
)

// accept takes a notice into an attempt: it decides whether the notice means anything,
// gives the attempt its next status if that closes the gate or merely informs, and leaves
// an entry in the outbox if there is something to find out or to tell.
func (p *Policy) accept(a *Attempt, n *identity.Notice, src source, clock, now time.Time) Todo {
	v := &n.Verification
	switch {
	case src != fromClock && !p.belongs(a, n):
		return Todo{Outcome: UnknownAttempt}
	case src == fromWebhook && implausible(a, v, now, clock):
		return Todo{Outcome: Implausible}
	}
	todo := Todo{Changed: p.learn(a, v.ID, now)}
	if v.Status == "" {
		todo.Outcome = UnknownWord
		return todo
	}
	if a.Lapsed && v.Status == identity.Expired && src != fromClock {
		a.Lapsed, todo.Changed = false, true // the provider says itself what the clock had supposed
	}
	if e := a.pending(n); e != nil {
		if src == fromWebhook && !e.isOf(n) && !a.hasSeen(n.Digest) {
			// The same once more, and later: whoever is settling what was said before
			// must not discard this along with it.
			a.see(n.Digest)
			a.Events++
			todo.Changed = true
		}
		return p.schedule(a, e, nil, src, todo, now)
	}
	seen := src == fromWebhook && a.hasSeen(n.Digest) || src != fromClock && a.gaveUp(v.Status)
	next, asks := a.next(v.Status, src)
	switch {
	case seen, next == "" && !asks && v.Status == a.Status:
		todo.Outcome = Duplicate
		return todo
	case next == "" && !asks:
		todo.Outcome = Late
		return todo
	}
	a.see(n.Digest)
	todo.Changed, todo.News, todo.Outcome = true, true, Applied
	e := p.record(a, n, next, src, &todo, now)
	if e == nil {
		return todo
	}
	return p.schedule(a, e, v, src, todo, now)
}

// pending returns the entry that says already what a notice says, or nil.
func (a *Attempt) pending(n *identity.Notice) *Entry {
	s := n.Verification.Status
	return a.firstEntry(func(e *Entry) bool {
		// Old news of a status that the attempt has left is not what the notice says.
		current := !e.Applied || e.Status == a.Status
		// Who is told of a revocation is told what a denial says.
		same := e.Status == s || e.Status == identity.Revoked && (s == identity.Failed || s == identity.Expired)
		return e.isOf(n) || current && same
	})
}

// record lets the attempt take on the next status, or leaves the notice in the outbox
// until it can. It returns the entry, if the host is to be told.
func (p *Policy) record(a *Attempt, n *identity.Notice, next identity.Status, src source, todo *Todo, now time.Time) *Entry {
	v := &n.Verification
	unsettled := next == "" || next == identity.Verified &&
		(p.Hears[identity.Verified] || p.Decides || p.ConfirmByFetch && src == fromWebhook || p.RequireReturn && !a.Returned)
	if next == identity.Verified && !unsettled {
		if reason := p.refusesDocument(v.DocumentExpiry, now); reason != "" {
			next, todo.Refused = identity.Failed, reason
		}
	}
	a.Events++
	e := Entry{
		Event:   a.Events,
		Status:  v.Status,
		Fetched: src == fromFetch,
		Digest:  short(n.Digest),
		Since:   now,
		Due:     now,
	}
	if !unsettled {
		p.setStatus(a, next, v, now)
		if todo.Refused != "" {
			a.refuse(&Refusal{Reason: todo.Refused})
		}
		if a.Lapsed = src == fromClock; a.Lapsed && a.Unaddressable() {
			a.Events++
			a.addLetter(Letter{Event: a.Events, Reason: DeadUnaddressable, Status: next, Applied: true, Since: now})
		}
		if !p.Hears[next] {
			return nil
		}
		e.Status, e.Applied = next, true
	}
	e.Notice = p.sealNotice(a, v)
	a.Outbox = append(a.Outbox, e)
	return &a.Outbox[len(a.Outbox)-1]
}

// schedule says who tells the host of an entry, and when. v is what has just been
// recorded, and nil for an entry that was there before.
func (p *Policy) schedule(a *Attempt, e *Entry, v *identity.Verification, src source, todo Todo, now time.Time) Todo {
	leased := a.leased(now)
	if leased && todo.News {
		e.Due = now.Add(time.Second)
	}
	switch {
	case e.Held:
		todo.Outcome = Duplicate
	case p.Async && todo.News:
		todo.Outcome = Queued
	case leased, a.overtaken(e), src == fromFetch && now.Before(e.Due):
		// A fetch never brings the next try forward.
		todo.Outcome, todo.Err = InFlight, ErrInFlight
	case p.Async:
		todo.Outcome = Duplicate
	default:
		w := p.takeLease(a, e, now)
		w.Verification = v
		next := p.proceed(a, w, now)
		next.Changed, next.News = true, todo.News
		next.Refused = cmp.Or(next.Refused, todo.Refused)
		return next
	}
	return todo
}

// due takes the lease for an entry whose time has come.
func (p *Policy) due(a *Attempt, event int64, now time.Time) Todo {
	e := a.entry(event)
	if e == nil || e.Held || a.leased(now) || a.overtaken(e) || now.Before(e.Due) {
		return Todo{Outcome: InFlight, Err: ErrInFlight} // somebody has been quicker
	}
	w := p.takeLease(a, e, now)
	return changed(p.proceed(a, w, now))
}

// proceed goes on with an entry under its lease.
func (p *Policy) proceed(a *Attempt, w Work, now time.Time) Todo {
	e := a.entry(w.Event)
	if a.Lease.Owner != w.Owner || e == nil {
		return a.fenced(w)
	}
	w.told = w.told || e.Awareness == Aware
	if w.Verification == nil {
		if todo, ok := p.open(a, e, &w, now); !ok {
			return todo
		}
	}
	if e.Applied {
		return p.notify(a, e, w, now)
	}
	return p.settle(a, e, w, now)
}

// fenced gives back a lease whose entry is gone, so that nobody waits for its end. A
// lease that was lost is somebody else's.
func (a *Attempt) fenced(w Work) Todo {
	todo := Todo{Outcome: InFlight, Err: ErrFenced}
	if a.Lease.Owner == w.Owner {
		a.Lease, todo.Changed = Lease{}, true
	}
	return todo
}

// open finds out what an entry says. Of a dead letter that was replayed the provider
// knows more than the record. If there is something to do before, ok is false.
func (p *Policy) open(a *Attempt, e *Entry, w *Work, now time.Time) (todo Todo, ok bool) {
	bare := &identity.Verification{ID: a.ProviderID, Status: e.Status}
	switch {
	case !e.replayed():
		v, err := p.openNotice(a, e)
		switch {
		case err == nil:
			w.Verification = &v
		case e.Applied || e.Status == identity.Verified:
			return p.postpone(a, e, *w, &HostSaid{Err: fmt.Errorf("%w: %w", ErrCallback, err)}, now), false
		default:
			w.Verification = bare // to settle a contradiction its id is enough
		}
	case !e.Applied || a.ProviderID == "":
		w.Verification = bare
	case w.answer == nil:
		todo := p.ask(a, e, *w, a.ProviderID, now)
		if todo.Ask != nil {
			todo.Ask.details = true
		}
		return todo, false
	case errors.Is(w.answer.Err, identity.ErrNotFound):
		w.Verification = bare
	default:
		v := w.answer.Notice.Verification
		v.Status = e.Status
		w.Verification = &v
	}
	return Todo{}, true
}

// ask asks the provider, or puts that off if it wants no questions now.
func (p *Policy) ask(a *Attempt, e *Entry, w Work, id string, now time.Time) Todo {
	if now.Before(a.QuietUntil) {
		err := &identity.RateLimitError{RetryAfter: a.QuietUntil.Sub(now)}
		return p.postpone(a, e, w, &HostSaid{Err: fmt.Errorf("%w: %w", ErrProvider, err)}, now)
	}
	ask := a.Ask(id)
	ask.Work = &w
	return Todo{Ask: ask}
}

// settle decides what becomes of an entry that the attempt has not taken on.
func (p *Policy) settle(a *Attempt, e *Entry, w Work, now time.Time) Todo {
	if e.ByStaff {
		return p.verify(a, e, w, now)
	}
	next, asks := a.next(e.Status, fromWebhook)
	if e.Status != identity.Verified {
		asks = a.Status != identity.Revoked // or it would have been applied
	}
	confirm := next == identity.Verified && (p.ConfirmByFetch && !e.Fetched || e.replayed())
	settled := false
	if asks || confirm {
		if w.answer == nil || w.answer.Ask.status != a.Status || w.answer.Ask.events != a.Events {
			return p.ask(a, e, w, w.Verification.ID, now)
		}
		unknown, word := errors.Is(w.answer.Err, identity.ErrNotFound), w.answer.Notice.Verification.Status
		switch {
		case unknown && !a.Status.Final() && e.Status != identity.Verified:
			// Nothing stands, and nobody can tell: what closes counts for more.
			return p.applyVerdict(a, e, w, e.Status, nil, now)
		case unknown && asks, !unknown && word == identity.Verified && e.Status != identity.Verified:
			return p.dismiss(a, w, false, now) // what stands, or waits for its turn, stays
		case unknown:
			return p.postpone(a, e, w, &HostSaid{Err: fmt.Errorf("%w: %w", ErrProvider, w.answer.Err)}, now)
		case !word.Final() && word != identity.Review:
			return p.postpone(a, e, w, &HostSaid{Err: fmt.Errorf("%w: it has no verdict", ErrProvider)}, now)
		}
		w.Verification, settled = &w.answer.Notice.Verification, true
		next, _ = a.next(word, fromAnswer)
	}
	switch next {
	case "":
		return p.dismiss(a, w, settled, now)
	case identity.Verified:
		return p.verify(a, e, w, now)
	}
	return p.applyVerdict(a, e, w, next, nil, now)
}

// verify asks the host's policy, tells the host, and then lets the verification count.
func (p *Policy) verify(a *Attempt, e *Entry, w Work, now time.Time) Todo {
	switch reason := p.refusesDocument(w.Verification.DocumentExpiry, now); {
	case p.RequireReturn && !a.Returned && !e.ByStaff:
		e.Held, e.Awareness = true, Unaware // whoever tried came no further than to this
		a.Lease = Lease{}
		return Todo{Changed: true, Outcome: Held}
	case w.told:
		p.setStatus(a, identity.Verified, w.Verification, now)
		a.Lease = Lease{}
		return Todo{Changed: true, Outcome: Applied}
	case reason != "":
		todo := p.applyVerdict(a, e, w, identity.Failed, &Refusal{Reason: reason}, now)
		todo.Refused = reason
		return todo
	case w.refusal != nil:
		return p.applyVerdict(a, e, w, identity.Failed, w.refusal, now)
	}
	c := &Call{Work: w, Status: identity.Verified, ByStaff: e.ByStaff}
	if e.ByStaff {
		c.Reason = ReasonStaff
	}
	return Todo{Call: c, Changed: p.fingerprint(a, w.Verification)}
}

// applyVerdict gives the attempt a status that does not open the gate, or closes it, and
// then tells the host of that in place of the entry that led there.
func (p *Policy) applyVerdict(a *Attempt, e *Entry, w Work, next identity.Status, refusal *Refusal, now time.Time) Todo {
	if a.mayKnow(&w) {
		next = identity.Revoked
	}
	digest := e.Digest
	p.setStatus(a, next, w.Verification, now)
	if refusal != nil {
		a.refuse(refusal)
	}
	a.Events++
	// Nothing is left to settle, and no news need be told twice.
	a.discard(func(other *Entry) bool { return !other.Applied || other.Status == next })
	a.Outbox = append(a.Outbox, Entry{
		Event: a.Events, Status: next, Applied: true, Digest: digest, Notice: p.sealNotice(a, w.Verification), Since: now, Tries: 1, Due: now,
	})
	a.Lease.Event, w.Event = a.Events, a.Events
	return changed(p.notify(a, a.entry(w.Event), w, now))
}

// refuse notes why an attempt failed, or was revoked, that the provider confirms.
func (a *Attempt) refuse(r *Refusal) {
	a.Reason, a.Refused, a.RuledOut = r.Reason, true, r.Final
}

// notify calls the host about a status that the attempt has taken on.
func (p *Policy) notify(a *Attempt, e *Entry, w Work, now time.Time) Todo {
	if !p.Hears[e.Status] || e.Status == Expiring && a.Grant == nil {
		return a.notified(e)
	}
	c := &Call{Work: w, Status: e.Status, ByStaff: e.ByStaff}
	switch e.Status {
	case a.Status:
		c.Reason, c.Final = a.Reason, a.RuledOut
	case Expiring:
		c.ExpiresAt = p.endOf(&a.Grant.Grant)
	}
	return Todo{Call: c}
}

// notified commits that the host knows.
func (a *Attempt) notified(e *Entry) Todo {
	// Older news that could not be told would now come after newer.
	told := e.Event
	a.discard(func(other *Entry) bool { return other.Applied && other.Event <= told })
	a.dropLetters(func(l *Letter) bool {
		return l.Reason == DeadCallback && l.Event <= told && (l.Applied || a.Status == identity.Revoked)
	})
	a.Lease = Lease{}
	return Todo{Changed: true, Outcome: Applied}
}

// dismiss commits that an entry changes nothing, or, if the provider was asked and its
// answer settled it, that nothing which waits to be settled does. A verification of which
// the host may have heard all the same is revoked.
func (p *Policy) dismiss(a *Attempt, w Work, settled bool, now time.Time) Todo {
	dismissed := func(e *Entry) bool { return e.Event == w.Event || settled && !e.Applied }
	if a.Status != identity.Verified && a.Status != identity.Revoked && a.mayKnow(&w) {
		if v := a.awaits(identity.Verified); v == nil && settled || v != nil && dismissed(v) {
			return p.applyVerdict(a, a.entry(w.Event), w, identity.Revoked, nil, now)
		}
	}
	if settled && a.Status == identity.Expired {
		a.Lapsed = false // the provider says so, too
	}
	a.discard(dismissed)
	a.Lease = Lease{}
	return Todo{Changed: true, Outcome: Late}
}

// hostSaid goes on after a call of the host.
func (p *Policy) hostSaid(a *Attempt, in *HostSaid, now time.Time) Todo {
	w := in.Call.Work
	w.called = w.called || in.Called && in.Call.Status == identity.Verified
	e := a.entry(w.Event)
	switch {
	case a.Lease.Owner != w.Owner || e == nil:
		return a.fenced(w)
	case in.Err != nil:
		return p.postpone(a, e, w, in, now)
	case e.Applied:
		return a.notified(e)
	case in.Refusal != nil:
		w.refusal = in.Refusal
	default:
		w.told = true
	}
	todo := p.proceed(a, w, now)
	if e := a.entry(w.Event); todo.Ask != nil && w.told && e != nil {
		e.Awareness, todo.Changed = Aware, true // whatever becomes of the question
	}
	return todo
}

// answered goes on after a question to the provider.
func (p *Policy) answered(a *Attempt, in *Answer, now time.Time) Todo {
	if in.Ask.Work == nil {
		return p.refreshed(a, in, a.sourceOf(in), now)
	}
	w := *in.Ask.Work
	e := a.entry(w.Event)
	switch {
	case a.Lease.Owner != w.Owner || e == nil:
		return a.fenced(w)
	case in.Err != nil && !errors.Is(in.Err, identity.ErrNotFound):
		return p.postpone(a, e, w, &HostSaid{Err: fmt.Errorf("%w: %w", ErrProvider, in.Err)}, now)
	}
	w.answer = in
	return p.proceed(a, w, now)
}

// A callback that has failed minFailures times, and for giveUpAfter, makes its entry a
// dead letter.
const (
	minFailures = 10
	giveUpAfter = 72 * time.Hour
)

// postpone gives the lease back and sets the time of the next try, or makes the entry a
// dead letter.
func (p *Policy) postpone(a *Attempt, e *Entry, w Work, said *HostSaid, now time.Time) Todo {
	todo := Todo{Changed: true, Outcome: ProviderFailed, Err: said.Err, Event: e.Event}
	aware := a.mayKnow(&w)
	a.Lease = Lease{}
	e.Due = now.Add(backoff(EventID(a.ID, e.Event), e.Tries))
	switch {
	case w.told:
		e.Awareness = Aware
	case w.called:
		e.Awareness = Unsure
	case e.Awareness == Trying:
		e.Awareness = Unaware
	}
	if pause, ok := quietFor(said.Err); ok {
		a.QuietUntil = now.Add(pause)
		e.Due = latest(e.Due, a.QuietUntil)
	}
	if !errors.Is(said.Err, ErrCallback) {
		return todo
	}
	todo.Outcome = CallbackFailed
	e.Failures++
	if !said.Permanent && (e.Failures < minFailures || now.Sub(e.Since) < giveUpAfter) {
		return todo
	}
	todo.Outcome = DeadLetter
	verified := e.Status == identity.Verified
	a.giveUp(e, aware, now)
	if verified {
		// Nobody is verified of whom the host will not hear.
		p.setStatus(a, identity.Failed, cmp.Or(w.Verification, &identity.Verification{}), now)
	}
	return todo
}
