// Package engine carries attempts through their life: it reads and writes their records,
// asks providers, calls the host, and works on what is due. What any of that means for an
// attempt is decided in package attempt, which does no I/O.
//
// Everything that becomes known about an attempt goes through one loop: the attempt is
// changed and written, then the provider is asked or the host called, and what comes of
// that changes the attempt again. What closes the gate is written as soon as it is sure,
// what opens it when the host knows. A crash in between leaves a record that is due when
// the lease ends, for [Engine.Run] or for the next delivery.
package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/seal"
	"github.com/okidkit/okidkit/store"
)

// Config is what an [Engine] needs. All fields are required, but for Limit.
type Config struct {
	Store     store.Store
	Providers []identity.Provider
	Keys      seal.Keyring
	// Policy is completed by New with its Sealer and NewOwner.
	Policy attempt.Policy
	Host   Host
	*Log

	// The following are those of okidhttp.Config.
	StartLimit          func(now time.Time, starts []time.Time) time.Duration
	CallbackTimeout     time.Duration
	Retention           time.Duration
	UnverifiedRetention time.Duration
	EraseAtProvider     bool
	SupportCodes        bool
	GrantCache          time.Duration
	Now                 func() time.Time
}

// Engine is made by [New], and safe for concurrent use.
type Engine struct {
	cfg       Config
	policy    attempt.Policy
	keys      seal.Keyring
	providers map[string]identity.Provider
	notifier  store.Notifier                            // nil: none
	together  store.Transactor                          // nil: none
	checker   interface{ Check(context.Context) error } // nil: none
	canary    atomic.Uint64                             // version of the canary that was there first; 0: not seen yet
	wake      chan struct{}                             // tells Run that there is work; holds one signal
	questions *quota
	starts    Turns
	grants    *grants // nil: none are remembered
	*Log
}

// New returns an engine. It does no I/O and starts no goroutine.
func New(cfg Config) *Engine {
	e := &Engine{
		cfg:       cfg,
		policy:    cfg.Policy,
		keys:      cfg.Keys,
		providers: map[string]identity.Provider{},
		wake:      make(chan struct{}, 1),
		questions: newQuota(),
		starts:    Turns{AtOnce: 1, Most: maxStartCrowd},
		grants:    newGrants(cfg.GrantCache),
		Log:       cfg.Log,
	}
	e.notifier, _ = cfg.Store.(store.Notifier)
	e.checker, _ = cfg.Store.(interface{ Check(context.Context) error })
	if t, ok := cfg.Store.(store.Transactor); ok {
		e.together, e.cfg.Store = t, apart{cfg.Store}
	}
	e.policy.Sealer = cfg.Keys
	e.policy.NewOwner = func() int64 { return int64(randomNonZero()) }
	for _, p := range cfg.Providers {
		e.providers[p.Name()] = p
	}
	return e
}

// Policy returns what the host has decided.
func (e *Engine) Policy() *attempt.Policy { return &e.policy }

// OpenReference returns the address that a reference holds, if it was made with these
// keys.
func (e *Engine) OpenReference(reference string) (at attempt.Address, ok bool) {
	place, err := e.keys.OpenReference(reference)
	if err != nil {
		return at, false
	}
	return attempt.AddressAt(place), true
}

// The errors of this package, and those of package attempt that come through it.
var (
	// ErrStore wraps what the store answered.
	ErrStore = errors.New("store failed")
	// ErrGone is returned if the attempt is not there, or not any more.
	ErrGone = fmt.Errorf("attempt is gone: %w", attempt.ErrInFlight)
	// errUnchanged is what a change of a record returns that makes none.
	errUnchanged = errors.New("nothing to write")
)

// maxRounds bounds how often one change is tried against others, and how often the host
// and the provider are turned to for one input.
const maxRounds = 20

// result is what came of an input.
type result struct {
	Outcome  attempt.Outcome
	Snapshot *Snapshot // as it was written last; nil if nobody knows
	Todo     attempt.Todo
	// Word is the provider's, if it was asked how the attempt stands.
	Word identity.Status
}

// process feeds an input to an attempt, and does what there is to do until nothing is
// left. s is the record as it was read before, or nil. The error says why the input has
// no effect yet; it wraps one of package attempt's, or [ErrStore].
func (e *Engine) process(ctx context.Context, at attempt.Address, s *Snapshot, in attempt.Input) (res result, err error) {
	var calls leased
	defer calls.end()
	var fetched *attempt.Answer // of which no webhook told
	var refused attempt.Outcome // which has been observed
	todo, s, err := e.update(ctx, at, s, in)
	for range maxRounds {
		if err != nil {
			outcome := StoreFailed
			if errors.Is(err, attempt.ErrInFlight) {
				outcome = attempt.InFlight
			}
			return result{Outcome: outcome, Word: res.Word}, err
		}
		res.Outcome, res.Snapshot, res.Todo = todo.Outcome, s, todo
		if e.Observer != nil {
			e.Concerns(ctx, s.Find(at.Attempt))
		}
		e.observeTodo(ctx, at, in, todo)
		if errors.Is(todo.Err, ErrGone) {
			e.releaseErased(ctx, at.Subject, in)
		}
		if todo.Refused != "" {
			refused = DocumentRefused
		} else if said, ok := in.(*attempt.HostSaid); ok && said.Refusal != nil {
			refused = Vetoed
		}
		if res.Outcome == attempt.Applied && refused != "" {
			res.Outcome = refused
		}
		switch {
		case todo.Ask != nil && todo.Ask.Work == nil:
			answer := e.ask(ctx, at, s, todo.Ask)
			res.Word = answer.Notice.Verification.Status
			in, fetched = answer, answer
			if answer.Err != nil { // whoever asked may be gone
				ctx = context.WithoutCancel(ctx)
			}
			todo, s, err = e.update(ctx, at, s, in)
		case todo.Ask != nil:
			// The sender hanging up is no reason to leave the work half done.
			ctx = context.WithoutCancel(ctx)
			in = e.ask(calls.begin(ctx, e, at, s, todo.Ask.Work.Owner), at, s, todo.Ask)
			todo, s, err = e.update(ctx, at, s, in)
		case todo.Call != nil:
			ctx = context.WithoutCancel(ctx)
			in, todo, s, err = e.tell(ctx, calls.begin(ctx, e, at, s, todo.Call.Work.Owner), at, s, todo.Call)
		default:
			if todo.Outcome == attempt.Queued || todo.Outcome == attempt.DeadLetter {
				e.wakeUp() // to tell the host, or to list it
			}
			if todo.Outcome == attempt.DeadLetter {
				return res, nil
			}
			if fetched != nil && fetched.Err == nil && todo.Err == nil {
				n := fetched.Notice
				if a := s.Find(at.Attempt); a != nil && a.Polled {
					n.Verification.ID = "" // which alone may be a key to the verification
				}
				e.ObserveNotice(ctx, res.Outcome, n, at.Attempt, nil)
			}
			return res, todo.Err
		}
	}
	return result{Outcome: attempt.InFlight, Word: res.Word}, attempt.ErrInFlight
}

// update lets an attempt take one step, and writes it if that changed it. If somebody
// else wrote meanwhile, the step is taken anew on what they wrote.
func (e *Engine) update(ctx context.Context, at attempt.Address, s *Snapshot, in attempt.Input) (todo attempt.Todo, written *Snapshot, err error) {
	written, err = e.rewrite(ctx, at.Subject, s, func(s *Snapshot) error {
		a := s.Find(at.Attempt)
		if a == nil {
			todo = attempt.Todo{Outcome: attempt.InFlight, Err: ErrGone}
			if _, ok := in.(*attempt.Webhook); ok {
				todo = attempt.Todo{Outcome: attempt.UnknownAttempt}
			}
			return errUnchanged
		}
		if todo = e.policy.Step(a, in, s.Clock()); !todo.Changed {
			return errUnchanged
		}
		return nil
	})
	return todo, written, err
}

// ask asks the provider. The answer is about this attempt or it is an error.
func (e *Engine) ask(ctx context.Context, at attempt.Address, s *Snapshot, ask *attempt.Ask) *attempt.Answer {
	a := s.Find(at.Attempt)
	n, err := e.fetch(ctx, a, ask.ID)
	if err != nil && ask.Work == nil && !a.NotYet(err) { // else it is postponed, which is told
		e.Failed(ctx, attempt.ProviderFailed, err, "attempt", at.Attempt)
	}
	return &attempt.Answer{Ask: ask, Notice: n, Err: err, Clock: e.cfg.Now()}
}

func (e *Engine) fetch(ctx context.Context, a *attempt.Attempt, id string) (identity.Notice, error) {
	p, ok := e.providers[a.Provider]
	if !ok {
		return identity.Notice{}, fmt.Errorf("%w: %s is not configured any more", identity.ErrUnavailable, a.Provider)
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.CallbackTimeout)
	defer cancel()
	ctx, span := e.Begin(ctx, Operation{Name: opProviderFetch, Provider: a.Provider, Status: a.Status, Trace: e.trace(ctx)})
	n, err := p.Fetch(ctx, id)
	span.End(0, err)
	if err != nil {
		return identity.Notice{}, err
	}
	n = attempt.Received(n, a.Provider)
	foreign := n.Reference != a.Reference && (n.Reference != "" || p.EchoesReference())
	if n.Verification.ID != id || foreign {
		return identity.Notice{}, fmt.Errorf("%w: the verification it names is another one", identity.ErrNotFound)
	}
	return n, nil
}

// wakeUp tells a Run of this engine that something is due.
func (e *Engine) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// randomNonZero is a number that nobody else draws.
func randomNonZero() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails, says its documentation
		if n := binary.NativeEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}
