package okidtest_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2025, time.June, 30, 12, 0, 0, 0, time.UTC)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start starts a fake whose clock stands at noon and which tries webhooks once,
// unless cfg says otherwise.
func start(t *testing.T, cfg okidtest.Config) *okidtest.OKID {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = (&clock{now: noon}).Now
	}
	if cfg.RetryDelays == nil {
		cfg.RetryDelays = []time.Duration{}
	}
	fake, err := okidtest.NewOKID(cfg)
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	t.Cleanup(fake.Close)
	return fake
}

// call does a request with the right key and returns status and body.
func call(t *testing.T, method, url, body string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set(okid.KeyHeader, okidtest.DefaultAPIKey)
	r.Header.Set("Content-Type", "application/json")
	for _, f := range change {
		f(r)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(b)
}

// generate makes a verification whose webhooks go to callback.
func generate(t *testing.T, fake *okidtest.OKID, callback string) (token string) {
	t.Helper()
	body := fmt.Sprintf(`{"metadata":{"reference":"r-1"},"callback_url":%q}`, callback)
	code, answer := call(t, "POST", fake.URL()+"/v1/verification/generate", body)
	require.Equal(t, 200, code, answer)
	return processToken(t, []byte(answer))
}

// processToken reads the answer of a generate call.
func processToken(t *testing.T, answer []byte) string {
	t.Helper()
	var response okid.GenerateResponse
	require.NoError(t, json.Unmarshal(answer, &response), "%s", answer)
	return response.ProcessToken
}

// begin is generate, followed by Begin.
func begin(t *testing.T, fake *okidtest.OKID, callback string) (id string) {
	t.Helper()
	id, err := fake.Begin(generate(t, fake, callback))
	require.NoError(t, err)
	return id
}

func wait(t *testing.T, fake *okidtest.OKID) {
	t.Helper()
	require.NoError(t, fake.Wait(t.Context()))
}

// host is a server that keeps the webhooks it gets.
type host struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	heads  []http.Header
}

// listen starts a host that answers 200.
func listen(t *testing.T) *host {
	t.Helper()
	h := &host{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies = append(h.bodies, string(body))
		h.heads = append(h.heads, r.Header)
	}))
	t.Cleanup(h.Close)
	return h
}

// events lists the events that came, in order.
func (h *host) events(t *testing.T) []string {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var events []string
	for _, b := range h.bodies {
		var w struct{ Event string }
		require.NoError(t, json.Unmarshal([]byte(b), &w))
		events = append(events, w.Event)
	}
	return events
}

func TestNewOKIDNamesEveryProblem(t *testing.T) {
	_, err := okidtest.NewOKID(okidtest.Config{
		PublicURL:   "localhost",
		TokenTTL:    -1,
		Signing:     okidtest.Signing{Encoding: 7},
		RetryDelays: []time.Duration{1, -1},
		Chaos:       okidtest.Chaos{Copies: -1, Delay: -1, Signing: &okidtest.Signing{Timestamp: -1}},
	})
	require.ErrorIs(t, err, okidtest.ErrConfig)
	for _, name := range []string{"PublicURL", "TokenTTL", ": Signing", "RetryDelays", "Chaos.Copies", "Chaos.Delay", "Chaos.Signing"} {
		assert.ErrorContains(t, err, name)
	}
}

func TestGenerate(t *testing.T) {
	fake := start(t, okidtest.Config{})
	token := generate(t, fake, "")
	assert.Regexp(t, `^tok_v1_[0-9a-f]{30}$`, token)
	assert.NotEqual(t, token, generate(t, fake, ""))

	_, answer := call(t, "POST", fake.URL()+"/v1/verification/generate", `{"metadata":{}}`)
	var response okid.GenerateResponse
	require.NoError(t, json.Unmarshal([]byte(answer), &response))
	assert.Equal(t, "2025-06-30T12:30:00Z", response.ExpiresAt)
	assert.Equal(t, 3, fake.GenerateCalls())
}

func TestGenerateRefuses(t *testing.T) {
	const good = `{"metadata":{"reference":"r-1"}}`
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	none := func(*http.Request) {}
	tests := []struct {
		name   string
		method string
		body   string
		change func(*http.Request)
		want   int
	}{
		{"as documented", "POST", good, none, 200},
		{"charset", "POST", good, header("Content-Type", "application/json; charset=utf-8"), 200},
		{"get", "GET", "", none, 405},
		{"put", "PUT", good, none, 405},
		{"no key", "POST", good, func(r *http.Request) { r.Header.Del(okid.KeyHeader) }, 401},
		{"empty key", "POST", good, header(okid.KeyHeader, ""), 401},
		{"other key", "POST", good, header(okid.KeyHeader, okidtest.DefaultAPIKey+"x"), 401},
		{"form", "POST", good, header("Content-Type", "application/x-www-form-urlencoded"), 415},
		{"no content type", "POST", good, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		{"empty", "POST", "", none, 400},
		{"not JSON", "POST", "metadata", none, 400},
		{"two values", "POST", good + good, none, 400},
		{"null", "POST", "null", none, 400},
		{"array", "POST", "[]", none, 400},
		{"no metadata", "POST", "{}", none, 400},
		{"metadata null", "POST", `{"metadata":null}`, none, 400},
		{"metadata a string", "POST", `{"metadata":"r-1"}`, none, 400},
		{"metadata an array", "POST", `{"metadata":["r-1"]}`, none, 400},
		{"callback_url a number", "POST", `{"metadata":{},"callback_url":1}`, none, 400},
		{"callback_url relative", "POST", `{"metadata":{},"callback_url":"/hook"}`, none, 400},
		{"success_url a script", "POST", `{"metadata":{},"success_url":"javascript:alert(1)"}`, none, 400},
		{"success_url a script with a host", "POST", `{"metadata":{},"success_url":"javascript://x/%0aalert(1)"}`, none, 400},
		{"error_url a script", "POST", `{"metadata":{},"error_url":"javascript:alert(1)"}`, none, 400},
		{"too long", "POST", `{"metadata":{"x":"` + strings.Repeat("x", 64<<10) + `"}}`, none, 413},
	}
	fake := start(t, okidtest.Config{})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, answer := call(t, tt.method, fake.URL()+"/v1/verification/generate", tt.body, tt.change)
			assert.Equal(t, tt.want, code, answer)
			assert.Equal(t, i+1, fake.GenerateCalls())
			assert.True(t, json.Valid([]byte(answer)), answer)
		})
	}
}

func FuzzGenerate(f *testing.F) {
	f.Add([]byte(`{"metadata":{"reference":"r-1"},"callback_url":"https://app.example.com/hook"}`))
	f.Add([]byte(`{"metadata":{"n":1e400,"a":[{}],"s":"\ud800"}}`))
	f.Add([]byte(`{"metadata":null}`))
	f.Add([]byte("{\"metadata\":{\"\xff\":\"\xff\"}}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		fake, err := okidtest.NewOKID(okidtest.Config{Clock: (&clock{now: noon}).Now})
		require.NoError(t, err)
		defer fake.Close()
		r := httptest.NewRequest("POST", "/v1/verification/generate", bytes.NewReader(body))
		r.Header.Set(okid.KeyHeader, okidtest.DefaultAPIKey)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, r)
		if w.Code != 200 {
			require.Contains(t, []int{400, 413}, w.Code)
			return
		}
		var response okid.GenerateResponse
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &response))
		require.NotEmpty(t, response.ProcessToken)
	})
}

// What a person does, without a callback URL: the metadata comes back as it was
// sent, even where okID's clients may not read it.
func TestFetch(t *testing.T) {
	c := &clock{now: noon}
	fake := start(t, okidtest.Config{Clock: c.Now})
	_, answer := call(t, "POST", fake.URL()+"/v1/verification/generate", `{"metadata":{"z":12345678901234567890,"a":{"b":[null,true]}}}`)
	var response okid.GenerateResponse
	require.NoError(t, json.Unmarshal([]byte(answer), &response))
	id, err := fake.Begin(response.ProcessToken)
	require.NoError(t, err)
	assert.Regexp(t, `^ver_[a-z0-9]{20}$`, id)

	record := fake.URL() + "/v1/verification/" + id
	const metadata = `"metadata":{"z":12345678901234567890,"a":{"b":[null,true]}}}`
	code, answer := call(t, "GET", record, "")
	assert.Equal(t, 200, code)
	assert.Equal(t, `{"id":"`+id+`","status":"started","created_at":"2025-06-30T12:00:00Z",`+metadata+"\n", answer)

	c.Advance(2 * time.Minute)
	details := okidtest.Passport(c.Now())
	require.NoError(t, fake.Complete(id, details))
	details.VerificationDetails.FirstName = "changed by the caller afterwards"
	code, answer = call(t, "GET", record, "")
	assert.Equal(t, 200, code)
	assert.Equal(t, `{"id":"`+id+`","status":"completed","created_at":"2025-06-30T12:00:00Z","completed_at":"2025-06-30T12:02:00Z",`+
		`"document_type":"passport","verification_details":{"first_name":"Jane","last_name":"Roe","document_number":"Z000001",`+
		`"expiry_date":"2030-06-30","date_of_birth":"1990-02-03"},`+metadata+"\n", answer)

	require.NoError(t, fake.Fail(id))
	_, answer = call(t, "GET", record, "")
	assert.Equal(t, `{"id":"`+id+`","status":"failed","created_at":"2025-06-30T12:00:00Z",`+metadata+"\n", answer)

	require.NoError(t, fake.Expire(id))
	_, answer = call(t, "GET", record, "")
	assert.Contains(t, answer, `"status":"expired"`)

	code, _ = call(t, "GET", record, "", func(r *http.Request) { r.Header.Del(okid.KeyHeader) })
	assert.Equal(t, 401, code)
	code, _ = call(t, "POST", record, "")
	assert.Equal(t, 405, code)
	for _, unknown := range []string{"ver_00000000000000000000", "x", response.ProcessToken} {
		code, _ = call(t, "GET", fake.URL()+"/v1/verification/"+unknown, "")
		assert.Equal(t, 404, code)
	}
	assert.Equal(t, 9, fake.FetchCalls())
	assert.Empty(t, fake.Deliveries(), "there is no callback_url")
}

func TestFaults(t *testing.T) {
	fake := start(t, okidtest.Config{})
	routes := []struct {
		name   string
		method string
		url    string
		fail   func(int, http.Handler)
		healed int
	}{
		{"generate", "POST", fake.URL() + "/v1/verification/generate", fake.FailGenerate, 200},
		{"fetch", "GET", fake.URL() + "/v1/verification/ver_0", fake.FailFetch, 404},
	}
	for _, route := range routes {
		t.Run(route.name, func(t *testing.T) {
			route.fail(2, okidtest.Status(503))
			route.fail(1, okidtest.Garbage())
			route.fail(1, http.RedirectHandler("https://elsewhere.example.com/", http.StatusFound))
			for _, want := range []int{503, 503, 200, 302, route.healed} {
				code, _ := call(t, route.method, route.url, `{"metadata":{}}`)
				assert.Equal(t, want, code)
			}
		})
	}
}

func TestGarbage(t *testing.T) {
	fake := start(t, okidtest.Config{})
	fake.FailFetch(1, okidtest.Garbage())
	code, answer := call(t, "GET", fake.URL()+"/v1/verification/ver_0", "")
	assert.Equal(t, 200, code)
	assert.False(t, json.Valid([]byte(answer)))
}

// A fault that hangs ends with its caller, and at Close.
func TestHang(t *testing.T) {
	for _, end := range []string{"caller", "close", "close of a mounted one"} {
		t.Run(end, func(t *testing.T) {
			fake := start(t, okidtest.Config{})
			base := fake.URL()
			if end == "close of a mounted one" {
				server := httptest.NewServer(fake)
				defer server.Close()
				base = server.URL
			}
			hangs := make(chan struct{})
			fake.FailGenerate(1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(hangs)
				okidtest.Hang().ServeHTTP(w, r)
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, "POST", base+"/v1/verification/generate", strings.NewReader("{}"))
			require.NoError(t, err)
			answered := make(chan error)
			go func() {
				client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				res, err := client.Do(r)
				if err == nil {
					res.Body.Close()
				}
				answered <- err
			}()
			<-hangs
			if end == "caller" {
				cancel()
			} else {
				fake.Close()
			}
			assert.Error(t, <-answered)
		})
	}
}

// The provider's webhook may be faster than its answer.
func TestOnGenerateRunsBeforeTheAnswer(t *testing.T) {
	h := listen(t)
	var fake *okidtest.OKID
	var seen okid.GenerateRequest
	fake = start(t, okidtest.Config{OnGenerate: func(ctx context.Context, token string, r okid.GenerateRequest) {
		seen = r
		_, err := fake.Begin(token)
		assert.NoError(t, err)
		assert.NoError(t, fake.Wait(ctx))
		assert.Equal(t, []string{okid.EventStarted}, h.events(t))
	}})
	code, _ := call(t, "POST", fake.URL()+"/v1/verification/generate",
		`{"metadata":{"reference":"r-1","number":1},"callback_url":"`+h.URL+`","success_url":"https://app.example.com/s","error_url":"https://app.example.com/e"}`)
	assert.Equal(t, 200, code)
	assert.Equal(t, okid.GenerateRequest{
		Metadata:    map[string]string{"reference": "r-1"},
		CallbackURL: h.URL,
		SuccessURL:  "https://app.example.com/s",
		ErrorURL:    "https://app.example.com/e",
	}, seen)
}

func TestBegin(t *testing.T) {
	h := listen(t)
	c := &clock{now: noon}
	fake := start(t, okidtest.Config{Clock: c.Now, TokenTTL: time.Minute})
	early, late := generate(t, fake, h.URL), generate(t, fake, h.URL)

	c.Advance(time.Minute - 1)
	id, err := fake.Begin(early)
	require.NoError(t, err)
	c.Advance(1)
	_, err = fake.Begin(late)
	require.ErrorIs(t, err, okidtest.ErrExpired)

	again, err := fake.Begin(early)
	require.NoError(t, err, "who has begun may go on")
	assert.Equal(t, id, again)
	wait(t, fake)
	assert.Equal(t, []string{okid.EventStarted}, h.events(t))
}

func TestUnknownIDs(t *testing.T) {
	fake := start(t, okidtest.Config{})
	_, err := fake.Begin("tok_v1_000000000000000000000000000000")
	require.ErrorIs(t, err, okidtest.ErrNotFound)
	require.ErrorIs(t, fake.Complete("ver_0", okidtest.Passport(noon)), okidtest.ErrNotFound)
	require.ErrorIs(t, fake.Fail("ver_0"), okidtest.ErrNotFound)
	require.ErrorIs(t, fake.Expire(""), okidtest.ErrNotFound)
	require.ErrorIs(t, fake.Deliver("ver_0", okid.EventStarted), okidtest.ErrNotFound)
}

// The signature is computed here without the package's help.
func TestSigning(t *testing.T) {
	const secret = "a secret of the host's, 32 bytes"
	const seconds, millis, rfc3339 = "1751284800", "1751284800000", "2025-06-30T12:00:00Z"
	tests := []struct {
		name      string
		signing   okidtest.Signing
		timestamp string
		prefix    string
		encode    func([]byte) string
	}{
		{"default", okidtest.Signing{}, seconds, "", hex.EncodeToString},
		{"millis", okidtest.Signing{Timestamp: okidtest.UnixMillis}, millis, "", hex.EncodeToString},
		{"rfc3339", okidtest.Signing{Timestamp: okidtest.RFC3339}, rfc3339, "", hex.EncodeToString},
		{"base64", okidtest.Signing{Encoding: okidtest.Base64}, seconds, "", base64.StdEncoding.EncodeToString},
		{"timestamp.body", okidtest.Signing{Content: okidtest.TimestampDotBody}, seconds, seconds + ".", hex.EncodeToString},
		{"timestampbody", okidtest.Signing{Content: okidtest.TimestampBody}, seconds, seconds, hex.EncodeToString},
		{"all else", okidtest.Signing{Content: okidtest.TimestampDotBody, Encoding: okidtest.Base64, Timestamp: okidtest.RFC3339},
			rfc3339, rfc3339 + ".", base64.StdEncoding.EncodeToString},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := listen(t)
			fake := start(t, okidtest.Config{WebhookSecret: secret, Signing: tt.signing})
			require.NoError(t, fake.Complete(begin(t, fake, h.URL), okidtest.IDCard(noon)))
			wait(t, fake)
			require.Len(t, h.bodies, 2)
			for i, body := range h.bodies {
				mac := hmac.New(sha256.New, []byte(secret))
				mac.Write([]byte(tt.prefix + body))
				assert.Equal(t, tt.encode(mac.Sum(nil)), h.heads[i].Get("X-okID-Signature"))
				assert.Equal(t, tt.timestamp, h.heads[i].Get("X-okID-Timestamp"))
				assert.Equal(t, "application/json", h.heads[i].Get("Content-Type"))
			}
		})
	}
}

func TestNewWebhook(t *testing.T) {
	header, body := okidtest.NewWebhook("0123456789abcdef", noon, okid.WebhookBody{Event: okid.EventCompleted, Data: okidtest.Passport(noon)})
	mac := hmac.New(sha256.New, []byte("0123456789abcdef"))
	mac.Write(body)
	assert.Equal(t, hex.EncodeToString(mac.Sum(nil)), header.Get(okid.SignatureHeader))
	assert.Equal(t, "1751284800", header.Get(okid.TimestampHeader))
	assert.JSONEq(t, `{"event":"verification.completed","data":{"id":"ver_0a1b2c3d4e5f6g7h8i9j","status":"completed",
		"created_at":"2025-06-30T11:58:00Z","completed_at":"2025-06-30T12:00:00Z","document_type":"passport",
		"verification_details":{"first_name":"Jane","last_name":"Roe","document_number":"Z000001",
		"expiry_date":"2030-06-30","date_of_birth":"1990-02-03"}}}`, string(body))
}

func TestWebhookBodies(t *testing.T) {
	h := listen(t)
	c := &clock{now: noon}
	fake := start(t, okidtest.Config{Clock: c.Now})
	id := begin(t, fake, h.URL)
	c.Advance(time.Minute)
	require.NoError(t, fake.Complete(id, okidtest.IDCard(c.Now())))
	require.NoError(t, fake.Fail(id))
	require.NoError(t, fake.Expire(id))
	wait(t, fake)

	head := `"id":"` + id + `",`
	const created, metadata = `"created_at":"2025-06-30T12:00:00Z"`, `"metadata":{"reference":"r-1"}}}`
	assert.Equal(t, []string{
		`{"event":"verification.started","data":{` + head + `"status":"started",` + created + `,` + metadata,
		`{"event":"verification.completed","data":{` + head + `"status":"completed",` + created + `,"completed_at":"2025-06-30T12:01:00Z",` +
			`"document_type":"id-card","verification_details":{"first_name":"Jane","last_name":"Roe","document_number":"Z000001",` +
			`"expiry_date":"2030-06-30","date_of_birth":"1990-02-03"},` + metadata,
		`{"event":"verification.failed","data":{` + head + `"status":"failed",` + created + `,` + metadata,
		`{"event":"verification.expired","data":{` + head + `"status":"expired",` + created + `,` + metadata,
	}, h.bodies)
	for _, d := range fake.Deliveries() {
		assert.Equal(t, okidtest.Accepted, d.State)
		assert.Equal(t, id, d.ID)
		assert.Equal(t, h.URL, d.URL)
		require.Len(t, d.Tries, 1)
		assert.Equal(t, 200, d.Tries[0].Status)
		assert.NoError(t, d.Tries[0].Err)
	}
}

func TestDeliver(t *testing.T) {
	h := listen(t)
	c := &clock{now: noon}
	fake := start(t, okidtest.Config{Clock: c.Now})
	id := begin(t, fake, h.URL)
	require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
	c.Advance(time.Hour)
	require.NoError(t, fake.Deliver(id, okid.EventStarted))
	require.NoError(t, fake.Deliver(id, okid.EventFailed))
	wait(t, fake)
	require.Len(t, h.bodies, 4)
	assert.Equal(t, h.bodies[0], h.bodies[2], "a repeat is the same body")
	assert.Equal(t, "1751288400", h.heads[2].Get(okid.TimestampHeader), "timed anew")
	assert.Equal(t, strings.Replace(h.bodies[1], "verification.completed", "verification.failed", 1), h.bodies[3], "the record as it stands")
}

func TestCloseStopsEverything(t *testing.T) {
	asked := make(chan struct{})
	leave := make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-leave
	}))
	defer h.Close()
	defer close(leave)
	fake := start(t, okidtest.Config{RetryDelays: []time.Duration{time.Hour}})
	id := begin(t, fake, h.URL)
	require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
	<-asked

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, fake.Wait(ctx), context.Canceled)

	fake.Close()
	fake.Close()
	wait(t, fake)
	require.NoError(t, fake.Fail(id))
	for _, d := range fake.Deliveries() {
		assert.Equal(t, okidtest.Stopped, d.State)
	}
	assert.Len(t, fake.Deliveries(), 3)
	require.ErrorIs(t, fake.Start(), okidtest.ErrStarted)
	_, err := http.Get(fake.URL())
	require.Error(t, err)
}

func TestCloseWaitsForRequests(t *testing.T) {
	asked := make(chan struct{})
	var ended atomic.Bool
	fake := start(t, okidtest.Config{OnGenerate: func(ctx context.Context, _ string, _ okid.GenerateRequest) {
		close(asked)
		<-ctx.Done()
		for range 1000 {
			runtime.Gosched()
		}
		ended.Store(true)
	}})
	var wg sync.WaitGroup
	wg.Go(func() {
		r := httptest.NewRequest("POST", fake.URL()+"/v1/verification/generate", strings.NewReader(`{"metadata":{}}`))
		r.RequestURI = ""
		r.Header.Set(okid.KeyHeader, okidtest.DefaultAPIKey)
		r.Header.Set("Content-Type", "application/json")
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		_, err := client.Do(r)
		assert.Error(t, err)
	})
	<-asked
	fake.Close()
	assert.True(t, ended.Load())
	wg.Wait()
}

func TestStart(t *testing.T) {
	fake := start(t, okidtest.Config{})
	require.ErrorIs(t, fake.Start(), okidtest.ErrStarted)
	u, err := url.Parse(fake.URL())
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1", u.Hostname())
	assert.Equal(t, fake.URL()+"/sdk/okid.js", fake.SDKURL())

	other, err := okidtest.NewOKID(okidtest.Config{Addr: u.Host, PublicURL: "https://fake.example.com/okid/"})
	require.NoError(t, err)
	require.Error(t, other.Start(), "the port is taken")
	assert.Equal(t, "https://fake.example.com/okid", other.URL())
	assert.Equal(t, "https://fake.example.com/okid/flow?process_token=a%26b", other.FlowURL("a&b"))
}

func TestPrintsNoSecret(t *testing.T) {
	var log bytes.Buffer
	h := listen(t)
	fake := start(t, okidtest.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	token := generate(t, fake, h.URL)
	id, err := fake.Begin(token)
	require.NoError(t, err)
	require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
	wait(t, fake)
	fake.Close()
	printed := fmt.Sprintf("%v %+v %s", fake, fake, log.String())
	assert.Contains(t, printed, fake.URL())
	assert.Contains(t, printed, "webhook sent")
	for _, secret := range []string{okidtest.DefaultAPIKey, okidtest.DefaultWebhookSecret, token, "Jane", "1990"} {
		assert.NotContains(t, printed, secret)
	}
}

func TestConcurrentUse(t *testing.T) {
	h := listen(t)
	fake := start(t, okidtest.Config{Chaos: okidtest.Chaos{Copies: 1, Rewrite: true}})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			id := begin(t, fake, h.URL)
			assert.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
			assert.NoError(t, fake.SetChaos(okidtest.Chaos{Copies: 1}))
			assert.NoError(t, fake.Release())
			code, _ := call(t, "GET", fake.URL()+"/v1/verification/"+id, "")
			assert.Equal(t, 200, code)
			_ = fake.Deliveries()
			assert.NoError(t, fake.Wait(t.Context()))
		})
	}
	wg.Wait()
	assert.Len(t, h.events(t), 32*2*2)
	assert.Equal(t, 32, fake.GenerateCalls())
}

// errAway is what a host that is away looks like.
var errAway = errors.New("connection refused")
