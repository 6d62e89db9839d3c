package getid_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/identity"
)

// result is an answer of the result API, as documented.
func result(status, verdict string) string {
	return resultWith(`"status":"`+status+`","results":{"status":"`+verdict+`"}`, genuine())
}

func resultWith(data, token string) string {
	return `{"data":{` + data + `},"signed":"` + token + `"}`
}

const documented = `"results":{"status":"declined","concerns":[{"id":"DC030","message":"text","service":"doc-check","status":"declined"}]},
	"checks":[{"name":"docCheck","status":"declined","comment":"Found 2 issue(s)."}],
	"documents":[{"name":"document","files":[{"kind":"front","mediaType":"image/jpeg","uri":"u1"},{"kind":"back","mediaType":"image/jpeg","uri":"u2"}]},{"name":"selfie","files":[]}],
	"metadata":{"platform":"web","ipAddress":"192.0.2.1","country":"SWE","city":"Visby","userAgent":"ua"},
	"status":"done",
	"attributes":{"documentType":"id-card","firstName":"JANE","originalFirstName":"Jane","lastName":"ROE","originalLastName":"Roe","documentNumbers":["Z1","Z2"],
	"idNumber":"n","referenceId":"r","gender":"female","nationality":"NLD","issueCountry":"BEL","dateOfExpiry":"2031-01-02","dateOfBirth":"1990-02-03","placeOfBirth":"p"}`

func TestResult(t *testing.T) {
	v := newVendor()
	v.answerResult(http.StatusOK, resultWith(documented, genuine()))
	p := newProvider(t, v)
	got, err := p.Result(t.Context(), id)
	require.NoError(t, err)
	concerns := []identity.Concern{{ID: "DC030", Service: "doc-check", Status: "declined", Message: "text"}}
	want := getid.Result{
		ID: id, Status: "done", Verdict: "declined",
		Concerns: concerns,
		Checks:   []getid.Check{{Name: "docCheck", Status: "declined", Comment: "Found 2 issue(s)."}},
		Documents: []getid.Document{
			{Name: "document", Files: []getid.File{{Kind: "front", MediaType: "image/jpeg", URI: "u1"}, {Kind: "back", MediaType: "image/jpeg", URI: "u2"}}},
			{Name: "selfie"},
		},
		Metadata: getid.Metadata{Platform: "web", IPAddress: "192.0.2.1", Country: "SWE", City: "Visby", UserAgent: "ua"},
		Attributes: getid.Attributes{
			DocumentType: "id-card", FirstName: "JANE", OriginalFirstName: "Jane", LastName: "ROE", OriginalLastName: "Roe",
			DocumentNumbers: []string{"Z1", "Z2"}, IDNumber: "n", ReferenceID: "r", Gender: "female", Nationality: "NLD", IssueCountry: "BEL",
			PlaceOfBirth: "p", DateOfExpiry: identity.Date{Year: 2031, Month: 1, Day: 2}, DateOfBirth: identity.Date{Year: 1990, Month: 2, Day: 3},
		},
	}
	assert.True(t, assert.ObjectsAreEqual(want, got))
	notice, err := p.Fetch(t.Context(), id)
	require.NoError(t, err)
	assert.True(t, assert.ObjectsAreEqual(identity.Notice{
		Provider: "getid",
		Verification: identity.Verification{
			ID: id, Status: identity.Failed, DocumentType: "id-card", DocumentExpiry: identity.Date{Year: 2031, Month: 1, Day: 2},
			FirstName: "JANE", LastName: "ROE", DocumentNumber: "Z1", DateOfBirth: identity.Date{Year: 1990, Month: 2, Day: 3},
			Nationality: "NLD", IssuingCountry: "BEL", Concerns: concerns,
		},
	}, notice))
	assert.EqualValues(t, 2, v.keyfull.Load())
	assert.EqualValues(t, 1, v.keyless.Load(), "the keys are asked for without the API key")
}

// TestVerdict: of all combinations, one alone verifies.
func TestVerdict(t *testing.T) {
	type status struct {
		status identity.Status
		reason string
	}
	known := map[[2]string]status{
		{`"done"`, `"approved"`}:     {identity.Verified, ""},
		{`"done"`, `"declined"`}:     {identity.Failed, ""},
		{`"done"`, `"needs-review"`}: {identity.Review, ""},
		{`"done"`, `"error"`}:        {identity.Failed, identity.ReasonError},
	}
	words := []string{
		`"done"`, `"processing"`, `"approved"`, `"declined"`, `"needs-review"`, `"error"`, `"pending"`, `"Done"`, `"APPROVED"`, `"approved "`, `"verified"`,
		`"completed"`, `""`, `null`, `true`, `1`, `["approved"]`, `{"status":"approved"}`,
	}
	token := genuine()
	v := newVendor()
	p := newProvider(t, v)
	for _, processing := range append(words, "") {
		for _, verdict := range append(words, "") {
			var members []string
			if processing != "" {
				members = append(members, `"status":`+processing)
			}
			if verdict != "" {
				members = append(members, `"results":{"status":`+verdict+`}`)
			}
			want := known[[2]string{processing, verdict}]
			if processing == `"processing"` {
				want.status = identity.Started
			}
			v.answerResult(http.StatusOK, resultWith(strings.Join(members, ","), token))
			got, err := p.Fetch(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, want, status{got.Verification.Status, got.Verification.Reason}, "%s %s", processing, verdict)
		}
	}
	for _, data := range []string{`"results":"approved","status":"done"`, `"results":["approved"],"status":"done"`, `"processingState":"done","results":{"status":"approved"}`} {
		v.answerResult(http.StatusOK, resultWith(data, token))
		got, err := p.Fetch(t.Context(), id)
		require.NoError(t, err)
		assert.Empty(t, got.Verification.Status, data)
	}
}

func TestProcessing(t *testing.T) {
	v := newVendor()
	p := newProvider(t, v)
	for _, tc := range []struct {
		status int
		body   string
	}{
		{http.StatusAccepted, `canary`},
		{http.StatusAccepted, result("done", "approved")},
		{http.StatusOK, `{"data":{"status":"processing"}}`},
		{http.StatusOK, `{"data":{"status":"processing","results":{"status":"approved"}}}`},
		{http.StatusOK, result("processing", "approved")},
	} {
		v.answerResult(tc.status, tc.body)
		got, err := p.Fetch(t.Context(), id)
		require.NoError(t, err, tc)
		assert.Equal(t, identity.Started, got.Verification.Status, tc)
		assert.Equal(t, id, got.Verification.ID)
	}
}

// TestOddFields: no optional field can spoil a result.
func TestOddFields(t *testing.T) {
	concerns := strings.Repeat(`{"id":"a"},`, 40) + `{}`
	long := strings.Repeat("é", 200)
	token := genuine()
	v := newVendor()
	p := newProvider(t, v)
	for name, data := range map[string]string{
		"null":          `"checks":null,"documents":null,"metadata":null,"attributes":null`,
		"other kinds":   `"checks":{},"documents":7,"metadata":"x","attributes":[]`,
		"odd elements":  `"checks":[1,null,[]],"documents":["x",{"files":{}},{"files":[1]}]`,
		"odd fields":    `"metadata":{"country":1},"attributes":{"firstName":1,"documentNumbers":[1,null,{},{"number":2}]}`,
		"half a pair":   `"metadata":{"city":"\ud800","more\udc00":1},"attributes":{"firstName":"\udc00","documentNumbers":["\ud800"]}`,
		"repeated":      `"metadata":{"city":"a","city":"a","more":1,"more":2},"attributes":{"firstName":"a","firstName":"a"}`,
		"letter case":   `"metadata":{"City":"a"},"attributes":{"FirstName":"a","lastName":"b","LASTNAME":"b"}`,
		"deep":          `"more":` + strings.Repeat("[", 254) + strings.Repeat("]", 254),
		"unknown ones":  `"more":{"a":1},"attributes":{"shoeSize":42}`,
		"many concerns": `"results":{"status":"approved","concerns":[` + concerns + `]}`,
		"long concerns": `"results":{"status":"approved","concerns":[{"id":"` + long + `","service":"` + long + `","status":"` + long + `","message":"x` + long + `"},1,"x"]}`,
	} {
		if !strings.Contains(data, `"results"`) {
			data += `,"results":{"status":"approved"}`
		}
		v.answerResult(http.StatusOK, resultWith(`"status":"done",`+data, token))
		got, err := p.Result(t.Context(), id)
		require.NoError(t, err, name)
		assert.Equal(t, identity.Verified, got.Verification().Status, name)
		switch name {
		case "many concerns":
			assert.Len(t, got.Concerns, identity.MaxConcerns)
		case "long concerns":
			require.Len(t, got.Concerns, 1)
			c := got.Concerns[0]
			assert.Equal(t, []string{long[:256], long[:256], long[:256], "x" + long[:254]}, []string{c.ID, c.Service, c.Status, c.Message})
			assert.True(t, utf8.ValidString(c.Message))
		default:
			assert.Zero(t, got.Attributes)
			assert.Zero(t, got.Metadata)
		}
	}
	v.answerResult(http.StatusOK, resultWith(`"attributes":{"documentNumbers":["",{"number":"Z1"},{"value":"Z2"},"Z3"]}`, token))
	got, err := p.Result(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, []string{"Z1", "Z2", "Z3"}, got.Attributes.DocumentNumbers)
	assert.Equal(t, "Z1", got.Verification().DocumentNumber)
}

// TestUnreadableDates: a date that is there and cannot be read is not one that is
// absent.
func TestUnreadableDates(t *testing.T) {
	day := identity.Date{Year: 2020, Month: time.May, Day: 20}
	both := func(value string) string { return `{"dateOfExpiry":` + value + `,"dateOfBirth":` + value + `}` }
	token := genuine()
	v := newVendor()
	p := newProvider(t, v)
	for attributes, want := range map[string]identity.Date{
		`{}`: {}, `null`: {}, `""`: {}, `[]`: {}, both(`null`): {}, both(`""`): {}, both(`"2020-05-20"`): day, both(`"20200520"`): day, both(`"2020-05-20T00:00:00.000Z"`): day,
		both(`"20/05/2020"`): identity.UnreadableDate, both(`"2020-05-00"`): identity.UnreadableDate, both(`"2020-5-20"`): identity.UnreadableDate,
		both(`20200520`): identity.UnreadableDate, both(`1589932800`): identity.UnreadableDate, both(`false`): identity.UnreadableDate, both(`{}`): identity.UnreadableDate,
		both(`[]`): identity.UnreadableDate, both(`"\ud800"`): identity.UnreadableDate, both(`" "`): identity.UnreadableDate, both(`["2020-05-20"]`): identity.UnreadableDate,
		`"x"`: identity.UnreadableDate, `1`: identity.UnreadableDate, `[` + both(`"2020-05-20"`) + `]`: identity.UnreadableDate,
		`{"dateOfExpiry":"2030-05-20","dateOfExpiry":"2020-05-20","dateOfBirth":"2020-05-20","DateOfBirth":"2020-05-20"}`: identity.UnreadableDate,
		`{"DATEOFEXPIRY":"2020-05-20","DateOfBirth":"2020-05-20"}`:                                                        identity.UnreadableDate,
	} {
		v.answerResult(http.StatusOK, resultWith(`"status":"done","results":{"status":"approved"},"attributes":`+attributes, token))
		got, err := p.Fetch(t.Context(), id)
		require.NoError(t, err, attributes)
		assert.Equal(t, identity.Verified, got.Verification.Status)
		assert.Equal(t, want, got.Verification.DocumentExpiry, attributes)
		assert.Equal(t, want, got.Verification.DateOfBirth, attributes)
	}
}

// TestLongTexts: what is longer than a text of a verification can be is left out.
func TestLongTexts(t *testing.T) {
	v := newVendor()
	p := newProvider(t, v)
	for length, want := range map[int]string{identity.MaxText: strings.Repeat("x", identity.MaxText), identity.MaxText + 1: ""} {
		long := strings.Repeat("x", length)
		v.answerResult(http.StatusOK, resultWith(fmt.Sprintf(`"status":"done","results":{"status":"approved"},
			"attributes":{"documentType":%[1]q,"firstName":%[1]q,"lastName":%[1]q,"documentNumbers":[%[1]q],"dateOfBirth":"1990-02-03"}`, long), genuine()))
		got, err := p.Fetch(t.Context(), id)
		require.NoError(t, err)
		assert.True(t, assert.ObjectsAreEqual(identity.Verification{ID: id, Status: identity.Verified, DocumentType: want, FirstName: want, LastName: want, DocumentNumber: want,
			DateOfBirth: identity.Date{Year: 1990, Month: 2, Day: 3}}, got.Verification), length)
	}
}

// TestCountries: a country is an ISO 3166-1 alpha-3 code, or nobody relies on it.
func TestCountries(t *testing.T) {
	v := newVendor()
	p := newProvider(t, v)
	for country, want := range map[string]string{`"NLD"`: "NLD", `"nld"`: "", `"NL"`: "", `"D<<"`: "", `"Netherlands"`: "", `null`: "", `["NLD"]`: "", `""`: ""} {
		v.answerResult(http.StatusOK, resultWith(`"status":"done","results":{"status":"approved"},
			"attributes":{"nationality":`+country+`,"issueCountry":`+country+`}`, genuine()))
		got, err := p.Fetch(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, identity.Verified, got.Verification.Status)
		assert.Equal(t, want, got.Verification.Nationality, country)
		assert.Equal(t, want, got.Verification.IssuingCountry, country)
	}
}

// TestRateLimit: the time to wait comes to the caller as Checkin.com gave it, and the
// question is asked once.
func TestRateLimit(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		header []string
		want   time.Duration
		limit  bool
	}{
		"nothing said": {429, nil, 0, true}, "no time": {429, []string{"Retry-After", "0"}, time.Millisecond, true}, "seconds": {429, []string{"Retry-After", "1"}, time.Second, true}, "a day": {429, []string{"Retry-After", "86400"}, 24 * time.Hour, true},
		"a date":           {429, []string{"Retry-After", "Mon, 30 Jun 2025 12:18:00 GMT"}, 2 * time.Hour, true}, // by the clock of the tests
		"away for a while": {503, []string{"Retry-After", "120"}, 2 * time.Minute, true}, "away": {503, nil, 0, false},
	} {
		v := newVendor()
		v.serveResult = func(*http.Request) (*http.Response, error) { return answer(tc.status, "canary", tc.header...), nil }
		_, err := newProvider(t, v).Fetch(t.Context(), id)
		require.ErrorIs(t, err, identity.ErrUnavailable, name)
		limit, ok := errors.AsType[*identity.RateLimitError](err)
		require.Equal(t, tc.limit, ok, name)
		if ok {
			assert.Equal(t, tc.want, limit.RetryAfter, name)
		}
		assert.EqualValues(t, 1, v.results.Load())
		assert.NotContains(t, err.Error(), "canary")
	}
}

func TestRefusesID(t *testing.T) {
	v := newVendor()
	p := newProvider(t, v)
	for _, id := range []string{
		"", "1234567", ".", "..", "../results", "../../../canary", "canary12/..", "canary%2f12", "canary12?x=1", "canary12#x", "canary12\n", "canary12 ",
		"canary.12", "canary:12", "canary;12", "canáry12", "\x00\x00\x00\x00\x00\x00\x00\x00", `canary\12`, "//canary.test/", strings.Repeat("a", 129),
	} {
		_, err := p.Fetch(t.Context(), id)
		require.ErrorIs(t, err, identity.ErrMalformed, "%q", id)
		assert.NotContains(t, err.Error(), "can")
	}
	assert.Zero(t, v.keyless.Load()+v.keyfull.Load())
	v.answerResult(http.StatusAccepted, "")
	for _, id := range []string{"12345678", id, "A-z_0-9--", strings.Repeat("a", 128)} {
		_, err := p.Fetch(t.Context(), id)
		require.NoError(t, err, id)
	}
}

func TestRefusesAnswer(t *testing.T) {
	good := `"status":"done","results":{"status":"approved"}`
	token := genuine()
	for name, body := range map[string]string{
		"empty":                  ``,
		"no JSON":                `canary`,
		"HTML":                   `<html>canary</html>`,
		"list":                   `[` + resultWith(good, token) + `]`,
		"no data":                `{"signed":"` + token + `"}`,
		"data a list":            `{"data":[{` + good + `}],"signed":"` + token + `"}`,
		"trailing data":          resultWith(good, token) + `canary`,
		"status twice":           resultWith(`"status":"processing",`+good, token),
		"status by letter case":  resultWith(`"Status":"processing",`+good, token),
		"verdict twice":          resultWith(`"status":"done","results":{"status":"declined","status":"approved"}`, token),
		"verdict by letter case": resultWith(`"status":"done","results":{"STATUS":"declined","status":"approved"}`, token),
		"status only by case":    resultWith(`"Status":"done","results":{"status":"approved"}`, token),
		"verdict only by case":   resultWith(`"status":"done","results":{"Status":"approved"}`, token),
		"signed by letter case":  `{"data":{"status":"processing"},"Signed":"` + token + `"}`,
		"results by letter case": resultWith(`"status":"done","Results":{"status":"approved"}`, token),
		"attributes twice":       resultWith(good+`,"attributes":{},"attributes":{"dateOfExpiry":"2020-01-01"}`, token),
		"Attributes":             resultWith(good+`,"Attributes":{"dateOfExpiry":"2020-01-01"}`, token),
		"unknown name twice":     resultWith(good+`,"canary":1,"canary":1`, token),
		"half a pair in a name":  resultWith(good+`,"canary\ud800":1`, token),
		"257 deep":               resultWith(good+`,"x":`+strings.Repeat("[", 255)+strings.Repeat("]", 255), token),
		"data by letter case":    `{"Data":{},"data":{` + good + `},"signed":"` + token + `"}`,
		"too deep":               resultWith(good+`,"x":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000), token),
		"longer than 1 MiB":      resultWith(good, token) + strings.Repeat(" ", 1<<20),
		"not signed":             `{"data":{` + good + `}}`,
		"signed null":            `{"data":{` + good + `},"signed":null}`,
		"signed empty":           resultWith(good, ""),
		"signed for another":     resultWith(good, sign(keyPair(0), header, strings.ReplaceAll(claims, id, id[:35]+"0"))),
		"signed by another":      resultWith(good, sign(keyPair(1), header, claims)),
		"signed by nobody":       resultWith(good, b64([]byte(`{"alg":"none"}`))+"."+b64([]byte(claims))+"."),
		"processing, bad token":  resultWith(`"status":"processing"`, sign(keyPair(1), header, claims)),
		"declined, not signed":   `{"data":{"status":"done","results":{"status":"declined"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor()
			v.answerResult(http.StatusOK, body)
			got, err := newProvider(t, v).Fetch(t.Context(), id)
			require.ErrorIs(t, err, identity.ErrRefused)
			for _, other := range []error{identity.ErrMalformed, identity.ErrSignature, identity.ErrUnavailable, identity.ErrNotFound} {
				assert.NotErrorIs(t, err, other)
			}
			assert.Zero(t, got)
			assert.NotContains(t, err.Error(), "canary")
			assert.Zero(t, v.other.Load())
		})
	}
}

// TestKeysAway: a result whose token cannot be checked now is not refused.
func TestKeysAway(t *testing.T) {
	v := newVendor()
	v.setKeys(always(http.StatusInternalServerError, "canary"))
	v.answerResult(http.StatusOK, result("done", "approved"))
	_, err := newProvider(t, v).Fetch(t.Context(), id)
	require.ErrorIs(t, err, identity.ErrUnavailable)
	require.NotErrorIs(t, err, identity.ErrRefused)
}

// TestStatusCodes counts the tries, and looks at what each status code ends in.
func TestStatusCodes(t *testing.T) {
	for status, want := range map[int]struct {
		tries int
		err   error
	}{
		204: {1, identity.ErrRefused}, 301: {1, identity.ErrRefused}, 302: {1, identity.ErrRefused}, 303: {1, identity.ErrRefused},
		304: {1, identity.ErrRefused}, 307: {1, identity.ErrRefused}, 308: {1, identity.ErrRefused},
		400: {1, identity.ErrRefused}, 401: {1, identity.ErrRefused}, 403: {1, identity.ErrRefused}, 404: {1, identity.ErrUnavailable},
		409: {1, identity.ErrRefused}, 429: {1, identity.ErrUnavailable}, 500: {1, identity.ErrUnavailable}, 501: {1, identity.ErrUnavailable},
		502: {1, identity.ErrUnavailable}, 503: {1, identity.ErrUnavailable}, 504: {1, identity.ErrUnavailable}, 599: {1, identity.ErrUnavailable},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVendor()
				v.serveResult = func(*http.Request) (*http.Response, error) {
					return answer(status, result("done", "approved")+"canary", "Location", "https://canary.test/"), nil
				}
				began := time.Now()
				_, err := newProvider(t, v).Fetch(t.Context(), id)
				require.ErrorIs(t, err, want.err)
				require.NotErrorIs(t, err, identity.ErrNotFound)
				assert.Contains(t, err.Error(), fmt.Sprint(status))
				assert.Equal(t, status == 401 || status == 403, strings.Contains(err.Error(), "credentials"))
				assert.NotContains(t, err.Error(), "canary")
				assert.EqualValues(t, want.tries, v.results.Load())
				assert.Zero(t, v.other.Load())
				assert.LessOrEqual(t, time.Since(began), time.Second)
			})
		})
	}
}

func TestTransportErrors(t *testing.T) {
	for _, lost := range []error{
		&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}, io.ErrUnexpectedEOF, errors.New(`malformed "canary"`),
	} {
		synctest.Test(t, func(t *testing.T) {
			v := newVendor()
			v.serveResult = func(*http.Request) (*http.Response, error) { return nil, lost }
			_, err := newProvider(t, v).Fetch(t.Context(), id)
			require.ErrorIs(t, err, identity.ErrUnavailable)
			assert.NotContains(t, err.Error(), "canary")
		})
	}
}

// TestTimeout: one clock covers the call with everything in it.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVendor()
		v.serveResult = func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		for timeout, want := range map[time.Duration]time.Duration{0: getid.DefaultTimeout, 3 * time.Second: 3 * time.Second} {
			began := time.Now()
			_, err := newProvider(t, v, func(c *getid.Config) { c.Timeout = timeout }).Fetch(t.Context(), id)
			require.ErrorIs(t, err, identity.ErrUnavailable)
			assert.Equal(t, want, time.Since(began))
		}
	})
}

// TestRealServer: the API key goes to the configured server in the configured
// header, and not on to where that server points.
func TestRealServer(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	token := genuine()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/certs":
			assert.Empty(t, r.Header.Get("Authorization"))
			_, _ = io.WriteString(w, jwks(jwk(keyPair(0), "")))
		case "/base/verifications/results/" + id:
			assert.Equal(t, []string{"Bearer " + apiKey}, r.Header.Values("Authorization"))
			_, _ = io.WriteString(w, resultWith(`"status":"done","results":{"status":"approved"}`, token))
		default:
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(s.Close)
	p, err := getid.New(getid.Config{APIKey: "Bearer " + apiKey, APIKeyHeader: "Authorization", BaseURL: s.URL + "/base/", JWKSURL: s.URL + "/certs", HTTPClient: s.Client()})
	require.NoError(t, err)
	got, err := p.Fetch(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, identity.Verified, got.Verification.Status)
	_, err = p.Fetch(t.Context(), "somebody-else")
	require.ErrorIs(t, err, identity.ErrRefused)
	p, err = getid.New(getid.Config{APIKey: apiKey, BaseURL: s.URL + "/base", JWKSURL: s.URL + "/moved", HTTPClient: s.Client()})
	require.NoError(t, err)
	_, err = p.VerifyClaim(t.Context(), claimOf(token))
	require.ErrorIs(t, err, identity.ErrUnavailable)
	assert.Zero(t, elsewhere.Load())
}

func TestRedaction(t *testing.T) {
	v := newVendor()
	canaries := strings.NewReplacer(`"JANE"`, `"canary"`, `"Z1"`, `"canary"`, `"text"`, `"canary"`, `"u1"`, `"canary"`, `"192.0.2.1"`, `"canary"`, `"Found 2`, `"canary`).Replace(documented)
	v.answerResult(http.StatusOK, resultWith(canaries, genuine()))
	config := getid.Config{APIKey: apiKey, BaseURL: baseURL, JWKSURL: jwksURL, ScriptURL: "https://partner.test/key.js", HTTPClient: &http.Client{Transport: v}, Now: new(clock).now}
	provider, err := getid.New(config)
	require.NoError(t, err)
	r, err := provider.Result(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "canary", r.Attributes.FirstName)
	type host struct {
		provider *getid.Provider
		Provider *getid.Provider
		any      any
		list     []*getid.Provider
		copied   getid.Provider
	}
	for name, value := range map[string]any{
		"config": config, "*config": &config, "provider": provider, "copied provider": *provider,
		"host":   host{provider, provider, provider, []*getid.Provider{provider}, *provider},
		"result": r, "*result": &r, "open": struct{ R getid.Result }{r}, "attributes": r.Attributes, "metadata": r.Metadata,
		"checks": r.Checks, "documents": r.Documents, "files": r.Documents[0].Files, "file": &r.Documents[0].Files[0], "concerns": r.Concerns,
		"verification": r.Verification(),
	} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb, value)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", value, slog.Group("g", "value", value))
		data, err := json.Marshal(map[string]any{"x": value})
		require.NoError(t, err, name)
		out.Write(data)
		for _, secret := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary"), fmt.Sprint([]byte("canary"))[1:19]} {
			assert.NotContains(t, out.String(), secret, name)
		}
	}
	assert.Equal(t, "getid.Config(redacted) getid.Provider(redacted) "+id+" failed getid.Attributes(redacted)", fmt.Sprint(config, " ", provider, " ", r, " ", r.Attributes))
}

// TestErrorsHoldNoSecret: an answer that echoes the key does not bring it into an
// error.
func TestErrorsHoldNoSecret(t *testing.T) {
	v := newVendor()
	for _, status := range []int{200, 302, 401, 403, 404, 429} {
		v.serveResult = func(r *http.Request) (*http.Response, error) {
			key := r.Header.Get(getid.DefaultAPIKeyHeader)
			return answer(status, key, "Location", key, "Retry-After", "60"), nil
		}
		_, err := newProvider(t, v).Fetch(t.Context(), id)
		require.Error(t, err)
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			assert.NotContains(t, fmt.Sprintf(verb, err), "canary")
		}
	}
}
