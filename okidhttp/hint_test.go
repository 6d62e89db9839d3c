package okidhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// hostedProvider tells the id of a verification when it is begun, has a page of its own, and
// sends webhooks that nobody can authenticate.
type hostedProvider struct {
	fake  *fakeProvider
	began map[string]string // ids by reference

	erased []string
}

func (p *hostedProvider) Name() string          { return "hosted" }
func (p *hostedProvider) EchoesReference() bool { return false }

func (p *hostedProvider) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	s, err := p.fake.Start(ctx, r)
	s.ID = fmt.Sprint("canaryid", len(p.began))
	p.began[r.Reference] = s.ID
	return s, err
}

func (p *hostedProvider) SDK(s identity.Session, _ string) identity.SDK {
	return identity.SDK{URL: "https://hosted.fake.example/verify?t=" + s.Token}
}

func (p *hostedProvider) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	return p.fake.Fetch(ctx, id)
}

func (p *hostedProvider) ReadHint(_ http.Header, body []byte) (identity.Hint, error) {
	var hint identity.Hint
	if err := json.Unmarshal(body, &hint); err != nil {
		return hint, fmt.Errorf("%w: as asked", identity.ErrMalformed)
	}
	return hint, nil
}

// Erase fails while the provider is away.
func (p *hostedProvider) Erase(_ context.Context, id string) error {
	if p.fake.away == nil {
		p.erased = append(p.erased, id)
	}
	return p.fake.away
}

// says lets the provider answer to questions about an attempt from now on.
func (p *hostedProvider) says(reference string, s identity.Status) {
	p.fake.answer("", p.began[reference], s)
}

func newHostedWorld(t *testing.T, changes ...func(*Config)) (*world, *hostedProvider) {
	p := &hostedProvider{began: map[string]string{}}
	w := newWorld(t, append(changes, func(c *Config) {
		p.fake = c.Providers[0].(*fakeProvider)
		c.Providers = []identity.Provider{p}
	})...)
	return w, p
}

// hint posts a webhook which says that there is news of an attempt.
func (w *world) hint(reference string) int {
	body, err := json.Marshal(identity.Hint{Reference: reference})
	require.NoError(w.t, err)
	return w.postHint(string(body))
}

func (w *world) postHint(body string) int {
	return w.do(httptest.NewRequest(http.MethodPost, "/verify/webhook?provider=hosted", strings.NewReader(body)), "").Code
}

// run lets time pass, second by second, with the worker at work.
func (w *world) run(d time.Duration) {
	for range int(d / time.Second) {
		w.later(time.Second)
	}
}

// Without any webhook the verdict is there within a minute.
func TestPolledFromTheStart(t *testing.T) {
	w, p := newHostedWorld(t)
	a := w.start("alice").Attempt
	w.run(3 * time.Minute)
	assert.Equal(t, "created", w.status("alice", a), "the provider knows of nobody yet")
	p.says(a, identity.Started)
	w.run(time.Minute)
	assert.Equal(t, "started", w.status("alice", a))
	p.says(a, identity.Verified)
	w.run(time.Minute)
	assert.Equal(t, "verified", w.status("alice", a))
	assert.Equal(t, http.StatusOK, w.gate("alice"))
	assert.NotContains(t, w.log.String(), "provider_failed", "that nobody has begun is no failure")
	assert.NotContains(t, w.log.String(), "canaryid", "the id alone may be a key to the verification")
}

// The first question comes within a minute, and there are at most thirty in an hour.
func TestPolledLessAndLess(t *testing.T) {
	for _, status := range []identity.Status{"", identity.Started} {
		w, p := newHostedWorld(t)
		a := w.start("alice").Attempt
		if status != "" {
			p.says(a, status)
		}
		var asked []time.Duration
		for at := time.Duration(0); at < time.Hour; at += time.Second {
			before := p.fake.asked()
			w.later(time.Second)
			for range p.fake.asked() - before {
				asked = append(asked, at)
			}
		}
		require.NotEmpty(t, asked)
		assert.Less(t, asked[0], time.Minute)
		assert.LessOrEqual(t, len(asked), 30, "%q", status)
		assert.GreaterOrEqual(t, len(asked), 12, "%q", status)
		for i := 2; i < len(asked); i++ {
			assert.GreaterOrEqual(t, asked[i]-asked[i-1]+2*time.Second, asked[i-1]-asked[i-2])
		}
	}
}

// A hint makes the kit ask at once, and has no effect of its own.
func TestHint(t *testing.T) {
	w, p := newHostedWorld(t)
	a := w.start("alice").Attempt
	w.run(10 * time.Minute)
	require.Equal(t, 200, w.hint(a))
	w.run(time.Second)
	assert.Equal(t, "created", w.status("alice", a), "whoever sent it has no say")
	p.says(a, identity.Verified)
	w.run(2 * time.Second)
	require.Equal(t, 200, w.hint(a))
	w.run(2 * time.Second)
	assert.Equal(t, "verified", w.status("alice", a))

	// Reviewers change their minds, both ways.
	w.run(time.Hour)
	p.says(a, identity.Failed)
	require.Equal(t, 200, w.hint(a))
	w.run(2 * time.Second)
	assert.Equal(t, "revoked", w.status("alice", a))

	b := w.start("bob").Attempt
	p.says(b, identity.Failed)
	w.run(time.Minute)
	require.Equal(t, "failed", w.status("bob", b))
	p.says(b, identity.Verified)
	w.run(time.Hour)
	require.Equal(t, "failed", w.status("bob", b), "of what is finished nobody asks")
	p.fake.away = identity.ErrUnavailable
	require.Equal(t, 200, w.hint(b))
	w.run(20 * time.Second)
	p.fake.away = nil
	w.run(time.Minute)
	assert.Equal(t, "verified", w.status("bob", b), "and a hint is not lost while the provider is away")
}

// A flood of hints is one question in two seconds.
func TestHintFlood(t *testing.T) {
	w, p := newHostedWorld(t)
	a := w.start("alice").Attempt
	p.says(a, identity.Started)
	w.run(5 * time.Second)
	before, writes := p.fake.asked(), len(w.store.values)
	for range 20 {
		for range 50 {
			require.Equal(t, 200, w.hint(a))
		}
		w.later(time.Second)
	}
	assert.LessOrEqual(t, p.fake.asked()-before, 11)
	assert.GreaterOrEqual(t, p.fake.asked()-before, 9)
	assert.Less(t, len(w.store.values)-writes, 100)
}

// What a hint names that is not ours changes nothing, and what cannot be read is refused.
func TestOddHints(t *testing.T) {
	w, p := newHostedWorld(t)
	a := w.start("alice").Attempt
	before := w.record("alice")
	for body, want := range map[string]int{
		`{}`:                            200,
		`{"Reference":"elsewhere"}`:     200,
		`{"Reference":"` + a[1:] + `"}`: 200,
		`{"id":"canaryid0"}`:            200,
		`{`:                             400,
		``:                              400,
		`{"x":"` + strings.Repeat("x", 1<<20) + `"}`: 413,
	} {
		assert.Equal(t, want, w.postHint(body), "%.30s", body)
	}
	assert.Equal(t, before, w.record("alice"))
	assert.Zero(t, p.fake.asked())
	w.store.breakDown(errors.New("away"))
	assert.Equal(t, 503, w.hint(a))
}

// A browser is sent to the provider's page, by way of one of the kit's own, since the form's
// policy would not let it leave.
func TestHostedPage(t *testing.T) {
	w, _ := newHostedWorld(t)
	rec := w.tryStart("alice")
	var started struct {
		startJSON
		SDK identity.SDK
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &started))
	assert.Empty(t, started.ProcessToken)
	assert.Equal(t, "https://hosted.fake.example/verify?t=tok_canary_1", started.SDK.URL)

	form := httptest.NewRequest(http.MethodPost, "/verify/start", nil)
	form.Header.Set("Accept", "text/html")
	form.Header.Set("Sec-Fetch-Site", "same-origin")
	rec = w.do(form, "alice")
	require.Equal(t, http.StatusSeeOther, rec.Code)
	own := strings.TrimPrefix(rec.Header().Get("Location"), "https://app.example")
	rec = w.get("alice", own)
	require.Equal(t, http.StatusOK, rec.Code)
	require.Equal(t, "0; url="+started.PageURL, rec.Header().Get("Refresh"))
	assert.Contains(t, rec.Body.String(), "partner")

	rec = w.get("alice", strings.TrimPrefix(started.PageURL, "https://app.example"))
	require.Equal(t, http.StatusSeeOther, rec.Code)
	assert.Equal(t, started.SDK.URL, rec.Header().Get("Location"))
	assert.Equal(t, "no-referrer", rec.Header().Get("Referrer-Policy"))
	assert.Equal(t, http.StatusNotFound, w.get("bob", strings.TrimPrefix(started.PageURL, "https://app.example")).Code)
	assert.NotContains(t, w.log.String(), "tok_canary")
}

// What is erased here is erased at the provider, however long that is away, and nothing that
// leads to the subject is kept for it.
func TestEraseAtProvider(t *testing.T) {
	w, p := newHostedWorld(t, func(c *Config) { c.EraseAtProvider = true })
	a := w.start("alice").Attempt
	p.says(a, identity.Verified)
	w.run(time.Minute)
	require.Equal(t, http.StatusOK, w.gate("alice"))
	p.fake.away = identity.ErrUnavailable
	require.NoError(t, w.kit.Erase(t.Context(), "alice"))
	w.run(10 * time.Second)
	assert.Empty(t, p.erased)
	assert.Equal(t, http.StatusForbidden, w.gate("alice"))
	for _, value := range w.store.values[len(w.store.values)-2:] {
		assert.NotContains(t, value, "canaryid")
	}
	w.later(3 * time.Hour)
	p.fake.away = nil
	w.later(7 * time.Hour)
	assert.Equal(t, []string{"canaryid0"}, p.erased)
	w.later(30 * 24 * time.Hour)
	assert.Equal(t, []string{"canaryid0"}, p.erased, "once")
	assert.Contains(t, w.log.String(), "erase_failed")
	assert.NotContains(t, w.log.String(), "canaryid")

	// For good it is tried for thirty days.
	w.start("bob")
	p.fake.away = identity.ErrUnavailable
	require.NoError(t, w.kit.Erase(t.Context(), "bob"))
	for range 31 * 4 {
		w.later(6 * time.Hour)
	}
	assert.Contains(t, w.log.String(), "given_up")
	p.fake.away = nil
	w.later(24 * time.Hour)
	assert.Len(t, p.erased, 1)
}

func TestNobodyErases(t *testing.T) {
	w := newWorld(t)
	cfg := w.kit.cfg
	cfg.EraseAtProvider = true
	_, err := New(cfg)
	require.ErrorContains(t, err, "EraseAtProvider")
}
