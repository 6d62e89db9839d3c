package okidhttp

import (
	"context"
	"errors"
	"time"

	"github.com/okidkit/okidkit/internal/engine"
)

// Overview is how much [Kit.Run] has to do, and what has come of things so far.
type Overview struct {
	// Due is how many records wait for Run now, counted up to a thousand.
	Due int
	// OldestDue is since when the one has been due that has waited longest. It is zero if none is.
	OldestDue time.Time
	// Outcomes are how often each outcome has come up in this process since [New].
	Outcomes map[Outcome]int64
}

// Overview returns how much there is to do. An error means that the store cannot be read; the
// Outcomes are there all the same.
func (k *Kit) Overview(ctx context.Context) (Overview, error) {
	o := Overview{Outcomes: map[Outcome]int64{}}
	for outcome, n := range k.engine.Tally() {
		o.Outcomes[Outcome(outcome)] = n
	}
	var err error
	o.Due, o.OldestDue, err = k.engine.Backlog(ctx)
	return o, err
}

// ErrNoAttempt is returned by [Kit.Find] if there is no such attempt, or not any more.
var ErrNoAttempt = errors.New("okidhttp: no such attempt")

// Find returns the subject whose attempt has a reference, as [Event.Attempt] and the links of the pages
// have it, or, with [Config.SupportCodes], a support code. The error is [ErrNoAttempt], and others
// mean that the store cannot be read or that the key is gone which sealed the subject. Support codes
// are found for as long as [Config.UnverifiedRetention] after the start, and neither after
// [Kit.Erase].
func (k *Kit) Find(ctx context.Context, code string) (subject string, err error) {
	subject, err = k.engine.FindSubject(ctx, code)
	if errors.Is(err, engine.ErrGone) {
		return "", ErrNoAttempt
	}
	return subject, err
}
