package okid_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid"
)

func TestName(t *testing.T) {
	assert.Equal(t, "okid", newProvider(t).Name())
}

func TestSDK(t *testing.T) {
	got := newProvider(t).SDK(identity.Session{Token: "tok_1"}, "nl")
	assert.Equal(t, "https://cdn.okid.io/sdk/okid.js", got.ScriptURL)
	assert.Equal(t, map[string]any{
		"apiUrl":       "https://api1.okid.io",
		"frontendUrl":  "https://verify.okid.io",
		"processToken": "tok_1",
		"flowName":     "standard",
		"locale":       "nl",
	}, got.Config)
	assert.Equal(t, identity.Sources{
		Script:  []string{"https://cdn.okid.io"},
		Style:   []string{"https://cdn.okid.io", "https://verify.okid.io"},
		Connect: []string{"https://api1.okid.io", "https://verify.okid.io"},
		Frame:   []string{"https://verify.okid.io"},
		Image:   []string{"https://cdn.okid.io", "https://verify.okid.io"},
	}, got.Sources)
	_, err := json.Marshal(got.Config)
	require.NoError(t, err)
}

func TestSDKElsewhere(t *testing.T) {
	p := newProvider(t, func(c *okid.Config) {
		c.APIURL = "http://127.0.0.1:9000/fake/"
		c.FrontendURL = "http://127.0.0.1:9000/"
		c.SDKURL = "http://127.0.0.1:9000/sdk/okid.js?as=var"
		c.FlowName = "age-18"
	})
	got := p.SDK(identity.Session{}, "en")
	assert.Equal(t, "http://127.0.0.1:9000/sdk/okid.js?as=var", got.ScriptURL)
	assert.Equal(t, "http://127.0.0.1:9000/fake", got.Config["apiUrl"])
	assert.Equal(t, "http://127.0.0.1:9000", got.Config["frontendUrl"])
	assert.Equal(t, "age-18", got.Config["flowName"])
	here := []string{"http://127.0.0.1:9000"}
	assert.Equal(t, identity.Sources{Script: here, Style: here, Connect: here, Frame: here, Image: here}, got.Sources)
}

func TestSDKLocale(t *testing.T) {
	p := newProvider(t)
	for locale, want := range map[string]string{
		"en": "en", "nl": "nl", "pt-BR": "pt-BR", "zh_Hant_TW": "zh_Hant_TW", "fil": "fil",
		"": "en", "e": "en", "english": "en", "en-": "en", "en US": "en", "en;": "en", "*": "en",
		"</script>": "en", `"`: "en", "en\u2028": "en", "en\n": "en", "en-" + strings.Repeat("a", 9): "en",
	} {
		assert.Equal(t, want, p.SDK(identity.Session{}, locale).Config["locale"], "%q", locale)
	}
}

// TestSDKIsFresh: a caller may change what it got.
func TestSDKIsFresh(t *testing.T) {
	p := newProvider(t)
	p.SDK(identity.Session{Token: "a"}, "en").Config["processToken"] = "changed"
	p.SDK(identity.Session{}, "en").Sources.Script[0] = "changed"
	got := p.SDK(identity.Session{Token: "b"}, "en")
	assert.Equal(t, "b", got.Config["processToken"])
	assert.Equal(t, []string{"https://cdn.okid.io"}, got.Sources.Script)
}

func TestBoot(t *testing.T) {
	boot := newProvider(t).SDK(identity.Session{}, "en").Boot
	assert.True(t, strings.HasPrefix(boot, "async function (config, onComplete, onError) {"))
	assert.True(t, strings.HasSuffix(boot, "}"), "it is an expression")
	assert.Equal(t, 1, strings.Count(boot, ".init()"))
	assert.Equal(t, 1, strings.Count(boot, "new okID("))
	assert.NotContains(t, boot, "const okID")
	assert.NotContains(t, boot, "window.")
}
