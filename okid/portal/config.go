package portal

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/apiclient"
	"github.com/okidkit/okidkit/internal/redact"
	"github.com/okidkit/okidkit/internal/wire"
)

// Name is what [Provider.Name] returns.
const Name = "okidportal"

// DefaultTimeout is how long a call to the portal may take.
const DefaultTimeout = 10 * time.Second

// DefaultSessionTime is how long a session is taken to last if the portal does not say.
const DefaultSessionTime = 30 * time.Minute

// redacted makes T print, log and marshal as its name alone.
type redacted[T any] = redact.Type[T]

// Config is what [New] needs. URL and APIKey are required; the zero value of every other field
// is its default.
//
// A Config prints, logs and marshals without its content, unless it lies in an unexported field
// of another struct.
type Config struct {
	redacted[Config]

	// URL is the base of the portal. There is no default, since every operator may have a
	// portal of their own; okID's documentation names https://verify.prod.okid.io for
	// production. It must be https, except on a loopback host, and may have a path.
	URL string

	// APIKey authenticates calls to the portal. It comes from okID's dashboard, and never
	// goes to a browser.
	APIKey string

	// UseSDK lets the kit's page open the portal over itself with the portal's script,
	// instead of sending the user to the portal's page.
	UseSDK bool

	// HTTPClient makes the calls. Only its Transport is used: redirects are never followed,
	// cookies never kept, and Timeout stands below. Default: [http.DefaultTransport].
	HTTPClient *http.Client

	// Timeout is how long a call may take, with all its retries. Default: [DefaultTimeout].
	Timeout time.Duration

	// Now is the clock. Default: [time.Now].
	Now func() time.Time
}

// Provider is okID's portal. Make it with [New]. It holds no resources that must be closed, and
// is safe for concurrent use.
type Provider struct {
	redacted[Provider]

	api    wire.Client // the key is captured by a function and lies nowhere else
	url    *url.URL
	useSDK bool
}

var (
	_ identity.Provider   = (*Provider)(nil)
	_ identity.HintReader = (*Provider)(nil)
)

// New makes a provider. It does no I/O. The error names every field that is wrong, and never
// says what is in it.
func New(c Config) (*Provider, error) {
	p := &Provider{
		api:    wire.Client{Name: Name, Transport: http.DefaultTransport, Timeout: cmp.Or(c.Timeout, DefaultTimeout), Now: time.Now},
		useSDK: c.UseSDK,
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
			problems = append(problems, fmt.Errorf("okidportal: %s %w", field, err))
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
	if p.api.Timeout < 0 {
		wrong("Timeout", errors.New("is negative"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return p, nil
}

// Name is "okidportal".
func (p *Provider) Name() string { return Name }

// DisplayName is "okID".
func (p *Provider) DisplayName() string { return "okID" }

// EchoesReference is false: whether extra_data comes back with an answer is not documented. The
// id, which the portal told when the verification was begun, ties the answer to it; one in which
// another reference stands is about something else.
func (p *Provider) EchoesReference() bool { return false }
