package okid_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid"
)

func Example() {
	provider, err := okid.New(okid.Config{
		APIKey:         "the key from the okID dashboard",
		WebhookSecrets: []string{"4b1d7e2f9a8c6a0f3d5e"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// What okID sends.
	body := []byte(`{"event":"verification.completed","data":{"id":"ver_1","status":"completed","metadata":{"reference":"order-7"}}}`)
	now := time.Date(2025, 6, 30, 10, 18, 0, 0, time.UTC)
	mac := hmac.New(sha256.New, []byte("4b1d7e2f9a8c6a0f3d5e"))
	mac.Write(body)
	header := http.Header{}
	header.Set(okid.SignatureHeader, hex.EncodeToString(mac.Sum(nil)))
	header.Set(okid.TimestampHeader, "2025-06-30T10:17:59Z")

	notice, err := provider.VerifyWebhook(header, body, now)
	fmt.Println(err, notice.Verification.Status, notice.Reference)

	_, err = provider.VerifyWebhook(header, append(body, ' '), now)
	fmt.Println(errors.Is(err, identity.ErrSignature))
	// Output:
	// <nil> verified order-7
	// true
}

func ExampleProvider_Start() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(string(body))
		fmt.Fprint(w, `{"process_token":"tok_v1_0123456789abcdef","expires_at":"2025-06-30T23:59:59Z"}`)
	}))
	defer server.Close()

	provider, err := okid.New(okid.Config{
		APIKey:         "the key from the okID dashboard",
		WebhookSecrets: []string{"4b1d7e2f9a8c6a0f3d5e"},
		APIURL:         server.URL, // by default, okID's
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := provider.Start(context.Background(), identity.StartRequest{
		Reference:   "order-7",
		CallbackURL: "https://app.example.com/verify/webhook",
	})
	fmt.Println(session.Token, session.ExpiresAt, err)
	// Output:
	// {"metadata":{"reference":"order-7"},"callback_url":"https://app.example.com/verify/webhook"}
	// tok_v1_0123456789abcdef 2025-06-30 23:59:59 +0000 UTC <nil>
}
