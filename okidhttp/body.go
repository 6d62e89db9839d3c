package okidhttp

import (
	"errors"
	"net/http"
	"time"

	"github.com/okidkit/okidkit/internal/body"
	"github.com/okidkit/okidkit/internal/engine"
)

const (
	// webhookTime is how long the body of a webhook may take to arrive, and userTime
	// that of a user, whose line may be slow.
	webhookTime = 5 * time.Second
	userTime    = 10 * time.Second

	// The room for bodies that are being read, or whose sender is not known yet, in
	// bytes: for each route by itself, so that none stands in the way of another.
	webhookSmall, webhookLarge   = 16 << 20, 8 << 20
	claimSmall, claimLarge       = 4 << 20, 16 << 20
	startSmall, startLarge       = 4 << 20, 4 << 20
	strangerSmall, strangerLarge = 1 << 20, 1 << 20
)

// refuse answers a request whose body could not be read. What is left of it is not waited
// for.
func (k *answers) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemBadRequest
	switch {
	case errors.Is(err, body.ErrEncoded):
		p = problemEncodedBody
	case errors.Is(err, body.ErrTooLarge):
		p = problemBodyTooLarge
	case errors.Is(err, body.ErrSlow):
		p = problemSlowBody
	case errors.Is(err, body.ErrRead):
		p = problemBodyRead
		k.engine.Observe(r.Context(), engine.BodyRead)
	case errors.Is(err, body.ErrBusy):
		p = problemBusy
		k.engine.Observe(r.Context(), engine.Busy)
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	k.problem(w, r, p, nil)
}
