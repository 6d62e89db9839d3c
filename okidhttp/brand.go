package okidhttp

import (
	"encoding/hex"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Brand is the name, color and logo that the pages show. Any field may be empty.
type Brand struct {
	// Name is shown at the top of the page and in its title. At most 64 characters.
	Name string
	// Color is the color of buttons, as "#rrggbb". Their text is black or white. In the dark it
	// is made lighter until it stands out, see [Brand.OnDark].
	Color string
	// LogoURL is an image that is shown instead of the name, at most 40 pixels high, on light
	// and dark backgrounds: an https URL, or a path that begins with one slash.
	LogoURL string
	// HomeURL is where the name or the logo leads: a path, or a URL.
	HomeURL string
	// PrivacyURL is where the host says what becomes of people's data, to which the page leads
	// that offers a verification: a path, or a URL.
	PrivacyURL string
}

var (
	color   = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)
	webHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`) // which needs no quoting in a header
)

// check returns what is wrong, by field.
func (b Brand) check() []string {
	var wrong []string
	if utf8.RuneCountInString(b.Name) > 64 || !utf8.ValidString(b.Name) || strings.ContainsFunc(b.Name, unicode.IsControl) {
		wrong = append(wrong, "Name is longer than 64 characters, or no text")
	}
	if b.Color != "" && !color.MatchString(b.Color) {
		wrong = append(wrong, "Color is not of the form #rrggbb")
	}
	if b.LogoURL != "" {
		u, err := url.Parse(b.LogoURL)
		if err != nil || !isTarget(b.LogoURL) || u.Scheme == "http" || u.Host != "" && !webHost.MatchString(u.Host) {
			wrong = append(wrong, "LogoURL is neither a path that begins with one slash nor an https URL")
		}
	}
	for name, target := range map[string]string{"HomeURL": b.HomeURL, "PrivacyURL": b.PrivacyURL} {
		if target != "" && !isTarget(target) {
			wrong = append(wrong, name+" is neither a path that begins with one slash nor an http(s) URL")
		}
	}
	return wrong
}

// origin is where the logo comes from, if not from the site itself.
func (b Brand) origin() string {
	u, err := url.Parse(b.LogoURL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// TextColor returns "#000000" or "#ffffff": the one that is easier to read on Color. If Color
// is empty, it is black.
func (b Brand) TextColor() string {
	rgb, ok := b.rgb()
	// Where the contrast with black, (L+0.05)/0.05, is that with white, 1.05/(L+0.05).
	if !ok || rgb.luminance() > math.Sqrt(1.05*0.05)-0.05 {
		return "#000000"
	}
	return "#ffffff"
}

// darkCard is what stands behind buttons in the dark, as style.css says.
const darkCard = "#1e2226"

// OnDark returns the brand as pages show it in the dark: with a Color that has a contrast of at
// least 4.5 to 1 with what is behind it, and is as near to the brand's own as that allows.
func (b Brand) OnDark() Brand {
	own, ok := b.rgb()
	card, _ := Brand{Color: darkCard}.rgb()
	if !ok {
		return b
	}
	lighter := own
	for step := 1; (lighter.luminance()+0.05)/(card.luminance()+0.05) < 4.5; step++ {
		for i := range lighter {
			lighter[i] = own[i] + uint8(int(255-own[i])*step/32)
		}
	}
	b.Color = fmt.Sprintf("#%02x%02x%02x", lighter[0], lighter[1], lighter[2])
	return b
}

// rgb are the parts of a color.
type rgb [3]uint8

func (b Brand) rgb() (c rgb, ok bool) {
	if !color.MatchString(b.Color) {
		return c, false
	}
	_, _ = hex.Decode(c[:], []byte(b.Color[1:])) // it is hexadecimal
	return c, true
}

// luminance is the relative luminance of WCAG 2.
func (c rgb) luminance() float64 {
	linear := func(part uint8) float64 {
		s := float64(part) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}
