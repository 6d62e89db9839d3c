package okidhttp

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// mount is where the kit's routes are, as browsers and providers see it.
type mount struct {
	publicURL *url.URL // Config.PublicURL
	base      string   // the same
	// returnURLs are Config.ReturnURLs.
	returnURLs []string
}

// url returns a URL under the mount. The query has names and values by turns, of which
// those without a value are left out.
func (m *mount) url(route string, query ...string) string {
	u, separator := m.base+"/"+route, "?"
	for i := 0; i+1 < len(query); i += 2 {
		if value := query[i+1]; value != "" {
			u += separator + query[i] + "=" + url.QueryEscape(value)
			separator = "&"
		}
	}
	return u
}

// claimURL returns where a page posts the claim to an attempt's verification.
func (m *mount) claimURL(provider, reference string) string {
	return m.url("claim", "provider", provider, "attempt", reference)
}

// routes are the last segments of the paths that the kit serves.
var routes = [...]string{"start", "page", "webhook", "success", "error", "status", "claim", "client.js", "client.d.ts"}

// route is which of the routes a request is for, and "" if none. A slash at the end, or
// several, mean nothing, and the mount itself is the page.
//
// The kit may see less or more of a path than the browser does: http.StripPrefix and
// routers take the mount away, proxies take away or add what comes before it, and a
// host may have mounted the kit elsewhere than Config.PublicURL says. So a route is one
// if it stands behind the last segment of PublicURL's path, or if there is no more than
// one segment before it.
func (m *mount) route(r *http.Request) string {
	last, rest := lastSegment(r.URL.Path)
	before, rest := lastSegment(rest)
	mount, _ := lastSegment(m.publicURL.Path)
	shallow := strings.Trim(rest, "/") == ""
	switch {
	case isRoute(last) && (before == mount || shallow && !isRoute(before)):
		return last
	case last == mount, last == "":
		return "page"
	case before == "" && strings.HasSuffix(r.URL.Path, "/") && !m.isBelow(r):
		return "page" // of a mount by another name
	}
	return ""
}

// isBelow reports whether a request came for something directly below the mount, of which
// its path may not tell any more.
func (m *mount) isBelow(r *http.Request) bool {
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return false
	}
	_, rest := lastSegment(u.Path)
	before, _ := lastSegment(rest)
	mount, _ := lastSegment(m.publicURL.Path)
	return before == mount
}

// isPage reports whether a target is the kit's own page, or leads there, which must not
// lead to itself. It reads the target as generously as browsers and routers do: a host that
// is not ASCII may be any.
func (m *mount) isPage(target string) bool {
	u, err := m.publicURL.Parse(strings.TrimSpace(target))
	if err != nil {
		return false
	}
	if host, err := hostOf(u); err == nil && host != m.publicURL.Host {
		return false
	}
	clean := func(p string) string { return path.Clean("/" + strings.ReplaceAll(p, `\`, "/")) }
	for _, own := range []string{"", "/page", "/start"} {
		if strings.EqualFold(clean(u.Path), clean(m.publicURL.Path+own)) { // as some routers do
			return true
		}
	}
	return false
}

func isRoute(segment string) bool { return slices.Contains(routes[:], segment) }

// lastSegment cuts the last segment that is not empty off a path.
func lastSegment(path string) (segment, rest string) {
	path = strings.TrimRight(path, "/")
	i := strings.LastIndexByte(path, '/') + 1
	return path[i:], path[:i]
}

// parameter is the first value that the query of a request has for a name, and whether
// it has the name at all; a value that cannot be read is "". Whatever else there is in
// the query changes nothing. A second question mark begins another parameter, since
// providers append theirs to URLs that have a query already.
func parameter(r *http.Request, name string) (value string, ok bool) {
	isSeparator := func(c rune) bool { return c == '&' || c == '?' }
	for pair := range strings.FieldsFuncSeq(r.URL.RawQuery, isSeparator) {
		key, value, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err != nil || key != name {
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			value = ""
		}
		return value, true
	}
	return "", false
}
