//go:build unix

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/load/cases"
	"github.com/okidkit/okidkit/internal/load/harness"
)

// The servers are this program, too.
func TestMain(m *testing.M) {
	if !harness.Serving(cases.All()) {
		os.Exit(m.Run())
	}
}

// Every request of every case is answered with 200, and there is a row for each.
func TestCases(t *testing.T) {
	var out strings.Builder
	require.NoError(t, harness.Run(t.Context(), cases.All(), harness.Options{Rounds: 1, Seconds: 0.01}, &out))
	for _, c := range cases.All() {
		if !c.Redis || installed(t) {
			assert.Contains(t, out.String(), "| "+c.Name+" |")
		}
	}
}

// A case comes with those that it is compared with.
func TestOnly(t *testing.T) {
	var out strings.Builder
	options := harness.Options{Rounds: 2, Seconds: 0.01, Only: "gate"}
	require.NoError(t, harness.Run(t.Context(), cases.All(), options, &out))
	assert.Equal(t, 2+2, strings.Count(out.String(), "\n"), out.String())
	options.Only = "gate,none"
	assert.ErrorContains(t, harness.Run(t.Context(), cases.All(), options, &out), `no case "none"`)
}

// Every stream is told the verdict.
func TestStreams(t *testing.T) {
	var out strings.Builder
	require.NoError(t, measureStreams(t.Context(), 50, 0, &out))
	want := []string{"| memory | 50 |"}
	if installed(t) {
		want = append(want, "| Redis | 50 |")
	}
	for _, row := range want {
		assert.Contains(t, out.String(), row)
	}
}

// installed reports whether there is a redis-server, as there must be on CI.
func installed(t *testing.T) bool {
	_, err := exec.LookPath("redis-server")
	if os.Getenv("CI") == "true" {
		require.NoError(t, err)
	}
	return err == nil
}
