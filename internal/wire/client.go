// Package wire is what the packages of all providers do alike: they call a server API
// with a key, read what comes back, and tell a page which origins are theirs. What
// differs between providers is theirs.
package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/apiclient"
)

// maxAnswer is the length of the longest answer that is read, in bytes.
const maxAnswer = 1 << 20

// Client calls the server API of one provider. Its methods return the body of an answer
// that is a success, and otherwise errors as [identity.Provider] says, which quote
// neither the key nor the answer.
type Client struct {
	// Name stands in front of every error.
	Name      string
	Transport http.RoundTripper
	// Timeout is how long a call may take, with its repetitions.
	Timeout time.Duration
	// Authorize adds the key.
	Authorize func(*http.Request)
	Now       func() time.Time
}

// Begin posts what begins a verification. Only a request that surely was not processed
// is repeated. An error wraps [identity.ErrUncertain] if it may have been.
func (c *Client) Begin(ctx context.Context, url string, body []byte) ([]byte, error) {
	a, err := c.do(ctx, apiclient.Do, apiclient.Request{Method: http.MethodPost, URL: url, Body: body})
	switch {
	case err != nil && !errors.Is(err, apiclient.ErrUnsent):
		return nil, fmt.Errorf("%w: %w", err, identity.ErrUncertain)
	case err != nil:
		return nil, err
	case a.Status == http.StatusOK, a.Status == http.StatusCreated:
		return a.Body, nil
	}
	err = c.statusError(a)
	if a.Status < 300 || a.Status >= 500 && a.Status != http.StatusServiceUnavailable {
		return nil, fmt.Errorf("%w: %w", err, identity.ErrUncertain)
	}
	return nil, err
}

// Ask gets an answer with one request.
func (c *Client) Ask(ctx context.Context, url string) ([]byte, error) {
	a, err := c.do(ctx, apiclient.DoOnce, apiclient.Request{Method: http.MethodGet, URL: url})
	switch {
	case err != nil:
		return nil, err
	case a.Status == http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w: HTTP %d", c.Name, identity.ErrNotFound, a.Status)
	case a.Status != http.StatusOK:
		return nil, c.statusError(a)
	}
	return a.Body, nil
}

// Delete deletes something with one request. It succeeds if that is not there.
func (c *Client) Delete(ctx context.Context, url string) error {
	a, err := c.do(ctx, apiclient.DoOnce, apiclient.Request{Method: http.MethodDelete, URL: url})
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusNotFound, a.Status == http.StatusGone, a.Status >= 200 && a.Status < 300:
		return nil
	}
	return c.statusError(a)
}

func (c *Client) do(ctx context.Context, do func(context.Context, http.RoundTripper, apiclient.Request) (apiclient.Answer, error), r apiclient.Request) (apiclient.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	r.Authorize, r.MaxAnswer, r.Now = c.Authorize, maxAnswer, c.Now
	a, err := do(ctx, c.Transport, r)
	switch {
	case errors.Is(err, apiclient.ErrTooLong):
		err = fmt.Errorf("%s: %w: %w", c.Name, identity.ErrRefused, err)
	case err != nil:
		err = fmt.Errorf("%s: %w: %w", c.Name, identity.ErrUnavailable, err)
	}
	return a, err
}

// statusError is what a status means that is no success. It never quotes the body, which
// may hold anything.
func (c *Client) statusError(a apiclient.Answer) error {
	why := identity.ErrRefused
	switch status := a.Status; {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && a.RetryAfter > 0:
		why = &identity.RateLimitError{RetryAfter: a.RetryAfter}
	case status >= 500:
		why = identity.ErrUnavailable
	}
	return fmt.Errorf("%s: %w: HTTP %d", c.Name, why, a.Status)
}
