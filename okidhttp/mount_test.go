package okidhttp

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// The kit works wherever and however it is mounted.
func TestMounts(t *testing.T) {
	for name, mount := range map[string]struct {
		prefix string
		wrap   func(*Kit) http.Handler
	}{
		"ServeMux": {"/verify", func(k *Kit) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/verify/", k)
			return mux
		}},
		"two segments": {"/account/id", func(k *Kit) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/account/id/", k)
			return mux
		}},
		"StripPrefix": {"/verify", func(k *Kit) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/verify/", http.StripPrefix("/verify", k))
			return mux
		}},
		"StripPrefix with the slash": {"/verify", func(k *Kit) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/verify/", http.StripPrefix("/verify/", k))
			return mux
		}},
		"chi Mount": {"/verify", func(k *Kit) http.Handler {
			r := chi.NewRouter()
			r.Mount("/verify", k)
			return r
		}},
		"chi Route": {"/app/verify", func(k *Kit) http.Handler {
			r := chi.NewRouter()
			r.Route("/app", func(r chi.Router) { r.Handle("/verify/*", k) })
			return r
		}},
		"at the root": {"", func(k *Kit) http.Handler { return k }},
		"each handler by itself": {"/v", func(k *Kit) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/v/start", k.Start())
			mux.Handle("/v/page", k.Page())
			mux.Handle("/v/webhook", k.Webhook())
			mux.Handle("/v/success", k.Success())
			mux.Handle("/v/error", k.Error())
			mux.Handle("/v/status", k.Status())
			mux.Handle("/v/claim", k.Claim())
			mux.Handle("/v/client.js", k.Client())
			mux.Handle("/v/client.d.ts", k.Client())
			return mux
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			claims := &claimProvider{fakeProvider: &fakeProvider{name: "claims", clock: w.clock, answers: map[string]identity.Notice{}}}
			w.kit = w.replica(func(c *Config) {
				c.PublicURL = "https://app.example" + mount.prefix
				c.Providers = append(c.Providers, claims)
			})
			app := mount.wrap(w.kit)
			do := func(method, target, user, body string) *httptest.ResponseRecorder {
				r := httptest.NewRequest(method, mount.prefix+target, strings.NewReader(body))
				r.Header.Set("Test-User", user)
				rec := httptest.NewRecorder()
				app.ServeHTTP(rec, r)
				return rec
			}
			require.Equal(t, 201, do("POST", "/start", "alice", "").Code)
			a := w.provider.starts[0]
			assert.Equal(t, 200, do("GET", "/page", "alice", "").Code)
			assert.Equal(t, 200, do("GET", "/page?attempt="+a.Reference, "alice", "").Code)
			assert.Equal(t, 200, do("GET", "/status?attempt="+a.Reference, "alice", "").Code)
			for _, u := range []string{a.SuccessURL, a.ErrorURL} {
				target, ok := strings.CutPrefix(u, "https://app.example"+mount.prefix)
				require.True(t, ok, u)
				assert.Equal(t, 200, do("GET", target, "alice", "").Code)
			}
			target, ok := strings.CutPrefix(a.CallbackURL, "https://app.example"+mount.prefix)
			require.True(t, ok, a.CallbackURL)
			n := w.webhookRequest(notice{Reference: a.Reference, ID: "v1", Status: identity.Verified})
			n.URL.Path, n.RequestURI = mount.prefix+"/webhook", mount.prefix+target
			n.URL.RawQuery = "provider=fake"
			rec := httptest.NewRecorder()
			app.ServeHTTP(rec, n)
			assert.Equal(t, 200, rec.Code)
			assert.Equal(t, 303, do("GET", "/success?attempt="+a.Reference, "alice", "").Code)
			assert.Equal(t, 202, do("POST", "/claim", "bob", `{"id":"session1"}`).Code)
			for file, mediaType := range map[string]string{"/client.js": "text/javascript", "/client.d.ts": "application/typescript"} {
				rec := do("GET", file, "", "")
				assert.Equal(t, 200, rec.Code, file)
				assert.Equal(t, mediaType+"; charset=utf-8", rec.Header().Get("Content-Type"))
			}
			assert.Equal(t, 404, do("GET", "/nothing", "alice", "").Code)
			assert.Equal(t, 404, do("GET", "/nothing/", "alice", "").Code)
			if name == "each handler by itself" {
				return // the app's router says what they are called
			}
			assert.Equal(t, 200, do("GET", "/status/?attempt="+a.Reference+"?from=elsewhere", "alice", "").Code)
			assert.Equal(t, 200, do("GET", "/", "bob", "").Code)
			for _, deeper := range []string{"/webhook/start", "/start/webhook", "/page/page/", "/x/y/start"} {
				for _, method := range []string{"GET", "POST"} {
					assert.Equal(t, 404, do(method, deeper, "carol", "").Code, deeper)
				}
			}
		})
	}
}

// The page is what a bare visit to the mount shows, if the app's router lets it through.
func TestMountItselfIsThePage(t *testing.T) {
	w := newWorld(t)
	mounted := chi.NewRouter()
	mounted.Use(middleware.StripSlashes)
	mounted.Mount("/verify", w.kit)
	for name, app := range map[string]http.Handler{"bare": w.kit, "chi": mounted, "StripPrefix": http.StripPrefix("/verify", w.kit)} {
		for _, target := range []string{"/verify", "/verify/"} {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Test-User", "alice")
			rec := httptest.NewRecorder()
			app.ServeHTTP(rec, r)
			assert.Contains(t, rec.Body.String(), "Start verification", "%s %s", name, target)
		}
	}
}
