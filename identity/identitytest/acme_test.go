package identitytest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/identity/identitytest"
)

// The provider of docs/providers.md, whose code is this file's.

// Acme verifies people on pages of its own. It tells the id of a verification when it is begun, and
// posts a webhook, which nobody can authenticate, when there is news.
type Acme struct {
	send  func(*http.Request) (*http.Response, error)
	allow func(*http.Request) // adds the key, which lies nowhere else
}

func NewAcme(key string, client *http.Client) *Acme {
	return &Acme{
		send:  client.Transport.RoundTrip, // follows no redirect, which would take the key along
		allow: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) },
	}
}

func (*Acme) Name() string          { return "acme" }
func (*Acme) EchoesReference() bool { return true }

// What Acme's words mean. Of a word that is not here nothing follows.
var words = map[string]identity.Status{
	"new": identity.Created, "open": identity.Started, "passed": identity.Verified, "rejected": identity.Failed, "manual": identity.Review,
}

type record struct {
	ID        string    `json:"id"`
	Reference string    `json:"reference"`
	Status    string    `json:"status"`
	Link      string    `json:"link"`
	Expires   time.Time `json:"expires"`
	Born      string    `json:"born"`
}

func (a *Acme) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	body, err := json.Marshal(map[string]string{"reference": r.Reference, "return_to": r.SuccessURL})
	if err != nil {
		return identity.Session{}, fmt.Errorf("acme: %w: %w", identity.ErrMalformed, err)
	}
	got, err := a.call(ctx, http.MethodPost, "/verifications", body)
	switch {
	case errors.Is(err, identity.ErrNotFound):
		return identity.Session{}, fmt.Errorf("acme: %w: no such route", identity.ErrRefused)
	case err != nil:
		return identity.Session{}, err
	case !ids.MatchString(got.ID) || got.Link == "" || got.Expires.IsZero():
		return identity.Session{}, fmt.Errorf("acme: %w: %w: answer lacks something", identity.ErrRefused, identity.ErrUncertain)
	}
	return identity.Session{ID: got.ID, Token: got.Link, ExpiresAt: got.Expires}, nil
}

func (*Acme) SDK(s identity.Session, locale string) identity.SDK {
	if s.Token == "" {
		return identity.SDK{}
	}
	return identity.SDK{URL: s.Token + "?lang=" + url.QueryEscape(locale)}
}

var ids = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (a *Acme) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	if !ids.MatchString(id) {
		return identity.Notice{}, fmt.Errorf("acme: %w: id", identity.ErrMalformed)
	}
	got, err := a.call(ctx, http.MethodGet, "/verifications/"+id, nil)
	switch {
	case err != nil:
		return identity.Notice{}, err
	case got.ID != id:
		return identity.Notice{}, fmt.Errorf("acme: %w: answer is about another verification", identity.ErrRefused)
	}
	born, err := identity.ParseDate(got.Born)
	if err != nil {
		born = identity.UnreadableDate // it is there, which is not the same as absent
	}
	return identity.Notice{
		Provider: a.Name(), Reference: got.Reference,
		Verification: identity.Verification{ID: got.ID, Status: words[got.Status], DateOfBirth: born},
	}, nil
}

func (*Acme) ReadHint(_ http.Header, body []byte) (identity.Hint, error) {
	var said map[string]json.RawMessage
	if err := json.Unmarshal(body, &said); err != nil || said == nil {
		return identity.Hint{}, fmt.Errorf("acme: %w: body is not a JSON object", identity.ErrMalformed)
	}
	var hint identity.Hint
	_ = json.Unmarshal(said["reference"], &hint.Reference) // no text: it names nothing
	return hint, nil
}

const maxAnswer = 1 << 20

func (a *Acme) call(ctx context.Context, method, path string, body []byte) (got record, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	maybe := fmt.Errorf("acme: %w", identity.ErrUnavailable)
	if method == http.MethodPost { // it may have begun a verification all the same
		maybe = fmt.Errorf("%w: %w", maybe, identity.ErrUncertain)
	}
	r, err := http.NewRequestWithContext(ctx, method, "https://api.acme.example"+path, bytes.NewReader(body))
	if err != nil {
		return got, fmt.Errorf("acme: %w", identity.ErrMalformed)
	}
	a.allow(r)
	r.Header.Set("Content-Type", "application/json")
	if err := ctx.Err(); err != nil {
		return got, fmt.Errorf("acme: %w: %w", identity.ErrUnavailable, err)
	}
	resp, err := a.send(r)
	if err != nil { // whose text may quote anything
		if ctx.Err() != nil {
			return got, fmt.Errorf("%w: %w", maybe, ctx.Err())
		}
		return got, maybe
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return got, &identity.RateLimitError{RetryAfter: time.Duration(seconds) * time.Second}
	case resp.StatusCode == http.StatusNotFound:
		return got, fmt.Errorf("acme: %w", identity.ErrNotFound)
	case resp.StatusCode >= 500:
		return got, maybe
	case resp.StatusCode/100 != 2:
		return got, fmt.Errorf("acme: %w: HTTP %d", identity.ErrRefused, resp.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(answer) > maxAnswer || json.Unmarshal(answer, &got) != nil {
		return record{}, fmt.Errorf("acme: %w: %w: answer cannot be read", identity.ErrRefused, identity.ErrUncertain)
	}
	return got, nil
}

func TestAcme(t *testing.T) {
	answer := func(r record) identitytest.Answer {
		body, _ := json.Marshal(r) // it always can be
		return identitytest.Answer{Status: http.StatusOK, Body: string(body)}
	}
	identitytest.Run(t, identitytest.Harness{
		New: func(client *http.Client) (identity.Provider, error) {
			return NewAcme("key-of-the-suite", client), nil
		},
		Secrets: []string{"key-of-the-suite"},
		ID:      "v-1",
		Started: func() identitytest.Answer {
			return answer(record{ID: "v-1", Link: "https://acme.example/go/secret", Expires: identitytest.Now.Add(time.Hour)})
		},
		Details: func(id, reference, word string) identitytest.Answer {
			return answer(record{ID: id, Reference: reference, Status: word, Born: "1990-02-03"})
		},
		Words: words,
		Hint: func(reference, id, word string) []byte {
			return []byte(answer(record{ID: id, Reference: reference, Status: word}).Body)
		},
	})
}
