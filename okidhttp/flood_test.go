package okidhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

// BenchmarkWebhookUnderFlood is how long a webhook, which has been delivered before,
// waits while 200 clients keep presenting claims whose signature is wrong, each of
// which costs a check on P-521: with as many checks at once as there are by default,
// and, to compare, with as many as there are clients. claims/s is how much of the
// flood is dealt with beside it.
func BenchmarkWebhookUnderFlood(b *testing.B) {
	for _, bb := range []struct {
		name    string
		clients int
		checks  int // at once; 0: the default
	}{
		{"quiet", 0, 0},
		{"flood", 200, 0},
		{"flood without a bound", 200, 200},
	} {
		b.Run(bb.name, func(b *testing.B) { floodedWebhooks(b, bb.clients, bb.checks) })
	}
}

func floodedWebhooks(b *testing.B, clients, checks int) {
	second, err := okidtest.NewGetID(okidtest.GetIDConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer second.Close()
	if err := second.Start(); err != nil {
		b.Fatal(err)
	}
	provider, err := getid.New(getid.Config{
		APIKey: okidtest.DefaultGetIDKey, BaseURL: second.URL(), JWKSURL: second.JWKSURL(), MaxVerifications: checks,
	})
	if err != nil {
		b.Fatal(err)
	}
	kit, fake := app(func(c *okidhttp.Config) {
		c.Providers = append(c.Providers, provider)
		c.OnVerified = nil
	})
	defer fake.Close()

	id, _ := second.Begin()
	claim, err := second.Claim(id, okidtest.Token{Signature: okidtest.SignedOtherKey})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var flood, begun sync.WaitGroup
	defer flood.Wait()
	defer stop()
	var refused atomic.Int64
	begun.Add(clients)
	for i := range clients {
		flood.Go(func() {
			begun.Done()
			for ctx.Err() == nil {
				r := httptest.NewRequestWithContext(ctx, "POST", "/verify/claim", bytes.NewReader(claim))
				r.Header.Set("User", fmt.Sprintf("mallory %d", i)) // one alone may have few at once
				kit.ServeHTTP(httptest.NewRecorder(), r)
				refused.Add(1)
			}
		})
	}
	begun.Wait()

	attempt, _ := start(kit, "alice")
	header, body := completed(attempt, time.Now())
	r := httptest.NewRequest("POST", "/verify/webhook", nil)
	r.Header = header
	var latencies []time.Duration
	began, before := time.Now(), refused.Load()
	b.ReportAllocs()
	for b.Loop() {
		sent := time.Now()
		serve(b, kit, r, body, 200)
		latencies = append(latencies, time.Since(sent))
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Nanoseconds()), "p99-ns")
	b.ReportMetric(float64(refused.Load()-before)/time.Since(began).Seconds(), "claims/s")
}
