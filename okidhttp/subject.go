package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
)

// ErrAnonymous may be returned by [Config.Subject] if nobody is logged in.
var ErrAnonymous = errors.New("okidhttp: nobody is logged in")

// subject is the user of the request and the hash that stands for them. It is "" if
// there is none. An error means that nobody can tell.
func (c *Config) subject(r *http.Request) (string, attempt.SubjectHash, error) {
	s, err := c.Subject(r)
	switch {
	case err == nil && s != "":
		return s, attempt.HashSubject(s), nil
	case err == nil, errors.Is(err, ErrAnonymous), errors.Is(err, http.ErrNoCookie):
		return "", attempt.SubjectHash{}, nil
	}
	return "", attempt.SubjectHash{}, err
}

// knownSubject is subject for answers that only somebody gets. It answers others, who come
// back after log-in, and reports false.
func (k *answers) knownSubject(w http.ResponseWriter, r *http.Request, back func() string) (string, attempt.SubjectHash, bool) {
	s, hash, err := k.cfg.subject(r)
	switch {
	case err != nil:
		k.subjectFailed(w, r, err)
	case s == "":
		k.unauthorized(w, r, back())
	default:
		return s, hash, true
	}
	return "", attempt.SubjectHash{}, false
}

// subjectFailed answers when nobody can tell who the user is.
func (k *answers) subjectFailed(w http.ResponseWriter, r *http.Request, err error) {
	ctx := r.Context()
	err = engine.Scrubbed(engine.Event{Metadata: credentials(r)}, err)
	if errors.Is(ctx.Err(), context.Canceled) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err) // which not every driver says
	}
	k.engine.Failed(ctx, engine.SubjectFailed, err)
	k.problem(w, r, problemStoreAway, nil)
}

// minCredential is the length of the shortest text that counts as a credential, in bytes:
// shorter ones are settings, which may be any word.
const minCredential = 8

// credentials are what a request says who it is from, and what an error of a session store
// may quote.
func credentials(r *http.Request) map[string]string {
	all := map[string]string{}
	add := func(name, value string) {
		if len(value) >= minCredential {
			all[name] = value
		}
	}
	if user, password, ok := r.BasicAuth(); ok {
		add("user", user)
		add("password", password)
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	add("token", token)
	for _, c := range r.Cookies() {
		value, err := url.QueryUnescape(c.Value)
		if err != nil {
			value = c.Value
		}
		add("cookie "+c.Name, value)
	}
	return all
}

// unauthorized answers a request of nobody. back is where to come after log-in, and empty if
// that cannot be gone to.
func (k *answers) unauthorized(w http.ResponseWriter, r *http.Request, back string) {
	switch {
	case k.cfg.Unauthorized != nil:
		w.Header().Set("Cache-Control", privateNoStore)
		k.cfg.Unauthorized.ServeHTTP(w, r)
	case k.cfg.LoginURL != "" && back != "" && navigates(r):
		w.Header().Set("Cache-Control", privateNoStore)
		http.Redirect(w, r, k.mount.loginURL(k.cfg.LoginURL, back), http.StatusSeeOther)
	default:
		k.problem(w, r, problemAnonymous, nil)
	}
}

// navigates reports whether a person opens a page, and no script asks for something.
func navigates(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode") // which older browsers do not send
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && wantsPage(r) && (mode == "" || mode == "navigate")
}

// loginURL is the log-in, with the way back in the query: a path if the log-in is one of this
// site, since it need not trust any other way back then.
func (m *mount) loginURL(login, back string) string {
	u, err := url.Parse(login)
	if err != nil {
		return login
	}
	if to, err := url.Parse(back); err == nil && u.Host == "" {
		back = to.RequestURI()
	}
	query := u.Query()
	query.Set("return_to", back)
	u.RawQuery = query.Encode()
	return u.String()
}

// ownAttempt is the attempt that the request names, if it is the user's own. An error
// means that nobody can tell.
func (k *answers) ownAttempt(r *http.Request) (attempt.Address, bool, error) {
	// The user first, so that an outage does not tell which attempts there are.
	_, hash, err := k.cfg.subject(r)
	if err != nil {
		return attempt.Address{}, false, err
	}
	at, ok := k.attemptOf(hash, r)
	return at, ok, nil
}

// attemptOf is the attempt that the request names, if it is this subject's.
func (k *answers) attemptOf(subject attempt.SubjectHash, r *http.Request) (attempt.Address, bool) {
	reference, _ := parameter(r, "attempt")
	at, ok := k.engine.OpenReference(reference)
	return at, ok && subject != attempt.SubjectHash{} && at.Subject == subject
}
