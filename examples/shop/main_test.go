package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// visitor is somebody with a browser.
type visitor struct {
	t      *testing.T
	client *http.Client
	origin string
	fake   *okidtest.OKID
}

// newShopFor starts a shop, and returns a function that lets somebody come in and open an account.
func newShopFor(t *testing.T) func(given, family string) *visitor {
	t.Helper()
	fake, err := okidtest.NewOKID(okidtest.Config{})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	t.Cleanup(fake.Close)
	var s *shop
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s, err = newShop(server.URL, fake)
	require.NoError(t, err)
	return func(given, family string) *visitor {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		v := &visitor{t: t, client: &http.Client{Jar: jar}, origin: server.URL, fake: fake}
		res, err := v.client.PostForm(v.origin+"/account", url.Values{"given": {given}, "family": {family}})
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 200, res.StatusCode)
		return v
	}
}

// opens returns what the visitor sees at a path.
func (v *visitor) opens(path string) string {
	v.t.Helper()
	r, err := http.NewRequest("GET", v.origin+path, nil)
	require.NoError(v.t, err)
	r.Header.Set("Accept", "text/html")
	res, err := v.client.Do(r)
	require.NoError(v.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(v.t, err)
	return string(body)
}

// verifies goes through a verification, of which okID tells what change has made of Jane Roe's
// document, and returns how it ended.
func (v *visitor) verifies(change func(*okid.VerificationBody)) (status, reason string) {
	v.t.Helper()
	var started struct {
		Token   string `json:"process_token"`
		Attempt string
	}
	v.asks("POST", "/verify/start", `{"renew":true}`, &started)
	id, err := v.fake.Begin(started.Token)
	require.NoError(v.t, err)
	found := okidtest.Passport(time.Now())
	change(&found)
	require.NoError(v.t, v.fake.Complete(id, found))
	ctx, cancel := context.WithTimeout(v.t.Context(), time.Minute)
	defer cancel()
	require.NoError(v.t, v.fake.Wait(ctx))
	var now struct{ Status, Reason string }
	v.asks("GET", "/verify/status?attempt="+started.Attempt, "", &now)
	return now.Status, now.Reason
}

func (v *visitor) asks(method, path, body string, answer any) {
	v.t.Helper()
	r, err := http.NewRequest(method, v.origin+path, strings.NewReader(body))
	require.NoError(v.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	res, err := v.client.Do(r)
	require.NoError(v.t, err)
	defer res.Body.Close()
	require.Less(v.t, res.StatusCode, 300)
	require.NoError(v.t, json.NewDecoder(res.Body).Decode(answer))
}

func born(years int) func(*okid.VerificationBody) {
	return func(b *okid.VerificationBody) {
		b.VerificationDetails.DateOfBirth = time.Now().AddDate(-years, 0, -1).Format(time.DateOnly)
	}
}

const inside = "Help yourself"

// Who is verified passes where that is enough, and is asked for more elsewhere, without losing
// what they have.
func TestStepUp(t *testing.T) {
	jane := newShopFor(t)("Jane", "Roe")
	assert.Contains(t, jane.opens("/beer"), "Verify your identity")
	status, reason := jane.verifies(func(b *okid.VerificationBody) { b.DocumentType = "id-card" })
	require.Equal(t, "verified", status, reason)
	assert.Contains(t, jane.opens("/beer"), inside)
	assert.Contains(t, jane.opens("/wine"), inside)

	page := jane.opens("/whisky")
	assert.Contains(t, page, "This needs another document: passport.")
	assert.Contains(t, page, `name="renew"`)
	status, reason = jane.verifies(func(b *okid.VerificationBody) { b.VerificationDetails.FirstName = "Zoe" })
	assert.Equal(t, "failed name_mismatch", status+" "+reason)
	assert.Contains(t, jane.opens("/wine"), inside, "what stood stands")
	status, _ = jane.verifies(func(*okid.VerificationBody) {})
	require.Equal(t, "verified", status)
	assert.Contains(t, jane.opens("/whisky"), inside)
}

// Who is too young for wine may have beer, and who is too young for that may not try again.
func TestAges(t *testing.T) {
	enter := newShopFor(t)
	teen := enter("Jane", "Roe")
	status, _ := teen.verifies(born(17))
	require.Equal(t, "verified", status)
	assert.Contains(t, teen.opens("/beer"), inside)
	assert.Contains(t, teen.opens("/wine"), "You must be 18 or older.")

	child := enter("Jane", "Roe")
	status, reason := child.verifies(born(15))
	require.Equal(t, "failed too_young", status+" "+reason)
	page := child.opens("/beer")
	assert.Contains(t, page, "You are younger than this site requires.")
	assert.NotContains(t, page, "<form")

	unknown := enter("Jane", "Roe")
	status, reason = unknown.verifies(func(b *okid.VerificationBody) { b.VerificationDetails.DateOfBirth = "" })
	assert.Equal(t, "failed age_unknown", status+" "+reason)
}

// An account is for the person whose name it has, and a person has one account.
func TestWhoseAccount(t *testing.T) {
	enter := newShopFor(t)
	status, reason := enter("John", "Doe").verifies(func(*okid.VerificationBody) {})
	assert.Equal(t, "failed name_mismatch", status+" "+reason)
	status, reason = enter("J.", "Roe").verifies(func(*okid.VerificationBody) {})
	require.Equal(t, "verified", status, reason)
	again := enter("Jane", "Roe")
	status, reason = again.verifies(func(*okid.VerificationBody) {})
	assert.Equal(t, "failed other_account", status+" "+reason)
	assert.Contains(t, again.opens("/wine"), "You have another account with us already.")
}

// Who has no account is sent to where one is opened.
func TestNobody(t *testing.T) {
	v := newShopFor(t)("Jane", "Roe")
	v.client.Jar = nil
	assert.Contains(t, v.opens("/beer"), "Open an account first.")
}

func TestRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out, lines := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", lines) }()
	line := make([]byte, 100)
	n, err := out.Read(line)
	require.NoError(t, err)
	address, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "open ")
	require.True(t, ok)
	res, err := http.Get(address)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, 200, res.StatusCode)
	stop()
	assert.NoError(t, <-ended)
	require.ErrorContains(t, run(t.Context(), "256.0.0.1:0", io.Discard), "set ADDR")
}
