package engine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

const (
	// erasurePrefix begins the key of a record that says what is to be erased at a provider.
	// What follows is random: it leads to nobody.
	erasurePrefix = "e:"
	// A provider that fails is asked again after 1, 2, 4 … seconds, up to maxErasePause, for
	// as long as eraseLimit.
	maxErasePause = 6 * time.Hour
	eraseLimit    = 30 * 24 * time.Hour
)

// erasure is what is to be erased. It is kept sealed.
type erasure struct {
	Provider string
	ID       string
	Since    time.Time
	Tries    int
}

// ErasesAtProvider reports whether a provider can be told to erase.
func ErasesAtProvider(p identity.Provider) bool {
	_, ok := p.(identity.Eraser)
	return ok
}

// orderErasures writes down what is to be erased at providers of a subject's verifications,
// before the subject is forgotten here. A record that cannot be read knows of none.
func (e *Engine) orderErasures(ctx context.Context, of attempt.SubjectHash) error {
	s, err := e.Load(ctx, of)
	switch {
	case errors.Is(err, attempt.ErrCorrupt):
		return nil
	case err != nil:
		return err
	}
	for i := range s.Attempts {
		a := &s.Attempts[i]
		if a.ProviderID == "" || !ErasesAtProvider(e.providers[a.Provider]) {
			continue
		}
		var name [16]byte
		_, _ = rand.Read(name[:]) // never fails, says its documentation
		key := erasurePrefix + base64.RawURLEncoding.EncodeToString(name[:])
		if err := e.writeErasure(ctx, key, 0, erasure{Provider: a.Provider, ID: a.ProviderID, Since: s.Now}, time.Second); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) writeErasure(ctx context.Context, key string, replaces uint64, job erasure, in time.Duration) error {
	plain, err := json.Marshal(job)
	if err != nil {
		return err
	}
	return e.write(ctx, key, store.Write{
		Value: e.keys.Seal("erasure", key, plain), Replaces: replaces, Version: randomNonZero(), TTL: 2 * eraseLimit, DueIn: in,
	})
}

// erase does what an erasure says, and forgets it when that is done.
func (e *Engine) erase(ctx context.Context, key string) error {
	get, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(get, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return storeError(ctx, err)
	}
	var job erasure
	plain, err := e.keys.Open("erasure", key, rec.Value)
	if err == nil {
		err = json.Unmarshal(plain, &job)
	}
	if err != nil {
		return e.setAside(ctx, key, fmt.Errorf("erasure: %w", err))
	}
	err = e.eraseAt(ctx, job)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil && rec.Now.Sub(job.Since) < eraseLimit:
		e.Observe(ctx, EraseFailed, "provider", job.Provider, "error", err)
		pause := min(time.Second<<min(job.Tries, 20), maxErasePause)
		if quiet, ok := errors.AsType[*identity.RateLimitError](err); ok {
			pause = max(pause, min(quiet.RetryAfter, maxErasePause))
		}
		job.Tries++
		if err := e.writeErasure(ctx, key, rec.Version, job, pause); !errors.Is(err, store.ErrConflict) {
			return err
		}
		return nil // another process has tried, too
	case err != nil:
		e.Observe(ctx, EraseFailed, "provider", job.Provider, "given_up", true, "error", err)
	default:
		e.Observe(ctx, Erased, "provider", job.Provider)
	}
	forget, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	if err := e.cfg.Store.Delete(forget, key); err != nil {
		return storeError(ctx, err)
	}
	return nil
}

func (e *Engine) eraseAt(ctx context.Context, job erasure) error {
	p, ok := e.providers[job.Provider].(identity.Eraser)
	if !ok {
		return fmt.Errorf("%w: %s is not configured any more", identity.ErrUnavailable, job.Provider)
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.CallbackTimeout)
	defer cancel()
	return p.Erase(ctx, job.ID)
}

func isErasure(key string) bool { return strings.HasPrefix(key, erasurePrefix) }
