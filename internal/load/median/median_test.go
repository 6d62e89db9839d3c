package median_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/okidkit/okidkit/internal/load/median"
)

func TestOf(t *testing.T) {
	values := []float64{5, 1, 3}
	assert.Equal(t, 3.0, median.Of(values))
	assert.Equal(t, []float64{5, 1, 3}, values, "they stay as they are")
	assert.Equal(t, 4.0, median.Of([]float64{5, 1, 3, 9}))
	assert.Equal(t, 7.0, median.Of([]float64{7}))
}
