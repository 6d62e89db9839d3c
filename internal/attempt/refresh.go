package attempt

import (
	"errors"
	"time"

	"github.com/okidkit/okidkit/identity"
)

const (
	// refreshEvery is how often the worker asks the provider about an attempt that is
	// under way, in case its webhook was lost.
	refreshEvery = 4 * time.Minute
	// A claim is followed more closely: after 2, 4, 8 … 60 seconds, for as long as
	// claimLimit. Then the verdict is overdue.
	minClaimRefresh = 2 * time.Second
	maxClaimRefresh = time.Minute
	claimLimit      = 15 * time.Minute
	// An attempt whose id is known from the start is asked about when it is half a minute
	// old, and then again whenever it is a sixth older: less than thirty times in its
	// first hour. It becomes refreshEvery, and maxRefreshEvery as long as the provider
	// knows of nobody who has begun.
	minPoll   = 30 * time.Second
	pollSlows = 6
	// hintEvery is how often hints may make the kit ask, for each attempt.
	hintEvery = 2 * time.Second
	// hintTries is how often the provider is asked about a finished attempt, of which
	// there was a hint, if it does not answer.
	hintTries = 10
	// maxRefreshEvery is how far apart these questions become while the provider does
	// not answer them.
	maxRefreshEvery = 15 * time.Minute
	// Policy.RecheckVerified becomes recheckSlows times as long after as many times.
	recheckSlows = 7
	// minRecheck is how soon a verification is asked about again for which the provider
	// gave no answer; the pause doubles, up to what it would be anyway.
	minRecheck = time.Hour
)

// refresh asks the provider how the attempt stands, unless it was asked just now.
func (p *Policy) refresh(a *Attempt, in Refresh, now time.Time) Todo {
	if in.Routine && a.HintAt.IsZero() && p.refreshEvery(a, now) == 0 { // the verification does not count any more
		a.RefreshAt = time.Time{}
		return Todo{Changed: true}
	}
	asks := in.ID != "" && now.Sub(a.FetchedAt) >= in.Every && !now.Before(a.QuietUntil)
	if !asks && (!in.Returned || a.Returned) {
		return Todo{}
	}
	if in.Returned {
		a.markReturned(now)
	}
	if !asks {
		return Todo{Changed: true}
	}
	ask := a.Ask(in.ID)
	ask.routine, ask.hinted = in.Routine, !a.HintAt.IsZero()
	a.FetchedAt, a.HintAt = now, time.Time{}
	p.scheduleRefresh(a, now)
	return Todo{Changed: true, Ask: ask}
}

// Ask returns a question to the provider about a verification of the attempt as it is
// now.
func (a *Attempt) Ask(id string) *Ask { return &Ask{ID: id, status: a.Status, events: a.Events} }

// refreshed takes the provider's present word, or waits longer for it.
func (p *Policy) refreshed(a *Attempt, in *Answer, src source, now time.Time) Todo {
	if in.Err != nil {
		return p.unanswered(a, in, now)
	}
	answered := in.Ask.routine && a.Unanswered > 0
	if answered {
		a.Unanswered = 0
	}
	todo := p.accept(a, &in.Notice, src, in.Clock, now)
	todo.Changed = todo.Changed || answered
	return todo
}

// sourceOf says how far an answer is believed: as little as a webhook if it was overtaken
// while it was on its way.
func (a *Attempt) sourceOf(in *Answer) source {
	if a.Status != in.Ask.status {
		return fromWebhook
	}
	return fromFetch
}

// unanswered notes that the provider did not answer.
func (p *Policy) unanswered(a *Attempt, in *Answer, now time.Time) Todo {
	if a.NotYet(in.Err) {
		return Todo{}
	}
	todo := Todo{Outcome: ProviderFailed, Err: in.Err}
	if pause, ok := quietFor(in.Err); ok {
		a.QuietUntil = now.Add(pause)
		if !a.RefreshAt.IsZero() {
			a.RefreshAt = latest(a.RefreshAt, a.QuietUntil)
		}
		todo.Changed = true
	}
	if !in.Ask.routine {
		return todo
	}
	a.Unanswered++
	if in.Ask.hinted && a.HintAt.IsZero() && a.Unanswered < hintTries {
		a.HintAt = latest(now.Add(minPoll<<(a.Unanswered-1)), a.QuietUntil)
	}
	if !a.RefreshAt.IsZero() && a.ClaimedAt.IsZero() {
		first, most := refreshEvery, maxRefreshEvery
		switch {
		case a.Status == identity.Verified:
			first, most = minRecheck, p.refreshEvery(a, now)
		case a.Polled:
			first = p.refreshEvery(a, now)
		}
		a.RefreshAt = latest(now.Add(min(first<<min(a.Unanswered-1, 8), most)), a.QuietUntil)
	}
	return changed(todo)
}

// NotYet reports whether an error of the provider's means that the subject has not come
// far enough for an answer.
func (a *Attempt) NotYet(err error) bool {
	return a.Polled && !a.Status.Final() && errors.Is(err, identity.ErrNotFound)
}

// hinted lets the worker ask soon, if that may change anything.
func (a *Attempt) hinted(now time.Time) Todo {
	if a.ProviderID == "" || a.ByStaff || !a.HintAt.IsZero() {
		return Todo{}
	}
	a.HintAt = latest(latest(a.FetchedAt.Add(hintEvery), a.QuietUntil), now)
	return Todo{Changed: true}
}

// Follow notes the id that the provider told at the start, by which it is asked from then
// on.
func (p *Policy) Follow(a *Attempt, id string, now time.Time) {
	if id == "" || a.ProviderID != "" {
		return
	}
	a.Polled = true
	p.learn(a, id, now)
}

// scheduleRefresh sets when the worker asks the provider about an attempt again, if it
// does.
func (p *Policy) scheduleRefresh(a *Attempt, now time.Time) {
	every := p.refreshEvery(a, now)
	if a.RefreshAt = now.Add(every); every == 0 {
		a.RefreshAt = time.Time{}
	}
}

// refreshEvery is how long the worker waits before it asks about an attempt again; 0: it
// does not.
func (p *Policy) refreshEvery(a *Attempt, now time.Time) time.Duration {
	switch {
	case a.ByStaff:
		return 0
	case a.Status == identity.Verified && a.Grant != nil && p.Counts(&a.Grant.Grant, now):
		every := max(p.RecheckVerified, 0)
		if now.Sub(a.Grant.VerifiedAt) >= recheckSlows*every {
			every *= recheckSlows
		}
		return every
	case a.Status.Final():
		return 0
	case !a.ClaimedAt.IsZero():
		return min(max(now.Sub(a.ClaimedAt), minClaimRefresh), maxClaimRefresh)
	case a.Polled:
		most := refreshEvery
		if a.Status == identity.Created {
			most = maxRefreshEvery
		}
		return min(max(now.Sub(a.CreatedAt)/pollSlows, minPoll), most)
	}
	return refreshEvery
}

// RoutineEvery returns how often the worker may ask about an attempt at most: another
// process may have asked meanwhile.
func (a *Attempt) RoutineEvery() time.Duration {
	if !a.HintAt.IsZero() {
		return hintEvery
	}
	return min(a.RefreshAt.Sub(a.FetchedAt)/2, refreshEvery/2)
}

// The pause after an answer that there were too many questions.
const (
	minQuiet     = 2 * time.Second
	defaultQuiet = time.Minute // if the provider names none
	maxQuiet     = time.Hour
)

// quietFor is how long the provider must not be asked after this error, and whether that
// is so at all.
func quietFor(err error) (time.Duration, bool) {
	limited, ok := errors.AsType[*identity.RateLimitError](err)
	switch {
	case !ok:
		return 0, false
	case limited.RetryAfter <= 0:
		return defaultQuiet, true
	}
	return min(max(limited.RetryAfter, minQuiet), maxQuiet), true
}

// overdue surfaces an attempt whose claim has led to no verdict in time.
func overdue(a *Attempt, now time.Time) Todo {
	if a.ClaimedAt.IsZero() {
		return Todo{}
	}
	a.ClaimedAt = time.Time{}
	a.Events++
	a.addLetter(Letter{Event: a.Events, Reason: DeadNoVerdict, Status: a.Status, Applied: true, Since: now})
	return Todo{Changed: true}
}
