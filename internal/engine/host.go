package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// Host is the app that the kit is embedded in.
type Host interface {
	// Decide says whether a verification may count. An error refuses, unless it is
	// [Temporary] or a context's.
	Decide(ctx context.Context, e Event) error
	// Notify tells the host of an event. It has nothing to do if the host has no callback
	// for the event's status.
	Notify(ctx context.Context, e Event) error
}

// Event is okidhttp.Event.
type Event struct {
	ID           string
	Status       identity.Status
	Reason       string
	Subject      string
	Attempt      string
	Provider     string
	Metadata     map[string]string
	Verification identity.Verification
}

// Permanent is okidhttp.Permanent.
func Permanent(err error) error { return mark(err, errPermanent) }

// Temporary is okidhttp.Temporary.
func Temporary(err error) error { return mark(err, errTemporary) }

var (
	errPermanent = errors.New("permanent")
	errTemporary = errors.New("temporary")
	errPanic     = errors.New("callback panicked")
)

func mark(err, as error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", as, err)
}

// call asks the host to decide, if that is due, and tells it of an event.
func (e *Engine) call(ctx context.Context, at attempt.Address, s *Snapshot, c *attempt.Call) *attempt.HostSaid {
	said := &attempt.HostSaid{Call: c}
	event, err := e.event(at, s, c)
	if err != nil {
		said.Err = fmt.Errorf("%w: %w", attempt.ErrCallback, err)
		return said
	}
	if c.Status == identity.Verified && e.policy.Decides {
		err = e.Call(ctx, func(ctx context.Context) error { return e.cfg.Host.Decide(ctx, event) })
		if vetoed(err) {
			e.Observe(ctx, Vetoed, "attempt", at.Attempt, "event", event.ID, "error", event.scrub(err))
			said.Refused = true
			return said
		}
	}
	if err == nil {
		said.Called = true
		err = e.Call(ctx, func(ctx context.Context) error { return e.cfg.Host.Notify(ctx, event) })
	}
	if err != nil {
		said.Err, said.Permanent = &callbackError{event, err}, errors.Is(err, errPermanent)
	}
	return said
}

// event is what the host is told.
func (e *Engine) event(at attempt.Address, s *Snapshot, c *attempt.Call) (Event, error) {
	subject, err := e.policy.OpenSubject(s.Record)
	if err != nil {
		return Event{}, fmt.Errorf("subject: %w", err)
	}
	a := s.Find(at.Attempt)
	event := Event{
		ID:           attempt.EventID(at.Attempt, c.Work.Event),
		Status:       c.Status,
		Reason:       c.Reason,
		Subject:      subject,
		Attempt:      a.Reference,
		Provider:     a.Provider,
		Verification: *c.Work.Verification,
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

// vetoed reports whether an error of Host.Decide refuses.
func vetoed(err error) bool {
	return err != nil && !errors.Is(err, errTemporary) && !errors.Is(err, errPanic) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// callbackError is what a function of the host's returned, and for which event.
type callbackError struct {
	event Event
	err   error
}

// Scrubbed returns an error with the text of one of the host's, without what is personal
// about an event.
func Scrubbed(e Event, err error) error { return errors.New(e.scrub(err)) }

// CallbackError wraps what a function of the host's returned about an event. It prints
// nothing personal.
func CallbackError(e Event, err error) error { return &callbackError{e, err} }

func (e *callbackError) Error() string {
	return attempt.ErrCallback.Error() + ": " + e.event.scrub(e.err)
}
func (e *callbackError) Unwrap() []error { return []error{attempt.ErrCallback, e.err} }
