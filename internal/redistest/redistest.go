// Package redistest starts Redis servers for tests: on free ports of the
// loopback interface, without persistence, killed when the test ends.
//
// On a machine without redis-server the test is skipped. Where the environment has
// CI=true, it fails instead.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/internal/testenv"
)

const (
	program = "redis-server"
	// startLimit is for machines that are very busy.
	startLimit = 30 * time.Second
	pollEvery  = 10 * time.Millisecond
)

// Process is one running redis-server.
type Process struct {
	// Addr is its host:port.
	Addr string

	cmd    *exec.Cmd
	conn   *redis.Client // once client was called
	ended  chan struct{} // closed when the process has ended
	output bytes.Buffer  // to be read once it has
}

// Server starts a server and returns its address.
func Server(t testing.TB) (addr string) {
	t.Helper()
	return Start(t).Addr
}

// Start is Server with further arguments for redis-server, such as "--maxmemory",
// "64mb", for tests that treat the process itself.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	path := testenv.Program(t, program)
	// Somebody else may take a free port before the server does.
	const attempts = 5
	var err error
	for range attempts {
		var p *Process
		if p, err = launch(t, path, args); err == nil {
			return p
		}
	}
	t.Fatalf("redistest: %v", err)
	return nil
}

// Cluster starts a Redis Cluster of three masters, and returns their addresses
// when all of them serve all slots.
func Cluster(t testing.TB) (addrs []string) {
	t.Helper()
	masters, _ := ReplicatedCluster(t, 0)
	for _, p := range masters {
		addrs = append(addrs, p.Addr)
	}
	return addrs
}

// shared is the Cluster of all tests of this process that ask for the shared one.
var shared struct {
	addrs []string
	ends  []func()
}

// SharedCluster is an empty [Cluster] that the tests of a package use one after the
// other, since to start one takes seconds. A test leaves it as whole as it was. The
// package's TestMain has to call [Main].
func SharedCluster(t testing.TB) (addrs []string) {
	t.Helper()
	if shared.addrs == nil {
		shared.addrs = Cluster(lasting{t})
	}
	for _, addr := range shared.addrs {
		node := redis.NewClient(&redis.Options{Addr: addr})
		must(t, node.FlushAll(t.Context()).Err())
		must(t, node.Close())
	}
	return shared.addrs
}

// Main runs the tests of a package and ends what they shared.
func Main(m *testing.M) (code int) {
	code = m.Run()
	for _, end := range slices.Backward(shared.ends) {
		end()
	}
	return code
}

// lasting is a test whose servers outlast it.
type lasting struct{ testing.TB }

func (lasting) Context() context.Context { return context.Background() }

func (lasting) Cleanup(end func()) { shared.ends = append(shared.ends, end) }

func (l lasting) TempDir() string {
	dir, err := os.MkdirTemp("", "redistest")
	must(l.TB, err)
	l.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// ReplicatedCluster is [Cluster] with replicas of the first master, which are in step
// with it. If there are any, a server counts as failed after two seconds.
func ReplicatedCluster(t testing.TB, count int) (masters, replicas []*Process) {
	t.Helper()
	const slots = 16384
	masters = make([]*Process, 3)
	var all []*Process
	var meets [][]any // the commands that introduce a node
	for i := range len(masters) + count {
		bus := testenv.FreePort(t)
		args := []string{"--cluster-enabled", "yes", "--cluster-port", bus, "--repl-diskless-sync-delay", "0"}
		if count > 0 {
			args = append(args, "--cluster-node-timeout", "2000")
		}
		p := Start(t, args...)
		all = append(all, p)
		node := p.client(t)
		must(t, node.Do(t.Context(), "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		if i < len(masters) {
			masters[i] = p
			must(t, node.ClusterAddSlotsRange(t.Context(), i*slots/len(masters), (i+1)*slots/len(masters)-1).Err())
		} else {
			replicas = append(replicas, p)
		}
		for _, meet := range meets { // each, as they would tell each other only after seconds
			must(t, node.Do(t.Context(), meet...).Err())
		}
		host, port, _ := net.SplitHostPort(p.Addr)
		meets = append(meets, []any{"CLUSTER", "MEET", host, port, bus})
	}
	id, err := masters[0].client(t).ClusterMyID(t.Context()).Result()
	must(t, err)
	for _, p := range all {
		must(t, poll(t.Context(), func() error {
			return says(p.client(t).ClusterInfo(t.Context()), "cluster_state:ok", fmt.Sprint("cluster_known_nodes:", len(all)), fmt.Sprint("cluster_slots_ok:", slots))
		}))
	}
	for _, p := range replicas {
		must(t, poll(t.Context(), func() error { // it may not have heard of the master yet
			return p.client(t).ClusterReplicate(t.Context(), id).Err()
		}))
		must(t, poll(t.Context(), func() error {
			return says(p.client(t).Info(t.Context(), "replication"), "master_link_status:up")
		}))
	}
	must(t, poll(t.Context(), func() error { // it sends them nothing before they have answered once
		info, err := masters[0].client(t).Info(t.Context(), "replication").Result()
		if err == nil && (strings.Count(info, "state=online") != count || strings.Contains(info, ",offset=0,")) {
			err = fmt.Errorf("not %d replicas in\n%s", count, info)
		}
		return err
	}))
	for _, p := range all { // one that has not heard of a replica lets it not take over
		must(t, poll(t.Context(), func() error {
			nodes, err := p.client(t).ClusterNodes(t.Context()).Result()
			if err == nil && strings.Count(nodes, "slave "+id+" ") != count {
				err = fmt.Errorf("not %d replicas in\n%s", count, nodes)
			}
			return err
		}))
	}
	return masters, replicas
}

// SentinelMaster is what Sentinels of this package call the master.
const SentinelMaster = "main"

// Sentinel starts a master with two replicas, of which it needs one to write, and a
// Sentinel that takes a server for failed after a second. The first server is the
// master.
func Sentinel(t testing.TB) (servers []*Process, sentinel string) {
	t.Helper()
	for i := range 3 {
		args := []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "2", "--repl-diskless-sync-delay", "0"}
		if i > 0 {
			host, port, _ := net.SplitHostPort(servers[0].Addr)
			args = append(args, "--replicaof", host, port)
		}
		p := Start(t, args...)
		servers = append(servers, p)
	}
	for _, p := range servers[1:] {
		must(t, poll(t.Context(), func() error {
			return says(p.client(t).Info(t.Context(), "replication"), "master_link_status:up")
		}))
	}
	must(t, poll(t.Context(), func() error { // it counts them once a second
		return says(servers[0].client(t).Info(t.Context(), "replication"), "min_slaves_good_slaves:2")
	}))

	host, port, _ := net.SplitHostPort(servers[0].Addr)
	own := testenv.FreePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	must(t, os.WriteFile(file, fmt.Appendf(nil, `bind 127.0.0.1
port %[1]s
sentinel monitor %[2]s %[3]s %[4]s 1
sentinel down-after-milliseconds %[2]s 1000
sentinel failover-timeout %[2]s 5000
sentinel parallel-syncs %[2]s 2
`, own, SentinelMaster, host, port), 0o600))
	s := &Process{Addr: net.JoinHostPort("127.0.0.1", own)}
	must(t, s.run(t, exec.Command(testenv.Program(t, program), file, "--sentinel")))
	t.Cleanup(s.kill)
	watch := redis.NewSentinelClient(&redis.Options{Addr: s.Addr})
	defer func() { _ = watch.Close() }()
	must(t, poll(t.Context(), func() error {
		replicas, err := watch.Replicas(t.Context(), SentinelMaster).Result()
		if err == nil && (len(replicas) != 2 || replicas[0]["master-link-status"] != "ok" || replicas[1]["master-link-status"] != "ok") {
			err = fmt.Errorf("not two replicas: %v", replicas)
		}
		return err
	}))
	return servers, s.Addr
}

// says returns an error unless the answer has all these lines.
func says(answer *redis.StringCmd, lines ...string) error {
	text, err := answer.Result()
	if err != nil {
		return err
	}
	for _, want := range lines {
		if !strings.Contains(text, want+"\r\n") {
			return fmt.Errorf("no %s in\n%s", want, text)
		}
	}
	return nil
}

// client is a client of this server alone.
func (p *Process) client(t testing.TB) *redis.Client {
	if p.conn == nil {
		p.conn = redis.NewClient(&redis.Options{Addr: p.Addr})
		t.Cleanup(func() { _ = p.conn.Close() })
	}
	return p.conn
}

// launch runs one server until the test ends.
func launch(t testing.TB, path string, args []string) (*Process, error) {
	port := testenv.FreePort(t)
	args = append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no",
	}, args...)
	p := &Process{Addr: net.JoinHostPort("127.0.0.1", port)}
	if err := p.run(t, exec.Command(path, args...)); err != nil {
		return nil, err
	}
	t.Cleanup(p.kill)
	return p, nil
}

// run starts the process and returns when it serves. If it does not, the process
// is gone.
func (p *Process) run(t testing.TB, cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // that it was killed
	}()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: p.Addr})
	defer func() { _ = client.Close() }()
	err := poll(ctx, func() error {
		select {
		case <-ended:
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
		p.kill()
	}
	return err
}

func (p *Process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Kill ends the process as a crash does: nothing is saved any more.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	p.kill()
}

// Restart starts a killed process again, at the same address and with the same
// arguments and directory. With "--appendonly", "yes" it finds its data there.
func (p *Process) Restart(t testing.TB) {
	t.Helper()
	must(t, p.run(t, exec.Command(p.cmd.Path, p.cmd.Args[1:]...)))
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
