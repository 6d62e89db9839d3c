// Package direct verifies users with GetID's own API v1: the user goes to a page of GetID's and
// comes back. Package getid is for GetID as part of Checkin.com's sign-up flow, with which this
// has nothing in common: ids, hosts and keys differ.
//
//	provider, err := direct.New(direct.Config{
//		URL:    "https://partner.getid.ee",
//		APIKey: os.Getenv("GETID_DIRECT_KEY"),
//		Flow:   "my-flow",
//	})
//
// GetID can be asked about a verification by our own reference, which it calls externalId, so the
// kit asks how it stands from its beginning on. Only an answer that names the reference counts.
//
// Webhooks carry a signature whose algorithm, encoding and key are not documented. So a
// [Provider] is an [identity.HintReader], and no webhook does more than to let the kit ask at
// once; whoever has learnt the details from GetID uses [Provider.Signed]. In either case enter
// {PublicURL}/webhook?provider=getiddirect in GetID's dashboard; without it the kit asks by
// itself.
//
// Sources: https://vvorld.github.io/ (the OpenAPI document of GetID API 1.5),
// https://dev.checkin.com/docs/verification-results, https://dev.checkin.com/docs/one-time-link
// and https://checkin.com/get_started/webhooks.html. The categories of what was read from a
// document, and url in a member named data, were seen in public code that uses the API.
package direct
