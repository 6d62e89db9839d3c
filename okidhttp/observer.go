package okidhttp

import (
	"context"
	"net/http"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
)

// Observer is told what the kit does, so that traces, histograms and counters can be made of it.
// Package okidotel has one for OpenTelemetry. Its methods must return at once, and be safe for
// concurrent use; if one panics, nothing else comes of that. Nothing that they are given is personal or
// secret, and every value but Trace and Err is one of a few.
type Observer interface {
	// Begin is called when an operation begins. It returns the context in which the operation runs,
	// which is ctx or one made of it, and a function that is called once, when the operation has
	// ended. The context reaches providers, callbacks and the store, but not what is behind the gate.
	Begin(ctx context.Context, o Operation) (context.Context, func(Result))

	// Count is called with every outcome, also with those that [Config.Logger] is spared. ctx is that
	// of the operation in which it came up.
	Count(ctx context.Context, o Outcome)

	// Trace returns what leads from a start to its trace. It is kept with the attempt, sealed, and
	// handed out with each operation that is concerned with the attempt, today and in a week. With
	// "", and with more than 128 bytes, nothing is kept.
	Trace(ctx context.Context) string
}

// Operation is something that begins.
type Operation struct {
	// Name is that of a route ("start", "page", "webhook", "success", "error", "status", "stream" for a
	// live status, "claim" or "client"), "gate" for [Kit.RequireVerified], "callback" or "decide" for a
	// call of the host, "provider.start" or "provider.fetch" for a question to the provider, or, for
	// what [Kit.Run] does, "run.tell", "run.refresh", "run.lapse", "run.abandon", "run.list",
	// "run.overdue", "run.claim" or "run.remind".
	Name string
	// Provider is the name of the provider, and Status the attempt's, as far as they are known; a
	// callback is told of Status.
	Provider string
	Status   identity.Status
	// Late is how long the work of Run was due before it began. It is zero for everything else.
	Late time.Duration
	// Trace is what [Observer.Trace] returned when the attempt began, as far as that is known.
	Trace string
}

// Result is what has come of an [Operation] that has ended.
type Result struct {
	// Outcome is the last one that came up in the operation. It is empty if none did.
	Outcome Outcome
	// Provider, Status and Trace are those of the attempt that the operation was concerned with,
	// which may have become known meanwhile.
	Provider string
	Status   identity.Status
	// Code is the status code of the answer, and zero for what is no request. For a gate that lets
	// somebody through it is 200, whatever is behind it answers.
	Code  int
	Trace string
	// Err is why a call, a question or a task failed. Of a callback's it prints nothing personal.
	Err error
}

// observer is the host's Observer as the engine sees it.
type observer struct{ host Observer }

func (o observer) Begin(ctx context.Context, op engine.Operation) (context.Context, func(engine.Result)) {
	ctx, end := o.host.Begin(ctx, Operation(op))
	return ctx, func(r engine.Result) {
		if end != nil {
			end(Result{Outcome(r.Outcome), r.Provider, r.Status, r.Code, r.Trace, r.Err})
		}
	}
}

func (o observer) Count(ctx context.Context, outcome attempt.Outcome) {
	o.host.Count(ctx, Outcome(outcome))
}

func (o observer) Trace(ctx context.Context) string { return o.host.Trace(ctx) }

// route is the handler of a route.
func (k *Kit) route(name string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { k.serve(name, h, w, r) })
}

// serve lets a route answer, and the Observer know.
func (k *Kit) serve(name string, h http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	if k.cfg.Observer == nil {
		h(w, r)
		return
	}
	if name == "status" && wantsStream(r) {
		name = "stream"
	}
	ctx, span := k.engine.Begin(r.Context(), engine.Operation{Name: name})
	answer := &answerWriter{ResponseWriter: w}
	defer func() { span.End(answer.status(), nil) }()
	h(answer, r.WithContext(ctx))
}

// answerWriter notes the status code of an answer.
type answerWriter struct {
	http.ResponseWriter
	code int
}

func (w *answerWriter) WriteHeader(code int) {
	if w.code == 0 && code >= http.StatusOK { // what comes before the answer is none
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// status is the status code, which is 200 if nobody has said another.
func (w *answerWriter) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

// Unwrap is for [http.ResponseController].
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
