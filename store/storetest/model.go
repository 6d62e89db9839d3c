package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/okidkit/okidkit/store"
)

// modelCases make random calls, and compare each answer with that of a model.
func modelCases() []testCase {
	var cases []testCase
	for seed := range uint64(8) {
		cases = append(cases, testCase{fmt.Sprintf("Random/seed %d", seed), func(p *probe) {
			m := model{probe: p, rand: rand.New(rand.NewPCG(seed, 0)), records: map[string]modelRecord{}}
			for range 400 {
				m.step()
			}
		}})
	}
	return cases
}

// model is the contract in its simplest form: a map, and a clock that starts at
// zero and moves with the store's.
type model struct {
	*probe
	rand    *rand.Rand
	now     time.Duration
	records map[string]modelRecord
	log     []string
}

type modelRecord struct {
	write    store.Write
	end, due time.Duration // due 0: never
}

// step makes one call and compares. Keys and versions are few, so that
// conflicts, repeats and returning versions are common.
func (m *model) step() {
	key := fmt.Sprintf("k%d", m.rand.IntN(5))
	switch n := m.rand.IntN(100); {
	case n < 50:
		m.putRandom(key)
	case n < 60:
		m.note("Delete(%s)", key)
		m.remove(key)
		delete(m.records, key)
	case n < 75 && m.movable():
		d := time.Duration(m.rand.IntN(5)) * ms
		m.note("%v pass", d)
		m.pass(d)
		m.now += d
	case n < 90:
		m.compareDue(1 + m.rand.IntN(6))
	}
	m.compare(key)
}

func (m *model) putRandom(key string) {
	old, exists := m.live(key)
	w := store.Write{Value: fmt.Appendf(nil, "%x", m.rand.Uint32()), Replaces: old.write.Version, TTL: far}
	if m.rand.IntN(4) == 0 {
		w.Replaces = m.rand.Uint64N(8)
	}
	for w.Version = w.Replaces; w.Version == w.Replaces; {
		w.Version = 1 + m.rand.Uint64N(7)
	}
	if m.movable() {
		w.TTL = time.Duration(1+m.rand.IntN(12)) * ms
		w.DueIn = time.Duration(max(0, m.rand.IntN(8)-2)) * ms
	}

	m.note("Put(%s, version %d to %d, TTL %v, due in %v)", key, w.Replaces, w.Version, w.TTL, w.DueIn)
	err := m.store.Put(m.ctx, key, w)
	switch {
	case exists && old.write.Version == w.Version:
		m.check(err == nil, "a repeat: error %v", err)
	case old.write.Version != w.Replaces:
		m.check(errors.Is(err, store.ErrConflict), "error %v, want ErrConflict", err)
	default:
		m.check(err == nil, "error %v, want success", err)
		rec := modelRecord{write: w, end: m.now + w.TTL}
		if w.DueIn > 0 {
			rec.due = m.now + w.DueIn
		}
		m.records[key] = rec
	}
}

// compare says that the record at key is the model's.
func (m *model) compare(key string) {
	got, err := m.store.Get(m.ctx, key)
	if want, ok := m.live(key); ok {
		m.check(err == nil, "Get(%s): %v, want version %d", key, err, want.write.Version)
		m.check(got.Version == want.write.Version, "Get(%s): version %d, want %d", key, got.Version, want.write.Version)
		m.check(string(got.Value) == string(want.write.Value), "Get(%s): value %q, want %q", key, got.Value, want.write.Value)
	} else {
		m.check(errors.Is(err, store.ErrNotFound), "Get(%s): version %d, error %v, want ErrNotFound", key, got.Version, err)
	}
}

// compareDue says that Due names the right keys. The order of those that are due
// at the same instant is the store's.
func (m *model) compareDue(limit int) {
	var want []time.Duration
	for key := range m.records {
		if rec, ok := m.live(key); ok && rec.due > 0 && rec.due <= m.now {
			want = append(want, rec.due)
		}
	}
	slices.SortFunc(want, cmp.Compare)
	m.note("Due(%d)", limit)
	got := m.due(limit)
	m.check(len(got) == min(limit, len(want)), "%q: want %d of %d keys", got, limit, len(want))
	for i, key := range got {
		rec, ok := m.live(key)
		m.check(ok && rec.due > 0 && rec.due <= m.now, "%q is not due", key)
		m.check(m.harness.ApproximateOrder || rec.due == want[i], "%q is in the wrong order", got)
	}
}

func (m *model) live(key string) (modelRecord, bool) {
	rec, ok := m.records[key]
	if !ok || rec.end <= m.now {
		return modelRecord{}, false
	}
	return rec, true
}

func (m *model) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *model) check(ok bool, format string, args ...any) {
	if !ok {
		last := m.log[max(0, len(m.log)-15):]
		m.fail("after %d calls, the last ones\n\t%s\n%s", len(m.log), strings.Join(last, "\n\t"), fmt.Sprintf(format, args...))
	}
}
