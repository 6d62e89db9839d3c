package okidhttp

import (
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// admission is what admit made of a notice.
type admission struct {
	outcome Outcome
	changed bool  // the attempt was changed and must be written
	owed    int64 // the event for which a lease was taken; 0: none
	taken   bool  // that event is this notice's own
	refused bool  // a verification, for its document
}

// admit takes a notice into an attempt at time now: it decides whether the
// notice means anything, changes the attempt's status if that closes or merely
// informs, and leaves a pending notice behind, with a lease for the caller, if
// there is something to find out or to tell. It does no I/O.
func (k *Kit) admit(at address, a *attempt, n identity.Notice, src source, now time.Time) admission {
	v := n.Verification
	switch {
	case src != fromClock && !k.belongs(n, at, a):
		return admission{outcome: OutcomeUnknownAttempt}
	case src == fromWebhook && k.implausible(a, v, now):
		return admission{outcome: OutcomeImplausible}
	}
	changed := k.learn(a, v.ID, now)
	if v.Status == "" {
		return admission{outcome: OutcomeUnknownWord, changed: changed}
	}
	if a.byClock && v.Status == identity.Expired && src != fromClock {
		a.byClock, changed = false, true // the provider says itself what the clock had supposed
	}

	p := a.first(func(p *pending) bool {
		// Old news of a status that the attempt has left is not what the notice says.
		current := !p.applied || p.status == a.status
		// Who is told of a revocation is told what a denial says.
		same := p.status == v.Status || p.status == identity.Revoked && (v.Status == identity.Failed || v.Status == identity.Expired)
		return p.isOf(n) || current && same
	})
	if p != nil {
		if src == fromWebhook && !p.isOf(n) && !a.hasSeen(n.Digest) {
			// The same once more, and later: whoever is settling what was said before
			// must not drop this along with it.
			a.see(n.Digest)
			a.events++
			changed = true
		}
		return k.schedule(a, p, src, now, admission{changed: changed})
	}
	seen := src == fromWebhook && a.hasSeen(n.Digest) || src != fromClock && a.gaveUp(v.Status)
	next, contradicts := transition(a, v.Status, src)
	switch {
	case seen, next == "" && !contradicts && v.Status == a.status:
		return admission{outcome: OutcomeDuplicate, changed: changed}
	case next == "" && !contradicts:
		return admission{outcome: OutcomeLate, changed: changed}
	}
	a.see(n.Digest)
	p = k.take(at, a, n, next, src, now)
	ad := admission{outcome: OutcomeApplied, changed: true, taken: true, refused: next == identity.Verified && a.status == identity.Failed && refused(a.reason)}
	if p == nil {
		return ad
	}
	return k.schedule(a, p, src, now, ad)
}

// take lets the attempt take on the next status, or leaves the notice pending
// until it can. It returns the pending notice, if the host is to be told.
func (k *Kit) take(at address, a *attempt, n identity.Notice, next identity.Status, src source, now time.Time) *pending {
	unsettled := next == "" || next == identity.Verified &&
		(k.cfg.OnVerified != nil || k.cfg.Decide != nil || k.cfg.ConfirmByFetch && src == fromWebhook || k.cfg.RequireReturn && !a.returned)
	if next == identity.Verified && !unsettled {
		if reason := k.refusesDocument(n.Verification.DocumentExpiry, now); reason != "" {
			next, n.Verification.Reason = identity.Failed, reason
		}
	}
	a.events++
	p := pending{
		event:   a.events,
		status:  n.Verification.Status,
		fetched: src == fromFetch,
		digest:  short(n.Digest),
		since:   now,
		due:     now,
	}
	if !unsettled {
		k.become(at, a, next, n.Verification, now)
		if a.byClock = src == fromClock; a.byClock && a.unaddressable() {
			a.events++
			a.addLetter(letter{event: a.events, reason: DeadUnaddressable, status: next, applied: true, since: now})
		}
		if next == identity.Verified {
			a.drop(func(*pending) bool { return true }) // older news would contradict it
			a.dropLetters(func(*letter) bool { return true })
		}
		if k.cfg.callback(next) == nil {
			return nil
		}
		p.status, p.applied = next, true
	}
	p.notice = k.sealNotice(at, n.Verification)
	a.pending = append(a.pending, p)
	return &a.pending[len(a.pending)-1]
}

// schedule says who tells the host of a pending notice, and when. ad.taken is
// true if the notice has only just come.
func (k *Kit) schedule(a *attempt, p *pending, src source, now time.Time, ad admission) admission {
	leased := a.leased(now)
	if leased && ad.taken {
		p.due = now.Add(time.Second)
	}
	switch {
	case p.held:
		ad.outcome = OutcomeDuplicate
	case k.cfg.Async && ad.taken:
		ad.outcome = OutcomeQueued
	case leased, a.overtaken(p), src == fromFetch && now.Before(p.due):
		// Who asks often does not make the host be called often.
		ad.outcome = OutcomeInFlight
	case k.cfg.Async:
		ad.outcome = OutcomeDuplicate
	default:
		k.takeLease(a, p, now)
		ad.outcome, ad.changed, ad.owed = OutcomeApplied, true, p.event
	}
	return ad
}

// isOf reports whether a notice is the one that is pending, delivered again.
func (p *pending) isOf(n identity.Notice) bool {
	return n.Digest != [32]byte{} && p.digest == short(n.Digest)
}

// become gives an attempt its next status.
func (k *Kit) become(at address, a *attempt, s identity.Status, v identity.Verification, now time.Time) {
	a.status, a.updatedAt, a.reason = s, now, ""
	if s == identity.Failed {
		a.reason = v.Reason
	}
	if s.Final() || s == identity.Review {
		a.dropLetters(func(l *letter) bool { return l.reason == DeadNoVerdict })
		a.token = nil             // nobody needs it again
		a.claimedAt = time.Time{} // people take their time
	}
	if s == identity.Verified {
		a.grant = k.newGrant(a.provider, v, now)
		a.kept = k.sealKept(at, v)
	} else {
		a.grant, a.kept = nil, nil
	}
	k.scheduleRefresh(a, now)
}

// belongs reports whether a notice can be about the attempt: the provider and
// its id are the attempt's, and what the host had sent along is unchanged.
func (k *Kit) belongs(n identity.Notice, at address, a *attempt) bool {
	if n.Provider != a.provider || a.providerID != "" && n.Verification.ID != a.providerID {
		return false
	}
	if len(n.Metadata) == 0 {
		return true
	}
	for _, sent := range k.openContext(at, a).metadata {
		if got, ok := n.Metadata[sent.name]; ok && got != sent.value {
			return false
		}
	}
	return true
}

// learn remembers the provider's id of the attempt's verification, so that the
// provider can be asked.
func (k *Kit) learn(a *attempt, id string, now time.Time) bool {
	if a.providerID != "" || id == "" {
		return false
	}
	a.providerID = id
	a.dropLetters(func(l *letter) bool { return l.reason == DeadUnaddressable })
	k.scheduleRefresh(a, now)
	return true
}

// clockSkew is how far the provider's clock may be from ours.
const clockSkew = 5 * time.Minute

// implausible reports whether a notice tells of a time at which this attempt
// cannot have been what the notice says, by the store's clock and by the kit's:
// one of them being wrong must not cost an event.
func (k *Kit) implausible(a *attempt, v identity.Verification, now time.Time) bool {
	outside := func(begun, now time.Time) bool {
		for _, t := range []time.Time{v.CreatedAt, v.CompletedAt} {
			if !t.IsZero() && (t.Before(begun.Add(-clockSkew)) || t.After(now.Add(clockSkew))) {
				return true
			}
		}
		return false
	}
	return outside(a.createdAt, now) && outside(a.begunAt, k.cfg.Now())
}

const (
	// maxText is the length of the longest text of a verification that is taken for
	// true, in bytes.
	maxText = 1 << 10
	// maxConcernText bounds the texts of a concern, and of a reason, in bytes.
	maxConcernText = 256
)

// received is a notice as the kit works with it: the provider is the one that was asked,
// whatever another that it wraps may say, and what is too long is left out, so that a
// record has room for all that may have to wait in it.
func received(n identity.Notice, provider string) identity.Notice {
	n.Provider = provider
	v := &n.Verification
	v.DocumentType = upTo(maxText, v.DocumentType)
	v.FirstName, v.LastName = upTo(maxText, v.FirstName), upTo(maxText, v.LastName)
	v.DocumentNumber = upTo(maxText, v.DocumentNumber)
	v.Reason = upTo(maxConcernText, v.Reason)
	if len(v.Concerns) > identity.MaxConcerns || slices.ContainsFunc(v.Concerns, tooLong) {
		v.Concerns = slices.DeleteFunc(slices.Clone(v.Concerns), tooLong) // they are the provider's
		v.Concerns = v.Concerns[:min(len(v.Concerns), identity.MaxConcerns)]
	}
	return n
}

// upTo is the text, or "" if it is longer than most bytes.
func upTo(most int, text string) string {
	if len(text) > most {
		return ""
	}
	return text
}

func tooLong(c identity.Concern) bool {
	return max(len(c.ID), len(c.Service), len(c.Status), len(c.Message)) > maxConcernText
}
