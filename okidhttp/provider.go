package okidhttp

import (
	"net/http"

	"github.com/okidkit/okidkit/identity"
)

// providers are Config.Providers.
type providers []identity.Provider

// named returns the provider with this name, or nil.
func (ps providers) named(name string) identity.Provider {
	for _, p := range ps {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// displayName is a provider's name as people know it.
func displayName(p identity.Provider) string {
	if named, ok := p.(identity.DisplayNamer); ok {
		return named.DisplayName()
	}
	return p.Name()
}

// chosen returns the provider that ?provider= names, or the default one. It is nil if
// there is none of that name.
func (ps providers) chosen(r *http.Request) identity.Provider {
	name, _ := parameter(r, "provider")
	if name == "" {
		return ps[0]
	}
	return ps.named(name)
}

// claiming is chosen among those that take claims.
func (ps providers) claiming(r *http.Request) (identity.Provider, identity.ClaimVerifier, bool) {
	name, _ := parameter(r, "provider")
	for _, p := range ps {
		if v, ok := p.(identity.ClaimVerifier); ok && (name == "" || name == p.Name()) {
			return p, v, true
		}
	}
	return nil, nil, false
}
