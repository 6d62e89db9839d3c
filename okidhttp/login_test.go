package okidhttp

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever opens a page and is not logged in is sent to the log-in, with a way back that leads
// to where they were; scripts and all others get 401.
func TestLoginURL(t *testing.T) {
	browser := map[string]string{"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
	older := map[string]string{"Accept": "text/html"}
	script := map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "cors"}
	for name, tt := range map[string]struct {
		login, target string
		headers       map[string]string
		gate          bool
		want          string // empty: 401
	}{
		"page":             {"/login", "/verify/page?return_to=/members", browser, false, "/login?return_to=%2Fverify%2Fpage%3Freturn_to%3D%252Fmembers"},
		"older browser":    {"/login", "/verify/page", older, false, "/login?return_to=%2Fverify%2Fpage"},
		"gate":             {"/login", "/members?tab=2", browser, true, "/login?return_to=%2Fverify%2Fpage%3Freturn_to%3D%252Fmembers%253Ftab%253D2"},
		"log-in elsewhere": {"https://sso.example/in?app=1", "/verify/page", browser, false, "https://sso.example/in?app=1&return_to=https%3A%2F%2Fapp.example%2Fverify%2Fpage"},
		"an attempt":       {"/login", "/verify/page?attempt=x", browser, false, "/login?return_to=%2Fverify%2Fpage%3Fattempt%3Dx"},
		"script":           {"/login", "/verify/page", script, false, ""},
		"script, gate":     {"/login", "/members", map[string]string{"Accept": "*/*"}, true, ""},
		"status":           {"/login", "/verify/status?attempt=x", map[string]string{"Accept": "application/json"}, false, ""},
		"none":             {"", "/verify/page", browser, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.LoginURL = tt.login })
			var h http.Handler = w.kit
			if tt.gate {
				h = w.kit.RequireVerified(http.NotFoundHandler())
			}
			r := httptest.NewRequest("GET", tt.target, nil)
			for k, v := range tt.headers {
				r.Header.Set(k, v)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			assert.Contains(t, rec.Header().Get("Cache-Control"), "no-store")
			if tt.want == "" {
				assert.Contains(t, []int{401, 404}, rec.Code)
				return
			}
			require.Equal(t, 303, rec.Code)
			assert.Equal(t, tt.want, rec.Header().Get("Location"))
		})
	}
}

// The way back brings the user to what they wanted, with the mount taken away by a proxy or
// not.
func TestWayBackFromLogin(t *testing.T) {
	w, _ := verifiedUser(t)
	w.kit = w.replica(func(c *Config) { c.LoginURL = "/login" })
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/members", nil)
	r.Header.Set("Accept", "text/html")
	w.kit.RequireVerified(http.NotFoundHandler()).ServeHTTP(rec, r)
	u, err := url.Parse(rec.Header().Get("Location"))
	require.NoError(t, err)
	back := w.get("alice", u.Query().Get("return_to"))
	assert.Equal(t, "/members", back.Header().Get("Location"))

	// A script's request is answered with a page that names the log-in.
	r = httptest.NewRequest("GET", "/verify/page", nil)
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Accept", "text/html")
	assert.Contains(t, w.do(r, "").Body.String(), `href="/login">Log in</a>`)

	// A form's request must not be led elsewhere at once: the page's policy would forbid it.
	form := w.get("", "/verify/page?login=1&return_to=/members")
	assert.Equal(t, 200, form.Code)
	assert.Contains(t, form.Header().Get("Refresh"), "https://app.example/verify/page?return_to=%2Fmembers")
}
