package main

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okidtest"
)

// delivery is a webhook request.
type delivery struct {
	method string
	query  string
	header []string // "Name: value"
	body   string
}

// signed is a webhook as okID sends it now.
func (s *server) signed(body string) delivery {
	return delivery{
		method: "POST",
		header: []string{
			"Content-Type: application/json",
			"X-okID-Timestamp: " + strconv.FormatInt(now().Unix(), 10),
			"X-okID-Signature: " + sign(s.secret, body),
		},
		body: body,
	}
}

func (s *server) deliver(t *testing.T, d delivery) answer {
	t.Helper()
	return s.do(t, d.method, "/verify/webhook"+d.query, d.body, d.header...)
}

// set replaces a header, or takes it away if there is no value.
func (d *delivery) set(name string, values ...string) {
	var header []string
	for _, h := range d.header {
		if !strings.HasPrefix(h, name+": ") {
			header = append(header, h)
		}
	}
	for _, v := range values {
		header = append(header, name+": "+v)
	}
	d.header = header
}

// completed is the body that verifies an attempt.
func completed(a *attempt, id string) string {
	return fmt.Sprintf(`{"event":"verification.completed","data":{"id":%q,"status":"completed","created_at":%q,"completed_at":%q,`+
		`"document_type":"passport","verification_details":{"first_name":"Jane","last_name":"Roe","document_number":"Z000001",`+
		`"expiry_date":"2099-01-31","date_of_birth":"1990-02-03"},"metadata":{"reference":%q}}}`,
		id, stamp(0), stamp(0), a.Attempt)
}

// stamp is a time of okID's, this far from now.
func stamp(d time.Duration) string { return now().Add(d).UTC().Format(time.RFC3339) }

// victim is what a bad delivery is about.
type victim struct {
	*server
	*attempt
	other *attempt // somebody else's
}

// A spoiler makes a bad delivery of a good one.
type spoiler func(v victim, d *delivery)

func signature(of func(v victim, d delivery) string) spoiler {
	return func(v victim, d *delivery) { d.set("X-okID-Signature", of(v, *d)) }
}

func timestamp(values ...string) spoiler {
	return func(_ victim, d *delivery) { d.set("X-okID-Timestamp", values...) }
}

// sentAt is the timestamp header this far from now.
func sentAt(d time.Duration) spoiler {
	return func(_ victim, sent *delivery) {
		sent.set("X-okID-Timestamp", strconv.FormatInt(now().Add(d).Unix(), 10))
	}
}

// body rewrites the body and signs it.
func body(of func(v victim, good string) string) spoiler {
	return func(v victim, d *delivery) {
		changed := of(v, d.body)
		if changed == d.body {
			panic("the body is as good as it was")
		}
		header := d.header
		*d = v.signed(changed)
		for _, h := range header {
			if strings.HasPrefix(h, "Content-Encoding: ") {
				d.header = append(d.header, h)
			}
		}
	}
}

func whole(text string) spoiler { return body(func(victim, string) string { return text }) }

// replace replaces a part of the body and signs it.
func replace(old, new string) spoiler {
	return body(func(_ victim, good string) string {
		if !strings.Contains(good, old) {
			panic("the body has no " + old)
		}
		return strings.Replace(good, old, new, 1)
	})
}

// member replaces the value of a member, whatever it is, by other JSON.
func member(name, value string) spoiler {
	return body(func(_ victim, good string) string {
		before, after, ok := strings.Cut(good, `"`+name+`":"`)
		_, after, ok2 := strings.Cut(after, `"`)
		if !ok || !ok2 {
			panic("the body has no " + name)
		}
		return before + `"` + name + `":` + value + after
	})
}

func macWith(key string) spoiler {
	return signature(func(_ victim, d delivery) string { return sign(key, d.body) })
}

// good is the signature that belongs to the delivery.
func good(v victim, d delivery) string { return sign(v.secret, d.body) }

// badDeliveries lists what must have no effect, and how it is answered.
var badDeliveries = []struct {
	name  string
	spoil spoiler
	want  int
}{
	{"signature missing", func(_ victim, d *delivery) { d.set("X-okID-Signature") }, 401},
	{"signature empty", signature(func(victim, delivery) string { return "" }), 401},
	{"signature short", signature(func(v victim, d delivery) string { return good(v, d)[:62] }), 401},
	{"signature of half a byte less", signature(func(v victim, d delivery) string { return good(v, d)[:63] }), 401},
	{"signature long", signature(func(v victim, d delivery) string { return good(v, d) + "00" }), 401},
	{"signature is no hex", signature(func(v victim, d delivery) string { return "g" + good(v, d)[1:] }), 401},
	{"signature 0x", signature(func(v victim, d delivery) string { return "0x" + good(v, d) }), 401},
	{"signature of zeros", signature(func(victim, delivery) string { return strings.Repeat("0", 64) }), 401},
	{"signature endless", signature(func(victim, delivery) string { return strings.Repeat("ab", 8_000) }), 401},
	{"signature in base64", signature(func(v victim, d delivery) string {
		mac, _ := hex.DecodeString(good(v, d))
		return base64.StdEncoding.EncodeToString(mac)
	}), 401},
	{"signature of another body", signature(func(v victim, d delivery) string { return sign(v.secret, d.body+" ") }), 401},
	{"signature of an empty body", signature(func(v victim, _ delivery) string { return sign(v.secret, "") }), 401},
	{"signature of timestamp.body", signature(func(v victim, d delivery) string {
		return sign(v.secret, strings.TrimPrefix(d.header[1], "X-okID-Timestamp: ")+"."+d.body)
	}), 401},
	{"body changed on its way", func(_ victim, d *delivery) { d.body = strings.Replace(d.body, "Jane", "June", 1) }, 401},
	{"key of another", macWith("another-secret-of-some-length"), 401},
	{"key empty", macWith(""), 401},
	{"key is the reference", signature(func(v victim, d delivery) string { return sign(v.Attempt, d.body) }), 401},
	{"key cut short", signature(func(v victim, d delivery) string { return sign(v.secret[:16], d.body) }), 401},
	{"digest without a key", signature(func(_ victim, d delivery) string {
		mac := hmac.New(sha512.New512_256, nil)
		mac.Write([]byte(d.body))
		return hex.EncodeToString(mac.Sum(nil))
	}), 401},
	{"SHA-1", signature(func(v victim, d delivery) string {
		mac := hmac.New(sha1.New, []byte(v.secret))
		mac.Write([]byte(d.body))
		return "sha1=" + hex.EncodeToString(mac.Sum(nil))
	}), 401},
	{"MD5", signature(func(v victim, d delivery) string {
		mac := hmac.New(md5.New, []byte(v.secret))
		mac.Write([]byte(d.body))
		return hex.EncodeToString(mac.Sum(nil))
	}), 401},
	{"SHA-512", signature(func(v victim, d delivery) string {
		mac := hmac.New(sha512.New, []byte(v.secret))
		mac.Write([]byte(d.body))
		return hex.EncodeToString(mac.Sum(nil))
	}), 401},
	{"prefix sha1", signature(func(v victim, d delivery) string { return "sha1=" + good(v, d) }), 401},
	{"prefix in capitals", signature(func(v victim, d delivery) string { return "SHA256=" + good(v, d) }), 401},
	{"prefix twice", signature(func(v victim, d delivery) string { return "sha256=sha256=" + good(v, d) }), 401},
	{"prefix alone", signature(func(victim, delivery) string { return "sha256=" }), 401},
	{"scheme of others", signature(func(v victim, d delivery) string { return "t=1,v1=" + good(v, d) }), 401},
	{"signature and garbage", signature(func(v victim, d delivery) string { return good(v, d) + ";" }), 401},
	{"signature with a space inside", signature(func(v victim, d delivery) string { return good(v, d)[:32] + " " + good(v, d)[32:] }), 401},
	{"two signatures in one header", signature(func(v victim, d delivery) string { return good(v, d) + ", " + good(v, d) }), 401},
	{"two signature headers", func(v victim, d *delivery) { d.set("X-okID-Signature", good(v, *d), good(v, *d)) }, 401},
	{"bad and good signature headers", func(v victim, d *delivery) {
		d.set("X-okID-Signature", strings.Repeat("0", 64), good(v, *d))
	}, 401},
	{"signature under another name", func(v victim, d *delivery) {
		signature := good(v, *d)
		d.set("X-okID-Signature")
		d.set("X-Signature", signature)
	}, 401},

	{"timestamp missing", timestamp(), 401},
	{"timestamp empty", timestamp(""), 401},
	{"two timestamps", timestamp(strconv.FormatInt(now().Unix(), 10), strconv.FormatInt(now().Unix(), 10)), 401},
	{"timestamp in words", timestamp("now"), 401},
	{"timestamp 1e9", timestamp("1e9"), 401},
	{"timestamp of 10 characters with an exponent", timestamp("0000001e10"), 401},
	{"timestamp +", timestamp(fmt.Sprintf("+%d", now().Unix())), 401},
	{"timestamp + of 10 characters", timestamp(fmt.Sprintf("+%d", now().Unix()/10)), 401},
	{"timestamp with a fraction", timestamp(fmt.Sprintf("%d.5", now().Unix())), 401},
	{"timestamp negative", timestamp("-1751284800"), 401},
	{"timestamp hexadecimal", timestamp("0x6862fe00"), 401},
	{"timestamp 0", timestamp("0"), 401},
	{"timestamp overflows", timestamp("99999999999999999999"), 401},
	{"timestamp wraps around", timestamp(fmt.Sprintf("18446744%d", now().Unix())), 401},
	{"timestamp in microseconds", timestamp(strconv.FormatInt(now().UnixMicro(), 10)), 401},
	{"timestamp in nanoseconds", timestamp(strconv.FormatInt(now().UnixNano(), 10)), 401},
	{"timestamp in other digits", timestamp("١٧٥١٢٨٤٨٠٠"), 401},
	{"timestamp with _", timestamp("1_751_284_800"), 401},
	{"timestamp of RFC 1123", timestamp(now().UTC().Format(time.RFC1123)), 401},
	{"timestamp a year ahead", sentAt(365 * 24 * time.Hour), 401},
	{"timestamp a year ahead, in milliseconds", timestamp(strconv.FormatInt(now().Add(365*24*time.Hour).UnixMilli(), 10)), 401},
	{"timestamp two minutes ahead", sentAt(2 * time.Minute), 401},
	// The body is signed but may be old: okID is asked, and has no verdict.
	{"timestamp an hour old", sentAt(-time.Hour), 401},
	{"timestamp ten years old", sentAt(-10 * 365 * 24 * time.Hour), 401},

	{"no JSON", whole(`verification.completed`), 400},
	{"empty body", whole(``), 400},
	{"body of white space", whole(" \n"), 400},
	{"array", body(func(_ victim, good string) string { return "[" + good + "]" }), 400},
	{"string", body(func(_ victim, good string) string { return strconv.Quote(good) }), 400},
	{"null", whole(`null`), 400},
	{"form", whole(`event=verification.completed`), 400},
	{"broken off", body(func(_ victim, good string) string { return good[:len(good)-1] }), 400},
	{"trailing bracket", body(func(_ victim, good string) string { return good + "}" }), 400},
	{"trailing null byte", body(func(_ victim, good string) string { return good + "\x00" }), 400},
	{"trailing comma", replace(`"}}}`, `"},}}`), 400},
	{"byte order mark", body(func(_ victim, good string) string { return "\ufeff" + good }), 400},
	{"comment", replace(`{"event"`, `{/**/"event"`), 400},
	{"single quotes", replace(`"event"`, `'event'`), 400},
	{"two documents", body(func(_ victim, good string) string { return good + "\n" + good }), 400},
	{"two events", replace(`"data"`, `"event":"verification.failed","data"`), 400},
	{"two events, one escaped", replace(`"data"`, `"\u0065vent":"verification.failed","data"`), 400},
	{"list of events", member("event", `["verification.completed","verification.failed"]`), 400},
	{"two ids", replace(`"status"`, `"id":"ver_2","status"`), 400},
	{"two statuses", replace(`"status"`, `"status":"failed","status"`), 400},
	{"two references", replace(`"reference"`, `"reference":"r","reference"`), 400},
	{"STATUS beside status", replace(`"status"`, `"STATUS":"failed","status"`), 400},
	{"STATUS instead of status", replace(`"status"`, `"STATUS"`), 400},
	{"ſtatus, whose first letter folds to s", replace(`"status"`, `"ſtatus":"failed","status"`), 400},
	{"Event instead of event", replace(`"event"`, `"Event"`), 400},
	{"Reference instead of reference", replace(`"reference"`, `"Reference"`), 400},
	{"event missing", replace(`"event":"verification.completed",`, ``), 400},
	{"event null", member("event", `null`), 400},
	{"event a number", member("event", `1`), 400},
	{"data missing", whole(`{"event":"verification.completed"}`), 400},
	{"data null", whole(`{"event":"verification.completed","data":null}`), 400},
	{"data an array", whole(`{"event":"verification.completed","data":[{"id":"ver_1"}]}`), 400},
	{"data as text", body(func(_ victim, good string) string {
		_, data, _ := strings.Cut(strings.TrimSuffix(good, "}"), `"data":`)
		return `{"event":"verification.completed","data":` + strconv.Quote(data) + `}`
	}), 400},
	{"id missing", replace(`"id"`, `"identity"`), 400},
	{"id empty", member("id", `""`), 400},
	{"id null", member("id", `null`), 400},
	{"id a number", member("id", `1`), 400},
	{"id an object", member("id", `{"id":"ver_1"}`), 400},
	{"id with slashes", member("id", `"../../v1/verification/ver_1"`), 400},
	{"id encoded", member("id", `"..%2fver_1"`), 400},
	{"id with a query", member("id", `"ver_1?x=1"`), 400},
	{"id with a new line", member("id", `"ver_1\r\nX: 1"`), 400},
	{"id of 129 letters", member("id", `"`+strings.Repeat("a", 129)+`"`), 400},
	{"10000 levels", replace(`"status"`, `"x":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+`,"status"`), 400},
	{"100000 levels that never close", whole(strings.Repeat(`{"event":`, 28_000)), 400},
	{"invalid UTF-8", replace("Jane", "J\xffne"), 400},
	{"overlong UTF-8", replace("Jane", "J\xc1\x81ne"), 400},
	{"control character", replace("Jane", "J\x01ne"), 400},
	{"UTF-16", body(func(_ victim, good string) string { return strings.Join(strings.Split(good, ""), "\x00") + "\x00" }), 400},
	{"NaN", replace(`"status"`, `"score":NaN,"status"`), 400},

	{"300 KiB", replace(`"status"`, `"x":"`+strings.Repeat("x", 300<<10)+`","status"`), 413},
	{"gzip", func(v victim, d *delivery) {
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		_, _ = io.WriteString(w, d.body)
		_ = w.Close()
		*d = v.signed(zipped.String())
		d.set("Content-Encoding", "gzip")
	}, 415},
	{"gzip in name only", func(_ victim, d *delivery) { d.set("Content-Encoding", "gzip") }, 415},
	{"two encodings", func(_ victim, d *delivery) { d.set("Content-Encoding", "identity", "br") }, 415},
	{"list of encodings", func(_ victim, d *delivery) { d.set("Content-Encoding", "identity, gzip") }, 415},

	{"GET", func(_ victim, d *delivery) { d.method = "GET" }, 405},
	{"HEAD", func(_ victim, d *delivery) { d.method = "HEAD" }, 405},
	{"PUT", func(_ victim, d *delivery) { d.method = "PUT" }, 405},
	{"PATCH", func(_ victim, d *delivery) { d.method = "PATCH" }, 405},
	{"DELETE", func(_ victim, d *delivery) { d.method = "DELETE" }, 405},
	{"OPTIONS", func(_ victim, d *delivery) { d.method = "OPTIONS" }, 405},
	{"post in lower case", func(_ victim, d *delivery) { d.method = "pOsT" }, 405},
	{"method overridden", func(_ victim, d *delivery) { d.method = "GET"; d.set("X-HTTP-Method-Override", "POST") }, 405},
	{"unknown provider", func(_ victim, d *delivery) { d.query = "?provider=getid" }, 404},
	{"provider in capitals", func(_ victim, d *delivery) { d.query = "?provider=OKID" }, 404},

	// Signed, readable, and without effect.
	{"unknown event", member("event", `"verification.approved"`), 200},
	{"event in capitals", member("event", `"Verification.Completed"`), 200},
	{"event with a space", member("event", `"verification.completed "`), 200},
	{"event empty", member("event", `""`), 200},
	{"completed but failed", member("status", `"failed"`), 200},
	{"completed but started", member("status", `"started"`), 200},
	{"completed in capitals", member("status", `"Completed"`), 200},
	{"completed in other letters", member("status", `"соmpleted"`), 200},
	{"completed, and a word of the other API", member("status", `"verified"`), 200},
	{"status missing", replace(`"status":"completed",`, ``), 200},
	{"status null", member("status", `null`), 200},
	{"status a flag", member("status", `true`), 400},
	{"status a list", member("status", `["completed"]`), 400},
	{"failed but completed", member("event", `"verification.failed"`), 200},
	{"no metadata", body(func(_ victim, good string) string { return good[:strings.Index(good, `,"metadata"`)] + "}}" }), 200},
	{"metadata null", body(func(_ victim, good string) string {
		return good[:strings.Index(good, `"metadata"`)] + `"metadata":null}}`
	}), 200},
	{"reference missing", replace(`"reference"`, `"user_id"`), 200},
	{"reference null", member("reference", `null`), 200},
	{"reference a list", body(func(v victim, good string) string {
		return strings.Replace(good, `"`+v.Attempt+`"`, `["`+v.Attempt+`"]`, 1)
	}), 400},
	{"reference empty", member("reference", `""`), 200},
	{"reference made up", member("reference", `"`+strings.Repeat("A", 96)+`"`), 200},
	{"reference is the user's name", body(func(v victim, good string) string { return strings.Replace(good, v.Attempt, v.user.name, 1) }), 200},
	{"reference with one letter changed", body(func(v victim, good string) string {
		swapped := map[bool]string{true: "B", false: "A"}[v.Attempt[40] == 'A']
		return strings.Replace(good, v.Attempt, v.Attempt[:40]+swapped+v.Attempt[41:], 1)
	}), 200},
	{"reference cut short", body(func(v victim, good string) string { return strings.Replace(good, v.Attempt, v.Attempt[:95], 1) }), 200},
	{"reference padded", body(func(v victim, good string) string { return strings.Replace(good, v.Attempt, v.Attempt+"=", 1) }), 200},
	{"reference with a new line", body(func(v victim, good string) string { return strings.Replace(good, v.Attempt, v.Attempt+`\n`, 1) }), 200},
	{"reference of another attempt", body(func(v victim, good string) string { return strings.Replace(good, v.Attempt, v.other.Attempt, 1) }), 200},
	{"id of another attempt", body(func(v victim, good string) string { return strings.Replace(good, v.id, v.other.id, 1) }), 200},
	{"id that nobody knows", member("id", `"ver_0a1b2c3d4e5f6g7h8i9j"`), 200},
	{"id in capitals", body(func(v victim, good string) string { return strings.Replace(good, v.id, strings.ToUpper(v.id), 1) }), 200},
	{"created before the attempt", member("created_at", `"`+stamp(-time.Hour)+`"`), 200},
	{"completed before the attempt", member("completed_at", `"2001-01-01T00:00:00Z"`), 200},
	{"created in the future", member("created_at", `"`+stamp(time.Hour)+`"`), 200},
	{"completed in the future", member("completed_at", `"9999-12-31T23:59:59Z"`), 200},
}

// Whatever is wrong with a delivery, it is answered as documented and changes
// nothing; not even for the good one that comes after it.
func TestBadDeliveries(t *testing.T) {
	t.Parallel()
	s := launch(t, nil)
	other := s.logIn(t, "other").begin(t)
	for i, tt := range badDeliveries {
		t.Run(tt.name, func(t *testing.T) {
			u := s.logIn(t, fmt.Sprintf("user-%d", i))
			a := u.begin(t)
			d := s.signed(completed(a, a.id))
			tt.spoil(victim{s, a, other}, &d)

			got := s.deliver(t, d)
			assert.Equal(t, tt.want, got.status, got.body)
			switch {
			case tt.want == http.StatusOK:
				assert.Empty(t, got.body)
			case d.method != "HEAD":
				assert.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
				assert.NotContains(t, got.body, a.Attempt)
			}
			if tt.want == http.StatusMethodNotAllowed {
				assert.Equal(t, "POST", got.header.Get("Allow"))
			}
			for _, a := range []*attempt{a, other} {
				a.is(t, "started")
				a.user.shut(t)
			}

			// The next line is that of the good one: the bad one printed none.
			require.Equal(t, http.StatusOK, s.deliver(t, s.signed(completed(a, a.id))).status)
			s.told(t, a, "verified")
			u.opened(t)
		})
	}
	other.is(t, "started")
	s.stop(t)
}

// What okID may well write differently is good.
func TestGoodDeliveries(t *testing.T) {
	t.Parallel()
	s := launch(t, nil)
	for i, tt := range []struct {
		name  string
		spoil spoiler
	}{
		{"timestamp without a zone", timestamp(now().UTC().Format("2006-01-02T15:04:05"))},
		{"timestamp with a lower-case t", timestamp(strings.ToLower(now().UTC().Format(time.RFC3339)))},
		{"two unknown members", replace(`"status"`, `"x":{"y":[{"z":1,"z":1}]},"status"`)},
		{"First_Name beside first_name", replace(`"first_name"`, `"First_Name":"June","first_name"`)},
		{"half a surrogate", replace("Jane", `J\ud800ne`)},
		{"provider without a name", func(_ victim, d *delivery) { d.query = "?provider=" }},
		{"as is", func(victim, *delivery) {}},
		{"signature in capitals", signature(func(v victim, d delivery) string { return strings.ToUpper(good(v, d)) })},
		{"signature with a prefix", signature(func(v victim, d delivery) string { return "sha256=" + good(v, d) })},
		{"timestamp in milliseconds", timestamp(strconv.FormatInt(now().UnixMilli(), 10))},
		{"timestamp of RFC 3339", timestamp(now().UTC().Format(time.RFC3339))},
		{"timestamp in a zone, with a fraction", timestamp(now().In(time.FixedZone("", 3600)).Format("2006-01-02T15:04:05.000000000-07:00"))},
		{"timestamp two minutes old", sentAt(-2 * time.Minute)},
		{"no content type", func(_ victim, d *delivery) { d.set("Content-Type") }},
		{"other content type", func(_ victim, d *delivery) { d.set("Content-Type", "text/plain") }},
		{"not encoded", func(_ victim, d *delivery) { d.set("Content-Encoding", "Identity") }},
		{"provider named", func(_ victim, d *delivery) { d.query = "?provider=okid" }},
		{"from a browser", func(_ victim, d *delivery) {
			d.header = append(d.header, "Origin: https://okid.example", "Sec-Fetch-Site: cross-site")
		}},
		{"white space around", body(func(_ victim, good string) string { return "\r\n " + good + "\t\n" })},
		{"unknown members", replace(`"status"`, `"checks":[{"name":"face","score":0.97}],"status"`)},
		{"details missing", body(func(_ victim, good string) string {
			before, after, _ := strings.Cut(good, `"verification_details":{`)
			_, after, _ = strings.Cut(after, `},`)
			return before + after
		})},
		{"details odd", replace(`"first_name":"Jane"`, `"first_name":["Jane"]`)},
		{"date odd", replace(`"date_of_birth":"1990-02-03"`, `"date_of_birth":"03/02/1990"`)},
		{"times missing", body(func(_ victim, good string) string {
			before, after, _ := strings.Cut(good, `"created_at"`)
			_, after, _ = strings.Cut(after, `"document_type"`)
			return before + `"document_type"` + after
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := s.logIn(t, fmt.Sprintf("user-%d", i))
			a := u.begin(t)
			d := s.signed(completed(a, a.id))
			tt.spoil(victim{server: s, attempt: a}, &d)
			got := s.deliver(t, d)
			require.Equal(t, http.StatusOK, got.status, got.body)
			s.told(t, a, "verified")
			u.opened(t)
		})
	}
	s.stop(t)
}

// An old webhook is a reason to ask okID, whose word counts.
func TestStaleDeliveryAsks(t *testing.T) { everywhere(t, testStaleDeliveryAsks) }

func testStaleDeliveryAsks(t *testing.T, launch launcher) {
	s := launch(t, nil)
	u := s.logIn(t, "alice")
	a := u.begin(t)
	require.NoError(t, s.fake.SetChaos(okidtest.Chaos{Drop: true}))
	require.NoError(t, s.fake.Complete(a.id, okidtest.Passport(now())))

	d := s.signed(completed(a, a.id))
	sentAt(-time.Hour)(victim{}, &d)
	assert.Equal(t, http.StatusOK, s.deliver(t, d).status)
	assert.Equal(t, 1, s.fake.FetchCalls())
	s.told(t, a, "verified")
	u.opened(t)
	s.stop(t)
}

// What no HTTP client sends, so that it is written by hand.
func TestRawDeliveries(t *testing.T) {
	t.Parallel()
	s := launch(t, nil)
	head := "POST /verify/webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	for i, tt := range []struct {
		name    string
		request func(v victim, d delivery) string
		want    int
		good    bool
	}{
		{"space around the values", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: %d\r\nX-okID-Signature: \t%s \t\r\nX-okID-Timestamp:   %d \r\n\r\n%s", head, len(d.body), good(v, d), now().Unix(), d.body)
		}, 200, true}, // which HTTP says is no part of them
		{"names in other letters", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: %d\r\nx-OKID-sIGNATURE: %s\r\nX-OKID-TIMESTAMP: %d\r\n\r\n%s", head, len(d.body), good(v, d), now().Unix(), d.body)
		}, 200, true},
		{"second header folded into the first", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: %d\r\nX-okID-Signature: %s\r\n %s\r\nX-okID-Timestamp: %d\r\n\r\n%s", head, len(d.body), good(v, d), good(v, d), now().Unix(), d.body)
		}, 401, false},
		{"space before the colon", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: %d\r\nX-okID-Signature : %s\r\nX-okID-Timestamp: %d\r\n\r\n%s", head, len(d.body), good(v, d), now().Unix(), d.body)
		}, 400, false},
		{"null byte in the signature", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: %d\r\nX-okID-Signature: %s\x00\r\nX-okID-Timestamp: %d\r\n\r\n%s", head, len(d.body), good(v, d), now().Unix(), d.body)
		}, 400, false},
		{"two lengths", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: %d\r\nContent-Length: 2\r\nX-okID-Signature: %s\r\nX-okID-Timestamp: %d\r\n\r\n%s", head, len(d.body), good(v, d), now().Unix(), d.body)
		}, 400, false},
		{"length beside chunks", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: 2\r\nTransfer-Encoding: chunked\r\nX-okID-Signature: %s\r\nX-okID-Timestamp: %d\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, good(v, d), now().Unix(), len(d.body), d.body)
		}, 200, true}, // chunks win, and the body is signed
		{"signature as a trailer", func(v victim, d delivery) string {
			return fmt.Sprintf("%sTransfer-Encoding: chunked\r\nTrailer: X-okID-Signature\r\nX-okID-Timestamp: %d\r\n\r\n%x\r\n%s\r\n0\r\nX-okID-Signature: %s\r\n\r\n", head, now().Unix(), len(d.body), d.body, good(v, d))
		}, 401, false},
		{"body shorter than its length", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: %d\r\nX-okID-Signature: %s\r\nX-okID-Timestamp: %d\r\n\r\n%s", head, len(d.body)+1, good(v, d), now().Unix(), d.body)
		}, 400, false},
		{"bad chunk", func(v victim, d delivery) string {
			return fmt.Sprintf("%sTransfer-Encoding: chunked\r\nX-okID-Signature: %s\r\nX-okID-Timestamp: %d\r\n\r\n-1\r\n%s\r\n0\r\n\r\n", head, good(v, d), now().Unix(), d.body)
		}, 400, false},
		{"1 MiB in chunks", func(v victim, d delivery) string {
			chunk := fmt.Sprintf("%x\r\n%s\r\n", 16<<10, strings.Repeat(" ", 16<<10))
			return fmt.Sprintf("%sTransfer-Encoding: chunked\r\nX-okID-Signature: %s\r\nX-okID-Timestamp: %d\r\n\r\n%s0\r\n\r\n", head, good(v, d), now().Unix(), strings.Repeat(chunk, 64))
		}, 413, false},
		{"1 GiB announced", func(v victim, d delivery) string {
			return fmt.Sprintf("%sContent-Length: %d\r\nX-okID-Signature: %s\r\nX-okID-Timestamp: %d\r\n\r\n%s", head, 1<<30, good(v, d), now().Unix(), d.body)
		}, 413, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := s.logIn(t, fmt.Sprintf("user-%d", i))
			a := u.begin(t)
			d := s.signed(completed(a, a.id))
			conn := s.dial(t)
			request := tt.request(victim{server: s, attempt: a}, d)
			go func() {
				_, _ = io.WriteString(conn, request) // may be cut off
				if tt.name == "body shorter than its length" {
					_ = conn.(interface{ CloseWrite() error }).CloseWrite()
				}
			}()
			got := s.answerOn(t, conn)
			assert.Equal(t, tt.want, got.status, got.body)
			if !tt.good {
				a.is(t, "started")
				u.shut(t)
				require.Equal(t, http.StatusOK, s.deliver(t, d).status)
			}
			s.told(t, a, "verified")
			u.opened(t)
		})
	}
	s.stop(t)
}

// A delivery that comes again is the same event, however it is wrapped, and for
// ever.
func TestReplay(t *testing.T) { everywhere(t, testReplay) }

func testReplay(t *testing.T, launch launcher) {
	h := newHost(t)
	s := launch(t, map[string]string{"CALLBACK_URL": h.URL})
	u := s.logIn(t, "alice")
	a := u.begin(t)
	receive(t, h.called)
	first := s.signed(completed(a, a.id))
	require.Equal(t, http.StatusOK, s.deliver(t, first).status)
	s.told(t, a, "verified")
	receive(t, h.called)

	for _, tt := range []struct {
		name  string
		spoil spoiler
	}{
		{"the same", func(victim, *delivery) {}},
		{"new timestamp", sentAt(30 * time.Second)},
		{"timestamp in milliseconds", timestamp(strconv.FormatInt(now().UnixMilli(), 10))},
		{"old timestamp", sentAt(-time.Hour)},
		{"other headers", func(_ victim, d *delivery) {
			d.header = append(d.header, "X-Request-Id: 1", "Idempotency-Key: 2", "X-okID-Event: verification.failed", "X-okID-Delivery: 3", "User-Agent: x")
		}},
		{"other query", func(_ victim, d *delivery) { d.query = "?x=1&attempt=y&reference=z&event=verification.failed" }},
		{"indented", body(func(_ victim, good string) string {
			var b bytes.Buffer
			if err := json.Indent(&b, []byte(good), "\t", "  "); err != nil {
				panic(err)
			}
			return b.String()
		})},
		{"members in another order", body(func(_ victim, good string) string {
			var v any
			if err := json.Unmarshal([]byte(good), &v); err != nil {
				panic(err)
			}
			b, _ := json.Marshal(v) // sorted
			return string(b)
		})},
		{"escaped", body(func(_ victim, good string) string {
			return strings.NewReplacer("Jane", `\u004aane`, "passport", `pass\u0070ort`, `"id"`, `"\u0069d"`, "verification.c", `verification\u002ec`).Replace(good)
		})},
		{"another member beside event and data", replace(`{"event"`, `{"try":2,"event"`)},
		{"another member in data", replace(`"status"`, `"sent":2,"status"`)},
		{"another person", replace("Jane", "June")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := s.signed(first.body)
			tt.spoil(victim{server: s, attempt: a}, &d)
			for range 2 {
				assert.Equal(t, http.StatusOK, s.deliver(t, d).status)
			}
		})
	}
	assert.Empty(t, h.called)
	a.is(t, "verified")
	u.opened(t)
	s.stop(t)
}

// However many copies arrive at once, the host is called once, and every sender
// has its 200 in the end.
func TestParallelReplay(t *testing.T) { everywhere(t, testParallelReplay) }

func testParallelReplay(t *testing.T, launch launcher) {
	const copies = 200
	h := newHost(t)
	s := launch(t, map[string]string{"CALLBACK_URL": h.URL})
	u := s.logIn(t, "alice")
	a := u.begin(t)
	receive(t, h.called)

	// The callback lasts until some copies have met it.
	const some = 10
	met := make(chan struct{})
	h.answer <- hold(met)
	answers := make(chan answer, copies)
	d := s.signed(completed(a, a.id))
	for range copies {
		go func() { answers <- s.deliver(t, d) }()
	}
	count := map[int]int{}
	for range copies {
		got := receive(t, answers)
		count[got.status]++
		if got.status == http.StatusServiceUnavailable {
			assert.NotEmpty(t, got.header.Get("Retry-After"))
			if count[got.status] == some {
				close(met)
			}
		}
	}
	assert.Equal(t, copies, count[200]+count[503], "%v", count)
	assert.GreaterOrEqual(t, count[503], some)
	for range count[503] {
		require.Equal(t, http.StatusOK, s.deliver(t, d).status)
	}

	s.told(t, a, "verified")
	receive(t, h.called)
	assert.Empty(t, h.called)
	u.opened(t)
	s.stop(t)
}

// A client that is slow, or says nothing, is cut off, and nobody else notices.
func TestSlowClients(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	s := launch(t, nil)
	u := s.logIn(t, "alice")
	a := u.begin(t)
	d := s.signed(completed(a, a.id))

	drip := s.dial(t)
	_, err := fmt.Fprintf(drip, "POST /verify/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s\r\n\r\n", len(d.body), d.header[1], d.header[2])
	require.NoError(t, err)
	stop := make(chan struct{})
	dripped := make(chan int, 1)
	go func() {
		tick := time.NewTicker(100 * time.Millisecond) // which is never quite enough
		defer tick.Stop()
		n := 0
		defer func() { dripped <- n }()
		for ; n < len(d.body)-1; n++ {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			if _, err := io.WriteString(drip, d.body[n:n+1]); err != nil {
				return
			}
		}
	}()
	silent := s.dial(t)
	half := s.dial(t)
	_, err = io.WriteString(half, "POST /verify/webhook HTTP/1.1\r\nX-okID-Signature: 0")
	require.NoError(t, err)

	b := s.logIn(t, "bob").begin(t)
	require.NoError(t, s.fake.Complete(b.id, okidtest.Passport(now())))
	s.settle(t)
	s.told(t, b, "verified")
	b.user.opened(t)

	assert.Equal(t, http.StatusRequestTimeout, s.answerOn(t, drip).status)
	_, err = io.Copy(io.Discard, drip)
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is closed")
	close(stop)
	assert.Positive(t, receive(t, dripped))
	for _, conn := range []io.Reader{silent, half} {
		_, err := io.Copy(io.Discard, conn)
		assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	a.is(t, "started")
	require.Equal(t, http.StatusOK, s.deliver(t, d).status)
	s.told(t, a, "verified")
	s.stop(t)
}
