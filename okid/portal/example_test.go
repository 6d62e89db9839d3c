package portal_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid/portal"
	"github.com/okidkit/okidkit/okidtest"
)

// Without the kit: a link for the user, and the verdict when somebody asks.
func Example() {
	fake, err := okidtest.NewPortal(okidtest.HostedConfig{}) // okID, for this example
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := fake.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer fake.Close()

	provider, err := portal.New(portal.Config{URL: fake.URL(), APIKey: okidtest.DefaultPortalKey})
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
	link := provider.SDK(session, "en").URL
	fmt.Println(strings.HasPrefix(link, fake.URL()+"/verify?verification_id="))

	// The user is verified there.
	if err := fake.Complete(session.ID, portal.StatusVerified, nil); err != nil {
		fmt.Println(err)
		return
	}
	notice, err := provider.Fetch(ctx, session.ID)
	fmt.Println(err, notice.Verification.Status, notice.Verification.DateOfBirth)
	// Output:
	// true
	// <nil> verified 1990-02-03
}
