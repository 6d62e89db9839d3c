//go:build !race

package getid_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// The race detector has a memory of its own, so bytes are counted without it.

// TestHostileClaims: whatever nobody reads costs no memory, before the sender is
// known.
func TestHostileClaims(t *testing.T) {
	p := newProvider(t, newVendor())
	const length = 256<<10 - 2<<10
	members := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < length-20; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String() + `"end":0`
	}
	token := sample + b64(make([]byte, 132)) // it costs the check of a signature
	for name, tc := range map[string]struct {
		more  string
		bound uint64
		want  error
	}{
		"numbers":              {`"data":[` + strings.Repeat(`0,`, length/2) + `0]`, 64 << 10, identity.ErrSignature},
		"objects":              {`"data":[` + strings.Repeat(`{},`, length/3) + `0]`, 64 << 10, identity.ErrSignature},
		"members of an object": {`"data":{` + members(`"%x":0,`) + `}`, 64 << 10, identity.ErrSignature},
		"strings":              {`"data":[` + strings.Repeat(`"",`, length/3) + `0]`, 64 << 10, identity.ErrSignature},
		"escapes":              {`"data":["` + strings.Repeat(`\u0041`, length/6) + `"]`, 64 << 10, identity.ErrSignature},
		"names that repeat":    {`"data":{` + strings.Repeat(`"":0,`, length/5) + `"":0}`, 64 << 10, identity.ErrSignature},
		"nested":               {`"data":` + strings.Repeat(`{"a":`, length/5), 64 << 10, identity.ErrMalformed},
		"members beside id":    {members(`"%x":0,`), 3 * length, identity.ErrSignature},
		"repeated beside id":   {strings.Repeat(`"":0,`, length/5) + `"":0`, 3 * length, identity.ErrMalformed},
		"a long token":         {`"Signed":"` + strings.Repeat(`x`, length) + `"`, 64 << 10, identity.ErrMalformed},
	} {
		body := []byte(`{"id":"` + id + `","signed":"` + token + `",` + tc.more + `}`)
		_, err := p.VerifyClaim(t.Context(), body)
		require.ErrorIs(t, err, tc.want, name)
		var before, after runtime.MemStats
		least := uint64(math.MaxUint64)
		for range 3 { // others allocate, too
			runtime.ReadMemStats(&before)
			_, _ = p.VerifyClaim(t.Context(), body)
			runtime.ReadMemStats(&after)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
		}
		assert.LessOrEqual(t, least, tc.bound, name)
	}
}
