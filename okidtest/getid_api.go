package okidtest

import (
	"bytes"
	"context"
	"crypto/subtle"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Requests returns what was asked of the result API and of the key set so far,
// refused and failed requests included, in the order in which they came. They
// are copies without a body.
func (g *GetID) Requests() []*http.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}

// FailResults lets h answer the next n calls to the result API, after those that
// wait to fail already. [GetIDStatus], [TooManyRequests], [Answer], [Huge], [Hang],
// [Garbage] and [http.RedirectHandler] are ready-made; the context ends when the caller goes
// away, and at Close.
func (g *GetID) FailResults(n int, h http.Handler) { g.results.fail(n, h) }

// FailJWKS does the same for the key set.
func (g *GetID) FailJWKS(n int, h http.Handler) { g.jwks.fail(n, h) }

// EditJWKS lets edit change each key of the set before it is told, from now on, as if
// its publisher had other habits. A member that is nil is told as null. Nil: the keys
// are told as they are. It must be safe for concurrent use.
func (g *GetID) EditJWKS(edit func(jwk map[string]any)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.editJWK = edit
}

// GetIDStatus answers with this status and the JSON error body of GetID.
func GetIDStatus(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeNestError(w, code, http.StatusText(code), "")
	})
}

// Answer answers 200 with this body, such as the HTML of somebody's maintenance
// page.
func Answer(contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	})
}

// Huge answers 200 with an empty JSON object that has a gibibyte of white space
// in it. It returns when the caller goes away.
func Huge() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{")
		space := bytes.Repeat([]byte{' '}, 32<<10)
		for range 1 << 30 / len(space) {
			if _, err := w.Write(space); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "}")
	})
}

// api is what the result API and the key set have in common.
func (g *GetID) api(e *endpoint, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.keep(r)
		fault := e.call()
		g.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "call",
			slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Bool("fault", fault != nil))
		if g.cfg.Delay > 0 {
			timer := time.NewTimer(g.cfg.Delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler) // returning would answer 200
			}
		}
		if fault != nil {
			fault.ServeHTTP(w, r)
		} else {
			serve(w, r)
		}
	}
}

// keep keeps a request for [GetID.Requests].
func (g *GetID) keep(r *http.Request) {
	kept := r.Clone(context.Background())
	kept.Body = http.NoBody
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = append(g.requests, kept)
}

func (g *GetID) serveResult(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(g.cfg.KeyHeader)), []byte(g.cfg.APIKey)) == 0 {
		writeNestError(w, http.StatusForbidden, "Forbidden resource", "Forbidden")
		return
	}
	id := r.PathValue("id")
	g.mu.Lock()
	a := g.applications[id]
	var data object
	done := false
	if a != nil {
		data, done = a.data(), a.done()
		if a.polls > 0 {
			a.polls--
		}
	}
	g.mu.Unlock()
	if a == nil {
		writeNoRoute(w, r)
		return
	}
	signed, err := g.sign(id, Token{})
	if err != nil {
		panic("okidtest: cannot happen, all of it is strings: " + err.Error())
	}
	code := http.StatusOK
	if g.cfg.Accepted && !done {
		code = http.StatusAccepted
	}
	writeJSON(w, code, object{"data": data, "signed": signed})
}

func (g *GetID) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	keys := make([]object, len(g.keys))
	for i, k := range g.keys {
		keys[i] = k.jwk()
	}
	edit := g.editJWK
	g.mu.Unlock()
	if edit != nil {
		for _, k := range keys {
			edit(k)
		}
	}
	writeJSON(w, http.StatusOK, object{"keys": keys})
}

// writeNoRoute is what GetID answers where there is nothing.
func writeNoRoute(w http.ResponseWriter, r *http.Request) {
	writeNestError(w, http.StatusNotFound, "Cannot "+r.Method+" "+r.URL.Path, "Not Found")
}

// writeNestError writes an error in the shape of NestJS, which the messages of
// GetID's documentation are those of.
func writeNestError(w http.ResponseWriter, code int, message, name string) {
	body := object{"statusCode": code, "message": message}
	if name != "" {
		body["error"] = name
	}
	writeJSON(w, code, body)
}
