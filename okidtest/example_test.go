package okidtest_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okid/portal"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

// app is a host's own: it has a log-in, and a page for those who are verified.
func app(provider identity.Provider, origin string) (http.Handler, error) {
	kit, err := okidhttp.New(okidhttp.Config{
		Providers: []identity.Provider{provider},
		Store:     memstore.New(),
		PublicURL: origin + "/verify",
		Keys:      [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject: func(r *http.Request) (string, error) {
			c, err := r.Cookie("user")
			if err != nil {
				return "", err
			}
			return c.Value, nil
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/verify/", kit)
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "user", Value: "alice", Path: "/"})
		fmt.Fprint(w, "hello")
	})
	mux.Handle("GET /cellar", kit.RequireVerified(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "wine") })))
	return mux, nil
}

// A host's test: a user logs in, is verified, and gets in. PublicURL must be known before the app
// is made, so the test server listens first and gets its handler then.
func ExampleOKID_VerifyUser() {
	fake, err := okidtest.NewOKID(okidtest.Config{})
	if err != nil {
		panic(err)
	}
	if err := fake.Start(); err != nil {
		panic(err)
	}
	defer fake.Close()
	provider, err := okid.New(fake.ProviderConfig())
	if err != nil {
		panic(err)
	}

	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler, err = app(provider, "http://"+server.Listener.Addr().String())
	if err != nil {
		panic(err)
	}
	server.Start()
	defer server.Close()

	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	browser := &http.Client{Jar: jar}
	visit := func(method, path string) {
		r, err := http.NewRequest(method, server.URL+path, nil)
		if err != nil {
			panic(err)
		}
		resp, err := browser.Do(r)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode == http.StatusOK {
			fmt.Println(path, string(body))
			return
		}
		fmt.Println(path, resp.Status)
	}
	visit("POST", "/login")
	visit("GET", "/cellar")
	if err := fake.VerifyUser(context.Background(), browser, server.URL+"/verify/start", okidtest.Passport(time.Now())); err != nil {
		panic(err)
	}
	visit("GET", "/cellar")
	fmt.Println(fake.VerifyUser(context.Background(), browser, server.URL+"/nowhere", okidtest.Passport(time.Now())) != nil)
	// Output:
	// /login hello
	// /cellar 403 Forbidden
	// /cellar wine
	// true
}

// Where the provider has a page of its own, the user goes there and comes back.
func ExamplePortal_VerifyUser() {
	fake, err := okidtest.NewPortal(okidtest.HostedConfig{})
	if err != nil {
		panic(err)
	}
	if err := fake.Start(); err != nil {
		panic(err)
	}
	defer fake.Close()
	provider, err := portal.New(fake.ProviderConfig())
	if err != nil {
		panic(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler, err = app(provider, "http://"+server.Listener.Addr().String())
	if err != nil {
		panic(err)
	}
	server.Start()
	defer server.Close()

	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	browser := &http.Client{Jar: jar}
	logIn, err := browser.Post(server.URL+"/login", "", nil)
	if err != nil {
		panic(err)
	}
	logIn.Body.Close()
	if err := fake.VerifyUser(context.Background(), browser, server.URL+"/verify/start", nil); err != nil {
		panic(err)
	}
	cellar, err := browser.Get(server.URL + "/cellar")
	if err != nil {
		panic(err)
	}
	defer cellar.Body.Close()
	body, _ := io.ReadAll(cellar.Body)
	fmt.Println(string(body))
	// Output: wine
}
