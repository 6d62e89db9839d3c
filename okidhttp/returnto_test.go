package okidhttp

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

func TestReturnTo(t *testing.T) {
	k := newWorld(t).kit
	for s, want := range map[string]string{
		"/":                                    "/",
		"/members":                             "/members",
		"/members/":                            "/members/",
		"/a?b=c&d=%2F%2Fe":                     "/a?b=c&d=%2F%2Fe",
		"/a#b":                                 "/a#b",
		"/%C3%A9":                              "/%C3%A9",
		"/a%2Fb":                               "/a%2Fb",
		"/a?next=https://elsewhere.example":    "/a?next=https://elsewhere.example",
		"/@elsewhere.example":                  "/@elsewhere.example",
		"/:80/x":                               "/:80/x",
		"https://app.example/members?x=1":      "/members?x=1",
		"https://APP.example/":                 "/",
		"/a...b/.hidden/..x":                   "/a...b/.hidden/..x",
		"https://app.example:443/members":      "/members",
		"https://App.Example:0443/members":     "/members",
		"https://app.example:/members":         "/members",
		"https://app.example:80/members":       "",
		"https://app.example:443:443/members":  "",
		"https://app.example:99999/members":    "",
		"/" + strings.Repeat("%61", 1<<20):     "",
		"":                                     "",
		"members":                              "",
		"?x=1":                                 "",
		"#x":                                   "",
		"//elsewhere.example":                  "",
		"///elsewhere.example":                 "",
		"////elsewhere.example/..":             "",
		`/\elsewhere.example`:                  "",
		`\/elsewhere.example`:                  "",
		`\\elsewhere.example`:                  "",
		`/\/elsewhere.example`:                 "",
		`/./\elsewhere.example`:                "",
		`/../\elsewhere.example`:               "",
		"/..//elsewhere.example":               "",
		"/.//elsewhere.example":                "",
		"/a/..//elsewhere.example":             "",
		"/%2e%2e//elsewhere.example":           "",
		"/%2e/%5celsewhere.example":            "",
		"/%5celsewhere.example":                "",
		"/%09/elsewhere.example":               "",
		"/\t/elsewhere.example":                "",
		"/\n/elsewhere.example":                "",
		"/\r\n/elsewhere.example":              "",
		" //elsewhere.example":                 "",
		"/ /elsewhere.example":                 "",
		"\x00//elsewhere.example":              "",
		"/%00/elsewhere.example":               "",
		"https:elsewhere.example":              "",
		"https:/elsewhere.example":             "",
		"https:///elsewhere.example":           "",
		"https://elsewhere.example":            "",
		"http://app.example/":                  "",
		"https://app.example@elsewhere.test":   "",
		"https://app.example.elsewhere.test":   "",
		"https://app.example:444/":             "",
		"https://user@app.example/":            "",
		"HTTPS://elsewhere.example":            "",
		"javascript:alert(1)":                  "",
		"JaVaScRiPt:alert(1)":                  "",
		"data:text/html,x":                     "",
		"//app.example":                        "",
		"/é":                                   "",
		"/%zz":                                 "",
		"/" + strings.Repeat("a", maxReturnTo): "",
	} {
		assert.Equal(t, want, k.mount.returnTo(s), "%q", s)
	}
}

// Whatever is let through stays on the site, also when a browser, which is more
// generous than net/url, resolves it.
func FuzzReturnTo(f *testing.F) {
	k := &mount{publicURL: &url.URL{Scheme: "https", Host: "app.example", Path: "/verify"}}
	for _, s := range []string{"/members?x=1#y", `/\elsewhere.example`, "//elsewhere.example", "/..//x", "https://app.example/a", "/%2e%2e/%5cx", "/a%2fb"} {
		f.Add(s)
	}
	base := &url.URL{Scheme: "https", Host: "app.example", Path: "/verify/success"}
	f.Fuzz(func(t *testing.T, s string) {
		out := k.returnTo(s)
		if out == "" {
			return
		}
		require.True(t, strings.HasPrefix(out, "/"))
		require.False(t, strings.HasPrefix(out, "//"))
		require.NotContains(t, out, `\`)
		for _, c := range out {
			require.True(t, c > ' ' && c < 0x7f, "%q", out)
		}
		u, err := base.Parse(out)
		require.NoError(t, err)
		require.Equal(t, "https", u.Scheme)
		require.Equal(t, "app.example", u.Host)
		require.False(t, strings.HasPrefix(u.Path, "//"), "%q", u.Path)
		require.Equal(t, out, k.returnTo(out), "letting it through again changes nothing")
	})
}

// Places outside the site are those that the host lists, exactly, from the start of a verification
// to its end.
func TestReturnURLs(t *testing.T) {
	const app, site = "com.example.app:/verified", "https://m.example.com/done?a=b"
	w := newWorld(t, func(c *Config) { c.ReturnURLs = []string{app, site} })
	for s, want := range map[string]string{
		app: app, site: site, "/members": "/members", app + "?x=1": "", "com.example.app:/other": "", "COM.example.app:/verified": "",
		"https://m.example.com/done": "", "https://m.example.com/done?a=b#c": "", "other.app:/verified": "",
	} {
		assert.Equal(t, want, w.kit.mount.returnTo(s), s)
	}
	assert.Contains(t, w.get("alice", "/verify/page?return_to="+url.QueryEscape(app)).Body.String(), `name="return_to" value="`+app+`"`)
	a := w.start("alice", "return_to", app).Attempt
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	assert.Equal(t, app, w.get("alice", "/verify/success?attempt="+a).Header().Get("Location"))
	assert.Equal(t, site, w.get("alice", "/verify/page?return_to="+url.QueryEscape(site)).Header().Get("Location"))
}
