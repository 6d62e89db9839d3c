package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/okidkit/okidkit/store"
)

const (
	ms = time.Millisecond
	// far is a lifetime that no case sees the end of.
	far = 24 * time.Hour
	// clockKey is never written to: Get of it tells the time.
	clockKey = "clock"
)

// probe calls a store on behalf of one case, and ends the case when the store
// does not answer as it must.
type probe struct {
	t       reporter
	ctx     context.Context
	store   store.Store
	harness Harness

	// tick is the unit of every lifetime. A case may take for granted that it
	// needs less than half of one for everything but the passing of time.
	tick   time.Duration
	opened time.Time
	passed time.Duration
	// timed is set once a record has an end or a due time that the case may see.
	timed    bool
	mayRetry bool
}

// errTooSlow is what a case about time panics with when it fails, and more time
// went by than it had asked for.
var errTooSlow = errors.New("too slow")

func newProbe(t reporter, h Harness, tick time.Duration) *probe {
	p := &probe{t: t, ctx: t.Context(), store: h.Store, harness: h, tick: tick}
	if p.movable() {
		p.tick = time.Minute
		// From a whole millisecond on, no store has anything to round.
		if now := p.now(); !now.Equal(now.Truncate(ms)) {
			h.Advance(now.Truncate(ms).Add(ms).Sub(now))
		}
	}
	p.opened = p.now()
	return p
}

func (p *probe) movable() bool { return p.harness.Advance != nil }

// fail ends the case.
func (p *probe) fail(format string, args ...any) {
	p.t.Helper()
	if p.mayRetry && !p.movable() && p.timed {
		rec, _ := p.store.Get(p.ctx, clockKey)
		if rec.Now.Sub(p.opened)-p.passed > p.tick/2 {
			panic(errTooSlow)
		}
	}
	p.t.Fatalf(format, args...)
}

// now is the store's clock.
func (p *probe) now() time.Time {
	p.t.Helper()
	rec, err := p.store.Get(p.ctx, clockKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		p.t.Fatalf("Get of a missing record: %v", err)
	}
	return rec.Now
}

// pass lets d go by on the store's clock: exactly d if the clock can be moved,
// and else at least d and what a store may round it up by.
func (p *probe) pass(d time.Duration) {
	p.t.Helper()
	if p.movable() {
		p.harness.Advance(d)
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, d+time.Minute)
	defer cancel()
	poll := time.NewTicker(ms)
	defer poll.Stop()
	p.passed += d + ms
	for end := p.now().Add(d + ms); p.now().Before(end); {
		select {
		case <-poll.C:
		case <-ctx.Done():
			p.fail("the store's clock did not move on by %v: %v", d, ctx.Err())
		}
	}
}

// create is a write of a record that was not there; its value tells the version.
func create(version uint64) store.Write { return replace(0, version) }

// replace is a write of a record that was at version old.
func replace(old, version uint64) store.Write {
	return store.Write{Value: fmt.Appendf(nil, "value %d", version), Replaces: old, Version: version, TTL: far}
}

// timed is w with another lifetime and due time.
func timed(w store.Write, ttl, dueIn time.Duration) store.Write {
	w.TTL, w.DueIn = ttl, dueIn
	return w
}

// put must succeed.
func (p *probe) put(key string, w store.Write) {
	p.t.Helper()
	p.timed = p.timed || w.TTL < far || w.DueIn > 0
	if err := p.store.Put(p.ctx, key, w); err != nil {
		p.fail("Put of %q, version %d to %d: %v, want success", short(key), w.Replaces, w.Version, err)
	}
}

// conflict is a Put that must be refused.
func (p *probe) conflict(key string, w store.Write) {
	p.t.Helper()
	if err := p.store.Put(p.ctx, key, w); !errors.Is(err, store.ErrConflict) {
		p.fail("Put of %q, version %d to %d: %v, want ErrConflict", short(key), w.Replaces, w.Version, err)
	}
}

// remove must succeed.
func (p *probe) remove(key string) {
	p.t.Helper()
	if err := p.store.Delete(p.ctx, key); err != nil {
		p.fail("Delete of %q: %v, want success", short(key), err)
	}
}

// want says that the record at key is the one that w wrote.
func (p *probe) want(key string, w store.Write) store.Record {
	p.t.Helper()
	rec, err := p.store.Get(p.ctx, key)
	switch {
	case err != nil:
		p.fail("Get of %q: %v, want the record of version %d", short(key), err, w.Version)
	case rec.Version != w.Version:
		p.fail("Get of %q: version %d, want %d", short(key), rec.Version, w.Version)
	case !bytes.Equal(rec.Value, w.Value):
		p.fail("Get of %q: value %q, want %q", short(key), short(string(rec.Value)), short(string(w.Value)))
	case rec.Now.IsZero():
		p.fail("Get of %q: Now is not set", short(key))
	}
	return rec
}

// wantNone says that there is no record at key.
func (p *probe) wantNone(key string) {
	p.t.Helper()
	rec, err := p.store.Get(p.ctx, key)
	switch {
	case !errors.Is(err, store.ErrNotFound):
		p.fail("Get of %q: version %d and error %v, want ErrNotFound", short(key), rec.Version, err)
	case rec.Version != 0 || len(rec.Value) > 0:
		p.fail("Get of %q: version %d and %d bytes beside ErrNotFound, want none", short(key), rec.Version, len(rec.Value))
	case rec.Now.IsZero():
		p.fail("Get of %q: Now is not set beside ErrNotFound", short(key))
	}
}

// due must succeed, keep to the limit and name no key twice.
func (p *probe) due(limit int) []string {
	p.t.Helper()
	keys, err := p.store.Due(p.ctx, limit)
	if err != nil {
		p.fail("Due(%d): %v, want success", limit, err)
	}
	if len(keys) > limit {
		p.fail("Due(%d): %d keys", limit, len(keys))
	}
	sorted := slices.Sorted(slices.Values(keys))
	if len(slices.Compact(sorted)) != len(keys) {
		p.fail("Due(%d): %q names a key twice", limit, keys)
	}
	return keys
}

// wantDue says that these records are due, in this order as far as the store
// promises one, and no others.
func (p *probe) wantDue(want ...string) {
	p.t.Helper()
	got := p.due(math.MaxInt32)
	if p.harness.ApproximateOrder {
		slices.Sort(got)
		want = slices.Sorted(slices.Values(want))
	}
	if !slices.Equal(got, want) {
		p.fail("Due: %q, want %q", got, want)
	}
}

// wantDueAnyOrder is wantDue for records that are due at the same instant.
func (p *probe) wantDueAnyOrder(want ...string) {
	p.t.Helper()
	got := slices.Sorted(slices.Values(p.due(math.MaxInt32)))
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		p.fail("Due: %q, want %q in any order", got, want)
	}
}

// short cuts what would fill the screen.
func short(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
