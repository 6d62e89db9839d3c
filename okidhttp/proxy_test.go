package okidhttp

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// Whatever a proxy makes of the paths, users get back to the page that they came from,
// as their browser knows it, and else to AfterSuccess: never to a page of another app.
func TestBehindProxies(t *testing.T) {
	strip := func(prefix string) func(string) string {
		return func(path string) string { return strings.TrimPrefix(path, prefix) }
	}
	same := strip("")
	for name, tt := range map[string]struct {
		publicPath   string
		proxy        func(string) string
		visited      string // in the browser
		want         string
		other, asked string // what else is asked for after the gate; and return_to of a link of the host's
	}{
		"none":                          {publicPath: "/verify", proxy: same, visited: "/members?x=1&y=%2F", want: "/members?x=1&y=%2F"},
		"none, at the root":             {publicPath: "", proxy: same, visited: "/members", want: "/members"},
		"none, nested":                  {publicPath: "/account/verify", proxy: same, visited: "/members?x=1", want: "/members?x=1"},
		"none, nested, beside the kit":  {publicPath: "/account/verify", proxy: same, visited: "/account/members", want: "/account/members"},
		"strips":                        {publicPath: "/app/verify", proxy: strip("/app"), visited: "/app/members?x=%C3%AB", want: "/app/members?x=%C3%AB"},
		"strips, the app's root":        {publicPath: "/app/verify", proxy: strip("/app"), visited: "/app/", want: "/app/"},
		"strips, escapes":               {publicPath: "/app/verify", proxy: strip("/app"), visited: "/app/a%2Fb/%C3%AB", want: "/app/a%2Fb/%C3%AB"},
		"strips two":                    {publicPath: "/our/app/verify", proxy: strip("/our/app"), visited: "/our/app/x", want: "/our/app/x"},
		"strips one of two":             {publicPath: "/our/app/verify", proxy: strip("/our"), visited: "/our/app/x", want: "/our/app/x"},
		"strips one of two, beside":     {publicPath: "/our/app/verify", proxy: strip("/our"), visited: "/our/x", want: "/our/x"},
		"strips, escaped":               {publicPath: "/%C3%AB/verify", proxy: strip("/%C3%AB"), visited: "/%C3%AB/x", want: "/%C3%AB/x"},
		"strips the mount":              {publicPath: "/app/verify", proxy: strip("/app/verify"), visited: "/app/verify/members", want: "/home"},
		"strips the mount, app beside":  {publicPath: "/app/verify", proxy: strip("/app/verify"), visited: "/members", want: "/home"},
		"adds":                          {publicPath: "/verify", proxy: func(p string) string { return "/tenant" + p }, visited: "/members", want: "/members"},
		"adds, at the root":             {publicPath: "", proxy: func(p string) string { return "/tenant" + p }, visited: "/members", want: "/members"},
		"adds, nested":                  {publicPath: "/app/verify", proxy: func(p string) string { return "/tenant" + p }, visited: "/app/members", want: "/app/members"},
		"exchanges":                     {publicPath: "/app/verify", proxy: func(p string) string { return "/tenant" + strings.TrimPrefix(p, "/app") }, visited: "/app/x", want: "/app/x"},
		"each path its own way":         {publicPath: "/app/verify", proxy: func(p string) string { return strings.NewReplacer("/app/verify", "/id", "/app/", "/").Replace(p) }, visited: "/app/x", want: "/home"},
		"a link of the host's":          {publicPath: "/app/verify", proxy: strip("/app"), asked: "/other", want: "/other"},
		"a link of the host's, added":   {publicPath: "/verify", proxy: func(p string) string { return "/tenant" + p }, asked: "/other", want: "/other"},
		"a link, and nobody logged in":  {publicPath: "/app/verify", proxy: strip("/app"), visited: "/app/members", other: "login", want: "/app/members"},
		"start by GET":                  {publicPath: "/app/verify", proxy: strip("/app"), visited: "/app/members", other: "start", want: "/app/members"},
		"elsewhere":                     {publicPath: "/app/verify", proxy: strip("/app"), visited: "/app//evil.example", want: "/home"},
		"elsewhere, if put together":    {publicPath: "/app/verify", proxy: strip("/app"), visited: "/app/..//evil.example", want: "/home"},
		"the kit's own page, if put so": {publicPath: "/app/verify", proxy: strip("/app"), visited: "/app/verify/page", want: "/home"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) {
				c.PublicURL = "https://app.example" + tt.publicPath
				c.AfterSuccess = "/home"
			})
			gate := w.kit.RequireVerified(http.NotFoundHandler())
			// visit is what a browser does, and what comes of it.
			visit := func(method, target, user string, form url.Values, app http.Handler) *httptest.ResponseRecorder {
				t.Helper()
				target = strings.TrimPrefix(target, "https://app.example")
				r := httptest.NewRequest(method, "/", strings.NewReader(form.Encode()))
				r.RequestURI = tt.proxy(target)
				u, err := url.ParseRequestURI(r.RequestURI)
				require.NoError(t, err, r.RequestURI)
				r.URL = u
				r.Header.Set("Accept", "text/html")
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Test-User", user)
				rec := httptest.NewRecorder()
				app.ServeHTTP(rec, r)
				return rec
			}
			page := "https://app.example" + tt.publicPath + "/page"
			if tt.asked != "" {
				page += "?return_to=" + url.QueryEscape(tt.asked)
			} else {
				rec := visit("GET", tt.visited, "alice", nil, gate)
				require.Equal(t, 303, rec.Code)
				page = rec.Header().Get("Location")
			}
			switch tt.other {
			case "login": // the button's answer when the session is over, which leads to the page again
				start := strings.Replace(page, "/page?", "/start?", 1)
				page = visit("POST", start, "", nil, w.kit).Header().Get("Location")
			case "start":
				page = visit("GET", strings.Replace(page, "/page?", "/start?", 1), "alice", nil, w.kit).Header().Get("Location")
			}
			rec := visit("GET", page, "alice", nil, w.kit)
			require.Equal(t, 200, rec.Code, page)
			field := regexp.MustCompile(`name="return_to" value="([^"]*)"`).FindStringSubmatch(rec.Body.String())
			form := url.Values{}
			if field != nil {
				form.Set("return_to", html.UnescapeString(field[1]))
			}
			require.Equal(t, 303, visit("POST", "https://app.example"+tt.publicPath+"/start", "alice", form, w.kit).Code)
			begun := w.provider.starts[0]
			n := w.webhookRequest(notice{Reference: begun.Reference, ID: "v1", Status: identity.Verified})
			n.URL.Path = tt.publicPath + "/webhook"
			require.Equal(t, 200, w.do(n, "").Code)
			rec = visit("GET", begun.SuccessURL, "alice", nil, w.kit)
			assert.Equal(t, 303, rec.Code)
			assert.Equal(t, tt.want, rec.Header().Get("Location"))
			assert.Equal(t, tt.want, visit("GET", page, "alice", nil, w.kit).Header().Get("Location"), "verified already")
		})
	}
}
