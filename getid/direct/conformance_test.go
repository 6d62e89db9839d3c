package direct_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/identity/identitytest"
)

func TestConformance(t *testing.T) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	details := func(reference, word string) string {
		state, verdict, _ := strings.Cut(word, "/")
		application := map[string]any{
			"id": "645cae276a9ba02a2daa09ff", "metadata": map[string]any{"externalId": reference}, "processingState": state,
		}
		if verdict != "" {
			application["overallResult"] = map[string]any{"status": verdict}
		}
		b, err := json.Marshal(application)
		require.NoError(t, err)
		return string(b)
	}
	harness := identitytest.Harness{
		New: func(client *http.Client) (identity.Provider, error) {
			return direct.New(direct.Config{URL: "https://partner.test", APIKey: "canary-key", Flow: "flow", HTTPClient: client})
		},
		Secrets: []string{"canary-key"},
		ID:      identitytest.Reference,
		Started: func() identitytest.Answer {
			return identitytest.Answer{Status: http.StatusOK, Body: `{"url":"https://partner.test/vp/flow?token=eyJ.x"}`}
		},
		Details: func(_, reference, word string) identitytest.Answer {
			return identitytest.Answer{Status: http.StatusOK, Body: details(reference, word)}
		},
		Words: map[string]identity.Status{
			"processing": identity.Started, "done/approved": identity.Verified, "done/declined": identity.Failed,
			"done/needs-review": identity.Review, "done/error": identity.Failed,
		},
		Hint: func(reference, _, word string) []byte { return []byte(details(reference, word)) },
	}
	t.Run("hints", func(t *testing.T) { identitytest.Run(t, harness) })

	harness.New = func(client *http.Client) (identity.Provider, error) {
		p, err := direct.New(direct.Config{URL: "https://partner.test", APIKey: "canary-key", Flow: "flow", HTTPClient: client})
		if err != nil {
			return nil, err
		}
		return p.Signed(direct.Signing{Keys: []crypto.PublicKey{public}, Algorithm: direct.Ed25519})
	}
	harness.Webhook = func(reference, _, word string, sent time.Time) (http.Header, []byte) {
		body, timestamp := details(reference, word), sent.Format(time.RFC3339)
		return header(base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(body+timestamp))), timestamp), []byte(body)
	}
	t.Run("signed", func(t *testing.T) { identitytest.Run(t, harness) })
}
