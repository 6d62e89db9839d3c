package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/sqltest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okidtest"
)

const (
	pollEvery = 100 * time.Millisecond
	noAnswer  = 0 // in place of a status
)

// crash is a process that dies or stops at one point of the webhook that verifies
// somebody.
type crash struct {
	at     string
	by     syscall.Signal
	during bool // a stopped process goes on while another calls the host in its place; else when that is done
	answer int  // what the process answers after it was stopped
	calls  int  // of the host, until another has done the work
	late   int  // how many more the process may make when it goes on

	victim *replica
	*attempt
	sent     delivery
	answered chan int
}

func (c *crash) String() string {
	text := "crash by " + c.by.String() + " " + c.at
	if c.during {
		text += ", overlapping"
	}
	return text
}

// Wherever a process dies or stops, another does its work: the host is told, with
// the same event id each time, and before anybody is answered 200. What comes of
// the work of a process that goes on too late is nothing.
func TestCrashAtEveryPoint(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	crashAll(t, newFleet(t, 1), everyCrash())
}

// In a database the host's effect is there once, too, whatever the crash has cut off.
func TestCrashAtEveryPointOfATransaction(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	test := func(t *testing.T, url string, db *sql.DB, crashes []*crash) {
		t.Helper()
		crashAll(t, newFleetOn(t, 1, "DATABASE_URL", url), crashes)
		effects, _ := effectsOf(t, db)
		for _, c := range crashes {
			assert.Equal(t, 1, effects[effect{c.user.name, "verified"}], c)
		}
	}
	all := func() []*crash { return append(everyCrash(), &crash{at: beforeCommit, by: syscall.SIGKILL, calls: 2}) }
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := sqltest.PostgresURL(t)
		test(t, url, sqltest.Open(t, "pgx", url), all())
	})
	// A callback that has written keeps everybody else from writing to the file: a process that is
	// stopped then is no case, and a call that is held up cannot renew its lease, and is repeated.
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "app.db")
		var crashes []*crash
		for _, c := range all() {
			if c.at != afterCallback || c.by != syscall.SIGSTOP {
				c.late = math.MaxInt32
				crashes = append(crashes, c)
			}
		}
		test(t, "sqlite:"+file, sqltest.Open(t, "sqlite", sqltest.SQLiteName(file)), crashes)
	})
}

// everyCrash are those that every store knows.
func everyCrash() []*crash {
	return []*crash{
		{at: beforeClaim, by: syscall.SIGKILL, calls: 1},
		{at: afterClaim, by: syscall.SIGKILL, calls: 1},
		{at: beforeCallback, by: syscall.SIGKILL, calls: 1},
		{at: afterCallback, by: syscall.SIGKILL, calls: 2},
		{at: afterCommit, by: syscall.SIGKILL, calls: 1},
		{at: beforeClaim, by: syscall.SIGSTOP, answer: 200, calls: 1},
		{at: afterClaim, by: syscall.SIGSTOP, answer: 503, calls: 1},
		{at: beforeCallback, by: syscall.SIGSTOP, answer: 503, calls: 1, late: 1},
		{at: afterCallback, by: syscall.SIGSTOP, answer: 503, calls: 2},
		{at: afterCommit, by: syscall.SIGSTOP, answer: 200, calls: 1},
		{at: afterClaim, by: syscall.SIGSTOP, during: true, answer: 503, calls: 1},
		{at: beforeCallback, by: syscall.SIGSTOP, during: true, answer: 503, calls: 1, late: 1},
		{at: afterCallback, by: syscall.SIGSTOP, during: true, answer: 503, calls: 2},
	}
}

// crashAll lets a process crash in each way, while another goes on.
func crashAll(t *testing.T, f *fleet, crashes []*crash) {
	t.Helper()
	survivor := f.replicas[0]
	for i, c := range crashes {
		c.victim = f.launch(t, map[string]string{crashAt: c.at, crashBy: strconv.Itoa(int(c.by))})
		c.attempt = f.begin(t, survivor, fmt.Sprintf("user-%d", i))
		c.sent = survivor.signed(completed(c.attempt, c.id))
		c.answered = make(chan int, 1)
	}

	release := map[*crash]func(){}
	for _, c := range crashes {
		if c.during {
			release[c] = f.host.hold(c.user.name, c.calls-1)
		}
		go func() { c.answered <- c.victim.send(c.sent) }()
	}
	for _, c := range crashes {
		receive(t, c.victim.reached)
		if c.by == syscall.SIGKILL {
			receive(t, c.victim.exited)
			assert.Equal(t, noAnswer, receive(t, c.answered), c)
		}
	}

	for c := range release {
		require.Eventually(t, func() bool { return len(f.host.of(c.user.name, "verified")) >= c.calls }, patience, pollEvery, c)
		c.goOn(t)
	}
	for c, release := range release {
		assert.Equal(t, c.answer, receive(t, c.answered), c)
		c.is(t, "started")
		c.user.shut(t) // though, after the callback, one call has succeeded
		release()
	}

	// Here is the sender, who was not answered 200.
	for _, c := range crashes {
		require.Eventually(t, func() bool { return survivor.send(c.sent) == http.StatusOK }, patience, pollEvery, c)
		c.is(t, "verified")
		c.user.opened(t)
	}

	for _, c := range crashes {
		if c.by == syscall.SIGSTOP && !c.during {
			before := c.lastChange(t)
			c.goOn(t)
			assert.Equal(t, c.answer, receive(t, c.answered), c)
			assert.Equal(t, before, c.lastChange(t), c)
		}
		c.user.opened(t)
		calls := f.host.of(c.user.name, "verified")
		assert.GreaterOrEqual(t, len(calls), c.calls, c)
		assert.LessOrEqual(t, len(calls), c.calls+c.late, c)
		assert.Len(t, slices.Compact(calls), 1, "%v: the same event", c)
	}
}

// goOn lets the stopped process go on.
func (c *crash) goOn(t *testing.T) {
	t.Helper()
	require.NoError(t, c.victim.cmd.Process.Signal(syscall.SIGCONT))
}

// lastChange is when the attempt was changed last.
func (a *attempt) lastChange(t *testing.T) string {
	t.Helper()
	var body struct {
		UpdatedAt string `json:"updated_at"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.user.do(t, "GET", "/verify/status?attempt="+a.Attempt, "").body), &body))
	require.NotEmpty(t, body.UpdatedAt)
	return body.UpdatedAt
}

// send delivers a webhook, and returns the status of the answer.
func (s *server) send(d delivery) int {
	r, err := http.NewRequest(d.method, s.url+"/verify/webhook"+d.query, strings.NewReader(d.body))
	if err != nil {
		panic(err)
	}
	for _, h := range d.header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return noAnswer
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// A process that cannot reach Redis any more ends its call of the host before
// another makes the same in its place.
func TestPartition(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFleet(t, 1)
	survivor := f.replicas[0]
	network := newProxy(t, strings.TrimPrefix(f.env["REDIS_URL"], "redis://"))
	cutOff := f.launch(t, map[string]string{"REDIS_URL": "redis://" + network.addr})
	a := f.begin(t, survivor, "alice")
	verifies := survivor.signed(completed(a, a.id))
	release := f.host.hold("alice", 0)
	answered := make(chan int, 1)
	go func() { answered <- cutOff.send(verifies) }()
	calls := func(n int) func() bool { return func() bool { return len(f.host.of("alice", "verified")) == n } }
	require.Eventually(t, calls(1), patience, pollEvery)

	network.treat.Store(&lost)
	require.Eventually(t, calls(2), patience, pollEvery)
	assert.Equal(t, 1, f.host.atOnce("alice"))
	release()
	require.Eventually(t, func() bool { return survivor.send(verifies) == http.StatusOK }, patience, pollEvery)
	a.user.opened(t)
	assert.Equal(t, http.StatusServiceUnavailable, receive(t, answered))
	network.treat.Store(&untreated)
	require.Eventually(t, func() bool { return cutOff.send(verifies) == http.StatusOK }, patience, pollEvery)
	assert.Len(t, slices.Compact(f.host.of("alice", "verified")), 1)
}

// flow is somebody's verification, and how it ends.
type flow struct {
	*attempt
	ends string // "verified" or "failed"
}

// start lets n users start an attempt each, at all replicas in turn. Every fifth
// will fail.
func (f *fleet) start(t *testing.T, n int) []flow {
	t.Helper()
	flows := make([]flow, n)
	for i := range flows {
		u := f.replicas[i%len(f.replicas)].logIn(t, fmt.Sprintf("user-%d", i))
		flows[i] = flow{u.start(t, http.StatusCreated), "verified"}
		if i%5 == 0 {
			flows[i].ends = "failed"
		}
	}
	return flows
}

// run lets okID tell the beginning and the end of a flow.
func (f *fleet) run(t *testing.T, flow flow) {
	t.Helper()
	id, err := f.fake.Begin(flow.ProcessToken)
	require.NoError(t, err)
	if flow.ends == "failed" {
		require.NoError(t, f.fake.Fail(id))
	} else {
		require.NoError(t, f.fake.Complete(id, okidtest.Passport(now())))
	}
}

// settled asserts that every webhook was answered 200, no verdict before the host
// knew or was told for the last time, and that all flows have ended as they should.
// It returns how many webhooks there were.
func (f *fleet) settled(t *testing.T, flows []flow) int {
	t.Helper()
	f.replicas[0].settle(t)
	deliveries := f.fake.Deliveries()
	for _, d := range deliveries {
		assert.Equal(t, okidtest.Accepted, d.State, "%s of %s", d.Event, d.ID)
	}
	assert.Len(t, f.acked, len(flows))
	for verdict, calls := range f.acked {
		assert.Positive(t, calls, "%v was answered 200 before the host knew", verdict)
		assert.Equal(t, calls, f.host.about(verdict), "%v was told again after 200", verdict)
	}
	for i, flow := range flows {
		at := f.replicas[i%len(f.replicas)].server
		a := *flow.attempt
		a.user = a.user.at(at)
		a.is(t, flow.ends)
		if flow.ends == "verified" {
			a.user.opened(t)
		} else {
			a.user.shut(t)
		}
		assert.NotEmpty(t, f.host.of(a.user.name, flow.ends), a.user.name)
		assert.Empty(t, f.host.of(a.user.name, map[string]string{"verified": "failed", "failed": "verified"}[flow.ends]), a.user.name)
	}
	return len(deliveries)
}

// Under load, replicas are killed at random and come back. Nothing that was
// answered 200 is lost, everything is told in the end, and more than once only
// where a process was killed that had told it.
func TestRandomKills(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFleet(t, 3)
	const attempts, kills = 60, 6
	flows := f.start(t, attempts)

	var killed []*replica
	for wave := range slices.Chunk(flows, attempts/kills) {
		before := len(f.host.calls())
		for _, flow := range wave {
			f.run(t, flow)
		}
		some := before + 1 + rand.IntN(attempts/kills)
		require.Eventually(t, func() bool { return len(f.host.calls()) >= some }, patience, time.Millisecond)
		i := rand.IntN(len(f.replicas))
		require.NoError(t, f.replicas[i].cmd.Process.Kill())
		killed = append(killed, f.replicas[i])
		f.restart(t, i)
	}
	deliveries := f.settled(t, flows)
	old := f.host.calls()

	// What was told before all processes were new is not told again.
	alive := slices.Clone(f.replicas)
	for i := range f.replicas {
		f.replicas[i].leave(t)
		f.restart(t, i)
	}
	for _, d := range f.fake.Deliveries() {
		require.NoError(t, f.fake.Deliver(d.ID, d.Event))
	}
	assert.Equal(t, 2*deliveries, f.settled(t, flows))
	assert.Equal(t, old, f.host.calls())

	// Each process prints what it tells before it tells it.
	told := map[line][]*replica{}
	lines := 0
	for _, s := range slices.Concat(killed, alive) {
		for _, l := range s.printed(t) {
			told[l] = append(told[l], s)
			lines++
		}
	}
	ids := map[line]int{}
	for l, by := range told {
		l.EventID = ""
		ids[l]++
		assert.Equal(t, 1, ids[l], "event ids of %v", l)
		assert.Len(t, slices.Compact(slices.Clone(by)), len(by), "%v was told twice by one process", l)
		inPeace := slices.DeleteFunc(slices.Clone(by), func(s *replica) bool { return slices.Contains(killed, s) })
		assert.LessOrEqual(t, len(inPeace), 1, "%v was told again, though nobody was killed who had told it", l)
	}
	for _, l := range old {
		assert.Contains(t, told, l)
	}
	t.Logf("%d attempts, %d deliveries, %d kills, %d repeats", attempts, deliveries, len(killed), lines-len(told))
}

// While every replica is told to stop and started again in its turn, in the midst
// of calls of the host, nothing is lost and nothing told twice.
func TestRollingRestart(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFleet(t, 3)
	const attempts = 30
	flows := f.start(t, attempts)
	i := 0
	for wave := range slices.Chunk(flows, attempts/len(f.replicas)) {
		var release []func()
		for _, flow := range wave {
			if flow.ends == "verified" {
				release = append(release, f.host.hold(flow.user.name, 0))
			}
			f.run(t, flow)
		}
		require.Eventually(t, func() bool {
			return !slices.ContainsFunc(wave, func(flow flow) bool { return len(f.host.of(flow.user.name, flow.ends)) == 0 })
		}, patience, pollEvery)
		f.replicas[i].terminate(t)
		f.replicas[i].refuses(t)
		for _, release := range release {
			release()
		}
		f.replicas[i].hasLeft(t)
		f.restart(t, i)
		i++
	}
	f.settled(t, flows)
	for _, flow := range flows {
		assert.Len(t, f.host.of(flow.user.name, flow.ends), 1)
		assert.LessOrEqual(t, len(f.host.of(flow.user.name, "started")), 1)
	}
}

// Replicas whose clocks are far apart go by Redis's: they tell everything once,
// take nothing from one another, and nothing expires before its time.
func TestClocksDisagree(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFleet(t, 1)
	right := f.replicas[0]
	replicas := []*replica{
		right,
		f.launch(t, map[string]string{clockOffset: "-10m"}),
		f.launch(t, map[string]string{clockOffset: "10m"}),
		f.launch(t, map[string]string{clockOffset: "-24h"}),
		f.launch(t, map[string]string{clockOffset: "24h"}),
	}
	var created, verified []*attempt
	for i, s := range replicas {
		created = append(created, s.logIn(t, fmt.Sprintf("waits-%d", i)).start(t, http.StatusCreated))
		verified = append(verified, f.begin(t, s, fmt.Sprintf("user-%d", i)))
	}

	for _, a := range verified {
		require.NoError(t, f.fake.SetChaos(okidtest.Chaos{Drop: true})) // the test sends it itself
		require.NoError(t, f.fake.Complete(a.id, okidtest.Passport(now())))
		verifies := right.signed(completed(a, a.id))
		release := f.host.hold(a.user.name, 0)
		first := make(chan int, 1)
		go func() { first <- right.send(verifies) }()
		require.Eventually(t, func() bool { return len(f.host.of(a.user.name, "verified")) == 1 }, patience, pollEvery)
		for _, s := range replicas {
			// To some of them it is too old to be believed, or from the future.
			assert.Contains(t, []int{http.StatusServiceUnavailable, http.StatusUnauthorized}, s.send(verifies))
			a.user.at(s.server).shut(t)
		}
		release()
		assert.Equal(t, http.StatusOK, receive(t, first))
		for _, s := range replicas {
			s.send(verifies)
			a.user.at(s.server).opened(t)
		}
	}
	// Every replica looks for what is due once a second.
	expired := func() bool {
		return slices.ContainsFunc(f.host.calls(), func(l line) bool { return l.Callback == "expired" })
	}
	assert.Never(t, expired, 3*time.Second, pollEvery)
	for i := range replicas {
		assert.Len(t, f.host.of(verified[i].user.name, "started"), 1)
		assert.Len(t, f.host.of(verified[i].user.name, "verified"), 1)
		created[i].is(t, "created")
		again := created[i].user.at(replicas[(i+1)%len(replicas)].server).start(t, http.StatusOK)
		assert.Equal(t, created[i].ProcessToken, again.ProcessToken)
	}
}
