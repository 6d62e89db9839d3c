package okidtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/okidkit/okidkit/okid/portal"
)

// DefaultPortalKey is the API key of a fake portal that was given none. It protects nothing.
const DefaultPortalKey = "simulated-okid-portal-api-71bd20c9ee"

// Portal is a fake of okID's portal (https://docs.okid.io/docs/api-reference). It serves
//
//	POST /api/generate-verification
//	GET  /api/get-verification-details/{id}
//	GET  /verify?verification_id=            the page on which a person picks the outcome
//	GET  /verification-sdk.js, /modal.css    what opens that page over an app's own
//
// and sends a webhook whenever the status changes, to HostedConfig.WebhookURL. The webhooks are not
// signed. What okID does not document (the record, the webhook, error bodies) is our guess, with the
// record in the form of the vendor's iOS SDK. It forgets nothing until it is thrown away.
//
// All methods are safe for concurrent use. Use [NewPortal] to make one.
type Portal struct{ *hosted }

// NewPortal makes a fake. It starts nothing and needs no Close before Start is called or a webhook
// is sent. The error wraps [ErrConfig] and names every setting that cannot be used.
func NewPortal(cfg HostedConfig) (*Portal, error) {
	h, err := newHosted(cfg, DefaultPortalKey, func(Chaos, time.Time, []byte) http.Header {
		return http.Header{"Content-Type": {"application/json"}}
	})
	if err != nil {
		return nil, err
	}
	p := &Portal{h}
	api := api{portal.KeyHeader, h.cfg.APIKey, h.cfg.Logger, h.webhooks.ctx, writeError}
	h.mux.HandleFunc("/api/generate-verification", api.route(&h.begin, http.MethodPost, p.serveGenerate))
	h.mux.HandleFunc("/api/get-verification-details/{id}", api.route(&h.fetch, http.MethodGet, p.serveDetails))
	h.mux.HandleFunc("GET /verify", p.serveFlow)
	h.mux.HandleFunc("POST /verify", p.serveChoice)
	h.mux.HandleFunc("GET /verification-sdk.js", func(w http.ResponseWriter, _ *http.Request) {
		writeFiles(w, "text/javascript; charset=utf-8", "", "portal.js", "dialog.js")
	})
	h.mux.HandleFunc("GET /modal.css", serveFile("modal.css", "text/css; charset=utf-8"))
	return p, nil
}

// String is the URL. It is there so that printing a fake prints no key.
func (p *Portal) String() string { return "okidtest.Portal " + p.URL() }

// ProviderConfig returns the settings with which package portal talks to the fake, which must have
// been started or have a PublicURL.
func (p *Portal) ProviderConfig() portal.Config {
	return portal.Config{URL: p.URL(), APIKey: p.cfg.APIKey}
}

// Begin does what the user does by beginning: the status becomes [portal.StatusInitiated], and a
// webhook is sent. For a user who has begun it does nothing. [ErrNotFound] if the id is unknown,
// [ErrExpired].
func (p *Portal) Begin(id string) error {
	return p.beginSession(id, portal.StatusInitiated, webhookOfPortal)
}

// Complete gives a verification this status, which may be any word, and sends a webhook. The
// members of found replace or add to what is told of Jane Roe, who does not exist, if the status is
// [portal.StatusVerified]; nil takes one away. They may be of any kind, but must be fit for
// encoding/json, or the error is [ErrConfig]. [ErrNotFound] if the id is unknown.
//
// A verification that has ended can end again, and differently: staff may change it.
func (p *Portal) Complete(id, status string, found map[string]any) error {
	return p.CompleteAfter(0, id, status, found)
}

// CompleteAfter is Complete for a status that is not there yet: the next so many questions that are not
// made to fail find [portal.StatusValidating].
func (p *Portal) CompleteAfter(questions int, id, status string, found map[string]any) error {
	person := object{}
	if status == portal.StatusVerified {
		person = janeRoeOfPortal(p.cfg.Clock())
	}
	all, err := overlay(person, found)
	if err != nil {
		return err
	}
	return p.set(id, status, questions, all, webhookOfPortal)
}

// VerifyUser lets a user of an app be verified: it begins a verification at startURL, which is where
// the kit's start route is (with ?provider=okidportal, if that is not the first), goes through it as
// Jane Roe with these members replaced, comes back to the app, and returns when the app has a verdict
// or ctx ends. The client has the user's session, in its cookie jar, say. Whether the app lets the
// user in then is its own to say.
func (p *Portal) VerifyUser(ctx context.Context, client *http.Client, startURL string, found map[string]any) error {
	return p.verifyUser(ctx, client, startURL, func(link string) (string, error) {
		u, err := url.Parse(link)
		if err != nil {
			return "", fmt.Errorf("okidtest: %w: link", ErrNotFound)
		}
		id := u.Query().Get("verification_id")
		if err := errors.Join(p.Begin(id), p.Complete(id, portal.StatusVerified, found)); err != nil {
			return "", err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.byID(id).next, nil
	})
}

// byID returns a session, or nil. The caller holds mu.
func (p *Portal) byID(id string) *hostedSession {
	return p.find(func(s *hostedSession) bool { return s.id == id })
}

// janeRoeOfPortal is what the portal tells about Jane Roe.
func janeRoeOfPortal(now time.Time) object {
	return object{
		"first_name": "Jane", "last_name": "Roe", "document_number": "Z000001", "document_type": "passport",
		"expiry_date": now.UTC().AddDate(5, 0, 0).Format(time.DateOnly), "date_of_birth": "1990-02-03",
		"nationality": "NLD", "issuing_country": "NLD",
	}
}

func webhookOfPortal(s *hostedSession) []byte {
	body, err := json.Marshal(object{"verification_id": s.id, "status": s.status, "extra_data": s.extra})
	if err != nil {
		panic("okidtest: cannot happen, extra_data was valid: " + err.Error())
	}
	return body
}

func (p *Portal) serveGenerate(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request struct {
		ExtraData json.RawMessage `json:"extra_data"`
		ReturnURL string          `json:"return_url"`
	}
	if err != nil || json.Unmarshal(body, &request) != nil {
		writeError(w, http.StatusBadRequest, "body is not the documented JSON")
		return
	}
	var extra map[string]any
	if request.ExtraData == nil {
		request.ExtraData = json.RawMessage("{}")
	}
	if json.Unmarshal(request.ExtraData, &extra) != nil || extra == nil {
		writeError(w, http.StatusBadRequest, "extra_data must be an object")
		return
	}
	if request.ReturnURL != "" && !isWebURL(request.ReturnURL) {
		writeError(w, http.StatusBadRequest, "return_url must be an http(s) URL")
		return
	}
	s := &hostedSession{id: "ver_" + strings.ToLower(rand.Text()[:20]), extra: request.ExtraData, next: request.ReturnURL}
	s.reference, _ = extra[portal.MetadataReference].(string)
	p.add(s)
	writeJSON(w, http.StatusOK, object{
		"verificationId": s.id, "expiresAt": wireTime(s.expires),
		"flow": []string{"terms", "document", "liveness"}, "modules": object{"terms": object{"required": true}},
	})
}

func (p *Portal) serveDetails(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	s := p.byID(r.PathValue("id"))
	var record object
	if s != nil {
		record = p.record(s)
		s.polls = max(s.polls-1, 0)
	}
	p.mu.Unlock()
	if s == nil {
		writeError(w, http.StatusNotFound, "no such verification")
		return
	}
	writeJSON(w, http.StatusOK, record)
}

// record is how a verification stands. The caller holds mu.
func (p *Portal) record(s *hostedSession) object {
	now := p.cfg.Clock()
	word, found := s.status, s.found
	switch {
	case s.status == "" && !now.Before(s.expires):
		word = portal.StatusExpired
	case s.status == "":
		word = portal.StatusGenerated
	case s.polls > 0:
		word, found = portal.StatusValidating, nil
	}
	record := object{
		"_id": "6650f1", "verification_id": s.id, "created_at": wireTime(s.created), "extra_data": s.extra,
		"config": object{"retention_days": 30, "modules": object{}}, "data": object{}, "timeline": []object{},
		"metadata": object{"user_agent": "", "ip_address": "", "locale": "en"},
		"status":   object{"current": word, "updated_at": wireTime(now), "progress": object{"document": "completed"}},
	}
	if p.cfg.OtherForm {
		record["status"] = word
	}
	if found != nil {
		record["exported_data"] = found
		record["data"] = object{"document": object{"results": object{"document_type": "passport"}}}
	}
	return record
}
