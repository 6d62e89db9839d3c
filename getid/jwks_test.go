package getid_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
)

// garbage is what may stand where the keys should be.
func garbage() map[string]func(*http.Request) (*http.Response, error) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	many := make([]map[string]any, 51)
	for i := range many {
		many[i] = jwk(keyPair(0), fmt.Sprint(i))
	}
	return map[string]func(*http.Request) (*http.Response, error){
		"nothing":       always(http.StatusOK, ``),
		"{}":            always(http.StatusOK, `{}`),
		"no key":        always(http.StatusOK, `{"keys":[]}`),
		"null":          always(http.StatusOK, `{"keys":null}`),
		"HTML":          always(http.StatusOK, `<html>canary</html>`),
		"list":          always(http.StatusOK, `[]`),
		"keys twice":    always(http.StatusOK, `{"keys":[],"keys":[]}`),
		"another curve": always(http.StatusOK, jwks(jwk(p256, "a"))),
		"51 keys":       always(http.StatusOK, jwks(many...)),
		"too long":      always(http.StatusOK, jwks(jwk(keyPair(0), ""))+strings.Repeat(" ", 256<<10)),
		"endless":       new(endless).serve,
		"500":           always(http.StatusInternalServerError, jwks(jwk(keyPair(0), ""))),
		"503":           always(http.StatusServiceUnavailable, "canary"), // in one fetch it is asked for once
		"404":           always(http.StatusNotFound, "canary"),
		"202":           always(http.StatusAccepted, jwks(jwk(keyPair(0), ""))),
		"redirect": func(*http.Request) (*http.Response, error) {
			return answer(http.StatusFound, "", "Location", "https://canary.test/"), nil
		},
		"no connection": func(*http.Request) (*http.Response, error) { return nil, errors.New("canary") },
		"lost in middle": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: lost{}}, nil
		},
	}
}

// endless is a body that never ends, and counts what was read of it.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.read.Add(int64(len(b)))
	return len(b), nil
}

func (e *endless) serve(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(e)}, nil
}

func TestEndlessAnswers(t *testing.T) {
	var keys, result endless
	v := newVendor()
	v.setKeys(keys.serve)
	v.serveResult = result.serve
	p := newProvider(t, v)
	_, err := p.VerifyClaim(t.Context(), claimOf(genuine()))
	require.ErrorIs(t, err, identity.ErrUnavailable)
	assert.LessOrEqual(t, keys.read.Load(), int64(256<<10+1))
	_, err = p.Fetch(t.Context(), id)
	require.ErrorIs(t, err, identity.ErrRefused)
	assert.LessOrEqual(t, result.read.Load(), int64(1<<20+1))
}

type lost struct{}

func (lost) Read([]byte) (int, error) { return 0, errors.New("canary") }
func (lost) Close() error             { return nil }

// TestFloodOfKeyIDs: whatever the tokens are and whatever comes back, there is one
// fetch in 30 seconds. As long as there never was a set, there are some more at first.
func TestFloodOfKeyIDs(t *testing.T) {
	serve := garbage()
	serve["good"] = always(http.StatusOK, jwks(jwk(keyPair(0), "good")))
	for name, f := range serve {
		t.Run(name, func(t *testing.T) {
			v, c := newVendor(), new(clock)
			v.setKeys(f)
			p := newProvider(t, v, c.config)
			want := identity.ErrUnavailable
			if name == "good" {
				want = identity.ErrSignature
			}
			fetches := []int{0, 1, 3, 7, 15, 31, 61, 91} // when
			if name == "good" {
				fetches = []int{0, 30, 60, 90}
			}
			want, expected := want, 0
			for second := range 92 {
				if slices.Contains(fetches, second) {
					expected++
				}
				c.advance(at.Add(time.Duration(second) * time.Second).Sub(c.now()))
				for i := range 3 {
					token := b64([]byte(withKID(fmt.Sprint(second, "-", i)))) + "." + b64([]byte(claims)) + "." + b64(make([]byte, 132))
					_, err := p.VerifyClaim(t.Context(), claimOf(token))
					require.ErrorIs(t, err, want)
					require.NotErrorIs(t, err, identity.ErrRefused)
					require.NotContains(t, err.Error(), "canary")
					require.Equal(t, name == "500", strings.Contains(err.Error(), "HTTP 500"))
				}
				require.EqualValues(t, expected, v.keys.Load(), "after %d s", second)
			}
			assert.Zero(t, v.other.Load())
		})
	}
}

// TestFirstFetchFails: claims fail for a second after it, and not for longer.
func TestFirstFetchFails(t *testing.T) {
	for name, f := range garbage() {
		v, c := newVendor(), new(clock)
		v.setKeys(f)
		p := newProvider(t, v, c.config)
		verify := func() error { _, err := p.VerifyClaim(t.Context(), claimOf(genuine())); return err }
		require.ErrorIs(t, verify(), identity.ErrUnavailable, name)
		v.publish(jwk(keyPair(0), ""))
		c.advance(time.Second - 1)
		require.ErrorIs(t, verify(), identity.ErrUnavailable, name)
		require.EqualValues(t, 1, v.keys.Load())
		c.advance(1)
		require.NoError(t, verify(), name)

		// From now on it is 30 seconds, though the next fetch fails as well.
		v.setKeys(f)
		unknown := claimOf(sign(keyPair(1), withKID("unknown"), claims))
		for second := range 62 {
			_, err := p.VerifyClaim(t.Context(), unknown)
			require.Error(t, err)
			require.EqualValues(t, 2+second/30, v.keys.Load(), "%s after %d s", name, second)
			c.advance(time.Second)
		}
	}
}

// TestOutage: keys count for a day without the endpoint, and not longer.
func TestOutage(t *testing.T) {
	body := claimOf(genuine())
	for name, f := range garbage() {
		t.Run(name, func(t *testing.T) {
			v, c := newVendor(), new(clock)
			p := newProvider(t, v, c.config)
			verify := func() error { _, err := p.VerifyClaim(t.Context(), body); return err }
			require.NoError(t, verify())
			v.setKeys(f)
			c.advance(10*time.Minute - 1)
			require.NoError(t, verify())
			require.EqualValues(t, 1, v.keys.Load(), "they are fresh")
			c.advance(1)
			require.NoError(t, verify())
			require.NoError(t, verify())
			require.EqualValues(t, 2, v.keys.Load())
			c.advance(24*time.Hour - 10*time.Minute - 1)
			require.NoError(t, verify())
			c.advance(1)
			require.ErrorIs(t, verify(), identity.ErrUnavailable)
			v.publish(jwk(keyPair(0), ""))
			require.ErrorIs(t, verify(), identity.ErrUnavailable, "there was a fetch just now")
			c.advance(30 * time.Second)
			require.NoError(t, verify())
		})
	}
}

// TestRotation: a new key counts as soon as a fetch is allowed, whether or not
// tokens name it, and one that left counts no longer once the set is fetched, even
// for a token that was verified before.
func TestRotation(t *testing.T) {
	for name, headerOf := range map[string]func(kid string) string{
		"named":   withKID,
		"unnamed": func(string) string { return header },
	} {
		t.Run(name, func(t *testing.T) {
			v, c := newVendor(), new(clock)
			v.publish(jwk(keyPair(0), "old"))
			p := newProvider(t, v, c.config)
			old, fresh := claimOf(sign(keyPair(0), headerOf("old"), claims)), claimOf(sign(keyPair(1), headerOf("fresh"), claims))
			verify := func(body []byte) error { _, err := p.VerifyClaim(t.Context(), body); return err }
			require.NoError(t, verify(old))
			v.publish(jwk(keyPair(1), "fresh"))
			c.advance(29 * time.Second)
			require.ErrorIs(t, verify(fresh), identity.ErrSignature)
			c.advance(time.Second)
			require.NoError(t, verify(fresh))
			require.ErrorIs(t, verify(old), identity.ErrSignature)
			assert.EqualValues(t, 2, v.keys.Load())
		})
	}
	t.Run("without a new key", func(t *testing.T) {
		v, c := newVendor(), new(clock)
		v.publish(jwk(keyPair(0), "old"), jwk(keyPair(1), "stays"))
		p := newProvider(t, v, c.config)
		old := claimOf(sign(keyPair(0), withKID("old"), claims))
		_, err := p.VerifyClaim(t.Context(), old)
		require.NoError(t, err)
		v.publish(jwk(keyPair(1), "stays"))
		c.advance(10 * time.Minute)
		_, err = p.VerifyClaim(t.Context(), old)
		require.ErrorIs(t, err, identity.ErrSignature)
	})
	t.Run("bad signature of a known key", func(t *testing.T) {
		v, c := newVendor(), new(clock)
		v.publish(jwk(keyPair(0), "a"))
		p := newProvider(t, v, c.config)
		for range 3 {
			_, err := p.VerifyClaim(t.Context(), claimOf(sign(keyPair(1), withKID("a"), claims)))
			require.ErrorIs(t, err, identity.ErrSignature)
			c.advance(time.Minute)
		}
		assert.EqualValues(t, 1, v.keys.Load(), "it is no reason to fetch")
	})
}

// TestOneFlight: those who come while the keys are being fetched wait for the same
// fetch, each for as long as it may, and none of them can end it.
func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVendor()
		land := make(chan struct{})
		v.setKeys(func(r *http.Request) (*http.Response, error) {
			select {
			case <-land:
				return answer(http.StatusOK, jwks(jwk(keyPair(0), ""))), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		p := newProvider(t, v)
		body := claimOf(genuine())
		first, hangUp := context.WithCancel(t.Context())
		var verified, unavailable atomic.Int32
		var all sync.WaitGroup
		verify := func(ctx context.Context) {
			all.Go(func() {
				_, err := p.VerifyClaim(ctx, body)
				switch {
				case err == nil:
					verified.Add(1)
				case assert.ErrorIs(t, err, identity.ErrUnavailable) && assert.ErrorIs(t, err, context.Canceled):
					unavailable.Add(1)
				}
			})
		}
		verify(first)
		synctest.Wait()
		for range 20 {
			verify(t.Context())
		}
		synctest.Wait()
		hangUp()
		synctest.Wait()
		assert.EqualValues(t, 1, unavailable.Load(), "who hangs up does not wait")
		close(land)
		all.Wait()
		assert.EqualValues(t, 20, verified.Load())
		assert.EqualValues(t, 1, v.keys.Load())
	})
}

// TestFetchEnds: an endpoint that says nothing keeps nobody longer than 5 seconds,
// and no longer than the context's deadline.
func TestFetchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVendor()
		v.setKeys(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		p := newProvider(t, v, func(c *getid.Config) { c.Now = nil })
		body := claimOf(genuine())
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.VerifyClaim(ctx, body)
		require.ErrorIs(t, err, identity.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, identity.ErrSignature)
		assert.Equal(t, time.Second, time.Since(began))
		_, err = p.VerifyClaim(t.Context(), body)
		require.ErrorIs(t, err, identity.ErrUnavailable)
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.EqualValues(t, 1, v.keys.Load())
	})
}

func TestParseJWKS(t *testing.T) {
	with := func(change func(m map[string]any)) map[string]any {
		m := jwk(keyPair(1), "odd")
		change(m)
		return m
	}
	set := func(name string, value any) map[string]any { return with(func(m map[string]any) { m[name] = value }) }
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	good := jwk(keyPair(0), "good")
	x := good["x"].(string)
	for name, odd := range map[string]map[string]any{
		"the same kid":      with(func(m map[string]any) { m["kid"] = "good" }),
		"another curve":     jwk(p256, "odd"),
		"named P-256":       set("crv", "P-256"),
		"curve missing":     with(func(m map[string]any) { delete(m, "crv") }),
		"RSA":               set("kty", "RSA"),
		"symmetric":         {"kty": "oct", "k": "c2VjcmV0", "kid": "odd"},
		"private":           set("d", x),
		"for encryption":    set("use", "enc"),
		"for ES256":         set("alg", "ES256"),
		"x missing":         with(func(m map[string]any) { delete(m, "x") }),
		"x number":          set("x", 1),
		"x padded":          set("x", x+"="),
		"x short":           set("x", x[4:]),
		"x long":            set("x", "AAAA"+x),
		"x of another":      set("x", x),
		"x padded wrongly":  set("x", jwk(keyPair(1), "")["x"].(string)+"="),
		"x padded too much": set("x", jwk(keyPair(1), "")["x"].(string)+"===="),
		"x with a zero":     set("x", b64(append([]byte{0}, coordinate(keyPair(1), 0)...))),
		"x empty":           set("x", ""),
		"x null":            set("x", nil),
		"x list":            set("x", []string{x}),
		"curve null":        set("crv", nil),
		"kty null":          set("kty", nil),
		"private empty":     set("d", ""),
		"alg another kind":  set("alg", []string{"ES512"}),
		"use another kind":  set("use", true),
		"x no base64url":    set("x", strings.Repeat("+", 88)),
		"y zero":            set("y", b64(make([]byte, 66))),
		"y beyond":          set("y", b64([]byte(strings.Repeat("\xff", 66)))),
		"kid number":        set("kid", 1),
		"kid empty":         set("kid", ""),
		"kid of 129 bytes":  set("kid", strings.Repeat("k", 129)),
		"nothing":           {},
		"upper case of kty": set("kty", "ec"),
	} {
		keys, err := getid.ParseJWKS([]byte(jwks(good, odd)))
		require.NoError(t, err, name)
		require.Len(t, keys, 1, name)
		assert.Equal(t, "good", keys[0].ID, name)
		assert.True(t, keys[0].PublicKey.Equal(&keyPair(0).PublicKey), name)
		if name != "the same kid" {
			_, err = getid.ParseJWKS([]byte(jwks(odd)))
			require.ErrorIs(t, err, identity.ErrMalformed, name)
		}
	}
	null := with(func(m map[string]any) {
		for _, name := range []string{"use", "alg", "kid", "d", "x5c", "x5t", "x5u", "key_ops", "ext"} {
			m[name] = nil
		}
	})
	keys, err := getid.ParseJWKS([]byte(jwks(null, set("key_ops", []string{"verify"}), good)))
	require.NoError(t, err)
	require.Len(t, keys, 3, "what is null is not there")
	assert.Equal(t, []string{"", "odd", "good"}, []string{keys[0].ID, keys[1].ID, keys[2].ID})

	for name, twin := range map[string]string{
		"x twice": `"x":"` + x + `",`, "another case": `"X":"` + x + `",`, "half a pair": `"kid":"\ud800",`, "crv twice": `"crv":"P-256",`, "Crv": `"Crv":"P-256",`,
	} {
		odd := strings.Replace(jwks(good), `[{`, `[{`+twin, 1)
		_, err := getid.ParseJWKS([]byte(odd))
		require.ErrorIs(t, err, identity.ErrMalformed, name)
		keys, err := getid.ParseJWKS([]byte(strings.Replace(odd, `[{`, jwks(jwk(keyPair(1), "other"))[len(`{"keys":`):len(jwks(jwk(keyPair(1), "other")))-2]+`,{`, 1)))
		require.NoError(t, err, name)
		require.Len(t, keys, 1, "one bad key spoils no other: %s", name)
		assert.Equal(t, "other", keys[0].ID)
	}
	harmless := strings.Replace(jwks(good), `[{`, `[{"x5t":1,"x5t":2,"more":{"a":1,"A":2},`, 1)
	keys, err = getid.ParseJWKS([]byte(harmless))
	require.NoError(t, err)
	require.Len(t, keys, 1)

	plain := map[string]any{"kty": "EC", "crv": "P-521", "x": x, "y": good["y"], "ext": true}
	keys, err = getid.ParseJWKS([]byte(jwks(plain, plain, good)))
	require.NoError(t, err)
	require.Len(t, keys, 3, "those without a kid are not the same")
	assert.Empty(t, keys[0].ID)
	keys, err = getid.ParseJWKS([]byte(`{"keys":[1,null,"x",[],` + jwks(good)[len(`{"keys":[`):]))
	require.NoError(t, err)
	assert.Len(t, keys, 1)
	for _, bad := range []string{"", "canary", `{"keys":{}}`, strings.Repeat(" ", 256<<10) + jwks(good)} {
		_, err := getid.ParseJWKS([]byte(bad))
		require.ErrorIs(t, err, identity.ErrMalformed)
		assert.NotContains(t, err.Error(), "canary")
	}
}

// coordinate is number i of a public key, in 66 bytes.
func coordinate(key *ecdsa.PrivateKey, i int) []byte {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return point[1+66*i : 1+66*(i+1)]
}

// TestShortCoordinates: keys count as some publish them, without the zeros that a
// coordinate begins with, and with the padding of base64url, and claims by them, too.
func TestShortCoordinates(t *testing.T) {
	// The first byte of 66 has but one bit, so that it is zero for every second key.
	var key *ecdsa.PrivateKey
	for key == nil || coordinate(key, 0)[0] != 0 || coordinate(key, 1)[0] != 0 {
		var err error
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		require.NoError(t, err)
	}
	x, y := coordinate(key, 0), coordinate(key, 1)
	trimmed := func(b []byte) []byte { return bytes.TrimLeft(b, "\x00") }
	padded := base64.URLEncoding.EncodeToString
	for name, written := range map[string][2]string{
		"as they should be":    {b64(x), b64(y)},
		"x short":              {b64(trimmed(x)), b64(y)},
		"both short":           {b64(trimmed(x)), b64(trimmed(y))},
		"short and padded":     {padded(trimmed(x)), padded(trimmed(y))},
		"nothing to be padded": {padded(x), padded(y)},
	} {
		m := jwk(key, "a")
		m["x"], m["y"] = written[0], written[1]
		v := newVendor()
		v.publish(m)
		_, err := newProvider(t, v).VerifyClaim(t.Context(), claimOf(sign(key, header, claims)))
		require.NoError(t, err, name)
		_, err = newProvider(t, v).VerifyClaim(t.Context(), claimOf(sign(keyPair(1), header, claims)))
		require.ErrorIs(t, err, identity.ErrSignature, name)

		m["x"], m["y"] = written[1], written[0]
		_, err = getid.ParseJWKS([]byte(jwks(m)))
		require.ErrorIs(t, err, identity.ErrMalformed, "it is not on the curve: %s", name)
	}
}

func TestParsePEM(t *testing.T) {
	block := func(kind string, key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		require.NoError(t, err)
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	one, two := block("PUBLIC KEY", &keyPair(0).PublicKey), block("PUBLIC KEY", &keyPair(1).PublicKey)
	keys, err := getid.ParsePEM([]byte("\n" + one + "\n" + two + "\n\n"))
	require.NoError(t, err)
	require.Len(t, keys, 2)
	assert.True(t, keys[1].PublicKey.Equal(&keyPair(1).PublicKey))

	// Without an ID they count for every token.
	v := newVendor()
	p := newProvider(t, v, fixed(keys...))
	for _, h := range []string{header, withKID("whatever")} {
		_, err = p.VerifyClaim(t.Context(), claimOf(sign(keyPair(1), h, claims)))
		require.NoError(t, err)
		_, err = p.VerifyClaim(t.Context(), claimOf(sign(keyPair(2), h, claims)))
		require.ErrorIs(t, err, identity.ErrSignature)
	}
	assert.Zero(t, v.keyless.Load())

	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(keyPair(0))
	require.NoError(t, err)
	for name, bad := range map[string]string{
		"empty":       "",
		"blank":       " \n",
		"no PEM":      "canary",
		"P-256":       block("PUBLIC KEY", &p256.PublicKey),
		"one is not":  one + block("PUBLIC KEY", &p256.PublicKey),
		"trailing":    one + "canary",
		"private":     string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"no label":    block("CERTIFICATE", &keyPair(0).PublicKey),
		"mislabelled": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: private})),
	} {
		_, err := getid.ParsePEM([]byte(bad))
		require.ErrorIs(t, err, identity.ErrMalformed, name)
		assert.NotContains(t, err.Error(), "canary")
	}
}
