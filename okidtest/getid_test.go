package okidtest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okidtest"
)

// startGetID starts a fake whose clock stands at noon, unless cfg says otherwise.
func startGetID(t *testing.T, cfg okidtest.GetIDConfig) *okidtest.GetID {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = (&clock{now: noon}).Now
	}
	fake, err := okidtest.NewGetID(cfg)
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	t.Cleanup(fake.Close)
	return fake
}

// result calls the result API with the default key.
func result(t *testing.T, fake *okidtest.GetID, id string) (int, string) {
	t.Helper()
	return call(t, "GET", fake.URL()+"/verifications/results/"+id, "", withKey("X-API-Key", okidtest.DefaultGetIDKey))
}

func withKey(header, key string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(header, key) }
}

// jose is a token taken apart.
type jose struct {
	Header, Claims string // JSON
	Input          string
	Signature      []byte
}

func takeApart(t *testing.T, token string) jose {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	var decoded [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		require.NoError(t, err)
		decoded[i] = b
	}
	return jose{string(decoded[0]), string(decoded[1]), parts[0] + "." + parts[1], decoded[2]}
}

// keySet reads the key set, by kid.
func keySet(t *testing.T, fake *okidtest.GetID) map[string]*ecdsa.PublicKey {
	t.Helper()
	code, body := call(t, "GET", fake.JWKSURL(), "")
	require.Equal(t, 200, code)
	var set struct {
		Keys []struct{ Kty, Crv, Use, Alg, Kid, X, Y string }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &set))
	keys := make(map[string]*ecdsa.PublicKey)
	for _, k := range set.Keys {
		assert.Equal(t, []string{"EC", "P-521", "sig", "ES512"}, []string{k.Kty, k.Crv, k.Use, k.Alg})
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		require.NoError(t, err)
		y, err := base64.RawURLEncoding.DecodeString(k.Y)
		require.NoError(t, err)
		require.Len(t, x, 66)
		require.Len(t, y, 66)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P521(), append(append([]byte{4}, x...), y...))
		require.NoError(t, err)
		keys[k.Kid] = key
	}
	require.Len(t, keys, len(set.Keys), "a kid names one key")
	return keys
}

// isSignedBy reports whether a key made the signature, in the form of JOSE.
func (j jose) isSignedBy(key *ecdsa.PublicKey) bool {
	if len(j.Signature) != 132 {
		return false
	}
	digest := sha512.Sum512([]byte(j.Input))
	return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(j.Signature[:66]), new(big.Int).SetBytes(j.Signature[66:]))
}

// ocr is what the browser is given.
type ocr struct {
	ApplicationStatus, ResultURL, ID, Signed string
	Data                                     struct{ Status string }
}

func read(t *testing.T, claim []byte) (o ocr) {
	t.Helper()
	require.NoError(t, json.Unmarshal(claim, &o), "%s", claim)
	return o
}

func claim(t *testing.T, fake *okidtest.GetID, id string, token okidtest.Token) ocr {
	t.Helper()
	b, err := fake.Claim(id, token)
	require.NoError(t, err)
	return read(t, b)
}

func TestGetIDConfig(t *testing.T) {
	_, err := okidtest.NewGetID(okidtest.GetIDConfig{PublicURL: "javascript:1", TokenTTL: -1, Delay: -1})
	require.ErrorIs(t, err, okidtest.ErrConfig)
	for _, name := range []string{"PublicURL", "TokenTTL", "Delay"} {
		assert.ErrorContains(t, err, name)
	}

	fake, err := okidtest.NewGetID(okidtest.GetIDConfig{PublicURL: "https://app.example.com/getid/"})
	require.NoError(t, err)
	assert.Equal(t, "https://app.example.com/getid", fake.URL())
	assert.Equal(t, "https://app.example.com/getid/certs", fake.JWKSURL())
	assert.Regexp(t, `^https://app\.example\.com/getid/[a-z-]+\.js$`, fake.ScriptURL())
	assert.Equal(t, "okidtest.GetID https://app.example.com/getid", fmt.Sprintf("%+v", fake))
}

const processing = `{"status":"processing","results":{"concerns":[]},"checks":[],"documents":[],"attributes":{},
	"metadata":{"platform":"web","ipAddress":"","country":"SWE","city":"","userAgent":""}}`

// done is a result in the documented shape.
func done(verdict string) string {
	concerns, comment := fmt.Sprintf(`[{"id":"DC030","message":"Simulated concern","service":"doc-check","status":%q}]`, verdict), "Found 1 issue(s)."
	if verdict == "approved" {
		concerns, comment = `[]`, ""
	}
	return fmt.Sprintf(`{
		"results":{"status":%[1]q,"concerns":%[2]s},
		"checks":[{"name":"docCheck","status":%[1]q,"comment":%[3]q}],
		"documents":[
			{"name":"document","files":[{"kind":"front","mediaType":"image/jpeg","uri":""},{"kind":"back","mediaType":"image/jpeg","uri":""}]},
			{"name":"selfie","files":[]}],
		"metadata":{"platform":"web","ipAddress":"","country":"SWE","city":"","userAgent":""},
		"status":"done",
		"attributes":{"documentType":"id-card","firstName":"JANE","originalFirstName":"Jane","lastName":"ROE","originalLastName":"Roe",
			"documentNumbers":[],"idNumber":"","referenceId":"","gender":"female","nationality":"NLD","issueCountry":"NLD",
			"dateOfExpiry":"2030-06-30","dateOfBirth":"1990-02-03","placeOfBirth":""}}`, verdict, concerns, comment)
}

func TestGetIDVerdicts(t *testing.T) {
	for _, verdict := range []okidtest.Verdict{okidtest.Approved, okidtest.Declined, okidtest.NeedsReview, okidtest.Errored, "new-word"} {
		t.Run(string(verdict), func(t *testing.T) {
			fake := startGetID(t, okidtest.GetIDConfig{})
			id, begun := fake.Begin()
			assert.Regexp(t, `^[0-9a-f]{36}$`, id)

			check := func(want, status string, handed ocr) {
				t.Helper()
				code, body := result(t, fake, id)
				assert.Equal(t, 200, code)
				var got struct {
					Data   json.RawMessage
					Signed string
				}
				require.NoError(t, json.Unmarshal([]byte(body), &got))
				assert.JSONEq(t, want, string(got.Data))
				assert.True(t, takeApart(t, got.Signed).isSignedBy(keySet(t, fake)[fake.KeyID()]))

				assert.Equal(t, id, handed.ID)
				assert.Equal(t, status, handed.ApplicationStatus)
				assert.Equal(t, fake.URL()+"/verifications/results/"+id, handed.ResultURL)
				assert.Contains(t, want, fmt.Sprintf(`"status":%q`, handed.Data.Status))
			}
			check(processing, "", read(t, begun))
			require.NoError(t, fake.Complete(id, verdict, nil))
			check(done(string(verdict)), string(verdict), claim(t, fake, id, okidtest.Token{}))
			// Staff has second thoughts.
			require.NoError(t, fake.Complete(id, okidtest.Declined, nil))
			check(done("declined"), "declined", claim(t, fake, id, okidtest.Token{}))
		})
	}
}

func TestGetIDCompleteAfter(t *testing.T) {
	for _, accepted := range []bool{false, true} {
		fake := startGetID(t, okidtest.GetIDConfig{Accepted: accepted})
		id, _ := fake.Begin()
		require.NoError(t, fake.CompleteAfter(2, id, okidtest.Approved, nil))
		fake.FailResults(1, okidtest.GetIDStatus(500))
		code, _ := result(t, fake, id)
		assert.Equal(t, 500, code)
		wait := 200
		if accepted {
			wait = 202
		}
		for range 2 {
			assert.Equal(t, "processing", claim(t, fake, id, okidtest.Token{}).Data.Status, "a claim is no poll")
			code, body := result(t, fake, id)
			assert.Equal(t, wait, code)
			assert.Contains(t, body, `"processing"`)
			assert.NotContains(t, body, "approved")
		}
		code, body := result(t, fake, id)
		assert.Equal(t, 200, code)
		assert.Contains(t, body, `"approved"`)
	}
}

func TestGetIDAttributes(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{})
	id, _ := fake.Begin()
	numbers := []string{"Z000001"}
	require.NoError(t, fake.Complete(id, okidtest.Approved, map[string]any{
		"firstName": "ANNA", "dateOfBirth": nil, "documentNumbers": numbers, "extra": 1,
	}))
	numbers[0] = "changed"
	_, body := result(t, fake, id)
	var got struct {
		Data struct{ Attributes map[string]any }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	attributes := got.Data.Attributes
	assert.Equal(t, "ANNA", attributes["firstName"])
	assert.Equal(t, "ROE", attributes["lastName"])
	assert.Equal(t, []any{"Z000001"}, attributes["documentNumbers"])
	assert.Equal(t, 1.0, attributes["extra"])
	assert.NotContains(t, attributes, "dateOfBirth")

	require.ErrorIs(t, fake.Complete(id, okidtest.Approved, map[string]any{"x": math.NaN()}), okidtest.ErrConfig)
	require.ErrorIs(t, fake.CompleteAfter(-1, id, okidtest.Approved, nil), okidtest.ErrConfig)
	require.ErrorIs(t, fake.Complete("unknown", okidtest.Approved, nil), okidtest.ErrNotFound)
	_, err := fake.Claim("unknown", okidtest.Token{})
	require.ErrorIs(t, err, okidtest.ErrNotFound)
	_, err = fake.Claim(id, okidtest.Token{Claims: map[string]any{"x": math.NaN()}})
	require.ErrorIs(t, err, okidtest.ErrConfig)
	_, err = fake.Claim(id, okidtest.Token{Header: map[string]any{"x": math.NaN()}})
	require.ErrorIs(t, err, okidtest.ErrConfig)
	_, err = fake.Claim(id, okidtest.Token{Signature: -1})
	require.ErrorIs(t, err, okidtest.ErrConfig)
}

func TestGetIDRefuses(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{})
	other := startGetID(t, okidtest.GetIDConfig{KeyHeader: "authorization", APIKey: "Bearer k"})
	id, _ := fake.Begin()
	otherID, _ := other.Begin()
	const forbidden = `{"statusCode":403,"message":"Forbidden resource","error":"Forbidden"}`
	tests := []struct {
		name   string
		method string
		url    string
		header string
		key    string
		code   int
		body   string // "" for any
	}{
		{"right key", "GET", fake.URL() + "/verifications/results/" + id, "X-API-Key", okidtest.DefaultGetIDKey, 200, ""},
		{"no key", "GET", fake.URL() + "/verifications/results/" + id, "X-Other", okidtest.DefaultGetIDKey, 403, forbidden},
		{"wrong key", "GET", fake.URL() + "/verifications/results/" + id, "X-API-Key", okidtest.DefaultGetIDKey + "0", 403, forbidden},
		{"empty key", "GET", fake.URL() + "/verifications/results/" + id, "X-API-Key", "", 403, forbidden},
		{"own header", "GET", other.URL() + "/verifications/results/" + otherID, "Authorization", "Bearer k", 200, ""},
		{"own header, no scheme", "GET", other.URL() + "/verifications/results/" + otherID, "Authorization", "k", 403, forbidden},
		{"default header of another", "GET", other.URL() + "/verifications/results/" + otherID, "X-API-Key", "Bearer k", 403, forbidden},
		{"unknown id, wrong key", "GET", fake.URL() + "/verifications/results/0", "X-API-Key", "", 403, forbidden},
		{"unknown id", "GET", fake.URL() + "/verifications/results/0", "X-API-Key", okidtest.DefaultGetIDKey, 404,
			`{"statusCode":404,"message":"Cannot GET /verifications/results/0","error":"Not Found"}`},
		{"unknown path", "GET", fake.URL() + "/verification/results/" + id, "X-API-Key", okidtest.DefaultGetIDKey, 404,
			`{"statusCode":404,"message":"Cannot GET /verification/results/` + id + `","error":"Not Found"}`},
		{"method", "POST", fake.URL() + "/verifications/results/0", "X-API-Key", okidtest.DefaultGetIDKey, 404,
			`{"statusCode":404,"message":"Cannot POST /verifications/results/0","error":"Not Found"}`},
		{"not a script", "GET", fake.URL() + "/favicon.ico", "X-API-Key", "", 404,
			`{"statusCode":404,"message":"Cannot GET /favicon.ico","error":"Not Found"}`},
		{"any partner", "GET", fake.URL() + "/some-partner.js", "X-API-Key", "", 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, body := call(t, tt.method, tt.url, "", withKey(tt.header, tt.key))
			assert.Equal(t, tt.code, code)
			if tt.body != "" {
				assert.JSONEq(t, tt.body, body)
			}
		})
	}
}

func TestGetIDToken(t *testing.T) {
	sample := func(id string) string {
		return fmt.Sprintf(`{"resultUrl":"http://localhost:3030/verifications/results/%[1]s","id":"%[1]s","iss":"regily"}`, id)
	}
	t.Run("as the sample", func(t *testing.T) {
		fake := startGetID(t, okidtest.GetIDConfig{})
		id, begun := fake.Begin()
		token := takeApart(t, read(t, begun).Signed)
		assert.Equal(t, `{"alg":"ES512","typ":"JWT"}`, token.Header)
		assert.JSONEq(t, sample(id), token.Claims)
		assert.True(t, token.isSignedBy(keySet(t, fake)[fake.KeyID()]))
	})
	t.Run("with kid and exp", func(t *testing.T) {
		fake := startGetID(t, okidtest.GetIDConfig{KeyID: true, TokenTTL: time.Hour})
		id, begun := fake.Begin()
		token := takeApart(t, read(t, begun).Signed)
		assert.JSONEq(t, fmt.Sprintf(`{"alg":"ES512","typ":"JWT","kid":%q}`, fake.KeyID()), token.Header)
		assert.JSONEq(t, strings.TrimSuffix(sample(id), "}")+fmt.Sprintf(`,"exp":%d}`, noon.Add(time.Hour).Unix()), token.Claims)
		assert.True(t, token.isSignedBy(keySet(t, fake)[fake.KeyID()]))
	})
	t.Run("changed", func(t *testing.T) {
		fake := startGetID(t, okidtest.GetIDConfig{})
		id, _ := fake.Begin()
		token := takeApart(t, claim(t, fake, id, okidtest.Token{
			Header: map[string]any{"kid": "nobody", "jku": "https://evil.example", "typ": nil},
			Claims: map[string]any{"iss": "else", "id": "other", "resultUrl": nil, "phone": "+31"},
		}).Signed)
		assert.JSONEq(t, `{"alg":"ES512","kid":"nobody","jku":"https://evil.example"}`, token.Header)
		assert.JSONEq(t, `{"iss":"else","id":"other","phone":"+31"}`, token.Claims)
		assert.True(t, token.isSignedBy(keySet(t, fake)[fake.KeyID()]))
	})
}

func TestGetIDForgedToken(t *testing.T) {
	tests := []struct {
		name      string
		signature okidtest.TokenSignature
		alg       string
		holds     func(key *ecdsa.PublicKey, token jose) bool // what is true of it
	}{
		{"DER", okidtest.SignedDER, "ES512", func(key *ecdsa.PublicKey, token jose) bool {
			digest := sha512.Sum512([]byte(token.Input))
			return ecdsa.VerifyASN1(key, digest[:], token.Signature)
		}},
		{"other key", okidtest.SignedOtherKey, "ES512", func(_ *ecdsa.PublicKey, token jose) bool {
			return len(token.Signature) == 132
		}},
		{"HS256", okidtest.SignedHS256, "HS256", func(key *ecdsa.PublicKey, token jose) bool {
			der, err := x509.MarshalPKIXPublicKey(key)
			mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			_, _ = io.WriteString(mac, token.Input)
			return err == nil && hmac.Equal(mac.Sum(nil), token.Signature)
		}},
		{"none", okidtest.Unsigned, "none", func(_ *ecdsa.PublicKey, token jose) bool {
			return len(token.Signature) == 0
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := startGetID(t, okidtest.GetIDConfig{KeyID: true})
			id, _ := fake.Begin()
			token := takeApart(t, claim(t, fake, id, okidtest.Token{Signature: tt.signature}).Signed)
			key := keySet(t, fake)[fake.KeyID()]
			assert.JSONEq(t, fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":%q}`, tt.alg, fake.KeyID()), token.Header)
			assert.False(t, token.isSignedBy(key))
			assert.True(t, tt.holds(key, token))
		})
	}
}

func TestGetIDRotateKeys(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{})
	id, _ := fake.Begin()
	first := fake.KeyID()
	token := takeApart(t, claim(t, fake, id, okidtest.Token{}).Signed)

	fake.RotateKeys(true)
	second := fake.KeyID()
	assert.NotEqual(t, first, second)
	keys := keySet(t, fake)
	require.Len(t, keys, 2)
	assert.True(t, token.isSignedBy(keys[first]))
	assert.False(t, token.isSignedBy(keys[second]))
	assert.True(t, takeApart(t, claim(t, fake, id, okidtest.Token{}).Signed).isSignedBy(keys[second]))

	fake.RotateKeys(false)
	keys = keySet(t, fake)
	require.Len(t, keys, 1)
	assert.Contains(t, keys, fake.KeyID())
	assert.False(t, token.isSignedBy(keys[fake.KeyID()]))
}

func TestGetIDFaults(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{})
	id, _ := fake.Begin()
	fake.FailResults(2, okidtest.GetIDStatus(503))
	fake.FailResults(1, okidtest.Answer("text/html", "<h1>maintenance</h1>"))
	fake.FailJWKS(1, http.RedirectHandler("https://evil.example", http.StatusFound))

	code, _ := call(t, "GET", fake.JWKSURL(), "")
	assert.Equal(t, 302, code)
	for range 2 {
		code, body := result(t, fake, id)
		assert.Equal(t, 503, code)
		assert.JSONEq(t, `{"statusCode":503,"message":"Service Unavailable"}`, body)
	}
	code, body := result(t, fake, id)
	assert.Equal(t, 200, code)
	assert.Equal(t, "<h1>maintenance</h1>", body)
	code, _ = result(t, fake, id)
	assert.Equal(t, 200, code)
	keySet(t, fake)

	var paths, keys []string
	for _, r := range fake.Requests() {
		paths = append(paths, r.URL.Path)
		keys = append(keys, r.Header.Get("X-API-Key"))
	}
	path, key := "/verifications/results/"+id, okidtest.DefaultGetIDKey
	assert.Equal(t, []string{"/certs", path, path, path, path, "/certs"}, paths)
	assert.Equal(t, []string{"", key, key, key, key, ""}, keys)
}

func TestGetIDHuge(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{})
	fake.FailJWKS(1, okidtest.Huge())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(fake.JWKSURL())
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, 200, res.StatusCode)
	n, err := io.CopyN(io.Discard, res.Body, 8<<20)
	require.NoError(t, err)
	assert.EqualValues(t, 8<<20, n)
}

// Close, which start leaves to the end of the test, must not wait for these.
func TestGetIDCloseEndsCalls(t *testing.T) {
	for _, fault := range []http.Handler{okidtest.Hang(), okidtest.Huge()} {
		fake := startGetID(t, okidtest.GetIDConfig{})
		entered := make(chan struct{})
		fake.FailJWKS(1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			fault.ServeHTTP(w, r)
		}))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := client.Get(fake.JWKSURL())
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			assert.Error(t, err)
		}()
		<-entered
		fake.Close()
		fake.Close()
		<-ended
		require.ErrorIs(t, fake.Start(), okidtest.ErrStarted)
	}
}

func TestGetIDStart(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{})
	require.ErrorIs(t, fake.Start(), okidtest.ErrStarted)
	taken, err := okidtest.NewGetID(okidtest.GetIDConfig{Addr: strings.TrimPrefix(fake.URL(), "http://")})
	require.NoError(t, err)
	require.Error(t, taken.Start())
	taken.Close()
}

func TestGetIDDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, err := okidtest.NewGetID(okidtest.GetIDConfig{Delay: time.Minute})
		require.NoError(t, err)
		began := time.Now()
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, httptest.NewRequest("GET", "/certs", nil))
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, time.Minute, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
			fake.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/certs", nil))
		})
		assert.Equal(t, time.Minute+time.Second, time.Since(began))
		assert.Len(t, fake.Requests(), 2)
	})
}

func TestGetIDLogsNoSecret(t *testing.T) {
	var log bytes.Buffer
	fake, err := okidtest.NewGetID(okidtest.GetIDConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	id, _ := fake.Begin()
	r := httptest.NewRequest("GET", "/verifications/results/"+id, nil)
	r.Header.Set("X-API-Key", okidtest.DefaultGetIDKey)
	fake.ServeHTTP(httptest.NewRecorder(), r)
	assert.Contains(t, log.String(), "/verifications/results/{id}")
	assert.NotContains(t, log.String(), okidtest.DefaultGetIDKey)
	assert.NotContains(t, log.String(), id)
}

func TestGetIDConcurrent(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{KeyID: true})
	id, _ := fake.Begin()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			assert.NoError(t, fake.CompleteAfter(1, id, okidtest.Approved, nil))
			fake.RotateKeys(true)
			fake.FailResults(1, okidtest.GetIDStatus(500))
			_, err := fake.Claim(id, okidtest.Token{})
			assert.NoError(t, err)
			for _, path := range []string{"/certs", "/verifications/results/" + id, "/flow?id=" + id} {
				r := httptest.NewRequest("GET", path, nil)
				r.Header.Set("X-API-Key", okidtest.DefaultGetIDKey)
				fake.ServeHTTP(httptest.NewRecorder(), r)
			}
			fake.Requests()
		})
	}
	wg.Wait()
	assert.Len(t, fake.Requests(), 16)
	assert.Len(t, keySet(t, fake), 9)
}

func TestGetIDFlowWithoutJavaScript(t *testing.T) {
	tests := []struct {
		choice  string
		shows   string
		status  string // of the application, as the browser is told
		verdict string // in the end
		polls   int
	}{
		{"approved", "You are approved", "approved", "approved", 0},
		{"declined", "You were declined", "declined", "declined", 0},
		{"needs-review", "A person looks at it", "needs-review", "needs-review", 0},
		{"error", "The check broke down", "error", "error", 0},
		{"slow", "You are being checked", "", "approved", 3},
	}
	for _, tt := range tests {
		t.Run(tt.choice, func(t *testing.T) {
			fake := startGetID(t, okidtest.GetIDConfig{})
			page := fake.URL() + "/flow?locale=" + url.QueryEscape(`nl"><script>`)
			code, text := call(t, "GET", page, "")
			assert.Equal(t, 200, code)
			assert.Contains(t, text, "GetID simulator")
			assert.Contains(t, text, "Jane Roe")
			assert.Contains(t, text, `value="`+tt.choice+`"`)
			assert.Empty(t, told(text))

			code, text = press(t, page, tt.choice)
			assert.Equal(t, 200, code)
			assert.Contains(t, text, tt.shows)
			assert.Contains(t, text, html.EscapeString(`Locale nl"><script>`))
			var message struct{ GetID json.RawMessage }
			require.NoError(t, json.Unmarshal([]byte(told(text)), &message))
			handed := read(t, message.GetID)
			assert.Equal(t, tt.status, handed.ApplicationStatus)
			for range tt.polls {
				_, body := result(t, fake, handed.ID)
				assert.Contains(t, body, `"processing"`)
			}
			_, body := result(t, fake, handed.ID)
			assert.Contains(t, body, `"status":"`+tt.verdict+`"`)
		})
	}
}

func TestGetIDFlowRefuses(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{})
	code, text := press(t, fake.URL()+"/flow", "nonsense")
	assert.Equal(t, 400, code)
	assert.NotContains(t, text, "nonsense")
	code, _ = press(t, fake.URL()+"/flow", strings.Repeat("x", 64<<10+1))
	assert.Equal(t, 400, code)
	code, text = call(t, "GET", fake.URL()+"/flow?id="+url.QueryEscape(`"><script>x`), "")
	assert.Equal(t, 404, code)
	assert.NotContains(t, text, "<script>x")
	assert.Empty(t, told(text))
}

func TestGetIDFlowHeaders(t *testing.T) {
	fake := startGetID(t, okidtest.GetIDConfig{})
	w := httptest.NewRecorder()
	fake.ServeHTTP(w, httptest.NewRequest("GET", "/flow", nil))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	assert.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'",
		w.Header().Get("Content-Security-Policy"))
}

func ExampleGetID() {
	fake, err := okidtest.NewGetID(okidtest.GetIDConfig{})
	if err != nil {
		panic(err)
	}
	if err := fake.Start(); err != nil {
		panic(err)
	}
	defer fake.Close()

	// The user hands in a document, and the browser posts claim to the site.
	id, claim := fake.Begin()
	// The site asks for the result, which is not there yet; then it is.
	err = fake.Complete(id, okidtest.Approved, nil)
	fmt.Println(len(id), json.Valid(claim), err)

	// A claim that nobody may believe.
	_, err = fake.Claim(id, okidtest.Token{Signature: okidtest.SignedOtherKey})
	fmt.Println(err)
	// Output:
	// 36 true <nil>
	// <nil>
}
