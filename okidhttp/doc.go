// Package okidhttp lets a web app verify who its users are. It is embedded in an app that
// already has sessions, users and a database, and brings none of these.
//
//	kit, err := okidhttp.New(okidhttp.Config{
//		Providers: []identity.Provider{provider},
//		Store:     memstore.New(),
//		PublicURL: "https://app.example.com/verify",
//		Keys:      [][]byte{key},
//		Subject:   func(r *http.Request) (string, error) { return currentUser(r) },
//		OnVerified: func(ctx context.Context, e okidhttp.Event) error {
//			return db.MarkVerified(ctx, e.ID, e.Subject)
//		},
//	})
//	...
//	mux.Handle("/verify/", kit)                         // every route
//	mux.Handle("/cellar/", kit.RequireVerified(cellar)) // the gate
//	go kit.Run(ctx)                                     // retries, expiry, lost webhooks
//
// # What happens
//
// [Kit.Start] writes a new attempt into the user's record, asks the provider for a session,
// and hands out its token or leads to [Kit.Page], which starts the provider's SDK. News of
// the attempt arrives at [Kit.Webhook]. It is also asked for: when the user comes back to
// [Kit.Success] or [Kit.Error], when a page hands a claim to [Kit.Claim], and by [Kit.Run] in
// case a webhook was lost. The host is told through the callbacks of [Config], and
// [Kit.RequireVerified] lets the user through.
//
// # What can be relied on
//
// A webhook that was answered with 200 is not lost: its effect, or the notice itself, is in
// the store. However often and in whatever order notices arrive, the host is told of each
// change once. It is told again, with the same [Event.ID], only if a callback did not return
// nil, or if a process died before that was written down. A captured request that is sent
// again changes nothing.
//
// Only what is authenticated changes anything: a signed webhook, or the answer to a question
// that was asked with the secret key. A redirect, a callback of the SDK in the browser, and an
// unknown word of the provider's never verify anybody.
//
// The record holds nothing that says who somebody is, apart from the fields named in
// [Config.Keep], and from what waits, sealed, for a callback that has not succeeded yet.
package okidhttp
