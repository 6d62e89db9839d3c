package okidhttp

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/okidkit/okidkit/internal/engine"
	"github.com/okidkit/okidkit/store"
)

// ErrDegraded is wrapped by what [Kit.Check] finds while users are served all the same.
var ErrDegraded = errors.New("okidhttp: degraded")

// Check tells whether the kit can work, for a readiness probe or an alert. It asks the store, by the
// store's own Check if it has one, looks whether the store has lost records since this process
// first looked, and whether something has been due for five minutes, which means that no process
// runs [Kit.Run].
//
// The error names all problems. It wraps [ErrDegraded] if users are served all the same, so that the
// process should get requests and somebody should have a look: the store may lose records
// ([store.ErrDegraded]) or has, or what is due is not worked on. Any other error means that the
// store is away.
func (k *Kit) Check(ctx context.Context) error {
	err := k.engine.Check(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrStore):
		return err
	}
	return errors.Join(ErrDegraded, err)
}

// readyTime bounds how long the readiness probe waits for the store.
const readyTime = 2 * time.Second

// readiness is the answer of [Kit.Ready].
type readiness struct {
	Status  string   `json:"status"`
	Reasons []string `json:"reasons,omitempty"`
}

// Ready is a readiness probe, to be mounted where the host has its own. It answers what [Kit.Check]
// finds:
//
//	200 {"status":"ready"}
//	200 {"status":"degraded","reasons":["store_at_risk","records_lost","late"]}
//	503 {"status":"down"}
//
// What is wrong is in the log. It takes a GET, and asks nobody who they are.
func (k *Kit) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !k.allow(w, r, http.MethodGet) {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		status, answer := http.StatusOK, readiness{Status: "ready"}
		if err := k.Check(ctx); err != nil {
			k.engine.Line(r.Context(), slog.LevelWarn, "check", "okidhttp: check", "error", err)
			status, answer.Status = http.StatusServiceUnavailable, "down"
			if errors.Is(err, ErrDegraded) {
				status, answer = http.StatusOK, readiness{Status: "degraded", Reasons: degradedBy(err)}
			}
		}
		h := w.Header()
		noStore(h)
		h.Set("Content-Type", "application/json")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // the client is gone
	})
}

// degradedBy names what is degraded.
func degradedBy(err error) (reasons []string) {
	for _, r := range []struct {
		err  error
		name string
	}{{store.ErrDegraded, "store_at_risk"}, {engine.ErrLost, "records_lost"}, {engine.ErrLate, "late"}} {
		if errors.Is(err, r.err) {
			reasons = append(reasons, r.name)
		}
	}
	return reasons
}
