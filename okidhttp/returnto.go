package okidhttp

import (
	"net/url"
	"strings"
)

// maxReturnTo bounds the address of the page that a user wanted to see, in bytes.
const maxReturnTo = 2048

// returnTo is the path, query and fragment of a page of the host's that a user
// may be sent to, made anew from what s says, or "" if s may lead anywhere else.
//
// A browser reads an address more generously than net/url: it takes backslashes
// for slashes, skips tabs and newlines, and resolves dot segments, also written
// as %2e. So the address is refused if it has anything that the two could read
// differently, rather than repaired.
func (k *Kit) returnTo(s string) string {
	if s == "" || len(s) > 4*maxReturnTo {
		return ""
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c == '\\' || c >= 0x7f {
			return ""
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil {
		return ""
	}
	if u.Scheme != "" || u.Host != "" {
		if host, err := hostOf(u); err != nil || host != k.publicURL.Host || u.Scheme != k.publicURL.Scheme {
			return ""
		}
	}
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return ""
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." || strings.ContainsAny(segment, "\\\t\r\n\x00") {
			return ""
		}
	}
	if strings.Contains(u.Path, "//") {
		return ""
	}
	if mount := k.publicURL.Path; mount != "" && (u.Path == mount || strings.HasPrefix(u.Path, mount+"/")) {
		return "" // the kit's own pages lead here
	}
	local := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, Fragment: u.Fragment, RawFragment: u.RawFragment}
	if out := local.String(); len(out) <= maxReturnTo {
		return out
	}
	return ""
}
