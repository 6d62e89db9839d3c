package okid

import (
	"cmp"
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/okidkit/okidkit/internal/apiclient"
	"github.com/okidkit/okidkit/internal/wire"
)

// The defaults of [Config], as documented by okID. That the server API is at the
// same host as the SDK's apiUrl is inferred.
const (
	DefaultAPIURL      = "https://api1.okid.io"
	DefaultFrontendURL = "https://verify.okid.io"
	DefaultSDKURL      = "https://cdn.okid.io/sdk/okid.js"
	DefaultFlowName    = "standard"

	// DefaultTolerance is how old a webhook may be.
	DefaultTolerance = 5 * time.Minute
	// DefaultTimeout is how long a call to okID may take.
	DefaultTimeout = 10 * time.Second
	// DefaultSessionTime is how long a session is taken to last if okID does not
	// say. How long they do last is not documented.
	DefaultSessionTime = 30 * time.Minute
)

// MinSecretLen is the length of the shortest webhook secret, in bytes.
const MinSecretLen = 16

// maxTolerance is what is still plausible for a webhook's age: a longer
// tolerance is a mistake of units.
const maxTolerance = 24 * time.Hour

// Config is what [New] needs. APIKey and at least one webhook secret are
// required; the zero value of every other field is its default.
//
// A Config prints, logs and marshals without its content. That cannot be done
// for one that lies in an unexported field of another struct: keep the
// [Provider] and let go of the Config.
type Config struct {
	redacted[Config]

	// APIKey authenticates calls to okID's server API. It comes from the okID
	// dashboard, and never goes to a browser.
	APIKey string

	// WebhookSecrets are the keys with which okID signs webhooks. Each must have
	// at least [MinSecretLen] bytes and not look like a placeholder. A webhook
	// may be signed with any of them; notices name them "secret 1", "secret 2".
	// [Provider.SetWebhookSecrets] replaces them in a running program.
	WebhookSecrets []string

	// TimedSecrets are further keys, each of which counts in a window of time
	// only. Default: none.
	TimedSecrets []TimedSecret

	// APIURL is the base of the server API; the SDK uses it too. It may have a
	// path. Like the other URLs it must be https, except on a loopback host.
	// Default: [DefaultAPIURL].
	APIURL string

	// FrontendURL is the base of the pages that the user sees, for the SDK.
	// Default: [DefaultFrontendURL].
	FrontendURL string

	// SDKURL is the script of the browser SDK. Default: [DefaultSDKURL].
	SDKURL string

	// FlowName chooses one of the flows that okID has set up: letters, digits,
	// "-" and "_". Default: [DefaultFlowName].
	FlowName string

	// SignedContent is what the webhook signatures cover. Default: [SignedBody].
	SignedContent SignedContent

	// SignatureEncoding is how signatures are written. Default: [Hex].
	SignatureEncoding SignatureEncoding

	// Tolerance is how old a webhook may be, up to 24 hours. It is not a defence
	// against replay, see [Provider.VerifyWebhook]. Default: [DefaultTolerance].
	Tolerance time.Duration

	// HTTPClient makes the calls. Only its Transport is used: redirects are never
	// followed, cookies never kept, and Timeout stands below.
	// Default: [http.DefaultTransport].
	HTTPClient *http.Client

	// Timeout is how long a call may take, with all its retries.
	// Default: [DefaultTimeout].
	Timeout time.Duration

	// Now is the clock of calls. Webhooks go by the time that
	// [Provider.VerifyWebhook] is given. Default: [time.Now].
	Now func() time.Time
}

// TimedSecret is a webhook secret that counts from NotBefore until NotAfter. To
// rotate without losing a webhook, let the windows of the old and the new one
// overlap. Like [Config], it prints without the secret.
type TimedSecret struct {
	redacted[TimedSecret]

	// Secret is the key, as in [Config.WebhookSecrets].
	Secret string
	// ID names the secret in notices and logs: up to 64 letters, digits, ".",
	// "_", "-" and spaces. Default: "timed secret 1" and so on.
	ID string
	// NotBefore is the first instant at which the secret counts.
	// The zero value: it always has.
	NotBefore time.Time
	// NotAfter is the first instant at which the secret no longer counts.
	// The zero value: there is none.
	NotAfter time.Time
}

// SignedContent says which bytes a webhook's signature covers. okID's
// documentation says "the payload"; ask okID if the default does not verify.
// Exactly one content is accepted, and nothing in a request can choose it.
type SignedContent int

const (
	// SignedBody: the body alone, which is the literal reading.
	SignedBody SignedContent = iota
	// SignedTimestampDotBody: the timestamp header as sent, ".", and the body.
	SignedTimestampDotBody
	// SignedTimestampBody: the timestamp header as sent and the body.
	SignedTimestampBody
)

// SignatureEncoding says how a webhook's signature is written. With either,
// "sha256=" may stand in front.
type SignatureEncoding int

const (
	// Hex: 64 hexadecimal digits in either case.
	Hex SignatureEncoding = iota
	// Base64: the standard or the URL alphabet, padded or not.
	Base64
)

// New makes a provider. It does no I/O. The error names every field that is
// wrong, and never says what is in it.
func New(c Config) (*Provider, error) {
	p := &Provider{
		flowName:  cmp.Or(c.FlowName, DefaultFlowName),
		content:   c.SignedContent,
		encoding:  c.SignatureEncoding,
		tolerance: cmp.Or(c.Tolerance, DefaultTolerance),
		api:       wire.Client{Name: Name, Transport: http.DefaultTransport, Timeout: cmp.Or(c.Timeout, DefaultTimeout)},
		now:       time.Now,
		secrets:   new(atomic.Pointer[[]secret]),
	}
	if c.Now != nil {
		p.now = c.Now
	}
	p.api.Now = p.now
	if c.HTTPClient != nil && c.HTTPClient.Transport != nil {
		p.api.Transport = c.HTTPClient.Transport
	}

	var problems []error
	wrong := func(field string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("okid: %s %w", field, err))
		}
	}
	wrong("APIKey", apiclient.CheckKey(c.APIKey))
	apiKey := c.APIKey
	p.api.Authorize = func(r *http.Request) { r.Header.Set(KeyHeader, apiKey) }

	var err error
	p.apiURL, err = apiclient.ParseBaseURL(cmp.Or(c.APIURL, DefaultAPIURL))
	wrong("APIURL", err)
	p.frontendURL, err = apiclient.ParseBaseURL(cmp.Or(c.FrontendURL, DefaultFrontendURL))
	wrong("FrontendURL", err)
	p.sdkURL, err = apiclient.ParseURL(cmp.Or(c.SDKURL, DefaultSDKURL))
	wrong("SDKURL", err)

	if !flowNames.MatchString(p.flowName) {
		wrong("FlowName", errors.New(`is not 1 to 64 letters, digits, "-" and "_"`))
	}
	if c.SignedContent < SignedBody || c.SignedContent > SignedTimestampBody {
		wrong("SignedContent", errors.New("is not one of the constants"))
	}
	if c.SignatureEncoding < Hex || c.SignatureEncoding > Base64 {
		wrong("SignatureEncoding", errors.New("is not one of the constants"))
	}
	if p.tolerance < 0 || p.tolerance > maxTolerance {
		wrong("Tolerance", errors.New("is negative or longer than 24 hours"))
	}
	if p.api.Timeout < 0 {
		wrong("Timeout", errors.New("is negative"))
	}
	problems = append(problems, p.SetWebhookSecrets(c.WebhookSecrets, c.TimedSecrets...))

	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return p, nil
}

// SetWebhookSecrets replaces all webhook secrets at once, those of the configuration
// and those of an earlier call, plain and timed. When it returns, no webhook is
// accepted any more that was signed with a secret which is not among the new ones. It
// is what to do when a secret has leaked; for a planned change, let both count for a
// while, see [TimedSecret].
//
// The secrets must be what [New] takes; its error, too, names every one that is
// wrong, and then nothing has changed. It can be called while webhooks are verified.
// In each process it must be called by itself.
func (p *Provider) SetWebhookSecrets(secrets []string, timed ...TimedSecret) error {
	ready, err := newSecrets(secrets, timed)
	if err != nil {
		return err
	}
	p.secrets.Store(&ready)
	return nil
}

var (
	flowNames = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	secretIDs = regexp.MustCompile(`^[A-Za-z0-9._ -]{1,64}$`)
)

// newSecrets checks and prepares all webhook secrets.
func newSecrets(plain []string, timed []TimedSecret) ([]secret, error) {
	all := make([]TimedSecret, 0, len(plain)+len(timed))
	var fields []string
	for i, s := range plain {
		all = append(all, TimedSecret{Secret: s, ID: fmt.Sprintf("secret %d", i+1)})
		fields = append(fields, fmt.Sprintf("WebhookSecrets[%d]", i))
	}
	for i, s := range timed {
		s.ID = cmp.Or(s.ID, fmt.Sprintf("timed secret %d", i+1))
		all = append(all, s)
		fields = append(fields, fmt.Sprintf("TimedSecrets[%d]", i))
	}
	if len(all) == 0 {
		return nil, errors.New("okid: WebhookSecrets and TimedSecrets are empty")
	}

	var secrets []secret
	var problems []error
	for i, s := range all {
		if err := checkSecret(s); err != nil {
			problems = append(problems, fmt.Errorf("okid: %s %w", fields[i], err))
		}
		for j, other := range all[:i] {
			// A secret that is there twice would outlive the end of one window.
			if hmac.Equal([]byte(s.Secret), []byte(other.Secret)) {
				problems = append(problems, fmt.Errorf("okid: %s is the same secret as %s", fields[i], fields[j]))
			}
			if s.ID == other.ID {
				problems = append(problems, fmt.Errorf("okid: %s has the same ID as %s", fields[i], fields[j]))
			}
		}
		secrets = append(secrets, newSecret(s))
	}
	return secrets, errors.Join(problems...)
}

func checkSecret(s TimedSecret) error {
	switch {
	case strings.TrimSpace(s.Secret) == "":
		return errors.New("is empty")
	case strings.TrimSpace(s.Secret) != s.Secret:
		return errors.New("begins or ends with white space")
	case len(s.Secret) < MinSecretLen:
		return fmt.Errorf("is shorter than %d bytes", MinSecretLen)
	case isPlaceholder(s.Secret):
		return errors.New("is a placeholder, not a secret")
	case !secretIDs.MatchString(s.ID) || strings.Contains(s.ID, s.Secret):
		return errors.New(`has an ID that is not 1 to 64 letters, digits, ".", "_", "-" and spaces, or that contains the secret`)
	case !s.NotBefore.IsZero() && !s.NotAfter.IsZero() && !s.NotBefore.Before(s.NotAfter):
		return errors.New("has a window that ends before it begins")
	}
	return nil
}

// isPlaceholder reports whether a secret is one of the texts that stand in
// templates and manuals, waiting to be replaced. It looks for obvious ones: a
// real secret, which may be any bytes, must never be mistaken for one.
func isPlaceholder(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	s = strings.ToLower(s)
	for _, prefix := range []string{
		"your-", "your_", "your ", "<", "${", "{{", "xxxx",
		"changeme", "change-me", "change_me", "change me",
		"replaceme", "replace-me", "replace_me", "replace me",
	} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	// What is left is words in a row ("secret-secret-secret") and one character
	// over and over.
	for _, part := range []string{"-", "_", " ", ".", "changeme", "placeholder", "password", "example", "secret"} {
		s = strings.ReplaceAll(s, part, "")
	}
	first, _ := utf8.DecodeRuneInString(s)
	return strings.Trim(s, string(first)) == ""
}
