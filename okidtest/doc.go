// Package okidtest pretends to be okID, or GetID: for the tests of a web app that
// uses the kit, for example programs, and for people who want to click through a
// verification without an account and without a network.
//
// [OKID] is a fake of okID's Verification API v1, of its browser SDK and of the
// page on which the user is verified. It keeps everything in memory:
//
//	fake, err := okidtest.NewOKID(okidtest.Config{})
//	...
//	err = fake.Start() // or mount it: it is an http.Handler
//	defer fake.Close()
//
//	provider, err := okid.New(fake.ProviderConfig())
//
// A test then lets a user of the app be verified ([OKID.VerifyUser]), plays the user's part step
// by step, or opens [OKID.FlowURL] in a browser:
//
//	id, err := fake.Begin(processToken)                // sends verification.started
//	err = fake.Complete(id, okidtest.Passport(now))    // sends verification.completed
//	err = fake.Wait(ctx)                               // until all are answered
//
// [Chaos] makes the webhooks late, lost, doubled, shuffled, odd or badly signed.
// [OKID.FailFetch] and its like make the API fail, with [TooManyRequests] for example.
//
// [GetID] is the same for GetID in Checkin.com's sign-up flow: its result API, its
// keys, the script of the browser and its page. [Portal] and [Direct] are the newer APIs of both,
// whose users go to a page of the provider's.
//
// A test that needs no fake, but one webhook with a signature that counts, calls
// [NewWebhook].
package okidtest
