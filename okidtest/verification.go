package okidtest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/okidkit/okidkit/okid"
)

// verification is what one generate call began.
type verification struct {
	token    string
	expires  time.Time
	urls     okid.GenerateRequest // without metadata
	metadata json.RawMessage
	record   record            // its ID is empty until the user begins
	sent     map[string][]byte // the last webhook of each event
}

// record is okid.VerificationBody with the metadata as it came.
type record struct {
	okid.VerificationBody
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// Begin does what the user does by beginning: the verification gets its id, and
// verification.started is sent. A user who begins again gets the same id, and
// nothing is sent. [ErrNotFound] if the token is unknown, [ErrExpired].
func (o *OKID) Begin(token string) (id string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.byToken[token]
	switch {
	case v == nil:
		return "", fmt.Errorf("%w: process token", ErrNotFound)
	case v.record.ID != "":
		return v.record.ID, nil
	case !o.cfg.Clock().Before(v.expires):
		return "", ErrExpired
	}
	v.record = record{
		VerificationBody: okid.VerificationBody{
			ID:        "ver_" + strings.ToLower(rand.Text()[:20]),
			Status:    okid.StatusStarted,
			CreatedAt: wireTime(o.cfg.Clock()),
		},
		Metadata: v.metadata,
	}
	o.byID[v.record.ID] = v
	o.tell(v, okid.EventStarted)
	return v.record.ID, nil
}

// Complete lets a verification that has begun succeed, with the document and the
// details of found; its other members are not used. It sends
// verification.completed. [ErrNotFound] if the id is unknown.
//
// A verification that has ended can end again, and differently: nothing says
// that okID never changes its mind.
func (o *OKID) Complete(id string, found okid.VerificationBody) error {
	return o.end(id, okid.EventCompleted, okid.VerificationBody{
		Status:              okid.StatusCompleted,
		CompletedAt:         wireTime(o.cfg.Clock()),
		DocumentType:        found.DocumentType,
		VerificationDetails: found.VerificationDetails,
	})
}

// Fail is Complete for a verification that is refused: verification.failed.
func (o *OKID) Fail(id string) error {
	return o.end(id, okid.EventFailed, okid.VerificationBody{Status: okid.StatusFailed})
}

// Expire is Complete for a verification that took too long:
// verification.expired. The fake never sends it by itself.
func (o *OKID) Expire(id string) error {
	return o.end(id, okid.EventExpired, okid.VerificationBody{Status: okid.StatusExpired})
}

func (o *OKID) end(id, event string, body okid.VerificationBody) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.byID[id]
	if v == nil {
		return fmt.Errorf("%w: verification", ErrNotFound)
	}
	body.ID, body.CreatedAt = id, v.record.CreatedAt
	if d := body.VerificationDetails; d != nil {
		details := *d // the caller's may change
		body.VerificationDetails = &details
	}
	v.record = record{VerificationBody: body, Metadata: v.metadata}
	o.tell(v, event)
	return nil
}

// Deliver sends the last webhook of this event and verification once more: the
// same body, but timed and signed anew. If there was none, it sends one with
// the record as it stands, fitting or not. [ErrNotFound] if the id is unknown.
func (o *OKID) Deliver(id, event string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.byID[id]
	if v == nil {
		return fmt.Errorf("%w: verification", ErrNotFound)
	}
	if body := v.sent[event]; body != nil {
		o.post(v, event, body)
	} else {
		o.tell(v, event)
	}
	return nil
}

// tell sends the record as it stands. The caller holds mu, so that webhooks are
// made in the order in which things happen.
func (o *OKID) tell(v *verification, event string) {
	body, err := json.Marshal(struct {
		Event string `json:"event"`
		Data  record `json:"data"`
	}{event, v.record})
	if err != nil {
		panic("okidtest: cannot happen, the metadata was valid: " + err.Error())
	}
	v.sent[event] = body
	o.post(v, event, body)
}

func (o *OKID) post(v *verification, event string, body []byte) {
	if v.urls.CallbackURL != "" {
		o.send(v.urls.CallbackURL, v.record.ID, event, body)
	}
}
