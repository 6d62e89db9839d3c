package identity

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Provider is a service that verifies identities. Its methods are safe for
// concurrent use, keep the deadline of their context and return the sentinel
// errors of this package.
type Provider interface {
	// Name is a short constant of lower-case letters and digits. It stands in
	// URLs, records and logs, so it must never change.
	Name() string

	// Start asks the provider for a new verification. [ErrRefused] and
	// [ErrUnavailable] tell why there is none; with [ErrUncertain] there may be
	// one all the same, which nobody will ever use. [ErrMalformed]: the request
	// is one that cannot be sent.
	Start(ctx context.Context, r StartRequest) (Session, error)

	// SDK says what a page must load and run so that the user can do the
	// verification of the session.
	SDK(s Session, locale string) SDK

	// Fetch asks the provider, with the secret key, how the verification with
	// this id stands. The notice's Verification.ID is id. [ErrNotFound] if the provider does not know it.
	//
	// One question is one request, which is not repeated: when to ask again is the
	// caller's to say. A provider that has been asked too often is a
	// [RateLimitError].
	Fetch(ctx context.Context, id string) (Notice, error)

	// EchoesReference reports whether every notice that Fetch returns carries the
	// reference of the [StartRequest], so that one without it is about somebody else's
	// verification. Whatever it says, a notice with another reference is.
	EchoesReference() bool
}

// WebhookVerifier is a [Provider] that sends signed webhooks.
type WebhookVerifier interface {
	// VerifyWebhook authenticates a webhook and reads it. The body must be the
	// bytes as they came. It does no I/O and returns [ErrSignature],
	// [ErrTimestamp], [ErrMalformed], or [ErrStale] together with the notice.
	// The signature is checked before the body is looked at.
	VerifyWebhook(h http.Header, body []byte, now time.Time) (Notice, error)
}

// HintReader is a [Provider] that sends webhooks which cannot be authenticated. Whoever
// knows their form can send one, so they are hints: a hint makes the kit ask the provider
// about an attempt that it has, by the id of [Session], and does nothing else. A provider
// that is a [WebhookVerifier], too, is not asked for hints.
type HintReader interface {
	// ReadHint reads a webhook. The body must be the bytes as they came. It does no I/O
	// and returns [ErrMalformed] if the body cannot be read. A body that can be read and
	// names nothing is the zero [Hint].
	ReadHint(h http.Header, body []byte) (Hint, error)
}

// Hint is what an unauthenticated webhook is about. It says nothing of a verdict.
type Hint struct {
	// Reference is that of a [StartRequest]. If empty, the hint leads to nothing. It may
	// be anybody's invention.
	Reference string
}

// Eraser is a [Provider] that deletes a verification when it is told to.
type Eraser interface {
	// Erase deletes what the provider has stored of the verification with this id. It
	// succeeds if there is nothing to delete. Its errors are those of
	// [Provider.Fetch], but for [ErrNotFound].
	Erase(ctx context.Context, id string) error
}

// DisplayNamer is a [Provider] with a name that people know it by. The name of any other is
// Name.
type DisplayNamer interface {
	// DisplayName is what pages call the provider, in every language.
	DisplayName() string
}

// ClaimVerifier is a [Provider] whose verification runs in the browser alone,
// which then holds a signed claim: it says which verification it was, and nothing
// of its verdict.
type ClaimVerifier interface {
	// VerifyClaim authenticates what the browser's SDK handed over, as the JSON
	// that it is, and returns the id of the verification. What else it says
	// counts for nothing: [Provider.Fetch] has the verdict. It returns
	// [ErrMalformed], [ErrSignature], and [ErrUnavailable] if the provider's keys
	// cannot be had now.
	VerifyClaim(ctx context.Context, body []byte) (id string, err error)
}

// StartRequest is what a verification begins with.
type StartRequest struct {
	// Reference goes to the provider and comes back in every notice. It is all
	// that ties the provider's verification to ours.
	Reference string
	// Metadata goes to the provider beside the reference. May be nil.
	Metadata map[string]string
	// CallbackURL receives the webhooks of this verification.
	CallbackURL string
	// SuccessURL and ErrorURL are where the provider sends the user afterwards.
	SuccessURL, ErrorURL string
}

// Session is a verification that the provider is ready for. It prints and logs
// without its token, unless it lies in an unexported field of another struct, see
// [Verification].
type Session struct {
	// Token lets a browser do the verification. It is a secret of the user's.
	Token string
	// ID is the provider's id of the verification, by which [Provider.Fetch] can be asked
	// from now on. [ErrNotFound] then means that the user has not come far enough for an
	// answer. Empty if the provider tells the id later, in a notice.
	ID string
	// ExpiresAt is when the token ends, by the provider's clock.
	ExpiresAt time.Time
}

// String tells when the session ends, and nothing else.
func (s Session) String() string { return "session until " + s.ExpiresAt.Format(time.RFC3339) }

// Format prints String for every verb.
func (s Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s Session) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SDK is how a page hands the user over to the provider.
type SDK struct {
	// URL is the provider's own page for the session. If it is not empty, the user is
	// sent there instead of being shown a page that loads a script, and the other fields
	// mean nothing. Whoever has the URL can do the verification.
	URL string `json:"url,omitempty"`
	// ScriptURL is the provider's script.
	ScriptURL string `json:"script_url"`
	// Config is what the script is started with. It holds nothing but values
	// that encoding/json can write, and no function.
	Config map[string]any `json:"config"`
	// Boot is JavaScript: a function expression that takes Config and the
	// functions onComplete and onError, and starts the loaded script. It is
	// constant, and written by the provider's package, never by a stranger.
	Boot string `json:"-"`
	// Sources is what a Content-Security-Policy must allow for it.
	Sources Sources `json:"-"`
}

// Sources lists origins, by the directive of a Content-Security-Policy that
// must allow them.
type Sources struct {
	Script, Style, Connect, Frame, Image []string
}
