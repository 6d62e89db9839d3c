package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/text"
)

// Kit verifies who the users of a web app are. It is made by [New], safe for
// concurrent use, and an [http.Handler] of all its routes.
type Kit struct {
	cfg       Config
	keys      keyring
	providers map[string]identity.Provider
	publicURL *url.URL // Config.PublicURL
	texts     *text.Catalog
	csrf      *http.CrossOriginProtection
	wake      chan struct{} // tells Run that there is work; holds one signal
	streams   streams
	questions *quota

	webhooks, claims                 bodies
	starts, strangers                bodies // strangers: forms to start of whoever is not logged in
	webhooksInFlight, claimsInFlight atomic.Int64
	claimTurns, startTurns           turns
	lines                            lines
}

// New checks the configuration and returns the kit. The error names every
// problem at once. New does no I/O and starts no goroutine; see [Kit.Run] for
// the part of the work that needs one.
func New(cfg Config) (*Kit, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("okidhttp: unusable Config:\n%w", err)
	}
	keys := newKeyring(cfg.Keys)
	cfg.Keys = nil
	cfg.Providers, cfg.Keep, cfg.AgeOver = slices.Clone(cfg.Providers), slices.Clone(cfg.Keep), slices.Clone(cfg.AgeOver)
	publicURL, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return nil, err
	}
	k := &Kit{
		cfg:       cfg,
		keys:      keys,
		providers: map[string]identity.Provider{},
		publicURL: publicURL,
		texts:     text.New(cfg.Texts),
		csrf:      http.NewCrossOriginProtection(),
		wake:      make(chan struct{}, 1),
		questions: newQuota(),
		webhooks:  bodies{most: cfg.MaxBody, within: webhookTime, small: room{size: webhookSmall}, large: room{size: webhookLarge}},
		claims:    bodies{most: cfg.MaxBody, within: userTime, small: room{size: claimSmall}, large: room{size: claimLarge}},
		starts:    bodies{most: maxStartBody, within: userTime, small: room{size: startSmall}, large: room{size: startLarge}},
		strangers: bodies{most: maxStartBody, within: userTime, small: room{size: strangerSmall}, large: room{size: strangerLarge}},

		claimTurns: turns{atOnce: maxClaims, most: maxClaimCrowd},
		startTurns: turns{atOnce: 1, most: maxStartCrowd},
	}
	// A proxy may hand requests on with another Host than the browser's.
	if err := k.csrf.AddTrustedOrigin(publicURL.Scheme + "://" + publicURL.Host); err != nil {
		return nil, err
	}
	for _, p := range cfg.Providers {
		k.providers[p.Name()] = p
	}
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
	for _, text := range checkKeys(keys) {
		errs = append(errs, errors.New("keys"+text))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("okidhttp: unusable keys:\n%w", err)
	}
	k.keys.set(keys)
	return nil
}

// ServeHTTP serves every route of the kit, directly below wherever it is mounted:
// start, page (also at the mount itself), webhook, success, error, status and claim,
// each with and without a slash at the end. Deeper paths are not found. Parameters of
// the query that the kit does not know mean nothing.
func (k *Kit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch k.route(r.URL.Path) {
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

// provider is the one that ?provider= names, or the default.
func (k *Kit) provider(r *http.Request) (identity.Provider, bool) {
	name, _ := parameter(r, "provider")
	if name == "" {
		return k.cfg.Providers[0], true
	}
	p, ok := k.providers[name]
	return p, ok
}

// url is a URL under the mount. The query has names and values by turns, of which those
// without a value are left out.
func (k *Kit) url(route string, query ...string) string {
	u, separator := k.cfg.PublicURL+"/"+route, "?"
	for i := 0; i+1 < len(query); i += 2 {
		if value := query[i+1]; value != "" {
			u += separator + query[i] + "=" + url.QueryEscape(value)
			separator = "&"
		}
	}
	return u
}

// Outcome is what came of something that the kit did, for logs and counters.
// There are no others than these constants.
type Outcome string

const (
	// OutcomeApplied: a notice took effect, and the host knows.
	OutcomeApplied Outcome = "applied"
	// OutcomeQueued: a notice is durable, and Run will tell the host.
	OutcomeQueued Outcome = "queued"
	// OutcomeHeld: a verification is durable, and waits for its subject to come
	// back (Config.RequireReturn).
	OutcomeHeld Outcome = "held"
	// OutcomeDuplicate: a notice was delivered again.
	OutcomeDuplicate Outcome = "duplicate"
	// OutcomeLate: a notice says nothing that still matters.
	OutcomeLate Outcome = "late"
	// OutcomeUnknownWord: a notice uses a word that the kit does not know.
	OutcomeUnknownWord Outcome = "unknown_word"
	// OutcomeUnknownAttempt: an authentic notice does not belong to an attempt of
	// this kit, or contradicts what the attempt was started with.
	OutcomeUnknownAttempt Outcome = "unknown_attempt"
	// OutcomeImplausible: an authentic notice tells of a time before the attempt
	// began or after now.
	OutcomeImplausible Outcome = "implausible_time"
	// OutcomeVetoed: Config.Decide refused a verification.
	OutcomeVetoed Outcome = "vetoed"
	// OutcomeDocumentRefused: a verification was refused for its document, which had
	// expired, or whose expiry date cannot be read.
	OutcomeDocumentRefused Outcome = "document_refused"
	// OutcomeUnreadable: a verification has a date that is there and cannot be read,
	// which the log names. Without its expiry a document opens no gate (see
	// Config.AllowExpiredDocument), and without a date of birth nobody has an age.
	OutcomeUnreadable Outcome = "unreadable_date"
	// OutcomeUnauthentic: a webhook was not signed by the provider, or carries
	// no usable timestamp.
	OutcomeUnauthentic Outcome = "unauthentic"
	// OutcomeStale: an authentic webhook was too old to be believed, and the
	// provider could not settle it.
	OutcomeStale Outcome = "stale"
	// OutcomeMalformed: an authentic webhook cannot be read.
	OutcomeMalformed Outcome = "malformed"
	// OutcomeBodyRead: something in front of the kit read the body of a webhook or
	// claim.
	OutcomeBodyRead Outcome = "body_already_read"
	// OutcomeBusy: a request was refused because too much is going on: more webhooks
	// or claims than Config.MaxInFlight, more bodies than there is memory for, or
	// more claims or starts of one subject at the same time than one subject may have.
	OutcomeBusy Outcome = "busy"
	// OutcomeInFlight: the host is being told about the attempt elsewhere.
	OutcomeInFlight Outcome = "in_flight"
	// OutcomeCallbackFailed: the host's callback failed and will be tried again.
	OutcomeCallbackFailed Outcome = "callback_failed"
	// OutcomeStuck: Run has worked on a user's record for much longer than callbacks
	// may take, so one of them does not look at its context. Other users are served
	// all the same, this one not until it returns.
	OutcomeStuck Outcome = "stuck"
	// OutcomeDeadLetter: a notice was given up.
	OutcomeDeadLetter Outcome = "dead_letter"
	// OutcomeUnaddressable: an attempt has expired whose user came back from the
	// provider, but of which no webhook ever came.
	OutcomeUnaddressable Outcome = "unaddressable"
	// OutcomeNoVerdict: a claim has led to no verdict within 15 minutes.
	OutcomeNoVerdict Outcome = "no_verdict"
	// OutcomeClaimTaken: a user presented the claim to a verification that another
	// user had claimed before, or the same user, but it was erased or forgotten.
	OutcomeClaimTaken Outcome = "claim_taken"
	// OutcomeProviderFailed: the provider could not be asked, or refused.
	OutcomeProviderFailed Outcome = "provider_failed"
	// OutcomeStoreFailed: the store could not be read or written.
	OutcomeStoreFailed Outcome = "store_failed"
	// OutcomeSubjectFailed: Config.Subject could not tell who somebody is.
	OutcomeSubjectFailed Outcome = "subject_failed"
	// OutcomeClientGone: a request was not dealt with because its client had hung up,
	// or Run ended meanwhile.
	OutcomeClientGone Outcome = "client_gone"
	// OutcomeStarted: an attempt was started at the provider.
	OutcomeStarted Outcome = "started"
	// OutcomeLimited: an attempt was refused by Config.StartLimit.
	OutcomeLimited Outcome = "limited"
)

// level is how loud an outcome is: a warning if somebody should look into it,
// and no more than debug if it is a matter of course.
func (o Outcome) level() slog.Level {
	switch o {
	case OutcomeDuplicate, OutcomeLate, OutcomeInFlight, OutcomeQueued, OutcomeClientGone:
		return slog.LevelDebug
	case OutcomeApplied, OutcomeHeld, OutcomeVetoed, OutcomeDocumentRefused, OutcomeStarted, OutcomeLimited:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// counts reports whether each line about an outcome counts by itself. It comes of what
// is authentic and happens once; all others can be caused as often as somebody likes.
func (o Outcome) counts() bool {
	switch o {
	case OutcomeApplied, OutcomeQueued, OutcomeHeld, OutcomeVetoed, OutcomeDocumentRefused, OutcomeUnreadable, OutcomeStarted,
		OutcomeCallbackFailed, OutcomeDeadLetter, OutcomeUnaddressable, OutcomeNoVerdict:
		return true
	}
	return false
}

// observe logs an outcome and counts it.
func (k *Kit) observe(ctx context.Context, o Outcome, args ...any) {
	switch level := o.level(); {
	case !k.cfg.Logger.Enabled(ctx, level):
	case o.counts():
		k.cfg.Logger.Log(ctx, level, "okidhttp: "+string(o), args...)
	default:
		k.log(ctx, level, string(o), "okidhttp: "+string(o), args...)
	}
	if k.cfg.Observe == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil { // a counter is no reason to lose what is being done
			k.log(ctx, slog.LevelError, "observe", "okidhttp: Config.Observe panicked", "panic", fmt.Sprint(v))
		}
	}()
	k.cfg.Observe(ctx, o)
}

// observeNotice is observe for what came of a notice about an attempt, with the
// error if there is one. It makes nothing for a log that does not want it.
func (k *Kit) observeNotice(ctx context.Context, o Outcome, n identity.Notice, id attemptID, err error) {
	switch {
	case err != nil:
		k.failed(ctx, o, err, "notice", n, "attempt", id)
	case !k.cfg.Logger.Enabled(ctx, o.level()):
		k.observe(ctx, o)
	default:
		k.observe(ctx, o, "notice", n, "attempt", id)
	}
}

// enter counts a request that is being handled, or answers 503 and reports false if
// there are too many of its kind.
func (k *Kit) enter(w http.ResponseWriter, r *http.Request, inFlight *atomic.Int64) bool {
	if inFlight.Add(1) <= int64(k.cfg.MaxInFlight) {
		return true
	}
	inFlight.Add(-1)
	k.observe(r.Context(), OutcomeBusy)
	k.problem(w, r, problemBusy, nil)
	return false
}
