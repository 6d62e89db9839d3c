package okidhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

func deadLetters(t *testing.T, k *Kit) []DeadLetter {
	t.Helper()
	letters := []DeadLetter{}
	for l, err := range k.DeadLetters(t.Context()) {
		require.NoError(t, err)
		letters = append(letters, l)
	}
	return letters
}

// givenUp is a world in which the host has given up on a notice about alice.
func givenUp(t *testing.T, s identity.Status, changes ...func(*Config)) (w *world, letter DeadLetter) {
	t.Helper()
	w = newWorld(t, changes...)
	ref := w.start("alice").Attempt
	w.provider.answer(ref, "v1", s)
	w.host.failing(func(Event) error { return Permanent(errors.New("no such user")) })
	require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: s}))
	w.later(time.Second) // Run lists it
	w.later(time.Second)
	w.clock.add(time.Minute)
	letters := deadLetters(t, w.kit)
	require.Len(t, letters, 1)
	return w, letters[0]
}

func TestDeadLettersAreListedAndShown(t *testing.T) {
	w, l := givenUp(t, identity.Verified)
	told := w.host.last()
	assert.Equal(t, DeadLetter{
		ID: told.ID, Reason: DeadCallback, Status: identity.Verified, Subject: "alice", Attempt: told.Attempt, Provider: "fake",
		VerificationID: "v1", Since: l.Since, Failures: 1,
	}, l)
	assert.False(t, l.Since.IsZero())

	shown, err := w.replica().DeadLetter(t.Context(), l.ID)
	require.NoError(t, err)
	assert.Equal(t, l, shown, "every replica shows it")
	_, err = w.kit.DeadLetter(t.Context(), "evt_other")
	assert.ErrorIs(t, err, ErrNoDeadLetter)

	text, err := json.Marshal(l)
	require.NoError(t, err)
	for _, printed := range []string{fmt.Sprint(l), fmt.Sprintf("%+v %#v", l, l), string(text), l.LogValue().String()} {
		assert.Contains(t, printed, l.ID)
		assert.NotContains(t, printed, "alice")
		assert.NotContains(t, printed, l.Attempt)
	}
}

func TestDeadLetterIsReplayed(t *testing.T) {
	for _, tt := range []struct {
		status identity.Status
		gate   int
	}{
		{identity.Verified, 200}, {identity.Failed, 403}, {identity.Started, 403}, {identity.Review, 403}, {identity.Expired, 403},
	} {
		t.Run(string(tt.status), func(t *testing.T) {
			w, l := givenUp(t, tt.status)
			assert.NotContains(t, w.record("alice").Attempts[0].Outbox, l, "nothing personal waits")

			w.host.failing(func(Event) error { return errors.New("database is away") })
			assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), l.ID), errCallback)
			assert.Equal(t, 403, w.gate("alice"))
			assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), l.ID), ErrNoDeadLetter, "it is tried again like any other")

			w.host.failing(nil)
			w.later(time.Minute)
			e := w.host.last()
			assert.Equal(t, l.ID, e.ID, "the host knows it by the same ID")
			assert.Equal(t, tt.status, e.Status)
			assert.Equal(t, "Canaryfirst", e.Verification.FirstName, "the provider was asked again")
			assert.Equal(t, tt.gate, w.gate("alice"))
			assert.Empty(t, deadLetters(t, w.kit))
			calls := len(w.host.heard())
			w.later(24 * time.Hour)
			assert.LessOrEqual(t, len(w.host.heard())-calls, 1, "but for an expiry, nothing is told again")
		})
	}
}

// A replay believes nothing that the provider does not say now.
func TestReplayAsksTheProvider(t *testing.T) {
	w, l := givenUp(t, identity.Verified)
	w.host.failing(nil)
	w.provider.away = identity.ErrUnavailable
	assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), l.ID), errProvider)
	assert.Equal(t, 403, w.gate("alice"))
	w.provider.away = nil
	w.provider.answer(l.Attempt, "v1", identity.Failed)
	w.later(time.Minute)
	assert.Equal(t, 403, w.gate("alice"))
	assert.NotContains(t, w.host.heard()[1:], "verified")
}

func TestReplayOfWhatHasPassed(t *testing.T) {
	w, l := givenUp(t, identity.Started)
	w.host.failing(func(e Event) error { return errors.New("still away") })
	assert.Equal(t, 500, w.webhook(notice{Reference: l.Attempt, ID: "v1", Status: identity.Failed}))
	calls := len(w.host.heard())
	assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), l.ID), ErrNoDeadLetter)
	assert.Len(t, w.host.heard(), calls, "the host's last word is the present one")
	assert.Empty(t, deadLetters(t, w.kit))
}

func TestNewerNewsMakesADeadLetterPointless(t *testing.T) {
	w, l := givenUp(t, identity.Started)
	w.host.failing(nil)
	assert.Equal(t, 200, w.webhook(notice{Reference: l.Attempt, ID: "v1", Status: identity.Verified}))
	assert.Empty(t, deadLetters(t, w.kit))
}

func TestDeadLetterIsDropped(t *testing.T) {
	w, l := givenUp(t, identity.Failed)
	require.NoError(t, w.kit.DropDeadLetter(t.Context(), l.ID))
	assert.ErrorIs(t, w.kit.DropDeadLetter(t.Context(), l.ID), ErrNoDeadLetter)
	assert.Empty(t, deadLetters(t, w.kit))
	listed, err := w.kit.engine.Listed(t.Context())
	require.NoError(t, err)
	assert.Empty(t, listed, "and it is off the list")
}

// An attempt whose user went through with it, but of which no webhook came, is
// surfaced, and the user can start anew.
func TestUnaddressable(t *testing.T) {
	w := newWorld(t)
	left := w.start("bob").Attempt
	ref := w.start("alice").Attempt
	w.get("alice", "/verify/success?attempt="+ref)
	w.later(time.Hour)
	w.later(time.Second)
	letters := deadLetters(t, w.kit)
	require.Len(t, letters, 1, "who merely left is none")
	assert.NotEqual(t, left, letters[0].Attempt)
	assert.Equal(t, DeadUnaddressable, letters[0].Reason)
	assert.Equal(t, ref, letters[0].Attempt)
	assert.NotEqual(t, w.host.last().ID, letters[0].ID)
	assert.Equal(t, 1, w.outcomes.of(OutcomeUnaddressable))
	assert.ErrorIs(t, w.kit.ReplayDeadLetter(t.Context(), letters[0].ID), ErrNotReplayable)
	assert.NotEqual(t, ref, w.start("alice").Attempt, "a new attempt")

	assert.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Verified}), "a webhook that comes after all")
	assert.Empty(t, deadLetters(t, w.kit))
	assert.Equal(t, 200, w.gate("alice"))
}

func TestEraseTakesDeadLettersAlong(t *testing.T) {
	w, _ := givenUp(t, identity.Failed)
	require.NoError(t, w.kit.Erase(t.Context(), "alice"))
	listed, err := w.kit.engine.Listed(t.Context())
	require.NoError(t, err)
	assert.Empty(t, listed, "not even the hash is left")
}

// Reading the list ends when the reader has enough, and when the store fails.
func TestDeadLettersEnd(t *testing.T) {
	w, _ := givenUp(t, identity.Failed)
	for range w.kit.DeadLetters(t.Context()) {
		break
	}
	w.store.breakDown(errStoreIsAway)
	var failed error
	for _, err := range w.kit.DeadLetters(t.Context()) {
		failed = err
	}
	assert.ErrorIs(t, failed, errStoreIsAway)
}

// A record that cannot be read does not hide the others.
func TestDeadLettersBesideACorruptRecord(t *testing.T) {
	w, _ := givenUp(t, identity.Failed)
	broken := attempt.Address{Subject: attempt.HashSubject("bob")}
	require.NoError(t, w.store.Put(t.Context(), broken.Subject.Key(), store.Write{Value: []byte("?"), Version: 1, TTL: time.Hour}))
	shard := fmt.Sprintf("dead:%x", broken.Subject[0]%16)
	listed, err := w.store.Get(t.Context(), shard)
	if errors.Is(err, store.ErrNotFound) {
		listed.Value = []byte{deadListFormat}
	} else {
		require.NoError(t, err)
	}
	require.NoError(t, w.store.Put(t.Context(), shard, store.Write{
		Value: append(slices.Clone(listed.Value), broken.Place()...), Replaces: listed.Version, Version: 7, TTL: time.Hour,
	}))
	assert.Len(t, deadLetters(t, w.kit), 1)
}
