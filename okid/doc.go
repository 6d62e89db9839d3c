// Package okid verifies identities through okID's Verification API v1: it starts
// verifications, reads their results, and authenticates the webhooks that report
// them. A [Provider] is an [identity.Provider] and an [identity.WebhookVerifier],
// and can be used with nothing else of the kit:
//
//	provider, err := okid.New(okid.Config{
//		APIKey:         apiKey,
//		WebhookSecrets: []string{secret},
//	})
//	...
//	session, err := provider.Start(ctx, identity.StartRequest{
//		Reference:   reference, // yours: it comes back in every webhook
//		CallbackURL: "https://app.example.com/verify/webhook",
//	})
//	...
//	notice, err := provider.VerifyWebhook(r.Header, body, time.Now())
//	if err == nil && notice.Verification.Status == identity.Verified {
//		// the person who was sent off with notice.Reference is verified
//	}
//
// A signature says who sent a webhook, not that it is new: okID is not known to
// sign the time. Whoever acts on notices without the kit must remember
// [identity.Notice.Digest] for as long as acting twice would do harm.
//
// The package logs nothing, starts no goroutine, and puts no secret and no
// personal field into its errors.
package okid
