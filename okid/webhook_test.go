package okid_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid"
)

// completed is the body that okID documents.
const completed = `{"event":"verification.completed","data":{"id":"ver_0a1b2c3d4e5f6g7h8i9j","status":"completed","created_at":"2025-06-30T10:15:30Z",
 "completed_at":"2025-06-30T10:17:45Z","document_type":"passport","verification_details":{"first_name":"Jane","last_name":"Roe",
 "document_number":"Z000001","expiry_date":"2030-01-31","date_of_birth":"1990-02-03"},"metadata":{"user_id":"u-1","reference":"r-1"}}}`

func TestVerifyWebhook(t *testing.T) {
	body := []byte(completed)
	got, err := newProvider(t).VerifyWebhook(signed(completed), body, at)
	require.NoError(t, err)
	assert.Equal(t, completed, string(body), "the body was changed")

	assert.NotZero(t, got.Digest)
	got.Digest = [32]byte{}
	assert.Equal(t, identity.Notice{
		Provider: "okid",
		Event:    okid.EventCompleted,
		Verification: identity.Verification{
			ID:             "ver_0a1b2c3d4e5f6g7h8i9j",
			Status:         identity.Verified,
			CreatedAt:      time.Date(2025, 6, 30, 10, 15, 30, 0, time.UTC),
			CompletedAt:    time.Date(2025, 6, 30, 10, 17, 45, 0, time.UTC),
			DocumentType:   "passport",
			DocumentExpiry: identity.Date{Year: 2030, Month: 1, Day: 31},
			FirstName:      "Jane",
			LastName:       "Roe",
			DocumentNumber: "Z000001",
			DateOfBirth:    identity.Date{Year: 1990, Month: 2, Day: 3},
		},
		Reference: "r-1",
		Metadata:  map[string]string{"user_id": "u-1"},
		SignedBy:  "secret 1",
	}, got)
}

// TestWireTypes keeps the names that are read the same as those in WebhookBody.
func TestWireTypes(t *testing.T) {
	var want okid.WebhookBody
	require.NoError(t, json.Unmarshal([]byte(completed), &want))
	again, err := json.Marshal(want)
	require.NoError(t, err)

	p := newProvider(t)
	a, err := p.VerifyWebhook(signed(completed), []byte(completed), at)
	require.NoError(t, err)
	b, err := p.VerifyWebhook(signed(string(again)), again, at)
	require.NoError(t, err)
	assert.Equal(t, a, b)
}

func TestBadSignatures(t *testing.T) {
	p := newProvider(t)
	good := hex.EncodeToString(sum(secret, completed))
	timestamp := strconv.FormatInt(at.Unix(), 10)
	raw := sum(secret, completed)
	flipped := bytes.Clone(raw)
	flipped[31] ^= 1

	for name, signature := range map[string]string{
		"empty":                        "",
		"blank":                        " ",
		"prefix alone":                 "sha256=",
		"one digit":                    "0",
		"odd number of digits":         good[:63],
		"truncated":                    good[:62],
		"half":                         good[:32],
		"too long":                     good + "00",
		"much too long":                strings.Repeat(good, 1000),
		"not hex":                      strings.Repeat("zz", 32),
		"one character not hex":        good[:63] + "g",
		"leading space":                " " + good,
		"trailing space":               good + " ",
		"trailing line feed":           good + "\n",
		"quoted":                       `"` + good + `"`,
		"with 0x":                      "0x" + good[2:],
		"colons":                       strings.Repeat("ab:", 21) + "a",
		"two in one header":            good + "," + good,
		"good one second in list":      strings.Repeat("0", 64) + "," + good,
		"last bit flipped":             hex.EncodeToString(flipped),
		"all zero":                     strings.Repeat("0", 64),
		"of another body":              hex.EncodeToString(sum(secret, completed+" ")),
		"of the empty body":            hex.EncodeToString(sum(secret, "")),
		"under another key":            hex.EncodeToString(sum("another-key-of-good-length", completed)),
		"under the empty key":          hex.EncodeToString(sum("", completed)),
		"under the API key":            hex.EncodeToString(sum(apiKey, completed)),
		"of timestamp dot body":        hex.EncodeToString(sum(secret, timestamp+"."+completed)),
		"of timestamp body":            hex.EncodeToString(sum(secret, timestamp+completed)),
		"of body timestamp":            hex.EncodeToString(sum(secret, completed+timestamp)),
		"base64":                       base64.StdEncoding.EncodeToString(raw),
		"base64url":                    base64.RawURLEncoding.EncodeToString(raw),
		"the 32 bytes as they are":     string(raw),
		"prefix of a weaker algorithm": "sha1=" + good[:40],
		"prefix of another algorithm":  "sha512=" + good,
		"prefix in upper case":         "SHA256=" + good,
		"prefix twice":                 "sha256=sha256=" + good,
		"version prefix":               "v1=" + good,
		"the key itself":               secret,
		"full width digits":            strings.Repeat("\uff10", 64),
		"NUL":                          good[:62] + "\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			n, err := p.VerifyWebhook(header(signature, timestamp), []byte(completed), at)
			require.ErrorIs(t, err, identity.ErrSignature)
			assert.Zero(t, n)
		})
	}

	t.Run("no header", func(t *testing.T) {
		h := header(good, timestamp)
		h.Del(okid.SignatureHeader)
		_, err := p.VerifyWebhook(h, []byte(completed), at)
		require.ErrorIs(t, err, identity.ErrSignature)
	})
	t.Run("nil header", func(t *testing.T) {
		_, err := p.VerifyWebhook(nil, []byte(completed), at)
		require.ErrorIs(t, err, identity.ErrSignature)
	})
	t.Run("header twice", func(t *testing.T) {
		h := header(good, timestamp)
		h.Add(okid.SignatureHeader, good)
		_, err := p.VerifyWebhook(h, []byte(completed), at)
		require.ErrorIs(t, err, identity.ErrSignature)
	})
	t.Run("algorithm named in a header", func(t *testing.T) {
		h := header(good[:40], timestamp)
		h.Set("X-okID-Signature-Algorithm", "sha1")
		_, err := p.VerifyWebhook(h, []byte(completed), at)
		require.ErrorIs(t, err, identity.ErrSignature)
	})
	t.Run("before the body is looked at", func(t *testing.T) {
		_, err := p.VerifyWebhook(header(good, timestamp), []byte("not JSON"), at)
		require.ErrorIs(t, err, identity.ErrSignature)
		require.NotErrorIs(t, err, identity.ErrMalformed)
	})
	t.Run("before the timestamp is looked at", func(t *testing.T) {
		_, err := p.VerifyWebhook(header("", "nonsense"), []byte(completed), at)
		require.ErrorIs(t, err, identity.ErrSignature)
		require.NotErrorIs(t, err, identity.ErrTimestamp)
	})
}

func TestGoodSignatures(t *testing.T) {
	raw := sum(secret, completed)
	lower := hex.EncodeToString(raw)
	for name, tc := range map[string]struct {
		encoding  okid.SignatureEncoding
		signature string
	}{
		"lower case":               {okid.Hex, lower},
		"upper case":               {okid.Hex, strings.ToUpper(lower)},
		"mixed case":               {okid.Hex, strings.ToUpper(lower[:31]) + lower[31:]},
		"prefix":                   {okid.Hex, "sha256=" + lower},
		"base64":                   {okid.Base64, base64.StdEncoding.EncodeToString(raw)},
		"base64 without padding":   {okid.Base64, base64.RawStdEncoding.EncodeToString(raw)},
		"base64url":                {okid.Base64, base64.URLEncoding.EncodeToString(raw)},
		"base64url, not padded":    {okid.Base64, base64.RawURLEncoding.EncodeToString(raw)},
		"base64 with prefix":       {okid.Base64, "sha256=" + base64.StdEncoding.EncodeToString(raw)},
		"base64url, both and more": {okid.Base64, "sha256=" + base64.RawURLEncoding.EncodeToString(raw)},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, func(c *okid.Config) { c.SignatureEncoding = tc.encoding })
			_, err := p.VerifyWebhook(header(tc.signature, strconv.FormatInt(at.Unix(), 10)), []byte(completed), at)
			require.NoError(t, err)
		})
	}
}

func TestBadBase64(t *testing.T) {
	p := newProvider(t, func(c *okid.Config) { c.SignatureEncoding = okid.Base64 })
	// A body whose signature needs both special characters.
	body := completed
	for !strings.Contains(base64.StdEncoding.EncodeToString(sum(secret, body)), "+") ||
		!strings.Contains(base64.StdEncoding.EncodeToString(sum(secret, body)), "/") {
		body += " "
	}
	raw := sum(secret, body)
	std := base64.StdEncoding.EncodeToString(raw)
	// The last character carries two bits that mean nothing; they must be zero.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	loose := std[:42] + string(alphabet[strings.IndexByte(alphabet, std[42])+1])

	for name, signature := range map[string]string{
		"hex":             hex.EncodeToString(raw),
		"truncated":       std[:40],
		"two pads":        std + "=",
		"pad in between":  std[:20] + "=" + std[21:],
		"pad for a digit": std[:42] + "==",
		"mixed alphabets": strings.Replace(std, "+", "-", 1),
		"line feed":       std[:20] + "\n" + std[20:43],
		"line feed, 43":   std[:20] + "\n" + std[20:42],
		"loose bits":      loose,
		"loose bits, pad": loose + "=",
		"empty":           "",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.VerifyWebhook(header(signature, strconv.FormatInt(at.Unix(), 10)), []byte(body), at)
			require.ErrorIs(t, err, identity.ErrSignature)
		})
	}
	_, err := p.VerifyWebhook(header(std, strconv.FormatInt(at.Unix(), 10)), []byte(body), at)
	require.NoError(t, err)
}

// TestSignedContent signs in each way and verifies in each way: only the
// configured one counts, whatever the request looks like.
func TestSignedContent(t *testing.T) {
	timestamp := at.Format(time.RFC3339Nano)
	contents := map[okid.SignedContent]string{
		okid.SignedBody:             completed,
		okid.SignedTimestampDotBody: timestamp + "." + completed,
		okid.SignedTimestampBody:    timestamp + completed,
	}
	for configured := range contents {
		p := newProvider(t, func(c *okid.Config) { c.SignedContent = configured })
		for used, content := range contents {
			h := header(hex.EncodeToString(sum(secret, content)), timestamp)
			_, err := p.VerifyWebhook(h, []byte(completed), at)
			if used == configured {
				assert.NoError(t, err, "%d", used)
			} else {
				assert.ErrorIs(t, err, identity.ErrSignature, "%d as %d", used, configured)
			}
		}
		if configured == okid.SignedBody {
			continue
		}
		t.Run(fmt.Sprint("timestamp bound ", configured), func(t *testing.T) {
			h := header(hex.EncodeToString(sum(secret, contents[configured])), timestamp)
			for _, other := range []string{
				at.Add(time.Second).Format(time.RFC3339Nano), // another time
				strconv.FormatInt(at.Unix(), 10),             // the same time in other words
			} {
				h.Set(okid.TimestampHeader, other)
				_, err := p.VerifyWebhook(h, []byte(completed), at)
				assert.ErrorIs(t, err, identity.ErrSignature, other)
			}
			// Without a timestamp, a signature of the body alone is no way in.
			h = header(hex.EncodeToString(sum(secret, completed)), "")
			_, err := p.VerifyWebhook(h, []byte(completed), at)
			assert.ErrorIs(t, err, identity.ErrTimestamp)
			h.Del(okid.TimestampHeader)
			_, err = p.VerifyWebhook(h, []byte(completed), at)
			assert.ErrorIs(t, err, identity.ErrTimestamp)
			h[http.CanonicalHeaderKey(okid.TimestampHeader)] = []string{timestamp, timestamp}
			_, err = p.VerifyWebhook(h, []byte(completed), at)
			assert.ErrorIs(t, err, identity.ErrTimestamp)
		})
	}

	t.Run("digits moved from timestamp to body", func(t *testing.T) {
		p := newProvider(t, func(c *okid.Config) { c.SignedContent = okid.SignedTimestampBody })
		millis := strconv.FormatInt(at.UnixMilli(), 10)
		h := header(hex.EncodeToString(sum(secret, millis+completed)), millis[:10])
		_, err := p.VerifyWebhook(h, []byte(millis[10:]+completed), at)
		require.ErrorIs(t, err, identity.ErrMalformed)
	})
}

func TestTimestamps(t *testing.T) {
	p := newProvider(t)
	for name, tc := range map[string]struct {
		timestamp string
		want      error // nil: accepted
	}{
		"seconds":                    {"1751278680", nil},
		"milliseconds":               {"1751278680000", nil},
		"RFC 3339":                   {"2025-06-30T10:18:00Z", nil},
		"RFC 3339 with fraction":     {"2025-06-30T10:18:00.123Z", nil},
		"RFC 3339 with nanoseconds":  {"2025-06-30T10:17:59.999999999+00:00", nil},
		"RFC 3339 in another zone":   {"2025-06-30T12:18:00+02:00", nil},
		"a minute ahead":             {"1751278740", nil},
		"a minute ahead, ms":         {"1751278740000", nil},
		"a minute and 1 ms ahead":    {"1751278740001", identity.ErrTimestamp},
		"a minute and 1 ns ahead":    {"2025-06-30T10:19:00.000000001Z", identity.ErrTimestamp},
		"61 seconds ahead":           {"1751278741", identity.ErrTimestamp},
		"a year ahead":               {"1782814680", identity.ErrTimestamp},
		"the year 9999":              {"9999-12-31T23:59:59Z", identity.ErrTimestamp},
		"greatest seconds":           {"9999999999", identity.ErrTimestamp},
		"greatest milliseconds":      {"9999999999999", identity.ErrTimestamp},
		"five minutes old":           {"1751278380", nil},
		"five minutes old, RFC 3339": {"2025-06-30T10:13:00Z", nil},
		"five minutes and 1 ms":      {"1751278379999", identity.ErrStale},
		"five minutes and 1 ns":      {"2025-06-30T10:12:59.999999999Z", identity.ErrStale},
		"301 seconds old":            {"1751278379", identity.ErrStale},
		"zero seconds":               {"0000000000", identity.ErrStale},
		"zero milliseconds":          {"0000000000000", identity.ErrStale},
		"the year 0":                 {"0000-01-01T00:00:00Z", identity.ErrStale},
		"empty":                      {"", identity.ErrTimestamp},
		"blank":                      {" ", identity.ErrTimestamp},
		"word":                       {"now", identity.ErrTimestamp},
		"zero":                       {"0", identity.ErrTimestamp},
		"9 digits":                   {"175127868", identity.ErrTimestamp},
		"11 digits":                  {"17512786800", identity.ErrTimestamp},
		"12 digits":                  {"175127868000", identity.ErrTimestamp},
		"microseconds":               {"1751278680000000", identity.ErrTimestamp},
		"nanoseconds":                {"1751278680000000000", identity.ErrTimestamp},
		"overflow":                   {"99999999999999999999", identity.ErrTimestamp},
		"plus":                       {"+751278680", identity.ErrTimestamp},
		"plus in front":              {"+1751278680", identity.ErrTimestamp},
		"minus":                      {"-751278680", identity.ErrTimestamp},
		"float":                      {"1751278680.5", identity.ErrTimestamp},
		"float of 10 characters":     {"17512786.5", identity.ErrTimestamp},
		"float of 13 characters":     {"1751278680.50", identity.ErrTimestamp},
		"exponent":                   {"1.75127868e9", identity.ErrTimestamp},
		"short exponent":             {"1e9", identity.ErrTimestamp},
		"hex":                        {"0x68626518", identity.ErrTimestamp},
		"underscores":                {"1_751_278_680", identity.ErrTimestamp},
		"leading space":              {" 1751278680", identity.ErrTimestamp},
		"trailing space":             {"175127868 ", identity.ErrTimestamp},
		"other digits":               {"\u0661\u0667\u0665\u0661\u0662", identity.ErrTimestamp},
		"two in one header":          {"1751278680,1751278680", identity.ErrTimestamp},
		"zone without a colon":       {"2025-06-30T10:18:00+0000", nil},
		"the same, with a fraction":  {"2025-06-30T12:18:00.123456+0200", nil},
		"no zone":                    {"2025-06-30T10:18:00", nil},
		"no zone, with a fraction":   {"2025-06-30T10:18:00.123456", nil},
		"no zone, ahead":             {"2025-06-30T10:20:00", identity.ErrTimestamp},
		"no zone, old":               {"2025-06-30T10:08:00", identity.ErrStale},
		"space for T":                {"2025-06-30 10:18:00Z", nil},
		"space for T and no zone":    {"2025-06-30 10:18:00", nil},
		"lower case":                 {"2025-06-30t10:18:00z", nil},
		"zone of hours":              {"2025-06-30T10:18:00+00", identity.ErrTimestamp},
		"zone by name":               {"2025-06-30T10:18:00 UTC", identity.ErrTimestamp},
		"zone of too many minutes":   {"2025-06-30T10:18:00+0060", identity.ErrTimestamp},
		"zone of too many hours":     {"2025-06-30T10:18:00+2500", identity.ErrTimestamp},
		"no seconds":                 {"2025-06-30T10:18Z", identity.ErrTimestamp},
		"no seconds and no zone":     {"2025-06-30T10:18", identity.ErrTimestamp},
		"basic form":                 {"20250630T101800Z", identity.ErrTimestamp},
		"14 digits":                  {"20250630101800", identity.ErrTimestamp},
		"comma for point":            {"2025-06-30T10:18:00,5Z", identity.ErrTimestamp},
		"one digit hour":             {"2025-06-30T9:18:00Z", identity.ErrTimestamp},
		"no such day":                {"2025-06-31T10:18:00Z", identity.ErrTimestamp},
		"hour 24":                    {"2025-06-30T24:00:00Z", identity.ErrTimestamp},
		"date alone":                 {"2025-06-30", identity.ErrTimestamp},
		"HTTP date":                  {"Mon, 30 Jun 2025 10:18:00 GMT", identity.ErrTimestamp},
		"endless fraction":           {"2025-06-30T10:18:00." + strings.Repeat("0", 1000) + "Z", identity.ErrTimestamp},
	} {
		t.Run(name, func(t *testing.T) {
			h := signed(completed)
			h.Set(okid.TimestampHeader, tc.timestamp)
			n, err := p.VerifyWebhook(h, []byte(completed), at)
			switch tc.want {
			case nil:
				require.NoError(t, err)
				assert.NotZero(t, n)
			case identity.ErrStale:
				require.ErrorIs(t, err, identity.ErrStale)
				assert.Equal(t, "ver_0a1b2c3d4e5f6g7h8i9j", n.Verification.ID, "the notice comes as well")
				assert.NotZero(t, n.Digest)
			default:
				require.ErrorIs(t, err, tc.want)
				assert.Zero(t, n)
			}

			h.Set(okid.SignatureHeader, strings.Repeat("0", 64))
			_, err = p.VerifyWebhook(h, []byte(completed), at)
			require.ErrorIs(t, err, identity.ErrSignature, "nobody learns about timestamps without a signature")
		})
	}

	t.Run("missing", func(t *testing.T) {
		h := signed(completed)
		h.Del(okid.TimestampHeader)
		_, err := p.VerifyWebhook(h, []byte(completed), at)
		require.ErrorIs(t, err, identity.ErrTimestamp)
	})
	t.Run("repeated", func(t *testing.T) {
		h := signed(completed)
		h.Add(okid.TimestampHeader, h.Get(okid.TimestampHeader))
		_, err := p.VerifyWebhook(h, []byte(completed), at)
		require.ErrorIs(t, err, identity.ErrTimestamp)
	})
	t.Run("stale and malformed", func(t *testing.T) {
		body := `{"event":1}`
		h := signed(body)
		_, err := p.VerifyWebhook(h, []byte(body), at.Add(time.Hour))
		require.ErrorIs(t, err, identity.ErrMalformed)
		require.NotErrorIs(t, err, identity.ErrStale)
	})
	t.Run("own tolerance", func(t *testing.T) {
		p := newProvider(t, func(c *okid.Config) { c.Tolerance = time.Second })
		_, err := p.VerifyWebhook(signed(completed), []byte(completed), at.Add(time.Second))
		require.NoError(t, err)
		_, err = p.VerifyWebhook(signed(completed), []byte(completed), at.Add(time.Second+1))
		require.ErrorIs(t, err, identity.ErrStale)
	})
}

func TestSecretRotation(t *testing.T) {
	const plain, older, newer, open = "plain-secret-1-4b1d7e2f", "older-secret-2-8c6a0f3d", "newer-secret-3-1e9b5d7c", "open-secret-4-7d2c9e0a"
	begin, end := at, at.Add(time.Hour)
	p := newProvider(t, func(c *okid.Config) {
		c.WebhookSecrets = []string{secret, plain}
		c.TimedSecrets = []okid.TimedSecret{
			{Secret: older, ID: "2024", NotAfter: end},
			{Secret: newer, NotBefore: begin},
			{Secret: open},
		}
	})
	verify := func(secret string, now time.Time) (string, error) {
		h := header(hex.EncodeToString(sum(secret, completed)), now.Format(time.RFC3339Nano))
		n, err := p.VerifyWebhook(h, []byte(completed), now)
		return n.SignedBy, err
	}
	for _, tc := range []struct {
		secret string
		now    time.Time
		want   string // "": refused
	}{
		{secret, at.AddDate(-10, 0, 0), "secret 1"},
		{secret, at.AddDate(10, 0, 0), "secret 1"},
		{plain, at, "secret 2"},
		{older, begin.AddDate(-10, 0, 0), "2024"},
		{older, end.Add(-1), "2024"},
		{older, end, ""},
		{older, end.Add(1), ""},
		{newer, begin.Add(-1), ""},
		{newer, begin, "timed secret 2"},
		{newer, begin.Add(1), "timed secret 2"},
		{newer, begin.AddDate(10, 0, 0), "timed secret 2"},
		{open, begin, "timed secret 3"},
	} {
		got, err := verify(tc.secret, tc.now)
		assert.Equal(t, tc.want, got, "%s at %v", tc.secret, tc.now)
		if tc.want == "" {
			assert.ErrorIs(t, err, identity.ErrSignature)
		} else {
			assert.NoError(t, err)
		}
	}

	t.Run("the window is that of the instant, whatever the zone", func(t *testing.T) {
		_, err := verify(older, end.In(time.FixedZone("", -3600)))
		require.ErrorIs(t, err, identity.ErrSignature)
	})
}

// TestSetWebhookSecrets: from the moment at which it returns, the new secrets count
// and no old one does.
func TestSetWebhookSecrets(t *testing.T) {
	const second, third = "second-secret-8c6a0f3d", "third-secret-1e9b5d7c"
	p := newProvider(t, func(c *okid.Config) { c.TimedSecrets = []okid.TimedSecret{{Secret: second, ID: "planned"}} })
	copied := *p
	verify := func(secret string) (string, error) {
		n, err := copied.VerifyWebhook(header(hex.EncodeToString(sum(secret, completed)), strconv.FormatInt(at.Unix(), 10)), []byte(completed), at)
		return n.SignedBy, err
	}
	signedBy := func(want map[string]string) {
		t.Helper()
		for _, s := range []string{secret, second, third} {
			got, err := verify(s)
			assert.Equal(t, want[s], got)
			assert.Equal(t, want[s] == "", errors.Is(err, identity.ErrSignature))
		}
	}
	signedBy(map[string]string{secret: "secret 1", second: "planned"})
	for name, wrong := range map[string]struct {
		secrets []string
		timed   []okid.TimedSecret
		fields  []string
	}{
		"none":        {nil, nil, []string{"WebhookSecrets"}},
		"two wrong":   {[]string{third, "canary", ""}, nil, []string{"WebhookSecrets[1]", "WebhookSecrets[2]"}},
		"placeholder": {[]string{"changeme-canary-canary"}, []okid.TimedSecret{{Secret: third, ID: "\n"}}, []string{"WebhookSecrets[0]", "TimedSecrets[0]"}},
		"twice":       {[]string{third}, []okid.TimedSecret{{Secret: third}}, []string{"TimedSecrets[0]"}},
	} {
		err := p.SetWebhookSecrets(wrong.secrets, wrong.timed...)
		require.Error(t, err, name)
		for _, field := range wrong.fields {
			assert.ErrorContains(t, err, "okid: "+field+" ", name)
		}
		assert.NotContains(t, err.Error(), "canary")
		signedBy(map[string]string{secret: "secret 1", second: "planned"})
	}
	given := []string{third}
	require.NoError(t, p.SetWebhookSecrets(given, okid.TimedSecret{Secret: second, NotAfter: at}))
	given[0] = secret
	signedBy(map[string]string{third: "secret 1"})
	require.NoError(t, p.SetWebhookSecrets(nil, okid.TimedSecret{Secret: secret}))
	signedBy(map[string]string{secret: "timed secret 1"})
}

// TestSetWebhookSecretsConcurrently: a webhook is checked against the secrets of one
// moment.
func TestSetWebhookSecretsConcurrently(t *testing.T) {
	p := newProvider(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n, err := p.VerifyWebhook(signed(completed), []byte(completed), at)
				if err == nil {
					assert.Contains(t, []string{"secret 1", "secret 2"}, n.SignedBy)
				} else {
					assert.ErrorIs(t, err, identity.ErrSignature)
				}
			}
		})
	}
	const other = "another-secret-5f0c"
	for i := range 400 {
		require.NoError(t, p.SetWebhookSecrets([][]string{{secret}, {other}, {other, secret}}[i%3]))
		n, err := p.VerifyWebhook(signed(completed), []byte(completed), at)
		assert.Equal(t, i%3 == 1, err != nil)
		assert.Equal(t, []string{"secret 1", "", "secret 2"}[i%3], n.SignedBy)
	}
	close(stop)
	wg.Wait()
}

func TestVerifyWebhookConcurrently(t *testing.T) {
	p := newProvider(t, func(c *okid.Config) {
		c.TimedSecrets = []okid.TimedSecret{{Secret: "another-secret-5f0c"}}
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			body := strings.Replace(completed, "Jane", fmt.Sprint("Jane", i), 1)
			for range 200 {
				n, err := p.VerifyWebhook(signed(body), []byte(body), at)
				assert.NoError(t, err)
				assert.Equal(t, fmt.Sprint("Jane", i), n.Verification.FirstName)
				_, err = p.VerifyWebhook(signed(body), []byte(completed), at)
				assert.ErrorIs(t, err, identity.ErrSignature)
			}
		})
	}
	wg.Wait()
}

func TestMalformedBodies(t *testing.T) {
	p := newProvider(t)
	data := func(members string) string {
		return `{"event":"verification.failed","data":{` + members + `}}`
	}
	for name, body := range map[string]string{
		"empty":                           ``,
		"not JSON":                        `canary`,
		"null":                            `null`,
		"array":                           `[` + completed + `]`,
		"string":                          `"canary"`,
		"truncated":                       completed[:len(completed)-1],
		"twice":                           completed + completed,
		"trailing brace":                  completed + `}`,
		"trailing text":                   completed + `canary`,
		"leading byte order mark":         "\ufeff" + completed,
		"empty object":                    `{}`,
		"no event":                        `{"data":{"id":"ver_1"}}`,
		"event null":                      `{"event":null,"data":{"id":"ver_1"}}`,
		"event number":                    `{"event":1,"data":{"id":"ver_1"}}`,
		"event list":                      `{"event":["verification.failed"],"data":{"id":"ver_1"}}`,
		"no data":                         `{"event":"verification.failed"}`,
		"data null":                       `{"event":"verification.failed","data":null}`,
		"data list":                       `{"event":"verification.failed","data":[{"id":"ver_1"}]}`,
		"data text":                       `{"event":"verification.failed","data":"ver_1"}`,
		"no id":                           data(`"status":"failed"`),
		"id null":                         data(`"id":null`),
		"id number":                       data(`"id":1`),
		"id empty":                        data(`"id":""`),
		"id with slash":                   data(`"id":"../canary"`),
		"id with escape":                  data(`"id":"ver%2fcanary"`),
		"id with query":                   data(`"id":"ver_1?canary"`),
		"id with dot":                     data(`"id":"ver.canary"`),
		"id with space":                   data(`"id":"ver canary"`),
		"id with line feed":               data(`"id":"ver_1\n"`),
		"id not ASCII":                    data(`"id":"ver_é"`),
		"id too long":                     data(`"id":"` + strings.Repeat("a", 129) + `"`),
		"event twice":                     `{"event":"verification.failed","event":"verification.completed","data":{"id":"ver_1"}}`,
		"data twice":                      `{"event":"verification.failed","data":{"id":"ver_1"},"data":{"id":"ver_2"}}`,
		"id twice":                        data(`"id":"ver_1","id":"ver_2"`),
		"status twice":                    data(`"id":"ver_1","status":"failed","status":"completed"`),
		"status twice by escape":          data(`"id":"ver_1","status":"failed","st\u0061tus":"completed"`),
		"STATUS beside status":            data(`"id":"ver_1","status":"failed","STATUS":"completed"`),
		"STATUS alone":                    data(`"id":"ver_1","STATUS":"completed"`),
		"Event alone":                     `{"Event":"verification.completed","data":{"id":"ver_1"}}`,
		"Event beside event":              `{"event":"verification.failed","Event":"verification.completed","data":{"id":"ver_1"}}`,
		"DATA beside data":                `{"event":"verification.failed","data":{"id":"ver_1"},"DATA":{}}`,
		"Data alone":                      `{"event":"verification.failed","Data":{"id":"ver_1"}}`,
		"Data beside nothing we need":     `{"event":"verification.failed","data":{"id":"ver_1"},"ſ":1,"dAta":{}}`,
		"long s in status":                data(`"id":"ver_1","ſtatus":"completed"`),
		"member of metadata twice":        data(`"id":"ver_1","metadata":{"canary":"1","canary":"2"}`),
		"metadata by letter case":         data(`"id":"ver_1","metadata":{"canary":"1","Canary":"2"}`),
		"Reference in metadata":           data(`"id":"ver_1","metadata":{"Reference":"r"}`),
		"invalid UTF-8":                   data("\"id\":\"ver_1\",\"document_type\":\"\xff\""),
		"status number":                   data(`"id":"ver_1","status":1`),
		"status object":                   data(`"id":"ver_1","status":{"current":"failed"}`),
		"status list":                     data(`"id":"ver_1","status":["failed"]`),
		"status bool":                     data(`"id":"ver_1","status":true`),
		"metadata number":                 data(`"id":"ver_1","metadata":1`),
		"metadata text":                   data(`"id":"ver_1","metadata":"canary"`),
		"metadata list":                   data(`"id":"ver_1","metadata":[]`),
		"metadata list of one":            data(`"id":"ver_1","metadata":[{"reference":"canary"}]`),
		"reference number":                data(`"id":"ver_1","metadata":{"reference":1}`),
		"reference list":                  data(`"id":"ver_1","metadata":{"reference":["canary"]}`),
		"reference twice":                 data(`"id":"ver_1","metadata":{"reference":"r","reference":"r"}`),
		"reference in another case, too":  data(`"id":"ver_1","metadata":{"reference":"r","REFERENCE":"canary"}`),
		"details twice":                   data(`"id":"ver_1","verification_details":{},"verification_details":{"expiry_date":"2020-01-01"}`),
		"Verification_Details":            data(`"id":"ver_1","Verification_Details":{"expiry_date":"2020-01-01"}`),
		"unknown name twice, root":        `{"event":"verification.failed","canary":1,"canary":1,"data":{"id":"ver_1"}}`,
		"unknown name twice, data":        data(`"id":"ver_1","canary":1,"canary":1`),
		"unknown name, letter case, data": data(`"id":"ver_1","canary":1,"Canary":1`),
		"half a pair in event":            `{"event":"verification.failed\ud800","data":{"id":"ver_1"}}`,
		"half a pair in id":               data(`"id":"ver_1\udc00"`),
		"half a pair in status":           data(`"id":"ver_1","status":"\ud800"`),
		"half a pair in reference":        data(`"id":"ver_1","metadata":{"reference":"\ud800"}`),
		"half a pair in a name of data":   data(`"id":"ver_1","canary\ud800":1`),
		"half a pair in a name, metadata": data(`"id":"ver_1","metadata":{"canary\ud800":1}`),
		"257 deep":                        data(`"id":"ver_1","more":` + strings.Repeat(`[`, 255) + strings.Repeat(`]`, 255)),
		"ten thousand deep":               data(`"id":"ver_1","more":` + strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000)),
		"ten thousand deep and no end":    data(`"id":"ver_1","more":` + strings.Repeat(`{"a":`, 10_000)),
		"control character in a string":   data("\"id\":\"ver_1\",\"document_type\":\"\x01\""),
		"comment":                         data(`"id":"ver_1"/*canary*/`),
		"name that is a number, nonsense": data(`"id":"ver_1",1:2`),
	} {
		t.Run(name, func(t *testing.T) {
			n, err := p.VerifyWebhook(signed(body), []byte(body), at)
			require.ErrorIs(t, err, identity.ErrMalformed)
			assert.Zero(t, n)
			assert.NotContains(t, strings.ToLower(err.Error()), "canary")
		})
	}
}

// oddValues are neither a text that says something nor nothing.
var oddValues = []string{
	`1`, `0`, `-1`, `true`, `false`, `{}`, `[]`, `[1]`, `["2030-01-31"]`, `{"a":"b"}`, `{"date":"2030-01-31"}`, `1e999`, `20300131`,
	`"\ud800"`, `"2030-01-31\udc00"`, `{"a":1,"a":2}`, `[{"\ud800":1,"A":1,"a":2}]`, strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200),
}

// TestOddOptionalFields: a signed event is never lost over a field that is not
// needed.
func TestOddOptionalFields(t *testing.T) {
	p := newProvider(t)
	fetch := func(data string) identity.Notice {
		fetching := newProvider(t, over(func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, data), nil }))
		n, err := fetching.Fetch(t.Context(), "ver_1")
		require.NoError(t, err, data)
		return n
	}
	read := func(data string) identity.Verification {
		body := `{"event":"verification.completed","data":` + data + `}`
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err, body)
		assert.Equal(t, n.Verification, fetch(data).Verification, "a fetch reads the same")
		return n.Verification
	}
	verified := identity.Verification{ID: "ver_1", Status: identity.Verified}
	for _, odd := range append([]string{`null`, `""`, `"yesterday"`}, oddValues...) {
		for _, field := range []string{"created_at", "completed_at", "more", "document_type"} {
			want := verified
			if field == "document_type" && odd == `"yesterday"` {
				want.DocumentType = "yesterday"
			}
			assert.Equal(t, want, read(fmt.Sprintf(`{"id":"ver_1","status":"completed",%q:%s}`, field, odd)), odd)
		}
		if odd == `"yesterday"` {
			continue
		}
		assert.Equal(t, verified, read(fmt.Sprintf(`{"id":"ver_1","status":"completed",
			"verification_details":{"first_name":%[1]s,"last_name":%[1]s,"document_number":%[1]s}}`, odd)), odd)
		for twin := range map[string]bool{"first_name": true, "First_Name": true, `fir\u017ft_name`: true} {
			want := verified
			want.LastName = "Roe"
			assert.Equal(t, want, read(fmt.Sprintf(`{"id":"ver_1","status":"completed","verification_details":{"first_name":"Jane","last_name":"Roe","%s":%s}}`, twin, odd)), "which is it?")
		}
	}
	for _, odd := range []string{`null`, `1`, `true`, `{}`, `[]`, `["x"]`, `"\ud800"`} {
		body := fmt.Sprintf(`{"event":"verification.failed","data":{"id":"ver_1","metadata":{"x":%[1]s,"y":"z"}},"more":%[1]s}`, odd)
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err, body)
		assert.Empty(t, n.Reference)
		assert.Equal(t, map[string]string{"y": "z"}, n.Metadata)
	}
	for _, absent := range []string{`null`, `""`} {
		body := fmt.Sprintf(`{"event":"verification.failed","data":{"id":"ver_1","status":%[1]s,"metadata":{"reference":%[1]s}}}`, absent)
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err, body)
		assert.Empty(t, n.Reference)
	}
	t.Run("256 deep", func(t *testing.T) {
		assert.Equal(t, verified, fetch(`{"id":"ver_1","status":"completed","more":`+strings.Repeat(`[`, 255)+strings.Repeat(`]`, 255)+`}`).Verification)
		body := `{"event":"verification.failed","data":{"id":"ver_1","more":` + strings.Repeat(`[`, 254) + strings.Repeat(`]`, 254) + `}}`
		_, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err)
	})
}

// TestUnreadableDates: a date that is there and cannot be read is not one that is
// absent, whatever it is that is there.
func TestUnreadableDates(t *testing.T) {
	day := identity.Date{Year: 2020, Month: time.May, Day: 20}
	cases := map[string]identity.Date{
		`null`: {}, `""`: {}, `"2020-05-20"`: day, `"20200520"`: day, `"2020-05-20T00:00:00Z"`: day, `"2020-05-20T23:59:59.999+14:00"`: day, `"2020\u002d05-20"`: day,
		`" "`: identity.UnreadableDate, `"20/05/2020"`: identity.UnreadableDate, `"2020-05-00"`: identity.UnreadableDate, `"2020-5-20"`: identity.UnreadableDate,
		`"2021-02-29"`: identity.UnreadableDate, `"never"`: identity.UnreadableDate, `"2020-05-20T00:00:00"`: identity.UnreadableDate, `"` + strings.Repeat("2", 2000) + `"`: identity.UnreadableDate,
	}
	for _, odd := range oddValues {
		cases[odd] = identity.UnreadableDate
	}
	p := newProvider(t)
	read := func(details string) identity.Verification {
		data := `{"id":"ver_1","status":"completed"` + details + `}`
		body := `{"event":"verification.completed","data":` + data + `}`
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err, body)
		assert.Equal(t, identity.Verified, n.Verification.Status, "what follows from it is not ours to say")
		fetched, err := newProvider(t, over(func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, data), nil })).Fetch(t.Context(), "ver_1")
		require.NoError(t, err)
		assert.Equal(t, n.Verification, fetched.Verification)
		return n.Verification
	}
	for value, want := range cases {
		v := read(fmt.Sprintf(`,"verification_details":{"expiry_date":%[1]s,"date_of_birth":%[1]s}`, value))
		assert.Equal(t, want, v.DocumentExpiry, value)
		assert.Equal(t, want, v.DateOfBirth, value)
	}
	for details, want := range map[string]identity.Date{
		``: {}, `,"verification_details":null`: {}, `,"verification_details":""`: {}, `,"verification_details":{}`: {}, `,"verification_details":[]`: {},
		`,"verification_details":1`: identity.UnreadableDate, `,"verification_details":"2020-05-20"`: identity.UnreadableDate, `,"verification_details":false`: identity.UnreadableDate,
		`,"verification_details":[{"expiry_date":"2020-05-20"}]`:                          identity.UnreadableDate,
		`,"verification_details":{"expiry_date":"2020-05-20","expiry_date":null}`:         identity.UnreadableDate,
		`,"verification_details":{"expiry_date":"","expiry_date":"2020-05-20"}`:           identity.UnreadableDate,
		`,"verification_details":{"expiry_date":"2020-05-20","expiry_date":"2020-05-20"}`: identity.UnreadableDate,
		`,"verification_details":{"expiry_date":"2030-05-20","Expiry_Date":"2020-05-20"}`: identity.UnreadableDate,
		`,"verification_details":{"EXPIRY_DATE":"2020-05-20"}`:                            identity.UnreadableDate,
		`,"verification_details":{"expiry_date":"2020-05-20","x":1,"X":2,"x":3}`:          day,
	} {
		assert.Equal(t, want, read(details).DocumentExpiry, details)
	}
}

// TestLongTexts: what is longer than a text can be is left out, and no more.
func TestLongTexts(t *testing.T) {
	p := newProvider(t)
	for length, want := range map[int]string{identity.MaxText: strings.Repeat("x", identity.MaxText), identity.MaxText + 1: ""} {
		text := strings.Repeat("x", length)
		body := fmt.Sprintf(`{"event":"verification.completed","data":{"id":"ver_1","status":"completed","document_type":%[1]q,
			"verification_details":{"first_name":%[1]q,"last_name":%[1]q,"document_number":%[1]q,"date_of_birth":"1990-02-03"}}}`, text)
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err)
		assert.Equal(t, identity.Verification{ID: "ver_1", Status: identity.Verified, DocumentType: want, FirstName: want, LastName: want, DocumentNumber: want,
			DateOfBirth: identity.Date{Year: 1990, Month: 2, Day: 3}}, n.Verification)
	}
}

// TestTimesInBodies: their form is documented by examples alone.
func TestTimesInBodies(t *testing.T) {
	p := newProvider(t)
	want := time.Date(2025, 6, 30, 10, 15, 30, 0, time.UTC)
	for text, off := range map[string]time.Duration{
		`"2025-06-30T10:15:30Z"`: 0, `"2025-06-30T10:15:30.000Z"`: 0, `"2025-06-30T12:15:30+02:00"`: 0, `"2025-06-30T12:15:30+0200"`: 0, `"2025-06-30T10:15:30+0000"`: 0,
		`"2025-06-30T10:15:30"`: 0, `"2025-06-30 10:15:30"`: 0, `"2025-06-30 10:15:30.5"`: time.Second / 2, `"1751278530"`: 0, `1751278530`: 0, `1751278530000`: 0, `"1751278530500"`: time.Second / 2,
	} {
		body := fmt.Sprintf(`{"event":"verification.started","data":{"id":"ver_1","created_at":%[1]s,"completed_at":%[1]s}}`, text)
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err, text)
		assert.Equal(t, want.Add(off), n.Verification.CreatedAt, text)
		assert.Equal(t, want.Add(off), n.Verification.CompletedAt, text)
	}
}

func TestStatusOfWebhook(t *testing.T) {
	const absent = ""
	p := newProvider(t)
	for _, tc := range []struct {
		event, status string
		wantEvent     string
		want          identity.Status
	}{
		{okid.EventCompleted, `"completed"`, okid.EventCompleted, identity.Verified},
		{okid.EventCompleted, absent, okid.EventCompleted, ""},
		{okid.EventCompleted, `null`, okid.EventCompleted, ""},
		{okid.EventCompleted, `""`, okid.EventCompleted, ""},
		{okid.EventCompleted, `"failed"`, okid.EventCompleted, ""},
		{okid.EventCompleted, `"expired"`, okid.EventCompleted, ""},
		{okid.EventCompleted, `"started"`, okid.EventCompleted, ""},
		{okid.EventCompleted, `"Completed"`, okid.EventCompleted, ""},
		{okid.EventCompleted, `"completed "`, okid.EventCompleted, ""},
		{okid.EventCompleted, `"verified"`, okid.EventCompleted, ""},
		{okid.EventCompleted, `"needs_manual_review"`, okid.EventCompleted, ""},
		{okid.EventStarted, absent, okid.EventStarted, identity.Started},
		{okid.EventStarted, `null`, okid.EventStarted, identity.Started},
		{okid.EventStarted, `"started"`, okid.EventStarted, identity.Started},
		{okid.EventStarted, `"in_progress"`, okid.EventStarted, identity.Started},
		{okid.EventStarted, `"completed"`, okid.EventStarted, ""},
		{okid.EventStarted, `"failed"`, okid.EventStarted, ""},
		{okid.EventFailed, absent, okid.EventFailed, identity.Failed},
		{okid.EventFailed, `"failed"`, okid.EventFailed, identity.Failed},
		{okid.EventFailed, `"rejected"`, okid.EventFailed, identity.Failed},
		{okid.EventFailed, `"completed"`, okid.EventFailed, ""},
		{okid.EventFailed, `"expired"`, okid.EventFailed, ""},
		{okid.EventExpired, absent, okid.EventExpired, identity.Expired},
		{okid.EventExpired, `"expired"`, okid.EventExpired, identity.Expired},
		{okid.EventExpired, `"timeout"`, okid.EventExpired, identity.Expired},
		{okid.EventExpired, `"completed"`, okid.EventExpired, ""},
		{"verification.approved", `"completed"`, "unknown", ""},
		{"Verification.completed", `"completed"`, "unknown", ""},
		{"verification.completed ", `"completed"`, "unknown", ""},
		{"completed", `"completed"`, "unknown", ""},
		{"", `"completed"`, "unknown", ""},
		{"unknown", absent, "unknown", ""},
	} {
		members := `"id":"ver_1"`
		if tc.status != absent {
			members += `,"status":` + tc.status
		}
		body := fmt.Sprintf(`{"event":%q,"data":{%s}}`, tc.event, members)
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err, body)
		assert.Equal(t, tc.wantEvent, n.Event, body)
		assert.Equal(t, tc.want, n.Verification.Status, body)
	}
}

func TestDigest(t *testing.T) {
	p := newProvider(t)
	digest := func(body string) [32]byte {
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err, body)
		return n.Digest
	}
	const body = `{"event":"verification.completed","data":{"id":"ver_1","status":"completed","metadata":{"reference":"r-1","x":"é"},"more":{"n":9007199254740993,"l":[1,2]}}}`
	want := digest(body)

	for _, same := range []string{
		`{"data":{"more":{"l":[1,2],"n":9007199254740993},"metadata":{"x":"é","reference":"r-1"},"status":"completed","id":"ver_1"},"event":"verification.completed"}`,
		" {\n\t\"event\" : \"verification.completed\" , \"data\" : " + body[strings.Index(body, `"data":`)+7:len(body)-1] + "}\r\n",
		strings.Replace(body, "é", `\u00e9`, 1),
		strings.Replace(body, "completed", `comp\u006ceted`, 2),
		strings.Replace(body, "r-1", `\u0072-1`, 1),
		strings.Replace(body, `"status"`, `"\u0073tatus"`, 1),
		strings.Replace(body, `[1,2]`, `[1.0,20e-1]`, 1),
		strings.Replace(body, `{"event"`, `{"delivery":2,"event"`, 1), // beside event and data
	} {
		assert.Equal(t, want, digest(same), same)
	}
	t.Run("headers do not matter", func(t *testing.T) {
		h := signed(body)
		h.Set(okid.TimestampHeader, at.Add(time.Second).Format(time.RFC3339))
		h.Set("X-Request-Id", "1")
		n, err := p.VerifyWebhook(h, []byte(body), at)
		require.NoError(t, err)
		assert.Equal(t, want, n.Digest)
	})

	seen := map[[32]byte]string{want: body}
	for _, change := range [][2]string{
		{"verification.completed", "verification.failed"},
		{"verification.completed", "verification.unheard_of"},
		{"verification.completed", "verification.unheard_of_too"},
		{"ver_1", "ver_2"},
		{`"status":"completed"`, `"status":"failed"`},
		{`"status":"completed",`, ``},
		{`"status":"completed"`, `"status":null`},
		{"r-1", "r-2"},
		{"é", "e"},
		{"é", "e\u0301"},
		{"9007199254740993", "9007199254740992"},
		{"9007199254740993", `"9007199254740993"`},
		{"[1,2]", "[2,1]"},
		{"[1,2]", "[1,2,null]"},
		{"[1,2]", "[[1,2]]"},
		{`"more":`, `"less":`},
		{`,"more":{`, `,"even":0,"more":{`},
	} {
		changed := strings.Replace(body, change[0], change[1], 1)
		d := digest(changed)
		assert.Empty(t, seen[d], "%s has the digest of another", changed)
		seen[d] = changed
	}
}

// TestDigestStays: what a record remembers of an event must still be known when the
// program is newer.
func TestDigestStays(t *testing.T) {
	p := newProvider(t)
	for body, want := range map[string]string{
		completed: "5e7a401375950c16a82319bcea28fc938e6fd2c2928eb524a5e459acdd902d84",
		`{"event":"verification.completed","data":{"id":"ver_1","status":"completed","metadata":{"reference":"r-1","x":"é"},
			"more":{"n":9007199254740993.50e-3,"l":[1,2,null,true,false,"\ud83d\ude00",{},[]],"Zeta":1,"alpha":2,"beta":3,"éa":1,"Êa":2}}}`: "6b079667aa5f711a219db20c620a6d3194ff71cfdd57635d9ee6ec517ca53ea2",
	} {
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err)
		assert.Equal(t, want, hex.EncodeToString(n.Digest[:]))
	}
}

// TestDigestOfOddBodies: a body with oddities, too, is the same event in whatever
// formatting, and another one when it says something else.
func TestDigestOfOddBodies(t *testing.T) {
	p := newProvider(t)
	digest := func(more string) [32]byte {
		body := `{"event":"verification.completed","data":{"id":"ver_1","status":"completed","more":` + more + `}}`
		n, err := p.VerifyWebhook(signed(body), []byte(body), at)
		require.NoError(t, err, body)
		return n.Digest
	}
	seen := map[[32]byte]string{}
	for _, same := range [][]string{
		{`{"a":1,"a":2,"b":"\ud800"}`, `{ "b" : "\uD800", "a":2.0, "\u0061":1 }`},
		{`{"a":1,"A":2,"b":"\ud800"}`, `{"A":2,"b":"\ud800","a":1}`},
		{`{"a":1,"A":2,"b":"\ud801"}`},
		{`{"a":2,"A":1,"b":"\ud800"}`},
		{`{"a":1,"b":"\ud800"}`},
	} {
		want := digest(same[0])
		assert.Empty(t, seen[want], same[0])
		seen[want] = same[0]
		for _, other := range same[1:] {
			assert.Equal(t, want, digest(other), other)
		}
	}
}

func TestWebhookRedaction(t *testing.T) {
	p := newProvider(t)
	n, err := p.VerifyWebhook(signed(completed), []byte(completed), at)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, personal := range []string{"Jane", "Roe", "Z000001", "1990"} {
			assert.NotContains(t, fmt.Sprintf(verb, n), personal)
		}
	}
}

func FuzzSignatureHeader(f *testing.F) {
	good := sum(secret, completed)
	for _, seed := range []string{
		"", "sha256=", hex.EncodeToString(good), "sha256=" + strings.ToUpper(hex.EncodeToString(good)),
		base64.StdEncoding.EncodeToString(good), base64.RawURLEncoding.EncodeToString(good), strings.Repeat("=", 44),
	} {
		f.Add(seed)
	}
	providers := map[okid.SignatureEncoding]*okid.Provider{}
	for _, e := range []okid.SignatureEncoding{okid.Hex, okid.Base64} {
		providers[e] = newProvider(f, func(c *okid.Config) { c.SignatureEncoding = e })
	}
	f.Fuzz(func(t *testing.T, text string) {
		for e, p := range providers {
			_, err := p.VerifyWebhook(header(text, strconv.FormatInt(at.Unix(), 10)), []byte(completed), at)
			bare := strings.TrimPrefix(text, "sha256=")
			var right bool
			if e == okid.Hex {
				right = strings.EqualFold(bare, hex.EncodeToString(good))
			} else {
				right = bare == base64.StdEncoding.EncodeToString(good) || bare == base64.RawStdEncoding.EncodeToString(good) ||
					bare == base64.URLEncoding.EncodeToString(good) || bare == base64.RawURLEncoding.EncodeToString(good)
			}
			if right {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, identity.ErrSignature)
			}
		}
	})
}

func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{
		"1751278680", "1751278680000", "2025-06-30T10:18:00Z", "2025-06-30T12:18:00.5+02:00", "2025-06-30 12:18:00.5+0200", "2025-06-30t10:18:00", "+1751278680", "1e9", "",
		"9999999999999", "0000-01-01T00:00:00Z", "2025-06-30T10:18:60Z",
	} {
		f.Add(seed)
	}
	p := newProvider(f)
	f.Fuzz(func(t *testing.T, text string) {
		h := signed(completed)
		h.Set(okid.TimestampHeader, text)
		n, err := p.VerifyWebhook(h, []byte(completed), at)
		if err != nil && !assert.ObjectsAreEqual(identity.Notice{}, n) {
			require.ErrorIs(t, err, identity.ErrStale)
			return
		}
		if err != nil {
			require.ErrorIs(t, err, identity.ErrTimestamp)
			return
		}
		sent, parseErr := time.Parse(time.RFC3339, strings.Replace(strings.ToUpper(text), " ", "T", 1))
		for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700"} {
			if parseErr != nil {
				sent, parseErr = time.Parse(layout, strings.Replace(strings.ToUpper(text), " ", "T", 1))
			}
		}
		if n, notInt := strconv.ParseInt(text, 10, 64); notInt == nil && len(text) == 10 {
			sent, parseErr = time.Unix(n, 0), nil
		} else if notInt == nil && len(text) == 13 {
			sent, parseErr = time.UnixMilli(n), nil
		}
		require.NoError(t, parseErr, "accepted, but what time is it?")
		require.LessOrEqual(t, at.Sub(sent), okid.DefaultTolerance)
		require.LessOrEqual(t, sent.Sub(at), time.Minute)
	})
}

func FuzzWebhookBody(f *testing.F) {
	for _, seed := range []string{
		completed, `{"event":"verification.failed","data":{"id":"ver_1"}}`,
		`{"event":"verification.completed","data":{"id":"ver_1","status":"failed","STATUS":"completed"}}`,
		`{"event":"x","data":{"id":"ver_1","metadata":{"reference":null,"a":[{}]}}}`, `{}`, ``, `[`, `{"event":"\ud800"}`,
		`{"event":"verification.completed","data":{"id":"ver_1","status":"completed","verification_details":{"expiry_date":1,"Expiry_Date":"2020-01-01","first_name":"\ud800"}}}`,
	} {
		f.Add([]byte(seed))
	}
	p := newProvider(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := p.VerifyWebhook(signed(string(body)), body, at)
		if err != nil {
			require.ErrorIs(t, err, identity.ErrMalformed)
			require.Zero(t, n)
			return
		}
		// Where we read something, the lenient reader of the standard library reads
		// the same.
		var other struct {
			Event string
			Data  struct {
				ID     string
				Status any
			}
		}
		require.NoError(t, json.Unmarshal(body, &other))
		require.Equal(t, other.Data.ID, n.Verification.ID)
		require.Equal(t, n.Verification.Status == identity.Verified,
			other.Event == okid.EventCompleted && other.Data.Status == okid.StatusCompleted)
		if n.Verification.DocumentExpiry.IsZero() {
			// And where we see no expiry, it sees none.
			var other struct {
				Data struct {
					Details struct {
						Expiry any `json:"expiry_date"`
					} `json:"verification_details"`
				}
			}
			if json.Unmarshal(body, &other) == nil {
				require.Contains(t, []any{nil, ""}, other.Data.Details.Expiry)
			}
		}
		// In another formatting it is the same notice.
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, body))
		again, err := p.VerifyWebhook(signed(compact.String()), compact.Bytes(), at)
		require.NoError(t, err)
		require.Equal(t, n, again)
	})
}
