package okidhttp

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// maxLines is how many lines of one kind are logged within a second, where strangers
// can cause as many as they like. The rest is counted.
const maxLines = 10

// log writes a line, unless there were too many of its kind within this second. Kinds
// are constants. What was left out is summed up in a line of its own: before the next
// of its kind, or by Run.
func (k *Kit) log(ctx context.Context, level slog.Level, kind, message string, args ...any) {
	if !k.cfg.Logger.Enabled(ctx, level) {
		return
	}
	ok, leftOut := k.lines.count(kind, level, k.cfg.Now())
	k.sumUp(ctx, leftOut)
	if ok {
		k.cfg.Logger.Log(ctx, level, message, args...)
	}
}

// sumUp tells of lines that were left out, if there are any.
func (k *Kit) sumUp(ctx context.Context, all ...leftOut) {
	for _, l := range all {
		if l.n > 0 {
			k.cfg.Logger.Log(ctx, l.level, "okidhttp: lines left out", "kind", l.kind, "count", l.n)
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

// failed observes that something did not work which a request needed. If that is only
// because nobody waits for it any more, it is no failure.
func (k *Kit) failed(ctx context.Context, o Outcome, err error, args ...any) {
	if gone(ctx, err) {
		o = OutcomeClientGone
	}
	k.observe(ctx, o, append(args, "error", err)...)
}

// gone reports whether an error comes of the end of a request, or of Run.
func gone(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.Canceled) && errors.Is(err, context.Canceled)
}
