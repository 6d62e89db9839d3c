package engine

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// A support code is the ID of an attempt, which does not say whose the attempt is. A record of its
// own does, if the host wants that. It is written while the provider is asked for a token, so that
// no user waits for it, and holds the attempt's reference, which opens with the keys alone.

func codeKey(id attempt.ID) string { return "code:" + id.String() }

// keepCode lets an attempt be found by its support code, for as long as an attempt that leads
// nowhere is kept.
func (e *Engine) keepCode(ctx context.Context, a *attempt.Attempt) {
	err := e.write(ctx, codeKey(a.ID), store.Write{Value: []byte(a.Reference), Version: randomNonZero(), TTL: e.cfg.UnverifiedRetention})
	if err != nil {
		e.Failed(ctx, StoreFailed, err, "attempt", a.ID)
	}
}

// forgetCodes takes back the support codes of the attempts in a subject's record.
func (e *Engine) forgetCodes(ctx context.Context, of attempt.SubjectHash) error {
	s, err := e.Load(ctx, of)
	switch {
	case errors.Is(err, attempt.ErrCorrupt):
		return nil // it knows of none
	case err != nil:
		return err
	}
	for i := range s.Attempts {
		if err := e.forgetCode(ctx, s.Attempts[i].ID); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) forgetCode(ctx context.Context, id attempt.ID) error {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	if err := e.cfg.Store.Delete(ctx, codeKey(id)); err != nil {
		return storeError(ctx, err)
	}
	return nil
}

// FindSubject returns whose attempt has a support code or a reference. The error is [ErrGone] if
// there is none.
func (e *Engine) FindSubject(ctx context.Context, code string) (subject string, err error) {
	at, ok := e.OpenReference(code)
	if !ok {
		if at, ok, err = e.openCode(ctx, code); err != nil {
			return "", err
		}
	}
	if !ok {
		return "", ErrGone
	}
	s, err := e.Load(ctx, at.Subject)
	if err != nil {
		return "", err
	}
	if s.Find(at.Attempt) == nil {
		return "", ErrGone
	}
	return e.policy.OpenSubject(s.Record)
}

// openCode returns the address that a support code leads to, if it is one.
func (e *Engine) openCode(ctx context.Context, code string) (at attempt.Address, ok bool, err error) {
	var id attempt.ID
	if len(code) != hex.EncodedLen(len(id)) {
		return at, false, nil
	}
	if _, err := hex.Decode(id[:], []byte(code)); err != nil {
		return at, false, nil
	}
	get, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(get, codeKey(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return at, false, nil
	case err != nil:
		return at, false, storeError(ctx, err)
	}
	at, ok = e.OpenReference(string(rec.Value))
	return at, ok && at.Attempt == id, nil
}
