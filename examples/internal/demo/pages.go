package demo

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/okidkit/okidkit/okidhttp"
)

//go:embed page.html
var files embed.FS

var page = template.Must(template.ParseFS(files, "page.html"))

// view is what the one template shows.
type view struct {
	Title  string
	User   string   // empty: the log-in form
	Next   string   // where the log-in form leads
	Others []string // providers beside the default one
	Admin  bool     // may open the operator page
	Member bool
	Adult  bool
}

func show(w http.ResponseWriter, status int, v view) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "private, no-store")
	w.WriteHeader(status)
	_ = page.Execute(w, v) // the client is gone
}

func (a *App) home(w http.ResponseWriter, r *http.Request) {
	user, _ := a.sessions.user(r) // nobody: the log-in form
	show(w, http.StatusOK, view{Title: "The Cellar", User: user, Next: localPath(r.FormValue("next")), Others: a.others, Admin: slices.Contains(a.admins, user)})
}

// loggedIn leads whoever is not logged in to the log-in.
func (a *App) loggedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, err := a.sessions.user(r); err != nil || user == "" {
			a.logInFirst(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// logInFirst answers whoever must be logged in and is not.
func (a *App) logInFirst(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") && r.Method == http.MethodGet {
		http.Redirect(w, r, "/?next="+url.QueryEscape(localPath(r.URL.RequestURI())), http.StatusSeeOther)
		return
	}
	http.Error(w, "log in first: POST /login with user=NAME", http.StatusUnauthorized)
}

func (a *App) logIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	user := strings.TrimSpace(r.PostFormValue("user"))
	if user == "" || len(user) > 128 || !utf8.ValidString(user) {
		http.Error(w, "user must be 1 to 128 bytes of text", http.StatusBadRequest)
		return
	}
	http.SetCookie(w, a.sessions.cookie(user))
	next := localPath(r.PostFormValue("next"))
	if next == "" {
		next = "/"
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (a *App) logOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, a.sessions.cookie(""))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// inside is a page behind the gate.
func (a *App) inside(title string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := a.sessions.user(r) // the gate has seen to it
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			fmt.Fprintf(w, "hello %s\n", user)
			return
		}
		grant, _ := okidhttp.GrantFrom(r.Context())
		show(w, http.StatusOK, view{Title: title, User: user, Member: true, Adult: grant.Over(18)})
	})
}

// localPath is a path of this app, or "".
func localPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(s, "/") || strings.ContainsAny(s, "\\\t\r\n") || strings.HasPrefix(s, "//") {
		return ""
	}
	return u.RequestURI()
}
