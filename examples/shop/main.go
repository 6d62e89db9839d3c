// Command shop is a shop with an age gate. Everybody may look around. Beer is for
// people of 16, wine of 18, and whisky for those who have shown a passport lately: whoever
// comes with less is asked for more, and keeps what they have meanwhile. Somebody whose
// document has another name than their account is refused, and so is a second account of the
// same person.
//
// It verifies against a simulated okID, with no account and no network.
//
//	go run ./examples/shop
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/identity/names"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: shop\n\nServes a shop with an age gate, and a simulated okID to click through.\nADDR says where, if not on 127.0.0.1:8080.")
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

// run starts the simulated okID, and the shop on addr, until ctx ends.
func run(ctx context.Context, addr string, out io.Writer) error {
	fake, err := okidtest.NewOKID(okidtest.Config{})
	if err != nil {
		return err
	}
	defer fake.Close()
	if err := fake.Start(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (set ADDR to use another port)", err)
	}
	s, err := newShop("http://"+l.Addr().String(), fake)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	fmt.Fprintf(out, "open http://%s\n", l.Addr())
	return s.serve(ctx, l)
}

// shop is the app that the host has already: it knows who is logged in.
type shop struct {
	kit     *okidhttp.Kit
	handler http.Handler

	mu       sync.Mutex
	accounts map[string]names.Name // by the session that a browser has for good
}

// newShop is all that the shop needs of the kit.
func newShop(origin string, fake *okidtest.OKID) (*shop, error) {
	s := &shop{accounts: map[string]names.Name{}}
	provider, err := okid.New(fake.ProviderConfig())
	if err != nil {
		return nil, err
	}
	s.kit, err = okidhttp.New(okidhttp.Config{
		Providers:      []identity.Provider{provider},
		Store:          memstore.New(),
		PublicURL:      origin + "/verify",
		Keys:           [][]byte{newKey()},
		FingerprintKey: [][]byte{newKey()},
		Subject:        s.subject,
		Decide:         s.decide,
		AgeOver:        []int{16, 18},
		MaxAge:         365 * 24 * time.Hour,
		Brand:          okidhttp.Brand{Name: "The Cellar", Color: "#7a1f3d"},
		Texts: map[string]map[string]string{"en": {
			"name_mismatch": "The name on your document is not that of your account.",
			"other_account": "You have another account with us already.",
		}},
		Unauthorized: http.RedirectHandler("/", http.StatusSeeOther),
		Logger:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("/verify/", s.kit)
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /account", s.open)
	mux.Handle("GET /beer", s.kit.RequireVerified(s.shelf("Beer"), okidhttp.Over(16)))
	mux.Handle("GET /wine", s.kit.RequireVerified(s.shelf("Wine"), okidhttp.Over(18)))
	mux.Handle("GET /whisky", s.kit.RequireVerified(s.shelf("Whisky"), okidhttp.Over(18), okidhttp.Document("passport"), okidhttp.Within(10*time.Minute)))
	s.handler = mux
	return s, nil
}

// decide is who may be verified at all. What it refuses, a person could look at, and let
// somebody in by Kit.Approve.
func (s *shop) decide(_ context.Context, e okidhttp.Event) error {
	v := e.Verification
	switch today := identity.DateOf(time.Now().UTC()); {
	case !v.DateOfBirth.Exists():
		return okidhttp.Refuse("age_unknown") // another document may tell
	case v.DateOfBirth.YearsUntil(today) < 16:
		return okidhttp.Refuse("too_young").Final()
	case len(e.SameDocument) > 0:
		return okidhttp.Refuse("other_account")
	}
	s.mu.Lock()
	account := s.accounts[e.Subject]
	s.mu.Unlock()
	document := names.Name{Given: v.FirstName, Family: v.LastName}
	if names.Compare(account, document).Grade < names.Likely {
		return okidhttp.Refuse("name_mismatch")
	}
	return nil
}

const cookieName = "account"

// subject is who is logged in.
func (s *shop) subject(r *http.Request) (string, error) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return "", okidhttp.ErrAnonymous
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.accounts[c.Value]; !ok {
		return "", okidhttp.ErrAnonymous
	}
	return c.Value, nil
}

// open opens an account, and logs in to it. A real shop has passwords.
func (s *shop) open(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name := names.Name{Given: strings.TrimSpace(r.PostFormValue("given")), Family: strings.TrimSpace(r.PostFormValue("family"))}
	if name.Given == "" || name.Family == "" || len(name.Given)+len(name.Family) > 200 {
		http.Error(w, "An account needs your given name and your family name.", http.StatusBadRequest)
		return
	}
	id := rand.Text()
	s.mu.Lock()
	s.accounts[id] = name
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	id, _ := s.subject(r) // nobody: the form
	s.mu.Lock()
	name := s.accounts[id]
	s.mu.Unlock()
	show(w, view{Title: "The Cellar", Name: name.Given})
}

// shelf is a page behind the gate.
func (s *shop) shelf(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		grant, _ := okidhttp.GrantFrom(r.Context())
		show(w, view{Title: what, Shelf: true, Document: grant.DocumentType})
	})
}

// view is what the one page shows.
type view struct {
	Title    string
	Name     string // of who is logged in; empty: the form to open an account
	Shelf    bool
	Document string
}

func show(w http.ResponseWriter, v view) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "private, no-store")
	_ = page.Execute(w, v) // the client is gone
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; --accent: #7a1f3d; }
@media (prefers-color-scheme: dark) { :root { --accent: #e39bb1; } }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 34rem; font: 1.0625rem/1.55 system-ui, sans-serif; }
a { color: var(--accent); }
li { margin: .5rem 0; }
label { display: block; font-weight: 600; }
input, button { padding: .6rem .8rem; margin: .25rem 0 1rem; font: inherit; }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{if .Shelf}}<p id="shelf">Help yourself. You have shown a document of this type: {{.Document}}.</p>
<p><a href="/">Back to the shop</a></p>
{{else}}
{{if .Name}}<p>Good day, {{.Name}}. What would you like?</p>
{{else}}<form method="post" action="/account">
<p>Open an account first. The simulated documents are Jane Roe's; any other name is refused.</p>
<label for="given">Given name</label><input id="given" name="given" required maxlength="100" autocomplete="given-name">
<label for="family">Family name</label><input id="family" name="family" required maxlength="100" autocomplete="family-name">
<div><button>Open an account</button></div>
</form>
{{end}}<ul>
<li><a href="/beer">Beer</a>, from 16</li>
<li><a href="/wine">Wine</a>, from 18</li>
<li><a href="/whisky">Whisky</a>, from 18, by a passport that you have shown in the last ten minutes</li>
</ul>
{{end}}
</main>
</body>
</html>
`))

// serve serves the shop and does the kit's background work until ctx ends.
func (s *shop) serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- s.kit.Run(ctx) }()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		stop()
		return errors.Join(err, <-ran)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return errors.Join(srv.Shutdown(drain), <-ran)
}

func newKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, says its documentation
	return key
}
