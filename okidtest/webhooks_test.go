package okidtest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// script answers webhooks without a network: with the statuses in turn, and
// then with 200. Status 0 is a host that is away.
type script struct {
	mu       sync.Mutex
	statuses []int
	times    []time.Duration // since the first
	events   []string
	first    time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var w okid.WebhookBody
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = time.Now()
	}
	s.times = append(s.times, time.Since(s.first))
	s.events = append(s.events, w.Event)
	status := http.StatusOK
	if len(s.statuses) > 0 {
		status, s.statuses = s.statuses[0], s.statuses[1:]
	}
	if status == 0 {
		return nil, errAway
	}
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Location": {"https://elsewhere.example.com/"}},
		Body:       http.NoBody,
		Request:    r,
	}, nil
}

// offline makes a fake that is not started, and whose webhooks s answers. It
// has time of its own in a synctest bubble.
func offline(t *testing.T, s *script, cfg okidtest.Config) *okidtest.OKID {
	t.Helper()
	cfg.HTTPClient = &http.Client{Transport: s}
	fake, err := okidtest.NewOKID(cfg)
	require.NoError(t, err)
	return fake
}

// beginOffline is begin without a network.
func beginOffline(t *testing.T, fake *okidtest.OKID) (id string) {
	t.Helper()
	r := httptest.NewRequest("POST", "/v1/verification/generate",
		strings.NewReader(`{"metadata":{},"callback_url":"https://app.example.com/hook"}`))
	r.Header.Set(okid.KeyHeader, okidtest.DefaultAPIKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	fake.ServeHTTP(w, r)
	var response okid.GenerateResponse
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &response))
	id, err := fake.Begin(response.ProcessToken)
	require.NoError(t, err)
	return id
}

func TestRetry(t *testing.T) {
	s := func(seconds ...int) (times []time.Duration) {
		for _, n := range seconds {
			times = append(times, time.Duration(n)*time.Second)
		}
		return times
	}
	tests := []struct {
		name     string
		delays   []time.Duration
		statuses []int
		state    okidtest.DeliveryState
		times    []time.Duration
	}{
		{"200 at once", nil, nil, okidtest.Accepted, s(0)},
		{"202 is not 200", nil, []int{202}, okidtest.Accepted, s(0, 1)},
		{"204 is not 200", nil, []int{204}, okidtest.Accepted, s(0, 1)},
		{"redirects are not followed", nil, []int{302, 307}, okidtest.Accepted, s(0, 1, 3)},
		{"refused and away", nil, []int{401, 0, 503, 500}, okidtest.Accepted, s(0, 1, 3, 7, 15)},
		{"given up", nil, []int{503, 503, 503, 503, 0}, okidtest.GivenUp, s(0, 1, 3, 7, 15)},
		{"one try", []time.Duration{}, []int{503}, okidtest.GivenUp, s(0)},
		{"own delays", s(0, 60), []int{503, 503}, okidtest.Accepted, s(0, 0, 60)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire := &script{statuses: tt.statuses}
				fake := offline(t, wire, okidtest.Config{RetryDelays: tt.delays})
				defer fake.Close()
				beginOffline(t, fake)
				wait(t, fake)
				assert.Equal(t, tt.times, wire.times)
				d := fake.Deliveries()[0]
				assert.Equal(t, tt.state, d.State)
				require.Len(t, d.Tries, len(tt.times))
				for i, try := range d.Tries {
					if i < len(tt.statuses) {
						assert.Equal(t, tt.statuses[i], try.Status)
						assert.Equal(t, tt.statuses[i] == 0, try.Err != nil)
					}
					assert.Equal(t, tt.times[i], try.At.Sub(d.Tries[0].At), "each try is timed anew")
				}
			})
		})
	}
}

// A webhook that is tried again does not hold up the next.
func TestOrderIsThatOfFirstTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &script{statuses: []int{503}}
		fake := offline(t, wire, okidtest.Config{})
		defer fake.Close()
		require.NoError(t, fake.Complete(beginOffline(t, fake), okidtest.Passport(noon)))
		wait(t, fake)
		assert.Equal(t, []string{okid.EventStarted, okid.EventCompleted, okid.EventStarted}, wire.events)
	})
}

func TestChaosDelayIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &script{}
		fake := offline(t, wire, okidtest.Config{
			Chaos: okidtest.Chaos{Only: []string{okid.EventStarted}, Delay: time.Minute},
		})
		defer fake.Close()
		require.NoError(t, fake.Complete(beginOffline(t, fake), okidtest.Passport(noon)))
		wait(t, fake)
		assert.Equal(t, []string{okid.EventCompleted, okid.EventStarted}, wire.events)
		assert.Equal(t, []time.Duration{0, time.Minute}, wire.times)
	})
}

func TestCloseEndsDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &script{statuses: []int{503}}
		fake := offline(t, wire, okidtest.Config{RetryDelays: []time.Duration{time.Hour}})
		id := beginOffline(t, fake)
		require.NoError(t, fake.SetChaos(okidtest.Chaos{Delay: time.Hour}))
		require.NoError(t, fake.Fail(id))
		synctest.Wait()
		fake.Close()
		assert.Equal(t, []string{okid.EventStarted}, wire.events)
		for _, d := range fake.Deliveries() {
			assert.Equal(t, okidtest.Stopped, d.State)
		}
	})
}

func TestChaosDrop(t *testing.T) {
	h := listen(t)
	fake := start(t, okidtest.Config{Chaos: okidtest.Chaos{Only: []string{okid.EventCompleted, okid.EventFailed}, Drop: true}})
	id := begin(t, fake, h.URL)
	require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
	wait(t, fake)
	assert.Equal(t, []string{okid.EventStarted}, h.events(t))
	assert.Equal(t, okidtest.Dropped, fake.Deliveries()[1].State)
	_, answer := call(t, "GET", fake.URL()+"/v1/verification/"+id, "")
	assert.Contains(t, answer, `"status":"completed"`, "only the webhook is lost")
}

func TestChaosHoldAndRelease(t *testing.T) {
	h := listen(t)
	fake := start(t, okidtest.Config{Chaos: okidtest.Chaos{Hold: true}})
	id := begin(t, fake, h.URL)
	require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
	require.NoError(t, fake.Fail(id))
	require.NoError(t, fake.Expire(id))
	wait(t, fake)
	assert.Empty(t, h.events(t))

	require.ErrorIs(t, fake.Release(4), okidtest.ErrNotFound)
	require.ErrorIs(t, fake.Release(-1), okidtest.ErrNotFound)
	require.ErrorIs(t, fake.Release(0, 0), okidtest.ErrNotFound)
	wait(t, fake)
	assert.Empty(t, h.events(t))

	require.NoError(t, fake.Release(3, 1))
	wait(t, fake)
	assert.Equal(t, []string{okid.EventExpired, okid.EventCompleted}, h.events(t))
	assert.Equal(t, okidtest.Held, fake.Deliveries()[0].State)

	require.NoError(t, fake.Release())
	wait(t, fake)
	assert.Equal(t, []string{okid.EventExpired, okid.EventCompleted, okid.EventStarted, okid.EventFailed}, h.events(t))
	require.NoError(t, fake.Release(), "nothing is held")
}

func TestChaosCopies(t *testing.T) {
	h := listen(t)
	fake := start(t, okidtest.Config{Chaos: okidtest.Chaos{Copies: 2}})
	require.NoError(t, fake.Fail(begin(t, fake, h.URL)))
	wait(t, fake)
	s, f := okid.EventStarted, okid.EventFailed
	assert.Equal(t, []string{s, s, s, f, f, f}, h.events(t))
	assert.Equal(t, h.bodies[0], h.bodies[2])
	assert.Len(t, fake.Deliveries(), 6)
}

// No copy is answered before all are there.
func TestChaosConcurrentCopies(t *testing.T) {
	const n = 8
	var there sync.WaitGroup
	there.Add(n)
	h := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		there.Done()
		there.Wait()
	}))
	defer h.Close()
	fake := start(t, okidtest.Config{Chaos: okidtest.Chaos{Copies: n - 1, Concurrent: true}})
	begin(t, fake, h.URL)
	wait(t, fake)
	for _, d := range fake.Deliveries() {
		assert.Equal(t, okidtest.Accepted, d.State)
	}
}

func TestChaosRewrite(t *testing.T) {
	h := listen(t)
	fake := start(t, okidtest.Config{Chaos: okidtest.Chaos{Drop: true}})
	id := begin(t, fake, h.URL)
	require.NoError(t, fake.SetChaos(okidtest.Chaos{Rewrite: true, Copies: 9}))
	require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
	wait(t, fake)
	require.Len(t, h.bodies, 10)
	different := make(map[string]bool)
	for i, body := range h.bodies {
		assert.JSONEq(t, h.bodies[0], body)
		assert.Equal(t, okidtest.Signing{}.Header(okidtest.DefaultWebhookSecret, noon, []byte(body)).Get(okid.SignatureHeader),
			h.heads[i].Get(okid.SignatureHeader), "the new bytes are signed")
		different[body] = true
	}
	assert.Len(t, different, 10)
}

// TestChaosEdit: what is edited is signed, and the same in no other try.
func TestChaosEdit(t *testing.T) {
	h := listen(t)
	fake := start(t, okidtest.Config{Chaos: okidtest.Chaos{Only: []string{okid.EventCompleted}, Copies: 1, Edit: func(body []byte) []byte {
		return append(body[:len(body)-1], `,"odd":"\ud800","odd":1}`...)
	}}})
	id := begin(t, fake, h.URL)
	require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
	wait(t, fake)
	require.Len(t, h.bodies, 3)
	assert.NotContains(t, h.bodies[0], "odd")
	for i, body := range h.bodies[1:] {
		assert.Equal(t, 2, strings.Count(body, `"odd"`), body)
		assert.Equal(t, okidtest.Signing{}.Header(okidtest.DefaultWebhookSecret, noon, []byte(body)).Get(okid.SignatureHeader), h.heads[1+i].Get(okid.SignatureHeader))
	}
}

func TestChaosOfSignatures(t *testing.T) {
	right := func(body string) string {
		return okidtest.Signing{}.Header(okidtest.DefaultWebhookSecret, noon, []byte(body)).Get(okid.SignatureHeader)
	}
	tests := []struct {
		name      string
		chaos     okidtest.Chaos
		timestamp string
		signed    bool
	}{
		{"none", okidtest.Chaos{}, "1751284800", true},
		{"wrong key", okidtest.Chaos{WrongKey: true}, "1751284800", false},
		{"stale", okidtest.Chaos{Skew: -10 * time.Minute}, "1751284200", true},
		{"ahead", okidtest.Chaos{Skew: time.Hour}, "1751288400", true},
		{"unit", okidtest.Chaos{Signing: &okidtest.Signing{Timestamp: okidtest.UnixMillis}}, "1751284800000", true},
		{"other event", okidtest.Chaos{Only: []string{okid.EventFailed}, WrongKey: true, Skew: time.Hour}, "1751284800", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := listen(t)
			fake := start(t, okidtest.Config{Chaos: tt.chaos})
			begin(t, fake, h.URL)
			wait(t, fake)
			require.Len(t, h.bodies, 1)
			assert.Equal(t, tt.timestamp, h.heads[0].Get(okid.TimestampHeader))
			assert.Equal(t, tt.signed, right(h.bodies[0]) == h.heads[0].Get(okid.SignatureHeader))
		})
	}
}

func TestSetChaosRefuses(t *testing.T) {
	fake := start(t, okidtest.Config{})
	require.ErrorIs(t, fake.SetChaos(okidtest.Chaos{Drop: true, Copies: -1}), okidtest.ErrConfig)
	h := listen(t)
	begin(t, fake, h.URL)
	wait(t, fake)
	assert.Len(t, h.events(t), 1, "the old chaos stands")
}

func TestBadCallbackIsGivenUp(t *testing.T) {
	fake := start(t, okidtest.Config{HTTPClient: &http.Client{Transport: &script{statuses: []int{0}}}})
	begin(t, fake, "http://app.example.com/hook")
	wait(t, fake)
	d := fake.Deliveries()[0]
	assert.Equal(t, okidtest.GivenUp, d.State)
	assert.ErrorIs(t, d.Tries[0].Err, errAway)
}

// The webhook client does not hand the signed body on to another host.
func TestWebhookRedirectIsNotFollowed(t *testing.T) {
	other := listen(t)
	h := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer h.Close()
	fake := start(t, okidtest.Config{})
	begin(t, fake, h.URL)
	wait(t, fake)
	assert.Equal(t, 307, fake.Deliveries()[0].Tries[0].Status)
	assert.Empty(t, other.events(t))
}

func BenchmarkNewWebhook(b *testing.B) {
	webhook := okid.WebhookBody{Event: okid.EventCompleted, Data: okidtest.Passport(noon)}
	b.ReportAllocs()
	for b.Loop() {
		_, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, noon, webhook)
		if !bytes.HasPrefix(body, []byte("{")) {
			b.Fatal("no JSON")
		}
	}
}
