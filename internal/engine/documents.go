package engine

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

const (
	// maxHolders is how many subjects the record of a document lists at most, the first
	// ones. More need not be told of more.
	maxHolders = 64
	// documentFormat is the first byte of such a record, which their hashes follow.
	documentFormat = 1
)

// sameDocument returns the other subjects that are verified with the document of a
// verification, in the order in which they first presented it.
//
// Each subject is written down before it looks for others, so that of two who come at the
// same moment the later one sees the earlier one: an earlier one counts also while its
// verification is under way.
func (e *Engine) sameDocument(ctx context.Context, of attempt.SubjectHash, v *identity.Verification) (subjects []string, err error) {
	prints := e.policy.Fingerprints(v)
	if len(prints) == 0 {
		return nil, nil
	}
	var holders []attempt.SubjectHash
	for _, old := range prints[1:] { // under keys that came before
		held, _, err := e.holders(ctx, old)
		if err != nil {
			return nil, err
		}
		holders = append(holders, held...)
	}
	held, err := e.hold(ctx, prints[0], of)
	if err != nil {
		return nil, err
	}
	holders = append(holders, held...)
	earlier, seen := true, map[attempt.SubjectHash]bool{}
	for _, other := range holders {
		switch {
		case other == of:
			earlier = false
			continue
		case seen[other]:
			continue
		}
		seen[other] = true
		s, err := e.Load(ctx, other)
		if err != nil {
			return nil, err
		}
		if e.policy.HasDocument(s.Record, prints, earlier, s.Now) {
			subject, _ := e.policy.OpenSubject(s.Record) // "" if the key is gone
			subjects = append(subjects, subject)
		}
	}
	return subjects, nil
}

func documentKey(print []byte) string { return "d:" + base64.RawURLEncoding.EncodeToString(print) }

// holders returns the subjects that have presented a document, oldest first.
func (e *Engine) holders(ctx context.Context, print []byte) (held []attempt.SubjectHash, version uint64, err error) {
	get, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(get, documentKey(print))
	const size = len(attempt.SubjectHash{})
	switch b := rec.Value; {
	case errors.Is(err, store.ErrNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, storeError(ctx, err)
	case len(b) == 0 || b[0] != documentFormat || (len(b)-1)%size != 0:
		return nil, 0, storeError(ctx, attempt.ErrCorrupt)
	}
	for b := rec.Value[1:]; len(b) > 0; b = b[size:] {
		held = append(held, attempt.SubjectHash([]byte(b[:size])))
	}
	return held, rec.Version, nil
}

// hold adds a subject to those that have presented a document, and returns them.
func (e *Engine) hold(ctx context.Context, print []byte, of attempt.SubjectHash) ([]attempt.SubjectHash, error) {
	return e.editHolders(ctx, print, func(held []attempt.SubjectHash) []attempt.SubjectHash {
		if slices.Contains(held, of) || len(held) >= maxHolders {
			return held
		}
		return append(held, of)
	})
}

// release takes a subject off the record of a document.
func (e *Engine) release(ctx context.Context, print []byte, of attempt.SubjectHash) error {
	_, err := e.editHolders(ctx, print, func(held []attempt.SubjectHash) []attempt.SubjectHash {
		return slices.DeleteFunc(slices.Clone(held), func(h attempt.SubjectHash) bool { return h == of })
	})
	return err
}

// editHolders changes the record of a document, which goes with its last subject.
func (e *Engine) editHolders(ctx context.Context, print []byte, change func([]attempt.SubjectHash) []attempt.SubjectHash) ([]attempt.SubjectHash, error) {
	for range maxRounds {
		held, version, err := e.holders(ctx, print)
		if err != nil {
			return nil, err
		}
		now := change(held)
		if len(now) == len(held) {
			return now, nil
		}
		w := store.Write{Value: []byte{documentFormat}, Replaces: version, Version: randomNonZero(), TTL: e.cfg.Retention}
		if len(now) == 0 {
			w.TTL = time.Minute // whoever adds one meanwhile does so to this version
		}
		for _, h := range now {
			w.Value = append(w.Value, h[:]...)
		}
		if err = e.write(ctx, documentKey(print), w); !errors.Is(err, store.ErrConflict) {
			return now, err
		}
	}
	return nil, attempt.ErrInFlight
}

// eraseDocuments takes a subject off the records of all documents that its own knows. A
// record that cannot be read knows of none.
func (e *Engine) eraseDocuments(ctx context.Context, of attempt.SubjectHash) error {
	s, err := e.Load(ctx, of)
	switch {
	case errors.Is(err, attempt.ErrCorrupt):
		return nil
	case err != nil:
		return err
	}
	for i := range s.Attempts {
		if print := s.Attempts[i].Document; len(print) > 0 {
			if err := e.release(ctx, print, of); err != nil {
				return err
			}
		}
	}
	return nil
}

// releaseErased undoes hold for a subject who was erased while the host was called.
func (e *Engine) releaseErased(ctx context.Context, of attempt.SubjectHash, in attempt.Input) {
	said, ok := in.(*attempt.HostSaid)
	if !ok || said.Call.Status != identity.Verified {
		return
	}
	if prints := e.policy.Fingerprints(said.Call.Work.Verification); len(prints) > 0 {
		if err := e.release(ctx, prints[0], of); err != nil {
			e.Failed(ctx, StoreFailed, err)
		}
	}
}
