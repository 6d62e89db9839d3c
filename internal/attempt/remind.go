package attempt

import (
	"time"

	"github.com/okidkit/okidkit/identity"
)

// Expiring is the status of the event that a verification will soon stop to count. No
// attempt has it.
const Expiring = identity.Status("expiring")

// Remind says that it is time to tell the host that a verification will stop to count.
// Superseded says that a newer one of the subject's stands.
type Remind struct{ Superseded bool }

func (Remind) input() {}

// endOf is when a grant stops to count by itself, and zero if it does not.
func (p *Policy) endOf(g *Grant) (end time.Time) {
	if p.MaxAge > 0 {
		end = g.VerifiedAt.Add(p.MaxAge)
	}
	if d := g.DocumentExpiry; d.Exists() && !p.AllowExpiredDocument {
		if last := time.Date(d.Year, d.Month, d.Day+1, 0, 0, 0, 0, p.Location); end.IsZero() || last.Before(end) {
			end = last
		}
	}
	return end
}

// remindAt is when the host is to be told that an attempt's verification will stop to
// count, and zero if it is not, or knows.
func (p *Policy) remindAt(a *Attempt) time.Time {
	if !p.Hears[Expiring] || a.Reminded || a.Status != identity.Verified || a.Grant == nil {
		return time.Time{}
	}
	end := p.endOf(&a.Grant.Grant)
	if end.IsZero() {
		return end
	}
	return end.Add(-p.RemindBefore)
}

// remind tells the host, once, unless it is too late or of no interest.
func (p *Policy) remind(a *Attempt, in Remind, now time.Time) Todo {
	at := p.remindAt(a)
	if at.IsZero() || now.Before(at) {
		return Todo{}
	}
	a.Reminded = true
	if in.Superseded || !p.Counts(&a.Grant.Grant, now) {
		return Todo{Changed: true}
	}
	p.queue(a, Entry{Status: Expiring, Applied: true}, &identity.Verification{
		ID: a.ProviderID, Status: identity.Verified, DocumentType: a.Grant.DocumentType, DocumentExpiry: a.Grant.DocumentExpiry,
	}, now)
	if a.leased(now) {
		return Todo{Changed: true, Outcome: Queued}
	}
	return changed(p.proceed(a, p.takeLease(a, a.entry(a.Events), now), now))
}
