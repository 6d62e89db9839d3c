package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

// Whatever happens at the same time, and whatever fails meanwhile: once nothing
// fails any more, host, gate and provider agree.
//
// OKIDHTTP_SEED=17 walks the walk with that seed alone, and tells what happened.
func TestInterleavings(t *testing.T) {
	const walks = 700
	first, last := uint64(1), uint64(walks)
	traced := os.Getenv("OKIDHTTP_SEED")
	if traced != "" {
		seed, err := strconv.ParseUint(traced, 10, 64)
		require.NoError(t, err)
		first, last = seed, seed
	}
	for seed := first; seed <= last; seed++ {
		cryptotest.SetGlobalRandom(t, seed) // event ids decide how long a retry waits
		w := newWalk(t, seed)
		w.walk()
		w.heal()
		w.judge()
		if traced != "" {
			for _, line := range w.trace {
				t.Log(line)
			}
		}
		for _, p := range w.problems {
			t.Errorf("seed %d (%v): %s", seed, w, p)
		}
	}
}

// walk is one random walk through what can befall an attempt. Webhooks, users who
// come back and the workers of two kits on one store are operations, which rest
// wherever they wait for the store, the host or the provider, while the walk goes
// on with another. Everything is drawn from the seed.
type walk struct {
	*world
	random  *rand.Rand
	kits    []*Kit
	attempt string
	truth   identity.Status // the provider's verdict
	known   bool            // the provider knows the verification when asked
	async   bool
	faults  bool // the store fails, and processes die
	confirm bool // Config.ConfirmByFetch
	calm    bool // nothing fails any more

	begun     int // operations
	underWay  []*operation
	running   *operation
	delivered map[identity.Status]bool // by webhooks that were not stale
	acked     map[identity.Status]bool // by webhooks that were answered with 200
	owed      []notice                 // webhooks that were not

	// What the host knows: it takes an event in once.
	events map[string]identity.Status
	last   identity.Status
	open   bool // it lets the user in
	late   bool // it was called by a process that had slept past its lease
	said   map[string]telling

	trace    []string
	problems []string
}

// operation is a request, or a look of a worker.
type operation struct {
	number  int
	next    func() (struct{}, bool) // goes on until the operation rests or is done
	yield   func(struct{}) bool
	began   time.Time
	ended   time.Time
	faults  int  // how often something failed of which the kit cannot know whether it took place
	calling bool // the host
}

// telling is a call of the host that succeeded.
type telling struct {
	status identity.Status
	op     *operation
	faults int // of the operation until then
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{
		world:     newWorld(t),
		random:    rand.New(rand.NewPCG(seed, 3)),
		async:     seed&1 != 0,
		faults:    seed&2 != 0,
		confirm:   seed&4 != 0,
		calm:      true,
		delivered: map[identity.Status]bool{},
		acked:     map[identity.Status]bool{},
		events:    map[string]identity.Status{},
		said:      map[string]telling{},
	}
	w.truth = pick(w, identity.Verified, identity.Failed, identity.Expired)
	w.known = w.confirm || w.random.Float64() < 0.8 // who must be confirmed waits for ever otherwise
	for range 2 {
		w.kits = append(w.kits, w.replica(func(c *Config) {
			c.Store = restingStore{w.store, w}
			c.Providers = []identity.Provider{restingProvider{w.provider, w}}
			c.Async, c.ConfirmByFetch = w.async, w.confirm
			c.OnStarted, c.OnReview, c.OnVerified = w.told, w.told, w.told
			c.OnFailed, c.OnExpired, c.OnRevoked = w.told, w.told, w.told
			c.Logger = slog.New(slog.DiscardHandler)
		}))
	}
	w.attempt = w.start("alice").Attempt
	w.calm = false
	return w
}

// String says what kind of walk it is.
func (w *walk) String() string {
	return fmt.Sprintf("async %v, faults %v, confirm %v, provider knows it %v as %s", w.async, w.faults, w.confirm, w.known, w.truth)
}

func (w *walk) chance(p float64) bool { return !w.calm && w.random.Float64() < p }

func pick[T any](w *walk, from ...T) T { return from[w.random.IntN(len(from))] }

func (w *walk) tell(format string, args ...any) {
	who := ""
	if w.running != nil {
		who = fmt.Sprintf("#%d ", w.running.number)
	}
	w.trace = append(w.trace, w.clock.Now().Format("15:04:05 ")+who+fmt.Sprintf(format, args...))
}

func (w *walk) problem(format string, args ...any) {
	w.tell("PROBLEM: "+format, args...)
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// walk takes some steps, and lets what is under way come to its end.
func (w *walk) walk() {
	for range 100 {
		k := pick(w, w.kits...)
		switch n := w.random.IntN(20); {
		case n < 11 && len(w.underWay) > 0, n < 18 && len(w.underWay) == 5:
			w.resume(pick(w, w.underWay...))
		case n < 15:
			word := pick(w, identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired)
			n := notice{Reference: w.attempt, ID: "v1", Status: word, Note: strconv.Itoa(w.random.IntN(3))}
			late := w.chance(0.1)
			w.begin(func() { w.deliver(k, n, late) })
		case n < 17:
			w.begin(func() { w.lookForWork(k) })
		case n < 18:
			w.begin(func() { w.comeBack(k) })
		default:
			d := pick(w, time.Second, 3*time.Second, 10*time.Second, time.Minute, 5*time.Minute, 40*time.Minute)
			w.tell("%v pass", d)
			w.clock.add(d)
		}
	}
	for len(w.underWay) > 0 {
		w.resume(pick(w, w.underWay...))
	}
}

// heal lets the provider deliver again and the workers do what is left, for longer
// than anything may take.
func (w *walk) heal() {
	w.tell("nothing fails any more")
	w.calm = true
	for i := range 80 {
		w.clock.add(time.Duration(1+i) * time.Minute)
		k, owed := w.kits[i%2], w.owed
		w.owed = nil
		for _, n := range owed {
			w.running = &operation{began: w.clock.Now()} // nothing interrupts it
			w.deliver(k, n, false)
		}
		w.running = &operation{began: w.clock.Now()}
		w.lookForWork(k)
	}
}

// begin takes up an operation, which rests at once. All of them come to their end.
func (w *walk) begin(do func()) {
	w.begun++
	op := &operation{number: w.begun, began: w.clock.Now()}
	op.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		op.yield = yield
		yield(struct{}{})
		defer func() {
			if v := recover(); v != nil && v != any(errCrash) {
				panic(v)
			}
			op.ended = w.clock.Now()
		}()
		do()
	})
	op.next()
	w.underWay = append(w.underWay, op)
}

// resume lets an operation go on, and looks at what it has done.
func (w *walk) resume(op *operation) {
	w.running = op
	if _, more := op.next(); !more {
		w.underWay = slices.DeleteFunc(w.underWay, func(o *operation) bool { return o == op })
	}
	w.running = nil
	open := w.gateIsOpen()
	if open && !w.open {
		w.problem("the gate is open before the host knows")
	}
	if open && w.confirm && w.truth != identity.Verified {
		w.problem("the gate is open though nobody confirmed it")
	}
}

func (w *walk) gateIsOpen() bool {
	_, err := w.kit.Grant(w.t.Context(), "alice")
	return err == nil
}

// pause waits for the walk to come back to this operation.
func (w *walk) pause() {
	if !w.calm {
		w.running.yield(struct{}{})
	}
}

// rest is a pause in which the process may die.
func (w *walk) rest() {
	w.pause()
	if w.faults && w.chance(0.02) {
		w.tell("crash")
		w.running.faults++
		panic(errCrash)
	}
}

var errCrash = errors.New("process died")

// fails reports whether the store fails now.
func (w *walk) fails(what string) bool {
	if !w.faults || !w.chance(0.05) {
		return false
	}
	w.tell("%s fails", what)
	w.running.faults++
	return true
}

// deliver is a webhook. The provider owes it again unless the answer is 200.
func (w *walk) deliver(k *Kit, n notice, late bool) {
	n.At = w.clock.Now()
	code := 0
	if late {
		n.At = n.At.Add(-time.Hour)
	} else {
		w.delivered[n.Status] = true
		defer func() {
			if code != 200 {
				w.owed = append(w.owed, n)
			}
		}()
	}
	w.tell("webhook %s %s, late: %v", n.Status, n.Note, late)
	rec := httptest.NewRecorder()
	k.ServeHTTP(rec, w.webhookRequest(n))
	code = rec.Code
	w.tell("webhook %s %s: %d", n.Status, n.Note, code)
	if code == 200 {
		w.acked[n.Status] = true
	}
}

func (w *walk) comeBack(k *Kit) {
	w.tell("the user comes back")
	r := httptest.NewRequest("GET", "/verify/success?attempt="+w.attempt, nil)
	r.Header.Set("Test-User", "alice")
	k.ServeHTTP(httptest.NewRecorder(), r)
}

// lookForWork is a round of a kit's worker, without its goroutines.
func (w *walk) lookForWork(k *Kit) {
	for _, key := range dueKeys(w.t, w.world) {
		w.tell("work")
		_ = k.runRecord(context.Background(), key) // a store that failed
	}
}

// told is every callback. Whether it has an effect shows at once, what it returns
// later; a failure may have had its effect. The host takes an event in once.
func (w *walk) told(_ context.Context, e Event) error {
	op := w.running
	late := w.overran(op) // while it was about to call: nobody can prevent that
	w.late = w.late || late
	for _, other := range w.underWay {
		if other.calling && !w.overran(other) && !late {
			w.problem("the host is told of %s while it is being told already", e.Status)
		}
	}
	for id, before := range w.said {
		comesAgain := e.Status == identity.Review || e.Status == identity.Expired
		if id != e.ID && before.status == e.Status && !comesAgain {
			w.problem("the host is told of %s as two events", e.Status)
		}
	}
	if before, ok := w.said[e.ID]; ok && before.op.faults == before.faults && !w.overran(before.op) && !late {
		w.problem("the host is told twice of %s", e.Status)
	}
	status, known := w.events[e.ID]
	if known && status != e.Status {
		w.problem("one event is %s, and was %s", e.Status, status)
	}
	fails := w.chance(0.35)
	if effect := !fails || w.chance(0.5); effect && !known {
		w.events[e.ID] = e.Status
		w.open = e.Status == identity.Verified || w.open && e.Status != identity.Revoked
	}
	if !fails {
		w.last = e.Status
	}
	w.tell("call %s, fails: %v", e.Status, fails)
	op.calling = true
	for range 3 {
		w.pause()
	}
	op.calling = false
	w.tell("call %s ends", e.Status)
	switch {
	case !fails:
		w.said[e.ID] = telling{e.Status, op, op.faults}
		return nil
	case w.chance(0.3):
		panic("the host's database is away")
	}
	return errors.New("the host's database is away")
}

// overran reports whether an operation took so long that its lease may have
// ended before it did.
func (w *walk) overran(op *operation) bool {
	until := op.ended
	if until.IsZero() {
		until = w.clock.Now()
	}
	return until.Sub(op.began) >= w.kit.cfg.Lease
}

// judge compares what everybody believes in the end.
func (w *walk) judge() {
	attempts := w.record("alice").attempts
	require.Len(w.t, attempts, 1)
	a, open := attempts[0], w.gateIsOpen()

	// A provider that knows the verification settles what contradicts; otherwise
	// what stands stays, and the order decides. A signed verified that nothing
	// contradicts needs nobody to confirm it.
	verified := w.acked[identity.Verified]
	denied := w.acked[identity.Failed] || w.acked[identity.Expired]
	settled := w.known || !w.delivered[identity.Failed] && !w.delivered[identity.Expired]
	switch {
	case open && w.truth != identity.Verified && !w.delivered[identity.Verified]:
		w.problem("the gate is open though nobody ever said so")
	case open && w.truth != identity.Verified && w.known && denied:
		w.problem("the gate is open though the provider says %s", w.truth)
	case !open && w.truth == identity.Verified && w.known && verified:
		w.problem("the gate is shut though the provider says verified")
	case !open && !w.known && verified && settled:
		w.problem("the gate is shut though nothing contradicted a signed verified")
	}
	if w.open != open && !w.late {
		w.problem("the gate is open: %v, but the host believes: %v", open, w.open)
	}
	if a.status != identity.Created && !open && w.last != a.status && settled && !w.late {
		w.problem("the attempt is %s, but the host was last told %q", a.status, w.last)
	}

	rank := map[identity.Status]int{identity.Started: 1, identity.Review: 2}
	for _, word := range []identity.Status{identity.Started, identity.Review, identity.Failed, identity.Expired} {
		reached, final := rank[a.status], a.status.Final()
		if w.acked[word] && settled && !final && (word.Final() || reached < rank[word]) {
			w.problem("%s was acknowledged, but the attempt is %s", word, a.status)
		}
	}
	if inReview := a.status == identity.Review && !w.known; !inReview {
		if !a.status.Final() {
			w.problem("the attempt ends as %s", a.status)
		}
		if len(dueKeys(w.t, w.world)) > 0 {
			w.problem("something is due for ever")
		}
	}
	if len(w.owed) > 0 {
		w.problem("%d webhooks are never acknowledged", len(w.owed))
	}
	if len(a.pending) > 0 || a.lease.owner != 0 {
		w.problem("%d notices are pending for ever, leased: %v", len(a.pending), a.lease.owner != 0)
	}
}

// restingStore lets the walk go on before and after what it does, and fails.
type restingStore struct {
	store.Store
	w *walk
}

// A walk has a time of its own, so the deadlines of contexts do not count.

func (s restingStore) Get(ctx context.Context, key string) (store.Record, error) {
	if s.w.fails("get") {
		return store.Record{}, errStoreIsAway
	}
	rec, err := s.Store.Get(context.WithoutCancel(ctx), key)
	s.w.rest()
	return rec, err
}

func (s restingStore) Put(ctx context.Context, key string, write store.Write) error {
	s.w.rest()
	fails := s.w.fails("put")
	if fails && s.w.chance(0.5) {
		return errStoreIsAway
	}
	err := s.Store.Put(context.WithoutCancel(ctx), key, write)
	if fails {
		return errStoreIsAway // though it was written
	}
	s.w.rest()
	return err
}

// restingProvider answers late, sometimes not, and sometimes without a verdict.
type restingProvider struct {
	*fakeProvider
	w *walk
}

func (p restingProvider) Fetch(_ context.Context, id string) (identity.Notice, error) {
	w := p.w
	w.rest()
	word := w.truth
	if w.chance(0.3) {
		word = pick(w, identity.Started, "")
	}
	switch {
	case w.chance(0.2):
		w.tell("the provider is away")
		return identity.Notice{}, identity.ErrUnavailable
	case !w.known:
		w.tell("the provider does not know it")
		return identity.Notice{}, identity.ErrNotFound
	}
	w.tell("the provider says %q", word)
	v := person
	v.ID, v.Status = id, word
	w.rest()
	return identity.Notice{Provider: "fake", Reference: w.attempt, Verification: v, Fetched: true}, nil
}
