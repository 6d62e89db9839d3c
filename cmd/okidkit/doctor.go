package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// maxCapture bounds a captured request, in bytes.
const maxCapture = 16 << 20

// doctor finds out how a captured webhook is signed.
func (t tool) doctor(_ context.Context, args []string) int {
	var secret string
	f := newFlags("doctor", "-secret SECRET [FILE]\n\nReads one captured webhook from FILE or standard input: the request as it came over the wire, or\nJSON {\"headers\":{},\"body\":\"\"}. Prints how it is signed, and the settings for that. If nothing\nfits, it says why that may be, and the exit status is 1. It prints nothing of the body.",
		"okidkit doctor -secret $OKID_WEBHOOK_SECRET webhook.txt")
	f.StringVar(&secret, "secret", "", "the webhook `secret` of the okID dashboard")
	if status, ok := t.parse(f, args); !ok {
		return status
	}
	switch {
	case f.NArg() > 1:
		return t.fault("doctor", fmt.Errorf("takes one file, and not %q", f.Arg(1)))
	case secret == "":
		return t.fault("doctor", errors.New("-secret is missing"))
	}
	in := t.in
	if f.NArg() == 1 {
		file, err := os.Open(f.Arg(0))
		if err != nil {
			return t.failed("doctor", err)
		}
		defer file.Close()
		in = file
	}
	dump, err := io.ReadAll(io.LimitReader(in, maxCapture+1))
	if err == nil && len(dump) > maxCapture {
		err = fmt.Errorf("the captured request is larger than %d MiB", maxCapture>>20)
	}
	var c *capture
	if err == nil {
		c, err = readCapture(dump)
	}
	if err != nil {
		return t.failed("doctor", err)
	}
	found, reasons := diagnose(c, secret)
	if found == nil {
		fmt.Fprintln(t.out, "no scheme fits:")
		for _, reason := range reasons {
			fmt.Fprintln(t.out, "- "+reason)
		}
		return exitFailed
	}
	fmt.Fprintln(t.out, found)
	fmt.Fprint(t.out, found.settings())
	for _, note := range append(found.notes(t.now()), c.notes...) {
		fmt.Fprintln(t.out, "note: "+note)
	}
	return exitOK
}

// scheme is a way to sign webhooks.
type scheme struct {
	signs     string // of contentNames
	encoding  string // of encodingNames
	prefix    string // "" or "sha256="
	timestamp string // of timestampNames, or "none"
	at        time.Time
}

// String is the line that names the scheme.
func (s *scheme) String() string {
	prefix := s.prefix
	if prefix == "" {
		prefix = "none"
	}
	return fmt.Sprintf("scheme: signs %s, %s, prefix %s, timestamp %s", s.signs, s.encoding, prefix, s.timestamp)
}

// settings are the fields of okid.Config for the scheme.
func (s *scheme) settings() string {
	content := map[string]string{"body": "SignedBody", "timestamp.body": "SignedTimestampDotBody", "timestamp+body": "SignedTimestampBody"}[s.signs]
	encoding := "Base64"
	if s.encoding == "hex" {
		encoding = "Hex"
	}
	return fmt.Sprintf("okid.Config{\n\tSignedContent:     okid.%s,\n\tSignatureEncoding: okid.%s,\n}\n", content, encoding)
}

// notes are what else is worth knowing.
func (s *scheme) notes(now time.Time) (notes []string) {
	if s.timestamp == "none" {
		return []string{"there is no header " + timestampHeader + ", without which package okid accepts no webhook"}
	}
	switch age := now.Sub(s.at).Round(time.Second); {
	case age > time.Minute:
		notes = append(notes, fmt.Sprintf("the request is %v old, which is no fault of the signature; the kit would take it for stale", age))
	case age < -time.Minute:
		notes = append(notes, fmt.Sprintf("the request is from %v in the future: compare the clocks", -age))
	}
	if strings.HasPrefix(s.signs, "timestamp") {
		return notes
	}
	return append(notes, "the timestamp is not signed, so it says nothing about who sent the request when; the kit stops replays by what was applied before")
}
