package okidhttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
)

// Requirement is something that a route asks of a user's [Grant] beside that it counts. It is
// made by [Over], [Within], [From], [Document] or [Country], and given to
// [Kit.RequireVerified]. What a grant does not tell, because the provider did not, does not
// meet a requirement.
type Requirement struct {
	kind  string
	bound int64    // of over, in years, and of within, in seconds
	words []string // of the others, any of which will do
}

// The kinds of requirements, as clients see them.
const (
	kindOver     = "over"
	kindWithin   = "within"
	kindFrom     = "from"
	kindDocument = "document"
	kindCountry  = "country"
)

// boundName is the name of a requirement's bound in JSON and in queries.
var boundName = map[string]string{
	kindOver: "age", kindWithin: "max_age", kindFrom: "providers", kindDocument: "documents", kindCountry: "countries",
}

// Over requires that the user has reached an age, which must be one of [Config.AgeOver].
// Whoever comes of age after the verification meets it from that day on.
func Over(years int) Requirement { return Requirement{kind: kindOver, bound: int64(years)} }

// Within requires a verification that is younger than d, which must be a whole number of
// seconds.
func Within(d time.Duration) Requirement {
	if d%time.Second != 0 {
		d = 0 // which is refused
	}
	return Requirement{kind: kindWithin, bound: int64(d / time.Second)}
}

// From requires a verification by one of the providers with these names, which must be among
// [Config.Providers]. [StaffProvider] stands for [Kit.Approve].
func From(providers ...string) Requirement { return Requirement{kind: kindFrom, words: providers} }

// Document requires a document of one of these types, in the words of [Grant.DocumentType],
// without regard to letter case.
func Document(types ...string) Requirement { return Requirement{kind: kindDocument, words: types} }

// Country requires a document that one of these countries has issued, given as ISO 3166-1
// alpha-3 codes, such as "NLD".
func Country(codes ...string) Requirement { return Requirement{kind: kindCountry, words: codes} }

// check returns why the kit cannot check a requirement, or nil.
func (q *Requirement) check(c *Config) error {
	known := func(word string) bool { return word != "" && !strings.ContainsAny(word, ", ") }
	switch q.kind {
	case kindOver:
		if !slices.Contains(c.AgeOver, int(q.bound)) {
			return fmt.Errorf("Over(%d) needs %[1]d in Config.AgeOver", q.bound)
		}
		return nil
	case kindWithin:
		if q.bound <= 0 {
			return errors.New("Within needs a whole number of seconds, at least one")
		}
		return nil
	case kindFrom:
		known = func(word string) bool {
			return word == StaffProvider || slices.ContainsFunc(c.Providers, func(p identity.Provider) bool { return p.Name() == word })
		}
	case kindCountry:
		known = attempt.IsCountry
	case kindDocument:
	default:
		return errors.New("a Requirement is not made by hand")
	}
	if len(q.words) == 0 {
		return fmt.Errorf("%s needs at least one argument", q.constructor())
	}
	for _, word := range q.words {
		if !known(word) {
			needs := map[string]string{
				kindFrom: "the name of one of Config.Providers", kindCountry: "an ISO 3166-1 alpha-3 code, such as NLD", kindDocument: "one word",
			}[q.kind]
			return fmt.Errorf("%s(%q) needs %s", q.constructor(), word, needs)
		}
	}
	return nil
}

// constructor is the function that makes such a requirement.
func (q *Requirement) constructor() string {
	return map[string]string{kindFrom: "From", kindDocument: "Document", kindCountry: "Country"}[q.kind]
}

// checkRequirements panics if there is one that cannot be checked, and says what to add.
func (c *Config) checkRequirements(all []Requirement) {
	var errs []error
	for i := range all {
		errs = append(errs, all[i].check(c))
	}
	if err := errors.Join(errs...); err != nil {
		panic(fmt.Sprintf("okidhttp: RequireVerified cannot check what it is to require:\n%v", err))
	}
}

// met reports whether a grant meets a requirement at now, by the store's clock.
func (q *Requirement) met(g *attempt.Grant, now time.Time) bool {
	switch q.kind {
	case kindOver:
		return slices.Contains(g.AgeOver, int(q.bound))
	case kindWithin:
		return now.Sub(g.VerifiedAt) < time.Duration(q.bound)*time.Second
	case kindFrom:
		return slices.Contains(q.words, g.Provider)
	case kindDocument:
		return slices.ContainsFunc(q.words, func(word string) bool { return strings.EqualFold(word, g.DocumentType) })
	}
	return slices.Contains(q.words, g.Country)
}

// unmet returns the first requirement that a grant does not meet, or nil.
func unmet(all []Requirement, g *attempt.Grant, now time.Time) *Requirement {
	for i := range all {
		if !all[i].met(g, now) {
			return &all[i]
		}
	}
	return nil
}

// query names a requirement in the query of a page.
func (q *Requirement) query() []string {
	bound := strings.Join(q.words, ",")
	if q.words == nil {
		bound = strconv.FormatInt(q.bound, 10)
	}
	return []string{"requirement", q.kind, boundName[q.kind], bound}
}

// requirement is what the query of a page names, or nil. Anybody can write one: it only
// decides what the page says.
func (k *answers) requirement(r *http.Request) *Requirement {
	kind, _ := parameter(r, "requirement")
	bound, ok := parameter(r, boundName[kind])
	if !ok {
		return nil
	}
	q := &Requirement{kind: kind}
	switch kind {
	case kindOver, kindWithin:
		q.bound, _ = strconv.ParseInt(bound, 10, 32)
	default:
		q.words = strings.Split(bound, ",")
	}
	if q.check(&k.cfg) != nil {
		return nil
	}
	return q
}

// unmetBound are the members of a problem that name a requirement.
type unmetBound struct {
	Type        string   `json:"type"`
	Requirement string   `json:"requirement"`
	Age         int64    `json:"age,omitempty"`
	MaxAge      int64    `json:"max_age,omitempty"` // in seconds
	Providers   []string `json:"providers,omitempty"`
	Documents   []string `json:"documents,omitempty"`
	Countries   []string `json:"countries,omitempty"`
}

// problem is the answer to a client whose user does not meet the requirement.
func (q *Requirement) problem() problem {
	p := problemRequirement
	p.unmetBound = &unmetBound{Type: "https://github.com/okidkit/okidkit/problems/requirement", Requirement: q.kind}
	switch q.kind {
	case kindOver:
		p.Age = q.bound
	case kindWithin:
		p.MaxAge = q.bound
	case kindFrom:
		p.Providers = q.words
	case kindDocument:
		p.Documents = q.words
	case kindCountry:
		p.Countries = q.words
	}
	return p
}

// refuseUnmet answers a request whose user does not meet a requirement.
func (k *answers) refuseUnmet(w http.ResponseWriter, r *http.Request, q *Requirement) {
	if wantsPage(r) {
		http.Redirect(w, r, k.mount.pageFor(r, q.query()...), http.StatusSeeOther)
		return
	}
	k.problem(w, r, q.problem(), nil)
}

// missing is the requirement that the query of the page names, if the grant does not meet
// it.
func (k *answers) missing(r *http.Request, s *engine.Snapshot, counts bool) *Requirement {
	q := k.requirement(r)
	if q == nil || !counts {
		return nil
	}
	g := s.Granting().Grant
	k.engine.Policy().ComeOfAge(g, s.Of(), s.Now)
	if q.met(&g.Grant, s.Now) {
		return nil
	}
	return q
}

// sayUnmet makes the start page say what a requirement asks for, and offer what helps: a
// new verification, unless it could not tell anything else.
func (k *answers) sayUnmet(page *StartPage, q *Requirement, s *engine.Snapshot, language string) {
	t := func(english string) string { return k.texts.Translate(language, english) }
	page.Title, page.Button = "More is needed here", "Start verification"
	message, bound := unmetWords[q.kind], strings.Join(q.words, ", ")
	switch q.kind {
	case kindOver:
		bound = strconv.FormatInt(q.bound, 10)
		if k.engine.Policy().Younger(s.Granting().Grant, s.Of(), int(q.bound), s.Now) {
			message, page.StartURL = tooYoungWords, ""
		}
	case kindFrom:
		page.StartURL = "" // only staff can help
		for _, name := range q.words {
			if page.StartURL == "" && k.providers.named(name) != nil {
				page.StartURL = k.mount.url("start", "provider", name)
			}
		}
	}
	page.Message = strings.Replace(t(message), "%s", bound, 1)
}

// unmetWords tell the user what a requirement asks for; %s is its bound.
var unmetWords = map[string]string{
	kindOver:     "You must be %s or older. Your verification does not tell your age.",
	kindWithin:   "This needs a verification that is more recent than yours.",
	kindFrom:     "This needs a verification by %s.",
	kindDocument: "This needs another document: %s.",
	kindCountry:  "This needs a document of another country: %s.",
}

// tooYoungWords are for those whose age is known.
const tooYoungWords = "You must be %s or older."
