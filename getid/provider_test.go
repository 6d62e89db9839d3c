package getid_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
)

func TestName(t *testing.T) {
	assert.Equal(t, "getid", newProvider(t, newVendor()).Name())
}

func TestStart(t *testing.T) {
	for sessionTime, want := range map[time.Duration]time.Duration{0: time.Hour, time.Minute: time.Minute} {
		v := newVendor()
		p := newProvider(t, v, func(c *getid.Config) { c.SessionTime = sessionTime })
		got, err := p.Start(t.Context(), identity.StartRequest{Reference: "r-1"})
		require.NoError(t, err)
		assert.Empty(t, got.Token)
		assert.Equal(t, at.Add(want), got.ExpiresAt)
		assert.Zero(t, v.keyless.Load()+v.keyfull.Load())
	}
}

func TestSDK(t *testing.T) {
	p := newProvider(t, newVendor(), func(c *getid.Config) { c.ScriptURL = "https://partner.test/key.js?v=1" })
	got := p.SDK(identity.Session{}, "nl")
	assert.Equal(t, "https://partner.test/key.js?v=1", got.ScriptURL)
	assert.Equal(t, map[string]any{"locale": "nl"}, got.Config)
	partner := []string{"https://partner.test"}
	assert.Equal(t, identity.Sources{
		Script: partner, Style: partner, Frame: partner, Image: partner,
		Connect: []string{"https://partner.test", "https://api.test"},
	}, got.Sources)
	_, err := json.Marshal(got.Config)
	require.NoError(t, err)

	none := newProvider(t, newVendor()).SDK(identity.Session{}, "nl")
	assert.Empty(t, none.ScriptURL)
	assert.Zero(t, none.Sources)
	for locale, want := range map[string]string{
		"de": "de", "pt-BR": "pt-BR", "zh_Hant_TW": "zh_Hant_TW", "": "en", "</script>": "en", "e\u2028n": "en", "de\n": "en", `de"`: "en", "english": "en",
	} {
		assert.Equal(t, want, p.SDK(identity.Session{}, locale).Config["locale"], "%q", locale)
	}
}
