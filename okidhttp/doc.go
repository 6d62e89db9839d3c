// Package okidhttp lets a web app verify who its users are. It is embedded in an
// app that has sessions, users and a database already: it brings none of these.
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
//	go kit.Run(ctx)                                     // what nobody waits for
//
// # What happens
//
// [Kit.Start] writes a new attempt into the user's record, asks the provider for
// a session, and hands out a token or leads to [Kit.Page], which starts the
// provider's SDK. What becomes known about the attempt arrives at
// [Kit.Webhook], is asked for when the user comes back to [Kit.Success] or
// [Kit.Error] or a page hands a claim to [Kit.Claim], or by [Kit.Run] if a webhook
// was lost. The host is told through the callbacks of [Config], and
// [Kit.RequireVerified] lets the user through.
//
// # What can be relied on
//
// A webhook that was answered with 200 is not lost: its effect, or the notice
// itself, is in the store. However often and in whatever order notices arrive,
// the host is told of each change once, or again with the same [Event.ID] if it
// did not say that it knew, or if a process died before that was written down.
// A request that was captured and is sent again changes nothing.
//
// Only what is authenticated changes anything: a signed webhook, or the answer
// to a question asked with the secret key. A redirect, a callback of the SDK in
// the browser, or an unknown word of the provider's never verifies anybody.
//
// The record holds nothing that says who somebody is, but for what waits sealed
// for a callback that has not succeeded yet, and the fields named in
// Config.Keep.
package okidhttp
