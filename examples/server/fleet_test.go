package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/sqlstore"
	"github.com/okidkit/okidkit/store"
)

// asSaboteur, as the value of asServer, makes the test binary a server that the
// variables below spoil.
const (
	asSaboteur  = "saboteur"
	crashAt     = "CRASH_AT"     // a point of the first webhook; empty: none
	crashBy     = "CRASH_BY"     // the number of the signal that the process sends itself there
	clockOffset = "CLOCK_OFFSET" // how far the process's clock is from the right time
)

// lease is that of a fleet's servers: what a process leaves behind that dies.
const lease = 4 * time.Second

// The points of the handling of a webhook at which a process can crash.
const (
	beforeClaim    = "before the claim"
	afterClaim     = "after the claim"
	beforeCallback = "before the callback"
	afterCallback  = "after the callback"
	beforeCommit   = "before the commit" // of a transaction
	afterCommit    = "after the commit"
)

// mainOfSaboteur is main with a saboteur in it.
func mainOfSaboteur() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var sig int
	_, _ = fmt.Sscan(os.Getenv(crashBy), &sig)
	offset, _ := time.ParseDuration(os.Getenv(clockOffset))
	s := &saboteur{at: os.Getenv(crashAt), by: syscall.Signal(sig)}
	adjust := func(c *okidhttp.Config) {
		c.Lease = lease
		c.Now = func() time.Time { return now().Add(offset) }
		if s.at != "" {
			s.Store, c.Store = c.Store, s
			if _, ok := s.Store.(store.Transactor); ok {
				c.Store = transactingSaboteur{s}
			}
			c.OnVerified = s.callback(c.OnVerified)
		}
	}
	if err := run(ctx, os.Getenv, adjust, os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// saboteur is the store of a process that stops or kills itself at one point, the
// first time that it gets there. All that the process has to do until then is one
// webhook that verifies somebody.
type saboteur struct {
	store.Store
	at      string
	by      syscall.Signal
	claimed atomic.Bool
	called  atomic.Bool
	reached atomic.Bool
}

func (s *saboteur) Put(ctx context.Context, key string, w store.Write) error {
	claims := !s.claimed.Swap(true)
	commits := s.called.Load() && sqlstore.Tx(ctx) == nil // else it renews the lease, or the transaction commits
	if claims {
		s.reach(beforeClaim)
	}
	err := s.Store.Put(ctx, key, w)
	if claims {
		s.reach(afterClaim)
	}
	if commits {
		s.reach(afterCommit)
	}
	return err
}

// transactingSaboteur is a saboteur whose store commits a callback and its own write together.
type transactingSaboteur struct{ *saboteur }

func (s transactingSaboteur) Transact(ctx context.Context, f func(ctx context.Context) error) error {
	err := s.Store.(store.Transactor).Transact(ctx, func(ctx context.Context) error {
		err := f(ctx)
		if s.called.Load() {
			s.reach(beforeCommit)
		}
		return err
	})
	if s.called.Load() {
		s.reach(afterCommit)
	}
	return err
}

// Due leaves the work of others alone until the process has got there.
func (s *saboteur) Due(ctx context.Context, limit int) ([]string, error) {
	if !s.reached.Load() {
		return nil, nil
	}
	return s.Store.Due(ctx, limit)
}

func (s *saboteur) callback(next func(context.Context, okidhttp.Event) error) func(context.Context, okidhttp.Event) error {
	return func(ctx context.Context, e okidhttp.Event) error {
		s.reach(beforeCallback)
		err := next(ctx, e)
		s.called.Store(true)
		s.reach(afterCallback)
		return err
	}
}

// reach sends the signal, if this is the point, and does not return before the
// process was stopped and goes on.
func (s *saboteur) reach(point string) {
	if point != s.at || s.reached.Swap(true) {
		return
	}
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	_ = os.NewFile(3, "").Close() // the test waits for its end
	_ = syscall.Kill(os.Getpid(), s.by)
	<-goesOn
}

// fleet is replicas of the server on one store, the host whom they tell, and a
// fake okID that sends to them in turn and tries again until it is answered 200.
type fleet struct {
	fake *okidtest.OKID
	host *ledger
	env  map[string]string

	mu       sync.Mutex
	replicas []*replica // to whom the fake sends
	next     int
	acked    map[line]int // calls about an attempt and its verdict before the first 200
}

// replica is a server of a fleet: one process.
type replica struct {
	*server
	*process
	reached chan struct{} // closed when the process gets to where it crashes
}

// newFleet starts n replicas on a Redis.
func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	return newFleetOn(t, n, "REDIS_URL", "redis://"+redistest.Server(t))
}

// newFleetOn starts n replicas whose records are where a variable says.
func newFleetOn(t *testing.T, n int, variable, value string) *fleet {
	t.Helper()
	f := &fleet{host: newLedger(t), acked: map[line]int{}}
	apiKey, secret := rand.Text(), rand.Text()
	fake, err := okidtest.NewOKID(okidtest.Config{
		APIKey:        apiKey,
		WebhookSecret: secret,
		RetryDelays:   slices.Repeat([]time.Duration{200 * time.Millisecond}, int(patience/(200*time.Millisecond))),
		HTTPClient:    &http.Client{Transport: f, Timeout: patience},
	})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	t.Cleanup(fake.Close)
	f.fake = fake
	f.env = map[string]string{
		asServer:              asSaboteur,
		"PUBLIC_URL":          "http://app.localhost",
		variable:              value,
		"CALLBACK_URL":        f.host.URL,
		"OKID_KEYS":           randomKey(),
		"OKID_API_KEY":        apiKey,
		"OKID_WEBHOOK_SECRET": secret,
		"OKID_API_URL":        fake.URL(),
		"OKID_FRONTEND_URL":   fake.URL(),
		"OKID_SDK_URL":        fake.SDKURL(),
	}
	for range n {
		f.replicas = append(f.replicas, f.launch(t, nil))
	}
	return f
}

// launch starts a server of the fleet to which the fake does not send.
func (f *fleet) launch(t *testing.T, env map[string]string) *replica {
	t.Helper()
	return f.launchAt(t, "127.0.0.1:"+testenv.FreePort(t), env)
}

func (f *fleet) launchAt(t *testing.T, addr string, env map[string]string) *replica {
	t.Helper()
	all := maps.Clone(f.env)
	all["ADDR"] = addr
	maps.Copy(all, env)
	s := &replica{server: newServer(), reached: make(chan struct{})}
	s.fake, s.secret = f.fake, f.env["OKID_WEBHOOK_SECRET"]
	s.secrets = []string{f.env["OKID_API_KEY"], f.env["OKID_WEBHOOK_SECRET"], f.env["OKID_KEYS"]}
	cmd := command(t, all)
	reached, end, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = reached.Close() })
	cmd.ExtraFiles = []*os.File{end}
	t.Cleanup(func() { s.end(t) })
	s.boot(t, cmd)
	s.process = s.server.replicas[0]
	t.Cleanup(func() { s.leave(t) })
	require.NoError(t, end.Close())
	go func() {
		defer close(s.reached)
		_, _ = reached.Read(make([]byte, 1)) // its end, when the process closes it or dies
	}()
	return s
}

// leave stops a replica, which must exit with status 0, unless it was killed
// before.
func (s *replica) leave(t *testing.T) {
	t.Helper()
	select {
	case <-s.exited:
		return
	default:
	}
	s.client.CloseIdleConnections()                           // as in stop
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGCONT)) // if it is stopped
	s.terminate(t)
	s.hasLeft(t)
}

// hasLeft waits until a replica that was told to stop has done so, with status 0.
func (s *replica) hasLeft(t *testing.T) {
	t.Helper()
	receive(t, s.exited)
	assert.Zero(t, s.cmd.ProcessState.ExitCode(), "stderr:\n%s", s.server.stderr(t))
}

// printed are the lines of a replica that has ended.
func (s *replica) printed(t *testing.T) (all []line) {
	t.Helper()
	receive(t, s.exited)
	for len(s.lines) > 0 {
		all = append(all, <-s.lines)
	}
	return all
}

// restart starts the replica again at the same address, once it has ended.
func (f *fleet) restart(t *testing.T, i int) {
	t.Helper()
	receive(t, f.replicas[i].exited)
	s := f.launchAt(t, strings.TrimPrefix(f.replicas[i].url, "http://"), nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replicas[i] = s
}

// RoundTrip sends a webhook of the fake's to the next replica.
func (f *fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	f.mu.Lock()
	s := f.replicas[f.next%len(f.replicas)]
	f.next++
	f.mu.Unlock()

	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.URL.Host = strings.TrimPrefix(s.url, "http://")
	resp, err := s.witness.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusOK {
		f.acknowledged(body)
	}
	return resp, err
}

// acknowledged notes how often the host had been told of a verdict when it was
// first answered 200. A start is not told when there is more to tell.
func (f *fleet) acknowledged(body []byte) {
	var webhook struct {
		Event string
		Data  struct{ Metadata struct{ Reference string } }
	}
	if err := json.Unmarshal(body, &webhook); err != nil {
		panic(err)
	}
	verdict := line{Attempt: webhook.Data.Metadata.Reference}
	switch webhook.Event {
	case okid.EventCompleted:
		verdict.Callback = "verified"
	case okid.EventFailed:
		verdict.Callback = "failed"
	default:
		return
	}
	calls := f.host.about(verdict)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.acked[verdict]; !ok {
		f.acked[verdict] = calls
	}
}

// begin is that of user, and leaves it to the fleet to whom okID tells it.
func (f *fleet) begin(t *testing.T, s *replica, name string) *attempt {
	t.Helper()
	a := s.logIn(t, name).start(t, http.StatusCreated)
	id, err := f.fake.Begin(a.ProcessToken)
	require.NoError(t, err)
	a.id = id
	s.settle(t)
	return a
}

// ledger is the host's own service behind CALLBACK_URL, which writes down every
// call.
type ledger struct {
	*httptest.Server
	mu   sync.Mutex
	all  []line
	held map[string]held // by subject
	open map[string]int  // calls under way, by subject
	most map[string]int  // of these at any time
}

// held are the calls about a verified subject that wait, all but the first ones.
type held struct {
	but     int
	release chan struct{}
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{held: map[string]held{}, open: map[string]int{}, most: map[string]int{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var told line
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &told); err != nil {
			told = line{}
		}
		l.mu.Lock()
		l.all = append(l.all, told)
		held, ok := l.held[told.Subject]
		l.open[told.Subject]++
		l.most[told.Subject] = max(l.most[told.Subject], l.open[told.Subject])
		l.mu.Unlock()
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.open[told.Subject]--
		}()
		if ok && len(l.of(told.Subject, "verified")) > held.but {
			hold(held.release)(w, r)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(l.Close)
	return l
}

// hold lets the calls that tell that a subject is verified wait until release is
// called, all but the first ones.
func (l *ledger) hold(subject string, but int) (release func()) {
	h := held{but, make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[subject] = h
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, subject)
		close(h.release)
	}
}

// calls are all calls so far, oldest first.
func (l *ledger) calls() []line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// of are the calls of one callback about a subject.
func (l *ledger) of(subject, callback string) []line {
	return slices.DeleteFunc(l.calls(), func(c line) bool { return c.Subject != subject || c.Callback != callback })
}

// about counts the calls of one callback about an attempt.
func (l *ledger) about(c line) int {
	n := 0
	for _, call := range l.calls() {
		if call.Attempt == c.Attempt && call.Callback == c.Callback {
			n++
		}
	}
	return n
}

// atOnce is how many calls about a subject there were at the same time.
func (l *ledger) atOnce(subject string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most[subject]
}
