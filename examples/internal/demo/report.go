package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/okidkit/okidkit/okidhttp"
)

// reporter tells of callbacks: as a line of JSON, and at a URL if there is one.
type reporter struct {
	mu     sync.Mutex
	out    io.Writer
	url    string
	client http.Client
}

// report is every callback of the app. A real one would write to the database,
// with the event's ID as the key that makes a second time harmless.
func (r *reporter) report(ctx context.Context, e okidhttp.Event) error {
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
