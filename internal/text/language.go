package text

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxTag is the length of the longest tag that tagPattern accepts, in bytes.
	maxTag = 3 + 3*9
	// maxAccepted bounds what is read of an Accept-Language, in bytes. That is room for
	// hundreds of languages; what comes after them does not matter.
	maxAccepted = 4 << 10
)

var tagPattern = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)

// Tag returns a language tag as the web writes it, "en-US" for "en_US". It returns "" if
// s is not a language with at most three subtags.
func Tag(s string) string {
	if len(s) > maxTag {
		return ""
	}
	if tag := hyphenated(s); tagPattern.MatchString(tag) {
		return tag
	}
	return ""
}

// Match returns the language of the catalog that is closest to a tag: "de" for "de-AT",
// if there are no Austrian texts. It returns "" if there is none. An underscore is read
// as a hyphen.
//
// The tag may come from a stranger. However long it is, Match costs no more than for the
// longest tag that a language of the catalog can have.
func (c *Catalog) Match(tag string) string {
	if len(tag) > maxTag {
		tag = broader(hyphenated(tag[:maxTag+1]))
	}
	for tag = strings.ToLower(hyphenated(tag)); tag != ""; tag = broader(tag) {
		if c.languages[tag] != nil {
			return tag
		}
	}
	return ""
}

// Accept returns the language of the catalog that the value of an Accept-Language header
// prefers, or [English] if there is none. Of languages with the same weight it is the
// first.
//
// The header may come from a stranger. Accept takes time in proportion to its length,
// and reads no more than its first 4 KiB.
func (c *Catalog) Accept(header string) string {
	if len(header) > maxAccepted {
		header = header[:maxAccepted]
		if i := strings.LastIndexByte(header, ','); i >= 0 {
			header = header[:i] // without half a language, or half its weight
		}
	}
	best, weight := English, 0.0
	for each := range strings.SplitSeq(header, ",") {
		tag, parameter, _ := strings.Cut(each, ";")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			q, _ = strconv.ParseFloat(value, 64) // what is no number is 0
		}
		if language := c.Match(strings.TrimSpace(tag)); language != "" && q > weight && q <= 1 {
			best, weight = language, q
		}
	}
	return best
}

// rightToLeft lists the languages and the scripts that are written from right to left.
var rightToLeft = []string{
	"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi",
	"adlm", "arab", "hebr", "nkoo", "rohg", "syrc", "thaa",
}

// Direction returns the value of the HTML attribute dir for a language in lower case:
// "rtl" or "ltr".
func Direction(language string) string {
	subtags := strings.Split(language, "-")
	decisive := subtags[0]
	if len(subtags) > 1 && len(subtags[1]) == 4 {
		decisive = subtags[1] // a script
	}
	if slices.Contains(rightToLeft, decisive) {
		return "rtl"
	}
	return "ltr"
}

// broader returns a tag without its last subtag: "zh-hant-tw", "zh-hant", "zh", "".
func broader(tag string) string { return tag[:max(strings.LastIndexByte(tag, '-'), 0)] }

// hyphenated returns a tag with hyphens for underscores.
func hyphenated(tag string) string { return strings.ReplaceAll(tag, "_", "-") }
