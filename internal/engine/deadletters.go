package engine

import (
	"context"
	"errors"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// DeadLetter is okidhttp.DeadLetter.
type DeadLetter struct {
	ID                         string
	Reason                     attempt.DeadReason
	Status                     identity.Status
	Subject, Attempt, Provider string
	VerificationID             string
	Since                      time.Time
	Failures                   int
}

// ErrGivenUpAgain is returned by [Engine.ReplayDeadLetter] if the event is a dead letter
// as before.
var ErrGivenUpAgain = errors.New("callback gave the event up again")

// EachDeadLetter calls f for every listed letter, until f returns false. What is listed
// without reason is taken off the list.
func (e *Engine) EachDeadLetter(ctx context.Context, f func(DeadLetter) bool) error {
	return e.eachLetter(ctx, func(_ attempt.Address, _ int64, l DeadLetter) bool { return f(l) })
}

func (e *Engine) eachLetter(ctx context.Context, f func(attempt.Address, int64, DeadLetter) bool) error {
	for shard := range listShards {
		list, err := e.loadList(ctx, shard)
		if err != nil {
			return err
		}
		for _, at := range list.addresses {
			s, err := e.Load(ctx, at.Subject)
			if errors.Is(err, attempt.ErrCorrupt) {
				continue // Run says so, and the others are still of use
			} else if err != nil {
				return err
			}
			if !s.hasLetters(at.Attempt) {
				if err := e.unlist(ctx, at.Subject); err != nil {
					return err
				}
				continue
			}
			a := s.Find(at.Attempt)
			for _, l := range a.Letters {
				if !f(at, l.Event, e.deadLetter(s, a, l)) {
					return nil
				}
			}
		}
	}
	return nil
}

// deadLetter is what the host sees of a letter.
func (e *Engine) deadLetter(s *Snapshot, a *attempt.Attempt, l attempt.Letter) DeadLetter {
	subject, _ := e.policy.OpenSubject(s.Record) // "" if the key is gone
	return DeadLetter{
		ID: attempt.EventID(a.ID, l.Event), Reason: l.Reason, Status: l.Status,
		Subject: subject, Attempt: a.Reference, Provider: a.Provider,
		VerificationID: a.ProviderID, Since: l.Since, Failures: int(l.Failures),
	}
}

// DeadLetter returns the dead letter with this ID, or [attempt.ErrNoLetter].
func (e *Engine) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	_, _, l, err := e.findLetter(ctx, id)
	return l, err
}

func (e *Engine) findLetter(ctx context.Context, id string) (at attempt.Address, event int64, found DeadLetter, err error) {
	err = e.eachLetter(ctx, func(a attempt.Address, n int64, l DeadLetter) bool {
		if l.ID == id {
			at, event, found = a, n, l
		}
		return found.ID == ""
	})
	if err == nil && found.ID == "" {
		err = attempt.ErrNoLetter
	}
	return at, event, found, err
}

// DropDeadLetter forgets a dead letter. The error is [attempt.ErrNoLetter] if it is not
// there.
func (e *Engine) DropDeadLetter(ctx context.Context, id string) error {
	at, event, _, err := e.findLetter(ctx, id)
	if err != nil {
		return err
	}
	_, err = e.process(ctx, at, nil, attempt.Drop{Event: event})
	return noLetterIfGone(err)
}

// ReplayDeadLetter tells the host again. See okidhttp.Kit.ReplayDeadLetter.
func (e *Engine) ReplayDeadLetter(ctx context.Context, id string) error {
	at, event, l, err := e.findLetter(ctx, id)
	if err != nil {
		return err
	}
	if l.Reason == attempt.DeadNoVerdict {
		_, err := e.process(ctx, at, nil, attempt.Refresh{ID: l.VerificationID})
		return err
	}
	res, err := e.process(ctx, at, nil, attempt.Replay{Event: event})
	switch {
	case err != nil:
		return noLetterIfGone(err)
	case res.Outcome == attempt.DeadLetter:
		return ErrGivenUpAgain
	}
	return nil
}

// noLetterIfGone tells of an attempt that was erased as of a dead letter that is not
// there.
func noLetterIfGone(err error) error {
	if errors.Is(err, ErrGone) {
		return attempt.ErrNoLetter
	}
	return err
}
