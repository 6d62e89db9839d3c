// Package redact hides what a type holds from everything that prints it.
package redact

import (
	"fmt"
	"io"
	"log/slog"
	"reflect"
)

// Type makes a struct T that embeds it print, log and marshal as its name alone,
// whichever verb or encoder is used: "okid.Config(redacted)". It takes no room, unless it
// is the last field. Package fmt calls no method of a value in an unexported field, so
// nothing is hidden there.
//
// Embed it under an alias of your own, so that the field is not exported:
//
//	type redacted[T any] = redact.Type[T]
//
//	type Config struct {
//		redacted[Config]
//		APIKey string
//	}
type Type[T any] struct{}

// String returns the name of T.
func (Type[T]) String() string { return reflect.TypeFor[T]().String() + "(redacted)" }

// Format writes String for every verb.
func (t Type[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue returns String.
func (t Type[T]) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns String.
func (t Type[T]) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
