package storetest

import (
	"math"
	"slices"

	"github.com/okidkit/okidkit/store"
)

// recordCases are about Get, Put and Delete of records that live long enough.
func recordCases() []testCase {
	return []testCase{
		{"Get/missing", func(p *probe) {
			p.wantNone("k")
		}},
		{"Get/finds what was put", func(p *probe) {
			p.put("k", create(1))
			p.want("k", create(1))
			p.want("k", create(1))
		}},
		{"Get/caller owns the value", func(p *probe) {
			p.put("k", create(1))
			rec := p.want("k", create(1))
			scribble(rec.Value)
			p.want("k", create(1))
		}},
		{"Get/caller keeps the value", func(p *probe) {
			p.put("k", create(1))
			rec := p.want("k", create(1))
			p.put("k", replace(1, 2))
			p.remove("k")
			if string(rec.Value) != string(create(1).Value) {
				p.fail("a value changed after Get returned it: %q", rec.Value)
			}
		}},

		{"Put/creates", func(p *probe) {
			p.put("k", create(1))
			p.want("k", create(1))
		}},
		{"Put/create conflicts with a record", func(p *probe) {
			p.put("k", create(1))
			p.conflict("k", create(2))
			p.want("k", create(1))
		}},
		{"Put/replaces", func(p *probe) {
			p.put("k", create(1))
			p.put("k", replace(1, 2))
			p.want("k", replace(1, 2))
			p.put("k", replace(2, 3))
			p.want("k", replace(2, 3))
		}},
		{"Put/replace conflicts with another version", func(p *probe) {
			p.put("k", create(1))
			p.conflict("k", replace(2, 3))
			p.want("k", create(1))
		}},
		{"Put/replace conflicts with a later version", func(p *probe) {
			p.put("k", create(1))
			p.put("k", replace(1, 2))
			p.conflict("k", replace(1, 3))
			p.want("k", replace(1, 2))
		}},
		{"Put/replace conflicts with no record", func(p *probe) {
			p.conflict("k", replace(1, 2))
			p.wantNone("k")
		}},
		{"Put/replace conflicts after Delete", func(p *probe) {
			p.put("k", create(1))
			p.remove("k")
			p.conflict("k", replace(1, 2))
			p.wantNone("k")
		}},
		{"Put/create after Delete", func(p *probe) {
			p.put("k", create(1))
			p.remove("k")
			p.put("k", create(2))
			p.want("k", create(2))
		}},
		{"Put/replace conflicts with a record made anew", func(p *probe) {
			p.put("k", create(1))
			p.remove("k")
			p.put("k", create(2))
			p.conflict("k", replace(1, 3))
			p.want("k", create(2))
		}},
		{"Put/a version may be lower than the last", func(p *probe) {
			p.put("k", create(9))
			p.put("k", replace(9, 3))
			p.conflict("k", replace(9, 4))
			p.want("k", replace(9, 3))
		}},
		{"Put/a version may come back", func(p *probe) {
			p.put("k", create(1))
			p.put("k", replace(1, 2))
			p.put("k", replace(2, 1))
			p.want("k", replace(2, 1))
		}},
		{"Put/versions of all 64 bits", func(p *probe) {
			versions := []uint64{
				1, 1 << 31, 1 << 32, 1<<53 + 1, math.MaxInt64, 1 << 63, 1<<63 + 1, math.MaxUint64 - 1, math.MaxUint64,
			}
			var old uint64
			for _, v := range versions {
				p.put("k", replace(old, v))
				p.want("k", replace(old, v))
				old = v
			}
		}},
		{"Put/versions that a float64 cannot tell apart", func(p *probe) {
			for _, v := range []uint64{1<<53 + 1, 1<<63 + 1, math.MaxUint64} {
				p.put("k", create(v))
				p.conflict("k", replace(v-1, 1))
				p.conflict("k", create(v-1))
				p.want("k", create(v))
				p.put("k", replace(v, v-1))
				p.want("k", replace(v, v-1))
				p.remove("k")
			}
		}},
		{"Put/versions that an int64 takes for a sign", func(p *probe) {
			p.put("k", create(math.MaxUint64))
			p.conflict("k", replace(math.MaxInt64, 1))
			p.conflict("k", replace(1, math.MaxInt64))
			p.want("k", create(math.MaxUint64))
		}},
		{"Put/copies the value of a create", func(p *probe) {
			w := create(1)
			p.put("k", w)
			scribble(w.Value)
			p.want("k", create(1))
		}},
		{"Put/copies the value of a replace", func(p *probe) {
			p.put("k", create(1))
			w := replace(1, 2)
			p.put("k", w)
			scribble(w.Value)
			p.want("k", replace(1, 2))
		}},
		{"Put/nil and empty values", func(p *probe) {
			for i, value := range [][]byte{nil, {}} {
				w := create(uint64(i + 1))
				w.Value = value
				p.put("k", w)
				p.want("k", w)
				p.remove("k")
			}
		}},
		{"Put/an empty value replaces a full one", func(p *probe) {
			p.put("k", create(1))
			w := store.Write{Replaces: 1, Version: 2, TTL: far}
			p.put("k", w)
			p.want("k", w)
			p.put("k", replace(2, 3))
			p.want("k", replace(2, 3))
		}},
		{"Put/a shorter value replaces a longer one", func(p *probe) {
			w := create(1)
			w.Value = make([]byte, 10_000)
			p.put("k", w)
			p.put("k", replace(1, 2))
			p.want("k", replace(1, 2))
		}},
		{"Put/touches no other key", func(p *probe) {
			p.put("a", create(1))
			p.put("b", create(2))
			p.put("a", replace(1, 3))
			p.conflict("b", replace(1, 4))
			p.want("a", replace(1, 3))
			p.want("b", create(2))
		}},

		{"Delete/removes", func(p *probe) {
			p.put("k", create(1))
			p.remove("k")
			p.wantNone("k")
		}},
		{"Delete/of nothing is no error", func(p *probe) {
			p.remove("k")
			p.wantNone("k")
		}},
		{"Delete/twice is no error", func(p *probe) {
			p.put("k", create(1))
			p.remove("k")
			p.remove("k")
			p.wantNone("k")
		}},
		{"Delete/touches no other key", func(p *probe) {
			p.put("a", create(1))
			p.put("ab", create(2))
			p.put("b", create(3))
			p.remove("a")
			p.wantNone("a")
			p.want("ab", create(2))
			p.want("b", create(3))
		}},
	}
}

// scribble overwrites a slice, and what lies behind it.
func scribble(b []byte) {
	b = b[:cap(b)]
	copy(b, slices.Repeat([]byte{'#'}, len(b)))
}

// repeatCases are about a Put that was carried out, whose answer was lost, and
// that comes again.
func repeatCases() []testCase {
	return []testCase{
		{"Repeat/of a create succeeds", func(p *probe) {
			p.put("k", create(1))
			p.put("k", create(1))
			p.want("k", create(1))
		}},
		{"Repeat/of a replace succeeds", func(p *probe) {
			p.put("k", create(1))
			p.put("k", replace(1, 2))
			p.put("k", replace(1, 2))
			p.want("k", replace(1, 2))
			p.put("k", replace(2, 3))
		}},
		{"Repeat/changes no value", func(p *probe) {
			p.put("k", create(1))
			w := create(1)
			w.Value = []byte("other")
			p.put("k", w)
			p.want("k", create(1))
		}},
		{"Repeat/is known by its version alone", func(p *probe) {
			p.put("k", create(1))
			p.put("k", replace(1, 2))
			p.put("k", replace(7, 2))
			p.put("k", create(2))
			p.want("k", replace(1, 2))
		}},
		{"Repeat/does not lengthen the TTL", func(p *probe) {
			p.put("k", timed(create(1), 2*p.tick, 0))
			p.pass(p.tick)
			p.put("k", timed(create(1), 2*p.tick, 0))
			p.put("k", timed(create(1), far, 0))
			p.want("k", create(1))
			p.pass(p.tick)
			p.wantNone("k")
		}},
		{"Repeat/does not shorten the TTL", func(p *probe) {
			p.put("k", timed(create(1), far, 0))
			p.put("k", timed(create(1), p.tick, 0))
			p.pass(p.tick)
			p.want("k", create(1))
		}},
		{"Repeat/does not put off the due time", func(p *probe) {
			p.put("k", timed(create(1), far, 2*p.tick))
			p.pass(p.tick)
			p.put("k", timed(create(1), far, 2*p.tick))
			p.wantDue()
			p.pass(p.tick)
			p.wantDue("k")
		}},
		{"Repeat/does not clear the due time", func(p *probe) {
			p.put("k", timed(create(1), far, p.tick))
			p.put("k", timed(create(1), far, 0))
			p.pass(p.tick)
			p.wantDue("k")
			p.put("k", timed(create(1), far, 0))
			p.wantDue("k")
		}},
		{"Repeat/sets no due time", func(p *probe) {
			p.put("k", create(1))
			p.put("k", timed(create(1), far, p.tick))
			p.pass(p.tick)
			p.wantDue()
		}},
		{"Repeat/conflicts once somebody else wrote", func(p *probe) {
			p.put("k", create(1))
			p.put("k", replace(1, 2))
			p.put("k", replace(2, 3))
			p.conflict("k", create(1))
			p.conflict("k", replace(1, 2))
			p.want("k", replace(2, 3))
		}},
		{"Repeat/of a create after Delete creates", func(p *probe) {
			p.put("k", create(1))
			p.remove("k")
			p.put("k", create(1))
			p.want("k", create(1))
		}},
		{"Repeat/of a create after the end creates", func(p *probe) {
			p.put("k", timed(create(1), p.tick, 0))
			p.pass(p.tick)
			p.put("k", create(1))
			p.want("k", create(1))
		}},
		{"Repeat/of a replace after the end conflicts", func(p *probe) {
			p.put("k", create(1))
			p.put("k", timed(replace(1, 2), p.tick, 0))
			p.pass(p.tick)
			p.conflict("k", timed(replace(1, 2), p.tick, 0))
			p.wantNone("k")
		}},
	}
}
