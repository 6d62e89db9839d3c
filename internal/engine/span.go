package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// Observer is okidhttp.Observer.
type Observer interface {
	Begin(ctx context.Context, o Operation) (context.Context, func(Result))
	Count(ctx context.Context, o attempt.Outcome)
	Trace(ctx context.Context) string
}

// Operation is okidhttp.Operation.
type Operation struct {
	Name     string
	Provider string
	Status   identity.Status
	Late     time.Duration
	Trace    string
}

// Result is okidhttp.Result.
type Result struct {
	Outcome  attempt.Outcome
	Provider string
	Status   identity.Status
	Code     int
	Trace    string
	Err      error
}

// The names of the operations that are not routes.
const (
	opCallback      = "callback"
	opDecide        = "decide"
	opProviderStart = "provider.start"
	opProviderFetch = "provider.fetch"
)

// taskNames are the names of what Run does.
var taskNames = map[attempt.Task]string{
	attempt.TaskAbandon: "run.abandon", attempt.TaskTell: "run.tell", attempt.TaskLapse: "run.lapse", attempt.TaskRefresh: "run.refresh",
	attempt.TaskList: "run.list", attempt.TaskOverdue: "run.overdue", attempt.TaskClaim: "run.claim", attempt.TaskRemind: "run.remind",
}

// maxTrace bounds what an Observer may have kept with an attempt, in bytes.
const maxTrace = 128

// Span is an operation that an Observer was told of. The nil Span is one of which nobody was.
type Span struct {
	log *Log
	ctx context.Context
	end func(Result)

	mu     sync.Mutex
	result Result
}

type spanKey struct{}

// Begin tells the Observer, if there is one, that an operation begins.
func (l *Log) Begin(ctx context.Context, o Operation) (context.Context, *Span) {
	if l.Observer == nil {
		return ctx, nil
	}
	s := &Span{log: l, ctx: ctx, result: Result{Provider: o.Provider, Status: o.Status, Trace: o.Trace}}
	within := ctx
	l.guard(ctx, func() { within, s.end = l.Observer.Begin(ctx, o) })
	if within == nil {
		within = ctx
	}
	return context.WithValue(within, spanKey{}, s), s
}

// End tells the Observer what has come of the operation: the status code of the answer, or 0, and
// what went wrong, or nil.
func (s *Span) End(code int, err error) {
	if s == nil || s.end == nil {
		return
	}
	s.mu.Lock()
	result := s.result
	s.mu.Unlock()
	result.Code, result.Err = code, err
	s.log.guard(s.ctx, func() { s.end(result) })
}

// guard calls the Observer, whose panics are no reason to lose what is being done.
func (l *Log) guard(ctx context.Context, call func()) {
	defer func() {
		if v := recover(); v != nil {
			l.Line(ctx, slog.LevelError, "observe", "okidhttp: Config.Observer panicked", "panic", fmt.Sprint(v))
		}
	}()
	call()
}

// change notes something about the operation that ctx belongs to, if there is one.
func (l *Log) change(ctx context.Context, note func(*Result)) {
	if l.Observer == nil {
		return
	}
	if s, ok := ctx.Value(spanKey{}).(*Span); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		note(&s.result)
	}
}

// ByProvider notes which provider the operation is about that ctx belongs to.
func (l *Log) ByProvider(ctx context.Context, name string) {
	if l.Observer != nil {
		l.change(ctx, func(r *Result) { r.Provider = name })
	}
}

// trace is that of the attempt with which the operation is concerned that ctx belongs to.
func (l *Log) trace(ctx context.Context) (trace string) {
	l.change(ctx, func(r *Result) { trace = r.Trace })
	return trace
}

// Trace is what the Observer wants to be kept with an attempt that begins.
func (l *Log) Trace(ctx context.Context) (trace string) {
	if l.Observer != nil {
		l.guard(ctx, func() { trace = l.Observer.Trace(ctx) })
	}
	if len(trace) > maxTrace {
		return ""
	}
	return trace
}

// Concerns notes that an operation is concerned with an attempt, as it now stands.
func (e *Engine) Concerns(ctx context.Context, a *attempt.Attempt) {
	if e.Observer == nil || a == nil {
		return
	}
	trace := e.trace(ctx)
	if trace == "" {
		trace = e.policy.OpenContext(a).Trace
	}
	e.change(ctx, func(r *Result) { r.Provider, r.Status, r.Trace = a.Provider, a.Status, trace })
}
