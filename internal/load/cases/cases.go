//go:build unix

// Package cases is what the load command measures: the kit, what a webhook handler
// does at least, and what careful code does that keeps its state in a map.
package cases

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/load/harness"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/redisstore"
	"github.com/okidkit/okidkit/store"
)

// Names of the cases with which others are compared: handlers that answer at once,
// to a POST and to a GET.
const (
	Bare    = "bare"
	bareGet = "bare GET"
)

// few is how many attempts there are where each may be asked about again and again.
const few = 1_000

// All are the cases of this module.
func All() []harness.Case {
	answer := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	return []harness.Case{
		{Name: Bare, Handler: Handler(answer), Prepare: signed},
		{Name: "read", Base: Bare, Handler: Handler(http.HandlerFunc(read)), Prepare: signed},
		{Name: "floor", Base: Bare, Handler: Handler(Remembering(Floor)), Prepare: signed},
		{Name: "start", Base: bareGet, Handler: kit, Prepare: starts, Once: true},
		{Name: "fresh", Base: Bare, Handler: kit, Prepare: fresh, Once: true},
		{Name: "duplicate", Base: Bare, Handler: kit, Prepare: duplicates},
		{Name: bareGet, Handler: Handler(answer), Prepare: gated},
		{Name: "gate", Base: bareGet, Handler: kit, Prepare: verified},
		Status,
		{Name: "redis SET", Base: Bare, Redis: true, Handler: redisSet, Prepare: signed},
		{Name: "redis start", Base: "redis SET", Redis: true, Handler: kit, Prepare: starts, Once: true},
		{Name: "redis fresh", Base: "redis SET", Redis: true, Handler: kit, Prepare: fresh, Once: true},
		{Name: "redis duplicate", Base: "redis SET", Redis: true, Handler: kit, Prepare: duplicates},
		{Name: "redis GET", Base: bareGet, Redis: true, Handler: redisGet, Prepare: gated},
		{Name: "redis gate", Base: "redis GET", Redis: true, Handler: kit, Prepare: verified},
		{Name: "redis gate, remembered", Base: bareGet, Redis: true, Handler: remembering, Prepare: verified},
		RedisStatus,
	}
}

// The cases that ask for the status, whose servers can do everything else, too.
var (
	Status      = harness.Case{Name: "status", Base: bareGet, Handler: kit, Prepare: statuses}
	RedisStatus = harness.Case{Name: "redis status", Base: "redis GET", Redis: true, Handler: kit, Prepare: statuses}
)

// Handler is a case's handler that is the same in every process.
func Handler(h http.Handler) func(context.Context, string) (http.Handler, error) {
	return func(context.Context, string) (http.Handler, error) { return h, nil }
}

func read(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

// Floor verifies and decodes a webhook as one does it with the standard library.
func Floor(h http.Header, body []byte) (id string, err error) {
	mac := hmac.New(sha256.New, []byte(okidtest.DefaultWebhookSecret))
	mac.Write(body)
	got, err := hex.DecodeString(h.Get(okid.SignatureHeader))
	if err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		return "", identity.ErrSignature
	}
	var webhook okid.WebhookBody
	if err := json.Unmarshal(body, &webhook); err != nil {
		return "", err
	}
	return webhook.Data.ID + " " + webhook.Event, nil
}

// Remembering is a webhook handler that verifies and decodes, and knows in a map
// what it has seen.
func Remembering(verify func(h http.Header, body []byte) (id string, err error)) http.Handler {
	var mu sync.Mutex
	seen := map[string]bool{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256<<10))
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		id, err := verify(r.Header, body)
		if err != nil {
			http.Error(w, "webhook", http.StatusUnauthorized)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		seen[id] = true
	})
}

// Webhook is what okID sends when the i-th verification is completed.
func Webhook(i int, reference string, now time.Time) okid.WebhookBody {
	data := okidtest.Passport(now)
	data.ID, data.Metadata = fmt.Sprintf("ver_%020d", i), map[string]string{okid.MetadataReference: reference}
	return okid.WebhookBody{Event: okid.EventCompleted, Data: data}
}

// signed are webhooks of attempts that nobody has begun.
func signed(_ *harness.Server, n int) ([][]byte, error) {
	references := make([]string, n)
	for i := range references {
		references[i] = fmt.Sprintf("%096d", i)
	}
	return webhooks(references), nil
}

// webhooks tell of each attempt that it is verified.
func webhooks(references []string) [][]byte {
	now := time.Now()
	requests := make([][]byte, len(references))
	for i, reference := range references {
		header, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, now, Webhook(i, reference, now))
		requests[i] = harness.Request("POST", "/verify/webhook", header, body)
	}
	return requests
}

// offline is okID with a start that needs no network.
type offline struct{ *okid.Provider }

func (offline) Start(context.Context, identity.StartRequest) (identity.Session, error) {
	return identity.Session{Token: "tok_v1_0123456789abcdef0123456789abcd", ExpiresAt: time.Now().Add(time.Hour)}, nil
}

// kit is a host that says in a header whose request it is, whose callback does
// nothing, and which keeps no log.
func kit(ctx context.Context, redisAddr string) (http.Handler, error) {
	return kitWith(ctx, redisAddr, func(*okidhttp.Config) {})
}

// remembering is kit with a GrantCache.
func remembering(ctx context.Context, redisAddr string) (http.Handler, error) {
	return kitWith(ctx, redisAddr, func(c *okidhttp.Config) { c.GrantCache = time.Second })
}

func kitWith(ctx context.Context, redisAddr string, change func(*okidhttp.Config)) (http.Handler, error) {
	provider, err := okid.New(okid.Config{
		APIKey:         okidtest.DefaultAPIKey,
		WebhookSecrets: []string{okidtest.DefaultWebhookSecret},
	})
	if err != nil {
		return nil, err
	}
	var records store.Store = memstore.New()
	if redisAddr != "" {
		if records, err = redisstore.New(connect(redisAddr)); err != nil {
			return nil, err
		}
	}
	cfg := okidhttp.Config{
		Providers:  []identity.Provider{offline{provider}},
		Store:      records,
		PublicURL:  "https://app.example/verify",
		Keys:       [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject:    func(r *http.Request) (string, error) { return r.Header.Get("User"), nil },
		OnVerified: func(context.Context, okidhttp.Event) error { return nil },
		Logger:     slog.New(slog.DiscardHandler),
	}
	change(&cfg)
	k, err := okidhttp.New(cfg)
	if err != nil {
		return nil, err
	}
	go func() { _ = k.Run(ctx) }() // ends with the process
	gate := k.RequireVerified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == gatedPath {
			gate.ServeHTTP(w, r)
		} else {
			k.ServeHTTP(w, r)
		}
	}), nil
}

func connect(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
}

const gatedPath = "/cellar/"

func as(user int, method, target string) []byte {
	return harness.Request(method, target, http.Header{"User": {strconv.Itoa(user)}}, nil)
}

func starts(_ *harness.Server, n int) ([][]byte, error) {
	requests := make([][]byte, n)
	for i := range requests {
		requests[i] = as(i, "POST", "/verify/start")
	}
	return requests, nil
}

// Attempts begins an attempt for each of n users, and returns their references.
func Attempts(s *harness.Server, n int) ([]string, error) {
	requests, err := starts(s, n)
	if err != nil {
		return nil, err
	}
	responses, err := s.Do(requests)
	if err != nil {
		return nil, err
	}
	references := make([]string, n)
	for i, r := range responses {
		var started struct{ Attempt string }
		if err := json.Unmarshal(r.Body, &started); err != nil || r.Code != http.StatusCreated {
			return nil, fmt.Errorf("start answered %d: %s", r.Code, r.Body)
		}
		references[i] = started.Attempt
	}
	return references, nil
}

// Verify sends the webhooks that the users are verified.
func Verify(s *harness.Server, references []string) error {
	_, err := delivered(s, references)
	return err
}

func delivered(s *harness.Server, references []string) ([][]byte, error) {
	requests := webhooks(references)
	responses, err := s.Do(requests)
	for _, r := range responses {
		if err == nil && r.Code != http.StatusOK {
			err = fmt.Errorf("webhook answered %d: %s", r.Code, r.Body)
		}
	}
	return requests, err
}

func fresh(s *harness.Server, n int) ([][]byte, error) {
	references, err := Attempts(s, n)
	if err != nil {
		return nil, err
	}
	return webhooks(references), nil
}

func duplicates(s *harness.Server, n int) ([][]byte, error) {
	references, err := Attempts(s, min(n, few))
	if err != nil {
		return nil, err
	}
	return delivered(s, references)
}

func gated(_ *harness.Server, n int) ([][]byte, error) {
	requests := make([][]byte, min(n, few))
	for i := range requests {
		requests[i] = as(i, "GET", gatedPath)
	}
	return requests, nil
}

func verified(s *harness.Server, n int) ([][]byte, error) {
	if _, err := duplicates(s, n); err != nil {
		return nil, err
	}
	return gated(s, n)
}

func statuses(s *harness.Server, n int) ([][]byte, error) {
	references, err := Attempts(s, min(n, few))
	if err != nil {
		return nil, err
	}
	requests := make([][]byte, len(references))
	for i, reference := range references {
		requests[i] = as(i, "GET", "/verify/status?attempt="+reference)
	}
	return requests, nil
}

// redisSet is a handler that marks each request as seen, which is what many hosts
// do to know a duplicate.
func redisSet(_ context.Context, addr string) (http.Handler, error) {
	client := connect(addr)
	return answering(func(ctx context.Context, r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return err
		}
		// Nobody has signed it twice in the same second.
		return client.SetNX(ctx, "seen:"+r.Header.Get(okid.SignatureHeader), 1, 24*time.Hour).Err()
	}), nil
}

// redisGet is a handler that reads a value as long as a record.
func redisGet(ctx context.Context, addr string) (http.Handler, error) {
	client := connect(addr)
	for user := range few {
		if err := client.Set(ctx, strconv.Itoa(user), strings.Repeat("v", 400), 0).Err(); err != nil {
			return nil, err
		}
	}
	return answering(func(ctx context.Context, r *http.Request) error {
		return client.Get(ctx, r.Header.Get("User")).Err()
	}), nil
}

func answering(do func(context.Context, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := do(r.Context(), r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}
