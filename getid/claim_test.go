package getid_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
)

func TestVerifyClaim(t *testing.T) {
	signed := func(header, claims string) []byte { return claimOf(sign(keyPair(0), header, claims)) }
	for name, body := range map[string][]byte{
		"as documented":           signed(header, claims),
		"nothing but what counts": []byte(`{"signed":"` + genuine() + `","id":"` + id + `"}`),
		"data is a list":          []byte(`{"data":[{}],"signed":"` + genuine() + `","id":"` + id + `"}`),
		"names a key":             signed(withKID("new"), claims),
		"kid null":                signed(`{"alg":"ES512","kid":null}`, claims),
		"every key null":          signed(`{"alg":"ES512","kid":null,"jwk":null,"jku":null,"x5u":null,"x5c":null,"x5t":null,"typ":null}`, claims),
		"twins in other objects":  []byte(`{"data":{"a":{"x":1,"x":2,"X":3},"status":"\ud800"},"more":[{"id":1,"ID":2,"id":3}],"signed":"` + genuine() + `","id":"` + id + `"}`),
		"254 deep":                []byte(`{"data":` + strings.Repeat("[", 254) + strings.Repeat("]", 254) + `,"signed":"` + genuine() + `","id":"` + id + `"}`),
		"twins deep in the token": signed(`{"alg":"ES512","more":{"a":1,"a":"\ud800"}}`, strings.Replace(claims, "{", `{"more":[{"iss":1,"ISS":2}],`, 1)),
		"no typ":                  signed(`{"alg":"ES512"}`, claims),
		"not yet at its end":      signed(header, `{"id":"`+id+`","iss":"regily","exp":1751278681}`),
		"past its end by seconds": signed(header, `{"id":"`+id+`","iss":"regily","exp":1751278650}`),
		"early by seconds":        signed(header, `{"id":"`+id+`","iss":"regily","nbf":1751278710}`),
		"fraction":                signed(header, `{"id":"`+id+`","iss":"regily","nbf":1751278680.5,"exp":1.7512787e9}`),
		"unknown claims":          signed(header, `{"id":"`+id+`","iss":"regily","sub":1,"aud":{},"iat":"x","jti":null}`),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor()
			v.publish(jwk(keyPair(1), "old"), jwk(keyPair(0), "new"))
			got, err := newProvider(t, v).VerifyClaim(t.Context(), body)
			require.NoError(t, err)
			assert.Equal(t, id, got)
			assert.EqualValues(t, 1, v.keys.Load())
			assert.Zero(t, v.results.Load()+v.other.Load()+v.keyfull.Load(), "nothing else is asked, and nobody gets the API key")
		})
	}
}

// sample is the token in the vendor's documentation. The key that signed it is not
// published.
const sample = "eyJhbGciOiJFUzUxMiIsInR5cCI6IkpXVCJ9." +
	"eyJyZXN1bHRVcmwiOiJodHRwOi8vbG9jYWxob3N0OjMwMzAvdmVyaWZpY2F0aW9ucy9yZXN1bHRzL2IyZGNlMjc1MDMxYzM3ODVlYzFiN2FjODk5ODNjNjdlMWE5ZiIsImlkIjoiYjJkY2UyNzUwMzFjMzc4NWVjMWI3YWM4OTk4M2M2N2UxYTlmIiwiaXNzIjoicmVnaWx5In0."

// TestSample: the documented token passes every check but that of the signature.
func TestSample(t *testing.T) {
	v := newVendor()
	_, err := newProvider(t, v).VerifyClaim(t.Context(), claimOf(sample+b64(make([]byte, 132))))
	require.ErrorIs(t, err, identity.ErrSignature)
	require.ErrorContains(t, err, "no key matches")
	assert.Equal(t, sample, strings.Join(strings.SplitAfter(genuine(), ".")[:2], ""), "what the other tests sign")
}

// paddedTo is a good token with as many bytes.
func paddedTo(length int) string {
	for padding := length * 3 / 4; ; padding-- {
		content := b64([]byte(header)) + "." + b64([]byte(claims+strings.Repeat(" ", padding)))
		if len(content)+1+len(b64(make([]byte, 132))) <= length {
			return signContent(keyPair(0), content)
		}
	}
}

// TestRefusesToken: no token here costs a request or the check of a signature,
// though all but those about the signature itself are signed with the right key.
func TestRefusesToken(t *testing.T) {
	signed := func(header, claims string) string { return sign(keyPair(0), header, claims) }
	good := signed(header, claims)
	parts := strings.Split(good, ".")
	content := parts[0] + "." + parts[1] + "."
	resigned := func(header string, signature func(content string) []byte) string {
		content := b64([]byte(header)) + "." + parts[1]
		return content + "." + b64(signature(content))
	}
	point, err := keyPair(0).PublicKey.Bytes()
	require.NoError(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	sum := sha512.Sum512([]byte(parts[0] + "." + parts[1]))
	der, err := ecdsa.SignASN1(rand.Reader, keyPair(0), sum[:])
	require.NoError(t, err)
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	require.NoError(t, err)
	key := `{"kty":"EC","crv":"P-521"}`

	for name, token := range map[string]string{
		"empty":                     "",
		"one part":                  "canary",
		"two parts":                 parts[0] + "." + parts[1],
		"four parts":                good + ".",
		"five parts, as encrypted":  good + "..",
		"only dots":                 "..",
		"8 KiB and a byte":          paddedTo(8<<10 + 1),
		"long kid in 10 KB":         signed(withKID(strings.Repeat("k", 10_000)), claims),
		"not base64url":             "?." + parts[1] + "." + parts[2],
		"base64 padded":             content + parts[2] + "=",
		"base64 of the other kind":  content + strings.NewReplacer("-", "+", "_", "/").Replace(b64(append([]byte{0xfb, 0xff}, raw[2:]...))),
		"base64 with bits to spare": signContent(keyPair(0), strings.Replace(b64([]byte(header+" ")), "IA", "IB", 1)+"."+parts[1]),
		"line feed":                 parts[0] + `\n.` + parts[1] + "." + parts[2],
		"no signature":              content,
		"alg none":                  b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"alg none, signed":          signed(`{"alg":"none"}`, claims),
		"alg None":                  signed(`{"alg":"None"}`, claims),
		"alg HS256, public key": resigned(`{"alg":"HS256"}`, func(c string) []byte {
			m := hmac.New(sha256.New, point)
			m.Write([]byte(c))
			return m.Sum(nil)
		}),
		"alg HS512":                 signed(`{"alg":"HS512"}`, claims),
		"alg RS512":                 signed(`{"alg":"RS512"}`, claims),
		"alg PS512":                 signed(`{"alg":"PS512"}`, claims),
		"alg EdDSA":                 signed(`{"alg":"EdDSA"}`, claims),
		"alg ES384":                 signed(`{"alg":"ES384"}`, claims),
		"alg ES256 by P-256":        sign(p256, `{"alg":"ES256"}`, claims),
		"alg ES512 by P-256":        sign(p256, header, claims),
		"alg es512":                 signed(`{"alg":"es512"}`, claims),
		"alg missing":               signed(`{"typ":"JWT"}`, claims),
		"alg null":                  signed(`{"alg":null}`, claims),
		"alg in a list":             signed(`{"alg":["ES512"]}`, claims),
		"alg twice":                 signed(`{"alg":"none","alg":"ES512"}`, claims),
		"alg by letter case":        signed(`{"Alg":"none","alg":"ES512"}`, claims),
		"header a list":             signed(`["alg","ES512"]`, claims),
		"header no JSON":            signed(`canary`, claims),
		"header with trailing data": signed(header+header, claims),
		"header not UTF-8":          signed("{\"alg\":\"ES512\",\"a\":\"\xff\"}", claims),
		"crit":                      signed(`{"alg":"ES512","crit":["exp"],"exp":1}`, claims),
		"crit empty":                signed(`{"alg":"ES512","crit":[]}`, claims),
		"crit null":                 signed(`{"alg":"ES512","crit":null}`, claims),
		"Crit":                      signed(`{"alg":"ES512","Crit":[]}`, claims),
		"b64 false":                 signed(`{"alg":"ES512","b64":false}`, claims),
		"zip":                       signed(`{"alg":"ES512","zip":"DEF"}`, claims),
		"jwk":                       signed(`{"alg":"ES512","jwk":`+key+`}`, claims),
		"jku":                       signed(`{"alg":"ES512","jku":"https://canary.test/certs"}`, claims),
		"x5u":                       signed(`{"alg":"ES512","x5u":"https://canary.test/certs"}`, claims),
		"x5c":                       signed(`{"alg":"ES512","x5c":["canary"]}`, claims),
		"kid empty":                 signed(`{"alg":"ES512","kid":""}`, claims),
		"kid number":                signed(`{"alg":"ES512","kid":7}`, claims),
		"kid object":                signed(`{"alg":"ES512","kid":{"kid":"a"}}`, claims),
		"kid of 129 bytes":          signed(withKID(strings.Repeat("k", 129)), claims),
		"signature as DER":          content + b64(der),
		"signature of 131 bytes":    content + b64(raw[1:]),
		"signature of 133 bytes":    content + b64(append([]byte{0}, raw...)),
		"signature of 64 bytes":     content + b64(raw[:64]),
		"iss missing":               signed(header, `{"id":"`+id+`"}`),
		"iss another":               signed(header, `{"id":"`+id+`","iss":"canary"}`),
		"iss longer":                signed(header, `{"id":"`+id+`","iss":"regily "}`),
		"iss by letter case":        signed(header, `{"id":"`+id+`","iss":"Regily"}`),
		"iss in a list":             signed(header, `{"id":"`+id+`","iss":["regily"]}`),
		"iss twice":                 signed(header, `{"id":"`+id+`","iss":"canary","iss":"regily"}`),
		"iss twice by letter case":  signed(header, `{"id":"`+id+`","ISS":"canary","iss":"regily"}`),
		"id missing, as in others":  signed(header, `{"phone":"canary","iss":"regily"}`),
		"id another":                signed(header, `{"id":"`+id[:35]+`0","iss":"regily"}`),
		"id number":                 signed(header, `{"id":1,"iss":"regily"}`),
		"id twice":                  signed(header, `{"id":"canary","id":"`+id+`","iss":"regily"}`),
		"id by letter case":         signed(header, `{"ID":"`+id+`","iss":"regily"}`),
		"over since a minute":       signed(header, `{"id":"`+id+`","iss":"regily","exp":1751278620}`),
		"not yet for a minute":      signed(header, `{"id":"`+id+`","iss":"regily","nbf":1751278741}`),
		"exp text":                  signed(header, `{"id":"`+id+`","iss":"regily","exp":"1851278681"}`),
		"exp huge":                  signed(header, `{"id":"`+id+`","iss":"regily","exp":1e400}`),
		"exp null":                  signed(header, `{"id":"`+id+`","iss":"regily","exp":null}`),
		"exp by letter case":        signed(header, `{"id":"`+id+`","iss":"regily","Exp":1}`),
		"nbf by letter case":        signed(header, `{"id":"`+id+`","iss":"regily","NBF":1}`),
		"nbf list":                  signed(header, `{"id":"`+id+`","iss":"regily","nbf":[]}`),
		"claims a list":             signed(header, `["`+id+`"]`),
		"claims a string":           signed(header, `"`+id+`"`),
		"claims with trailing data": signed(header, claims+"canary"),
		"claims deep":               signed(header, `{"id":"`+id+`","iss":"regily","x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor()
			got, err := newProvider(t, v).VerifyClaim(t.Context(), claimOf(token))
			require.ErrorIs(t, err, identity.ErrSignature)
			assert.NotErrorIs(t, err, identity.ErrMalformed)
			assert.NotContains(t, err.Error(), "no key matches")
			assert.NotContains(t, err.Error(), "canary")
			assert.Empty(t, got)
			assert.Zero(t, v.keyless.Load()+v.keyfull.Load(), "a request was sent")
		})
	}
}

// TestRefusesSignature: these do cost the check of a signature.
func TestRefusesSignature(t *testing.T) {
	good := genuine()
	parts := strings.Split(good, ".")
	zeros := b64(make([]byte, 132))
	ones := b64([]byte(strings.Repeat("\xff", 132)))
	for name, token := range map[string]string{
		"by another key":          sign(keyPair(1), header, claims),
		"by the key of another":   sign(keyPair(0), withKID("two"), claims),
		"by a key without a name": sign(keyPair(0), withKID("unknown"), claims),
		"of something else":       strings.Join([]string{parts[0], b64([]byte(strings.ReplaceAll(claims, "3030", "3031"))), parts[2]}, "."),
		"zero":                    parts[0] + "." + parts[1] + "." + zeros,
		"too large":               parts[0] + "." + parts[1] + "." + ones,
		"halves swapped":          parts[0] + "." + parts[1] + "." + parts[2][88:] + parts[2][:88],
		"kid as a path":           sign(keyPair(0), withKID("../../../dev/null"), claims),
		"kid as SQL":              sign(keyPair(0), withKID("' OR '1'='1"), claims),
		"kid as a URL":            sign(keyPair(0), withKID("https://canary.test/certs"), claims),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor()
			v.publish(jwk(keyPair(0), "one"), jwk(keyPair(2), "two"))
			_, err := newProvider(t, v).VerifyClaim(t.Context(), claimOf(token))
			require.ErrorIs(t, err, identity.ErrSignature)
			require.ErrorContains(t, err, "no key matches")
			assert.NotContains(t, err.Error(), "canary")
			assert.EqualValues(t, 1, v.keys.Load())
			assert.Zero(t, v.results.Load()+v.other.Load())
		})
	}
}

func TestRefusesClaim(t *testing.T) {
	token := genuine()
	with := func(id string) string { return `{"id":"` + id + `","signed":"` + token + `"}` }
	for name, body := range map[string]string{
		"empty":                   ``,
		"no JSON":                 `canary`,
		"list":                    `[]`,
		"null":                    `null`,
		"no id":                   `{"signed":"` + token + `"}`,
		"no signed":               `{"id":"` + id + `"}`,
		"id null":                 `{"id":null,"signed":"` + token + `"}`,
		"id number":               `{"id":12345678,"signed":"` + token + `"}`,
		"id short":                with("1234567"),
		"id long":                 with(strings.Repeat("a", 129)),
		"id with dots":            with("../../canary"),
		"id with a slash":         with("canary/canary"),
		"id with an escape":       with("canary%2fcanary"),
		"id with a query":         with("canary12?x=y"),
		"id with a fragment":      with("canary12#x"),
		"id with a line feed":     with(`canary12\n`),
		"id not ASCII":            with("canary12é"),
		"signed null":             `{"id":"` + id + `","signed":null}`,
		"signed number":           `{"id":"` + id + `","signed":1}`,
		"signed a list":           `{"id":"` + id + `","signed":["` + token + `"]}`,
		"trailing data":           string(claimOf(token)) + "canary",
		"two values":              string(claimOf(token)) + string(claimOf(token)),
		"id twice":                `{"id":"canary12","id":"` + id + `","signed":"` + token + `"}`,
		"id by letter case":       `{"ID":"canary12","id":"` + id + `","signed":"` + token + `"}`,
		"signed twice":            `{"id":"` + id + `","signed":"canary","signed":"` + token + `"}`,
		"signed by letter case":   `{"id":"` + id + `","Signed":"canary","signed":"` + token + `"}`,
		"applicationStatus twice": `{"applicationStatus":"declined","applicationStatus":"approved","id":"` + id + `","signed":"` + token + `"}`,
		"data in two cases":       `{"id":"` + id + `","signed":"` + token + `","data":{},"Data":{}}`,
		"half a surrogate pair":   `{"id":"` + id + `","signed":"` + token + `\ud800"}`,
		"and in a name":           `{"id":"` + id + `","signed":"` + token + `","canary\ud800":1}`,
		"257 deep":                `{"id":"` + id + `","signed":"` + token + `","data":` + strings.Repeat("[", 256) + strings.Repeat("]", 256) + `}`,
		"deep":                    `{"id":"` + id + `","signed":"` + token + `","data":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
		"not UTF-8":               "{\"id\":\"" + id + "\",\"signed\":\"" + token + "\",\"data\":\"\xff\"}",
		"256 KiB and a byte":      string(claimOf(token)) + strings.Repeat(" ", 256<<10-len(claimOf(token))+1),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor()
			_, err := newProvider(t, v).VerifyClaim(t.Context(), []byte(body))
			require.ErrorIs(t, err, identity.ErrMalformed)
			require.NotErrorIs(t, err, identity.ErrSignature)
			assert.NotContains(t, err.Error(), "canary")
			assert.Zero(t, v.keyless.Load()+v.keyfull.Load(), "a request was sent")
		})
	}
	_, err := newProvider(t, newVendor()).VerifyClaim(t.Context(), claimOf(paddedTo(8<<10)))
	require.NoError(t, err)
	largest := append(claimOf(token), strings.Repeat(" ", 256<<10-len(claimOf(token)))...)
	_, err = newProvider(t, newVendor()).VerifyClaim(t.Context(), largest)
	require.NoError(t, err, "the bounds are exact")
}

// TestVerdictOfTheBrowser: what the browser says beside the token, and what the
// token says of a URL, has no effect, whatever it is.
func TestVerdictOfTheBrowser(t *testing.T) {
	declined := result("done", "declined")
	for _, url := range []string{
		"http://127.0.0.1:1/", "http://localhost/x", "http://169.254.169.254/latest/meta-data", "https://canary.test/", "file:///etc/passwd", "//canary.test", "../../x",
	} {
		v := newVendor()
		v.answerResult(http.StatusOK, declined)
		p := newProvider(t, v)
		token := sign(keyPair(0), header, `{"resultUrl":"`+url+`","id":"`+id+`","iss":"regily"}`)
		body := `{"applicationStatus":"approved","resultUrl":"` + url + `","id":"` + id + `","signed":"` + token + `","data":{"results":{"status":"approved"}}}`
		got, err := p.VerifyClaim(t.Context(), []byte(body))
		require.NoError(t, err)
		notice, err := p.Fetch(t.Context(), got)
		require.NoError(t, err)
		assert.Equal(t, identity.Failed, notice.Verification.Status)
		assert.EqualValues(t, 2, v.keyless.Load()+v.keyfull.Load())
		assert.Zero(t, v.other.Load())
	}
}

func TestIssuer(t *testing.T) {
	p := newProvider(t, newVendor(), func(c *getid.Config) { c.Issuer = "somebody" })
	_, err := p.VerifyClaim(t.Context(), claimOf(genuine()))
	require.ErrorIs(t, err, identity.ErrSignature)
	_, err = p.VerifyClaim(t.Context(), claimOf(sign(keyPair(0), header, `{"id":"`+id+`","iss":"somebody"}`)))
	require.NoError(t, err)
}

// TestKeysTried: without a kid, 10 keys are tried and no more.
func TestKeysTried(t *testing.T) {
	v := newVendor()
	var keys []map[string]any
	for i := range 11 {
		keys = append(keys, jwk(keyPair(i), fmt.Sprint("key-", i)))
	}
	v.publish(keys...)
	p := newProvider(t, v)
	for _, i := range []int{0, 9, 10} {
		_, err := p.VerifyClaim(t.Context(), claimOf(sign(keyPair(i), header, claims)))
		if i < 10 {
			assert.NoError(t, err, i)
		} else {
			assert.ErrorIs(t, err, identity.ErrSignature, i)
		}
		_, err = p.VerifyClaim(t.Context(), claimOf(sign(keyPair(i), withKID(fmt.Sprint("key-", i)), claims)))
		assert.NoError(t, err, i)
	}
}

// TestFlood: while a crowd sends claims with bad signatures, one that is good
// comes through, and its neighbour that can wait no longer is told so.
func TestFlood(t *testing.T) {
	p := newProvider(t, newVendor(), func(c *getid.Config) { c.MaxVerifications = 1 }, fixed(getid.Key{PublicKey: &keyPair(0).PublicKey}))
	bad := claimOf(sample + b64([]byte(strings.Repeat("\x01", 132))))
	good := claimOf(genuine())
	ctx, cancel := context.WithCancel(t.Context())
	var crowd sync.WaitGroup
	defer crowd.Wait()
	defer cancel()
	ready := make(chan struct{}, 8)
	for range 8 {
		crowd.Go(func() {
			for ctx.Err() == nil {
				_, err := p.VerifyClaim(ctx, bad)
				if ctx.Err() == nil {
					assert.ErrorIs(t, err, identity.ErrSignature)
				}
				select {
				case ready <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 8 {
		<-ready
	}
	_, err := p.VerifyClaim(t.Context(), good)
	require.NoError(t, err)
	over, cancelOver := context.WithCancel(t.Context())
	cancelOver()
	_, err = p.VerifyClaim(over, bad)
	require.ErrorIs(t, err, identity.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.VerifyClaim(over, good)
	require.NoError(t, err, "it is remembered, and needs no turn")
}
