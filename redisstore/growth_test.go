package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/load/byturns"
	"github.com/okidkit/okidkit/store"
)

// BenchmarkGrowth calls each method by turns where there are a thousand records and
// where there are many, and reports the medians, which are less moved by what else
// the machine does than means are. All records are due some day, and ten now. The
// floors are the plain commands. A million records take 3 GB of memory and half a minute to
// fill in.
func BenchmarkGrowth(b *testing.B) {
	few, many := byturns.Sizes(b)
	type growing struct {
		*Store
		client   redis.UniversalClient
		keys     []string
		versions map[string]uint64
	}
	ctx, value := b.Context(), make([]byte, 700)
	var stores []*growing
	for _, n := range []int{few, many} {
		s, client, keys := filled(b, n)
		for i := range 10 {
			w := store.Write{Value: value, Version: 1, TTL: lifetime, DueIn: 1}
			require.NoError(b, s.Put(ctx, fmt.Sprint("due", i), w))
		}
		stores = append(stores, &growing{s, client, keys, map[string]uint64{}})
	}
	for _, method := range []struct {
		name string
		call func(s *growing, i int) error
	}{
		{"floor/GET", func(s *growing, i int) error {
			return s.client.Get(ctx, "plain:"+s.keys[i%len(s.keys)]).Err()
		}},
		{"Get", func(s *growing, i int) error {
			_, err := s.Get(ctx, s.keys[i%len(s.keys)])
			return err
		}},
		{"floor/SET", func(s *growing, i int) error {
			return s.client.Set(ctx, "plain:"+s.keys[i%len(s.keys)], value, lifetime).Err()
		}},
		{"Put", func(s *growing, i int) error {
			key := s.keys[i%len(s.keys)]
			old := max(s.versions[key], 1)
			s.versions[key] = old + 1
			return s.Put(ctx, key, store.Write{Value: value, Replaces: old, Version: old + 1, TTL: lifetime, DueIn: time.Hour})
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
