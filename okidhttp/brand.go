package okidhttp

import (
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Brand is the name, color and logo that the pages show. Any field may be empty.
type Brand struct {
	// Name is shown at the top of the page and in its title. At most 64 characters.
	Name string
	// Color is the color of buttons, as "#rrggbb". Their text is black or white.
	Color string
	// LogoURL is an image that is shown instead of the name, at most 40 pixels high, on light
	// and dark backgrounds: an https URL, or a path that begins with one slash.
	LogoURL string
	// HomeURL is where the name or the logo leads: a path, or a URL.
	HomeURL string
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
	if b.HomeURL != "" && !isTarget(b.HomeURL) {
		wrong = append(wrong, "HomeURL is neither a path that begins with one slash nor an http(s) URL")
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
	if !color.MatchString(b.Color) {
		return "#000000"
	}
	rgb, _ := strconv.ParseUint(b.Color[1:], 16, 32) // it is hexadecimal
	// The relative luminance of WCAG 2.
	linear := func(c uint64) float64 {
		s := float64(c&0xff) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	luminance := 0.2126*linear(rgb>>16) + 0.7152*linear(rgb>>8) + 0.0722*linear(rgb)
	// Where the contrast with black, (L+0.05)/0.05, is that with white, 1.05/(L+0.05).
	if luminance > math.Sqrt(1.05*0.05)-0.05 {
		return "#000000"
	}
	return "#ffffff"
}
