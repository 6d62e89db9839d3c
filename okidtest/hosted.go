package okidtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// HostedConfig is how a fake [Portal] or [Direct] is to be. The zero value is ready for use.
type HostedConfig struct {
	// APIKey is the key that callers of the server API must show. Default:
	// [DefaultPortalKey] or [DefaultDirectKey].
	APIKey string
	// SessionTTL is how long the user has to begin. Default: 30 minutes.
	SessionTTL time.Duration
	// WebhookURL is where webhooks go, until SetWebhookURL. At the real providers it is
	// entered in a dashboard, so that no request says it. Empty: there are none, and the
	// app must ask by itself.
	WebhookURL string
	// OtherForm lets the fake answer in the other of two forms, where the provider's
	// documents have two: the status of [Portal] is a string instead of an object, the
	// link of [Direct] stands below data.
	OtherForm bool

	// PublicURL is where browsers find the fake: the URL under which it is
	// mounted. Default: the address of Start.
	PublicURL string
	// Addr is where Start listens. Default: a free port of 127.0.0.1.
	Addr string

	// RetryDelays are as in [Config].
	RetryDelays []time.Duration
	// Chaos is what goes wrong with webhooks, until SetChaos. The name of an event is the
	// word for the status in it. Chaos.Signing means nothing here, and Chaos.WrongKey
	// nothing to [Portal], whose webhooks are not signed.
	Chaos Chaos
	// HTTPClient sends the webhooks, as in [Config].
	HTTPClient *http.Client

	// Clock gives the time. Default: time.Now.
	Clock func() time.Time
	// Logger is told of every call and webhook, without keys, ids, links and personal data.
	// Default: none.
	Logger *slog.Logger
}

func (c HostedConfig) check() error {
	var errs []error
	for name, u := range map[string]string{"PublicURL": c.PublicURL, "WebhookURL": c.WebhookURL} {
		if u != "" && !isWebURL(u) {
			errs = append(errs, fmt.Errorf("%w: %s is not an http(s) URL", ErrConfig, name))
		}
	}
	if c.SessionTTL < 0 {
		errs = append(errs, fmt.Errorf("%w: SessionTTL is negative", ErrConfig))
	}
	errs = append(errs, checkDelays(c.RetryDelays), c.Chaos.check())
	return errors.Join(errs...)
}

func (c HostedConfig) withDefaults(key string) HostedConfig {
	c.APIKey = cmp.Or(c.APIKey, key)
	c.SessionTTL = cmp.Or(c.SessionTTL, 30*time.Minute)
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

// hosted is what the two fakes have in common whose provider has a page of its own and tells the
// id at the start.
type hosted struct {
	webhooks
	cfg       HostedConfig // with its defaults
	ownClient bool         // cfg.HTTPClient is none of the caller's
	mux       *http.ServeMux
	server    *server

	begin endpoint
	fetch endpoint

	mu         sync.Mutex // guards the rest, and every session
	webhookURL string
	sessions   []*hostedSession
}

// hostedSession is what one call began.
type hostedSession struct {
	id        string // by which tests name it
	own       string // the provider's id of the application, with [Direct]
	link      string // the token of the link, with [Direct]
	reference string
	extra     json.RawMessage // what came with the reference
	created   time.Time
	expires   time.Time
	next      string // where the user goes afterwards, or empty
	status    string // the provider's word; empty until the user begins
	polls     int    // how many more questions find no verdict
	found     json.RawMessage
	erased    bool
}

// newHosted makes what both fakes have. sign makes the headers of a webhook.
func newHosted(cfg HostedConfig, key string, sign func(c Chaos, now time.Time, body []byte) http.Header) (*hosted, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ownClient := cfg.HTTPClient == nil
	cfg = cfg.withDefaults(key)
	h := &hosted{cfg: cfg, ownClient: ownClient, mux: http.NewServeMux(), webhookURL: cfg.WebhookURL}
	h.server = &server{handler: h, log: cfg.Logger, url: cfg.PublicURL}
	h.webhooks = webhooks{
		client: cfg.HTTPClient,
		clock:  cfg.Clock,
		delays: cfg.RetryDelays,
		sign:   sign,
		log:    slog.New(slog.DiscardHandler), // it would say the ids
		chaos:  cfg.Chaos.clone(),
		last:   make(map[string]*delivery),
	}
	h.webhooks.ctx, h.webhooks.cancel = context.WithCancel(context.Background())
	h.mux.HandleFunc("GET /flow.css", serveFile("flow.css", "text/css; charset=utf-8"))
	h.mux.HandleFunc("GET /flow.js", serveFile("flow.js", "text/javascript; charset=utf-8"))
	return h, nil
}

// ServeHTTP serves the fake at the root; use [http.StripPrefix] to mount it elsewhere.
func (h *hosted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

// Start listens on HostedConfig.Addr and serves there until Close. The error is that of
// [net.Listen], or [ErrStarted].
func (h *hosted) Start() error { return h.server.start(h.cfg.Addr) }

// Close stops the server, drops the webhooks that are still being sent, and waits until every
// goroutine of the fake has ended. A second Close does nothing.
func (h *hosted) Close() {
	h.server.close()
	h.webhooks.close()
	h.server.wait()
	if h.ownClient {
		h.cfg.HTTPClient.CloseIdleConnections()
	}
}

// URL is HostedConfig.PublicURL or, after Start, where it listens; without a slash at the end.
func (h *hosted) URL() string { return h.server.baseURL() }

// SetWebhookURL replaces HostedConfig.WebhookURL for the webhooks from now on. The error wraps
// [ErrConfig], and then nothing is changed.
func (h *hosted) SetWebhookURL(u string) error {
	if u != "" && !isWebURL(u) {
		return fmt.Errorf("%w: webhook URL is not an http(s) URL", ErrConfig)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.webhookURL = u
	return nil
}

// StartCalls counts the calls that begin a verification, refused and failed ones included.
func (h *hosted) StartCalls() int { return h.begin.count() }

// FetchCalls counts the questions how one stands, refused and failed ones included.
func (h *hosted) FetchCalls() int { return h.fetch.count() }

// FailStart lets answer serve the next n calls that begin a verification, after those that wait to
// fail already. [Status], [TooManyRequests], [Answer], [Huge], [Hang], [Garbage] and
// [http.RedirectHandler] are ready-made; the context ends when the caller goes away, and at
// Close.
func (h *hosted) FailStart(n int, answer http.Handler) { h.begin.fail(n, answer) }

// FailFetch does the same for the questions how a verification stands.
func (h *hosted) FailFetch(n int, answer http.Handler) { h.fetch.fail(n, answer) }

// IDs lists the verifications that were begun, oldest first, by the ids that the methods take.
func (h *hosted) IDs() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for _, s := range h.sessions {
		ids = append(ids, s.id)
	}
	return ids
}

// add keeps a session.
func (h *hosted) add(s *hostedSession) {
	s.created = h.cfg.Clock()
	s.expires = s.created.Add(h.cfg.SessionTTL)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions = append(h.sessions, s)
}

// find returns the newest session for which is is true, or nil. The caller holds mu.
func (h *hosted) find(is func(*hostedSession) bool) *hostedSession {
	for i := len(h.sessions) - 1; i >= 0; i-- {
		if is(h.sessions[i]) {
			return h.sessions[i]
		}
	}
	return nil
}

// set lets a session stand at this word, which polls more questions do not find, and sends the
// webhook that body makes.
func (h *hosted) set(id, status string, polls int, found json.RawMessage, body func(*hostedSession) []byte) error {
	if polls < 0 {
		return fmt.Errorf("%w: polls is negative", ErrConfig)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.find(func(s *hostedSession) bool { return s.id == id })
	if s == nil || s.erased {
		return fmt.Errorf("%w: verification", ErrNotFound)
	}
	s.status, s.polls, s.found = status, polls, found
	if h.webhookURL != "" {
		h.send(h.webhookURL, id, status, body(s))
	}
	return nil
}

// beginSession is set for a user who begins, and does nothing for one who has begun.
func (h *hosted) beginSession(id, status string, body func(*hostedSession) []byte) error {
	h.mu.Lock()
	s := h.find(func(s *hostedSession) bool { return s.id == id })
	begun := s != nil && s.status != ""
	late := s != nil && !h.cfg.Clock().Before(s.expires)
	h.mu.Unlock()
	switch {
	case begun:
		return nil
	case late:
		return ErrExpired
	}
	return h.set(id, status, 0, nil, body)
}

// verifyUser begins a verification at startURL, lets complete end it, sends the user back, and
// waits for the app's verdict.
func (h *hosted) verifyUser(ctx context.Context, client *http.Client, startURL string, complete func(link string) (next string, err error)) error {
	var started struct {
		PageURL string `json:"page_url"`
		Attempt string
		SDK     struct{ URL string }
		Code    string // of a problem
	}
	status, err := call(ctx, client, http.MethodPost, startURL, &started)
	if err != nil {
		return err
	}
	if started.SDK.URL == "" {
		return fmt.Errorf("okidtest: %s answered %s %s and no page of the provider's", startURL, status, started.Code)
	}
	next, err := complete(started.SDK.URL)
	if err != nil {
		return err
	}
	if next != "" {
		if _, err := call(ctx, client, http.MethodGet, next, nil); err != nil {
			return err
		}
	}
	page, err := url.Parse(started.PageURL)
	if err != nil {
		return fmt.Errorf("okidtest: page_url: %w", err)
	}
	page.Path = strings.TrimSuffix(page.Path, "/page") + "/status"
	for {
		var stands struct {
			RetryAfter int `json:"retry_after"`
		}
		status, err := call(ctx, client, http.MethodGet, page.String(), &stands)
		switch {
		case err != nil:
			return err
		case !strings.HasPrefix(status, "200"):
			return fmt.Errorf("okidtest: %s answered %s", page.Path, status)
		case stands.RetryAfter == 0:
			return h.Wait(ctx)
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}
