package redact_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redact"
)

type redacted[T any] = redact.Type[T]

type config struct {
	redacted[config]
	Secret string
}

func TestNothingShows(t *testing.T) {
	const name = "redact_test.config(redacted)"
	c := config{Secret: "canary"}
	for _, value := range []any{c, &c} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			assert.Equal(t, name, fmt.Sprintf(verb, value), verb)
		}
		assert.Equal(t, name, value.(fmt.Stringer).String())
		asJSON, err := json.Marshal(value)
		require.NoError(t, err)
		assert.Equal(t, `"`+name+`"`, string(asJSON))
		asXML, err := xml.Marshal(value)
		require.NoError(t, err)
		assert.Equal(t, "<config>"+name+"</config>", string(asXML))
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("x", "value", value)
			assert.Contains(t, b.String(), name)
			assert.NotContains(t, b.String(), "canary")
		}
	}
	assert.Equal(t, "["+name+"]", fmt.Sprint([]config{c}))
	assert.Equal(t, "{"+name+"}", fmt.Sprint(struct{ C config }{c}))
}

func TestTakesNoRoom(t *testing.T) {
	assert.Equal(t, unsafe.Sizeof(""), unsafe.Sizeof(config{}))
}
