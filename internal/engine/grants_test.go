package engine

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/testenv"
)

// However many users there are, memory has a bound, and those who are remembered are remembered right.
func TestGrantsBound(t *testing.T) {
	g := newGrants(time.Hour)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hash := func(i int) attempt.SubjectHash { return attempt.HashSubject(strconv.Itoa(i)) }
	memory := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := memory()
	users := 150_000
	if testenv.IsLong() {
		users = 1_000_000
	}
	for i := range users {
		_, _, changes := g.recall(hash(i), now)
		g.remember(hash(i), remembered{&attempt.StoredGrant{Grant: attempt.Grant{Provider: strconv.Itoa(i)}}, 1, now, now}, changes)
	}
	assert.Less(t, memory()-before, int64(64<<20))
	kept := 0
	for i := range users {
		if grant, _, _ := g.recall(hash(i), now); grant != nil {
			kept++
			assert.Equal(t, strconv.Itoa(i), grant.Provider)
		}
	}
	assert.LessOrEqual(t, kept, maxGrants)
	assert.Greater(t, kept, maxGrants*9/10)
}
