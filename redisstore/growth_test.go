package redisstore

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/store"
)

// manyRecords, in the environment, is how many records BenchmarkGrowth compares
// with a thousand. A million takes 3 GB of memory and half a minute to fill in.
const manyRecords = "BENCHMARK_RECORDS"

// BenchmarkGrowth has each method with few records and with many, side by side, so
// that what differs is their number alone. All are due some day, ten of them now.
func BenchmarkGrowth(b *testing.B) {
	const few = 1_000
	many := 10 * few
	if text := os.Getenv(manyRecords); text != "" {
		var err error
		many, err = strconv.Atoi(text)
		require.NoError(b, err)
	}
	type growing struct {
		*Store
		keys     []string
		versions map[string]uint64
	}
	ctx, value := b.Context(), make([]byte, 700)
	var stores []*growing
	for _, n := range []int{few, many} {
		s, _, keys := filled(b, n)
		for i := range 10 {
			w := store.Write{Value: value, Version: 1, TTL: lifetime, DueIn: 1}
			require.NoError(b, s.Put(ctx, fmt.Sprint("due", i), w))
		}
		stores = append(stores, &growing{s, keys, map[string]uint64{}})
	}
	for _, method := range []struct {
		name string
		call func(s *growing, i int) error
	}{
		{"Get", func(s *growing, i int) error {
			_, err := s.Get(ctx, s.keys[i%len(s.keys)])
			return err
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
		for _, s := range stores {
			b.Run(fmt.Sprintf("%s/records=%d", method.name, len(s.keys)), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := method.call(s, i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
