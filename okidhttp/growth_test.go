package okidhttp_test

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/redisstore"
)

// BenchmarkVerification is a whole verification of a new user: the start, and the
// webhooks that it has begun and is completed. redis-B/attempt is the memory that
// Redis has for good after each; it means something from -benchtime 10000x on.
func BenchmarkVerification(b *testing.B) {
	addr, ok := redistest.Server(b)
	if !ok {
		return
	}
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	defer client.Close()
	kit, fake := app(func(c *okidhttp.Config) {
		s, err := redisstore.New(client)
		if err != nil {
			b.Fatal(err)
		}
		c.Store, c.OnVerified, c.AgeOver = s, nil, []int{18}
	})
	defer fake.Close()
	verify := func(user string) {
		attempt, _ := start(kit, user)
		now := time.Now()
		began := okid.VerificationBody{
			ID: "ver_0a1b2c3d4e5f6g7h8i9j", Status: okid.StatusStarted,
			Metadata: map[string]string{okid.MetadataReference: attempt},
		}
		r := httptest.NewRequest("POST", "/verify/webhook", nil)
		header, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, now, okid.WebhookBody{Event: okid.EventStarted, Data: began})
		r.Header = header
		serve(b, kit, r, body, 200)
		r.Header, body = completed(attempt, now)
		serve(b, kit, r, body, 200)
	}
	verify("the first") // for the scripts and the connection

	before := usedMemory(b, client)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		verify(strconv.Itoa(n))
		n++
	}
	b.ReportMetric(float64(usedMemory(b, client)-before)/float64(n), "redis-B/attempt")
}

// usedMemory is what Redis has allocated, in bytes.
func usedMemory(b *testing.B, client *redis.Client) int {
	info, err := client.Info(b.Context(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "used_memory:")
	text, _, _ := strings.Cut(after, "\r\n")
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
