package memstore

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/okidkit/okidkit/internal/load/byturns"
	"github.com/okidkit/okidkit/store"
)

// BenchmarkGrowth calls each method by turns where there are a thousand records and
// where there are many, and reports the medians, which are less moved by what else
// the machine does than means are. All records are due some day, and ten now. The
// floor is a map with a lock.
func BenchmarkGrowth(b *testing.B) {
	few, many := byturns.Sizes(b)
	type growing struct {
		*Store
		keys     []string
		versions map[string]uint64
		mu       sync.Mutex
		plain    map[string][]byte
	}
	ctx, value := b.Context(), make([]byte, 700)
	var stores []*growing
	for _, n := range []int{few, many} {
		s, keys := filled(b, n, time.Hour)
		g := &growing{Store: s, keys: keys, versions: make(map[string]uint64, n), plain: make(map[string][]byte, n)}
		for _, key := range keys {
			g.versions[key], g.plain[key] = 1, bytes.Clone(value)
		}
		for i := range 10 {
			if err := s.Put(ctx, fmt.Sprint("due", i), store.Write{Value: value, Version: 1, TTL: 24 * time.Hour, DueIn: 1}); err != nil {
				b.Fatal(err)
			}
		}
		stores = append(stores, g)
	}
	for _, method := range []struct {
		name string
		call func(s *growing, i int) error
	}{
		{"floor", func(s *growing, i int) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			_ = bytes.Clone(s.plain[s.keys[i%len(s.keys)]])
			return nil
		}},
		{"Get", func(s *growing, i int) error {
			_, err := s.Get(ctx, s.keys[i%len(s.keys)])
			return err
		}},
		{"Put", func(s *growing, i int) error {
			key := s.keys[i%len(s.keys)]
			old := s.versions[key]
			s.versions[key]++
			return s.Put(ctx, key, store.Write{Value: value, Replaces: old, Version: old + 1, TTL: 24 * time.Hour, DueIn: time.Hour})
		}},
		{"Due", func(s *growing, _ int) error {
			keys, err := s.Due(ctx, 100)
			if err == nil && len(keys) != 10 {
				err = fmt.Errorf("%d are due", len(keys))
			}
			return err
		}},
	} {
		b.Run(fmt.Sprintf("%s/records=%d", method.name, many), func(b *testing.B) {
			side := func(name string, s *growing) byturns.Side {
				return byturns.Do(name, func(i int) error { return method.call(s, i) })
			}
			byturns.Compare(b, side("few", stores[0]), side("many", stores[1]))
		})
	}
}
