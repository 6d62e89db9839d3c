package okid

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
	"github.com/okidkit/okidkit/internal/wire"
)

// maxSkew is how far ahead of ours the clock of okID may be.
const maxSkew = time.Minute

// The headers as net/http spells them.
var (
	signatureKey = http.CanonicalHeaderKey(SignatureHeader)
	timestampKey = http.CanonicalHeaderKey(TimestampHeader)
)

// VerifyWebhook authenticates a webhook and reads it. The body must be the bytes
// as they came; the caller bounds its size, and with it the size of everything
// in the notice. The body is neither kept nor changed. The checks, in this order:
//
//   - The signature header must be there exactly once, and must be the
//     HMAC-SHA256 of [Config.SignedContent] under one of the secrets that count
//     at now. Else [identity.ErrSignature]. Where the timestamp is part of that
//     content and its header is not there exactly once, the signature cannot be
//     checked, and the answer is [identity.ErrTimestamp].
//   - The timestamp header must be there exactly once, and be 10 digits (Unix
//     seconds), 13 digits (Unix milliseconds) or a date and a time as in RFC 3339,
//     and at most a minute ahead of now. Else [identity.ErrTimestamp]. The zone may
//     lack its colon, a space may stand for the T, and a time without a zone is
//     UTC: if it is not, it is stale or in the future, and so never takes effect.
//   - The body must be a JSON object with an event and a data.id. It is read
//     strictly where it decides: the members event, data.id, data.status and
//     data.metadata.reference must be strings (the last two may be missing or null),
//     and the objects in which they stand must have no name twice, not even in
//     another letter case. No more than 256 objects and arrays may lie within each
//     other. Else [identity.ErrMalformed].
//   - Any other field that is missing or odd (a number for a name, half a surrogate
//     pair, a member that is there twice, a text longer than [identity.MaxText]) is
//     left out of the notice: the event is okID's, and losing it would be worse. But
//     a date that is there and odd is [identity.UnreadableDate], as are both dates if
//     verification_details is not an object.
//   - The timestamp must not be older than [Config.Tolerance]. Else
//     [identity.ErrStale], together with the notice.
//
// The timestamp shows that a webhook is recent only if it is signed. With
// [SignedBody] it is a matter of hygiene: anybody who holds an old webhook can
// send it again with a new timestamp. The notice's Digest recognises it.
//
// The status is [identity.Verified] if event and data.status both say
// "completed". Other events speak for themselves, unless data.status is a known
// word that contradicts. What is unknown or contradictory has an empty status.
func (p *Provider) VerifyWebhook(h http.Header, body []byte, now time.Time) (identity.Notice, error) {
	signedBy, err := p.checkSignature(h, body, now)
	if err != nil {
		return identity.Notice{}, err
	}
	sent, err := checkTimestamp(h, now)
	if err != nil {
		return identity.Notice{}, err
	}
	notice, err := strictjson.Read(body, webhookShape, readWebhook)
	if err != nil {
		return identity.Notice{}, fmt.Errorf("okid: %w: %w", identity.ErrMalformed, err)
	}
	notice.SignedBy = signedBy
	if now.Sub(sent) > p.tolerance {
		return notice, fmt.Errorf("okid: %w", identity.ErrStale)
	}
	return notice, nil
}

// checkSignature returns the name of the secret that signed the webhook.
func (p *Provider) checkSignature(h http.Header, body []byte, now time.Time) (string, error) {
	text, ok := only(h, signatureKey)
	if !ok {
		return "", fmt.Errorf("okid: %w: header is missing or repeated", identity.ErrSignature)
	}
	signature, ok := decodeSignature(text, p.encoding)
	if !ok {
		return "", fmt.Errorf("okid: %w: header is not the encoding of 32 bytes", identity.ErrSignature)
	}
	var timestamp string
	if p.content != SignedBody {
		if timestamp, ok = only(h, timestampKey); !ok {
			return "", fmt.Errorf("okid: %w: header is missing or repeated", identity.ErrTimestamp)
		}
	}
	// Every secret is tried, whether or not one has matched: the time taken says
	// nothing about which did.
	signedBy := ""
	secrets := *p.secrets.Load()
	for i := range secrets {
		s := &secrets[i]
		if s.counts(now) && s.signed(signature, p.content, timestamp, body) && signedBy == "" {
			signedBy = s.name
		}
	}
	if signedBy == "" {
		return "", fmt.Errorf("okid: %w: no secret matches", identity.ErrSignature)
	}
	return signedBy, nil
}

// checkTimestamp returns when the webhook says it was sent.
func checkTimestamp(h http.Header, now time.Time) (time.Time, error) {
	text, ok := only(h, timestampKey)
	if !ok {
		return time.Time{}, fmt.Errorf("okid: %w: header is missing or repeated", identity.ErrTimestamp)
	}
	sent, ok := wire.ParseTime(text)
	if !ok {
		return time.Time{}, fmt.Errorf("okid: %w: neither Unix time nor a date with a time", identity.ErrTimestamp)
	}
	if sent.Sub(now) > maxSkew {
		return time.Time{}, fmt.Errorf("okid: %w: it lies in the future", identity.ErrTimestamp)
	}
	return sent, nil
}

// only returns the value of a header that must be there exactly once. An empty
// one is not there.
func only(h http.Header, canonicalKey string) (string, bool) {
	values := h[canonicalKey]
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

func decodeSignature(text string, e SignatureEncoding) (signature [sha256.Size]byte, ok bool) {
	var buf [2 * sha256.Size]byte // of hex, the longest encoding
	text = strings.TrimPrefix(text, "sha256=")
	if len(text) > len(buf) {
		return signature, false
	}
	src := buf[:copy(buf[:], text)]
	if e == Hex {
		if len(src) != hex.EncodedLen(sha256.Size) {
			return signature, false
		}
		_, err := hex.Decode(signature[:], src)
		return signature, err == nil
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	if len(src) == base64.StdEncoding.EncodedLen(sha256.Size) && src[len(src)-1] == '=' {
		src = src[:len(src)-1]
	}
	if len(src) != base64.RawStdEncoding.EncodedLen(sha256.Size) {
		return signature, false
	}
	n, err := encoding.Strict().Decode(signature[:], src)
	return signature, err == nil && n == len(signature)
}

// secret is a webhook secret, ready for use.
type secret struct {
	name                string
	notBefore, notAfter time.Time
	macs                *sync.Pool // of *mac; the secret itself is known to New alone
}

// mac is an HMAC under one secret. Resetting it is much cheaper than making it,
// since that hashes the key.
type mac struct {
	hash.Hash
	sum       [sha256.Size]byte
	timestamp []byte
}

func newSecret(s TimedSecret) secret {
	return secret{
		name:      s.ID,
		notBefore: s.NotBefore,
		notAfter:  s.NotAfter,
		macs: &sync.Pool{New: func() any {
			return &mac{Hash: hmac.New(sha256.New, []byte(s.Secret))}
		}},
	}
}

// counts reports whether now is in the secret's window, whose end is not part
// of it.
func (s *secret) counts(now time.Time) bool {
	return !now.Before(s.notBefore) && (s.notAfter.IsZero() || now.Before(s.notAfter))
}

// signed reports whether signature is that of the content under the secret.
func (s *secret) signed(signature [sha256.Size]byte, c SignedContent, timestamp string, body []byte) bool {
	m := s.macs.Get().(*mac)
	defer s.macs.Put(m)
	m.Reset()
	if c != SignedBody {
		m.timestamp = append(m.timestamp[:0], timestamp...)
		if c == SignedTimestampDotBody {
			m.timestamp = append(m.timestamp, '.')
		}
		m.Write(m.timestamp)
	}
	m.Write(body)
	return hmac.Equal(m.Sum(m.sum[:0]), signature[:])
}
