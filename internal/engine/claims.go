package engine

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

const (
	// claimRetention is how long a verification belongs to the subject who claimed it,
	// whatever becomes of the subject's record.
	claimRetention = 10 * 365 * 24 * time.Hour
	// claimFormat is the first byte of the record that says whose a verification is,
	// which the address of its attempt follows.
	claimFormat = 2
)

// ErrClaimTaken is returned by [Engine.Claim] if the verification was claimed before.
var ErrClaimTaken = errors.New("verification was claimed before")

// claimer ties a verification to a subject.
//
// A claim is used at one moment: when the record comes into being that says whose it is.
// Before that it is noted with the attempt that is to have it, so that [Engine.Run] can
// finish what a process that died has begun. After that it is used for good, whatever
// becomes of the subject's record.
type claimer struct {
	*Engine
	attempt.Claim
	subject string
	hash    attempt.SubjectHash
}

// Claim gives a subject's attempt a verification whose id is authentic, and returns the
// attempt as it stands after the provider was asked. The errors are [ErrClaimTaken], a
// [LimitError], and others that mean that it is not known yet.
func (e *Engine) Claim(ctx context.Context, subject string, claim attempt.Claim) (*attempt.Attempt, error) {
	c := claimer{e, claim, subject, attempt.HashSubject(subject)}
	a, err := c.claim(ctx)
	if errors.Is(err, ErrClaimTaken) {
		e.Observe(ctx, ClaimTaken, "provider", c.Provider)
	}
	return a, err
}

func (c *claimer) claim(ctx context.Context) (*attempt.Attempt, error) {
	s, err := c.Load(ctx, c.hash)
	if err != nil {
		return nil, err
	}
	a := c.Claimed(s.Record)
	if a == nil {
		var fresh bool
		if s, fresh, err = c.note(ctx, s); err != nil {
			return nil, err
		}
		if a = c.Claimed(s.Record); a == nil { // or somebody has been quicker
			a = c.Noted(s.Record)
			at := a.Address()
			switch err := c.use(ctx, at.Attempt); {
			case errors.Is(err, ErrClaimTaken):
				return nil, errors.Join(err, c.forget(ctx, at))
			case err != nil:
				return nil, err
			case fresh:
				return c.ask(ctx, s, a)
			}
			if _, err := c.process(ctx, at, nil, &attempt.Claimed{ID: c.ID}); err != nil {
				return nil, err
			}
		}
	}
	if a.Status == identity.Verified {
		return a, nil
	}
	return c.Refresh(ctx, a.Address(), a, attempt.Refresh{ID: c.ID, Every: returnEvery, Returned: true}), nil
}

// note writes down which attempt is to have the verification, unless that is done already
// or the claim is used. fresh is true if it was not noted before.
func (c *claimer) note(ctx context.Context, s *Snapshot) (noted *Snapshot, fresh bool, err error) {
	if c.Noted(s.Record) == nil {
		if c.Open(s.Record) == nil {
			if err := c.limited(ctx, s); err != nil {
				return nil, false, err // and the verification can be claimed later
			}
		}
		by, used, err := c.user(ctx)
		if err == nil && used && by.Subject == c.hash { // perhaps at this moment, in another tab
			s, err = c.Load(ctx, c.hash)
		}
		switch {
		case err != nil:
			return nil, false, err
		case used && (by.Subject != c.hash || c.Claimed(s.Record) == nil && c.Noted(s.Record) == nil):
			return nil, false, ErrClaimTaken
		}
	}
	noted, err = c.rewrite(ctx, c.hash, s, func(s *Snapshot) error {
		fresh = false
		if c.Claimed(s.Record) != nil || c.Noted(s.Record) != nil {
			return errUnchanged
		}
		a := c.Open(s.Record)
		if a == nil {
			if err := c.limited(ctx, s); err != nil {
				return err
			}
			a = c.newAttempt(s, c.subject, c.Provider)
		}
		c.Note(a, s.Now)
		fresh = true
		return nil
	})
	return noted, fresh, err
}

// forget takes back what was noted of a verification that is somebody else's.
func (c *claimer) forget(ctx context.Context, at attempt.Address) error {
	return c.rewriteAttempt(ctx, at, func(s *Snapshot, _ *attempt.Attempt) error {
		if !c.Forget(s.Record, at.Attempt) {
			return errUnchanged
		}
		return nil
	})
}

// finishClaim does what is left of a claim that was noted.
func (e *Engine) finishClaim(ctx context.Context, at attempt.Address, a *attempt.Attempt) error {
	c := claimer{Engine: e, hash: at.Subject, Claim: attempt.Claim{Provider: a.Provider, ID: a.ClaimID}}
	err := c.use(ctx, a.ID)
	if errors.Is(err, ErrClaimTaken) {
		return c.forget(ctx, at)
	} else if err != nil {
		return err
	}
	_, err = c.process(ctx, at, nil, &attempt.Claimed{ID: c.ID})
	return err
}

// ask fetches the verdict, and gives the attempt the verification along with it. Without
// a verdict the worker follows the attempt.
func (c *claimer) ask(ctx context.Context, s *Snapshot, a *attempt.Attempt) (*attempt.Attempt, error) {
	at := a.Address()
	ctx, cancel := context.WithTimeout(ctx, returnWait)
	defer cancel()
	answer := c.Engine.ask(ctx, at, s, a.Ask(c.ID))
	// The claim is used, so what comes of it is written.
	res, err := c.process(context.WithoutCancel(ctx), at, s, &attempt.Claimed{ID: c.ID, Answer: answer})
	if err == nil {
		c.ObserveNotice(ctx, res.Outcome, answer.Notice, at.Attempt, nil)
		if a := res.Snapshot.Find(at.Attempt); a != nil {
			return a, nil
		}
	} else if errors.Is(err, ErrStore) {
		c.Failed(ctx, StoreFailed, err, "attempt", at.Attempt)
	}
	s, reloaded := c.Load(context.WithoutCancel(ctx), c.hash)
	if reloaded != nil {
		return nil, reloaded
	}
	switch a := s.Find(at.Attempt); {
	case a == nil: // erased meanwhile
		return nil, ErrClaimTaken
	case a.ProviderID == c.ID:
		return a, nil
	}
	return nil, err // Run finishes it, or the same claim again
}

// key is the key of the record that says whose the verification is.
func (c *claimer) key() string {
	sum := sha256.Sum256([]byte("okidkit claim\x00" + c.Provider + "\x00" + c.ID))
	return "c:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// user is the attempt for which the claim was used, if it was.
func (c *claimer) user(ctx context.Context) (by attempt.Address, used bool, err error) {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	rec, err := c.cfg.Store.Get(ctx, c.key())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return by, false, nil
	case err == nil && (len(rec.Value) != 1+attempt.AddressLen || rec.Value[0] != claimFormat):
		err = attempt.ErrCorrupt
	}
	if err != nil {
		return by, false, storeError(ctx, err)
	}
	return attempt.AddressAt([]byte(rec.Value[1:])), true, nil
}

// use makes the verification the attempt's. The error is ErrClaimTaken if it was used for
// another one.
func (c *claimer) use(ctx context.Context, id attempt.ID) error {
	mine := attempt.Address{Subject: c.hash, Attempt: id}
	value := append([]byte{claimFormat}, mine.Place()...)
	err := c.write(ctx, c.key(), store.Write{Value: value, Version: randomNonZero(), TTL: claimRetention})
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	by, used, err := c.user(ctx)
	switch {
	case err != nil:
		return err
	case !used:
		return storeError(ctx, store.ErrConflict) // it has just ended, after all these years
	case by != mine:
		return ErrClaimTaken
	}
	return nil
}
