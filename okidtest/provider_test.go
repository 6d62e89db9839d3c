package okidtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
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

// TestOddities: what the fakes can be made to do is what the providers are made for.
func TestOddities(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	t.Run("okid", func(t *testing.T) {
		h := listen(t)
		fake := start(t, okidtest.Config{})
		provider, err := okid.New(okid.Config{
			APIKey: okidtest.DefaultAPIKey, WebhookSecrets: []string{okidtest.DefaultWebhookSecret},
			APIURL: fake.URL(), FrontendURL: fake.URL(), SDKURL: fake.SDKURL(), HTTPClient: client,
		})
		require.NoError(t, err)
		id := begin(t, fake, h.URL)
		passport := okidtest.Passport(noon)
		passport.VerificationDetails.ExpiryDate = "20/05/2020"
		require.NoError(t, fake.SetChaos(okidtest.Chaos{Edit: func(body []byte) []byte {
			return bytes.Replace(body, []byte(`"Jane"`), []byte(`"\ud800","x":1,"x":2`), 1)
		}}))
		require.NoError(t, fake.Complete(id, passport))
		wait(t, fake)
		notice, err := provider.VerifyWebhook(h.heads[1], []byte(h.bodies[1]), noon)
		require.NoError(t, err)
		assert.Empty(t, notice.Verification.FirstName)
		assert.Equal(t, "Roe", notice.Verification.LastName)
		assert.Equal(t, identity.UnreadableDate, notice.Verification.DocumentExpiry)
		notice, err = provider.Fetch(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, identity.UnreadableDate, notice.Verification.DocumentExpiry)

		for seconds := range map[int]bool{0: true, 7200: true} {
			calls := fake.FetchCalls()
			fake.FailFetch(1, okidtest.TooManyRequests(seconds))
			_, err = provider.Fetch(t.Context(), id)
			limit, ok := errors.AsType[*identity.RateLimitError](err)
			require.True(t, ok)
			assert.Equal(t, time.Duration(seconds)*time.Second, limit.RetryAfter)
			assert.Equal(t, 1, fake.FetchCalls()-calls)
		}
		fake.FailGenerate(1, okidtest.TooManyRequests(60))
		_, err = provider.Start(t.Context(), identity.StartRequest{Reference: "r-1"})
		_, ok := errors.AsType[*identity.RateLimitError](err)
		require.True(t, ok)
		fake.FailGenerate(1, okidtest.Answer("application/json", `{"process_token":"tok_v1_1"}`))
		_, err = provider.Start(t.Context(), identity.StartRequest{Reference: "r-1"})
		require.NoError(t, err)
	})

	t.Run("getid", func(t *testing.T) {
		fake := startGetID(t, okidtest.GetIDConfig{})
		provider := func() *getid.Provider {
			p, err := getid.New(getid.Config{APIKey: okidtest.DefaultGetIDKey, BaseURL: fake.URL(), JWKSURL: fake.JWKSURL(), HTTPClient: client})
			require.NoError(t, err)
			return p
		}
		id, _ := fake.Begin()
		require.NoError(t, fake.Complete(id, okidtest.Approved, map[string]any{"dateOfExpiry": 20200520, "dateOfBirth": ""}))
		fake.EditJWKS(func(jwk map[string]any) {
			for _, name := range []string{"use", "alg", "kid", "d"} {
				jwk[name] = nil
			}
		})
		claim, err := fake.Claim(id, okidtest.Token{Header: map[string]any{"kid": json.RawMessage("null")}})
		require.NoError(t, err)
		got, err := provider().VerifyClaim(t.Context(), claim)
		require.NoError(t, err)
		assert.Equal(t, id, got)
		notice, err := provider().Fetch(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, identity.Verified, notice.Verification.Status)
		assert.Equal(t, identity.UnreadableDate, notice.Verification.DocumentExpiry)
		assert.True(t, notice.Verification.DateOfBirth.IsZero())

		fake.EditJWKS(func(jwk map[string]any) { jwk["crv"] = nil })
		_, err = provider().VerifyClaim(t.Context(), claim)
		require.ErrorIs(t, err, identity.ErrUnavailable)
		fake.EditJWKS(nil)
		_, err = provider().VerifyClaim(t.Context(), claim)
		require.NoError(t, err)

		fake.FailResults(1, okidtest.TooManyRequests(30))
		_, err = provider().Fetch(t.Context(), id)
		limit, ok := errors.AsType[*identity.RateLimitError](err)
		require.True(t, ok)
		assert.Equal(t, 30*time.Second, limit.RetryAfter)
	})
}
