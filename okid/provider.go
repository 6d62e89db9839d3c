package okid

import (
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/wire"
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
	api     wire.Client
	secrets *atomic.Pointer[[]secret] // a pointer, so that a copied Provider has the same

	apiURL, frontendURL, sdkURL *url.URL

	flowName  string
	content   SignedContent
	encoding  SignatureEncoding
	tolerance time.Duration
	now       func() time.Time
}

var (
	_ identity.Provider        = (*Provider)(nil)
	_ identity.WebhookVerifier = (*Provider)(nil)
)

// Name is "okid".
func (p *Provider) Name() string { return Name }

// EchoesReference is true: metadata comes back with every answer.
func (p *Provider) EchoesReference() bool { return true }

// DisplayName is "okID".
func (p *Provider) DisplayName() string { return "okID" }

// SDK says how a page starts okID's browser SDK. A locale that is not a language
// tag is replaced by [DefaultLocale]; which locales there are is okID's to know.
//
// What a Content-Security-Policy must allow for the SDK is not documented. The
// sources here are the origins of the URLs that it is given.
//
// Source: https://www.okid.io/developer.
func (p *Provider) SDK(s identity.Session, locale string) identity.SDK {
	api, frontend, script := wire.Origin(p.apiURL), wire.Origin(p.frontendURL), wire.Origin(p.sdkURL)
	return identity.SDK{
		ScriptURL: p.sdkURL.String(),
		Config: map[string]any{
			"apiUrl":       p.apiURL.String(),
			"frontendUrl":  p.frontendURL.String(),
			"processToken": s.Token,
			"flowName":     p.flowName,
			"locale":       wire.Locale(locale, DefaultLocale),
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

func distinct(a, b string) []string { return slices.Compact([]string{a, b}) }
