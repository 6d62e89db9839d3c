package okidhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// ErrNoDeadLetter: there is no dead letter with this ID, or not any more.
var ErrNoDeadLetter = errors.New("okidhttp: no such dead letter")

// DeadLetter is an event of which the host was not told in the end, and will not
// be unless somebody asks for it.
//
// It prints, logs and marshals as its ID, reason and status alone.
type DeadLetter struct {
	// ID is that of the event: Event.ID, in every try.
	ID string
	// Reason says why it is there.
	Reason DeadReason
	// Status is what the host was to be told of.
	Status identity.Status
	// Subject, Attempt and Provider are those of the event.
	Subject, Attempt, Provider string
	// VerificationID is the provider's id of the verification. "": never learnt.
	VerificationID string
	// Since is when the kit gave up, by the store's clock.
	Since time.Time
	// Failures is how often the callback failed.
	Failures int
}

// DeadReason says why an event became a dead letter.
type DeadReason string

const (
	// DeadCallback: the host's callback failed for days, or with [Permanent].
	DeadCallback DeadReason = "callback"
	// DeadUnaddressable: the user came back from the provider, but no webhook of
	// the attempt ever came, so that there is no id by which the provider could be
	// asked. The attempt has expired, and the user may start another.
	DeadUnaddressable DeadReason = "unaddressable"
	// DeadNoVerdict: the provider has had a claimed verification for 15 minutes
	// without a verdict. It is still asked; the letter goes when it has one.
	DeadNoVerdict DeadReason = "no_verdict"
)

// String is the ID, the reason and the status.
func (l DeadLetter) String() string {
	return l.ID + " " + string(l.Reason) + " " + string(l.Status)
}

// Format is String for every verb.
func (l DeadLetter) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// LogValue is the ID, the reason and the status.
func (l DeadLetter) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", l.ID), slog.String("reason", string(l.Reason)), slog.String("status", string(l.Status)))
}

// MarshalText is String.
func (l DeadLetter) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// DeadLetters lists the dead letters of all subjects, in no particular order. It
// reads one record for each, so it is for people and not for every minute. An
// error ends it. A letter is listed once [Kit.Run] has come by, within seconds.
//
// They go with what makes them pointless: newer news that was told, the subject's
// [Kit.Erase], or the end of the record.
func (k *Kit) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		err := k.eachDeadLetter(ctx, func(_ address, l DeadLetter) bool { return yield(l, nil) })
		if err != nil {
			yield(DeadLetter{}, err)
		}
	}
}

// DeadLetter returns the dead letter with this ID, or [ErrNoDeadLetter].
func (k *Kit) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	_, l, err := k.findDeadLetter(ctx, id)
	return l, err
}

// DropDeadLetter forgets a dead letter. The error is [ErrNoDeadLetter] if it is
// not there.
func (k *Kit) DropDeadLetter(ctx context.Context, id string) error {
	at, _, err := k.findDeadLetter(ctx, id)
	if err != nil {
		return err
	}
	return k.rewriteLetter(ctx, at, id, func(_ *held, a *attempt, l letter) error {
		a.dropLetters(func(other *letter) bool { return other.event == l.event })
		return nil
	})
}

// ReplayDeadLetter tells the host again, with the same event ID, and returns when
// that is done. What is personal was not kept, so the provider is asked for it.
// If it is the verdict that is missing, only the provider is asked.
//
// If it does not work, the error says why, and the event is tried again like any
// other until it works or is given up anew. The error is [ErrNoDeadLetter] if the
// letter is not there, or pointless since the attempt has moved on, in which case
// it is dropped; and it is [ErrNotReplayable] if no verification can be asked
// about.
func (k *Kit) ReplayDeadLetter(ctx context.Context, id string) error {
	at, l, err := k.findDeadLetter(ctx, id)
	if err != nil {
		return err
	}
	if l.Reason == DeadNoVerdict {
		_, err := k.refresh(ctx, at, refreshRequest{id: l.VerificationID})
		return err
	}
	w := &work{at: at}
	var late identity.Status
	err = k.rewriteLetter(ctx, at, id, func(h *held, a *attempt, l letter) error {
		if l.reason == DeadUnaddressable {
			return ErrNotReplayable
		}
		again := pending{event: l.event, status: l.status, applied: l.applied, since: h.now, due: h.now}
		if l.aware {
			again.tries = 1 // the one in which the host may have heard of it
		}
		if a.leased(h.now) || a.overtaken(&again) {
			return errInFlight
		}
		late = ""
		a.dropLetters(func(other *letter) bool { return other.event == l.event })
		if l.applied && l.status != a.status {
			late = a.status
			return nil
		}
		a.pending = append(a.pending, again)
		slices.SortFunc(a.pending, func(p, q pending) int { return cmp.Compare(p.event, q.event) })
		p := a.first(func(p *pending) bool { return p.event == l.event })
		k.takeLease(a, p, h.now)
		w.h, w.event, w.owner = h, p.event, a.lease.owner
		return nil
	})
	switch {
	case err != nil:
		return err
	case late != "":
		return fmt.Errorf("%w: the attempt is %s meanwhile", ErrNoDeadLetter, late)
	}
	outcome, err := k.carryOut(ctx, w)
	if err == nil && outcome == OutcomeDeadLetter {
		return ErrGivenUpAgain
	}
	return err
}

// ErrGivenUpAgain is returned by [Kit.ReplayDeadLetter] if the callback failed with
// [Permanent], so that the event is a dead letter as before.
var ErrGivenUpAgain = errors.New("okidhttp: callback gave the event up again")

// ErrNotReplayable: a dead letter with the reason [DeadUnaddressable] tells of a
// verification of which not even the id is known.
var ErrNotReplayable = errors.New("okidhttp: dead letter names no verification that could be asked about")

// letter is a dead letter in its attempt.
type letter struct {
	event    int64
	reason   DeadReason
	status   identity.Status
	applied  bool // the attempt had taken it on
	since    time.Time
	failures int64
	aware    bool // the host may know of this verification, which does not stand
	later
}

func (l *letter) fields(c *coder) {
	c.int(1, &l.event)
	c.text(2, (*string)(&l.reason))
	c.text(3, (*string)(&l.status))
	c.flag(4, &l.applied)
	c.time(5, &l.since)
	c.int(6, &l.failures)
	c.flag(7, &l.aware)
}

// giveUp makes a dead letter of a pending notice. aware is true if the host may know
// of the verification that it tells of.
func (a *attempt) giveUp(p *pending, aware bool, now time.Time) {
	event := p.event
	a.addLetter(letter{event: event, reason: DeadCallback, status: p.status, applied: p.applied, since: now, failures: p.failures, aware: aware})
	a.drop(func(q *pending) bool { return q.event == event })
}

// addLetter adds a dead letter, which is to be listed.
func (a *attempt) addLetter(l letter) {
	a.letters = append(a.letters, l)
	a.listAt = l.since
}

// unaddressable reports whether the user went through with an attempt of which the
// provider has never told.
func (a *attempt) unaddressable() bool { return a.returned && a.providerID == "" }

func (a *attempt) dropLetters(is func(*letter) bool) {
	a.letters = slices.DeleteFunc(a.letters, func(l letter) bool { return is(&l) })
}

// gaveUp reports whether a notice with this status became a dead letter before
// the attempt could take it on.
func (a *attempt) gaveUp(s identity.Status) bool {
	return slices.ContainsFunc(a.letters, func(l letter) bool { return !l.applied && l.status == s })
}

// misinformed reports whether the host may believe in a verification that was given
// up, and of which it would not hear that it does not stand.
func (a *attempt) misinformed() bool {
	return a.status == identity.Failed && slices.ContainsFunc(a.letters, func(l letter) bool { return l.aware })
}

// deadLetter is what the host sees of a letter.
func (k *Kit) deadLetter(h *held, a *attempt, l letter) DeadLetter {
	subject, _ := k.keys.open(sealSubject, h.subject.key(), h.record.subject) // "" if the key is gone
	return DeadLetter{
		ID: eventID(a.id, l.event), Reason: l.reason, Status: l.status,
		Subject: string(subject), Attempt: a.reference, Provider: a.provider,
		VerificationID: a.providerID, Since: l.since, Failures: int(l.failures),
	}
}

// eachDeadLetter calls f for every listed letter, until f returns false. What is
// listed without reason is taken off the list.
func (k *Kit) eachDeadLetter(ctx context.Context, f func(address, DeadLetter) bool) error {
	for shard := range listShards {
		list, err := k.loadList(ctx, shard)
		if err != nil {
			return err
		}
		for _, at := range list.addresses {
			h, err := k.load(ctx, at.subject)
			if errors.Is(err, errCorrupt) {
				continue // Run says so, and the others are still of use
			} else if err != nil {
				return err
			}
			a := h.find(at.attempt)
			if a == nil || len(a.letters) == 0 {
				if err := k.rewriteList(ctx, shard, func(l *deadList) bool { return l.remove(at) }); err != nil {
					return err
				}
				continue
			}
			for _, l := range a.letters {
				if !f(at, k.deadLetter(h, a, l)) {
					return nil
				}
			}
		}
	}
	return nil
}

func (k *Kit) findDeadLetter(ctx context.Context, id string) (at address, found DeadLetter, err error) {
	err = k.eachDeadLetter(ctx, func(a address, l DeadLetter) bool {
		if l.ID == id {
			at, found = a, l
		}
		return found.ID == ""
	})
	if err == nil && found.ID == "" {
		err = ErrNoDeadLetter
	}
	return at, found, err
}

// rewriteLetter changes an attempt with a dead letter.
func (k *Kit) rewriteLetter(ctx context.Context, at address, id string, change func(*held, *attempt, letter) error) error {
	_, err := k.rewrite(ctx, at.subject, nil, func(h *held) error {
		a := h.find(at.attempt)
		if a == nil {
			return ErrNoDeadLetter
		}
		i := slices.IndexFunc(a.letters, func(l letter) bool { return eventID(a.id, l.event) == id })
		if i < 0 {
			return ErrNoDeadLetter
		}
		return change(h, a, a.letters[i])
	})
	return err
}
