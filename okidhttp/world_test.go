package okidhttp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/sha256"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

// world is a kit with everything around it under the test's hand: clock, store,
// provider and host.
type world struct {
	t        *testing.T
	kit      *Kit
	clock    *fakeClock
	store    *countingStore
	provider *fakeProvider
	host     *fakeHost
	outcomes *outcomes
	log      *syncBuffer
}

// newWorld builds a world; each change may alter the configuration.
func newWorld(t *testing.T, changes ...func(*Config)) *world {
	t.Helper()
	clock := &fakeClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w := &world{
		t:        t,
		clock:    clock,
		store:    &countingStore{Store: memstore.New(memstore.WithClock(clock.Now))},
		provider: &fakeProvider{name: "fake", clock: clock, answers: map[string]identity.Notice{}},
		host:     &fakeHost{},
		outcomes: &outcomes{},
		log:      &syncBuffer{},
	}
	w.kit = w.replica(changes...)
	return w
}

// replica is another kit on the same store.
func (w *world) replica(changes ...func(*Config)) *Kit {
	w.t.Helper()
	cfg := Config{
		Providers:  []identity.Provider{w.provider},
		Store:      w.store,
		PublicURL:  "https://app.example/verify",
		Keys:       [][]byte{testKey(1)},
		Subject:    func(r *http.Request) (string, error) { return r.Header.Get("Test-User"), nil },
		OnStarted:  w.host.told,
		OnReview:   w.host.told,
		OnVerified: w.host.told,
		OnFailed:   w.host.told,
		OnExpired:  w.host.told,
		OnRevoked:  w.host.told,
		Logger:     slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observer:   w.outcomes,
		Now:        w.clock.Now,
	}
	for _, change := range changes {
		change(&cfg)
	}
	k, err := New(cfg)
	require.NoError(w.t, err)
	return k
}

func testKey(n byte) []byte {
	key := sha256.Sum256([]byte{n})
	return key[:]
}

// do sends a request to the kit as a user; "" is nobody.
func (w *world) do(r *http.Request, user string) *httptest.ResponseRecorder {
	r.Header.Set("Test-User", user)
	rec := httptest.NewRecorder()
	w.kit.ServeHTTP(rec, r)
	return rec
}

// get asks for a route as a browser would.
func (w *world) get(user, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("Accept", "text/html")
	return w.do(r, user)
}

// startJSON is the answer of the start route.
type startJSON struct {
	Attempt      string
	ProcessToken string `json:"process_token"`
	ExpiresAt    string `json:"expires_at"`
	PageURL      string `json:"page_url"`
}

// start begins a verification for a user.
func (w *world) start(user string, form ...string) startJSON {
	w.t.Helper()
	rec := w.tryStart(user, form...)
	require.Contains(w.t, []int{200, 201}, rec.Code, rec.Body.String())
	var got startJSON
	require.NoError(w.t, json.Unmarshal(rec.Body.Bytes(), &got))
	return got
}

func (w *world) tryStart(user string, form ...string) *httptest.ResponseRecorder {
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, "/verify/start", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	return w.do(r, user)
}

// webhook delivers a notice and returns the status code.
func (w *world) webhook(n notice) int {
	return w.do(w.webhookRequest(n), "").Code
}

func (w *world) webhookRequest(n notice) *http.Request {
	if n.At.IsZero() {
		n.At = w.clock.Now()
	}
	body, err := json.Marshal(n)
	require.NoError(w.t, err)
	return httptest.NewRequest(http.MethodPost, "/verify/webhook", strings.NewReader(string(body)))
}

// status is what the status route tells a user.
func (w *world) status(user, attempt string) string {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/verify/status?attempt="+attempt, nil)
	rec := w.do(r, user)
	require.Equal(w.t, 200, rec.Code)
	var body statusBody
	require.NoError(w.t, json.Unmarshal(rec.Body.Bytes(), &body))
	return body.Status
}

// gate is the status code that a user gets at a gated route.
func (w *world) gate(user string) int {
	r := httptest.NewRequest(http.MethodGet, "/members", nil)
	r.Header.Set("Test-User", user)
	rec := httptest.NewRecorder()
	w.kit.RequireVerified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(rec, r)
	return rec.Code
}

// work does what Run would do now.
func (w *world) work() {
	w.t.Helper()
	runOnce(w.t, w.kit)
}

// runOnce is one round of a kit's worker.
func runOnce(t *testing.T, k *Kit) {
	t.Helper()
	_, err := k.engine.RunOnce(context.Background())
	require.NoError(t, err)
}

// later moves the clock on and works.
func (w *world) later(d time.Duration) {
	w.t.Helper()
	w.clock.add(d)
	w.work()
}

// outcomes counts what a kit observes.
type outcomes struct {
	mu    sync.Mutex
	count map[Outcome]int
}

func (*outcomes) Begin(ctx context.Context, _ Operation) (context.Context, func(Result)) {
	return ctx, nil
}

func (*outcomes) Trace(context.Context) string { return "" }

func (o *outcomes) Count(_ context.Context, outcome Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == nil {
		o.count = map[Outcome]int{}
	}
	o.count[outcome]++
}

func (o *outcomes) of(outcome Outcome) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count[outcome]
}

// fakeClock is the time of a world.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fakeHost is the app behind the callbacks.
type fakeHost struct {
	mu     sync.Mutex
	events []Event
	fail   func(Event) error // nil: all is well
}

func (h *fakeHost) told(_ context.Context, e Event) error {
	h.mu.Lock()
	h.events = append(h.events, e)
	fail := h.fail
	h.mu.Unlock()
	if fail != nil {
		return fail(e)
	}
	return nil
}

func (h *fakeHost) failing(f func(Event) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = f
}

// heard lists the statuses of the callbacks so far.
func (h *fakeHost) heard() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	words := []string{}
	for _, e := range h.events {
		words = append(words, string(e.Status))
	}
	return words
}

func (h *fakeHost) last() Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events[len(h.events)-1]
}

// notice is a webhook of the fake provider.
type notice struct {
	Reference string
	ID        string
	Status    identity.Status
	Metadata  map[string]string `json:",omitempty"`
	Forged    bool              `json:",omitempty"`
	Malformed bool              `json:",omitempty"`
	At        time.Time
	Created   time.Time
	Note      string        `json:",omitempty"` // makes it another one
	Expiry    identity.Date // zero: that of the person
	Born      identity.Date // zero: that of the person
	Long      int           // of texts, in bytes
	Document  string        // its type; empty: that of the person
	Number    string        // of the document; empty: that of the person
	Country   string        // that issued it
	Unborn    bool          // no date of birth is told
}

// person is somebody whose data must never turn up anywhere.
var person = identity.Verification{
	DocumentType: "passport", DocumentExpiry: identity.Date{Year: 2030, Month: 1, Day: 31},
	FirstName: "Canaryfirst", LastName: "Canarylast", DocumentNumber: "CANARY0001",
	DateOfBirth: identity.Date{Year: 1990, Month: 2, Day: 3},
}

// fakeProvider believes every webhook that does not say it is forged.
type fakeProvider struct {
	name  string
	clock *fakeClock

	mu      sync.Mutex
	starts  []identity.StartRequest
	onStart func(identity.StartRequest) error
	answers map[string]identity.Notice // by id
	away    error
	asking  func() // called by Fetch after it has looked the answer up
	fetches int
}

func (p *fakeProvider) Name() string { return p.name }

// EchoesReference is true: the fake is one that sends webhooks.
func (p *fakeProvider) EchoesReference() bool { return true }

func (p *fakeProvider) Start(_ context.Context, r identity.StartRequest) (identity.Session, error) {
	p.mu.Lock()
	p.starts = append(p.starts, r)
	n, onStart := len(p.starts), p.onStart
	p.mu.Unlock()
	if onStart != nil {
		if err := onStart(r); err != nil {
			return identity.Session{}, err
		}
	}
	return identity.Session{Token: fmt.Sprintf("tok_canary_%d", n), ExpiresAt: p.clock.Now().Add(30 * time.Minute)}, nil
}

func (p *fakeProvider) SDK(s identity.Session, locale string) identity.SDK {
	return identity.SDK{
		ScriptURL: "https://cdn.fake.example/sdk.js",
		Config:    map[string]any{"token": s.Token, "locale": locale},
		Boot:      "function (config, onComplete, onError) { start(config); }",
		Sources:   identity.Sources{Script: []string{"https://cdn.fake.example"}, Frame: []string{"https://hosted.fake.example"}},
	}
}

func (p *fakeProvider) Fetch(_ context.Context, id string) (identity.Notice, error) {
	p.mu.Lock()
	p.fetches++
	n, ok := p.answers[id]
	away, asking := p.away, p.asking
	p.mu.Unlock()
	if asking != nil {
		asking()
	}
	if away != nil {
		return identity.Notice{}, away
	}
	if !ok {
		return identity.Notice{}, identity.ErrNotFound
	}
	return n, nil
}

// answer is what Fetch says of an id from now on.
func (p *fakeProvider) answer(reference, id string, s identity.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := person
	v.ID, v.Status = id, s
	p.answers[id] = identity.Notice{Provider: p.name, Reference: reference, Verification: v}
}

func (p *fakeProvider) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

func (p *fakeProvider) VerifyWebhook(_ http.Header, body []byte, now time.Time) (identity.Notice, error) {
	var n notice
	if err := json.Unmarshal(body, &n); err != nil || n.Forged {
		return identity.Notice{}, fmt.Errorf("%w: forged", identity.ErrSignature)
	}
	if n.Malformed {
		return identity.Notice{}, fmt.Errorf("%w: as asked", identity.ErrMalformed)
	}
	v := person
	v.ID, v.Status, v.CreatedAt = n.ID, n.Status, n.Created
	if !n.Expiry.IsZero() {
		v.DocumentExpiry = n.Expiry
	}
	if !n.Born.IsZero() {
		v.DateOfBirth = n.Born
	}
	if n.Unborn {
		v.DateOfBirth = identity.Date{}
	}
	v.DocumentType, v.DocumentNumber = cmp.Or(n.Document, v.DocumentType), cmp.Or(n.Number, v.DocumentNumber)
	v.IssuingCountry = n.Country
	if n.Long > 0 {
		v.FirstName = strings.Repeat("x", n.Long)
		v.Concerns = []identity.Concern{{Message: v.FirstName}, {ID: "DC030"}}
	}
	out := identity.Notice{
		Provider: p.name, Event: string(n.Status), Reference: n.Reference, Metadata: n.Metadata, Verification: v, SignedBy: "secret 0",
		Digest: sha256.Sum256(fmt.Appendf(nil, "%s %s %s %s", n.Reference, n.ID, n.Status, n.Note)),
	}
	if now.Sub(n.At) > 5*time.Minute {
		return out, identity.ErrStale
	}
	return out, nil
}

var _ identity.WebhookVerifier = (*fakeProvider)(nil)

// countingStore counts, and fails when told to.
type countingStore struct {
	store.Store
	mu         sync.Mutex
	gets, puts int
	broken     error
	brokenFor  func(key string) error
	unwritable string   // how keys begin that cannot be written; "": none
	values     []string // all that was ever written
}

func (s *countingStore) Get(ctx context.Context, key string) (store.Record, error) {
	s.mu.Lock()
	s.gets++
	broken, brokenFor := s.broken, s.brokenFor
	s.mu.Unlock()
	if broken == nil && brokenFor != nil {
		broken = brokenFor(key)
	}
	if broken != nil {
		return store.Record{}, broken
	}
	return s.Store.Get(ctx, key)
}

func (s *countingStore) Put(ctx context.Context, key string, w store.Write) error {
	s.mu.Lock()
	s.puts++
	s.values = append(s.values, key+string(w.Value))
	broken := s.broken
	if s.unwritable != "" && strings.HasPrefix(key, s.unwritable) {
		broken = errors.New("key cannot be written")
	}
	s.mu.Unlock()
	if broken != nil {
		return broken
	}
	return s.Store.Put(ctx, key, w)
}

func (s *countingStore) Delete(ctx context.Context, key string) error {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken != nil {
		return broken
	}
	return s.Store.Delete(ctx, key)
}

// counts returns the operations since the last call.
func (s *countingStore) counts() (gets, puts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gets, puts = s.gets, s.puts
	s.gets, s.puts = 0, 0
	return gets, puts
}

func (s *countingStore) breakDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

var errStoreIsAway = errors.New("store is away")

// syncBuffer is a log that tests can read.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var _ io.Writer = (*syncBuffer)(nil)
