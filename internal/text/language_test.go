package text

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Languages from qaa to qtz are nobody's: there will never be a file with their texts.

func TestAccept(t *testing.T) {
	c := New(map[string]map[string]string{"qaa-Hant": {"Continue": "繼續"}})
	for header, want := range map[string]string{
		"":                              "en",
		"*":                             "en",
		"nl":                            "nl",
		"de-AT,de;q=0.9,en;q=0.8":       "de",
		"FR":                            "fr",
		"qab, es;q=0.3":                 "es",
		"qab;q=0.9, nl;q=0.5, fr;q=0.7": "fr",
		"nl;q=0, de;q=0.001":            "de",
		"nl;q=0":                        "en",
		"nl;q=2":                        "en",
		"nl;q=-1":                       "en",
		"nl;q=NaN, de;q=0.1":            "de",
		"nl;q=Inf":                      "en",
		"nl;q=x, de; q=0.5":             "de",
		"de-, nl":                       "de",
		"en-US,en;q=0.9,nl;q=0.8":       "en",
		"nl;q=0.8,en;q=0.8":             "nl",
		"-,;,;;q=,nl-":                  "nl",
		strings.Repeat("nl-x-", 10_000): "nl",
		"\"><script>":                   "en",
		"nl_BE":                         "nl",
		"DE_at;q=0.9, nl_NL;q=0.8":      "de",
		strings.Repeat("nl_x_", 10_000): "nl",
		"qaa-hant-tw, nl;q=0.9":         "qaa-hant",
		"qaa-TW, nl;q=0.9":              "nl",
	} {
		assert.Equal(t, want, c.Accept(header), "%.60q", header)
	}
}

// However long the header, and however many languages the host has added, finding
// the user's language takes no time. With a search through each tag for each of its
// parts this takes seconds.
func TestLongHeader(t *testing.T) {
	own := map[string]map[string]string{}
	for _, tag := range []string{"it", "pt", "pl", "cs", "sk", "sv", "da", "nb", "fi", "hu", "ro", "bg", "qaa-Hant-TW"} {
		own[tag] = map[string]string{"Start verification": "Start: " + tag}
	}
	c := New(own)
	const size = 1 << 20
	for name, tt := range map[string]struct{ header, accepted, matched string }{
		"one tag of many parts":    {"it" + strings.Repeat("-a", size/2), "it", "it"},
		"underscores":              {"it" + strings.Repeat("_a", size/2), "it", "it"},
		"hyphens":                  {"it" + strings.Repeat("-", size), "it", "it"},
		"tags in one long list":    {"it" + strings.Repeat(",nl;q=0.1", size/9), "it", ""}, // which is no tag
		"many long tags":           {"it" + strings.Repeat(","+strings.Repeat("a-", 2000), size/4000), "it", ""},
		"a long weight":            {"it,nl;q=0." + strings.Repeat("1", size), "it", ""},
		"commas":                   {"it" + strings.Repeat(",", size), "it", ""},
		"a tag that is known":      {"qaa-Hant-TW" + strings.Repeat("-x", size/2), "qaa-hant-tw", "qaa-hant-tw"},
		"as long as tags can be":   {"it-abcdefgh-abcdefgh-abcdefgh", "it", "it"},
		"longer by one":            {"it-abcdefgh-abcdefgh-abcdefghi", "it", "it"},
		"longer by a part":         {"it-abcdefgh-abcdefgh-abcdefgh-a", "it", "it"},
		"nothing of it is a tag":   {strings.Repeat("-", size), "en", ""},
		"nothing within the bound": {strings.Repeat(" ", 4096) + ",it", "en", ""},
		"cut before a weight":      {"it;q=0.5," + strings.Repeat(" ", 4096-11) + "nl;q=0.1", "it", ""},
	} {
		began := time.Now()
		assert.Equal(t, tt.accepted, c.Accept(tt.header), name)
		assert.Equal(t, tt.matched, c.Match(tt.header), name)
		assert.Less(t, time.Since(began), time.Second/2, name)
	}
}

func TestMatch(t *testing.T) {
	c := New(map[string]map[string]string{"qaa-Hant-TW": {"Continue": "繼續"}, "ABC-12345678-12345678-12345678": {"Continue": "…"}})
	for tag, want := range map[string]string{
		"":                                 "",
		"nl":                               "nl",
		"NL":                               "nl",
		"nl-BE":                            "nl",
		"nl_be":                            "nl",
		"en-GB":                            "en",
		"qab":                              "",
		"qaa":                              "",
		"qaa-Hant":                         "",
		"qaa_hant_tw":                      "qaa-hant-tw",
		"-nl":                              "",
		"nl-":                              "nl",
		"qnl":                              "",
		" nl":                              "",
		`"><b>{{`:                          "",
		"abc-12345678-12345678-12345678":   "abc-12345678-12345678-12345678",
		"abc-12345678-12345678-123456789":  "",
		"abc_12345678-12345678-12345678-x": "abc-12345678-12345678-12345678",
	} {
		assert.Equal(t, want, c.Match(tag), tag)
	}
}

func TestTag(t *testing.T) {
	for said, want := range map[string]string{
		"nl":                              "nl",
		"en_US":                           "en-US",
		"qaa_Hant-TW":                     "qaa-Hant-TW",
		"abc-12345678-12345678-12345678":  "abc-12345678-12345678-12345678",
		"abc-12345678-12345678-123456789": "",
		"":                                "",
		"</script>":                       "",
		"en-</script>":                    "",
		"en\n":                            "",
		"e":                               "",
		"en-":                             "",
		"\u2028":                          "",
		strings.Repeat("en-", 20):         "",
		strings.Repeat("en_", 1<<12):      "",
	} {
		assert.Equal(t, want, Tag(said), "%.40q", said)
	}
}

func TestDirection(t *testing.T) {
	for language, want := range map[string]string{
		"en": "ltr", "ar": "rtl", "he-il": "rtl", "fa": "rtl", "ar-latn": "ltr", "az-arab": "rtl", "qaa-hant-tw": "ltr", "": "ltr",
	} {
		assert.Equal(t, want, Direction(language), language)
	}
}

// Whatever a stranger sends, the answer is a language of the catalog, and what stands
// after the bound changes nothing.
func FuzzAccept(f *testing.F) {
	c := New(map[string]map[string]string{"qaa-Hant-TW": {"Continue": "繼續"}})
	for _, header := range []string{"", "nl", "de-AT,de;q=0.9,en;q=0.8", "nl;q=NaN", "-,;,;;q=,nl-", "qaa_Hant_TW;q=1e-9"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		language := c.Accept(header)
		assert.Contains(t, c.languages, language)
		assert.Equal(t, language, c.Match(language))
		long := header + "," + strings.Repeat("x", maxAccepted) + ",de"
		assert.Equal(t, c.Accept(header+","), c.Accept(long))
	})
}
