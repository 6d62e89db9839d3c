package okidtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/okidkit/okidkit/okid"
)

// maxBody is the most that is read of any request or answer, in bytes.
const maxBody = 64 << 10

// endpoint is one route of a server API.
type endpoint struct {
	mu     sync.Mutex
	calls  int
	faults []http.Handler // they answer the next calls
}

// fail lets h answer n calls, after those that wait to fail already.
func (e *endpoint) fail(n int, h http.Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range n {
		e.faults = append(e.faults, h)
	}
}

// call counts a call and returns the fault that is to answer it, or nil.
func (e *endpoint) call() http.Handler {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	if len(e.faults) == 0 {
		return nil
	}
	h := e.faults[0]
	e.faults = e.faults[1:]
	return h
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls
}

// GenerateCalls counts the calls to POST /v1/verification/generate, refused and
// failed ones included.
func (o *OKID) GenerateCalls() int { return o.generate.count() }

// FetchCalls counts the calls to GET /v1/verification/{id}, refused and failed
// ones included.
func (o *OKID) FetchCalls() int { return o.fetch.count() }

// FailGenerate lets h answer the next n generate calls, after those that wait
// to fail already. [Status], [TooManyRequests], [Answer], [Hang], [Garbage] and
// [http.RedirectHandler] are ready-made; the body has been read, so the context ends when the caller goes
// away, and at Close.
func (o *OKID) FailGenerate(n int, h http.Handler) { o.generate.fail(n, h) }

// FailFetch does the same for GET /v1/verification/{id}.
func (o *OKID) FailFetch(n int, h http.Handler) { o.fetch.fail(n, h) }

// Status answers with this status and the JSON error body of the fake.
func Status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, code, http.StatusText(code))
	})
}

// TooManyRequests answers 429 and, unless it is 0, how many seconds to wait.
func TooManyRequests(seconds int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if seconds != 0 {
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
		}
		writeError(w, http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests))
	})
}

// Hang never answers. It returns when the caller goes away.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		// Returning would answer 200.
		panic(http.ErrAbortHandler)
	})
}

// Garbage answers 200 with a body that claims to be JSON and breaks off.
func Garbage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"process_token":"tok_v1_`+"\x00\xff")
	})
}

// api is what the routes of a server API have in common.
type api struct {
	keyHeader, key string
	log            *slog.Logger
	closing        context.Context // ends at Close
	// fail writes an error in the provider's form.
	fail func(w http.ResponseWriter, code int, text string)
}

// route serves one route, and lets the faults of e go first.
func (a api) route(e *endpoint, method string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fault := e.call()
		a.log.LogAttrs(r.Context(), slog.LevelInfo, "call",
			slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Bool("fault", fault != nil))

		// net/http notices that the caller went away only when the body is read.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			code := http.StatusBadRequest
			if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
				code = http.StatusRequestEntityTooLarge
			}
			a.fail(w, code, "body cannot be read")
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(a.closing, cancel)()
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(bytes.NewReader(body))

		switch {
		case fault != nil:
			fault.ServeHTTP(w, r)
		case r.Method != method:
			w.Header().Set("Allow", method)
			a.fail(w, http.StatusMethodNotAllowed, "method must be "+method)
		case subtle.ConstantTimeCompare([]byte(r.Header.Get(a.keyHeader)), []byte(a.key)) == 0:
			a.fail(w, http.StatusUnauthorized, "API key is missing or wrong")
		default:
			serve(w, r)
		}
	}
}

func (o *OKID) serveGenerate(w http.ResponseWriter, r *http.Request) {
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
		writeError(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeError(w, http.StatusBadRequest, "body cannot be read")
		return
	}
	var request struct {
		okid.GenerateRequest
		Metadata json.RawMessage `json:"metadata"` // echoed as it came, whatever the types of its members
	}
	var members map[string]any
	if json.Unmarshal(body, &request) != nil {
		writeError(w, http.StatusBadRequest, "body is not the documented JSON")
		return
	}
	if json.Unmarshal(request.Metadata, &members) != nil || members == nil {
		writeError(w, http.StatusBadRequest, "metadata must be an object")
		return
	}
	for _, u := range []string{request.CallbackURL, request.SuccessURL, request.ErrorURL} {
		if u != "" && !isWebURL(u) {
			writeError(w, http.StatusBadRequest, "callback_url, success_url and error_url must be http(s) URLs")
			return
		}
	}

	v := &verification{
		token:    newToken(),
		expires:  o.cfg.Clock().Add(o.cfg.TokenTTL),
		urls:     request.GenerateRequest,
		metadata: request.Metadata,
		sent:     make(map[string][]byte),
	}
	o.mu.Lock()
	o.byToken[v.token] = v
	o.mu.Unlock()

	if o.cfg.OnGenerate != nil {
		seen := request.GenerateRequest
		seen.Metadata = make(map[string]string)
		for name, value := range members {
			if s, ok := value.(string); ok {
				seen.Metadata[name] = s
			}
		}
		o.cfg.OnGenerate(r.Context(), v.token, seen)
	}
	writeJSON(w, http.StatusOK, okid.GenerateResponse{ProcessToken: v.token, ExpiresAt: wireTime(v.expires)})
}

func (o *OKID) serveFetch(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	v := o.byID[r.PathValue("id")]
	var body record
	if v != nil {
		body = v.record
	}
	o.mu.Unlock()
	if v == nil {
		writeError(w, http.StatusNotFound, "no such verification")
		return
	}
	writeJSON(w, http.StatusOK, body)
}

// newToken makes a process token: tok_v1_ and 30 hex digits.
func newToken() string {
	b := make([]byte, 15)
	_, _ = rand.Read(b) // never fails
	return "tok_v1_" + hex.EncodeToString(b)
}

func wireTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// writeError writes an error in a shape of our own: okID documents none.
func writeError(w http.ResponseWriter, code int, text string) {
	writeJSON(w, code, map[string]string{"error": text})
}
