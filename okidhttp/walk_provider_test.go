package okidhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// providerModel is the providers: one that sends signed webhooks, and perhaps another,
// and one whose verifications are claimed.
type providerModel struct {
	signing, second, claiming *fakeProvider

	verifications []*verification
	owed          []delivery // webhooks that were not answered with 200
}

// verification is what a provider knows.
type verification struct {
	id        string
	provider  string
	user      string
	reference string        // "": the user's browser holds a claim
	attempt   string        // for which the user claims it; "": not said
	unwanted  bool          // the host's policy refuses it
	unfit     bool          // its document does not count,
	expiry    identity.Date // since it has expired, or nobody can read when it does
	truth     identity.Status
	changed   bool // the provider's mind
	confirmed bool // the provider said verified when it was asked
	denied    int  // in the trace: where it last said something else

	quiet  time.Time // until then the provider wants to be left alone,
	hushed int       // as operations know that begin after this one

	// Webhooks that were delivered, unless they came late, and those of them that
	// were answered with 200.
	delivered, acked map[word]bool
	ackedAt          map[word]time.Time // when the last delivery began

	// What became of the claim.
	claims   int    // by those who do not know what came of it
	owner    string // the user who was told that it is theirs; "": nobody yet
	used     bool   // it has had its effect
	spent    bool   // and that was erased
	refused  bool   // somebody was told that it is taken
	erased   bool   // somebody was erased while it was claimed
	returned bool   // the user was there to claim it
	settled  bool   // its user knows what became of it
}

// word is what a webhook says, and whether that was before or after the provider
// changed its mind.
type word struct {
	status identity.Status
	after  bool
}

// contradicted reports whether any of some words denies the verification.
func (v *verification) contradicted(words map[word]bool) bool {
	for d := range words {
		if d.status == identity.Failed || d.status == identity.Expired {
			return true
		}
	}
	return false
}

// delivery is a webhook.
type delivery struct {
	notice
	v    *verification
	word word
}

func newProviderModel(w *walk) providerModel {
	return providerModel{
		signing:  w.world.provider,
		second:   &fakeProvider{name: "second", clock: w.clock},
		claiming: &fakeProvider{name: "claims", clock: w.clock},
	}
}

func (w *walk) providers() []identity.Provider {
	all := []identity.Provider{walkedProvider{w.signing, w}}
	if w.several {
		all = append(all, walkedProvider{w.second, w})
	}
	if w.claims {
		all = append(all, claimedProvider{walkedProvider{w.claiming, w}})
	}
	return all
}

func (w *walk) names() (names []string) {
	for _, p := range w.providers() {
		names = append(names, p.Name())
	}
	return names
}

// newVerification is one that a provider begins.
func (w *walk) newVerification(provider, user, reference string) *verification {
	v := &verification{
		id:        fmt.Sprint(provider, len(w.verifications)),
		provider:  provider,
		user:      user,
		reference: reference,
		truth:     pick(w, identity.Verified, identity.Verified, identity.Failed, identity.Expired, identity.Review),
		unwanted:  w.policy && w.random.Float64() < 0.4,
		delivered: map[word]bool{},
		acked:     map[word]bool{},
		ackedAt:   map[word]time.Time{},
	}
	v.expiry = person.DocumentExpiry
	if v.unfit = w.documents && w.random.Float64() < 0.3; v.unfit {
		v.expiry = pick(w, identity.Date{Year: 2026, Month: 2, Day: 28}, identity.UnreadableDate)
	}
	w.verifications = append(w.verifications, v)
	w.tell("%s begins %s of %s, which is %s", provider, v.id, user, v.truth)
	return v
}

func (w *walk) verification(id string) *verification {
	for _, v := range w.verifications {
		if v.id == id {
			return v
		}
	}
	w.problem("there is no verification %q", id)
	return &verification{}
}

// knows reports whether the provider knows a verification when it is asked.
func (w *walk) knows(v *verification) bool { return !w.unknown || v.provider != "fake" }

func (w *walk) oneOf(all []*verification) *verification {
	if len(all) == 0 {
		return nil
	}
	return pick(w, all...)
}

// signed are the verifications of which webhooks tell.
func (w *walk) signed() (some []*verification) {
	for _, v := range w.verifications {
		if v.reference != "" {
			some = append(some, v)
		}
	}
	return some
}

// inBrowsers are those to which a browser holds the claim.
func (w *walk) inBrowsers() (some []*verification) {
	for _, v := range w.verifications {
		if v.reference == "" {
			some = append(some, v)
		}
	}
	return some
}

// finishInBrowser is a user who has gone through with it, in an attempt or without
// one.
func (w *walk) finishInBrowser(user string) *verification {
	v := w.newVerification("claims", user, "")
	var mine []string
	for _, s := range w.stories {
		if s.user == user && s.provider == "claims" {
			mine = append(mine, s.reference)
		}
	}
	if len(mine) > 0 && w.random.IntN(3) > 0 {
		v.attempt = pick(w, mine...)
	}
	return v
}

// changeMind lets the provider think otherwise of a verification, once. The webhook
// that says so may be lost.
func (w *walk) changeMind(v *verification) {
	if v.changed {
		return
	}
	v.changed = true
	if v.truth == identity.Verified {
		v.truth = pick(w, identity.Failed, identity.Expired, identity.Review)
	} else {
		v.truth = identity.Verified
	}
	w.tell("%s is %s now", v.id, v.truth)
	if v.reference != "" && w.chance(0.6) {
		k := pick(w, w.kits...)
		d := w.webhookOf(v, v.truth)
		w.begin("", func() { w.deliver(k, d, false) })
	}
}

// draw is a webhook, which may have been overtaken by others.
func (w *walk) draw(v *verification) delivery {
	return w.webhookOf(v, pick(w, v.truth, v.truth, identity.Verified, identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired, ""))
}

func (w *walk) webhookOf(v *verification, s identity.Status) delivery {
	n := notice{Reference: v.reference, ID: v.id, Status: s, Expiry: v.expiry, Note: fmt.Sprint(v.changed, w.random.IntN(3))}
	return delivery{n, v, word{s, v.changed}}
}

// deliver is a webhook. The provider owes it again unless the answer is 200.
func (w *walk) deliver(k *Kit, d delivery, late bool) {
	n, code := d.notice, 0
	n.At = w.clock.Now()
	if late {
		n.At = n.At.Add(-time.Hour)
	} else {
		d.v.delivered[d.word] = true
		defer func() {
			if code != 200 {
				w.owed = append(w.owed, d)
			}
		}()
	}
	w.tell("webhook %s %s %s, late: %v", d.v.id, n.Status, n.Note, late)
	rec := httptest.NewRecorder()
	k.ServeHTTP(rec, w.webhookFrom(d.v.provider, n))
	code = rec.Code
	w.tell("webhook %s %s %s: %d", d.v.id, n.Status, n.Note, code)
	if code == 200 && !late {
		d.v.acked[d.word] = true
		d.v.ackedAt[d.word] = w.running.began
	}
}

func (w *walk) webhookFrom(provider string, n notice) *http.Request {
	r := w.webhookRequest(n)
	r.URL.RawQuery = "provider=" + provider
	return r
}

// stray is a webhook that names an attempt, and tells of a verification that is not
// this attempt's: another provider's, or another one of the same.
func (w *walk) stray(k *Kit, s *story) {
	var by []string
	for _, name := range w.names() {
		known := w.records[s.user] != nil && slices.ContainsFunc(w.records[s.user].Attempts, func(a attempt.Attempt) bool { return a.Reference == s.reference && a.ProviderID != "" })
		if name != "claims" && (name != s.provider || known) {
			by = append(by, name)
		}
	}
	if len(by) == 0 {
		return
	}
	provider := pick(w, by...)
	n := notice{Reference: s.reference, ID: "stray", Status: pick(w, told...), At: w.clock.Now()}
	w.begin("", func() {
		w.running.strays = true
		w.tell("stray webhook of %s about %s: %s", provider, s, n.Status)
		k.ServeHTTP(httptest.NewRecorder(), w.webhookFrom(provider, n))
	})
}

// answeredClaim looks at the answer to a claim.
func (w *walk) answeredClaim(v *verification, user string, code int) {
	if code != 503 {
		v.claims--
	}
	switch code {
	case 200, 202:
		if v.owner != "" && v.owner != user {
			w.problem("%s is %s's, and was %s's", v.id, user, v.owner)
		}
		v.owner, v.used = user, true
		v.settled = v.settled || user == v.user
	case 409:
		v.refused = true
		v.settled = v.settled || user == v.user
	case 503:
	case 429:
		if !w.limited {
			w.problem("the claim to %s is answered with 429", v.id)
		}
	default:
		w.problem("the claim to %s is answered with %d", v.id, code)
	}
}

// walkedProvider answers late, sometimes not, and sometimes without a verdict.
type walkedProvider struct {
	*fakeProvider
	w *walk
}

func (p walkedProvider) Start(ctx context.Context, r identity.StartRequest) (identity.Session, error) {
	w := p.w
	s := w.story(r.Reference)
	s.user, s.provider = w.running.user, p.name
	var err error
	if w.faults && w.chance(0.1) {
		err = pick(w, identity.ErrRefused, identity.ErrUnavailable, fmt.Errorf("%w, %w", identity.ErrUnavailable, identity.ErrUncertain))
		w.tell("%s does not start: %v", p.name, err)
	}
	if !errors.Is(err, identity.ErrRefused) {
		w.newVerification(p.name, w.running.user, r.Reference)
	}
	w.rest()
	if err != nil {
		return identity.Session{}, err
	}
	return p.fakeProvider.Start(ctx, r)
}

func (p walkedProvider) Fetch(_ context.Context, id string) (identity.Notice, error) {
	w := p.w
	w.rest()
	v := w.verification(id)
	says := v.truth
	if w.chance(0.3) {
		says = pick(w, identity.Started, "")
	}
	if op := w.running; op.number > v.hushed && w.clock.Now().Before(v.quiet) {
		w.problem("%s is asked though it wants to be left alone", p.name)
	}
	var n identity.Notice
	var err error
	switch {
	case w.quiet && w.chance(0.2):
		wait := pick(w, 0, time.Second, 30*time.Second, 10*time.Minute, 5*time.Hour)
		w.tell("%s wants to be left alone for %v", p.name, wait)
		err = &identity.RateLimitError{RetryAfter: wait}
		if wait == 0 {
			wait = time.Minute
		}
		v.quiet, v.hushed = w.clock.Now().Add(min(max(wait, 2*time.Second), time.Hour)), 1<<30
	case w.chance(0.2):
		w.tell("%s is away", p.name)
		err = identity.ErrUnavailable
	case !w.knows(v):
		w.tell("%s does not know %s", p.name, id)
		err = identity.ErrNotFound
	default:
		w.tell("%s says that %s is %q", p.name, id, says)
		if says != identity.Verified {
			v.denied = len(w.trace)
		} else {
			v.confirmed = true
			w.running.asked = append(w.running.asked, v.id)
		}
		n = identity.Notice{Provider: p.name, Reference: v.reference, Verification: person}
		n.Verification.ID, n.Verification.Status, n.Verification.DocumentExpiry = id, says, v.expiry
	}
	w.rest()
	if w.fetch != nil {
		n, err = w.fetch(w, n, err)
	}
	return n, err
}

// claimedProvider is one whose verifications are claimed.
type claimedProvider struct{ walkedProvider }

func (p claimedProvider) Start(context.Context, identity.StartRequest) (identity.Session, error) {
	p.w.rest()
	return identity.Session{ExpiresAt: p.clock.Now().Add(time.Hour)}, nil
}

func (claimedProvider) EchoesReference() bool { return false }

func (p claimedProvider) VerifyClaim(_ context.Context, body []byte) (string, error) {
	var c struct{ ID string }
	err := json.Unmarshal(body, &c)
	return c.ID, err
}

// VerifyWebhook hides the one of fakeProvider: there are none.
func (p claimedProvider) VerifyWebhook() {}
