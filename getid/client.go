package getid

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/okidkit/okidkit/identity"
)

const (
	// maxRetries is how often a call is repeated.
	maxRetries = 2
	// firstDelay is the pause before the first repetition; the second is longer.
	firstDelay = 200 * time.Millisecond
	// maxRetryAfter is how long we let the other side make us wait. If it asks
	// for more, the call fails: the user is waiting, too.
	maxRetryAfter = 2 * time.Second
	// maxResult is the length of the longest result that is read, in bytes.
	maxResult = 1 << 20
)

// fetchResult asks for one result, with its repetitions.
func (p *Provider) fetchResult(ctx context.Context, id string) (answer, error) {
	for try := 0; ; try++ {
		a, err := p.get(ctx, p.baseURL.String()+"/verifications/results/"+id, p.authorize, maxResult)
		worthRepeating := isDialError(err)
		switch {
		case err == nil:
			err, worthRepeating = statusError(a.status)
		case errors.Is(err, errTooLong):
			err = fmt.Errorf("getid: %w: %w", identity.ErrRefused, err)
		default:
			err = fmt.Errorf("getid: %w: %w", identity.ErrUnavailable, err)
		}
		if err == nil || !worthRepeating || try == maxRetries {
			return a, err
		}
		delay := max(jitter(firstDelay<<try), a.retryAfter)
		if delay > maxRetryAfter {
			return answer{}, err
		}
		if ended := wait(ctx, delay); ended != nil {
			return answer{}, fmt.Errorf("%w; %w", err, ended)
		}
	}
}

// statusError is nil for a result and for one that is not ready. It never quotes
// the body, which may hold anything.
func statusError(status int) (err error, worthRepeating bool) {
	switch status {
	case http.StatusOK, http.StatusAccepted:
		return nil, false
	case http.StatusUnauthorized, http.StatusForbidden:
		// Documented: the secret key is wrong or missing.
		return fmt.Errorf("getid: %w: credentials (HTTP %d): check APIKey and APIKeyHeader", identity.ErrRefused, status), false
	case http.StatusNotFound:
		// Documented for a path that does not exist, as under a wrong BaseURL; of
		// an unknown id nothing is said. So it tells nothing about the
		// verification, which may be there the next time: never ErrNotFound.
		return fmt.Errorf("getid: %w: HTTP 404: no result yet, or BaseURL is wrong", identity.ErrUnavailable), false
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("getid: %w: HTTP %d", identity.ErrUnavailable, status), true
	}
	if status >= 500 {
		return fmt.Errorf("getid: %w: HTTP %d", identity.ErrUnavailable, status), false
	}
	return fmt.Errorf("getid: %w: HTTP %d", identity.ErrRefused, status), false
}

// answer is what came back.
type answer struct {
	status     int
	retryAfter time.Duration
	body       []byte // if status is 200
}

var errTooLong = errors.New("answer is too long")

// get does one exchange. Its transport is called directly, not through an
// http.Client: a client would take the API key along when it follows a redirect.
func (p *Provider) get(ctx context.Context, url string, prepare func(*http.Request), limit int64) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, errors.New("request cannot be made")
	}
	req.Header.Set("Accept", "application/json")
	prepare(req)
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return answer{}, cause(ctx, err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, retryAfter: retryAfter(resp.Header)}
	if a.status != http.StatusOK {
		return a, nil
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return answer{}, cause(ctx, err)
	case int64(len(a.body)) > limit:
		return answer{}, errTooLong
	}
	return a, nil
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
