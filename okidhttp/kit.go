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

// Kit verifies who the users of a web app are. It is made by [New], and is an [http.Handler]
// of all its routes. Its methods are safe for concurrent use.
type Kit struct {
	answers
	keys        seal.Keyring
	csrf        *http.CrossOriginProtection
	streams     streams
	clientTypes clientFile

	webhooks, claims                 body.Reader
	starts, strangers                body.Reader // strangers: forms to start of whoever is not logged in
	webhooksInFlight, claimsInFlight atomic.Int64
	claimTurns                       engine.Turns
}

// answers is the part of a kit that answers requests once it is clear what there is to say: with a
// page, a problem or JSON, in the user's language. It has no state but what is in the store.
type answers struct {
	cfg          Config
	mount        *mount
	engine       *engine.Engine
	providers    providers
	texts        *text.Catalog
	clientModule clientFile
}

// New returns a kit with this configuration, or an error that names every problem of it. New
// does no I/O and starts no goroutine; see [Kit.Run] for the work in the background.
func New(cfg Config) (*Kit, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("okidhttp: unusable Config:\n%w", err)
	}
	keys := seal.New(cfg.Keys)
	cfg.Keys = nil
	cfg.FingerprintKey = slices.Clone(cfg.FingerprintKey)
	cfg.Providers, cfg.Keep, cfg.AgeOver = slices.Clone(cfg.Providers), slices.Clone(cfg.Keep), slices.Clone(cfg.AgeOver)
	publicURL, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return nil, err
	}
	k := &Kit{
		answers: answers{
			cfg:          cfg,
			mount:        &mount{publicURL, cfg.PublicURL, slices.Clone(cfg.ReturnURLs)},
			providers:    cfg.Providers,
			texts:        text.New(cfg.Texts),
			clientModule: newClientModule(cfg.Providers),
		},
		keys:        keys,
		csrf:        http.NewCrossOriginProtection(),
		clientTypes: newClientFile("application/typescript; charset=utf-8", clientTypes),

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

// SetKeys replaces [Config.Keys] in this process from now on. It returns an error that names
// every problem of the keys, and then changes nothing.
//
// To replace a key without losing anything, follow [Config.Keys]. Leave a key out only if it
// has leaked: nothing that it sealed can be opened any more. Attempts that began under it can
// then not be finished, the host is not told of them, and what was kept is lost. The gate stays
// open for those who are verified.
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

// ServeHTTP serves the routes start, page, webhook, success, error, status, claim, client.js and
// client.d.ts directly below the mount, with or without a slash at the end; the mount itself is
// the page. Deeper paths are not found. Query parameters that the kit does not know are ignored.
func (k *Kit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch k.mount.route(r) {
	case "start":
		k.serve("start", k.start, w, r)
	case "page":
		k.serve("page", k.page, w, r)
	case "webhook":
		k.serve("webhook", k.webhook, w, r)
	case "success":
		k.serve("success", k.success, w, r)
	case "error":
		k.serve("error", k.failure, w, r)
	case "status":
		k.serve("status", k.status, w, r)
	case "claim":
		k.serve("claim", k.claim, w, r)
	case "client.js", "client.d.ts":
		k.serve("client", k.client, w, r)
	default:
		k.problem(w, r, problemNotFound, nil)
	}
}

// Run performs background work until ctx is done: it retries callbacks, expires attempts that
// nobody finished, and asks the provider about verifications whose webhook may be lost. It then
// returns nil, as soon as the callbacks under way have returned, or should have long since. It
// also ends the live status streams of this kit, so that a server can shut down. Every replica
// may call Run, and call it again after it has returned.
//
// At least one process should run it. Without Run nothing is lost, but failed callbacks wait
// until the provider delivers again, nothing expires, and with [Config.Async] the host is told
// nothing.
func (k *Kit) Run(ctx context.Context) error {
	defer k.streams.end()
	return k.engine.Run(ctx)
}

// Erase forgets a subject: the attempts, the grant, what was kept, and what waits for a
// callback. The gate shuts at once, on every replica. Erasing a subject of whom nothing is
// known is not an error.
//
// Nothing brings a subject back: earlier webhooks and references belong to no attempt any
// more, and work in progress cannot be committed. Only the subject's own next start, or a claim
// that was not used before, creates a new record. That a claim was used, with a hash of whose
// it was, is remembered for ten years.
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
