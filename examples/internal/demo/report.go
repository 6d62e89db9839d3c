package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/okidkit/okidkit/okidhttp"
)

// reporter tells of callbacks: in the database if there is one, as a line of JSON, and at a URL if
// there is one.
type reporter struct {
	effect func(context.Context, okidhttp.Event) error // nil: nothing
	mu     sync.Mutex
	out    io.Writer
	url    string
	client http.Client
}

// newReporter writes to out, and posts to callbackURL unless that is empty.
func newReporter(effect func(context.Context, okidhttp.Event) error, out io.Writer, callbackURL string) *reporter {
	return &reporter{effect: effect, out: out, url: callbackURL, client: http.Client{
		Timeout: 8 * time.Second,
		// Following one would drop the body, and take a log-in page's 200 for an
		// answer.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// report is every callback of the app. A real one would write to the database,
// with the event's ID as the key that makes a second time harmless.
func (r *reporter) report(ctx context.Context, e okidhttp.Event) error {
	if r.effect != nil {
		if err := r.effect(ctx, e); err != nil {
			return err
		}
	}
	line, err := json.Marshal(struct {
		Callback string `json:"callback"`
		EventID  string `json:"event_id"`
		Subject  string `json:"subject"`
		Attempt  string `json:"attempt"`
	}{string(e.Status), e.ID, e.Subject, e.Attempt})
	if err != nil {
		return err
	}
	line = append(line, '\n')
	r.mu.Lock()
	_, err = r.out.Write(line)
	r.mu.Unlock()
	if err != nil || r.url == "" {
		return err
	}
	return r.post(ctx, line)
}

func (r *reporter) post(ctx context.Context, line []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(line))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err // without the URL, which may have a password in its query
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("callback URL answered %d", resp.StatusCode)
	}
	return nil
}
