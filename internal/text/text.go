// Package text holds the texts of the pages in all languages, and chooses the language in
// which to speak to a user.
//
// Each language is one file, named after its tag: nl.json has the Dutch translation of
// every English text in en.json. The tests of this package say what a file lacks.
package text

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// English is the language of the texts that stand for their translations.
const English = "en"

//go:embed *.json
var files embed.FS

// builtin returns the texts of the embedded files, by language and English text. They
// are read once, and shared by all catalogs.
var builtin = sync.OnceValue(func() map[string]map[string]string {
	languages, err := read(files)
	if err != nil {
		panic(err) // the tests read the same files
	}
	return languages
})

// read reads every JSON file of a folder.
func read(folder fs.FS) (map[string]map[string]string, error) {
	names, err := fs.Glob(folder, "*.json")
	if err != nil {
		return nil, err
	}
	languages := make(map[string]map[string]string, len(names))
	for _, name := range names {
		data, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, err
		}
		var texts map[string]string
		if err := json.Unmarshal(data, &texts); err != nil {
			return nil, fmt.Errorf("text: %s: %w", name, err)
		}
		languages[strings.TrimSuffix(name, ".json")] = texts
	}
	return languages, nil
}

// A Catalog translates the texts of the pages. It is made by [New], and safe for
// concurrent use.
type Catalog struct {
	languages map[string]map[string]string // by tag in lower case, and English text
}

// New returns a catalog of the embedded texts with those of the host's own, by language
// tag and English text, or reason of refusal. These add languages, and replace texts in others. New copies
// them. See [Check] for what is wrong with them.
func New(own map[string]map[string]string) *Catalog {
	c := &Catalog{maps.Clone(builtin())}
	for _, tag := range slices.Sorted(maps.Keys(own)) {
		if len(own[tag]) == 0 {
			continue
		}
		language := strings.ToLower(tag)
		texts := maps.Clone(c.languages[language])
		if texts == nil {
			texts = make(map[string]string, len(own[tag]))
		}
		for english, translation := range own[tag] {
			if translation != "" {
				texts[english] = translation
			}
		}
		c.languages[language] = texts
	}
	return c
}

// Check returns what is wrong with texts for [New]: tags that are none, and English texts
// that no page has. Each fault continues a sentence that begins with the name of the map.
func Check(own map[string]map[string]string) []string {
	var faults []string
	for _, tag := range slices.Sorted(maps.Keys(own)) {
		if !tagPattern.MatchString(tag) {
			faults = append(faults, " has a language that is not a language tag")
			continue
		}
		for _, english := range slices.Sorted(maps.Keys(own[tag])) {
			if _, ok := builtin()[English][english]; !ok && !IsReason(english) {
				faults = append(faults, fmt.Sprintf("[%q] has a text that the kit does not have: %q", tag, english))
			}
		}
	}
	return faults
}

// reasonPattern describes the reasons of refusals.
var reasonPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// IsReason reports whether a word has the form of a reason of refusal. A language may have
// a text for any such word, which stands for the English text of others.
func IsReason(word string) bool { return reasonPattern.MatchString(word) }

// Reason returns the text for a reason of refusal in a language, like
// [Catalog.Translate], or "" if there is none.
func (c *Catalog) Reason(language, reason string) string {
	if t := c.Translate(language, reason); t != reason {
		return t
	}
	return c.languages[English][reason]
}

// Translate returns a text in a language that [Catalog.Match] or [Catalog.Accept] has
// returned. What is missing falls back to the broader language, "de" for "de-ch", and
// then to English. A text that is not in the catalog is returned as it is.
func (c *Catalog) Translate(language, english string) string {
	for tag := language; tag != ""; tag = broader(tag) {
		if translation := c.languages[tag][english]; translation != "" {
			return translation
		}
	}
	return english
}
