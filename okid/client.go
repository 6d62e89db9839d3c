package okid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/strictjson"
	"github.com/okidkit/okidkit/internal/wire"
)

// maxToken is the length of the longest process token. Those that okID shows have 37
// characters.
const maxToken = identity.MaxText

// Start asks okID for a process token, with POST /v1/verification/generate. The
// reference is sent as metadata.reference, beside r.Metadata.
//
// A request that okID could not echo unharmed is [identity.ErrMalformed], and is
// not sent: one with an empty reference, with text that is not valid UTF-8, or
// with two keys of metadata, "reference" among them, that are the same but for
// letter case. Other errors are as [identity.Provider] says. Only a request that
// surely was not processed is repeated, and not after an answer that asks for more
// than two seconds of pause.
//
// A session that okID gives without a time at which it expires, or with one that
// cannot be read, is taken to last [DefaultSessionTime].
func (p *Provider) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	body, err := generateBody(r)
	if err != nil {
		return identity.Session{}, fmt.Errorf("okid: %w: %w", identity.ErrMalformed, err)
	}
	answer, err := p.api.Begin(ctx, p.apiURL.String()+"/v1/verification/generate", body)
	if err != nil {
		return identity.Session{}, err
	}
	session, err := strictjson.Read(answer, sessionShape, readSession)
	if err != nil {
		return identity.Session{}, fmt.Errorf("okid: %w: %w: %w", identity.ErrRefused, identity.ErrUncertain, err)
	}
	if session.ExpiresAt.IsZero() {
		session.ExpiresAt = p.now().Add(DefaultSessionTime)
	}
	return session, nil
}

func generateBody(r identity.StartRequest) ([]byte, error) {
	if r.Reference == "" {
		return nil, errors.New("reference is empty")
	}
	if _, ok := r.Metadata[MetadataReference]; ok {
		return nil, errors.New("metadata has a member named reference, too")
	}
	metadata := map[string]string{MetadataReference: r.Reference}
	maps.Copy(metadata, r.Metadata)
	valid := utf8.ValidString(r.CallbackURL) && utf8.ValidString(r.SuccessURL) && utf8.ValidString(r.ErrorURL)
	for key, value := range metadata {
		valid = valid && utf8.ValidString(key) && utf8.ValidString(value)
	}
	if !valid {
		return nil, errors.New("request is not valid UTF-8") // encoding/json would replace what is not
	}
	body, err := json.Marshal(GenerateRequest{
		Metadata:    metadata,
		CallbackURL: r.CallbackURL,
		SuccessURL:  r.SuccessURL,
		ErrorURL:    r.ErrorURL,
	})
	if err != nil {
		return nil, err
	}
	// The metadata comes back in webhooks, where it is read strictly.
	return strictjson.Read(body, generateShape, func(*strictjson.Value) ([]byte, error) { return body, nil })
}

// readSession reads a [GenerateResponse]. The session's ExpiresAt is zero if it
// cannot be read: that is no reason to lose the token.
func readSession(root *strictjson.Value) (identity.Session, error) {
	token := wire.Text(root.Get("process_token"))
	unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, unprintable) {
		return identity.Session{}, fmt.Errorf("process_token is not 1 to %d printable characters", maxToken)
	}
	return identity.Session{Token: token, ExpiresAt: wire.Instant(root.Get("expires_at"))}, nil
}

// Fetch asks okID how a verification stands, with one GET /v1/verification/{id}. An
// id that is not 1 to 128 letters, digits, "-" and "_" is
// [identity.ErrMalformed], and is not asked for. Other errors are as
// [identity.Provider] says; an answer about another verification, and one that
// [Provider.VerifyWebhook] would call malformed, is [identity.ErrRefused].
//
// The status is that of data.status alone, and empty for an unknown word. Of the
// words, okID documents "completed" only; the others are inferred from the names
// of its events.
func (p *Provider) Fetch(ctx context.Context, id string) (identity.Notice, error) {
	if !wire.ValidID(id) {
		return identity.Notice{}, fmt.Errorf("okid: %w: %w", identity.ErrMalformed, errID)
	}
	answer, err := p.api.Ask(ctx, p.apiURL.String()+"/v1/verification/"+id)
	if err != nil {
		return identity.Notice{}, err
	}
	notice, err := strictjson.Read(answer, verificationShape, readFetched)
	if err == nil && notice.Verification.ID != id {
		err = errors.New("answer is about another verification")
	}
	if err != nil {
		return identity.Notice{}, fmt.Errorf("okid: %w: %w", identity.ErrRefused, err)
	}
	return notice, nil
}
