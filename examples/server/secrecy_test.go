package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/okid"
)

// canary is a person whose every word is found again wherever it turns up.
var canary = okid.VerificationBody{
	DocumentType: "passport",
	VerificationDetails: &okid.DetailsBody{
		FirstName:      "Quirinalia",
		LastName:       "Zwanenburgwal",
		DocumentNumber: "XQ7731904",
		ExpiryDate:     "2093-11-17",
		DateOfBirth:    "1961-08-29",
	},
}

// words are what nobody but the host may hear.
func words() []string {
	d := canary.VerificationDetails
	return []string{d.FirstName, d.LastName, d.DocumentNumber, d.DateOfBirth}
}

// chatter answers like something that breaks and says all it knows.
func chatter(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://127.0.0.1:1/"+words()[2])
		w.Header().Set("X-Debug", strings.Join(words(), " "))
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%q,"process_token":"tok %[1]s"}`, words())
	})
}

// babble answers with something that is not even HTTP.
func babble() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(conn, "%s\r\n\r\n", words())
		_ = conn.Close()
	})
}

// A flow in which everything goes wrong that can, and nobody hears of the person,
// the token or the secrets. That the secrets and the token stay where they
// belong, every other test asserts, too, when its server ends.
func TestNothingLeaks(t *testing.T) { everywhere(t, testNothingLeaks) }

func testNothingLeaks(t *testing.T, launch launcher) {
	h := newHost(t)
	const password, apiToken = "hq-pass-55120", "hq-token-88213"
	callbackURL := strings.Replace(h.URL, "http://", "http://hq:"+password+"@", 1) + "/?token=" + apiToken
	s := launch(t, map[string]string{"CALLBACK_URL": callbackURL})
	const name = "subject-of-the-canary"
	u := s.logIn(t, name)

	for _, fault := range []http.Handler{chatter(400), chatter(500), chatter(307), chatter(200), babble()} {
		s.fake.FailGenerate(1, fault)
		got := u.do(t, "POST", "/verify/start", "")
		require.Contains(t, []int{502, 503}, got.status)
	}
	a := u.begin(t)
	receive(t, h.called)

	// Deliveries that are wrong in every way, and full of words.
	text := completed(a, a.id)
	for old, new := range map[string]string{"Jane": words()[0], "Roe": words()[1], "Z000001": words()[2], "1990-02-03": words()[3]} {
		text = strings.ReplaceAll(text, old, new)
	}
	for _, tt := range []struct {
		spoil spoiler
		want  int
	}{
		{macWith("another-secret-of-some-length"), 401},
		{timestamp(words()[0]), 401},
		{sentAt(time.Hour), 401},
		{signature(func(victim, delivery) string { return words()[1] }), 401},
		{body(func(_ victim, good string) string { return good + words()[0] }), 400},
		{replace(`"status"`, `"`+words()[0]+`":1,"`+words()[0]+`":2,"status"`), 400},
		{replace(`"status"`, words()[1]+`"status"`), 400},
		{member("id", `"`+words()[2]+`/"`), 400},
		{member("event", `"`+words()[0]+`"`), 200},
		{member("status", `"`+words()[0]+`"`), 200},
		{member("reference", `"`+words()[0]+`"`), 200},
		{member("created_at", `"2001-01-01T00:00:00Z"`), 200},
		{member("id", `"ver_2"`), 200},
		{func(_ victim, d *delivery) { d.set("Content-Encoding", words()[0]) }, 415},
		{func(_ victim, d *delivery) { d.query = "?provider=" + words()[0] }, 404},
	} {
		d := s.signed(text)
		tt.spoil(victim{server: s, attempt: a}, &d)
		assert.Equal(t, tt.want, s.deliver(t, d).status)
	}
	for i, fault := range []http.Handler{chatter(400), chatter(404), chatter(307), chatter(200), babble()} {
		doubted := s.logIn(t, fmt.Sprintf("doubted-%d", i)).begin(t)
		receive(t, h.called)
		s.fake.FailFetch(1, fault)
		stale := s.signed(completed(doubted, doubted.id))
		sentAt(-time.Hour)(victim{}, &stale)
		assert.Equal(t, http.StatusUnauthorized, s.deliver(t, stale).status)
	}
	assert.Equal(t, 5, s.fake.FetchCalls())
	s.do(t, "GET", "/verify/success?attempt="+a.Attempt, "", u.with([]string{"Accept: text/html"})...)
	s.do(t, "POST", "/verify/start", `{"locale":"`+words()[0], u.with([]string{"Content-Type: application/json"})...)

	// The host fails and echoes, is away, and then listens.
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.Copy(w, r.Body)
	}
	h.answer <- echo
	h.answer <- func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	h.answer <- func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/"+url.PathEscape(strings.Join(words(), " ")), http.StatusFound)
	}
	require.NoError(t, s.fake.Complete(a.id, canary))
	s.settle(t)
	deliverUntilAccepted(t, s, a, okid.EventCompleted)
	for range 4 {
		s.told(t, a, "verified")
		receive(t, h.called)
	}
	u.opened(t)
	u.do(t, "GET", "/members", "", "Accept: text/html")
	u.do(t, "GET", "/verify/success?attempt="+a.Attempt, "")
	u.do(t, "GET", "/verify/page", "", "Accept: text/html")

	// It is withdrawn, and the host fails again.
	h.answer <- echo
	require.NoError(t, s.fake.Fail(a.id))
	s.settle(t)
	u.shut(t)
	deliverUntilAccepted(t, s, a, okid.EventFailed)
	for range 2 {
		s.told(t, a, "revoked")
		receive(t, h.called)
	}
	a.is(t, "revoked")
	u.shut(t)

	s.stop(t)
	s.keeps(t, words()...)
	s.keeps(t, password, apiToken)
	assert.NotContains(t, s.stderr(t), name)
	assert.Contains(t, s.stderr(t), "callback_failed", "it does log")
}

// What Redis keeps tells nobody who the user is, while a callback waits to be
// tried again, and with it what is personal, nor afterwards.
func TestRedisKeepsNothingInClear(t *testing.T) {
	t.Parallel()
	addr := redistest.Server(t)
	h := newHost(t)
	s := launch(t, map[string]string{"REDIS_URL": "redis://" + addr, "CALLBACK_URL": h.URL})
	const name = "subject-of-the-canary"
	u := s.logIn(t, name)
	a := u.start(t, http.StatusCreated)
	secrets := slices.Concat(words(), s.secrets, s.allTokens(), []string{name})
	keepsNone := func() {
		t.Helper()
		all := dump(t, addr)
		assert.Contains(t, all, a.Attempt, "the record is there")
		for _, secret := range secrets {
			for _, form := range []string{
				secret,
				hex.EncodeToString([]byte(secret)),
				// Less what depends on the bytes that follow.
				base64.RawStdEncoding.EncodeToString([]byte(secret[:len(secret)/3*3])),
				base64.RawURLEncoding.EncodeToString([]byte(secret[:len(secret)/3*3])),
			} {
				assert.NotContains(t, strings.ToLower(all), strings.ToLower(form))
			}
		}
	}
	keepsNone()

	var err error
	a.id, err = s.fake.Begin(a.ProcessToken)
	require.NoError(t, err)
	s.settle(t)
	s.told(t, a, "started")
	receive(t, h.called)
	keepsNone()

	h.answer <- status(http.StatusInternalServerError)
	require.NoError(t, s.fake.Complete(a.id, canary))
	s.settle(t)
	s.told(t, a, "verified")
	receive(t, h.called)
	keepsNone()

	deliverUntilAccepted(t, s, a, okid.EventCompleted)
	s.told(t, a, "verified")
	u.opened(t)
	keepsNone()
	s.stop(t)
}

// dump is all that Redis keeps: names, records and the members of sorted sets.
func dump(t *testing.T, addr string) string {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	var all strings.Builder
	keys := client.Scan(t.Context(), 0, "", 1000).Iterator()
	for keys.Next(t.Context()) {
		fmt.Fprintln(&all, keys.Val())
		kind, err := client.Type(t.Context(), keys.Val()).Result()
		require.NoError(t, err)
		switch kind {
		case "string":
			value, err := client.Get(t.Context(), keys.Val()).Result()
			require.NoError(t, err)
			fmt.Fprintln(&all, value)
		case "zset":
			members, err := client.ZRange(t.Context(), keys.Val(), 0, -1).Result()
			require.NoError(t, err)
			fmt.Fprintln(&all, members)
		default:
			require.Fail(t, "what is a "+kind)
		}
	}
	require.NoError(t, keys.Err())
	return all.String()
}
