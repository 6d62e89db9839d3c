// Package getid verifies identities through Checkin.com's GetID as part of the
// sign-up flow. The verification runs in the browser alone; the browser then holds
// a claim, a token signed by Checkin.com that names the verification and says
// nothing of its verdict. A [Provider] is an [identity.Provider] and an
// [identity.ClaimVerifier], and can be used with nothing else of the kit:
//
//	provider, err := getid.New(getid.Config{APIKey: apiKey})
//	...
//	id, err := provider.VerifyClaim(ctx, body) // data.ocr, as the page posted it
//	...
//	result, err := provider.Result(ctx, id)
//	if err == nil && result.Verification().Status == identity.Verified {
//		// the person whom this verification is about is verified
//	}
//
// A claim has no end and names no user: anybody who holds it can show it again,
// for any account, for ever. Whoever uses the package without the kit must give
// each id to the first account that shows it, and refuse it to all others.
//
// What the browser says of the verdict is not signed and never looked at, and the
// resultUrl in it is never followed.
//
// The package logs nothing, and puts no secret and no personal field into its
// errors. Its one goroutine fetches the keys of Checkin.com, at most one at a
// time, and ends by itself within seconds.
//
// Source of the wire facts, unless a comment says otherwise:
// https://dev.checkin.com/docs/id-scanner-sign-up-flow.
package getid
