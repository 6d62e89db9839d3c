package okidhttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// staleEvery is how often a webhook that is too old to be believed may make the
// kit ask the provider, for each attempt.
const staleEvery = 2 * time.Second

// Webhook receives the provider's signed events: POST only.
//
// It answers 200 if the event took effect, was delivered before, or means
// nothing; then it is never needed again. 401: the signature or timestamp is
// missing or wrong; 400: it is signed but cannot be read; 405; 408; 413; 415: the
// body is encoded; 500: the host's callback failed, or the body had been read before;
// 503 with Retry-After: the store is away, a provider that must be asked is, the event
// is being handled at this moment, or there is too much to do. After 500 and 503
// the event is durable or not acknowledged, and a sender that tries again loses
// nothing.
func (k *Kit) Webhook() http.Handler { return http.HandlerFunc(k.webhook) }

func (k *Kit) webhook(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if !k.allow(w, r, http.MethodPost) {
		return
	}
	p, ok := k.provider(r)
	verifier, signs := p.(identity.WebhookVerifier)
	if !ok || !signs {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	body, bad := k.webhooks.read(w, r)
	if bad != nil {
		k.refuse(w, r, *bad)
		return
	}
	defer body.release()

	n, err := verifier.VerifyWebhook(r.Header, body.bytes, k.cfg.Now())
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
	body.release() // what is signed has a bound of its own
	if !k.enter(w, r, &k.webhooksInFlight) {
		return
	}
	defer k.webhooksInFlight.Add(-1)

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
			k.failed(ctx, OutcomeCallbackFailed, err, "notice", n)
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
