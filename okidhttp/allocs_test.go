//go:build !race

package okidhttp_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/okidkit/okidkit/okidhttp"
)

// How many allocations a request costs beside those of a handler that answers at
// once. The race detector makes pools forget, so these are counted without it.
func TestAllocations(t *testing.T) {
	kit, fake := app(func(c *okidhttp.Config) { c.OnVerified = noCallback })
	defer fake.Close()
	verified(t, kit, "alice")
	attempt, _ := start(kit, "bob")
	header, body := completed(attempt, time.Now())
	webhook := webhookRequest(header)
	serve(t, kit, webhook, body, 200)
	status := asUser("bob", "/verify/status?attempt="+attempt)
	gate, gated := kit.RequireVerified(bare), asUser("alice", "/cellar/")
	const runs = 1000
	var fresh []func()
	for i := range runs + 1 { // AllocsPerRun makes one more
		attempt, _ := start(kit, "fresh "+strconv.Itoa(i))
		header, body := completed(attempt, time.Now())
		r := webhookRequest(header)
		fresh = append(fresh, func() { serve(t, kit, r, body, 200) })
	}

	none := testing.AllocsPerRun(runs, func() { serve(t, bare, webhook, body, 200) })
	for _, tt := range []struct {
		name    string
		request func()
		want    float64
	}{
		{"gate", func() { serve(t, gate, gated, nil, 200) }, 9},
		{"duplicate webhook", func() { serve(t, kit, webhook, body, 200) }, 26},
		{"fresh webhook", func() { fresh[0](); fresh = fresh[1:] }, 62},
		{"status", func() { serve(t, kit, status, nil, 200) }, 29},
	} {
		assert.Equal(t, tt.want, testing.AllocsPerRun(runs, tt.request)-none, tt.name)
	}
}
