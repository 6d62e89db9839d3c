package getid

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/okidkit/okidkit/internal/redact"
)

// redacted makes T print, log and marshal as its name alone. For a [Provider] in an
// unexported field, where fmt calls no method, see the comments on its fields.
type redacted[T any] = redact.Type[T]

// String is the id and the status.
func (r Result) String() string { return r.Verification().String() }

// Format prints String for every verb.
func (r Result) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue is the id and the status.
func (r Result) LogValue() slog.Value { return r.Verification().LogValue() }

// MarshalText is String.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
