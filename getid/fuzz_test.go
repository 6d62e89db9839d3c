package getid_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
)

// FuzzClaim: a body is good, malformed or not signed, and nothing is asked for but
// the keys.
func FuzzClaim(f *testing.F) {
	v := newVendor()
	p := newProvider(f, v)
	good := claimOf(genuine())
	f.Add(good)
	f.Add([]byte(`{"id":"` + id + `","signed":""}`))
	f.Add([]byte(`{"signed":1,"ID":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := p.VerifyClaim(context.Background(), body)
		switch {
		case err == nil && got != id:
			t.Fatal("no other id was ever signed")
		case err != nil && !errors.Is(err, identity.ErrMalformed) && !errors.Is(err, identity.ErrSignature):
			t.Fatal(err)
		}
		if v.other.Load()+v.results.Load()+v.keyfull.Load() != 0 {
			t.Fatal("something was asked for")
		}
	})
}

// FuzzToken: whatever is taken says what it must. The signature is right for all.
func FuzzToken(f *testing.F) {
	p := newProvider(f, newVendor())
	f.Add(header, claims)
	f.Add(withKID("a"), claims)
	f.Add(`{"alg":"none"}`, `{"id":"`+id+`","iss":"regily","exp":1}`)
	f.Add(`{"alg":"ES512","crit":["b64"],"b64":false}`, `{"iss":"regily","id":7}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		token := sign(keyPair(0), header, claims)
		_, err := p.VerifyClaim(context.Background(), claimOf(token))
		if err != nil {
			require.ErrorIs(t, err, identity.ErrSignature)
			return
		}
		var h, c map[string]any
		require.NoError(t, json.Unmarshal([]byte(header), &h))
		require.NoError(t, json.Unmarshal([]byte(claims), &c))
		require.Equal(t, "ES512", h["alg"])
		for _, name := range []string{"crit", "b64", "jwk", "jku", "x5u", "x5c"} {
			require.Nil(t, h[name])
		}
		require.Equal(t, id, c["id"])
		require.Equal(t, "regily", c["iss"])
	})
}

// FuzzJWKS: what comes out of a key set can be used, and is not too much.
func FuzzJWKS(f *testing.F) {
	f.Add([]byte(jwks(jwk(keyPair(0), "a"), jwk(keyPair(1), ""))))
	f.Add([]byte(strings.ReplaceAll(jwks(jwk(keyPair(0), "a")), `"sig"`, `null,"use":null`)))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-521","x":"AQ==","y":"` + b64(coordinate(keyPair(0), 1)) + `"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-521","x":"` + b64(make([]byte, 66)) + `","y":""}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := getid.ParseJWKS(data)
		if err != nil {
			require.ErrorIs(t, err, identity.ErrMalformed)
			return
		}
		require.NotEmpty(t, keys)
		require.LessOrEqual(t, len(keys), 50)
		if len(keys) <= 10 {
			_, err = getid.New(getid.Config{APIKey: "k", Keys: keys})
			require.NoError(t, err, "New finds nothing wrong with them")
		}
	})
}

// FuzzResult: an answer is refused, or has a status that its two words allow, and
// is verified only with both.
func FuzzResult(f *testing.F) {
	v := newVendor()
	p := newProvider(f, v)
	token := genuine()
	f.Add(documented)
	f.Add(`"status":"done","results":{"status":"approved"}`)
	f.Add(`"status":"processing"`)
	f.Fuzz(func(t *testing.T, data string) {
		v.answerResult(http.StatusOK, resultWith(data, token))
		r, err := p.Result(context.Background(), id)
		if err != nil {
			require.ErrorIs(t, err, identity.ErrRefused)
			return
		}
		got := r.Verification()
		require.Equal(t, id, got.ID)
		require.LessOrEqual(t, len(got.Concerns), identity.MaxConcerns)
		require.Equal(t, r.Status == "done" && r.Verdict == "approved", got.Status == identity.Verified)
		require.False(t, got.Status == identity.Failed && r.Verdict != "declined" && r.Verdict != "error")
	})
}

// FuzzSignature: no signature but the one that was made verifies.
func FuzzSignature(f *testing.F) {
	p := newProvider(f, newVendor())
	good := genuine()
	cut := strings.LastIndexByte(good, '.')
	raw, err := base64.RawURLEncoding.DecodeString(good[cut+1:])
	require.NoError(f, err)
	f.Add(make([]byte, 132))
	f.Add(raw[:131])
	f.Fuzz(func(t *testing.T, signature []byte) {
		_, err := p.VerifyClaim(context.Background(), claimOf(good[:cut+1]+b64(signature)))
		require.ErrorIs(t, err, identity.ErrSignature)
	})
}
