// Package portal verifies users with okID's portal, which the vendor also calls v2client: the
// user goes to a page of okID's and comes back. Package okid is for okID's Verification API v1,
// with which this has nothing in common but the key header: ids, hosts, keys and words differ.
//
//	provider, err := portal.New(portal.Config{
//		URL:    "https://verify.prod.okid.io",
//		APIKey: os.Getenv("OKID_PORTAL_KEY"),
//	})
//
// The portal tells the id of a verification when it is begun, so the kit asks how it stands from
// then on. Its webhooks are not documented, and nothing says that they are signed: a [Provider]
// is an [identity.HintReader], and no webhook does more than to let the kit ask at once. Enter
// {PublicURL}/webhook?provider=okidportal in okID's dashboard; without it the kit asks by itself.
//
// What the portal answers to a question is not documented in full either. A form that is not
// known concludes nothing, and is reported as an unknown word.
//
// The portal has an API for its own phone pages, too, which asks for no key: whoever knows an id
// can act on it there. Nothing of it is used here, and ids stay out of logs.
//
// Sources: https://docs.okid.io/docs/api-reference, https://docs.okid.io/docs/integration and
// https://github.com/bluem-development/okID-iOS-SDK.
package portal
