package getid_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/golang-jwt/jwt/v5"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
)

func Example() {
	// What Checkin.com has: a key, and a result that carries a token.
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES512, jwt.MapClaims{"id": "b2dce275031c3785", "iss": "regily"}).SignedString(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL.Path)
		fmt.Fprintf(w, `{"data":{"status":"done","results":{"status":"approved"},"attributes":{"firstName":"JANE"}},"signed":%q}`, token)
	}))
	defer server.Close()

	provider, err := getid.New(getid.Config{
		APIKey:  "the key from Checkin.com",
		BaseURL: server.URL,                               // by default, Checkin.com's
		Keys:    []getid.Key{{PublicKey: &key.PublicKey}}, // by default, fetched
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// What the page posts. Only the token in it counts.
	body := fmt.Sprintf(`{"applicationStatus":"declined","id":"b2dce275031c3785","signed":%q}`, token)
	id, err := provider.VerifyClaim(context.Background(), []byte(body))
	fmt.Println(id, err)

	// Here, make sure that no other account has shown this id before.

	result, err := provider.Result(context.Background(), id)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Verification().Status == identity.Verified, result.Attributes.FirstName)
	fmt.Println(result) // nothing personal
	// Output:
	// b2dce275031c3785 <nil>
	// GET /verifications/results/b2dce275031c3785
	// true JANE
	// b2dce275031c3785 verified
}
