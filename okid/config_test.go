package okid_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okid"
)

func TestNewRefuses(t *testing.T) {
	type config = okid.Config
	timed := func(s okid.TimedSecret) func(*config) {
		return func(c *config) { c.TimedSecrets = []okid.TimedSecret{s} }
	}
	api := func(url string) func(*config) { return func(c *config) { c.APIURL = url } }

	for name, tc := range map[string]struct {
		change func(*config)
		field  string
	}{
		"API key empty":                 {func(c *config) { c.APIKey = "" }, "APIKey"},
		"API key that splits a header":  {func(c *config) { c.APIKey = "canary\r\nX: y" }, "APIKey"},
		"no secret":                     {func(c *config) { c.WebhookSecrets = nil }, "WebhookSecrets"},
		"empty list of secrets":         {func(c *config) { c.WebhookSecrets = []string{} }, "WebhookSecrets"},
		"same secret twice":             {func(c *config) { c.WebhookSecrets = []string{secret, secret} }, "WebhookSecrets[1]"},
		"second secret wrong":           {func(c *config) { c.WebhookSecrets = []string{secret, ""} }, "WebhookSecrets[1]"},
		"timed secret short":            {timed(okid.TimedSecret{Secret: "canary"}), "TimedSecrets[0]"},
		"timed secret also plain":       {timed(okid.TimedSecret{Secret: secret, NotAfter: at}), "TimedSecrets[0]"},
		"timed secret's window empty":   {timed(okid.TimedSecret{Secret: secret + "2", NotBefore: at, NotAfter: at}), "TimedSecrets[0]"},
		"timed secret's window wrong":   {timed(okid.TimedSecret{Secret: secret + "2", NotBefore: at, NotAfter: at.Add(-1)}), "TimedSecrets[0]"},
		"timed secret's ID taken":       {timed(okid.TimedSecret{Secret: secret + "2", ID: "secret 1"}), "TimedSecrets[0]"},
		"timed secret's ID breaks logs": {timed(okid.TimedSecret{Secret: secret + "2", ID: "canary\n"}), "TimedSecrets[0]"},
		"timed secret's ID too long":    {timed(okid.TimedSecret{Secret: secret + "2", ID: strings.Repeat("a", 65)}), "TimedSecrets[0]"},
		"timed secret's ID tells it":    {timed(okid.TimedSecret{Secret: secret + "2", ID: "key " + secret + "2"}), "TimedSecrets[0]"},
		"API URL http":                  {api("http://canary.test"), "APIURL"},
		"API URL with query":            {api("https://okid.test?canary"), "APIURL"},
		"frontend URL http":             {func(c *config) { c.FrontendURL = "http://canary.test" }, "FrontendURL"},
		"frontend URL with query":       {func(c *config) { c.FrontendURL = "https://okid.test?canary" }, "FrontendURL"},
		"SDK URL http":                  {func(c *config) { c.SDKURL = "http://canary.test/okid.js" }, "SDKURL"},
		"SDK URL as data":               {func(c *config) { c.SDKURL = "data:text/javascript,canary" }, "SDKURL"},
		"flow name with quote":          {func(c *config) { c.FlowName = `canary"` }, "FlowName"},
		"flow name with tag":            {func(c *config) { c.FlowName = `</script>` }, "FlowName"},
		"flow name with line separator": {func(c *config) { c.FlowName = "a\u2028" }, "FlowName"},
		"flow name with line feed":      {func(c *config) { c.FlowName = "a\n" }, "FlowName"},
		"flow name too long":            {func(c *config) { c.FlowName = strings.Repeat("a", 65) }, "FlowName"},
		"signed content unknown":        {func(c *config) { c.SignedContent = 3 }, "SignedContent"},
		"signed content negative":       {func(c *config) { c.SignedContent = -1 }, "SignedContent"},
		"encoding unknown":              {func(c *config) { c.SignatureEncoding = 2 }, "SignatureEncoding"},
		"encoding negative":             {func(c *config) { c.SignatureEncoding = -1 }, "SignatureEncoding"},
		"tolerance negative":            {func(c *config) { c.Tolerance = -1 }, "Tolerance"},
		"tolerance of no use":           {func(c *config) { c.Tolerance = 24*time.Hour + 1 }, "Tolerance"},
		"timeout negative":              {func(c *config) { c.Timeout = -1 }, "Timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config{APIKey: apiKey, WebhookSecrets: []string{secret}}
			tc.change(&c)
			p, err := okid.New(c)
			require.ErrorContains(t, err, "okid: "+tc.field+" ")
			assert.Nil(t, p)
			assert.NotContains(t, err.Error(), "canary")
			assert.NotContains(t, err.Error(), "\n", "one problem, one line")
		})
	}
}

func TestNewRefusesSecrets(t *testing.T) {
	for _, s := range []string{
		"", " ", "                    ", "\t\n", "short", "8 bytes.", "15 bytes long..", "changeme", "secret",
		"changeme-changeme", "ChangeMe12345678", "change-me-in-production", "CHANGE_ME_PLEASE_NOW",
		"your-webhook-secret", "YOUR_WEBHOOK_SECRET", "your webhook secret", "<your webhook secret>", "<webhook-secret>",
		"${OKID_WEBHOOK_SECRET}", "{{ okid_webhook_secret }}", "replace-me-with-a-secret",
		"xxxxxxxxxxxxxxxx", "xxxx-xxxx-xxxx-xxxx", "XXXXXXXXXXXXXXXXXXXX", "0000000000000000", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"****************", "................", "------------------------", "éééééééééééééééé",
		"secretsecretsecret", "secret-secret-secret", "password-password", "placeholder-secret", "example_secret_password",
		" 4b1d7e2f9a8c6a0f", "4b1d7e2f9a8c6a0f\n",
	} {
		_, err := okid.New(okid.Config{APIKey: apiKey, WebhookSecrets: []string{s}})
		require.ErrorContains(t, err, "okid: WebhookSecrets[0] ", "%q", s)
		_, err = okid.New(okid.Config{APIKey: apiKey, TimedSecrets: []okid.TimedSecret{{Secret: s}}})
		require.ErrorContains(t, err, "okid: TimedSecrets[0] ", "%q", s)
	}
}

func TestNewAccepts(t *testing.T) {
	for _, s := range []string{
		"16 bytes, enough", "0123456789abcdef", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "6ec9b1f0a0d54a7c9be2d2b4f7a1c3d5",
		"test-webhook-secret-1", "correct horse battery staple", "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14",
		"\x80\x81\x82\x83\x84\x85\x86\x87\x88\x8e\x8f\x90\x91\x92\x93\x94", "a\x80\x81\x82\x83\x84\x85\x86\x87\x88\x8e\x8f\x90\x91\x92\x93",
	} {
		_, err := okid.New(okid.Config{APIKey: "k", WebhookSecrets: []string{s}})
		assert.NoError(t, err, "%q", s)
		_, err = okid.New(okid.Config{APIKey: "k", TimedSecrets: []okid.TimedSecret{{Secret: s}}})
		assert.NoError(t, err, "%q", s)
	}
}

func TestNewReportsEverything(t *testing.T) {
	_, err := okid.New(okid.Config{
		WebhookSecrets: []string{"canary", secret, ""},
		TimedSecrets:   []okid.TimedSecret{{Secret: "changeme-canary-canary"}},
		APIURL:         "http://canary.test", FrontendURL: "canary", SDKURL: "https://a:canary@okid.test",
		FlowName: "canary!", SignedContent: 9, SignatureEncoding: 9, Tolerance: -1, Timeout: -1,
	})
	require.Error(t, err)
	for _, field := range []string{
		"APIKey", "WebhookSecrets[0]", "WebhookSecrets[2]", "TimedSecrets[0]", "APIURL", "FrontendURL", "SDKURL",
		"FlowName", "SignedContent", "SignatureEncoding", "Tolerance", "Timeout",
	} {
		assert.ErrorContains(t, err, "okid: "+field+" ")
	}
	assert.NotContains(t, err.Error(), "WebhookSecrets[1]")
	assert.NotContains(t, err.Error(), "canary")
}

// TestRedaction prints everything that holds a secret in every way there is.
func TestRedaction(t *testing.T) {
	timed := okid.TimedSecret{Secret: "canary-timed-4b1d7e2f9a", ID: "2025"}
	config := okid.Config{APIKey: apiKey, WebhookSecrets: []string{secret}, TimedSecrets: []okid.TimedSecret{timed}}
	provider, err := okid.New(config)
	require.NoError(t, err)
	// Use it, so that its pools are filled.
	_, err = provider.VerifyWebhook(signed(completed), []byte(completed), at)
	require.NoError(t, err)

	type host struct {
		provider *okid.Provider
		Provider *okid.Provider
		any      any
		list     []*okid.Provider
		keyed    map[string]*okid.Provider
		copied   okid.Provider
	}
	h := host{provider, provider, provider, []*okid.Provider{provider}, map[string]*okid.Provider{"a": provider}, *provider}
	type open struct {
		Config okid.Config
		Timed  okid.TimedSecret
		More   any
	}
	for name, value := range map[string]any{
		"config": config, "*config": &config, "timed": timed, "*timed": &timed, "[]timed": config.TimedSecrets,
		"provider": provider, "copied provider": *provider, "host": h, "*host": &h, "open": open{config, timed, &config},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			assertNoSecret(t, name+" "+verb, fmt.Sprintf(verb, value))
		}
		assertNoSecret(t, name+" Sprint", fmt.Sprint(value))
		assertNoSecret(t, name+" error", fmt.Errorf("%v", value).Error())

		text, err := json.Marshal(value)
		require.NoError(t, err, name)
		assertNoSecret(t, name+" JSON", string(text))
		text, err = xml.Marshal(value)
		if err == nil {
			assertNoSecret(t, name+" XML", string(text))
		}
		var b bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(handler).Info("x", "value", value, slog.Group("g", "value", value))
		}
		assertNoSecret(t, name+" slog", b.String())
	}
	assert.Equal(t, "okid.Config(redacted) okid.TimedSecret(redacted) okid.Provider(redacted)", fmt.Sprint(config, timed, provider))
}

func assertNoSecret(t *testing.T, how, text string) {
	t.Helper()
	for _, s := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary"), fmt.Sprint([]byte("canary"))[1:19]} {
		assert.NotContains(t, text, s, how)
	}
}
