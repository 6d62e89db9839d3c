package getid_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/identity/identitytest"
)

func TestConformance(t *testing.T) {
	identitytest.Run(t, identitytest.Harness{
		New: func(client *http.Client) (identity.Provider, error) {
			return getid.New(getid.Config{APIKey: apiKey, BaseURL: baseURL, JWKSURL: jwksURL, HTTPClient: client})
		},
		Secrets: []string{apiKey},
		ID:      id,
		Other: func(r *http.Request) (identitytest.Answer, bool) {
			return identitytest.Answer{Status: http.StatusOK, Body: jwks(jwk(keyPair(0), ""))}, r.URL.String() == jwksURL
		},
		Details: func(_, _, word string) identitytest.Answer {
			state, verdict, _ := strings.Cut(word, "/")
			return identitytest.Answer{Status: http.StatusOK, Body: `{"data":{"status":"` + state + `","results":{"status":"` + verdict + `"}},"signed":"` + genuine() + `"}`}
		},
		Words: map[string]identity.Status{
			"processing": identity.Started, "done/approved": identity.Verified, "done/declined": identity.Failed,
			"done/needs-review": identity.Review, "done/error": identity.Failed,
		},
		NeverNotFound: true, // 404 is documented for an endpoint that does not exist
		Claim:         func(string) []byte { return claimOf(genuine()) },
	})
}
