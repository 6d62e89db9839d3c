package okidhttp_test

import (
	"net/http/httptest"
	"strconv"
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
// Redis has for good after each, and redis-µs/attempt the time of its one core that
// each took; they mean something from -benchtime 10000x on.
func BenchmarkVerification(b *testing.B) {
	addr := redistest.Server(b)
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	defer client.Close()
	kit, fake := app(func(c *okidhttp.Config) {
		s, err := redisstore.New(client)
		if err != nil {
			b.Fatal(err)
		}
		c.Store, c.OnVerified, c.AgeOver = s, noCallback, []int{18}
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

	memory, cpu := used(b, client)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		verify(strconv.Itoa(n))
		n++
	}
	memoryNow, cpuNow := used(b, client)
	b.ReportMetric((memoryNow-memory)/float64(n), "redis-B/attempt")
	b.ReportMetric((cpuNow-cpu)*1e6/float64(n), "redis-µs/attempt")
}

// used is how many bytes Redis has allocated, and for how many seconds it has run.
func used(b *testing.B, client *redis.Client) (memory, cpu float64) {
	info, err := client.InfoMap(b.Context(), "memory", "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	number := func(section, name string) float64 {
		n, err := strconv.ParseFloat(info[section][name], 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	return number("Memory", "used_memory"), number("CPU", "used_cpu_user") + number("CPU", "used_cpu_sys")
}
