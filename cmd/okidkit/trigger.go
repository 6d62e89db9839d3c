package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// triggerSettings are the flags of trigger.
type triggerSettings struct {
	url, secret, reference, id string
	events                     []string
	times                      int
	shuffle, reformat, retry   bool
	skew                       time.Duration
	signing                    okidtest.Signing
}

// trigger sends signed webhooks, one after the other, and prints a line for each.
func (t tool) trigger(ctx context.Context, args []string) int {
	var s triggerSettings
	var event, signs, encoding, timestamp string
	f := newFlags("trigger", "-url URL -secret SECRET -reference REFERENCE [FLAGS]\n\nPrints STATUS EVENT ID for each delivery; the status is 0 if there was no answer. The exit status\nis 1 unless all of them are 200.",
		"okidkit trigger -url http://localhost:8080/verify/webhook -secret $OKID_WEBHOOK_SECRET -reference $REFERENCE")
	f.StringVar(&s.url, "url", "", "where the webhooks go: the `URL` of the kit's webhook")
	f.StringVar(&s.secret, "secret", "", "`secret` that signs them")
	f.StringVar(&s.reference, "reference", "", "`reference` of the attempt")
	f.StringVar(&event, "event", okid.EventCompleted, "`events`, separated by commas")
	f.StringVar(&s.id, "id", "", "`id` of the verification (default: a random one)")
	f.IntVar(&s.times, "times", 1, "how many `times` each event is sent")
	f.BoolVar(&s.shuffle, "shuffle", false, "in any order")
	f.BoolVar(&s.reformat, "reformat", false, "no two deliveries have the same bytes")
	f.BoolVar(&s.retry, "retry", false, "repeat what is not answered with 200, after 1, 2, 4 and 8 seconds")
	f.DurationVar(&s.skew, "skew", 0, "how far in the past the timestamp is; negative: in the future")
	f.StringVar(&signs, "signs", "body", "what the signature covers: body, timestamp.body or timestamp+body")
	f.StringVar(&encoding, "encoding", "hex", "how it is written: hex or base64")
	f.StringVar(&timestamp, "timestamp", "seconds", "how the timestamp is written: seconds, ms or rfc3339")
	if status, ok := t.parse(f, args); !ok {
		return status
	}
	s.events = strings.Split(event, ",")
	var known [3]bool
	s.signing.Content, known[0] = lookUp(signs, contentNames, okidtest.Body, okidtest.TimestampDotBody, okidtest.TimestampBody)
	s.signing.Encoding, known[1] = lookUp(encoding, encodingNames, okidtest.Hex, okidtest.Base64)
	s.signing.Timestamp, known[2] = lookUp(timestamp, timestampNames, okidtest.UnixSeconds, okidtest.UnixMillis, okidtest.RFC3339)
	u, err := url.Parse(s.url)
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("takes no %q", f.Arg(0))
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		err = errors.New("-url is not an http(s) URL")
	case s.secret == "":
		err = errors.New("-secret is missing")
	case s.reference == "":
		err = errors.New("-reference is missing")
	case s.times < 1:
		err = errors.New("-times is less than 1")
	case strings.Contains(","+event+",", ",,"):
		err = errors.New("-event has an empty one")
	case !known[0]:
		err = fmt.Errorf("-signs is none of %s", strings.Join(contentNames, ", "))
	case !known[1]:
		err = fmt.Errorf("-encoding is none of %s", strings.Join(encodingNames[:2], ", "))
	case !known[2]:
		err = fmt.Errorf("-timestamp is none of %s", strings.Join(timestampNames, ", "))
	}
	if err != nil {
		return t.fault("trigger", err)
	}
	if s.id == "" {
		s.id = "ver_" + strings.ToLower(rand.Text())
	}
	return t.send(ctx, s)
}

// The names of what okid.Config and okidtest.Signing call by constants.
var (
	contentNames   = []string{"body", "timestamp.body", "timestamp+body"}
	encodingNames  = []string{"hex", "base64", "base64url"}
	timestampNames = []string{"seconds", "ms", "rfc3339"}
)

// lookUp returns the value that stands where the name does.
func lookUp[T any](name string, names []string, values ...T) (value T, ok bool) {
	for i, v := range values {
		if names[i] == name {
			return v, true
		}
	}
	return value, false
}

// send sends all webhooks, and returns the exit status.
func (t tool) send(ctx context.Context, s triggerSettings) int {
	var events []string
	for range s.times {
		events = append(events, s.events...)
	}
	if s.shuffle {
		mathrand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	}
	client := &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	status := exitOK
	for n, event := range events {
		body := s.body(event, t.now(), n)
		for pause := time.Second; ; pause *= 2 {
			got, err := s.deliver(ctx, client, t.now(), body)
			fmt.Fprintln(t.out, got, event, s.id)
			if err != nil {
				fmt.Fprintf(t.errs, "okidkit trigger: %v\n", err)
			}
			if got == http.StatusOK {
				break
			}
			if !s.retry || pause > 8*time.Second || !wait(ctx, pause) {
				status = exitFailed
				break
			}
		}
	}
	return status
}

// wait reports whether the time has passed, and the context did not end before.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// body is the webhook of an event. The n-th has bytes of its own, if it is to be reformatted.
func (s *triggerSettings) body(event string, now time.Time, n int) []byte {
	data := okid.VerificationBody{ID: s.id}
	switch event {
	case okid.EventCompleted:
		data = okidtest.Passport(now)
		data.ID, data.Status = s.id, okid.StatusCompleted
	case okid.EventStarted:
		data.Status = okid.StatusStarted
	case okid.EventFailed:
		data.Status = okid.StatusFailed
	case okid.EventExpired:
		data.Status = okid.StatusExpired
	}
	data.Metadata = map[string]string{okid.MetadataReference: s.reference}
	body, err := json.Marshal(okid.WebhookBody{Event: event, Data: data})
	if err != nil {
		panic("okidkit: cannot happen, it is made of texts: " + err.Error())
	}
	if s.reformat {
		var other bytes.Buffer
		_ = json.Indent(&other, body, "", strings.Repeat(" ", n)) // it is JSON
		body = other.Bytes()
	}
	return body
}

// deliver sends one webhook, and returns the status of the answer, or 0 if there is none.
func (s *triggerSettings) deliver(ctx context.Context, client *http.Client, now time.Time, body []byte) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header = s.signing.Header(s.secret, now.Add(-s.skew), body)
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, nil
}
