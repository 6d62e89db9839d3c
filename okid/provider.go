package okid

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Name is what [Provider.Name] returns.
const Name = "okid"

// DefaultLocale is the SDK's locale where none is asked for.
const DefaultLocale = "en"

// Provider is okID's Verification API v1. Make it with [New]. It holds no
// resources that must be closed, and is safe for concurrent use.
type Provider struct {
	redacted[Provider]

	// The API key and the secrets are captured by functions and lie nowhere else,
	// so that whatever prints this struct by reflection prints an address.
	authorize func(*http.Request)
	secrets   *atomic.Pointer[[]secret] // a pointer, so that a copied Provider has the same

	apiURL, frontendURL, sdkURL *url.URL

	flowName  string
	content   SignedContent
	encoding  SignatureEncoding
	tolerance time.Duration
	timeout   time.Duration
	transport http.RoundTripper
	now       func() time.Time
}

var (
	_ identity.Provider        = (*Provider)(nil)
	_ identity.WebhookVerifier = (*Provider)(nil)
)

// Name is "okid".
func (p *Provider) Name() string { return Name }

// DisplayName is "okID".
func (p *Provider) DisplayName() string { return "okID" }

// locales is a language and what may follow it: "nl", "pt-BR", "zh_Hant_TW".
var locales = regexp.MustCompile(`^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}$`)

// SDK says how a page starts okID's browser SDK. A locale that is not a language
// tag is replaced by [DefaultLocale]; which locales there are is okID's to know.
//
// What a Content-Security-Policy must allow for the SDK is not documented. The
// sources here are the origins of the URLs that it is given.
//
// Source: https://www.okid.io/developer.
func (p *Provider) SDK(s identity.Session, locale string) identity.SDK {
	if !locales.MatchString(locale) {
		locale = DefaultLocale
	}
	api, frontend, script := origin(p.apiURL), origin(p.frontendURL), origin(p.sdkURL)
	return identity.SDK{
		ScriptURL: p.sdkURL.String(),
		Config: map[string]any{
			"apiUrl":       p.apiURL.String(),
			"frontendUrl":  p.frontendURL.String(),
			"processToken": s.Token,
			"flowName":     p.flowName,
			"locale":       locale,
		},
		Boot: boot,
		Sources: identity.Sources{
			Script:  []string{script},
			Style:   distinct(script, frontend),
			Connect: distinct(api, frontend),
			Frame:   []string{frontend},
			Image:   distinct(script, frontend),
		},
	}
}

// boot differs from the vendor's sample, `const okID = new okID(config)`, which
// can never run: the constant hides the constructor. A bare okID finds the
// constructor whether the script declared it with var or class or as a property
// of window. Whatever goes wrong, also in a promise, ends in onError.
const boot = `async function (config, onComplete, onError) {
  try {
    const client = new okID({ ...config, onComplete, onError });
    await client.init();
  } catch (error) {
    onError(error);
  }
}`

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

func distinct(a, b string) []string { return slices.Compact([]string{a, b}) }
