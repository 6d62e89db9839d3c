//go:build unix

// Command peers measures what command load measures, and beside it how libraries
// that are known for it verify webhooks: each in its own scheme, with a body of the
// same content, decoded into the same struct. None of them keeps any state; a map
// stands for that.
//
//	go run . -only read,floor,fresh,duplicate,go-github,stripe-go,standard-webhooks,svix
//
// It is a module of its own, so that none of them is a dependency of the kit's.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-github/v82/github"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/okidkit/okidkit/internal/load/cases"
	"github.com/okidkit/okidkit/internal/load/harness"
	"github.com/okidkit/okidkit/okid"
)

func main() {
	all := cases.All()
	for _, p := range peers {
		all = append(all, harness.Case{
			Name: p.name, Base: cases.Bare,
			Handler: cases.Handler(cases.Remembering(p.verify)),
			Prepare: func(_ *harness.Server, n int) ([][]byte, error) {
				now := time.Now()
				requests := make([][]byte, n)
				for i := range requests {
					header, body := p.sign(cases.Webhook(i, fmt.Sprintf("%096d", i), now), now)
					requests[i] = harness.Request("POST", "/", header, body)
				}
				return requests, nil
			},
		})
	}
	harness.Main(all)
}

// peer is a library that verifies webhooks.
type peer struct {
	name   string
	sign   func(w okid.WebhookBody, now time.Time) (http.Header, []byte)
	verify func(h http.Header, body []byte) (id string, err error)
}

var (
	secret          = []byte("0123456789abcdefghijklmnopqrstuv")
	standardHook, _ = standardwebhooks.NewWebhookRaw(secret) // never fails
	svixHook, _     = svix.NewWebhookRaw(secret)             // never fails
)

var peers = []peer{
	{
		name: "go-github",
		sign: func(w okid.WebhookBody, _ time.Time) (http.Header, []byte) {
			body := marshal(w)
			mac := hmac.New(sha256.New, secret)
			mac.Write(body)
			return header(github.SHA256SignatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil))), body
		},
		verify: func(h http.Header, body []byte) (string, error) {
			if err := github.ValidateSignature(h.Get(github.SHA256SignatureHeader), body, secret); err != nil {
				return "", err
			}
			return decode(body)
		},
	},
	{
		name: "stripe-go",
		sign: func(w okid.WebhookBody, now time.Time) (http.Header, []byte) {
			// In the envelope that stripe-go reads.
			body := marshal(map[string]any{
				"id": "evt_" + w.Data.ID, "object": "event", "type": w.Event,
				"data": map[string]any{"object": w.Data},
			})
			signature := hex.EncodeToString(webhook.ComputeSignature(now, body, string(secret)))
			return header("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix(), signature)), body
		},
		verify: func(h http.Header, body []byte) (string, error) {
			event, err := webhook.ConstructEventWithOptions(body, h.Get("Stripe-Signature"), string(secret),
				webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
			if err != nil {
				return "", err
			}
			var data okid.VerificationBody
			err = json.Unmarshal(event.Data.Raw, &data)
			return data.ID + " " + string(event.Type), err
		},
	},
	{
		name: "standard-webhooks",
		sign: func(w okid.WebhookBody, now time.Time) (http.Header, []byte) {
			body := marshal(w)
			signature, err := standardHook.Sign(w.Data.ID, now, body)
			must(err)
			return header("webhook-id", w.Data.ID, "webhook-timestamp", strconv.FormatInt(now.Unix(), 10), "webhook-signature", signature), body
		},
		verify: func(h http.Header, body []byte) (string, error) {
			if err := standardHook.Verify(body, h); err != nil {
				return "", err
			}
			return decode(body)
		},
	},
	{
		name: "svix",
		sign: func(w okid.WebhookBody, now time.Time) (http.Header, []byte) {
			body := marshal(w)
			signature, err := svixHook.Sign(w.Data.ID, now, body)
			must(err)
			return header("svix-id", w.Data.ID, "svix-timestamp", strconv.FormatInt(now.Unix(), 10), "svix-signature", signature), body
		},
		verify: func(h http.Header, body []byte) (string, error) {
			if err := svixHook.Verify(body, h); err != nil {
				return "", err
			}
			return decode(body)
		},
	},
}

// decode is what a host does with the body of a library that verifies alone.
func decode(body []byte) (id string, err error) {
	var w okid.WebhookBody
	err = json.Unmarshal(body, &w)
	return w.Data.ID + " " + w.Event, err
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func marshal(v any) []byte {
	body, err := json.Marshal(v)
	must(err)
	return body
}

// must is for what fails only if this program is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
