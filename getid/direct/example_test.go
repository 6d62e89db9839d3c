package direct_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okidtest"
)

// Without the kit: a link for the user, and the verdict when somebody asks.
func Example() {
	fake, err := okidtest.NewDirect(okidtest.HostedConfig{}) // GetID, for this example
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := fake.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer fake.Close()

	provider, err := direct.New(direct.Config{URL: fake.URL(), APIKey: okidtest.DefaultDirectKey, Flow: "your-flow"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	session, err := provider.Start(ctx, identity.StartRequest{Reference: "order-7", SuccessURL: "https://app.example.com/thanks"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.HasPrefix(provider.SDK(session, "en").URL, fake.URL()+"/vp/your-flow?token="))
	_, err = provider.Fetch(ctx, session.ID)
	fmt.Println(errors.Is(err, identity.ErrNotFound)) // nothing was handed in

	if err := fake.Complete("order-7", okidtest.Approved, nil); err != nil {
		fmt.Println(err)
		return
	}
	notice, err := provider.Fetch(ctx, session.ID)
	fmt.Println(err, notice.Verification.Status, notice.Reference)
	// Output:
	// true
	// true
	// <nil> verified order-7
}

// GetID's webhooks, where somebody knows how they are signed, settle an attempt by themselves.
func ExampleProvider_Signed() {
	provider, err := direct.New(direct.Config{URL: "https://partner.getid.ee", APIKey: "the key", Flow: "your-flow"})
	if err != nil {
		fmt.Println(err)
		return
	}
	public, _, err := ed25519.GenerateKey(nil) // yours is in GetID's dashboard
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := provider.Signed(direct.Signing{Keys: []crypto.PublicKey{public}, Algorithm: direct.Ed25519})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = signed.VerifyWebhook(http.Header{}, []byte(`{}`), time.Now())
	fmt.Println(err)
	// Output: getiddirect: timestamp is missing or unusable: header is missing or repeated
}
