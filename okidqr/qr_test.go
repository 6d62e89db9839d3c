package okidqr_test

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okidqr"
)

// What is drawn is one path on white, whatever the text; that a camera reads it, a browser test shows.
func TestSVG(t *testing.T) {
	for _, text := range []string{"", "a", "https://app.example/verify/page?attempt=" + strings.Repeat("x", 96), strings.Repeat("x", 2300)} {
		svg, err := okidqr.SVG(text)
		require.NoError(t, err)
		var drawing struct {
			XMLName xml.Name
			Path    struct {
				D string `xml:"d,attr"`
			} `xml:"path"`
		}
		require.NoError(t, xml.Unmarshal(svg, &drawing))
		assert.Equal(t, "svg", drawing.XMLName.Local)
		assert.NotEmpty(t, drawing.Path.D)
		assert.NotContains(t, string(svg), "script")
	}
	_, err := okidqr.SVG(strings.Repeat("x", 3000))
	assert.ErrorContains(t, err, "okidqr: ")
}

func ExampleSVG() {
	svg, err := okidqr.SVG("https://app.example/verify/page")
	fmt.Println(strings.HasPrefix(string(svg), "<svg "), err)
	// Output: true <nil>
}
