package engine

import (
	"context"
	"errors"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

const (
	// staleEvery is how often a webhook that is too old to be believed may make the kit
	// ask the provider, for each attempt.
	staleEvery = 2 * time.Second
	// returnEvery is how often one user's coming back may make the kit ask.
	returnEvery = 2 * time.Second
	// returnWait bounds how long a user waits for the provider. The host's callback, if
	// the answer leads to one, comes on top, unless Policy.Async.
	returnWait = 3 * time.Second
)

// Deliver takes a webhook for the attempt at an address. The outcome says what came of
// it; an error that wraps [attempt.ErrInFlight], [attempt.ErrCallback],
// [attempt.ErrProvider] or [ErrStore] says why it has no effect yet.
func (e *Engine) Deliver(ctx context.Context, at attempt.Address, n identity.Notice) (attempt.Outcome, error) {
	res, err := e.process(ctx, at, nil, &attempt.Webhook{Notice: n, Clock: e.cfg.Now()})
	return res.Outcome, err
}

// Hint takes a webhook which may be anybody's, and says that there is news of the attempt
// at an address. It does not ask the provider, which is left to Run, so that a flood of
// hints comes to nothing more. The error wraps [ErrStore].
func (e *Engine) Hint(ctx context.Context, at attempt.Address, provider string) error {
	s, err := e.Load(ctx, at.Subject)
	if err != nil {
		return err
	}
	if a := s.Find(at.Attempt); a == nil || a.Provider != provider {
		return nil
	}
	res, err := e.process(ctx, at, s, attempt.Hinted{})
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err == nil && res.Todo.Changed {
		e.wakeUp()
	}
	return err
}

// DeliverStale treats an authentic webhook that is too old as what it is: a reason to ask
// the provider.
func (e *Engine) DeliverStale(ctx context.Context, at attempt.Address, n identity.Notice) (attempt.Outcome, error) {
	if settled, err := e.settled(ctx, at, n); settled || err != nil {
		return attempt.Duplicate, err
	}
	res, err := e.process(ctx, at, nil, attempt.Refresh{ID: n.Verification.ID, Every: staleEvery})
	switch {
	case errors.Is(err, ErrStore), errors.Is(err, attempt.ErrInFlight), errors.Is(err, attempt.ErrCallback):
		return Stale, err
	case err == nil && res.Word.Final():
		return attempt.Applied, nil
	}
	if settled, err := e.settled(ctx, at, n); settled || err != nil {
		return attempt.Duplicate, err
	}
	return Stale, nil
}

// settled reports whether a notice would change nothing if it were believed.
func (e *Engine) settled(ctx context.Context, at attempt.Address, n identity.Notice) (bool, error) {
	s, err := e.Load(ctx, at.Subject)
	if err != nil {
		return false, err
	}
	a := s.Find(at.Attempt)
	return a == nil || e.policy.Settled(a, &n), nil
}

// Return notes that the subject came back, and asks the provider if that may change
// anything. It returns the attempt as it then stands. An error means that the return,
// for which a verification may wait, could not be noted.
func (e *Engine) Return(ctx context.Context, at attempt.Address, s *Snapshot) (*attempt.Attempt, error) {
	a := s.Find(at.Attempt)
	in := attempt.Refresh{ID: a.ProviderID, Every: returnEvery, Returned: true}
	switch {
	case !a.Status.Final(), a.Lapsed, a.Holding():
	case e.policy.RequireReturn && !a.Returned:
		in.ID = "" // a final verdict may yet turn out to be another, and then waits for nobody
	default:
		return a, nil
	}
	now, err := e.refresh(ctx, at, a, in)
	if err != nil && (a.Returned || !e.policy.RequireReturn) {
		return a, nil
	}
	return now, err
}

// Refresh asks the provider for a user who waits, and returns the attempt as it then
// stands, or a, which is what is known, if that cannot be found out.
func (e *Engine) Refresh(ctx context.Context, at attempt.Address, a *attempt.Attempt, in attempt.Refresh) *attempt.Attempt {
	now, err := e.refresh(ctx, at, a, in)
	if err != nil {
		return a
	}
	return now
}

// refresh is Refresh with an error if the attempt could not be written.
func (e *Engine) refresh(ctx context.Context, at attempt.Address, a *attempt.Attempt, in attempt.Refresh) (*attempt.Attempt, error) {
	ctx, cancel := context.WithTimeout(ctx, returnWait)
	defer cancel()
	res, err := e.process(ctx, at, nil, in)
	if res.Snapshot == nil {
		return nil, err
	}
	if now := res.Snapshot.Find(at.Attempt); now != nil && err == nil {
		return now, nil
	}
	return a, nil
}

// Grant returns what a subject's verification grants, and nil if it has none that counts
// now, which is the store's clock. The error wraps [ErrStore].
func (e *Engine) Grant(ctx context.Context, of attempt.SubjectHash) (granted *attempt.Grant, now time.Time, err error) {
	g, _, now, err := e.readGrant(ctx, of)
	return e.grant(g, of, now), now, err
}

// readGrant returns what stands in a subject's record, or nil, whether it counts or not.
func (e *Engine) readGrant(ctx context.Context, of attempt.SubjectHash) (g *attempt.StoredGrant, version uint64, now time.Time, err error) {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := e.cfg.Store.Get(ctx, of.Key())
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, rec.Now, nil
	}
	if err == nil {
		g, err = attempt.DecodeGrant(rec.Value, of)
	}
	if err != nil {
		return nil, 0, rec.Now, storeError(ctx, err)
	}
	return g, rec.Version, rec.Now, nil
}

// grant is what a stored grant, which may be nil, grants now.
func (e *Engine) grant(g *attempt.StoredGrant, of attempt.SubjectHash, now time.Time) *attempt.Grant {
	if g == nil || !e.policy.Counts(&g.Grant, now) {
		return nil
	}
	e.policy.ComeOfAge(g, of, now)
	return &g.Grant
}

// Kept returns the fields that the host keeps of the verification on which the subject's
// grant rests. ok is false if none counts now.
func (e *Engine) Kept(ctx context.Context, of attempt.SubjectHash) (v identity.Verification, ok bool, err error) {
	s, err := e.Load(ctx, of)
	if err != nil {
		return v, false, err
	}
	a := s.Granting()
	if a == nil || !e.policy.Counts(s.Grant(), s.Now) {
		return v, false, nil
	}
	v, err = e.policy.OpenKept(a)
	return v, err == nil, err
}

// Erase forgets a subject. See okidhttp.Kit.Erase.
func (e *Engine) Erase(ctx context.Context, of attempt.SubjectHash) error {
	if e.cfg.EraseAtProvider {
		if err := e.orderErasures(ctx, of); err != nil {
			return err
		}
	}
	if err := e.eraseDocuments(ctx, of); err != nil {
		return err
	}
	if e.cfg.SupportCodes {
		if err := e.forgetCodes(ctx, of); err != nil {
			return err
		}
	}
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	err := e.cfg.Store.Delete(ctx, of.Key())
	e.grants.forget(of)
	if err != nil {
		return storeError(ctx, err)
	}
	return e.unlist(ctx, of)
}

// Watch returns a channel that tells of changes to a subject's record until ctx is done,
// and nil if the store tells of none.
func (e *Engine) Watch(ctx context.Context, of attempt.SubjectHash) <-chan struct{} {
	if e.notifier == nil {
		return nil
	}
	changed, err := e.notifier.Watch(ctx, of.Key())
	if err != nil {
		return nil // whoever watches looks more often
	}
	return changed
}
