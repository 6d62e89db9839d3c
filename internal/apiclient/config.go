package apiclient

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hosts are those that may stand in a Content-Security-Policy.
var hosts = regexp.MustCompile(`^[A-Za-z0-9.:_\[\]-]+$`)

// ParseURL reads the URL of something of a provider's. It must be https, except on
// a loopback host. The errors do not contain the URL, whose userinfo may be a
// password, and lack a subject, such as the name of the setting.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "":
		return nil, errors.New("is not a URL")
	case u.User != nil:
		return nil, errors.New("has user information")
	case strings.Contains(text, "#"):
		return nil, errors.New("has a fragment")
	case u.ForceQuery:
		return nil, errors.New("has a query")
	case u.Hostname() == "" || !hosts.MatchString(u.Host):
		return nil, errors.New("has no usable host")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("is not https")
}

// ParseBaseURL is ParseURL for one to which paths are appended: it has no query,
// and the slashes at its end are taken away.
func ParseBaseURL(text string) (*url.URL, error) {
	u, err := ParseURL(text)
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" {
		return nil, errors.New("has a query")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// CheckKey returns what is wrong with a key that shall be sent in a header, like
// the errors of ParseURL without the key and without a subject.
func CheckKey(key string) error {
	switch {
	case strings.TrimSpace(key) == "":
		return errors.New("is empty")
	case strings.TrimSpace(key) != key:
		return errors.New("begins or ends with white space")
	case !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl):
		return errors.New("contains control characters")
	}
	return nil
}
