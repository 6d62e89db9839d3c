package okidhttp_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

// serve runs a handler without a network.
func serve(b *testing.B, h http.Handler, r *http.Request, body []byte, want int) {
	b.Helper()
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != want {
		b.Fatalf("answer %d", w.Code)
	}
}

func completed(attempt string, now time.Time) (http.Header, []byte) {
	data := okidtest.Passport(now)
	data.ID, data.Status = "ver_0a1b2c3d4e5f6g7h8i9j", okid.StatusCompleted
	data.Metadata = map[string]string{okid.MetadataReference: attempt}
	return okidtest.NewWebhook(okidtest.DefaultWebhookSecret, now, okid.WebhookBody{Event: okid.EventCompleted, Data: data})
}

// BenchmarkWebhook compares the whole handler, with its durable state, lease,
// dedupe and callback, with the obvious careful code that has a map of what it
// has seen.
func BenchmarkWebhook(b *testing.B) {
	kit, fake := app(func(c *okidhttp.Config) {
		c.OnVerified = nil
		c.StartLimit = okidhttp.AtMost(32, time.Nanosecond)
	})
	defer fake.Close()
	newRequest := func(h http.Header) *http.Request {
		r := httptest.NewRequest("POST", "/verify/webhook", nil)
		r.Header = h
		return r
	}

	b.Run("floor", func(b *testing.B) {
		var mu sync.Mutex
		seen := map[string]bool{}
		floor := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256<<10))
			if err != nil {
				http.Error(w, "body", http.StatusBadRequest)
				return
			}
			mac := hmac.New(sha256.New, []byte(okidtest.DefaultWebhookSecret))
			mac.Write(body)
			got, err := hex.DecodeString(r.Header.Get(okid.SignatureHeader))
			if err != nil || !hmac.Equal(got, mac.Sum(nil)) {
				http.Error(w, "signature", http.StatusUnauthorized)
				return
			}
			var webhook okid.WebhookBody
			if err := json.Unmarshal(body, &webhook); err != nil {
				http.Error(w, "JSON", http.StatusBadRequest)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[webhook.Data.ID+webhook.Event] = true
		})
		header, body := completed("r", time.Now())
		r := newRequest(header)
		b.ReportAllocs()
		for b.Loop() {
			serve(b, floor, r, body, 200)
		}
	})
	b.Run("fresh", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			attempt, _ := start(kit, string(rune(i)))
			header, body := completed(attempt, time.Now())
			r := newRequest(header)
			b.StartTimer()
			serve(b, kit, r, body, 200)
		}
	})
	b.Run("duplicate", func(b *testing.B) {
		attempt, _ := start(kit, "duplicate")
		header, body := completed(attempt, time.Now())
		r := newRequest(header)
		b.ReportAllocs()
		for b.Loop() {
			serve(b, kit, r, body, 200)
		}
	})
}

func BenchmarkRequireVerified(b *testing.B) {
	kit, fake := app(nil)
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	header, body := completed(attempt, time.Now())
	r := httptest.NewRequest("POST", "/verify/webhook", bytes.NewReader(body))
	r.Header = header
	deliver(kit, r)
	bare := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, h := range map[string]http.Handler{"floor": bare, "gate": kit.RequireVerified(bare)} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/cellar/", nil)
			r.Header.Set("User", "alice")
			b.ReportAllocs()
			for b.Loop() {
				serve(b, h, r, nil, 200)
			}
		})
	}
}

func BenchmarkStatus(b *testing.B) {
	kit, fake := app(nil)
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	r := httptest.NewRequest("GET", "/verify/status?attempt="+attempt, nil)
	r.Header.Set("User", "alice")
	b.ReportAllocs()
	for b.Loop() {
		serve(b, kit, r, nil, 200)
	}
}
