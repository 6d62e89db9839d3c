package identity

// Status is where a verification stands, in words that are the same for every
// provider. The zero value means "the provider used a word that we do not
// know"; it never verifies anybody.
type Status string

const (
	// Created: the kit asked the provider for a verification; the user has not
	// begun yet.
	Created Status = "created"
	// Started: the user has begun.
	Started Status = "started"
	// Review: the user is done, and a person at the provider looks at it.
	Review Status = "review"
	// Verified: the provider knows who the user is. The only status that opens
	// a gate.
	Verified Status = "verified"
	// Failed: the provider, or the host's own policy, refused.
	Failed Status = "failed"
	// Expired: the user did not finish in time.
	Expired Status = "expired"
	// Revoked: a verification that counted was withdrawn by the provider.
	Revoked Status = "revoked"
)

// Final reports whether a verification in this status waits for nothing more.
// A final status can still change on the provider's authenticated word: an
// expired verification may turn out verified, a verified one may be revoked.
func (s Status) Final() bool {
	switch s {
	case Verified, Failed, Expired, Revoked:
		return true
	}
	return false
}
