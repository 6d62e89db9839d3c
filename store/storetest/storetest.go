package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/okidkit/okidkit/store"
)

// Harness is a store under test, and how to treat it.
type Harness struct {
	// Store is the store. It is empty, and nobody but the case uses it: cases
	// that share a server need a prefix or a database each.
	Store store.Store

	// Advance moves the store's clock, the one that Record.Now shows, forward by
	// exactly d, and moves nothing else. Between calls the clock stands still.
	//
	// Nil means that the clock is real. The cases then use lifetimes of some
	// tens of milliseconds and wait for them to pass. What holds one millisecond
	// before an end can be seen only on a clock that stands still, and is left
	// out, and so are random lifetimes. Should the machine turn out too slow for
	// a case, by the store's clock, the case starts again with longer ones.
	Advance func(d time.Duration)

	// ApproximateOrder is set for a store that keeps its records in parts, as
	// the contract of Due allows. When more records are due than were asked for,
	// the cases then leave it to the store which ones it names, as long as all
	// of them have their turn.
	ApproximateOrder bool

	// Faults are ways in which the store can be made to fail: to have it refused some right,
	// say, or a transaction. Each begins when it is called, and lasts until what it
	// returns is called; any call may then fail or not. The cases see to it that no
	// change is done by half and nothing is taken for gone. Nil: nothing is tried.
	Faults []func() (end func())
}

// Run runs every case as a subtest, each on a store of its own from open. What
// open starts, it stops in t.Cleanup. The cases of Watch and Transact try nothing
// with a store that is no [store.Notifier] or [store.Transactor]. Run it with the race detector as well.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, func() Harness { return open(t) })
		})
	}
}

func cases() []testCase {
	return slices.Concat(recordCases(), repeatCases(), dueCases(), timeCases(), inputCases(), contextCases(), concurrencyCases(), modelCases(), watchCases(), transactCases(), faultCases())
}

type testCase struct {
	name string
	test func(p *probe)
}

// run runs the case, and again with longer lifetimes as long as the machine
// is too slow for it. The limit is for a store whose clock races.
func (c testCase) run(t reporter, open func() Harness) {
	t.Helper()
	const limit = 10 * time.Second
	for tick := 50 * time.Millisecond; ; tick *= 4 {
		p := newProbe(t, open(), tick)
		p.mayRetry = tick < limit
		if c.attempt(p) {
			return
		}
		t.Logf("the machine was too slow for lifetimes of %v; trying longer ones", tick)
	}
}

// attempt runs the case once, and reports false if that must be repeated.
func (c testCase) attempt(p *probe) (done bool) {
	p.t.Helper()
	defer func() {
		if err := recover(); err == errTooSlow {
			done = false
		} else if err != nil {
			panic(err)
		}
	}()
	c.test(p)
	return true
}

// reporter is what the cases need of [testing.T]. The suite's own tests put
// something else in its place, to see the suite fail.
type reporter interface {
	Helper()
	Context() context.Context
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}
