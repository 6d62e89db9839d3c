// Package byturns compares two things in one benchmark by doing them by turns, so that
// what else the machine does meets both.
package byturns

import (
	"slices"
	"testing"
	"time"
)

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
	var took [2][]time.Duration
	for i := 0; b.Loop(); i++ {
		for j, side := range sides {
			measured := side.Prepare(i)
			began := time.Now()
			err := measured()
			took[j] = append(took[j], time.Since(began))
			if err != nil {
				b.Fatalf("%s: %v", side.Name, err)
			}
		}
	}
	var median [2]float64
	for j, side := range sides {
		slices.Sort(took[j])
		median[j] = float64(took[j][len(took[j])/2])
		b.ReportMetric(median[j], "ns/"+side.Name)
	}
	b.ReportMetric(0, "ns/op") // which would be that of both together
	b.ReportMetric(median[1]/median[0], second.Name+"/"+first.Name)
}
