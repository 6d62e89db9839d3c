package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/okidkit/okidkit/store"
)

// faultCases are about calls of a store that fails in one of the harness's ways, and
// what there is once it works again: the whole of a change or nothing of it.
func faultCases() []testCase {
	return []testCase{
		{"Fault/a create is whole or an error", func(p *probe) {
			p.eachFault(func(key string, fault func() func()) {
				w := timed(create(1), far, p.tick)
				end := fault()
				done := p.tryTwice("Put", func() error { return p.store.Put(p.ctx, key, w) })
				end()
				p.pass(p.tick)
				there := p.there(key)
				switch due := p.isDue(key); {
				case done && !there:
					p.fail("Put of %q succeeded, and there is no record", key)
				case due != there:
					p.fail("after a Put of %q: due is %v, record is %v", key, due, there)
				}
				p.put(key, w)
				p.want(key, w)
				p.pass(p.tick)
				if !p.isDue(key) {
					p.fail("a Put of %q was repeated with success, and it is not due", key)
				}
			})
		}},
		{"Fault/a replace that clears the due time is whole or an error", func(p *probe) {
			p.eachFault(func(key string, fault func() func()) {
				p.put(key, timed(create(1), far, p.tick))
				p.pass(p.tick)
				p.replaceIn(fault, key, replace(1, 2), true)
				if p.isDue(key) {
					p.fail("a Put of %q was repeated with success, and it is still due", key)
				}
			})
		}},
		{"Fault/a replace that sets the due time is whole or an error", func(p *probe) {
			p.eachFault(func(key string, fault func() func()) {
				p.put(key, create(1))
				p.replaceIn(fault, key, timed(replace(1, 2), far, p.tick), false)
				p.pass(p.tick)
				if !p.isDue(key) {
					p.fail("a Put of %q was repeated with success, and it is not due", key)
				}
			})
		}},
		{"Fault/Delete is whole or an error", func(p *probe) {
			p.eachFault(func(key string, fault func() func()) {
				p.put(key, timed(create(1), far, p.tick))
				p.pass(p.tick)
				end := fault()
				done := p.tryTwice("Delete", func() error { return p.store.Delete(p.ctx, key) })
				end()
				there := p.there(key)
				switch due := p.isDue(key); {
				case done && there:
					p.fail("Delete of %q succeeded, and the record is there", key)
				case due != there:
					p.fail("after Delete of %q: due is %v, record is %v", key, due, there)
				}
				p.remove(key)
				p.wantNone(key)
				if p.isDue(key) {
					p.fail("%q is due, though it was deleted", key)
				}
			})
		}},
		{"Fault/an error is no absence", func(p *probe) {
			all := []string{"a", "b", "c"}
			for i, key := range all {
				p.put(key, timed(create(uint64(i+1)), far, p.tick))
			}
			p.pass(p.tick)
			p.eachFault(func(_ string, fault func() func()) {
				end := fault()
				keys, dueErr := p.store.Due(p.ctx, math.MaxInt32)
				var getErr error
				for i, key := range all {
					var rec store.Record
					if rec, getErr = p.store.Get(p.ctx, key); getErr == nil && rec.Version != uint64(i+1) {
						p.fail("Get of %q: version %d, want %d", key, rec.Version, i+1)
					}
				}
				end()
				p.checkFault("Due", dueErr)
				p.checkFault("Get", getErr)
				for _, key := range keys {
					if !slices.Contains(all, key) {
						p.fail("Due: %q, of which %q is not due", keys, key)
					}
				}
				if dueErr == nil && len(keys) != len(all) {
					p.fail("Due: %q and no error, want %q", keys, all)
				}
				p.wantDueAnyOrder(all...)
				for i, key := range all {
					p.want(key, create(uint64(i+1)))
				}
			})
		}},
	}
}

// eachFault calls f with each of the harness's faults, and a key for it.
func (p *probe) eachFault(f func(key string, fault func() (end func()))) {
	p.t.Helper()
	for i, fault := range p.harness.Faults {
		f(fmt.Sprintf("k%d", i), fault)
	}
}

// replaceIn replaces version 1 by w while there is a fault, and once again after it.
// wasDue says whether version 1 is due. If version 2 is ever, that is not yet.
func (p *probe) replaceIn(fault func() func(), key string, w store.Write, wasDue bool) {
	p.t.Helper()
	end := fault()
	done := p.tryTwice("Put", func() error { return p.store.Put(p.ctx, key, w) })
	end()
	rec, err := p.store.Get(p.ctx, key)
	switch {
	case err != nil:
		p.fail("Get of %q after a Put of it: %v", key, err)
	case done && rec.Version != w.Version:
		p.fail("Put of %q succeeded, and there is version %d", key, rec.Version)
	case rec.Version == 1 && p.isDue(key) != wasDue:
		p.fail("a Put of %q failed, and changed whether the record is due", key)
	}
	p.put(key, w)
	p.want(key, w)
}

// tryTwice makes a call that may fail, and repeats it. It reports whether it
// succeeded at last.
func (p *probe) tryTwice(op string, call func() error) (done bool) {
	p.t.Helper()
	p.timed = true
	for range 2 {
		err := call()
		p.checkFault(op, err)
		if done && err != nil {
			p.fail("%s succeeded, and its repeat did not: %v", op, err)
		}
		done = err == nil
	}
	return done
}

// checkFault says that an error is none that tells something of the record.
func (p *probe) checkFault(op string, err error) {
	p.t.Helper()
	for _, wrong := range []error{store.ErrNotFound, store.ErrConflict, store.ErrInvalid} {
		if errors.Is(err, wrong) {
			p.fail("%s of a store that fails: error %v must not wrap %v", op, err, wrong)
		}
	}
}

// there reports whether there is a record.
func (p *probe) there(key string) bool {
	p.t.Helper()
	_, err := p.store.Get(p.ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		p.fail("Get of %q: %v", key, err)
	}
	return err == nil
}

// isDue reports whether a key is due.
func (p *probe) isDue(key string) bool {
	p.t.Helper()
	return slices.Contains(p.due(math.MaxInt32), key)
}
