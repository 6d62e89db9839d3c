package okidhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/okidkit/okidkit/identity"
)

// work is a pending notice whose lease we hold.
type work struct {
	at    address
	h     *held
	owner int64
	event int64                  // which pending notice
	v     *identity.Verification // what it says; nil: still sealed
	told  bool                   // OnVerified has succeeded, though it is not committed
	asked bool                   // OnVerified has been called
	calls context.Context        // for the host and the provider; ends when the lease is lost
}

// parts are the attempt and its pending notice in the record as it was last
// read, or errFenced.
func (w *work) parts() (*attempt, *pending, error) {
	a := w.h.find(w.at.attempt)
	if a == nil || a.lease.owner != w.owner {
		return nil, nil, errFenced
	}
	p := a.first(func(p *pending) bool { return p.event == w.event })
	if p == nil {
		return nil, nil, errFenced
	}
	return a, p, nil
}

// commit changes the attempt under the lease.
func (k *Kit) commit(ctx context.Context, w *work, change func(*attempt, *pending) error) error {
	h, err := k.rewrite(ctx, w.at.subject, w.h, func(h *held) error {
		w.h = h
		a, p, err := w.parts()
		if err != nil {
			return err
		}
		return change(a, p)
	})
	if err == nil {
		w.h = h
	}
	return err
}

// errOvertaken: the attempt changed while the host was told, so that the notice
// must be looked at again.
var errOvertaken = errors.New("attempt has changed meanwhile")

// carryOut settles and tells one pending notice under its lease, and commits.
func (k *Kit) carryOut(ctx context.Context, w *work) (Outcome, error) {
	// The sender hanging up is no reason to leave the work half done.
	ctx = context.WithoutCancel(ctx)
	var cancel context.CancelFunc
	w.calls, cancel = context.WithCancel(ctx)
	defer k.keepLease(w, cancel)()
	for range maxConflicts {
		outcome, err := k.tryOnce(ctx, w)
		switch {
		case err == nil:
			return outcome, nil
		case errors.Is(err, errOvertaken):
			continue
		case errors.Is(err, errCallback), errors.Is(err, errProvider):
			return k.postpone(ctx, w, err)
		case errors.Is(err, errFenced):
			return OutcomeInFlight, errors.Join(err, k.returnLease(ctx, w))
		case errors.Is(err, errInFlight):
			return OutcomeInFlight, err
		}
		return OutcomeStoreFailed, err
	}
	return OutcomeInFlight, errInFlight
}

// tryOnce is one round of carryOut.
func (k *Kit) tryOnce(ctx context.Context, w *work) (Outcome, error) {
	a, p, err := w.parts()
	if err != nil {
		return "", err
	}
	w.told = w.told || p.told
	if w.v == nil {
		v, err := k.verification(w, a, p)
		if err != nil {
			return "", err
		}
		w.v = &v
	}
	if p.applied {
		return k.tell(ctx, w, a)
	}

	basis, events, settled := a.status, a.events, false
	next, contradicts := transition(a, p.status, fromWebhook)
	if p.status != identity.Verified {
		contradicts = a.status != identity.Revoked // or it would have been applied
	}
	unconfirmed := k.cfg.ConfirmByFetch && !p.fetched || p.replayed()
	if contradicts || next == identity.Verified && unconfirmed {
		n, err := k.ask(w, a, w.v.ID)
		answer := n.Verification.Status
		switch {
		case errors.Is(err, identity.ErrNotFound) && !a.status.Final() && p.status != identity.Verified:
			// Nothing stands, and nobody can tell: what closes counts for more.
			return k.turn(ctx, w, a, basis, events, p.status, "")
		case errors.Is(err, identity.ErrNotFound) && contradicts, err == nil && answer == identity.Verified && p.status != identity.Verified:
			// What stands, or waits for its turn, stays.
			return k.drop(ctx, w, a, basis, events, false)
		case err != nil:
			return "", fmt.Errorf("%w: %w", errProvider, err)
		case !answer.Final() && answer != identity.Review:
			return "", fmt.Errorf("%w: it has no verdict", errProvider)
		}
		w.v, settled = &n.Verification, true
		next, _ = transition(a, answer, fromAnswer)
	}
	switch next {
	case "":
		return k.drop(ctx, w, a, basis, events, settled)
	case identity.Verified:
		if k.cfg.RequireReturn && !a.returned {
			return k.hold(ctx, w)
		}
		return k.verify(ctx, w, a, basis, events)
	}
	return k.turn(ctx, w, a, basis, events, next, "")
}

// verification is what a pending notice says. Of a replayed one the provider knows
// more than we do.
func (k *Kit) verification(w *work, a *attempt, p *pending) (identity.Verification, error) {
	bare := identity.Verification{ID: a.providerID, Status: p.status}
	switch {
	case !p.replayed():
		v, err := k.openNotice(w.at, p.notice)
		if err != nil && (p.applied || p.status == identity.Verified) {
			return v, fmt.Errorf("%w: %w", errCallback, err)
		} else if err != nil {
			return bare, nil // to settle a contradiction its id is enough
		}
		return v, nil
	case !p.applied || a.providerID == "":
		return bare, nil
	}
	n, err := k.ask(w, a, a.providerID)
	if errors.Is(err, identity.ErrNotFound) {
		return bare, nil
	} else if err != nil {
		return bare, fmt.Errorf("%w: %w", errProvider, err)
	}
	v := n.Verification
	v.Status = p.status
	return v, nil
}

// ask is fetch for a notice that is being worked on.
func (k *Kit) ask(w *work, a *attempt, id string) (identity.Notice, error) {
	if now := w.h.clock(k); now.Before(a.quietUntil) {
		return identity.Notice{}, &identity.RateLimitError{RetryAfter: a.quietUntil.Sub(now)}
	}
	return k.fetch(w.calls, a, id)
}

// mayKnow reports whether the host may have heard of a verification that was
// never committed, so that a failure must reach it as a revocation.
func (w *work) mayKnow(a *attempt) bool {
	if a.misinformed() {
		return true
	}
	p := a.awaits(identity.Verified)
	if p == nil {
		return false
	}
	heard := p.tries - p.unheard
	if p.event == w.event && !w.asked {
		heard-- // this try has not come to that
	}
	return w.told || heard > 0
}

// verify asks the host's policy, tells the host, and opens the gate, unless
// something has come since the attempt had this status and this many events.
func (k *Kit) verify(ctx context.Context, w *work, a *attempt, basis identity.Status, events int64) (Outcome, error) {
	if !w.told {
		e, err := k.event(w, a, identity.Verified)
		if err != nil {
			return "", err
		}
		if reason := k.refusesDocument(w.v.DocumentExpiry, w.h.clock(k)); reason != "" {
			k.observe(ctx, OutcomeDocumentRefused, "attempt", w.at.attempt, "event", e.ID, "reason", reason)
			return k.turn(ctx, w, a, basis, events, identity.Failed, reason)
		}
		if err := k.call(w.calls, k.cfg.Decide, e); vetoed(err) {
			k.observe(ctx, OutcomeVetoed, "attempt", w.at.attempt, "event", e.ID, "error", e.scrub(err))
			return k.turn(ctx, w, a, basis, events, identity.Failed, ReasonPolicy)
		} else if err != nil {
			return "", &callbackError{event: e, err: err}
		}
		w.asked = true
		if err := k.call(w.calls, k.cfg.OnVerified, e); err != nil {
			return "", &callbackError{event: e, err: err}
		}
		w.told = true
	}
	return OutcomeApplied, k.commit(ctx, w, func(a *attempt, p *pending) error {
		if a.status != basis || a.events != events {
			return errOvertaken
		}
		k.become(w.at, a, identity.Verified, *w.v, w.h.clock(k))
		a.byClock = false
		a.drop(func(*pending) bool { return true }) // older news would contradict it
		a.dropLetters(func(*letter) bool { return true })
		a.lease = lease{}
		return nil
	})
}

// hold leaves a verification for when its subject comes back.
func (k *Kit) hold(ctx context.Context, w *work) (Outcome, error) {
	return OutcomeHeld, k.commit(ctx, w, func(a *attempt, p *pending) error {
		if a.returned {
			return errOvertaken
		}
		p.held = true
		p.unheard = p.tries // whoever tried came no further than to this
		a.lease = lease{}
		return nil
	})
}

// turn gives the attempt a status that does not open the gate, or closes it, and
// then tells the host of that in place of the notice that led there.
func (k *Kit) turn(ctx context.Context, w *work, a *attempt, basis identity.Status, events int64, next identity.Status, reason string) (Outcome, error) {
	if w.mayKnow(a) {
		next = identity.Revoked
	}
	sealed := k.sealNotice(w.at, *w.v)
	var event int64
	err := k.commit(ctx, w, func(a *attempt, p *pending) error {
		if a.status != basis || a.events != events {
			return errOvertaken
		}
		now := w.h.clock(k)
		k.become(w.at, a, next, *w.v, now)
		a.byClock, a.reason = false, cmp.Or(reason, a.reason)
		a.events++
		event = a.events
		a.lease.event = event
		told := pending{event: event, status: next, applied: true, digest: p.digest, notice: sealed, since: now, tries: 1, due: now}
		// Nothing is left to settle, and no news need be told twice.
		a.drop(func(q *pending) bool { return !q.applied || q.status == next })
		a.pending = append(a.pending, told)
		return nil
	})
	if err != nil {
		return "", err
	}
	w.event = event
	a, _, err = w.parts()
	if err != nil {
		return "", err
	}
	return k.tell(ctx, w, a)
}

// tell calls the host about a status that the attempt has taken on, and commits.
func (k *Kit) tell(ctx context.Context, w *work, a *attempt) (Outcome, error) {
	_, p, err := w.parts()
	if err != nil {
		return "", err
	}
	e, err := k.event(w, a, p.status)
	if err != nil {
		return "", err
	}
	if p.status == a.status {
		e.Reason = a.reason
	}
	if err := k.call(w.calls, k.cfg.callback(p.status), e); err != nil {
		return "", &callbackError{event: e, err: err}
	}
	return OutcomeApplied, k.commit(ctx, w, func(a *attempt, p *pending) error {
		// Older news that could not be told would now come after newer.
		told := p.event
		a.drop(func(q *pending) bool { return q.applied && q.event <= told })
		a.dropLetters(func(l *letter) bool {
			return l.reason == DeadCallback && l.event <= told && (l.applied || a.status == identity.Revoked)
		})
		a.lease = lease{}
		return nil
	})
}

// drop commits that a notice changes nothing, or, if the provider was asked and
// its answer settled it, that nothing which waits to be settled does. A
// verification of which the host may have heard all the same is revoked.
func (k *Kit) drop(ctx context.Context, w *work, a *attempt, basis identity.Status, events int64, settled bool) (Outcome, error) {
	dropped := func(q *pending) bool { return q.event == w.event || settled && !q.applied }
	if a.status != identity.Verified && a.status != identity.Revoked && w.mayKnow(a) {
		if p := a.awaits(identity.Verified); p == nil && settled || p != nil && dropped(p) {
			return k.turn(ctx, w, a, basis, events, identity.Revoked, "")
		}
	}
	return OutcomeLate, k.commit(ctx, w, func(a *attempt, _ *pending) error {
		if a.status != basis || settled && a.events != events {
			return errOvertaken
		}
		if settled && a.status == identity.Expired {
			a.byClock = false // the provider says so, too
		}
		a.drop(dropped)
		a.lease = lease{}
		return nil
	})
}

// callbackError is what a function of the host's returned, and for which event.
type callbackError struct {
	event Event
	err   error
}

func (e *callbackError) Error() string   { return errCallback.Error() + ": " + e.event.scrub(e.err) }
func (e *callbackError) Unwrap() []error { return []error{errCallback, e.err} }

// postpone gives the lease back and sets the time of the next try, or makes the
// notice a dead letter.
func (k *Kit) postpone(ctx context.Context, w *work, cause error) (Outcome, error) {
	id := eventID(w.at.attempt, w.event)
	outcome := OutcomeProviderFailed
	err := k.commit(ctx, w, func(a *attempt, p *pending) error {
		now := w.h.clock(k)
		a.lease = lease{}
		p.due = now.Add(backoff(id, p.tries))
		p.told = w.told
		aware := w.mayKnow(a)
		if !w.asked {
			p.unheard++
		}
		if pause, ok := quietFor(cause); ok {
			a.quietUntil = now.Add(pause)
			p.due = latest(p.due, a.quietUntil)
		}
		if !errors.Is(cause, errCallback) {
			return nil
		}
		outcome = OutcomeCallbackFailed
		p.failures++
		if !errors.Is(cause, errPermanent) && (p.failures < minFailures || now.Sub(p.since) < giveUpAfter) {
			return nil
		}
		outcome = OutcomeDeadLetter
		verified := p.status == identity.Verified
		a.giveUp(p, aware, now)
		if verified {
			// Nobody is verified of whom the host will not hear.
			k.become(w.at, a, identity.Failed, *cmp.Or(w.v, &identity.Verification{}), now)
			a.byClock = false
		}
		return nil
	})
	switch {
	case errors.Is(err, errInFlight):
		return OutcomeInFlight, err
	case err != nil:
		return OutcomeStoreFailed, err
	}
	k.observe(ctx, outcome, "attempt", w.at.attempt, "event", id, "error", cause)
	if outcome == OutcomeDeadLetter {
		k.wakeUp() // to list it
		return outcome, nil
	}
	return outcome, cause
}

// event is what the host is told about an attempt.
func (k *Kit) event(w *work, a *attempt, s identity.Status) (Event, error) {
	subject, err := k.keys.open(sealSubject, w.at.subject.key(), w.h.record.subject)
	if err != nil {
		return Event{}, fmt.Errorf("%w: subject: %w", errCallback, err)
	}
	e := Event{
		ID:           eventID(a.id, w.event),
		Status:       s,
		Subject:      string(subject),
		Attempt:      a.reference,
		Provider:     a.provider,
		Verification: *w.v,
	}
	if sent := k.openContext(w.at, a).metadata; len(sent) > 0 {
		e.Metadata = map[string]string{}
		for _, p := range sent {
			e.Metadata[p.name] = p.value
		}
	}
	return e, nil
}
