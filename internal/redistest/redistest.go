// Package redistest starts Redis servers for tests: on free ports of the
// loopback interface, without persistence, killed when the test ends.
//
// On a machine without redis-server it logs so and reports false, and the test
// returns early. Where the environment has CI=true, the test fails instead.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// startLimit is for machines that are very busy.
	startLimit = 30 * time.Second
	pollEvery  = 10 * time.Millisecond
)

// Process is one running redis-server.
type Process struct {
	// Addr is its host:port.
	Addr string

	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	output bytes.Buffer  // to be read once it has
}

// Server starts a server and returns its address.
func Server(t testing.TB) (addr string, ok bool) {
	t.Helper()
	p, ok := Start(t)
	if !ok {
		return "", false
	}
	return p.Addr, true
}

// Start is Server with further arguments for redis-server, such as "--maxmemory",
// "64mb", for tests that treat the process itself.
func Start(t testing.TB, args ...string) (*Process, bool) {
	t.Helper()
	path, ok := find(t)
	if !ok {
		return nil, false
	}
	// Somebody else may take a free port before the server does.
	const attempts = 5
	var err error
	for range attempts {
		var p *Process
		if p, err = launch(t, path, args); err == nil {
			return p, true
		}
	}
	t.Fatalf("redistest: %v", err)
	return nil, false
}

// Cluster starts a Redis Cluster of three masters, and returns their addresses
// when all of them serve all slots.
func Cluster(t testing.TB) (addrs []string, ok bool) {
	t.Helper()
	if _, ok := find(t); !ok {
		return nil, false
	}
	const masters, slots = 3, 16384
	var nodes []*redis.Client
	for i := range masters {
		bus := freePort(t)
		p, ok := Start(t, "--cluster-enabled", "yes", "--cluster-port", bus)
		if !ok {
			return nil, false
		}
		node := redis.NewClient(&redis.Options{Addr: p.Addr})
		t.Cleanup(func() { _ = node.Close() })
		must(t, node.Do(t.Context(), "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		must(t, node.ClusterAddSlotsRange(t.Context(), i*slots/masters, (i+1)*slots/masters-1).Err())

		addrs, nodes = append(addrs, p.Addr), append(nodes, node)
		if i > 0 {
			host, port, _ := net.SplitHostPort(p.Addr)
			must(t, nodes[0].Do(t.Context(), "CLUSTER", "MEET", host, port, bus).Err())
		}
	}
	for _, node := range nodes {
		must(t, poll(t.Context(), func() error {
			info, err := node.ClusterInfo(t.Context()).Result()
			if err != nil {
				return err
			}
			for _, want := range []string{"cluster_state:ok", fmt.Sprint("cluster_known_nodes:", masters), fmt.Sprint("cluster_slots_ok:", slots)} {
				if !strings.Contains(info, want+"\r\n") {
					return fmt.Errorf("no %s in\n%s", want, info)
				}
			}
			return nil
		}))
	}
	return addrs, true
}

// find looks for redis-server.
func find(t testing.TB) (path string, ok bool) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	switch {
	case err == nil:
		return path, true
	case os.Getenv("CI") == "true":
		t.Fatalf("redistest: %v", err)
	default:
		t.Logf("redistest: not tested with a real Redis: %v", err)
	}
	return "", false
}

// launch runs one server until the test ends.
func launch(t testing.TB, path string, args []string) (*Process, error) {
	port := freePort(t)
	p := &Process{Addr: net.JoinHostPort("127.0.0.1", port), ended: make(chan struct{})}
	args = append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no",
	}, args...)
	p.cmd = exec.Command(path, args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // that it was killed
	}()
	stop := func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: p.Addr})
	defer func() { _ = client.Close() }()
	err := poll(ctx, func() error {
		select {
		case <-p.ended:
			cancel()
			return fmt.Errorf("redis-server ended: %s", p.output.String())
		default:
		}
		// Before go-redis, which logs each time that nobody is there yet.
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			return err
		}
		_ = conn.Close()
		return client.Ping(ctx).Err()
	})
	if err != nil {
		stop()
		return nil, err
	}
	t.Cleanup(stop)
	return p, nil
}

// freePort is one that nobody listens on just now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// poll calls ready until it reports no error, and returns the last one if that
// takes too long or ctx ends.
func poll(ctx context.Context, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
}
