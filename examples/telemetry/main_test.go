package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// The app's metrics can be fetched, its spans reach a collector, and the dashboard and the alerts ask for
// nothing that there is not.
func TestTelemetry(t *testing.T) {
	var spans atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1/traces" {
			spans.Add(int64(strings.Count(string(body), "okidkit ")))
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, l, time.Millisecond) }()
	metrics := ""
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + l.Addr().String() + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		metrics = string(body)
		return err == nil && strings.Contains(metrics, `okidkit_operation="gate"`) && strings.Contains(metrics, `okidkit_outcome="applied"`)
	}, time.Minute, 20*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	assert.Positive(t, spans.Load())
	assert.NotContains(t, metrics, "user ")

	known := func(name string) bool {
		if strings.HasPrefix(name, "okidkit_run_lateness_seconds") { // there is none before something is due
			return true
		}
		return strings.Contains(metrics, "\n"+name+"{")
	}
	for _, expression := range append(dashboard(t), alerts(t)...) {
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(strings.ReplaceAll(expression, "$__rate_interval", "5m"))
		require.NoError(t, err, expression)
		names := regexp.MustCompile(`okidkit_[a-z_]+_(?:bucket|count|total)`).FindAllString(parsed.String(), -1)
		assert.NotEmpty(t, names, expression)
		for _, name := range names {
			assert.True(t, known(name), "%s of %s", name, expression)
		}
		for _, label := range regexp.MustCompile(`\b(okidkit_(?:operation|outcome|status|provider)|http_response_status_code)\b`).FindAllString(parsed.String(), -1) {
			assert.Contains(t, metrics, label+"=", expression)
		}
	}
}

func dashboard(t *testing.T) (expressions []string) {
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var d struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &d))
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	require.NotEmpty(t, expressions)
	return expressions
}

func alerts(t *testing.T) (expressions []string) {
	text, err := os.ReadFile("alerts.yaml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			require.NotEmpty(t, rule.Expr, fmt.Sprint(rule.Alert))
			expressions = append(expressions, rule.Expr)
		}
	}
	require.NotEmpty(t, expressions)
	return expressions
}
