package identity

import (
	"fmt"
	"io"
	"log/slog"
)

// Notice is one thing that a provider told about one verification, whichever
// way it came: in a webhook, or as the answer to a question.
//
// Like [Verification], it prints and logs without its personal fields, unless it lies
// in an unexported field of another struct.
type Notice struct {
	// Provider is the Name of the provider that told.
	Provider string
	// Event is the provider's own word for what happened, and empty for a
	// fetched notice. A word that is not documented reads "unknown" here.
	Event string
	// Verification holds the status that the notice reports and what goes with
	// it. An empty Status means that nothing can be concluded.
	Verification Verification
	// Reference is what [StartRequest.Reference] was, as the provider echoed it.
	Reference string
	// Metadata is what [StartRequest.Metadata] was, as the provider echoed it;
	// members that are not strings are left out. Nil when there is none.
	Metadata map[string]string
	// Digest tells notices apart: it is the same however often, and in whatever
	// formatting, the provider sends the same one, and depends on nothing but
	// authenticated bytes. Zero for a fetched notice.
	Digest [32]byte
	// SignedBy names the key that authenticated the notice, never the key
	// itself: "secret 1". Empty for a fetched notice.
	SignedBy string
}

// String names provider, event and verification.
func (n Notice) String() string { return n.Provider + " " + n.Event + " " + n.Verification.String() }

// Format prints String for every verb.
func (n Notice) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, n.String()) }

// LogValue is the provider, the event and the verification without its personal
// fields.
func (n Notice) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("provider", n.Provider),
		slog.String("event", n.Event),
		slog.Any("verification", n.Verification),
		slog.String("signed_by", n.SignedBy),
	)
}

// MarshalText is String.
func (n Notice) MarshalText() ([]byte, error) { return []byte(n.String()), nil }
