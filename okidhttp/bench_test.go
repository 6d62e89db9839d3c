package okidhttp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/load/byturns"
	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/redisstore"
)

// serve runs a handler without a network.
func serve(b testing.TB, h http.Handler, r *http.Request, body []byte, want int) {
	b.Helper()
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
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
		c.OnVerified = noCallback
	})
	defer fake.Close()

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
		r := webhookRequest(header)
		b.ReportAllocs()
		for b.Loop() {
			serve(b, floor, r, body, 200)
		}
	})
	benchmarkWebhook(b, kit)
}

// BenchmarkWebhookRedis has the same on Redis, by turns with the one command with
// which hosts mark an event as seen: what one caller waits for is mostly that the other
// process wakes up, which takes several times as long at one time as at another.
func BenchmarkWebhookRedis(b *testing.B) {
	client := redisClient(b)
	kit, fake := app(onRedis(b, client, func(c *okidhttp.Config) { c.OnVerified = noCallback }))
	defer fake.Close()
	mark := byturns.Do("command", func(i int) error {
		return client.SetNX(b.Context(), fmt.Sprintf("seen:%p %d", b, i), 1, 24*time.Hour).Err()
	})
	b.Run("fresh", func(b *testing.B) {
		deliver := freshWebhooks(b, kit)
		byturns.Compare(b, mark, byturns.Do("request", func(i int) error { deliver(i); return nil }))
	})
	b.Run("duplicate", func(b *testing.B) {
		deliver := duplicateWebhooks(b, kit)
		byturns.Compare(b, mark, byturns.Do("request", func(int) error { deliver(); return nil }))
	})
}

func noCallback(context.Context, okidhttp.Event) error { return nil }

func webhookRequest(h http.Header) *http.Request {
	r := httptest.NewRequest("POST", "/verify/webhook", nil)
	r.Header = h
	return r
}

// benchmarkWebhook delivers verdicts, each once or one again and again.
func benchmarkWebhook(b *testing.B, kit *okidhttp.Kit) {
	b.Run("fresh", func(b *testing.B) {
		deliver := freshWebhooks(b, kit)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			deliver(i)
		}
	})
	b.Run("duplicate", func(b *testing.B) {
		deliver := duplicateWebhooks(b, kit)
		b.ReportAllocs()
		for b.Loop() {
			deliver()
		}
	})
}

// freshWebhooks returns a function that delivers the i-th verdict, counted from 0.
// They are prepared many at a time, since stopping the clock takes longer than a
// delivery, and leaves the caches cold.
func freshWebhooks(b *testing.B, kit *okidhttp.Kit) (deliver func(i int)) {
	var requests [512]*http.Request
	var bodies [len(requests)][]byte
	return func(i int) {
		n := i % len(requests)
		if n == 0 {
			b.StopTimer()
			for j := range requests {
				attempt, _ := start(kit, fmt.Sprintf("%p %d", b, i+j))
				header, body := completed(attempt, time.Now())
				requests[j], bodies[j] = webhookRequest(header), body
			}
			b.StartTimer()
		}
		serve(b, kit, requests[n], bodies[n], 200)
	}
}

// duplicateWebhooks returns a function that delivers one verdict again.
func duplicateWebhooks(b *testing.B, kit *okidhttp.Kit) (deliver func()) {
	attempt, _ := start(kit, fmt.Sprintf("%p", b)) // nobody who is verified already
	header, body := completed(attempt, time.Now())
	r := webhookRequest(header)
	deliver = func() { serve(b, kit, r, body, 200) }
	deliver()
	return deliver
}

// redisClient is connected to a server of the benchmark's own.
func redisClient(b *testing.B) *redis.Client {
	addr := redistest.Server(b)
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	b.Cleanup(func() { _ = client.Close() })
	return client
}

// onRedis is a change of app's, and another one.
func onRedis(b *testing.B, client *redis.Client, also func(*okidhttp.Config)) func(*okidhttp.Config) {
	return func(c *okidhttp.Config) {
		s, err := redisstore.New(client)
		if err != nil {
			b.Fatal(err)
		}
		c.Store = s
		also(c)
	}
}

// verified makes a user one.
func verified(b testing.TB, kit *okidhttp.Kit, user string) {
	b.Helper()
	attempt, _ := start(kit, user)
	header, body := completed(attempt, time.Now())
	serve(b, kit, webhookRequest(header), body, 200)
}

func asUser(user, target string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set("User", user)
	return r
}

var bare = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// BenchmarkRequireVerified is the gate, and what is behind it.
func BenchmarkRequireVerified(b *testing.B) {
	kit, fake := app(func(c *okidhttp.Config) { c.OnVerified = noCallback })
	defer fake.Close()
	verified(b, kit, "alice")
	run := func(name string, h http.Handler) {
		b.Run(name, func(b *testing.B) {
			r := asUser("alice", "/cellar/")
			b.ReportAllocs()
			for b.Loop() {
				serve(b, h, r, nil, 200)
			}
		})
	}
	run("floor", bare)
	run("gate", kit.RequireVerified(bare))
}

// BenchmarkRequireVerifiedRedis is the gate, by turns with one GET of as many bytes as
// the record has.
func BenchmarkRequireVerifiedRedis(b *testing.B) {
	client := redisClient(b)
	kit, fake := app(onRedis(b, client, func(c *okidhttp.Config) { c.OnVerified = noCallback }))
	defer fake.Close()
	verified(b, kit, "alice")
	if err := client.Set(b.Context(), "plain", make([]byte, 400), 0).Err(); err != nil {
		b.Fatal(err)
	}
	gate, r := kit.RequireVerified(bare), asUser("alice", "/cellar/")
	byturns.Compare(b,
		byturns.Do("command", func(int) error { return client.Get(b.Context(), "plain").Err() }),
		byturns.Do("request", func(int) error { serve(b, gate, r, nil, 200); return nil }))
}

// BenchmarkStatus stands beside an answer that is known already.
func BenchmarkStatus(b *testing.B) {
	kit, fake := app(nil)
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	known := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "created", "updated_at": time.Unix(1, 0), "retry_after": 1})
	})
	run := func(name string, h http.Handler) {
		b.Run(name, func(b *testing.B) {
			r := asUser("alice", "/verify/status?attempt="+attempt)
			b.ReportAllocs()
			for b.Loop() {
				serve(b, h, r, nil, 200)
			}
		})
	}
	run("floor", known)
	run("status", kit)
}

// BenchmarkStart stands beside the call of the provider that no start can do
// without, here to a fake in this process.
func BenchmarkStart(b *testing.B) {
	var provider identity.Provider
	kit, fake := app(func(c *okidhttp.Config) { provider = c.Providers[0] })
	defer fake.Close()

	b.Run("floor", func(b *testing.B) {
		r := identity.StartRequest{
			Reference:   strings.Repeat("r", 96),
			CallbackURL: "https://app.example/verify/webhook?provider=okid",
			SuccessURL:  "https://app.example/verify/success?attempt=" + strings.Repeat("r", 96),
			ErrorURL:    "https://app.example/verify/error?attempt=" + strings.Repeat("r", 96),
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := provider.Start(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r := httptest.NewRequest("POST", "/verify/start", nil)
			r.Header.Set("User", fmt.Sprintf("%p %d", b, i))
			serve(b, kit, r, nil, 201)
		}
	})
	b.Run("resumed", func(b *testing.B) {
		start(kit, "alice")
		r := httptest.NewRequest("POST", "/verify/start", nil)
		r.Header.Set("User", "alice")
		b.ReportAllocs()
		for b.Loop() {
			serve(b, kit, r, nil, 200)
		}
	})
}

// BenchmarkClaim is what a browser hands over from GetID, beside what cannot be
// saved: two checks of a P-521 signature, one of the claim's token and one of the
// result's, and the question to GetID, here to a fake in this process, which has to
// sign its answer. What can be refused without a check of a signature is.
func BenchmarkClaim(b *testing.B) {
	getID, err := okidtest.NewGetID(okidtest.GetIDConfig{})
	if err != nil {
		b.Fatal(err)
	}
	if err := getID.Start(); err != nil {
		b.Fatal(err)
	}
	defer getID.Close()
	provider, err := getid.New(getid.Config{APIKey: okidtest.DefaultGetIDKey, BaseURL: getID.URL(), JWKSURL: getID.JWKSURL()})
	if err != nil {
		b.Fatal(err)
	}
	kit, fake := app(func(c *okidhttp.Config) {
		c.Providers = []identity.Provider{provider}
		c.OnVerified = noCallback
	})
	defer fake.Close()
	approved := func() (id string, claim []byte) {
		id, claim = getID.Begin()
		if err := getID.Complete(id, okidtest.Approved, nil); err != nil {
			b.Fatal(err)
		}
		return id, claim
	}
	claimOf := func(user string) *http.Request {
		r := httptest.NewRequest("POST", "/verify/claim", nil)
		r.Header.Set("User", user)
		return r
	}
	_, ours := approved()
	serve(b, kit, claimOf("alice"), ours, 200) // and the keys are there

	b.Run("floor", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha512.Sum512([]byte("token"))
		signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			b.Fatal(err)
		}
		id, _ := approved()
		question, err := http.NewRequest("GET", getID.URL()+"/verifications/results/"+id, nil)
		if err != nil {
			b.Fatal(err)
		}
		question.Header.Set("X-API-Key", okidtest.DefaultGetIDKey)
		b.ReportAllocs()
		for b.Loop() {
			for range 2 {
				if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature) {
					b.Fatal("signature is good")
				}
			}
			answer, err := http.DefaultClient.Do(question)
			if err != nil || answer.StatusCode != 200 {
				b.Fatal(answer, err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	})
	b.Run("good", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			_, claim := approved()
			r := claimOf(fmt.Sprintf("%p %d", b, i))
			b.StartTimer()
			serve(b, kit, r, claim, 200)
		}
	})
	refused := func(name string, claim []byte, want int) {
		b.Run(name, func(b *testing.B) {
			r := claimOf("mallory")
			b.ReportAllocs()
			for b.Loop() {
				serve(b, kit, r, claim, want)
			}
		})
	}
	refused("of another user", ours, 409)
	refused("broken", ours[:len(ours)-1], 400)
	id, _ := approved()
	for _, tt := range []struct {
		name  string
		token okidtest.Token
	}{
		{"unsigned", okidtest.Token{Signature: okidtest.Unsigned}},
		{"expired", okidtest.Token{Claims: map[string]any{"exp": 1}}},
		{"of another issuer", okidtest.Token{Claims: map[string]any{"iss": "another"}}},
	} {
		claim, err := getID.Claim(id, tt.token)
		if err != nil {
			b.Fatal(err)
		}
		refused(tt.name, claim, 401)
	}
}
