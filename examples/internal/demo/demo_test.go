package demo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/okidkit/okidkit/examples/internal/demo"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/redisstore"
	"github.com/okidkit/okidkit/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newApp(t *testing.T, s store.Store) *demo.App {
	t.Helper()
	provider, err := okid.New(okid.Config{
		APIKey:         okidtest.DefaultAPIKey,
		WebhookSecrets: []string{okidtest.DefaultWebhookSecret},
	})
	require.NoError(t, err)
	app, err := demo.New(demo.Config{
		PublicURL: "https://cellar.example",
		Providers: []identity.Provider{provider},
		Store:     s,
		Keys:      [][]byte{[]byte("0123456789abcdef0123456789abcdef")},
		Out:       io.Discard,
		Log:       slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return app
}

// A server whose listener breaks leaves no work behind.
func TestServeEndsWithItsListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	assert.ErrorIs(t, newApp(t, memstore.New()).Serve(t.Context(), l), net.ErrClosed)
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.NoError(t, newApp(t, memstore.New()).Serve(ctx, l))
}

// checked is a store whose Check says something.
type checked struct {
	store.Store
	err error
}

func (c checked) Check(context.Context) error { return c.err }

// A store that works with a risk still serves, and says so.
func TestReadiness(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 200, "ready"},
		{fmt.Errorf("redisstore: %w", redisstore.ErrEviction), 200, "degraded"},
		{fmt.Errorf("%w: NOPERM", redisstore.ErrNoSignals), 200, "degraded: the store gives no signals"},
		{errAway, 503, "store is away"},
	} {
		app := newApp(t, checked{memstore.New(), tt.err})
		w := httptest.NewRecorder()
		app.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		assert.Equal(t, tt.code, w.Code, tt.says)
		assert.Regexp(t, "^"+tt.says+`\b`, w.Body.String())
	}
}

// away is a store that cannot be reached.
type away struct{ store.Store }

func (away) Get(context.Context, string) (store.Record, error) { return store.Record{}, errAway }
func (away) Due(context.Context, int) ([]string, error)        { return nil, errAway }
func (away) Put(context.Context, string, store.Write) error    { return errAway }

var errAway = errors.New("store is away")

func TestStoreAway(t *testing.T) {
	app := newApp(t, away{})
	get := func(path string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", path, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		app.ServeHTTP(w, r)
		return w
	}
	assert.Equal(t, http.StatusOK, get("/healthz").Code)
	assert.Equal(t, http.StatusServiceUnavailable, get("/readyz").Code)

	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/login?user=nobody", nil)
	app.ServeHTTP(w, r)
	assert.Equal(t, http.StatusBadRequest, w.Code, "a link logs nobody in")
	r = httptest.NewRequest("POST", "/login", nil)
	r.PostForm = map[string][]string{"user": {"alice"}}
	w = httptest.NewRecorder()
	app.ServeHTTP(w, r)
	require.Equal(t, http.StatusSeeOther, w.Code)
	members := get("/members", w.Result().Cookies()...)
	assert.Equal(t, http.StatusServiceUnavailable, members.Code)
	assert.NotEmpty(t, members.Header().Get("Retry-After"))
}
