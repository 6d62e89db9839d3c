package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
)

// The outcomes beside those of package attempt. The values are those of
// okidhttp.Outcome, where they are described.
const (
	Vetoed          attempt.Outcome = "vetoed"
	DocumentRefused attempt.Outcome = "document_refused"
	Unreadable      attempt.Outcome = "unreadable_date"
	Unauthentic     attempt.Outcome = "unauthentic"
	Hinted          attempt.Outcome = "hint"
	Stale           attempt.Outcome = "stale"
	Malformed       attempt.Outcome = "malformed"
	BodyRead        attempt.Outcome = "body_already_read"
	Busy            attempt.Outcome = "busy"
	Stuck           attempt.Outcome = "stuck"
	Unaddressable   attempt.Outcome = "unaddressable"
	NoVerdict       attempt.Outcome = "no_verdict"
	ClaimTaken      attempt.Outcome = "claim_taken"
	StoreFailed     attempt.Outcome = "store_failed"
	SubjectFailed   attempt.Outcome = "subject_failed"
	ClientGone      attempt.Outcome = "client_gone"
	Started         attempt.Outcome = "started"
	Limited         attempt.Outcome = "limited"
	Staff           attempt.Outcome = "staff"
	Erased          attempt.Outcome = "erased"
	EraseFailed     attempt.Outcome = "erase_failed"
)

// Outcomes are all that there are.
var Outcomes = []attempt.Outcome{
	attempt.Applied, attempt.Queued, attempt.Held, attempt.Duplicate, attempt.Late, attempt.UnknownWord, attempt.UnknownAttempt,
	attempt.Implausible, attempt.InFlight, attempt.CallbackFailed, attempt.DeadLetter, attempt.ProviderFailed,
	Vetoed, DocumentRefused, Unreadable, Unauthentic, Hinted, Stale, Malformed, BodyRead, Busy, Stuck, Unaddressable, NoVerdict, ClaimTaken,
	StoreFailed, SubjectFailed, ClientGone, Started, Limited, Staff, Erased, EraseFailed,
}

// Log tells what happens. It is safe for concurrent use.
type Log struct {
	Logger *slog.Logger
	// Observer, if not nil, is told of every operation and every outcome.
	Observer Observer
	Now      func() time.Time
	lines    lines
	tally    map[attempt.Outcome]*atomic.Int64
}

// NewLog returns a log that has counted nothing yet.
func NewLog(logger *slog.Logger, now func() time.Time) *Log {
	l := &Log{Logger: logger, Now: now, tally: map[attempt.Outcome]*atomic.Int64{}}
	for _, o := range Outcomes {
		l.tally[o] = new(atomic.Int64)
	}
	return l
}

// Tally is how often each outcome has come up.
func (l *Log) Tally() map[attempt.Outcome]int64 {
	all := map[attempt.Outcome]int64{}
	for o, n := range l.tally {
		if n := n.Load(); n > 0 {
			all[o] = n
		}
	}
	return all
}

// level is how loud an outcome is: a warning if somebody should look into it, and no more
// than debug if it is a matter of course.
func level(o attempt.Outcome) slog.Level {
	switch o {
	case attempt.Duplicate, attempt.Late, attempt.InFlight, attempt.Queued, ClientGone, Hinted:
		return slog.LevelDebug
	case attempt.Applied, attempt.Held, Vetoed, DocumentRefused, Started, Limited, Staff, Erased:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// counts reports whether each line about an outcome counts by itself. It comes of what is
// authentic and happens once; all others can be caused as often as somebody likes.
func counts(o attempt.Outcome) bool {
	switch o {
	case attempt.Applied, attempt.Queued, attempt.Held, Vetoed, DocumentRefused, Unreadable, Started, Staff,
		attempt.CallbackFailed, attempt.DeadLetter, Unaddressable, NoVerdict:
		return true
	}
	return false
}

// isRefusal reports whether an outcome is observed when it is decided, and not once more as
// what came of the notice that led there.
func isRefusal(o attempt.Outcome) bool { return o == Vetoed || o == DocumentRefused }

// Observe logs an outcome and counts it.
func (l *Log) Observe(ctx context.Context, o attempt.Outcome, args ...any) {
	switch level := level(o); {
	case !l.Logger.Enabled(ctx, level):
	case counts(o):
		l.Logger.Log(ctx, level, "okidhttp: "+string(o), args...)
	default:
		l.Line(ctx, level, string(o), "okidhttp: "+string(o), args...)
	}
	if n := l.tally[o]; n != nil {
		n.Add(1)
	}
	if l.Observer != nil {
		l.change(ctx, func(r *Result) { r.Outcome = o })
		l.guard(ctx, func() { l.Observer.Count(ctx, o) })
	}
}

// ObserveNotice is Observe for what came of a notice about an attempt, with the error if
// there is one. It makes nothing for a log that does not want it.
func (l *Log) ObserveNotice(ctx context.Context, o attempt.Outcome, n identity.Notice, id attempt.ID, err error) {
	switch {
	case isRefusal(o):
	case err != nil:
		l.Failed(ctx, o, err, "notice", n, "attempt", id)
	case !l.Logger.Enabled(ctx, level(o)):
		l.Observe(ctx, o)
	default:
		l.Observe(ctx, o, "notice", n, "attempt", id)
	}
}

// Failed observes that something did not work which a request needed. If that is only
// because nobody waits for it any more, it is no failure.
func (l *Log) Failed(ctx context.Context, o attempt.Outcome, err error, args ...any) {
	if Gone(ctx, err) {
		o = ClientGone
	}
	l.Observe(ctx, o, append(args, "error", err)...)
}

// Gone reports whether an error comes of the end of a request, or of Run.
func Gone(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.Canceled) && errors.Is(err, context.Canceled)
}

// maxLines is how many lines of one kind are logged within a second, where strangers can
// cause as many as they like. The rest is counted.
const maxLines = 10

// Line writes a line, unless there were too many of its kind within this second. Kinds
// are constants. What was left out is summed up in a line of its own: before the next of
// its kind, or by Run.
func (l *Log) Line(ctx context.Context, level slog.Level, kind, message string, args ...any) {
	if !l.Logger.Enabled(ctx, level) {
		return
	}
	ok, leftOut := l.lines.count(kind, level, l.Now())
	l.sumUp(ctx, leftOut)
	if ok {
		l.Logger.Log(ctx, level, message, args...)
	}
}

// sumUp tells of lines that were left out, if there are any.
func (l *Log) sumUp(ctx context.Context, all ...leftOut) {
	for _, left := range all {
		if left.n > 0 {
			l.Logger.Log(ctx, left.level, "okidhttp: lines left out", "kind", left.kind, "count", left.n)
		}
	}
}

// lines counts the lines of each kind within the present second of the kit's clock.
type lines struct {
	mu sync.Mutex
	of map[string]*linesOf
}

type linesOf struct {
	second int64
	level  slog.Level
	n      int
}

// leftOut says how many lines of a kind were left out.
type leftOut struct {
	kind  string
	level slog.Level
	n     int
}

// count counts a line. ok reports whether it is to be logged; left is what was left
// out in the second before.
func (l *lines) count(kind string, level slog.Level, now time.Time) (ok bool, left leftOut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.of[kind]
	if c == nil {
		if l.of == nil {
			l.of = map[string]*linesOf{}
		}
		c = &linesOf{}
		l.of[kind] = c
	}
	if s := now.Unix(); s != c.second {
		left = leftOut{kind, c.level, c.n - maxLines}
		c.second, c.level, c.n = s, level, 0
	}
	c.n++
	return c.n <= maxLines, left
}

// take returns what was left out in seconds that have passed, and is told once.
func (l *lines) take(now time.Time) (all []leftOut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind, c := range l.of {
		if c.n > maxLines && c.second != now.Unix() {
			all = append(all, leftOut{kind, c.level, c.n - maxLines})
			c.n = 0
		}
	}
	return all
}

// Kinds returns of how many kinds of lines there are counts.
func (l *Log) Kinds() int {
	l.lines.mu.Lock()
	defer l.lines.mu.Unlock()
	return len(l.lines.of)
}

// observeTodo tells what is worth telling of one step.
func (e *Engine) observeTodo(ctx context.Context, at attempt.Address, in attempt.Input, todo attempt.Todo) {
	switch in := in.(type) {
	case *attempt.Webhook:
		if todo.News {
			e.observeOddities(ctx, at, &in.Notice.Verification, nil)
		}
	case *attempt.Claimed:
		if todo.News {
			e.observeOddities(ctx, at, &in.Answer.Notice.Verification, nil)
		}
	case *attempt.Answer:
		if work := in.Ask.Work; work != nil && in.Err == nil {
			e.observeOddities(ctx, at, &in.Notice.Verification, work.Verification)
		} else if todo.News {
			e.observeOddities(ctx, at, &in.Notice.Verification, nil)
		}
	}
	if todo.Refused != "" {
		e.Observe(ctx, DocumentRefused, "attempt", at.Attempt, "reason", todo.Refused)
	}
	if todo.Event != 0 {
		e.Observe(ctx, todo.Outcome, "attempt", at.Attempt, "event", attempt.EventID(at.Attempt, todo.Event), "error", todo.Err)
	}
}

// observeOddities tells what is odd about a verification that has just become known, and
// was not in what was known of it before, which may be nil.
func (e *Engine) observeOddities(ctx context.Context, at attempt.Address, v, before *identity.Verification) {
	if v.DocumentExpiry.Unreadable() && (before == nil || !before.DocumentExpiry.Unreadable()) {
		e.Observe(ctx, Unreadable, "attempt", at.Attempt, "field", "document_expiry")
	}
	if v.DateOfBirth.Unreadable() && (before == nil || !before.DateOfBirth.Unreadable()) {
		e.Observe(ctx, Unreadable, "attempt", at.Attempt, "field", "date_of_birth")
	}
}
