package okidadmin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/store"
)

// office is an app with a kit, and the page of its staff.
type office struct {
	t       *testing.T
	kit     *okidhttp.Kit
	fake    *okidtest.OKID
	store   *breakable
	page    http.Handler
	host    func(okidhttp.Event) error // what OnVerified does
	log     *log
	audited []Action
}

// breakable is a store that can be away.
type breakable struct {
	store.Store
	broken error
}

func (s *breakable) Get(ctx context.Context, key string) (store.Record, error) {
	if s.broken != nil {
		return store.Record{}, s.broken
	}
	return s.Store.Get(ctx, key)
}

// log is one that can be read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// subject is a user's name that is a person's, and whyRevoked a reason of the staff's.
const (
	subject = "jane.roe@example.com"
	why     = "Jane asked by phone."
)

func newOffice(t *testing.T, changes ...func(*Config)) *office {
	t.Helper()
	o := &office{t: t, store: &breakable{Store: memstore.New()}, log: &log{}, host: func(okidhttp.Event) error { return nil }}
	var err error
	o.fake, err = okidtest.NewOKID(okidtest.Config{})
	require.NoError(t, err)
	require.NoError(t, o.fake.Start())
	t.Cleanup(o.fake.Close)
	provider, err := okid.New(o.fake.ProviderConfig())
	require.NoError(t, err)
	app := httptest.NewUnstartedServer(nil)
	logger := slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.kit, err = okidhttp.New(okidhttp.Config{
		Providers:    []identity.Provider{provider},
		Store:        o.store,
		PublicURL:    "http://" + app.Listener.Addr().String() + "/verify",
		Keys:         [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject:      func(r *http.Request) (string, error) { return r.Header.Get("Test-User"), nil },
		OnVerified:   func(_ context.Context, e okidhttp.Event) error { return o.host(e) },
		SupportCodes: true,
		Logger:       logger,
	})
	require.NoError(t, err)
	app.Config.Handler = o.kit
	app.Start()
	t.Cleanup(app.Close)
	cfg := Config{
		Kit: o.kit,
		Authorize: func(r *http.Request) (string, error) {
			switch name := r.Header.Get("Test-Staff"); name {
			case "":
				return "", okidhttp.ErrAnonymous
			case "mallory":
				return "", nil
			case "broken":
				return "", errors.New("session store is away")
			default:
				return name, nil
			}
		},
		Audit:  func(_ context.Context, a Action) error { o.audited = append(o.audited, a); return nil },
		Logger: logger,
	}
	for _, change := range changes {
		change(&cfg)
	}
	o.page, err = New(cfg)
	require.NoError(t, err)
	return o
}

// do sends a request to the page as Sam.
func (o *office) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	o.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Test-Staff", "sam")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	o.page.ServeHTTP(w, r)
	h := w.Result().Header
	assert.Equal(o.t, "no-store", h.Get("Cache-Control"))
	assert.Equal(o.t, "nosniff", h.Get("X-Content-Type-Options"))
	if w.Body.Len() > 0 {
		assert.Contains(o.t, h.Get("Content-Security-Policy"), "default-src 'none'; style-src 'nonce-")
		assert.NotContains(o.t, w.Body.String(), "<script")
	}
	return w
}

// form posts a form, of pairs.
func (o *office) form(pairs ...string) *httptest.ResponseRecorder {
	o.t.Helper()
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return o.do("POST", "/admin/", values.Encode())
}

// follow is the page to which an answer leads, whose URL says nobody's name.
func (o *office) follow(w *httptest.ResponseRecorder) string {
	o.t.Helper()
	require.Equal(o.t, http.StatusSeeOther, w.Code, w.Body)
	location := w.Header().Get("Location")
	assert.NotContains(o.t, location, "jane")
	next := o.do("GET", "/admin/"+location, "")
	require.Equal(o.t, http.StatusOK, next.Code)
	return html.UnescapeString(next.Body.String())
}

// start begins an attempt of the subject's.
func (o *office) start() (reference, token string) {
	o.t.Helper()
	r := httptest.NewRequest("POST", "/verify/start", nil)
	r.Header.Set("Test-User", subject)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	o.kit.ServeHTTP(w, r)
	require.Equal(o.t, http.StatusCreated, w.Code, w.Body)
	var body struct {
		Attempt string `json:"attempt"`
		Token   string `json:"process_token"`
	}
	require.NoError(o.t, json.Unmarshal(w.Body.Bytes(), &body))
	return body.Attempt, body.Token
}

// verified lets the subject be verified.
func (o *office) verified() (reference string) {
	o.t.Helper()
	reference, token := o.start()
	id, err := o.fake.Begin(token)
	require.NoError(o.t, err)
	require.NoError(o.t, o.fake.Complete(id, okidtest.Passport(time.Now())))
	require.NoError(o.t, o.fake.Wait(o.t.Context()))
	return reference
}

func (o *office) isVerified() bool {
	_, err := o.kit.Grant(o.t.Context(), subject)
	return err == nil
}

// attempt is the subject's last.
func (o *office) attempt() okidhttp.Attempt {
	o.t.Helper()
	all, err := o.kit.Attempts(o.t.Context(), subject)
	require.NoError(o.t, err)
	require.NotEmpty(o.t, all)
	return all[len(all)-1]
}

func TestAccess(t *testing.T) {
	o := newOffice(t)
	reference := o.verified()
	revoke := url.Values{"action": {"revoke"}, "subject": {subject}, "reason": {why}}.Encode()
	for name, tt := range map[string]struct {
		method, body string
		header       []string
		want         int
	}{
		"nobody":                      {"GET", "", []string{"Test-Staff", ""}, 401},
		"not of the staff":            {"GET", "", []string{"Test-Staff", "mallory"}, 403},
		"nobody can tell":             {"GET", "", []string{"Test-Staff", "broken"}, 403},
		"a form of nobody":            {"POST", revoke, []string{"Test-Staff", ""}, 401},
		"a form of somebody else":     {"POST", revoke, []string{"Test-Staff", "mallory"}, 403},
		"another site's form":         {"POST", revoke, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a sibling site's form":       {"POST", revoke, []string{"Sec-Fetch-Site", "same-site"}, 403},
		"another origin's form":       {"POST", revoke, []string{"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, 403},
		"an action that is none":      {"POST", "action=pay&subject=x&reason=y", nil, 400},
		"an action on nobody":         {"POST", "action=revoke&reason=y", nil, 400},
		"a form that cannot be read":  {"POST", "a=%zz", nil, 400},
		"a form that is too large":    {"POST", "a=" + strings.Repeat("x", maxForm), nil, 413},
		"another method":              {"DELETE", "", nil, 405},
		"an action by GET does none":  {"GET", "", nil, 200},
		"HEAD":                        {"HEAD", "", nil, 200},
		"another way to name a route": {"GET", "", []string{"X-Original-URL", "/"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			target := "/admin/"
			if tt.method == "GET" {
				target += "?" + revoke
			}
			w := o.do(tt.method, target, tt.body, tt.header...)
			assert.Equal(t, tt.want, w.Code)
			if tt.want == 401 || tt.want == 403 {
				assert.NotContains(t, w.Body.String(), "<form")
				assert.NotContains(t, w.Body.String(), "Dead letters")
			}
		})
	}
	assert.True(t, o.isVerified())
	assert.Empty(t, o.audited)
	assert.Contains(t, o.log.String(), "session store is away")
	w := o.do("GET", "/admin/?attempt="+reference, "", "Test-Staff", "mallory")
	assert.NotContains(t, w.Body.String(), subject)
}

// A user is found by name, and by the support code, the reference or the link of an attempt.
func TestFind(t *testing.T) {
	o := newOffice(t)
	reference := o.verified()
	code := o.attempt().ID
	for _, text := range []string{
		subject, " " + subject + " ", reference, code, strings.ToUpper(code), code[:4] + " " + code[4:8] + "-" + code[8:],
		"https://app.example/verify/page?attempt=" + reference + "&locale=en",
	} {
		page := o.follow(o.form("action", "find", "user", text))
		assert.Contains(t, page, ">"+subject+"<", text)
		assert.Contains(t, page, ">Verified<")
		assert.Contains(t, page, code)
	}
	w := o.form("action", "find", "user", "somebody else")
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Body.String(), "Nothing is known of this user.")
	assert.Contains(t, o.follow(o.form("action", "find", "user", " ")), "Records that wait")
	w = o.do("GET", "/admin/?attempt=nonsense", "")
	assert.Equal(t, 404, w.Code)
	assert.Contains(t, w.Body.String(), "There is no such attempt")

	o.store.broken = errors.New("store is away")
	assert.Equal(t, 503, o.form("action", "find", "user", subject).Code)
	assert.Equal(t, 503, o.do("GET", "/admin/?attempt="+reference, "").Code)
}

func TestActions(t *testing.T) {
	o := newOffice(t)
	act := func(action string, more ...string) string {
		t.Helper()
		pairs := append([]string{"action", action, "subject", subject}, more...)
		w := o.form(pairs...)
		assert.Equal(t, 422, w.Code)
		assert.Contains(t, w.Body.String(), "Please give a reason")
		assert.Equal(t, 422, o.form(append(pairs, "reason", strings.Repeat("x", 201))...).Code)
		page := o.follow(o.form(append(pairs, "reason", " "+why+" ")...))
		last := o.audited[len(o.audited)-1]
		assert.Equal(t, Action{Name: action, Subject: subject, DeadLetter: last.DeadLetter, By: okidhttp.Staff{Actor: "sam", Reason: why}}, last)
		return page
	}
	page := act("approve") // of whom nothing is known
	assert.Contains(t, page, "The user is verified.")
	assert.Contains(t, page, why)
	assert.Contains(t, page, "<td>sam</td>")
	assert.True(t, o.isVerified())

	assert.Contains(t, act("revoke"), "The verification is revoked.")
	assert.False(t, o.isVerified())
	assert.Contains(t, act("revoke"), "There was nothing to do.")
	o.start()
	assert.Contains(t, act("reset_limit"), "The user may try again.")

	require.Equal(t, 422, o.form("action", "erase", "subject", subject, "reason", why, "confirm", strings.ToUpper(subject)).Code)
	o.attempt()
	assert.Contains(t, act("erase", "confirm", subject), "The user is erased.")
	all, err := o.kit.Attempts(t.Context(), subject)
	require.NoError(t, err)
	assert.Empty(t, all)

	for _, canary := range []string{"jane", "Jane", why} {
		assert.NotContains(t, o.log.String(), canary)
	}
	for _, name := range []string{"approve", "revoke", "reset_limit", "erase"} {
		assert.Contains(t, o.log.String(), `msg="okidadmin: action" action=`+name+" actor=sam")
	}
}

// What the host was not told of is told again, or dropped.
func TestDeadLetters(t *testing.T) {
	o := newOffice(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.kit.Run(ctx) }()
	defer func() { stop(); <-ended }()
	letter := func() (page, id string) {
		o.verified()
		require.Eventually(t, func() bool {
			page = html.UnescapeString(o.do("GET", "/admin/", "").Body.String())
			return strings.Contains(page, "<code>"+string(okidhttp.DeadCallback)+"</code>")
		}, time.Minute, 10*time.Millisecond)
		link := regexp.MustCompile(`href="(\?attempt=[^"]+)"`).FindStringSubmatch(page)
		require.NotNil(t, link)
		page = html.UnescapeString(o.do("GET", "/admin/"+link[1], "").Body.String())
		require.Len(t, o.attempt().DeadLetters, 1)
		return page, o.attempt().DeadLetters[0]
	}
	refuses := func(okidhttp.Event) error { return okidhttp.Permanent(errors.New("no such account")) }

	o.host = refuses
	page, id := letter()
	assert.Contains(t, page, id)
	assert.Contains(t, o.follow(o.form("action", "replay", "subject", subject, "letter", id, "reason", why)), "gave it up again")
	o.host = func(okidhttp.Event) error { return nil }
	assert.Contains(t, o.follow(o.form("action", "replay", "subject", subject, "letter", id, "reason", why)), "The host was told.")
	assert.True(t, o.isVerified())
	assert.Contains(t, o.follow(o.form("action", "replay", "subject", subject, "letter", id, "reason", why)), "The dead letter is gone.")

	require.NoError(t, o.kit.Erase(t.Context(), subject))
	o.host = refuses
	_, id = letter()
	assert.Contains(t, o.follow(o.form("action", "drop", "subject", subject, "letter", id, "reason", why)), "is dropped")
	assert.Empty(t, o.attempt().DeadLetters)
	assert.False(t, o.isVerified())
	assert.Contains(t, o.log.String(), "action=drop actor=sam event="+id)
}

// What cannot be recorded is not done.
func TestAudit(t *testing.T) {
	o := newOffice(t, func(c *Config) {
		c.Audit = func(context.Context, Action) error { return errors.New("audit is away") }
	})
	o.verified()
	assert.Contains(t, o.follow(o.form("action", "revoke", "subject", subject, "reason", why)), "could not be recorded")
	assert.True(t, o.isVerified())
	assert.Contains(t, o.log.String(), "audit is away")

	o = newOffice(t, func(c *Config) { c.Audit = nil })
	o.verified()
	assert.Contains(t, o.follow(o.form("action", "revoke", "subject", subject, "reason", why)), "is revoked")
}

func TestOverview(t *testing.T) {
	o := newOffice(t, func(c *Config) { c.Brand = okidhttp.Brand{Name: "The Cellar", Color: "#7a1f3d", HomeURL: "/home"} })
	page := o.do("GET", "/admin/", "").Body.String()
	for _, says := range []string{"Everything works.", "None yet.", `<a href="/home">The Cellar</a>`, "#7a1f3d", "You act as <strong>sam</strong>"} {
		assert.Contains(t, page, says)
	}
	o.verified()
	page = o.do("GET", "/admin/", "").Body.String()
	assert.Contains(t, page, "<dt><code>applied</code></dt><dd>2</dd>")
	assert.Contains(t, page, "<dt><code>started</code></dt><dd>1</dd>")
	assert.NotContains(t, page, "jane")

	o.store.broken = errors.New("store is away")
	w := o.do("GET", "/admin/", "")
	assert.Equal(t, 200, w.Code)
	for _, says := range []string{"The store cannot be reached.", "cannot be read", "<code>applied</code>"} {
		assert.Contains(t, w.Body.String(), says)
	}
}

// Every text of the page is in every language, and no other one is.
func TestTexts(t *testing.T) {
	template, err := os.ReadFile("page.html")
	require.NoError(t, err)
	used := map[string]bool{}
	for _, match := range regexp.MustCompile(`T "([^"]+)"`).FindAllStringSubmatch(string(template), -1) {
		used[match[1]] = true
	}
	for _, file := range []string{"admin.go", "actions.go", "page.go"} {
		code, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(code, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				if strings.HasSuffix(text, ".") { // is a sentence
					used[text] = true
				}
			}
			return true
		})
	}
	for _, status := range []identity.Status{identity.Created, identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired, identity.Revoked, "expiring"} {
		used[string(status)] = true
	}
	require.Greater(t, len(used), 60)
	for language, texts := range languages {
		if language == english {
			continue
		}
		for text := range used {
			assert.NotEmpty(t, texts[text], "%s: %q", language, text)
		}
		for text := range texts {
			assert.True(t, used[text], "%s: nobody says %q", language, text)
		}
	}
}

func TestLanguages(t *testing.T) {
	o := newOffice(t)
	for header, says := range map[string]string{
		"nl-BE,nl;q=0.9,en;q=0.8": "Alles werkt.", "de": "Alles funktioniert.", "fr-FR": "Tout fonctionne.", "es": "Todo funciona.",
		"": "Everything works.", "xx, de": "Alles funktioniert.", strings.Repeat(",", 1<<20): "Everything works.",
	} {
		assert.Contains(t, html.UnescapeString(o.do("GET", "/admin/", "", "Accept-Language", header).Body.String()), says)
	}
}

func TestNewNamesEveryProblem(t *testing.T) {
	_, err := New(Config{})
	assert.ErrorContains(t, err, "no Kit")
	assert.ErrorContains(t, err, "no Authorize")
}

// Names are shown as they are, and run nothing.
func TestStrangeNames(t *testing.T) {
	o := newOffice(t)
	for _, name := range []string{`<script>alert(1)</script>`, `"><img src=x>`, "{{.Kit}}", "日本", "a&b=c"} {
		w := o.form("action", "find", "user", name)
		assert.Equal(t, 200, w.Code)
		assert.Contains(t, html.UnescapeString(w.Body.String()), fmt.Sprintf(`value="%s"`, name))
		page := o.follow(o.form("action", "approve", "subject", name, "reason", name))
		assert.Contains(t, page, ">"+name+"<")
	}
}
