package direct

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/apiclient"
	"github.com/okidkit/okidkit/internal/redact"
	"github.com/okidkit/okidkit/internal/wire"
)

// Name is what [Provider.Name] returns.
const Name = "getiddirect"

const (
	// DefaultTimeout is how long a call to GetID may take.
	DefaultTimeout = 10 * time.Second
	// DefaultSessionTime is how long a one-time link lives
	// (https://dev.checkin.com/docs/one-time-link).
	DefaultSessionTime = 12 * time.Hour
)

// redacted makes T print, log and marshal as its name alone.
type redacted[T any] = redact.Type[T]

// Config is what [New] needs. URL, APIKey and Flow are required; the zero value of every other
// field is its default.
//
// A Config prints, logs and marshals without its content, unless it lies in an unexported field
// of another struct.
type Config struct {
	redacted[Config]

	// URL is the base of the API, which is a partner's own: https://[partner].getid.ee, and
	// https://[partner].sb.getid.dev for the sandbox. It must be https, except on a loopback
	// host, and may have a path.
	URL string

	// APIKey authenticates calls to the API. It may do anything there, and never goes to a
	// browser.
	APIKey string

	// Flow is the name of the flow that users go through, up to 128 bytes.
	Flow string

	// FailRedirect is the name under which GetID is told where to send a user who failed,
	// of which its documents have two: "onFail" and "onError". Default: "onFail".
	FailRedirect string

	// SessionTime is how long a link is taken to live. GetID does not say, and is not told:
	// its documents differ on whether that is in minutes or in seconds.
	// Default: [DefaultSessionTime].
	SessionTime time.Duration

	// HTTPClient makes the calls. Only its Transport is used: redirects are never followed,
	// cookies never kept, and Timeout stands below. Default: [http.DefaultTransport].
	HTTPClient *http.Client

	// Timeout is how long a call may take, with all its retries. Default: [DefaultTimeout].
	Timeout time.Duration

	// Now is the clock. Default: [time.Now].
	Now func() time.Time
}

// Provider is GetID's API v1. Make it with [New]. It holds no resources that must be closed,
// and is safe for concurrent use.
type Provider struct {
	redacted[Provider]

	api          wire.Client // the key is captured by a function and lies nowhere else
	url          *url.URL
	flow         string
	failRedirect string
	sessionTime  time.Duration
}

var (
	_ identity.Provider   = (*Provider)(nil)
	_ identity.HintReader = (*Provider)(nil)
	_ identity.Eraser     = (*Provider)(nil)
)

// New makes a provider. It does no I/O. The error names every field that is wrong, and never
// says what is in it.
func New(c Config) (*Provider, error) {
	p := &Provider{
		api:          wire.Client{Name: Name, Transport: http.DefaultTransport, Timeout: cmp.Or(c.Timeout, DefaultTimeout), Now: time.Now},
		flow:         c.Flow,
		failRedirect: cmp.Or(c.FailRedirect, "onFail"),
		sessionTime:  cmp.Or(c.SessionTime, DefaultSessionTime),
	}
	if c.HTTPClient != nil && c.HTTPClient.Transport != nil {
		p.api.Transport = c.HTTPClient.Transport
	}
	if c.Now != nil {
		p.api.Now = c.Now
	}
	apiKey := c.APIKey
	p.api.Authorize = func(r *http.Request) { r.Header.Set(KeyHeader, apiKey) }

	var problems []error
	wrong := func(field string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("getiddirect: %s %w", field, err))
		}
	}
	var err error
	if c.URL == "" {
		wrong("URL", errors.New("is empty"))
	} else {
		p.url, err = apiclient.ParseBaseURL(c.URL)
		wrong("URL", err)
	}
	wrong("APIKey", apiclient.CheckKey(c.APIKey))
	if !flows.MatchString(c.Flow) {
		wrong("Flow", errors.New("is not 1 to 128 printable characters"))
	}
	if p.failRedirect != "onFail" && p.failRedirect != "onError" {
		wrong("FailRedirect", errors.New(`is neither "onFail" nor "onError"`))
	}
	if p.sessionTime < 0 {
		wrong("SessionTime", errors.New("is negative"))
	}
	if p.api.Timeout < 0 {
		wrong("Timeout", errors.New("is negative"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return p, nil
}

var flows = regexp.MustCompile(`^[ -~]{1,128}$`)

// Name is "getiddirect".
func (p *Provider) Name() string { return Name }

// DisplayName is "GetID".
func (p *Provider) DisplayName() string { return "GetID" }

// EchoesReference is true: metadata.externalId comes back with every answer.
func (p *Provider) EchoesReference() bool { return true }
