package okidtest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// Package okid and the fake agree, in every way of signing, and okid accepts the
// fake's default key and secret.
func TestProvider(t *testing.T) {
	tests := []struct {
		name     string
		signing  okidtest.Signing
		content  okid.SignedContent
		encoding okid.SignatureEncoding
	}{
		{"default", okidtest.Signing{}, okid.SignedBody, okid.Hex},
		{"base64, millis", okidtest.Signing{Encoding: okidtest.Base64, Timestamp: okidtest.UnixMillis}, okid.SignedBody, okid.Base64},
		{"timestamp.body", okidtest.Signing{Content: okidtest.TimestampDotBody}, okid.SignedTimestampDotBody, okid.Hex},
		{"timestampbody, rfc3339", okidtest.Signing{Content: okidtest.TimestampBody, Timestamp: okidtest.RFC3339}, okid.SignedTimestampBody, okid.Hex},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := listen(t)
			fake := start(t, okidtest.Config{Signing: tt.signing, Chaos: okidtest.Chaos{Rewrite: true}})
			transport := &http.Transport{DisableKeepAlives: true}
			provider, err := okid.New(okid.Config{
				APIKey:            okidtest.DefaultAPIKey,
				WebhookSecrets:    []string{okidtest.DefaultWebhookSecret},
				APIURL:            fake.URL(),
				FrontendURL:       fake.URL(),
				SDKURL:            fake.SDKURL(),
				SignedContent:     tt.content,
				SignatureEncoding: tt.encoding,
				HTTPClient:        &http.Client{Transport: transport},
			})
			require.NoError(t, err)

			session, err := provider.Start(t.Context(), identity.StartRequest{Reference: "r-1", CallbackURL: h.URL})
			require.NoError(t, err)
			id, err := fake.Begin(session.Token)
			require.NoError(t, err)
			require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
			wait(t, fake)

			for i, status := range []identity.Status{identity.Started, identity.Verified} {
				notice, err := provider.VerifyWebhook(h.heads[i], []byte(h.bodies[i]), noon)
				require.NoError(t, err)
				assert.Equal(t, status, notice.Verification.Status)
				assert.Equal(t, id, notice.Verification.ID)
				assert.Equal(t, "r-1", notice.Reference)
			}
			notice, err := provider.Fetch(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, identity.Verified, notice.Verification.Status)
			assert.Equal(t, "Jane", notice.Verification.FirstName)
		})
	}
}
