package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/redisstore"
	"github.com/okidkit/okidkit/store"
)

// site is how an app is to be that is smaller than the quickstart's, and whose kit
// may be configured in any way.
type site struct {
	chaos     okidtest.Chaos
	configure func(*okidhttp.Config)
	sameSite  http.SameSite // of the cookie that says who is logged in; 0: lax
	stores    []store.Store // one for each replica; nil: one, in memory
	own       http.HandlerFunc
	front     func(http.Handler) http.Handler // what stands between browsers and the replicas; nil: nothing
}

// run runs the site until the test ends. Requests go to its replicas in turns. All
// that its browsers report about its policies is trouble.
func (s site) run(t *testing.T) *world {
	t.Helper()
	w := &world{lines: make(lines, 1000), starts: make(chan start, 1000), reports: make(chan string, 1000)}
	w.newFake(t, s.chaos)
	provider, err := okid.New(okid.Config{
		APIKey:         okidtest.DefaultAPIKey,
		WebhookSecrets: []string{okidtest.DefaultWebhookSecret},
		APIURL:         w.fake.URL(),
		FrontendURL:    w.fake.URL(),
		SDKURL:         w.fake.SDKURL(),
	})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.url = "http://" + l.Addr().String()
	if s.stores == nil {
		s.stores = []store.Store{memstore.New()}
	}
	ctx, stop := context.WithCancel(context.Background())
	var replicas []http.Handler
	var runs []chan error
	for _, st := range s.stores {
		cfg := okidhttp.Config{
			Providers:    []identity.Provider{provider},
			Store:        st,
			PublicURL:    w.url + "/verify",
			Keys:         [][]byte{[]byte("0123456789abcdef0123456789abcdef")},
			Subject:      siteUser,
			AfterSuccess: "/home",
			Logger:       slog.New(slog.DiscardHandler),
		}
		if s.configure != nil {
			s.configure(&cfg)
		}
		kit, err := okidhttp.New(cfg)
		require.NoError(t, err)
		ran := make(chan error, 1)
		go func() { ran <- kit.Run(ctx) }()
		replicas, runs = append(replicas, s.mux(kit, w)), append(runs, ran)
	}
	var turn atomic.Uint32
	var handler http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		replicas[int(turn.Add(1))%len(replicas)].ServeHTTP(reporting{rw}, r)
	})
	if s.front != nil {
		handler = s.front(handler)
	}
	server := &http.Server{Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		stop()
		for _, ran := range runs {
			assert.NoError(t, <-ran)
		}
		assert.NoError(t, server.Close())
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
		close(w.reports)
		for report := range w.reports {
			assert.Fail(t, "policy report", report)
		}
	})
	return w
}

// siteUser is who is logged in.
func siteUser(r *http.Request) (string, error) {
	c, err := r.Cookie("user")
	if err != nil {
		return "", err
	}
	return c.Value, nil
}

func (s site) mux(kit *okidhttp.Kit, w *world) http.Handler {
	mux := http.NewServeMux()
	text := func(rw http.ResponseWriter, title, body string) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; form-action 'self'; base-uri 'none'")
		_, _ = fmt.Fprintf(rw, `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>%s</title><p>%s</p>`, title, html.EscapeString(body))
	}
	mux.Handle("/verify/", kit)
	mux.Handle("GET /members", kit.RequireVerified(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, _ := siteUser(r)
		text(rw, "Members", "hello "+user)
	})))
	mux.HandleFunc("GET /home", func(rw http.ResponseWriter, r *http.Request) { text(rw, "Home", "at home") })
	mux.HandleFunc("POST /login", func(rw http.ResponseWriter, r *http.Request) {
		mode := s.sameSite
		if mode == 0 {
			mode = http.SameSiteLaxMode
		}
		http.SetCookie(rw, &http.Cookie{Name: "user", Value: r.FormValue("user"), Path: "/", HttpOnly: true, SameSite: mode})
		http.Redirect(rw, r, "/home", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /logo.svg", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "image/svg+xml")
		_, _ = io.WriteString(rw, `<svg xmlns="http://www.w3.org/2000/svg" width="150" height="40"><rect width="150" height="40" rx="8" fill="#7a1f3d"/><text x="75" y="27" font-family="sans-serif" font-size="20" fill="#fff" text-anchor="middle">The Cellar</text></svg>`)
	})
	mux.HandleFunc("POST /reports", func(_ http.ResponseWriter, r *http.Request) {
		report, _ := io.ReadAll(io.LimitReader(r.Body, 4<<10))
		w.reports <- string(report)
	})
	if s.own != nil {
		mux.HandleFunc("GET /own", s.own)
	}
	return mux
}

// reporting makes browsers report what violates a page's policy.
type reporting struct{ http.ResponseWriter }

func (w reporting) WriteHeader(code int) {
	if policy := w.Header().Get("Content-Security-Policy"); policy != "" {
		w.Header().Set("Content-Security-Policy", policy+"; report-uri /reports")
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w reporting) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// elsewhereURL is the same server as another site, for cookies.
func elsewhereURL(u string) string { return strings.Replace(u, "127.0.0.1", "localhost", 1) }

// flowURL is where a person does the verification on a device of its own.
func (w *world) flowURL(s start) string {
	return elsewhereURL(w.fake.URL()) + "/flow?" + url.Values{"process_token": {s.token}}.Encode()
}

// comes is the way from the log-in to the page with the button.
func (u *user) comes() {
	u.t.Helper()
	u.open("/home")
	u.submit("/login", "user", u.name)
	u.open("/members")
}

// finishesAt does the verification at okID's own site.
func (u *user) finishesAt(flow string) {
	u.t.Helper()
	u.open(flow)
	u.click("Begin")
	u.click("Verified by passport")
}

// onRedis is two replicas' way to one Redis.
func onRedis(t *testing.T) []store.Store {
	t.Helper()
	addr := redistest.Server(t)
	var stores []store.Store
	for range 2 {
		client := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { assert.NoError(t, client.Close()) })
		s, err := redisstore.New(client)
		require.NoError(t, err)
		stores = append(stores, s)
	}
	return stores
}

// eachStore runs a test in memory, and on two replicas with Redis.
func eachStore(t *testing.T, test func(*testing.T, []store.Store)) {
	t.Run("memory", func(t *testing.T) { test(t, nil) })
	t.Run("two replicas", func(t *testing.T) {
		test(t, onRedis(t))
	})
}

// within logs how long something took, since nothing but a person can say whether
// that is short enough on this machine, and fails if it is out of the question.
func within(t *testing.T, what string, began time.Time) {
	t.Helper()
	took := time.Since(began)
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
	assert.Less(t, took, stepTimeout, what)
}
