//go:build !race

package okid

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The race detector makes pools forget, so allocations are counted without it.
func TestAllocations(t *testing.T) {
	now := time.Unix(1751278665, 0)
	header, body := benchHeader(now), []byte(benchBody)
	p := benchProvider(t)
	for _, tt := range []struct {
		name string
		do   func() error
		want float64
	}{
		{"signature", func() error { _, err := p.checkSignature(header, body, now); return err }, 0},
		{"timestamp", func() error { _, err := checkTimestamp(header, now); return err }, 0},
		{"VerifyWebhook", func() error { _, err := p.VerifyWebhook(header, body, now); return err }, 10},
	} {
		require.NoError(t, tt.do(), tt.name)
		assert.Equal(t, tt.want, testing.AllocsPerRun(1000, func() { _ = tt.do() }), tt.name)
	}
}
