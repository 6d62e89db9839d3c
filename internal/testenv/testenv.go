// Package testenv says which tests can, and are to, run here, and on which ports.
package testenv

import (
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
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

// FreePort is a port that nobody listens on just now. It lies below those that
// systems give to connections and to listeners on port 0, so that it is still
// free when a process comes back to it.
func FreePort(t testing.TB) string {
	t.Helper()
	const first, count, attempts = 10_000, 20_000, 100
	var err error
	for range attempts {
		port := strconv.Itoa(first + rand.IntN(count))
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatalf("no free port: %v", err)
	return ""
}
