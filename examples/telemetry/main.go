// Command telemetry is a small app with a simulated okID whose metrics Prometheus can fetch, and whose
// traces go to an OpenTelemetry collector if OTEL_EXPORTER_OTLP_ENDPOINT names one. It is a module of its
// own, so that the exporters stay out of apps that do without.
//
//	cd examples/telemetry && go run .
//
// Every ten seconds somebody is verified, so that there is something to see. dashboard.json is for
// Grafana, and alerts.yaml for Prometheus; docs/telemetry.md explains both.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidotel"
	"github.com/okidkit/okidkit/okidtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"))
	if err == nil {
		fmt.Printf("metrics are at http://%s/metrics\n", l.Addr())
		err = run(ctx, l, 10*time.Second)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "telemetry:", err)
		os.Exit(1)
	}
}

// run serves the app until ctx ends, and has somebody verified from time to time.
func run(ctx context.Context, l net.Listener, every time.Duration) error {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return err
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter))
	var tracing []trace.TracerProviderOption
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		spans, err := otlptracehttp.New(ctx) // reads the OTEL_… variables
		if err != nil {
			return err
		}
		tracing = append(tracing, trace.WithBatcher(spans))
	}
	traces := trace.NewTracerProvider(tracing...)
	observer, err := okidotel.New(okidotel.WithMeterProvider(meters), okidotel.WithTracerProvider(traces))
	if err != nil {
		return err
	}

	fake, err := okidtest.NewOKID(okidtest.Config{})
	if err != nil {
		return err
	}
	if err := fake.Start(); err != nil {
		return err
	}
	defer fake.Close()
	provider, err := okid.New(fake.ProviderConfig())
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, says its documentation
	origin := "http://" + l.Addr().String()
	kit, err := okidhttp.New(okidhttp.Config{
		Providers: []identity.Provider{provider},
		Store:     memstore.New(),
		PublicURL: origin + "/verify",
		Keys:      [][]byte{key},
		Subject:   func(r *http.Request) (string, error) { return r.Header.Get("Demo-User"), nil },
		Observer:  observer,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/verify/", kit)
	mux.Handle("GET /members", kit.RequireVerified(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served, ran := make(chan error, 1), make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	go func() { ran <- kit.Run(ctx) }()
	for n := 1; ctx.Err() == nil; n++ {
		if err := verify(ctx, fake, origin, fmt.Sprint("user ", n)); err != nil && ctx.Err() == nil {
			slog.Warn("nobody was verified", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
	ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = server.Shutdown(ending)
	if why := <-served; !errors.Is(why, http.ErrServerClosed) {
		err = errors.Join(err, why)
	}
	return errors.Join(err, <-ran, traces.Shutdown(ending), meters.Shutdown(ending))
}

// demoUser says who somebody is, in place of a log-in.
type demoUser string

func (u demoUser) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Demo-User", string(u))
	return http.DefaultTransport.RoundTrip(r)
}

// verify lets somebody be verified, who then looks at the members' page.
func verify(ctx context.Context, fake *okidtest.OKID, origin, user string) error {
	browser := &http.Client{Transport: demoUser(user), Timeout: 10 * time.Second}
	if err := fake.VerifyUser(ctx, browser, origin+"/verify/start", okidtest.Passport(time.Now())); err != nil {
		return err
	}
	resp, err := browser.Get(origin + "/members")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
