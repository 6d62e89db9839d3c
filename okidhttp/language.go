package okidhttp

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// english is the language of the texts that have no translation.
const english = "en"

// texts are what the pages say: the kit's texts under the host's.
type texts struct {
	host map[string]map[string]string // Config.Texts, by the tag in lower case
}

func newTexts(host map[string]map[string]string) *texts {
	t := &texts{host: map[string]map[string]string{}}
	for tag, own := range host {
		t.host[strings.ToLower(tag)] = maps.Clone(own)
	}
	return t
}

// checkTexts returns what is wrong with Config.Texts.
func checkTexts(host map[string]map[string]string) []string {
	var wrong []string
	for _, tag := range slices.Sorted(maps.Keys(host)) {
		if !localePattern.MatchString(tag) {
			wrong = append(wrong, " has a language that is not a language tag")
			continue
		}
		for _, text := range slices.Sorted(maps.Keys(host[tag])) {
			if _, ok := translations[text]; !ok {
				wrong = append(wrong, fmt.Sprintf("[%q] has a text that the kit does not have: %q", tag, text))
			}
		}
	}
	return wrong
}

// translate returns a text in a language, else in the language that this one is a
// variety of, else in English.
func (t *texts) translate(language, text string) string {
	for tag := language; tag != ""; tag = broader(tag) {
		if own := t.host[tag][text]; own != "" {
			return own
		}
		if i := slices.Index(translated[:], tag); i >= 0 && translations[text][i] != "" {
			return translations[text][i]
		}
	}
	return text
}

// speaks is the language that there are texts in for a tag, or "". An underscore is
// read as a hyphen. However long the tag, it costs no more than the longest one that
// there can be texts for.
func (t *texts) speaks(tag string) string {
	if len(tag) > maxTag {
		tag = broader(hyphenated(tag[:maxTag+1]))
	}
	for tag = strings.ToLower(hyphenated(tag)); tag != ""; tag = broader(tag) {
		if t.host[tag] != nil || tag == english || slices.Contains(translated[:], tag) {
			return tag
		}
	}
	return ""
}

// broader takes the last subtag off a language tag: "zh-hant-tw", "zh-hant", "zh", "".
func broader(tag string) string { return tag[:max(strings.LastIndexByte(tag, '-'), 0)] }

// hyphenated is a language tag as the web writes it: "en-US" for "en_US".
func hyphenated(tag string) string { return strings.ReplaceAll(tag, "_", "-") }

const (
	// maxTag is the length of the longest language tag that localePattern accepts, in
	// bytes.
	maxTag = 3 + 3*9
	// maxAccepted bounds what is read of the header Accept-Language, in bytes. It names
	// hundreds of languages; what comes after them does not matter.
	maxAccepted = 4 << 10
)

// language is the one in which to speak to the user of a request.
func (k *Kit) language(r *http.Request) string {
	if k.cfg.Language != nil {
		if spoken := k.texts.speaks(k.cfg.Language(r)); spoken != "" {
			return spoken
		}
	}
	best, weight := english, 0.0
	accepted := r.Header.Get("Accept-Language")
	if len(accepted) > maxAccepted {
		accepted = accepted[:maxAccepted]
		if i := strings.LastIndexByte(accepted, ','); i >= 0 {
			accepted = accepted[:i] // without half a language, or half its weight
		}
	}
	for each := range strings.SplitSeq(accepted, ",") {
		tag, parameter, _ := strings.Cut(each, ";")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			q, _ = strconv.ParseFloat(value, 64) // what is none is 0
		}
		if spoken := k.texts.speaks(strings.TrimSpace(tag)); spoken != "" && q > weight && q <= 1 {
			best, weight = spoken, q
		}
	}
	return best
}

// rightToLeft are the languages and the scripts that are written so.
var rightToLeft = []string{
	"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi",
	"adlm", "arab", "hebr", "nkoo", "rohg", "syrc", "thaa",
}

// direction is "rtl" or "ltr".
func direction(language string) string {
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
