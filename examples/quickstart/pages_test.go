package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/device"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidqr"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/store"
)

const waiting = "We are waiting for the result of your verification."

// The tab in which somebody began moves on when they finish on another device,
// where nobody is logged in.
func testOtherDevice(t *testing.T, chromium context.Context) {
	eachStore(t, func(t *testing.T, stores []store.Store) {
		w := site{stores: stores}.run(t)
		u := visit(t, chromium, w, "olga")
		u.comes()
		u.click("Start verification")
		u.sees("Begin")
		begun := <-w.starts

		phone := visit(t, chromium, w, "phone")
		phone.finishesAt(w.flowURL(begun))
		phone.sees("Continue where you began")
		finished := time.Now()
		u.isMember()
		within(t, "from the phone's last page to the members' page", finished)
		phone.do("see no name", chromedp.WaitNotPresent(`//*[contains(., "olga")]`))
	})
}

// With RequireReturn the user says that they are back.
func testOtherDeviceAndReturn(t *testing.T, chromium context.Context) {
	w := site{configure: func(c *okidhttp.Config) { c.RequireReturn = true }}.run(t)
	u := visit(t, chromium, w, "rosa")
	u.comes()
	u.click("Start verification")
	u.sees("Begin")
	begun := <-w.starts
	phone := visit(t, chromium, w, "phone")
	phone.finishesAt(w.flowURL(begun))
	phone.sees("Continue where you began")
	w.settled(t)
	u.click("Close the verification")
	u.click("I finished on another device")
	u.isMember()
}

// The webhook is withheld, but the id is known: whoever comes back sees the verdict.
func testVerdictByAsking(t *testing.T, chromium context.Context) {
	eachStore(t, func(t *testing.T, stores []store.Store) {
		w := site{stores: stores, chaos: okidtest.Chaos{Drop: true, Only: []string{okid.EventCompleted}}}.run(t)
		u := visit(t, chromium, w, "vera")
		u.comes()
		u.begins()
		w.settled(t)
		began := time.Now()
		u.click("Verified by passport")
		u.isMember()
		within(t, "from the last click to the members' page", began)
	})
}

// Five tabs of one user wait, with three streams between them, and all move on.
func testFiveTabs(t *testing.T, chromium context.Context) {
	eachStore(t, func(t *testing.T, stores []store.Store) {
		w := site{stores: stores, chaos: okidtest.Chaos{Hold: true}}.run(t)
		u := visit(t, chromium, w, "tabea")
		u.forgive("status of 429")
		u.comes()
		u.begins()
		u.click("Verified by passport")
		u.sees(waiting)
		begun := <-w.starts
		tabs := []*user{u}
		for range 4 {
			tab := u.newTab()
			tab.open(begun.SuccessURL)
			tab.sees(waiting)
			tabs = append(tabs, tab)
		}
		require.NoError(t, w.fake.Release())
		w.settled(t)
		committed := time.Now()
		for _, tab := range tabs {
			tab.isMember()
		}
		within(t, "from the commit to the members' page in the last of five tabs", committed)
	})
}

// However little of the live status comes through, the page moves on.
func testPendingWithoutStream(t *testing.T, chromium context.Context) {
	for name, instead := range map[string]string{
		"none":      `delete window.EventSource`,
		"held back": `window.EventSource = class { readyState = 1; addEventListener() {} close() {} }`,
		"refused": `window.EventSource = class {
			static CLOSED = 2;
			readyState = 2;
			addEventListener(_, hear) { setTimeout(() => { hear({ data: '{"status":"started","retry_after":1}' }); this.onerror(); }); }
			close() {}
		}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := site{chaos: okidtest.Chaos{Hold: true}}.run(t)
			u := visit(t, chromium, w, "paul")
			u.runsFirst(instead)
			u.comes()
			u.begins()
			u.click("Verified by passport")
			u.sees(waiting)
			require.NoError(t, w.fake.Release())
			w.settled(t)
			committed := time.Now()
			u.isMember()
			within(t, "from the commit to the members' page", committed)
		})
	}
}

// fastClock makes fifty seconds of a page's one.
const fastClock = `{ const real = setTimeout; window.setTimeout = (f, ms) => real(f, ms / 50); }`

// Nobody waits for ever.
func testWayOut(t *testing.T, chromium context.Context) {
	w := site{chaos: okidtest.Chaos{Hold: true}}.run(t)
	u := visit(t, chromium, w, "walt")
	u.comes()
	u.click("Start verification")
	u.sees("Begin")
	begun := <-w.starts
	u.open(begun.SuccessURL)
	u.sees(waiting)
	u.do("see no way out yet", chromedp.WaitNotVisible("section#slow"))
	u.runsFirst(fastClock)
	u.do("reload", chromedp.Reload())
	u.sees("nothing is lost.")
	u.click("Check again")
	u.sees("nothing is lost.")
	u.click("Continue the verification")
	u.click("Begin")
	u.sees("How does it end?")

	silent := visit(t, chromium, w, "sina")
	silent.comes()
	silent.click("Start verification")
	silent.sees("Begin")
	begun = <-w.starts
	silent.withoutJavaScript()
	silent.open(begun.SuccessURL)
	silent.sees("nothing is lost.") // at once, as nothing can count the seconds
}

// A top-level return from okID's own site, with each kind of cookie.
func testSameSite(t *testing.T, chromium context.Context) {
	for name, mode := range map[string]http.SameSite{"lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode} {
		t.Run(name, func(t *testing.T) {
			w := site{sameSite: mode}.run(t)
			u := visit(t, chromium, w, "stella")
			u.comes()
			u.click("Start verification")
			u.sees("Begin")
			u.finishesAt(w.flowURL(<-w.starts))
			if mode == http.SameSiteStrictMode {
				u.sees("Continue where you began") // the browser has kept the cookie back
				u.click("Continue here instead")
				u.sees("at home")
				return
			}
			u.isMember()
		})
	}
}

// Whoever presses the button when their session is over gets to the log-in, though that
// is at another origin, where the page's form may not go.
func testSessionOver(t *testing.T, chromium context.Context) {
	logIn := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(rw, `<!doctype html><link rel="icon" href="data:,"><title>Log in</title><p>who are you?</p>`)
	}))
	defer logIn.Close()
	w := site{configure: func(c *okidhttp.Config) { c.Unauthorized = http.RedirectHandler(logIn.URL, http.StatusSeeOther) }}.run(t)
	for name, scripts := range map[string]bool{"olivia": true, "oscar": false} {
		u := visit(t, chromium, w, name)
		u.comes()
		u.sees("Start verification")
		_, err := chromedp.Call(u.tab, network.ClearBrowserCookies, cdp.Empty{})
		require.NoError(t, err)
		if !scripts {
			u.withoutJavaScript()
		}
		u.click("Start verification")
		u.sees("who are you?")
		assert.Equal(t, logIn.URL+"/", u.location())
	}
}

// The SDK calls back twice, and about both; the user comes back once.
func testSDKCallsTwice(t *testing.T, chromium context.Context) {
	w := site{configure: altering(func(sdk *identity.SDK) {
		sdk.Boot = `function (config, onComplete, onError) {
			setTimeout(function () { onComplete({}); onComplete({}); onError({}); onComplete(null); onError(); });
		}`
	})}.run(t)
	u := visit(t, chromium, w, "toni")
	u.comes()
	u.click("Start verification")
	u.sees(waiting)
	assert.Contains(t, u.location(), "/verify/success?")
	assert.Equal(t, 1, u.heard("page: One moment"))
}

// The SDK gives up after it had begun: the user can try again, and is told a code.
func testSDKGivesUp(t *testing.T, chromium context.Context) {
	w := site{configure: altering(func(sdk *identity.SDK) {
		sdk.Boot = `async function (config, onComplete, onError) { await null; onError(new Error()); }`
	})}.run(t)
	u := visit(t, chromium, w, "gisa")
	u.comes()
	u.click("Start verification")
	u.sees("If you did not finish, you can go on where you were.")
	u.sees("tell support this code")
	u.click("Continue the verification")
	u.sees("If you did not finish")
}

// altered is okID with something else about its SDK.
type altered struct {
	*okid.Provider
	alter func(*identity.SDK)
}

func (p altered) SDK(s identity.Session, locale string) identity.SDK {
	sdk := p.Provider.SDK(s, locale)
	p.alter(&sdk)
	return sdk
}

func altering(alter func(*identity.SDK)) func(*okidhttp.Config) {
	return func(c *okidhttp.Config) {
		c.Providers = []identity.Provider{altered{c.Providers[0].(*okid.Provider), alter}}
	}
}

// Nothing of the SDK's host can be reached: the page says so within ten seconds.
func testSDKHostAway(t *testing.T, chromium context.Context) {
	const away = "http://127.0.0.1:1/okid.js"
	w := site{configure: altering(func(sdk *identity.SDK) {
		sdk.ScriptURL, sdk.Sources.Script = away, []string{away}
	})}.run(t)
	u := visit(t, chromium, w, "anna")
	u.forgive("net::ERR_CONNECTION_REFUSED")
	u.forgive("net::ERR_UNSAFE_PORT")
	u.comes()
	began := time.Now()
	u.click("Start verification")
	u.sees("The verification does not start")
	within(t, "from the click to the message", began)
	u.do("see a code", chromedp.WaitVisible(`[data-when="trouble"] code`))
	u.click("Try again")
	u.sees("The verification does not start")
}

// A phone, with its own pixels and fingers.
func testPhone(t *testing.T, chromium context.Context) {
	w := site{}.run(t)
	u := visit(t, chromium, w, "fone")
	u.do("be a phone", chromedp.Emulate(device.IPhone8))
	u.comes()
	u.picture("iphone-start")
	u.begins()
	u.click("Verified by passport")
	u.isMember()
}

// The keyboard alone is enough, and shows where it is; nothing turns for those who
// do not want it.
func testKeyboard(t *testing.T, chromium context.Context) {
	w := site{configure: func(c *okidhttp.Config) { c.Brand = okidhttp.Brand{Name: "The Cellar", HomeURL: "/home"} }}.run(t)
	u := visit(t, chromium, w, "kim")
	_, err := chromedp.Call(u.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	require.NoError(t, err)
	u.comes()
	u.sees("Start verification")
	focus := func() string {
		outline, err := chromedp.Run(u.tab, chromedp.Evaluate[string](`{
			const style = getComputedStyle(document.activeElement);
			style.outlineStyle + " " + style.outlineWidth + " " + document.activeElement.textContent.trim()
		}`))
		require.NoError(t, err)
		return outline
	}
	u.do("press tab", chromedp.KeyEvent(kb.Tab))
	assert.Equal(t, "solid 3px The Cellar", focus())
	u.do("press tab", chromedp.KeyEvent(kb.Tab))
	assert.Equal(t, "solid 3px Start verification", focus())
	u.picture("focus")
	u.do("press enter", chromedp.KeyEvent(kb.Enter))
	u.sees("Begin")
	u.open((<-w.starts).SuccessURL)
	u.sees(waiting)
	motion, err := chromedp.Run(u.tab, chromedp.Evaluate[string](`getComputedStyle(document.querySelector(".wait")).animationName`))
	require.NoError(t, err)
	assert.Equal(t, "none", motion)
}

// No other page may frame the kit's, where a click could be stolen.
func testFraming(t *testing.T, chromium context.Context) {
	w := site{own: func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(rw, `<!doctype html><link rel="icon" href="data:,"><title>Framed</title><iframe src="/verify/page"></iframe>`)
	}}.run(t)
	u := visit(t, chromium, w, "fritz")
	u.forgive("frame-ancestors")
	u.forgive("net::ERR_BLOCKED_BY_RESPONSE")
	u.comes()
	u.open("/own")
	u.do("see an empty frame", chromedp.WaitNotPresent(`//button[contains(., "Start verification")]`))
	select {
	case report := <-w.reports: // so that the collector is known to collect
		assert.Contains(t, report, "frame-ancestors")
	case <-time.After(stepTimeout):
		t.Error("the browser has framed the page")
	}
}

// What looks like markup stays text.
func testInjection(t *testing.T, chromium context.Context) {
	const evil = `/"'></script><script>console.error('evil')</script><img src=x onerror=console.error('evil')>` + "\u2028"
	w := site{configure: func(c *okidhttp.Config) {
		c.Brand.Name = `</title><script>console.error('evil')</script>`
		c.Texts = map[string]map[string]string{"en": {"Start verification": `<script>console.error('evil')</script>`}}
	}}.run(t)
	u := visit(t, chromium, w, "eve")
	u.open("/home")
	u.submit("/login", "user", u.name)
	for _, query := range []string{"return_to=", "attempt=", "provider=", "lang="} {
		u.forgive("status of 404")
		u.open("/verify/page?" + query + template.URLQueryEscaper(evil))
	}
	for _, name := range []string{"locale", "return_to"} {
		u.submit("/verify/start", name, evil)
		u.sees("Begin")
	}
}

// The example of docs/front-end.md works as it stands, under the policy that the
// provider asks for.
func testOwnFrontEnd(t *testing.T, chromium context.Context) {
	for name, front := range map[string]func(http.Handler) http.Handler{
		"nothing between": nil, "a proxy that buffers": buffering, "a proxy that compresses": compressing,
		"both": func(h http.Handler) http.Handler { return buffering(compressing(h)) },
	} {
		t.Run(name, func(t *testing.T) { testOwnFrontEndBehind(t, chromium, front) })
	}
}

// buffering passes an answer on when it is complete, or after ten seconds is cut off, as proxies do
// that do not know of streams.
func buffering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r.WithContext(ctx))
		maps.Copy(rw.Header(), answer.Header())
		rw.WriteHeader(answer.Code)
		_, _ = answer.Body.WriteTo(rw)
	})
}

// compressing compresses every answer that a browser takes compressed, streams included, and holds
// back what the compressor does.
func compressing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(rw, r)
			return
		}
		w := &compressor{ResponseWriter: rw, gzip: gzip.NewWriter(rw)}
		next.ServeHTTP(w, r)
		if w.compresses {
			_ = w.gzip.Close()
		}
	})
}

type compressor struct {
	http.ResponseWriter
	gzip              *gzip.Writer
	began, compresses bool
}

func (w *compressor) WriteHeader(code int) {
	h := w.Header()
	if w.compresses = !w.began && code == http.StatusOK && h.Get("Content-Range") == ""; w.compresses {
		h.Del("Content-Length")
		h.Set("Content-Encoding", "gzip")
		if tag := h.Get("ETag"); tag != "" {
			h.Set("ETag", "W/"+strings.TrimPrefix(tag, "W/"))
		}
	}
	w.began = true
	w.ResponseWriter.WriteHeader(code)
}

func (w *compressor) Write(p []byte) (int, error) {
	if !w.began {
		w.WriteHeader(http.StatusOK)
	}
	if w.compresses {
		return w.gzip.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

func testOwnFrontEndBehind(t *testing.T, chromium context.Context, front func(http.Handler) http.Handler) {
	doc, err := os.ReadFile("../../docs/front-end.md")
	require.NoError(t, err)
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```js\n(.*?)```").FindAllSubmatch(doc, -1) {
		script.Write(block[1])
	}
	require.Contains(t, script.String(), "async function verify()")
	real, err := okid.New(okid.Config{APIKey: okidtest.DefaultAPIKey, WebhookSecrets: []string{okidtest.DefaultWebhookSecret}})
	require.NoError(t, err)
	needs := real.SDK(identity.Session{}, "").Sources
	for directive, origins := range map[string][]string{
		"script-src": needs.Script, "style-src": needs.Style, "connect-src 'self'": needs.Connect, "img-src": needs.Image, "frame-src": needs.Frame,
	} {
		assert.Contains(t, string(doc), "    "+directive+" "+strings.Join(origins, " "), "docs/front-end.md")
	}

	var sources identity.Sources
	w := site{
		front:     front,
		configure: func(c *okidhttp.Config) { sources = c.Providers[0].SDK(identity.Session{}, "").Sources },
		own: func(rw http.ResponseWriter, _ *http.Request) {
			list := func(first string, more []string) string { return strings.Join(append([]string{first}, more...), " ") }
			rw.Header().Set("Content-Type", "text/html")
			rw.Header().Set("Content-Security-Policy", strings.Join([]string{
				"default-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
				list("script-src 'nonce-r4nd0m'", sources.Script), list("style-src 'self'", sources.Style),
				list("connect-src 'self'", sources.Connect), list("img-src 'self' data:", sources.Image), list("frame-src", sources.Frame),
			}, "; "))
			rw.WriteHeader(http.StatusOK)
			_, _ = fmt.Fprintf(rw, `<!doctype html><link rel="icon" href="data:,"><title>Own</title><p id="state"></p><button>Verify me</button>
				<script nonce="r4nd0m">%s
				document.querySelector("button").onclick = () => verify();</script>`, script.String())
		},
	}.run(t)
	u := visit(t, chromium, w, "otti")
	u.open("/home")
	u.submit("/login", "user", u.name)
	u.open("/own")
	u.click("Verify me")
	u.click("Begin")
	u.click("Verified by passport")
	u.sees("at home")

	other := visit(t, chromium, w, "oda") // who finishes on another device
	other.open("/home")
	other.submit("/login", "user", other.name)
	other.open("/own")
	<-w.starts
	other.click("Verify me")
	other.sees("Begin")
	w.verify(t, <-w.starts)
	other.sees("at home")
}

// testLooks walks through all pages in windows of each kind and in each language.
// No page may scroll sideways, nor give axe anything serious to find. With
// SCREENSHOTS set to a folder, one can look at them.
func testLooks(t *testing.T, chromium context.Context) {
	axe := readAxe(t)
	for _, look := range []struct {
		name          string
		width, height int64
		scheme        string
		language      string
		change        func(*okidhttp.Config)
	}{
		{"phone-light", 320, 640, "light", "en", nil},
		{"phone-dark", 320, 640, "dark", "en", nil},
		{"desktop-light", 1200, 800, "light", "en", cellar},
		{"desktop-dark", 1200, 800, "dark", "en", cellar},
		{"phone-nl", 320, 640, "light", "nl", nil},
		{"phone-de", 320, 640, "light", "de", nil},
		{"phone-fr", 320, 640, "light", "fr", nil},
		{"phone-es", 320, 640, "light", "es", nil},
		{"phone-ar", 320, 640, "light", "ar", arabic},
	} {
		t.Run(look.name, func(t *testing.T) {
			w := site{chaos: okidtest.Chaos{Hold: true}, configure: func(c *okidhttp.Config) {
				c.Providers = []identity.Provider{reviewing{c.Providers[0].(*okid.Provider)}}
				c.StartLimit = okidhttp.AtMost(3, 24*time.Hour)
				c.QRCode = okidqr.SVG
				if look.change != nil {
					look.change(c)
				}
			}}.run(t)
			n := 0
			dress := func(u *user) {
				u.resize(look.width, look.height, look.scheme)
				u.forgive("status of 4")
				_, err := chromedp.Call(u.tab, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": look.language}})
				require.NoError(t, err)
			}
			visible := func(u *user, selector, name string) {
				u.do("see "+name, chromedp.WaitVisible(selector))
				n++
				u.picture(fmt.Sprintf("%s-%02d-%s", look.name, n, name))
				u.passes(axe, name)
			}
			u := visit(t, chromium, w, "ada")
			dress(u)
			u.comes()
			visible(u, "form .button", "start")
			u.press("form .button")
			u.click("Close the verification")
			visible(u, `[data-when="open"]`, "sdk-closed")
			u.do("unfold the code", chromedp.Click(`[data-when="open"] summary`))
			visible(u, `[data-when="open"] img.code`, "sdk-phone")
			for _, state := range []string{"wait", "trouble", "unsent"} {
				u.do("show "+state, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("[data-when]").forEach((each) => { each.hidden = each.dataset.when !== "`+state+`"; })`))
				visible(u, `[data-when="`+state+`"]`, "sdk-"+state)
			}
			begun := <-w.starts
			u.open(begun.SuccessURL)
			visible(u, "main > h1", "pending")
			u.do("wait for ten seconds", chromedp.Evaluate[chromedp.Void](`document.getElementById("slow").hidden = false`))
			visible(u, "section#slow", "pending-slow")
			u.open(begun.ErrorURL)
			visible(u, "section#slow", "pending-stopped")
			u.press("section#slow .button")
			u.click("Begin")
			u.sees("How does it end?")
			require.NoError(t, w.fake.Release())
			w.settled(t)
			u.open("/verify/page")
			visible(u, "section#slow .button", "begun")
			u.press("section#slow .button")
			u.click("Refused") // which okID says when asked, though its webhook is held back
			u.do("see no more of the SDK", chromedp.WaitNotPresent("section[data-when]"))
			visible(u, "form .button", "start-failed")

			require.NoError(t, w.fake.SetChaos(okidtest.Chaos{}))
			u.press("form .button")
			u.click("Begin")
			u.click("Expired") // which the provider calls a review here
			u.do("see the review", chromedp.WaitNotPresent("main > div.wait"))
			visible(u, `main > [role="status"]`, "review")
			u.open("/verify/page")
			visible(u, `main > [role="status"]`, "gate-review")
			u.press("main p.soft > a") // to another verification
			visible(u, "form .button", "start-review")
			u.press("form .button")
			u.sees("Begin")
			_, last := <-w.starts, <-w.starts
			w.verify(t, last)
			u.isMember() // which is where the first try was to lead
			u.submit("/verify/start", "", "")
			visible(u, "main > h1", "already-verified")

			stranger := visit(t, chromium, w, "otto")
			dress(stranger)
			stranger.open(begun.SuccessURL)
			visible(stranger, "main > h1", "stranger")
			stranger.open("/verify/page")
			visible(stranger, "main > h1", "log-in")
			stranger.open("/home")
			stranger.submit("/login", "user", "otto")
			stranger.open("/verify/page?attempt=x")
			visible(stranger, "main > h1", "not-found")

			blind := visit(t, chromium, w, "nino")
			dress(blind)
			blind.comes()
			blind.withoutJavaScript()
			blind.press("form .button")
			blind.do("see the words", chromedp.WaitVisible("noscript section > h1"))
			blind.picture(look.name + "-no-javascript")
		})
	}
}

// cellar has a brand.
func cellar(c *okidhttp.Config) {
	c.Brand = okidhttp.Brand{Name: "The Cellar", Color: "#7a1f3d", LogoURL: "/logo.svg", HomeURL: "/home", PrivacyURL: "/privacy"}
}

// arabic has texts of its own, from right to left.
func arabic(c *okidhttp.Config) {
	c.Brand = okidhttp.Brand{Name: "القبو", HomeURL: "/home"}
	c.Texts = map[string]map[string]string{"ar": {
		"Verify your identity": "تحقق من هويتك",
		"This part of the site needs to know who you are. It takes about two minutes.": "يحتاج هذا الجزء من الموقع إلى معرفة من أنت. يستغرق ذلك حوالي دقيقتين.",
		"Have your passport or identity card at hand.":                                 "جهّز جواز سفرك أو بطاقة هويتك.",
		"You need a camera; a phone works best.":                                       "تحتاج إلى كاميرا، والهاتف هو الأفضل.",
		"Start verification":                                                           "ابدأ التحقق",
	}}
}

// reviewing is okID where an expired verification is one that a person looks at,
// since version 1 of its API has no word for that.
type reviewing struct{ *okid.Provider }

func (p reviewing) VerifyWebhook(h http.Header, body []byte, now time.Time) (identity.Notice, error) {
	n, err := p.Provider.VerifyWebhook(h, body, now)
	return reviewed(n), err
}

func (p reviewing) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	n, err := p.Provider.Fetch(ctx, id)
	return reviewed(n), err
}

func reviewed(n identity.Notice) identity.Notice {
	if n.Verification.Status == identity.Expired {
		n.Verification.Status = identity.Review
	}
	return n
}

// readAxe is axe-core, or "" where it is not installed; see .ci/run.
func readAxe(t *testing.T) string {
	t.Helper()
	axe, err := os.ReadFile("testdata/node_modules/axe-core/axe.min.js")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the browser tests need axe-core: ", err)
		}
		t.Log("there is no axe-core here: nobody has looked for barriers")
	}
	return string(axe)
}

// passes lets axe look at the page.
func (u *user) passes(axe, page string) {
	u.t.Helper()
	if axe == "" {
		return
	}
	ctx, cancel := context.WithTimeout(u.tab, stepTimeout)
	defer cancel()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](axe+`;
		axe.run({ resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.map((n) => n.html + " " + n.failureSummary) }))))`,
		chromedp.EvalAwaitPromise))
	require.NoError(u.t, err, page)
	var violations []struct {
		ID, Impact string
		Nodes      []string
	}
	require.NoError(u.t, json.Unmarshal([]byte(found), &violations))
	for _, v := range violations {
		if slices.Contains([]string{"serious", "critical"}, v.Impact) {
			assert.Fail(u.t, "axe: "+page+": "+v.ID, "%s: %s", v.Impact, v.Nodes)
		} else {
			u.t.Logf("axe: %s: %s: %s: %s", page, v.Impact, v.ID, v.Nodes)
		}
	}
}
