package attempt

import "github.com/okidkit/okidkit/identity"

// state is a row of the tables below: the status of an attempt, or what a status alone
// does not tell.
type state string

const (
	created  = state(identity.Created)
	started  = state(identity.Started)
	review   = state(identity.Review)
	verified = state(identity.Verified)
	failed   = state(identity.Failed)
	expired  = state(identity.Expired)
	revoked  = state(identity.Revoked)

	// lapsed is expired by our clock alone: every word of the provider's counts for
	// more.
	lapsed = state("lapsed")
	// refused is failed by the host's policy, or for the document, and stays so.
	refused = state("refused")
	// decided is any status that staff have given, or confirmed: nothing that the
	// provider says changes it.
	decided = state("decided")
	// verifying is any status while a verification waits to count, or the host may
	// believe in one that was given up: what contradicts it contradicts it as if it
	// stood.
	verifying = state("verifying")
)

// action is what a word of the provider's does to an attempt. The zero value ignores
// it: the word is late, or repeated, or says less than what stands.
type action int

const (
	ignore action = iota
	// become gives the attempt the status that the word names.
	become
	// ask asks the provider which of the word and what stands is true.
	ask
	// revoke withdraws the verification.
	revoke
)

// table says what each word does in each state. What is not in it is ignored.
type table map[state]map[identity.Status]action

// onWebhook is for webhooks, which are authentic but may be overtaken by something
// newer.
var onWebhook = table{
	created:   {identity.Started: become, identity.Review: become, identity.Verified: become, identity.Failed: become, identity.Expired: become},
	started:   {identity.Review: become, identity.Verified: become, identity.Failed: become, identity.Expired: become},
	review:    {identity.Verified: become, identity.Failed: become, identity.Expired: become},
	lapsed:    {identity.Review: become, identity.Verified: become, identity.Failed: become},
	expired:   {identity.Verified: ask, identity.Failed: become},
	failed:    {identity.Verified: ask},
	verified:  {identity.Failed: ask, identity.Expired: ask},
	verifying: {identity.Failed: ask, identity.Expired: ask},
}

// onAnswer is what the provider's present word does where it differs: it settles what a
// webhook leaves open.
var onAnswer = table{
	expired:   {identity.Verified: become},
	failed:    {identity.Verified: become},
	verified:  {identity.Review: revoke, identity.Failed: revoke, identity.Expired: revoke},
	verifying: {identity.Review: ask},
}

// lapses are the states that end when nobody tells anything in time.
var lapses = map[state]bool{created: true, started: true}

// state is the attempt's row, but for verifying, which depends on the word.
func (a *Attempt) state() state {
	switch {
	case a.ByStaff:
		return decided
	case a.Status == identity.Expired && a.Lapsed:
		return lapsed
	case a.Status == identity.Failed && a.Refused:
		return refused
	}
	return state(a.Status)
}

// react says what a word of the provider's does to the attempt.
func (a *Attempt) react(word identity.Status, src source) action {
	row := a.state()
	switch {
	case row == decided:
	case word == identity.Verified && src == fromWebhook && a.contradicted():
		return ask
	case word != identity.Verified && src != fromAnswer && a.verifying():
		row = verifying
	}
	if src != fromWebhook {
		if does := onAnswer[row][word]; does != ignore {
			return does
		}
	}
	return onWebhook[row][word]
}

// verifying reports whether a verification waits to count, or the host may believe in
// one that was given up.
func (a *Attempt) verifying() bool { return a.awaits(identity.Verified) != nil || a.misinformed() }

// next is the status that an attempt takes on when a word is told: "" for none. asks is
// true if the provider must be asked first which of the word and what stands is true.
func (a *Attempt) next(word identity.Status, src source) (next identity.Status, asks bool) {
	if src == fromClock {
		if word == identity.Expired && lapses[a.state()] && !a.busy() {
			return identity.Expired, false
		}
		return "", false
	}
	switch a.react(word, src) {
	case become:
		return word, false
	case revoke:
		return identity.Revoked, false
	case ask:
		return "", true
	}
	return "", false
}

// source is how a word came to be known, and so how far it is believed.
type source int

const (
	// fromWebhook: authenticated, but perhaps overtaken by something newer.
	fromWebhook source = iota
	// fromFetch: the provider's answer to a question that was asked after the attempt
	// had taken on the status that it has now.
	fromFetch
	// fromAnswer: the answer to a question that was asked, under the lease, to settle a
	// contradiction.
	fromAnswer
	// fromClock: nobody told anything in time.
	fromClock
)
