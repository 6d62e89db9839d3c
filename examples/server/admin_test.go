package main

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/okidtest"
)

// form posts a form of the operator page's, of pairs.
func (u *user) form(t *testing.T, pairs ...string) answer {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return u.do(t, "POST", "/admin/", values.Encode(), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin", "Accept: text/html")
}

// Those who are named can open the operator page, and nobody else.
func TestAdminAccess(t *testing.T) {
	everywhere(t, func(t *testing.T, launch launcher) {
		s := launch(t, nil)
		assert.Equal(t, http.StatusNotFound, s.logIn(t, "sam").do(t, "GET", "/admin/", "").status, "it is off")
		s.stop(t)

		s = launch(t, map[string]string{"ADMIN_USERS": "sam, Kim"})
		for _, tt := range []struct {
			name string
			want int
		}{{"sam", 200}, {"Kim", 200}, {"kim", 403}, {"samuel", 403}, {"sam,", 403}, {"alice", 403}, {"", 401}} {
			u := s.logIn(t, tt.name)
			assert.Equal(t, tt.want, u.do(t, "GET", "/admin/", "").status, tt.name)
			if tt.want != 200 {
				assert.Equal(t, tt.want, u.form(t, "action", "approve", "subject", "alice", "reason", "none").status, tt.name)
			}
		}
		s.logIn(t, "alice").shut(t)
		nobody := s.logIn(t, "").do(t, "GET", "/admin/", "", "Accept: text/html")
		assert.Equal(t, http.StatusSeeOther, nobody.status)
		assert.Equal(t, "/?next=%2Fadmin%2F", nobody.header.Get("Location"))
		forged := s.logIn(t, "sam").do(t, "POST", "/admin/", "action=revoke&subject=alice&reason=x", "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: cross-site")
		assert.Equal(t, http.StatusForbidden, forged.status)
		assert.Equal(t, http.StatusNotFound, s.logIn(t, "sam").do(t, "GET", "/admin/more", "").status)
		s.stop(t)
	})
}

// What staff do counts at every replica, and the history says who has done it, and why.
func TestAdminActs(t *testing.T) {
	everywhere(t, func(t *testing.T, launch launcher) {
		s := launch(t, map[string]string{"ADMIN_USERS": "sam"})
		alice, sam := s.logIn(t, "alice"), s.logIn(t, "sam")
		a := alice.begin(t)
		require.NoError(t, s.fake.Complete(a.id, okidtest.Passport(now())))
		s.settle(t)
		s.told(t, a, "verified")
		alice.opened(t)

		found := sam.form(t, "action", "find", "user", "alice")
		require.Equal(t, http.StatusSeeOther, found.status)
		here := "/admin/" + found.header.Get("Location")
		page := sam.do(t, "GET", here, "").body
		code := regexp.MustCompile(`<code>([0-9a-f]{16})</code>`).FindStringSubmatch(page)
		require.NotNil(t, code)
		assert.Equal(t, found.header.Get("Location"), sam.form(t, "action", "find", "user", code[1]).header.Get("Location"), "by the support code")

		assert.Equal(t, http.StatusUnprocessableEntity, sam.form(t, "action", "revoke", "subject", "alice").status, "a reason is required")
		alice.opened(t)
		require.Equal(t, http.StatusSeeOther, sam.form(t, "action", "revoke", "subject", "alice", "reason", "Chargeback 4711").status)
		s.told(t, a, "revoked")
		alice.shut(t)
		for _, says := range []string{"<code>revoke</code>", "<td>sam</td>", "<td>Chargeback 4711</td>"} {
			assert.Contains(t, sam.do(t, "GET", here, "").body, says)
		}

		require.Equal(t, http.StatusSeeOther, sam.form(t, "action", "approve", "subject", "alice", "reason", "Passport seen").status)
		alice.opened(t)
		assert.Equal(t, "verified", receive(t, s.lines).Callback)
		assert.Equal(t, http.StatusUnprocessableEntity, sam.form(t, "action", "erase", "subject", "alice", "reason", "Asked to", "confirm", "Alice").status)
		alice.opened(t)
		require.Equal(t, http.StatusSeeOther, sam.form(t, "action", "erase", "subject", "alice", "reason", "Asked to", "confirm", "alice").status)
		alice.shut(t)
		assert.Equal(t, http.StatusNotFound, sam.do(t, "GET", here, "").status)
		s.stop(t)
	})
}

// With GRANT_CACHE a revocation counts at once where it was made, and at every other process within
// that time.
func TestGrantCache(t *testing.T) {
	t.Parallel()
	addr := redistest.Server(t)
	const cache = time.Second
	env := map[string]string{
		"REDIS_URL": "redis://" + addr, "OKID_KEYS": randomKey(), "OKID_API_KEY": rand.Text(), "OKID_WEBHOOK_SECRET": rand.Text(),
		"GRANT_CACHE": cache.String(), "ADMIN_USERS": "sam",
	}
	here, there := launch(t, env), launch(t, env)
	alice := here.logIn(t, "alice")
	a := alice.begin(t)
	require.NoError(t, here.fake.Complete(a.id, okidtest.Passport(now())))
	here.settle(t)
	here.told(t, a, "verified")
	alice.opened(t)
	alice.at(there).opened(t)

	sam := here.logIn(t, "sam")
	before := now()
	require.Equal(t, http.StatusSeeOther, sam.form(t, "action", "revoke", "subject", "alice", "reason", "Chargeback").status)
	alice.shut(t)
	revoked := now()
	visits := 0
	for alice.at(there).do(t, "GET", "/members", "").status == http.StatusOK {
		visits++
		require.Less(t, now().Sub(before), patience)
	}
	assert.Less(t, now().Sub(revoked), cache+100*time.Millisecond)
	t.Logf("%d visits in %v", visits, now().Sub(before))
	alice.at(there).shut(t)
	here.told(t, a, "revoked")
}
