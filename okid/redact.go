package okid

import "github.com/okidkit/okidkit/internal/redact"

// redacted makes T print, log and marshal as its name alone. For a [Provider] in an
// unexported field, where fmt calls no method, see the comments on its fields.
type redacted[T any] = redact.Type[T]
