package getid

import (
	"fmt"
	"io"
	"log/slog"
)

// The types below print, log and marshal the same text, whichever verb or encoder
// is used. For a [Provider] inside an unexported field, where fmt calls no method,
// see the comments on its fields.

// String is constant.
func (Config) String() string { return "getid.Config(redacted)" }

// Format prints String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String is constant.
func (*Provider) String() string { return "getid.Provider" }

// Format prints String for every verb.
func (p *Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue is String.
func (p *Provider) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText is String.
func (p *Provider) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String is the id and the status.
func (r Result) String() string { return r.Verification().String() }

// Format prints String for every verb.
func (r Result) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue is the id and the status.
func (r Result) LogValue() slog.Value { return r.Verification().LogValue() }

// MarshalText is String.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// personal is embedded in the parts of a [Result], each of which then prints, logs
// and marshals as the same constant.
type personal struct{}

// String is constant.
func (personal) String() string { return "getid: redacted" }

// Format prints String for every verb.
func (p personal) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue is String.
func (p personal) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText is String.
func (p personal) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
