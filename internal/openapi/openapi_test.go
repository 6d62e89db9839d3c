// Package openapi compares docs/openapi.yaml with the handlers, both ways. It is a module of its own
// so that the validator stays out of the kit's.
package openapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/store"
)

// brokenStore fails when told to.
type brokenStore struct {
	store.Store
	broken bool
}

func (s *brokenStore) Get(ctx context.Context, key string) (store.Record, error) {
	if s.broken {
		return store.Record{}, context.DeadlineExceeded
	}
	return s.Store.Get(ctx, key)
}

// checker sends requests to a kit, and compares them and their answers with the document.
type checker struct {
	t         *testing.T
	kit       *okidhttp.Kit
	validator validator.Validator
	seen      map[string]bool // "POST /start 201"
}

// does sends a request, which must be answered as the document allows.
func (c *checker) does(user, method, target, body string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	request := func() *http.Request {
		r := httptest.NewRequest(method, "https://app.example.com/verify"+target, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		if user != "" {
			r.Header.Set("Test-User", user)
		}
		return r
	}
	rec := httptest.NewRecorder()
	c.kit.ServeHTTP(rec, request())
	path, _, _ := strings.Cut(target, "?")
	c.seen[strings.Join([]string{method, path, http.StatusText(rec.Code)}, " ")] = true
	if method == http.MethodGet || method == http.MethodPost {
		valid, errs := c.validator.ValidateHttpResponse(request(), rec.Result())
		if !valid {
			for _, err := range errs {
				c.t.Errorf("%s %s: %d: %s: %s", method, target, rec.Code, err.Message, err.Reason)
				for _, schema := range err.SchemaValidationErrors {
					c.t.Errorf("  %s", schema.Reason)
				}
			}
		}
	}
	return rec
}

func TestDocument(t *testing.T) {
	file, err := os.ReadFile("../../docs/openapi.yaml")
	require.NoError(t, err)
	document, err := libopenapi.NewDocument(file)
	require.NoError(t, err)
	assert.Equal(t, "3.1.0", document.GetVersion())
	v, errs := validator.NewValidator(document)
	require.Empty(t, errs)
	valid, problems := v.ValidateDocument()
	assert.True(t, valid, "%v", problems)
	model, err := document.BuildV3Model()
	require.NoError(t, err)

	fake, err := okidtest.NewOKID(okidtest.Config{HTTPClient: &http.Client{Transport: nowhere{}}, RetryDelays: []time.Duration{}})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	defer fake.Close()
	first, err := okid.New(fake.ProviderConfig())
	require.NoError(t, err)
	second, err := getid.New(getid.Config{APIKey: okidtest.DefaultGetIDKey, BaseURL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	records := &brokenStore{Store: memstore.New()}
	kit, err := okidhttp.New(okidhttp.Config{
		Providers:  []identity.Provider{first, second},
		Store:      records,
		PublicURL:  "https://app.example.com/verify",
		Keys:       [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject:    func(r *http.Request) (string, error) { return r.Header.Get("Test-User"), nil },
		StartLimit: okidhttp.AtMost(2, time.Hour),
		Logger:     slog.New(slog.DiscardHandler),
		Decide: func(_ context.Context, e okidhttp.Event) error {
			if e.Subject == "carl" {
				return okidhttp.Refuse("too_young").Final()
			}
			return nil
		},
	})
	require.NoError(t, err)
	c := &checker{t: t, kit: kit, validator: v, seen: map[string]bool{}}

	json := []string{"Accept", "application/json"}
	html := []string{"Accept", "text/html"}
	webhook := func(reference, event, status string) int {
		body := okidtest.Passport(time.Now())
		body.Status, body.Metadata = status, map[string]string{okid.MetadataReference: reference}
		h, b := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, time.Now(), okid.WebhookBody{Event: event, Data: body})
		return c.does("", "POST", "/webhook", string(b), "Content-Type", "application/json",
			okid.SignatureHeader, h.Get(okid.SignatureHeader), okid.TimestampHeader, h.Get(okid.TimestampHeader)).Code
	}
	start := func(user string) string {
		rec := c.does(user, "POST", "/start", "", json...)
		_, rest, _ := strings.Cut(rec.Body.String(), `"attempt":"`)
		reference, _, _ := strings.Cut(rest, `"`)
		return url.QueryEscape(reference)
	}

	// start
	assert.Equal(t, 401, c.does("", "POST", "/start", "", json...).Code)
	a := start("alice")
	require.NotEmpty(t, a)
	assert.Equal(t, 200, c.does("alice", "POST", "/start", `{"return_to":"/x","renew":true}`, "Content-Type", "application/json", "Accept", "application/json").Code)
	assert.Equal(t, 303, c.does("alice", "POST", "/start", "return_to=/x", "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html").Code)
	assert.Equal(t, 303, c.does("alice", "GET", "/start", "", html...).Code)
	assert.Equal(t, 405, c.does("alice", "GET", "/start", "", json...).Code)
	assert.Equal(t, 400, c.does("alice", "POST", "/start", `{"return_to":1}`, "Content-Type", "application/json").Code)
	assert.Equal(t, 403, c.does("alice", "POST", "/start", "", "Sec-Fetch-Site", "cross-site").Code)
	assert.Equal(t, 404, c.does("alice", "POST", "/start?provider=none", "", json...).Code)
	assert.Equal(t, 201, c.does("gia", "POST", "/start?provider=getid", "", json...).Code)

	// page, status, success and error
	for _, headers := range [][]string{json, html} {
		c.does("alice", "GET", "/page", "", headers...)
		c.does("alice", "GET", "/page?attempt="+a, "", headers...)
		c.does("alice", "GET", "/page?attempt=x", "", headers...)
		c.does("", "GET", "/page", "", headers...)
		c.does("alice", "GET", "/success?attempt="+a, "", headers...)
		c.does("alice", "GET", "/error?attempt=x", "", headers...)
		c.does("alice", "GET", "/status?attempt="+a, "", headers...)
		c.does("bob", "GET", "/status?attempt="+a, "", headers...)
	}
	tag := c.does("alice", "GET", "/status?attempt="+a, "").Header().Get("ETag")
	assert.Equal(t, 304, c.does("alice", "GET", "/status?attempt="+a, "", "If-None-Match", tag).Code)

	// webhook
	assert.Equal(t, 401, c.does("", "POST", "/webhook", "{}", "Content-Type", "application/json").Code)
	reference, err := url.QueryUnescape(a)
	require.NoError(t, err)
	assert.Equal(t, 200, webhook(reference, okid.EventStarted, okid.StatusStarted))
	assert.Equal(t, 200, webhook(reference, okid.EventCompleted, okid.StatusCompleted))
	assert.Equal(t, 200, webhook("unknown", okid.EventCompleted, okid.StatusCompleted))
	assert.Equal(t, 413, c.does("", "POST", "/webhook", strings.Repeat("x", 300<<10), "Content-Type", "application/json").Code)
	assert.Equal(t, 415, c.does("", "POST", "/webhook", "{}", "Content-Type", "application/json", "Content-Encoding", "gzip").Code)

	// what has become of it
	assert.Equal(t, 200, c.does("alice", "GET", "/status?attempt="+a, "").Code)
	assert.Equal(t, 204, c.does("alice", "GET", "/status?attempt="+a, "", "Accept", "text/event-stream", "Last-Event-ID",
		strings.Trim(c.does("alice", "GET", "/status?attempt="+a, "").Header().Get("ETag"), `W/"`)).Code)
	assert.Equal(t, 303, c.does("alice", "GET", "/success?attempt="+a, "", html...).Code)
	assert.Equal(t, 409, c.does("alice", "POST", "/start", "", json...).Code)
	refused, err := url.QueryUnescape(start("carl"))
	require.NoError(t, err)
	assert.Equal(t, 200, webhook(refused, okid.EventCompleted, okid.StatusCompleted))
	assert.Equal(t, 403, c.does("carl", "POST", "/start", "", json...).Code)
	assert.Equal(t, 200, c.does("carl", "GET", "/status?attempt="+url.QueryEscape(refused), "").Code)
	for range 2 {
		failed, err := url.QueryUnescape(start("dora"))
		require.NoError(t, err)
		assert.Equal(t, 200, webhook(failed, okid.EventFailed, okid.StatusFailed))
	}
	assert.Equal(t, 429, c.does("dora", "POST", "/start", "", json...).Code)

	// claim
	assert.Equal(t, 401, c.does("", "POST", "/claim", "{}", "Content-Type", "application/json").Code)
	c.does("gia", "POST", "/claim", "{}", "Content-Type", "application/json")
	c.does("gia", "POST", "/claim", "{", "Content-Type", "application/json")
	assert.Equal(t, 403, c.does("gia", "POST", "/claim", "{}", "Content-Type", "application/json", "Sec-Fetch-Site", "cross-site").Code)
	assert.Equal(t, 404, c.does("gia", "POST", "/claim?provider=okid", "{}", "Content-Type", "application/json").Code)

	// the client module
	for _, target := range []string{"/client.js", "/client.d.ts"} {
		tag := c.does("", "GET", target, "").Header().Get("ETag")
		assert.Equal(t, 304, c.does("", "GET", target, "", "If-None-Match", tag).Code)
	}

	// the store is away
	records.broken = true
	for _, target := range []string{"/page", "/success?attempt=" + a, "/error?attempt=" + a, "/status?attempt=" + a} {
		assert.Equal(t, 503, c.does("alice", "GET", target, "").Code, target)
	}
	assert.Equal(t, 503, c.does("alice", "POST", "/start", "", json...).Code)
	assert.Equal(t, 503, webhook(reference, okid.EventFailed, okid.StatusFailed))

	// Every route and method of the document was asked for, and no other route is served.
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			answered := slices.ContainsFunc(slices.Collect(maps.Keys(c.seen)), func(s string) bool {
				return strings.HasPrefix(s, strings.ToUpper(method)+" "+path+" ")
			})
			assert.True(t, answered, "%s %s", method, path)
			assert.NotEmpty(t, operation.OperationId)
		}
		for _, method := range []string{"PUT", "DELETE", "PATCH"} {
			rec := httptest.NewRecorder()
			kit.ServeHTTP(rec, httptest.NewRequest(method, "/verify"+path, nil))
			assert.Equal(t, 405, rec.Code, "%s %s", method, path)
		}
	}
	for _, other := range []string{"/", "/health", "/start/x", "/claims"} {
		rec := httptest.NewRecorder()
		kit.ServeHTTP(rec, httptest.NewRequest("PUT", "/verify"+other, nil))
		assert.Contains(t, []int{404, 405}, rec.Code, other)
	}
}

// nowhere is where the fake's own webhooks go.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, context.Canceled }
