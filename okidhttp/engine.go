package okidhttp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

// Everything that becomes known about an attempt, from a webhook, from a
// question to the provider or from the clock, is a notice and goes through
// deliver. It is
//
//	admitted:   the record is changed by the pure function admit, and written
//	            with a lease if the host is to be told;
//	carried out: what contradicts is settled by asking the provider, and the host
//	            is called;
//	committed:  the record is written again, if the lease still holds.
//
// What closes the gate is in the first write, what opens it in the last. A crash
// in between leaves a record that is due when the lease ends, for Run or for the
// next delivery to carry out.

var (
	// errInFlight: the lease is held, or was lost, so the notice is durable or
	// taken care of elsewhere, but whether it took effect cannot be said now.
	errInFlight = errors.New("notice is being handled elsewhere")
	// errCallback wraps what the host's function returned.
	errCallback = errors.New("callback failed")
	// errProvider wraps what the provider answered when it had to be asked.
	errProvider = errors.New("provider could not settle it")
	// errStore wraps what the store answered.
	errStore = errors.New("store failed")
)

func storeError(err error) error { return fmt.Errorf("%w: %w", errStore, err) }

// maxConflicts bounds how often one change is tried against others.
const maxConflicts = 20

// held is a record as it was read, and what is needed to write it back.
type held struct {
	*record
	key     string
	version uint64
	now     time.Time // the store's clock at the read
	readAt  time.Time // the kit's clock at the read
}

// load reads a record. A subject without one gets an empty record at version 0.
func (k *Kit) load(ctx context.Context, key string) (*held, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := k.cfg.Store.Get(ctx, key)
	h := &held{key: key, version: rec.Version, now: rec.Now, readAt: k.cfg.Now()}
	if errors.Is(err, store.ErrNotFound) {
		h.record = new(record)
		return h, nil
	}
	if err == nil {
		h.record, err = decodeRecord(rec.Value)
	}
	if err != nil {
		return nil, storeError(err)
	}
	return h, nil
}

// clock is the store's clock now, as far as the kit's has gone on since the read.
func (h *held) clock(k *Kit) time.Time { return h.now.Add(k.cfg.Now().Sub(h.readAt)) }

// save writes the record back. The error is store.ErrConflict if somebody else
// did meanwhile.
func (k *Kit) save(ctx context.Context, h *held) error {
	h.prune()
	w := store.Write{
		Value:    h.encode(),
		Replaces: h.version,
		Version:  randomNonZero(),
		TTL:      k.cfg.Retention,
		DueIn:    k.dueIn(h),
	}
	err := k.put(ctx, h.key, w)
	if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrInvalid) {
		// The answer may be lost though the write is not. The same write again
		// recognises itself.
		err = k.put(ctx, h.key, w)
	}
	switch {
	case err == nil:
		h.version = w.Version
		return nil
	case errors.Is(err, store.ErrConflict):
		return err
	default:
		return storeError(err)
	}
}

func (k *Kit) put(ctx context.Context, key string, w store.Write) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return k.cfg.Store.Put(ctx, key, w)
}

func randomNonZero() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails, says its documentation
		if n := binary.NativeEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// admission is what admit made of a notice.
type admission struct {
	outcome Outcome
	changed bool            // the attempt was changed and must be written
	owed    identity.Status // the status whose pending notice the lease was taken for; "" if none
}

// admit takes a notice into an attempt at time now: it decides whether the
// notice means anything, changes the attempt's status if that closes or merely
// informs, and leaves a pending notice behind, with a lease for the caller, if
// there is something to find out or to tell. It does no I/O.
func (k *Kit) admit(at address, a *attempt, n identity.Notice, src source, now time.Time) admission {
	v := n.Verification
	switch {
	case src != clock && !k.belongs(n, at, a):
		return admission{outcome: OutcomeUnknownAttempt}
	case v.Status == "":
		return admission{outcome: OutcomeUnknownWord}
	case src == signed && implausible(a, v, now):
		return admission{outcome: OutcomeImplausible}
	case src == signed && a.hasSeen(n.Digest) && a.awaits(v.Status) == nil:
		return admission{outcome: OutcomeDuplicate}
	}
	changed := a.learn(v.ID)
	p, next := a.awaits(v.Status), identity.Status("")
	if p == nil {
		next = transition(a, v.Status, src)
	}
	switch {
	case p != nil && a.leased(now):
		return admission{outcome: OutcomeInFlight, changed: changed}
	case p != nil && k.cfg.Async && src == signed:
		return admission{outcome: OutcomeDuplicate, changed: changed}
	case p == nil && next == "" && v.Status == a.status && a.byClock && src != clock:
		// The provider says itself what the clock had supposed.
		a.byClock = false
		return admission{outcome: OutcomeDuplicate, changed: true}
	case p == nil && next == "" && v.Status == a.status:
		return admission{outcome: OutcomeDuplicate, changed: changed}
	case p == nil && next == "":
		return admission{outcome: OutcomeLate, changed: changed}
	}
	a.see(n.Digest)
	if p == nil {
		wait := next == ask || next == identity.Verified && (k.cfg.OnVerified != nil || k.cfg.Decide != nil || k.confirms(src))
		tell := next
		if wait {
			tell = v.Status
		} else {
			k.become(at, a, next, v, now)
			a.byClock = src == clock
			if k.cfg.callback(next) == nil {
				return admission{outcome: OutcomeApplied, changed: true}
			}
		}
		a.pending = append(a.pending, pending{
			status:  tell,
			applied: !wait,
			fetched: src == fetched,
			notice:  k.sealNotice(at, v),
			since:   now,
			due:     now,
		})
		p = &a.pending[len(a.pending)-1]
	}
	switch {
	case a.leased(now):
		p.due = now.Add(time.Second)
		return admission{outcome: OutcomeInFlight, changed: true}
	case k.cfg.Async && src == signed:
		p.due = now
		return admission{outcome: OutcomeQueued, changed: true}
	}
	k.takeLease(a, now)
	return admission{outcome: OutcomeApplied, changed: true, owed: p.status}
}

// confirms reports whether a verified notice from this source must be confirmed
// by the provider's API first.
func (k *Kit) confirms(src source) bool { return k.cfg.ConfirmByFetch && src == signed }

// become gives an attempt its next status.
func (k *Kit) become(at address, a *attempt, s identity.Status, v identity.Verification, now time.Time) {
	a.status, a.updatedAt = s, now
	a.refreshAt = now.Add(refreshEvery)
	if s.Final() {
		a.refreshAt = time.Time{}
	}
	if s.Final() || s == identity.Review {
		a.token = nil // nobody needs it again
	}
	if s == identity.Verified {
		a.grant = k.newGrant(a.provider, v, now)
		a.kept = k.sealKept(at, v)
	} else {
		a.grant, a.kept = nil, nil
	}
}

// leaseTime covers a question to the provider, Config.Decide and a callback. If
// they take longer, somebody else may begin anew, with the same event id.
func (k *Kit) leaseTime() time.Duration { return 3*k.cfg.CallbackTimeout + 10*time.Second }

func (k *Kit) takeLease(a *attempt, now time.Time) {
	a.lease = lease{owner: int64(randomNonZero()), until: now.Add(k.leaseTime())}
}

// belongs reports whether a notice can be about the attempt: the provider and
// its id are the attempt's, and what the host had sent along is unchanged.
func (k *Kit) belongs(n identity.Notice, at address, a *attempt) bool {
	if n.Provider != a.provider || a.providerID != "" && n.Verification.ID != a.providerID {
		return false
	}
	if len(n.Metadata) == 0 {
		return true
	}
	for _, sent := range k.openContext(at, a).metadata {
		if got, ok := n.Metadata[sent.name]; ok && got != sent.value {
			return false
		}
	}
	return true
}

// learn remembers the provider's id of the attempt's verification.
func (a *attempt) learn(id string) bool {
	if a.providerID != "" || id == "" {
		return false
	}
	a.providerID = id
	return true
}

// clockSkew is how far the provider's clock may be from ours.
const clockSkew = 5 * time.Minute

// implausible reports whether a notice tells of a time at which this attempt
// cannot have been what the notice says.
func implausible(a *attempt, v identity.Verification, now time.Time) bool {
	for _, t := range []time.Time{v.CreatedAt, v.CompletedAt} {
		if !t.IsZero() && (t.Before(a.createdAt.Add(-clockSkew)) || t.After(now.Add(clockSkew))) {
			return true
		}
	}
	return false
}

// deliver is the one door, to the attempt at an address. The outcome says what
// came of the notice; an error that wraps errInFlight, errCallback, errProvider
// or errStore says why it has no effect yet. basis is the status that the attempt had when the question was
// asked to which a fetched notice is the answer.
func (k *Kit) deliver(ctx context.Context, at address, n identity.Notice, src source, basis identity.Status) (Outcome, error) {
	for range maxConflicts {
		h, err := k.load(ctx, at.subject.key())
		if err != nil {
			return OutcomeStoreFailed, err
		}
		a := h.find(at.attempt)
		if a == nil {
			return OutcomeUnknownAttempt, nil
		}
		src := src
		if src == fetched && a.status != basis {
			src = signed // overtaken while it was on its way
		}
		ad := k.admit(at, a, n, src, h.now)
		if ad.changed {
			if err := k.save(ctx, h); errors.Is(err, store.ErrConflict) {
				continue
			} else if err != nil {
				return OutcomeStoreFailed, err
			}
		}
		switch {
		case ad.outcome == OutcomeInFlight:
			k.wakeUp()
			return ad.outcome, errInFlight
		case ad.outcome == OutcomeQueued:
			k.wakeUp()
			return ad.outcome, nil
		case ad.owed == "":
			return ad.outcome, nil
		}
		return k.carryOut(ctx, &work{at: at, h: h, owner: h.find(at.attempt).lease.owner, owed: ad.owed, v: &n.Verification})
	}
	return OutcomeInFlight, errInFlight
}

// work is a pending notice whose lease we hold.
type work struct {
	at    address
	h     *held
	owner int64
	owed  identity.Status        // which pending notice
	v     *identity.Verification // what it says; nil: still sealed
}

// parts are the attempt and its pending notice in the record as it was last
// read, or errInFlight if the lease was lost.
func (w *work) parts() (*attempt, *pending, error) {
	a := w.h.find(w.at.attempt)
	if a == nil || a.lease.owner != w.owner {
		return nil, nil, errInFlight
	}
	p := a.awaits(w.owed)
	if p == nil {
		return nil, nil, errInFlight
	}
	return a, p, nil
}

// update changes the attempt under the lease, however often it takes: change is
// called again on what others wrote meanwhile.
func (k *Kit) update(ctx context.Context, w *work, change func(*attempt, *pending) error) error {
	for range maxConflicts {
		a, p, err := w.parts()
		if err != nil {
			return err
		}
		if err := change(a, p); err != nil {
			return err
		}
		if err := k.save(ctx, w.h); err == nil || !errors.Is(err, store.ErrConflict) {
			return err
		}
		if w.h, err = k.load(ctx, w.h.key); err != nil {
			return err
		}
	}
	return errInFlight
}

// errOvertaken: the attempt changed while the host was told, so that the notice
// must be looked at again.
var errOvertaken = errors.New("attempt has changed meanwhile")

// carryOut settles and tells one pending notice under its lease, and commits.
func (k *Kit) carryOut(ctx context.Context, w *work) (Outcome, error) {
	// The sender hanging up is no reason to leave the work half done.
	ctx = context.WithoutCancel(ctx)
	for range maxConflicts {
		outcome, err := k.tryOnce(ctx, w)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if errors.Is(err, errCallback) || errors.Is(err, errProvider) {
			return k.postpone(ctx, w, err)
		}
		if errors.Is(err, errInFlight) {
			outcome = OutcomeInFlight
		} else if err != nil {
			outcome = OutcomeStoreFailed
		}
		return outcome, err
	}
	return OutcomeInFlight, errInFlight
}

// tryOnce is one round of carryOut.
func (k *Kit) tryOnce(ctx context.Context, w *work) (Outcome, error) {
	a, p, err := w.parts()
	if err != nil {
		return "", err
	}
	if w.v == nil {
		v, err := k.openNotice(w.at, p.notice)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errCallback, err)
		}
		w.v = &v
	}
	if p.applied {
		return k.tell(ctx, w, a)
	}

	basis := a.status
	next := transition(a, p.status, signed)
	if next == ask || next == identity.Verified && k.cfg.ConfirmByFetch && !p.fetched {
		n, err := k.fetch(ctx, a, w.v.ID)
		switch {
		case errors.Is(err, identity.ErrNotFound) && next == ask:
			return k.drop(ctx, w, OutcomeLate)
		case err != nil:
			return "", fmt.Errorf("%w: %w", errProvider, err)
		case !n.Verification.Status.Final() && n.Verification.Status != identity.Review:
			return "", fmt.Errorf("%w: it has no verdict", errProvider)
		}
		w.v = &n.Verification
		next = transition(a, n.Verification.Status, fetched)
	}
	switch next {
	case "":
		return k.drop(ctx, w, OutcomeLate)
	case identity.Verified:
		return k.verify(ctx, w, a, basis)
	}
	// Not verified after all, or no longer: that takes effect before the host is
	// told.
	if err := k.turn(ctx, w, basis, next, ""); err != nil {
		return "", err
	}
	a, _, err = w.parts()
	if err != nil {
		return "", err
	}
	return k.tell(ctx, w, a)
}

// verify asks the host's policy, tells the host, and opens the gate.
func (k *Kit) verify(ctx context.Context, w *work, a *attempt, basis identity.Status) (Outcome, error) {
	e, err := k.event(w, a, identity.Verified)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errCallback, err)
	}
	if err := k.call(ctx, k.cfg.Decide, e); vetoed(err) {
		k.observe(ctx, OutcomeVetoed, "attempt", w.at.attempt, "event", e.ID, "error", e.scrub(err.Error()))
		if err := k.turn(ctx, w, basis, identity.Failed, ReasonPolicy); err != nil {
			return "", err
		}
		a, _, err := w.parts()
		if err != nil {
			return "", err
		}
		return k.tell(ctx, w, a)
	} else if err != nil {
		return "", &callbackError{event: e, err: err}
	}
	if err := k.call(ctx, k.cfg.OnVerified, e); err != nil {
		return "", &callbackError{event: e, err: err}
	}
	return OutcomeApplied, k.update(ctx, w, func(a *attempt, p *pending) error {
		if a.status != basis && transition(a, identity.Verified, signed) != identity.Verified {
			return errOvertaken
		}
		k.become(w.at, a, identity.Verified, *w.v, w.h.clock(k))
		a.byClock = false
		a.settle(p)
		return nil
	})
}

// turn gives the attempt a status that does not open the gate, and leaves the
// callback for it owed in place of the notice that led there.
func (k *Kit) turn(ctx context.Context, w *work, basis, next identity.Status, reason string) error {
	var sealed []byte
	err := k.update(ctx, w, func(a *attempt, p *pending) error {
		if a.status != basis {
			return errOvertaken
		}
		if sealed == nil {
			sealed = k.sealNotice(w.at, *w.v)
		}
		k.become(w.at, a, next, *w.v, w.h.clock(k))
		a.byClock, a.reason = false, reason
		told := *p
		told.status, told.applied, told.notice = next, true, sealed
		a.drop(p.status)
		a.drop(next)
		a.pending = append(a.pending, told)
		return nil
	})
	if err == nil {
		w.owed = next
	}
	return err
}

// tell calls the host about a status that the attempt has taken on, and commits.
func (k *Kit) tell(ctx context.Context, w *work, a *attempt) (Outcome, error) {
	e, err := k.event(w, a, w.owed)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errCallback, err)
	}
	if w.owed == identity.Failed && a.status == identity.Failed {
		e.Reason = a.reason
	}
	if err := k.call(ctx, k.cfg.callback(w.owed), e); err != nil {
		return "", &callbackError{event: e, err: err}
	}
	return OutcomeApplied, k.update(ctx, w, func(a *attempt, p *pending) error {
		a.settle(p)
		return nil
	})
}

// drop commits that a notice changes nothing.
func (k *Kit) drop(ctx context.Context, w *work, o Outcome) (Outcome, error) {
	return o, k.update(ctx, w, func(a *attempt, p *pending) error {
		a.settle(p)
		return nil
	})
}

// settle takes a notice off the attempt and gives the lease back.
func (a *attempt) settle(p *pending) {
	a.drop(p.status)
	a.lease = lease{}
}

// drop takes the notice with this status off the attempt, unless it is a dead
// letter.
func (a *attempt) drop(s identity.Status) {
	a.pending = slices.DeleteFunc(a.pending, func(p pending) bool { return p.status == s && !p.dead })
}

// callbackError is what a function of the host's returned, and for which event.
type callbackError struct {
	event Event
	err   error
}

func (e *callbackError) Error() string {
	return errCallback.Error() + ": " + e.event.scrub(e.err.Error())
}
func (e *callbackError) Unwrap() []error { return []error{errCallback, e.err} }

// postpone gives the lease back and sets the time of the next try, or makes the
// notice a dead letter.
func (k *Kit) postpone(ctx context.Context, w *work, cause error) (Outcome, error) {
	outcome := OutcomeCallbackFailed
	if errors.Is(cause, errProvider) {
		outcome = OutcomeProviderFailed
	}
	id := eventID(w.at.attempt, w.owed)
	err := k.update(ctx, w, func(a *attempt, p *pending) error {
		now := w.h.clock(k)
		p.tries++
		p.due = now.Add(backoff(id, p.tries))
		p.dead = errors.Is(cause, errPermanent) || now.Sub(p.since) > giveUpAfter
		if p.dead {
			outcome = OutcomeDeadLetter
		}
		a.lease = lease{}
		return nil
	})
	k.observe(ctx, outcome, "attempt", w.at.attempt, "event", id, "error", cause)
	if err != nil {
		return outcome, err
	}
	if outcome == OutcomeDeadLetter {
		return outcome, nil
	}
	return outcome, cause
}

// event is what the host is told about an attempt.
func (k *Kit) event(w *work, a *attempt, s identity.Status) (Event, error) {
	subject, err := k.keys.open(sealSubject, w.h.key, w.h.subject)
	if err != nil {
		return Event{}, fmt.Errorf("subject: %w", err)
	}
	e := Event{
		ID:           eventID(a.id, s),
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

// fetch asks the provider about an attempt. The answer is about this attempt or
// it is an error.
func (k *Kit) fetch(ctx context.Context, a *attempt, id string) (identity.Notice, error) {
	p, ok := k.providers[a.provider]
	if !ok {
		return identity.Notice{}, fmt.Errorf("%w: %s is not configured any more", identity.ErrUnavailable, a.provider)
	}
	ctx, cancel := context.WithTimeout(ctx, k.cfg.CallbackTimeout)
	defer cancel()
	n, err := p.Fetch(ctx, id)
	if err != nil {
		return identity.Notice{}, err
	}
	if n.Reference != a.reference || n.Verification.ID != id {
		return identity.Notice{}, fmt.Errorf("%w: the verification it names is another one", identity.ErrNotFound)
	}
	return n, nil
}

// wakeUp tells a Run of this kit that something is due.
func (k *Kit) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}
