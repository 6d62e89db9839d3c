//go:build unix

package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/load/cases"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// Each accepts what it is measured with, knows which event it is, and refuses it
// when a byte is another.
func TestPeers(t *testing.T) {
	now := time.Now()
	sent := cases.Webhook(1, fmt.Sprintf("%096d", 1), now)
	for _, p := range peers {
		header, body := p.sign(sent, now)
		id, err := p.verify(header, body)
		require.NoError(t, err, p.name)
		assert.Equal(t, sent.Data.ID+" "+sent.Event, id, p.name)
		_, err = p.verify(header, bytes.Replace(body, []byte("Jane"), []byte("Jana"), 1))
		assert.Error(t, err, p.name)
	}
}

// BenchmarkVerifyWebhook is the verification and the decoding alone.
func BenchmarkVerifyWebhook(b *testing.B) {
	now := time.Now()
	sent := cases.Webhook(1, fmt.Sprintf("%096d", 1), now)
	header, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, now, sent)
	run := func(name string, verify func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := verify(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("floor", func() error {
		_, err := cases.Floor(header, body)
		return err
	})
	provider, err := okid.New(okid.Config{APIKey: "key", WebhookSecrets: []string{okidtest.DefaultWebhookSecret}})
	require.NoError(b, err)
	run("okid", func() error {
		_, err := provider.VerifyWebhook(header, body, now)
		return err
	})
	for _, p := range peers {
		header, body := p.sign(sent, now)
		run(p.name, func() error {
			_, err := p.verify(header, body)
			return err
		})
	}
}
