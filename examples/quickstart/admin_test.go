package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okidtest"
)

// text is what the user can read on the page.
func (u *user) text() string {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.tab, stepTimeout)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.textContent"))
	require.NoError(u.t, err)
	return text
}

// unfolds opens the part of the operator page with this heading, and fills its first field in.
func (u *user) unfolds(summary, field, value string) {
	u.t.Helper()
	u.do("unfold "+summary, chromedp.Click(`//summary[normalize-space(.)="`+summary+`"]`))
	u.do("fill in "+field, chromedp.SendKeys(`#`+field, value))
}

// presses the button of a form of the operator page.
func (u *user) presses(action string) {
	u.t.Helper()
	u.press(`button[value="` + action + `"]`)
}

// testAdmin is a day of somebody who helps users, with and without JavaScript.
func testAdmin(t *testing.T, chromium context.Context) {
	for name, script := range map[string]bool{"with JavaScript": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, okidtest.Chaos{}, "")
			ada := visit(t, chromium, w, "ada")
			ada.logIn()
			ada.begins()
			ada.click("Verified by passport")
			ada.isMember()
			ada.forgive("status of 403") // of the page that is not hers
			ada.open("/admin/")
			ada.sees("This page is not for you.")

			staff := visit(t, chromium, w, "staff")
			staff.open("/")
			staff.do("log in", chromedp.SendKeys(chromedp.ID("user"), "staff"))
			staff.click("Log in")
			if !script {
				staff.withoutJavaScript()
			}
			staff.click("The operator page")
			staff.sees("Everything works.")
			staff.do("name a user", chromedp.SendKeys(chromedp.ID("find"), "ada"))
			staff.presses("find")
			staff.do("see her", chromedp.WaitVisible("#standing.good"))
			assert.NotContains(t, staff.location(), "ada")

			staff.unfolds("Revoke", "r-revoke", "Chargeback 4711")
			staff.presses("revoke")
			staff.sees("The verification is revoked. The gate is shut.")
			staff.sees("Chargeback 4711")
			ada.open("/members")
			ada.sees("Please verify again")

			staff.unfolds("Approve", "r-approve", "Passport seen at the counter")
			staff.presses("approve")
			staff.sees("The user is verified.")
			ada.open("/members")
			ada.sees("hello ada")

			staff.unfolds("Reset the limit", "r-reset", "May try again")
			staff.presses("reset_limit")
			staff.sees("The user may try again.")
			for _, canary := range []string{"Jane", "Roe", "1990-02-03", "Z000001"} {
				assert.NotContains(t, staff.text(), canary)
			}

			staff.unfolds("Erase", "r-erase", "Asked to be forgotten")
			staff.forgive("status of 422") // of what is not confirmed
			staff.do("confirm", chromedp.SendKeys(chromedp.ID("confirm"), "eda"))
			staff.presses("erase")
			staff.sees("To erase the user, type the user's name exactly as it stands here.")
			staff.unfolds("Erase", "r-erase", "Asked to be forgotten")
			staff.do("confirm", chromedp.SendKeys(chromedp.ID("confirm"), "ada"))
			staff.presses("erase")
			staff.sees("The user is erased.")
			ada.open("/members")
			ada.sees("This part of the site needs to know who you are")
		})
	}
	t.Run("another site's form", func(t *testing.T) {
		w := newWorld(t, okidtest.Chaos{}, "")
		other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			_, _ = rw.Write([]byte("<!doctype html><link rel=icon href=data:><title>A nice page</title><p>Nice"))
		}))
		t.Cleanup(other.Close)
		staff := visit(t, chromium, w, "staff")
		staff.open("/")
		staff.do("log in", chromedp.SendKeys(chromedp.ID("user"), "staff"))
		staff.click("Log in")
		staff.sees("The operator page")
		staff.forgive("status of 403")
		staff.open(other.URL)
		staff.submit(w.url+"/admin/", "action", "find")
		staff.sees("The form is another site's.")
	})
}

// testAdminLooks shows the operator page in windows of each kind and in each language.
func testAdminLooks(t *testing.T, chromium context.Context) {
	axe := readAxe(t)
	w := newWorld(t, okidtest.Chaos{}, "")
	ada := visit(t, chromium, w, "ada lovelace") // of which the document says nothing
	ada.logIn()
	ada.begins()
	ada.click("Verified by passport")
	ada.sees("Not verified")
	for _, look := range []struct {
		name          string
		width, height int64
		scheme        string
		language      string
	}{
		{"desktop-light", 1200, 900, "light", "en"},
		{"desktop-dark", 1200, 900, "dark", "en"},
		{"phone-light", 320, 640, "light", "en"},
		{"phone-nl", 320, 640, "light", "nl"},
		{"phone-de", 320, 640, "dark", "de"},
		{"phone-fr", 320, 640, "light", "fr"},
		{"phone-es", 320, 640, "light", "es"},
		{"zoomed", 160, 320, "light", "de"}, // 320 at 200 %
	} {
		t.Run(look.name, func(t *testing.T) {
			staff := visit(t, chromium, w, "staff")
			staff.t = t
			_, err := chromedp.Call(staff.tab, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": look.language}})
			require.NoError(t, err)
			staff.open("/")
			staff.submit("/login", "user", "staff")
			staff.open("/admin/")
			staff.resize(look.width, look.height, look.scheme)
			looks := func(page string) {
				t.Helper()
				staff.picture("admin-" + look.name + "-" + page)
				staff.passes(axe, page)
			}
			looks("overview")
			staff.do("name a user", chromedp.SendKeys(chromedp.ID("find"), "ada lovelace"))
			staff.presses("find")
			staff.do("see her", chromedp.WaitVisible("#standing"))
			staff.do("unfold all", chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true; })`))
			looks("user")
			assert.Regexp(t, regexp.MustCompile(`^`+regexp.QuoteMeta(w.url)+`/admin/\?attempt=[\w-]+$`), staff.location())
		})
	}
}
