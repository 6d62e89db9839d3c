package getid

import (
	"cmp"
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/okidkit/okidkit/internal/apiclient"
)

// The defaults of [Config].
const (
	// DefaultBaseURL is the host of the result API.
	DefaultBaseURL = "https://ocr.regily.com"
	// DefaultAPIKeyHeader is inferred from Checkin.com's other API: the
	// documentation of this one does not show the header.
	DefaultAPIKeyHeader = "X-API-Key"
	// DefaultJWKSURL has the keys that sign claims, and TestJWKSURL those of the
	// test environment. Source: https://dev.checkin.com/docs/public-verification-token.
	DefaultJWKSURL = "https://checkin.com/certs"
	TestJWKSURL    = "https://develop.checkin.com/certs"
	// DefaultIssuer is the claim iss of every claim.
	DefaultIssuer = "regily"

	// DefaultSessionTime is how long a user may take.
	DefaultSessionTime = time.Hour
	// DefaultTimeout is how long a call may take.
	DefaultTimeout = 10 * time.Second
)

// Config is what [New] needs. APIKey is required; the zero value of every other
// field is its default.
//
// A Config prints, logs and marshals without its content. That cannot be done
// for one that lies in an unexported field of another struct: keep the
// [Provider] and let go of the Config.
type Config struct {
	redacted[Config]

	// APIKey authenticates calls to the result API. It comes from Checkin.com,
	// and never goes to a browser.
	APIKey string

	// APIKeyHeader is the header that carries it. Where Checkin.com asks for
	// "Authorization", the APIKey begins with "Bearer ".
	// Default: [DefaultAPIKeyHeader].
	APIKeyHeader string

	// BaseURL is the base of the result API. It may have a path. Like the other
	// URLs it must be https, except on a loopback host. Default: [DefaultBaseURL].
	BaseURL string

	// JWKSURL is where the keys that sign claims are. They are fetched when the
	// first claim comes, and again when they may have changed.
	// Default: [DefaultJWKSURL]. It must be empty if there are Keys.
	JWKSURL string

	// Keys are the keys that sign claims, up to 10 of them, if they shall not be
	// fetched; see [ParsePEM] and [ParseJWKS]. Checkin.com changes its keys
	// without notice. Default: those of JWKSURL.
	Keys []Key

	// Issuer is what the claims' iss must be. Default: [DefaultIssuer].
	Issuer string

	// ScriptURL is the script of the sign-up flow that Checkin.com has made for
	// you, https://[partner].regily.com/[key].js. Without it [Provider.SDK] has
	// no script to name, which suits only a host whose own page starts the flow.
	ScriptURL string

	// SessionTime is how long a user may take from [Provider.Start] to the end.
	// Default: [DefaultSessionTime].
	SessionTime time.Duration

	// MaxVerifications is how many signatures are checked at the same time. One
	// takes milliseconds of CPU, and anybody can send one. Default: half of
	// [runtime.GOMAXPROCS], at least 1.
	MaxVerifications int

	// HTTPClient makes the calls. Only its Transport is used: redirects are never
	// followed, cookies never kept, and Timeout stands below.
	// Default: [http.DefaultTransport].
	HTTPClient *http.Client

	// Timeout is how long a call may take.
	// Default: [DefaultTimeout].
	Timeout time.Duration

	// Now is the clock. Default: [time.Now].
	Now func() time.Time
}

// New makes a provider. It does no I/O. The error names every field that is
// wrong, and never says what is in it.
func New(c Config) (*Provider, error) {
	p := &Provider{
		sessionTime: cmp.Or(c.SessionTime, DefaultSessionTime),
		timeout:     cmp.Or(c.Timeout, DefaultTimeout),
		transport:   http.DefaultTransport,
		now:         time.Now,
	}
	if c.HTTPClient != nil && c.HTTPClient.Transport != nil {
		p.transport = c.HTTPClient.Transport
	}
	if c.Now != nil {
		p.now = c.Now
	}

	var problems []error
	wrong := func(field string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("getid: %s %w", field, err))
		}
	}
	wrong("APIKey", apiclient.CheckKey(c.APIKey))
	header, apiKey := cmp.Or(c.APIKeyHeader, DefaultAPIKeyHeader), c.APIKey
	p.authorize = func(r *http.Request) { r.Header.Set(header, apiKey) }
	if !headers.MatchString(header) {
		wrong("APIKeyHeader", errors.New("is not the name of a header"))
	}

	var err error
	p.baseURL, err = apiclient.ParseBaseURL(cmp.Or(c.BaseURL, DefaultBaseURL))
	wrong("BaseURL", err)
	if c.ScriptURL != "" {
		p.scriptURL, err = apiclient.ParseURL(c.ScriptURL)
		wrong("ScriptURL", err)
	}
	jwksURL, err := apiclient.ParseURL(cmp.Or(c.JWKSURL, DefaultJWKSURL))
	wrong("JWKSURL", err)
	if len(c.Keys) > 0 {
		if c.JWKSURL != "" {
			wrong("JWKSURL", errors.New("and Keys are both given"))
		}
		wrong("Keys", checkKeys(c.Keys))
		p.keys = &keySource{set: newKeySet(slices.Clone(c.Keys), time.Time{})}
	} else {
		p.keys = &keySource{fetch: func(ctx context.Context) ([]Key, error) { return p.fetchKeys(ctx, jwksURL.String()) }}
	}

	if p.sessionTime < 0 {
		wrong("SessionTime", errors.New("is negative"))
	}
	if p.timeout < 0 {
		wrong("Timeout", errors.New("is negative"))
	}
	if c.MaxVerifications < 0 {
		wrong("MaxVerifications", errors.New("is negative"))
	}
	p.verifying = make(chan struct{}, max(0, cmp.Or(c.MaxVerifications, max(1, runtime.GOMAXPROCS(0)/2))))
	p.claims = jwt.NewValidator(jwt.WithIssuer(cmp.Or(c.Issuer, DefaultIssuer)), jwt.WithLeeway(leeway), jwt.WithTimeFunc(p.now))

	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return p, nil
}

var headers = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

func checkKeys(keys []Key) error {
	if len(keys) > maxTried {
		return fmt.Errorf("are more than %d", maxTried)
	}
	ids := map[string]bool{}
	for _, k := range keys {
		if k.PublicKey == nil || k.PublicKey.Curve != elliptic.P521() {
			return errors.New("contain one that is not on the curve P-521")
		}
		if k.ID != "" && ids[k.ID] {
			return errors.New("contain two with the same ID")
		}
		ids[k.ID] = true
	}
	return nil
}
