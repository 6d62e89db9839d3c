package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okid/portal"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

// TestHosted drives the providers that have a page of their own as people do, in one browser for all.
func TestHosted(t *testing.T) {
	testenv.Long(t)
	chromium := startChromium(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"outcomes", testHostedOutcomes},
		{"leaving", testHostedLeaving},
		{"no javascript", testHostedNoJavaScript},
		{"sdk", testHostedSDK},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, chromium) })
	}
}

// newHostedWorld runs a quickstart until the test ends, with the newer two providers in it, whose
// webhooks do not come.
func newHostedWorld(t *testing.T) *world {
	t.Helper()
	okIDPortal, err := okidtest.NewPortal(okidtest.HostedConfig{})
	require.NoError(t, err)
	getIDDirect, err := okidtest.NewDirect(okidtest.HostedConfig{})
	require.NoError(t, err)
	for _, fake := range []interface {
		Start() error
		Close()
	}{okIDPortal, getIDDirect} {
		require.NoError(t, fake.Start())
		t.Cleanup(fake.Close)
	}
	w := &world{lines: make(lines, 1000)}
	w.serve(t, func(ctx context.Context) error {
		return serve(ctx, "127.0.0.1:0", "", w.lines, providers{portal: okIDPortal.ProviderConfig(), direct: getIDDirect.ProviderConfig()})
	})
	return w
}

// beginsHosted is the way to the choice of the outcome, at the provider's own page.
func (u *user) beginsHosted(provider string) {
	u.t.Helper()
	u.logIn()
	u.open("/")
	u.click("Verify with " + provider + " instead")
	u.click("Start verification")
	u.sees("How does it end?")
	assert.NotContains(u.t, u.location(), u.w.url, "it is the provider's page")
}

func testHostedOutcomes(t *testing.T, chromium context.Context) {
	w := newHostedWorld(t)
	for _, tt := range []struct {
		provider, choice, user string
		back                   bool // by the link, since the provider does not send the user back
		sees                   []string
		callbacks              []string
	}{
		{"okidportal", "Verified", "pam", false, []string{"hello pam"}, []string{"verified"}},
		{"okidportal", "Verified, but slowly", "sly", false, []string{"One moment", "hello sly"}, []string{"started", "verified"}},
		{"okidportal", "Needs review", "rob", false, []string{"A person is having a look"}, []string{"review"}},
		{"okidportal", "Rejected", "rex", true, []string{"Your last verification did not succeed. You can try again."}, []string{"failed"}},
		{"okidportal", "Document has expired", "dex", true, []string{"The document that you showed has expired."}, []string{"failed"}},
		{"getiddirect", "Approved", "ann", false, []string{"hello ann"}, []string{"verified"}},
		{"getiddirect", "Approved, but slowly", "abe", false, []string{"One moment", "hello abe"}, []string{"started", "verified"}},
		{"getiddirect", "Needs review", "ned", false, []string{"A person is having a look"}, []string{"review"}},
		{"getiddirect", "Declined", "dee", false, []string{"Your last verification did not succeed. You can try again."}, []string{"failed"}},
		{"getiddirect", "Error", "eve", false, []string{"You can try again."}, []string{"failed"}},
	} {
		t.Run(tt.provider+" "+tt.choice, func(t *testing.T) {
			u := visit(t, chromium, w, tt.user)
			u.beginsHosted(tt.provider)
			u.picture(tt.provider + "-page")
			u.click(tt.choice)
			if tt.back {
				u.click("Back to the site")
			}
			for _, text := range tt.sees {
				u.sees(text)
			}
			if tt.callbacks[len(tt.callbacks)-1] == "verified" {
				u.isMember()
			} else {
				u.shut()
			}
			assert.Equal(t, tt.callbacks, w.callbacks())
		})
	}
}

// Who leaves the provider's page, and comes back later by the app, is on the same page again.
func testHostedLeaving(t *testing.T, chromium context.Context) {
	w := newHostedWorld(t)
	for _, provider := range []string{"okidportal", "getiddirect"} {
		u := visit(t, chromium, w, "lea"+provider)
		u.beginsHosted(provider)
		at := u.location()
		u.click("Leave")
		u.sees("You left")
		u.open("/")
		u.click("Verify with " + provider + " instead")
		u.click("Start verification")
		u.sees("How does it end?")
		assert.Equal(t, at, u.location(), "it is the same verification")
		assert.Empty(t, w.callbacks())
	}
}

func testHostedNoJavaScript(t *testing.T, chromium context.Context) {
	w := newHostedWorld(t)
	for provider, choice := range map[string]string{"okidportal": "Verified", "getiddirect": "Approved"} {
		u := visit(t, chromium, w, "nora"+provider)
		u.withoutJavaScript()
		u.beginsHosted(provider)
		u.click(choice)
		u.click("Back to the site")
		u.isMember()
	}
}

// The portal's script opens the portal over the kit's page.
func testHostedSDK(t *testing.T, chromium context.Context) {
	fake, err := okidtest.NewPortal(okidtest.HostedConfig{})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	t.Cleanup(fake.Close)
	cfg := fake.ProviderConfig()
	cfg.UseSDK = true
	provider, err := portal.New(cfg)
	require.NoError(t, err)
	w := site{configure: func(c *okidhttp.Config) { c.Providers = []identity.Provider{provider} }}.run(t)
	for choice, text := range map[string]string{"Verified": "at home", "Needs review": "A person is having a look", "Rejected": "You can try again."} {
		u := visit(t, chromium, w, choice)
		u.open("/home")
		u.submit("/login", "user", choice)
		u.open("/verify/page")
		u.click("Start verification")
		u.sees("How does it end?")
		assert.Contains(t, u.location(), w.url, "it is the kit's page")
		u.click(choice)
		u.sees(text)
	}
	u := visit(t, chromium, w, "leo")
	u.open("/home")
	u.submit("/login", "user", "leo")
	u.open("/verify/page")
	u.click("Start verification")
	u.click("Close the verification")
	u.click("Open it again")
	u.sees("How does it end?")
}
