package okidhttp

import (
	"context"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/store"
)

// userOf is the user whose record stands at a key, or "".
func userOf(key string) string {
	for _, user := range users {
		if hashSubject(user).key() == key {
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
	r, err := decodeRecord(write.Value, hashSubject(user))
	require.NoError(w.t, err)
	repeated := w.written[write.Version] // its answer was lost
	w.written[write.Version] = true
	before := w.records[user]
	if before == nil {
		before = new(record)
	}
	w.records[user] = r
	verified := false
	for i := range r.attempts {
		a := &r.attempts[i]
		s := w.story(a.reference)
		s.user, s.provider = user, a.provider
		s.lettered = s.lettered || len(a.letters) > 0
		verified = verified || a.status == identity.Verified
		was := identity.Created
		if old := before.find(a.id); old != nil {
			was = old.status
		}
		if s.erased && !repeated {
			w.problem("an attempt that was erased is there again")
		}
		s.erased = false
		if a.status != was {
			w.tell("%s: %s becomes %s", s, was, a.status)
			if !slices.Contains(leads[was], a.status) {
				w.problem("an attempt that was %s becomes %s", was, a.status)
			}
			if a.reason == ReasonPolicy && !s.refused {
				w.problem("an attempt fails because of a policy that did not refuse it")
			}
		}
		if v := w.verificationOf(a); v != nil && !a.quietUntil.IsZero() {
			v.hushed = w.taken
		}
		if a.provider == "claims" && a.providerID != "" {
			v := w.verification(a.providerID)
			s.returned = s.returned || v.returned
			v.spent = v.spent && !repeated
			w.observeClaim(v)
		}
		switch {
		case a.status == was:
		case a.status == identity.Verified:
			s.verifiedAt = len(w.trace)
			w.observeVerified(a, s)
		case was == identity.Verified && w.verification(a.providerID).denied < s.verifiedAt:
			w.problem("a verification is revoked though the provider has not said so since")
		}
	}
	if _, err := w.kit.Grant(w.t.Context(), user); (err == nil) != verified {
		w.problem("an attempt is verified: %v, but the gate says: %v", verified, err)
	}
}

// observeVerified looks at whether an attempt may be verified.
func (w *walk) observeVerified(a *attempt, s *story) {
	v := w.verification(a.providerID)
	told := false
	for _, status := range s.events {
		told = told || status == identity.Verified
	}
	replayed := w.running.replays.Attempt == a.reference
	said := v.confirmed || v.delivered[word{identity.Verified, false}] || v.delivered[word{identity.Verified, true}]
	for what, wrong := range map[string]bool{
		"nobody ever said so":                   !said,
		"the provider did not confirm it":       (w.confirm || a.provider == "claims") && !v.confirmed,
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
		for i := range r.attempts {
			if a := &r.attempts[i]; a.provider == v.provider && a.providerID == v.id {
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
	for i := range r.attempts {
		a := &r.attempts[i]
		w.story(a.reference).erased = true
		if a.provider == "claims" && a.providerID != "" {
			w.verification(a.providerID).spent = true
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
		if last := w.records[user]; last != nil && len(last.attempts) > 0 && len(r.attempts) == 0 {
			w.problem("a record is gone")
		}
		for i := range r.attempts {
			a := &r.attempts[i]
			s := w.story(a.reference)
			for _, p := range append(w.judgeEnd(a), w.judgeVerdict(a, s)...) {
				w.problem("%s (%s): %s", s, a.status, p)
			}
			if p := w.judgeHost(a, s); p != "" {
				w.problem("%s (%s): %s", s, a.status, p)
			}
		}
	}
	w.judgeLetters()
}

// judgeEnd looks for what nothing ever ends.
func (w *walk) judgeEnd(a *attempt) (problems []string) {
	if a.status == identity.Created && len(a.pending) == 0 && a.token == nil && a.providerID == "" {
		problems = append(problems, "nobody can know of it")
	}
	v := w.verificationOf(a)
	for _, of := range w.signed() {
		if v == nil && of.reference == a.reference && len(of.acked) > 0 {
			problems = append(problems, "a webhook was acknowledged, and is not known")
		}
	}
	lasting := a.status == identity.Review && (v == nil || !w.knows(v) || v.truth == identity.Review || w.waits(a))
	if !a.status.Final() && !lasting {
		problems = append(problems, "it never becomes final")
	}
	for _, p := range a.pending {
		if p.held && w.waits(a) {
			continue
		}
		problems = append(problems, fmt.Sprintf("%s is pending for ever, held: %v", p.status, p.held))
	}
	if a.leased(w.clock.Now()) {
		problems = append(problems, "it is leased for ever")
	}
	return problems
}

// waits reports whether an attempt still waits for its user.
func (w *walk) waits(a *attempt) bool {
	return w.mustReturn && w.absent && !a.returned && !w.story(a.reference).back
}

// verificationOf is the one of an attempt, or nil if the kit has never learnt of one.
func (w *walk) verificationOf(a *attempt) *verification {
	if a.providerID == "" {
		return nil
	}
	return w.verification(a.providerID)
}

// judgeVerdict compares an attempt with the provider's word.
func (w *walk) judgeVerdict(a *attempt, s *story) (problems []string) {
	v := w.verificationOf(a)
	if v == nil {
		return nil
	}
	yes, after := v.acked[word{identity.Verified, false}], v.acked[word{identity.Verified, true}]
	givenUp := s.dropped || slices.ContainsFunc(a.letters, func(l letter) bool { return l.status == identity.Verified })
	verified := a.status == identity.Verified
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
	case a.status == identity.Revoked && v.changed:
		// Nothing undoes that.
	case a.status == identity.Expired && a.byClock && w.absent:
		// Who comes by finds out.
	case a.status == identity.Expired && a.byClock:
		problems = append(problems, "only the clock says so, and the provider says verified")
	case v.changed && after || !v.changed && yes, v.reference == "" && a.status != identity.Failed && a.status != identity.Expired:
		problems = append(problems, "the provider says verified")
	}
	return problems
}

// judgeHost compares an attempt with what the host believes.
func (w *walk) judgeHost(a *attempt, s *story) string {
	verified := a.status == identity.Verified
	v := w.verificationOf(a)
	settled := v == nil || w.knows(v)
	for _, l := range a.letters {
		if l.reason == DeadCallback {
			return ""
		}
	}
	switch {
	case s.late || s.dropped:
	case w.has(identity.Verified) && verified && !s.open:
		return "the host does not know"
	case w.has(identity.Verified) && w.has(identity.Revoked) && !verified && s.open:
		return "the host believes that the user is verified"
	case w.has(a.status) && settled && s.last != a.status:
		return fmt.Sprintf("the host was last told %q", s.last)
	}
	return ""
}

// judgeLetters compares the list of dead letters with what there is.
func (w *walk) judgeLetters() {
	for _, user := range users {
		listed := w.judgeList(user)
		r := w.record(user)
		for i := range r.attempts {
			a := &r.attempts[i]
			if len(a.letters) > 0 && !slices.Contains(listed, address{hashSubject(user), a.id}) {
				w.problem("a dead letter is not listed")
			}
		}
	}
}

// judgeList looks for those in the list of dead letters who were erased. It returns
// what is listed.
func (w *walk) judgeList(user string) []address {
	hash := hashSubject(user)
	l, err := w.kit.loadList(context.Background(), listShard(hash))
	require.NoError(w.t, err)
	named := slices.ContainsFunc(l.addresses, func(at address) bool { return at.subject == hash })
	if named && len(w.record(user).attempts) == 0 {
		w.problem("the list of dead letters names somebody who was erased")
	}
	return l.addresses
}
