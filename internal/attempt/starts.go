package attempt

import (
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

const (
	// maxOpen bounds the attempts of a subject that are not finished.
	maxOpen = 32
	// tokenMargin is how long a token must still live to be given out again.
	tokenMargin = time.Minute
)

// Begin gives a subject a new attempt. clock is the kit's.
func (p *Policy) Begin(r *Record, id ID, reference, subject, provider string, now, clock time.Time) *Attempt {
	now = now.Truncate(time.Millisecond) // as the record keeps it
	r.Attempts = append(r.Attempts, Attempt{
		ID:        id,
		Reference: reference,
		Provider:  provider,
		Status:    identity.Created,
		CreatedAt: now,
		BegunAt:   clock,
		UpdatedAt: now,
		of:        r.of,
	})
	r.Starts = append(r.Starts, now)
	if surplus := len(r.Starts) - MaxStarts; surplus > 0 {
		r.Starts = slices.Delete(r.Starts, 0, surplus)
	}
	p.SealSubject(r, subject)
	return &r.Attempts[len(r.Attempts)-1]
}

// Limit returns how long the subject must wait before another attempt, if the host's
// limit is this.
func (p *Policy) Limit(r *Record, limit func(time.Time, []time.Time) time.Duration, now time.Time) time.Duration {
	open := 0
	for i := range r.Attempts {
		if !r.Attempts[i].Status.Final() {
			open++
		}
	}
	if open >= maxOpen {
		return p.StartedLimit
	}
	return limit(now, slices.Clone(r.Starts))
}

// RuledOut returns the attempt whose refusal rules out another one, or nil.
func (r *Record) RuledOut() *Attempt {
	return r.first(func(a *Attempt) bool { return a.RuledOut })
}

// Last returns the attempt that was begun last, or nil.
func (r *Record) Last() *Attempt {
	if len(r.Attempts) == 0 {
		return nil
	}
	return &r.Attempts[len(r.Attempts)-1]
}

// Resumable returns an attempt whose token can still be used, and the token. asking is
// true if there is none, but another start is about to get one.
func (p *Policy) Resumable(r *Record, provider string, now time.Time) (a *Attempt, session identity.Session, asking bool) {
	for i := range r.Attempts {
		a := &r.Attempts[i]
		if a.Provider != provider || a.Status != identity.Created && a.Status != identity.Started {
			continue
		}
		if a.Token != nil && now.Add(tokenMargin).Before(a.ExpiresAt) {
			if token, err := p.OpenToken(a); err == nil {
				return a, identity.Session{Token: token, ID: a.ProviderID, ExpiresAt: a.ExpiresAt}, false
			}
		}
		if a.Token == nil && now.Before(a.AskingTo) {
			asking = true
		}
	}
	return nil, identity.Session{}, asking
}

// Replace drops attempts that never got their token, and whose time for that is up, so
// that there are never two that could be used.
func (r *Record) Replace(now time.Time) {
	r.Attempts = slices.DeleteFunc(r.Attempts, func(a Attempt) bool { return a.unheardOf() && !now.Before(a.AskingTo) })
}

// Abandon ends a start that asks for a token. An attempt that got none, and of which
// nothing was ever heard, is dropped; another one ends like one that was started. It
// reports whether anything changed.
func (p *Policy) Abandon(r *Record, id ID, now time.Time) bool {
	a := r.Find(id)
	if a == nil || a.AskingTo.IsZero() {
		return false
	}
	a.AskingTo = time.Time{}
	if a.unheardOf() {
		r.Attempts = slices.DeleteFunc(r.Attempts, func(a Attempt) bool { return a.ID == id })
	} else if a.ExpiresAt.IsZero() {
		a.ExpiresAt = now.Add(p.StartedLimit)
	}
	return true
}

// unheardOf reports whether nobody can know of an attempt: there is no token for it, and
// the provider has told nothing of it.
func (a *Attempt) unheardOf() bool {
	return a.Status == identity.Created && a.Token == nil && a.ProviderID == "" && a.ClaimID == "" && len(a.Outbox) == 0
}

// Settled reports whether a webhook would change nothing if it were believed.
func (p *Policy) Settled(a *Attempt, n *identity.Notice) bool {
	if !p.belongs(a, n) {
		return true
	}
	next, asks := a.next(n.Verification.Status, fromWebhook)
	return a.awaits(n.Verification.Status) == nil && next == "" && !asks
}

// Refund takes the start of an attempt of which nobody can know back, so that it does not
// count for the host's limit.
func (r *Record) Refund(a *Attempt) {
	if i := slices.IndexFunc(r.Starts, a.CreatedAt.Equal); i >= 0 && a.unheardOf() {
		r.Starts = slices.Delete(r.Starts, i, i+1)
	}
}
