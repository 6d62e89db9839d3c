package okidtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/okidkit/okidkit/okid"
)

// Signing says how a webhook is signed. okID documents "HMAC-SHA256 of the
// payload" and a header with the time of sending, and nothing more
// (https://www.okid.io/developer). The zero value is the literal reading: the
// hex form of the HMAC of the body alone, and the time in Unix seconds.
type Signing struct {
	Content   Content
	Encoding  Encoding
	Timestamp TimestampFormat
}

// Content is what the HMAC covers.
type Content int

const (
	Body             Content = iota // the body
	TimestampDotBody                // the timestamp header, a full stop, the body
	TimestampBody                   // the timestamp header, the body
)

// Encoding is how the HMAC is written into its header.
type Encoding int

const (
	Hex    Encoding = iota // lower case
	Base64                 // the standard alphabet, padded
)

// TimestampFormat is how the time of sending is written into its header.
type TimestampFormat int

const (
	UnixSeconds TimestampFormat = iota
	UnixMillis
	RFC3339 // UTC, without a fraction
)

// valid reports whether s is made of the constants above.
func (s Signing) valid() bool {
	return Body <= s.Content && s.Content <= TimestampBody &&
		Hex <= s.Encoding && s.Encoding <= Base64 &&
		UnixSeconds <= s.Timestamp && s.Timestamp <= RFC3339
}

// Header returns the headers of a webhook with this body, sent at now.
func (s Signing) Header(secret string, now time.Time, body []byte) http.Header {
	var timestamp string
	switch s.Timestamp {
	case UnixMillis:
		timestamp = strconv.FormatInt(now.UnixMilli(), 10)
	case RFC3339:
		timestamp = now.UTC().Format(time.RFC3339)
	default:
		timestamp = strconv.FormatInt(now.Unix(), 10)
	}

	mac := hmac.New(sha256.New, []byte(secret))
	switch s.Content {
	case TimestampDotBody:
		_, _ = io.WriteString(mac, timestamp+".")
	case TimestampBody:
		_, _ = io.WriteString(mac, timestamp)
	}
	_, _ = mac.Write(body)

	signature := hex.EncodeToString(mac.Sum(nil))
	if s.Encoding == Base64 {
		signature = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}

	h := make(http.Header)
	h.Set("Content-Type", "application/json")
	h.Set(okid.TimestampHeader, timestamp)
	h.Set(okid.SignatureHeader, signature)
	return h
}

// NewWebhook returns the headers and the body of a webhook as okID sends it at
// now, signed in the default way. For another way marshal the body yourself and
// call [Signing.Header].
//
// With it a host's tests can post every event to its own handler while the
// handler verifies as in production.
func NewWebhook(secret string, now time.Time, webhook okid.WebhookBody) (http.Header, []byte) {
	body, err := json.Marshal(webhook)
	if err != nil {
		panic("okidtest: cannot happen, all of it is strings: " + err.Error())
	}
	return Signing{}.Header(secret, now, body), body
}
