package attempt

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/okidkit/okidkit/identity"
)

// Whatever a provider tells, a record has room for all notices that may have to wait in it.
func TestReceived(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	concerns := make([]identity.Concern, identity.MaxConcerns+1)
	concerns[0].Message = text(maxConcernText + 1)
	sent := identity.Notice{Provider: "inner", Verification: identity.Verification{
		DocumentType: text(identity.MaxText), FirstName: text(identity.MaxText + 1), LastName: text(identity.MaxText + 1),
		DocumentNumber: text(identity.MaxText + 1), Reason: text(maxConcernText + 1), Concerns: slices.Clone(concerns),
	}}
	got := Received(sent, "outer")
	assert.Equal(t, "outer", got.Provider)
	v := got.Verification
	assert.Len(t, v.DocumentType, identity.MaxText)
	assert.Empty(t, v.FirstName+v.LastName+v.DocumentNumber+v.Reason)
	assert.Len(t, v.Concerns, identity.MaxConcerns)
	assert.Empty(t, v.Concerns[0].Message)
	assert.Equal(t, concerns, sent.Verification.Concerns, "what is the provider's is not changed")

	p := testPolicy()
	_, a := testAttempt(p)
	sealed := p.sealNotice(a, &identity.Verification{
		FirstName: text(identity.MaxText), LastName: text(identity.MaxText), DocumentNumber: text(identity.MaxText), DocumentType: text(identity.MaxText),
		Concerns: slices.Repeat([]identity.Concern{{ID: text(maxConcernText), Service: text(maxConcernText), Status: text(maxConcernText), Message: text(maxConcernText)}}, identity.MaxConcerns),
	})
	assert.Less(t, len(sealed), 40<<10, "six of them may wait in an attempt")
}
