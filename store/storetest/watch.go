package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/okidkit/okidkit/store"
)

// soon is how long a signal may take on a machine that is very busy.
const soon = time.Minute

// watchCases are about Watch of a store that has it. As one signal too many is no
// mistake, they only wait for those that must come.
func watchCases() []testCase {
	var cases []testCase
	add := func(name string, test func(p *probe, n store.Notifier)) {
		cases = append(cases, testCase{"Watch/" + name, func(p *probe) {
			if n, ok := p.store.(store.Notifier); ok {
				test(p, n)
			}
		}})
	}
	add("signals when it begins", func(p *probe, n store.Notifier) {
		p.signalled(p.watch(p.ctx, n, "missing"))
		p.put("k", create(1))
		p.signalled(p.watch(p.ctx, n, "k"))
	})
	add("signals a create", func(p *probe, n store.Notifier) {
		w := p.watching(n, "k")
		p.put("k", create(1))
		p.signalled(w)
	})
	add("signals every replace", func(p *probe, n store.Notifier) {
		p.put("k", create(1))
		w := p.watching(n, "k")
		for v := uint64(1); v <= 10; v++ {
			p.put("k", replace(v, v+1))
			p.signalled(w)
		}
	})
	add("signals Delete", func(p *probe, n store.Notifier) {
		p.put("k", create(1))
		w := p.watching(n, "k")
		p.remove("k")
		p.signalled(w)
	})
	add("signals a record made anew", func(p *probe, n store.Notifier) {
		w := p.watching(n, "k")
		for range 2 {
			p.put("k", create(1))
			p.signalled(w)
			p.remove("k")
			p.signalled(w)
		}
	})
	add("each key has its own", func(p *probe, n store.Notifier) {
		a, b := p.watching(n, "a"), p.watching(n, "b")
		p.put("b", create(1))
		p.signalled(b)
		p.put("a", create(1))
		p.signalled(a)
	})
	add("many of one key", func(p *probe, n store.Notifier) {
		var all []<-chan struct{}
		for range writers {
			all = append(all, p.watching(n, "k"))
		}
		p.put("k", create(1))
		for _, w := range all {
			p.signalled(w)
		}
	})
	for _, c := range strangeKeys {
		add("key/"+c.name, func(p *probe, n store.Notifier) {
			w := p.watching(n, c.key)
			p.put(c.key, create(1))
			p.signalled(w)
		})
	}
	add("who does not receive holds up nobody", func(p *probe, n store.Notifier) {
		ctx, cancel := context.WithTimeout(p.ctx, soon)
		defer cancel()
		idle, w := p.watch(ctx, n, "k"), p.watching(n, "k")
		for v := range uint64(100) {
			p.put("k", replace(v, v+1))
			p.signalled(w)
		}
		if err := ctx.Err(); err != nil {
			p.fail("100 Puts beside a full channel: %v", err)
		}
		p.signalled(idle)
	})
	add("one that ended takes no other along", func(p *probe, n store.Notifier) {
		w := p.watching(n, "k")
		ctx, cancel := context.WithCancel(p.ctx)
		p.signalled(p.watch(ctx, n, "k"))
		cancel()
		settle()
		for v := range uint64(10) {
			p.put("k", replace(v, v+1))
			p.signalled(w)
		}
	})
	add("begins again after it ended", func(p *probe, n store.Notifier) {
		for v := range uint64(10) {
			ctx, cancel := context.WithCancel(p.ctx)
			w := p.watch(ctx, n, "k")
			p.signalled(w)
			p.put("k", replace(v, v+1))
			p.signalled(w)
			cancel()
		}
	})
	add("never closes the channel", func(p *probe, n store.Notifier) {
		ctx, cancel := context.WithCancel(p.ctx)
		w := p.watch(ctx, n, "k")
		p.signalled(w)
		cancel()
		settle()
		select {
		case _, ok := <-w:
			p.open(ok)
		default:
		}
	})
	add("who follows the signals sees the last change", func(p *probe, n store.Notifier) {
		const last = 100
		follow := func() error {
			ctx, cancel := context.WithTimeout(p.ctx, soon)
			defer cancel()
			w, err := n.Watch(ctx, "k")
			for err == nil {
				select {
				case <-w:
				case <-ctx.Done():
					return errors.New("no signal after the last change")
				}
				var rec store.Record
				if rec, err = p.store.Get(ctx, "k"); rec.Version == last {
					return nil
				}
			}
			return err
		}
		p.put("k", create(1))
		p.together(func(i int) error {
			if i > 0 {
				return follow()
			}
			for v := uint64(1); v < last; v++ {
				if err := p.store.Put(p.ctx, "k", replace(v, v+1)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	add("they come and go", func(p *probe, n store.Notifier) {
		p.together(func(i int) error {
			key := fmt.Sprint(i % 4)
			for v := range uint64(10) {
				ctx, cancel := context.WithTimeout(p.ctx, soon)
				w, err := n.Watch(ctx, key)
				if err == nil {
					select {
					case <-w:
					case <-ctx.Done():
						err = errors.New("no signal at the beginning")
					}
				}
				if err == nil && i < 4 { // nobody else writes to this key
					err = p.store.Put(ctx, key, replace(v, v+1))
				}
				cancel()
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	for _, key := range []string{"", tooLong} {
		add(fmt.Sprintf("invalid key of %d bytes", len(key)), func(p *probe, n store.Notifier) {
			if w, err := n.Watch(p.ctx, key); !errors.Is(err, store.ErrInvalid) || w != nil {
				p.fail("error %v, channel %v, want ErrInvalid and none", err, w)
			}
		})
	}
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": cancelled, "past its deadline": pastDeadline,
	} {
		add(name, func(p *probe, n store.Notifier) {
			ctx, cancel := end(p.ctx)
			defer cancel()
			if w, err := n.Watch(ctx, "k"); !errors.Is(err, ctx.Err()) || w != nil {
				p.fail("error %v, channel %v, want one that wraps %v, and none", err, w, ctx.Err())
			}
		})
	}
	return cases
}

// watch must succeed.
func (p *probe) watch(ctx context.Context, n store.Notifier, key string) <-chan struct{} {
	p.t.Helper()
	w, err := n.Watch(ctx, key)
	if err != nil {
		p.fail("Watch of %q: %v, want success", short(key), err)
	}
	if cap(w) != 1 {
		p.fail("Watch of %q: a channel with room for %d, want 1", short(key), cap(w))
	}
	return w
}

// watching is a watch that works until the case ends.
func (p *probe) watching(n store.Notifier, key string) <-chan struct{} {
	p.t.Helper()
	w := p.watch(p.ctx, n, key)
	p.signalled(w)
	return w
}

// signalled says that there is a signal, or will be.
func (p *probe) signalled(w <-chan struct{}) {
	p.t.Helper()
	limit := time.NewTimer(soon)
	defer limit.Stop()
	select {
	case _, ok := <-w:
		p.open(ok)
	case <-limit.C:
		p.fail("no signal")
	}
}

// settle gives a store the time to see that a context has ended. A right store needs
// none; with a wrong one, that is when it shows.
func settle() { <-time.After(10 * ms) }

func (p *probe) open(ok bool) {
	p.t.Helper()
	if !ok {
		p.fail("the channel of a watch was closed")
	}
}
