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

func TestRoute(t *testing.T) {
	for publicURL, tests := range map[string]map[string]string{
		"https://app.example/verify": {
			"/verify/start":            "start",
			"/verify/start/":           "start",
			"/verify//start//":         "start",
			"/verify/webhook/":         "webhook",
			"/verify/page":             "page",
			"/verify":                  "page",
			"/verify/":                 "page",
			"/verify//":                "page",
			"/a/b/c/verify/status":     "status",
			"/a/b/c/verify":            "page",
			"/status":                  "status",
			"/status/":                 "status",
			"status":                   "status", // http.StripPrefix with a slash
			"":                         "page",
			"/":                        "page",
			"/id/claim":                "claim", // a mount by another name
			"/id/claim/":               "claim",
			"/id/":                     "page",
			"/id":                      "",
			"/verify/nothing":          "",
			"/verify/nothing/":         "",
			"/verify/webhook/start":    "",
			"/verify/start/webhook/":   "",
			"/webhook/start":           "", // that of the line before, with the mount taken away
			"/verify/page/page":        "",
			"/verify/x/start":          "",
			"/a/b/start":               "",
			"/verify/Start":            "",
			"/verify/start.html":       "",
			"/verify/startx":           "",
			"/verify/start/verify/":    "page",
			"/verify/start%2F":         "",
			strings.Repeat("/", 1<<20): "page",
		},
		"https://app.example/account/id/": {
			"/account/id/success": "success",
			"/id/success":         "success", // a proxy has taken the rest away
			"/account/id":         "page",
			"/account/success":    "success",
			"/account/x/success":  "",
		},
		"https://app.example": {
			"/error":     "error",
			"/x/error":   "error",
			"/x/y/error": "",
			"/nothing":   "",
			"/nothing/":  "",
			"/":          "page",
		},
	} {
		w := newWorld(t, func(c *Config) { c.PublicURL = publicURL })
		for path, want := range tests {
			r := &http.Request{URL: &url.URL{Path: path}, RequestURI: path}
			assert.Equal(t, want, w.kit.mount.route(r), "%s: %.60s", publicURL, path)
		}
	}
}

func TestParameter(t *testing.T) {
	for query, want := range map[string]struct {
		value string
		ok    bool
	}{
		"":                                     {"", false},
		"name":                                 {"", true},
		"name=":                                {"", true},
		"name=x":                               {"x", true},
		"name=x&name=y":                        {"x", true},
		"name=x?status=completed":              {"x", true},
		"name=x?name=y&name=z":                 {"x", true},
		"status=completed?name=x":              {"x", true},
		"&&=&name=x&":                          {"x", true},
		"?name=x":                              {"x", true},
		"na%6De=x%20y+z%3Fq":                   {"x y z?q", true},
		"%zz=1&name=x":                         {"x", true},
		"name=%zz&name=y":                      {"", true},
		"Name=x&NAME=y&x_name=z&name_=z":       {"", false},
		"name%00=x":                            {"", false},
		"a=b;name=x":                           {"", false},
		strings.Repeat("a&", 1<<19) + "name=x": {"x", true},
	} {
		r := &http.Request{URL: &url.URL{RawQuery: query}}
		value, ok := parameter(r, "name")
		assert.Equal(t, want.value, value, "%.60s", query)
		assert.Equal(t, want.ok, ok, "%.60s", query)
	}
}

// Whatever somebody adds to a URL of the kit's, it leads where it did.
func TestURLsWithMore(t *testing.T) {
	for _, more := range []string{
		"&status=completed", "?status=completed", "?status=completed&attempt=x", "&attempt=x", "&ATTEMPT=x", "&Provider=none",
		"&x_provider=1", "&x_provider=1&provider_x=2", "&%zz", "&a;b", "&return_to", "&=", "&#", "&provider", "&provider=", "&state=%3F%26",
	} {
		w := newWorld(t)
		a := w.start("alice").Attempt
		for _, slash := range []string{"", "/"} {
			n := w.webhookRequest(notice{Reference: a, ID: "v1", Status: identity.Started})
			n.URL.Path += slash
			n.URL.RawQuery = "provider=fake" + more
			assert.Equal(t, 200, w.do(n, "").Code, more)
			for _, route := range []string{"success", "error", "status", "page"} {
				rec := w.get("alice", "/verify/"+route+slash+"?attempt="+a+more)
				require.Equal(t, 200, rec.Code, "%s %s", route, more)
				switch route {
				case "status":
					assert.Contains(t, rec.Body.String(), `"started"`, more)
				case "page":
					assert.Contains(t, rec.Body.String(), "tok_canary_1", more)
				default:
					assert.Contains(t, rec.Body.String(), "moves on by itself", "%s %s", route, more)
				}
			}
			if !strings.Contains(more, "attempt=x") { // which here would be the first
				assert.Contains(t, w.get("alice", "/verify"+slash+"?x=1"+more).Body.String(), "Continue the verification", more)
			}
			r := httptest.NewRequest(http.MethodPost, "/verify/start"+slash+"?x=1"+more, strings.NewReader("locale=nl&x=y"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			rec := w.do(r, "alice")
			assert.Equal(t, 200, rec.Code, more)
			assert.Contains(t, rec.Body.String(), `"locale":"nl"`, more)
		}
	}
}

// With an attempt, the page is of that attempt's provider, whatever else is said.
func TestPageOfAnAttemptAndAForeignProvider(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	assert.Equal(t, 200, w.get("alice", "/verify/page?attempt="+a+"&provider=of+something+else").Code)
}

// A browser that comes to start by GET, since somebody had to log in on the way or has
// written a link, is led to the button, which sends what it had brought along.
func TestStartByGET(t *testing.T) {
	w := newWorld(t)
	second := &fakeProvider{name: "second", clock: w.clock}
	w.kit = w.replica(func(c *Config) { c.Providers = append(c.Providers, second) })
	for query, want := range map[string]string{
		"":                   "",
		"?return_to=/cellar": "?return_to=%2Fcellar",
		"?locale=pl_PL":      "?locale=pl-PL",
		"?provider=second":   "?provider=second",
		"?x=1&Locale=nl":     "",
		"?return_to=//x&a=b": "",
		"?locale=%22%3E":     "",
		"?provider=second&locale=pl&return_to=/a%3Fb=c%26d": "?return_to=%2Fa%3Fb%3Dc%26d&locale=pl&provider=second",
	} {
		for _, user := range []string{"alice", ""} {
			rec := w.get(user, "/verify/start"+query)
			assert.Equal(t, 303, rec.Code, query)
			assert.Equal(t, "https://app.example/verify/page"+want, rec.Header().Get("Location"))
			assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
		}
	}
	page := w.get("alice", "/verify/page?return_to=%2Fa%3Fb%3Dc%26d&locale=pl&provider=second").Body.String()
	field := func(name string) string {
		match := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
		require.NotNil(t, match, name)
		return html.UnescapeString(match[1])
	}
	assert.Contains(t, page, `action="https://app.example/verify/start?provider=second"`)
	assert.Equal(t, "/a?b=c&d", field("return_to"))
	assert.Equal(t, "pl", field("locale"))
	assert.Empty(t, w.provider.starts)
	assert.Empty(t, second.starts)

	r := httptest.NewRequest(http.MethodHead, "/verify/start", nil)
	r.Header.Set("Accept", "text/html")
	assert.Equal(t, 303, w.do(r, "alice").Code)
	r = httptest.NewRequest(http.MethodGet, "/verify/start", nil)
	r.Header.Set("Accept", "application/json")
	rec := w.do(r, "alice")
	assert.Equal(t, 405, rec.Code)
	assert.Equal(t, "POST", rec.Header().Get("Allow"))
}

// The language is a matter of taste: what is no tag costs nobody their verification, and
// goes nowhere.
func TestLocale(t *testing.T) {
	for said, want := range map[string]string{
		"nl":                         "nl",
		"en_US":                      "en-US",
		"zh_Hant-TW":                 "zh-Hant-TW",
		"":                           "",
		"</script>":                  "",
		"en-</script>":               "",
		"en\n":                       "",
		"e":                          "",
		"en-":                        "",
		"\u2028":                     "",
		strings.Repeat("en-", 20):    "",
		strings.Repeat("en_", 1<<12): "",
	} {
		for name, request := range map[string]func() *http.Request{
			"form": func() *http.Request {
				r := httptest.NewRequest(http.MethodPost, "/verify/start", strings.NewReader(url.Values{"locale": {said}}.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				return r
			},
			"query": func() *http.Request {
				return httptest.NewRequest(http.MethodPost, "/verify/start?locale="+url.QueryEscape(said), nil)
			},
			"JSON": func() *http.Request {
				r := httptest.NewRequest(http.MethodPost, "/verify/start", strings.NewReader(`{"LOCALE":"de","other":[1],"locale":"`+said+`"}`))
				r.Header.Set("Content-Type", "application/json")
				return r
			},
		} {
			if name == "JSON" && strings.ContainsAny(said, "\n") {
				continue
			}
			w := newWorld(t)
			rec := w.do(request(), "alice")
			require.Equal(t, 201, rec.Code, "%s %.40q", name, said)
			assert.Contains(t, rec.Body.String(), `"locale":"`+want+`"`, "%s %.40q", name, said)
		}
	}
	w := newWorld(t)
	r := httptest.NewRequest(http.MethodPost, "/verify/start", strings.NewReader(`{"locale":5,"return_to":null}`))
	r.Header.Set("Content-Type", "application/json")
	assert.Equal(t, 201, w.do(r, "alice").Code)
}
