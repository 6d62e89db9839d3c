package okidadmin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidadmin"
	"github.com/okidkit/okidkit/okidhttp"
)

// The page is mounted beside the kit, behind the host's own log-in.
func ExampleNew() {
	provider, err := okid.New(okid.Config{APIKey: "key of okID's API", WebhookSecrets: []string{"secret of the webhooks"}})
	if err != nil {
		panic(err)
	}
	kit, err := okidhttp.New(okidhttp.Config{
		Providers:    []identity.Provider{provider},
		Store:        memstore.New(),
		PublicURL:    "https://app.example/verify",
		Keys:         [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject:      func(*http.Request) (string, error) { return "alice", nil },
		SupportCodes: true,
	})
	if err != nil {
		panic(err)
	}
	admin, err := okidadmin.New(okidadmin.Config{
		Kit: kit,
		Authorize: func(r *http.Request) (string, error) {
			c, err := r.Cookie("staff") // your log-in here
			if err != nil {
				return "", okidhttp.ErrAnonymous
			}
			return c.Value, nil
		},
		Brand: okidhttp.Brand{Name: "The Cellar"},
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/verify/", kit)
	mux.Handle("/admin/", admin)

	for _, cookie := range []string{"", "staff=sam"} {
		r := httptest.NewRequest("GET", "/admin/", nil)
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.Contains(w.Body.String(), "Everything works."))
	}
	// Output:
	// 401 false
	// 200 true
}
