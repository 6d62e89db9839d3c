package okidhttp

import (
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/engine"
)

// problem is an answer that is not what was asked for, in constant words. It is
// written as RFC 9457 application/problem+json, or as a page for browsers.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"` // stable, for programs
	Title  string `json:"title"`
	Detail string `json:"detail"`

	Reason      string `json:"reason,omitempty"` // of a refusal
	forPrograms bool   // its words say nothing to people
	retryAfter  int    // seconds; 0: not said
	allow       string // the methods, for 405
	*unmetBound        // of a requirement
}

var (
	problemNotFound      = problem{Status: 404, Code: "not_found", Title: "Not found", Detail: "There is nothing here, or it is not yours."}
	problemNoProvider    = problem{Status: 404, Code: "unknown_provider", Title: "Unknown provider", Detail: "No provider of that name is configured.", forPrograms: true}
	problemAnonymous     = problem{Status: 401, Code: "not_logged_in", Title: "Please log in", Detail: "Log in first, then come back to this page."}
	problemCrossOrigin   = problem{Status: 403, Code: "cross_origin", Title: "Not from this site", Detail: "A verification can only be started from the site itself."}
	problemNotVerified   = problem{Status: 403, Code: "not_verified", Title: "Verification needed", Detail: "This needs a verified identity."}
	problemRequirement   = problem{Status: 403, Code: "requirement", Title: "More is needed here", Detail: "The user's verification does not meet what this requires."}
	problemVerified      = problem{Status: 409, Code: "already_verified", Title: "Already verified", Detail: "Your identity is verified already. There is nothing more to do."}
	problemClaimTaken    = problem{Status: 409, Code: "claim_taken", Title: "Used already", Detail: "This verification was used before, or belongs to another account."}
	problemBadRequest    = problem{Status: 400, Code: "bad_request", Title: "Cannot be read", Detail: "The request has a part that cannot be read, or a value that is not allowed.", forPrograms: true}
	problemRuledOut      = problem{Status: 403, Code: "ruled_out", Title: "Not verified", Detail: "Your last verification was refused, and another try is not possible."}
	problemLimited       = problem{Status: 429, Code: "too_many_attempts", Title: "Too many attempts", Detail: "You have tried too often. Please try again later."}
	problemRefused       = problem{Status: 502, Code: "provider_refused", Title: "Verification is not possible", Detail: "The verification service refused. Please tell the site's owner."}
	problemProviderAway  = problem{Status: 503, Code: "provider_unavailable", Title: "Please try again", Detail: "The verification service cannot be reached right now.", retryAfter: 5}
	problemStoreAway     = problem{Status: 503, Code: "unavailable", Title: "Please try again", Detail: "This is not available right now.", retryAfter: 5}
	problemInternal      = problem{Status: 500, Code: "internal", Title: "Something went wrong", Detail: "This did not work, through no fault of yours."}
	problemBodyTooLarge  = problem{Status: 413, Code: "body_too_large", Title: "Body too large", Detail: "The body is larger than is accepted.", forPrograms: true}
	problemSlowBody      = problem{Status: 408, Code: "body_too_slow", Title: "Body too slow", Detail: "The body did not arrive in time.", forPrograms: true}
	problemEncodedBody   = problem{Status: 415, Code: "encoded_body", Title: "Encoded body", Detail: "The body must be sent as it is, without a Content-Encoding.", forPrograms: true}
	problemBodyRead      = problem{Status: 500, Code: "body_already_read", Title: "Body already read", Detail: "Something in front of this handler has read the body.", forPrograms: true}
	problemUnauthentic   = problem{Status: 401, Code: "not_authentic", Title: "Not authentic", Detail: "The signature or the timestamp is missing or wrong."}
	problemMalformed     = problem{Status: 400, Code: "malformed", Title: "Malformed", Detail: "The body is authentic but is not a webhook that can be read.", forPrograms: true}
	problemCallback      = problem{Status: 500, Code: "callback_failed", Title: "Not handled", Detail: "The event could not be handled. It will be tried again."}
	problemInFlight      = problem{Status: 503, Code: "in_flight", Title: "In flight", Detail: "The event is being handled. Send it again to learn the result.", retryAfter: 1}
	problemBusy          = problem{Status: 503, Code: "busy", Title: "Please try again", Detail: "Too much is going on right now.", retryAfter: 1}
	problemTooManyStream = problem{Status: 429, Code: "too_many_streams", Title: "Too many streams", Detail: "Close another live status first.", retryAfter: 5}
)

const tomorrowWords = "You have tried too often. Please try again tomorrow."

// limited is problemLimited for whoever must wait. They are told of tomorrow, if it is
// tomorrow where the host is.
func (k *answers) limited(wait time.Duration) problem {
	p := problemLimited.after(wait)
	now := k.cfg.Now().In(k.cfg.Location)
	if identity.DateOf(now.Add(wait)) == identity.DateOf(now.AddDate(0, 0, 1)) {
		p.Detail = tomorrowWords
	}
	return p
}

// after is the problem with the time after which it may be tried again.
func (p problem) after(wait time.Duration) problem {
	p.retryAfter = int(math.Ceil(wait.Seconds()))
	return p
}

// because is the problem with the reason of a refusal.
func (p problem) because(reason string) problem {
	p.Reason = reason
	return p
}

// problem answers with p. cause, if there is one, is only for the log.
func (k *answers) problem(w http.ResponseWriter, r *http.Request, p problem, cause error) {
	switch ctx := r.Context(); {
	case cause == nil:
	case errors.Is(cause, engine.ErrStore), engine.Gone(ctx, cause):
		k.engine.Failed(ctx, engine.StoreFailed, cause)
	default:
		k.engine.Line(ctx, slog.LevelWarn, p.Code, "okidhttp: request failed", "code", p.Code, "error", cause)
	}
	h := w.Header()
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if wantsPage(r) {
		k.render(w, r, p.Status, k.problemPage(r, p))
		return
	}
	noStore(h)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone
}

// storeAway answers when the store could not be asked.
func (k *answers) storeAway(w http.ResponseWriter, r *http.Request, err error) {
	k.engine.Failed(r.Context(), engine.StoreFailed, err)
	k.problem(w, r, problemStoreAway, nil)
}

// noStore keeps an answer out of caches, whatever middleware says of answers in general.
func noStore(h http.Header) {
	if !strings.Contains(h.Get("Cache-Control"), "no-store") {
		h.Set("Cache-Control", "no-store")
	}
}

// problemPage tells of a problem, with a way on.
func (k *answers) problemPage(r *http.Request, p problem) *MessagePage {
	page := MessagePage{Kind: "error", Title: p.Title, Message: p.Detail, Button: "Continue", NextURL: k.mount.url("page")}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case p.forPrograms:
		page.Title, page.Message = problemInternal.Title, "This did not work. Please go back and try again."
	case p.Status == http.StatusUnauthorized:
		page.Button, page.NextURL = "Log in", k.cfg.LoginURL
	case p.Code == problemVerified.Code:
		page.Kind = "verified"
		page.NextURL = k.cfg.AfterSuccess
	case p.Status >= 500 && read:
		page.Button, page.NextURL = "Try again", "?"+r.URL.RawQuery // the same page, wherever it is mounted
	case p.Status >= 500:
		page.Button = "Try again"
	}
	return &page
}

// allow answers 405 and reports false unless the request's method is one of
// those given. HEAD goes with GET.
func (k *answers) allow(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	allowed := method
	if method == http.MethodGet {
		allowed = "GET, HEAD"
	}
	k.problem(w, r, problem{Status: 405, Code: "method_not_allowed", Title: "Method not allowed", Detail: "Use " + allowed + ".", forPrograms: true, allow: allowed}, nil)
	return false
}

// wantsPage reports whether the answer is for a person: the client accepts HTML,
// and does not ask for JSON.
func wantsPage(r *http.Request) bool { return accepts(r, "text/html") && !wantsJSON(r) }

// wantsJSON reports whether the client asks for JSON.
func wantsJSON(r *http.Request) bool { return accepts(r, "json") }

func accepts(r *http.Request, word string) bool {
	return strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Accept"), ",")), word)
}
