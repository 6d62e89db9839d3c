package okidhttp

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxReturnTo bounds the address of the page that a user wanted to see, in bytes.
const maxReturnTo = 2048

// returnTo is the path, query and fragment of a page of the host's that a user
// may be sent to, made anew from what s says, or "" if s may lead anywhere else. One of
// Config.ReturnURLs is taken as it is.
//
// A browser reads an address more generously than net/url: it takes backslashes
// for slashes, skips tabs and newlines, and resolves dot segments, also written
// as %2e. So the address is refused if it has anything that the two could read
// differently, rather than repaired.
func (m *mount) returnTo(s string) string {
	if s == "" || len(s) > 4*maxReturnTo {
		return ""
	}
	if slices.Contains(m.returnURLs, s) {
		return s
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
		if host, err := hostOf(u); err != nil || host != m.publicURL.Host || u.Scheme != m.publicURL.Scheme {
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
	if mount := m.publicURL.Path; mount != "" && (u.Path == mount || strings.HasPrefix(u.Path, mount+"/")) {
		return "" // the kit's own pages lead here
	}
	local := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, Fragment: u.Fragment, RawFragment: u.RawFragment}
	if out := local.String(); len(out) <= maxReturnTo {
		return out
	}
	return ""
}

// isReturnURL accepts what Config.ReturnURLs may list: a web page, or a URL with a scheme that an
// app has claimed, and none that a browser runs or reads by itself.
func isReturnURL(s string) bool {
	u, err := url.Parse(s)
	isOdd := func(c rune) bool { return c <= ' ' || c == '\\' || c >= 0x7f }
	if err != nil || u.User != nil || len(s) > maxReturnTo || strings.ContainsFunc(s, isOdd) {
		return false
	}
	switch u.Scheme {
	case "", "javascript", "vbscript", "data", "blob", "file", "filesystem", "about", "view-source", "ws", "wss", "ftp", "intent":
		return false
	case "https":
		return u.Host != ""
	case "http":
		return isLoopback(u.Hostname())
	}
	return true
}

// wanted is the page that the query of a request to the kit names: as return_to in the
// browser's terms, or as gated in those of the gate.
//
// The two differ behind a proxy that takes a part of the paths away, or adds one. What it
// does shows in the request itself, which came to the kit's own URL: there the path is
// known as it was in the browser. If the page's is not of that kind, nobody can tell.
func (m *mount) wanted(r *http.Request) string {
	value, _ := parameter(r, "return_to")
	returnTo := m.returnTo(value)
	here, there := m.detour(r)
	if returnTo == "" {
		value, _ := parameter(r, "gated")
		if returnTo = m.returnTo(value); !strings.HasPrefix(returnTo, here+"/") {
			return ""
		}
	} else if here == "" || !strings.HasPrefix(returnTo, here+"/") {
		return returnTo
	}
	return m.returnTo(there + strings.TrimPrefix(returnTo, here))
}

// detour is how the path of a request to one of the kit's routes begins here, and there,
// in the browser, without what both have in common. Without a proxy both are "".
func (m *mount) detour(r *http.Request) (here, there string) {
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return "", ""
	}
	here, there = u.EscapedPath(), m.publicURL.EscapedPath()
	if last, mount := lastSegment(here); isRoute(last) {
		here = mount
	}
	for {
		last, before := lastSegment(here)
		same, above := lastSegment(there)
		if last == "" || last != same {
			return strings.TrimRight(here, "/"), strings.TrimRight(there, "/")
		}
		here, there = before, above
	}
}
