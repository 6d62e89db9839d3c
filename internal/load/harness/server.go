//go:build unix

package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// serve is the server process: it prints its address, then one line of Usage for
// every line that it reads, and ends with its input, so it never outlives whoever
// started it.
func serve(c Case, redis string, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	h, err := c.Handler(ctx, redis)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ // the limits of examples/server
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Fprintln(out, l.Addr())

	profile := profiler{dir: os.Getenv(envProfile), name: c.Name}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		u, err := usage()
		if err == nil {
			err = profile.toggle()
		}
		if err == nil {
			err = json.NewEncoder(out).Encode(u)
		}
		if err != nil {
			return err
		}
	}
	_ = server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return lines.Err()
}

// profiler writes a CPU profile of what happens between two questions for the
// usage.
type profiler struct {
	dir, name string // no dir: nothing
	file      *os.File
}

func (p *profiler) toggle() (err error) {
	switch {
	case p.dir == "":
		return nil
	case p.file != nil:
		pprof.StopCPUProfile()
		err = p.file.Close()
		p.file = nil
		return err
	}
	p.file, err = os.Create(filepath.Join(p.dir, strings.ReplaceAll(p.name, " ", "_")+".pprof"))
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(p.file)
}

// usage is that of this process.
func usage() (Usage, error) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return Usage{}, err
	}
	return Usage{
		Mallocs: m.Mallocs,
		Bytes:   m.TotalAlloc,
		Held:    m.HeapAlloc + m.StackInuse,
		Sys:     m.Sys,
		CPU:     time.Duration(used.Utime.Nano() + used.Stime.Nano()),
	}, nil
}

// Server is the process that serves a case.
type Server struct {
	Addr string

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// Start starts this program again to serve a case. The Redis server at address
// redis, if the case needs one, is emptied.
func Start(ctx context.Context, c Case, redisAddr string) (*Server, error) {
	return start(ctx, c, redisAddr, "")
}

// start is Start, with profiles in a directory if it is not empty.
func start(ctx context.Context, c Case, redisAddr, profileDir string) (*Server, error) {
	if !c.Redis {
		redisAddr = ""
	} else {
		client := redis.NewClient(&redis.Options{Addr: redisAddr})
		err := client.FlushAll(ctx).Err()
		if err := errors.Join(err, client.Close()); err != nil {
			return nil, err
		}
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), envCase+"="+c.Name, envRedis+"="+redisAddr, envProfile+"="+profileDir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{cmd: cmd, in: in, out: bufio.NewReader(out)}
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("server did not start: %w", err)
	}
	s.Addr = strings.TrimSpace(line)
	return s, nil
}

// Usage is what the server has used so far. The server collects its garbage for
// that.
func (s *Server) Usage() (u Usage, err error) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return u, err
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return u, err
	}
	return u, json.Unmarshal(line, &u)
}

// Stop ends the server.
func (s *Server) Stop() {
	_ = s.in.Close()
	_ = s.cmd.Wait() // what went wrong is on standard error
}

// StartRedis starts a Redis server without persistence on a free port. The error
// wraps [exec.ErrNotFound] if none is installed.
func StartRedis(ctx context.Context) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	_ = l.Close() // for the server to take
	cmd := exec.CommandContext(ctx, "redis-server",
		"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no")
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // that it was killed
	}
	deadline, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return addr, stop, nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			stop()
			return "", nil, fmt.Errorf("redis-server does not answer: %w", err)
		}
	}
}
