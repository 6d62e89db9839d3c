// Package demo is the small web app of the examples: people log in with a name,
// and a members' page opens to those whose identity is verified. It stands for
// the app that a host has already; the lines that the kit needs are in New.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okidadmin"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/redisstore"
	"github.com/okidkit/okidkit/store"
)

// Config is what the app needs. All fields but Effect, CallbackURL, GrantCache, RefuseUnder, Admins
// and Adjust are required.
type Config struct {
	PublicURL   string // origin of the app, as browsers and the provider see it
	Providers   []identity.Provider
	Store       store.Store
	Keys        [][]byte                                    // for the kit and for session cookies
	Effect      func(context.Context, okidhttp.Event) error // what a callback writes first; nil: nothing
	CallbackURL string                                      // where callbacks are posted, too; empty: nowhere
	GrantCache  time.Duration                               // okidhttp.Config.GrantCache
	RefuseUnder int                                         // whoever is younger, in years, is refused; 0: nobody
	Admins      []string                                    // who may open the operator page; nil: there is none
	Out         io.Writer
	Log         *slog.Logger
	Adjust      func(*okidhttp.Config) // has the last word on how the kit works; nil: nobody has
}

// App is the running app.
type App struct {
	kit      *okidhttp.Kit
	sessions sessions
	admins   []string
	store    store.Store
	others   []string // names of the providers beside the first
	log      *slog.Logger
	handler  http.Handler
}

// New builds the app. It does no I/O.
func New(cfg Config) (*App, error) {
	a := &App{
		sessions: sessions{keys: cfg.Keys, secure: strings.HasPrefix(cfg.PublicURL, "https:")},
		admins:   cfg.Admins,
		store:    cfg.Store,
		log:      cfg.Log,
	}
	for _, p := range cfg.Providers[1:] {
		a.others = append(a.others, p.Name())
	}
	r := newReporter(cfg.Effect, cfg.Out, cfg.CallbackURL)

	kitConfig := okidhttp.Config{
		Providers:    cfg.Providers,
		Store:        cfg.Store,
		PublicURL:    cfg.PublicURL + "/verify",
		Keys:         cfg.Keys,
		Subject:      a.sessions.user,
		OnStarted:    r.report,
		OnReview:     r.report,
		OnVerified:   r.report,
		OnFailed:     r.report,
		OnExpired:    r.report,
		OnRevoked:    r.report,
		AgeOver:      []int{18},
		AfterSuccess: "/members",
		Unauthorized: http.HandlerFunc(a.logInFirst),
		SupportCodes: len(cfg.Admins) > 0,
		GrantCache:   cfg.GrantCache,
		Logger:       cfg.Log,
	}
	if cfg.RefuseUnder > 0 {
		kitConfig.Decide = refuseUnder(cfg.RefuseUnder)
	}
	if cfg.Adjust != nil {
		cfg.Adjust(&kitConfig)
	}
	kit, err := okidhttp.New(kitConfig)
	if err != nil {
		return nil, err
	}
	a.kit = kit

	mux := http.NewServeMux()
	mux.Handle("/verify/", kit)
	mux.Handle("GET /members", kit.RequireVerified(a.inside("Members")))
	mux.Handle("GET /adults", kit.RequireVerified(a.inside("Adults"), okidhttp.Over(18)))
	mux.Handle("GET /fresh", kit.RequireVerified(a.inside("Fresh"), okidhttp.Within(5*time.Minute)))
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.logIn)
	mux.HandleFunc("POST /logout", a.logOut)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	if len(a.admins) > 0 {
		admin, err := okidadmin.New(okidadmin.Config{Kit: kit, Authorize: a.staff, Brand: okidhttp.Brand{Name: "The Cellar", HomeURL: "/"}, Logger: cfg.Log})
		if err != nil {
			return nil, err
		}
		mux.Handle("/admin/{$}", a.loggedIn(admin))
		mux.Handle("GET /admin", http.RedirectHandler("/admin/", http.StatusMovedPermanently))
	}
	a.handler = mux
	return a, nil
}

// staff is the name of whoever makes a request, if they may open the operator page.
func (a *App) staff(r *http.Request) (string, error) {
	user, err := a.sessions.user(r)
	if err != nil || !slices.Contains(a.admins, user) {
		return "", err
	}
	return user, nil
}

// refuseUnder is a policy that lets nobody in who is younger than this many years, or of whom
// that is not known.
func refuseUnder(years int) func(context.Context, okidhttp.Event) error {
	return func(_ context.Context, e okidhttp.Event) error {
		born := e.Verification.DateOfBirth
		switch today := identity.DateOf(time.Now().UTC()); {
		case !born.Exists():
			return okidhttp.Refuse("age_unknown") // another document may tell
		case born.YearsUntil(today) < years:
			return okidhttp.Refuse("too_young").Final()
		}
		return nil
	}
}

// ServeHTTP serves the app.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Run does the kit's work in the background until ctx ends.
func (a *App) Run(ctx context.Context) error { return a.kit.Run(ctx) }

// ready answers 200 if the store works, also if it works with a risk.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var err error
	if s, ok := a.store.(interface{ Check(context.Context) error }); ok {
		err = s.Check(ctx)
	} else {
		_, err = a.store.Due(ctx, 1)
	}
	switch {
	case errors.Is(err, redisstore.ErrEviction):
		a.log.Warn("store is degraded", "error", err)
		fmt.Fprintln(w, "degraded: the store may evict records")
	case errors.Is(err, redisstore.ErrNoSignals):
		a.log.Warn("store is degraded", "error", err)
		fmt.Fprintln(w, "degraded: the store gives no signals, so that pages hear of a verdict later")
	case err != nil:
		a.log.Warn("store is away", "error", err)
		http.Error(w, "store is away", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ready")
	}
}
