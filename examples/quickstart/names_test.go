package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okidhttp"
)

func TestIsTheirName(t *testing.T) {
	for user, ok := range map[string]bool{"robin": true, "Jane Roe": true, "Roe, Jane": true, "John Doe": false, "Jane Smith": false} {
		err := isTheirName(t.Context(), okidhttp.Event{Subject: user, Verification: identity.Verification{FirstName: "Jane", LastName: "ROE"}})
		assert.Equal(t, ok, err == nil, user)
	}
}
