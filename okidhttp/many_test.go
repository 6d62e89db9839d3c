package okidhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/load/byturns"
	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/redisstore"
	"github.com/okidkit/okidkit/store"
)

// BenchmarkGrowth sends each request by turns to a kit with a thousand verified users
// and to one with many, and reports the medians, which are less moved by what else
// the machine does than means are. A million users take 2 GB of memory and a minute to
// fill in.
func BenchmarkGrowth(b *testing.B) {
	few, many := byturns.Sizes(b)
	b.Run("memory", func(b *testing.B) {
		benchmarkGrowth(b, crowd(b, memstore.New(), few), crowd(b, memstore.New(), many))
	})
	b.Run("redis", func(b *testing.B) {
		var crowds []*crowded
		for _, n := range []int{few, many} {
			client := redisClient(b)
			crowds = append(crowds, crowd(b, onRedis(b, client), n))
		}
		benchmarkGrowth(b, crowds...)
	})
}

// crowded is a kit with many verified users.
type crowded struct {
	*Kit
	gate       http.Handler
	references []string // by user
	order      []int    // users, so that memory is not walked as it was filled
	fresh      int      // users beyond them
}

func crowd(b *testing.B, records store.Store, n int) *crowded {
	c := &crowded{Kit: partsKit(b, records), references: make([]string, n), order: rand.Perm(n)}
	c.gate = c.RequireVerified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var next atomic.Int64
	var group sync.WaitGroup
	for range 64 { // so that they share the round trips' time
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r := ended(c.Kit, strconv.Itoa(i))
				if err := keep(c.Kit, r); err != nil {
					b.Error(err)
					return
				}
				c.references[i] = r.Attempts[0].Reference
			}
		})
	}
	group.Wait()
	return c
}

// verdictRequest is the webhook of a verdict.
func verdictRequest(reference string) *http.Request {
	body, err := json.Marshal(notice{Reference: reference, ID: "ver_0a1b2c3d4e5f6g7h8i9j", Status: identity.Verified, At: time.Now()})
	if err != nil {
		panic(err) // all of it is strings
	}
	return httptest.NewRequest("POST", "/verify/webhook", strings.NewReader(string(body)))
}

func benchmarkGrowth(b *testing.B, crowds ...*crowded) {
	requestOf := func(user int, target string) *http.Request {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Test-User", strconv.Itoa(user))
		return r
	}
	for _, tt := range []struct {
		name    string
		request func(c *crowded, user int) (http.Handler, *http.Request)
	}{
		{"gate", func(c *crowded, user int) (http.Handler, *http.Request) {
			return c.gate, requestOf(user, "/cellar/")
		}},
		{"status", func(c *crowded, user int) (http.Handler, *http.Request) {
			return c, requestOf(user, "/verify/status?attempt="+c.references[user])
		}},
		{"duplicate", func(c *crowded, user int) (http.Handler, *http.Request) {
			return c, verdictRequest(c.references[user])
		}},
		{"fresh", func(c *crowded, _ int) (http.Handler, *http.Request) {
			c.fresh++
			r, a := begun(c.Kit, "fresh "+strconv.Itoa(c.fresh))
			require.NoError(b, keep(c.Kit, r))
			return c, verdictRequest(a.Reference)
		}},
	} {
		b.Run(fmt.Sprintf("%s/users=%d", tt.name, len(crowds[1].order)), func(b *testing.B) {
			side := func(name string, c *crowded) byturns.Side {
				return byturns.Side{Name: name, Prepare: func(i int) func() error {
					h, r := tt.request(c, c.order[i%len(c.order)])
					w := httptest.NewRecorder()
					return func() error {
						h.ServeHTTP(w, r)
						if w.Code != 200 {
							return fmt.Errorf("answer %d: %s", w.Code, w.Body)
						}
						return nil
					}
				}}
			}
			byturns.Compare(b, side("few", crowds[0]), side("many", crowds[1]))
		})
	}
}

// BenchmarkMemory makes verified users. bytes/attempt is the memory that each takes
// for good, in this process or in Redis; it means something from -benchtime 10000x
// on.
func BenchmarkMemory(b *testing.B) {
	fill := func(b *testing.B, records store.Store, used func() int) {
		k := partsKit(b, records)
		require.NoError(b, keep(k, ended(k, "the first"))) // for the scripts and the connection
		before, n := used(), 0
		for b.Loop() {
			require.NoError(b, keep(k, ended(k, strconv.Itoa(n))))
			n++
		}
		b.ReportMetric(float64(used()-before)/float64(n), "bytes/attempt")
		runtime.KeepAlive(records)
	}
	b.Run("memory", func(b *testing.B) {
		fill(b, memstore.New(), func() int {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		})
	})
	b.Run("redis", func(b *testing.B) {
		client := redisClient(b)
		fill(b, onRedis(b, client), func() int {
			info, err := client.InfoMap(b.Context(), "memory").Result()
			require.NoError(b, err)
			n, err := strconv.Atoi(info["Memory"]["used_memory"])
			require.NoError(b, err)
			return n
		})
	})
}

// BenchmarkRound is a round of Run in which as much is due as it takes on at once:
// attempts that nobody finished expire.
func BenchmarkRound(b *testing.B) {
	round := func(b *testing.B, records store.Store) {
		k := partsKit(b, records)
		user := 0
		for b.Loop() {
			b.StopTimer()
			for range dueBatch {
				user++
				r, a := begun(k, strconv.Itoa(user))
				a.ExpiresAt = time.Now().Add(-time.Hour)
				require.NoError(b, keep(k, r))
			}
			b.StartTimer()
			for taken := 0; taken < dueBatch; { // the last ones are due a millisecond later
				n, err := k.engine.RunOnce(b.Context())
				require.NoError(b, err)
				taken += n
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(user), "ns/attempt")
	}
	b.Run("memory", func(b *testing.B) { round(b, memstore.New()) })
	b.Run("redis", func(b *testing.B) {
		round(b, onRedis(b, redisClient(b)))
	})
}

func partsKit(tb testing.TB, records store.Store) *Kit {
	k, err := New(Config{
		Providers:  []identity.Provider{&fakeProvider{name: "fake"}},
		Store:      records,
		PublicURL:  "https://app.example/verify",
		Keys:       [][]byte{testKey(1)},
		Subject:    func(r *http.Request) (string, error) { return r.Header.Get("Test-User"), nil },
		AgeOver:    []int{18},
		OnVerified: func(context.Context, Event) error { return nil },
		Logger:     slog.New(slog.DiscardHandler),
	})
	require.NoError(tb, err)
	return k
}

// begun is a record with an attempt that has its token.
func begun(k *Kit, user string) (*attempt.Record, *attempt.Attempt) {
	p, r, now := k.engine.Policy(), attempt.NewRecord(attempt.HashSubject(user)), time.Now()
	at := attempt.Address{Subject: r.Of(), Attempt: attempt.ID{1}}
	a := p.Begin(r, at.Attempt, newReference(k, at), user, "fake", now, now)
	p.SealContext(a, &attempt.Context{Locale: "en"})
	p.SealToken(a, "tok_v1_0123456789abcdef0123456789abcd")
	a.ExpiresAt = now.Add(30 * time.Minute)
	return r, a
}

// ended is a record with an attempt that is verified.
func ended(k *Kit, user string) *attempt.Record {
	r, a := begun(k, user)
	p := *k.engine.Policy()
	p.Hears = nil
	v := person
	v.ID, v.Status = "ver_0a1b2c3d4e5f6g7h8i9j", identity.Verified
	p.Step(a, &attempt.Webhook{Notice: identity.Notice{Provider: "fake", Reference: a.Reference, Verification: v, Digest: [32]byte{1}}}, time.Now())
	return r
}

// keep writes a new record.
func keep(k *Kit, r *attempt.Record) error {
	return k.cfg.Store.Put(context.Background(), r.Of().Key(), store.Write{
		Value: r.AppendTo(nil), Version: 1, TTL: time.Hour, DueIn: k.engine.Policy().DueIn(r, time.Now()),
	})
}

// redisClient is connected to a server of the benchmark's own.
func redisClient(b *testing.B) *redis.Client {
	addr := redistest.Server(b)
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, PoolSize: 64})
	b.Cleanup(func() { _ = client.Close() })
	return client
}

func onRedis(b *testing.B, client *redis.Client) store.Store {
	s, err := redisstore.New(client)
	require.NoError(b, err)
	return s
}
