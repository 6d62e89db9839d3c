package attempt

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSubjectKey(t *testing.T) {
	h := HashSubject("alice")
	assert.Equal(t, h, HashSubject("alice"))
	assert.NotEqual(t, h, HashSubject("Alice"))
	got, err := SubjectOfKey(h.Key())
	require.NoError(t, err)
	assert.Equal(t, h, got)
	assert.Len(t, h.Key(), 45)
	for _, bad := range []string{"", "s:", h.Key()[1:], h.Key() + "A", "x:" + h.Key()[2:]} {
		_, err := SubjectOfKey(bad)
		assert.ErrorIs(t, err, ErrCorrupt, bad)
	}
}
