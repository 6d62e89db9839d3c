package frameworks

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

// In every framework somebody is stopped, is verified, and gets in.
func TestFrameworks(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	for name, mount := range map[string]func(*okidhttp.Kit) http.Handler{
		"ServeMux": ServeMux, "chi": Chi, "gorilla": Gorilla, "gin": Gin, "echo": Echo, "nosurf": Nosurf,
		"gorilla/csrf": func(kit *okidhttp.Kit) http.Handler { return GorillaCSRF(kit, key) },
		"fiber":        nil,
	} {
		t.Run(name, func(t *testing.T) {
			fake, err := okidtest.NewOKID(okidtest.Config{})
			require.NoError(t, err)
			require.NoError(t, fake.Start())
			t.Cleanup(fake.Close)
			provider, err := okid.New(fake.ProviderConfig())
			require.NoError(t, err)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			origin := "http://" + l.Addr().String()
			kit, err := okidhttp.New(okidhttp.Config{
				Providers: []identity.Provider{provider},
				Store:     memstore.New(),
				PublicURL: origin + "/verify",
				Keys:      [][]byte{key},
				Subject: func(r *http.Request) (string, error) {
					c, err := r.Cookie("user")
					if err != nil {
						return "", err
					}
					return c.Value, nil
				},
				Logger: slog.New(slog.DiscardHandler),
			})
			require.NoError(t, err)
			if mount == nil {
				app := Fiber(kit)
				go func() { _ = app.Listener(l) }()
				t.Cleanup(func() { _ = app.Shutdown() })
			} else {
				server := &http.Server{Handler: mount(kit), ReadHeaderTimeout: time.Minute}
				go func() { _ = server.Serve(l) }()
				t.Cleanup(func() { _ = server.Close() })
			}

			u, err := url.Parse(origin)
			require.NoError(t, err)
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: time.Minute}
			get := func(path, accept string) (int, string, string) {
				r, err := http.NewRequest(http.MethodGet, origin+path, nil)
				require.NoError(t, err)
				r.Header.Set("Accept", accept)
				res, err := browser.Do(r)
				require.NoError(t, err)
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				return res.StatusCode, res.Header.Get("Location"), string(body)
			}
			status, _, _ := get("/members", "application/json")
			assert.Equal(t, 401, status)
			jar.SetCookies(u, []*http.Cookie{{Name: "user", Value: "alice"}})
			status, _, _ = get("/members", "application/json")
			assert.Equal(t, 403, status)
			status, location, _ := get("/members?tab=2", "text/html")
			assert.Equal(t, 303, status)
			assert.Equal(t, origin+"/verify/page?return_to=%2Fmembers%3Ftab%3D2", location)
			status, _, body := get("/verify/page", "text/html")
			assert.Equal(t, 200, status)
			assert.Contains(t, body, "Start verification")
			status, _, _ = get("/verify/client.js", "*/*")
			assert.Equal(t, 200, status)

			require.NoError(t, fake.VerifyUser(t.Context(), browser, origin+"/verify/start", okidtest.Passport(time.Now())))
			for _, d := range fake.Deliveries() {
				assert.Equal(t, okidtest.Accepted, d.State)
			}
			status, _, body = get("/members", "application/json")
			assert.Equal(t, 200, status)
			assert.Equal(t, "verified by okid", body)
		})
	}
}
