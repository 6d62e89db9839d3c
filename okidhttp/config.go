package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
	"github.com/okidkit/okidkit/internal/redact"
	"github.com/okidkit/okidkit/internal/seal"
	"github.com/okidkit/okidkit/internal/text"
	"github.com/okidkit/okidkit/store"
)

// Config configures a [Kit]. [New] copies it, checks it and fills in the defaults.
//
// A Config prints, logs and marshals without its fields, since some of them are secret.
//
// # Required
//
// [Config.Providers], [Config.Store], [Config.PublicURL], [Config.Keys] and
// [Config.Subject]. Every other field has a safe default.
//
// # Callbacks
//
// [Config.OnVerified] and its siblings tell the host what has happened, [Config.OnExpiring]
// what will, [Config.Decide] asks it whether a verification may count, [Config.OnUnknown] passes on webhooks that belong to
// nobody here, and [Config.Metadata] is what the host sends along.
//
// # What counts, and for how long
//
// [Config.MaxAge], [Config.RemindBefore], [Config.AllowExpiredDocument], [Config.AgeOver],
// [Config.Location], [Config.FingerprintKey], [Config.Keep], [Config.GrantCache], [Config.RecheckVerified], [Config.ConfirmByFetch] and
// [Config.RequireReturn].
//
// # Pages and redirects
//
// [Config.AfterSuccess], [Config.AfterError], [Config.ReturnURLs], [Config.Brand], [Config.Language],
// [Config.Texts], [Config.Pages], [Config.QRCode], [Config.LoginURL] and [Config.Unauthorized].
//
// # Limits and times
//
// [Config.StartLimit], [Config.StartedLimit], [Config.CallbackTimeout], [Config.Lease],
// [Config.Async], [Config.Retention], [Config.UnverifiedRetention], [Config.MaxBody] and
// [Config.MaxInFlight].
//
// # Observation
//
// [Config.Logger], [Config.Observer], [Config.SupportCodes] and [Config.Now].
type Config struct {
	redacted[Config]

	// Providers are the services that verify. The first one is the default, and
	// ?provider=NAME chooses another. Required.
	Providers []identity.Provider

	// Store keeps the records: memstore.New() for a single process, redisstore for
	// several. Required.
	Store store.Store

	// PublicURL is where the kit is mounted, as browsers and providers see it, such as
	// "https://app.example.com/verify". Every URL that the kit hands out begins with it;
	// none is ever made from a request. It must be ASCII, so internationalized names begin
	// with "xn--", and https, unless its host is a loopback address. A proxy may change the
	// part of the path before the mount, if it does so for the kit and for what the gate
	// guards alike. Required.
	PublicURL string

	// Keys seal references and personal values. Each is 32 random bytes. The first one
	// seals, and all of them open. Required.
	//
	// To rotate, append the new key and deploy; move it to the front and deploy; drop the
	// old one when no verification that began under it is wanted any more. A new key must
	// not be put in front at once: processes that do not have it yet could not open the
	// references that it seals, and would take their webhooks for somebody else's.
	// [Kit.SetKeys] changes the keys of a running process.
	Keys [][]byte

	// Subject returns the user of a request: an id that never changes and is never given to
	// somebody else. It is the only source of subjects; nothing in a request can name one.
	// Required.
	//
	// An empty subject, and an error that wraps [ErrAnonymous] or [http.ErrNoCookie], mean
	// that nobody is logged in. Any other error means that nobody can tell, because the
	// session store is away, say: the answer is then 503, and the gate stays shut.
	Subject func(r *http.Request) (string, error)

	// OnStarted, OnReview, OnVerified, OnFailed, OnExpired and OnRevoked tell the host of an
	// attempt's new status. If one is nil, its status is not reported.
	//
	// OnVerified is called before the gate opens, the others after the attempt has changed.
	// A callback is called until it returns nil, so it may get an event more than once, each
	// time with the same [Event.ID]. An error or a panic means "try again later"; see
	// [Permanent] for giving up. There is at most one call at a time for one attempt, if
	// callbacks return when their context ends.
	//
	// Events are told in order: one that could not be told is dropped as soon as a newer one
	// was. OnRevoked may come though OnVerified never returned nil, since it may have had an
	// effect all the same.
	OnStarted  func(ctx context.Context, e Event) error
	OnReview   func(ctx context.Context, e Event) error
	OnVerified func(ctx context.Context, e Event) error
	OnFailed   func(ctx context.Context, e Event) error
	OnExpired  func(ctx context.Context, e Event) error
	OnRevoked  func(ctx context.Context, e Event) error

	// OnExpiring tells the host, once, that a verification will stop to count by itself, at
	// [Event.ExpiresAt], so that it can ask the user to renew it. It is called RemindBefore
	// ahead of that, or when the verification begins to count if that is later. If nil, the
	// host is not told.
	OnExpiring func(ctx context.Context, e Event) error

	// Decide may refuse a verification before it counts: of somebody too young, say, or with
	// another name than the account's. It refuses by returning what [Refuse] returns. The
	// attempt then fails with that reason and stays so; it is revoked instead if OnVerified
	// may have been called for it before a crash. Any other error, and a panic, mean that
	// Decide cannot tell, and it is asked again later; an error made with [Permanent] gives
	// the verification up. If nil, every verification counts.
	Decide func(ctx context.Context, e Event) error

	// OnUnknown gets authentic webhooks that do not belong to an attempt of this kit, each
	// time they are delivered, for hosts that also start verifications elsewhere with the
	// same account at the provider. An error makes the provider send the webhook again. If
	// nil, they are logged and dropped.
	OnUnknown func(ctx context.Context, n identity.Notice) error

	// Metadata returns what is sent to the provider with a new attempt and comes back as
	// [Event.Metadata]: at most 64 members and 4 KiB in all. The name "reference" is
	// reserved for the kit. If nil, nothing is sent.
	Metadata func(r *http.Request) (map[string]string, error)

	// Keep lists the personal fields that the record keeps, sealed with Keys, for
	// [Kit.Kept]. If empty, none are kept.
	Keep []identity.Field

	// AgeOver lists at most 16 ages in years. A grant says of each of them whether the user
	// has reached it. The date of birth is not kept: for an age that is yet to be reached,
	// the record keeps the day, sealed with Keys. If empty, grants say nothing about age.
	AgeOver []int

	// MaxAge is how long a verification stays valid. If zero, it does not expire.
	MaxAge time.Duration

	// RemindBefore is how long before the end of a verification [Config.OnExpiring] is
	// called. If zero, 30 days, or a quarter of MaxAge if that is less.
	RemindBefore time.Duration

	// FingerprintKey makes the kit find out who else was verified with the same document, for
	// [Event.SameDocument]: a keyed fingerprint of its country, type and number is kept, with
	// hashes of the subjects who presented it, and nothing that could be read without the key.
	// Each key is at least 32 random bytes, that serve nothing else. The first one makes new
	// fingerprints, and all of them find. To rotate, append the new key and deploy; move it to
	// the front and deploy; drop the old one when documents that were seen under it need not be
	// found any more, since the number that another fingerprint would take is not kept. If
	// empty, nobody is told.
	FingerprintKey [][]byte

	// EraseAtProvider lets [Kit.Erase] have the subject's verifications erased at those
	// providers that can be told to ([identity.Eraser]), too. [Kit.Run] does that, and tries
	// again for thirty days if a provider fails. If false, what a provider keeps is between
	// the host and the provider.
	EraseAtProvider bool

	// SupportCodes lets [Kit.Find] find attempts by the support code that the pages show and the
	// log has. It costs each start one more write, which takes place while the provider is asked.
	// If false, Find takes references alone.
	SupportCodes bool

	// AllowExpiredDocument accepts documents that have expired, or whose expiry date cannot
	// be read. If false, a verification with such a document is refused before the host is
	// told, with [ReasonDocumentExpired] or [ReasonDocumentUnreadable], and the gate shuts
	// when the document of a valid verification expires.
	AllowExpiredDocument bool

	// Location is the time zone of the host's days. It decides when somebody's birthday is,
	// and when the day ends on which a document expires. If nil, UTC.
	Location *time.Location

	// GrantCache is how long one process may let somebody through the gate by what it has read
	// before. Who is shut out is never remembered. What the process itself changes, or hears of,
	// counts at once; a change by another one, such as a revocation, within GrantCache. With a
	// second, a busy user costs the store one read a second. If zero, each visit reads the store.
	GrantCache time.Duration

	// RecheckVerified is how often [Kit.Run] asks the provider whether a verification still
	// stands, in case the webhook that withdrew it was lost. A verification that is older
	// than seven such periods is asked about a seventh as often. If zero, 24 hours, so daily
	// for a week and then weekly. If negative, never. Otherwise at least an hour.
	RecheckVerified time.Duration

	// StartLimit limits how many attempts a subject may start, since each costs money. If
	// nil, [AtMost](5, 24*time.Hour).
	StartLimit Limit

	// ConfirmByFetch asks the provider's API before a signed webhook may verify anybody. While
	// the provider cannot be asked, the verification waits.
	ConfirmByFetch bool

	// RequireReturn holds a verification back until its subject has come back from the
	// provider, logged in, to [Kit.Success] or [Kit.Error]. Whoever is tricked into finishing
	// an attempt that was started from another account then verifies nobody, unless the
	// attacker opens that URL as well; so let Decide compare names, too. A flow that is
	// finished on another device needs the subject to be logged in there. If false, a
	// verification counts as soon as it is known.
	RequireReturn bool

	// Async answers a webhook as soon as it is durable, and leaves the callback to
	// [Kit.Run]. If false, the callback runs within the request.
	Async bool

	// AfterSuccess and AfterError are where users go who come back from the provider, once
	// the verdict is known, unless the page that they wanted to see is known: a path of the
	// host's, or a URL, as browsers see it. If empty, "/", and the kit's own page, which
	// offers another try.
	AfterSuccess, AfterError string

	// ReturnURLs are places outside this site to which return_to may lead, too: exactly these,
	// such as "com.example.app:/verified" of a native app, or a page of another site of yours.
	// Coming there proves nothing. If empty, return_to leads to pages of this site alone.
	ReturnURLs []string

	// Brand is the name, color and logo that the pages show. If zero, none.
	Brand Brand

	// Language returns the language in which the pages speak to the user of a request, as a
	// language tag such as "nl". If nil, or if there are no texts in that language, the
	// header Accept-Language decides, and then it is English. docs/pages.md lists the kit's
	// languages; [Config.Texts] adds others.
	Language func(r *http.Request) string

	// Texts are the host's own words, by language tag and then by the kit's English text;
	// docs/pages.md lists those. They add languages, and replace texts in the kit's own.
	// Missing texts fall back to the kit's translation, then to English.
	//
	// The text for a reason that is given to [Refuse] goes by that reason:
	// {"en": {"name_mismatch": "The name is not that of your account."}}. Without one, the
	// pages do not say why.
	Texts map[string]map[string]string

	// QRCode draws a text as a QR code, in SVG. With it, whoever has begun on a device without a good
	// camera can go on with the same attempt on their phone, once they are logged in there. Package
	// okidqr has one. If nil, the pages have no code.
	QRCode func(text string) (svg []byte, err error)

	// Pages are the host's own pages, which replace the kit's by name: start.html for
	// [StartPage], sdk.html for [SDKPage], pending.html for [PendingPage], message.html for
	// [MessagePage], and style.css for the look of those that remain. They may use the kit's
	// templates sdk.js and pending.js. [New] copies them, and returns an error if one cannot
	// be shown. If nil, the kit's pages are used.
	Pages *template.Template

	// LoginURL is where users log in: a path, or a URL. If nobody is logged in, the gate and the
	// page send browsers there, with 303 and the way back as return_to in the query: a path of
	// this site if LoginURL is one, else a URL. Scripts, and all others, get 401. If empty,
	// browsers get a page that asks them to log in.
	LoginURL string

	// Unauthorized answers requests to the gate, the page and start if nobody is logged in, in
	// place of LoginURL. Scripts and API clients ask, too: an answer that leads them to a page
	// for people breaks them. If nil, LoginURL counts.
	Unauthorized http.Handler

	// CallbackTimeout limits one call of the host, and one question to the provider on its
	// way there. At most 5 minutes. If zero, 10 seconds.
	CallbackTimeout time.Duration

	// Lease is how long a process that is calling the host may stay silent before another
	// one takes over with the same event: after a crash, the host is called again that much
	// later. The lease is renewed every third of this time while a callback runs, however
	// long. Between 1 second and 10 minutes. If zero, 30 seconds.
	Lease time.Duration

	// StartedLimit is how long an attempt that was started, or claimed, may take before it
	// expires. Between 1 minute and 90 days. If zero, 24 hours.
	StartedLimit time.Duration

	// Retention is how long the record of a verified subject is kept after its last change.
	// When the record goes, the gate shuts, and webhooks for it change nothing. At least 90
	// days. If zero, 10 years.
	Retention time.Duration

	// UnverifiedRetention is Retention for everybody else: those who never finished, were
	// refused, or are no longer verified. At least 100 days, so that no attempt outlasts it.
	// If zero, 180 days.
	UnverifiedRetention time.Duration

	// MaxBody limits the body of a webhook or a claim, in bytes. Between 1 KiB and 256 KiB,
	// since what it says must fit into a record. If zero, 256 KiB. The memory of all unread
	// bodies together is limited apart from this; see docs/operations.md.
	MaxBody int64

	// MaxInFlight limits how many webhooks, and apart from them how many claims, one process
	// handles at a time. The next one gets 503 with Retry-After. Only authentic ones count:
	// forged or unfinished ones keep nobody out. If zero, 1000.
	MaxInFlight int

	// Logger gets constant messages, without secrets or personal data. Of what strangers can
	// cause at will, it gets ten lines a second of each kind, and how many more there were.
	// If nil, [slog.Default].
	Logger *slog.Logger

	// Observer is told of every operation and every outcome, for traces and metrics. If nil,
	// nobody is, and that costs nothing.
	Observer Observer

	// Now is the clock with which the timestamps of webhooks are compared. Leases, due times
	// and expiry go by the store's clock. If nil, [time.Now].
	Now func() time.Time
}

// redacted makes T print, log and marshal as its name alone.
type redacted[T any] = redact.Type[T]

// Limit returns how long a subject must wait before another attempt. If it returns zero or
// less, the subject need not wait. It gets the times of the subject's last attempts, at
// most 32 of them, oldest first.
type Limit func(now time.Time, starts []time.Time) time.Duration

// AtMost returns a [Limit] of n attempts in any period of the given length. If n is more
// than 32, it is 32; if it is zero or less, nobody may start.
func AtMost(n int, period time.Duration) Limit {
	n = min(n, attempt.MaxStarts)
	return func(now time.Time, starts []time.Time) time.Duration {
		if n <= 0 {
			return period
		}
		if len(starts) < n {
			return 0
		}
		return starts[len(starts)-n].Add(period).Sub(now)
	}
}

var providerName = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)

// complete checks the configuration, reports every problem at once, and fills in
// the defaults.
func (c *Config) complete() error {
	var errs []error
	problem := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Providers) == 0 {
		problem("Providers is empty: give at least one")
	}
	if c.EraseAtProvider && !slices.ContainsFunc(c.Providers, engine.ErasesAtProvider) {
		problem("EraseAtProvider is set, and none of Providers can erase")
	}
	names := map[string]bool{}
	for i, p := range c.Providers {
		if isNil(p) {
			problem("Providers[%d] is nil", i)
			continue
		}
		_, webhooks := p.(identity.WebhookVerifier)
		_, hints := p.(identity.HintReader)
		if _, claims := p.(identity.ClaimVerifier); !webhooks && !claims && !hints {
			problem("Providers[%d] has none of VerifyWebhook, ReadHint and VerifyClaim, so no verdict could arrive: does something wrap it?", i)
		}
		name := p.Name()
		switch {
		case !providerName.MatchString(name):
			problem("Providers[%d] has a name that is not 1 to 16 lower-case letters and digits", i)
		case name == StaffProvider:
			problem("Providers has %q, which stands for the host's staff", name)
		case names[name]:
			problem("Providers has %q twice", name)
		}
		names[name] = true
	}
	if isNil(c.Store) {
		problem("Store is nil: memstore.New() does for one process")
	}
	if c.Subject == nil {
		problem("Subject is nil: say who the user of a request is")
	}
	if u, err := parsePublicURL(c.PublicURL); err != nil {
		problem("PublicURL %w", err)
	} else {
		c.PublicURL = u.String()
	}
	for _, text := range seal.Check(c.Keys) {
		problem("Keys%s", text)
	}
	for i, f := range c.Keep {
		if !f.Valid() {
			problem("Keep[%d] is not a field of identity.Verification", i)
		}
	}
	if len(c.AgeOver) > 16 {
		problem("AgeOver has more than 16 ages")
	}
	for i, years := range c.AgeOver {
		if years < 1 || years > 150 {
			problem("AgeOver[%d] is not between 1 and 150 years", i)
		}
	}
	if c.MaxAge < 0 {
		problem("MaxAge is negative")
	}
	if c.RemindBefore == 0 {
		c.RemindBefore = 30 * 24 * time.Hour
		if c.MaxAge > 0 {
			c.RemindBefore = min(c.RemindBefore, c.MaxAge/4)
		}
	}
	if c.GrantCache < 0 {
		problem("GrantCache is negative")
	}
	if c.RemindBefore < 0 || c.MaxAge > 0 && c.RemindBefore >= c.MaxAge {
		problem("RemindBefore is negative, or not less than MaxAge")
	}
	for i, key := range c.FingerprintKey {
		if len(key) < 32 {
			problem("FingerprintKey[%d] has %d bytes: it takes 32 random ones", i, len(key))
		}
	}
	for name, target := range map[string]string{"AfterSuccess": c.AfterSuccess, "AfterError": c.AfterError, "LoginURL": c.LoginURL} {
		if target != "" && !isTarget(target) {
			problem("%s is neither a path that begins with one slash nor an http(s) URL", name)
		}
	}

	for i, u := range c.ReturnURLs {
		if !isReturnURL(u) {
			problem("ReturnURLs[%d] is neither an https URL nor one with the scheme of an app", i)
		}
	}

	for _, text := range c.Brand.check() {
		problem("Brand.%s", text)
	}
	for _, fault := range text.Check(c.Texts) {
		problem("Texts%s", fault)
	}
	if pages, err := pagesWith(c.Pages, text.New(c.Texts)); err != nil {
		problem("Pages %w", err)
	} else {
		c.Pages = pages
	}

	orDuration := func(name string, d *time.Duration, least, most, def time.Duration) {
		if *d == 0 {
			*d = def
		}
		if *d < least || *d > most {
			problem("%s is not between %s and %s", name, spell(least), spell(most))
		}
	}
	orDuration("CallbackTimeout", &c.CallbackTimeout, time.Millisecond, 5*time.Minute, 10*time.Second)
	orDuration("Lease", &c.Lease, time.Second, 10*time.Minute, 30*time.Second)
	orDuration("StartedLimit", &c.StartedLimit, time.Minute, 90*24*time.Hour, 24*time.Hour)
	orDuration("Retention", &c.Retention, 90*24*time.Hour, 100*365*24*time.Hour, 10*365*24*time.Hour)
	orDuration("UnverifiedRetention", &c.UnverifiedRetention, 100*24*time.Hour, 100*365*24*time.Hour, 180*24*time.Hour)
	if c.RecheckVerified >= 0 {
		orDuration("RecheckVerified", &c.RecheckVerified, time.Hour, 365*24*time.Hour, 24*time.Hour)
	}
	if c.MaxBody == 0 {
		c.MaxBody = 256 << 10
	}
	if c.MaxBody < 1<<10 || c.MaxBody > 256<<10 {
		problem("MaxBody is not between 1 KiB and 256 KiB")
	}

	if c.MaxInFlight == 0 {
		c.MaxInFlight = 1000
	}
	if c.MaxInFlight < 0 {
		problem("MaxInFlight is negative")
	}

	if c.AfterSuccess == "" {
		c.AfterSuccess = "/"
	}
	if c.AfterError == "" {
		c.AfterError = c.PublicURL + "/page"
	}
	if c.Location == nil {
		c.Location = time.UTC
	}
	if c.StartLimit == nil {
		c.StartLimit = AtMost(5, 24*time.Hour)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return errors.Join(errs...)
}

// spell writes a duration as people say it.
func spell(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		word string
	}{{365 * 24 * time.Hour, "year"}, {24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		switch n := d / unit.of; {
		case d%unit.of != 0 || n == 0:
		case n == 1:
			return "1 " + unit.word
		default:
			return fmt.Sprintf("%d %ss", n, unit.word)
		}
	}
	return d.String()
}

// engine is the part of the configuration that the engine needs.
func (c *Config) engine(keys seal.Keyring) engine.Config {
	hears := map[identity.Status]bool{}
	for _, s := range []identity.Status{identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired, identity.Revoked} {
		hears[s] = c.callback(s) != nil
	}
	hears[attempt.Expiring] = c.OnExpiring != nil
	log := engine.NewLog(c.Logger, c.Now)
	if c.Observer != nil {
		log.Observer = observer{c.Observer}
	}
	return engine.Config{
		Store:     c.Store,
		Providers: c.Providers,
		Keys:      keys,
		Policy: attempt.Policy{
			Hears:                hears,
			Decides:              c.Decide != nil || len(c.FingerprintKey) > 0,
			ConfirmByFetch:       c.ConfirmByFetch,
			RequireReturn:        c.RequireReturn,
			Async:                c.Async,
			AllowExpiredDocument: c.AllowExpiredDocument,
			MaxAge:               c.MaxAge,
			AgeOver:              c.AgeOver,
			Keep:                 c.Keep,
			Location:             c.Location,
			Lease:                c.Lease,
			StartedLimit:         c.StartedLimit,
			RecheckVerified:      c.RecheckVerified,
			RemindBefore:         c.RemindBefore,
			FingerprintKey:       c.FingerprintKey,
		},
		Host:                callbacks{c},
		Log:                 log,
		StartLimit:          c.StartLimit,
		CallbackTimeout:     c.CallbackTimeout,
		Retention:           c.Retention,
		UnverifiedRetention: c.UnverifiedRetention,
		EraseAtProvider:     c.EraseAtProvider,
		SupportCodes:        c.SupportCodes,
		GrantCache:          c.GrantCache,
		Now:                 c.Now,
	}
}

// isNil reports whether v is nil, or an interface that holds a nil pointer.
func isNil(v any) bool {
	p := reflect.ValueOf(v)
	return v == nil || p.Kind() == reflect.Pointer && p.IsNil()
}

// parsePublicURL reads Config.PublicURL and writes it as browsers do, whose requests it
// is compared with.
func parsePublicURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return nil, errors.New("is empty: say where the kit is mounted, as https://app.example.com/verify")
	case err != nil:
		return nil, errors.New("cannot be read as a URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, errors.New("is not an absolute https URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must have no user, query or fragment")
	case strings.Trim(u.Path, "/") != "" && path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/"):
		return nil, errors.New("has a path that browsers would rewrite")
	}
	if u.Host, err = hostOf(u); err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, errors.New("must be https unless its host is a loopback address")
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return u, nil
}

// hostOf is the host of a URL as browsers write it: in lower case, and with its port
// only if the scheme has another one.
func hostOf(u *url.URL) (string, error) {
	host := strings.ToLower(u.Hostname())
	for i := range len(host) {
		if host[i] >= utf8.RuneSelf {
			return "", errors.New("has a host that is not ASCII: write it as browsers send it, such as xn--bcher-kva.example")
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + ip.String() + "]"
	}
	if strings.Contains(host, "%") {
		return "", errors.New("has a host that browsers do not know")
	}
	if u.Port() == "" {
		return host, nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case err != nil:
		return "", errors.New("has a port that does not exist")
	case u.Scheme == "https" && port == 443, u.Scheme == "http" && port == 80:
		return host, nil
	}
	return host + ":" + strconv.FormatUint(port, 10), nil
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// isTarget accepts what the host may name as a place to send users to.
func isTarget(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.User != nil {
		return false
	}
	if u.Scheme == "" {
		return u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.Contains(s, `\`)
	}
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
