package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// TestQuickstart drives the quickstart as people do, in one browser for all.
func TestQuickstart(t *testing.T) {
	chromium := startChromium(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"run", testRun},
		{"outcomes", testOutcomes},
		{"second try", testSecondTry},
		{"leaving", testLeaving},
		{"webhook held back", testWebhookHeldBack},
		{"webhook lost", testWebhookLost},
		{"strangers", testStrangers},
		{"sdk declared in three ways", testSDKDeclarations},
		{"sdk blocked", testSDKBlocked},
		{"sdk late", testSDKLate},
		{"sdk broken", testSDKBroken},
		{"no javascript", testNoJavaScript},
		{"return_to", testReturnTo},
		{"other device", testOtherDevice},
		{"other device and return", testOtherDeviceAndReturn},
		{"phone by QR code", testPhoneByQRCode},
		{"verdict by asking", testVerdictByAsking},
		{"five tabs", testFiveTabs},
		{"pending without stream", testPendingWithoutStream},
		{"way out", testWayOut},
		{"same site", testSameSite},
		{"session over", testSessionOver},
		{"sdk calls twice", testSDKCallsTwice},
		{"sdk gives up", testSDKGivesUp},
		{"sdk host away", testSDKHostAway},
		{"phone", testPhone},
		{"keyboard", testKeyboard},
		{"framing", testFraming},
		{"injection", testInjection},
		{"own front end", testOwnFrontEnd},
		{"program of the README", testReadme},
		{"looks", testLooks},
		{"operator page", testAdmin},
		{"operator page looks", testAdminLooks},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name != "run" {
				testenv.Long(t)
			}
			test.run(t, chromium)
		})
	}
}

// world is a quickstart that is running, and the simulated okID in it.
type world struct {
	fake    *okidtest.OKID
	url     string
	lines   lines
	starts  chan start
	reports chan string // of what violates a page's policy
}

// start is a verification that the app asked okID for.
type start struct {
	token string
	okid.GenerateRequest
}

// lines gets what the quickstart prints, one line at a time.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// newWorld runs a quickstart until the test ends. sdkURL is where the SDK is, if
// it is not the fake's.
func newWorld(t *testing.T, chaos okidtest.Chaos, sdkURL string) *world {
	t.Helper()
	w := &world{lines: make(lines, 1000), starts: make(chan start, 1000)}
	w.newFake(t, chaos)
	if sdkURL == "" {
		sdkURL = w.fake.SDKURL()
	}
	w.serve(t, func(ctx context.Context) error {
		return serve(ctx, "127.0.0.1:0", "", w.lines, providers{okid: okid.Config{APIURL: w.fake.URL(), FrontendURL: w.fake.URL(), SDKURL: sdkURL}})
	})
	return w
}

// newFake starts the simulated okID.
func (w *world) newFake(t *testing.T, chaos okidtest.Chaos) {
	t.Helper()
	var err error
	w.fake, err = okidtest.NewOKID(okidtest.Config{
		Chaos:      chaos,
		OnGenerate: func(_ context.Context, token string, r okid.GenerateRequest) { w.starts <- start{token, r} },
	})
	require.NoError(t, err)
	require.NoError(t, w.fake.Start())
	t.Cleanup(w.fake.Close)
}

// serve runs a quickstart until the test ends, and waits for the line that says
// where it is.
func (w *world) serve(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	select {
	case line := <-w.lines:
		address, ok := strings.CutPrefix(line, "open ")
		require.True(t, ok, "%q", line)
		w.url = strings.TrimSpace(address)
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
}

// isOKID reports whether the fake is at this origin. Where run has made the fake,
// all that is known is that the app is not.
func (w *world) isOKID(origin string) bool {
	if w.fake == nil {
		return origin != w.url
	}
	return origin == w.fake.URL() || origin == elsewhereURL(w.fake.URL())
}

// callbacks are the callbacks so far.
func (w *world) callbacks() []string {
	var names []string
	for {
		select {
		case line := <-w.lines:
			_, rest, _ := strings.Cut(line, `{"callback":"`)
			name, _, _ := strings.Cut(rest, `"`)
			names = append(names, name)
		default:
			return names
		}
	}
}

// settled waits until okID has no webhook to send.
func (w *world) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stepTimeout)
	defer cancel()
	require.NoError(t, w.fake.Wait(ctx))
}

// verify does, without a browser, what the user of a verification does at okID.
func (w *world) verify(t *testing.T, s start) {
	t.Helper()
	for _, choice := range []string{"begin", "passport"} {
		res, err := http.PostForm(w.fake.FlowURL(s.token), url.Values{"choice": {choice}})
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	w.settled(t)
}

// logIn is the way to the page with the button.
func (u *user) logIn() {
	u.t.Helper()
	u.open("/")
	u.do("fill in the name", chromedp.SendKeys(chromedp.ID("user"), u.name))
	u.click("Log in")
	u.click("Enter the members' page")
	u.sees("This part of the site needs to know who you are")
}

// begins is the way to the choice of the outcome.
func (u *user) begins() {
	u.t.Helper()
	u.click("Start verification")
	u.click("Begin")
	u.sees("How does it end?")
}

// isMember waits until the user is where they wanted to go.
func (u *user) isMember() {
	u.t.Helper()
	u.sees("hello " + u.name)
	assert.Equal(u.t, u.w.url+"/members", u.location())
}

func testRun(t *testing.T, chromium context.Context) {
	w := &world{lines: make(lines, 1000)}
	w.serve(t, func(ctx context.Context) error { return run(ctx, "127.0.0.1:0", "", w.lines) })
	u := visit(t, chromium, w, "robin")
	u.logIn()
	u.begins()
	u.click("Verified by passport")
	u.isMember()
	assert.Equal(t, []string{"started", "verified"}, w.callbacks())

	g := visit(t, chromium, w, "gia")
	g.logIn()
	g.open("/")
	g.click("Verify with getid instead")
	g.click("Start verification")
	g.click("Approved")
	g.isMember()
	assert.Equal(t, []string{"verified"}, w.callbacks())

	for provider, good := range map[string]string{"okidportal": "Verified", "getiddirect": "Approved"} {
		h := visit(t, chromium, w, "hal"+provider)
		h.logIn()
		h.open("/")
		h.click("Verify with " + provider + " instead")
		h.click("Start verification")
		h.sees("How does it end?")
		h.click(good)
		h.isMember()
		assert.Equal(t, []string{"verified"}, w.callbacks())
	}

	require.Error(t, run(t.Context(), strings.TrimPrefix(w.url, "http://"), "", w.lines), "the port is taken")
}

func testOutcomes(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{}, "")
	for _, tt := range []struct {
		choice, user, sees string
		callback           string
	}{
		{"Verified by passport", "paula", "hello paula", "verified"},
		{"Verified by ID card", "ida", "hello ida", "verified"},
		{"Refused", "rex", "Your last verification did not succeed. You can try again.", "failed"},
		{"Expired", "edda", "Your last verification was not finished in time. You can try again.", "expired"},
	} {
		t.Run(tt.choice, func(t *testing.T) {
			u := visit(t, chromium, w, tt.user)
			u.logIn()
			u.begins()
			u.click(tt.choice)
			u.sees(tt.sees)
			if tt.callback == "verified" {
				u.isMember()
			} else {
				assert.Equal(t, w.url+"/verify/page", u.location())
				u.open("/members")
				u.sees(tt.sees)
				u.sees("Try again")
			}
			w.settled(t)
			assert.Equal(t, []string{"started", tt.callback}, w.callbacks())
		})
	}
}

func testSecondTry(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{}, "")
	u := visit(t, chromium, w, "sam")
	u.logIn()
	u.begins()
	u.click("Refused")
	u.sees("Your last verification did not succeed. You can try again.")
	u.click("Try again")
	u.click("Begin")
	u.click("Verified by passport")
	u.sees("hello sam")
	w.settled(t)
	assert.Equal(t, []string{"started", "failed", "started", "verified"}, w.callbacks())
	assert.Len(t, w.starts, 2)
}

// However a user leaves, they get back to the same verification.
func testLeaving(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{}, "")
	for name, leave := range map[string]func(*user){
		"tab":    func(u *user) { u.open("about:blank") },
		"button": func(u *user) { u.click("Close the verification") },
		"choice": func(u *user) { u.click("Leave") },
	} {
		t.Run(name, func(t *testing.T) {
			u := visit(t, chromium, w, name)
			u.logIn()
			u.begins()
			leave(u)
			if name != "tab" {
				u.sees("If you have closed it, you can go on where you were.")
				u.click("Open it again")
				u.sees("How does it end?")
			}
			u.open("/members")
			u.click("Continue the verification")
			u.click("Verified by passport")
			u.isMember()
			w.settled(t)
			assert.Equal(t, []string{"started", "verified"}, w.callbacks())
			assert.Len(t, w.starts, 1)
			<-w.starts
		})
	}
}

func testWebhookHeldBack(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{Hold: true}, "")
	u := visit(t, chromium, w, "wanda")
	u.logIn()
	u.begins()
	u.click("Verified by passport")
	u.sees("We are waiting for the result of your verification.")
	pending := u.location()

	for range 5 {
		u.do("reload", chromedp.Reload())
		u.sees("We are waiting for the result of your verification.")
	}
	u.do("go back", chromedp.NavigateBack())
	u.sees("We are waiting for the result of your verification.") // okID leads here again
	assert.Equal(t, pending, u.location())
	assert.Empty(t, w.callbacks())

	require.NoError(t, w.fake.Release())
	u.isMember()
	w.settled(t)
	assert.Equal(t, []string{"started", "verified"}, w.callbacks())
	assert.Len(t, w.starts, 1)
}

// A webhook that never comes is made up for by asking okID, as soon as it can be
// asked.
func testWebhookLost(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{Drop: true, Only: []string{okid.EventCompleted}}, "")
	w.fake.FailFetch(1, okidtest.Status(http.StatusInternalServerError))
	u := visit(t, chromium, w, "lou")
	u.logIn()
	u.begins()
	w.settled(t)
	u.click("Verified by ID card")
	u.isMember()
	assert.NotZero(t, u.heard("page: One moment"))
	assert.Equal(t, []string{"started", "verified"}, w.callbacks())
}

// Who is not the user of a verification learns nothing from its links.
func testStrangers(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{Hold: true}, "")
	u := visit(t, chromium, w, "ulla")
	u.logIn()
	u.begins()
	begun := <-w.starts

	other := visit(t, chromium, w, "otto")
	other.logIn()
	nobody := visit(t, chromium, w, "nobody")
	for _, stranger := range []*user{other, nobody} {
		for _, address := range []string{begun.SuccessURL, begun.ErrorURL} {
			stranger.open(address)
			stranger.sees("Continue where you began")
			stranger.do("find no name", chromedp.WaitNotPresent(`//*[contains(., "ulla")]`))
		}
	}
	u.click("Verified by passport")
	u.sees("We are waiting for the result of your verification.")
	require.NoError(t, w.fake.Release())
	u.isMember()
	other.open(begun.SuccessURL)
	other.sees("Continue where you began")
	other.open("/members")
	other.sees("Start verification")
}

func testSDKDeclarations(t *testing.T, chromium context.Context) {
	const count = `
{
	const init = okID.prototype.init;
	okID.prototype.init = function () { console.debug("init"); return init.call(this); };
}`
	for _, as := range []string{"var", "class", "window"} {
		t.Run(as, func(t *testing.T) {
			var w *world
			sdk := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				w.fake.ServeHTTP(rw, r)
				_, _ = fmt.Fprint(rw, count)
			}))
			t.Cleanup(sdk.Close)
			w = newWorld(t, okidtest.Chaos{}, sdk.URL+"/sdk/okid.js?as="+as)
			u := visit(t, chromium, w, as)
			u.logIn()
			u.begins()
			u.click("Verified by passport")
			u.isMember()
			assert.Equal(t, 1, u.heard("init"))
		})
	}
}

// A content blocker, or an SDK host that is away.
func testSDKBlocked(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{}, "")
	u := visit(t, chromium, w, "blake")
	u.forgive("net::ERR_BLOCKED_BY_CLIENT")
	block := func(patterns ...*network.BlockPattern) {
		_, err := chromedp.Call(u.tab, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: patterns})
		require.NoError(t, err)
	}
	block(&network.BlockPattern{URLPattern: w.fake.SDKURL(), Block: true})
	u.logIn()
	u.click("Start verification")
	u.sees("The verification does not start")
	u.click("Try again")
	u.sees("The verification does not start")
	block()
	u.click("Try again")
	u.click("Begin")
	u.click("Verified by passport")
	u.isMember()
	assert.Len(t, w.starts, 1)
}

// An SDK host that does not answer, until it does.
func testSDKLate(t *testing.T, chromium context.Context) {
	var w *world
	answer := make(chan struct{})
	sdk := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-answer:
			w.fake.ServeHTTP(rw, r)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(sdk.Close)
	w = newWorld(t, okidtest.Chaos{}, sdk.URL+"/sdk/okid.js")
	u := visit(t, chromium, w, "lara")
	u.runsFirst(`{ const real = setTimeout; window.setTimeout = (f, ms) => real(f, ms / 20); }`) // a fast clock
	u.logIn()
	u.click("Start verification")
	u.sees("The verification does not start")
	close(answer)
	u.click("Begin")
	u.click("Verified by passport")
	u.isMember()
}

// A script that loads, and then cannot be started.
func testSDKBroken(t *testing.T, chromium context.Context) {
	for name, script := range map[string]string{
		"empty":       "",
		"constructor": "class okID { constructor() { throw new Error(); } }",
		"init":        "class okID { init() { throw new Error(); } }",
	} {
		t.Run(name, func(t *testing.T) {
			sdk := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "text/javascript")
				_, _ = fmt.Fprint(rw, script)
			}))
			t.Cleanup(sdk.Close)
			u := visit(t, chromium, newWorld(t, okidtest.Chaos{}, sdk.URL), name)
			u.logIn()
			u.click("Start verification")
			u.sees("The verification does not start")
		})
	}
}

func testNoJavaScript(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{}, "")
	u := visit(t, chromium, w, "norman")
	u.withoutJavaScript()
	u.logIn()
	u.click("Start verification")
	u.sees("The verification needs JavaScript.")
	u.do("see no spinner", chromedp.WaitNotVisible(`[data-when="wait"]`))

	begun := <-w.starts
	u.open(begun.SuccessURL)
	u.sees("We are waiting for the result of your verification.")
	w.verify(t, begun)
	u.isMember() // by the page's own refresh
}

// elsewhere are addresses that lead, or may once have led, off the site.
var elsewhere = []string{
	"//elsewhere.example",
	"///elsewhere.example",
	"////elsewhere.example/..",
	`/\elsewhere.example`,
	`\/elsewhere.example`,
	`\\elsewhere.example`,
	`/\/elsewhere.example`,
	`/./\elsewhere.example`,
	`/../\elsewhere.example`,
	`/.\elsewhere.example`,
	"/..//elsewhere.example",
	"/.//elsewhere.example",
	"/a/..//elsewhere.example",
	"/%2e%2e//elsewhere.example",
	"/%2e/%5celsewhere.example",
	"/%5celsewhere.example",
	"/%2f/elsewhere.example",
	"/%09/elsewhere.example",
	"/\t/elsewhere.example",
	"/\n/elsewhere.example",
	"/\r\n/elsewhere.example",
	"\t//elsewhere.example",
	" //elsewhere.example",
	"/ /elsewhere.example",
	"\x00//elsewhere.example",
	"\u00a0//elsewhere.example",
	"/\u2028/elsewhere.example",
	"\uff0f\uff0felsewhere.example",
	"http:elsewhere.example",
	"http:/elsewhere.example",
	"http:///elsewhere.example",
	"http:\\\\elsewhere.example",
	"https://elsewhere.example",
	"HTTP://elsewhere.example",
	"http://127.0.0.1@elsewhere.example",
	"http://127.0.0.1.elsewhere.example",
	"http://127.0.0.1:1@elsewhere.example/members",
	"javascript:location='http://elsewhere.example'",
	"JaVaScRiPt:alert(1)",
	"data:text/html,<script>location='http://elsewhere.example'</script>",
	"view-source:http://elsewhere.example",
}

// comesBack starts and finishes a verification with this return_to, and says
// where the user ends, then and when they come to the page again.
func (u *user) comesBack(returnTo string) (after, again string) {
	u.t.Helper()
	u.submit("/login", "user", u.name)
	u.submit("/verify/start", "return_to", returnTo)
	begun := <-u.w.starts
	u.open("about:blank") // or the page would move on by itself
	u.w.verify(u.t, begun)
	u.open(begun.SuccessURL)
	after = u.location()
	u.open("/verify/page?return_to=" + url.QueryEscape(returnTo))
	return after, u.location()
}

func testReturnTo(t *testing.T, chromium context.Context) {
	w := newWorld(t, okidtest.Chaos{}, "")
	u := visit(t, chromium, w, "")
	u.open("/")
	try := func(n int, returnTo, want string) {
		u.name = fmt.Sprintf("rita%d", n)
		after, again := u.comesBack(returnTo)
		assert.Equal(t, w.url+want, after, "%q", returnTo)
		assert.Equal(t, w.url+want, again, "%q", returnTo)
	}
	for i, returnTo := range elsewhere {
		try(i, returnTo, "/members")
	}
	try(len(elsewhere), "/?here#there", "/?here#there")
	try(len(elsewhere)+1, w.url+"/?here", "/?here")
}
