package memstore

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/okidkit/okidkit/store"
)

var (
	_ store.Store    = (*Store)(nil)
	_ store.Notifier = (*Store)(nil)
)

// Store is a [store.Store] and [store.Notifier] in memory. Make one with [New]. It is safe for
// concurrent use.
type Store struct {
	now func() time.Time

	mu      sync.Mutex
	records map[string]*record
	ends    queue // of every record
	dues    queue // of the records that have a due time
	watches watches
}

// record is what stands at one key. The lock guards the fields, but not the
// bytes of the value: nobody writes to them once they are stored, so that Get
// copies them after it has let go of the lock.
type record struct {
	key     string
	value   []byte
	version uint64
	end     timer
	due     timer
}

// Option is a setting of [New].
type Option func(*Store)

// WithClock sets the clock that tells the store the time. It must be safe for
// concurrent use and must not call the store. Nil, like no WithClock at all,
// means [time.Now].
func WithClock(now func() time.Time) Option {
	return func(s *Store) { s.now = now }
}

// New returns an empty store.
func New(opts ...Option) *Store {
	s := &Store{records: make(map[string]*record), watches: make(watches)}
	for _, opt := range opts {
		opt(s)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Record{}, err
	}
	if err := ended(ctx); err != nil {
		return store.Record{}, err
	}
	rec, ok := s.read(key)
	if !ok {
		return rec, store.ErrNotFound
	}
	rec.Value = bytes.Clone(rec.Value)
	return rec, nil
}

// read is Get without the copy: the value is the store's own.
func (s *Store) read(key string) (store.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	r := s.live(key, now)
	if r == nil {
		return store.Record{Now: now}, false
	}
	return store.Record{Value: r.value, Version: r.version, Now: now}, true
}

// Put implements [store.Store].
func (s *Store) Put(ctx context.Context, key string, w store.Write) error {
	if err := w.Check(key); err != nil {
		return err
	}
	if err := ended(ctx); err != nil {
		return err
	}
	value := bytes.Clone(w.Value)

	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.sweep(now)
	r := s.live(key, now)
	var version uint64
	if r != nil {
		version = r.version
	}
	switch version {
	case w.Version:
		return nil
	case w.Replaces:
	default:
		return store.ErrConflict
	}

	if r == nil {
		r = newRecord(key)
		s.records[key] = r
	}
	r.value, r.version = value, w.Version
	s.ends.set(&r.end, now.Add(w.TTL))
	if w.DueIn > 0 {
		s.dues.set(&r.due, now.Add(w.DueIn))
	} else {
		s.dues.clear(&r.due)
	}
	s.watches.signal(key)
	return nil
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.live(key, s.now()); r != nil {
		s.drop(r)
		s.watches.signal(key)
	}
	return nil
}

// Due implements [store.Store]. Its cost depends on the records that are due,
// up to limit, and not on how many others there are.
func (s *Store) Due(ctx context.Context, limit int) ([]string, error) {
	if err := store.CheckLimit(limit); err != nil {
		return nil, err
	}
	if err := ended(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var keys []string
	var expired []*record
	for t := range s.dues.inOrder() {
		if len(keys) == limit || t.at.After(now) {
			break
		}
		if t.rec.endedBy(now) {
			expired = append(expired, t.rec)
			continue
		}
		keys = append(keys, t.rec.key)
	}
	for _, r := range expired {
		s.drop(r)
	}
	return keys, nil
}

// ended is the error of a call whose context has ended.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	return nil
}

// live returns the record at key, or nil if there is none that is alive.
func (s *Store) live(key string, now time.Time) *record {
	r := s.records[key]
	if r != nil && r.endedBy(now) {
		s.drop(r)
		return nil
	}
	return r
}

// sweep drops up to two expired records: more than the one that a Put adds, so
// that the expired ones become fewer however fast records are made.
func (s *Store) sweep(now time.Time) {
	for range 2 {
		if s.ends.Len() == 0 || !s.ends.first().endedBy(now) {
			return
		}
		s.drop(s.ends.first())
	}
}

func (s *Store) drop(r *record) {
	delete(s.records, r.key)
	s.ends.clear(&r.end)
	s.dues.clear(&r.due)
}

func newRecord(key string) *record {
	r := &record{key: key}
	r.end = timer{rec: r, index: notQueued}
	r.due = timer{rec: r, index: notQueued}
	return r
}

func (r *record) endedBy(now time.Time) bool { return !now.Before(r.end.at) }
