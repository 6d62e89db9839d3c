package okidhttp

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever a subject does, the record stays small.
func TestRecordStaysSmall(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.StartLimit = AtMost(32, time.Second)
		c.Metadata = nil
	})
	words := []identity.Status{identity.Started, identity.Review, identity.Failed, identity.Expired, identity.Verified}
	random := rand.New(rand.NewPCG(1, 2))
	largest := 0
	for i := range 300 {
		rec := w.tryStart("alice", "return_to", "/"+strings.Repeat("x", random.IntN(100)))
		if rec.Code == 201 {
			attempts := w.record("alice").Attempts
			ref := attempts[len(attempts)-1].Reference
			w.provider.answer(ref, ref[:20], words[random.IntN(len(words))])
			for range random.IntN(4) {
				w.webhook(notice{Reference: ref, ID: ref[:20], Status: words[random.IntN(4)]})
			}
		}
		w.later(time.Duration(random.IntN(48)) * time.Hour)
		size := len(w.record("alice").AppendTo(nil))
		largest = max(largest, size)
		require.LessOrEqual(t, len(w.record("alice").Starts), maxStarts, i)
	}
	assert.Less(t, largest, 32<<10)
	t.Logf("largest record: %d bytes", largest)
}

// A date that is none, as a provider may send, does not make the record unreadable. It
// stays one that cannot be read, and does not become one that is not there.
func TestRecordKeepsUnreadableDates(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AllowExpiredDocument = true })
	a := w.start("alice").Attempt
	at := w.at(a)
	n := identity.Notice{Provider: "fake", Reference: a}
	n.Verification = identity.Verification{ID: "v1", Status: identity.Verified, DocumentExpiry: identity.Date{Year: 2030}}
	_, err := w.kit.engine.Deliver(t.Context(), at, n)
	require.NoError(t, err)
	assert.Equal(t, 200, w.gate("alice"))
	g, err := w.kit.Grant(t.Context(), "alice")
	require.NoError(t, err)
	assert.True(t, g.DocumentExpiry.Unreadable())
}

// Dead letters go with the attempts that they belong to.
func TestDeadLettersDoNotPileUp(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.StartLimit = AtMost(maxStarts, time.Hour) })
	w.host.failing(func(Event) error { return Permanent(errors.New("no such user")) })
	for i := range 3 * attempt.MaxFinished {
		a := w.start("alice").Attempt
		require.Equal(t, 200, w.webhook(notice{Reference: a, ID: strconv.Itoa(i), Status: identity.Failed}))
		w.clock.add(10 * time.Minute)
	}
	assert.Len(t, w.record("alice").Attempts, attempt.MaxFinished)
}
