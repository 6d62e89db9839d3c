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
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// Whatever host and provider are like, whatever happens at the same time, and
// whatever fails meanwhile: once nothing fails any more, time has passed, Run has run
// and the users have come by, host, gate and provider agree, and nothing waits for
// what never comes.
//
// OKIDHTTP_WALKS=20000 walks that many walks. OKIDHTTP_SEED=17 walks the one with that
// seed, and tells what happened.
func TestWalks(t *testing.T) {
	first, last := 1, 150
	if thorough {
		last = 1500
	}
	number := func(name string) (n int) {
		if text := os.Getenv(name); text != "" {
			var err error
			n, err = strconv.Atoi(text)
			require.NoError(t, err, name)
		}
		return n
	}
	if n := number("OKIDHTTP_WALKS"); n > 0 {
		last = n
	}
	seed := number("OKIDHTTP_SEED")
	if seed > 0 {
		first, last = seed, seed
	}
	const enough = 10
	for n, bad := first, 0; n <= last && bad < enough; n++ {
		w := takeWalk(t, uint64(n), flaw{})
		if seed > 0 {
			t.Logf("%+v\n%s", w.circumstances, strings.Join(w.trace, "\n"))
		}
		for _, p := range w.problems {
			t.Errorf("%s\n%+v\nagain: OKIDHTTP_SEED=%d go test ./okidhttp -run '^TestWalks$' -v", p, w.circumstances, n)
		}
		if len(w.problems) > 0 {
			bad++
		}
	}
}

// steps is how long a walk is.
const steps = 150

// takeWalk is a whole walk, with something wrong if the flaw says so.
func takeWalk(t *testing.T, seed uint64, f flaw) *walk {
	cryptotest.SetGlobalRandom(t, seed) // event ids decide how long a retry waits
	w := newWalk(t, seed, f)
	for range steps {
		w.step()
	}
	for len(w.underWay) > 0 {
		w.resume(pick(w, w.underWay...))
	}
	w.heal()
	w.judge()
	return w
}

// walk is one random walk of two users, two replicas of a kit, a host and two
// providers. Requests, and what the workers do, are operations, which rest wherever
// they wait for the store, the host or a provider, while the walk goes on with
// another. Everything is drawn from the seed.
type walk struct {
	*world
	circumstances
	flaw
	random *rand.Rand
	kits   []*Kit
	calm   bool // nothing fails any more

	taken    int // up: operations
	underWay []*operation
	running  *operation

	hostModel
	providerModel
	rotated []int                      // how far each kit's keys are replaced
	records map[string]*attempt.Record // of each user, as written last
	written map[uint64]bool            // the versions of records

	trace    []string
	problems []string
}

// circumstances are what stays the same throughout a walk.
type circumstances struct {
	callbacks int  // those that the host has, a bit for each
	policy    bool // Config.Decide, which refuses some, and at times cannot tell
	permanent bool // callbacks give up now and then
	operator  bool // somebody replays and drops dead letters
	tidy      bool // and replays those that are left in the end
	erases    bool // and erases subjects

	async, confirm, mustReturn bool // Config

	crowd   bool // two users, each with several attempts
	claims  bool // a provider whose verifications are claimed
	several bool // providers sign: a second one
	fickle  bool // providers change their mind, once about each verification
	unknown bool // the first provider knows no verification when it is asked
	faults  bool // the store fails, and processes die
	brisk   bool // only seconds pass
	days    bool // hours and days pass
	limited bool // Config.StartLimit is reached
	trusts  bool // a verification is not asked about again

	documents bool // some have expired, or nobody knows whether they have
	quiet     bool // providers ask to be left alone
	absent    bool // users do not come by in the end
	rotates   bool // keys are replaced
	renews    bool // users start another verification while one stands
	staff     bool // staff revoke, approve and reset
}

// drawCircumstances is fair to simple walks. A third of the hosts have all callbacks,
// and the others go through all subsets of them.
func drawCircumstances(seed uint64, r *rand.Rand) circumstances {
	chance := func(p float64) bool { return r.Float64() < p }
	c := circumstances{
		callbacks: allCallbacks,
		async:     chance(0.4),
		faults:    chance(0.5),
		brisk:     chance(0.3),
		days:      chance(0.4),
		fickle:    chance(0.4),
		crowd:     chance(0.4),
		claims:    chance(0.3),
		several:   chance(0.3),
		trusts:    chance(0.5),
	}
	if seed%3 != 0 {
		c.callbacks = int(seed % (allCallbacks + 1))
	}
	if simple := chance(0.4); !simple {
		c.policy = chance(0.3)
		c.confirm = chance(0.3)
		c.mustReturn = chance(0.4)
		c.permanent = chance(0.5)
		c.operator = c.permanent && chance(0.7)
		c.tidy = chance(0.6)
		c.erases = chance(0.3)
		c.limited = chance(0.2)
		c.documents = chance(0.2)
		c.quiet = chance(0.2)
		c.absent = chance(0.2)
		c.rotates = chance(0.2)
	}
	c.renews, c.staff = chance(0.3), chance(0.2)
	c.unknown = !c.confirm && !c.fickle && chance(0.3) // else some wait for ever
	return c
}

// operation is a request, or a look of a worker.
type operation struct {
	number  int
	user    string                  // of the request,
	kit     *Kit                    // where it goes,
	route   string                  // and for what, while it is there
	next    func() (struct{}, bool) // goes on until the operation rests or is done
	yield   func(struct{}) bool
	began   time.Time
	ended   time.Time
	dead    bool   // its process died
	faults  int    // how often something failed of which the kit cannot know whether it took place
	calling string // the attempt about which it is calling the host
	strays  bool   // it tells of another verification than the attempt's
	replays DeadLetter
	asked   []string // the verifications of which the provider said verified
}

func newWalk(t *testing.T, seed uint64, f flaw) *walk {
	w := &walk{
		world:   newWorld(t),
		flaw:    f,
		random:  rand.New(rand.NewPCG(seed, 3)),
		records: map[string]*attempt.Record{},
		written: map[uint64]bool{},
	}
	w.circumstances = drawCircumstances(seed, w.random)
	if f.where != nil {
		f.where(&w.circumstances)
	}
	w.trusts = w.trusts && !w.fickle
	w.hostModel = newHostModel()
	w.providerModel = newProviderModel(w)
	for range 2 {
		w.rotated = append(w.rotated, 0)
		w.kits = append(w.kits, w.replica(func(c *Config) {
			c.Store = walkedStore{w.store, w}
			c.Providers = w.providers()
			c.Async, c.ConfirmByFetch, c.RequireReturn = w.async, w.confirm, w.mustReturn
			if w.trusts {
				c.RecheckVerified = -1
			}
			c.StartLimit = AtMost(maxStarts, time.Minute)
			if w.limited {
				c.StartLimit = AtMost(3, 24*time.Hour)
			}
			w.configure(c)
			c.Logger = slog.New(slog.DiscardHandler)
		}))
	}
	return w
}

var users = []string{"alice", "bob"}

func (w *walk) chance(p float64) bool { return !w.calm && w.random.Float64() < p }

func pick[T any](w *walk, from ...T) T { return from[w.random.IntN(len(from))] }

func (w *walk) tell(format string, args ...any) {
	who := ""
	if w.running != nil && w.running.number > 0 {
		who = fmt.Sprintf("#%d ", w.running.number)
	}
	w.trace = append(w.trace, w.clock.Now().Format("02 15:04:05 ")+who+fmt.Sprintf(format, args...))
}

func (w *walk) problem(format string, args ...any) {
	w.tell("PROBLEM: "+format, args...)
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// step lets something happen.
func (w *walk) step() {
	if n := len(w.underWay); n == 5 || n > 0 && w.random.IntN(20) < 11 {
		w.resume(pick(w, w.underWay...))
		return
	}
	all := 0
	for _, h := range happenings {
		all += h.weight(w)
	}
	n := w.random.IntN(all)
	for _, h := range happenings {
		if n -= h.weight(w); n < 0 {
			user := users[0]
			if w.crowd {
				user = pick(w, users...)
			}
			h.happens(w, pick(w, w.kits...), user)
			return
		}
	}
}

// happening is something that may happen.
type happening struct {
	often   int              // compared with the others
	where   func(*walk) bool // nil: everywhere
	happens func(w *walk, k *Kit, user string)
}

func (h happening) weight(w *walk) int {
	if h.where != nil && !h.where(w) {
		return 0
	}
	return h.often
}

var happenings = []happening{
	{40, nil, func(w *walk, k *Kit, user string) {
		v := w.oneOf(w.signed())
		if v == nil {
			w.begin(user, func() { w.startAttempt(k, "fake") })
			return
		}
		webhook, late := w.draw(v), w.chance(0.1)
		w.begin("", func() { w.deliver(k, webhook, late) })
	}},
	{4, func(w *walk) bool { return w.crowd }, func(w *walk, k *Kit, user string) {
		provider := pick(w, w.names()...)
		w.begin(user, func() { w.startAttempt(k, provider) })
	}},
	{3, func(w *walk) bool { return len(w.stories) > 0 }, func(w *walk, k *Kit, _ string) { w.stray(k, pick(w, w.stories...)) }},
	{15, nil, func(w *walk, k *Kit, _ string) { w.begin("", func() { w.lookForWork(k) }) }},
	{7, func(w *walk) bool { return len(w.stories) > 0 }, func(w *walk, k *Kit, user string) {
		route, s := pick(w, "success", "error", "success", "status"), pick(w, w.stories...)
		w.begin(pick(w, user, users[0], users[1]), func() { w.visit(k, route, s.reference) })
	}},
	{8, func(w *walk) bool { return w.claims }, func(w *walk, k *Kit, user string) {
		v := w.oneOf(w.inBrowsers())
		if v == nil || w.chance(0.4) {
			v = w.finishInBrowser(user)
		}
		w.begin(pick(w, v.user, v.user, v.user, users[0], users[1]), func() { w.claim(k, v) })
	}},
	{4, func(w *walk) bool { return w.fickle && len(w.verifications) > 0 }, func(w *walk, _ *Kit, _ string) {
		w.changeMind(pick(w, w.verifications...))
	}},
	{4, func(w *walk) bool { return w.operator }, func(w *walk, k *Kit, _ string) {
		replay := w.chance(0.7)
		w.begin("", func() { w.handleLetter(k, replay) })
	}},
	{2, func(w *walk) bool { return w.erases }, func(w *walk, k *Kit, user string) {
		w.begin("", func() { w.erase(k, user) })
	}},
	{3, func(w *walk) bool { return w.staff }, func(w *walk, k *Kit, user string) {
		w.begin("", func() { w.staffAct(k, user) })
	}},
	{2, func(w *walk) bool { return w.rotates }, func(w *walk, _ *Kit, _ string) { w.rotate() }},
	{10, nil, func(w *walk, _ *Kit, _ string) {
		passes := []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 40 * time.Minute}
		switch {
		case w.brisk:
			passes = passes[:3]
		case w.days:
			passes = append(passes, 3*time.Hour, 30*time.Hour, 80*time.Hour)
		}
		w.pass(pick(w, passes...))
	}},
}

// rotate takes one step on the way of a new key: it is appended in all processes, one
// after the other, and then moved to the front in all of them.
func (w *walk) rotate() {
	behind := slices.Index(w.rotated, slices.Min(w.rotated))
	w.rotated[behind]++
	switch k := w.kits[behind]; {
	case w.rotated[behind] == 1 && !w.hasty:
		require.NoError(w.t, k.SetKeys([][]byte{testKey(1), testKey(2)}))
	case w.rotated[behind] <= 2:
		require.NoError(w.t, k.SetKeys([][]byte{testKey(2), testKey(1)}))
	}
	w.tell("keys are replaced: %v", w.rotated)
}

func (w *walk) pass(d time.Duration) {
	w.tell("%v pass", d)
	w.clock.add(d)
}

// heal lets everything work again. Workers do what is left, providers deliver what
// they owe, and the users come by once more unless they are absent, for longer than
// anything may take.
func (w *walk) heal() {
	w.tell("nothing fails any more")
	w.calm = true
	w.running = &operation{} // nothing interrupts it
	round := func(i int, d time.Duration) {
		w.pass(d)
		w.running.began = w.clock.Now()
		k, owed := w.kits[i%2], w.owed
		w.owed = nil
		for _, d := range owed {
			w.deliver(k, d, false)
		}
		for _, user := range slices.Clone(w.erasing) {
			w.erase(k, user)
		}
		w.lookForWork(k)
	}
	claim := func() {
		for _, v := range w.inBrowsers() {
			if !v.settled {
				w.running.user = v.user
				w.claim(w.kits[1], v)
			}
		}
	}
	for i := range 40 {
		round(i, time.Duration(1+i)*time.Minute)
	}
	for range 20 {
		if !w.tidy || !w.handleLetter(w.kits[0], true) {
			break
		}
		round(0, time.Second)
	}
	for _, s := range w.stories {
		if w.absent {
			break
		}
		w.running.user = s.user
		w.visit(w.kits[0], "success", s.reference)
	}
	for i := range 30 {
		round(i, time.Duration(1+i)*time.Minute)
	}
	for i := range 9 { // all in all, a little more than eight days
		claim()
		round(i, 20*time.Hour)
	}
	w.running = nil
}

// begin takes up an operation, which rests at once. All of them come to their end.
func (w *walk) begin(user string, do func()) {
	w.taken++
	op := &operation{number: w.taken, user: user, began: w.clock.Now()}
	op.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		op.yield = yield
		yield(struct{}{})
		defer func() {
			if v := recover(); v != nil && v != any(errCrash) {
				w.problem("panic: %v", v)
				w.tell("%s", debug.Stack())
			}
			op.ended = w.clock.Now()
		}()
		do()
	})
	op.next()
	w.underWay = append(w.underWay, op)
}

// resume lets an operation go on.
func (w *walk) resume(op *operation) {
	w.running = op
	if _, more := op.next(); !more {
		w.underWay = slices.DeleteFunc(w.underWay, func(o *operation) bool { return o == op })
	}
	w.running = nil
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
	op := w.running
	if w.faults && !op.dead && w.chance(0.02) {
		w.tell("crash")
		op.faults++
		op.dead = true
	}
	if op.dead { // and what recovered from that is dead as well
		panic(errCrash)
	}
}

var errCrash = errors.New("process died")

// fails reports whether the store fails now.
func (w *walk) fails(what string) bool {
	if !w.faults || !w.chance(0.08) {
		return false
	}
	w.tell("%s fails", what)
	w.running.faults++
	return true
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

// What users do.

// busy is how many requests of a user for a route are under way, at one kit or at all
// of them.
func (w *walk) busy(k *Kit, user, route string) (n int) {
	for _, op := range w.underWay {
		if op != w.running && op.user == user && op.route == route && (k == nil || op.kit == k) {
			n++
		}
	}
	return n
}

// startAttempt begins or resumes a verification, unless that would wait for another
// start.
func (w *walk) startAttempt(k *Kit, provider string) {
	user := w.running.user
	if w.busy(nil, user, "start") > 0 {
		return
	}
	now := w.clock.Now()
	for _, a := range w.record(user).Attempts {
		if a.Token == nil && now.Before(a.AskingTo) {
			return
		}
	}
	w.running.route = "start"
	form := ""
	if w.renews {
		form = "renew=1"
	}
	r := httptest.NewRequest("POST", "/verify/start?provider="+provider, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Test-User", user)
	rec := httptest.NewRecorder()
	k.ServeHTTP(rec, r)
	w.running.route = ""
	w.tell("%s starts with %s: %d", user, provider, rec.Code)
}

// visit is a user who comes back from the provider, or asks how it stands.
func (w *walk) visit(k *Kit, route, reference string) {
	s := w.story(reference)
	w.tell("%s comes to %s of %s", w.running.user, route, s)
	if w.running.user == s.user && route != "status" {
		s.returned = true
	}
	r := httptest.NewRequest("GET", "/verify/"+route+"?attempt="+reference, nil)
	r.Header.Set("Test-User", w.running.user)
	faults := w.running.faults
	k.ServeHTTP(httptest.NewRecorder(), r)
	if w.running.faults == faults && w.running.user == s.user && route != "status" {
		s.back = true
	}
}

// claim is a user whose browser hands over the claim to a verification.
func (w *walk) claim(k *Kit, v *verification) {
	user, query := w.running.user, ""
	if w.busy(k, user, "claim") >= k.claimTurns.AtOnce {
		return // it would wait for the others
	}
	w.running.kit, w.running.route = k, "claim"
	if v.attempt != "" {
		query = "?attempt=" + v.attempt
	}
	w.tell("%s claims %s of %s", user, v.id, v.user)
	v.returned = true
	v.claims++
	r := httptest.NewRequest("POST", "/verify/claim"+query, strings.NewReader(`{"id":"`+v.id+`"}`))
	r.Header.Set("Test-User", user)
	rec := httptest.NewRecorder()
	k.ServeHTTP(rec, r)
	w.running.route = ""
	w.tell("%s claims %s: %d", user, v.id, rec.Code)
	w.answeredClaim(v, user, rec.Code)
}

// What Run does, and what people do who look after the app.

// lookForWork is a round of a kit's worker, without its goroutines.
func (w *walk) lookForWork(k *Kit) {
	for _, key := range dueKeys(w.t, w.world) {
		w.tell("work")
		_ = k.engine.RunRecord(context.Background(), key) // a store that failed
	}
}

// handleLetter replays or drops a dead letter, and reports whether there is one.
func (w *walk) handleLetter(k *Kit, replay bool) bool {
	var letters []DeadLetter
	for l, err := range k.DeadLetters(context.Background()) {
		if err != nil {
			return false
		}
		if l.Reason == DeadCallback {
			letters = append(letters, l)
		}
	}
	if len(letters) == 0 {
		return false
	}
	l := pick(w, letters...)
	if !replay {
		w.story(l.Attempt).dropped = true
		err := k.DropDeadLetter(context.Background(), l.ID)
		w.tell("drops %v: %v", l, err)
		return true
	}
	w.tell("replays %v", l)
	w.running.replays, w.running.asked = l, nil
	defer func() { w.running.replays = DeadLetter{} }()
	err := k.ReplayDeadLetter(context.Background(), l.ID)
	w.tell("replays %v: %v", l, err)
	return true
}

// staffAct lets staff revoke, approve or reset.
func (w *walk) staffAct(k *Kit, user string) {
	acts := map[string]func(context.Context, string, Staff) error{"revoke": k.Revoke, "approve": k.Approve, "reset": k.ResetLimit}
	act := pick(w, "revoke", "revoke", "approve", "reset")
	w.tell("staff: %s %s", act, user)
	err := acts[act](context.Background(), user, bySam)
	w.tell("staff: %s %s: %v", act, user, err)
}

// erase erases a user. Who cannot tries again.
func (w *walk) erase(k *Kit, user string) {
	w.tell("erases %s", user)
	before := w.erasures[user]
	if !slices.Contains(w.erasing, user) {
		w.erasing = append(w.erasing, user)
	}
	err := k.Erase(context.Background(), user)
	w.tell("erases %s: %v", user, err)
	if err == nil && w.erasures[user] == before {
		w.problem("%s is not erased", user)
	}
	if err == nil {
		w.erasing = slices.DeleteFunc(w.erasing, func(u string) bool { return u == user })
		if len(w.underWay) <= 1 { // else it may be about to be taken off
			w.judgeList(user)
		}
	}
}

// walkedStore lets the walk go on before and after what it does, and fails.
type walkedStore struct {
	store.Store
	w *walk
}

// A walk has a time of its own, so the deadlines of contexts do not count.

// counts reports whether a record is of somebody or of something that can disagree.
// The others, in which processes share what they may do, neither rest nor fail.
func (s walkedStore) counts(key string) bool { return strings.Contains(key, ":") }

func (s walkedStore) Get(ctx context.Context, key string) (store.Record, error) {
	w := s.w
	if !s.counts(key) {
		return s.Store.Get(context.WithoutCancel(ctx), key)
	}
	fails := w.fails("get")
	rec, err := s.Store.Get(context.WithoutCancel(ctx), key)
	if fails {
		rec, err = store.Record{Now: rec.Now}, errStoreIsAway
	}
	if w.got != nil {
		rec, err = w.got(rec, err)
	}
	if fails {
		return rec, err
	}
	w.rest()
	if err == nil && w.read != nil {
		rec.Value = w.change(key, rec.Value, w.read)
	}
	return rec, err
}

func (s walkedStore) Put(ctx context.Context, key string, write store.Write) error {
	w := s.w
	if !s.counts(key) {
		return s.Store.Put(context.WithoutCancel(ctx), key, write)
	}
	w.rest()
	if w.kept != nil {
		write.Value = w.change(key, write.Value, w.kept)
	}
	if w.put != nil {
		w.put(w, key, &write)
	}
	fails := w.fails("put")
	err := errStoreIsAway
	if !fails || w.chance(0.5) { // or else the answer alone is lost
		err = s.Store.Put(context.WithoutCancel(ctx), key, write)
		if err == nil {
			w.observe(key, write)
		}
	}
	if fails {
		err = errStoreIsAway
	} else {
		w.rest()
	}
	if w.answer != nil {
		err = w.answer(err)
	}
	return err
}

func (s walkedStore) Delete(ctx context.Context, key string) error {
	w := s.w
	w.rest()
	fails := w.fails("delete")
	if fails && w.chance(0.5) {
		return errStoreIsAway
	}
	err := s.Store.Delete(context.WithoutCancel(ctx), key)
	if err == nil {
		w.observeErased(key)
	}
	if fails {
		return errStoreIsAway // though it was deleted
	}
	w.rest()
	return err
}

// flaw is what is wrong with what is around the kit. The zero value is nothing.
type flaw struct {
	where  func(*circumstances)                                         // where it shows
	host   func(*walk, *Config)                                         // changes what the host gave
	fetch  func(*walk, identity.Notice, error) (identity.Notice, error) // changes what the provider says
	got    func(store.Record, error) (store.Record, error)              // changes what the store says
	read   func(*walk, *attempt.Attempt)                                // changes what is read
	kept   func(*walk, *attempt.Attempt)                                // changes what is kept
	put    func(w *walk, key string, write *store.Write)                // changes what is asked for
	answer func(error) error                                            // changes the answer to that
	hasty  bool                                                         // new keys seal at once
}

// change gives back the bytes of a record with something wrong in every attempt.
func (w *walk) change(key string, value []byte, wrong func(*walk, *attempt.Attempt)) []byte {
	of, err := attempt.SubjectOfKey(key)
	if err != nil {
		return value // is no subject's
	}
	r, err := attempt.Decode(value, of)
	require.NoError(w.t, err)
	for i := range r.Attempts {
		wrong(w, &r.Attempts[i])
	}
	return r.AppendTo(nil)
}
