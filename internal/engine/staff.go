package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/okidkit/okidkit/internal/attempt"
)

var (
	// ErrNothing is returned if there is nothing that staff could act on.
	ErrNothing = errors.New("nothing to act on")
	// ErrNotTold wraps why the host does not know yet of what staff have decided.
	ErrNotTold = errors.New("host was not told yet")
)

// Revoke withdraws what verifies a subject, by the word of staff. The error is
// [ErrNothing], or wraps [ErrNotTold] or [ErrStore].
func (e *Engine) Revoke(ctx context.Context, of attempt.SubjectHash, by attempt.StaffWord) error {
	var revoked []attempt.ID
	s, err := e.rewrite(ctx, of, nil, func(s *Snapshot) error {
		revoked = e.policy.Revoke(s.Record, &by, s.Now)
		if len(revoked) == 0 {
			return ErrNothing
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.tellOfStaff(ctx, s, attempt.ActionRevoke, by, revoked)
}

// Approve verifies a subject by the word of staff. The errors are those of Revoke, where
// ErrNothing means that the subject is verified.
func (e *Engine) Approve(ctx context.Context, subject string, by attempt.StaffWord) error {
	var id attempt.ID
	s, err := e.rewrite(ctx, attempt.HashSubject(subject), nil, func(s *Snapshot) error {
		if e.policy.Counts(s.Grant(), s.Now) {
			return ErrNothing
		}
		a := s.Approvable()
		if a == nil {
			a = e.newAttempt(s, subject, attempt.StaffProvider)
			s.Starts = s.Starts[:len(s.Starts)-1] // the subject did not begin it
		}
		e.policy.Approve(a, &by, s.Now)
		id = a.ID
		return nil
	})
	if err != nil {
		return err
	}
	if e.cfg.SupportCodes {
		e.keepCode(ctx, s.Find(id))
	}
	return e.tellOfStaff(ctx, s, attempt.ActionApprove, by, []attempt.ID{id})
}

// ResetLimit forgets a subject's starts. The error is [ErrNothing] or wraps [ErrStore].
func (e *Engine) ResetLimit(ctx context.Context, of attempt.SubjectHash, by attempt.StaffWord) error {
	s, err := e.rewrite(ctx, of, nil, func(s *Snapshot) error {
		if !e.policy.ResetLimit(s.Record, &by, s.Now) {
			return ErrNothing
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.tellOfStaff(ctx, s, attempt.ActionResetLimit, by, nil)
}

// tellOfStaff logs what staff have done, and tells the host of what has come of it. What
// cannot be told now waits for Run.
func (e *Engine) tellOfStaff(ctx context.Context, s *Snapshot, action string, by attempt.StaffWord, ids []attempt.ID) error {
	if len(ids) == 0 {
		e.Observe(ctx, Staff, "action", action, "actor", by.Actor)
	}
	var errs []error
	for _, id := range ids {
		e.Observe(ctx, Staff, "action", action, "actor", by.Actor, "attempt", id)
		a := s.Find(id)
		if len(a.Outbox) == 0 {
			continue
		}
		last := a.Outbox[len(a.Outbox)-1]
		at := a.Address()
		res, err := e.process(ctx, at, nil, attempt.Due{Event: last.Event})
		if err == nil && res.Outcome == attempt.DeadLetter {
			err = errors.New("callback gave the event up")
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		e.wakeUp()
		return fmt.Errorf("%w: %w", ErrNotTold, err)
	}
	return nil
}
