//go:build !race

package okid_test

import (
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The race detector has a memory of its own, so bytes are counted without it.

// TestHostileBody: a signed body takes little more memory than its own length,
// whatever it holds beside what is read.
func TestHostileBody(t *testing.T) {
	p := newProvider(t)
	const length = 256 << 10
	for name, each := range map[string]string{"numbers": `0,`, "objects": `{"b":0,"a":0},`, "strings": `"",`} {
		body := `{"event":"verification.failed","data":{"id":"ver_1","more":[` + strings.Repeat(each, length/len(each)) + `0]}}`
		h, data := signed(body), []byte(body)
		var before, after runtime.MemStats
		least := uint64(math.MaxUint64)
		for range 3 { // others allocate, too
			runtime.ReadMemStats(&before)
			_, err := p.VerifyWebhook(h, data, at)
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
		}
		assert.Less(t, least, uint64(6*length), name)
	}
}
