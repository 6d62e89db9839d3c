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
	"math"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/text"
	"github.com/okidkit/okidkit/store"
)

const (
	// askTime is how long one Start may take to get a token; then another may
	// try in its place. It covers the provider's client and one write.
	askTime = 20 * time.Second
	// A Start looks after 50, 100 … 500 ms whether one in another process, which asks
	// the provider already, has got the token.
	minWait = 50 * time.Millisecond
	maxWait = 500 * time.Millisecond
	// maxStartCrowd bounds the starts of one subject in one process: one that is
	// worked on, and those that wait for it.
	maxStartCrowd = 64
	// maxMetadata bounds the host's metadata, in bytes of names and values, and
	// maxMembers in members.
	maxMetadata = 4 << 10
	maxMembers  = 64
	// maxStartBody bounds the body of a start request, in bytes.
	maxStartBody = 16 << 10
	// maxOpen bounds the attempts of a subject that are not finished.
	maxOpen = 32
	// tokenMargin is how long a token must still live to be given out again.
	tokenMargin = time.Minute
)

// Start begins a verification, or resumes the one that the user has begun: a
// same-origin POST, with the optional form values return_to (a page of the
// host's to go to afterwards) and locale. What cannot be used of them is ignored.
//
// A browser's form gets 303 to the page, also if nobody is logged in, and so does its
// GET, which begins nothing. A
// client that does not accept HTML gets JSON, 201 for a new attempt and 200 for a
// resumed one:
//
//	{"attempt":"…","process_token":"…","expires_at":"…","page_url":"…","sdk":{"script_url":"…","config":{…}}}
//
// A provider that verifies in the browser alone has no token, and claim_url, where
// a page of the host's posts what the SDK hands over; see [Kit.Claim].
//
// 401: nobody is logged in; 400; 403: cross-origin; 405; 408; 409: already verified;
// 429 with Retry-After: Config.StartLimit; 502: the provider refused; 503 with
// Retry-After: the provider or the store is away, or there is too much to do, in all or
// of this user's.
func (k *Kit) Start() http.Handler { return http.HandlerFunc(k.start) }

func (k *Kit) start(w http.ResponseWriter, r *http.Request) {
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && wantsPage(r) {
		k.toStartPage(w, r, k.startWish(r))
		return
	}
	if !k.allow(w, r, http.MethodPost) {
		return
	}
	if err := k.csrf.Check(r); err != nil {
		k.problem(w, r, problemCrossOrigin, err)
		return
	}
	subject, hash, err := k.subject(r)
	bodies := &k.starts
	switch {
	case err != nil:
		k.subjectFailed(w, r, err)
		return
	case subject == "" && !wantsPage(r):
		k.unauthorized(w, r)
		return
	case subject == "":
		bodies = &k.strangers
	}
	p, ok := k.provider(r)
	if !ok {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	wish, bad, err := k.readStartWish(w, r, bodies)
	if bad != nil {
		k.refuse(w, r, *bad)
		return
	} else if err != nil {
		k.problem(w, r, problemBadRequest, err)
		return
	}
	if subject == "" {
		k.toStartPage(w, r, wish, "login", "1")
		return
	}
	sent, err := k.startMetadata(r)
	if err != nil {
		k.problem(w, r, problemInternal, errors.New(Event{Subject: subject}.scrub(err)))
		return
	}
	s := starter{
		kit: k, subject: subject, hash: hash, provider: p, sent: sent,
		context: attemptContext{returnTo: wish.returnTo, locale: wish.locale},
	}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		s.context.metadata = append(s.context.metadata, pair{name: name, value: sent[name]})
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	started, bad, err := s.inTurn(ctx)
	if bad != nil {
		k.problem(w, r, *bad, err)
		return
	}
	k.answerStart(w, r, p, started)
}

// answerStart hands out a started attempt.
func (k *Kit) answerStart(w http.ResponseWriter, r *http.Request, p identity.Provider, s *startedAttempt) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	pageURL := k.url("page", "attempt", s.reference)
	if wantsPage(r) {
		http.Redirect(w, r, pageURL, http.StatusSeeOther)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if s.resumed {
		w.WriteHeader(http.StatusOK)
	} else {
		w.WriteHeader(http.StatusCreated)
	}
	claimURL := ""
	if _, claims := p.(identity.ClaimVerifier); claims {
		claimURL = k.claimURL(p.Name(), s.reference)
	}
	_ = json.NewEncoder(w).Encode(struct { // the client is gone
		Attempt      string       `json:"attempt"`
		ProcessToken string       `json:"process_token"`
		ExpiresAt    time.Time    `json:"expires_at"`
		PageURL      string       `json:"page_url"`
		ClaimURL     string       `json:"claim_url,omitempty"`
		SDK          identity.SDK `json:"sdk"`
	}{s.reference, s.session.Token, s.session.ExpiresAt, pageURL, claimURL, p.SDK(s.session, s.locale)})
}

// toStartPage leads a browser to the page with the button, which will send what this
// request says.
func (k *Kit) toStartPage(w http.ResponseWriter, r *http.Request, wish startWish, more ...string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, k.startPageURL(r, wish, more...), http.StatusSeeOther)
}

func (k *Kit) startPageURL(r *http.Request, wish startWish, more ...string) string {
	provider, _ := parameter(r, "provider")
	return k.url("page", append([]string{"return_to", wish.returnTo, "locale", wish.locale, "provider", provider}, more...)...)
}

// startWish is what a client may say about the attempt. What cannot be granted is "".
type startWish struct {
	returnTo string
	locale   string
}

// startWish is what the query says.
func (k *Kit) startWish(r *http.Request) startWish {
	locale, _ := parameter(r, "locale")
	return startWish{k.wanted(r), text.Tag(locale)}
}

// readStartWish reads a body that is a form or JSON, and for what that does not say the
// query. The problem says that the body cannot be had, the error that it cannot be used.
func (k *Kit) readStartWish(w http.ResponseWriter, r *http.Request, bodies *bodies) (wish startWish, bad *problem, err error) {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	parsed := mediaType == "application/x-www-form-urlencoded" && r.PostForm != nil || mediaType == "multipart/form-data" && r.MultipartForm != nil
	if !parsed { // by somebody in front of us, who looks for a token of theirs
		body, bad := bodies.read(w, r)
		switch {
		case bad == nil:
			defer body.release()
			r.Body = io.NopCloser(bytes.NewReader(body.bytes))
			defer func() { r.Body = http.NoBody }()
		case bad.Code == problemSlowBody.Code, bad.Code == problemBusy.Code:
			return wish, bad, nil
		case bad.Code != problemBodyRead.Code: // which is as good as none
			return wish, nil, errors.New(bad.Detail)
		}
	}
	var said startWish
	if mediaType == "application/json" {
		said, err = readStartJSON(r.Body)
	} else {
		said, err = readStartForm(r, mediaType)
	}
	if err != nil {
		return wish, nil, err
	}
	wish = k.startWish(r)
	wish.returnTo = cmp.Or(k.returnTo(said.returnTo), wish.returnTo)
	wish.locale = cmp.Or(text.Tag(said.locale), wish.locale)
	return wish, nil, nil
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
	return startWish{form.PostForm.Get("return_to"), form.PostForm.Get("locale")}, nil
}

// startMetadata is what the host sends along.
func (k *Kit) startMetadata(r *http.Request) (map[string]string, error) {
	if k.cfg.Metadata == nil {
		return nil, nil
	}
	sent, err := k.cfg.Metadata(r)
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

// starter gets one subject an attempt with a token.
type starter struct {
	kit      *Kit
	subject  string
	hash     subjectHash
	provider identity.Provider
	sent     map[string]string
	context  attemptContext
}

// startedAttempt is what Start hands out.
type startedAttempt struct {
	reference string
	session   identity.Session
	locale    string
	resumed   bool
}

// inTurn is start when it is the subject's turn. However many run at once for one
// subject, one of them asks the provider, and the others share what comes of it.
func (s *starter) inTurn(ctx context.Context) (started *startedAttempt, bad *problem, err error) {
	k, of := s.kit, turnOf{s.hash, s.provider.Name()}
	othersFailed, err := k.startTurns.wait(ctx, of)
	switch {
	case errors.Is(err, errCrowd):
		k.observe(ctx, OutcomeBusy)
		return nil, &problemBusy, nil
	case err != nil:
		return nil, &problemProviderAway, err
	}
	failed := false
	defer func() { k.startTurns.leave(of, failed) }()
	if othersFailed {
		return nil, &problemProviderAway, errOtherFailed
	}
	started, bad, err = s.start(ctx)
	failed = bad != nil && bad.Status >= 500 && !errors.Is(err, context.Canceled) // that is the user's own doing
	return started, bad, err
}

var errOtherFailed = errors.New("another start has failed")

// start resumes or begins an attempt. While another process asks the provider for the
// same subject, it waits for what comes of that.
func (s *starter) start(ctx context.Context) (*startedAttempt, *problem, error) {
	k := s.kit
	waited := false
	for pause := minWait; ; {
		h, err := k.load(ctx, s.hash)
		if err != nil {
			return nil, &problemStoreAway, err
		}
		if k.counts(h.grant(), h.now) {
			return nil, &problemVerified, nil
		}
		a, session, asking := s.resumable(h)
		switch {
		case a != nil:
			return s.resume(ctx, a, session)
		case asking:
			if err := sleep(ctx, pause); err != nil {
				return nil, &problemProviderAway, err
			}
			waited, pause = true, min(2*pause, maxWait)
			continue
		case waited:
			return nil, &problemProviderAway, errOtherFailed
		}
		if limited := k.limited(ctx, h); limited != nil {
			return nil, limited, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, &problemProviderAway, err
		}
		// What was asked of the provider is kept even if the user leaves meanwhile.
		ctx := context.WithoutCancel(ctx)
		begun, err := s.begin(ctx, h)
		if errors.Is(err, store.ErrConflict) {
			continue
		} else if err != nil {
			return nil, &problemStoreAway, err
		}
		return s.ask(ctx, h, begun)
	}
}

// resumable is an attempt whose token can still be used. asking is true if there
// is none, but another Start is about to get one.
func (s *starter) resumable(h *held) (a *attempt, session identity.Session, asking bool) {
	for i := range h.attempts {
		a := &h.attempts[i]
		if a.provider != s.provider.Name() || a.status != identity.Created && a.status != identity.Started {
			continue
		}
		if a.token != nil && h.now.Add(tokenMargin).Before(a.expiresAt) {
			if session, err := s.kit.session(address{s.hash, a.id}, a); err == nil {
				return a, session, false
			}
		}
		if a.token == nil && h.now.Before(a.askingTo) {
			asking = true
		}
	}
	return nil, identity.Session{}, asking
}

// session is what the provider gave for an attempt.
func (k *Kit) session(at address, a *attempt) (identity.Session, error) {
	token, err := k.keys.open(sealToken, at.place(), a.token)
	if err != nil {
		return identity.Session{}, fmt.Errorf("process token: %w", err)
	}
	return identity.Session{Token: string(token), ExpiresAt: a.expiresAt}, nil
}

// resume hands out the token of an attempt again. Where the user wants to go
// afterwards is what was said last.
func (s *starter) resume(ctx context.Context, a *attempt, session identity.Session) (*startedAttempt, *problem, error) {
	k, at := s.kit, address{s.hash, a.id}
	started := &startedAttempt{reference: a.reference, session: session, resumed: true}
	begun := k.openContext(at, a)
	started.locale = cmp.Or(s.context.locale, begun.locale)
	if returnTo := cmp.Or(s.context.returnTo, begun.returnTo); returnTo != begun.returnTo || started.locale != begun.locale {
		begun.returnTo, begun.locale = returnTo, started.locale
		sealed := k.sealContext(at, begun)
		if err := k.rewriteAttempt(ctx, at, func(_ *held, a *attempt) error { a.context = sealed; return nil }); err != nil {
			return nil, &problemStoreAway, err
		}
	}
	return started, nil, nil
}

// limited is the answer if the subject may not start another attempt now.
func (k *Kit) limited(ctx context.Context, h *held) *problem {
	wait := k.limit(h)
	if wait <= 0 {
		return nil
	}
	k.observe(ctx, OutcomeLimited)
	p := problemLimited
	p.retryAfter = int(math.Ceil(wait.Seconds()))
	return &p
}

// limit is how long the subject must wait before it may start another attempt.
func (k *Kit) limit(h *held) time.Duration {
	open := 0
	for i := range h.attempts {
		if a := &h.attempts[i]; !a.status.Final() {
			open++
		}
	}
	if open >= maxOpen {
		return k.cfg.StartedLimit
	}
	return k.cfg.StartLimit(h.now, slices.Clone(h.starts))
}

// begin writes the new attempt before the provider knows of it, so that not even
// a webhook which overtakes the provider's answer is lost.
func (s *starter) begin(ctx context.Context, h *held) (*attempt, error) {
	// An attempt that never got its token, and whose time for that is up, is
	// replaced, so that there are never two that could be used.
	h.attempts = slices.DeleteFunc(h.attempts, func(a attempt) bool { return a.unheardOf() && !h.now.Before(a.askingTo) })
	a := s.kit.addAttempt(h, s.subject, s.provider.Name())
	a.askingTo = a.createdAt.Add(askTime)
	a.context = s.kit.sealContext(address{s.hash, a.id}, s.context)
	return a, s.kit.save(ctx, h)
}

// addAttempt gives a subject a new attempt.
func (k *Kit) addAttempt(h *held, subject, provider string) *attempt {
	at := address{h.subject, newAttemptID()}
	now := h.now.Truncate(time.Millisecond) // as the record keeps it
	h.attempts = append(h.attempts, attempt{
		id:        at.attempt,
		reference: k.keys.newReference(at),
		provider:  provider,
		status:    identity.Created,
		createdAt: now,
		begunAt:   k.cfg.Now(),
		updatedAt: now,
	})
	h.starts = append(h.starts, now)
	if surplus := len(h.starts) - maxStarts; surplus > 0 {
		h.starts = slices.Delete(h.starts, 0, surplus)
	}
	h.record.subject = k.keys.seal(sealSubject, h.subject.key(), []byte(subject))
	return &h.attempts[len(h.attempts)-1]
}

// ask gets the token from the provider, and writes it down: in h, which is the
// record as it was just written.
func (s *starter) ask(ctx context.Context, h *held, a *attempt) (*startedAttempt, *problem, error) {
	k, at := s.kit, address{s.hash, a.id}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	session, err := s.provider.Start(ctx, identity.StartRequest{
		Reference:   a.reference,
		Metadata:    s.sent,
		CallbackURL: k.url("webhook", "provider", a.provider),
		SuccessURL:  k.url("success", "attempt", a.reference),
		ErrorURL:    k.url("error", "attempt", a.reference),
	})
	if err == nil && !session.ExpiresAt.After(a.createdAt) {
		err = fmt.Errorf("%w, %w: the token that it gave has expired already", identity.ErrRefused, identity.ErrUncertain)
	}
	if err != nil {
		k.failed(ctx, OutcomeProviderFailed, err, "attempt", a.id)
		if err := s.forget(ctx, a, errors.Is(err, identity.ErrUncertain)); err != nil {
			k.failed(ctx, OutcomeStoreFailed, err, "attempt", a.id)
		}
		switch {
		case errors.Is(err, identity.ErrRefused):
			return nil, &problemRefused, nil
		case errors.Is(err, identity.ErrMalformed):
			return nil, &problemInternal, nil
		}
		return nil, &problemProviderAway, nil
	}
	sealed := k.keys.seal(sealToken, at.place(), []byte(session.Token))
	_, err = k.rewrite(ctx, s.hash, h, func(h *held) error {
		a := h.find(at.attempt)
		if a == nil {
			return errInFlight
		}
		a.askingTo, a.expiresAt = time.Time{}, session.ExpiresAt
		if a.status == identity.Created || a.status == identity.Started {
			a.token = sealed
		}
		return nil
	})
	if err != nil {
		return nil, &problemStoreAway, err
	}
	k.observe(ctx, OutcomeStarted, "attempt", a.id, "provider", a.provider)
	return &startedAttempt{reference: a.reference, session: session, locale: s.context.locale}, nil, nil
}

// forget takes back an attempt for which there is no token, unless something
// says that it is alive all the same. The start still counts if the provider may
// have charged for it.
func (s *starter) forget(ctx context.Context, failed *attempt, charged bool) error {
	return s.kit.rewriteAttempt(ctx, address{s.hash, failed.id}, func(h *held, a *attempt) error {
		refunded := a.unheardOf() && !charged
		if i := slices.IndexFunc(h.starts, failed.createdAt.Equal); i >= 0 && refunded {
			h.starts = slices.Delete(h.starts, i, i+1)
		}
		return s.kit.release(h, failed.id)
	})
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
