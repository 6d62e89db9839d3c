package storetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
)

func yield() { runtime.Gosched() }

// recorder is a reporter that keeps what a case says instead of failing.
type recorder struct {
	ctx    context.Context
	failed string
	logged []string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Logf(format string, args ...any) {
	r.logged = append(r.logged, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// outcome runs one case and returns what it said.
func outcome(ctx context.Context, c testCase, open func() Harness) *recorder {
	r := &recorder{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if err := recover(); err != nil {
				r.failed = fmt.Sprint("panic: ", err)
			}
		}()
		c.run(r, open)
	}()
	<-done
	return r
}

type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// movable opens stores whose clock can be moved, and does not start on a whole
// millisecond.
func movable(flaw string) func() Harness {
	return func() Harness {
		c := &fakeClock{now: time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC)}
		f := newFlawed(flaw, c.Now)
		return Harness{Store: f, Advance: c.Advance, Faults: []func() func(){f.fault, f.fault}}
	}
}

// onRealTime opens stores whose clock runs by itself. In a synctest bubble that
// takes no time.
func onRealTime(flaw string) func() Harness {
	return func() Harness {
		f := newFlawed(flaw, time.Now)
		return Harness{Store: f, Faults: []func() func(){f.fault}}
	}
}

func TestRun(t *testing.T) {
	Run(t, func(*testing.T) Harness { return movable("")() })
}

// A store need not have Watch.
func TestRunWithoutWatch(t *testing.T) {
	Run(t, func(*testing.T) Harness {
		h := movable("")()
		h.Store = slowStore{Store: h.Store}
		return h
	})
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases() {
		assert.False(t, seen[c.name], c.name)
		seen[c.name] = true
	}
	assert.GreaterOrEqual(t, len(seen), 60)
}

func TestRightStorePassesOnRealTime(t *testing.T) {
	for _, c := range cases() {
		synctest.Test(t, func(t *testing.T) {
			r := outcome(t.Context(), c, onRealTime(""))
			assert.Empty(t, r.failed, c.name)
			assert.Empty(t, r.logged, c.name)
		})
	}
}

// flaws names every flaw of the flawed store, and a case that must find it.
var flaws = []struct{ flaw, found string }{
	{"TTL at least a second", "TTL/of one nanosecond"},
	{"TTL at most a year", "TTL/of years"},
	{"TTL ignored", "TTL/ends the record at its very instant"},
	{"TTL in milliseconds, rounded down", "TTL/is never rounded down"},
	{"TTL in seconds, rounded down", "TTL/of one nanosecond"},
	{"TTL never shortened", "TTL/is made shorter by Put"},
	{"TTL not replaced", "TTL/is made longer by Put"},
	{"TTL overflows", "TTL/of years"},
	{"TTL survives", "TTL/of a deleted record does not end its successor"},
	{"answer lost", "Put/creates"},
	{"conflict is another error", "Put/create conflicts with a record"},
	{"conflict is no error", "Put/create conflicts with a record"},
	{"conflict moves the times", "TTL/is not touched by a conflict"},
	{"conflict writes", "Put/replace conflicts with no record"},
	{"context cause only", "Context/Get past its deadline"},
	{"context error not wrapped", "Context/Due cancelled"},
	{"context ignored", "Context/Delete cancelled"},
	{"create reads its version back", "Concurrent/no create that is replaced at once is a conflict"},
	{"create overwrites", "Put/create conflicts with a record"},
	{"Delete by prefix", "Delete/touches no other key"},
	{"Delete does nothing", "Delete/removes"},
	{"Delete keeps due", "Due/ends with Delete"},
	{"Delete of nothing fails", "Delete/of nothing is no error"},
	{"Due by key", "Due/the longest first"},
	{"Due in any order", "Due/the longest first"},
	{"Due makes UTF-8", "Key/not UTF-8"},
	{"Due newest first", "Due/the longest first"},
	{"Due not copied", "Due/caller owns the keys"},
	{"Due of a huge limit fails", "Due/a limit beyond all"},
	{"Due of at most 50", "Due/many at the same instant"},
	{"Due takes away", "Due/stays due"},
	{"Due twice", "Due/at its very instant"},
	{"due at once", "Due/at its very instant"},
	{"due early", "Due/at its very instant"},
	{"due in seconds", "Due/in one nanosecond"},
	{"due never brought forward", "Due/is brought forward by Put"},
	{"due not cleared", "Due/is cleared by Put"},
	{"due not replaced", "Due/is put off by Put"},
	{"due one tick late", "Due/at its very instant"},
	{"due only on create", "Due/is set by a later Put"},
	{"due overflows", "Due/in years"},
	{"due survives", "Due/of a deleted record does not come back"},
	{"due without a due time", "Due/never without a due time"},
	{"empty values refused", "Put/nil and empty values"},
	{"ended Delete takes place", "Context/Delete cancelled"},
	{"ended Put takes place", "Context/Put of a replace past its deadline"},
	{"ends early", "TTL/of one nanosecond"},
	{"every Put fails", "Put/creates"},
	{"expired counts as a record", "Expired/is replaced by a create"},
	{"expired is due", "Due/ends with the record"},
	{"expired takes a place", "Due/expired records take no place under the limit"},
	{"Due drops what it cannot see", "Fault/an error is no absence"},
	{"Due makes keys up in a fault", "Fault/an error is no absence"},
	{"Due says nothing of a fault", "Fault/an error is no absence"},
	{"fault is a conflict", "Fault/a create is whole or an error"},
	{"fault is a success", "Fault/a replace that sets the due time is whole or an error"},
	{"fault is an absence", "Fault/Delete is whole or an error"},
	{"fault is an absence", "Fault/an error is no absence"},
	{"Get clears due", "Due/stays due"},
	{"half a Delete clears the due time", "Fault/Delete is whole or an error"},
	{"half a Put clears the due time", "Fault/a replace that clears the due time is whole or an error"},
	{"half a Put has no due time", "Fault/a create is whole or an error"},
	{"half a Put has no due time", "Fault/a replace that sets the due time is whole or an error"},
	{"half a Put keeps the due time", "Fault/a replace that clears the due time is whole or an error"},
	{"Get lengthens", "TTL/is not moved by Get and Due"},
	{"invalid Put ends the record", "Invalid/Put with TTL 0"},
	{"invalid accepted", "Invalid/Put with TTL 0"},
	{"invalid is another error", "Invalid/Due of 0"},
	{"keys cut at 200", "Key/longest"},
	{"keys cut at NUL", "Key/no two are mixed up"},
	{"keys folded", "Key/no two are mixed up"},
	{"keys made UTF-8", "Key/not UTF-8"},
	{"keys read as hash tags", "Key/hash tag"},
	{"keys trimmed", "Key/spaces"},
	{"limit ignored", "Due/keeps to the limit"},
	{"limit off by one", "Due/keeps to the limit"},
	{"lives at its end", "TTL/ends the record at its very instant"},
	{"lives too long", "TTL/ends the record at its very instant"},
	{"missing is another error", "Get/missing"},
	{"missing is no error", "Get/missing"},
	{"nil value keeps the last", "Put/an empty value replaces a full one"},
	{"no CAS", "Put/replace conflicts with another version"},
	{"no Now with ErrNotFound", "Get/missing"},
	{"no Now with a record", "Get/finds what was put"},
	{"no lock around CAS", "Concurrent/one create wins"},
	{"not due at its instant", "Due/at its very instant"},
	{"Now goes back", "Now/never goes back"},
	{"Now stands still", "Now/follows the clock"},
	{"null values dropped", "Value/a JSON null"},
	{"old record with ErrNotFound", "TTL/ends the record at its very instant"},
	{"one key", "Put/touches no other key"},
	{"one per instant", "Due/many at the same instant"},
	{"panics", "Get/missing"},
	{"repeat compares Replaces", "Repeat/is known by its version alone"},
	{"repeat conflicts silently", "Repeat/of a create succeeds"},
	{"repeat conflicts", "Repeat/of a create succeeds"},
	{"repeat is written again", "Repeat/does not lengthen the TTL"},
	{"repeat of any version", "Put/a version may be lower than the last"},
	{"replace creates", "Put/replace conflicts with no record"},
	{"value joins the last", "Put/a shorter value replaces a longer one"},
	{"value not copied in", "Put/copies the value of a create"},
	{"value not copied out", "Get/caller owns the value"},
	{"values as numbers", "Value/a number"},
	{"values cut at 64 KiB", "Value/longest"},
	{"values cut at NUL", "Value/one NUL"},
	{"values made UTF-8", "Value/longest bytes"},
	{"values trimmed", "Value/line ends"},
	{"Watch begins in silence", "Watch/signals when it begins"},
	{"Watch blocks", "Watch/who does not receive holds up nobody"},
	{"Watch closes the channel", "Watch/never closes the channel"},
	{"Watch ends for all", "Watch/one that ended takes no other along"},
	{"Watch fails", "Watch/they come and go"},
	{"Watch has no room", "Watch/signals when it begins"},
	{"Watch misses a create", "Watch/signals a create"},
	{"Watch misses a replace", "Watch/signals every replace"},
	{"Watch misses Delete", "Watch/signals Delete"},
	{"Watch once for a key", "Watch/many of one key"},
	{"Watch signals before the change", "Watch/who follows the signals sees the last change"},
	{"Watch tells once", "Watch/signals a record made anew"},
	{"Watch tells the first", "Watch/each key has its own"},
	{"invalid accepted", "Watch/invalid key of 0 bytes"},
	{"context ignored", "Watch/cancelled"},
	{"versions as float64", "Put/versions that a float64 cannot tell apart"},
	{"versions must rise", "Put/a version may be lower than the last"},
	{"versions of 32 bits", "Put/versions of all 64 bits"},
	{"versions of 63 bits", "Put/versions that an int64 takes for a sign"},
	{"transaction is not committed", "Transact/commits"},
	{"transaction is not undone", "Transact/undoes"},
	{"transaction loses the error", "Transact/tells of conflicts"},
	{"transaction survives a panic", "Transact/undoes what panics"},
	{"transaction within another is its own", "Transact/is part of another"},
	{"transaction after the end of its context", "Transact/begins nothing once its context has ended"},
}

// The suite finds every flaw, and every case has a flaw to find.
func TestFlawsAreFound(t *testing.T) {
	testenv.Long(t)
	caught := map[string][]string{}
	for _, f := range flaws {
		t.Run(f.flaw, func(t *testing.T) {
			var by []string
			for _, c := range cases() {
				var failed string
				synctest.Test(t, func(t *testing.T) { failed = outcome(t.Context(), c, movable(f.flaw)).failed })
				if failed != "" {
					by = append(by, c.name)
					caught[c.name] = append(caught[c.name], f.flaw)
				}
			}
			assert.Contains(t, by, f.found)
		})
	}
	t.Run("by every case", func(t *testing.T) {
		for _, c := range cases() {
			assert.NotEmpty(t, caught[c.name], c.name)
		}
	})
}

// Real time hides what is wrong by a millisecond, and what takes years.
func TestFlawsAreFoundOnRealTime(t *testing.T) {
	testenv.Long(t)
	hidden := []string{
		"TTL at most a year", "TTL in milliseconds, rounded down", "due early", "due one tick late", "ends early",
		"lives at its end", "not due at its instant",
	}
	for _, f := range flaws {
		t.Run(f.flaw, func(t *testing.T) {
			found := slices.ContainsFunc(cases(), func(c testCase) bool {
				var failed string
				synctest.Test(t, func(t *testing.T) { failed = outcome(t.Context(), c, onRealTime(f.flaw)).failed })
				return failed != ""
			})
			assert.Equal(t, !slices.Contains(hidden, f.flaw), found)
		})
	}
}

func TestApproximateOrder(t *testing.T) {
	for _, flaw := range []string{"Due by key", "Due newest first", "Due in any order"} {
		for _, c := range cases() {
			r := outcome(t.Context(), c, func() Harness {
				h := movable(flaw)()
				h.ApproximateOrder = true
				return h
			})
			assert.Empty(t, r.failed, "%s: %s", flaw, c.name)
		}
	}
}

// slowStore takes some time for every Put.
type slowStore struct {
	store.Store
	delay time.Duration
}

func (s slowStore) Put(ctx context.Context, key string, w store.Write) error {
	if s.delay > 0 {
		<-time.After(s.delay)
	}
	return s.Store.Put(ctx, key, w)
}

func TestSlowMachineIsNotTheStoresFault(t *testing.T) {
	retried := 0
	for _, c := range cases() {
		synctest.Test(t, func(t *testing.T) {
			r := outcome(t.Context(), c, func() Harness {
				return Harness{Store: slowStore{newFlawed("", time.Now), 70 * time.Millisecond}}
			})
			assert.Empty(t, r.failed, c.name)
			retried += len(r.logged)
		})
	}
	assert.Positive(t, retried)
}

func TestClockThatStandsStillIsReported(t *testing.T) {
	c := cases()[slices.IndexFunc(cases(), func(c testCase) bool { return c.name == "Now/follows the clock" })]
	synctest.Test(t, func(t *testing.T) {
		r := outcome(t.Context(), c, onRealTime("Now stands still"))
		assert.Contains(t, r.failed, "did not move on")
	})
}
