package wire

import (
	"net/url"
	"regexp"
)

// locales is a language and what may follow it: "nl", "pt-BR", "zh_Hant_TW".
var locales = regexp.MustCompile(`^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}$`)

// Locale is the locale, or instead of it if it is not a language tag.
func Locale(locale, instead string) string {
	if !locales.MatchString(locale) {
		return instead
	}
	return locale
}

// Origin is the origin of a URL, as a Content-Security-Policy names it.
func Origin(u *url.URL) string { return u.Scheme + "://" + u.Host }
