package identitytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/okidkit/okidkit/identity"
)

var names = regexp.MustCompile(`^[a-z0-9]{1,16}$`)

func nameCases() []testCase {
	return []testCase{
		{"name", func(p *probe) {
			if name := p.p.Name(); !names.MatchString(name) || name != p.p.Name() {
				p.t.Fatalf("Name is %q: it must be 1 to 16 lower-case letters and digits, and always the same", name)
			}
		}},
		{"can bring a verdict", func(p *probe) {
			_, signs := p.p.(identity.WebhookVerifier)
			_, hints := p.p.(identity.HintReader)
			_, claims := p.p.(identity.ClaimVerifier)
			switch {
			case !signs && !hints && !claims:
				p.t.Fatalf("it is no WebhookVerifier, no HintReader and no ClaimVerifier")
			case signs && p.harness.Webhook == nil, hints && !signs && p.harness.Hint == nil, claims && p.harness.Claim == nil:
				p.t.Fatalf("the harness has no webhook, or no claim, for it")
			}
		}},
		{"prints no secret", func(p *probe) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				p.clean("the provider, printed,", fmt.Sprintf(verb, p.p))
			}
			text, _ := json.Marshal(p.p)
			p.clean("the provider, as JSON,", string(text))
		}},
	}
}

func startCases() []testCase {
	return []testCase{
		{"start", func(p *probe) {
			s := p.started()
			switch sdk := p.p.SDK(s, "nl"); {
			case !s.ExpiresAt.After(time.Time{}):
				p.t.Fatalf("the session has no end")
			case sdk.URL == "" && sdk.Boot == "":
				p.t.Fatalf("SDK names neither a page nor how a script is started")
			case sdk.URL != "" && !strings.HasPrefix(sdk.URL, "https://") && !strings.HasPrefix(sdk.URL, "http://"):
				p.t.Fatalf("SDK.URL is no URL")
			default:
				text, err := json.Marshal(sdk)
				if err != nil {
					p.t.Fatalf("SDK cannot be marshalled: %v", err)
				}
				p.clean("SDK", string(text)+sdk.Boot)
			}
			if s.ID != "" && s.ID != p.harness.ID {
				p.t.Fatalf("Session.ID is not the one that the server told")
			}
			if text := fmt.Sprintf("%v %+v %#v", s, s, s); s.Token != "" && strings.Contains(text, s.Token) {
				p.t.Fatalf("the session prints its token")
			}
		}},
		{"start without a session", func(p *probe) {
			_ = p.p.SDK(identity.Session{}, "../<script>") // the client module is made so
		}},
		{"start refused", func(p *probe) {
			p.refused("Start", func(ctx context.Context) error { _, err := p.start(ctx); return err }, p.harness.Started != nil)
		}},
		{"start unreadable", func(p *probe) {
			if p.harness.Started == nil {
				return
			}
			for _, body := range unreadable {
				p.says(Answer{Status: http.StatusOK, Body: body})
				_, err := p.start(p.t.Context())
				p.wrapped("Start", err, identity.ErrRefused, identity.ErrUnavailable)
				if !errors.Is(err, identity.ErrUncertain) {
					p.t.Fatalf("after an answer of success that cannot be read there may be a verification: that is ErrUncertain")
				}
			}
		}},
		{"start is not repeated after it may have succeeded", func(p *probe) {
			if p.harness.Started == nil {
				return
			}
			for _, a := range []Answer{{Status: http.StatusInternalServerError}, {Status: http.StatusBadGateway}} {
				p.says(a)
				_, err := p.start(p.t.Context())
				p.wrapped("Start", err, identity.ErrUnavailable)
				if n := len(p.requests()); n != 1 || !errors.Is(err, identity.ErrUncertain) {
					p.t.Fatalf("after HTTP %d there were %d requests; the error must wrap ErrUncertain", a.Status, n)
				}
			}
		}},
	}
}

// started starts with success.
func (p *probe) started() identity.Session {
	p.t.Helper()
	if p.harness.Started != nil {
		p.says(p.harness.Started())
	}
	s, err := p.start(p.t.Context())
	if err != nil {
		p.t.Fatalf("Start: %v", err)
	}
	return s
}

// unreadable are answers from which nothing follows.
var unreadable = []string{``, `{}`, `[]`, `null`, `"x"`, `{"`, "\x00\xff", `<html>maintenance</html>`, strings.Repeat("[", 100000)}

// refused checks what all calls have in common.
func (p *probe) refused(what string, call func(context.Context) error, asks bool) {
	p.t.Helper()
	if !asks {
		return
	}
	for status, want := range map[int]error{
		http.StatusBadRequest: identity.ErrRefused, http.StatusUnauthorized: identity.ErrRefused, http.StatusForbidden: identity.ErrRefused,
		http.StatusInternalServerError: identity.ErrUnavailable, http.StatusBadGateway: identity.ErrUnavailable, http.StatusServiceUnavailable: identity.ErrUnavailable,
	} {
		p.says(Answer{Status: status, Body: `{"error":"` + strings.Join(p.harness.Secrets, " ") + `"}`})
		p.wrapped(fmt.Sprintf("%s after HTTP %d", what, status), call(p.t.Context()), want)
	}

	p.says(Answer{Status: http.StatusFound, Header: http.Header{"Location": {"https://elsewhere.example/"}}})
	p.wrapped(what+" after a redirect", call(p.t.Context()), identity.ErrRefused, identity.ErrUnavailable)
	for _, r := range p.requests() {
		if r.URL.Host == "elsewhere.example" {
			p.t.Fatalf("%s follows a redirect, and takes the key along", what)
		}
	}

	p.says(Answer{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"30"}}})
	limited, err := (*identity.RateLimitError)(nil), call(p.t.Context())
	if !errors.As(err, &limited) || limited.RetryAfter != 30*time.Second {
		p.t.Fatalf("%s after HTTP 429 with Retry-After: 30 is no RateLimitError of 30 seconds, but %v", what, err)
	}

	p.breaks(errors.New("quoted: " + strings.Join(p.harness.Secrets, " ")))
	p.wrapped(what+" without an exchange", call(p.t.Context()), identity.ErrUnavailable)

	ctx, cancel := context.WithCancel(p.t.Context())
	cancel()
	p.hangs()
	p.wrapped(what+" after its context had ended", call(ctx), context.Canceled)
	if len(p.requests()) > 0 {
		p.t.Fatalf("%s asks though its context had ended", what)
	}
	ctx, cancel = context.WithTimeout(p.t.Context(), 20*time.Millisecond)
	defer cancel()
	p.wrapped(what+" of a server that hangs", call(ctx), context.DeadlineExceeded)

	p.says(Answer{Status: http.StatusOK, Body: `{"x":"` + strings.Repeat("x", 8<<20) + `"}`})
	p.wrapped(what+" after an endless answer", call(p.t.Context()), identity.ErrRefused, identity.ErrUnavailable)
}

func (p *probe) fetch(a Answer) (identity.Notice, error) {
	p.t.Helper()
	p.says(a)
	return p.p.Fetch(p.t.Context(), p.harness.ID)
}

func fetchCases() []testCase {
	return []testCase{
		{"fetch", func(p *probe) {
			verifies := false
			for word, want := range p.harness.Words {
				n, err := p.fetch(p.harness.Details(p.harness.ID, Reference, word))
				if err != nil {
					p.t.Fatalf("Fetch of %q: %v", word, err)
				}
				verifies = verifies || want == identity.Verified
				switch {
				case n.Verification.Status != want:
					p.t.Fatalf("the word %q means %q, and not %q", word, want, n.Verification.Status)
				case n.Verification.ID != p.harness.ID:
					p.t.Fatalf("the notice is about another id than that which was asked for")
				case n.Provider != p.p.Name():
					p.t.Fatalf("Notice.Provider is %q", n.Provider)
				case n.Reference != Reference && (n.Reference != "" || p.p.EchoesReference()):
					p.t.Fatalf("Notice.Reference is not the one that came back")
				case len(p.requests()) != 1:
					p.t.Fatalf("one question was %d requests", len(p.requests()))
				}
			}
			if !verifies {
				p.t.Fatalf("the harness has no word that verifies")
			}
		}},
		{"unknown words verify nobody", func(p *probe) {
			for word := range p.harness.Words {
				for _, odd := range []string{strings.ToUpper(word), word + " ", " " + word, word + "x", "un" + word} {
					if _, known := p.harness.Words[odd]; known {
						continue
					}
					n, err := p.fetch(p.harness.Details(p.harness.ID, Reference, odd))
					if err == nil && n.Verification.Status != "" {
						p.t.Fatalf("the word %q, which is not the provider's, means %q", odd, n.Verification.Status)
					}
				}
			}
			if n, err := p.fetch(p.harness.Details(p.harness.ID, Reference, "")); err == nil && n.Verification.Status == identity.Verified {
				p.t.Fatalf("no word at all verifies")
			}
		}},
		{"somebody else's verification", func(p *probe) {
			for word := range p.harness.Words {
				n, err := p.fetch(p.harness.Details(p.harness.ID, another, word))
				if err == nil && p.p.EchoesReference() && n.Reference == Reference {
					p.t.Fatalf("an answer with another reference passes for ours")
				}
				if p.harness.ID != Reference {
					n, err = p.fetch(p.harness.Details("x"+p.harness.ID[1:], Reference, word))
					if err == nil && n.Reference == Reference && n.Verification.ID == p.harness.ID && n.Verification.Status == identity.Verified && p.tellsID(word) {
						p.t.Fatalf("an answer about another id passes for ours")
					}
				}
			}
		}},
		{"fetch refused", func(p *probe) {
			p.refused("Fetch", func(ctx context.Context) error { _, err := p.p.Fetch(ctx, p.harness.ID); return err }, true)
			for _, status := range []int{http.StatusInternalServerError, http.StatusTooManyRequests} {
				p.says(Answer{Status: status})
				_, _ = p.p.Fetch(p.t.Context(), p.harness.ID)
				if n := len(p.requests()); n != 1 {
					p.t.Fatalf("after HTTP %d one question was %d requests", status, n)
				}
			}
		}},
		{"fetch of nothing", func(p *probe) {
			p.says(Answer{Status: http.StatusNotFound})
			_, err := p.p.Fetch(p.t.Context(), p.harness.ID)
			if p.harness.NeverNotFound {
				p.wrapped("Fetch after HTTP 404", err, identity.ErrUnavailable, identity.ErrRefused)
				return
			}
			p.wrapped("Fetch after HTTP 404", err, identity.ErrNotFound)
		}},
		{"fetch unreadable", func(p *probe) {
			for _, body := range unreadable {
				n, err := p.fetch(Answer{Status: http.StatusOK, Body: body})
				if err == nil && n.Verification.Status != "" {
					p.t.Fatalf("from an answer that cannot be read follows %q", n.Verification.Status)
				}
			}
			verdict := p.harness.Details(p.harness.ID, Reference, p.verifying())
			for _, body := range []string{verdict.Body + verdict.Body, verdict.Body[:len(verdict.Body)-1]} {
				n, err := p.fetch(Answer{Status: verdict.Status, Header: verdict.Header, Body: body})
				if err == nil && n.Verification.Status == identity.Verified {
					p.t.Fatalf("an answer that is not one JSON value verifies")
				}
			}
		}},
		{"ids that are none", func(p *probe) {
			p.says(p.harness.Details(p.harness.ID, Reference, p.verifying()))
			for _, id := range []string{"", "../x", "x/y", "x?y", "x#y", "x%2fy", "x y", "é", strings.Repeat("x", 1000)} {
				_, err := p.p.Fetch(p.t.Context(), id)
				p.wrapped("Fetch", err, identity.ErrMalformed)
			}
			if len(p.requests()) > 0 {
				p.t.Fatalf("an id that cannot be one is asked for")
			}
		}},
		{"the key goes to one server", func(p *probe) {
			p.says(p.harness.Details(p.harness.ID, Reference, p.verifying()))
			_, _ = p.p.Fetch(p.t.Context(), p.harness.ID)
			for _, r := range p.requests() {
				p.clean("the URL of a request", r.URL.String())
			}
		}},
		{"many at once", func(p *probe) {
			p.says(p.harness.Details(p.harness.ID, Reference, p.verifying()))
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					_, _ = p.p.Fetch(p.t.Context(), p.harness.ID)
					_, _ = p.start(p.t.Context())
					_ = p.p.SDK(identity.Session{Token: "t"}, "en")
				})
			}
			wg.Wait()
		}},
	}
}

// verifying is the word that verifies.
func (p *probe) verifying() string {
	for word, s := range p.harness.Words {
		if s == identity.Verified {
			return word
		}
	}
	return ""
}

// tellsID reports whether answers say which verification they are about.
func (p *probe) tellsID(word string) bool {
	return strings.Contains(p.harness.Details(p.harness.ID, Reference, word).Body, `"`+p.harness.ID+`"`)
}

func webhookCases() []testCase {
	verifier := func(test func(p *probe, v identity.WebhookVerifier)) func(p *probe) {
		return func(p *probe) {
			if v, ok := p.p.(identity.WebhookVerifier); ok && p.harness.Webhook != nil {
				test(p, v)
				if len(p.requests()) > 0 {
					p.t.Fatalf("VerifyWebhook asks the server")
				}
			}
		}
	}
	return []testCase{
		{"webhook", verifier(func(p *probe, v identity.WebhookVerifier) {
			h, body := p.harness.Webhook(Reference, p.harness.ID, p.verifying(), Now)
			n, err := v.VerifyWebhook(h, body, Now)
			switch {
			case err != nil:
				p.t.Fatalf("VerifyWebhook: %v", err)
			case n.Verification.Status != identity.Verified || n.Verification.ID != p.harness.ID || n.Reference != Reference:
				p.t.Fatalf("the notice is not what the webhook says")
			case n.Digest == [32]byte{} || n.SignedBy == "":
				p.t.Fatalf("the notice has no digest, or does not say what key has signed it")
			}
			again, err := v.VerifyWebhook(h, body, Now.Add(time.Second))
			if err != nil || again.Digest != n.Digest {
				p.t.Fatalf("the same webhook has another digest the second time")
			}
			h, body = p.harness.Webhook(another, p.harness.ID, p.verifying(), Now)
			if other, err := v.VerifyWebhook(h, body, Now); err == nil && other.Digest == n.Digest {
				p.t.Fatalf("another webhook has the same digest")
			}
		})},
		{"webhook that is not authentic", verifier(func(p *probe, v identity.WebhookVerifier) {
			h, body := p.harness.Webhook(Reference, p.harness.ID, p.verifying(), Now)
			forged := bytes.ReplaceAll(bytes.Clone(body), []byte(Reference), []byte(another))
			_, err := v.VerifyWebhook(h, forged, Now)
			p.wrapped("VerifyWebhook of another body", err, identity.ErrSignature)
			_, err = v.VerifyWebhook(http.Header{}, body, Now)
			p.wrapped("VerifyWebhook without headers", err, identity.ErrSignature, identity.ErrTimestamp)
			for name, values := range h {
				without := h.Clone()
				without.Del(name)
				n, err := v.VerifyWebhook(without, body, Now)
				if name != "Content-Type" && err == nil && n.Verification.Status != "" {
					p.t.Fatalf("without the header %s a webhook is believed", name)
				}
				if name == "Content-Type" {
					continue
				}
				twice := h.Clone()
				twice[name] = []string{values[0], values[0] + "x"}
				if _, err := v.VerifyWebhook(twice, body, Now); err == nil {
					p.t.Fatalf("with the header %s twice a webhook is believed", name)
				}
			}
		})},
		{"webhook that is old", verifier(func(p *probe, v identity.WebhookVerifier) {
			h, body := p.harness.Webhook(Reference, p.harness.ID, p.verifying(), Now)
			n, err := v.VerifyWebhook(h, body, Now.Add(48*time.Hour))
			p.wrapped("VerifyWebhook after two days", err, identity.ErrStale)
			if n.Reference != Reference {
				p.t.Fatalf("a stale notice must say what it is about")
			}
			_, err = v.VerifyWebhook(h, body, Now.Add(-48*time.Hour))
			p.wrapped("VerifyWebhook two days before", err, identity.ErrTimestamp)
		})},
	}
}

func hintCases() []testCase {
	return []testCase{{"hint", func(p *probe) {
		r, ok := p.p.(identity.HintReader)
		if !ok || p.harness.Hint == nil {
			return
		}
		hint, err := r.ReadHint(http.Header{}, p.harness.Hint(Reference, p.harness.ID, p.verifying()))
		if err != nil || hint.Reference != Reference {
			p.t.Fatalf("ReadHint: the reference is %q, the error is %v", hint.Reference, err)
		}
		for _, body := range []string{``, `{`, `[]`, `"x"`, "\xff", `x`} {
			_, err := r.ReadHint(http.Header{}, []byte(body))
			p.wrapped("ReadHint", err, identity.ErrMalformed)
		}
		if hint, err := r.ReadHint(http.Header{}, []byte(`{}`)); err != nil || hint != (identity.Hint{}) {
			p.t.Fatalf("ReadHint of an object that names nothing: %v, %v", hint, err)
		}
		if len(p.requests()) > 0 {
			p.t.Fatalf("ReadHint asks the server")
		}
	}}}
}

func claimCases() []testCase {
	verifier := func(test func(p *probe, v identity.ClaimVerifier)) func(p *probe) {
		return func(p *probe) {
			if v, ok := p.p.(identity.ClaimVerifier); ok && p.harness.Claim != nil {
				test(p, v)
			}
		}
	}
	return []testCase{
		{"claim", verifier(func(p *probe, v identity.ClaimVerifier) {
			id, err := v.VerifyClaim(p.t.Context(), p.harness.Claim(p.harness.ID))
			if err != nil || id != p.harness.ID {
				p.t.Fatalf("VerifyClaim: the id is %q, the error is %v", id, err)
			}
		})},
		{"claim that is not authentic", verifier(func(p *probe, v identity.ClaimVerifier) {
			claim := p.harness.Claim(p.harness.ID)
			other := bytes.ReplaceAll(claim, []byte(p.harness.ID), []byte("x"+p.harness.ID[1:]))
			for _, body := range [][]byte{other, bitten(claim), []byte(`{}`), []byte(`[]`), []byte(`null`), []byte(`"x"`), []byte(`{`), {}, {0xff}, append(bytes.Clone(claim), claim...)} {
				id, err := v.VerifyClaim(p.t.Context(), body)
				p.wrapped("VerifyClaim of what nobody has signed", err, identity.ErrMalformed, identity.ErrSignature)
				if id != "" {
					p.t.Fatalf("VerifyClaim returns an id with its error")
				}
			}
		})},
	}
}

// bitten is a claim of which the longest word is another.
func bitten(claim []byte) []byte {
	var longest []byte
	for _, word := range bytes.FieldsFunc(claim, func(r rune) bool { return strings.ContainsRune(`"{}[]:, .`, r) }) {
		if len(word) > len(longest) {
			longest = word
		}
	}
	other := bytes.Clone(longest)
	for i := range 4 {
		other[len(other)/2+i] ^= 1
	}
	return bytes.Replace(claim, longest, other, 1)
}
