package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// Host is the app that the kit is embedded in.
type Host interface {
	// Decide returns why a verification does not count, or nil if it does. An error means
	// that it cannot tell, and is asked again later.
	Decide(ctx context.Context, e Event) (*attempt.Refusal, error)
	// Notify tells the host of an event. It has nothing to do if the host has no callback
	// for the event's status.
	Notify(ctx context.Context, e Event) error
}

// Event is okidhttp.Event.
type Event struct {
	ID           string
	Status       identity.Status
	Reason       string
	Final        bool
	Subject      string
	Attempt      string
	Provider     string
	Metadata     map[string]string
	Verification identity.Verification
	Renewal      bool
	SameDocument []string
	ExpiresAt    time.Time
}

// Permanent is okidhttp.Permanent.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errPermanent, err)
}

var (
	errPermanent = errors.New("permanent")
	errPanic     = errors.New("callback panicked")
)

// decide asks the host to decide, if that is due. It returns the event that the host is to be told
// of, or what it has said.
func (e *Engine) decide(ctx context.Context, at attempt.Address, s *Snapshot, c *attempt.Call) (Event, *attempt.HostSaid) {
	event, err := e.event(ctx, at, s, c)
	if err != nil {
		return event, &attempt.HostSaid{Call: c, Err: err}
	}
	if c.Status != identity.Verified || !e.policy.Decides || c.ByStaff {
		return event, nil
	}
	var refusal *attempt.Refusal
	asks, span := e.Begin(ctx, Operation{Name: opDecide, Provider: event.Provider, Status: event.Status, Trace: e.trace(ctx)})
	err = e.Call(asks, func(ctx context.Context) (err error) {
		refusal, err = e.cfg.Host.Decide(ctx, event)
		return err
	})
	span.End(0, scrubbed(event, err))
	switch {
	case err != nil:
		return event, failedCall(c, event, false, err)
	case refusal != nil:
		e.Observe(ctx, Vetoed, "attempt", at.Attempt, "event", event.ID, "reason", refusal.Reason)
		return event, &attempt.HostSaid{Call: c, Refusal: refusal}
	}
	return event, nil
}

// notify tells the host of an event.
func (e *Engine) notify(ctx context.Context, c *attempt.Call, event Event) *attempt.HostSaid {
	tells, span := e.Begin(ctx, Operation{Name: opCallback, Provider: event.Provider, Status: event.Status, Trace: e.trace(ctx)})
	err := e.Call(tells, func(ctx context.Context) error { return e.cfg.Host.Notify(ctx, event) })
	span.End(0, scrubbed(event, err))
	if err != nil {
		return failedCall(c, event, true, err)
	}
	return &attempt.HostSaid{Call: c, Called: true}
}

// failedCall is what the host has said if it returned an error.
func failedCall(c *attempt.Call, event Event, called bool, err error) *attempt.HostSaid {
	return &attempt.HostSaid{Call: c, Called: called, Err: &callbackError{event, err}, Permanent: errors.Is(err, errPermanent)}
}

// event is what the host is told.
func (e *Engine) event(ctx context.Context, at attempt.Address, s *Snapshot, c *attempt.Call) (event Event, err error) {
	subject, err := e.policy.OpenSubject(s.Record)
	if err != nil {
		return Event{}, fmt.Errorf("%w: subject: %w", attempt.ErrCallback, err)
	}
	a := s.Find(at.Attempt)
	event = Event{
		ID:           attempt.EventID(at.Attempt, c.Work.Event),
		Status:       c.Status,
		Reason:       c.Reason,
		Final:        c.Final,
		Subject:      subject,
		Attempt:      a.Reference,
		Provider:     a.Provider,
		Verification: *c.Work.Verification,
		Renewal:      e.policy.Renews(s.Record, at.Attempt, s.Clock()),
		ExpiresAt:    c.ExpiresAt,
	}
	switch c.Status {
	case identity.Verified:
		if event.SameDocument, err = e.sameDocument(ctx, at.Subject, c.Work.Verification); err != nil {
			return Event{}, fmt.Errorf("%w: %w", attempt.ErrProvider, err) // which is no fault of the host's
		}
	case attempt.Expiring:
		event.Status, event.Verification.Status = identity.Verified, identity.Verified
	}
	if sent := e.policy.OpenContext(a).Metadata; len(sent) > 0 {
		event.Metadata = map[string]string{}
		for _, m := range sent {
			event.Metadata[m.Name] = m.Value
		}
	}
	return event, nil
}

// Call runs one of the host's functions within the time that it may take. A panic comes
// back as an error.
func (e *Engine) Call(ctx context.Context, f func(context.Context) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err // the lease may be somebody else's by now
	}
	ctx, cancel := withTimeoutFromNow(ctx, e.cfg.CallbackTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return f(ctx)
}

// panicError is a panic of the host's. It matches errPanic.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) what() string  { return fmt.Sprintf("%v: %v", errPanic, e.value) }
func (e *panicError) Error() string { return e.what() + "\n" + string(e.stack) }
func (e *panicError) Unwrap() error { return errPanic }

// callbackError is what a function of the host's returned, and for which event.
type callbackError struct {
	event Event
	err   error
}

// scrubbed is Scrubbed of an error that may be nil.
func scrubbed(e Event, err error) error {
	if err == nil {
		return nil
	}
	return Scrubbed(e, err)
}

// Scrubbed wraps an error of the host's. It prints nothing that is personal about an event.
func Scrubbed(e Event, err error) error { return &scrubbedError{e, err} }

type scrubbedError struct {
	event Event
	err   error
}

func (e *scrubbedError) Error() string { return e.event.scrub(e.err) }
func (e *scrubbedError) Unwrap() error { return e.err }

// CallbackError wraps what a function of the host's returned about an event. It prints
// nothing personal.
func CallbackError(e Event, err error) error { return &callbackError{e, err} }

func (e *callbackError) Error() string {
	return attempt.ErrCallback.Error() + ": " + e.event.scrub(e.err)
}
func (e *callbackError) Unwrap() []error { return []error{attempt.ErrCallback, e.err} }
