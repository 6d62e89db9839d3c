package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/okidkit/okidkit/store"
)

// flawed is a store that is simple and right, but for one named flaw. With the
// flaw "" it has none.
type flawed struct {
	flaw string
	now  func() time.Time

	mu      sync.Mutex
	records map[string]flawedRecord
	puts    int
	first   map[string]time.Time // flaw "due survives": due times ever set
	ends    map[string]time.Time // flaw "TTL survives": ends ever set
	last    []string
	watches []*flawedWatch
	broken  bool // has a fault: every call fails
}

var errBroken = errors.New("broken")

// fault is the store's one way to fail.
func (f *flawed) fault() func() {
	f.setBroken(true)
	return func() { f.setBroken(false) }
}

func (f *flawed) setBroken(broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = broken
}

type flawedWatch struct {
	key  string
	c    chan struct{}
	told int
}

type flawedRecord struct {
	value   []byte
	version uint64
	end     time.Time
	due     time.Time // zero: never
	made    int
}

func newFlawed(flaw string, now func() time.Time) *flawed {
	return &flawed{
		flaw: flaw, now: now, records: map[string]flawedRecord{}, first: map[string]time.Time{}, ends: map[string]time.Time{},
	}
}

func (f *flawed) is(flaw string) bool { return f.flaw == flaw }

// race lets the other goroutines in between a read and the write made from it.
func (f *flawed) race() {
	if f.is("no lock around CAS") {
		f.mu.Unlock()
		for range 10 {
			yield()
		}
		f.mu.Lock()
	}
}

func (f *flawed) key(key string) string {
	switch f.flaw {
	case "keys cut at NUL":
		key, _, _ = strings.Cut(key, "\x00")
	case "keys trimmed":
		key = strings.TrimSpace(key)
	case "keys folded":
		key = strings.ToLower(key)
	case "keys made UTF-8":
		key = strings.ToValidUTF8(key, "?")
	case "keys cut at 200":
		key = key[:min(len(key), 200)]
	case "keys read as hash tags":
		if _, tag, ok := strings.Cut(key, "{"); ok {
			if tag, _, ok := strings.Cut(tag, "}"); ok {
				key = tag
			}
		}
	case "one key":
		key = "k"
	}
	return key
}

func (f *flawed) version(v uint64) uint64 {
	switch f.flaw {
	case "versions as float64":
		return uint64(float64(v) / 2) // 2^64 does not fit back
	case "versions of 63 bits":
		return v & math.MaxInt64
	case "versions of 32 bits":
		return v & math.MaxUint32
	}
	return v
}

func (f *flawed) live(key string, now time.Time) (flawedRecord, bool) {
	r, ok := f.records[f.key(key)]
	end := r.end
	switch f.flaw {
	case "TTL ignored":
		return r, ok
	case "lives at its end":
		return r, ok && !now.After(end)
	case "lives too long":
		end = end.Add(time.Second)
	case "ends early":
		end = end.Add(-ms / 2)
	}
	return r, ok && now.Before(end)
}

func (f *flawed) check(ctx context.Context, err error) error {
	if err != nil && !f.is("invalid accepted") {
		if f.is("invalid is another error") {
			return errors.New("bad call")
		}
		return err
	}
	if f.is("context ignored") {
		return nil
	}
	if f.is("context error not wrapped") && ctx.Err() != nil {
		return errors.New("context ended")
	}
	if f.is("context cause only") && ctx.Err() != nil {
		return context.Canceled
	}
	return ctx.Err()
}

func (f *flawed) Get(ctx context.Context, key string) (store.Record, error) {
	if f.is("panics") {
		panic("flawed")
	}
	if err := f.check(ctx, store.CheckKey(key)); err != nil {
		return store.Record{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	r, ok := f.live(key, now)
	switch {
	case f.broken && f.is("fault is an absence"):
		return store.Record{Now: now}, store.ErrNotFound
	case f.broken:
		return store.Record{}, errBroken
	}
	switch f.flaw {
	case "Get lengthens":
		if ok {
			r.end = r.end.Add(far)
			f.records[f.key(key)] = r
		}
	case "Get clears due":
		r.due = time.Time{}
		if ok {
			f.records[f.key(key)] = r
		}
	}
	shown := now
	switch f.flaw {
	case "Now stands still":
		shown = time.Unix(1, 0)
	case "Now goes back":
		f.puts++
		shown = now.Add(-time.Duration(f.puts%2) * time.Second)
	}
	if !ok {
		switch f.flaw {
		case "no Now with ErrNotFound":
			shown = time.Time{}
		case "missing is no error":
			return store.Record{Now: shown}, nil
		case "missing is another error":
			return store.Record{Now: shown}, errors.New("missing")
		case "old record with ErrNotFound":
			return store.Record{Now: shown, Version: r.version, Value: r.value}, store.ErrNotFound
		}
		return store.Record{Now: shown}, store.ErrNotFound
	}
	if f.is("no Now with a record") {
		shown = time.Time{}
	}
	value := r.value
	if !f.is("value not copied out") {
		value = bytes.Clone(value)
	}
	switch f.flaw {
	case "values cut at NUL":
		value, _, _ = bytes.Cut(value, []byte{0})
	case "values trimmed":
		value = bytes.TrimSpace(value)
	case "values made UTF-8":
		value = bytes.ToValidUTF8(value, nil)
	case "values cut at 64 KiB":
		value = value[:min(len(value), 1<<16)]
	case "values as numbers":
		value = bytes.TrimLeft(value, "0")
	case "null values dropped":
		if string(value) == "null" {
			value = nil
		}
	}
	return store.Record{Value: value, Version: r.version, Now: shown}, nil
}

func (f *flawed) Put(ctx context.Context, key string, w store.Write) error {
	if f.is("every Put fails") {
		return errors.New("full")
	}
	if f.is("empty values refused") && len(w.Value) == 0 {
		return store.ErrInvalid
	}
	if err := f.check(ctx, w.Check(key)); err != nil {
		if f.is("ended Put takes place") && ctx.Err() != nil {
			_ = f.Put(context.WithoutCancel(ctx), key, w)
		}
		if f.is("invalid Put ends the record") && !errors.Is(err, ctx.Err()) {
			_ = f.Delete(context.WithoutCancel(ctx), "k")
		}
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.is("Watch signals before the change") {
		f.signal(key)
		f.mu.Unlock()
		for range 100 {
			yield()
		}
		f.mu.Lock()
	}
	now := f.now()
	r, ok := f.live(key, now)
	if f.is("expired counts as a record") {
		r, ok = f.records[f.key(key)]
	}
	f.race()

	w.Version, w.Replaces = f.version(w.Version), f.version(w.Replaces)
	if f.broken && !(ok && r.version == w.Version) {
		switch f.flaw {
		case "half a Put has no due time": // what the repeat takes for its own work
			if ok && r.version == w.Replaces || !ok && w.Replaces == 0 {
				f.records[f.key(key)] = flawedRecord{value: bytes.Clone(w.Value), version: w.Version, end: now.Add(w.TTL)}
			}
		case "half a Put keeps the due time":
			if ok && r.version == w.Replaces {
				f.records[f.key(key)] = flawedRecord{value: bytes.Clone(w.Value), version: w.Version, end: now.Add(w.TTL), due: r.due}
			}
		case "half a Put clears the due time":
			if ok {
				r.due = time.Time{}
				f.records[f.key(key)] = r
			}
		case "fault is a conflict":
			return store.ErrConflict
		case "fault is a success":
			return nil
		}
		return errBroken
	}
	switch {
	case ok && r.version == w.Version && !f.is("repeat conflicts") && !f.is("no CAS"):
		if f.is("repeat compares Replaces") && r.made != int(w.Replaces) {
			return store.ErrConflict
		}
		switch f.flaw {
		case "repeat is written again":
			r.value, r.end, r.due = bytes.Clone(w.Value), now.Add(w.TTL), time.Time{}
			if w.DueIn > 0 {
				r.due = now.Add(w.DueIn)
			}
			f.records[f.key(key)] = r
		case "repeat conflicts silently":
			return store.ErrInvalid
		}
		return nil
	case f.is("no CAS"):
	case f.is("repeat of any version") && ok && w.Version < r.version:
		return nil
	case !ok && w.Replaces == 0, ok && r.version == w.Replaces:
	case f.is("replace creates") && !ok:
	case f.is("create overwrites") && w.Replaces == 0:
	case f.is("versions must rise") && ok && w.Version > r.version && w.Replaces != 0:
	default:
		switch f.flaw {
		case "conflict moves the times":
			if ok {
				r.end, r.due = now.Add(w.TTL), time.Time{}
				if w.DueIn > 0 {
					r.due = now.Add(w.DueIn)
				}
				f.records[f.key(key)] = r
			}
		case "conflict writes":
			r.value = bytes.Clone(w.Value)
			r.end = now.Add(far)
			f.records[f.key(key)] = r
		case "conflict is no error":
			return nil
		case "conflict is another error":
			return errors.New("conflict")
		}
		return store.ErrConflict
	}
	if f.is("versions must rise") && ok && w.Version < r.version {
		return store.ErrConflict
	}

	f.puts++
	next := flawedRecord{value: w.Value, version: w.Version, end: now.Add(w.TTL), made: int(w.Replaces)}
	if f.is("value joins the last") {
		next.value = append(bytes.Clone(w.Value), r.value[min(len(r.value), len(w.Value)):]...)
	} else if !f.is("value not copied in") {
		next.value = bytes.Clone(w.Value)
	}
	if f.is("nil value keeps the last") && len(w.Value) == 0 {
		next.value = r.value
	}
	if w.DueIn > 0 {
		next.due = now.Add(w.DueIn)
	}
	switch f.flaw {
	case "TTL in seconds, rounded down":
		next.end = now.Add(w.TTL.Truncate(time.Second))
	case "TTL in milliseconds, rounded down":
		next.end = now.Add(w.TTL.Truncate(ms))
	case "TTL at least a second":
		next.end = now.Add(max(w.TTL, time.Second))
	case "TTL overflows":
		next.end = time.Unix(0, now.UnixNano()+int64(w.TTL))
	case "TTL at most a year":
		next.end = now.Add(min(w.TTL, 365*24*time.Hour))
	case "due overflows":
		if w.DueIn > 0 {
			next.due = time.Unix(0, now.UnixNano()+int64(w.DueIn))
		}
	case "TTL not replaced":
		if ok {
			next.end = r.end
		}
	case "TTL never shortened":
		if ok && r.end.After(next.end) {
			next.end = r.end
		}
	case "TTL survives":
		if first, ok := f.ends[f.key(key)]; ok {
			next.end = first
		}
		f.ends[f.key(key)] = next.end
	case "due not replaced":
		if !r.due.IsZero() {
			next.due = r.due
		}
	case "due not cleared":
		if next.due.IsZero() {
			next.due = r.due
		}
	case "due never brought forward":
		if !next.due.IsZero() && r.due.After(next.due) {
			next.due = r.due
		}
	case "due only on create":
		if ok {
			next.due = r.due
		}
	case "due survives":
		if next.due.IsZero() {
			next.due = f.first[f.key(key)]
		}
		f.first[f.key(key)] = next.due
	case "due in seconds":
		if w.DueIn > 0 {
			next.due = now.Add(w.DueIn.Truncate(time.Second))
		}
	case "due at once":
		if w.DueIn > 0 {
			next.due = now
		}
	case "due without a due time":
		next.due = now.Add(w.DueIn)
	}
	f.records[f.key(key)] = next
	if (!ok || !f.is("Watch misses a replace")) && (ok || !f.is("Watch misses a create")) && !f.is("Watch signals before the change") {
		f.signal(key)
	}
	if f.is("answer lost") {
		return errors.New("answer lost")
	}
	if f.is("create reads its version back") && w.Replaces == 0 {
		f.mu.Unlock()
		for range 10 {
			yield()
		}
		f.mu.Lock()
		if f.records[f.key(key)].version != w.Version {
			return store.ErrConflict
		}
	}
	return nil
}

func (f *flawed) Delete(ctx context.Context, key string) error {
	if err := f.check(ctx, store.CheckKey(key)); err != nil {
		if f.is("ended Delete takes place") && ctx.Err() != nil {
			_ = f.Delete(context.WithoutCancel(ctx), key)
		}
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.live(key, f.now())
	if f.broken {
		switch f.flaw {
		case "half a Delete clears the due time":
			r.due = time.Time{}
			f.records[f.key(key)] = r
		case "fault is an absence":
			return nil
		}
		return errBroken
	}
	switch {
	case f.is("Delete of nothing fails") && !ok:
		return store.ErrNotFound
	case f.is("Delete does nothing"):
		return nil
	case f.is("Delete keeps due"):
		f.first[key] = r.due
	case f.is("Delete by prefix"):
		for k := range f.records {
			if strings.HasPrefix(k, key) {
				delete(f.records, k)
			}
		}
	}
	delete(f.records, f.key(key))
	if !f.is("Watch misses Delete") {
		f.signal(key)
	}
	return nil
}

func (f *flawed) Watch(ctx context.Context, key string) (<-chan struct{}, error) {
	if f.is("Watch fails") {
		return nil, errors.New("not now")
	}
	if err := f.check(ctx, store.CheckKey(key)); err != nil {
		return nil, err
	}
	w := &flawedWatch{key: f.key(key), c: make(chan struct{}, 1)}
	if f.is("Watch has no room") {
		w.c = make(chan struct{})
	}
	if !f.is("Watch begins in silence") {
		select {
		case w.c <- struct{}{}:
		default:
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.is("Watch once for a key") && slices.ContainsFunc(f.watches, func(o *flawedWatch) bool { return o.key == w.key }) {
		return w.c, nil
	}
	f.watches = append(f.watches, w)
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watches = slices.DeleteFunc(f.watches, func(o *flawedWatch) bool {
			return o == w || f.is("Watch ends for all") && o.key == w.key
		})
		if f.is("Watch closes the channel") {
			close(w.c)
		}
	})
	return w.c, nil
}

// signal is called with the lock.
func (f *flawed) signal(key string) {
	for i, w := range slices.Clone(f.watches) {
		if w.key != f.key(key) || f.is("Watch tells the first") && i > 0 || f.is("Watch tells once") && w.told > 0 {
			continue
		}
		w.told++
		if f.is("Watch blocks") {
			f.mu.Unlock() // a bubble does not count who waits for a lock as blocked
			select {
			case w.c <- struct{}{}:
			case <-time.After(2 * soon):
			}
			f.mu.Lock()
			continue
		}
		select {
		case w.c <- struct{}{}:
		default:
		}
	}
}

func (f *flawed) Due(ctx context.Context, limit int) ([]string, error) {
	if err := f.check(ctx, store.CheckLimit(limit)); err != nil {
		return nil, err
	}
	if f.is("Due of a huge limit fails") && limit == math.MaxInt {
		return nil, errors.New("limit does not fit")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		switch f.flaw {
		case "Due drops what it cannot see":
			clear(f.records)
		case "Due says nothing of a fault":
			return nil, nil
		case "Due makes keys up in a fault":
			return []string{"another"}, errBroken
		}
		return nil, errBroken
	}
	now := f.now()
	type entry struct {
		key  string
		due  time.Time
		made int
	}
	var due []entry
	for key, r := range f.records {
		_, ok := f.live(key, now)
		if f.is("expired is due") || f.is("expired takes a place") {
			ok = true
		}
		if f.is("due one tick late") && !r.due.IsZero() {
			r.due = r.due.Add(ms)
		}
		isDue := !r.due.After(now)
		if f.is("not due at its instant") {
			isDue = r.due.Before(now)
		}
		if f.is("due early") {
			isDue = !r.due.Add(-ms).After(now)
		}
		if ok && !r.due.IsZero() && isDue {
			due = append(due, entry{key, r.due, r.made})
		}
	}
	if f.is("Delete keeps due") {
		for key, at := range f.first {
			if _, ok := f.records[key]; !at.IsZero() && !at.After(now) && !ok {
				due = append(due, entry{key: key, due: at})
			}
		}
	}
	slices.SortFunc(due, func(a, b entry) int {
		switch f.flaw {
		case "Due newest first":
			return b.due.Compare(a.due)
		case "Due by key":
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.key, b.key))
	})
	if f.is("Due in any order") && len(due) > 1 {
		due[0], due[len(due)-1] = due[len(due)-1], due[0]
	}
	if !f.is("limit ignored") && len(due) > limit {
		due = due[:limit]
	}
	switch f.flaw {
	case "limit off by one":
		due = due[:min(len(due), max(limit-1, 1))]
	case "Due of at most 50":
		due = due[:min(len(due), 50)]
	case "expired takes a place":
		due = slices.DeleteFunc(due, func(e entry) bool { _, ok := f.live(e.key, now); return !ok })
	case "Due twice":
		due = append(due, due...)
		due = due[:min(len(due), limit)]
	case "one per instant":
		due = slices.CompactFunc(due, func(a, b entry) bool { return a.due.Equal(b.due) })
	case "Due takes away":
		for _, e := range due {
			r := f.records[e.key]
			r.due = time.Time{}
			f.records[e.key] = r
		}
	}
	var keys []string
	for _, e := range due {
		keys = append(keys, e.key)
		if f.is("Due makes UTF-8") {
			keys[len(keys)-1] = strings.ToValidUTF8(e.key, "?")
		}
	}
	if f.is("Due not copied") && !slices.Equal(keys, f.last) {
		if len(f.last) == len(keys) {
			return f.last, nil
		}
		f.last = keys
	}
	if f.is("Due not copied") {
		return f.last, nil
	}
	return keys, nil
}

type flawedTx struct{}

// Transact keeps what there was, for nobody else writes meanwhile.
func (f *flawed) Transact(ctx context.Context, do func(context.Context) error) (err error) {
	if err := ctx.Err(); err != nil && !f.is("transaction after the end of its context") {
		return err
	}
	if ctx.Value(flawedTx{}) != nil && !f.is("transaction within another is its own") {
		return do(ctx)
	}
	f.mu.Lock()
	before := maps.Clone(f.records)
	f.mu.Unlock()
	undo := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.records = before
	}
	done := false
	defer func() {
		if !done && !f.is("transaction survives a panic") {
			undo()
		}
	}()
	err = do(context.WithValue(ctx, flawedTx{}, true))
	done = true
	if ctx.Value(flawedTx{}) != nil {
		return err // and another's undoing does not reach what it has done
	}
	if err != nil && !f.is("transaction is not undone") && !f.is("transaction within another is its own") || f.is("transaction is not committed") {
		undo()
	}
	if f.is("transaction loses the error") {
		return nil
	}
	return err
}
