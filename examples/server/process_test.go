package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/sqltest"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// These tests know the server as a stranger does: as a program with an
// environment, two outputs, and HTTP.

// patience is how long a test waits for something that must happen. It decides
// only how soon a broken server is given up.
const patience = time.Minute

// now is the clock of the machine, which is that of the server, too: a process
// cannot be given another one.
var now = time.Now

// asServer, in the environment, makes the test binary the server. A binary of its
// own, from go build, would be nothing that go test knows of: it would show the
// last result again after a change, and would need to be told of -race.
const asServer = "TEST_BINARY_IS_SERVER"

func TestMain(m *testing.M) {
	switch os.Getenv(asServer) {
	case "":
		os.Exit(sqltest.Main(m))
	case asSaboteur:
		mainOfSaboteur()
	default:
		main()
	}
}

// server is a server with a fake okID: one process, or several replicas behind one
// address.
type server struct {
	url     string
	secret  string // of the webhooks
	fake    *okidtest.OKID
	witness *witness
	client  *http.Client
	asked   chan okid.GenerateRequest // what the fake was asked for

	replicas []*process
	starts   atomic.Int64 // how many attempts were asked for; see replica
	lines    chan line    // of callbacks, on the standard output of any replica

	secrets []string // that nobody may ever see
	mu      sync.Mutex
	tokens  []string // that the user alone may see
}

// process is a running server binary.
type process struct {
	addr   string // HOST:PORT
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	stdout bytes.Buffer  // complete when it has ended, as is stderr
	stderr bytes.Buffer
}

// line is what a callback prints.
type line struct {
	Callback string `json:"callback"`
	EventID  string `json:"event_id"`
	Subject  string `json:"subject"`
	Attempt  string `json:"attempt"`
}

// launch starts a server of one process with this environment beside what it needs
// anyway, and stops it at the end of the test, unless the test has done so.
func launch(t *testing.T, env map[string]string) *server {
	t.Helper()
	return launchReplicas(t, 1, env)
}

// launchReplicas is launch for a server of n processes. What they are to share is
// the environment's to say.
func launchReplicas(t *testing.T, n int, env map[string]string) *server {
	t.Helper()
	s := newServer()
	all := map[string]string{
		"ADDR":                "127.0.0.1:0",
		"OKID_API_KEY":        rand.Text(),
		"OKID_WEBHOOK_SECRET": rand.Text(),
		"OKID_KEYS":           randomKey(),
	}
	if n > 1 {
		s.url = "http://localhost" // where nothing needs to listen: the witness knows better
		all["PUBLIC_URL"] = s.url
	}
	maps.Copy(all, env)
	s.secret, _, _ = strings.Cut(all["OKID_WEBHOOK_SECRET"], ",")
	for _, name := range []string{"OKID_API_KEY", "OKID_WEBHOOK_SECRET", "OKID_KEYS"} {
		for secret := range strings.SplitSeq(all[name], ",") {
			if secret = strings.TrimSpace(secret); secret != "" {
				s.secrets = append(s.secrets, secret)
			}
		}
	}

	fake, err := okidtest.NewOKID(okidtest.Config{
		APIKey:        all["OKID_API_KEY"],
		WebhookSecret: s.secret,
		RetryDelays:   []time.Duration{}, // the tests try again themselves
		HTTPClient:    &http.Client{Transport: s.witness, Timeout: patience},
		OnGenerate: func(_ context.Context, token string, r okid.GenerateRequest) {
			s.mu.Lock()
			s.tokens = append(s.tokens, token)
			s.mu.Unlock()
			s.asked <- r
		},
	})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	t.Cleanup(fake.Close)
	s.fake = fake
	all["OKID_API_URL"], all["OKID_FRONTEND_URL"], all["OKID_SDK_URL"] = fake.URL(), fake.URL(), fake.SDKURL()

	t.Cleanup(func() { s.end(t) })
	for range n {
		s.boot(t, command(t, all))
	}
	return s
}

// newServer is a server without a process.
func newServer() *server {
	s := &server{
		asked: make(chan okid.GenerateRequest, 1000),
		lines: make(chan line, 1000),
	}
	s.witness = &witness{server: s, next: &http.Transport{MaxIdleConnsPerHost: 256}}
	s.client = &http.Client{
		Transport:     s.witness,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	return s
}

// boot adds a process, and returns when it listens.
func (s *server) boot(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	p := &process{cmd: cmd, exited: make(chan struct{})}
	p.cmd.Stderr = &p.stderr
	pipe, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	s.replicas = append(s.replicas, p)

	first := make(chan string, 1)
	go p.read(pipe, first, s.lines)
	ready := regexp.MustCompile(`^listening on http://(127\.0\.0\.1:[1-9][0-9]*)$`).FindStringSubmatch(receive(t, first))
	require.NotNil(t, ready, "the ready line")
	p.addr = ready[1]
	if s.url == "" {
		s.url = "http://" + p.addr
	}
}

// replica is who gets a request to this path: each start goes to the next replica,
// the webhooks that follow to the one after it, and all else to the third.
func (s *server) replica(path string) *process {
	var n int64
	switch path {
	case "/verify/start":
		n = s.starts.Add(1)
	case "/verify/webhook":
		n = s.starts.Load() + 1
	default:
		n = s.starts.Load() + 2
	}
	return s.replicas[n%int64(len(s.replicas))]
}

// command is the server with this environment and no other.
func command(t *testing.T, env map[string]string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(binary)
	cmd.Env = []string{asServer + "=1", "GORACE=atexit_sleep_ms=0"} // under the race detector, end at once
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// randomKey is one of OKID_KEYS.
func randomKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return hex.EncodeToString(key)
}

// read reads standard output to its end, and then waits for the process. What is
// no callback's line arrives as an empty one, and so makes a test fail.
func (p *process) read(pipe io.Reader, first chan<- string, lines chan<- line) {
	scanner := bufio.NewScanner(io.TeeReader(pipe, &p.stdout))
	for n := 0; scanner.Scan(); n++ {
		if n == 0 {
			first <- scanner.Text()
			continue
		}
		var l line
		decoder := json.NewDecoder(strings.NewReader(scanner.Text()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&l); err != nil || decoder.More() {
			l = line{}
		}
		lines <- l
	}
	close(first)
	_ = p.cmd.Wait() // wait looks at ProcessState
	close(p.exited)
}

// receive takes a value from a channel that something must come through.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// told is the next line of a callback. A process writes it before it answers the
// webhook, so a line that should not be there comes before one that should.
func (s *server) told(t *testing.T, a *attempt, callback string) line {
	t.Helper()
	l := receive(t, s.lines)
	require.Equal(t, line{Callback: callback, EventID: l.EventID, Subject: a.user.name, Attempt: a.Attempt}, l)
	require.Regexp(t, `^evt_[a-z2-7]{24}$`, l.EventID)
	return l
}

// terminate asks the processes to stop.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	for _, p := range s.replicas {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			require.NoError(t, err)
		}
	}
}

// wait waits until the processes have ended as they should, and returns the lines
// that told has not taken.
func (s *server) wait(t *testing.T) (rest []line) {
	t.Helper()
	for _, p := range s.replicas {
		receive(t, p.exited)
		require.Zero(t, p.cmd.ProcessState.ExitCode(), "stderr:\n%s", p.stderr.String())
	}
	for len(s.lines) > 0 {
		rest = append(rest, <-s.lines)
	}
	return rest
}

// stop stops the server, which must not have told anything more than what told
// has taken.
func (s *server) stop(t *testing.T) {
	t.Helper()
	s.client.CloseIdleConnections() // those that were never used make net/http wait for five seconds
	s.terminate(t)
	require.Empty(t, s.wait(t))
}

// ended reports whether all processes have.
func (s *server) ended() bool {
	return !slices.ContainsFunc(s.replicas, func(p *process) bool {
		select {
		case <-p.exited:
			return false
		default:
			return true
		}
	})
}

// stderr is what a server that has ended has logged.
func (s *server) stderr(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, p := range s.replicas {
		receive(t, p.exited)
		all.WriteString(p.stderr.String())
	}
	return all.String()
}

// end is for every test: the processes are gone, raced nowhere, and gave no secret
// away.
func (s *server) end(t *testing.T) {
	if !s.ended() {
		s.stop(t)
	}
	s.fake.Close() // its webhooks have answers, too
	assert.NotContains(t, s.stderr(t), "DATA RACE")
	assert.NotContains(t, s.stderr(t), "panic")
	s.keeps(t, s.secrets...)
	s.client.CloseIdleConnections()

	tokens := s.allTokens()
	for _, e := range s.witness.all() {
		if e.path == "/verify/start" || e.path == "/verify/page" {
			continue
		}
		for _, token := range tokens {
			assert.NotContains(t, e.answer(), token, e.path)
		}
	}
	for _, token := range tokens {
		for _, p := range s.replicas {
			assert.NotContains(t, p.stdout.String()+p.stderr.String(), token)
		}
	}
}

// allTokens are those that the fake has given out, oldest first.
func (s *server) allTokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens)
}

// keeps asserts that the server, which has stopped, told nobody any of these.
func (s *server) keeps(t *testing.T, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		require.NotEmpty(t, secret)
		for _, p := range s.replicas {
			receive(t, p.exited)
			assert.NotContains(t, p.stdout.String(), secret, "standard output")
			assert.NotContains(t, p.stderr.String(), secret, "standard error")
		}
		for _, e := range s.witness.all() {
			assert.NotContains(t, e.answer(), secret, e.path)
		}
	}
}

// witness brings each request to the replica whose it is, and sees all that the
// server answers.
type witness struct {
	server *server
	next   *http.Transport
	mu     sync.Mutex
	seen   []*exchange
}

type exchange struct {
	path   string // of the request, without its query
	header string
	mu     sync.Mutex
	body   bytes.Buffer
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	if "http://"+r.URL.Host == w.server.url {
		r = r.Clone(r.Context()) // which keeps the Host header
		r.URL.Host = w.server.replica(r.URL.Path).addr
	}
	resp, err := w.next.RoundTrip(r)
	if err == nil {
		w.watch(r.URL.Path, resp)
	}
	return resp, err
}

func (w *witness) CloseIdleConnections() { w.next.CloseIdleConnections() }

func (w *witness) watch(path string, resp *http.Response) {
	header, err := httputil.DumpResponse(resp, false)
	if err != nil {
		panic(err)
	}
	e := &exchange{path: path, header: string(header)}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, e), resp.Body}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, e)
}

func (w *witness) all() []*exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

func (e *exchange) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.body.Write(p)
}

func (e *exchange) answer() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.header + e.body.String()
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// do makes a request. Each header reads "Name: value".
func (s *server) do(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	resp := s.open(t, t.Context(), method, path, body, header...)
	return read(t, resp)
}

// open is do for an answer that goes on.
func (s *server) open(t *testing.T, ctx context.Context, method, path, body string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := s.client.Do(r)
	require.NoError(t, err)
	return resp
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// dial opens a connection, for what no HTTP client would send.
func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", s.replicas[0].addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(now().Add(patience)))
	return conn
}

// answerOn reads the answer to a webhook that was sent on a connection.
func (s *server) answerOn(t *testing.T, conn net.Conn) answer {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	s.witness.watch("/verify/webhook", resp)
	return read(t, resp)
}

// user is somebody with a browser.
type user struct {
	*server
	name   string
	cookie string
}

// logIn logs somebody in. An empty name is somebody who is not.
func (s *server) logIn(t *testing.T, name string) *user {
	t.Helper()
	u := &user{server: s, name: name}
	if name != "" {
		a := s.do(t, "POST", "/login", "user="+name, "Content-Type: application/x-www-form-urlencoded")
		require.Equal(t, http.StatusSeeOther, a.status)
		u.cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
		require.Contains(t, u.cookie, "session=")
	}
	return u
}

// do is that of server, with the user's cookie.
func (u *user) do(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	return u.server.do(t, method, path, body, u.with(header)...)
}

func (u *user) with(header []string) []string {
	if u.cookie == "" {
		return header
	}
	return append([]string{"Cookie: " + u.cookie}, header...)
}

// attempt is what start answers, and the id that okID gave it later.
type attempt struct {
	Attempt      string    `json:"attempt"`
	Provider     string    `json:"provider"`
	ProcessToken string    `json:"process_token"`
	ExpiresAt    time.Time `json:"expires_at"`
	PageURL      string    `json:"page_url"`
	SDK          struct {
		ScriptURL string            `json:"script_url"`
		Config    map[string]string `json:"config"`
	} `json:"sdk"`

	user *user
	id   string
}

// start asks for an attempt, and expects this status.
func (u *user) start(t *testing.T, status int) *attempt {
	t.Helper()
	got := u.do(t, "POST", "/verify/start", "", "Accept: application/json")
	require.Equal(t, status, got.status, got.body)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	a := &attempt{user: u}
	decoder := json.NewDecoder(strings.NewReader(got.body))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(a))
	return a
}

// begin is start for an attempt that the user then begins at okID.
func (u *user) begin(t *testing.T) *attempt {
	t.Helper()
	a := u.start(t, http.StatusCreated)
	id, err := u.fake.Begin(a.ProcessToken)
	require.NoError(t, err)
	a.id = id
	u.settle(t)
	u.told(t, a, "started")
	return a
}

// settle waits until okID's webhooks are answered.
func (s *server) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.fake.Wait(ctx))
}

// is asserts what the user sees of the attempt.
func (a *attempt) is(t *testing.T, status string) {
	t.Helper()
	got := a.user.do(t, "GET", "/verify/status?attempt="+a.Attempt, "")
	require.Equal(t, http.StatusOK, got.status, got.body)
	var body struct{ Status string }
	require.NoError(t, json.Unmarshal([]byte(got.body), &body))
	assert.Equal(t, status, body.Status)
}

// shut asserts that the gate is, for programs and for browsers.
func (u *user) shut(t *testing.T) {
	t.Helper()
	got := u.do(t, "GET", "/members", "")
	assert.Equal(t, http.StatusForbidden, got.status)
	assert.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	assert.Contains(t, got.header.Get("Cache-Control"), "no-store")
	got = u.do(t, "GET", "/members", "", "Accept: text/html")
	assert.Equal(t, http.StatusSeeOther, got.status)
	assert.NotContains(t, got.body, "hello")
}

// opened asserts that the gate is.
func (u *user) opened(t *testing.T) {
	t.Helper()
	got := u.do(t, "GET", "/members", "")
	assert.Equal(t, http.StatusOK, got.status)
	assert.Equal(t, "hello "+u.name+"\n", got.body)
	assert.Equal(t, "private, no-store", got.header.Get("Cache-Control"))
}

// host is the host's own service behind CALLBACK_URL.
type host struct {
	*httptest.Server
	called chan line
	answer chan http.HandlerFunc // the next one; without any it is 204
}

func newHost(t *testing.T) *host {
	h := &host{called: make(chan line, 1000), answer: make(chan http.HandlerFunc, 1000)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var l line
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &l); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			l = line{}
		}
		h.called <- l
		select {
		case f := <-h.answer:
			r.Body = io.NopCloser(bytes.NewReader(body))
			f(w, r)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// sign is the signature that okID's documents ask for, made without our own code.
func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}
