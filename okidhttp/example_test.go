package okidhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

// app is a host with a simulated okID. Who a request is from, its header says; a
// real app looks at its session.
func app(change func(*okidhttp.Config)) (*okidhttp.Kit, *okidtest.OKID) {
	fake, err := okidtest.NewOKID(okidtest.Config{RetryDelays: []time.Duration{}})
	if err != nil {
		log.Fatal(err)
	}
	if err := fake.Start(); err != nil {
		log.Fatal(err)
	}
	provider, err := okid.New(okid.Config{
		APIKey:         okidtest.DefaultAPIKey,
		WebhookSecrets: []string{okidtest.DefaultWebhookSecret},
		APIURL:         fake.URL(),
		FrontendURL:    fake.URL(),
		SDKURL:         fake.SDKURL(),
	})
	if err != nil {
		log.Fatal(err)
	}
	cfg := okidhttp.Config{
		Providers: []identity.Provider{provider},
		Store:     memstore.New(),
		PublicURL: "https://app.example/verify",
		Keys:      [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")}, // a real one is random
		Subject:   func(r *http.Request) (string, error) { return r.Header.Get("User"), nil },
		OnVerified: func(_ context.Context, e okidhttp.Event) error {
			fmt.Println("verified:", e.Subject)
			return nil
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	kit, err := okidhttp.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return kit, fake
}

// as sends a request of a user's to a handler.
func as(user, method, target string, h http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("User", user)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// start begins a verification, and returns the attempt and the token.
func start(kit *okidhttp.Kit, user string) (attempt, token string) {
	var answer struct {
		Attempt string `json:"attempt"`
		Token   string `json:"process_token"`
	}
	w := as(user, "POST", "/verify/start", kit.Start())
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		log.Fatal(err, w.Body)
	}
	return answer.Attempt, answer.Token
}

// webhook is what okID sends about an attempt.
func webhook(attempt, event, status string) *http.Request {
	now := time.Now()
	header, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, now, okid.WebhookBody{
		Event: event,
		Data: okid.VerificationBody{
			ID: "ver_0a1b2c3d4e5f6g7h8i9j", Status: status,
			Metadata: map[string]string{okid.MetadataReference: attempt},
			VerificationDetails: &okid.DetailsBody{
				FirstName: "Jane", LastName: "Roe", DateOfBirth: now.AddDate(-17, 0, 0).Format(time.DateOnly),
			},
		},
	})
	r := httptest.NewRequest("POST", "/verify/webhook", bytes.NewReader(body))
	r.Header = header
	return r
}

func deliver(kit *okidhttp.Kit, r *http.Request) int {
	w := httptest.NewRecorder()
	kit.Webhook().ServeHTTP(w, r)
	return w.Code
}

func ExampleNew() {
	_, err := okidhttp.New(okidhttp.Config{PublicURL: "http://app.example"})
	fmt.Println(err)
	// Output:
	// okidhttp: unusable Config:
	// Providers is empty: give at least one
	// Store is nil: memstore.New() does for one process
	// Subject is nil: say who the user of a request is
	// PublicURL must be https unless its host is a loopback address
	// Keys is empty: give at least one key of 32 random bytes
}

// One mount serves every route; a gate opens to those who are verified.
func ExampleKit() {
	kit, fake := app(nil)
	defer fake.Close()
	mux := http.NewServeMux()
	mux.Handle("/verify/", kit)
	mux.Handle("/cellar/", kit.RequireVerified(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "wine")
	})))

	fmt.Println(as("alice", "GET", "/cellar/", mux).Code)
	attempt, _ := start(kit, "alice")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, webhook(attempt, okid.EventCompleted, okid.StatusCompleted))
	fmt.Println(w.Code)
	fmt.Println(as("alice", "GET", "/cellar/", mux).Body)
	// Output:
	// 403
	// verified: alice
	// 200
	// wine
}

func ExampleKit_Start() {
	kit, fake := app(nil)
	defer fake.Close()
	w := as("alice", "POST", "/verify/start", kit.Start())
	var answer map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	fmt.Println(w.Code, len(answer["process_token"].(string)))
	fmt.Println(as("alice", "POST", "/verify/start", kit.Start()).Code, "is resumed")
	fmt.Println(as("", "POST", "/verify/start", kit.Start()).Code, "is nobody")
	// Output:
	// 201 37
	// 200 is resumed
	// 401 is nobody
}

func ExampleKit_Page() {
	kit, fake := app(nil)
	defer fake.Close()
	page := as("alice", "GET", "/verify/page?return_to=/cellar/", kit.Page())
	fmt.Println(page.Code, strings.Contains(page.Body.String(), "Start verification"))

	attempt, _ := start(kit, "alice")
	page = as("alice", "GET", "/verify/page?attempt="+attempt, kit.Page())
	fmt.Println(page.Code, strings.Contains(page.Body.String(), "okid.js"))
	fmt.Println(as("bob", "GET", "/verify/page?attempt="+attempt, kit.Page()).Code)
	// Output:
	// 200 true
	// 200 true
	// 404
}

// However often an event is delivered, the host is told once.
func ExampleKit_Webhook() {
	kit, fake := app(nil)
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	for range 3 {
		fmt.Println(deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted)))
	}
	forged := webhook(attempt, okid.EventCompleted, okid.StatusCompleted)
	forged.Header.Set(okid.SignatureHeader, strings.Repeat("0", 64))
	fmt.Println(deliver(kit, forged))
	// Output:
	// verified: alice
	// 200
	// 200
	// 200
	// 401
}

// Coming back proves nothing: the page waits until the provider has spoken.
func ExampleKit_Success() {
	kit, fake := app(func(c *okidhttp.Config) { c.AfterSuccess = "/welcome" })
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	fmt.Println(as("alice", "GET", "/verify/success?attempt="+attempt, kit.Success()).Code)
	deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted))
	w := as("alice", "GET", "/verify/success?attempt="+attempt, kit.Success())
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output:
	// 200
	// verified: alice
	// 303 /welcome
}

// What counts is the verdict, not the way by which a user came back.
func ExampleKit_Error() {
	kit, fake := app(func(c *okidhttp.Config) { c.AfterError = "/help" })
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	deliver(kit, webhook(attempt, okid.EventFailed, okid.StatusFailed))
	w := as("alice", "GET", "/verify/error?attempt="+attempt, kit.Error())
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output:
	// 303 /help
}

func ExampleKit_Status() {
	kit, fake := app(nil)
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	status := func(user string) {
		w := as(user, "GET", "/verify/status?attempt="+attempt, kit.Status())
		var body struct{ Status string }
		if w.Code == 200 {
			_ = json.Unmarshal(w.Body.Bytes(), &body)
		}
		fmt.Println(w.Code, body.Status)
	}
	status("alice")
	deliver(kit, webhook(attempt, okid.EventStarted, okid.StatusStarted))
	status("alice")
	status("bob")
	// Output:
	// 200 created
	// 200 started
	// 404
}

func ExampleKit_RequireVerified() {
	kit, fake := app(func(c *okidhttp.Config) { c.AgeOver = []int{16, 18} })
	defer fake.Close()
	cellar := kit.RequireVerified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		grant, _ := okidhttp.GrantFrom(r.Context())
		if !grant.Over(18) {
			http.Error(w, "juice only", http.StatusForbidden)
		}
	}))
	attempt, _ := start(kit, "alice")
	deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted)) // of somebody who is 17
	fmt.Print(as("alice", "GET", "/cellar/", cellar).Body)
	// Output:
	// verified: alice
	// juice only
}

// A policy of the host's decides before a verification counts.
func ExampleConfig_decide() {
	kit, fake := app(func(c *okidhttp.Config) {
		c.Decide = func(_ context.Context, e okidhttp.Event) error {
			if e.Verification.DateOfBirth.YearsUntil(identity.DateOf(time.Now())) < 18 {
				return okidhttp.Refuse("too_young").Final()
			}
			return nil
		}
		c.OnFailed = func(_ context.Context, e okidhttp.Event) error {
			fmt.Println(e.Status+":", e.Reason)
			return nil
		}
	})
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	fmt.Println(deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted)))
	// Output:
	// failed: too_young
	// 200
}

// An error makes the provider, and Run, try again; Permanent gives up.
func ExamplePermanent() {
	problem := errors.New("database is away")
	kit, fake := app(func(c *okidhttp.Config) {
		c.OnVerified = func(context.Context, okidhttp.Event) error { return problem }
	})
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	fmt.Println(deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted)))
	problem = okidhttp.Permanent(errors.New("alice has closed her account"))
	fmt.Println(deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted)))
	// Output:
	// 500
	// 200
}

// What was given up is listed, and can be tried again when its cause is mended.
func ExampleKit_DeadLetters() {
	problem := okidhttp.Permanent(errors.New("alice has no account yet"))
	kit, fake := app(func(c *okidhttp.Config) {
		c.OnFailed = func(context.Context, okidhttp.Event) error { return problem }
	})
	defer fake.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go kit.Run(ctx)

	attempt, _ := start(kit, "alice")
	deliver(kit, webhook(attempt, okid.EventFailed, okid.StatusFailed))
	var dead okidhttp.DeadLetter
	for dead.ID == "" {
		<-time.After(10 * time.Millisecond) // until Run has listed it
		for letter, err := range kit.DeadLetters(ctx) {
			if err != nil {
				panic(err)
			}
			dead = letter
		}
	}
	fmt.Println(dead.Reason, dead.Status, "of", dead.Subject)

	problem = nil
	fmt.Println(kit.ReplayDeadLetter(ctx, dead.ID))
	// Output:
	// callback failed of alice
	// <nil>
}

// An event that was given up is told again under the same ID, for instance from a command
// for the people who run the app.
func ExampleKit_ReplayDeadLetter() {
	var event string
	problem := okidhttp.Permanent(errors.New("alice has no account yet"))
	kit, fake := app(func(c *okidhttp.Config) {
		c.OnFailed = func(_ context.Context, e okidhttp.Event) error {
			fmt.Println("the same:", e.ID == event)
			event = e.ID
			return problem
		}
	})
	defer fake.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go kit.Run(ctx)
	attempt, _ := start(kit, "alice")
	deliver(kit, webhook(attempt, okid.EventFailed, okid.StatusFailed))
	for _, err := kit.DeadLetter(ctx, event); err != nil; _, err = kit.DeadLetter(ctx, event) {
		<-time.After(10 * time.Millisecond) // until Run has listed it
	}

	err := kit.ReplayDeadLetter(ctx, event)
	fmt.Println(errors.Is(err, okidhttp.ErrGivenUpAgain))
	problem = nil
	fmt.Println(kit.ReplayDeadLetter(ctx, event))
	err = kit.ReplayDeadLetter(ctx, event)
	fmt.Println(errors.Is(err, okidhttp.ErrNoDeadLetter))
	// Output:
	// the same: false
	// the same: true
	// true
	// the same: true
	// <nil>
	// true
}

// Grant is the gate for code that is not behind a route, such as a job.
func ExampleKit_Grant() {
	kit, fake := app(func(c *okidhttp.Config) { c.AgeOver = []int{16, 18} })
	defer fake.Close()
	ctx := context.Background()
	_, err := kit.Grant(ctx, "alice")
	fmt.Println(errors.Is(err, okidhttp.ErrNotVerified))

	attempt, _ := start(kit, "alice")
	deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted)) // of somebody who is 17
	grant, err := kit.Grant(ctx, "alice")
	fmt.Println(grant.Provider, grant.Over(16), grant.Over(18), err)
	// Output:
	// true
	// verified: alice
	// okid true false <nil>
}

// Of the personal fields a record holds those alone that Config.Keep names, sealed.
func ExampleKit_Kept() {
	kit, fake := app(func(c *okidhttp.Config) { c.Keep = []identity.Field{identity.FirstName} })
	defer fake.Close()
	attempt, _ := start(kit, "alice")
	deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted))
	kept, err := kit.Kept(context.Background(), "alice")
	fmt.Printf("%q %q %v\n", kept.FirstName, kept.LastName, err)
	fmt.Println(kept) // prints no name
	// Output:
	// verified: alice
	// "Jane" "" <nil>
	// ver_0a1b2c3d4e5f6g7h8i9j verified
}

// A user who closes an account, or asks to be forgotten.
func ExampleKit_Erase() {
	kit, fake := app(nil)
	defer fake.Close()
	ctx := context.Background()
	attempt, _ := start(kit, "alice")
	deliver(kit, webhook(attempt, okid.EventCompleted, okid.StatusCompleted))
	fmt.Println(kit.Erase(ctx, "alice"))
	_, err := kit.Grant(ctx, "alice")
	fmt.Println(errors.Is(err, okidhttp.ErrNotVerified))
	// Output:
	// verified: alice
	// <nil>
	// true
}

// Every attempt costs money, so there are not too many of them.
func ExampleAtMost() {
	kit, fake := app(func(c *okidhttp.Config) { c.StartLimit = okidhttp.AtMost(2, 24*time.Hour) })
	defer fake.Close()
	for range 3 {
		w := as("alice", "POST", "/verify/start", kit.Start())
		fmt.Println(w.Code, w.Header().Get("Retry-After") != "")
		var answer struct{ Attempt string }
		_ = json.Unmarshal(w.Body.Bytes(), &answer)
		deliver(kit, webhook(answer.Attempt, okid.EventFailed, okid.StatusFailed))
	}
	// Output:
	// 201 false
	// 201 false
	// 429 true
}

// A page of the host's in place of the kit's. The others stay.
func ExampleConfig_pages() {
	const start = `<!doctype html>
<html lang="{{.Language}}" dir="{{.Direction}}">
<title>{{.T .Title}}</title>
<p>{{.T .Message}}</p>
<form method="post" action="{{.StartURL}}">
<input type="hidden" name="return_to" value="{{.ReturnTo}}">
<input type="hidden" name="locale" value="{{.Locale}}">
<button>{{.T .Button}}</button>
</form>
`
	kit, fake := app(func(c *okidhttp.Config) { c.Pages = template.Must(template.New("start.html").Parse(start)) })
	defer fake.Close()
	fmt.Print(as("alice", "GET", "/verify/page?return_to=/cellar/", kit.Page()).Body)
	// Output:
	// <!doctype html>
	// <html lang="en" dir="ltr">
	// <title>Verify your identity</title>
	// <p>This part of the site needs to know who you are. It takes about two minutes.</p>
	// <form method="post" action="https://app.example/verify/start">
	// <input type="hidden" name="return_to" value="/cellar/">
	// <input type="hidden" name="locale" value="en">
	// <button>Start verification</button>
	// </form>
}

// GetID verifies in the browser alone. Its page posts what the SDK hands over, and
// the kit asks GetID for the verdict.
func ExampleKit_Claim() {
	fake, err := okidtest.NewGetID(okidtest.GetIDConfig{})
	if err != nil {
		log.Fatal(err)
	}
	if err := fake.Start(); err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	provider, err := getid.New(getid.Config{APIKey: okidtest.DefaultGetIDKey, BaseURL: fake.URL(), JWKSURL: fake.JWKSURL()})
	if err != nil {
		log.Fatal(err)
	}
	kit, okID := app(func(c *okidhttp.Config) { c.Providers = append(c.Providers, provider) })
	defer okID.Close()

	id, claim := fake.Begin() // what the browser does
	if err := fake.Complete(id, okidtest.Approved, nil); err != nil {
		log.Fatal(err)
	}
	for _, user := range []string{"alice", "mallory"} {
		r := httptest.NewRequest("POST", "/verify/claim", bytes.NewReader(claim))
		r.Header.Set("User", user)
		w := httptest.NewRecorder()
		kit.ServeHTTP(w, r)
		fmt.Println(user, w.Code)
	}
	// Output:
	// verified: alice
	// alice 200
	// mallory 409
}
