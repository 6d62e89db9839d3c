package okid

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
)

const (
	// maxRetries is how often a call is repeated.
	maxRetries = 2
	// firstDelay is the pause before the first repetition; the second is longer.
	firstDelay = 200 * time.Millisecond
	// maxRetryAfter is how long we let okID make us wait. If it asks for more,
	// the call fails: the user is waiting, too.
	maxRetryAfter = 2 * time.Second

	// maxAnswer is the length of the longest answer that is read, in bytes.
	maxAnswer = 1 << 20
	// maxToken is the length of the longest process token. Those that okID shows
	// have 37 characters.
	maxToken = 1024
)

// Start asks okID for a process token, with POST /v1/verification/generate. The
// reference is sent as metadata.reference, beside r.Metadata.
//
// A request that okID could not echo unharmed is [identity.ErrMalformed], and is
// not sent: one with an empty reference, with text that is not valid UTF-8, or
// with two keys of metadata, "reference" among them, that are the same but for
// letter case. Other errors are as [identity.Provider] says. Only a request that
// surely was not processed is repeated.
func (p *Provider) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	body, err := generateBody(r)
	if err != nil {
		return identity.Session{}, fmt.Errorf("okid: %w: %w", identity.ErrMalformed, err)
	}
	answer, err := p.call(ctx, http.MethodPost, "/v1/verification/generate", body)
	if err != nil {
		return identity.Session{}, err
	}
	session, err := strictjson.Read(answer, readSession)
	if err != nil {
		return identity.Session{}, fmt.Errorf("okid: %w: %w: %w", identity.ErrRefused, identity.ErrUncertain, err)
	}
	return session, nil
}

func generateBody(r identity.StartRequest) ([]byte, error) {
	if r.Reference == "" {
		return nil, errors.New("reference is empty")
	}
	metadata := map[string]string{MetadataReference: r.Reference}
	for key, value := range r.Metadata {
		if key == MetadataReference {
			return nil, errors.New("metadata has a member named reference, too")
		}
		metadata[key] = value
	}
	body, err := json.Marshal(GenerateRequest{
		Metadata:    metadata,
		CallbackURL: r.CallbackURL,
		SuccessURL:  r.SuccessURL,
		ErrorURL:    r.ErrorURL,
	}, json.Deterministic(true))
	if err != nil {
		return nil, errors.New("request is not valid UTF-8") // the library's text could quote it
	}
	// The metadata comes back in webhooks, where it is read strictly.
	return strictjson.Read(body, func(*strictjson.Value) ([]byte, error) { return body, nil })
}

// readSession reads a [GenerateResponse].
func readSession(root *strictjson.Value) (identity.Session, error) {
	token := text(root.Get("process_token"))
	unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, unprintable) {
		return identity.Session{}, fmt.Errorf("process_token is not 1 to %d printable characters", maxToken)
	}
	expiresAt := instant(root.Get("expires_at"))
	if expiresAt.IsZero() {
		return identity.Session{}, errors.New("expires_at is not RFC 3339")
	}
	return identity.Session{Token: token, ExpiresAt: expiresAt}, nil
}

// Fetch asks okID how a verification stands, with GET /v1/verification/{id}. An
// id that is not 1 to 128 letters, digits, "-" and "_" is
// [identity.ErrMalformed], and is not asked for. Other errors are as
// [identity.Provider] says; an answer about another verification is
// [identity.ErrRefused].
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
	notice, err := strictjson.Read(answer, readFetched)
	if err == nil && notice.Verification.ID != id {
		err = errors.New("answer is about another verification")
	}
	if err != nil {
		return identity.Notice{}, fmt.Errorf("okid: %w: %w", identity.ErrRefused, err)
	}
	return notice, nil
}

// call does one exchange with the server API, with its repetitions, and returns
// the body of the answer if it is a success.
func (p *Provider) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	for try := 0; ; try++ {
		answer, retry, err := p.send(ctx, method, path, body)
		if err == nil || !retry.worth || try == maxRetries {
			return answer, err
		}
		delay := max(jitter(firstDelay<<try), retry.after)
		if delay > maxRetryAfter {
			return nil, err
		}
		if ended := wait(ctx, delay); ended != nil {
			return nil, fmt.Errorf("%w; %w", err, ended)
		}
	}
}

// retry says whether a failed call is worth repeating, and how long to wait at
// least.
type retry struct {
	worth bool
	after time.Duration
}

// send does one exchange. Its transport is called directly, not through an
// http.Client: a client would take the API key along when it follows a redirect.
func (p *Provider) send(ctx context.Context, method, path string, body []byte) ([]byte, retry, error) {
	if err := ctx.Err(); err != nil {
		return nil, retry{}, fmt.Errorf("okid: %w: %w", identity.ErrUnavailable, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.apiURL.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, retry{}, fmt.Errorf("okid: %w: request cannot be made", identity.ErrRefused)
	}
	p.authorize(req)
	req.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}

	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		unsent := isDialError(err)
		err = fmt.Errorf("okid: %w: %w", identity.ErrUnavailable, cause(ctx, err))
		if method == http.MethodPost && !unsent {
			err = uncertain(err)
		}
		return nil, retry{worth: unsent}, err
	}
	defer resp.Body.Close()

	if err := statusError(method, resp.StatusCode); err != nil {
		return nil, retry{worthRepeating(method, resp.StatusCode), retryAfter(resp.Header)}, err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		err = fmt.Errorf("okid: %w: %w", identity.ErrUnavailable, cause(ctx, err))
	case len(answer) > maxAnswer:
		err = fmt.Errorf("okid: %w: answer is longer than %d bytes", identity.ErrRefused, maxAnswer)
	default:
		return answer, retry{}, nil
	}
	if method == http.MethodPost {
		err = uncertain(err)
	}
	return nil, retry{}, err
}

// statusError is nil for a success. It never quotes the body, which may hold
// anything.
func statusError(method string, status int) error {
	why := identity.ErrRefused
	processed := false // whether a POST may have been carried out
	switch {
	case status == http.StatusOK, status == http.StatusCreated && method == http.MethodPost:
		return nil
	case status == http.StatusNotFound && method == http.MethodGet:
		why = identity.ErrNotFound
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
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

// worthRepeating reports whether a call with this answer may be repeated. A POST
// may only if it surely was not processed.
func worthRepeating(method string, status int) bool {
	switch status {
	case http.StatusTooManyRequests:
		return true
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return method == http.MethodGet
	}
	return false
}

// isDialError reports whether no connection came about, so that nothing was sent.
func isDialError(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "dial" || op.Op == "proxyconnect")
}

// cause is what may be told of a transport's error. Its text may quote what the
// other side sent, so only errors that are known not to are passed on.
func cause(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificate
	}
	return fmt.Errorf("exchange failed (%T)", err)
}

// retryAfter is what the header of that name asks for, and 0 if it asks for
// nothing. A date in it is read by the sender's own clock, the Date header.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return min(time.Duration(seconds), time.Hour/time.Second) * time.Second
	}
	then, err := http.ParseTime(text)
	now, errNow := http.ParseTime(h.Get("Date"))
	if err != nil || errNow != nil {
		return 0
	}
	return then.Sub(now)
}

// jitter is between half of d and d, so that callers that failed together do not
// come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2) }

// wait returns nil after d, and the context's error if that ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
