package okidhttp

import "github.com/okidkit/okidkit/identity"

// source is how a notice came to be known, and so how far it is believed.
type source int

const (
	// signed: authenticated, but perhaps overtaken by something newer.
	signed source = iota
	// fetched: the provider's answer to a question that was asked after the
	// attempt had taken on the status that it has now.
	fetched
	// clock: nobody told anything in time.
	clock
)

// ask is what transition answers if a notice contradicts what stands, so that
// the provider must be asked which of the two is true.
const ask identity.Status = "ask"

// transition is the state machine: it says which status an attempt takes on when
// a notice reports status s. "" means that nothing changes: the notice is late,
// or repeated.
//
// Rows are what stands, columns what a signed notice or the clock says:
//
//	            started   review    verified  failed    expired   (clock)
//	created     started   review    verified  failed    expired   expired*
//	started     -         review    verified  failed    expired   expired*
//	review      -         -         verified  failed    expired   -
//	expired*    -         review    verified  failed    expired   -
//	expired     -         -         ask       failed    -         -
//	failed      -         -         ask       -         -         -
//	verified    -         -         -         ask       ask       -
//	revoked     -         -         -         -         -         -
//
// expired* is expired by our clock alone: every word of the provider's counts
// for more. While a verified notice still waits for its callback, failed and
// expired contradict it as if it stood.
//
// A fetched notice is the provider's present word and settles contradictions:
//
//	expired     verified -> verified
//	failed      verified -> verified
//	verified    review, failed, expired -> revoked
//
// What the host's own policy refused stays refused: failed by policy changes
// nothing more. An unknown word ("") never changes anything.
//
// So the gate ends the same in whatever order notices arrive, and however often.
func transition(a *attempt, s identity.Status, src source) identity.Status {
	const (
		created  = identity.Created
		started  = identity.Started
		review   = identity.Review
		verified = identity.Verified
		failed   = identity.Failed
		expired  = identity.Expired
		revoked  = identity.Revoked
	)
	if src == clock {
		if s == expired && (a.status == created || a.status == started) && !a.alive() {
			return expired
		}
		return ""
	}
	verdict := s == verified || s == failed || s == expired
	switch a.status {
	case created:
		if s == started || s == review || verdict {
			return a.unlessAwaited(s, src)
		}
	case started:
		if s == review || verdict {
			return a.unlessAwaited(s, src)
		}
	case review:
		if verdict {
			return a.unlessAwaited(s, src)
		}
	case expired:
		switch {
		case a.byClock && (s == review || verdict):
			return a.unlessAwaited(s, src)
		case s == failed:
			return failed
		case s == verified && src == fetched:
			return verified
		case s == verified:
			return ask
		}
	case failed:
		switch {
		case s != verified || a.reason == ReasonPolicy:
			return ""
		case src == fetched:
			return verified
		default:
			return ask
		}
	case verified:
		switch {
		case src == fetched && (s == review || s == failed || s == expired):
			return revoked
		case src == signed && (s == failed || s == expired):
			return ask
		}
	}
	return ""
}

// unlessAwaited is s, or ask if a signed s contradicts a verified notice that
// still waits for its callback.
func (a *attempt) unlessAwaited(s identity.Status, src source) identity.Status {
	if src == signed && (s == identity.Failed || s == identity.Expired) && a.awaits(identity.Verified) != nil {
		return ask
	}
	return s
}
