package okidadmin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/okidkit/okidkit/okidhttp"
)

// actions are what can be done, by the name that a form has for it.
var actions = map[string]func(ctx context.Context, kit *okidhttp.Kit, a Action) error{
	"revoke": func(ctx context.Context, kit *okidhttp.Kit, a Action) error {
		return kit.Revoke(ctx, a.Subject, a.By)
	},
	"approve": func(ctx context.Context, kit *okidhttp.Kit, a Action) error {
		return kit.Approve(ctx, a.Subject, a.By)
	},
	"reset_limit": func(ctx context.Context, kit *okidhttp.Kit, a Action) error {
		return kit.ResetLimit(ctx, a.Subject, a.By)
	},
	"erase": func(ctx context.Context, kit *okidhttp.Kit, a Action) error { return kit.Erase(ctx, a.Subject) },
	"replay": func(ctx context.Context, kit *okidhttp.Kit, a Action) error {
		return kit.ReplayDeadLetter(ctx, a.DeadLetter)
	},
	"drop": func(ctx context.Context, kit *okidhttp.Kit, a Action) error {
		return kit.DropDeadLetter(ctx, a.DeadLetter)
	},
}

// notices say what was done, by the name of the action.
var notices = map[string]string{
	"revoke":      "The verification is revoked. The gate is shut.",
	"approve":     "The user is verified.",
	"reset_limit": "The user may try again.",
	"erase":       "The user is erased.",
	"replay":      "The host was told.",
	"drop":        "The dead letter is dropped.",
}

// failure is why an action did not work, in a word for a link, and in words.
type failure struct {
	err        error
	name, says string
}

var failures = []failure{
	{okidhttp.ErrNothingToDo, "nothing_to_do", "There was nothing to do."},
	{okidhttp.ErrNotTold, "not_told", "It is decided, but the host could not be told yet. It is told again by itself."},
	{okidhttp.ErrGivenUpAgain, "given_up_again", "The host's callback gave it up again."},
	{okidhttp.ErrNoDeadLetter, "no_dead_letter", "The dead letter is gone."},
	{okidhttp.ErrNotReplayable, "not_replayable", "It cannot be told: not even the id of the verification is known."},
	{errNotRecorded, "not_recorded", "It was not done, since it could not be recorded."},
}

const otherFailure, otherFailureSays = "failed", "It did not work. The log says why."

var errNotRecorded = errors.New("could not be recorded")

// problems are the words of failures.
var problems = func() map[string]string {
	all := map[string]string{otherFailure: otherFailureSays}
	for _, f := range failures {
		all[f.name] = f.says
	}
	return all
}()

// act does what a form asks for, and leads back to the user.
func (a *admin) act(w http.ResponseWriter, r *http.Request, actor string) {
	form := r.PostForm
	action := Action{
		Name: form.Get("action"), Subject: form.Get("subject"), DeadLetter: form.Get("letter"),
		By: okidhttp.Staff{Actor: actor, Reason: strings.TrimSpace(form.Get("reason"))},
	}
	do, ok := actions[action.Name]
	if !ok || action.Subject == "" {
		a.refuse(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	page := a.page(r, actor)
	switch {
	case action.By.Reason == "" || len(action.By.Reason) > maxReason:
		page.Problem = "Please give a reason, of at most 200 characters."
	case action.Name == "erase" && form.Get("confirm") != action.Subject:
		page.Problem = "To erase the user, type the user's name exactly as it stands here."
	}
	if page.Problem != "" {
		a.user(w, r, http.StatusUnprocessableEntity, page, action.Subject)
		return
	}
	ctx := r.Context()
	attempts, err := a.Kit.Attempts(ctx, action.Subject)
	if err != nil {
		a.failed(w, r, action.Name, err)
		return
	}
	args := []any{"action", action.Name, "actor", actor}
	if action.DeadLetter != "" {
		args = append(args, "event", action.DeadLetter)
	} else if len(attempts) > 0 {
		args = append(args, "attempt", attempts[len(attempts)-1].ID)
	}
	err = a.record(ctx, action)
	if err == nil {
		err = do(ctx, a.Kit, action)
	}
	failed := ""
	if err != nil {
		failed = failureOf(err)
		a.Logger.WarnContext(ctx, "okidadmin: action failed", append(args, "error", err)...)
	} else {
		a.Logger.InfoContext(ctx, "okidadmin: action", args...)
	}
	// It has given the user an attempt, or taken them all.
	if attempts, err = a.Kit.Attempts(ctx, action.Subject); err != nil || len(attempts) == 0 {
		a.redirect(w, "", action.Name, failed)
		return
	}
	a.redirect(w, attempts[len(attempts)-1].Reference, action.Name, failed)
}

// maxReason is how long a reason may be, in bytes.
const maxReason = 200

// record tells the host of an action before it takes place.
func (a *admin) record(ctx context.Context, action Action) error {
	if a.Audit == nil {
		return nil
	}
	if err := a.Audit(ctx, action); err != nil {
		return errors.Join(errNotRecorded, err)
	}
	return nil
}

// failureOf is the word of why an action did not work.
func failureOf(err error) string {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.name
		}
	}
	return otherFailure
}

// redirect leads to the user of an attempt, or with "" to the overview, and says what became of an
// action. It names no path, since nobody knows where the page is mounted.
func (a *admin) redirect(w http.ResponseWriter, reference, done, failed string) {
	query := url.Values{}
	if reference != "" {
		query.Set("attempt", reference)
	}
	if failed != "" {
		query.Set("failed", failed)
	} else if done != "" {
		query.Set("done", done)
	}
	a.head(w)
	w.Header().Set("Location", "?"+query.Encode())
	w.WriteHeader(http.StatusSeeOther)
}
