package getid

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/apiclient"
)

// maxResult is the length of the longest result that is read, in bytes.
const maxResult = 1 << 20

// fetchResult asks for one result, once: when to ask again is the caller's to say.
func (p *Provider) fetchResult(ctx context.Context, id string) (apiclient.Answer, error) {
	a, err := apiclient.DoOnce(ctx, p.transport, apiclient.Request{
		Method:    http.MethodGet,
		URL:       p.baseURL.String() + "/verifications/results/" + id,
		Authorize: p.authorize,
		MaxAnswer: maxResult,
		Now:       p.now,
	})
	switch {
	case errors.Is(err, apiclient.ErrTooLong):
		return a, fmt.Errorf("getid: %w: %w", identity.ErrRefused, err)
	case err != nil:
		return a, fmt.Errorf("getid: %w: %w", identity.ErrUnavailable, err)
	}
	return a, statusError(a)
}

// statusError is nil for a result and for one that is not ready. It never quotes
// the body, which may hold anything.
func statusError(a apiclient.Answer) error {
	status := a.Status
	switch {
	case status == http.StatusOK, status == http.StatusAccepted:
		return nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		// Documented: the secret key is wrong or missing.
		return fmt.Errorf("getid: %w: credentials (HTTP %d): check APIKey and APIKeyHeader", identity.ErrRefused, status)
	case status == http.StatusNotFound:
		// Documented for a path that does not exist, as under a wrong BaseURL; of
		// an unknown id nothing is said. So it tells nothing about the
		// verification, which may be there the next time: never ErrNotFound.
		return fmt.Errorf("getid: %w: HTTP 404: no result yet, or BaseURL is wrong", identity.ErrUnavailable)
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && a.RetryAfter > 0:
		return fmt.Errorf("getid: %w: HTTP %d", &identity.RateLimitError{RetryAfter: a.RetryAfter}, status)
	case status >= 500:
		return fmt.Errorf("getid: %w: HTTP %d", identity.ErrUnavailable, status)
	}
	return fmt.Errorf("getid: %w: HTTP %d", identity.ErrRefused, status)
}
