package okidtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Chaos is what goes wrong with webhooks. The zero value: nothing. A webhook
// keeps the chaos under which it was sent, for all its tries.
type Chaos struct {
	// Only lists the events that meet the chaos. Empty: all.
	Only []string

	// Drop: the webhook is never sent.
	Drop bool
	// DropShare is the share of webhooks that are never sent, from 0 to 1.
	DropShare float64
	// Hold: the webhook is kept until [OKID.Release].
	Hold bool
	// Delay is how long the first try waits. Later webhooks overtake it.
	Delay time.Duration

	// Copies is how many more times the webhook is sent, beside what is tried
	// again because the answer was not 200.
	Copies int
	// Concurrent sends the copies all at once, instead of one after another.
	Concurrent bool
	// Rewrite sends the same JSON in other bytes: members in another order,
	// other white space, other escapes. No two tries are alike.
	Rewrite bool
	// Edit, if set, returns what is sent, and signed, instead of body, which it may
	// change: JSON that is odd, or none. It comes after Rewrite, runs for each try, and
	// must be safe for concurrent use. For a date that cannot be read it is enough to
	// give one to [OKID.Complete].
	Edit func(body []byte) []byte

	// WrongKey signs with a key that is not the secret.
	WrongKey bool
	// Skew is added to the time of sending. Negative: the webhook is stale.
	Skew time.Duration
	// Signing replaces Config.Signing. Nil: it does not.
	Signing *Signing
}

func (c Chaos) check() error {
	var errs []error
	if c.Delay < 0 {
		errs = append(errs, fmt.Errorf("%w: Chaos.Delay is negative", ErrConfig))
	}
	if !(c.DropShare >= 0 && c.DropShare <= 1) {
		errs = append(errs, fmt.Errorf("%w: Chaos.DropShare is not between 0 and 1", ErrConfig))
	}
	if c.Copies < 0 {
		errs = append(errs, fmt.Errorf("%w: Chaos.Copies is negative", ErrConfig))
	}
	if c.Signing != nil && !c.Signing.valid() {
		errs = append(errs, fmt.Errorf("%w: Chaos.Signing is unknown", ErrConfig))
	}
	return errors.Join(errs...)
}

// clone is c without anything that its owner can still change.
func (c Chaos) clone() Chaos {
	c.Only = slices.Clone(c.Only)
	if c.Signing != nil {
		signing := *c.Signing
		c.Signing = &signing
	}
	return c
}

// on is the chaos that an event meets.
func (c Chaos) on(event string) Chaos {
	if len(c.Only) > 0 && !slices.Contains(c.Only, event) {
		return Chaos{}
	}
	return c
}

// rewrite returns body, which is valid JSON, in other bytes that mean the same.
// Which bytes depends on seed.
func rewrite(body []byte, seed uint64) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // a float64 would round
	var value any
	if err := d.Decode(&value); err != nil {
		panic("okidtest: cannot happen, we made the JSON: " + err.Error())
	}
	w := rewriter{rand: rand.New(rand.NewPCG(seed, 0))}
	w.value(value)
	return w.Bytes()
}

type rewriter struct {
	bytes.Buffer
	rand *rand.Rand
}

func (w *rewriter) value(v any) {
	w.space()
	switch v := v.(type) {
	case map[string]any:
		// Sorted first, so that the seed alone decides.
		names := slices.Sorted(maps.Keys(v))
		w.rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		w.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				w.WriteByte(',')
			}
			w.space()
			w.string(name)
			w.space()
			w.WriteByte(':')
			w.value(v[name])
		}
		w.WriteByte('}')
	case []any:
		w.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				w.WriteByte(',')
			}
			w.value(element)
		}
		w.WriteByte(']')
	case string:
		w.string(v)
	case nil:
		w.WriteString("null")
	default: // a bool or a json.Number
		fmt.Fprint(w, v)
	}
	w.space()
}

func (w *rewriter) space() {
	for range w.rand.IntN(3) {
		w.WriteByte(" \t\r\n"[w.rand.IntN(4)])
	}
}

func (w *rewriter) string(s string) {
	w.WriteByte('"')
	for _, r := range s {
		escape := r < ' ' || r == '"' || r == '\\' || w.rand.IntN(8) == 0
		if escape && r <= 0xFFFF {
			fmt.Fprintf(w, `\u%04x`, r)
		} else {
			w.WriteRune(r)
		}
	}
	w.WriteByte('"')
}
