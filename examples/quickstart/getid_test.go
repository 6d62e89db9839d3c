package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okidtest"
)

// TestGetID drives the quickstart's second provider as people do, in one browser
// for all. That nothing violates a page's policy, and that nothing goes wrong in the
// browser, visit asserts.
func TestGetID(t *testing.T) {
	testenv.Long(t)
	chromium := startChromium(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"outcomes", testGetIDOutcomes},
		{"closing", testGetIDClosing},
		{"going back", testGetIDGoingBack},
		{"claim route away", testGetIDClaimRouteAway},
		{"told twice", testGetIDToldTwice},
		{"looks", testGetIDLooks},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, chromium) })
	}
}

// newGetIDWorld runs a quickstart until the test ends, with a GetID in it.
func newGetIDWorld(t *testing.T) *world {
	t.Helper()
	fake, err := okidtest.NewGetID(okidtest.GetIDConfig{})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	t.Cleanup(fake.Close)
	w := &world{lines: make(lines, 1000)}
	w.serve(t, func(ctx context.Context) error {
		return serve(ctx, "127.0.0.1:0", "", w.lines, providers{getid: getid.Config{
			BaseURL: fake.URL(), JWKSURL: fake.JWKSURL(), ScriptURL: fake.ScriptURL(),
		}})
	})
	return w
}

// beginsGetID is the way to the choice of the outcome.
func (u *user) beginsGetID() {
	u.t.Helper()
	u.logIn()
	u.open("/")
	u.click("Verify with getid instead")
	u.click("Start verification")
	u.sees("How does it end?")
}

// shut asserts that the members' page is, to this user.
func (u *user) shut() {
	u.t.Helper()
	u.open("/members")
	assert.Contains(u.t, u.location(), u.w.url+"/verify/page?")
}

func testGetIDOutcomes(t *testing.T, chromium context.Context) {
	w := newGetIDWorld(t)
	for _, tt := range []struct {
		choice, user string
		sees         []string
		callbacks    []string
	}{
		{"Approved", "ann", []string{"hello ann"}, []string{"verified"}},
		{"Approved, but slowly", "sly", []string{"One moment", "hello sly"}, []string{"started", "verified"}},
		{"Needs review", "rob", []string{"A person is having a look"}, []string{"review"}},
		{"Declined", "dee", []string{"Your last verification did not succeed. You can try again."}, []string{"failed"}},
		{"Error", "eve", []string{"Your last verification did not succeed. You can try again."}, []string{"failed"}},
	} {
		t.Run(tt.choice, func(t *testing.T) {
			u := visit(t, chromium, w, tt.user)
			u.beginsGetID()
			u.click(tt.choice)
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

// Who closes the flow gets back to it, and to the same attempt.
func testGetIDClosing(t *testing.T, chromium context.Context) {
	w := newGetIDWorld(t)
	u := visit(t, chromium, w, "clo")
	u.beginsGetID()
	at := u.location()
	u.click("Close the verification")
	u.sees("If you have closed it, you can go on where you were.")
	assert.Empty(t, w.callbacks())
	u.click("Open it again")
	u.sees("How does it end?")
	assert.Equal(t, at, u.location())
	u.open("/")
	u.click("Verify with getid instead")
	u.click("Start verification")
	u.sees("How does it end?")
	assert.Equal(t, at, u.location())
	u.click("Approved")
	u.isMember()
	assert.Equal(t, []string{"verified"}, w.callbacks())
}

// Who has handed in a verification is not asked for another one, however the
// browser gets back to its page.
func testGetIDGoingBack(t *testing.T, chromium context.Context) {
	w := newGetIDWorld(t)
	u := visit(t, chromium, w, "ben")
	u.beginsGetID()
	page := u.location()
	u.click("Approved, but slowly")
	u.sees("We are waiting for the result of your verification.")
	u.open(page)
	u.sees("We are waiting for the result of your verification.")
	u.do("reload", chromedp.Reload())
	u.sees("hello ben")
	u.open(page)
	u.isMember()
	assert.Equal(t, []string{"started", "verified"}, w.callbacks())
}

// answersFirst makes the first n claims of a page end like this, and counts all on
// the console. What is JavaScript, and may use real, the browser's own fetch.
func (u *user) answersFirst(n int, what string) {
	u.t.Helper()
	u.runsFirst(fmt.Sprintf(`{
		const real = window.fetch;
		let n = 0;
		window.fetch = (...args) => {
			if (!String(args[0]).includes("/verify/claim")) return real(...args);
			console.debug("claim");
			return n++ < %d ? %s : real(...args);
		};
	}`, n, what))
}

func testGetIDClaimRouteAway(t *testing.T, chromium context.Context) {
	const away, offline = `Promise.resolve(new Response("", { status: 503 }))`, `Promise.reject(new TypeError("Failed to fetch"))`
	for _, tt := range []struct {
		name, what string
		times      int
	}{
		{"once", away, 1},
		// The page sends the claim again, or learns first how the attempt stands.
		{"answer lost", `real(...args).then(() => { throw new TypeError("Failed to fetch") })`, 1},
		{"offline for long", offline, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newGetIDWorld(t)
			u := visit(t, chromium, w, "ray")
			u.answersFirst(tt.times, tt.what)
			u.beginsGetID()
			u.click("Approved")
			if tt.times > 1 {
				u.sees("Your verification could not be handed over")
				u.click("Send it again")
			}
			u.isMember()
			if tt.name != "answer lost" {
				assert.Equal(t, tt.times+1, u.heard("claim"))
			}
			assert.Equal(t, []string{"verified"}, w.callbacks())
		})
	}
}

// A script that tells of one verification twice, or once more when the page is
// gone already, makes nothing happen twice.
func testGetIDToldTwice(t *testing.T, chromium context.Context) {
	for _, choice := range []string{"Approved", "Declined"} {
		w := newGetIDWorld(t)
		u := visit(t, chromium, w, "tom")
		u.runsFirst(`{
			let real;
			Object.defineProperty(window, "checkin", {
				get: () => real,
				set: (checkin) => {
					const set = checkin.dataFlow.setOnComplete;
					checkin.dataFlow.setOnComplete = (f) => set((flow) => { f(flow); f(flow); setTimeout(f, 10, flow); });
					real = checkin;
				},
			});
		}`)
		u.beginsGetID()
		u.click(choice)
		want := "verified"
		if choice == "Declined" {
			u.sees("Your last verification did not succeed. You can try again.")
			want = "failed"
		} else {
			u.isMember()
		}
		assert.Equal(t, []string{want}, w.callbacks())
	}
}

// testGetIDLooks walks through the pages that only a claim leads to, in a window of
// each kind; with SCREENSHOTS set to a folder, one can look at them.
func testGetIDLooks(t *testing.T, chromium context.Context) {
	for _, look := range []struct {
		name          string
		width, height int64
		scheme        string
	}{
		{"phone-light", 320, 640, "light"},
		{"desktop-dark", 1200, 800, "dark"},
	} {
		t.Run(look.name, func(t *testing.T) {
			w := newGetIDWorld(t)
			u := visit(t, chromium, w, "ada")
			u.resize(look.width, look.height, look.scheme)
			u.answersFirst(3, `Promise.resolve(new Response("", { status: 503 }))`)
			u.beginsGetID()
			u.picture(look.name + "-getid-1-choice")
			u.click("Close the verification")
			u.sees("If you have closed it, you can go on where you were.")
			u.picture(look.name + "-getid-2-closed")
			u.click("Open it again")
			u.click("Approved, but slowly")
			u.sees("Your verification could not be handed over")
			u.picture(look.name + "-getid-3-unsent")
			u.click("Send it again")
			u.sees("We are waiting for the result of your verification.")
			u.picture(look.name + "-getid-4-pending")

			other := visit(t, chromium, w, "ida")
			other.resize(look.width, look.height, look.scheme)
			other.beginsGetID()
			other.click("Needs review")
			other.sees("A person is having a look")
			other.picture(look.name + "-getid-5-review")
		})
	}
}
