package okidhttp

import "github.com/okidkit/okidkit/identity"

// source is how a notice came to be known, and so how far it is believed.
type source int

const (
	// fromWebhook: authenticated, but perhaps overtaken by something newer.
	fromWebhook source = iota
	// fromFetch: the provider's answer to a question that was asked after the
	// attempt had taken on the status that it has now.
	fromFetch
	// fromAnswer: the answer to a question that was asked, under the lease, to
	// settle a contradiction.
	fromAnswer
	// fromClock: nobody told anything in time.
	fromClock
)

// transition is the state machine: it says which status an attempt takes on when
// a notice reports status s. "" means that nothing changes: the notice is late,
// or repeated. contradicts is true if the provider must be asked which of the
// notice and what stands is true.
//
// Rows are what stands, columns what a webhook or the clock says; ask stands for
// a contradiction:
//
//	            started   review    verified  failed    expired   (clock)
//	created     started   review    verified  failed    expired   expired*
//	started     -         review    verified  failed    expired   expired*
//	review      -         -         verified  failed    expired   -
//	expired*    -         review    verified  failed    -         -
//	expired     -         -         ask       failed    -         -
//	failed      -         -         ask       -         -         -
//	verified    -         -         -         ask       ask       -
//	revoked     -         -         -         -         -         -
//
// expired* is expired by our clock alone: every word of the provider's counts
// for more, and expired makes it expired.
//
// What the provider answered when it was asked is its present word, and settles
// what a webhook would leave open:
//
//	expired     verified -> verified
//	failed      verified -> verified
//	verified    review, failed, expired -> revoked
//
// While a verified notice waits for its callback, failed and expired contradict
// it as if it stood, and so does what was fetched; started and a webhook's review
// are late. A waiting verified notice, in turn, is contradicted by such a notice
// that waits, too.
//
// A verified notice of which the host may have heard, and that was given up, is
// contradicted as if it still waited.
//
// What the kit refused, for the host's own policy or for the document's expiry, stays
// refused: such a failed changes nothing more. An unknown word ("") never changes
// anything.
//
// So the gate ends the same in whatever order notices arrive, and however often,
// as long as the provider knows the verification when it is asked.
func transition(a *attempt, s identity.Status, src source) (next identity.Status, contradicts bool) {
	const (
		created  = identity.Created
		started  = identity.Started
		review   = identity.Review
		verified = identity.Verified
		failed   = identity.Failed
		expired  = identity.Expired
		revoked  = identity.Revoked
	)
	verdict := s == verified || s == failed || s == expired
	asked := src == fromFetch || src == fromAnswer

	switch {
	case src == fromClock:
		if s == expired && (a.status == created || a.status == started) && !a.alive() {
			return expired, false
		}
		return "", false
	case s == verified && src == fromWebhook && a.contradicted():
		return "", true
	case (a.awaits(verified) != nil || a.misinformed()) && s != verified && src != fromAnswer:
		return "", s == failed || s == expired || s == review && src == fromFetch
	}

	switch a.status {
	case created:
		if s == started || s == review || verdict {
			return s, false
		}
	case started:
		if s == review || verdict {
			return s, false
		}
	case review:
		if verdict {
			return s, false
		}
	case expired:
		switch {
		case a.byClock && (s == review || s == verified || s == failed):
			return s, false
		case s == failed:
			return failed, false
		case s == verified && asked:
			return verified, false
		case s == verified:
			return "", true
		}
	case failed:
		switch {
		case s != verified || refused(a.reason):
			return "", false
		case asked:
			return verified, false
		default:
			return "", true
		}
	case verified:
		switch {
		case asked && (s == review || s == failed || s == expired):
			return revoked, false
		case !asked && (s == failed || s == expired):
			return "", true
		}
	}
	return "", false
}
