package identitytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/okidkit/okidkit/identity"
)

// probe is one provider, and the server that the suite is for it.
type probe struct {
	t       reporter
	harness Harness
	p       identity.Provider

	mu     sync.Mutex
	asked  []*http.Request
	answer func(r *http.Request) (Answer, error) // what the server says next
}

func newProbe(t reporter, h Harness) *probe {
	t.Helper()
	p := &probe{t: t, harness: h}
	p.answer = func(*http.Request) (Answer, error) { return Answer{Status: http.StatusTeapot}, nil }
	provider, err := h.New(&http.Client{Transport: p})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	p.p = provider
	return p
}

// RoundTrip is the server.
func (p *probe) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
		_, _ = io.Copy(io.Discard, r.Body)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if p.harness.Other != nil {
		if a, ok := p.harness.Other(r); ok {
			return a.response(r), nil
		}
	}
	p.mu.Lock()
	p.asked = append(p.asked, r)
	answer := p.answer
	p.mu.Unlock()
	a, err := answer(r)
	if err != nil {
		return nil, err
	}
	return a.response(r), nil
}

func (a Answer) response(r *http.Request) *http.Response {
	h := a.Header
	if h == nil {
		h = http.Header{"Content-Type": {"application/json"}}
	}
	return &http.Response{
		StatusCode: a.Status, Header: h, Body: io.NopCloser(strings.NewReader(a.Body)), Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}
}

// says lets the server answer like this from now on.
func (p *probe) says(a Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.asked = func(*http.Request) (Answer, error) { return a, nil }, nil
}

// breaks lets every exchange end with an error from now on.
func (p *probe) breaks(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.asked = func(*http.Request) (Answer, error) { return Answer{}, err }, nil
}

// hangs lets the server answer nothing until the caller has gone away.
func (p *probe) hangs() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = func(r *http.Request) (Answer, error) { <-r.Context().Done(); return Answer{}, r.Context().Err() }
	p.asked = nil
}

func (p *probe) requests() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *probe) start(ctx context.Context) (identity.Session, error) {
	return p.p.Start(ctx, identity.StartRequest{
		Reference: Reference, Metadata: map[string]string{"plan": "gold"}, CallbackURL: "https://app.example/verify/webhook",
		SuccessURL: "https://app.example/verify/success?attempt=" + Reference, ErrorURL: "https://app.example/verify/error?attempt=" + Reference,
	})
}

// clean fails if a text has a secret in it.
func (p *probe) clean(what, text string) {
	p.t.Helper()
	for _, secret := range p.harness.Secrets {
		for _, form := range []string{secret, url.QueryEscape(secret)} {
			if strings.Contains(text, form) {
				p.t.Fatalf("%s has a secret in it", what)
			}
		}
	}
}

// wrapped fails if an error is not one of these, or has a secret in it.
func (p *probe) wrapped(what string, err error, any ...error) {
	p.t.Helper()
	if err == nil {
		p.t.Fatalf("%s: there is no error", what)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		p.clean("the error of "+what, fmt.Sprintf(verb, err))
	}
	for _, want := range any {
		if errors.Is(err, want) {
			return
		}
	}
	p.t.Fatalf("%s: the error %q is none of %v", what, err, any)
}
