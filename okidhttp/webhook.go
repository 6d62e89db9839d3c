package okidhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/body"
	"github.com/okidkit/okidkit/internal/engine"
)

// Webhook receives the provider's events. It takes a POST.
//
// From a provider that is an [identity.HintReader] and signs nothing, every event that can be
// read is answered with 200, whoever it names, and has no other effect than that [Kit.Run] asks
// the provider about the attempt that it names, at most once in two seconds. The rest is about
// providers that sign.
//
// The answer is 200 if the event took effect, was delivered before, or means nothing, so that
// it need not be sent again. After 500 and 503 the event is either durable or not acknowledged,
// so a sender that tries again loses nothing: 500 if the host's callback failed, or if the body
// was read by something in front of the kit; 503 with Retry-After if the store, or a provider
// that must be asked, cannot be reached, if the event is being handled at this moment, or if
// there is too much to do. Other answers are 400 if the event is signed but cannot be read; 401
// if the signature or the timestamp is missing or wrong; 405; 408; 413; and 415 if the body is
// encoded.
func (k *Kit) Webhook() http.Handler { return k.route("webhook", k.webhook) }

func (k *Kit) webhook(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if !k.allow(w, r, http.MethodPost) {
		return
	}
	p := k.providers.chosen(r)
	verifier, signs := p.(identity.WebhookVerifier)
	hints, hinted := p.(identity.HintReader)
	if !signs && !hinted {
		k.problem(w, r, problemNoProvider, nil)
		return
	}
	k.engine.ByProvider(ctx, p.Name())
	body, err := k.webhooks.Read(w, r)
	if err != nil {
		k.refuse(w, r, err)
		return
	}
	defer body.Release()
	if !signs {
		k.hint(w, r, p, hints, body)
		return
	}

	n, err := verifier.VerifyWebhook(r.Header, body.Bytes, k.cfg.Now())
	stale := errors.Is(err, identity.ErrStale)
	switch {
	case err == nil, stale:
	case errors.Is(err, identity.ErrMalformed):
		k.engine.Observe(ctx, engine.Malformed, "provider", p.Name(), "error", err)
		k.problem(w, r, problemMalformed, nil)
		return
	default:
		k.engine.Observe(ctx, engine.Unauthentic, "provider", p.Name(), "error", err)
		k.problem(w, r, problemUnauthentic, nil)
		return
	}
	body.Release() // what is signed has a bound of its own
	if !k.enter(w, r, &k.webhooksInFlight) {
		return
	}
	defer k.webhooksInFlight.Add(-1)

	n = attempt.Received(n, p.Name())
	at, ok := k.engine.OpenReference(n.Reference)
	var outcome attempt.Outcome
	switch {
	case ok && stale:
		outcome, err = k.engine.DeliverStale(ctx, at, n)
	case ok:
		outcome, err = k.engine.Deliver(ctx, at, n)
	case stale: // and nobody could be asked about it
		outcome, err = engine.Stale, nil
	default:
		outcome, err = attempt.UnknownAttempt, nil
	}
	k.answer(w, r, n, at.Attempt, outcome, err)
}

// hint takes a webhook that may be anybody's.
func (k *Kit) hint(w http.ResponseWriter, r *http.Request, p identity.Provider, hints identity.HintReader, b *body.Body) {
	ctx := r.Context()
	hint, err := hints.ReadHint(r.Header, b.Bytes)
	if err != nil {
		k.engine.Observe(ctx, engine.Malformed, "provider", p.Name(), "error", err)
		k.problem(w, r, problemMalformed, nil)
		return
	}
	b.Release()
	if !k.enter(w, r, &k.webhooksInFlight) {
		return
	}
	defer k.webhooksInFlight.Add(-1)
	k.engine.Observe(ctx, engine.Hinted, "provider", p.Name())
	if at, ok := k.engine.OpenReference(hint.Reference); ok {
		if err := k.engine.Hint(ctx, at, p.Name()); err != nil {
			k.storeAway(w, r, err)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

// answer tells the sender what came of its notice.
func (k *Kit) answer(w http.ResponseWriter, r *http.Request, n identity.Notice, id attempt.ID, outcome attempt.Outcome, err error) {
	ctx := r.Context()
	if outcome == attempt.UnknownAttempt && k.cfg.OnUnknown != nil {
		err := k.engine.Call(ctx, func(ctx context.Context) error { return k.cfg.OnUnknown(ctx, n) })
		if err != nil {
			err := engine.CallbackError(engine.Event{Verification: n.Verification, Metadata: n.Metadata}, err)
			k.engine.Failed(ctx, attempt.CallbackFailed, err, "notice", n)
			k.problem(w, r, problemCallback, nil)
			return
		}
	}
	switch {
	case errors.Is(err, attempt.ErrCallback):
		k.problem(w, r, problemCallback, nil) // which the engine has logged
		return
	case errors.Is(err, attempt.ErrProvider):
		k.problem(w, r, problemProviderAway, nil)
		return
	case outcome == attempt.DeadLetter && err == nil:
		w.WriteHeader(http.StatusOK)
		return
	}
	k.engine.ObserveNotice(ctx, outcome, n, id, err)
	switch {
	case errors.Is(err, attempt.ErrInFlight):
		k.problem(w, r, problemInFlight, nil)
	case err != nil:
		k.problem(w, r, problemStoreAway, nil)
	case outcome == engine.Stale:
		k.problem(w, r, problemUnauthentic, nil)
	default:
		w.WriteHeader(http.StatusOK)
	}
}
