package portal_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/identity/identitytest"
	"github.com/okidkit/okidkit/okid/portal"
)

func TestConformance(t *testing.T) {
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	identitytest.Run(t, identitytest.Harness{
		New: func(client *http.Client) (identity.Provider, error) {
			return portal.New(portal.Config{URL: "https://portal.test", APIKey: "canary-key", HTTPClient: client})
		},
		Secrets: []string{"canary-key"},
		ID:      "ver_abc123",
		Started: func() identitytest.Answer {
			return identitytest.Answer{Status: http.StatusOK, Body: `{"verificationId":"ver_abc123","expiresAt":"2026-03-01T12:20:00Z"}`}
		},
		Details: func(id, reference, word string) identitytest.Answer {
			return identitytest.Answer{Status: http.StatusOK, Body: text(map[string]any{
				"verification_id": id, "status": map[string]any{"current": word}, "extra_data": map[string]any{"reference": reference},
			})}
		},
		Words: map[string]identity.Status{
			portal.StatusGenerated: identity.Created, portal.StatusInitiated: identity.Started, portal.StatusInProgress: identity.Started,
			portal.StatusValidating: identity.Started, portal.StatusNeedsManualReview: identity.Review, portal.StatusNeedsTemplate: identity.Review,
			portal.StatusVerified: identity.Verified, portal.StatusRejected: identity.Failed, portal.StatusExpired: identity.Expired,
			portal.StatusJunk: identity.Failed, portal.StatusDocumentExpired: identity.Failed, portal.StatusFailed: identity.Failed,
		},
		Hint: func(reference, id, word string) []byte {
			return []byte(text(map[string]any{"verification_id": id, "status": word, "extra_data": map[string]any{"reference": reference}}))
		},
	})
}
