package main

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/okidtest"
)

// badClaim makes a claim that nobody may believe, to a genuine verification with
// this id.
type badClaim func(t *testing.T, c *checkin, id string) string

// signed is a claim with a token that Checkin.com would not sign, signed by it all
// the same where t says nothing else.
func signed(token okidtest.Token) badClaim {
	return func(t *testing.T, c *checkin, id string) string { return c.claimWith(t, id, token) }
}

type members = map[string]any

func header(changes members) badClaim   { return signed(okidtest.Token{Header: changes}) }
func contents(changes members) badClaim { return signed(okidtest.Token{Claims: changes}) }

// body is a genuine claim that was changed as a whole.
func claimBody(change func(genuine string) string) badClaim {
	return func(t *testing.T, c *checkin, id string) string {
		return change(c.claimWith(t, id, okidtest.Token{}))
	}
}

// member is a genuine claim with another member.
func claimMember(name string, value any) badClaim {
	return func(t *testing.T, c *checkin, id string) string {
		return edited(t, c.claimWith(t, id, okidtest.Token{}), members{name: value})
	}
}

// parts is a genuine claim whose token was taken apart.
func parts(change func(p []string) string) badClaim {
	return func(t *testing.T, c *checkin, id string) string {
		genuine := c.claimWith(t, id, okidtest.Token{})
		return edited(t, genuine, members{"signed": change(strings.Split(tokenOf(t, genuine), "."))})
	}
}

// signature is a genuine claim with another signature.
func claimSignature(change func(s []byte) []byte) badClaim {
	return parts(func(p []string) string {
		s, err := base64.RawURLEncoding.DecodeString(p[2])
		if err != nil {
			panic(err)
		}
		return p[0] + "." + p[1] + "." + base64.RawURLEncoding.EncodeToString(change(s))
	})
}

// withID is a claim to an id that Checkin.com has never given out, though signed
// by it.
func withID(id string) badClaim {
	return func(t *testing.T, c *checkin, genuine string) string {
		claim := c.claimWith(t, genuine, okidtest.Token{Claims: members{"id": id}})
		return edited(t, claim, members{"id": id})
	}
}

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

var badClaims = map[string]struct {
	claim badClaim
	code  int
}{
	// The algorithm is not the token's to choose.
	"none, unsigned":           {signed(okidtest.Token{Signature: okidtest.Unsigned}), 401},
	"nOnE, unsigned":           {signed(okidtest.Token{Signature: okidtest.Unsigned, Header: members{"alg": "nOnE"}}), 401},
	"ES512, unsigned":          {signed(okidtest.Token{Signature: okidtest.Unsigned, Header: members{"alg": "ES512"}}), 401},
	"none, signed":             {header(members{"alg": "none"}), 401},
	"HS256 with public key":    {signed(okidtest.Token{Signature: okidtest.SignedHS256}), 401},
	"ES512 that is an HMAC":    {signed(okidtest.Token{Signature: okidtest.SignedHS256, Header: members{"alg": "ES512"}}), 401},
	"HS512, signed with ES512": {header(members{"alg": "HS512"}), 401},
	"ES256, signed with ES512": {header(members{"alg": "ES256"}), 401},
	"ES384, signed with ES512": {header(members{"alg": "ES384"}), 401},
	"RS256, signed with ES512": {header(members{"alg": "RS256"}), 401},
	"es512 in lower case":      {header(members{"alg": "es512"}), 401},
	"no alg":                   {header(members{"alg": nil}), 401},
	"two algs":                 {header(members{"alg": []string{"none", "ES512"}}), 401},
	"alg and ALG":              {header(members{"ALG": "none"}), 401},

	// The signature.
	"another key":       {signed(okidtest.Token{Signature: okidtest.SignedOtherKey}), 401},
	"DER":               {signed(okidtest.Token{Signature: okidtest.SignedDER}), 401},
	"131 bytes":         {claimSignature(func(s []byte) []byte { return s[1:] }), 401},
	"133 bytes":         {claimSignature(func(s []byte) []byte { return append([]byte{0}, s...) }), 401},
	"64 bytes":          {claimSignature(func(s []byte) []byte { return s[:64] }), 401},
	"zeros":             {claimSignature(func([]byte) []byte { return make([]byte, 132) }), 401},
	"a bit flipped":     {claimSignature(func(s []byte) []byte { s[131] ^= 1; return s }), 401},
	"twice":             {claimSignature(func(s []byte) []byte { return append(s, s...) }), 401},
	"r and s exchanged": {claimSignature(func(s []byte) []byte { return append(s[66:], s[:66]...) }), 401},
	"header changed":    {parts(func(p []string) string { return encoded(`{"typ":"JWT","alg":"ES512"}`) + "." + p[1] + "." + p[2] }), 401},
	"claims changed":    {parts(func(p []string) string { return p[0] + "." + p[1][:len(p[1])-4] + "IiB9." + p[2] }), 401},

	// What a header may not have.
	"crit":           {header(members{"crit": []string{"exp"}}), 401},
	"b64":            {header(members{"b64": false}), 401},
	"b64, critical":  {header(members{"b64": false, "crit": []string{"b64"}}), 401},
	"zip":            {header(members{"zip": "DEF"}), 401},
	"jwk":            {signed(okidtest.Token{Signature: okidtest.SignedOtherKey, Header: members{"jwk": members{"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}}}), 401},
	"jwk, signed":    {header(members{"jwk": members{}}), 401},
	"jku, signed":    {header(members{"jku": "https://checkin.com/certs"}), 401},
	"x5u, signed":    {header(members{"x5u": "https://checkin.com/certs"}), 401},
	"x5c, signed":    {header(members{"x5c": []string{"AAAA"}}), 401},
	"kid empty":      {header(members{"kid": ""}), 401},
	"kid a number":   {header(members{"kid": 1}), 401},
	"kid a path":     {header(members{"kid": "../../../../etc/passwd"}), 401},
	"kid SQL":        {header(members{"kid": "' OR 1=1 --"}), 401},
	"kid of 10 KB":   {header(members{"kid": strings.Repeat("k", 10<<10)}), 401},
	"kid unknown":    {header(members{"kid": "unknown"}), 401},
	"header no JSON": {parts(func(p []string) string { return encoded("ES512") + "." + p[1] + "." + p[2] }), 401},

	// The claims.
	"another issuer":      {contents(members{"iss": "checkin"}), 401},
	"issuer in case":      {contents(members{"iss": "Regily"}), 401},
	"issuers":             {contents(members{"iss": []string{"regily"}}), 401},
	"no issuer":           {contents(members{"iss": nil}), 401},
	"iss and ISS":         {contents(members{"ISS": "other"}), 401},
	"another id":          {contents(members{"id": "b2dce275031c3785ec1b7ac89983c67e1a9f"}), 401},
	"no id":               {contents(members{"id": nil}), 401},
	"id and ID":           {contents(members{"ID": "b2dce275031c3785ec1b7ac89983c67e1a9f"}), 401},
	"one-time password":   {contents(members{"id": nil, "resultUrl": nil, "phone": "+31600000000", "exp": now().Add(time.Hour).Unix()}), 401},
	"expired":             {contents(members{"exp": now().Add(-time.Hour).Unix()}), 401},
	"exp text":            {contents(members{"exp": "2099-01-01T00:00:00Z"}), 401},
	"exp and EXP":         {contents(members{"EXP": 1}), 401},
	"not yet":             {contents(members{"nbf": now().Add(time.Hour).Unix()}), 401},
	"token of 9 KB":       {contents(members{"pad": strings.Repeat("p", 9<<10)}), 401},
	"claims no JSON":      {parts(func(p []string) string { return p[0] + "." + encoded("id") + "." + p[2] }), 401},
	"another one's":       {claimMember("id", "b2dce275031c3785ec1b7ac89983c67e1a9f"), 401},
	"resultUrl for an id": {claimMember("id", "http://127.0.0.1/"), 400},

	// The form of the token.
	"no token":      {claimMember("signed", ""), 401},
	"dots":          {claimMember("signed", ".."), 401},
	"two parts":     {parts(func(p []string) string { return p[0] + "." + p[1] }), 401},
	"four parts":    {parts(func(p []string) string { return strings.Join(append(p, p[2]), ".") }), 401},
	"five parts":    {parts(func(p []string) string { return strings.Join(append(p, p[1:]...), ".") }), 401},
	"padding":       {parts(func(p []string) string { return p[0] + "=." + p[1] + "." + p[2] }), 401},
	"line break":    {parts(func(p []string) string { return p[0] + "\n." + p[1] + "." + p[2] }), 401},
	"space":         {parts(func(p []string) string { return strings.Join(p, ".") + " " }), 401},
	"Bearer":        {parts(func(p []string) string { return "Bearer " + strings.Join(p, ".") }), 401},
	"token in JSON": {claimMember("signed", members{"payload": "x", "signature": "y"}), 400},
	"token a list":  {claimMember("signed", []string{"x"}), 400},
	"token missing": {claimMember("signed", nil), 400},

	// Ids that would lead elsewhere.
	"id with ../":        {withID("../../admin/keys"), 400},
	"id with %2f":        {withID("b2dce275%2f..%2fadmin"), 400},
	"id with ?":          {withID("b2dce275031c3785?status=approved"), 400},
	"id with #":          {withID("b2dce275031c3785#"), 400},
	"id with a slash":    {withID("b2dce275/031c3785"), 400},
	"id with a NUL":      {withID("b2dce275\x00031c3785"), 400},
	"id with a line":     {withID("b2dce275031c3785\n"), 400},
	"id in other digits": {withID("b2dce275031c３785"), 400},
	"id too short":       {withID("b2dce27"), 400},
	"id too long":        {withID(strings.Repeat("a", 129)), 400},
	"id empty":           {withID(""), 400},
	"id a number":        {claimMember("id", 12345678), 400},
	"id missing":         {claimMember("id", nil), 400},

	// JSON that two readers read in two ways, or none.
	"id twice": {claimBody(func(g string) string {
		return strings.Replace(g, "{", `{"id":"b2dce275031c3785ec1b7ac89983c67e1a9f",`, 1)
	}), 400},
	"signed twice": {claimBody(func(g string) string { return strings.Replace(g, "{", `{"signed":"x.y.z",`, 1) }), 400},
	"ID, too": {claimBody(func(g string) string {
		return strings.Replace(g, "{", `{"ID":"b2dce275031c3785ec1b7ac89983c67e1a9f",`, 1)
	}), 400},
	"Signed, too": {claimBody(func(g string) string { return strings.Replace(g, "{", `{"Signed":"x.y.z",`, 1) }), 400},
	"ſigned, too": {claimBody(func(g string) string { return strings.Replace(g, "{", `{"ſigned":"x.y.z",`, 1) }), 400},
	"escaped twice": {claimBody(func(g string) string {
		return strings.Replace(g, "{", `{"\u0069d":"b2dce275031c3785ec1b7ac89983c67e1a9f",`, 1)
	}), 400},
	"status twice": {claimBody(func(g string) string { return strings.Replace(g, "{", `{"applicationStatus":"declined",`, 1) }), 400},
	"more behind":  {claimBody(func(g string) string { return g + g }), 400},
	"cut off":      {claimBody(func(g string) string { return g[:len(g)-1] }), 400},
	"in a list":    {claimBody(func(g string) string { return "[" + g + "]" }), 400},
	"in data.ocr":  {claimBody(func(g string) string { return `{"data":{"ocr":` + g + `}}` }), 400},
	"token alone":  {claimBody(func(string) string { return `"x.y.z"` }), 400},
	"null":         {claimBody(func(string) string { return "null" }), 400},
	"empty":        {claimBody(func(string) string { return "" }), 400},
	"BOM":          {claimBody(func(g string) string { return "\ufeff" + g }), 400},
	"not UTF-8":    {claimBody(func(g string) string { return strings.Replace(g, "{", "{\"x\":\"\xff\",", 1) }), 400},
	"1 000 levels": {claimBody(func(g string) string {
		return strings.Replace(g, "{", `{"x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+",", 1)
	}), 400},
	"257 KiB":        {claimBody(func(g string) string { return g + strings.Repeat(" ", 257<<10) }), 413},
	"form, not JSON": {claimBody(func(string) string { return "id=b2dce275031c3785ec1b7ac89983c67e1a9f&signed=x" }), 400},
}

// A claim that is not Checkin.com's word is refused before the result API is asked,
// and leaves nothing behind: the verification is still whose it is.
func TestBadClaims(t *testing.T) {
	t.Parallel()
	addr := redistest.Server(t)
	c := newCheckin(t, okidtest.GetIDConfig{KeyID: true})
	s := c.launch(t, launch, map[string]string{"REDIS_URL": "redis://" + addr})
	mallory, alice := s.logIn(t, "mallory"), s.logIn(t, "alice")
	id, _ := c.claim(t, okidtest.Approved)
	genuine := c.claimWith(t, id, okidtest.Token{})
	refused := func(t *testing.T, got answer, code int) {
		assert.Equal(t, code, got.status, got.body)
		assert.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	}
	for name, tt := range badClaims {
		t.Run(name, func(t *testing.T) { refused(t, mallory.claims(t, tt.claim(t, c, id)), tt.code) })
	}
	for name, tt := range map[string]struct {
		user   *user
		method string
		path   string
		header []string
		code   int
	}{
		"nobody":           {s.logIn(t, ""), "POST", "", nil, 401},
		"bad session":      {&user{server: s, cookie: alice.cookie + "x"}, "POST", "", nil, 401},
		"cross-site":       {alice, "POST", "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		"same-site":        {alice, "POST", "", []string{"Sec-Fetch-Site: same-site"}, 403},
		"other origin":     {alice, "POST", "", []string{"Origin: https://evil.example"}, 403},
		"no origin at all": {alice, "POST", "", []string{"Origin: null"}, 403},
		"GET":              {alice, "GET", "", nil, 405},
		"PUT":              {alice, "PUT", "", nil, 405},
		"OPTIONS":          {alice, "OPTIONS", "", nil, 405},
		"gzip":             {alice, "POST", "", []string{"Content-Encoding: gzip"}, 415},
		"okID":             {alice, "POST", "?provider=okid", nil, 404},
		"who":              {alice, "POST", "?provider=who", nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			body := genuine
			if tt.method == "GET" {
				body = ""
			}
			got := tt.user.do(t, tt.method, "/verify/claim"+tt.path, body, append([]string{"Accept: application/json"}, tt.header...)...)
			if tt.code == 401 {
				assert.Equal(t, 401, got.status) // the app's own page
			} else {
				refused(t, got, tt.code)
			}
			assert.Equal(t, tt.code == 405, got.header.Get("Allow") == "POST")
		})
	}
	assert.Zero(t, c.asked("/verifications/"), "the result API")
	assert.LessOrEqual(t, c.asked("/certs"), 2, "the keys; twice if this took longer than 30 seconds")
	mallory.shut(t)
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	assert.Empty(t, keys)
	a := alice.claimed(t, genuine, http.StatusOK, "verified")
	s.told(t, a, "verified")
	assert.Empty(t, c.visited())
	s.stop(t)
	s.keeps(t, tokenOf(t, genuine))
}
