// Package byturns compares two things in one benchmark by doing them by turns, so that
// what else the machine does meets both.
package byturns

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/okidkit/okidkit/internal/load/median"
)

// manyRecords, in the environment, is how many records there are where there are many.
const manyRecords = "BENCHMARK_RECORDS"

// Sizes are how many records there are where there are few, and where there are many:
// ten thousand, unless BENCHMARK_RECORDS says something else.
func Sizes(b *testing.B) (few, many int) {
	b.Helper()
	few, many = 1_000, 10_000
	if text := os.Getenv(manyRecords); text != "" {
		var err error
		if many, err = strconv.Atoi(text); err != nil {
			b.Fatalf("%s: %v", manyRecords, err)
		}
	}
	return few, many
}

// Side is one of the two.
type Side struct {
	// Name is the unit's: ns/Name.
	Name string
	// Prepare makes ready for the i-th turn, counted from 0, and returns what is
	// measured.
	Prepare func(i int) (measured func() error)
}

// Do is a side that needs nothing to be made ready.
func Do(name string, do func(i int) error) Side {
	return Side{name, func(i int) func() error { return func() error { return do(i) } }}
}

// Compare reports the median time of each side, and how many times as long the second
// takes. Medians are less moved by what else the machine does than means are.
func Compare(b *testing.B, first, second Side) {
	b.Helper()
	sides := [2]Side{first, second}
	var took [2][]float64
	for i := 0; b.Loop(); i++ {
		for j, side := range sides {
			measured := side.Prepare(i)
			began := time.Now()
			err := measured()
			took[j] = append(took[j], float64(time.Since(began)))
			if err != nil {
				b.Fatalf("%s: %v", side.Name, err)
			}
		}
	}
	one, other := median.Of(took[0]), median.Of(took[1])
	b.ReportMetric(0, "ns/op") // which would be that of both together
	b.ReportMetric(one, "ns/"+first.Name)
	b.ReportMetric(other, "ns/"+second.Name)
	b.ReportMetric(other/one, second.Name+"/"+first.Name)
}
