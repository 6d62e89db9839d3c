//go:build unix

package redistest

import (
	"syscall"
	"testing"
)

// Freeze stops the process without ending it: its connections stay open, new
// ones are taken by the kernel, and nothing is answered until Thaw.
func (p *Process) Freeze(t testing.TB) {
	t.Helper()
	must(t, p.cmd.Process.Signal(syscall.SIGSTOP))
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw(t testing.TB) {
	t.Helper()
	must(t, p.cmd.Process.Signal(syscall.SIGCONT))
}
