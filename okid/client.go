package okid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/apiclient"
	"github.com/okidkit/okidkit/internal/strictjson"
)

const (
	// maxAnswer is the length of the longest answer that is read, in bytes.
	maxAnswer = 1 << 20
	// maxToken is the length of the longest process token. Those that okID shows
	// have 37 characters.
	maxToken = identity.MaxText
)

// Start asks okID for a process token, with POST /v1/verification/generate. The
// reference is sent as metadata.reference, beside r.Metadata.
//
// A request that okID could not echo unharmed is [identity.ErrMalformed], and is
// not sent: one with an empty reference, with text that is not valid UTF-8, or
// with two keys of metadata, "reference" among them, that are the same but for
// letter case. Other errors are as [identity.Provider] says. Only a request that
// surely was not processed is repeated, and not after an answer that asks for more
// than two seconds of pause.
//
// A session that okID gives without a time at which it expires, or with one that
// cannot be read, is taken to last [DefaultSessionTime].
func (p *Provider) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	body, err := generateBody(r)
	if err != nil {
		return identity.Session{}, fmt.Errorf("okid: %w: %w", identity.ErrMalformed, err)
	}
	answer, err := p.call(ctx, http.MethodPost, "/v1/verification/generate", body)
	if err != nil {
		return identity.Session{}, err
	}
	session, err := strictjson.Read(answer, sessionShape, readSession)
	if err != nil {
		return identity.Session{}, fmt.Errorf("okid: %w: %w: %w", identity.ErrRefused, identity.ErrUncertain, err)
	}
	if session.ExpiresAt.IsZero() {
		session.ExpiresAt = p.now().Add(DefaultSessionTime)
	}
	return session, nil
}

func generateBody(r identity.StartRequest) ([]byte, error) {
	if r.Reference == "" {
		return nil, errors.New("reference is empty")
	}
	if _, ok := r.Metadata[MetadataReference]; ok {
		return nil, errors.New("metadata has a member named reference, too")
	}
	metadata := map[string]string{MetadataReference: r.Reference}
	maps.Copy(metadata, r.Metadata)
	valid := utf8.ValidString(r.CallbackURL) && utf8.ValidString(r.SuccessURL) && utf8.ValidString(r.ErrorURL)
	for key, value := range metadata {
		valid = valid && utf8.ValidString(key) && utf8.ValidString(value)
	}
	if !valid {
		return nil, errors.New("request is not valid UTF-8") // encoding/json would replace what is not
	}
	body, err := json.Marshal(GenerateRequest{
		Metadata:    metadata,
		CallbackURL: r.CallbackURL,
		SuccessURL:  r.SuccessURL,
		ErrorURL:    r.ErrorURL,
	})
	if err != nil {
		return nil, err
	}
	// The metadata comes back in webhooks, where it is read strictly.
	return strictjson.Read(body, generateShape, func(*strictjson.Value) ([]byte, error) { return body, nil })
}

// readSession reads a [GenerateResponse]. The session's ExpiresAt is zero if it
// cannot be read: that is no reason to lose the token.
func readSession(root *strictjson.Value) (identity.Session, error) {
	token := text(root.Get("process_token"))
	unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, unprintable) {
		return identity.Session{}, fmt.Errorf("process_token is not 1 to %d printable characters", maxToken)
	}
	return identity.Session{Token: token, ExpiresAt: instant(root.Get("expires_at"))}, nil
}

// Fetch asks okID how a verification stands, with one GET /v1/verification/{id}. An
// id that is not 1 to 128 letters, digits, "-" and "_" is
// [identity.ErrMalformed], and is not asked for. Other errors are as
// [identity.Provider] says; an answer about another verification, and one that
// [Provider.VerifyWebhook] would call malformed, is [identity.ErrRefused].
//
// The status is that of data.status alone, and empty for an unknown word. Of the
// words, okID documents "completed" only; the others are inferred from the names
// of its events.
func (p *Provider) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	if !validID(id) {
		return identity.Notice{}, fmt.Errorf("okid: %w: %w", identity.ErrMalformed, errID)
	}
	answer, err := p.call(ctx, http.MethodGet, "/v1/verification/"+id, nil)
	if err != nil {
		return identity.Notice{}, err
	}
	notice, err := strictjson.Read(answer, verificationShape, readFetched)
	if err == nil && notice.Verification.ID != id {
		err = errors.New("answer is about another verification")
	}
	if err != nil {
		return identity.Notice{}, fmt.Errorf("okid: %w: %w", identity.ErrRefused, err)
	}
	return notice, nil
}

// call asks the server API, and returns the body of the answer if it is a success.
func (p *Provider) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	do := apiclient.Do
	if method == http.MethodGet {
		do = apiclient.DoOnce // one question is one request
	}
	answer, err := do(ctx, p.transport, apiclient.Request{
		Method:    method,
		URL:       p.apiURL.String() + path,
		Body:      body,
		Authorize: p.authorize,
		MaxAnswer: maxAnswer,
		Now:       p.now,
	})
	if err != nil {
		return nil, exchangeError(method, err)
	}
	return answer.Body, statusError(method, answer)
}

// exchangeError is what an error of [apiclient.Do] means.
func exchangeError(method string, err error) error {
	why := identity.ErrUnavailable
	if errors.Is(err, apiclient.ErrTooLong) {
		why = identity.ErrRefused
	}
	processed := !errors.Is(err, apiclient.ErrUnsent)
	err = fmt.Errorf("okid: %w: %w", why, err)
	if processed && method == http.MethodPost {
		return uncertain(err)
	}
	return err
}

// statusError is nil for a success. It never quotes the body, which may hold
// anything.
func statusError(method string, a apiclient.Answer) error {
	status, why := a.Status, identity.ErrRefused
	processed := false // whether a POST may have been carried out
	switch {
	case status == http.StatusOK, status == http.StatusCreated && method == http.MethodPost:
		return nil
	case status == http.StatusNotFound && method == http.MethodGet:
		why = identity.ErrNotFound
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && a.RetryAfter > 0:
		why = &identity.RateLimitError{RetryAfter: a.RetryAfter}
	case status == http.StatusServiceUnavailable:
		why = identity.ErrUnavailable
	case status >= 500:
		why, processed = identity.ErrUnavailable, true
	case status < 300:
		processed = true
	}
	err := fmt.Errorf("okid: %w: HTTP %d", why, status)
	if processed && method == http.MethodPost {
		return uncertain(err)
	}
	return err
}

func uncertain(err error) error { return fmt.Errorf("%w: %w", err, identity.ErrUncertain) }
