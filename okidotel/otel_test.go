package okidotel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidotel"
	"github.com/okidkit/okidkit/okidtest"
)

// app is a host that is observed.
type app struct {
	t       *testing.T
	kit     *okidhttp.Kit
	fake    *okidtest.OKID
	spans   *tracetest.SpanRecorder
	metrics *metric.ManualReader
	fail    error // what OnVerified returns
}

// canary is what no span and no metric may have.
const canary = "jane.roe@example.com"

func newApp(t *testing.T) *app {
	t.Helper()
	a := &app{t: t, spans: tracetest.NewSpanRecorder(), metrics: metric.NewManualReader()}
	observer, err := okidotel.New(
		okidotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(a.spans))),
		okidotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(a.metrics))),
	)
	require.NoError(t, err)
	a.fake, err = okidtest.NewOKID(okidtest.Config{})
	require.NoError(t, err)
	require.NoError(t, a.fake.Start())
	t.Cleanup(a.fake.Close)
	provider, err := okid.New(a.fake.ProviderConfig())
	require.NoError(t, err)
	a.kit, err = okidhttp.New(okidhttp.Config{
		Providers: []identity.Provider{provider},
		Store:     memstore.New(),
		PublicURL: "https://app.example/verify",
		Keys:      [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject:   func(*http.Request) (string, error) { return canary, nil },
		OnVerified: func(ctx context.Context, _ okidhttp.Event) error {
			assert.True(t, trace.SpanFromContext(ctx).IsRecording(), "what the callback does is part of it")
			return a.fail
		},
		Logger:   slog.New(slog.DiscardHandler),
		Observer: observer,
	})
	require.NoError(t, err)
	return a
}

// do sends a request to the kit.
func (a *app) do(method, path string, header http.Header, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://app.example"+path, strings.NewReader(body))
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	a.kit.ServeHTTP(w, r)
	return w
}

// start begins an attempt and returns its reference.
func (a *app) start() string {
	a.t.Helper()
	w := a.do("POST", "/verify/start", http.Header{"Accept": {"application/json"}}, "")
	require.Equal(a.t, http.StatusCreated, w.Code)
	var body struct {
		Attempt string `json:"attempt"`
	}
	require.NoError(a.t, json.Unmarshal(w.Body.Bytes(), &body))
	return body.Attempt
}

// webhook delivers an event about an attempt, and returns the status code.
func (a *app) webhook(reference, event string) int {
	a.t.Helper()
	found := okidtest.Passport(time.Now())
	found.Metadata = map[string]string{okid.MetadataReference: reference}
	header, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, time.Now(), okid.WebhookBody{Event: event, Data: found})
	return a.do("POST", "/verify/webhook", header, string(body)).Code
}

// span is the ended one with this name, of which there must be one.
func (a *app) span(name string) sdktrace.ReadOnlySpan {
	a.t.Helper()
	var found []sdktrace.ReadOnlySpan
	for _, s := range a.spans.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	require.Len(a.t, found, 1, name)
	return found[0]
}

// linksTo asserts that a span is linked to another one, in another trace.
func (a *app) linksTo(from, to sdktrace.ReadOnlySpan) {
	a.t.Helper()
	assert.NotEqual(a.t, from.SpanContext().TraceID(), to.SpanContext().TraceID())
	require.Len(a.t, from.Links(), 1, from.Name())
	assert.Equal(a.t, to.SpanContext().SpanID(), from.Links()[0].SpanContext.SpanID(), from.Name())
	assert.Equal(a.t, to.SpanContext().TraceID(), from.Links()[0].SpanContext.TraceID(), from.Name())
}

// A start, its webhook with a callback that fails, and the later try of Run are one picture: three
// traces, of which the later ones are linked to the first.
func TestTrace(t *testing.T) {
	a := newApp(t)
	reference := a.start()
	start := a.span("okidkit start")
	asked := a.span("okidkit provider.start")
	assert.Equal(t, start.SpanContext().SpanID(), asked.Parent().SpanID())
	assert.Equal(t, trace.SpanKindClient, asked.SpanKind())
	assert.Equal(t, trace.SpanKindServer, start.SpanKind())

	a.fail = fmt.Errorf("no account for %s", canary)
	require.Equal(t, http.StatusInternalServerError, a.webhook(reference, okid.EventCompleted))
	webhook, callback := a.span("okidkit webhook"), a.span("okidkit callback")
	a.linksTo(webhook, start)
	assert.Equal(t, webhook.SpanContext().SpanID(), callback.Parent().SpanID())
	assert.Contains(t, callback.Attributes(), attribute.String("okidkit.status", "verified"))
	assert.Contains(t, callback.Attributes(), attribute.String("error.type", "other"))
	assert.Contains(t, webhook.Attributes(), attribute.String("okidkit.outcome", "callback_failed"))
	assert.Contains(t, webhook.Attributes(), attribute.Int("http.response.status_code", 500))
	assert.Contains(t, webhook.Attributes(), attribute.String("okidkit.provider", "okid"))

	a.fail = nil
	a.spans.Reset()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- a.kit.Run(ctx) }()
	require.Eventually(t, func() bool {
		for _, s := range a.spans.Ended() {
			if s.Name() == "okidkit run.tell" {
				return true
			}
		}
		return false
	}, time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(t, <-ran)
	tell, again := a.span("okidkit run.tell"), a.span("okidkit callback")
	a.linksTo(tell, start)
	assert.Equal(t, tell.SpanContext().SpanID(), again.Parent().SpanID())
	assert.Contains(t, tell.Attributes(), attribute.String("okidkit.outcome", "applied"))

	for _, s := range a.spans.Ended() {
		assert.NotContains(t, fmt.Sprint(s.Attributes(), s.Events(), s.Status()), "jane")
	}
}

// series are all that the metrics have.
func (a *app) series() map[string]int {
	a.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(a.t, a.metrics.Collect(context.Background(), &all))
	found := map[string]int{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					found[m.Name+p.Attributes.Encoded(attribute.DefaultEncoder())] += int(p.Count)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					found[m.Name+p.Attributes.Encoded(attribute.DefaultEncoder())] += int(p.Value)
				}
			}
		}
	}
	return found
}

func TestMetrics(t *testing.T) {
	a := newApp(t)
	require.Equal(t, http.StatusOK, a.webhook(a.start(), okid.EventCompleted))
	for _, name := range []string{
		"okidkit.operation.durationhttp.response.status_code=201,okidkit.operation=start,okidkit.outcome=started,okidkit.provider=okid,okidkit.status=created",
		"okidkit.operation.durationhttp.response.status_code=200,okidkit.operation=webhook,okidkit.outcome=applied,okidkit.provider=okid,okidkit.status=verified",
		"okidkit.operation.durationokidkit.operation=callback,okidkit.provider=okid,okidkit.status=verified",
		"okidkit.outcomesokidkit.outcome=applied",
	} {
		assert.Equal(t, 1, a.series()[name], "%s in %v", name, a.series())
	}
}

// Whatever strangers send, and whatever the provider calls things, adds no series.
func TestBoundedSeries(t *testing.T) {
	a := newApp(t)
	reference := a.start()
	send := func(n int) {
		for i := range n {
			text := fmt.Sprintf("%x", rand.Uint64())
			assert.Equal(t, http.StatusOK, a.webhook(reference, "verification."+text))
			a.do("POST", "/verify/webhook?provider="+text, nil, text)
			a.do("GET", "/verify/status?attempt="+text, nil, "")
			a.do("GET", "/verify/"+text, nil, "")
			a.do([]string{"GET", "POST", "PUT", text}[i%4], "/verify/claim?"+text, nil, text)
		}
	}
	send(100)
	before := len(a.series())
	send(10_000)
	assert.Len(t, a.series(), before)
	for name := range a.series() {
		assert.NotContains(t, name, "jane")
	}
}

// A span of the host's own instrumentation is the parent.
func TestWithinTheHostsSpan(t *testing.T) {
	a := newApp(t)
	tracer := sdktrace.NewTracerProvider().Tracer("host")
	ctx, span := tracer.Start(t.Context(), "GET /verify/")
	defer span.End()
	r := httptest.NewRequestWithContext(ctx, "GET", "https://app.example/verify/page", nil)
	a.kit.ServeHTTP(httptest.NewRecorder(), r)
	page := a.span("okidkit page")
	assert.Equal(t, span.SpanContext().SpanID(), page.Parent().SpanID())
	assert.Equal(t, trace.SpanKindInternal, page.SpanKind())
}

// Without options the global providers are used, which do nothing unless the host sets them.
func TestGlobal(t *testing.T) {
	o, err := okidotel.New()
	require.NoError(t, err)
	ctx, end := o.Begin(t.Context(), okidhttp.Operation{Name: "start", Trace: "nonsense"})
	assert.Empty(t, o.Trace(ctx))
	o.Count(ctx, okidhttp.OutcomeStarted)
	end(okidhttp.Result{Err: errors.New("any"), Trace: "00-" + strings.Repeat("0", 32) + "-" + strings.Repeat("0", 16) + "-01"})
}

func BenchmarkGate(b *testing.B) {
	observer, err := okidotel.New(
		okidotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))),
		okidotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))),
	)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, end := observer.Begin(b.Context(), okidhttp.Operation{Name: "gate"})
		end(okidhttp.Result{Code: 200})
	}
}
