// Package okidotel makes traces and metrics with OpenTelemetry of what the kit does. It is a module of
// its own, so that a host which does without it has no OpenTelemetry.
//
//	observer, err := okidotel.New()
//	...
//	kit, err := okidhttp.New(okidhttp.Config{Observer: observer, ...})
//
// # Traces
//
// Each operation is a span, "okidkit webhook" for instance: what one made another do is inside it, and
// an attempt's webhooks, callbacks and later tries are linked to the span of its start, however much
// later they come. A route's span is inside the one that the host's own instrumentation of net/http has
// made, if there is one.
//
// # Metrics
//
//	okidkit.operation.duration   histogram, seconds
//	okidkit.outcomes             counter of every outcome
//	okidkit.run.lateness         histogram, seconds: how long work was due before Run began with it
//
// # Attributes
//
//	okidkit.operation            see okidhttp.Operation
//	okidkit.provider             the provider's name
//	okidkit.status               the attempt's status
//	okidkit.outcome              see okidhttp.Outcome
//	http.response.status_code    of a route
//	error.type                   "timeout", "canceled", "other", or the status code of a route from 500 on
//
// Every value is one of a few, whatever strangers send, and none says who somebody is. Messages of errors
// are left to the log.
package okidotel

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/okidkit/okidkit/okidhttp"
)

// scope is the name of the instrumentation.
const scope = "github.com/okidkit/okidkit/okidotel"

// Option is a setting of [New].
type Option func(*observer)

// WithTracerProvider sets where spans go; the default is the global one, as it is when New is called.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(o *observer) { o.tracer = p.Tracer(scope) }
}

// WithMeterProvider sets where measurements go; the default is the global one, as it is when New is
// called.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(o *observer) { o.meter = p.Meter(scope) }
}

// observer is an [okidhttp.Observer].
type observer struct {
	tracer trace.Tracer
	meter  metric.Meter
	now    func() time.Time

	duration metric.Float64Histogram
	lateness metric.Float64Histogram
	outcomes metric.Int64Counter

	labels  memo[labels, labeled]
	tasks   memo[string, metric.MeasurementOption]
	counted memo[okidhttp.Outcome, metric.MeasurementOption]
}

// New returns an observer for [okidhttp.Config]. The error is the meter's.
func New(opts ...Option) (okidhttp.Observer, error) {
	o := &observer{tracer: otel.Tracer(scope), meter: otel.Meter(scope), now: time.Now}
	for _, opt := range opts {
		opt(o)
	}
	var errs [3]error
	o.duration, errs[0] = o.meter.Float64Histogram("okidkit.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("How long an operation of the kit took."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	o.lateness, errs[1] = o.meter.Float64Histogram("okidkit.run.lateness", metric.WithUnit("s"),
		metric.WithDescription("How long work was due before Run began with it."),
		metric.WithExplicitBucketBoundaries(.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600))
	o.outcomes, errs[2] = o.meter.Int64Counter("okidkit.outcomes", metric.WithUnit("{outcome}"),
		metric.WithDescription("What came of things."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return o, nil
}

// Begin implements [okidhttp.Observer].
func (o *observer) Begin(ctx context.Context, op okidhttp.Operation) (context.Context, func(okidhttp.Result)) {
	began := o.now()
	ctx, span := o.tracer.Start(ctx, "okidkit "+op.Name, trace.WithSpanKind(kind(ctx, op.Name)), trace.WithTimestamp(began))
	linked := link(span, "", op.Trace)
	return ctx, func(r okidhttp.Result) {
		ended := o.now()
		l := o.labels.of(labels{op.Name, r.Provider, string(r.Status), string(r.Outcome), r.Code, errorType(r)}, labels.label)
		o.duration.Record(ctx, ended.Sub(began).Seconds(), l.option)
		if strings.HasPrefix(op.Name, "run.") {
			o.lateness.Record(ctx, op.Late.Seconds(), o.tasks.of(op.Name, func(name string) metric.MeasurementOption {
				return metric.WithAttributeSet(attribute.NewSet(attribute.String("okidkit.operation", name)))
			}))
		}
		if span.IsRecording() {
			link(span, linked, r.Trace)
			span.SetAttributes(l.attributes...)
			if r.Err != nil || r.Code >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, string(r.Outcome))
			}
		}
		span.End(trace.WithTimestamp(ended))
	}
}

// Count implements [okidhttp.Observer].
func (o *observer) Count(ctx context.Context, outcome okidhttp.Outcome) {
	o.outcomes.Add(ctx, 1, o.counted.of(outcome, func(outcome okidhttp.Outcome) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(attribute.String("okidkit.outcome", string(outcome))))
	}))
}

// traceParent is the name under which W3C's format has a span's ids.
const traceParent = "traceparent"

// Trace implements [okidhttp.Observer]. It returns the ids of the span that ctx has.
func (o *observer) Trace(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceParent]
}

// link links a span to the one of a start, unless that was linked before or is an ancestor in the same
// trace. It returns what it was linked to.
func link(span trace.Span, linked, start string) string {
	if start == "" || start == linked || !span.IsRecording() {
		return linked
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceParent: start})
	to := trace.SpanContextFromContext(ctx)
	if !to.IsValid() || to.TraceID() == span.SpanContext().TraceID() {
		return start
	}
	span.AddLink(trace.Link{SpanContext: to})
	return start
}

// kind is that of a span: a question to the provider is a client's, and a route is a server's, unless
// the host's own instrumentation has made a span for that.
func kind(ctx context.Context, name string) trace.SpanKind {
	switch {
	case strings.HasPrefix(name, "provider."):
		return trace.SpanKindClient
	case strings.HasPrefix(name, "run."), name == "callback", name == "decide", trace.SpanContextFromContext(ctx).IsValid():
		return trace.SpanKindInternal
	}
	return trace.SpanKindServer
}

// labels are what a measurement is told apart by.
type labels struct {
	operation, provider, status, outcome string
	code                                 int
	errorType                            string
}

// labeled is labels as OpenTelemetry has them.
type labeled struct {
	attributes []attribute.KeyValue
	option     metric.MeasurementOption
}

func (l labels) label() labeled {
	var all []attribute.KeyValue
	for _, text := range [][2]string{
		{"okidkit.operation", l.operation}, {"okidkit.provider", l.provider}, {"okidkit.status", l.status},
		{"okidkit.outcome", l.outcome}, {"error.type", l.errorType},
	} {
		if text[1] != "" {
			all = append(all, attribute.String(text[0], text[1]))
		}
	}
	if l.code != 0 {
		all = append(all, attribute.Int("http.response.status_code", l.code))
	}
	return labeled{all, metric.WithAttributeSet(attribute.NewSet(all...))}
}

// memo keeps what was made once, of which there are few.
type memo[K comparable, V any] struct {
	mu   sync.RWMutex
	made map[K]V
}

func (m *memo[K, V]) of(key K, make func(K) V) V {
	m.mu.RLock()
	v, ok := m.made[key]
	m.mu.RUnlock()
	if ok {
		return v
	}
	v = make(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.made == nil {
		m.made = map[K]V{}
	}
	m.made[key] = v
	return v
}

// errorType says of which kind a failure is.
func errorType(r okidhttp.Result) string {
	switch {
	case errors.Is(r.Err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(r.Err, context.Canceled):
		return "canceled"
	case r.Err != nil:
		return "other"
	case r.Code >= http.StatusInternalServerError:
		return strconv.Itoa(r.Code)
	}
	return ""
}
