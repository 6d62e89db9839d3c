package okidhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html/template"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/text"
)

// page is what a user sees who asks for a route in these languages.
func (w *world) page(user, target, accept string) string {
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Accept-Language", accept)
	return w.do(r, user).Body.String()
}

// The header Accept-Language is a stranger's, and may be long.
func TestLanguage(t *testing.T) {
	w := newWorld(t)
	for accept, want := range map[string]string{
		"":                              "en",
		"*":                             "en",
		"FR":                            "fr",
		"de-AT,de;q=0.9,en;q=0.8":       "de",
		"qaa;q=0.9, nl;q=0.5, fr;q=0.7": "fr",
		"\"><script>":                   "en",
		strings.Repeat("nl_x-", 10_000): "nl",
	} {
		body := w.page("alice", "/verify/page", accept)
		assert.Contains(t, body, fmt.Sprintf(`<html lang=%q dir="ltr">`, want), accept)
	}
	assert.Contains(t, w.page("alice", "/verify/page", "nl"), "Verificatie starten")
	assert.Contains(t, w.page("alice", "/verify/page", "nl"), `name="locale" value="nl"`, "the provider's SDK speaks it, too")
}

func TestLanguageIsTheHostsToSay(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Language = func(r *http.Request) string { return r.URL.Query().Get("lang") }
		c.Texts = map[string]map[string]string{
			"qaa-Arab": {"Start verification": "ابدأ التحقق"},
			"de-QM":    {"Start verification": "Los geht’s"},
			"en":       {"Start verification": "Prove your age"},
		}
	})
	for said, want := range map[string]struct{ html, text string }{
		"qaa-arab":    {`lang="qaa-arab" dir="rtl"`, "ابدأ التحقق"},
		"qaa-Arab-EG": {`lang="qaa-arab" dir="rtl"`, "ابدأ التحقق"},
		"de-qm":       {`lang="de-qm" dir="ltr"`, "Los geht’s"},
		"de":          {`lang="de" dir="ltr"`, "Verifizierung starten"},
		"en-GB":       {`lang="en" dir="ltr"`, "Prove your age"},
		"":            {`lang="fr" dir="ltr"`, "Commencer la vérification"},
		"qab":         {`lang="fr" dir="ltr"`, "Commencer la vérification"},
		`"><b>{{`:     {`lang="fr" dir="ltr"`, "Commencer la vérification"},
	} {
		r := httptest.NewRequest("GET", "/verify/page", nil)
		r.URL.RawQuery = "lang=" + template.URLQueryEscaper(said)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Language", "fr")
		body := w.do(r, "alice").Body.String()
		assert.Contains(t, body, want.html, said)
		assert.Contains(t, body, want.text, said)
	}
	assert.Contains(t, w.page("alice", "/verify/page?lang=de-qm", ""), "Bestätigen Sie Ihre Identität", "what it lacks is German")
	assert.Contains(t, w.page("alice", "/verify/page?lang=qaa-arab", ""), "Verify your identity", "what it lacks is English")
}

// Every text of the pages is in the files that translators edit, and every text of the
// files on a page.
func TestTexts(t *testing.T) {
	onPages := map[string]bool{}
	inTemplate := regexp.MustCompile(`\.T "([^"]*)"`)
	files, err := pageFiles.ReadDir("pages")
	require.NoError(t, err)
	for _, file := range files {
		content, err := pageFiles.ReadFile("pages/" + file.Name())
		require.NoError(t, err)
		for _, match := range inTemplate.FindAllStringSubmatch(string(content), -1) {
			onPages[match[1]] = true
		}
	}
	for _, words := range startWords {
		onPages[words.title], onPages[words.message], onPages[words.button] = true, true, true
	}
	for _, p := range []problem{ // those of the routes that people open
		problemNotFound, problemAnonymous, problemCrossOrigin, problemVerified,
		problemLimited, problemRuledOut, problemRefused, problemProviderAway, problemStoreAway, problemInternal, problemBusy,
	} {
		onPages[p.Title], onPages[p.Detail] = true, true
	}
	for _, words := range unmetWords {
		onPages[words] = true
	}
	onPages[tomorrowWords], onPages[tooYoungWords] = true, true
	for _, words := range wordsInCode(t) {
		onPages[words] = true
	}

	data, err := os.ReadFile("../internal/text/en.json")
	require.NoError(t, err)
	var texts map[string]string
	require.NoError(t, json.Unmarshal(data, &texts))
	maps.DeleteFunc(texts, func(english, _ string) bool { return text.IsReason(english) })
	assert.ElementsMatch(t, slices.Collect(maps.Keys(texts)), slices.Collect(maps.Keys(onPages)), "A: internal/text/en.json, B: the pages")
}

// wordsInCode returns what this package's code writes into the Title, Message and Button
// of pages.
func wordsInCode(t *testing.T) []string {
	var words []string
	add := func(field, value ast.Expr) {
		if selector, ok := field.(*ast.SelectorExpr); ok {
			field = selector.Sel
		}
		name, _ := field.(*ast.Ident)
		literal, ok := value.(*ast.BasicLit)
		if name == nil || !ok || !slices.Contains([]string{"Title", "Message", "Button"}, name.Name) {
			return
		}
		text, err := strconv.Unquote(literal.Value)
		require.NoError(t, err)
		words = append(words, text)
	}
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				return n.Name.Name != "pagesWith" // its samples show nothing to anybody
			case *ast.CompositeLit:
				kind, _ := n.Type.(*ast.Ident)
				if kind == nil || !slices.Contains([]string{"StartPage", "MessagePage"}, kind.Name) {
					break
				}
				for _, element := range n.Elts {
					if field, ok := element.(*ast.KeyValueExpr); ok {
						add(field.Key, field.Value)
					}
				}
			case *ast.AssignStmt:
				for i := range min(len(n.Lhs), len(n.Rhs)) {
					add(n.Lhs[i], n.Rhs[i])
				}
			}
			return true
		})
	}
	return words
}

func TestBrand(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Brand = Brand{Name: "Wine & Co", Color: "#7a1f3d", LogoURL: "https://cdn.example/logo.svg", HomeURL: "/home"}
	})
	rec := w.get("alice", "/verify/page")
	body := rec.Body.String()
	assert.Contains(t, body, "<title>Verify your identity · Wine &amp; Co</title>")
	assert.Contains(t, body, `<a href="/home"><img src="https://cdn.example/logo.svg" alt="Wine &amp; Co"></a>`)
	assert.Contains(t, body, "--accent: #7a1f3d; --on-accent: #ffffff;")
	assert.Contains(t, rec.Header().Get("Content-Security-Policy"), "img-src 'self' data: https://cdn.example;")

	w = newWorld(t, func(c *Config) { c.Brand = Brand{Name: "Wine & Co", LogoURL: "/logo.svg"} })
	assert.Contains(t, w.get("alice", "/verify/page").Header().Get("Content-Security-Policy"), "img-src 'self' data:;")
	assert.NotContains(t, newWorld(t).get("alice", "/verify/page").Body.String(), "<header>")
}

// Whatever the colour, what stands on it can be read.
func TestBrandTextColor(t *testing.T) {
	assert.Equal(t, "#ffffff", Brand{Color: "#0b57d0"}.TextColor())
	assert.Equal(t, "#000000", Brand{Color: "#FFEE00"}.TextColor())
	assert.Equal(t, "#000000", Brand{}.TextColor())
	for range 1000 {
		b := Brand{Color: fmt.Sprintf("#%06x", rand.IntN(1<<24))}
		other := map[string]string{"#000000": "#ffffff", "#ffffff": "#000000"}[b.TextColor()]
		assert.GreaterOrEqual(t, contrast(b.Color, b.TextColor()), 4.5, b.Color)
		assert.GreaterOrEqual(t, contrast(b.Color, b.TextColor()), contrast(b.Color, other)-1e-9, b.Color)
		dark := b.OnDark()
		assert.GreaterOrEqual(t, contrast(dark.Color, darkCard), 4.5, b.Color)
		assert.GreaterOrEqual(t, contrast(dark.Color, dark.TextColor()), 4.5, b.Color)
	}
	assert.Equal(t, "#ffee00", Brand{Color: "#ffee00"}.OnDark().Color, "it stands out already")
	assert.Equal(t, Brand{}, Brand{}.OnDark())
	style, err := pageFiles.ReadFile("pages/style.css")
	require.NoError(t, err)
	assert.Contains(t, string(style), "--card: "+darkCard)
}

// contrast is that of WCAG 2.
func contrast(a, b string) float64 {
	luminance := func(color string) float64 {
		var sum float64
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			c, _ := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
			if s := float64(c) / 255; c <= 10 {
				sum += weight * s / 12.92
			} else {
				sum += weight * math.Pow((s+0.055)/1.055, 2.4)
			}
		}
		return sum
	}
	dark, light := luminance(a)+0.05, luminance(b)+0.05
	return max(dark, light) / min(dark, light)
}

// A host's own pages stand beside the kit's.
func TestOwnPages(t *testing.T) {
	own := template.Must(template.New("").Funcs(template.FuncMap{"shout": strings.ToUpper}).Parse(`
		{{define "start.html"}}<p lang="{{.Language}}" class="{{.Direction}}">own {{shout (.T .Title)}} {{.Last}}</p>
			<form action="{{.StartURL}}"><input name="return_to" value="{{.ReturnTo}}"></form><script nonce="{{.Nonce}}">1</script>{{end}}
		{{define "style.css"}}p { color: red }{{end}}`))
	w := newWorld(t, func(c *Config) { c.Pages = own })
	w.kit = w.replica(func(c *Config) { c.Pages = own }) // they serve any number of kits
	rec := w.get("alice", "/verify/page?return_to=/cellar")
	body := rec.Body.String()
	assert.Contains(t, body, `<p lang="en" class="ltr">own VERIFY YOUR IDENTITY </p>`)
	assert.Contains(t, body, `<form action="https://app.example/verify/start"><input name="return_to" value="/cellar">`)
	nonce := regexp.MustCompile(`<script nonce="([A-Z0-9]+)">`).FindStringSubmatch(body)
	require.NotNil(t, nonce)
	assert.Contains(t, rec.Header().Get("Content-Security-Policy"), nonce[1])

	a := w.start("alice").Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	pending := w.get("alice", "/verify/success?attempt="+a).Body.String()
	assert.Contains(t, pending, "p { color: red }")
	assert.Contains(t, pending, "This page moves on by itself.")
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
	assert.Contains(t, w.get("alice", "/verify/page").Body.String(), "own NOT VERIFIED failed")
}

// wrapped is a provider as hosts may write one: a value that cannot be compared.
type wrapped struct {
	*fakeProvider
	change func(*identity.SDK)
}

func TestWrappedProvider(t *testing.T) {
	w := newWorld(t)
	w.kit = w.replica(func(c *Config) {
		c.Providers = []identity.Provider{wrapped{w.provider, func(*identity.SDK) {}}}
	})
	assert.Equal(t, 200, w.get("alice", "/verify/page").Code)
	a := w.start("alice").Attempt
	assert.Equal(t, 200, w.get("alice", "/verify/page?attempt="+a).Code)
	assert.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, 200, w.gate("alice"))
}

// Whoever waits for a verdict is not asked to begin another verification, wherever they come
// to, and can do so all the same.
func TestGateWhileAVerdictIsDue(t *testing.T) {
	const asks, offers = "This part of the site needs to know who you are", "Start another verification"
	became := func(w *world, a string, s identity.Status) {
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: s}))
	}
	for name, tt := range map[string]struct {
		comes  func(w *world, a string)
		waits  bool
		offers string
	}{
		"not begun": {func(*world, string) {}, false, "Start verification"},
		"begun":     {func(w *world, a string) { became(w, a, identity.Started) }, false, "Continue the verification"},
		"begun, and the token is gone": {func(w *world, a string) {
			became(w, a, identity.Started)
			w.clock.add(31 * time.Minute)
		}, true, offers},
		"came back": {func(w *world, a string) { w.get("alice", "/verify/success?attempt="+a) }, true, "Continue the verification"},
		"came back, and the token is gone": {func(w *world, a string) {
			became(w, a, identity.Started)
			w.get("alice", "/verify/success?attempt="+a)
			w.clock.add(31 * time.Minute)
		}, true, offers},
		"review": {func(w *world, a string) { became(w, a, identity.Review) }, true, offers},
		"failed": {func(w *world, a string) { became(w, a, identity.Failed) }, false, "Try again"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.start("alice").Attempt
			tt.comes(w, a)
			page := w.get("alice", "/verify/page?return_to=/members").Body.String()
			assert.Equal(t, tt.waits, strings.Contains(page, "client.follow("))
			assert.Equal(t, !tt.waits, strings.Contains(page, "<form"))
			assert.Contains(t, page, tt.offers)
			if tt.waits {
				assert.NotContains(t, page, asks)
				assert.Contains(t, page, `location.replace("https://app.example/verify/page?return_to=`)
			}
			if tt.offers == offers {
				again := w.get("alice", "/verify/page?return_to=/members&again=1").Body.String()
				assert.Contains(t, again, "<form")
				b := w.start("alice").Attempt
				assert.NotEqual(t, a, b)
			}
		})
	}
}

// Who tries again gets to where they wanted, by the same provider, however often they fail.
func TestTriesAgainForTheSame(t *testing.T) {
	w := newWorld(t)
	second := &fakeProvider{name: "second", clock: w.clock, answers: map[string]identity.Notice{}}
	w.kit = w.replica(func(c *Config) { c.Providers = append(c.Providers, second) })
	for n, target := range []string{"/verify/page?provider=second&return_to=/members", "/verify/page", "/verify/page?return_to=", "/verify/page"} {
		page := w.get("alice", target).Body.String()
		require.Contains(t, page, `action="https://app.example/verify/start?provider=second"`, n)
		require.Contains(t, page, `name="return_to" value="/members"`, n)
		r := httptest.NewRequest("POST", "/verify/start?provider=second", strings.NewReader("return_to=/members"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		require.Less(t, w.do(r, "alice").Code, 400)
		a := w.record("alice").Last()
		hook := w.webhookRequest(notice{Reference: a.Reference, ID: fmt.Sprint("v", n), Status: identity.Failed})
		hook.URL.RawQuery = "provider=second"
		require.Equal(t, 200, w.do(hook, "").Code)
		rec := w.get("alice", "/verify/error?attempt="+a.Reference)
		require.Equal(t, "https://app.example/verify/page", rec.Header().Get("Location"))
	}
	page := w.get("alice", "/verify/page?provider=fake&return_to=/other").Body.String()
	assert.Contains(t, page, `action="https://app.example/verify/start"`)
	assert.Contains(t, page, `name="return_to" value="/other"`)
}

// The pending page shows a way back to the verification: at once if it was an
// error that brought the user here.
func TestPendingPage(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	success := w.get("alice", "/verify/success?attempt="+a).Body.String()
	assert.Contains(t, success, `<section id="slow" role="status" hidden>`)
	assert.Contains(t, success, `<meta http-equiv="refresh" content="3">`)
	assert.Contains(t, success, `href="https://app.example/verify/page?attempt=`+a+`"`)
	stopped := w.get("alice", "/verify/error?attempt="+a).Body.String()
	assert.Contains(t, stopped, `<section id="slow" role="status">`)
	assert.Contains(t, stopped, "If you did not finish, you can go on where you were.")

	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
	w.clock.add(30 * time.Minute)
	gone := w.get("alice", "/verify/error?attempt="+a).Body.String()
	assert.Contains(t, gone, `href="https://app.example/verify/page?again=1"`, "the token is gone")
	assert.NotContains(t, gone, "Continue the verification")

	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Review}))
	assert.Contains(t, w.get("alice", "/verify/success?attempt="+a).Body.String(), "A person is having a look")
}

// No page is a dead end, but the one that asks to log in.
func TestProblemPagesLeadOn(t *testing.T) {
	w := newWorld(t)
	k := w.kit
	for _, tt := range []struct {
		method string
		p      problem
		button string
		href   string
	}{
		{"GET", problemNotFound, "Continue", "https://app.example/verify/page"},
		{"GET", problemAnonymous, "", ""},
		{"GET", problemStoreAway, "Try again", "?attempt=x"},
		{"POST", problemProviderAway, "Try again", "https://app.example/verify/page"},
		{"POST", problemVerified, "Continue", "/"},
		{"POST", problemLimited, "Continue", "https://app.example/verify/page"},
		{"GET", problemNoProvider, "Continue", "https://app.example/verify/page"},
		{"POST", problemBadRequest, "Continue", "https://app.example/verify/page"},
		{"POST", problemSlowBody, "Continue", "https://app.example/verify/page"},
	} {
		r := httptest.NewRequest(tt.method, "/verify/page?attempt=x", nil)
		r.Header.Set("Accept", "text/html")
		rec := httptest.NewRecorder()
		k.problem(rec, r, tt.p, nil)
		if tt.href == "" {
			assert.NotContains(t, rec.Body.String(), "<a ")
			continue
		}
		for _, developers := range []string{"Use ", "provider", "request", "The body"} {
			assert.NotContains(t, rec.Body.String()[strings.Index(rec.Body.String(), "<h1>"):], developers, tt.p.Code)
		}
		assert.Contains(t, rec.Body.String(), fmt.Sprintf(`<a class="button" href="%s">%s</a>`, tt.href, tt.button), tt.p.Code)
	}
}

// The page that offers a verification says who does it, what becomes of the data, and how to
// leave.
func TestStartPageIsNoTrap(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Brand = Brand{HomeURL: "/home", PrivacyURL: "https://app.example/privacy"}
	})
	page := w.get("alice", "/verify/page").Body.String()
	assert.Contains(t, page, `<a href="/home">Not now</a>`)
	assert.Contains(t, page, `<bdi>fake</bdi>`)
	assert.Contains(t, page, `<a href="https://app.example/privacy">How your data is used</a>`)

	w = newWorld(t)
	w.kit = w.replica(func(c *Config) { c.Providers = []identity.Provider{named{w.provider}} })
	page = w.get("alice", "/verify/page").Body.String()
	assert.Contains(t, page, `<a href="/">Not now</a>`)
	assert.Contains(t, page, `<bdi>Fake &amp; Sons</bdi>`)
	assert.NotContains(t, page, "How your data is used")
}

type named struct{ *fakeProvider }

func (named) DisplayName() string { return "Fake & Sons" }

// Who was not verified learns why, what helps, and what to tell support.
func TestNotVerifiedPage(t *testing.T) {
	for _, final := range []bool{false, true} {
		w := newWorld(t, func(c *Config) {
			c.Decide = func(context.Context, Event) error {
				if final {
					return Refuse("too_young").Final()
				}
				return Refuse("document_expired")
			}
		})
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
		page := w.get("alice", "/verify/page").Body.String()
		assert.Contains(t, page, "Not verified")
		assert.Contains(t, page, w.record("alice").Attempts[0].ID.String(), "the support code")
		assert.Equal(t, final, strings.Contains(page, "You are younger than this site requires."))
		assert.Equal(t, !final, strings.Contains(page, "Good light helps"))
		assert.Equal(t, !final, strings.Contains(page, "<form"))
	}
}

// Who may not try again yet is told when, before they press a button that refuses.
func TestStartPageWhenTheLimitIsReached(t *testing.T) {
	for wait, words := range map[time.Duration]string{
		time.Hour:            "Please try again later.",
		12 * time.Hour:       "Please try again tomorrow.", // it is noon
		35 * time.Hour:       "Please try again tomorrow.",
		37 * time.Hour:       "Please try again later.",
		366 * 24 * time.Hour: "Please try again later.",
	} {
		w := newWorld(t, func(c *Config) { c.StartLimit = AtMost(1, wait) })
		a := w.start("alice").Attempt
		assert.Contains(t, w.get("alice", "/verify/page").Body.String(), "<form", "the one that was begun can be gone on with")
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Failed}))
		page := w.get("alice", "/verify/page").Body.String()
		assert.Contains(t, page, words, wait)
		assert.Contains(t, page, "Not now")
		assert.NotContains(t, page, "<form")
		rec := w.tryStart("alice")
		assert.Equal(t, 429, rec.Code)
		assert.Contains(t, rec.Body.String(), words, wait)
	}
}

// Each page keeps the camera and the frame to those who need them.
func TestPageHeaders(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	for target, camera := range map[string]string{
		"/verify/page":                 "camera=()",
		"/verify/page?attempt=" + a:    `camera=(self "https://hosted.fake.example")`,
		"/verify/success?attempt=" + a: "camera=()",
		"/verify/success":              "camera=()",
		"/verify/nothing":              "camera=()",
	} {
		h := w.get("alice", target).Header()
		assert.True(t, strings.HasPrefix(h.Get("Permissions-Policy"), camera), target)
		assert.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", target)
		assert.Equal(t, "no-store", h.Get("Cache-Control"), target)
		assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), target)
	}
}
