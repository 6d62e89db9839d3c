package okid

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const benchSecret = "6ec9b1f0a0d54a7c9be2d2b4f7a1c3d5"

// benchBody is a completed event of usual length, laid out by hand.
const benchBody = `{
  "event": "verification.completed",
  "data": {
    "id": "ver_0a1b2c3d4e5f6g7h8i9j",
    "status": "completed",
    "created_at": "2025-06-30T10:15:30Z",
    "completed_at": "2025-06-30T10:17:45Z",
    "document_type": "passport",
    "verification_details": {
      "first_name": "Jane",
      "last_name": "Roe",
      "document_number": "Z000001",
      "expiry_date": "2030-01-31",
      "date_of_birth": "1990-02-03"
    },
    "metadata": {
      "user_id": "u-1",
      "reference": "hZ3q0mC5yQ8r1T7vXb2nLk4JpWs6DfGa9EeUiOtRyHcMxNzKjBvPlQwSdAoIgFuY3TqkVr0uEw7sXc5Gm2LaBnZd8Yh1Jp6Qo4KtRfMi9"
    }
  }
}
`

func benchHeader(now time.Time) http.Header {
	m := hmac.New(sha256.New, []byte(benchSecret))
	m.Write([]byte(benchBody))
	return http.Header{
		signatureKey: {hex.EncodeToString(m.Sum(nil))},
		timestampKey: {strconv.FormatInt(now.Unix(), 10)},
	}
}

func benchProvider(b testing.TB) *Provider {
	p, err := New(Config{APIKey: "key", WebhookSecrets: []string{benchSecret}})
	require.NoError(b, err)
	return p
}

// BenchmarkSignature compares checking a signature and its time to the careful
// code that one would write with the standard library.
func BenchmarkSignature(b *testing.B) {
	now := time.Unix(1751278665, 0)
	header, body := benchHeader(now), []byte(benchBody)

	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !floorSigned(header, body) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("okid", func(b *testing.B) {
		p := benchProvider(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.checkSignature(header, body, now); err != nil {
				b.Fatal(err)
			}
			if _, err := checkTimestamp(header, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkVerifyWebhook compares the whole of VerifyWebhook, digest included,
// to checking the signature and decoding with encoding/json.
func BenchmarkVerifyWebhook(b *testing.B) {
	now := time.Unix(1751278665, 0)
	header, body := benchHeader(now), []byte(benchBody)

	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !floorSigned(header, body) {
				b.Fatal("refused")
			}
			var w WebhookBody
			if err := json.Unmarshal(body, &w); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("okid", func(b *testing.B) {
		p := benchProvider(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.VerifyWebhook(header, body, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func floorSigned(h http.Header, body []byte) bool {
	want, err := hex.DecodeString(h.Get(signatureKey))
	if err != nil {
		return false
	}
	m := hmac.New(sha256.New, []byte(benchSecret))
	m.Write(body)
	return hmac.Equal(m.Sum(nil), want)
}
