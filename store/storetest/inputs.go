package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/okidkit/okidkit/store"
)

// inputCases are about what a caller hands in: keys and values of any bytes, and
// calls that no store carries out.
func inputCases() []testCase {
	var cases []testCase
	for _, c := range strangeKeys {
		key := c.key
		cases = append(cases, testCase{"Key/" + c.name, func(p *probe) {
			p.wantNone(key)
			p.put(key, timed(create(1), far, 1))
			p.put(key, timed(replace(1, 2), far, 1))
			p.conflict(key, create(3))
			p.want(key, replace(1, 2))
			p.pass(ms)
			p.wantDue(key)
			p.remove(key)
			p.wantNone(key)
			p.wantDue()
		}})
	}
	for _, c := range strangeValues {
		cases = append(cases, testCase{"Value/" + c.name, func(p *probe) {
			w := create(1)
			w.Value = []byte(c.value)
			p.put("k", w)
			p.want("k", w)
			w = replace(1, 2)
			w.Value = []byte(c.value)
			p.put("k", w)
			p.want("k", w)
		}})
	}
	for _, c := range invalidCalls {
		cases = append(cases, testCase{"Invalid/" + c.name, func(p *probe) {
			p.put("k", timed(create(1), far, 1))
			p.pass(ms)
			if err := c.call(p.ctx, p.store); !errors.Is(err, store.ErrInvalid) {
				p.fail("error %v, want ErrInvalid", err)
			}
			p.want("k", create(1))
			p.wantDue("k")
			p.wantNone("new")
		}})
	}
	return append(cases, testCase{"Key/no two are mixed up", func(p *probe) {
		keys := []string{
			"a", "A", "a ", " a", "a\x00", "\x00a", "aa", "a:b", "a:b:c", "{a}", "{a}b", "a{", "a}", "a*", "a?", "[a]",
			"a/b", "a/../b", "b", "a\n", "\xc3\xa9", "e\xcc\x81", "\xff", "\xfe", "0", "00", "1", "-1", "1.0", "nil",
		}
		for i, key := range keys {
			p.put(key, create(uint64(i+1)))
		}
		for i, key := range keys {
			p.want(key, create(uint64(i+1)))
		}
		for i, key := range keys {
			p.remove(key)
			p.wantNone(key)
			if i+1 < len(keys) {
				p.want(keys[i+1], create(uint64(i+2)))
			}
		}
	}})
}

var strangeKeys = []struct{ name, key string }{
	{"one byte", "k"},
	{"NUL", "\x00"},
	{"NUL inside", "a\x00b"},
	{"not UTF-8", "\xff\xfe\x80"},
	{"every byte", everyByte},
	{"spaces", "  a key  "},
	{"newline", "a\r\nb\n"},
	{"braces", "{}"},
	{"hash tag", "a{b}c"},
	{"half a brace", "}a{"},
	{"pattern", "*[a-z]?\\"},
	{"quotes", `a'b"c` + "`; --"},
	{"path", "../a//b/."},
	{"percent", "100%s %00"},
	{"Unicode", "ключ 鍵 \U0001F511"},
	{"longest", strings.Repeat("k", store.MaxKeyLen)},
	{"longest bytes", strings.Repeat("\xff", store.MaxKeyLen)},
}

var everyByte = func() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()

var strangeValues = []struct{ name, value string }{
	{"every byte", everyByte},
	{"one NUL", "\x00"},
	{"a number", "007"},
	{"a JSON null", "null"},
	{"line ends", "\r\n"},
	{"longest", strings.Repeat("v", store.MaxValueLen)},
	{"longest bytes", strings.Repeat("\xff\x00", store.MaxValueLen/2)},
}

var invalidCalls = []struct {
	name string
	call func(ctx context.Context, s store.Store) error
}{
	{"Get of an empty key", get("")},
	{"Get of a key too long", get(tooLong)},
	{"Delete of an empty key", remove("")},
	{"Delete of a key too long", remove(tooLong)},
	{"Put of an empty key", put("", func(*store.Write) {})},
	{"Put of a key too long", put(tooLong, func(*store.Write) {})},
	{"Put of a value too long", put("new", func(w *store.Write) { w.Value = make([]byte, store.MaxValueLen+1) })},
	{"Put of version 0", put("new", func(w *store.Write) { w.Version = 0 })},
	{"Put of version 0 over a record", put("k", func(w *store.Write) { w.Replaces, w.Version = 1, 0 })},
	{"Put of the version it replaces", put("k", func(w *store.Write) { w.Replaces, w.Version = 1, 1 })},
	{"Put with TTL 0", put("new", func(w *store.Write) { w.TTL = 0 })},
	{"Put with TTL 0 over a record", put("k", func(w *store.Write) { w.Replaces, w.TTL = 1, 0 })},
	{"Put with a negative TTL", put("new", func(w *store.Write) { w.TTL = -1 })},
	{"Put with the least TTL", put("new", func(w *store.Write) { w.TTL = math.MinInt64 })},
	{"Put due in negative time", put("new", func(w *store.Write) { w.DueIn = -time.Second })},
	{"Put with all of it", put("", func(w *store.Write) { *w = store.Write{DueIn: -1} })},
	{"Due of 0", due(0)},
	{"Due of a negative number", due(-1)},
}

var tooLong = strings.Repeat("k", store.MaxKeyLen+1)

func get(key string) func(context.Context, store.Store) error {
	return func(ctx context.Context, s store.Store) error {
		_, err := s.Get(ctx, key)
		return err
	}
}

func put(key string, spoil func(*store.Write)) func(context.Context, store.Store) error {
	return func(ctx context.Context, s store.Store) error {
		w := create(9)
		spoil(&w)
		return s.Put(ctx, key, w)
	}
}

func remove(key string) func(context.Context, store.Store) error {
	return func(ctx context.Context, s store.Store) error { return s.Delete(ctx, key) }
}

func due(limit int) func(context.Context, store.Store) error {
	return func(ctx context.Context, s store.Store) error {
		_, err := s.Due(ctx, limit)
		return err
	}
}

// contextCases call each method with a context that has ended.
func contextCases() []testCase {
	calls := []struct {
		name string
		call func(ctx context.Context, s store.Store) error
	}{
		{"Get", get("k")},
		{"Get of nothing", get("new")},
		{"Put of a create", put("new", func(*store.Write) {})},
		{"Put of a replace", put("k", func(w *store.Write) { w.Replaces = 1 })},
		{"Delete", remove("k")},
		{"Due", due(10)},
	}
	var cases []testCase
	for _, c := range calls {
		for _, end := range []struct {
			name string
			ctx  func(context.Context) (context.Context, context.CancelFunc)
			want error
		}{
			{"cancelled", cancelled, context.Canceled},
			{"past its deadline", pastDeadline, context.DeadlineExceeded},
		} {
			cases = append(cases, testCase{fmt.Sprintf("Context/%s %s", c.name, end.name), func(p *probe) {
				p.put("k", timed(create(1), far, 1))
				p.pass(ms)
				ctx, cancel := end.ctx(p.ctx)
				defer cancel()
				err := c.call(ctx, p.store)
				if !errors.Is(err, end.want) {
					p.fail("error %v, want one that wraps %v", err, end.want)
				}
				for _, wrong := range []error{store.ErrNotFound, store.ErrConflict, store.ErrInvalid} {
					if errors.Is(err, wrong) {
						p.fail("error %v must not wrap %v", err, wrong)
					}
				}
				p.want("k", create(1))
				p.wantNone("new")
				p.wantDue("k")
			}})
		}
	}
	return cases
}

func cancelled(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx, cancel
}

func pastDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, time.Unix(0, 0))
}
