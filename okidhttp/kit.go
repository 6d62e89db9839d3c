package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/body"
	"github.com/okidkit/okidkit/internal/engine"
	"github.com/okidkit/okidkit/internal/seal"
	"github.com/okidkit/okidkit/internal/text"
)

// Kit verifies who the users of a web app are. It is made by [New], safe for
// concurrent use, and an [http.Handler] of all its routes.
type Kit struct {
	cfg       Config
	mount     *mount
	engine    *engine.Engine
	keys      seal.Keyring
	providers providers
	texts     *text.Catalog
	csrf      *http.CrossOriginProtection
	streams   streams

	webhooks, claims                 body.Reader
	starts, strangers                body.Reader // strangers: forms to start of whoever is not logged in
	webhooksInFlight, claimsInFlight atomic.Int64
	claimTurns                       engine.Turns
}

// New checks the configuration and returns the kit. The error names every
// problem at once. New does no I/O and starts no goroutine; see [Kit.Run] for
// the part of the work that needs one.
func New(cfg Config) (*Kit, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("okidhttp: unusable Config:\n%w", err)
	}
	keys := seal.New(cfg.Keys)
	cfg.Keys = nil
	cfg.Providers, cfg.Keep, cfg.AgeOver = slices.Clone(cfg.Providers), slices.Clone(cfg.Keep), slices.Clone(cfg.AgeOver)
	publicURL, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return nil, err
	}
	k := &Kit{
		cfg:       cfg,
		keys:      keys,
		mount:     &mount{publicURL, cfg.PublicURL},
		providers: cfg.Providers,
		texts:     text.New(cfg.Texts),
		csrf:      http.NewCrossOriginProtection(),
		webhooks:  body.Reader{Most: cfg.MaxBody, Within: webhookTime, Small: body.Room{Size: webhookSmall}, Large: body.Room{Size: webhookLarge}},
		claims:    body.Reader{Most: cfg.MaxBody, Within: userTime, Small: body.Room{Size: claimSmall}, Large: body.Room{Size: claimLarge}},
		starts:    body.Reader{Most: maxStartBody, Within: userTime, Small: body.Room{Size: startSmall}, Large: body.Room{Size: startLarge}},
		strangers: body.Reader{Most: maxStartBody, Within: userTime, Small: body.Room{Size: strangerSmall}, Large: body.Room{Size: strangerLarge}},

		claimTurns: engine.Turns{AtOnce: maxClaims, Most: maxClaimCrowd},
	}
	// A proxy may hand requests on with another Host than the browser's.
	if err := k.csrf.AddTrustedOrigin(publicURL.Scheme + "://" + publicURL.Host); err != nil {
		return nil, err
	}
	k.engine = engine.New(k.cfg.engine(keys))
	return k, nil
}

// SetKeys replaces [Config.Keys] from now on, in this process. It is safe for
// concurrent use. The error names everything that is wrong with the keys, which are
// then as before.
//
// A key that has leaked is left out: nothing that it sealed opens any more. Attempts
// that began under it can then neither be finished nor be told of, and what was kept
// is lost; the gate stays open for those who are verified. To replace a key without
// losing anything, see [Config.Keys].
func (k *Kit) SetKeys(keys [][]byte) error {
	var errs []error
	for _, text := range seal.Check(keys) {
		errs = append(errs, errors.New("keys"+text))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("okidhttp: unusable keys:\n%w", err)
	}
	k.keys.Set(keys)
	return nil
}

// ServeHTTP serves every route of the kit, directly below wherever it is mounted:
// start, page (also at the mount itself), webhook, success, error, status and claim,
// each with and without a slash at the end. Deeper paths are not found. Parameters of
// the query that the kit does not know mean nothing.
func (k *Kit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch k.mount.route(r.URL.Path) {
	case "start":
		k.start(w, r)
	case "page":
		k.page(w, r)
	case "webhook":
		k.webhook(w, r)
	case "success":
		k.comeBack(w, r, false)
	case "error":
		k.comeBack(w, r, true)
	case "status":
		k.status(w, r)
	case "claim":
		k.claim(w, r)
	default:
		k.problem(w, r, problemNotFound, nil)
	}
}

// Run does what nobody waits for: callbacks that failed are tried again,
// attempts that nobody finished expire, and verifications whose webhook was lost
// are asked for at the provider. It returns nil when ctx ends, after the
// callbacks under way have returned, or have not though their time is long over.
// Every replica may run it, and it may run again after it has returned. When it
// ends, so do the live status streams that this kit has open, so that a server can
// shut down.
//
// A kit needs one Run somewhere. Without it nothing is lost, but what failed
// waits until it is delivered again, with Config.Async nobody is told of anything,
// and nothing expires.
func (k *Kit) Run(ctx context.Context) error {
	defer k.streams.end()
	return k.engine.Run(ctx)
}

// Erase forgets a subject: the attempts, what they granted, what was kept, and
// what waits for a callback. The gate closes at once, on every replica.
//
// Nothing brings it back: webhooks and references of before belong to no attempt
// any more, and whoever works on one at this moment cannot commit. Only the
// subject's own next Start, or a claim not used before, makes a new record. That a
// claim was used, and the hash of whose it was, is remembered for ten years. Erasing
// whom the store does not know is no error; an error means that the store could not
// do it.
func (k *Kit) Erase(ctx context.Context, subject string) error {
	return k.engine.Erase(ctx, attempt.HashSubject(subject))
}

// enter counts a request that is being handled, or answers 503 and reports false if
// there are too many of its kind.
func (k *Kit) enter(w http.ResponseWriter, r *http.Request, inFlight *atomic.Int64) bool {
	if inFlight.Add(1) <= int64(k.cfg.MaxInFlight) {
		return true
	}
	inFlight.Add(-1)
	k.engine.Observe(r.Context(), engine.Busy)
	k.problem(w, r, problemBusy, nil)
	return false
}
