package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Ratios are taken within a round: here the second was disturbed throughout.
func TestTable(t *testing.T) {
	var got table
	for _, round := range []string{
		"BenchmarkA/floor-2 \t 10\t 100 ns/op\t 8 B/op\t 1 allocs/op\nBenchmarkA/ours-2 \t 10\t 50.5 ns/op\t 0 B/op\t 0 allocs/op\n",
		"BenchmarkA/floor-2 \t 10\t 900 ns/op\t 8 B/op\t 1 allocs/op\nnoise\nBenchmarkA/ours-2 \t 10\t 630 ns/op\t 0 B/op\t 0 allocs/op\n",
		"BenchmarkA/floor-2 \t 10\t 110 ns/op\t 8 B/op\t 1 allocs/op\nBenchmarkA/ours-2 \t 10\t 66 ns/op\t 0 B/op\t 0 allocs/op\nBenchmarkB \t 1\t 5 turns\n",
	} {
		got.read("okid", []byte(round))
	}
	var out strings.Builder
	require.NoError(t, got.write(&out))
	assert.Equal(t, `| benchmark | time | ratio to the floor | bytes | allocations | also |
| --- | --- | --- | --- | --- | --- |
| okid A/floor | 110 ns |  | 8 | 1 |  |
| okid A/ours | 66 ns | 0.600 (0.505-0.700) | 0 | 0 |  |
| okid B |  |  |  |  | 5 turns |
`, out.String())
}

// A benchmark that is missing from a round must not shift the others.
func TestTableWithoutARound(t *testing.T) {
	var got table
	got.read("okid", []byte("BenchmarkA/floor-2 1 100 ns/op\nBenchmarkA/ours-2 1 100 ns/op\n"))
	got.read("okid", []byte("BenchmarkA/ours-2 1 100 ns/op\n"))
	assert.ErrorIs(t, got.write(new(strings.Builder)), errOdd)
}
