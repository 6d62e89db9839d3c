package memstore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/okidkit/okidkit/store"
)

var sizes = []int{1_000, 1_000_000}

// filled returns a store of n records of 700 bytes, the last of which are due
// soonest, and their keys in random order, so that no benchmark walks memory in
// the order in which it was filled.
func filled(b *testing.B, n int, dueIn time.Duration) (*Store, []string) {
	b.Helper()
	s := New()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("subject/%032x", i)
		w := store.Write{Value: make([]byte, 700), Version: 1, TTL: 24 * time.Hour}
		if dueIn > 0 {
			w.DueIn = dueIn + time.Duration(n-i)*time.Second
		}
		if err := s.Put(b.Context(), keys[i], w); err != nil {
			b.Fatal(err)
		}
	}
	rand.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return s, keys
}

// BenchmarkGet stands beside the least that could be: a map, a lock and a copy.
func BenchmarkGet(b *testing.B) {
	for _, n := range sizes {
		s, keys := filled(b, n, 0)
		b.Run(fmt.Sprintf("floor/records=%d", n), func(b *testing.B) {
			var mu sync.Mutex
			values := make(map[string][]byte, n)
			for key, r := range s.records {
				values[key] = r.value
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				mu.Lock()
				value := values[keys[i%n]]
				mu.Unlock()
				_ = bytes.Clone(value)
				i++
			}
		})
		b.Run(fmt.Sprintf("memstore/records=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := s.Get(b.Context(), keys[i%n]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkGetParallel(b *testing.B) {
	s, keys := filled(b, 1_000, 0)
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(keys)); pb.Next(); i++ {
			if _, err := s.Get(ctx, keys[i%len(keys)]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkPut is what a webhook does to the store: a write with a lease, which
// is due soon, and a commit, which takes the due time away.
func BenchmarkPut(b *testing.B) {
	for _, pending := range []bool{false, true} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("pending=%v/records=%d", pending, n), func(b *testing.B) {
				var dueIn time.Duration
				if pending {
					dueIn = time.Hour
				}
				s, keys := filled(b, n, dueIn)
				versions := make([]uint64, n)
				for i := range versions {
					versions[i] = 1
				}
				value := make([]byte, 700)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					key, old := keys[i/2%n], versions[i/2%n]
					w := store.Write{Value: value, Replaces: old, Version: old + 1, TTL: 24 * time.Hour}
					if i%2 == 0 {
						w.DueIn = 30 * time.Second
					} else if pending {
						w.DueIn = 2 * time.Hour
					}
					if err := s.Put(b.Context(), key, w); err != nil {
						b.Fatal(err)
					}
					versions[i/2%n]++
					i++
				}
			})
		}
	}
}

// BenchmarkPutNew makes records, while as many expire.
func BenchmarkPutNew(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			now := time.Unix(1_700_000_000, 0)
			s := New(WithClock(func() time.Time { return now }))
			value := make([]byte, 700)
			put := func(i int) {
				now = now.Add(time.Millisecond)
				w := store.Write{Value: value, Version: 1, TTL: time.Duration(n) * time.Millisecond}
				if err := s.Put(b.Context(), fmt.Sprintf("subject/%032x", i), w); err != nil {
					b.Fatal(err)
				}
			}
			i := 0
			for ; i < n; i++ {
				put(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				put(i)
				i++
			}
		})
	}
}

// BenchmarkDue asks for 100 of 100 due records among many that are not.
func BenchmarkDue(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			s, keys := filled(b, n, time.Hour)
			for _, key := range keys[:100] {
				w := store.Write{Replaces: 1, Version: 2, TTL: 24 * time.Hour, DueIn: 1}
				if err := s.Put(b.Context(), key, w); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if due, err := s.Due(b.Context(), 100); err != nil || len(due) != 100 {
					b.Fatal(len(due), err)
				}
			}
		})
	}
}
