// Package testenv says which tests can, and are to, run here.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// Long skips a test that takes long, unless it was asked for such tests: in the
// environment, OKIDKIT_LONG_TESTS=1.
func Long(t testing.TB) {
	t.Helper()
	if !IsLong() {
		t.Skip("skipped: set OKIDKIT_LONG_TESTS=1")
	}
}

// IsLong reports whether tests that take long are to run.
func IsLong() bool { return os.Getenv("OKIDKIT_LONG_TESTS") == "1" }

// Program is the path of a program that the test needs. A test is skipped where it is
// not installed, and fails if the environment has CI=true.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is needed: %v", name, err)
	default:
		t.Skipf("skipped: %v", err)
	}
	return path
}
