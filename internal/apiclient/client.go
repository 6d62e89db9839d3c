// Package apiclient is how the providers call their server APIs: with a key that
// goes to nobody else, answers of bounded length, a few repetitions where they are
// wanted, and errors that quote neither the key nor what the other side sent.
package apiclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxRetries is how often a request is repeated.
	maxRetries = 2
	// firstDelay is the pause before the first repetition; the second is longer.
	firstDelay = 200 * time.Millisecond
	// maxRetryAfter is how long we let the other side make us wait. If it asks
	// for more, the call fails: the user is waiting, too.
	maxRetryAfter = 2 * time.Second
	// shortestPause is what is made of a Retry-After that asks for none.
	shortestPause = time.Millisecond
)

// Errors of this package, matched with [errors.Is].
var (
	// ErrUnsent: no connection came about, or the context ended before the request
	// was sent, or sent again. A POST that ends so was surely not processed.
	ErrUnsent = errors.New("request was not sent")
	// ErrTooLong: the answer is longer than Request.MaxAnswer.
	ErrTooLong = errors.New("answer is too long")
)

// Request is what is asked.
type Request struct {
	Method, URL string
	// Body is JSON. Default: there is none.
	Body []byte
	// Authorize adds the key. Default: there is none.
	Authorize func(*http.Request)
	// MaxAnswer is the length of the longest answer that is read, in bytes.
	MaxAnswer int64
	// Now is the clock by which a time to wait is read from an answer that does not
	// say when it was sent. Nil: such a time is not read.
	Now func() time.Time
}

// Answer is what came back.
type Answer struct {
	Status int
	Body   []byte // if Status is 200 or 201

	// RetryAfter is how long the other side asks to be left alone, and at least
	// shortestPause. Zero: it does not say.
	RetryAfter time.Duration
}

// Do sends the request, and up to twice again if it surely was not processed: after
// status 429, or if it was not sent. In between it waits, at least for as long as the
// answer asks for, but it does not wait longer than 2 seconds: then that answer is
// the last.
//
// Its errors are [ErrUnsent], [ErrTooLong], and others, after which nobody knows
// how far the request came. If the context has ended, they wrap its error.
func Do(ctx context.Context, transport http.RoundTripper, r Request) (Answer, error) {
	for try := 0; ; try++ {
		a, err := DoOnce(ctx, transport, r)
		unprocessed := a.Status == http.StatusTooManyRequests || errors.Is(err, ErrUnsent)
		if !unprocessed || try == maxRetries || ctx.Err() != nil {
			return a, err
		}
		delay := max(jitter(firstDelay<<try), a.RetryAfter)
		if delay > maxRetryAfter {
			return a, err
		}
		if ended := wait(ctx, delay); ended != nil {
			if err == nil {
				err = fmt.Errorf("HTTP %d", a.Status)
			}
			return Answer{}, fmt.Errorf("%w: %w, after %w", ErrUnsent, ended, err)
		}
	}
}

// DoOnce is Do without the repetitions.
func DoOnce(ctx context.Context, transport http.RoundTripper, r Request) (Answer, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: it cannot be made", ErrUnsent)
	}
	req.Header.Set("Accept", "application/json")
	if len(r.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.Authorize != nil {
		r.Authorize(req)
	}
	// Not through an http.Client, which would take the key along when it follows
	// a redirect.
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return Answer{}, cause(ctx, err)
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header, r.Now)}
	if a.Status != http.StatusOK && a.Status != http.StatusCreated {
		return a, nil
	}
	a.Body, err = io.ReadAll(io.LimitReader(resp.Body, r.MaxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, cause(ctx, err)
	case int64(len(a.Body)) > r.MaxAnswer:
		return Answer{}, ErrTooLong
	}
	return a, nil
}

// cause is what may be told of a transport's error. Its text may quote what the
// other side sent, so only errors that are known not to are passed on.
func cause(ctx context.Context, err error) error {
	op, isOp := errors.AsType[*net.OpError](err)
	certificate, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	var told error
	switch {
	case ctx.Err() != nil:
		told = ctx.Err()
	case isOp:
		told = op
	case isCertificate:
		told = certificate
	default:
		told = fmt.Errorf("exchange failed (%T)", err)
	}
	if isOp && (op.Op == "dial" || op.Op == "proxyconnect") {
		return fmt.Errorf("%w: %w", ErrUnsent, told)
	}
	return told
}

// retryAfter is what the header of that name asks for, and 0 if it asks for
// nothing that can be understood. A date in it is read by the sender's own clock, the Date header, or else
// by now.
func retryAfter(h http.Header, now func() time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		const most = math.MaxInt64 / uint64(time.Second)
		return max(shortestPause, time.Duration(min(seconds, most))*time.Second)
	}
	then, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	sent, err := http.ParseTime(h.Get("Date"))
	switch {
	case err == nil:
	case now != nil:
		sent = now()
	default:
		return 0
	}
	return max(shortestPause, then.Sub(sent))
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
