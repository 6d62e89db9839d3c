package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/okidkit/okidkit/okid"
)

const (
	signatureHeader = okid.SignatureHeader
	timestampHeader = okid.TimestampHeader
)

// diagnose returns the one scheme by which the request is signed. If there is none, or more than
// one, it returns the likeliest reasons.
func diagnose(c *capture, secret string) (*scheme, []string) {
	signatures, timestamps := c.signatures(), c.timestamps()
	var exact []*scheme
	var almost []string
	for _, sig := range signatures {
		for _, stamp := range timestamps {
			for _, key := range keys(secret) {
				for _, b := range bodies(c) {
					for i, content := range contentNames {
						if i > 0 && stamp.value == "" || !sig.covers(key.value, stamp.value, content, b.value) {
							continue
						}
						s := &scheme{signs: content, encoding: sig.encoding, prefix: sig.prefix, timestamp: stamp.format, at: stamp.at}
						if why := slices.Concat(sig.why, stamp.why, key.why, b.why); len(why) > 0 {
							almost = append(almost, strings.Join(why, "; and ")+" (with that, "+strings.TrimPrefix(s.String(), "scheme: ")+")")
							continue
						}
						exact = append(exact, s)
					}
				}
			}
		}
	}
	slices.SortStableFunc(almost, func(a, b string) int { return strings.Count(a, "; and ") - strings.Count(b, "; and ") })
	switch {
	case len(exact) == 1:
		return exact[0], nil
	case len(exact) > 1:
		reasons := []string{"more than one scheme fits this request, so it tells nothing: capture another one"}
		for _, s := range exact {
			reasons = append(reasons, strings.TrimPrefix(s.String(), "scheme: "))
		}
		return nil, reasons
	case len(almost) > 0:
		return nil, almost[:1]
	}
	return nil, c.reasons(signatures)
}

// signature is what may be one, in a header.
type signature struct {
	mac              []byte
	encoding, prefix string
	why              []string // it is not what package okid accepts
}

// covers reports whether the signature is that of a content.
func (s *signature) covers(key []byte, timestamp, content string, body []byte) bool {
	mac := hmac.New(sha256.New, key)
	switch content {
	case "timestamp.body":
		mac.Write([]byte(timestamp + "."))
	case "timestamp+body":
		mac.Write([]byte(timestamp))
	}
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), s.mac)
}

// signatures are what may be a signature: what stands in its header, or else in any other.
func (c *capture) signatures() (all []signature) {
	own := c.headers.Values(signatureHeader)
	for _, value := range own {
		s := readSignature(value)
		if len(own) > 1 {
			s.why = append(s.why, fmt.Sprintf("the header %s is there %d times, and must be there once", signatureHeader, len(own)))
		}
		all = append(all, s)
	}
	for name, values := range c.headers {
		for _, value := range values {
			if s := readSignature(value); name != signatureHeader && len(s.mac) == sha256.Size {
				s.why = append(s.why, fmt.Sprintf("the signature stands in the header %s, and must stand in %s: something in between has renamed it", name, signatureHeader))
				all = append(all, s)
			}
		}
	}
	return all
}

// readSignature reads a signature as generously as one may be written.
func readSignature(value string) (s signature) {
	if _, rest, ok := strings.Cut(value, "sha256="); ok && strings.HasPrefix(value, "sha256=") {
		s.prefix, value = "sha256=", rest
	}
	var err error
	if s.mac, err = hex.DecodeString(value); err == nil && len(s.mac) > 0 {
		s.encoding = "hex"
		return s
	}
	bare := strings.TrimRight(value, "=")
	if s.mac, err = base64.RawStdEncoding.DecodeString(bare); err == nil {
		s.encoding = "base64"
		return s
	}
	s.mac, _ = base64.RawURLEncoding.DecodeString(bare)
	s.encoding = "base64url"
	return s
}

// timestamp is what may be one, in a header.
type timestamp struct {
	value, format string
	at            time.Time
	why           []string // it is not what package okid accepts
}

// timestamps are what may be the timestamp: what stands in its header, or else in any other that
// looks like it.
func (c *capture) timestamps() (all []timestamp) {
	own := c.headers.Values(timestampHeader)
	for _, value := range own {
		stamp := readTimestamp(value)
		if len(own) > 1 {
			stamp.why = append(stamp.why, fmt.Sprintf("the header %s is there %d times, and must be there once", timestampHeader, len(own)))
		}
		all = append(all, stamp)
	}
	if len(own) > 0 {
		return all
	}
	for name, values := range c.headers {
		if len(values) == 1 && strings.Contains(strings.ToLower(name), "timestamp") {
			stamp := readTimestamp(values[0])
			stamp.why = append(stamp.why, fmt.Sprintf("the timestamp stands in the header %s, and must stand in %s: something in between has renamed it", name, timestampHeader))
			all = append(all, stamp)
		}
	}
	if len(all) == 0 {
		all = []timestamp{{format: "none"}}
	}
	return all
}

var digits = regexp.MustCompile(`^[0-9]+$`)

func readTimestamp(value string) timestamp {
	stamp := timestamp{value: value}
	var n int64
	if digits.MatchString(value) && len(value) <= 18 {
		_, _ = fmt.Sscan(value, &n) // it is a number
	}
	at, err := time.Parse(time.RFC3339, value)
	switch {
	case err == nil:
		stamp.format, stamp.at = "rfc3339", at
	case n > 0 && len(value) == 10:
		stamp.format, stamp.at = "seconds", time.Unix(n, 0)
	case n > 0 && len(value) == 13:
		stamp.format, stamp.at = "ms", time.UnixMilli(n)
	default:
		stamp.format = "none"
		stamp.why = []string{"the timestamp is in none of the units seconds (10 digits), ms (13 digits) and RFC 3339"}
	}
	return stamp
}

// variant is a key or a body as it may have been meant.
type variant struct {
	value []byte
	why   []string // it is not what it should be
}

// keys are the secret, and what it may have been.
func keys(secret string) []variant {
	all := []variant{{[]byte(secret), nil}}
	add := func(value []byte, why string) {
		if len(value) > 0 && !slices.ContainsFunc(all, func(v variant) bool { return bytes.Equal(v.value, value) }) {
			all = append(all, variant{value, []string{why}})
		}
	}
	trimmed := strings.TrimSpace(secret)
	add([]byte(trimmed), "the secret has spaces or line ends around it")
	trimmed = strings.Trim(trimmed, `"'`)
	add([]byte(trimmed), "the secret has quotation marks around it")
	for _, part := range strings.Split(trimmed, ",") {
		add([]byte(strings.TrimSpace(part)), "the secret is one of several that are separated by commas: give it alone")
	}
	const encoded = "the secret is %s of the key that signs: the dashboard shows it in another encoding than it is used in"
	if key, err := hex.DecodeString(trimmed); err == nil {
		add(key, fmt.Sprintf(encoded, "the hex form"))
	}
	bare := strings.TrimRight(trimmed, "=")
	if key, err := base64.RawStdEncoding.DecodeString(bare); err == nil {
		add(key, fmt.Sprintf(encoded, "the base64 form"))
	}
	if key, err := base64.RawURLEncoding.DecodeString(bare); err == nil {
		add(key, fmt.Sprintf(encoded, "the base64url form"))
	}
	const plain = "the key that signs is %s of this secret"
	add([]byte(hex.EncodeToString([]byte(trimmed))), fmt.Sprintf(plain, "the hex form"))
	add([]byte(base64.StdEncoding.EncodeToString([]byte(trimmed))), fmt.Sprintf(plain, "the base64 form"))
	return all
}

// bodies are the body, and what it may have been before something changed it.
func bodies(c *capture) []variant {
	all := []variant{{c.body, nil}}
	add := func(value []byte, why string) {
		if !slices.ContainsFunc(all, func(v variant) bool { return bytes.Equal(v.value, value) }) {
			all = append(all, variant{value, []string{why}})
		}
	}
	const lines = "the body had other line ends, or none at its end: something in between, or the way it was captured, has changed them"
	trimmed := bytes.TrimRight(c.body, "\r\n")
	add(trimmed, lines)
	add(append(slices.Clone(trimmed), '\n'), lines)
	add(append(slices.Clone(trimmed), '\r', '\n'), lines)
	add(bytes.ReplaceAll(c.body, []byte("\r\n"), []byte("\n")), lines)
	add(bytes.TrimPrefix(c.body, []byte("\ufeff")), "the body has a byte order mark in front")
	add(bytes.TrimSpace(c.body), "the body has white space around it that was not signed")
	if whole := c.unzipped(); whole != nil {
		add(whole, "the body is compressed: mount the webhook in front of what compresses, or behind what decompresses")
	}
	const written = "the body was read as JSON and written again, in other bytes: hand on the bytes as they came"
	for _, again := range rewritten(trimmed) {
		add(again, written)
		add(append(again, '\n'), written)
	}
	return all
}

// rewritten is a JSON text as programs commonly write it.
func rewritten(body []byte) (all [][]byte) {
	var compact bytes.Buffer
	if json.Compact(&compact, body) != nil {
		return nil
	}
	texts := [][]byte{bytes.Clone(compact.Bytes())}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if d.Decode(&value) == nil {
		for _, escape := range []bool{true, false} {
			var sorted bytes.Buffer
			e := json.NewEncoder(&sorted)
			e.SetEscapeHTML(escape)
			if e.Encode(value) == nil {
				texts = append(texts, bytes.TrimRight(sorted.Bytes(), "\n"))
			}
		}
	}
	for _, text := range texts {
		all = append(all, text, spaced(text))
		for _, indent := range []string{"  ", "    ", "\t"} {
			var indented bytes.Buffer
			if json.Indent(&indented, text, "", indent) == nil {
				all = append(all, indented.Bytes())
			}
		}
		all = append(all, bytes.ReplaceAll(text, []byte("/"), []byte(`\/`)), bytes.ReplaceAll(text, []byte(`\/`), []byte("/")))
	}
	return all
}

// spaced is a compact JSON text with a space behind every colon and comma, as Python writes it.
func spaced(text []byte) []byte {
	var out []byte
	inText := false
	for i, b := range text {
		out = append(out, b)
		switch {
		case b == '"' && !escaped(text[:i]):
			inText = !inText
		case !inText && (b == ':' || b == ','):
			out = append(out, ' ')
		}
	}
	return out
}

// escaped reports whether what follows a text is escaped by it.
func escaped(before []byte) bool {
	return (len(before)-len(bytes.TrimRight(before, `\`)))%2 == 1
}

// reasons are the likeliest why nothing fits.
func (c *capture) reasons(signatures []signature) (reasons []string) {
	own := c.headers.Values(signatureHeader)
	switch {
	case len(own) == 0 && len(signatures) == 0:
		return append(c.notes, "there is no header "+signatureHeader+": this is no webhook of okID's, or something in between has dropped the header")
	case len(own) == 0:
		reasons = append(reasons, "there is no header "+signatureHeader+", and what looks like a signature elsewhere does not fit")
	case len(signatures) > 0 && len(signatures[0].mac) != sha256.Size:
		reasons = append(reasons, fmt.Sprintf("the signature has %d bytes, and an HMAC-SHA256 has 32: it is cut off, or made in another way", len(signatures[0].mac)))
	}
	if len(c.body) == 0 {
		reasons = append(reasons, "the body is empty: something has read it before it was captured")
	}
	if e := c.headers.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		reasons = append(reasons, "the body has a Content-Encoding, and the signature may cover what it was before")
	}
	if stamp := c.timestamps()[0]; len(c.headers.Values(timestampHeader)) > 0 && stamp.format == "none" {
		reasons = append(reasons, stamp.why...)
	}
	reasons = append(reasons, c.notes...)
	return append(reasons,
		"the secret is another one: the API key in its place, the secret of another environment, or one that was replaced",
		"the body was changed on its way, in a manner that cannot be guessed: capture the bytes as they came",
	)
}
