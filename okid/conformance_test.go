package okid_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/identity/identitytest"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

func TestConformance(t *testing.T) {
	record := func(id, reference, word string) okid.VerificationBody {
		return okid.VerificationBody{
			ID: id, Status: word, CreatedAt: "2026-03-01T11:58:00Z", Metadata: map[string]string{okid.MetadataReference: reference},
		}
	}
	text := func(v any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return string(b)
	}
	identitytest.Run(t, identitytest.Harness{
		New: func(client *http.Client) (identity.Provider, error) {
			return okid.New(okid.Config{APIURL: "https://okid.test", APIKey: "canary-key", WebhookSecrets: []string{"canary-webhook-secret"}, HTTPClient: client})
		},
		Secrets: []string{"canary-key", "canary-webhook-secret"},
		ID:      "ver_0a1b2c3d4e5f6g7h8i9j",
		Started: func() identitytest.Answer {
			return identitytest.Answer{Status: http.StatusOK, Body: `{"process_token":"tok_v1_0123456789abcdef0123456789abcd","expires_at":"2026-03-01T12:30:00Z"}`}
		},
		Details: func(id, reference, word string) identitytest.Answer {
			return identitytest.Answer{Status: http.StatusOK, Body: text(record(id, reference, word))}
		},
		Words: map[string]identity.Status{
			okid.StatusStarted: identity.Started, okid.StatusCompleted: identity.Verified,
			okid.StatusFailed: identity.Failed, okid.StatusExpired: identity.Expired,
		},
		Webhook: func(reference, id, word string, sent time.Time) (http.Header, []byte) {
			body := []byte(text(map[string]any{"event": "verification." + word, "data": record(id, reference, word)}))
			return okidtest.Signing{}.Header("canary-webhook-secret", sent, body), body
		},
	})
}
