package okidadmin

import (
	"embed"
	"encoding/json"
	"strings"
)

//go:embed text/*.json
var files embed.FS

// english is the language of the texts themselves.
const english = "en"

// languages are the translations of the texts, by language.
var languages = func() map[string]map[string]string {
	all := map[string]map[string]string{english: {}}
	for _, language := range []string{"nl", "de", "fr", "es"} {
		file, err := files.ReadFile("text/" + language + ".json")
		if err != nil {
			panic(err) // it is embedded
		}
		texts := map[string]string{}
		if err := json.Unmarshal(file, &texts); err != nil {
			panic(err) // a test reads it
		}
		all[language] = texts
	}
	return all
}()

// translate is an English text in another language.
func translate(language, text string) string {
	if t := languages[language][text]; t != "" {
		return t
	}
	return text
}

// maxAccepted bounds what is read of an Accept-Language, in bytes.
const maxAccepted = 1 << 10

// accepted is the first language of an Accept-Language that there is, which browsers put first.
func accepted(header string) string {
	for tag := range strings.SplitSeq(header[:min(len(header), maxAccepted)], ",") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		tag, _, _ = strings.Cut(strings.ToLower(tag), "-")
		if languages[tag] != nil {
			return tag
		}
	}
	return english
}
