package okidhttp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
)

// site is a kit with the real client of okID, whose requests are answered here.
type site struct {
	*okidhttp.Kit
	log    bytes.Buffer
	asked  int                                           // how often a verification was asked about
	answer func() (code int, h http.Header, body string) // to such a question
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	code, h, body := http.StatusOK, http.Header{}, `{"process_token":"token"}`
	if r.Method == http.MethodGet {
		s.asked++
		code, h, body = s.answer()
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func newSite(t *testing.T, change ...func(*okidhttp.Config)) *site {
	s := &site{}
	provider, err := okid.New(okid.Config{
		APIKey:         okidtest.DefaultAPIKey,
		WebhookSecrets: []string{okidtest.DefaultWebhookSecret},
		HTTPClient:     &http.Client{Transport: s},
	})
	require.NoError(t, err)
	cfg := okidhttp.Config{
		Providers: []identity.Provider{provider},
		Store:     memstore.New(),
		PublicURL: "https://app.example/verify",
		Keys:      [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject:   func(r *http.Request) (string, error) { return r.Header.Get("User"), nil },
		AgeOver:   []int{18},
		Logger:    slog.New(slog.NewJSONHandler(&s.log, nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	s.Kit, err = okidhttp.New(cfg)
	require.NoError(t, err)
	return s
}

// deliver signs a body as okID does.
func (s *site) deliver(body string) int {
	r := httptest.NewRequest("POST", "/verify/webhook", strings.NewReader(body))
	r.Header = okidtest.Signing{}.Header(okidtest.DefaultWebhookSecret, time.Now(), []byte(body))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

func (s *site) gate() int {
	return as("alice", "GET", "/members", s.RequireVerified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))).Code
}

// status is what the live status says.
func (s *site) status(attempt string) (body struct{ Status, Reason string }) {
	_ = json.Unmarshal(as("alice", "GET", "/verify/status?attempt="+attempt, s).Body.Bytes(), &body)
	return body
}

// A date is read if it is clear, is not there, or is unreadable: then no gate opens by it,
// the log names its field and never its value, and the webhook is taken all the same.
func TestDatesOfWebhooks(t *testing.T) {
	const clear, none, odd = "clear", "none", "unreadable"
	for written, is := range map[string]string{
		``:                                none,
		`null`:                            none,
		`""`:                              none,
		`"2099-12-31"`:                    clear,
		`"20991231"`:                      clear,
		`"2099-12-31T00:00:00Z"`:          clear,
		`"2099-12-31T23:59:59.999+14:00"`: clear,
		`"2099-12-31t00:00:00z"`:          clear,
		`"2099-02-30"`:                    odd,
		`"2099-12-00"`:                    odd,
		`"2099-1-2"`:                      odd,
		`"31/12/2099"`:                    odd,
		`"12-31-2099"`:                    odd,
		`"31 DEC 2099"`:                   odd,
		`"2099-12"`:                       odd,
		`"2099"`:                          odd,
		`"991231"`:                        odd,
		`"0000-00-00"`:                    odd,
		`"2099-12-31T00:00:00"`:           odd,
		`"2099-12-31T24:00:00Z"`:          odd,
		`" 2099-12-31"`:                   odd,
		`"２０９９-12-31"`:                    odd,
		`" "`:                             odd,
		`"\ud800"`:                        odd,
		`"none"`:                          odd,
		`20991231`:                        odd,
		`4102358400`:                      odd,
		`0`:                               odd,
		`false`:                           odd,
		`true`:                            odd,
		`{}`:                              odd,
		`[]`:                              odd,
		`["2099-12-31"]`:                  odd,
		`{"year":2099}`:                   odd,
	} {
		for _, field := range []string{"expiry_date", "date_of_birth"} {
			for _, allow := range []bool{false, true} {
				name := fmt.Sprintf("%s %s, allowed: %v", field, written, allow)
				s := newSite(t, func(c *okidhttp.Config) { c.AllowExpiredDocument = allow })
				attempt, _ := start(s.Kit, "alice")
				member := ""
				if written != "" {
					member = `"` + field + `":` + strings.ReplaceAll(strings.ReplaceAll(written, "2099", year(field, "2099")), "２０９９", year(field, "２０９９"))
				}
				assert.Equal(t, 200, s.deliver(`{"event":"verification.completed","data":{"id":"ver_1","status":"completed",
					"verification_details":{`+member+`},"metadata":{"reference":"`+attempt+`"}}}`), name)
				told := map[string]string{"expiry_date": "document_expiry", "date_of_birth": "date_of_birth"}[field]
				line := `"level":"WARN","msg":"okidhttp: unreadable_date","attempt":`
				assert.Equal(t, is == odd, strings.Contains(s.log.String(), line), name)
				assert.Equal(t, is == odd, strings.Contains(s.log.String(), `"field":"`+told+`"`), name)
				said := hexID.ReplaceAllString(strings.ReplaceAll(s.log.String(), attempt, ""), "")
				for _, value := range []string{"2099", "2000", "1231", "DEC"} {
					assert.NotContains(t, said, value+`"`, name)
				}
				if field == "expiry_date" && is == odd && !allow {
					assert.Equal(t, 403, s.gate(), name)
					assert.Equal(t, struct{ Status, Reason string }{"failed", okidhttp.ReasonDocumentUnreadable}, s.status(attempt), name)
					continue
				}
				assert.Equal(t, 200, s.gate(), name)
				g, err := s.Grant(t.Context(), "alice")
				require.NoError(t, err)
				assert.Equal(t, field == "date_of_birth" && is == clear, len(g.AgeOver) == 1, name)
			}
		}
	}
}

// hexID is an id in the log, which may end in any digits.
var hexID = regexp.MustCompile(`[0-9a-f]{16,}`)

// year is in the future for an expiry and long ago for a birth.
func year(field, in2099 string) string {
	if field == "date_of_birth" {
		return strings.NewReplacer("2099", "2000", "２０９９", "２０００").Replace(in2099)
	}
	return in2099
}

// What decides is read strictly, and everything else harmless, as far as it is JSON.
func TestStrangeWebhooks(t *testing.T) {
	const good = `{"event":"verification.completed","data":{"id":"ver_1","status":"completed",` +
		`"verification_details":{"first_name":"Zoe"},"metadata":{"reference":"REF","plan":"x"}}}`
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	swap := func(old, with string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, with, 1)
	}
	for name, tt := range map[string]struct {
		body string
		code int
	}{
		"good":                             {good, 200},
		"the event twice":                  {swap(`{"event"`, `{"event":"verification.completed","event"`), 400},
		"the event in another case":        {swap(`{"event"`, `{"Event":"verification.failed","event"`), 400},
		"the event in another case alone":  {swap(`"event"`, `"EVENT"`), 400},
		"data twice":                       {swap(`"data":`, `"data":{},"data":`), 400},
		"the id twice":                     {swap(`"id":`, `"id":"ver_2","id":`), 400},
		"the status, folded":               {swap(`"status":`, `"\u017ftatus":"failed","status":`), 400},
		"the status twice, once escaped":   {swap(`"status":`, `"st\u0061tus":"failed","status":`), 400},
		"metadata twice":                   {swap(`"metadata":`, `"metadata":{},"metadata":`), 400},
		"the reference twice":              {swap(`"reference":`, `"reference":"x","reference":`), 400},
		"twins beside the event":           {swap(`{"event"`, `{"x":1,"X":2,"event"`), 400},
		"twins beside the id":              {swap(`"id"`, `"x":1,"x":1,"id"`), 400},
		"twins beside the reference":       {swap(`"plan":"x"`, `"plan":"x","PLAN":"x"`), 400},
		"half a name beside the event":     {swap(`{"event"`, `{"\ud800":1,"event"`), 400},
		"half a name beside the reference": {swap(`"plan"`, `"\udc00"`), 400},
		"half an event":                    {swap(`verification.completed`, `\ud800`), 400},
		"half an id":                       {swap(`ver_1`, `ver\ud800`), 400},
		"half a status":                    {swap(`"status":"completed"`, `"status":"completed\ud800"`), 400},
		"half a reference":                 {swap(`REF`, `REF\ud800`), 400},
		"the event a number":               {swap(`"verification.completed"`, `1`), 400},
		"the event null":                   {swap(`"verification.completed"`, `null`), 400},
		"no event":                         {swap(`"event":"verification.completed",`, ``), 400},
		"the id a number":                  {swap(`"ver_1"`, `1`), 400},
		"no id":                            {swap(`"id":"ver_1",`, ``), 400},
		"the status a list":                {swap(`"status":"completed"`, `"status":["completed"]`), 400},
		"the status a bool":                {swap(`"status":"completed"`, `"status":true`), 400},
		"the reference a number":           {swap(`"REF"`, `1`), 400},
		"the reference an object":          {swap(`"REF"`, `{}`), 400},
		"metadata a text":                  {swap(`{"reference":"REF","plan":"x"}`, `"REF"`), 400},
		"metadata a list":                  {swap(`{"reference":"REF","plan":"x"}`, `[{"reference":"REF"}]`), 400},
		"data a list":                      {swap(`"data":{`, `"data":[{`) + `]`, 400},
		"data null":                        {`{"event":"verification.completed","data":null}`, 400},
		"a list":                           {`[` + good + `]`, 400},
		"two":                              {good + good, 400},
		"a name with half a pair":          {swap(`"Zoe"`, `"Zo\ud800"`), 200},
		"a name that is a number":          {swap(`"Zoe"`, `1`), 200},
		"a name that is an object":         {swap(`"Zoe"`, `{"a":1,"a":2,"A":3,"\ud800":4}`), 200},
		"names twice":                      {swap(`"first_name"`, `"first_name":"Eve","first_name"`), 200},
		"names in another case":            {swap(`"first_name"`, `"FIRST_NAME":"Eve","first_name"`), 200},
		"half a name of a name":            {swap(`"first_name"`, `"\ud800":1,"first_name"`), 200},
		"details a list":                   {swap(`{"first_name":"Zoe"}`, `[1]`), 403}, // and so no date is known to be absent
		"details an empty list":            {swap(`{"first_name":"Zoe"}`, `[]`), 200},
		"details null":                     {swap(`{"first_name":"Zoe"}`, `null`), 200},
		"metadata with another number":     {swap(`"plan":"x"`, `"plan":1`), 200},
		"metadata with half a pair":        {swap(`"plan":"x"`, `"plan":"\ud800"`), 200},
		"twins in what nobody reads":       {swap(`{"event"`, `{"x":{"a":1,"A":2,"a":3,"\ud800":"\udc00"},"event"`), 200},
		"depth 256 in all":                 {swap(`{"event"`, `{"x":`+deep(255)+`,"event"`), 200},
		"depth 257":                        {swap(`{"event"`, `{"x":`+deep(256)+`,"event"`), 400},
		"depth 256 within the details":     {swap(`"Zoe"`, deep(253)), 200},
		"depth 257 within the details":     {swap(`"Zoe"`, deep(254)), 400},
	} {
		s := newSite(t)
		attempt, _ := start(s.Kit, "alice")
		code := s.deliver(strings.ReplaceAll(tt.body, "REF", attempt))
		switch tt.code {
		case 403:
			assert.Equal(t, 200, code, name)
			assert.Equal(t, 403, s.gate(), name)
		case 400:
			assert.Equal(t, 400, code, name)
			assert.Equal(t, 403, s.gate(), name)
			assert.Contains(t, s.log.String(), "malformed", name)
		default:
			assert.Equal(t, 200, code, name)
			assert.Equal(t, 200, s.gate(), name)
		}
	}
}

// One question is one request, and after a 429 there is none for as long as it says,
// whoever asks. Events that come by themselves are taken.
func TestAskedTooOften(t *testing.T) {
	for says, quiet := range map[string]time.Duration{
		"": time.Minute, "soon": time.Minute, "-1": time.Minute, "0": 2 * time.Second, "1": 2 * time.Second, "30": 30 * time.Second, "99999999": time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(2 * 365 * 24 * time.Hour) // until Unix time has ten digits
			s := newSite(t)
			h := http.Header{}
			if says != "" {
				h.Set("Retry-After", says)
			}
			s.answer = func() (int, http.Header, string) { return http.StatusTooManyRequests, h, "" }
			attempt, _ := start(s.Kit, "alice")
			event := func(name, status string) string {
				return `{"event":"verification.` + name + `","data":{"id":"ver_1","status":"` + status + `","metadata":{"reference":"` + attempt + `"}}}`
			}
			require.Equal(t, 200, s.deliver(event("started", "started")))
			as("alice", "GET", "/verify/success?attempt="+attempt, s)
			require.Equal(t, 1, s.asked, says)
			for until := time.Now().Add(quiet - time.Millisecond); time.Now().Before(until); {
				for _, route := range []string{"success", "error", "status", "page"} {
					as("alice", "GET", "/verify/"+route+"?attempt="+attempt, s)
				}
				time.Sleep(min(quiet/50, time.Until(until)))
			}
			assert.Equal(t, 1, s.asked, says)
			time.Sleep(time.Millisecond)
			as("alice", "GET", "/verify/success?attempt="+attempt, s)
			assert.Equal(t, 2, s.asked, says)
			require.Equal(t, 200, s.deliver(event("completed", "completed")))
			assert.Equal(t, 200, s.gate())
			assert.Equal(t, 2, s.asked, says)
		})
	}
}
