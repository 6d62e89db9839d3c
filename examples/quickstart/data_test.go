package main

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// With a file, who is verified is so after a restart.
func TestData(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quickstart.db")
	w := &world{lines: make(lines, 1000), starts: make(chan start, 1000)}
	w.newFake(t, okidtest.Chaos{})
	use := func(t *testing.T) (members func() int, browser *http.Client) {
		w.serve(t, func(ctx context.Context) error {
			return serve(ctx, "127.0.0.1:0", file, w.lines, providers{okid: okid.Config{APIURL: w.fake.URL(), FrontendURL: w.fake.URL(), SDKURL: w.fake.SDKURL()}})
		})
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		browser = &http.Client{Jar: jar, Timeout: stepTimeout}
		resp, err := browser.PostForm(w.url+"/login", url.Values{"user": {"alice"}})
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return func() int {
			resp, err := browser.Get(w.url + "/members")
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			return resp.StatusCode
		}, browser
	}
	t.Run("verify", func(t *testing.T) {
		members, browser := use(t)
		assert.Equal(t, http.StatusForbidden, members())
		require.NoError(t, w.fake.VerifyUser(t.Context(), browser, w.url+"/verify/start", okidtest.Passport(time.Now())))
		assert.Equal(t, http.StatusOK, members())
		assert.Equal(t, []string{"started", "verified"}, w.callbacks())
	})
	t.Run("restart", func(t *testing.T) {
		members, _ := use(t)
		assert.Equal(t, http.StatusOK, members())
	})
	info, err := os.Stat(file + ".key")
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.WriteFile(file+".key", []byte("short"), 0o600))
	_, err = openData(t.Context(), file)
	assert.ErrorContains(t, err, "has 5 bytes instead of 32")
	_, err = openData(t.Context(), filepath.Join(t.TempDir(), "missing", "file"))
	assert.Error(t, err)
}
