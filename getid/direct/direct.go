package direct

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/apiclient"
	"github.com/okidkit/okidkit/internal/strictjson"
	"github.com/okidkit/okidkit/internal/wire"
)

// KeyHeader carries the API key.
const KeyHeader = "X-API-Key"

const (
	maxReference = 128 // as in the path of a question; GetID takes 256
	maxLabels    = 30  // by https://vvorld.github.io/
	maxLink      = 4 << 10
)

// Start asks GetID for a one-time link, with POST /api/v1/tokenized-url. The reference is sent as
// externalId, and r.Metadata as metadata.labels, of which there may be 30. The link is the
// session's token. Where webhooks go is set in GetID's dashboard, and not here.
//
// A request that could not come back unharmed is [identity.ErrMalformed], and is not sent. Other
// errors are as [identity.Provider] says.
func (p *Provider) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	body, err := p.linkBody(r)
	if err != nil {
		return identity.Session{}, fmt.Errorf("getiddirect: %w: %w", identity.ErrMalformed, err)
	}
	query := url.Values{"name": {p.flow}, "externalId": {r.Reference}}
	answer, err := p.api.Begin(ctx, p.url.String()+"/api/v1/tokenized-url?"+query.Encode(), body)
	if err != nil {
		return identity.Session{}, err
	}
	link, err := strictjson.Read(answer, linkShape, readLink)
	if err != nil {
		return identity.Session{}, fmt.Errorf("getiddirect: %w: %w: %w", identity.ErrRefused, identity.ErrUncertain, err)
	}
	return identity.Session{ID: r.Reference, Token: link, ExpiresAt: p.api.Now().Add(p.sessionTime)}, nil
}

// linkRequest is the body of POST /api/v1/tokenized-url.
type linkRequest struct {
	Redirects map[string]string `json:"redirects,omitempty"`
	Metadata  *linkMetadata     `json:"metadata,omitempty"`
}

type linkMetadata struct {
	Labels map[string]string `json:"labels"`
}

func (p *Provider) linkBody(r identity.StartRequest) ([]byte, error) {
	if len(r.Reference) > maxReference || !wire.ValidID(r.Reference) {
		return nil, errors.New(`reference is not 1 to 128 letters, digits, "-" and "_"`)
	}
	if len(r.Metadata) > maxLabels {
		return nil, fmt.Errorf("metadata has more than %d members", maxLabels)
	}
	valid := utf8.ValidString(r.SuccessURL) && utf8.ValidString(r.ErrorURL)
	for key, value := range r.Metadata {
		valid = valid && utf8.ValidString(key) && utf8.ValidString(value)
	}
	if !valid {
		return nil, errors.New("request is not valid UTF-8") // encoding/json would replace what is not
	}
	request := linkRequest{Redirects: map[string]string{}}
	if r.SuccessURL != "" {
		request.Redirects["onComplete"] = r.SuccessURL
	}
	if r.ErrorURL != "" {
		request.Redirects[p.failRedirect] = r.ErrorURL
	}
	if len(r.Metadata) > 0 {
		request.Metadata = &linkMetadata{Labels: r.Metadata}
	}
	return json.Marshal(request)
}

var linkShape = &strictjson.Shape{Strict: true, Members: []strictjson.Member{
	{Name: "url"}, {Name: "data", Shape: &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "url"}}}},
}}

// readLink reads a link, which may stand in one of two places.
func readLink(root *strictjson.Value) (string, error) {
	here, _ := root.Get("url").Text()
	there, _ := root.Get("data").Get("url").Text()
	link := string(here)
	switch {
	case link == "":
		link = string(there)
	case len(there) > 0 && link != string(there):
		return "", errors.New("answer has two links")
	}
	if link == "" || len(link) > maxLink {
		return "", fmt.Errorf("url is not a text of 1 to %d bytes", maxLink)
	}
	if _, err := apiclient.ParseURL(link); err != nil {
		return "", fmt.Errorf("url %w", err)
	}
	return link, nil
}

// SDK is GetID's page for the session. GetID chooses its language.
func (p *Provider) SDK(s identity.Session, _ string) identity.SDK {
	return identity.SDK{URL: s.Token}
}

// Fetch asks GetID how the verification with a reference stands, with one
// GET /api/v1/application/{id}. There is none, and the error is [identity.ErrNotFound], until the
// user has handed something in. An id that is not 1 to 128 letters, digits, "-" and "_" is
// [identity.ErrMalformed], and is not asked for. An answer with another reference, or none, and
// one in which what decides cannot be read, is [identity.ErrRefused]. Other errors are as
// [identity.Provider] says.
//
// The status is
//
//	processingState   overallResult.status   status
//	processing        anything               [identity.Started]
//	done              approved               [identity.Verified]
//	done              declined               [identity.Failed]
//	done              needs-review           [identity.Review]
//	done              error                  [identity.Failed], with [identity.ReasonError]
//
// and for everything else empty: nothing can be concluded. GetID's documents have the name
// processingStatus, too, which means the same; if both are there, they must agree.
func (p *Provider) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	a, err := p.application(ctx, id)
	return a.notice, err
}

// Erase deletes the application of a reference, with GET /api/v1/application/{reference}, which tells
// GetID's own id, and DELETE /api/v1/application/{id}. One that is not there, or not any more, is
// no error.
func (p *Provider) Erase(ctx context.Context, id string) error {
	a, err := p.application(ctx, id)
	switch {
	case errors.Is(err, identity.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !wire.ValidID(a.id):
		return fmt.Errorf("getiddirect: %w: id of the application cannot be read", identity.ErrRefused)
	}
	return p.api.Delete(ctx, p.url.String()+"/api/v1/application/"+a.id)
}

// application asks for the application of a reference.
func (p *Provider) application(ctx context.Context, reference string) (application, error) {
	if !wire.ValidID(reference) {
		return application{}, fmt.Errorf("getiddirect: %w: id is not 1 to 128 letters, digits, \"-\" and \"_\"", identity.ErrMalformed)
	}
	answer, err := p.api.Ask(ctx, p.url.String()+"/api/v1/application/"+reference)
	if err != nil {
		return application{}, err
	}
	a, err := strictjson.Read(answer, applicationShape, readApplication)
	switch {
	case err != nil:
		return application{}, fmt.Errorf("getiddirect: %w: %w", identity.ErrRefused, err)
	case a.responseCode == "404":
		return application{}, fmt.Errorf("getiddirect: %w: responseCode 404", identity.ErrNotFound)
	case a.responseCode != "" && a.responseCode != "200":
		return application{}, fmt.Errorf("getiddirect: %w: responseCode is not 200", identity.ErrRefused)
	case a.notice.Reference != reference:
		return application{}, fmt.Errorf("getiddirect: %w: answer has another externalId, or none", identity.ErrRefused)
	}
	return a, nil
}

// ReadHint reads a webhook, which is an application, as far as to its reference. A body that is
// not a JSON object is [identity.ErrMalformed].
func (p *Provider) ReadHint(_ http.Header, body []byte) (identity.Hint, error) {
	hint, err := strictjson.Read(body, hintShape, func(root *strictjson.Value) (identity.Hint, error) {
		reference, _ := root.Get("metadata").Get("externalId").Text()
		if !root.IsObject() {
			return identity.Hint{}, errors.New("it is not an object")
		}
		return identity.Hint{Reference: string(reference)}, nil
	})
	if err != nil {
		return identity.Hint{}, fmt.Errorf("getiddirect: %w: %w", identity.ErrMalformed, err)
	}
	return hint, nil
}

var hintShape = &strictjson.Shape{Members: []strictjson.Member{
	{Name: "metadata", Shape: &strictjson.Shape{Members: []strictjson.Member{{Name: "externalId"}}}},
}}
