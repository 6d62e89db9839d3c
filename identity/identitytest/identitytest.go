// Package identitytest is the conformance suite of providers: [Run] checks an implementation of
// [identity.Provider] against everything that the kit relies on, and that a person's data relies on.
// It needs no network: the suite stands in for the provider's server.
//
//	func TestProvider(t *testing.T) {
//		identitytest.Run(t, identitytest.Harness{
//			New:     func(client *http.Client) (identity.Provider, error) { return mine.New(mine.Config{Key: "key-of-the-suite", HTTPClient: client}) },
//			Secrets: []string{"key-of-the-suite"},
//			...
//		})
//	}
package identitytest

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Now is the time at which the suite takes place, by the clock that it hands to VerifyWebhook.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Answer is what the provider's server answers.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Harness is a provider under test, and what its server and its webhooks look like.
type Harness struct {
	// New makes a provider that calls its server through the client. It is called for each
	// case.
	New func(client *http.Client) (identity.Provider, error)

	// Secrets are the keys that New configures. Nothing that the provider says may have one
	// in it, and only its own server may get one.
	Secrets []string

	// ID is an id such as the provider's server gives. If the provider is asked by our
	// reference, it is [Reference].
	ID string

	// Started is the server's answer to a start with [Reference] that succeeds. Nil: Start
	// asks nobody.
	Started func() Answer

	// Details is the server's answer to the question about a verification that was begun
	// with a reference, and of which the provider's word is this.
	Details func(id, reference, word string) Answer

	// Other says that the server may be asked for other things first, such as keys, and
	// answers them. ok is false for a request that is not one of them.
	Other func(r *http.Request) (a Answer, ok bool)

	// Words are all the words that the provider has for how a verification stands, and what
	// they mean.
	Words map[string]identity.Status

	// Webhook is a webhook as the provider signs and sends it at sent. It must be set for an
	// [identity.WebhookVerifier].
	Webhook func(reference, id, word string, sent time.Time) (http.Header, []byte)

	// Hint is a webhook of an [identity.HintReader].
	Hint func(reference, id, word string) []byte

	// Claim is what the browser's script hands over once the user is done. It must be set for
	// an [identity.ClaimVerifier].
	Claim func(id string) []byte

	// NeverNotFound says that nothing which the server answers means that it does not know a
	// verification.
	NeverNotFound bool
}

// Reference is the reference with which the suite starts. It has the form of the kit's.
const Reference = "hZ3q0mC5yQ8r1T7vXb2nLk4JpWs6DfGa9EeUiOtRyHcMxNzKjBvPlQwSdAoIgFuY3TqkVr0uEw7sXc5Gm2LaBnZd8Yh1Jp6Q"

// another is a reference of somebody else's.
const another = "Xq0mC5yQ8r1T7vXb2nLk4JpWs6DfGa9EeUiOtRyHcMxNzKjBvPlQwSdAoIgFuY3TqkVr0uEw7sXc5Gm2LaBnZd8Yh1Jp6QhZ3"

// Run runs every case as a subtest. Run it with the race detector as well.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) { c.test(newProbe(t, h)) })
	}
}

type testCase struct {
	name string
	test func(p *probe)
}

func cases() []testCase {
	return slices.Concat(nameCases(), startCases(), fetchCases(), webhookCases(), hintCases(), claimCases())
}

// reporter is as much of *testing.T as the suite needs.
type reporter interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}
