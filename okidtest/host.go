package okidtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/okidkit/okidkit/okid"
)

// ProviderConfig returns the settings with which package okid talks to the fake, which must have been
// started or have a PublicURL.
func (o *OKID) ProviderConfig() okid.Config {
	return okid.Config{
		APIKey:         o.cfg.APIKey,
		WebhookSecrets: []string{o.cfg.WebhookSecret},
		APIURL:         o.URL(),
		FrontendURL:    o.URL(),
		SDKURL:         o.SDKURL(),
	}
}

// VerifyUser lets a user of an app be verified: it begins a verification at startURL, which is where
// the kit's start route is, goes through it with what is found, such as [Passport], and returns
// when the app has answered the webhooks. The client has the user's session, in its cookie jar, say.
// The error is that of the app, or of the fake; whether the app lets the user in then is its own to
// say.
func (o *OKID) VerifyUser(ctx context.Context, client *http.Client, startURL string, found okid.VerificationBody) error {
	var started struct {
		ProcessToken string `json:"process_token"`
		Code         string // of a problem
	}
	status, err := call(ctx, client, http.MethodPost, startURL, &started)
	if err != nil {
		return err
	}
	if started.ProcessToken == "" {
		return fmt.Errorf("okidtest: %s answered %s %s and no process token", startURL, status, started.Code)
	}
	id, err := o.Begin(started.ProcessToken)
	if err != nil {
		return err
	}
	if err := o.Complete(id, found); err != nil {
		return err
	}
	return o.Wait(ctx)
}

// call makes one request for JSON, decodes the answer into v, if there is one, and returns its
// status. Without v the answer may be anything.
func call(ctx context.Context, client *http.Client, method, u string, v any) (status string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil || v == nil {
		return resp.Status, err
	}
	if json.Unmarshal(body, v) != nil {
		return "", fmt.Errorf("okidtest: %s answered %s and no JSON", u, resp.Status)
	}
	return resp.Status, nil
}
