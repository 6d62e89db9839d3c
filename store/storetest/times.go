package storetest

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// timeCases are about the store's clock and the end of a record.
func timeCases() []testCase {
	return []testCase{
		{"Now/follows the clock", func(p *probe) {
			p.put("k", create(1))
			before := p.want("k", create(1)).Now
			p.pass(2 * p.tick)
			after := p.want("k", create(1)).Now
			if went := after.Sub(before); went < 2*p.tick || p.movable() && went != 2*p.tick {
				p.fail("Now went on by %v, want %v", went, 2*p.tick)
			}
		}},
		{"Now/follows the clock without a record", func(p *probe) {
			before := p.now()
			p.pass(p.tick)
			if went := p.now().Sub(before); went < p.tick || p.movable() && went != p.tick {
				p.fail("Now went on by %v, want %v", went, p.tick)
			}
		}},
		{"Now/never goes back", func(p *probe) {
			p.put("k", create(1))
			last := p.now()
			for i := range 100 {
				now := p.now()
				if i%2 == 0 {
					now = p.want("k", create(1)).Now
				}
				if now.Before(last) {
					p.fail("Now went back by %v", last.Sub(now))
				}
				last = now
			}
		}},

		{"TTL/ends the record at its very instant", func(p *probe) {
			p.put("k", timed(create(1), 2*p.tick, 0))
			p.pass(p.tick)
			p.want("k", create(1))
			p.lastMoment(func() { p.want("k", create(1)) })
			p.wantNone("k")
		}},
		{"TTL/of one nanosecond", func(p *probe) {
			p.put("k", timed(create(1), 1, 0))
			if p.movable() {
				p.want("k", create(1))
			}
			p.pass(ms)
			p.wantNone("k")
		}},
		{"TTL/is never rounded down", func(p *probe) {
			p.put("k", timed(create(1), ms+1, 0))
			if p.movable() {
				p.pass(ms)
				p.want("k", create(1))
			}
			p.pass(2 * ms)
			p.wantNone("k")
		}},
		{"TTL/of years", func(p *probe) {
			const year = 365 * 24 * time.Hour
			ttls := []time.Duration{10 * year, 200 * year, math.MaxInt64 - 1, math.MaxInt64}
			for _, ttl := range ttls {
				p.put(ttl.String(), timed(create(1), ttl, 0))
			}
			p.pass(p.tick)
			for _, ttl := range ttls {
				p.want(ttl.String(), create(1))
			}
			if p.movable() {
				p.pass(10*year - p.tick - ms)
				p.want(ttls[0].String(), create(1))
				p.pass(ms)
				p.wantNone(ttls[0].String())
				p.want(ttls[1].String(), create(1))
			}
		}},
		{"TTL/of years on a replace", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.put("k", timed(replace(1, 2), math.MaxInt64, 0))
			p.pass(p.tick)
			p.want("k", replace(1, 2))
		}},
		{"TTL/is not moved by Get and Due", func(p *probe) {
			p.put("k", timed(create(1), 2*p.tick, 1))
			p.pass(p.tick)
			p.want("k", create(1))
			p.due(1)
			p.pass(p.tick)
			p.wantNone("k")
		}},
		{"TTL/is made longer by Put", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.put("k", timed(replace(1, 2), 3*p.tick, 0))
			p.pass(2 * p.tick)
			p.want("k", replace(1, 2))
			p.pass(p.tick)
			p.wantNone("k")
		}},
		{"TTL/is made shorter by Put", func(p *probe) {
			p.put("k", timed(create(1), far, 0))
			p.put("k", timed(replace(1, 2), p.tick, 0))
			p.pass(p.tick)
			p.wantNone("k")
		}},
		{"TTL/counts from the last Put", func(p *probe) {
			p.put("k", timed(create(1), 2*p.tick, 0))
			p.pass(p.tick)
			p.put("k", timed(replace(1, 2), 2*p.tick, 0))
			p.pass(p.tick)
			p.want("k", replace(1, 2))
			p.pass(p.tick)
			p.wantNone("k")
		}},
		{"TTL/is not touched by a conflict", func(p *probe) {
			p.put("longer", timed(create(1), p.tick, 0))
			p.conflict("longer", timed(replace(8, 9), far, 0))
			p.put("shorter", timed(create(1), far, 0))
			p.conflict("shorter", timed(replace(8, 9), p.tick, 0))
			p.pass(p.tick)
			p.wantNone("longer")
			p.want("shorter", create(1))
		}},
		{"TTL/is each record's own", func(p *probe) {
			p.put("a", timed(create(1), p.tick, 0))
			p.put("b", timed(create(1), 3*p.tick, 0))
			p.put("c", timed(create(1), far, 0))
			p.pass(2 * p.tick)
			p.wantNone("a")
			p.want("b", create(1))
			p.pass(p.tick)
			p.wantNone("b")
			p.want("c", create(1))
		}},
		{"TTL/of a deleted record does not end its successor", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.remove("k")
			p.put("k", create(2))
			p.pass(p.tick)
			p.want("k", create(2))
		}},
		{"TTL/of an expired record does not end its successor", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.pass(p.tick)
			p.put("k", create(2))
			p.pass(p.tick)
			p.want("k", create(2))
		}},

		{"Expired/is replaced by a create", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.pass(p.tick)
			p.put("k", create(2))
			p.want("k", create(2))
		}},
		{"Expired/conflicts with a replace", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.pass(p.tick)
			p.conflict("k", replace(1, 2))
			p.wantNone("k")
		}},
		{"Expired/is deleted without error", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.pass(p.tick)
			p.remove("k")
			p.wantNone("k")
		}},
		{"Expired/does not come back", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.pass(p.tick)
			for range 3 {
				p.wantNone("k")
				p.put("other", create(1))
				p.due(1)
			}
		}},
	}
}

// lastMoment lets a tick pass, and calls check one millisecond before its end
// if the clock can be stopped there.
func (p *probe) lastMoment(check func()) {
	p.t.Helper()
	if !p.movable() {
		p.pass(p.tick)
		return
	}
	p.pass(p.tick - ms)
	check()
	p.pass(ms)
}

// dueCases are about Due.
func dueCases() []testCase {
	return []testCase{
		{"Due/nothing", func(p *probe) {
			p.wantDue()
		}},
		{"Due/never without a due time", func(p *probe) {
			p.put("k", create(1))
			p.pass(2 * p.tick)
			p.wantDue()
		}},
		{"Due/at its very instant", func(p *probe) {
			p.put("k", timed(create(1), far, 2*p.tick))
			p.wantDue()
			p.pass(p.tick)
			p.wantDue()
			p.lastMoment(func() { p.wantDue() })
			p.wantDue("k")
		}},
		{"Due/in one nanosecond", func(p *probe) {
			p.put("k", timed(create(1), far, 1))
			if p.movable() {
				p.wantDue()
			}
			p.pass(ms)
			p.wantDue("k")
		}},
		{"Due/in years", func(p *probe) {
			p.put("a", timed(create(1), math.MaxInt64, math.MaxInt64))
			p.put("b", timed(create(1), math.MaxInt64, math.MaxInt64-1))
			p.put("c", timed(create(1), math.MaxInt64, 200*365*24*time.Hour))
			p.put("d", timed(create(1), far, math.MaxInt64))
			p.wantDue()
			p.pass(p.tick)
			p.wantDue()
			p.want("a", create(1))
			p.want("d", create(1))
		}},
		{"Due/stays due", func(p *probe) {
			p.put("k", timed(create(1), far, p.tick))
			p.pass(p.tick)
			for range 3 {
				p.wantDue("k")
				p.want("k", create(1))
			}
			p.pass(p.tick)
			p.wantDue("k")
		}},
		{"Due/the longest first", func(p *probe) {
			// Neither the order of the keys nor that of the writes.
			p.put("b", timed(create(1), far, 3*p.tick))
			p.put("d", timed(create(1), far, p.tick))
			p.put("a", timed(create(1), far, 4*p.tick))
			p.put("c", timed(create(1), far, 2*p.tick))
			p.pass(p.tick)
			p.wantDue("d")
			p.pass(2 * p.tick)
			p.wantDue("d", "c", "b")
			p.pass(p.tick)
			p.wantDue("d", "c", "b", "a")
		}},
		{"Due/the longest first after changes", func(p *probe) {
			for i, key := range []string{"a", "b", "c", "d", "e"} {
				p.put(key, timed(create(1), far, time.Duration(i+1)*p.tick))
			}
			p.put("a", timed(replace(1, 2), far, 6*p.tick))
			p.put("e", timed(replace(1, 2), far, p.tick))
			p.remove("c")
			p.pass(6 * p.tick)
			p.wantDue("e", "b", "d", "a")
		}},
		{"Due/keeps to the limit", func(p *probe) {
			keys := []string{"d", "c", "b", "a"}
			for i, key := range keys {
				p.put(key, timed(create(1), far, time.Duration(i+1)*p.tick))
			}
			p.pass(4 * p.tick)
			for limit := 1; limit <= len(keys); limit++ {
				got := p.due(limit)
				if len(got) != limit {
					p.fail("Due(%d) with 4 due: %q", limit, got)
				}
				if !p.harness.ApproximateOrder && !slices.Equal(got, keys[:limit]) {
					p.fail("Due(%d): %q, want %q", limit, got, keys[:limit])
				}
			}
		}},
		{"Due/a limit beyond all", func(p *probe) {
			p.put("k", timed(create(1), far, p.tick))
			p.pass(p.tick)
			for _, limit := range []int{1, 2, 1000, math.MaxInt32, math.MaxInt} {
				if got := p.due(limit); !slices.Equal(got, []string{"k"}) {
					p.fail("Due(%d): %q, want %q", limit, got, "k")
				}
			}
		}},
		{"Due/many at the same instant", func(p *probe) {
			var keys []string
			for i := range 100 {
				keys = append(keys, fmt.Sprintf("k%d", i))
				p.put(keys[i], timed(create(1), far, p.tick))
			}
			p.pass(2 * p.tick)
			p.wantDueAnyOrder(keys...)
		}},
		{"Due/passes nobody over", func(p *probe) {
			const n = 60
			for i := range n {
				p.put(fmt.Sprintf("k%d", i), timed(create(1), far, time.Duration(1+i%3)*p.tick/3))
				p.put(fmt.Sprintf("later%d", i), timed(create(1), far, far/2))
			}
			p.pass(p.tick)
			seen := map[string]bool{}
			for len(seen) < n {
				keys := p.due(7)
				if len(keys) == 0 {
					p.fail("Due: nothing, after %d of %d", len(seen), n)
				}
				for _, key := range keys {
					if seen[key] {
						p.fail("Due: %q again, after it was put off", key)
					}
					seen[key] = true
					p.put(key, timed(replace(1, 2), far, far/2))
				}
			}
			p.wantDue()
		}},
		{"Due/is cleared by Put", func(p *probe) {
			p.put("before", timed(create(1), far, p.tick))
			p.put("before", replace(1, 2))
			p.put("after", timed(create(1), far, p.tick))
			p.pass(p.tick)
			p.wantDue("after")
			p.put("after", replace(1, 2))
			p.wantDue()
			p.pass(p.tick)
			p.wantDue()
			p.want("before", replace(1, 2))
		}},
		{"Due/is put off by Put", func(p *probe) {
			p.put("k", timed(create(1), far, p.tick))
			p.put("k", timed(replace(1, 2), far, 3*p.tick))
			p.pass(2 * p.tick)
			p.wantDue()
			p.pass(p.tick)
			p.wantDue("k")
			p.put("k", timed(replace(2, 3), far, p.tick))
			p.wantDue()
			p.pass(p.tick)
			p.wantDue("k")
		}},
		{"Due/is brought forward by Put", func(p *probe) {
			p.put("k", timed(create(1), far, 9*p.tick))
			p.put("k", timed(replace(1, 2), far, p.tick))
			p.pass(p.tick)
			p.wantDue("k")
		}},
		{"Due/is set by a later Put", func(p *probe) {
			p.put("k", create(1))
			p.put("k", timed(replace(1, 2), far, p.tick))
			p.pass(p.tick)
			p.wantDue("k")
		}},
		{"Due/is not touched by a conflict", func(p *probe) {
			p.put("cleared", timed(create(1), far, p.tick))
			p.conflict("cleared", replace(8, 9))
			p.put("put off", timed(create(1), far, 2*p.tick))
			p.conflict("put off", timed(create(9), far, far))
			p.put("set", create(1))
			p.conflict("set", timed(replace(8, 9), far, p.tick))
			p.conflict("missing", timed(replace(8, 9), far, p.tick))
			p.pass(2 * p.tick)
			p.wantDue("cleared", "put off")
		}},
		{"Due/ends with Delete", func(p *probe) {
			p.put("before", timed(create(1), far, p.tick))
			p.put("after", timed(create(1), far, p.tick))
			p.remove("before")
			p.pass(p.tick)
			p.wantDue("after")
			p.remove("after")
			p.wantDue()
		}},
		{"Due/of a deleted record does not come back", func(p *probe) {
			p.put("k", timed(create(1), far, p.tick))
			p.remove("k")
			p.put("k", create(2))
			p.pass(p.tick)
			p.wantDue()
		}},
		{"Due/ends with the record", func(p *probe) {
			p.put("a", timed(create(1), 2*p.tick, p.tick))
			p.put("b", timed(create(1), far, p.tick))
			p.pass(p.tick)
			p.wantDueAnyOrder("a", "b")
			p.lastMoment(func() { p.wantDueAnyOrder("a", "b") })
			p.wantDue("b")
			p.wantDue("b")
		}},
		{"Due/expired records take no place under the limit", func(p *probe) {
			for i := range 20 {
				p.put(fmt.Sprintf("gone%d", i), timed(create(1), 2*p.tick, p.tick/2))
			}
			p.put("k", timed(create(1), far, p.tick))
			p.pass(2 * p.tick)
			if got := p.due(1); !slices.Equal(got, []string{"k"}) {
				p.fail("Due(1): %q, want %q", got, "k")
			}
		}},
		{"Due/never at the end or after it", func(p *probe) {
			p.put("at", timed(create(1), p.tick, p.tick))
			p.put("after", timed(create(1), p.tick, 2*p.tick))
			p.pass(p.tick)
			p.wantDue()
			p.pass(p.tick)
			p.wantDue()
		}},
		{"Due/of an expired record does not come back", func(p *probe) {
			p.put("k", timed(create(1), p.tick, p.tick/2))
			p.pass(p.tick)
			p.put("k", create(2))
			p.pass(p.tick)
			p.wantDue()
		}},
		{"Due/names a key once after many writes", func(p *probe) {
			p.put("k", timed(create(1), far, p.tick))
			for v := uint64(1); v < 20; v++ {
				p.put("k", timed(replace(v, v+1), far, p.tick))
			}
			p.pass(p.tick)
			p.wantDue("k")
		}},
		{"Due/caller owns the keys", func(p *probe) {
			p.put("a", timed(create(1), far, p.tick))
			p.put("b", timed(create(1), far, 2*p.tick))
			p.pass(2 * p.tick)
			for _, keys := range [][]string{p.due(2), p.due(5)} {
				keys = keys[:cap(keys)]
				for i := range keys {
					keys[i] = "mine"
				}
			}
			p.wantDue("a", "b")
		}},
	}
}
