package okidhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// bodyTimeout is how long the body of a webhook may take to arrive.
const bodyTimeout = 10 * time.Second

// staleEvery is how often a webhook that is too old to be believed may make the
// kit ask the provider, for each attempt.
const staleEvery = 2 * time.Second

// Webhook receives the provider's signed events: POST only.
//
// It answers 200 if the event took effect, was delivered before, or means
// nothing; then it is never needed again. 401: the signature or timestamp is
// missing or wrong; 400: it is signed but cannot be read; 405; 408; 413; 415: the
// body is encoded; 500: the host's callback failed; 503 with Retry-After: the
// store is away, a provider that must be asked is, or the event is being handled
// at this moment. After 500 and 503
// the event is durable or not acknowledged, and a sender that tries again loses
// nothing.
func (k *Kit) Webhook() http.Handler { return http.HandlerFunc(k.webhook) }

func (k *Kit) webhook(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if !k.allow(w, r, http.MethodPost) || !k.enter(w, r) {
		return
	}
	defer k.leave()
	p, ok := k.provider(r)
	verifier, signs := p.(identity.WebhookVerifier)
	if !ok || !signs {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	body, bad := k.readBody(w, r)
	if bad != nil {
		if bad.Code == problemBodyRead.Code {
			k.observe(ctx, OutcomeBodyRead)
		}
		k.problem(w, r, *bad, nil)
		return
	}

	n, err := verifier.VerifyWebhook(r.Header, body, k.cfg.Now())
	stale := errors.Is(err, identity.ErrStale)
	switch {
	case err == nil, stale:
	case errors.Is(err, identity.ErrMalformed):
		k.observe(ctx, OutcomeMalformed, "provider", p.Name(), "error", err)
		k.problem(w, r, problemMalformed, nil)
		return
	default:
		k.observe(ctx, OutcomeUnauthentic, "provider", p.Name(), "error", err)
		k.problem(w, r, problemUnauthentic, nil)
		return
	}

	n = received(n, p.Name())
	at, err := k.keys.openReference(n.Reference)
	if err != nil {
		outcome := OutcomeUnknownAttempt
		if stale { // and nobody could be asked about it
			outcome = OutcomeStale
		}
		k.answer(w, r, n, attemptID{}, outcome, nil)
		return
	}
	deliver := k.deliverSigned
	if stale {
		deliver = k.deliverStale
	}
	outcome, err := deliver(ctx, at, n)
	k.answer(w, r, n, at.attempt, outcome, err)
}

func (k *Kit) deliverSigned(ctx context.Context, at address, n identity.Notice) (Outcome, error) {
	return k.deliver(ctx, at, n, fromWebhook, "")
}

// deliverStale treats an authentic webhook that is too old as what it is: a
// reason to ask the provider.
func (k *Kit) deliverStale(ctx context.Context, at address, n identity.Notice) (Outcome, error) {
	if settled, err := k.settled(ctx, at, n); settled || err != nil {
		return OutcomeDuplicate, err
	}
	word, err := k.refresh(ctx, at, refreshRequest{id: n.Verification.ID, every: staleEvery})
	switch {
	case errors.Is(err, errStore), errors.Is(err, errInFlight), errors.Is(err, errCallback):
		return OutcomeStale, err
	case err == nil && word.Final():
		return OutcomeApplied, nil
	}
	if settled, err := k.settled(ctx, at, n); settled || err != nil {
		return OutcomeDuplicate, err
	}
	return OutcomeStale, nil
}

// settled reports whether a notice would change nothing if it were believed.
func (k *Kit) settled(ctx context.Context, at address, n identity.Notice) (bool, error) {
	h, err := k.load(ctx, at.subject)
	if err != nil {
		return false, err
	}
	a, status := h.find(at.attempt), n.Verification.Status
	if a == nil || !k.belongs(n, at, a) {
		return true, nil
	}
	next, contradicts := transition(a, status, fromWebhook)
	return a.awaits(status) == nil && next == "" && !contradicts, nil
}

// answer tells the sender what came of its notice.
func (k *Kit) answer(w http.ResponseWriter, r *http.Request, n identity.Notice, id attemptID, outcome Outcome, err error) {
	ctx := r.Context()
	if outcome == OutcomeUnknownAttempt && k.cfg.OnUnknown != nil {
		if err := k.callUnknown(ctx, n); err != nil {
			err := &callbackError{event: Event{Verification: n.Verification, Metadata: n.Metadata}, err: err}
			k.observe(ctx, OutcomeCallbackFailed, "notice", n, "error", err)
			k.problem(w, r, problemCallback, nil)
			return
		}
	}
	switch {
	case errors.Is(err, errCallback):
		k.problem(w, r, problemCallback, nil) // postpone has logged it
		return
	case errors.Is(err, errProvider):
		k.problem(w, r, problemProviderAway, nil)
		return
	case outcome == OutcomeDeadLetter && err == nil:
		w.WriteHeader(http.StatusOK)
		return
	}
	k.observeNotice(ctx, outcome, n, id, err)
	switch {
	case errors.Is(err, errInFlight):
		k.problem(w, r, problemInFlight, nil)
	case err != nil:
		k.problem(w, r, problemStoreAway, nil)
	case outcome == OutcomeStale:
		k.problem(w, r, problemUnauthentic, nil)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

func (k *Kit) callUnknown(ctx context.Context, n identity.Notice) error {
	return k.call(ctx, func(ctx context.Context, _ Event) error { return k.cfg.OnUnknown(ctx, n) }, Event{})
}

// maxBodyHint bounds the memory that is made ready for a body of which nothing has
// come yet, in bytes.
const maxBodyHint = 8 << 10

// readBody reads the body of a webhook as it is on the wire, or says what is
// wrong with it.
func (k *Kit) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	for _, encoding := range r.Header["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return nil, &problemEncodedBody
		}
	}
	if r.ContentLength > k.cfg.MaxBody {
		return nil, &problemBodyTooLarge
	}
	// The deadline is one in the past, set when the time is up, so that no clock
	// needs to be read.
	deadline := time.AfterFunc(bodyTimeout, func() {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // not every server can
	})
	body := make([]byte, 0, min(max(r.ContentLength, 0), maxBodyHint)+1) // so that the end shows
	body, err := readAll(body, http.MaxBytesReader(w, r.Body, k.cfg.MaxBody))
	inTime := deadline.Stop()
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		return nil, &problemBodyTooLarge
	case errors.Is(err, http.ErrBodyReadAfterClose), err == nil && len(body) == 0 && r.ContentLength > 0:
		return nil, &problemBodyRead
	case !inTime:
		return nil, &problemSlowBody
	case err != nil:
		return nil, &problemBadRequest
	}
	return body, nil
}

// readAll is io.ReadAll into memory that mostly is large enough.
func readAll(b []byte, from io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = slices.Grow(b, max(512, cap(b)))
		}
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		} else if err != nil {
			return b, err
		}
	}
}
