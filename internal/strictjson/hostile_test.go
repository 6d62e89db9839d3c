//go:build !race

package strictjson_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/okidkit/okidkit/internal/strictjson"
)

// The race detector has a memory of its own, so bytes are counted without it.

// TestHostile: whatever the document, reading it takes little memory beside it, and
// time that grows no faster than sorting does.
func TestHostile(t *testing.T) {
	const length = 256 << 10
	fill := func(begin, each, end string) string {
		return begin + strings.Repeat(each, (length-len(begin)-len(end))/len(each)) + end
	}
	distinct := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < length-20; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return `{` + b.String() + `"end":0}`
	}
	reads := &strictjson.Shape{Strict: true, Members: members("id", "signed")}
	hashes := &strictjson.Shape{Strict: true, Members: append(members("event"), strictjson.Member{Name: "data", Shape: &strictjson.Shape{
		Strict: true, Canonical: true, Members: append(members("id"), strictjson.Member{Name: "details", Shape: &strictjson.Shape{Members: members("name")}}),
	}})}
	for name, body := range map[string]string{
		"numbers":            fill(`[0`, `,0`, `]`),
		"long numbers":       fill(`[0`, `,1.5e3`, `]`),
		"one long number":    fill(`[`, `1`, `]`),
		"empty arrays":       fill(`[0`, `,[]`, `]`),
		"empty objects":      fill(`[0`, `,{}`, `]`),
		"empty names":        fill(`{"":0`, `,"":0`, `}`),
		"repeated twins":     fill(`{"id":0`, `,"ID":0`, `}`),
		"small objects":      fill(`[0`, `,{"b":0,"a":0}`, `]`),
		"escapes":            fill(`["`, `\u00e9`, `"]`),
		"escaped names":      fill(`{"":0`, `,"\u0061":0`, `}`),
		"half a pair":        fill(`["`, `\ud800`, `"]`),
		"deep":               fill(`[0`, `,`+strings.Repeat(`{"b":0,"a":`, 200)+`0`+strings.Repeat(`}`, 200), `]`),
		"too deep":           strings.Repeat(`{"a":`, length/5),
		"distinct":           distinct(`"%x":0,`),
		"distinct backwards": distinct(`"%[1]x\u0000%[1]x":0,`),
		"not ASCII":          distinct(`"éééééééééé%x":0,`),
		"long names":         distinct(`"` + strings.Repeat("k", 1000) + `%x":0,`),
		"one long string":    fill(`"`, `x`, `"`),
		"white space":        fill(``, ` `, `0`),
	} {
		t.Run(name, func(t *testing.T) {
			// Nothing is kept of what nobody reads, in a claim for example, whose sender
			// is not known yet.
			claim := `{"id":"x","data":` + body + `,"signed":"y"}`
			assert.Less(t, allocated(claim, reads), uint64(length)/16, "unread")
			event := `{"event":"x","data":{"id":"1","details":` + body + `,"more":` + body + `}}`
			assert.Less(t, allocated(event, hashes), uint64(6*2*length), "of a known sender, with its canonical form")
			if strings.HasPrefix(body, "{") {
				assert.Less(t, allocated(body, reads), uint64(4*length), "names that decide")
			}
		})
	}
}

// allocated is how many bytes it takes to read data, without any help of documents
// that were read before.
func allocated(data string, shape *strictjson.Shape) uint64 {
	var before, after runtime.MemStats
	least := uint64(math.MaxUint64)
	for range 3 { // others allocate, too
		runtime.ReadMemStats(&before)
		_ = check(data, shape)
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least - uint64(len(data)) // check copies data
}
