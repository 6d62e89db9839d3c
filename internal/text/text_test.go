package text

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each file has every text of the English one and no other.
func TestFiles(t *testing.T) {
	english, err := files.ReadFile("en.json")
	require.NoError(t, err)
	list, err := files.ReadDir(".")
	require.NoError(t, err)
	for _, entry := range list {
		tag, ok := strings.CutSuffix(entry.Name(), ".json")
		assert.True(t, ok && tag == strings.ToLower(Tag(tag)), "the name of %s is not a language tag in lower case", entry.Name())
		file, err := files.ReadFile(entry.Name())
		require.NoError(t, err)
		assert.Empty(t, faults(english, file), entry.Name())
		assert.Equal(t, tag, New(nil).Match(tag), "%s is not embedded", entry.Name())
	}
	for english, translation := range builtin()[English] {
		if IsReason(english) {
			continue
		}
		assert.Equal(t, english, translation, "en.json translates English into itself")
	}
}

// Hosts that add a language learn from the documentation what there is to translate,
// and whether they need to.
func TestDocumentation(t *testing.T) {
	docs, err := os.ReadFile("../../docs/pages.md")
	require.NoError(t, err)
	section := func(title string) string {
		_, after, ok := strings.Cut(string(docs), "\n## "+title+"\n")
		require.True(t, ok, title)
		text, _, _ := strings.Cut(after, "\n## ")
		return text
	}

	english, err := files.ReadFile("en.json")
	require.NoError(t, err)
	var want, got []string
	all, err := entries(english)
	require.NoError(t, err)
	for _, e := range all {
		if IsReason(e.english) {
			e.english = "`" + e.english + "`: " + e.translation
		}
		want = append(want, e.english)
	}
	for line := range strings.Lines(section("Texts")) {
		if text, ok := strings.CutPrefix(line, "- "); ok {
			got = append(got, strings.TrimSuffix(text, "\n"))
		}
	}
	assert.Equal(t, want, got, "docs/pages.md lists the texts of en.json in their order")

	var spoken, listed []string
	for tag := range builtin() {
		spoken = append(spoken, tag)
	}
	for _, match := range regexp.MustCompile("\\(`([a-z-]+)`\\)").FindAllStringSubmatch(section("Language"), -1) {
		listed = append(listed, match[1])
	}
	assert.ElementsMatch(t, spoken, listed, "docs/pages.md lists the languages, such as (`nl`)")
}

// What a translator may do to a file without noticing is found.
func TestFaults(t *testing.T) {
	const english = `{"Wait": "Wait", "Wait {n} days, %s.": "Wait {n} days, %s.", "One":"One"}`
	for name, tt := range map[string]struct{ file, want string }{
		"none":                 {`{"One": "Een", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, ""},
		"another full stop":    {`{"One": "一", "Wait": "等", "Wait {n} days, %s.": "%s等{n}天。"}`, ""},
		"no JSON":              {`{"One": "Een",}`, "invalid character"},
		"nothing":              {``, "unexpected end"},
		"no object":            {`["One"]`, "cannot unmarshal array"},
		"no text":              {`{"One": 1, "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, `"One": json: cannot unmarshal number`},
		"something after it":   {`{"One": "Een", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen."} {}`, "after top-level value"},
		"a text is missing":    {`{"One": "Een", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, `lacks "Wait"`},
		"a text is empty":      {`{"One": "", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, `"One" is not translated`},
		"a text is a space":    {`{"One": " ", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, `"One" is not translated`},
		"space at the end":     {`{"One": "Een ", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, `"One" begins or ends with a space`},
		"a text too many":      {`{"One": "Een", "Two": "Twee", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, `"Two" is not in en.json`},
		"a text twice":         {`{"One": "Een", "Wait": "Wacht", "One": "Eén", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, `"One" stands there twice`},
		"a lost placeholder":   {`{"One": "Een", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht enige dagen."}`, `placeholders of "Wait {n} days, %s."`},
		"a lost verb":          {`{"One": "Een", "Wait": "Wacht", "Wait {n} days, %s.": "Wacht {n} dagen."}`, `placeholders of "Wait {n} days, %s."`},
		"a misspelt one":       {`{"One": "Een", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {d} dagen."}`, `placeholders of "Wait {n} days, %s."`},
		"one too many":         {`{"One": "Een {n}", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, `placeholders of "One"`},
		"no full stop":         {`{"One": "Een", "Wait": "Wacht", "Wait {n} days, %s.": "%s, wacht {n} dagen"}`, "full stop"},
		"a full stop too many": {`{"One": "Een", "Wait": "Wacht.", "Wait {n} days, %s.": "%s, wacht {n} dagen."}`, "full stop"},
	} {
		found := strings.Join(faults([]byte(english), []byte(tt.file)), "\n")
		if tt.want == "" {
			assert.Empty(t, found, name)
			continue
		}
		assert.Contains(t, found, tt.want, name)
		assert.NotContains(t, found, "\n", "%s is one fault", name)
	}
}

type entry struct{ english, translation string }

// entries returns the texts of a file in their order, and also those that stand there
// twice.
func entries(file []byte) ([]entry, error) {
	var texts map[string]json.RawMessage
	if err := json.Unmarshal(file, &texts); err != nil { // which reads all of it
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(file))
	_, err := decoder.Token() // {
	var all []entry
	for err == nil && decoder.More() {
		var english json.Token
		var e entry
		if english, err = decoder.Token(); err == nil {
			e.english = english.(string)
			if err = decoder.Decode(&e.translation); err != nil {
				err = fmt.Errorf("%q: %w", e.english, err)
			}
		}
		all = append(all, e)
	}
	return all, err
}

var placeholder = regexp.MustCompile(`%[a-zA-Z]|\{[^{}]*\}`)

func placeholders(text string) []string {
	return slices.Sorted(slices.Values(placeholder.FindAllString(text, -1)))
}

// isSentence reports whether a text ends with a full stop, or what other scripts have
// for one.
func isSentence(text string) bool {
	last, _ := utf8.DecodeLastRuneInString(text)
	return unicode.Is(unicode.Sentence_Terminal, last)
}

// faults returns what is wrong with the file of a language, compared with the English one.
func faults(english, file []byte) []string {
	want, err := entries(english)
	if err != nil {
		return []string{"en.json: " + err.Error()}
	}
	got, err := entries(file)
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	count := map[string]int{}
	for _, e := range got {
		count[e.english]++
		trimmed := strings.TrimSpace(e.translation)
		switch {
		case !slices.ContainsFunc(want, func(w entry) bool { return w.english == e.english }):
			fault("%q is not in en.json", e.english)
		case count[e.english] == 2:
			fault("%q stands there twice", e.english)
		case trimmed == "":
			fault("%q is not translated", e.english)
		case trimmed != e.translation:
			fault("%q begins or ends with a space", e.english)
		case !slices.Equal(placeholders(e.english), placeholders(e.translation)):
			fault("the placeholders of %q are not those of %q", e.english, e.translation)
		case !IsReason(e.english) && isSentence(e.english) != isSentence(e.translation), IsReason(e.english) && !isSentence(e.translation):
			fault("of %q and %q, one ends with a full stop", e.english, e.translation)
		}
	}
	for _, w := range want {
		if count[w.english] == 0 {
			fault("it lacks %q", w.english)
		}
	}
	return wrong
}

// The texts of a host stand over the embedded ones.
func TestTranslate(t *testing.T) {
	own := map[string]map[string]string{
		"qaa":   {"Start verification": "Inizia la verifica", "Continue": ""},
		"de-QM": {"Start verification": "Los geht’s"},
		"de-qm": {"Continue": "Wiiter"},
		"en":    {"Start verification": "Prove your age"},
		"nl":    {"Start verification": "Begin", "Continue": ""},
		"qab":   {},
		"fr":    nil,
	}
	c := New(own)
	own["qaa"]["Start verification"] = "changed after New"
	for _, tt := range []struct{ language, english, want string }{
		{"qaa", "Start verification", "Inizia la verifica"},
		{"qaa", "Continue", "Continue"},
		{"qaa-it", "Start verification", "Inizia la verifica"},
		{"de-qm", "Start verification", "Los geht’s"},
		{"de-qm", "Continue", "Wiiter"},
		{"de-qm", "Try again", "Noch einmal versuchen"},
		{"de", "Start verification", "Verifizierung starten"},
		{"en", "Start verification", "Prove your age"},
		{"en", "Continue", "Continue"},
		{"nl", "Start verification", "Begin"},
		{"nl", "Continue", "Verder"},
		{"fr", "Continue", "Continuer"},
		{"es", "Continue", "Continuar"},
		{"es", "Use POST.", "Use POST."},
		{"", "Continue", "Continue"},
		{"qab", "Continue", "Continue"},
	} {
		assert.Equal(t, tt.want, c.Translate(tt.language, tt.english), "%q in %q", tt.english, tt.language)
	}
	assert.Empty(t, c.Match("qab"), "a language without a text is none")
	assert.Equal(t, "Iniciar la verificación", New(nil).Translate("es", "Start verification"))
	assert.Equal(t, "Start verification", New(nil).Translate("en", "Start verification"), "catalogs do not share what hosts say")
	assert.Empty(t, New(nil).Match("qaa"))
}

// A reason of the host's own has the host's text, or none.
func TestReason(t *testing.T) {
	c := New(map[string]map[string]string{
		"en": {"name_mismatch": "The name is not that of your account."},
		"nl": {"name_mismatch": "De naam is niet die van uw account.", "too_young": "Nog even wachten."},
	})
	for _, tt := range []struct{ language, reason, want string }{
		{"nl", "name_mismatch", "De naam is niet die van uw account."},
		{"de", "name_mismatch", "The name is not that of your account."},
		{"nl", "too_young", "Nog even wachten."},
		{"de-ch", "too_young", "Sie sind jünger, als diese Website verlangt."},
		{"qaa", "too_young", "You are younger than this site requires."},
		{"nl", "policy", ""},
		{"nl", "", ""},
	} {
		assert.Equal(t, tt.want, c.Reason(tt.language, tt.reason), "%q in %q", tt.reason, tt.language)
	}
}

func TestCheck(t *testing.T) {
	assert.Empty(t, Check(nil))
	assert.Empty(t, Check(map[string]map[string]string{"it": {"Continue": "Continua", "name_mismatch": "…"}, "zh-Hant-TW": nil, "EN": {}}))
	assert.Equal(t, []string{
		` has a language that is not a language tag`,
		`["it"] has a text that the kit does not have: "Goodbye"`,
		`["it"] has a text that the kit does not have: "Hello"`,
		` has a language that is not a language tag`,
	}, Check(map[string]map[string]string{"über": nil, "it": {"Hello": "Ciao", "Goodbye": "Ciao", "Continue": "Continua"}, "en_US": nil}))
}

func TestUnreadableFile(t *testing.T) {
	_, err := read(fstest.MapFS{"nl.json": {Data: []byte(`{}`)}, "it.json": {Data: []byte(`{"One": "Uno",}`)}})
	assert.ErrorContains(t, err, "it.json: ")
	languages, err := read(fstest.MapFS{"nl.json": {Data: []byte(`{"One": "Een"}`)}, "README": {Data: []byte("no language")}})
	assert.NoError(t, err)
	assert.Equal(t, map[string]map[string]string{"nl": {"One": "Een"}}, languages)
}
