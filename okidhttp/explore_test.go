package okidhttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

// Three webhooks of one attempt arrive at two replicas while a worker looks for
// work: completed, the same again, and a failed that contradicts it. Whatever the
// order of their steps, wherever one of them crashes or loses an answer, and
// whenever the time of a lease passes: host, gate and provider agree in the end,
// and nothing happened on the way that must not.
//
// Other hosts want to hear of less, have a policy, require the user to come back, or
// give up on what they were told, so that somebody replays it.
//
// OKIDHTTP_CHOICES="0 3 1" with -run naming one scenario goes that way alone, and
// tells what happened.
//
// With OKIDKIT_LONG_TESTS=1 more befalls the processes, unless the race detector is on.
func TestExplore(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			x := newExploration(t, s, bug{})
			if choices := os.Getenv("OKIDHTTP_CHOICES"); choices != "" {
				for _, c := range strings.Fields(choices) {
					n, err := strconv.Atoi(c)
					require.NoError(t, err)
					x.path = append(x.path, choice{taken: n})
				}
				x.traced = true
				x.once()
				t.Log(strings.Join(x.trace, "\n"))
				return
			}
			x.explore(3)
			t.Log(x)
			for _, p := range x.problems {
				t.Error(p)
			}
		})
	}
}

// thorough is whether explorations and walks go as far as they can.
var thorough = testenv.IsLong() && !testenv.RaceDetector

// scenario is what is the same in all runs of an exploration.
type scenario struct {
	async   bool            // Config.Async
	confirm bool            // Config.ConfirmByFetch
	truth   identity.Status // the provider's verdict
	host
	bounds
}

// host is what is peculiar about the host. The zero value has callbacks for verified,
// failed and revoked, and nothing else.
type host struct {
	name       string
	callbacks  []identity.Status // those that it has, if it has a name
	webhooks   []identity.Status // what arrives, if not completed, the same again, and failed
	policy     bool              // Config.Decide, which is unsure when its answer is lost,
	refuses    bool              // or refuses
	mustReturn bool              // Config.RequireReturn; the user comes back at any time
	gives      bool              // up: what is lost is Permanent; somebody replays it
}

// bounds are how much befalls the processes in one run, at most.
type bounds struct {
	all    int // of everything: faults, leaps, and switches to another process while one could go on
	faults int // a process dies, or an answer is lost
	leaps  int // the time of a lease passes
}

var usual = []identity.Status{identity.Verified, identity.Failed, identity.Revoked}

func scenarios() []scenario {
	var all []scenario
	hosts := []host{
		{name: "started alone", callbacks: []identity.Status{identity.Started},
			webhooks: []identity.Status{identity.Started, identity.Verified, identity.Failed}},
		{name: "no callbacks"},
		{name: "policy refuses", callbacks: usual, policy: true, refuses: true},
		{name: "policy is unsure", callbacks: usual, policy: true,
			webhooks: []identity.Status{identity.Verified, identity.Failed}},
		{name: "must return", callbacks: usual, mustReturn: true,
			webhooks: []identity.Status{identity.Verified, identity.Failed}},
		{name: "gives up", callbacks: usual, gives: true,
			webhooks: []identity.Status{identity.Verified, identity.Failed}},
	}
	befalls := 2 // a process in one schedule, at most
	if thorough {
		befalls = 3
	}
	for _, truth := range []identity.Status{identity.Verified, identity.Failed} {
		all = append(all,
			scenario{truth: truth, bounds: bounds{all: befalls, faults: 2, leaps: 1}},
			scenario{truth: truth, bounds: bounds{all: befalls, faults: 2, leaps: 1}, confirm: true},
			scenario{truth: truth, bounds: bounds{all: 2, faults: 2, leaps: 1}, async: true}, // with one process more
		)
		for _, h := range hosts {
			all = append(all,
				scenario{truth: truth, bounds: bounds{all: befalls - 1, faults: 1, leaps: 1}, host: h},
				scenario{truth: truth, bounds: bounds{all: befalls - 1, faults: 1, leaps: 1}, host: h, async: true},
			)
		}
	}
	return all
}

// has reports whether the host wants to hear of a status.
func (s scenario) has(status identity.Status) bool {
	if s.name == "" {
		return slices.Contains(usual, status)
	}
	return slices.Contains(s.callbacks, status)
}

// arriving is what the webhooks say.
func (s scenario) arriving() []identity.Status {
	if s.webhooks == nil {
		return []identity.Status{identity.Verified, identity.Verified, identity.Failed}
	}
	return s.webhooks
}

func (s scenario) String() string {
	how := "sync"
	if s.async {
		how = "async"
	}
	if s.confirm {
		how += ", confirmed"
	}
	if s.name != "" {
		how = s.name + ", " + how
	}
	return fmt.Sprintf("%s, %s", how, s.truth)
}

// exploration goes through all schedules of a scenario, depth first. A run is
// made of choices: which process takes its next step, and what befalls it. Reads
// do not fail: a process that cannot read ends without an effect, as if it had
// died before its next write. Replicas differ in nothing, so that of two processes
// that do the same one always begins first. Each
// run begins anew, repeats the choices of the run before up to the last one that
// has an alternative, takes that, and goes on with the first of each.
//
// It turns back where it has been before: where the record, what every process
// has seen so far, and what is known of the host are those of an earlier run, the
// rest is as well.
type exploration struct {
	scenario
	bug
	t       *testing.T
	clock   *fakeClock
	world   *world
	kits    []*Kit // two replicas, and the worker's
	attempt string
	origin  []byte // the record when nothing was heard of the attempt yet
	began   time.Time

	path     []choice
	visited  map[uint64]bool // states
	runs     int             // that came to their end
	steps    int
	problems []string

	*run
}

// choice is one of several ways to go on.
type choice struct{ taken, of int }

// run is one schedule.
type run struct {
	store     *memstore.Store
	at        int // in the path
	processes []*process
	running   *process // nil: nothing fails, nothing interrupts
	written   bool     // since the gate was looked at
	record    *attempt.Record
	version   uint64
	due       time.Time       // zero: never
	owners    map[int64]int64 // of leases, by a number that is the same in every run
	traced    bool
	trace     []string
	bad       bool
	known
}

// known is what decides whether something that happens is right.
type known struct {
	content  uint64 // of the record, without what is drawn at random
	now      time.Time
	left     bounds
	last     int // the process that took the last step and could go on; 0: none
	started  callback
	verified callback
	failed   callback
	revoked  callback
	vetoed   callback                            // failed, because of the host's policy
	accepted bool                                // by the host's policy
	returned bool                                // the user has come back
	open     bool                                // the host lets the user in
	late     bool                                // the host was first told by a process that had slept past its lease
	acked    struct{ yes, no, begun bool }       // completed, failed and started were answered with 200
	gone     uint64                              // pending notices that were committed, a bit for each
	became   struct{ yes, no, gone, begun bool } // verified, failed, revoked, started
}

// callback is what became of telling the host one event. Processes are bits.
type callback struct {
	id    string
	knows uint8 // the processes that told it with success, and may commit that
	sure  uint8 // those of them whom nothing has befallen since
	told  bool  // it was committed
}

func (c *callback) succeeded() bool { return c.told || c.knows != 0 }

// process is one request, or a round of the worker.
type process struct {
	number  int
	next    func() (struct{}, bool)
	stop    func()
	yield   func(struct{}) bool
	fate    fate
	dead    bool
	after   *process    // begins no sooner than this one, which is the same
	when    func() bool // begins no sooner than this holds; may be nil
	calling bool        // the host
	reads   bool        // in its next step
	version uint64      // of the record as it knows it
	leases  int64       // that it took
	seen
}

// bit stands for a process, and for what heals in the end.
func (p *process) bit() uint8 {
	if p == nil {
		return 1
	}
	return 1 << p.number
}

// slept reports whether a process may have slept past its lease.
func (p *process) slept() bool { return p != nil && p.late }

// seen is what a process has met with. What it does next depends on nothing else.
type seen struct {
	past  uint64
	late  bool // the time of its lease may have passed
	begun bool
	done  bool
}

// fate is what becomes of a step.
type fate int

const (
	succeeds fate = iota
	loses         // it takes place, and the answer says that it failed
	dies          // the process does, instead
)

func newExploration(t *testing.T, s scenario, b bug) *exploration {
	w := newWorld(t)
	x := &exploration{scenario: s, bug: b, t: t, world: w, clock: w.clock, visited: map[uint64]bool{}}
	x.run = &run{}
	x.attempt = w.start("alice").Attempt
	rec, err := w.store.Get(t.Context(), attempt.HashSubject("alice").Key())
	require.NoError(t, err)
	x.origin, x.began = rec.Value, w.clock.Now()
	for range 3 {
		x.kits = append(x.kits, w.replica(func(c *Config) {
			c.Store = exploredStore{x: x}
			c.Providers = []identity.Provider{exploredProvider{w.provider, x}}
			c.Async, c.ConfirmByFetch = s.async, s.confirm
			c.RecheckVerified = -1 // so that nothing is due in the end
			// So that no real time passes for the kit on a machine that pauses.
			c.Lease, c.CallbackTimeout = exploredLease, exploredLease
			c.RequireReturn = s.mustReturn
			callbacks := map[identity.Status]*func(context.Context, Event) error{
				identity.Started: &c.OnStarted, identity.Review: &c.OnReview, identity.Verified: &c.OnVerified,
				identity.Failed: &c.OnFailed, identity.Expired: &c.OnExpired, identity.Revoked: &c.OnRevoked,
			}
			for status, f := range callbacks {
				if s.has(status) {
					*f = x.told
				} else if s.name != "" {
					*f = nil
				}
			}
			if s.policy {
				c.Decide = x.decide
			}
			c.Logger = slog.New(slog.DiscardHandler)
		}))
	}
	return x
}

func (x *exploration) String() string {
	return fmt.Sprintf("explored %d interleavings in %d states and %d steps: all with at most %d preemptions, faults and leaps of time, of these at most %d faults and %d leaps",
		x.runs, len(x.visited), x.steps, x.bounds.all, x.bounds.faults, x.bounds.leaps)
}

// explore goes through all runs, or until there are enough problems.
func (x *exploration) explore(enough int) {
	for len(x.problems) < enough {
		x.once()
		for len(x.path) > 0 && x.path[len(x.path)-1].taken+1 == x.path[len(x.path)-1].of {
			x.path = x.path[:len(x.path)-1]
		}
		if len(x.path) == 0 {
			return
		}
		x.path[len(x.path)-1].taken++
	}
}

// once is one run, along the path as far as it goes.
func (x *exploration) once() {
	x.clock.now = x.began
	x.run = &run{
		store: memstore.New(memstore.WithClock(x.clock.Now)), owners: map[int64]int64{}, traced: x.traced,
		known: known{left: x.bounds},
	}
	of := attempt.HashSubject("alice")
	require.NoError(x.t, x.store.Put(x.t.Context(), of.Key(), store.Write{Value: x.origin, Version: 1, TTL: time.Hour * 24}))
	x.observe(store.Write{Value: x.origin, Version: 1})

	first := map[identity.Status]*process{}
	for i, s := range x.arriving() {
		p := x.begin(func() { x.deliver(x.kits[i%2], s) })
		p.after = first[s]
		first[s] = cmp.Or(first[s], p)
	}
	worker := x.begin(x.work)
	worker.when = x.isDue
	if x.async {
		another := x.begin(x.work)
		another.after, another.when = worker, x.isDue
	}
	if x.mustReturn {
		x.begin(x.visit)
	}
	if x.gives {
		x.begin(x.replay).when = func() bool { return len(x.letters()) > 0 }
	}
	defer func() {
		for _, p := range x.processes {
			p.stop()
		}
	}()
	for {
		if x.at == len(x.path) {
			s := x.state()
			if x.visited[s] {
				return
			}
			x.visited[s] = true
		}
		if !x.advance() {
			break
		}
		if x.bad {
			return
		}
	}
	x.runs++
	x.heal()
	x.judge()
}

var hashSeed = maphash.MakeSeed()

// state is all on which the rest of the run depends.
func (x *exploration) state() uint64 {
	type process struct {
		seen
		current bool
		calling bool
	}
	s := struct {
		known
		processes [6]process
	}{known: x.known}
	s.now = x.clock.Now()
	for i, p := range x.processes {
		s.processes[i] = process{p.seen, p.version == x.version, p.calling}
		if p.done {
			s.processes[i] = process{seen: seen{done: true}}
		}
	}
	return maphash.Comparable(hashSeed, s)
}

// choose takes one of n ways.
func (x *exploration) choose(n int) int {
	if n == 1 {
		return 0
	}
	if x.at == len(x.path) {
		x.path = append(x.path, choice{of: n})
	}
	c := &x.path[x.at]
	c.of = cmp.Or(c.of, n)
	require.Equal(x.t, n, c.of, "a run is not the same when it is repeated")
	x.at++
	return c.taken
}

// advance lets one process take a step, or time pass. It is false if there is
// none left.
func (x *exploration) advance() bool {
	type way struct {
		p    *process
		fate fate
	}
	var ways []way
	for _, p := range x.processes {
		if !x.ready(p) || x.last != 0 && x.last != p.number && x.left.all == 0 {
			continue
		}
		ways = append(ways, way{p, succeeds})
		if x.mayFail() && p.begun && !p.reads && (x.left.all > 1 || x.last == 0 || x.last == p.number) {
			ways = append(ways, way{p, loses}, way{p, dies})
		}
	}
	if len(ways) == 0 {
		return false
	}
	if x.left.all > 0 && x.left.leaps > 0 && busy(&x.record.Attempts[0]) {
		ways = append(ways, way{})
	}
	w := ways[x.choose(len(ways))]
	if w.p == nil {
		x.leap()
	} else {
		x.resume(w.p, w.fate)
	}
	return true
}

// mayFail reports whether one more step may fail.
func (x *exploration) mayFail() bool { return x.left.faults > 0 && x.left.all > 0 }

const exploredLease = 5 * time.Minute

// leap is the passing of more time than any lease lasts.
func (x *exploration) leap() {
	x.tell("six minutes pass")
	x.left.leaps--
	x.left.all--
	x.clock.add(exploredLease + time.Minute)
	for _, p := range x.processes {
		if p.begun && !p.done {
			p.late = true
			x.unsettle(p)
		}
	}
}

// unsettle allows what a process has told and not committed to be told again.
func (x *exploration) unsettle(p *process) {
	for _, c := range x.callbacks() {
		c.sure &^= p.bit()
	}
}

func (x *exploration) callbacks() []*callback {
	return []*callback{&x.started, &x.verified, &x.failed, &x.revoked, &x.vetoed}
}

// begin takes up a process.
func (x *exploration) begin(do func()) *process {
	p := &process{number: len(x.processes) + 1}
	x.processes = append(x.processes, p)
	p.next, p.stop = iter.Pull(func(yield func(struct{}) bool) {
		p.yield = yield
		defer func() {
			if v := recover(); v != nil && v != any(errCrash) {
				panic(v)
			}
		}()
		do()
	})
	return p
}

// ready reports whether a process can take a step.
func (x *exploration) ready(p *process) bool {
	switch {
	case p.done:
		return false
	case p.begun:
		return true
	case p.after != nil && !p.after.begun:
		return false
	}
	return p.when == nil || p.when()
}

// isDue reports whether a worker would take the record on.
func (x *exploration) isDue() bool {
	return !x.due.IsZero() && !x.due.After(x.clock.Now().Add(time.Millisecond))
}

// resume lets a process take its step.
func (x *exploration) resume(p *process, f fate) {
	x.steps++
	if x.last != 0 && x.last != p.number {
		x.left.all--
	}
	if f != succeeds {
		x.left.faults--
		x.left.all--
		x.unsettle(p)
	}
	x.running = p
	if !p.begun {
		p.next() // comes to the first step
	}
	p.fate, p.begun, p.calling = f, true, false
	_, more := p.next()
	x.running = nil
	p.done = !more || p.dead
	x.last = p.number
	if p.done {
		x.last = 0
	}
	if f == dies {
		x.tell("%d dies", p.number)
	}
	if p.done {
		for _, c := range x.callbacks() {
			c.knows &^= p.bit()
		}
	}
	x.look()
}

// look compares the gate with what is known.
func (x *exploration) look() {
	if !x.written {
		return
	}
	x.written = false
	if _, err := x.kits[0].Grant(context.Background(), "alice"); err != nil {
		return
	}
	switch {
	case x.has(identity.Verified) && !x.verified.succeeded():
		x.problem("the gate is open before the host knows")
	case x.policy && !x.accepted:
		x.problem("the gate is open though the host's policy did not accept it")
	case x.mustReturn && !x.returned:
		x.problem("the gate is open though the user has not come back")
	case x.confirm && x.truth == identity.Failed:
		x.problem("the gate is open though the provider did not confirm it")
	case !x.async && x.truth == identity.Failed && x.acked.no:
		x.problem("the gate is open though it was closed")
	}
}

// step is where a process waits until it is its turn.
func (x *exploration) step(what string, args ...any) (lost bool) {
	p := x.running
	if p == nil {
		return false
	}
	p.reads = what == "reads"
	if p.dead || !p.yield(struct{}{}) || p.fate == dies {
		p.dead = true
		panic(errCrash)
	}
	p.saw(x.clock.Now(), p.fate)
	if x.traced {
		x.tell("%d %s%s", p.number, fmt.Sprintf(what, args...), [...]string{"", ", and the answer is lost"}[p.fate])
	}
	return p.fate == loses
}

// saw adds to the past.
func (p *process) saw(what ...any) {
	for _, w := range what {
		p.past = maphash.Comparable(hashSeed, struct {
			past uint64
			what any
		}{p.past, w})
	}
}

func (x *exploration) tell(format string, args ...any) {
	if x.traced {
		x.trace = append(x.trace, fmt.Sprintf(format, args...))
	}
}

func (x *exploration) problem(format string, args ...any) {
	x.tell("PROBLEM: "+format, args...)
	x.bad = true
	var path []string
	for _, c := range x.path[:x.at] {
		path = append(path, strconv.Itoa(c.taken))
	}
	x.problems = append(x.problems, fmt.Sprintf("%s, after the choices %s", fmt.Sprintf(format, args...), strings.Join(path, " ")))
}

// deliver is a webhook. What is answered with 200 is not delivered again, unless
// the answer is lost.
func (x *exploration) deliver(k *Kit, s identity.Status) {
	rec := httptest.NewRecorder()
	k.ServeHTTP(rec, x.world.webhookRequest(notice{Reference: x.attempt, ID: "v1", Status: s}))
	x.tell("%s is answered with %d", s, rec.Code)
	if rec.Code != 200 {
		return
	}
	if x.running != nil && x.mayFail() && x.choose(2) == 1 {
		x.tell("which is lost")
		x.left.faults--
		x.left.all--
		return
	}
	*x.ackOf(s) = true
	excused := x.async || x.truth != s || !x.has(s) || x.refuses || x.mustReturn || x.gives
	switch {
	case excused:
	case s == identity.Verified && !x.verified.succeeded():
		x.problem("completed is acknowledged though the host does not know")
	case s == identity.Failed && !x.failed.succeeded() && x.record.Attempts[0].Status != identity.Revoked:
		x.problem("failed is acknowledged though the host does not know")
	}
}

// ackOf says whether a webhook was answered with 200.
func (x *exploration) ackOf(s identity.Status) *bool {
	return map[identity.Status]*bool{identity.Started: &x.acked.begun, identity.Verified: &x.acked.yes, identity.Failed: &x.acked.no}[s]
}

// visit is the user who comes back.
func (x *exploration) visit() {
	x.returned = true
	r := httptest.NewRequest("GET", "/verify/success?attempt="+x.attempt, nil)
	r.Header.Set("Test-User", "alice")
	x.kits[1].ServeHTTP(httptest.NewRecorder(), r)
}

// letters are the dead letters that are listed.
func (x *exploration) letters() (ids []string) {
	for l, err := range x.kits[0].DeadLetters(context.WithValue(context.Background(), asideKey{}, true)) {
		require.NoError(x.t, err)
		ids = append(ids, l.ID)
	}
	return ids
}

// asideKey marks the context of what only looks on, and is no step.
type asideKey struct{}

// replay is an operator who replays what the host has given up on.
func (x *exploration) replay() {
	for _, id := range x.letters() {
		_ = x.kits[1].ReplayDeadLetter(context.Background(), id) // it is tried again
	}
}

// work is a round of the worker.
func (x *exploration) work() {
	_ = x.kits[2].engine.RunRecord(context.Background(), attempt.HashSubject("alice").Key()) // a store that failed
}

// told is every callback. It lasts until the process takes its next step.
func (x *exploration) told(_ context.Context, e Event) error {
	lost := x.step("tells %s", e.Status)
	p := x.running
	c := map[identity.Status]*callback{identity.Started: &x.started, identity.Verified: &x.verified, identity.Failed: &x.failed, identity.Revoked: &x.revoked}[e.Status]
	if c.id != "" && c.id != e.ID && e.Status == identity.Failed && x.refuses {
		c = &x.vetoed // the other was what the provider said
	}
	x.alone(e)
	switch {
	case c.id != "" && c.id != e.ID:
		x.problem("the host is told of %s as two events", e.Status)
	case (c.told || c.sure != 0) && !p.slept():
		x.problem("the host is told twice of %s", e.Status)
	case c.id == "":
		x.open = e.Status == identity.Verified || x.open && e.Status != identity.Revoked
		x.late = x.late || p.slept()
	}
	c.id = e.ID
	if !lost {
		c.knows |= p.bit()
		if !p.slept() {
			c.sure |= p.bit()
		}
	}
	if p != nil {
		p.calling = true
	}
	switch err := errors.New("the host's database is away"); {
	case lost && x.gives:
		return Permanent(err)
	case lost:
		return err
	}
	return nil
}

// alone looks whether the host is told something by two at once.
func (x *exploration) alone(e Event) {
	p := x.running
	for _, other := range x.processes {
		if other != p && other.calling && !other.done && !other.late && !p.slept() {
			x.problem("the host is told of %s while it is being told already", e.Status)
		}
	}
}

// decide is the host's policy.
func (x *exploration) decide(_ context.Context, e Event) error {
	lost := x.step("asks the policy")
	x.alone(e)
	switch {
	case lost && x.left.leaps == 0:
		panic("the host's policy is away")
	case lost:
		return errors.New("the host's policy is away")
	case x.refuses:
		return Refuse("too_young")
	}
	x.accepted = true
	return nil
}

// heal delivers what was not acknowledged, and does what is due, for longer than
// anything may take.
func (x *exploration) heal() {
	x.tell("nothing fails any more")
	order := slices.Compact(slices.Clone(x.arriving()))
	if !x.acked.yes && !x.acked.no && x.choose(2) == 1 {
		slices.Reverse(order)
	}
	comes := 0 // the round in which the user comes by: before or after the attempt expires
	if x.mustReturn && x.choose(2) == 1 {
		comes = 12
	}
	for round := range 20 {
		x.clock.add(time.Duration(1+round) * time.Minute)
		for _, s := range order {
			if !*x.ackOf(s) {
				x.deliver(x.kits[round%2], s)
			}
		}
		if x.mustReturn && round == comes {
			x.visit()
		}
		if x.isDue() {
			x.work()
		}
		if x.gives {
			x.replay()
		}
		x.look()
		if !slices.ContainsFunc(order, func(s identity.Status) bool { return !*x.ackOf(s) }) && x.due.IsZero() && (!x.mustReturn || round >= comes) {
			return
		}
	}
}

// judge compares what everybody believes in the end.
func (x *exploration) judge() {
	a := &x.record.Attempts[0]
	_, err := x.kits[0].Grant(context.Background(), "alice")
	open := err == nil
	if verified := x.truth == identity.Verified && !x.refuses; open != verified {
		x.problem("the provider says %s, but the gate is open: %v", x.truth, open)
	}
	if knows := x.has(identity.Verified) && x.has(identity.Revoked); knows && open != x.open && !x.late {
		x.problem("the gate is open: %v, but the host believes: %v", open, x.open)
	}
	told := map[identity.Status]bool{identity.Verified: x.verified.succeeded(), identity.Failed: x.failed.succeeded() || x.vetoed.succeeded(), identity.Revoked: x.revoked.succeeded()}
	if x.has(a.Status) && !told[a.Status] {
		x.problem("the attempt ends as %s, and the host was not told", a.Status)
	}
	for _, s := range x.arriving() {
		if !*x.ackOf(s) {
			x.problem("a webhook is never acknowledged")
		}
	}
	if len(a.Outbox) > 0 || a.Lease.Owner != 0 || !x.due.IsZero() {
		x.problem("%d notices are pending for ever, leased: %v, due: %v", len(a.Outbox), a.Lease.Owner != 0, !x.due.IsZero())
	}
}

// observe looks at a record that was written.
func (x *exploration) observe(w store.Write) {
	of := attempt.HashSubject("alice")
	r, err := attempt.Decode(w.Value, of)
	require.NoError(x.t, err)
	before := x.record
	x.record, x.version, x.due, x.written = r, w.Version, time.Time{}, true
	if w.DueIn > 0 {
		x.due = x.clock.Now().Add(w.DueIn)
	}

	if before != nil {
		was, is := &before.Attempts[0], &r.Attempts[0]
		pendingNow := uint64(0)
		for _, p := range is.Outbox {
			pendingNow |= 1 << p.Event
		}
		for _, p := range was.Outbox {
			givenUp := slices.ContainsFunc(is.Letters, func(l attempt.Letter) bool { return l.Event == p.Event })
			if !givenUp {
				x.gone |= 1 << p.Event &^ pendingNow
			}
		}
		if x.gone&pendingNow != 0 {
			x.problem("a notice that was committed is pending again")
		}
		if is.Status != was.Status {
			became := map[identity.Status]*bool{
				identity.Started: &x.became.begun, identity.Verified: &x.became.yes, identity.Failed: &x.became.no, identity.Revoked: &x.became.gone,
			}[is.Status]
			switch {
			case is.Status == identity.Expired && x.mustReturn: // the clock, in the end
			case became == nil || *became:
				x.problem("the attempt becomes %s again", is.Status)
			default:
				*became = true
			}
		}
		for _, c := range x.callbacks() {
			owed := firstEntry(is, func(p *attempt.Entry) bool {
				return attempt.EventID(is.ID, p.Event) == c.id && p.Awareness != attempt.Aware
			})
			if by := x.running.bit(); owed == nil && c.knows&by != 0 {
				c.told = true
				c.knows &^= by
				c.sure &^= by
			}
		}
	}

	// What is drawn at random, and what is sealed, is different in every run.
	c := *r
	c.Subject = nil
	c.Attempts = slices.Clone(r.Attempts)
	for i := range c.Attempts {
		a := &c.Attempts[i]
		a.Token, a.Context, a.Kept = nil, nil, nil
		if owner := a.Lease.Owner; owner != 0 {
			if x.owners[owner] == 0 && x.running != nil {
				x.running.leases++
				x.owners[owner] = int64(x.running.number)<<8 + x.running.leases
			}
			a.Lease.Owner = x.owners[owner]
		}
		a.Outbox = slices.Clone(a.Outbox)
		for j := range a.Outbox {
			a.Outbox[j].Notice = nil
		}
	}
	x.content = maphash.Bytes(hashSeed, c.AppendTo(nil))
}

// exploredStore is a store in which every operation is a step.
type exploredStore struct {
	store.Store
	x *exploration
}

// aside reports whether an operation is none of the attempt's.
func (s exploredStore) aside(ctx context.Context, key string) bool {
	return ctx.Value(asideKey{}) != nil || key != attempt.HashSubject("alice").Key()
}

func (s exploredStore) Get(ctx context.Context, key string) (store.Record, error) {
	x := s.x
	if s.aside(ctx, key) {
		return x.store.Get(context.Background(), key)
	}
	lost := x.step("reads")
	if lost {
		return store.Record{}, errStoreIsAway
	}
	if p := x.running; p != nil {
		p.saw(x.content)
		p.version = x.version
	}
	rec, err := x.store.Get(context.Background(), key)
	rec.Value = x.change(rec.Value, x.bug.read)
	return rec, err
}

func (s exploredStore) Put(ctx context.Context, key string, w store.Write) error {
	x := s.x
	if s.aside(ctx, key) {
		return x.store.Put(context.Background(), key, w)
	}
	lost := x.step("writes")
	repeat := x.version == w.Version
	w.Value = x.change(w.Value, x.bug.kept)
	if x.bug.put != nil {
		x.bug.put(x, &w)
	}
	err := x.store.Put(context.Background(), key, w)
	if err == nil && !repeat {
		x.observe(w)
	}
	if err != nil {
		x.tell("  %v", err)
	}
	if p := x.running; p != nil {
		p.version = w.Version
		p.saw(err == nil)
	}
	if lost {
		return errStoreIsAway
	}
	if x.bug.answer != nil {
		err = x.bug.answer(err)
	}
	return err
}

// exploredProvider knows the verdict when it is asked.
type exploredProvider struct {
	*fakeProvider
	x *exploration
}

func (p exploredProvider) Fetch(_ context.Context, id string) (identity.Notice, error) {
	if p.x.step("asks the provider") {
		return identity.Notice{}, identity.ErrUnavailable
	}
	if p.x.bug.unknown {
		return identity.Notice{}, identity.ErrNotFound
	}
	v := person
	v.ID, v.Status = id, p.x.truth
	return identity.Notice{Provider: "fake", Reference: p.x.attempt, Verification: v}, nil
}

// TestExploreFindsBugs has the store, or the provider, behave as they would under a
// kit that does not keep one of its promises.
func TestExploreFindsBugs(t *testing.T) {
	leaseOver := func(x *exploration, a *attempt.Attempt) bool { return a.Lease.Owner != 0 && !leased(a, x.clock.Now()) }
	tests := map[string]struct {
		in  scenario
		bug bug
	}{
		"versions are ignored": {
			in:  scenario{truth: identity.Verified},
			bug: bug{put: func(x *exploration, w *store.Write) { w.Replaces = x.version }},
		},
		"a conflict is taken for a success": {
			in: scenario{truth: identity.Verified},
			bug: bug{answer: func(err error) error {
				if errors.Is(err, store.ErrConflict) {
					return nil
				}
				return err
			}},
		},
		"due times are lost": {
			in:  scenario{truth: identity.Verified, async: true},
			bug: bug{put: func(_ *exploration, w *store.Write) { w.DueIn = 0 }},
		},
		"a lease keeps nobody out": {
			in: scenario{truth: identity.Verified},
			bug: bug{read: func(x *exploration, a *attempt.Attempt) {
				if x.running != nil && x.owners[a.Lease.Owner]>>8 != int64(x.running.number) {
					a.Lease = attempt.Lease{}
				}
			}},
		},
		"the commit comes before the callback": {
			in: scenario{truth: identity.Verified},
			bug: bug{kept: func(_ *exploration, a *attempt.Attempt) {
				if a.Lease.Owner != 0 && awaits(a, identity.Verified) != nil {
					a.Status, a.Grant = identity.Verified, &attempt.StoredGrant{Grant: attempt.Grant{VerifiedAt: a.CreatedAt}}
				}
			}},
		},
		"what a dead process was about to tell is forgotten": {
			in: scenario{truth: identity.Verified},
			bug: bug{read: func(x *exploration, a *attempt.Attempt) {
				if leaseOver(x, a) {
					a.Outbox, a.Lease = nil, attempt.Lease{}
				}
			}},
		},
		"a repeat is another event": {
			in: scenario{truth: identity.Verified},
			bug: bug{read: func(x *exploration, a *attempt.Attempt) {
				if p := firstEntry(a, func(p *attempt.Entry) bool { return p.Event == a.Lease.Event }); p != nil && leaseOver(x, a) {
					a.Events++
					p.Event, a.Lease.Event = a.Events, a.Events
				}
			}},
		},
		"nobody remembers that the host may know": {
			in: scenario{truth: identity.Failed},
			bug: bug{read: func(_ *exploration, a *attempt.Attempt) {
				if p := awaits(a, identity.Verified); p != nil {
					p.Awareness = attempt.Unaware
				}
			}},
		},
		"what is held is dropped when the attempt expires": {
			in: scenario{truth: identity.Verified, host: host{name: "must return", callbacks: usual, mustReturn: true,
				webhooks: []identity.Status{identity.Verified}}},
			bug: bug{unknown: true, kept: func(_ *exploration, a *attempt.Attempt) {
				if a.Lapsed {
					discard(a, func(p *attempt.Entry) bool { return p.Held })
				}
			}},
		},
		"a lease outlives what it was taken for": {
			in: scenario{truth: identity.Failed, host: host{name: "started alone", callbacks: []identity.Status{identity.Started},
				webhooks: []identity.Status{identity.Started, identity.Verified, identity.Failed}}},
			bug: bug{read: func(x *exploration, a *attempt.Attempt) {
				if a.Lease.Owner != 0 && !awaitsEvent(a, a.Lease.Event) {
					a.Lease.Until = x.clock.Now().Add(time.Hour)
				}
			}},
		},
		"a dead letter forgets that the host may know": {
			in: scenario{truth: identity.Failed, host: host{name: "gives up", callbacks: usual, gives: true,
				webhooks: []identity.Status{identity.Verified, identity.Failed}}},
			bug: bug{kept: func(_ *exploration, a *attempt.Attempt) {
				for i := range a.Letters {
					a.Letters[i].Aware = false
				}
			}},
		},
		"the provider is not asked": {
			in:  scenario{truth: identity.Verified},
			bug: bug{unknown: true},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.in.bounds = bounds{all: 3, faults: 1, leaps: 1}
			x := newExploration(t, test.in, test.bug)
			x.explore(1)
			require.NotEmpty(t, x.problems, x)
			t.Logf("%v: %v", x, x.problems[0])
		})
	}
}

// bug is what is wrong with the store or the provider. The zero value is nothing.
type bug struct {
	put     func(*exploration, *store.Write)     // changes what is asked for
	answer  func(error) error                    // changes the answer to that
	read    func(*exploration, *attempt.Attempt) // changes what is read
	kept    func(*exploration, *attempt.Attempt) // changes what is kept
	unknown bool                                 // the provider does not know the verification
}

// change gives back the bytes of a record with something wrong in it.
func (x *exploration) change(value []byte, wrong func(*exploration, *attempt.Attempt)) []byte {
	if wrong == nil {
		return value
	}
	of := attempt.HashSubject("alice")
	r, err := attempt.Decode(value, of)
	require.NoError(x.t, err)
	wrong(x, &r.Attempts[0])
	return r.AppendTo(nil)
}
