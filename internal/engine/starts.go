package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

const (
	// StartTime is how long one start may take to get a token; then another may try in
	// its place. It covers the provider's client and one write.
	StartTime = 20 * time.Second
	// A start looks after 50, 100 … 500 ms whether one in another process, which asks the
	// provider already, has got the token.
	minWait = 50 * time.Millisecond
	maxWait = 500 * time.Millisecond
	// maxStartCrowd bounds the starts of one subject in one process: one that is worked
	// on, and those that wait for it.
	maxStartCrowd = 64
)

// StartRequest says what a subject wants to begin.
type StartRequest struct {
	Subject  string
	Provider identity.Provider
	Context  attempt.Context
	Metadata map[string]string
	// Renew says that a verification which counts is no reason not to begin another.
	Renew bool
	// URLs returns where the provider sends webhooks and users for a reference.
	URLs func(reference string) (webhook, success, failure string)
}

// StartedAttempt is what a start leads to.
type StartedAttempt struct {
	Reference string
	Session   identity.Session
	Locale    string
	Resumed   bool
}

var (
	// ErrVerified is returned by [Engine.Start] if the subject is verified already.
	ErrVerified = errors.New("subject is verified already")
	// ErrStart wraps what the provider answered to a start. It has been observed.
	ErrStart = errors.New("provider could not start")
	// errOtherFailed is returned to those who have waited for a start that failed.
	errOtherFailed = errors.New("another start has failed")
)

// RuledOutError is returned if a refusal of the host's rules out another attempt.
type RuledOutError struct{ Reason string }

func (e *RuledOutError) Error() string { return "another attempt is ruled out: " + e.Reason }

// LimitError is returned if a subject may not begin another attempt yet. It has been
// observed.
type LimitError struct{ Wait time.Duration }

func (e *LimitError) Error() string { return fmt.Sprintf("subject must wait %v", e.Wait) }

// starter gets one subject an attempt with a token.
type starter struct {
	*Engine
	StartRequest
	hash attempt.SubjectHash
}

// Start resumes or begins an attempt. However many starts run at once for one subject,
// one of them asks the provider, and the others share what comes of it. The errors are
// those above, [ErrCrowd], and one that wraps [ErrStore]; any other one means that it is
// not known when there will be a token.
func (e *Engine) Start(ctx context.Context, r StartRequest) (started *StartedAttempt, err error) {
	s := starter{e, r, attempt.HashSubject(r.Subject)}
	of := TurnOf{s.hash, r.Provider.Name()}
	othersFailed, err := e.starts.Wait(ctx, of)
	if err != nil {
		return nil, err
	}
	failed := false
	defer func() { e.starts.Leave(of, failed) }()
	if othersFailed {
		return nil, errOtherFailed
	}
	started, err = s.start(ctx)
	_, limited := errors.AsType[*LimitError](err)
	_, ruledOut := errors.AsType[*RuledOutError](err)
	failed = err != nil && !limited && !ruledOut && !errors.Is(err, ErrVerified) && !errors.Is(err, context.Canceled) // that is the user's own doing
	return started, err
}

// start resumes or begins an attempt. While another process asks the provider for the
// same subject, it waits for what comes of that.
func (s *starter) start(ctx context.Context) (*StartedAttempt, error) {
	waited := false
	for pause := minWait; ; {
		snap, err := s.Load(ctx, s.hash)
		if err != nil {
			return nil, err
		}
		if !s.Renew && s.policy.Counts(snap.Grant(), snap.Now) {
			return nil, ErrVerified
		}
		if a := snap.RuledOut(); a != nil {
			return nil, &RuledOutError{a.Reason}
		}
		a, session, asking := s.policy.Resumable(snap.Record, s.Provider.Name(), snap.Now)
		switch {
		case a != nil:
			return s.resume(ctx, a, session)
		case asking:
			if err := sleep(ctx, pause); err != nil {
				return nil, err
			}
			waited, pause = true, min(2*pause, maxWait)
			continue
		case waited:
			return nil, errOtherFailed
		}
		if err := s.limited(ctx, snap); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// What was asked of the provider is kept even if the user leaves meanwhile.
		ctx := context.WithoutCancel(ctx)
		begun, err := s.begin(ctx, snap)
		if errors.Is(err, store.ErrConflict) {
			continue
		} else if err != nil {
			return nil, err
		}
		return s.ask(ctx, snap, begun)
	}
}

// resume hands out the token of an attempt again. Where the user wants to go afterwards
// is what was said last.
func (s *starter) resume(ctx context.Context, a *attempt.Attempt, session identity.Session) (*StartedAttempt, error) {
	s.Concerns(ctx, a)
	started := &StartedAttempt{Reference: a.Reference, Session: session, Resumed: true}
	begun := s.policy.OpenContext(a)
	started.Locale = cmp.Or(s.Context.Locale, begun.Locale)
	if returnTo := cmp.Or(s.Context.ReturnTo, begun.ReturnTo); returnTo != begun.ReturnTo || started.Locale != begun.Locale {
		begun.ReturnTo, begun.Locale = returnTo, started.Locale
		err := s.rewriteAttempt(ctx, a.Address(), func(_ *Snapshot, a *attempt.Attempt) error {
			s.policy.SealContext(a, &begun)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return started, nil
}

// limited is the error if the subject may not begin another attempt now.
func (e *Engine) limited(ctx context.Context, s *Snapshot) error {
	wait := e.policy.Limit(s.Record, e.cfg.StartLimit, s.Now)
	if wait <= 0 {
		return nil
	}
	e.Observe(ctx, Limited)
	return &LimitError{wait}
}

// begin writes the new attempt before the provider knows of it, so that not even a
// webhook which overtakes the provider's answer is lost.
func (s *starter) begin(ctx context.Context, snap *Snapshot) (*attempt.Attempt, error) {
	snap.Replace(snap.Now)
	a := s.newAttempt(snap, s.Subject, s.Provider.Name())
	a.AskingTo = a.CreatedAt.Add(StartTime)
	s.policy.SealContext(a, &s.Context)
	return a, s.save(ctx, snap)
}

// newAttempt gives a subject a new attempt.
func (e *Engine) newAttempt(s *Snapshot, subject, provider string) *attempt.Attempt {
	at := attempt.Address{Subject: s.Of()}
	_, _ = rand.Read(at.Attempt[:]) // never fails, says its documentation
	return e.policy.Begin(s.Record, at.Attempt, e.keys.NewReference(at.Place()), subject, provider, s.Now, e.cfg.Now())
}

// ask gets the token from the provider, and writes it down: in snap, which is the record
// as it was just written.
func (s *starter) ask(ctx context.Context, snap *Snapshot, a *attempt.Attempt) (*StartedAttempt, error) {
	at := a.Address()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), StartTime)
	defer cancel()
	request := identity.StartRequest{Reference: a.Reference, Metadata: s.Metadata}
	request.CallbackURL, request.SuccessURL, request.ErrorURL = s.URLs(a.Reference)
	var meanwhile sync.WaitGroup
	if s.cfg.SupportCodes {
		meanwhile.Go(func() { s.keepCode(ctx, a) })
	}
	asks, span := s.Begin(ctx, Operation{Name: opProviderStart, Provider: a.Provider, Status: a.Status, Trace: s.Context.Trace})
	session, err := s.Provider.Start(asks, request)
	span.End(0, err)
	meanwhile.Wait()
	if err == nil && !session.ExpiresAt.After(a.CreatedAt) {
		err = fmt.Errorf("%w, %w: the token that it gave has expired already", identity.ErrRefused, identity.ErrUncertain)
	}
	if err == nil && len(session.ID) > identity.MaxText {
		err = fmt.Errorf("%w, %w: the id that it gave is too long", identity.ErrRefused, identity.ErrUncertain)
	}
	if err != nil {
		s.Failed(ctx, attempt.ProviderFailed, err, "attempt", a.ID)
		if err := s.forget(ctx, a, errors.Is(err, identity.ErrUncertain)); err != nil {
			s.Failed(ctx, StoreFailed, err, "attempt", a.ID)
		}
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	_, err = s.rewrite(ctx, s.hash, snap, func(snap *Snapshot) error {
		a := snap.Find(at.Attempt)
		if a == nil {
			return attempt.ErrInFlight
		}
		a.AskingTo, a.ExpiresAt = time.Time{}, session.ExpiresAt
		s.policy.Follow(a, session.ID, snap.Now)
		if a.Status == identity.Created || a.Status == identity.Started {
			s.policy.SealToken(a, session.Token)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.Concerns(ctx, a)
	s.Observe(ctx, Started, "attempt", a.ID, "provider", a.Provider)
	return &StartedAttempt{Reference: a.Reference, Session: session, Locale: s.Context.Locale}, nil
}

// forget takes back an attempt for which there is no token, unless something says that it
// is alive all the same. The start still counts if the provider may have charged for it.
func (s *starter) forget(ctx context.Context, failed *attempt.Attempt, charged bool) error {
	gone := false
	err := s.rewriteAttempt(ctx, failed.Address(), func(snap *Snapshot, a *attempt.Attempt) error {
		if !charged {
			snap.Refund(a)
		}
		if gone = s.policy.Abandon(snap.Record, a.ID, snap.Now); !gone {
			return errUnchanged
		}
		return nil
	})
	if err == nil && gone && s.cfg.SupportCodes { // or starts that fail could leave any number of codes
		return s.forgetCode(ctx, failed.ID)
	}
	return err
}

// abandon ends a start of which nobody has heard any more.
func (e *Engine) abandon(ctx context.Context, at attempt.Address, s *Snapshot) error {
	_, err := e.rewrite(ctx, at.Subject, s, func(s *Snapshot) error {
		if !e.policy.Abandon(s.Record, at.Attempt, s.Now) {
			return errUnchanged
		}
		return nil
	})
	return err
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Starting returns how many subjects have starts under way in this process.
func (e *Engine) Starting() int { return e.starts.Subjects() }
