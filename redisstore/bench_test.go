package redisstore

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/store"
)

const lifetime = 24 * time.Hour

// filled starts a server with n records of 700 bytes, all due far in the future,
// and as many plain values under the same names after "plain:". It returns the
// keys in random order.
func filled(b *testing.B, n int) (*Store, redis.UniversalClient, []string) {
	client := connect(b, redistest.Server(b))
	s := open(b, client)
	keys := make([]string, n)
	value := make([]byte, 700)
	var calls []call
	pipe := client.Pipeline()
	for i := range keys {
		keys[i] = fmt.Sprintf("subject/%032x", i)
		w := store.Write{Value: value, Version: 1, TTL: lifetime, DueIn: time.Hour}
		calls = append(calls, s.put(shardOf(keys[i]), keys[i], w))
		pipe.Set(b.Context(), "plain:"+keys[i], value, lifetime)
		if len(calls) == 1000 || i == n-1 {
			for _, cmd := range s.runAll(b.Context(), calls) {
				require.NoError(b, cmd.Err())
			}
			_, err := pipe.Exec(b.Context())
			require.NoError(b, err)
			calls = nil
		}
	}
	rand.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return s, client, keys
}

// BenchmarkStore has each method beside the plain commands that are its floor.
func BenchmarkStore(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		s, client, keys := filled(b, n)
		ctx := b.Context()
		value := make([]byte, 700)
		key := func(i int) string { return keys[i%n] }
		run := func(name string, op func(i int) error) {
			b.Run(fmt.Sprintf("records=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if err := op(i); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}

		run("floor/GET", func(i int) error { return client.Get(ctx, "plain:"+key(i)).Err() })
		run("Get", func(i int) error {
			_, err := s.Get(ctx, key(i))
			return err
		})
		byDefault := open(b, connectWith(b, &redis.UniversalOptions{Addrs: []string{client.(*redis.Client).Options().Addr}}))
		run("Get without ContextTimeoutEnabled", func(i int) error {
			_, err := byDefault.Get(ctx, key(i))
			return err
		})
		run("floor/SET NX PX", func(i int) error {
			return client.SetNX(ctx, fmt.Sprintf("nx:%d:%d", b.N, i), value, lifetime).Err()
		})
		version := make(map[string]uint64)
		put := func(dueIn time.Duration) func(i int) error {
			return func(i int) error {
				old := max(version[key(i)], 1)
				version[key(i)] = old + 1
				return s.Put(ctx, key(i), store.Write{
					Value: value, Replaces: old, Version: old + 1, TTL: lifetime, DueIn: dueIn,
				})
			}
		}
		run("Put", put(0))
		run("Put due", put(time.Hour))
		run("floor/SET", func(i int) error { return client.Set(ctx, "plain:"+key(i), value, lifetime).Err() })
		run("Delete", func(i int) error { return s.Delete(ctx, "missing") })
		run("Due none", func(int) error {
			_, err := s.Due(ctx, 100)
			return err
		})
		for i := range 100 {
			k := fmt.Sprint("due", i)
			require.NoError(b, s.Put(ctx, k, store.Write{Value: value, Version: 1, TTL: lifetime, DueIn: 1}))
		}
		run("Due 100", func(int) error {
			_, err := s.Due(ctx, 100)
			return err
		})
	}
}
