// Package median has the median.
package median

import "slices"

// Of is the median of values, of which there must be one at least.
func Of(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}
