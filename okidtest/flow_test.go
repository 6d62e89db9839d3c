package okidtest_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// press does what a browser without JavaScript does with a button.
func press(t *testing.T, page, choice string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.PostForm(page, url.Values{"choice": {choice}})
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

// told is the message that the page has for the SDK, or "".
func told(page string) string {
	m := regexp.MustCompile(`data-message="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

const (
	success = "https://app.example.com/success?attempt=1&x=<2>"
	failure = "https://app.example.com/error"
)

// withReturn is generate with a callback, a success and an error URL.
func withReturn(t *testing.T, fake *okidtest.OKID, callback string) (token string) {
	t.Helper()
	body, err := json.Marshal(okid.GenerateRequest{
		Metadata: map[string]string{}, CallbackURL: callback, SuccessURL: success, ErrorURL: failure,
	})
	require.NoError(t, err)
	_, answer := call(t, "POST", fake.URL()+"/v1/verification/generate", string(body))
	var response okid.GenerateResponse
	require.NoError(t, json.Unmarshal([]byte(answer), &response))
	return response.ProcessToken
}

func TestFlowWithoutJavaScript(t *testing.T) {
	tests := []struct {
		choice  string
		events  []string
		shows   string
		next    string
		outcome string
	}{
		{"passport", []string{okid.EventStarted, okid.EventCompleted}, "You are verified", success, "complete"},
		{"id-card", []string{okid.EventStarted, okid.EventCompleted}, "You are verified", success, "complete"},
		{"fail", []string{okid.EventStarted, okid.EventFailed}, "You were refused", failure, "error"},
		{"expire", []string{okid.EventStarted, okid.EventExpired}, "The verification expired", failure, "error"},
		{"leave", []string{okid.EventStarted}, "You left", "", "close"},
		{"begin", []string{okid.EventStarted}, "How does it end?", "", ""},
		{"nonsense", []string{okid.EventStarted}, "How does it end?", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.choice, func(t *testing.T) {
			h := listen(t)
			fake := start(t, okidtest.Config{})
			page := fake.FlowURL(withReturn(t, fake, h.URL))

			code, text := call(t, "GET", page, "")
			assert.Equal(t, 200, code)
			assert.Contains(t, text, "okID simulator")
			assert.Contains(t, text, `value="begin"`)
			assert.Empty(t, told(text))

			// Nothing can be chosen before the beginning.
			_, text = press(t, page, "passport")
			assert.Contains(t, text, `value="begin"`)

			code, text = press(t, page, "begin")
			assert.Equal(t, 200, code)
			assert.Contains(t, text, "Jane Roe")
			assert.Contains(t, text, `value="passport"`)

			code, text = press(t, page, tt.choice)
			assert.Equal(t, 200, code)
			assert.Contains(t, text, tt.shows)
			if tt.next != "" {
				assert.Contains(t, html.UnescapeString(text), `href="`+strings.NewReplacer("<", "%3c", ">", "%3e").Replace(tt.next)+`"`)
			}
			if tt.outcome == "" {
				assert.Empty(t, told(text))
			} else {
				var message struct{ Okid, Next string }
				require.NoError(t, json.Unmarshal([]byte(told(text)), &message))
				assert.Equal(t, tt.outcome, message.Okid)
				assert.Equal(t, tt.next, message.Next)
			}
			wait(t, fake)
			assert.Equal(t, tt.events, h.events(t))
		})
	}
}

func TestFlowDoubleClick(t *testing.T) {
	h := listen(t)
	// A clock that lets others run makes a race likely.
	fake := start(t, okidtest.Config{Clock: func() time.Time { runtime.Gosched(); return noon }})
	page := fake.FlowURL(generate(t, fake, h.URL))
	press(t, page, "begin")
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			r := httptest.NewRequest("POST", page, strings.NewReader("choice=passport"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			fake.ServeHTTP(w, r)
			assert.Equal(t, 303, w.Code)
		})
	}
	wg.Wait()
	press(t, page, "fail")
	wait(t, fake)
	assert.Equal(t, []string{okid.EventStarted, okid.EventCompleted}, h.events(t))
}

func TestFlowRefuses(t *testing.T) {
	c := &clock{now: noon}
	fake := start(t, okidtest.Config{Clock: c.Now})
	token := withReturn(t, fake, "")

	for _, unknown := range []string{"", "tok_v1_000000000000000000000000000000", "'\"><script>"} {
		code, text := call(t, "GET", fake.FlowURL(unknown), "")
		assert.Equal(t, 404, code)
		assert.Contains(t, told(text), "token_unknown")
		assert.NotContains(t, text, "<script>")
	}

	c.Advance(30 * time.Minute)
	code, text := call(t, "GET", fake.FlowURL(token), "")
	assert.Equal(t, 410, code)
	assert.Contains(t, told(text), "token_expired")
	assert.Contains(t, told(text), failure)
	code, _ = press(t, fake.FlowURL(token), "begin")
	assert.Equal(t, 410, code)

	code, _ = call(t, "PUT", fake.FlowURL(token), "")
	assert.Equal(t, 405, code)
	_, text = press(t, fake.FlowURL(token), strings.Repeat("x", 64<<10+1))
	assert.Contains(t, text, "has expired")
}

func TestFlowEscapes(t *testing.T) {
	fake := start(t, okidtest.Config{})
	page := fake.FlowURL(generate(t, fake, ""))
	const evil = `"><script>alert(1)</script>`
	_, text := call(t, "GET", page+"&locale="+url.QueryEscape(evil)+"&flow_name="+url.QueryEscape(evil), "")
	assert.NotContains(t, text, "<script>alert")
	assert.Equal(t, 2, strings.Count(text, html.EscapeString(evil)))
}

func TestFlowHeaders(t *testing.T) {
	fake := start(t, okidtest.Config{})
	w := httptest.NewRecorder()
	fake.ServeHTTP(w, httptest.NewRequest("GET", "/flow", nil))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	assert.Equal(t, "same-origin", w.Header().Get("Referrer-Policy"), "the URL carries the token")
	policy := w.Header().Get("Content-Security-Policy")
	assert.Contains(t, policy, "default-src 'none'")
	assert.NotContains(t, policy, "unsafe")
}

func TestFilesAreServed(t *testing.T) {
	fake := start(t, okidtest.Config{})
	tests := []struct{ path, contentType, prefix string }{
		{"/flow.css", "text/css; charset=utf-8", ":root {"},
		{"/flow.js", "text/javascript; charset=utf-8", "//"},
		{"/sdk/okid.js", "text/javascript; charset=utf-8", "class okID {"},
		{"/sdk/okid.js?as=class", "text/javascript; charset=utf-8", "class okID {"},
		{"/sdk/okid.js?as=var", "text/javascript; charset=utf-8", "var okID = class okID {"},
		{"/sdk/okid.js?as=window", "text/javascript; charset=utf-8", "window.okID = class okID {"},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, httptest.NewRequest("GET", tt.path, nil))
		assert.Equal(t, 200, w.Code, tt.path)
		assert.Equal(t, tt.contentType, w.Header().Get("Content-Type"), tt.path)
		assert.True(t, strings.HasPrefix(w.Body.String(), tt.prefix), tt.path)
	}
	code, _ := call(t, "GET", fake.SDKURL()+"?as=let", "")
	assert.Equal(t, 400, code)
	code, _ = call(t, "GET", fake.URL()+"/web/flow.html", "")
	assert.Equal(t, 404, code)
}

// Mounted under a prefix, the page's forms and files still find their way.
func TestMountedUnderAPrefix(t *testing.T) {
	fake, err := okidtest.NewOKID(okidtest.Config{PublicURL: "http://app.example.com/okid"})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/okid/", http.StripPrefix("/okid", fake))
	server := httptest.NewServer(mux)
	defer server.Close()

	_, answer := call(t, "POST", server.URL+"/okid/v1/verification/generate", `{"metadata":{}}`)
	var response okid.GenerateResponse
	require.NoError(t, json.Unmarshal([]byte(answer), &response))
	page := strings.Replace(fake.FlowURL(response.ProcessToken), "http://app.example.com", server.URL, 1)
	_, text := press(t, page, "begin")
	assert.Contains(t, text, "How does it end?")
	assert.Contains(t, text, `href="flow.css"`)
	assert.Contains(t, text, `src="flow.js"`)
}

func ExampleOKID() {
	// The host's webhook handler, here one that believes everything.
	heard := make(chan string, 2)
	host := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var webhook okid.WebhookBody
		_ = json.NewDecoder(r.Body).Decode(&webhook)
		heard <- webhook.Event
	}))
	defer host.Close()

	fake, err := okidtest.NewOKID(okidtest.Config{})
	if err != nil {
		panic(err)
	}
	if err := fake.Start(); err != nil {
		panic(err)
	}
	defer fake.Close()

	// The host asks for a verification.
	ask, _ := http.NewRequest("POST", fake.URL()+"/v1/verification/generate",
		strings.NewReader(`{"metadata":{"reference":"r-1"},"callback_url":"`+host.URL+`"}`))
	ask.Header.Set(okid.KeyHeader, okidtest.DefaultAPIKey)
	ask.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	var generated okid.GenerateResponse
	_ = json.NewDecoder(answer.Body).Decode(&generated)
	http.DefaultClient.CloseIdleConnections()

	// The user does it.
	id, _ := fake.Begin(generated.ProcessToken)
	_ = fake.Complete(id, okidtest.Passport(time.Now()))

	fmt.Println(<-heard)
	fmt.Println(<-heard)
	// Output:
	// verification.started
	// verification.completed
}

func ExampleNewWebhook() {
	// The host's handler under test. A real one verifies the signature; nothing
	// has to be switched off for this request.
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(len(r.Header.Get(okid.SignatureHeader)), r.Header.Get(okid.TimestampHeader))
		_, _ = io.Copy(io.Discard, r.Body)
	})

	now := time.Date(2025, time.June, 30, 12, 0, 0, 0, time.UTC)
	data := okidtest.Passport(now)
	data.Metadata = map[string]string{okid.MetadataReference: "r-1"}
	header, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, now,
		okid.WebhookBody{Event: okid.EventCompleted, Data: data})

	r := httptest.NewRequest("POST", "/verify/webhook", strings.NewReader(string(body)))
	r.Header = header
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: 64 1751284800
}
