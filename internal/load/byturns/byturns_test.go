package byturns_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/okidkit/okidkit/internal/load/byturns"
)

func TestCompare(t *testing.T) {
	var turns []string
	turn := func(name string) func(int) error {
		return func(int) error { turns = append(turns, name); return nil }
	}
	r := testing.Benchmark(func(b *testing.B) {
		turns = nil
		byturns.Compare(b, byturns.Do("few", turn("few")), byturns.Do("many", turn("many")))
	})
	assert.Len(t, turns, 2*r.N)
	assert.Equal(t, []string{"few", "many"}, turns[:2])
	for _, unit := range []string{"ns/few", "ns/many", "many/few"} {
		assert.Contains(t, r.Extra, unit)
	}

	fails := func(int) error { return errors.New("it fails") }
	r = testing.Benchmark(func(b *testing.B) {
		byturns.Compare(b, byturns.Do("few", turn("few")), byturns.Do("many", fails))
	})
	assert.Empty(t, r.Extra)
}
