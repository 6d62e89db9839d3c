package okidhttp

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
)

// most is how many walks may pass before a bug is found.
const most = 2000

// TestWalksFindBugs has store, provider or host behave as they would under, or seem to
// under, a kit that does not keep one of its promises.
func TestWalksFindBugs(t *testing.T) {
	testenv.Long(t)
	if testenv.RaceDetector {
		t.Skip("a walk does one thing at a time, so there is nothing for the race detector to find")
	}
	everybody := func(c *circumstances) { c.callbacks = allCallbacks }
	tests := map[string]struct {
		flaw
		finds string // what is said of it, among others
	}{
		"what is held is dropped when the attempt expires": {
			flaw: flaw{
				where: func(c *circumstances) { c.mustReturn = true },
				kept: func(_ *walk, a *attempt.Attempt) {
					if a.Lapsed {
						discard(a, func(p *attempt.Entry) bool { return p.Held })
					}
				},
			},
			finds: "only the clock says so|a signed verified was acknowledged|the provider says verified",
		},
		"what is held is never due, and nothing beside it": {
			flaw: flaw{
				where: func(c *circumstances) { c.mustReturn, c.absent = true, true },
				put: func(w *walk, key string, write *store.Write) {
					if w.any(key, write, func(a *attempt.Attempt) bool {
						return firstEntry(a, func(e *attempt.Entry) bool { return e.Held }) != nil
					}) {
						write.DueIn = 0
					}
				},
			},
			finds: "never becomes final",
		},
		"a return to a final attempt is not noted": {
			flaw: flaw{
				where: func(c *circumstances) { c.mustReturn = true },
				kept: func(w *walk, a *attempt.Attempt) {
					if was := w.before(a); was != nil && was.Status.Final() && !was.Returned && a.Status.Final() {
						a.Returned = false
						for i := range a.Outbox {
							a.Outbox[i].Held = a.Outbox[i].Status == identity.Verified && !a.Outbox[i].Applied
						}
					}
				},
			},
			finds: "verified is pending for ever, held: true",
		},
		"a stranger's visit counts as a return": {
			flaw: flaw{
				where: func(c *circumstances) { c.mustReturn, c.crowd = true, false },
				host: func(_ *walk, c *Config) {
					c.Subject = func(*http.Request) (string, error) { return users[0], nil }
				},
			},
			finds: "the user has not come back",
		},
		"a lease outlives what it was taken for": {
			flaw: flaw{
				where: func(c *circumstances) { *c = circumstances{callbacks: 1, async: c.async, faults: true} }, // OnStarted
				read: func(w *walk, a *attempt.Attempt) {
					if a.Lease.Owner != 0 && !awaitsEvent(a, a.Lease.Event) {
						a.Lease.Until = w.clock.Now().Add(time.Hour)
					}
				},
			},
			finds: "pending for ever",
		},
		"a lease is never taken over": {
			flaw: flaw{
				read: func(w *walk, a *attempt.Attempt) {
					if a.Lease.Owner != 0 {
						a.Lease.Until = w.clock.Now().Add(time.Hour)
					}
				},
			},
			finds: "pending for ever",
		},
		"verified attempts are not asked about": {
			flaw: flaw{
				where: func(c *circumstances) { c.fickle, c.unknown = true, false },
				host:  func(_ *walk, c *Config) { c.RecheckVerified = -1 },
			},
			finds: "the provider says (failed|expired|review)",
		},
		"a dead letter forgets that the host may know": {
			flaw: flaw{
				where: func(c *circumstances) {
					everybody(c)
					c.permanent, c.operator, c.tidy, c.fickle = true, true, true, true
				},
				kept: func(_ *walk, a *attempt.Attempt) {
					for i := range a.Letters {
						a.Letters[i].Aware = false
					}
				},
			},
			finds: "the host believes that the user is verified",
		},
		"a dead letter is replayed as another event": {
			flaw: flaw{
				where: func(c *circumstances) { everybody(c); c.permanent, c.operator = true, true },
				host: func(w *walk, c *Config) {
					c.OnVerified = func(ctx context.Context, e Event) error {
						if w.running.replays.ID != "" {
							e.ID += "x"
						}
						return w.told(ctx, e)
					}
				},
			},
			finds: "replayed as another event",
		},
		"dead letters are not listed": {
			flaw: flaw{
				where: func(c *circumstances) { everybody(c); c.permanent = true },
				kept:  func(_ *walk, a *attempt.Attempt) { a.ListAt = time.Time{} },
			},
			finds: "a dead letter is not listed",
		},
		"who is erased stays in the list of dead letters": {
			flaw: flaw{
				where: func(c *circumstances) { everybody(c); c.permanent, c.erases = true, true },
				put: func(w *walk, key string, write *store.Write) {
					rec, _ := w.store.Get(context.Background(), key)
					if strings.HasPrefix(key, "dead:") && len(write.Value) < len(rec.Value) {
						write.Value = rec.Value
					}
				},
			},
			finds: "the list of dead letters names somebody who was erased",
		},
		"a claim is used before anybody is to have it": {
			flaw: flaw{
				where: func(c *circumstances) { c.claims, c.faults = true, true },
				kept: func(_ *walk, a *attempt.Attempt) {
					a.ClaimID = ""
				},
			},
			finds: "is spent, and had no effect",
		},
		"a claim can be used again after a day": {
			flaw: flaw{
				where: func(c *circumstances) { c.claims, c.erases, c.days = true, true, true },
				put: func(_ *walk, key string, write *store.Write) {
					if strings.HasPrefix(key, "c:") {
						write.TTL = 24 * time.Hour
					}
				},
			},
			finds: "was used before|has 2 attempts",
		},
		"erasing forgets that a claim was used": {
			flaw: flaw{
				where: func(c *circumstances) { c.claims, c.erases = true, true },
				put: func(w *walk, key string, write *store.Write) {
					if strings.HasPrefix(key, "c:") && len(w.erasures) > 0 {
						rec, _ := w.store.Get(context.Background(), key)
						write.Replaces = rec.Version
					}
				},
			},
			finds: "was used before",
		},
		"whose a claim is can be overwritten": {
			flaw: flaw{
				where: func(c *circumstances) { c.claims, c.crowd = true, true },
				put: func(w *walk, key string, write *store.Write) {
					if strings.HasPrefix(key, "c:") {
						rec, _ := w.store.Get(context.Background(), key)
						write.Replaces = rec.Version
					}
				},
			},
			finds: "has 2 attempts|was (alice|bob)'s",
		},
		"a record that cannot be read is one that is not there": {
			flaw: flaw{
				where: func(c *circumstances) { c.faults = true },
				got: func(rec store.Record, err error) (store.Record, error) {
					if errors.Is(err, errStoreIsAway) {
						err = store.ErrNotFound
					}
					return rec, err
				},
			},
			finds: "the provider says verified|acknowledged|is spent",
		},
		"a write that failed is one that was done": {
			flaw: flaw{
				where: func(c *circumstances) { *c = circumstances{callbacks: allCallbacks, faults: true} },
				answer: func(err error) error {
					if errors.Is(err, errStoreIsAway) {
						return nil
					}
					return err
				},
			},
			finds: "the provider says|acknowledged|does not know",
		},
		"a provider that is away does not know the verification": {
			flaw: flaw{
				where: func(c *circumstances) { c.unknown = false },
				fetch: func(_ *walk, n identity.Notice, err error) (identity.Notice, error) {
					if errors.Is(err, identity.ErrUnavailable) {
						err = identity.ErrNotFound
					}
					return n, err
				},
			},
			finds: "the provider says verified",
		},
		"the provider's first answer is believed for ever": {
			flaw: flaw{
				where: func(c *circumstances) { c.fickle, c.unknown = true, false },
				fetch: func(w *walk, n identity.Notice, err error) (identity.Notice, error) {
					if err == nil && w.verification(n.Verification.ID).changed {
						v := w.verification(n.Verification.ID)
						n.Verification.Status = identity.Verified
						if v.truth == identity.Verified {
							n.Verification.Status = identity.Failed
						}
					}
					return n, err
				},
			},
			finds: "the provider says",
		},
		"nobody confirms a signed verified": {
			flaw: flaw{
				where: func(c *circumstances) { c.confirm, c.unknown = true, false },
				host:  func(_ *walk, c *Config) { c.ConfirmByFetch = false },
			},
			finds: "the provider did not confirm it",
		},
		"nobody has to come back": {
			flaw: flaw{
				where: func(c *circumstances) { c.mustReturn = true },
				host:  func(_ *walk, c *Config) { c.RequireReturn = false },
			},
			finds: "the user has not come back",
		},
		"a policy that panics refuses": {
			flaw: flaw{
				where: func(c *circumstances) { c.policy = true },
				host: func(w *walk, c *Config) {
					c.Decide = func(ctx context.Context, e Event) (err error) {
						defer func() {
							if v := recover(); v != nil {
								err = Refuse("panicked")
							}
						}()
						return w.decide(ctx, e)
					}
				},
			},
			finds: "a policy that did not refuse it",
		},
		"a policy that cannot tell accepts": {
			flaw: flaw{
				where: func(c *circumstances) { c.policy = true },
				host: func(w *walk, c *Config) {
					c.Decide = func(ctx context.Context, e Event) error {
						if err := w.decide(ctx, e); errors.Is(err, errTooYoung) {
							return err
						}
						return nil
					}
				},
			},
			finds: "policy did not accept it",
		},
		"the policy is not asked": {
			flaw: flaw{
				where: func(c *circumstances) { c.policy = true },
				host:  func(_ *walk, c *Config) { c.Decide = nil },
			},
			finds: "the host's policy did not accept it",
		},
		"a document that has expired counts": {
			flaw: flaw{
				where: func(c *circumstances) { c.documents = true },
				host:  func(_ *walk, c *Config) { c.AllowExpiredDocument = true },
			},
			finds: "the document does not count",
		},
		"a provider that wants to be left alone is not": {
			flaw: flaw{
				where: func(c *circumstances) { c.quiet, c.unknown = true, false },
				read:  func(_ *walk, a *attempt.Attempt) { a.QuietUntil = time.Time{} },
			},
			finds: "wants to be left alone",
		},
		"records do not live as long as they should": {
			flaw: flaw{
				put: func(_ *walk, key string, write *store.Write) { write.TTL = min(write.TTL, 48*time.Hour) },
			},
			finds: "a record is gone",
		},
		"a withdrawal leaves the gate open": {
			flaw: flaw{
				kept: func(w *walk, a *attempt.Attempt) {
					if was := w.before(a); was != nil && was.Status == identity.Verified && a.Status == identity.Revoked {
						a.Status, a.Grant = was.Status, was.Grant
					}
				},
			},
			finds: "the provider says|was last told",
		},
		"older news is told after newer": {
			flaw: flaw{
				where: everybody,
				kept: func(w *walk, a *attempt.Attempt) {
					was := w.before(a)
					if was == nil || len(was.Outbox) == 0 || len(a.Outbox) > 0 || a.Lease.Owner != 0 {
						return
					}
					if p := was.Outbox[0]; p.Applied && len(was.Outbox) > 1 {
						p.Due = w.clock.Now().Add(time.Minute)
						a.Outbox = append(a.Outbox, p)
					}
				},
			},
			finds: "was last told",
		},
		"a webhook of another verification counts": {
			flaw: flaw{
				read: func(w *walk, a *attempt.Attempt) {
					if w.running != nil && w.running.strays {
						a.ProviderID = ""
					}
				},
			},
			finds: `no verification "stray"`,
		},
		"a new key seals before all have it": {
			flaw: flaw{
				where: func(c *circumstances) { c.rotates = true },
				hasty: true,
			},
			finds: "was acknowledged, and is not known",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			finds := regexp.MustCompile(test.finds)
			for seed := range uint64(most) {
				w := takeWalk(t, seed+1, test.flaw)
				if i := slices.IndexFunc(w.problems, finds.MatchString); i >= 0 {
					t.Logf("seed %d: %s", seed+1, w.problems[i])
					return
				}
			}
			require.Fail(t, "is not found", "by %d walks", most)
		})
	}
}

// before is an attempt as it was written last, or nil.
func (w *walk) before(a *attempt.Attempt) *attempt.Attempt {
	for _, r := range w.records {
		if was := r.Find(a.ID); was != nil {
			return was
		}
	}
	return nil
}

// any reports whether what is written has such an attempt.
func (w *walk) any(key string, write *store.Write, is func(*attempt.Attempt) bool) (found bool) {
	w.change(key, write.Value, func(_ *walk, a *attempt.Attempt) { found = found || is(a) })
	return found
}
