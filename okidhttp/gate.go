package okidhttp

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
)

// RequireVerified returns a handler that calls next for verified users whose [Grant] meets
// all requirements, and for nobody else. In next, [GrantFrom] returns the grant.
// RequireVerified panics if there is a requirement that the kit cannot check, and says what
// to add.
//
// If a requirement is not met, a browser gets 303 to [Kit.Page], which says what is missing
// and offers another verification if that can help; the one that stands stays until the new
// one succeeds. Other clients get 403 with the requirement and its bound.
//
// If the user is not verified, a browser gets 303 to [Kit.Page] and comes back afterwards, and
// other clients get 403. Behind a proxy that changes paths in a way that the kit cannot know,
// the browser goes to [Config.AfterSuccess] instead of coming back. If nobody is logged in,
// [Config.Unauthorized] answers. If the store cannot be read, nobody gets through: the answer
// is 503 with Retry-After. Answers are marked as not to be cached, unless next says otherwise.
func (k *Kit) RequireVerified(next http.Handler, requirements ...Requirement) http.Handler {
	k.cfg.checkRequirements(requirements)
	requirements = slices.Clone(requirements)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &passage{Context: r.Context()}
		p.mark(w.Header())
		if k.cfg.Observer == nil {
			p.grant = k.admit(w, r, requirements)
		} else {
			k.serve("gate", func(w http.ResponseWriter, r *http.Request) { p.grant = k.admit(w, r, requirements) }, w, r)
		}
		if p.grant != nil {
			next.ServeHTTP(w, r.WithContext(p))
		}
	})
}

// admit returns the grant of whoever may pass, and answers everybody else.
func (k *Kit) admit(w http.ResponseWriter, r *http.Request, requirements []Requirement) *Grant {
	_, hash, ok := k.knownSubject(w, r, func() string { return k.mount.pageFor(r) })
	if !ok {
		return nil
	}
	g, now, err := k.engine.Admit(r.Context(), hash)
	switch {
	case err != nil:
		k.storeAway(w, r, err)
	case g != nil:
		if q := unmet(requirements, g, now); q != nil {
			k.refuseUnmet(w, r, q)
			return nil
		}
		return (*Grant)(g)
	case wantsPage(r):
		http.Redirect(w, r, k.mount.pageFor(r), http.StatusSeeOther)
	default:
		k.problem(w, r, problemNotVerified, nil)
	}
	return nil
}

const (
	privateNoStore = "private, no-store"
	varyByUser     = "Cookie, Authorization, Accept"
)

// passage is what one request takes through the gate, in one piece of memory: the
// context for next, with the grant, and the header values of the answer, which are not
// shared with any other.
type passage struct {
	context.Context
	grant  *Grant
	values [2]string
}

// mark keeps the answer from whoever it is not for.
func (p *passage) mark(h http.Header) {
	p.values = [...]string{privateNoStore, varyByUser}
	h["Cache-Control"] = p.values[0:1:1]
	if h["Vary"] == nil {
		h["Vary"] = p.values[1:2:2]
	} else {
		h.Add("Vary", varyByUser)
	}
}

// Value makes the grant the value of grantKey.
func (p *passage) Value(key any) any {
	if key == (grantKey{}) {
		return p.grant
	}
	return p.Context.Value(key)
}

// pageFor is the kit's page, and remembers where the user wanted to go if that
// can be gone to again.
func (m *mount) pageFor(r *http.Request, more ...string) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return m.url("page", more...)
	}
	// Not r.URL, of which http.StripPrefix may have taken a part.
	wanted := m.returnTo(r.RequestURI)
	if beside, _ := path.Split(m.publicURL.EscapedPath()); !strings.HasPrefix(wanted, beside) {
		// There may be a proxy that has taken a part of the path. The page can tell.
		return m.url("page", append(more, "gated", wanted)...)
	}
	return m.url("page", append(more, "return_to", wanted)...)
}

type grantKey struct{}

// GrantFrom returns the grant with which a request came through [Kit.RequireVerified], and
// false if it did not.
func GrantFrom(ctx context.Context) (Grant, bool) {
	g, ok := ctx.Value(grantKey{}).(*Grant)
	if !ok {
		return Grant{}, false
	}
	return *g, true
}
