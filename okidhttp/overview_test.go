package okidhttp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/engine"
)

// A support code leads to whose attempt it names, and so does a reference; and both do no more
// once the subject is erased.
func TestFind(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.SupportCodes = true })
	a := w.start("alice").Attempt
	attempts, err := w.kit.Attempts(t.Context(), "alice")
	require.NoError(t, err)
	code := attempts[0].ID
	other := w.replica(func(c *Config) { c.SupportCodes = true })
	for _, text := range []string{code, strings.ToUpper(code), a} {
		subject, err := other.Find(t.Context(), text)
		require.NoError(t, err, text)
		assert.Equal(t, "alice", subject)
	}
	require.NoError(t, w.kit.Approve(t.Context(), "bob", bySam)) // who has never started
	attempts, err = w.kit.Attempts(t.Context(), "bob")
	require.NoError(t, err)
	subject, err := w.kit.Find(t.Context(), attempts[0].ID)
	require.NoError(t, err)
	assert.Equal(t, "bob", subject)

	for _, text := range []string{"", "alice", "0123456789abcdef", code[:15], code + "0", "zz" + code[2:], a[:95], strings.Repeat("A", 96)} {
		_, err := w.kit.Find(t.Context(), text)
		assert.ErrorIs(t, err, ErrNoAttempt, text)
	}
	w.store.broken = errors.New("store is away")
	_, err = w.kit.Find(t.Context(), code)
	assert.ErrorContains(t, err, "store is away")
	assert.NotErrorIs(t, err, ErrNoAttempt)
	w.store.broken = nil

	require.NoError(t, w.kit.Erase(t.Context(), "alice"))
	w.start("alice")
	for _, text := range []string{code, a} {
		_, err := w.kit.Find(t.Context(), text)
		assert.ErrorIs(t, err, ErrNoAttempt, text)
	}
}

// Without SupportCodes nothing more is written, and references are found all the same.
func TestFindByReference(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	attempts, err := w.kit.Attempts(t.Context(), "alice")
	require.NoError(t, err)
	subject, err := w.kit.Find(t.Context(), a)
	require.NoError(t, err)
	assert.Equal(t, "alice", subject)
	_, err = w.kit.Find(t.Context(), attempts[0].ID)
	assert.ErrorIs(t, err, ErrNoAttempt)
}

// Starts that fail leave no codes behind.
func TestSupportCodesOfFailedStarts(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.SupportCodes = true })
	w.provider.onStart = func(identity.StartRequest) error { return fmt.Errorf("%w: away", identity.ErrUnavailable) }
	for range 3 {
		assert.Equal(t, 503, w.tryStart("alice").Code)
	}
	written, left := map[string]bool{}, 0
	for _, value := range w.store.values { // the key, and what was written there
		const code = len("code:0123456789abcdef")
		if strings.HasPrefix(value, "code:") {
			written[value[:code]] = true
		}
	}
	for key := range written {
		if _, err := w.store.Store.Get(t.Context(), key); err == nil {
			left++
		}
	}
	assert.Len(t, written, 3)
	assert.Zero(t, left)
}

// The start of a support code that cannot be written takes place.
func TestSupportCodeIsNoReasonToFail(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.SupportCodes = true })
	w.store.unwritable = "code:"
	w.start("alice")
	assert.Contains(t, w.log.String(), "store_failed")
}

func TestOverview(t *testing.T) {
	w := newWorld(t)
	o, err := w.kit.Overview(t.Context())
	require.NoError(t, err)
	assert.Zero(t, o.Due)
	assert.Zero(t, o.OldestDue)
	assert.Empty(t, o.Outcomes)

	a := w.start("alice").Attempt
	w.start("bob")
	require.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Verified}))
	w.clock.add(2 * time.Hour) // bob's token has expired
	o, err = w.kit.Overview(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, o.Due)
	assert.WithinDuration(t, w.clock.Now(), o.OldestDue, 2*time.Hour)
	assert.False(t, o.OldestDue.IsZero())
	assert.Equal(t, map[Outcome]int64{OutcomeStarted: 2, OutcomeApplied: 1}, o.Outcomes)

	w.store.broken = errors.New("store is away")
	o, err = w.kit.Overview(t.Context())
	assert.ErrorContains(t, err, "store is away")
	assert.NotEmpty(t, o.Outcomes)
}

// Every outcome is counted.
func TestEveryOutcomeIsCounted(t *testing.T) {
	counted := map[Outcome]bool{}
	for _, o := range engine.Outcomes {
		counted[Outcome(o)] = true
	}
	assert.Equal(t, constants(t), counted)
}
