package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/seal"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

// world is an engine with everything around it under the test's hand. There is no HTTP in
// it.
type world struct {
	*Engine
	t        *testing.T
	clock    time.Time
	store    *brokenStore
	provider *provider
	host     *host
	log      *strings.Builder
	mu       sync.Mutex
	counts   map[attempt.Outcome]int
}

func newWorld(t *testing.T, changes ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), host: &host{}, log: &strings.Builder{}, counts: map[attempt.Outcome]int{}}
	w.store = &brokenStore{Store: memstore.New(memstore.WithClock(w.now))}
	w.provider = &provider{world: w, says: map[string]identity.Status{}}
	w.Engine = w.replica(changes...)
	return w
}

// replica is another engine on the same store.
func (w *world) replica(changes ...func(*Config)) *Engine {
	key := sha256.Sum256([]byte{1})
	c := Config{
		Store:     w.store,
		Providers: []identity.Provider{w.provider},
		Keys:      seal.New([][]byte{key[:]}),
		Policy:    attempt.Policy{Hears: map[identity.Status]bool{}, Location: time.UTC, Lease: 30 * time.Second, StartedLimit: 24 * time.Hour, RecheckVerified: -1},
		Host:      w.host,
		Log: &Log{Now: w.now, Logger: slog.New(slog.NewTextHandler(w.log, nil)), Observer: counter(func(o attempt.Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.counts[o]++
		})},
		StartLimit:          func(time.Time, []time.Time) time.Duration { return 0 },
		CallbackTimeout:     10 * time.Second,
		Retention:           10 * 365 * 24 * time.Hour,
		UnverifiedRetention: 180 * 24 * time.Hour,
		Now:                 w.now,
	}
	for _, s := range []identity.Status{identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired, identity.Revoked} {
		c.Policy.Hears[s] = true
	}
	for _, change := range changes {
		change(&c)
	}
	return New(c)
}

func (w *world) now() time.Time { return w.clock }

// later moves the clock on and works on what is due.
func (w *world) later(d time.Duration) {
	w.t.Helper()
	w.clock = w.clock.Add(d)
	_, err := w.RunOnce(w.t.Context())
	require.NoError(w.t, err)
}

// start begins an attempt.
func (w *world) start(subject string) attempt.Address {
	w.t.Helper()
	s, err := w.Start(w.t.Context(), w.startRequest(subject))
	require.NoError(w.t, err)
	at, ok := w.OpenReference(s.Reference)
	require.True(w.t, ok)
	return at
}

func (w *world) startRequest(subject string) StartRequest {
	return StartRequest{Subject: subject, Provider: w.provider, URLs: func(string) (string, string, string) { return "", "", "" }}
}

// attempt is how an attempt stands.
func (w *world) attempt(at attempt.Address) *attempt.Attempt {
	w.t.Helper()
	s, err := w.Load(w.t.Context(), at.Subject)
	require.NoError(w.t, err)
	return s.Find(at.Attempt)
}

// webhook delivers a word. The note tells two of the same apart.
func (w *world) webhook(at attempt.Address, word identity.Status, note string) (attempt.Outcome, error) {
	n := identity.Notice{Provider: "fake", Verification: identity.Verification{ID: "v1", Status: word}}
	n.Digest = sha256.Sum256([]byte(string(word) + note))
	return w.Deliver(w.t.Context(), at, n)
}

// open reports whether the gate is open.
func (w *world) open(subject string) bool {
	w.t.Helper()
	g, _, err := w.Grant(w.t.Context(), attempt.HashSubject(subject))
	require.NoError(w.t, err)
	return g != nil
}

// provider knows what it is told to say of an id.
type provider struct {
	*world
	says   map[string]identity.Status
	away   error
	starts int
}

func (p *provider) Name() string          { return "fake" }
func (p *provider) EchoesReference() bool { return false }

func (p *provider) Start(context.Context, identity.StartRequest) (identity.Session, error) {
	p.starts++
	return identity.Session{Token: fmt.Sprint("token ", p.starts), ExpiresAt: p.clock.Add(30 * time.Minute)}, nil
}

func (p *provider) SDK(identity.Session, string) identity.SDK { return identity.SDK{} }

func (p *provider) Fetch(_ context.Context, id string) (identity.Notice, error) {
	s, ok := p.says[id]
	switch {
	case p.away != nil:
		return identity.Notice{}, p.away
	case !ok:
		return identity.Notice{}, identity.ErrNotFound
	}
	return identity.Notice{Provider: "fake", Verification: identity.Verification{ID: id, Status: s}}, nil
}

// VerifyClaim makes it one that does not know references.
func (p *provider) VerifyClaim(context.Context, []byte) (string, error) {
	return "", errors.New("unused")
}

// host notes what it is told.
type host struct {
	heard   []Event
	fails   error
	refusal *attempt.Refusal
	unsure  error
}

func (h *host) Decide(context.Context, Event) (*attempt.Refusal, error) { return h.refusal, h.unsure }

func (h *host) Notify(_ context.Context, e Event) error {
	h.heard = append(h.heard, e)
	return h.fails
}

func (h *host) words() (words []identity.Status) {
	for _, e := range h.heard {
		words = append(words, e.Status)
	}
	return words
}

// brokenStore fails when told to.
type brokenStore struct {
	store.Store
	broken   error
	afterGet func(key string) // nil: nothing happens
}

func (s *brokenStore) Get(ctx context.Context, key string) (store.Record, error) {
	if s.broken != nil {
		return store.Record{}, s.broken
	}
	rec, err := s.Store.Get(ctx, key)
	if s.afterGet != nil {
		s.afterGet(key)
	}
	return rec, err
}

func (s *brokenStore) Put(ctx context.Context, key string, w store.Write) error {
	if s.broken != nil {
		return s.broken
	}
	return s.Store.Put(ctx, key, w)
}

var errAway = errors.New("store is away")

// counter is an Observer that is interested in outcomes alone.
type counter func(attempt.Outcome)

func (counter) Begin(ctx context.Context, _ Operation) (context.Context, func(Result)) {
	return ctx, nil
}

func (c counter) Count(_ context.Context, o attempt.Outcome) { c(o) }

func (counter) Trace(context.Context) string { return "" }
