package identitytest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/okidkit/okidkit/identity"
)

const (
	suiteKey = "key-of-the-suite-0001"
	suiteID  = "ver_0a1b2c3d"
)

// flawed is a provider that is simple and right, but for one named flaw. With the flaw "" it has
// none.
type flawed struct {
	flaw   string
	client *http.Client
	key    func() string
	Key    string // with a flaw
}

var suiteWords = map[string]identity.Status{
	"begun": identity.Started, "passed": identity.Verified, "refused": identity.Failed, "looking": identity.Review,
}

func (p *flawed) is(flaw string) bool { return p.flaw == flaw }

func (p *flawed) Name() string {
	if p.is("name with a capital") {
		return "Flawed"
	}
	return "flawed"
}

func (p *flawed) EchoesReference() bool { return true }

func (p *flawed) SDK(s identity.Session, _ string) identity.SDK {
	sdk := identity.SDK{ScriptURL: "https://flawed.example/sdk.js", Config: map[string]any{"token": s.Token}, Boot: "function () {}"}
	if p.is("key in the page") {
		sdk.Config["key"] = p.key()
	}
	if p.is("function in the page") {
		sdk.Config["f"] = func() {}
	}
	return sdk
}

type suiteBody struct {
	ID, Word, Reference string
	Token               string `json:",omitempty"`
}

// call is one exchange with the server.
func (p *flawed) call(ctx context.Context, method, url string) (body suiteBody, err error) {
	if p.is("context is ignored") {
		ctx = context.WithoutCancel(ctx)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return body, fmt.Errorf("%w: %w", identity.ErrUnavailable, err)
	}
	if p.is("key in the URL") {
		url += "?key=" + p.key()
	}
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return body, err
	}
	r.Header.Set("Key", p.key())
	round := p.client.Transport.RoundTrip
	if p.is("redirects are followed") {
		round = p.client.Do
	}
	resp, err := round(r)
	unsure := error(identity.ErrUncertain)
	if method == http.MethodGet || p.is("never uncertain") {
		unsure = identity.ErrUnavailable
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if !p.is("error is quoted") {
			err = errors.New("exchange failed")
		}
		return body, fmt.Errorf("%w: %w: %w", identity.ErrUnavailable, unsure, err)
	}
	defer resp.Body.Close()
	if p.is("asks again") && resp.StatusCode >= 500 && method == http.MethodGet {
		_, _ = round(r)
	}
	switch status := resp.StatusCode; {
	case status == 429:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		if p.is("Retry-After is ignored") {
			seconds = 0
		}
		return body, &identity.RateLimitError{RetryAfter: time.Duration(seconds) * time.Second}
	case status == 404:
		return body, identity.ErrNotFound
	case status >= 500 && p.is("away is refused"):
		return body, fmt.Errorf("%w: %w", identity.ErrRefused, unsure)
	case status >= 500:
		return body, fmt.Errorf("%w: %w", identity.ErrUnavailable, unsure)
	case status != 200:
		return body, identity.ErrRefused
	}
	limit := int64(1 << 20)
	text, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil || int64(len(text)) > limit && !p.is("answer without end") {
		return body, fmt.Errorf("%w: %w", identity.ErrRefused, unsure)
	}
	if p.is("answer without end") && int64(len(text)) > limit {
		return suiteBody{ID: suiteID, Token: "t"}, nil
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	if err := d.Decode(&body); err != nil || d.More() && !p.is("trailing data") {
		return body, fmt.Errorf("%w: %w", identity.ErrRefused, unsure)
	}
	return body, nil
}

func (p *flawed) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	body, err := p.call(ctx, http.MethodPost, "https://flawed.example/start")
	if err != nil {
		return identity.Session{}, err
	}
	if body.Token == "" && !p.is("session without a token") {
		return identity.Session{}, fmt.Errorf("%w: %w", identity.ErrRefused, identity.ErrUncertain)
	}
	s := identity.Session{Token: body.Token, ID: body.ID, ExpiresAt: Now.Add(time.Hour)}
	if p.is("another id at the start") {
		s.ID = "made-up"
	}
	if p.is("session without an end") {
		s.ExpiresAt = time.Time{}
	}
	return s, nil
}

var suiteIDs = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

func (p *flawed) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	if !suiteIDs.MatchString(id) && !p.is("ids unchecked") {
		return identity.Notice{}, identity.ErrMalformed
	}
	body, err := p.call(ctx, http.MethodGet, "https://flawed.example/"+strings.NewReplacer("/", "_", "%", "_", "?", "_", " ", "_", "#", "_").Replace(id))
	if err != nil {
		if p.is("error verifies") {
			return p.notice(suiteBody{ID: id, Word: "passed"}), nil
		}
		return identity.Notice{}, err
	}
	n := p.notice(body)
	if p.is("id unchecked") {
		n.Verification.ID = id
	} else if body.ID != id {
		return identity.Notice{}, identity.ErrRefused
	}
	return n, nil
}

func (p *flawed) notice(body suiteBody) identity.Notice {
	status := suiteWords[body.Word]
	switch {
	case p.is("unknown word verifies") && status == "":
		status = identity.Verified
	case p.is("letter case is ignored"):
		status = suiteWords[strings.ToLower(body.Word)]
	case p.is("review verifies") && status == identity.Review:
		status = identity.Verified
	}
	n := identity.Notice{Provider: p.Name(), Reference: body.Reference, Verification: identity.Verification{ID: body.ID, Status: status}}
	if p.is("reference is assumed") {
		n.Reference = Reference
	}
	return n
}

func (p *flawed) VerifyWebhook(h http.Header, body []byte, now time.Time) (identity.Notice, error) {
	if p.is("webhook asks") {
		_, _ = p.call(context.Background(), http.MethodGet, "https://flawed.example/")
	}
	signature, err := hex.DecodeString(h.Get("Signature"))
	if len(h["Signature"]) > 1 && !p.is("header twice") {
		return identity.Notice{}, identity.ErrSignature
	}
	if (err != nil || !hmac.Equal(signature, suiteSign(h.Get("Time"), body))) && !p.is("unsigned is accepted") {
		return identity.Notice{}, identity.ErrSignature
	}
	if len(h["Time"]) != 1 {
		return identity.Notice{}, identity.ErrTimestamp
	}
	var read suiteBody
	if err := json.Unmarshal(body, &read); err != nil {
		return identity.Notice{}, identity.ErrMalformed
	}
	n := p.notice(read)
	n.SignedBy, n.Digest = "key 1", sha256.Sum256(body)
	if p.is("no digest") {
		n.Digest = [32]byte{}
	}
	if p.is("digest of the time") {
		n.Digest = sha256.Sum256([]byte(now.String()))
	}
	sent, err := time.Parse(time.RFC3339, h.Get("Time"))
	switch {
	case err != nil, sent.Sub(now) > time.Minute:
		return identity.Notice{}, identity.ErrTimestamp
	case now.Sub(sent) > 5*time.Minute && !p.is("age is ignored"):
		if p.is("stale says nothing") {
			n = identity.Notice{}
		}
		return n, identity.ErrStale
	}
	return n, nil
}

func suiteSign(timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(suiteKey))
	m.Write([]byte(timestamp))
	m.Write(body)
	return m.Sum(nil)
}

func (p *flawed) ReadHint(_ http.Header, body []byte) (identity.Hint, error) {
	var read map[string]json.RawMessage
	if err := json.Unmarshal(body, &read); err != nil || read == nil {
		if p.is("hint of anything") {
			return identity.Hint{}, nil
		}
		return identity.Hint{}, identity.ErrMalformed
	}
	var hint identity.Hint
	_ = json.Unmarshal(read["Reference"], &hint.Reference)
	if p.is("hint without a reference") {
		hint.Reference = ""
	}
	return hint, nil
}

// A claim is an id and its signature.
func (p *flawed) VerifyClaim(_ context.Context, body []byte) (string, error) {
	var claim struct{ ID, Signed string }
	if err := json.Unmarshal(body, &claim); err != nil {
		return "", identity.ErrMalformed
	}
	signature, _ := hex.DecodeString(claim.Signed)
	switch {
	case p.is("claim unchecked"):
		return claim.ID, nil
	case !hmac.Equal(signature, suiteSign("claim", []byte(claim.ID))):
		if p.is("id with an error") {
			return claim.ID, identity.ErrSignature
		}
		return "", identity.ErrSignature
	}
	if p.is("another id in the claim") {
		return "made-up", nil
	}
	return claim.ID, nil
}

// Format keeps the key to itself, but for a flaw.
func (p *flawed) Format(f fmt.State, _ rune) {
	if p.is("prints its key") {
		_, _ = io.WriteString(f, p.key())
	}
}

func flawedHarness(flaw string) Harness {
	marshal := func(b suiteBody) string {
		text, err := json.Marshal(b)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	return Harness{
		New: func(client *http.Client) (identity.Provider, error) {
			return &flawed{flaw: flaw, client: client, key: func() string { return suiteKey }}, nil
		},
		Secrets: []string{suiteKey},
		ID:      suiteID,
		Started: func() Answer { return Answer{Status: 200, Body: marshal(suiteBody{ID: suiteID, Token: "tok_1"})} },
		Details: func(id, reference, word string) Answer {
			return Answer{Status: 200, Body: marshal(suiteBody{ID: id, Word: word, Reference: reference})}
		},
		Words: suiteWords,
		Webhook: func(reference, id, word string, sent time.Time) (http.Header, []byte) {
			body := marshal(suiteBody{ID: id, Word: word, Reference: reference})
			h := http.Header{}
			h.Set("Time", sent.Format(time.RFC3339))
			h.Set("Signature", hex.EncodeToString(suiteSign(h.Get("Time"), []byte(body))))
			return h, []byte(body)
		},
		Claim: func(id string) []byte {
			return fmt.Appendf(nil, `{"ID":%q,"Signed":"%x"}`, id, suiteSign("claim", []byte(id)))
		},
		Hint: func(reference, id, word string) []byte {
			return []byte(marshal(suiteBody{ID: id, Word: word, Reference: reference}))
		},
	}
}

// recorder notes why a case failed.
type recorder struct {
	ctx    context.Context
	failed string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failures runs all cases for a flaw, and returns the names of those that failed.
func failures(t *testing.T, flaw string) (failed []string) {
	for _, c := range cases() {
		r := &recorder{ctx: t.Context()}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.test(newProbe(r, flawedHarness(flaw)))
		}()
		<-done
		if r.failed != "" {
			failed = append(failed, c.name+": "+r.failed)
		}
	}
	return failed
}

// A provider without a flaw passes.
func TestRun(t *testing.T) { Run(t, flawedHarness("")) }

// Each flaw is found.
func TestFlaws(t *testing.T) {
	for _, flaw := range []string{
		"name with a capital", "key in the page", "function in the page", "context is ignored", "key in the URL", "redirects are followed",
		"never uncertain", "error is quoted", "asks again", "Retry-After is ignored", "away is refused", "answer without end", "trailing data",
		"session without a token", "another id at the start", "session without an end", "ids unchecked", "error verifies",
		"id unchecked", "unknown word verifies", "letter case is ignored", "review verifies", "reference is assumed", "webhook asks",
		"header twice", "unsigned is accepted", "no digest", "digest of the time", "age is ignored", "stale says nothing", "hint of anything",
		"hint without a reference", "prints its key", "claim unchecked", "id with an error", "another id in the claim",
	} {
		if failed := failures(t, flaw); len(failed) == 0 {
			t.Errorf("the suite does not find the flaw %q", flaw)
		} else {
			t.Logf("%s: %s", flaw, failed[0])
		}
	}
}
