package okidtest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/okidkit/okidkit/getid/direct"
)

// The key and the flow of a fake that was given none. They protect nothing.
const (
	DefaultDirectKey  = "simulated-getid-direct-api-40e6b2d8f5"
	DefaultDirectFlow = "simulated-flow"
)

// Direct is a fake of GetID's API v1, which a partner calls directly. It serves
//
//	POST   /api/v1/tokenized-url?name=&externalId=
//	GET    /api/v1/application/{id}    by GetID's id, or by externalId
//	DELETE /api/v1/application/{id}
//	GET    /vp/{flow}?token=           the page on which a person picks the outcome
//
// and sends a webhook when an application is stored and when it is decided, to
// HostedConfig.WebhookURL. They are signed, for hosts that check it ([Direct.Signing]): how GetID does
// that is not published. It forgets nothing but what is deleted, until it is thrown away.
//
// All methods are safe for concurrent use. Use [NewDirect] to make one.
type Direct struct {
	*hosted
	key   *ecdsa.PrivateKey
	erase endpoint
}

// NewDirect makes a fake. It starts nothing and needs no Close before Start is called or a webhook
// is sent. The error wraps [ErrConfig] and names every setting that cannot be used.
func NewDirect(cfg HostedConfig) (*Direct, error) {
	d := &Direct{key: newECDSAKey()}
	h, err := newHosted(cfg, DefaultDirectKey, d.sign)
	if err != nil {
		return nil, err
	}
	d.hosted = h
	api := api{direct.KeyHeader, h.cfg.APIKey, h.cfg.Logger, h.webhooks.ctx, writeDirectError}
	h.mux.HandleFunc("POST /api/v1/tokenized-url", api.route(&h.begin, http.MethodPost, d.serveLink))
	h.mux.HandleFunc("GET /api/v1/application/{id}", api.route(&h.fetch, http.MethodGet, d.serveApplication))
	h.mux.HandleFunc("DELETE /api/v1/application/{id}", api.route(&d.erase, http.MethodDelete, d.serveErase))
	h.mux.HandleFunc("GET /vp/{flow}", d.serveFlow)
	h.mux.HandleFunc("POST /vp/{flow}", d.serveChoice)
	return d, nil
}

func newECDSAKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("okidtest: cannot happen, the reader never fails: " + err.Error())
	}
	return key
}

// String is the URL. It is there so that printing a fake prints no key.
func (d *Direct) String() string { return "okidtest.Direct " + d.URL() }

// ProviderConfig returns the settings with which package direct talks to the fake, which must have
// been started or have a PublicURL.
func (d *Direct) ProviderConfig() direct.Config {
	return direct.Config{URL: d.URL(), APIKey: d.cfg.APIKey, Flow: DefaultDirectFlow}
}

// Signing returns the settings with which [direct.Provider.Signed] authenticates the fake's webhooks.
func (d *Direct) Signing() direct.Signing {
	return direct.Signing{Keys: []crypto.PublicKey{&d.key.PublicKey}, Algorithm: direct.ECDSAWithSHA256}
}

// Begin does what the user does by handing in pictures: there is an application, which is
// processing. The id is the reference with which the link was made, as IDs lists it. For a user who
// has begun it does nothing. [ErrNotFound] if the id is unknown, [ErrExpired].
func (d *Direct) Begin(id string) error { return d.beginSession(id, processing, d.webhook) }

// processing is the word for an application without a verdict.
const processing = "processing"

// Complete gives an application its verdict, and sends a webhook. The categories of found, such as
// "Date of birth", replace or add to what is read from the document of Jane Roe, who does not exist;
// nil takes one away. They must be fit for encoding/json, or the error is [ErrConfig].
// [ErrNotFound] if the id is unknown.
//
// A second verdict replaces the first: staff may change it.
func (d *Direct) Complete(id string, v Verdict, found map[string]any) error {
	return d.CompleteAfter(0, id, v, found)
}

// CompleteAfter is Complete for a verdict that is not there yet: the next so many questions that are not
// made to fail find the application processing.
func (d *Direct) CompleteAfter(questions int, id string, v Verdict, found map[string]any) error {
	all, err := overlay(janeRoeOfDirect(d.cfg.Clock()), found)
	if err != nil {
		return err
	}
	return d.set(id, string(v), questions, all, d.webhook)
}

// Erased reports whether the application with this id was deleted.
func (d *Direct) Erased(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.byReference(id)
	return s != nil && s.erased
}

// FailErase lets answer serve the next n calls that delete an application, as [Direct.FailFetch] does.
func (d *Direct) FailErase(n int, answer http.Handler) { d.erase.fail(n, answer) }

// VerifyUser lets a user of an app be verified, as [Portal.VerifyUser] does (with
// ?provider=getiddirect, if that is not the first).
func (d *Direct) VerifyUser(ctx context.Context, client *http.Client, startURL string, found map[string]any) error {
	return d.verifyUser(ctx, client, startURL, func(link string) (string, error) {
		u, err := url.Parse(link)
		if err != nil {
			return "", fmt.Errorf("okidtest: %w: link", ErrNotFound)
		}
		d.mu.Lock()
		s := d.byLink(u.Query().Get("token"))
		d.mu.Unlock()
		if s == nil {
			return "", fmt.Errorf("okidtest: %w: link", ErrNotFound)
		}
		return s.next, errors.Join(d.Begin(s.reference), d.Complete(s.reference, Approved, found))
	})
}

// byReference and byLink return a session, or nil. The caller holds mu.
func (d *Direct) byReference(reference string) *hostedSession {
	return d.find(func(s *hostedSession) bool { return s.reference == reference })
}

func (d *Direct) byLink(token string) *hostedSession {
	return d.find(func(s *hostedSession) bool { return s.link == token })
}

// janeRoeOfDirect is what GetID reads from the document of Jane Roe.
func janeRoeOfDirect(now time.Time) object {
	return object{
		"First name": "Jane", "Last name": "Roe", "Document number": "Z000001", "Document type": "id-card",
		"Date of expiry": now.UTC().AddDate(5, 0, 0).Format(time.DateOnly), "Date of birth": "1990-02-03", "Nationality": "NLD",
	}
}

// sign makes the headers of a webhook.
func (d *Direct) sign(c Chaos, now time.Time, body []byte) http.Header {
	key := d.key
	if c.WrongKey {
		key = newECDSAKey()
	}
	timestamp := now.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	sum := sha256.Sum256(slices.Concat(body, []byte(timestamp)))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		panic("okidtest: cannot happen, the key is good: " + err.Error())
	}
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set(direct.SignatureHeader, base64.StdEncoding.EncodeToString(signature))
	h.Set(direct.TimestampHeader, timestamp)
	return h
}

func (d *Direct) webhook(s *hostedSession) []byte {
	body, err := json.Marshal(d.application(s))
	if err != nil {
		panic("okidtest: cannot happen, all of it was valid: " + err.Error())
	}
	return body
}

func (d *Direct) serveLink(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request struct {
		Redirects struct {
			OnComplete string `json:"onComplete"`
		} `json:"redirects"`
		Metadata struct {
			Labels json.RawMessage `json:"labels"`
		} `json:"metadata"`
	}
	query := r.URL.Query()
	reference := query.Get("externalId")
	switch {
	case err != nil || len(body) > 0 && json.Unmarshal(body, &request) != nil:
		writeDirectError(w, http.StatusBadRequest, "body is not the documented JSON")
		return
	case query.Get("name") == "":
		writeDirectError(w, http.StatusBadRequest, "name is missing")
		return
	case len(reference) > 256:
		writeDirectError(w, http.StatusBadRequest, "externalId is too long")
		return
	case request.Redirects.OnComplete != "" && !isWebURL(request.Redirects.OnComplete):
		writeDirectError(w, http.StatusBadRequest, "redirects must be http(s) URLs")
		return
	}
	own := make([]byte, 12)
	_, _ = rand.Read(own) // never fails
	s := &hostedSession{id: reference, reference: reference, link: "eyJ" + rand.Text() + "." + rand.Text(), own: hex.EncodeToString(own), extra: request.Metadata.Labels, next: request.Redirects.OnComplete}
	d.add(s)
	link := d.URL() + "/vp/" + url.PathEscape(query.Get("name")) + "?token=" + url.QueryEscape(s.link)
	if d.cfg.OtherForm {
		writeJSON(w, http.StatusOK, object{"responseCode": 200, "data": object{"url": link}})
		return
	}
	writeJSON(w, http.StatusOK, object{"responseCode": 200, "url": link})
}

// stored returns the application with GetID's id or our reference, or nil. The caller holds mu.
func (d *Direct) stored(id string) *hostedSession {
	return d.find(func(s *hostedSession) bool {
		return (s.own == id || s.reference == id) && s.status != "" && !s.erased
	})
}

func (d *Direct) serveApplication(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	s := d.stored(r.PathValue("id"))
	var application object
	if s != nil {
		application = d.application(s)
		s.polls = max(s.polls-1, 0)
	}
	d.mu.Unlock()
	if s == nil {
		writeJSON(w, http.StatusNotFound, object{"responseCode": 404})
		return
	}
	application["responseCode"] = 200
	writeJSON(w, http.StatusOK, application)
}

func (d *Direct) serveErase(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	s := d.stored(r.PathValue("id"))
	if s != nil {
		s.erased, s.found = true, nil
	}
	d.mu.Unlock()
	if s == nil {
		writeJSON(w, http.StatusNotFound, object{"responseCode": 404})
		return
	}
	writeJSON(w, http.StatusOK, object{"responseCode": 200})
}

// application is how an application stands. The caller holds mu.
func (d *Direct) application(s *hostedSession) object {
	metadata := object{"platform": "web", "createdAt": wireTime(s.created), "flowName": DefaultDirectFlow}
	if s.reference != "" {
		metadata["externalId"] = s.reference
	}
	if s.extra != nil {
		metadata["labels"] = s.extra
	}
	application := object{
		"id": s.own, "metadata": metadata, "processingState": processing, "servicesResults": object{},
		"application": object{"fields": []object{}, "documents": []object{{"issuingCountry": "NLD", "documentType": "id-card", "files": []object{}}}},
	}
	if s.status == processing || s.polls > 0 {
		return application
	}
	var found map[string]any
	_ = json.Unmarshal(s.found, &found) // our own
	read := []object{}
	for category, content := range found {
		read = append(read, object{"category": category, "content": content, "valid": true})
	}
	application["processingState"] = "done"
	application["overallResult"] = object{
		"status": s.status, "comments": []object{}, "concerns": concernsOf(Verdict(s.status)), "validationDate": wireTime(d.cfg.Clock()),
	}
	application["servicesResults"] = object{"docCheck": object{"processingState": "done", "extracted": object{"ocr": read, "mrz": []object{}}}}
	return application
}

// concernsOf are those of a verdict.
func concernsOf(v Verdict) []object {
	if v == Approved {
		return []object{}
	}
	return []object{{"id": "DC030", "message": "Simulated concern", "service": "doc-check", "status": v}}
}

func writeDirectError(w http.ResponseWriter, code int, text string) {
	if code == http.StatusUnauthorized {
		text = "Wrong API key"
	}
	writeJSON(w, code, object{"responseCode": code, "errorMessage": text})
}
