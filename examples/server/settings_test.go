package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
)

// A server that cannot be right does not start, and says all that is wrong.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	zeros, key := strings.Repeat("00", 32), randomKey()

	for _, tt := range []struct {
		name string
		env  map[string]string
		says []string
	}{
		{"nothing", map[string]string{"OKID_API_KEY": "", "OKID_WEBHOOK_SECRET": ""}, []string{"OKID_API_KEY is required", "OKID_WEBHOOK_SECRET is required"}},
		{"API key missing", map[string]string{"OKID_API_KEY": ""}, []string{"OKID_API_KEY is required"}},
		{"API key blank", map[string]string{"OKID_API_KEY": "  "}, []string{"APIKey is empty"}},
		{"API key with a new line", map[string]string{"OKID_API_KEY": "canary-key\n"}, []string{"APIKey begins or ends with white space"}},
		{"API key of two lines", map[string]string{"OKID_API_KEY": "canary-key\r\nX: 1"}, []string{"APIKey contains control characters"}},
		{"secret missing", map[string]string{"OKID_WEBHOOK_SECRET": ""}, []string{"OKID_WEBHOOK_SECRET is required"}},
		{"secret blank", map[string]string{"OKID_WEBHOOK_SECRET": "                    "}, []string{"WebhookSecrets[0] is empty"}},
		{"secret short", map[string]string{"OKID_WEBHOOK_SECRET": "canary-15-bytes"}, []string{"WebhookSecrets[0] is shorter than 16 bytes"}},
		{"secret of a manual", map[string]string{"OKID_WEBHOOK_SECRET": "changeme-changeme-changeme"}, []string{"WebhookSecrets[0] is a placeholder"}},
		{"secret of one letter", map[string]string{"OKID_WEBHOOK_SECRET": strings.Repeat("x", 32)}, []string{"WebhookSecrets[0] is a placeholder"}},
		{"second secret short", map[string]string{"OKID_WEBHOOK_SECRET": rand.Text() + ",canary-short"}, []string{"WebhookSecrets[1] is shorter"}},
		{"second secret empty", map[string]string{"OKID_WEBHOOK_SECRET": rand.Text() + ","}, []string{"WebhookSecrets[1] is empty"}},
		{"secret twice", map[string]string{"OKID_WEBHOOK_SECRET": key + "," + key}, []string{"WebhookSecrets[1] is the same secret"}},
		{"API in clear", map[string]string{"OKID_API_URL": "http://api.example"}, []string{"APIURL is not https"}},
		{"API with a password", map[string]string{"OKID_API_URL": "https://u:canary-pass@api.example"}, []string{"APIURL has user information"}},
		{"API is no URL", map[string]string{"OKID_API_URL": "https://[canary"}, []string{"APIURL is not a URL"}},
		{"API without a host", map[string]string{"OKID_API_URL": "api.example"}, []string{"APIURL has no usable host"}},
		{"frontend in clear", map[string]string{"OKID_FRONTEND_URL": "http://verify.example"}, []string{"FrontendURL is not https"}},
		{"SDK as a file", map[string]string{"OKID_SDK_URL": "file:///okid.js"}, []string{"SDKURL has no usable host"}},
		{"public URL in clear", map[string]string{"PUBLIC_URL": "http://cellar.example"}, []string{"PublicURL must be https"}},
		{"public URL with a path", map[string]string{"PUBLIC_URL": "https://cellar.example/shop"}, []string{"PUBLIC_URL must be an origin"}},
		{"public URL with a query", map[string]string{"PUBLIC_URL": "https://cellar.example?x"}, []string{"PublicURL must have no user, query or fragment"}},
		{"public URL with a password", map[string]string{"PUBLIC_URL": "https://u:canary-pass@cellar.example"}, []string{"PublicURL must have no user"}},
		{"public URL of no web", map[string]string{"PUBLIC_URL": "ftp://cellar.example"}, []string{"PublicURL is not an absolute https URL"}},
		{"public URL is none", map[string]string{"PUBLIC_URL": "cellar.example"}, []string{"PUBLIC_URL must be an origin"}},
		{"address of all, without a public URL", map[string]string{"ADDR": ":0"}, []string{"PublicURL must be https unless its host is a loopback address"}},
		{"address is none", map[string]string{"ADDR": "127.0.0.1:port"}, []string{"listen tcp"}},
		{"address in use", map[string]string{"ADDR": taken.Addr().String()}, []string{"address already in use"}},
		{"key short", map[string]string{"OKID_KEYS": key[2:]}, []string{"OKID_KEYS: key 1 is not 32 bytes in hex"}},
		{"keys no hex", map[string]string{"OKID_KEYS": "canary" + key[6:] + "," + key + "," + key + "0"}, []string{"OKID_KEYS: key 1 is not", "OKID_KEYS: key 3 is not"}},
		{"key of zeros", map[string]string{"OKID_KEYS": zeros}, []string{"Keys[0] is not random"}},
		{"key twice", map[string]string{"OKID_KEYS": key + "," + key}, []string{"Keys[1] stands there twice"}},
		{"age of nobody", map[string]string{"REFUSE_UNDER": "0"}, []string{"REFUSE_UNDER is not an age in years"}},
		{"age in words", map[string]string{"REFUSE_UNDER": "canary"}, []string{"REFUSE_UNDER is not an age in years"}},
		{"callback to nowhere", map[string]string{"CALLBACK_URL": "host/hook"}, []string{"CALLBACK_URL is not"}},
		{"callback of no web", map[string]string{"CALLBACK_URL": "ftp://u:canary-pass@host.example/hook"}, []string{"CALLBACK_URL is not"}},
		{"Redis without keys", map[string]string{"REDIS_URL": "redis://:canary-pass@redis.example", "OKID_KEYS": ""}, []string{"OKID_KEYS is required with REDIS_URL"}},
		{"Redis URL", map[string]string{"REDIS_URL": "http://:canary-pass@redis.example"}, []string{"REDIS_URL is not"}},
		{"Redis Cluster", map[string]string{"REDIS_URL": "redis://:canary-pass@redis.example,http://canary-pass@x"}, []string{"REDIS_URL: address 2"}},
		{"Redis prefix", map[string]string{"REDIS_URL": "redis://:canary-pass@redis.example", "REDIS_PREFIX": "{staging}"}, []string{`prefix "{staging}" contains a brace`}},
		{"GetID without its key", map[string]string{"GETID_URL": "https://canary.example"}, []string{"GETID_URL and GETID_API_KEY are required for GetID"}},
		{"GetID without its URL", map[string]string{"GETID_JWKS_URL": "https://canary.example"}, []string{"GETID_URL and GETID_API_KEY are required for GetID"}},
		{"portal without its key", map[string]string{"OKID_PORTAL_URL": "https://canary.example"}, []string{"OKID_PORTAL_URL and OKID_PORTAL_KEY are required"}},
		{"direct without its flow", map[string]string{"GETID_DIRECT_URL": "https://canary.example", "GETID_DIRECT_KEY": "canary"}, []string{"GETID_DIRECT_FLOW are required"}},
		{"GetID", map[string]string{"GETID_URL": "http://getid.example", "GETID_API_KEY": " canary", "GETID_JWKS_URL": "x", "GETID_SCRIPT_URL": "x"},
			[]string{"getid: BaseURL", "getid: APIKey", "getid: JWKSURL", "getid: ScriptURL"}},
		{"all at once", map[string]string{
			"ADDR": taken.Addr().String(), "PUBLIC_URL": "https://cellar.example/shop", "OKID_API_KEY": "", "OKID_WEBHOOK_SECRET": "canary-short",
			"OKID_API_URL": "http://api.example", "OKID_FRONTEND_URL": "x", "OKID_SDK_URL": "x", "OKID_KEYS": "canary", "CALLBACK_URL": "x", "REDIS_URL": "x",
		}, []string{
			"address already in use", "PUBLIC_URL", "OKID_API_KEY", "WebhookSecrets[0]", "APIURL", "FrontendURL", "SDKURL", "OKID_KEYS", "CALLBACK_URL", "REDIS_URL",
		}},
		{"the app's complaints with the others'", map[string]string{
			"PUBLIC_URL": "http://cellar.example", "OKID_API_KEY": "", "OKID_WEBHOOK_SECRET": "", "OKID_KEYS": zeros,
		}, []string{"PublicURL", "OKID_API_KEY", "OKID_WEBHOOK_SECRET", "Keys[0]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := map[string]string{"ADDR": "127.0.0.1:0", "OKID_API_KEY": rand.Text(), "OKID_WEBHOOK_SECRET": rand.Text(), "OKID_KEYS": randomKey()}
			maps.Copy(env, tt.env)
			cmd := command(t, env)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			require.NoError(t, cmd.Start())
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
			err := cmd.Wait()

			assert.Error(t, err)
			assert.Equal(t, 1, cmd.ProcessState.ExitCode())
			assert.Empty(t, stdout.String())
			for _, text := range tt.says {
				assert.Contains(t, stderr.String(), text)
			}
			assert.NotContains(t, stderr.String(), "canary")
			assert.NotContains(t, stderr.String(), "panic")
			for _, name := range []string{"OKID_API_KEY", "OKID_WEBHOOK_SECRET", "OKID_KEYS"} {
				for secret := range strings.SplitSeq(env[name], ",") {
					if strings.TrimSpace(secret) != "" {
						assert.NotContains(t, stderr.String(), secret)
					}
				}
			}
		})
	}
}

func TestRandomKeyIsWarnedOf(t *testing.T) {
	t.Parallel()
	random, given := launch(t, map[string]string{"OKID_KEYS": ""}), launch(t, nil)
	random.logIn(t, "alice").begin(t)
	random.stop(t)
	given.stop(t)
	assert.Contains(t, random.stderr(t), "level=WARN")
	assert.Contains(t, random.stderr(t), "OKID_KEYS is empty: using a random key")
	assert.Empty(t, given.stderr(t), "who has set all hears nothing")
}

// Environments that share a Redis have nothing in common if their prefixes differ.
func TestRedisPrefix(t *testing.T) {
	t.Parallel()
	addr := redistest.Server(t)
	on := func(prefix string) *server {
		return launch(t, map[string]string{"REDIS_URL": "redis://" + addr, "REDIS_PREFIX": prefix, "OKID_KEYS": randomKey()})
	}
	production, staging := on(""), on("staging:")
	alice := production.logIn(t, "alice")
	a := alice.begin(t)
	require.Equal(t, http.StatusOK, production.deliver(t, production.signed(completed(a, a.id))).status)
	production.told(t, a, "verified")
	alice.opened(t)
	staging.logIn(t, "alice").shut(t)
	production.stop(t)
	staging.stop(t)
}

// Of several secrets and keys each counts, and the first key signs.
func TestRotation(t *testing.T) {
	t.Parallel()
	oldKey, newKey, oldSecret, newSecret := randomKey(), randomKey(), rand.Text(), rand.Text()
	before := launch(t, map[string]string{"OKID_KEYS": oldKey})
	after := launch(t, map[string]string{"OKID_KEYS": newKey + ", " + oldKey, "OKID_WEBHOOK_SECRET": newSecret + ", " + oldSecret})

	members := func(s *server, u *user) int { return s.do(t, "GET", "/members", "", u.with(nil)...).status }
	assert.Equal(t, http.StatusForbidden, members(after, before.logIn(t, "alice")), "still logged in")
	assert.Equal(t, http.StatusUnauthorized, members(before, after.logIn(t, "alice")), "signed with the new key")

	for name, secret := range map[string]string{"old": oldSecret, "new": newSecret} {
		u := after.logIn(t, name)
		a := u.begin(t)
		d := after.signed(completed(a, a.id))
		macWith(secret)(victim{}, &d)
		require.Equal(t, http.StatusOK, after.deliver(t, d).status)
		after.told(t, a, "verified")
		u.opened(t)
	}
	after.stop(t)
}
