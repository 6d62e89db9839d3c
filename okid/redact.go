package okid

import (
	"fmt"
	"io"
	"log/slog"
)

// The types below print, log and marshal the same constant text, whichever verb
// or encoder is used. For a [Provider] inside an unexported field, where fmt
// calls no method, see the comments on its fields.

// String is constant.
func (Config) String() string { return "okid.Config(redacted)" }

// Format prints String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String is constant.
func (TimedSecret) String() string { return "okid.TimedSecret(redacted)" }

// Format prints String for every verb.
func (s TimedSecret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String.
func (s TimedSecret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s TimedSecret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is constant.
func (*Provider) String() string { return "okid.Provider" }

// Format prints String for every verb.
func (p *Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue is String.
func (p *Provider) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText is String.
func (p *Provider) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
