package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okidtest"
)

// A crowd of strangers, or of users, whose bodies are large or do not come, costs the
// server little memory, and webhooks get through it at once.
func TestCrowds(t *testing.T) {
	testenv.Long(t)
	claim := `{"data":[` + strings.Repeat("0,", 125<<10) + `0]}` // as many values as 250 KiB hold
	for _, tt := range []struct {
		name  string
		crowd int
		route string
		head  string
		sent  string
		done  bool // the whole body is sent
		most  int  // memory, in MB
	}{
		{"webhooks of one byte of few", 1100, "webhook", "Content-Length: 700", "{", false, 100},
		{"webhooks of one byte of many", 1100, "webhook", "Content-Length: 262144", "{", false, 100},
		{"webhooks that stop after 200 kB", 1100, "webhook", "Content-Length: 262144", strings.Repeat("x", 200_000), false, 100},
		{"webhooks that stop after 200 kB, in chunks", 1100, "webhook", "Transfer-Encoding: chunked", "30d40\r\n" + strings.Repeat("x", 200_000), false, 100},
		{"forged webhooks of 250 KiB", 1100, "webhook", "Content-Length: 256000", strings.Repeat("x", 256_000), true, 100},
		{"claims of one byte", 1100, "claim", "Content-Length: 262144", "{", false, 100},
		{"claims that stop after 200 kB", 1100, "claim", "Content-Length: 262144", strings.Repeat("x", 200_000), false, 100},
		{"forged claims of 250 KiB", 300, "claim", "Content-Length: " + strconv.Itoa(len(claim)), claim, true, 100},
		{"starts of one byte", 1100, "start", "Content-Length: 16384", "x", false, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enoughFiles(t, 2*tt.crowd)
			s := newCheckin(t, okidtest.GetIDConfig{}).launch(t, launch, nil)
			a := s.logIn(t, "alice").begin(t)
			cookies := make([]string, tt.crowd)
			if tt.route != "webhook" {
				for i := range cookies {
					cookies[i] = s.logIn(t, fmt.Sprintf("mallory %d", i)).cookie
				}
			}
			idle := s.memory(t, "VmRSS")

			var connected, ended sync.WaitGroup
			conns := make([]net.Conn, tt.crowd)
			for i := range conns {
				conns[i] = s.dial(t) // closed when the test ends
				connected.Add(1)
				ended.Go(func() {
					_, _ = fmt.Fprintf(conns[i], "POST /verify/%s HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n%s\r\n\r\n", tt.route, cookies[i], tt.head)
					connected.Done()
					_, _ = io.WriteString(conns[i], tt.sent)
					_, _ = io.Copy(io.Discard, conns[i])
				})
			}
			connected.Wait()
			for range 20 {
				began := now()
				got := s.deliver(t, s.signed(strings.Replace(completed(a, a.id), "completed", "started", 3)))
				assert.Equal(t, http.StatusOK, got.status, got.body)
				assert.Less(t, now().Sub(began), time.Second*2)
			}
			if tt.done {
				for _, conn := range conns {
					require.NoError(t, conn.(*net.TCPConn).CloseWrite())
				}
				ended.Wait()
			}
			grown := s.memory(t, "VmHWM") - idle
			t.Logf("%d MB idle, %d MB more at most", idle>>20, grown>>20)
			if !testenv.RaceDetector {
				assert.Less(t, grown, tt.most<<20)
			}
			require.Equal(t, http.StatusOK, s.deliver(t, s.signed(completed(a, a.id))).status)
			s.told(t, a, "verified")
			for _, conn := range conns {
				_ = conn.Close()
			}
			ended.Wait()
			s.stop(t)
		})
	}
}

// enoughFiles skips a test that needs so many connections if the system has fewer.
func enoughFiles(t *testing.T, n int) {
	t.Helper()
	var limit syscall.Rlimit // which Go has raised as far as it goes
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if uint64(n)+200 > uint64(limit.Cur) {
		t.Skipf("%d files may be open, and %d are needed: raise the hard limit, ulimit -Hn", limit.Cur, n+200)
	}
}

// memory is what the system says of a process's memory, in bytes: VmRSS is what it has
// now, VmHWM the most that it ever had.
func (s *server) memory(t *testing.T, what string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.replicas[0].cmd.Process.Pid))
	if os.IsNotExist(err) {
		t.Skip("this system does not tell how much memory a process has")
	}
	require.NoError(t, err)
	m := regexp.MustCompile(what + `:\s*(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, m)
	n, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return n << 10
}
