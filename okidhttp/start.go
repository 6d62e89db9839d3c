package okidhttp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/body"
	"github.com/okidkit/okidkit/internal/engine"
	"github.com/okidkit/okidkit/internal/text"
)

const (
	// maxMetadata bounds the host's metadata, in bytes of names and values, and
	// maxMembers in members.
	maxMetadata = 4 << 10
	maxMembers  = 64
	// maxStartBody bounds the body of a start request, in bytes.
	maxStartBody = 16 << 10
)

// Start begins a verification, or resumes the one that the user has begun. It takes a
// same-origin POST with the optional values return_to, a page of the host's to go to
// afterwards, locale, and renew, as a form or as JSON. Values that cannot be used are ignored.
//
// Whoever is verified already may begin another verification with renew, which is 1 in a form
// and true in JSON. The one that stands counts until the new one succeeds.
//
// A browser's form is answered with 303 to the page, and so is its GET, which begins nothing.
// If nobody is logged in, the page leads to the log-in. A client that does not accept HTML gets
// JSON, with 201 for a new attempt and 200 for a resumed one:
//
//	{"attempt":"…","provider":"okid","process_token":"…","expires_at":"…","page_url":"…","sdk":{"script_url":"…","config":{…}}}
//
// For a provider that verifies in the browser alone, process_token is empty and there is a
// claim_url, to which a page of the host's posts what the SDK hands over; see [Kit.Claim]. For a
// provider with a page of its own, process_token is empty and sdk has the page's url; page_url
// leads there.
//
// The other answers are 400 for a body that cannot be read; 401 if nobody is logged in; 403 if
// the request comes from another origin, or if another try is ruled out by [Refusal.Final]; 405;
// 408; 409 if the user is verified already, and does not renew; 429 with Retry-After because of
// [Config.StartLimit]; 502 if the provider refuses; and 503 with Retry-After if the provider or
// the store cannot be reached, or if there is too much to do, in all or for this user.
func (k *Kit) Start() http.Handler { return k.route("start", k.start) }

func (k *Kit) start(w http.ResponseWriter, r *http.Request) {
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && wantsPage(r) {
		k.mount.toStartPage(w, r, k.mount.startWish(r))
		return
	}
	if !k.allow(w, r, http.MethodPost) {
		return
	}
	if err := k.csrf.Check(r); err != nil {
		k.problem(w, r, problemCrossOrigin, err)
		return
	}
	subject, _, err := k.cfg.subject(r)
	bodies := &k.starts
	switch {
	case err != nil:
		k.subjectFailed(w, r, err)
		return
	case subject == "" && !wantsPage(r):
		k.unauthorized(w, r, "")
		return
	case subject == "":
		bodies = &k.strangers
	}
	p := k.providers.chosen(r)
	if p == nil {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	k.engine.ByProvider(r.Context(), p.Name())
	wish, err := k.mount.readStartWish(w, r, bodies)
	switch {
	case errors.Is(err, body.ErrSlow), errors.Is(err, body.ErrBusy):
		k.refuse(w, r, err)
		return
	case err != nil:
		k.problem(w, r, problemBadRequest, err)
		return
	}
	if subject == "" {
		k.mount.toStartPage(w, r, wish, "login", "1")
		return
	}
	sent, err := k.cfg.startMetadata(r)
	if err != nil {
		k.problem(w, r, problemInternal, engine.Scrubbed(engine.Event{Subject: subject}, err))
		return
	}
	request := engine.StartRequest{
		Subject: subject, Provider: p, Metadata: sent, Renew: wish.renew,
		Context: attempt.Context{ReturnTo: wish.returnTo, Locale: wish.locale, Trace: k.engine.Trace(r.Context())},
		URLs: func(reference string) (webhook, success, failure string) {
			return k.mount.url("webhook", "provider", p.Name()), k.mount.url("success", "attempt", reference), k.mount.url("error", "attempt", reference)
		},
	}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		request.Context.Metadata = append(request.Context.Metadata, attempt.Member{Name: name, Value: sent[name]})
	}
	ctx, cancel := context.WithTimeout(r.Context(), engine.StartTime)
	defer cancel()
	started, err := k.engine.Start(ctx, request)
	if err != nil {
		k.startFailed(w, r, err)
		return
	}
	k.answerStart(w, r, p, started)
}

// startFailed says why there is no attempt. What the engine has observed is not logged
// again.
func (k *answers) startFailed(w http.ResponseWriter, r *http.Request, err error) {
	limited, isLimit := errors.AsType[*engine.LimitError](err)
	ruledOut, isRuledOut := errors.AsType[*engine.RuledOutError](err)
	switch {
	case isRuledOut && wantsPage(r):
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, k.mount.url("page"), http.StatusSeeOther)
	case isRuledOut:
		k.problem(w, r, problemRuledOut.because(ruledOut.Reason), nil)
	case isLimit:
		k.problem(w, r, k.limited(limited.Wait), nil)
	case errors.Is(err, engine.ErrVerified):
		k.problem(w, r, problemVerified, nil)
	case errors.Is(err, engine.ErrCrowd):
		k.engine.Observe(r.Context(), engine.Busy)
		k.problem(w, r, problemBusy, nil)
	case errors.Is(err, engine.ErrStore), errors.Is(err, attempt.ErrInFlight):
		k.problem(w, r, problemStoreAway, err)
	case !errors.Is(err, engine.ErrStart):
		k.problem(w, r, problemProviderAway, err)
	case errors.Is(err, identity.ErrRefused):
		k.problem(w, r, problemRefused, nil)
	case errors.Is(err, identity.ErrMalformed):
		k.problem(w, r, problemInternal, nil)
	default:
		k.problem(w, r, problemProviderAway, nil)
	}
}

// answerStart hands out a started attempt.
func (k *answers) answerStart(w http.ResponseWriter, r *http.Request, p identity.Provider, s *engine.StartedAttempt) {
	if wantsPage(r) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next := k.mount.url("page", "attempt", s.Reference)
		if p.SDK(s.Session, s.Locale).URL != "" {
			next = k.mount.url("page", "attempt", s.Reference, "leave", "1")
		}
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	status := http.StatusCreated
	if s.Resumed {
		status = http.StatusOK
	}
	k.handOut(w, status, k.startedBody(p, s.Reference, s.Session, s.Locale))
}

// startedBody is what a page needs to open an attempt.
type startedBody struct {
	Attempt      string       `json:"attempt"`
	Provider     string       `json:"provider"`
	ProcessToken string       `json:"process_token"`
	ExpiresAt    time.Time    `json:"expires_at"`
	PageURL      string       `json:"page_url"`
	ClaimURL     string       `json:"claim_url,omitempty"`
	SDK          identity.SDK `json:"sdk"`
}

func (k *answers) startedBody(p identity.Provider, reference string, s identity.Session, locale string) startedBody {
	body := startedBody{
		Attempt: reference, Provider: p.Name(), ProcessToken: s.Token, ExpiresAt: s.ExpiresAt,
		PageURL: k.mount.url("page", "attempt", reference), SDK: p.SDK(s, locale),
	}
	if body.SDK.URL != "" {
		body.ProcessToken = "" // the URL is what it was for
		body.SDK = identity.SDK{URL: body.SDK.URL, Config: map[string]any{}}
	}
	if _, claims := p.(identity.ClaimVerifier); claims {
		body.ClaimURL = k.mount.claimURL(p.Name(), reference)
	}
	return body
}

// handOut answers with an attempt.
func (k *answers) handOut(w http.ResponseWriter, status int, body startedBody) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

// toStartPage leads a browser to the page with the button, which will send what this
// request says.
func (m *mount) toStartPage(w http.ResponseWriter, r *http.Request, wish startWish, more ...string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, m.startPageURL(r, wish, more...), http.StatusSeeOther)
}

func (m *mount) startPageURL(r *http.Request, wish startWish, more ...string) string {
	provider, _ := parameter(r, "provider")
	return m.url("page", append([]string{"return_to", wish.returnTo, "locale", wish.locale, "provider", provider}, more...)...)
}

// startWish is what a client may say about the attempt. What cannot be granted is "".
type startWish struct {
	returnTo string
	locale   string
	renew    bool // though a verification stands
}

// startWish is what the query says.
func (m *mount) startWish(r *http.Request) startWish {
	locale, _ := parameter(r, "locale")
	return startWish{returnTo: m.wanted(r), locale: text.Tag(locale)}
}

// readStartWish reads a body that is a form or JSON, and for what that does not say the
// query.
func (m *mount) readStartWish(w http.ResponseWriter, r *http.Request, bodies *body.Reader) (wish startWish, err error) {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	parsed := mediaType == "application/x-www-form-urlencoded" && r.PostForm != nil || mediaType == "multipart/form-data" && r.MultipartForm != nil
	if !parsed { // by somebody in front of us, who looks for a token of theirs
		b, err := bodies.Read(w, r)
		switch {
		case err == nil:
			defer b.Release()
			r.Body = io.NopCloser(bytes.NewReader(b.Bytes))
			defer func() { r.Body = http.NoBody }()
		case !errors.Is(err, body.ErrRead): // which is as good as none
			return wish, err
		}
	}
	var said startWish
	if mediaType == "application/json" {
		said, err = readStartJSON(r.Body)
	} else {
		said, err = readStartForm(r, mediaType)
	}
	if err != nil {
		return wish, err
	}
	wish = m.startWish(r)
	wish.returnTo = cmp.Or(m.returnTo(said.returnTo), wish.returnTo)
	wish.locale = cmp.Or(text.Tag(said.locale), wish.locale)
	wish.renew = said.renew
	return wish, nil
}

// readStartJSON reads an object. Its other members mean nothing, whatever they are.
func readStartJSON(body io.Reader) (said startWish, err error) {
	var members map[string]json.RawMessage // a struct's would be found in any letter case
	b, err := io.ReadAll(body)
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &members)
	}
	if returnTo := members["return_to"]; err == nil && returnTo != nil {
		err = json.Unmarshal(returnTo, &said.returnTo)
	}
	if err != nil {
		return said, errors.New("body is not JSON of the documented form")
	}
	_ = json.Unmarshal(members["locale"], &said.locale) // what is no text is no tag
	_ = json.Unmarshal(members["renew"], &said.renew)   // nor is what is no flag
	return said, nil
}

// readStartForm reads a form of either kind, or none.
func readStartForm(r *http.Request, mediaType string) (said startWish, err error) {
	u := *r.URL
	u.RawQuery = "" // which is no part of the form, and may have anything in it
	form := r.WithContext(r.Context())
	form.URL = &u
	err = form.ParseForm()
	if err == nil && mediaType == "multipart/form-data" {
		err = form.ParseMultipartForm(maxStartBody)
	}
	if err != nil {
		return said, errors.New("body is not a form")
	}
	return startWish{form.PostForm.Get("return_to"), form.PostForm.Get("locale"), form.PostForm.Get("renew") == "1"}, nil
}

// startMetadata is what the host sends along.
func (c *Config) startMetadata(r *http.Request) (map[string]string, error) {
	if c.Metadata == nil {
		return nil, nil
	}
	sent, err := c.Metadata(r)
	if err != nil {
		return nil, fmt.Errorf("Config.Metadata: %w", err)
	}
	size := 0
	for name, value := range sent {
		size += len(name) + len(value)
		if name == "" || name == "reference" {
			return nil, fmt.Errorf("Config.Metadata: the name %q is not the host's to use", name)
		}
	}
	if size > maxMetadata || len(sent) > maxMembers {
		return nil, fmt.Errorf("Config.Metadata: %d bytes in %d members are more than %d in %d", size, len(sent), maxMetadata, maxMembers)
	}
	return sent, nil
}
