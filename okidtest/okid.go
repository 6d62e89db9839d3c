package okidtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/okidkit/okidkit/okid"
)

// The key and the secret of a fake that was given none. They protect nothing.
const (
	DefaultAPIKey        = "simulated-okid-api-5f27a8c3d1"
	DefaultWebhookSecret = "simulated-okid-webhook-9d41c7e2b06f"
)

// Errors of this package, matched with [errors.Is].
var (
	// ErrConfig: a setting cannot be used. The error names it.
	ErrConfig = errors.New("okidtest: bad setting")
	// ErrNotFound: there is no such process token, verification or held webhook.
	ErrNotFound = errors.New("okidtest: not found")
	// ErrExpired: the process token has expired.
	ErrExpired = errors.New("okidtest: process token has expired")
	// ErrStarted: Start was called before, or after Close.
	ErrStarted = errors.New("okidtest: already started or closed")
)

// Config is how a fake okID is to be. The zero value is ready for use.
type Config struct {
	// APIKey is the key that callers of the server API must show. Default:
	// DefaultAPIKey.
	APIKey string
	// WebhookSecret signs the webhooks. Default: DefaultWebhookSecret.
	WebhookSecret string
	// Signing is how it does. Default: the zero value.
	Signing Signing
	// TokenTTL is how long the user has to begin. Default: 30 minutes.
	TokenTTL time.Duration

	// PublicURL is where browsers find the fake: the URL under which it is
	// mounted. Default: the address of Start.
	PublicURL string
	// Addr is where Start listens. Default: a free port of 127.0.0.1.
	Addr string

	// RetryDelays are the waits before a webhook that was not answered with
	// status 200 is sent again; after the last it is given up. Default, if nil:
	// 1, 2, 4 and 8 seconds, which makes five tries. Empty: one try.
	RetryDelays []time.Duration
	// Chaos is what goes wrong with webhooks, until SetChaos.
	Chaos Chaos
	// HTTPClient sends the webhooks. It is copied; the copy follows no redirect,
	// keeps no cookie, and waits 10 seconds if no Timeout is set. Default: one
	// without a proxy.
	HTTPClient *http.Client

	// OnGenerate, if set, runs in each successful generate call, when the token
	// is valid already and before the answer is sent. It may call all methods
	// but Close, which waits for it. Its context ends with the request and at
	// Close. The metadata it sees is that of strings.
	OnGenerate func(ctx context.Context, token string, r okid.GenerateRequest)

	// Clock gives the time. Default: time.Now. Delays do not go by it: they
	// take real time, or that of a testing/synctest bubble.
	Clock func() time.Time
	// Logger is told of every call and webhook, without keys, tokens and
	// personal data. Default: none.
	Logger *slog.Logger
}

// OKID is a fake of okID's Verification API v1
// (https://www.okid.io/developer). It serves
//
//	POST /v1/verification/generate
//	GET  /v1/verification/{id}
//	GET  /sdk/okid.js               the browser SDK
//	GET  /flow?process_token=       the page on which a person picks the outcome
//
// and posts webhooks to the callback_url of the generate call. What okID does
// not document (error bodies, status words other than "completed", retries) is
// our guess. It forgets nothing until it is thrown away. To make it slow, wrap
// it in a handler of your own.
//
// All methods are safe for concurrent use. Use [NewOKID] to make one.
type OKID struct {
	webhooks
	cfg       Config // with its defaults
	ownClient bool   // cfg.HTTPClient is none of the caller's
	mux       *http.ServeMux
	server    *server

	generate endpoint
	fetch    endpoint

	choosing sync.Mutex // held while a choice on the flow page is carried out

	mu      sync.Mutex // guards the rest
	byToken map[string]*verification
	byID    map[string]*verification
}

// NewOKID makes a fake. It starts nothing and needs no Close before Start is
// called or a webhook is sent. The error wraps [ErrConfig] and names every
// setting that cannot be used.
func NewOKID(cfg Config) (*OKID, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ownClient := cfg.HTTPClient == nil
	cfg = cfg.withDefaults()

	o := &OKID{
		cfg:       cfg,
		ownClient: ownClient,
		mux:       http.NewServeMux(),
		byToken:   make(map[string]*verification),
		byID:      make(map[string]*verification),
	}
	o.server = &server{handler: o, log: cfg.Logger, url: cfg.PublicURL}
	o.webhooks = webhooks{
		client: cfg.HTTPClient,
		clock:  cfg.Clock,
		delays: cfg.RetryDelays,
		sign:   cfg.sign,
		log:    cfg.Logger,
		chaos:  cfg.Chaos.clone(),
		last:   make(map[string]*delivery),
	}
	o.webhooks.ctx, o.webhooks.cancel = context.WithCancel(context.Background())

	api := api{okid.KeyHeader, cfg.APIKey, cfg.Logger, o.webhooks.ctx, writeError}
	o.mux.HandleFunc("/v1/verification/generate", api.route(&o.generate, http.MethodPost, o.serveGenerate))
	o.mux.HandleFunc("/v1/verification/{id}", api.route(&o.fetch, http.MethodGet, o.serveFetch))
	o.mux.HandleFunc("GET /sdk/okid.js", serveSDK)
	o.mux.HandleFunc("GET /flow", o.serveFlow)
	o.mux.HandleFunc("POST /flow", o.serveChoice)
	o.mux.HandleFunc("GET /flow.css", serveFile("flow.css", "text/css; charset=utf-8"))
	o.mux.HandleFunc("GET /flow.js", serveFile("flow.js", "text/javascript; charset=utf-8"))
	return o, nil
}

func (c Config) check() error {
	var errs []error
	if c.PublicURL != "" && !isWebURL(c.PublicURL) {
		errs = append(errs, fmt.Errorf("%w: PublicURL is not an http(s) URL", ErrConfig))
	}
	if c.TokenTTL < 0 {
		errs = append(errs, fmt.Errorf("%w: TokenTTL is negative", ErrConfig))
	}
	if !c.Signing.valid() {
		errs = append(errs, fmt.Errorf("%w: Signing is unknown", ErrConfig))
	}
	errs = append(errs, checkDelays(c.RetryDelays), c.Chaos.check())
	return errors.Join(errs...)
}

func checkDelays(delays []time.Duration) error {
	if slices.ContainsFunc(delays, func(d time.Duration) bool { return d < 0 }) {
		return fmt.Errorf("%w: RetryDelays has a negative one", ErrConfig)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.APIKey = cmp.Or(c.APIKey, DefaultAPIKey)
	c.WebhookSecret = cmp.Or(c.WebhookSecret, DefaultWebhookSecret)
	c.TokenTTL = cmp.Or(c.TokenTTL, 30*time.Minute)
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	c.Addr = cmp.Or(c.Addr, "127.0.0.1:0")
	c.RetryDelays = delaysOrDefault(c.RetryDelays)
	c.HTTPClient = webhookClient(c.HTTPClient)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func delaysOrDefault(delays []time.Duration) []time.Duration {
	if delays == nil {
		return []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
	}
	return slices.Clone(delays)
}

// webhookClient is c, or a client of our own, as webhooks need it.
func webhookClient(c *http.Client) *http.Client {
	client := http.Client{Transport: &http.Transport{}}
	if c != nil {
		client = *c
	}
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = cmp.Or(client.Timeout, 10*time.Second)
	return &client
}

// sign makes the headers of a webhook under chaos.
func (c Config) sign(chaos Chaos, now time.Time, body []byte) http.Header {
	signing, secret := c.Signing, c.WebhookSecret
	if chaos.Signing != nil {
		signing = *chaos.Signing
	}
	if chaos.WrongKey {
		secret = "not " + secret
	}
	return signing.Header(secret, now, body)
}

// isWebURL reports whether s is an absolute http or https URL. Anything else,
// such as a javascript: URL, must not reach a page.
func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// ServeHTTP serves the fake at the root; use [http.StripPrefix] to mount it
// elsewhere.
func (o *OKID) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	o.mux.ServeHTTP(w, r)
}

// Start listens on Config.Addr and serves there until Close. The error is that
// of [net.Listen], or [ErrStarted].
func (o *OKID) Start() error { return o.server.start(o.cfg.Addr) }

// Close stops the server, drops the webhooks that are still being sent, and
// waits until every goroutine of the fake has ended. A second Close does
// nothing. A fake that is mounted elsewhere still answers, but sends no more.
func (o *OKID) Close() {
	o.server.close()
	o.webhooks.close()
	o.server.wait()
	if o.ownClient {
		o.cfg.HTTPClient.CloseIdleConnections()
	}
}

// URL is Config.PublicURL or, after Start, where it listens; without a slash at
// the end. It is the server API's base, and the SDK's apiUrl and frontendUrl.
func (o *OKID) URL() string { return o.server.baseURL() }

// SDKURL is the URL of the browser SDK. With the query as=var, as=class (the
// default) or as=window the SDK declares its class okID in that way.
func (o *OKID) SDKURL() string { return o.URL() + "/sdk/okid.js" }

// FlowURL is the page on which a person picks the outcome of the verification
// with this process token.
func (o *OKID) FlowURL(token string) string {
	return o.URL() + "/flow?process_token=" + url.QueryEscape(token)
}

// String is the URL. It is there so that printing a fake prints no key.
func (o *OKID) String() string { return "okidtest.OKID " + o.URL() }
