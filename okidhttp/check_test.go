package okidhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

// selfAware is a store that finds something out about itself.
type selfAware struct {
	store.Store
	finds error
}

func (s *selfAware) Check(context.Context) error { return s.finds }

func ready(k *Kit) (int, string) {
	rec := httptest.NewRecorder()
	k.Ready().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return rec.Code, rec.Body.String()
}

// What keeps users out is down; what somebody should look at is degraded.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(w *world, s *selfAware)
		code    int
		body    string
	}{
		"nothing": {func(*world, *selfAware) {}, 200, `{"status":"ready"}`},
		"the store may evict": {func(_ *world, s *selfAware) {
			s.finds = fmt.Errorf("evicts: %w", store.ErrDegraded)
		}, 200, `{"status":"degraded","reasons":["store_at_risk"]}`},
		"the store cannot":  {func(_ *world, s *selfAware) { s.finds = errors.New("no table") }, 503, `{"status":"down"}`},
		"the store is away": {func(w *world, _ *selfAware) { w.store.broken = errors.New("away") }, 503, `{"status":"down"}`},
		"records are lost": {func(w *world, _ *selfAware) {
			require.NoError(w.t, w.store.Delete(w.t.Context(), "k:canary"))
		}, 200, `{"status":"degraded","reasons":["records_lost"]}`},
		"nobody works": {func(w *world, _ *selfAware) {
			a := w.start("alice").Attempt
			w.host.failing(func(Event) error { return errors.New("database is away") })
			w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified})
			w.clock.add(10 * time.Minute)
		}, 200, `{"status":"degraded","reasons":["late"]}`},
		"all of it": {func(w *world, s *selfAware) {
			s.finds = store.ErrDegraded
			w.start("alice")
			w.clock.add(time.Hour)
			require.NoError(w.t, w.store.Delete(w.t.Context(), "k:canary"))
		}, 200, `{"status":"degraded","reasons":["store_at_risk","records_lost","late"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := &selfAware{Store: w.store}
			w.kit = w.replica(func(c *Config) { c.Store = s })
			code, body := ready(w.kit)
			require.Equal(t, 200, code)
			require.JSONEq(t, `{"status":"ready"}`, body)
			code, body = ready(w.replica(func(c *Config) { c.Store = s }))
			require.Equal(t, 200, code)
			require.JSONEq(t, `{"status":"ready"}`, body, "another process has made the canary")

			tt.happens(w, s)
			code, body = ready(w.kit)
			assert.Equal(t, tt.code, code)
			assert.JSONEq(t, tt.body, body)
			err := w.kit.Check(t.Context())
			assert.Equal(t, tt.body == `{"status":"ready"}`, err == nil)
			assert.Equal(t, tt.code == 200 && err != nil, errors.Is(err, ErrDegraded))
		})
	}
	rec := httptest.NewRecorder()
	newWorld(t).kit.Ready().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/readyz", nil))
	assert.Equal(t, 405, rec.Code)
}

// While somebody works, nothing is late.
func TestCheckWhileRunWorks(t *testing.T) {
	w := newWorld(t)
	w.start("alice")
	w.clock.add(time.Hour)
	assert.ErrorIs(t, w.kit.Check(t.Context()), ErrDegraded)
	w.work()
	assert.NoError(t, w.kit.Check(t.Context()))
}
