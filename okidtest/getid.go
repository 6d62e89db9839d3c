package okidtest

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultGetIDKey is the API key of a fake GetID that was given none. It
// protects nothing.
const DefaultGetIDKey = "simulated-getid-api-c83e10b7a4"

// GetIDConfig is how a fake GetID is to be. The zero value is ready for use.
type GetIDConfig struct {
	// APIKey is what callers of the result API must show in KeyHeader, an
	// authentication scheme such as Bearer included. Default: DefaultGetIDKey.
	APIKey string
	// KeyHeader is the header that carries it. Checkin.com does not publish the
	// name. Default: X-API-Key.
	KeyHeader string

	// KeyID puts the id of the signing key into the header of each token, as the
	// documentation has it. Default: no kid, as in the documented sample.
	KeyID bool
	// TokenTTL is how long a token is valid, told in its claim exp. Default: for
	// ever, and no exp, as in the sample.
	TokenTTL time.Duration

	// Accepted answers 202 for a result that is still processing. Default: 200.
	Accepted bool
	// Delay is how long each answer of the result API and of the key set waits,
	// by the real clock or that of a testing/synctest bubble. Default: not at all.
	Delay time.Duration

	// PublicURL is where browsers find the fake: the URL under which it is
	// mounted. Default: the address of Start.
	PublicURL string
	// Addr is where Start listens. Default: a free port of 127.0.0.1.
	Addr string

	// Clock gives the time. Default: time.Now.
	Clock func() time.Time
	// Logger is told of every call, without keys, tokens and personal data.
	// Default: none.
	Logger *slog.Logger
}

// GetID is a fake of GetID as part of Checkin.com's sign-up flow
// (https://dev.checkin.com/docs/id-scanner-sign-up-flow). It serves
//
//	GET /verifications/results/{id}  the result API
//	GET /certs                       the key set with which tokens are verified
//	GET /{partner}.js                the partner's script, whatever its name
//	GET /flow                        the page on which a person picks the outcome
//
// The provider leaves open what the result API says of an unknown id (here
// 404), what a result and a claim hold while they are processing (here no
// verdict), and when the script calls the function of setOnUpdate (here just
// before that of setOnComplete). It forgets nothing until it is thrown away.
//
// All methods are safe for concurrent use. Use [NewGetID] to make one.
type GetID struct {
	cfg    GetIDConfig // with its defaults
	mux    *http.ServeMux
	server *server

	results endpoint
	jwks    endpoint

	mu           sync.Mutex // guards the rest
	requests     []*http.Request
	keys         []signingKey // the last one signs
	editJWK      func(jwk map[string]any)
	applications map[string]*application
}

// NewGetID makes a fake with one signing key. It starts nothing and needs no
// Close before Start is called. The error wraps [ErrConfig] and names every
// setting that cannot be used.
func NewGetID(cfg GetIDConfig) (*GetID, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()

	g := &GetID{
		cfg:          cfg,
		mux:          http.NewServeMux(),
		keys:         []signingKey{newSigningKey()},
		applications: make(map[string]*application),
	}
	g.server = &server{handler: g, log: cfg.Logger, url: cfg.PublicURL}
	g.mux.HandleFunc("GET /verifications/results/{id}", g.api(&g.results, g.serveResult))
	g.mux.HandleFunc("GET /certs", g.api(&g.jwks, g.serveJWKS))
	g.mux.HandleFunc("GET /{script}", servePartnerScript)
	g.mux.HandleFunc("GET /flow", g.serveFlow)
	g.mux.HandleFunc("POST /flow", g.serveChoice)
	g.mux.HandleFunc("GET /flow.css", serveFile("flow.css", "text/css; charset=utf-8"))
	g.mux.HandleFunc("GET /flow.js", serveFile("flow.js", "text/javascript; charset=utf-8"))
	g.mux.HandleFunc("/", writeNoRoute)
	return g, nil
}

func (c GetIDConfig) check() error {
	var errs []error
	if c.PublicURL != "" && !isWebURL(c.PublicURL) {
		errs = append(errs, fmt.Errorf("%w: PublicURL is not an http(s) URL", ErrConfig))
	}
	if c.TokenTTL < 0 {
		errs = append(errs, fmt.Errorf("%w: TokenTTL is negative", ErrConfig))
	}
	if c.Delay < 0 {
		errs = append(errs, fmt.Errorf("%w: Delay is negative", ErrConfig))
	}
	return errors.Join(errs...)
}

func (c GetIDConfig) withDefaults() GetIDConfig {
	c.APIKey = cmp.Or(c.APIKey, DefaultGetIDKey)
	c.KeyHeader = cmp.Or(c.KeyHeader, "X-API-Key")
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	c.Addr = cmp.Or(c.Addr, "127.0.0.1:0")
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// ServeHTTP serves the fake at the root; use [http.StripPrefix] to mount it
// elsewhere.
func (g *GetID) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	g.mux.ServeHTTP(w, r)
}

// Start listens on GetIDConfig.Addr and serves there until Close. The error is
// that of [net.Listen], or [ErrStarted].
func (g *GetID) Start() error { return g.server.start(g.cfg.Addr) }

// Close stops the server and waits until every goroutine of the fake has ended.
// A second Close does nothing. A fake that is mounted elsewhere still answers.
func (g *GetID) Close() {
	g.server.close()
	g.server.wait()
}

// URL is GetIDConfig.PublicURL or, after Start, where it listens; without a
// slash at the end. It is the result API's base.
func (g *GetID) URL() string { return g.server.baseURL() }

// JWKSURL is the URL of the key set (a JWKS).
func (g *GetID) JWKSURL() string { return g.URL() + "/certs" }

// ScriptURL is a URL of the partner's script.
func (g *GetID) ScriptURL() string { return g.URL() + "/simulated-partner.js" }

// String is the URL. It is there so that printing a fake prints no key.
func (g *GetID) String() string { return "okidtest.GetID " + g.URL() }
