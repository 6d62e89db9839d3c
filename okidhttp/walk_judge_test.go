package okidhttp

import (
	"context"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// userOf is the user whose record stands at a key, or "".
func userOf(key string) string {
	for _, user := range users {
		if attempt.HashSubject(user).Key() == key {
			return user
		}
	}
	return ""
}

// leads lists what a status may become, whatever the reason.
var leads = map[identity.Status][]identity.Status{
	identity.Created:  {identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired, identity.Revoked},
	identity.Started:  {identity.Review, identity.Verified, identity.Failed, identity.Expired, identity.Revoked},
	identity.Review:   {identity.Verified, identity.Failed, identity.Expired, identity.Revoked},
	identity.Expired:  {identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Revoked, identity.Created},
	identity.Failed:   {identity.Verified, identity.Revoked},
	identity.Verified: {identity.Revoked},
}

// observe looks at a record that was written.
func (w *walk) observe(key string, write store.Write) {
	user := userOf(key)
	if user == "" {
		return
	}
	r, err := attempt.Decode(write.Value, attempt.HashSubject(user))
	require.NoError(w.t, err)
	repeated := w.written[write.Version] // its answer was lost
	w.written[write.Version] = true
	before := w.records[user]
	if before == nil {
		before = new(attempt.Record)
	}
	w.records[user] = r
	verified := false
	for i := range r.Attempts {
		a := &r.Attempts[i]
		s := w.story(a.Reference)
		s.user, s.provider = user, a.Provider
		s.lettered = s.lettered || len(a.Letters) > 0
		verified = verified || a.Status == identity.Verified
		was := identity.Created
		if old := before.Find(a.ID); old != nil {
			was = old.Status
		}
		if s.erased && !repeated {
			w.problem("an attempt that was erased is there again")
		}
		s.erased = false
		if a.Status != was {
			w.tell("%s: %s becomes %s", s, was, a.Status)
			if old := before.Find(a.ID); old != nil && old.ByStaff && a.Status != identity.Revoked &&
				firstEntry(old, func(e *attempt.Entry) bool { return e.ByStaff }) == nil && len(a.Actions) == len(old.Actions) {
				w.problem("what staff have decided becomes %s", a.Status)
			}
			if !slices.Contains(leads[was], a.Status) {
				w.problem("an attempt that was %s becomes %s", was, a.Status)
			}
			if a.Refused && a.Reason != ReasonDocumentExpired && a.Reason != ReasonDocumentUnreadable && !s.refused {
				w.problem("an attempt fails because of a policy that did not refuse it")
			}
		}
		if v := w.verificationOf(a); v != nil && !a.QuietUntil.IsZero() {
			v.hushed = w.taken
		}
		if a.Provider == "claims" && a.ProviderID != "" {
			v := w.verification(a.ProviderID)
			s.returned = s.returned || v.returned
			v.spent = v.spent && !repeated
			w.observeClaim(v)
		}
		switch {
		case a.Status == was:
		case a.Status == identity.Verified:
			s.verifiedAt = len(w.trace)
			w.observeVerified(a, s)
		case a.ByStaff:
		case was == identity.Verified && w.verification(a.ProviderID).denied < s.verifiedAt:
			w.problem("a verification is revoked though the provider has not said so since")
		}
	}
	if _, err := w.kit.Grant(w.t.Context(), user); (err == nil) != verified {
		w.problem("an attempt is verified: %v, but the gate says: %v", verified, err)
	}
}

// observeVerified looks at whether an attempt may be verified.
func (w *walk) observeVerified(a *attempt.Attempt, s *story) {
	told := false
	for _, status := range s.events {
		told = told || status == identity.Verified
	}
	if a.ByStaff {
		if w.has(identity.Verified) && !told {
			w.problem("the gate is open by the word of staff though the host does not know")
		}
		return
	}
	v := w.verification(a.ProviderID)
	replayed := w.running.replays.Attempt == a.Reference
	said := v.confirmed || v.delivered[word{identity.Verified, false}] || v.delivered[word{identity.Verified, true}]
	for what, wrong := range map[string]bool{
		"nobody ever said so":                   !said,
		"the provider did not confirm it":       (w.confirm || a.Provider == "claims") && !v.confirmed,
		"what was replayed was not confirmed":   replayed && !slices.Contains(w.running.asked, v.id),
		"the host does not know":                w.has(identity.Verified) && !told,
		"the host's policy did not accept it":   w.policy && !s.accepted,
		"the host's policy refused it":          s.refused,
		"the document does not count":           v.unfit,
		"the user has not come back":            w.mustReturn && !s.returned,
		"the claim was used before the erasure": v.spent,
	} {
		if wrong {
			w.problem("the gate is open though %s", what)
		}
	}
}

// observeClaim looks at an attempt that has a claimed verification.
func (w *walk) observeClaim(v *verification) {
	if v.spent {
		w.problem("the claim to %s was used before its user was erased, and has an attempt again", v.id)
	}
	v.used = true
	n := 0
	for _, r := range w.records {
		for i := range r.Attempts {
			if a := &r.Attempts[i]; a.Provider == v.provider && a.ProviderID == v.id {
				n++
			}
		}
	}
	if n > 1 {
		w.problem("%s has %d attempts", v.id, n)
	}
}

// observeErased looks at a record that was deleted.
func (w *walk) observeErased(key string) {
	user := userOf(key)
	r := w.records[user]
	w.erasedAt[user] = w.clock.Now()
	w.erasures[user]++
	if r == nil {
		return
	}
	delete(w.records, user)
	for _, v := range w.inBrowsers() {
		v.erased = v.erased || v.claims > 0
	}
	for i := range r.Attempts {
		a := &r.Attempts[i]
		w.story(a.Reference).erased = true
		if a.Provider == "claims" && a.ProviderID != "" {
			w.verification(a.ProviderID).spent = true
		}
	}
}

// judge compares what everybody believes in the end.
func (w *walk) judge() {
	if len(dueKeys(w.t, w.world)) > 0 {
		w.problem("something is due for ever")
	}
	if len(w.owed) > 0 {
		w.problem("%d webhooks are never acknowledged", len(w.owed))
	}
	for _, v := range w.inBrowsers() {
		if v.refused && !v.used && !v.erased {
			w.problem("the claim to %s is spent, and had no effect", v.id)
		}
	}
	for _, user := range users {
		r := w.record(user)
		if last := w.records[user]; last != nil && len(last.Attempts) > 0 && len(r.Attempts) == 0 {
			w.problem("a record is gone")
		}
		for i := range r.Attempts {
			a := &r.Attempts[i]
			s := w.story(a.Reference)
			for _, p := range append(w.judgeEnd(a), w.judgeVerdict(a, s)...) {
				w.problem("%s (%s): %s", s, a.Status, p)
			}
			if p := w.judgeHost(a, s); p != "" {
				w.problem("%s (%s): %s", s, a.Status, p)
			}
		}
	}
	w.judgeLetters()
}

// judgeEnd looks for what nothing ever ends.
func (w *walk) judgeEnd(a *attempt.Attempt) (problems []string) {
	if a.Status == identity.Created && len(a.Outbox) == 0 && a.Token == nil && a.ProviderID == "" {
		problems = append(problems, "nobody can know of it")
	}
	v := w.verificationOf(a)
	for _, of := range w.signed() {
		if v == nil && of.reference == a.Reference && len(of.acked) > 0 {
			problems = append(problems, "a webhook was acknowledged, and is not known")
		}
	}
	lasting := a.Status == identity.Review && (v == nil || !w.knows(v) || v.truth == identity.Review || w.waits(a))
	if !a.Status.Final() && !lasting {
		problems = append(problems, "it never becomes final")
	}
	for _, p := range a.Outbox {
		if p.Held && w.waits(a) {
			continue
		}
		problems = append(problems, fmt.Sprintf("%s is pending for ever, held: %v", p.Status, p.Held))
	}
	if leased(a, w.clock.Now()) {
		problems = append(problems, "it is leased for ever")
	}
	return problems
}

// waits reports whether an attempt still waits for its user.
func (w *walk) waits(a *attempt.Attempt) bool {
	return w.mustReturn && w.absent && !a.Returned && !w.story(a.Reference).back
}

// verificationOf is the one of an attempt, or nil if the kit has never learnt of one.
func (w *walk) verificationOf(a *attempt.Attempt) *verification {
	if a.ProviderID == "" {
		return nil
	}
	return w.verification(a.ProviderID)
}

// judgeVerdict compares an attempt with the provider's word.
func (w *walk) judgeVerdict(a *attempt.Attempt, s *story) (problems []string) {
	v := w.verificationOf(a)
	if v == nil || a.ByStaff {
		return nil
	}
	yes, after := v.acked[word{identity.Verified, false}], v.acked[word{identity.Verified, true}]
	givenUp := s.dropped || slices.ContainsFunc(a.Letters, func(l attempt.Letter) bool { return l.Status == identity.Verified })
	verified := a.Status == identity.Verified
	switch {
	case w.knows(v) && verified && v.truth != identity.Verified && (!w.trusts || v.truth.Final() && v.contradicted(v.acked)):
		// Whoever is not asked again does not know better than the last signed word.
		problems = append(problems, fmt.Sprintf("the provider says %s", v.truth))
	case verified || s.refused || givenUp || v.unfit || w.waits(a):
	case !w.knows(v):
		if yes && !v.contradicted(v.delivered) && !s.lettered { // what is replayed is not believed
			problems = append(problems, "a signed verified was acknowledged, and nothing contradicts it")
		}
	case v.truth != identity.Verified:
	case a.Status == identity.Revoked && v.changed:
		// Nothing undoes that.
	case a.Status == identity.Expired && a.Lapsed && w.absent:
		// Who comes by finds out.
	case a.Status == identity.Expired && a.Lapsed:
		problems = append(problems, "only the clock says so, and the provider says verified")
	case v.changed && after || !v.changed && yes, v.reference == "" && a.Status != identity.Failed && a.Status != identity.Expired:
		problems = append(problems, "the provider says verified")
	}
	return problems
}

// judgeHost compares an attempt with what the host believes.
func (w *walk) judgeHost(a *attempt.Attempt, s *story) string {
	verified := a.Status == identity.Verified
	v := w.verificationOf(a)
	settled := v == nil || w.knows(v)
	for _, l := range a.Letters {
		switch {
		case l.Reason != attempt.DeadCallback:
		case w.has(identity.Revoked) && s.open && w.denies(v) && v.ackedAt[word{v.truth, true}].After(l.Since):
			return "a withdrawal was acknowledged, and the host has not heard of it"
		default:
			return ""
		}
	}
	switch {
	case s.late || s.dropped:
	case w.has(identity.Verified) && verified && !s.open:
		return "the host does not know"
	case w.has(identity.Verified) && w.has(identity.Revoked) && !verified && s.open:
		return "the host believes that the user is verified"
	case w.has(a.Status) && settled && s.last != a.Status:
		return fmt.Sprintf("the host was last told %q", s.last)
	}
	return ""
}

// denies reports whether the provider has changed its mind, and denies a verification when
// it is asked.
func (w *walk) denies(v *verification) bool {
	return v != nil && w.knows(v) && v.changed && (v.truth == identity.Failed || v.truth == identity.Expired)
}

// judgeLetters compares the list of dead letters with what there is.
func (w *walk) judgeLetters() {
	for _, user := range users {
		listed := w.judgeList(user)
		r := w.record(user)
		for i := range r.Attempts {
			a := &r.Attempts[i]
			if len(a.Letters) > 0 && !slices.Contains(listed, attempt.Address{Subject: attempt.HashSubject(user), Attempt: a.ID}) {
				w.problem("a dead letter is not listed")
			}
		}
	}
}

// judgeList looks for those in the list of dead letters who were erased. It returns
// what is listed.
func (w *walk) judgeList(user string) []attempt.Address {
	hash := attempt.HashSubject(user)
	listed, err := w.kit.engine.Listed(context.Background())
	require.NoError(w.t, err)
	named := slices.ContainsFunc(listed, func(at attempt.Address) bool { return at.Subject == hash })
	if named && len(w.record(user).Attempts) == 0 {
		w.problem("the list of dead letters names somebody who was erased")
	}
	return listed
}
