package okidhttp

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/seal"
	"github.com/okidkit/okidkit/store"
)

// What the tests of this package know of the engine's insides: the numbers, which users
// notice and which must not change by accident, and what stands in a record.
const (
	dueBatch       = 100
	pollEvery      = time.Second
	refreshEvery   = 4 * time.Minute
	maxRefreshGap  = 15 * time.Minute
	maxRefreshes   = 50
	returnEvery    = 2 * time.Second
	staleEvery     = 2 * time.Second
	startTime      = 20 * time.Second
	claimPatience  = 30 * time.Second
	giveUpAfter    = 72 * time.Hour
	clockSkew      = 5 * time.Minute
	maxSeen        = 16
	maxStarts      = 32
	maxOpen        = 32
	maxStartCrowd  = 64
	maxLines       = 10
	listRetry      = time.Hour
	maxListed      = 10_000
	deadListFormat = 1
)

// at is where the attempt of a reference is kept.
func (w *world) at(reference string) attempt.Address {
	w.t.Helper()
	at, ok := w.kit.engine.OpenReference(reference)
	require.True(w.t, ok)
	return at
}

// newReference is a reference that a kit would have given out for an address.
func newReference(k *Kit, at attempt.Address) string { return k.keys.NewReference(at.Place()) }

// record is what the store holds of a user.
func (w *world) record(user string) *attempt.Record {
	w.t.Helper()
	s, err := w.kit.engine.Load(w.t.Context(), attempt.HashSubject(user))
	require.NoError(w.t, err)
	return s.Record
}

// edit changes the record of a user behind the kit's back.
func (w *world) edit(user string, change func(r *attempt.Record, now time.Time)) {
	w.t.Helper()
	editIn(w.t, w.store, w.kit, user, change)
}

func editIn(t *testing.T, in store.Store, k *Kit, user string, change func(r *attempt.Record, now time.Time)) {
	t.Helper()
	of := attempt.HashSubject(user)
	rec, err := in.Get(t.Context(), of.Key())
	require.NoError(t, err)
	r, err := attempt.Decode(rec.Value, of)
	require.NoError(t, err)
	change(r, rec.Now)
	require.NoError(t, in.Put(t.Context(), of.Key(), store.Write{
		Value: r.AppendTo(nil), Replaces: rec.Version, Version: rec.Version + 1, TTL: 365 * 24 * time.Hour,
		DueIn: k.engine.Policy().DueIn(r, rec.Now),
	}))
}

// firstEntry is the first entry of which is holds, or nil.
func firstEntry(a *attempt.Attempt, is func(*attempt.Entry) bool) *attempt.Entry {
	for i := range a.Outbox {
		if is(&a.Outbox[i]) {
			return &a.Outbox[i]
		}
	}
	return nil
}

func awaits(a *attempt.Attempt, s identity.Status) *attempt.Entry {
	return firstEntry(a, func(e *attempt.Entry) bool { return e.Status == s })
}

func awaitsEvent(a *attempt.Attempt, event int64) bool {
	return firstEntry(a, func(e *attempt.Entry) bool { return e.Event == event }) != nil
}

func discard(a *attempt.Attempt, is func(*attempt.Entry) bool) {
	a.Outbox = slices.DeleteFunc(a.Outbox, func(e attempt.Entry) bool { return is(&e) })
}

// busy reports whether anything waits that does not wait for the user.
func busy(a *attempt.Attempt) bool {
	return firstEntry(a, func(e *attempt.Entry) bool { return !e.Held }) != nil
}

func leased(a *attempt.Attempt, now time.Time) bool {
	return a.Lease.Owner != 0 && now.Before(a.Lease.Until)
}

var (
	errCorrupt    = attempt.ErrCorrupt
	errUnsealable = seal.ErrUnsealable
	errCallback   = attempt.ErrCallback
	errProvider   = attempt.ErrProvider
	errInFlight   = attempt.ErrInFlight
)

const (
	dueLook = 4 * dueBatch
	workers = 8
)
