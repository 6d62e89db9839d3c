package getid

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/wire"
)

// Name is what [Provider.Name] returns.
const Name = "getid"

// DefaultLocale is the SDK's locale where none is asked for.
const DefaultLocale = "en"

// Provider is GetID in the sign-up flow. Make it with [New]. It holds no
// resources that must be closed, and is safe for concurrent use.
type Provider struct {
	redacted[Provider]

	// The API key is captured by a function and lies nowhere else, so that
	// whatever prints this struct by reflection prints an address.
	authorize func(*http.Request)

	baseURL, scriptURL *url.URL // the script's may be nil

	keys      *keySource
	verifying chan struct{} // holds one element for each check of a signature
	claims    *jwt.Validator

	sessionTime time.Duration
	timeout     time.Duration
	transport   http.RoundTripper
	now         func() time.Time
}

var (
	_ identity.Provider      = (*Provider)(nil)
	_ identity.ClaimVerifier = (*Provider)(nil)
)

// Name is "getid".
func (p *Provider) Name() string { return Name }

// EchoesReference is false: nothing of ours ever reaches Checkin.com.
func (p *Provider) EchoesReference() bool { return false }

// DisplayName is "GetID".
func (p *Provider) DisplayName() string { return "GetID" }

// Start does no I/O and never fails: the browser begins the verification, and
// neither the request nor anything else of ours reaches Checkin.com. The session
// has no token, and ends after [Config.SessionTime].
func (p *Provider) Start(context.Context, identity.StartRequest) (identity.Session, error) {
	return identity.Session{ExpiresAt: p.now().Add(p.sessionTime)}, nil
}

// SDK says how a page starts the sign-up flow; onComplete gets data.ocr, which is
// what [Provider.VerifyClaim] takes. A locale that is not a language tag is
// replaced by [DefaultLocale]; which locales there are is Checkin.com's to know.
//
// What a Content-Security-Policy must allow for the script is not documented. The
// sources here are the origins of the script and of the result API. Without
// [Config.ScriptURL] there is no script and no source.
//
// Source: https://dev.checkin.com/docs/dataflow.
func (p *Provider) SDK(_ identity.Session, locale string) identity.SDK {
	sdk := identity.SDK{Config: map[string]any{"locale": wire.Locale(locale, DefaultLocale)}, Boot: boot}
	if p.scriptURL != nil {
		script := wire.Origin(p.scriptURL)
		sdk.ScriptURL = p.scriptURL.String()
		sdk.Sources = identity.Sources{
			Script:  []string{script},
			Style:   []string{script},
			Connect: slices.Compact([]string{script, wire.Origin(p.baseURL)}),
			Frame:   []string{script},
			Image:   []string{script},
		}
	}
	return sdk
}

// boot begins at once if the script has made window.checkin, and else when the
// script calls onCheckinLoad. Whatever goes wrong ends in onError.
const boot = `function (config, onComplete, onError) {
  function begin(checkin) {
    try {
      checkin.settings.setLang(config.locale);
      checkin.dataFlow.setOnComplete(function (flow) {
        try {
          if (!flow.data.ocr) throw new Error("the sign-up flow has no data.ocr");
          onComplete(flow.data.ocr);
        } catch (error) {
          onError(error);
        }
      });
      checkin.signUp.open();
    } catch (error) {
      onError(error);
    }
  }
  if (window.checkin && window.checkin.dataFlow) begin(window.checkin);
  else window.onCheckinLoad = begin;
}`
