package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/testenv"
)

// stepTimeout bounds one step of a user's. It is long because the machine may be
// busy; nothing waits for it to pass.
const stepTimeout = time.Minute

// startChromium starts the one browser of these tests.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := chromedp.NewExecAllocator(context.Background(), slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(testenv.Program(t, "chromium")),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// Going back loads the page anew, which otherwise depends on the memory.
		chromedp.Flag("disable-features", "Translate,BackForwardCache"),
		// No name is looked up: whoever is sent elsewhere does not arrive.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
	})...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

// watch reports what events do not tell, of each page and of the frames in it.
const watch = `
addEventListener("securitypolicyviolation", (e) => console.error("policy violated: " + e.effectiveDirective + " " + e.blockedURI));
addEventListener("DOMContentLoaded", () => {
	if (window === top) console.debug("page: " + document.title);
	const root = document.documentElement;
	new ResizeObserver(() => {
		if (root.scrollWidth > innerWidth) console.error("scrolls sideways: " + document.title);
	}).observe(root);
});`

// user is somebody with a browser of their own: its cookies, and one tab, which
// is as narrow as a small phone.
type user struct {
	t    *testing.T
	tab  context.Context
	w    *world
	name string

	mu      sync.Mutex
	said    []string // on the console, by the pages
	trouble []string
	pardons []string
}

// visit is a user of the app. When the test ends, nothing may have gone wrong in
// their browser.
func visit(t *testing.T, chromium context.Context, w *world, name string) *user {
	t.Helper()
	return (&user{t: t, w: w, name: name}).opens(chromium, chromedp.WithNewBrowserContext())
}

// newTab is the same user in another tab of their browser.
func (u *user) newTab() *user {
	u.t.Helper()
	return (&user{t: u.t, w: u.w, name: u.name, pardons: u.pardons}).opens(u.tab)
}

// opens opens the user's tab.
func (u *user) opens(parent context.Context, options ...chromedp.ContextOption) *user {
	t, name := u.t, u.name
	t.Helper()
	var leave context.CancelFunc
	u.tab, leave = chromedp.NewContext(parent, append(options, chromedp.WithListener(u.notice))...)
	t.Cleanup(func() {
		leave()
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, what := range u.trouble {
			pardoned := slices.ContainsFunc(u.pardons, func(p string) bool { return strings.Contains(what, p) })
			assert.True(t, pardoned, "%s's browser: %s", name, what)
		}
	})
	require.NoError(t, chromedp.Do(u.tab)) // opens the tab, which lives as long as this context
	u.runsFirst(watch)
	u.resize(320, 640, "light")
	return u
}

// notice takes down what the browser has to say. It runs while the browser waits.
func (u *user) notice(event any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	wrong := func(format string, args ...any) { u.trouble = append(u.trouble, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		wrong("uncaught %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		for _, arg := range e.Args {
			text := strings.Trim(string(arg.Value), `"`)
			u.said = append(u.said, text)
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				wrong("console %s: %s", e.Type, text)
			}
		}
	case *log.EventEntryAdded:
		bad := e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning
		if bad && !strings.HasSuffix(e.Entry.URL, "/favicon.ico") { // no page names it, and the app has none
			wrong("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u.sends(e.Request.URL, nil, wrong) // its headers are those before the redirect, if there was one
	case *network.EventRequestWillBeSentExtraInfo:
		// The headers as they go out. Only these have the host of a request that
		// cannot be put together with its URL yet.
		host, _ := e.Headers["Host"].(string)
		u.sends("http://"+host+"/", e.Headers, wrong)
	}
}

// sends is a request. Nobody but the app and okID, which are both here, hears
// anything, and only okID the process token.
func (u *user) sends(address string, headers network.Headers, wrong func(string, ...any)) {
	to, err := url.Parse(address)
	switch {
	case err != nil, to.Scheme == "http" && to.Hostname() != "127.0.0.1" && !u.w.isOKID("http://"+to.Host):
		wrong("request to somebody else: %s", address)
	case to.Scheme == "http" && !u.w.isOKID("http://"+to.Host) && strings.Contains(fmt.Sprint(address, headers), "tok_v1_"):
		wrong("process token sent to %s", address)
	}
}

// forgive lets trouble with this text pass.
func (u *user) forgive(text string) { u.pardons = append(u.pardons, text) }

// do takes steps in the tab. A step that does not come about ends the test.
func (u *user) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.tab, stepTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		u.t.Fatalf("%s cannot %s: %v\n%s", u.name, what, err, u.describe())
	}
}

// describe is what the user sees, for a test that failed.
func (u *user) describe() string {
	ctx, cancel := context.WithTimeout(u.tab, stepTimeout)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// runsFirst is JavaScript that runs in each page before the page's own.
func (u *user) runsFirst(script string) {
	u.t.Helper()
	_, err := chromedp.Call(u.tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	require.NoError(u.t, err)
}

// resize gives the browser's window a size, in CSS pixels, and its pages a
// colour scheme.
func (u *user) resize(width, height int64, scheme string) {
	u.t.Helper()
	u.do("resize", chromedp.EmulateViewport(width, height))
	_, err := chromedp.Call(u.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(u.t, err)
}

// withoutJavaScript turns it off.
func (u *user) withoutJavaScript() {
	u.t.Helper()
	_, err := chromedp.Call(u.tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(u.t, err)
}

// open goes to an address: a path of the app's, or a URL.
func (u *user) open(address string) {
	u.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = u.w.url + address
	}
	u.do("open "+address, chromedp.Navigate(address))
}

// click presses the button or link with this text, on the page or in a frame, as
// soon as nothing covers it.
func (u *user) click(text string) {
	u.t.Helper()
	const pattern = `//*[self::button or self::a][contains(normalize-space(.), "%s") or @aria-label="%[1]s"]`
	u.do("click "+text, chromedp.Query(fmt.Sprintf(pattern, text), chromedp.WaitFunc(press)))
}

// press clicks one of the elements. It is tried again until it returns one. A
// mouse would miss an element that a style sheet, still to come, moves.
func press(ctx context.Context, t *chromedp.Target, _ *chromedp.Frame, _ runtime.ExecutionContextID, ids ...cdp.NodeID) ([]*chromedp.Node, error) {
	for _, id := range ids {
		element, err := cdp.Call(ctx, t, dom.ResolveNode, dom.ResolveNodeParams{NodeID: id})
		if err != nil {
			return nil, err
		}
		pressed, err := chromedp.CallFunctionOn[bool](`function () {
			this.scrollIntoView({ block: "center" });
			const box = this.getBoundingClientRect();
			const top = this.ownerDocument.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
			if (!this.contains(top)) return false;
			this.click();
			return true;
		}`, func(p *runtime.CallFunctionOnParams) { p.ObjectID = element.Object.ObjectID })(ctx, t)
		if err != nil {
			return nil, err
		}
		if pressed {
			return []*chromedp.Node{}, nil
		}
	}
	return nil, nil
}

// press is click for what this selector finds.
func (u *user) press(selector string) {
	u.t.Helper()
	u.do("press "+selector, chromedp.Query(selector, chromedp.WaitFunc(press)))
}

// sees waits until this text can be seen, on the page or in a frame.
func (u *user) sees(text string) {
	u.t.Helper()
	u.do("see "+text, chromedp.WaitVisible(fmt.Sprintf(`//body//*[not(self::script or self::noscript)][text()[contains(normalize-space(.), "%s")]]`, text)))
}

// submit posts a form, and waits for the page that answers.
func (u *user) submit(path, field, value string) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.tab, stepTimeout)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
		const form = document.body.appendChild(document.createElement("form"));
		form.method = "post";
		form.action = %s;
		const input = form.appendChild(document.createElement("input"));
		input.type = "hidden";
		input.name = %s;
		input.value = %s;
		form.submit();
	}`, quote(path), quote(field), quote(value))))
	require.NoError(u.t, err, "%s cannot post to %s", u.name, path)
}

// quote writes s as JavaScript.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always can be
	return string(b)
}

// location is where the user is.
func (u *user) location() string {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.tab, stepTimeout)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Location())
	require.NoError(u.t, err)
	return at
}

// heard is how often a page has said text on the console.
func (u *user) heard(text string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, said := range u.said {
		if said == text {
			n++
		}
	}
	return n
}

// picture saves what the user sees, in the folder that SCREENSHOTS names; on CI, in
// screenshots.
func (u *user) picture(name string) {
	u.t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" && os.Getenv("CI") == "true" {
		folder = "screenshots"
	}
	if folder == "" {
		return
	}
	ctx, cancel := context.WithTimeout(u.tab, stepTimeout)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(u.t, err)
	require.NoError(u.t, os.MkdirAll(folder, 0o755))
	require.NoError(u.t, os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644))
}
