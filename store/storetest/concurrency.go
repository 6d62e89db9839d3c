package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/okidkit/okidkit/store"
)

const (
	writers    = 64
	increments = 4 // by each of them
)

// concurrencyCases have many goroutines on one store.
func concurrencyCases() []testCase {
	return []testCase{
		{"Concurrent/one create wins", func(p *probe) {
			for round := range 5 {
				key := fmt.Sprint(round)
				p.wantOneWinner(key, func(i int) store.Write { return create(uint64(i + 1)) })
			}
		}},
		{"Concurrent/one replace wins", func(p *probe) {
			p.put("k", create(1000))
			p.wantOneWinner("k", func(i int) store.Write { return replace(1000, uint64(i+1)) })
		}},
		{"Concurrent/one create wins over an expired record", func(p *probe) {
			p.put("k", timed(create(1000), p.tick, 0))
			p.pass(p.tick)
			p.wantOneWinner("k", func(i int) store.Write { return create(uint64(i + 1)) })
		}},
		{"Concurrent/repeats all succeed", func(p *probe) {
			p.put("k", create(1))
			p.together(func(int) error { return p.store.Put(p.ctx, "k", replace(1, 2)) })
			p.want("k", replace(1, 2))
			p.together(func(int) error { return p.store.Put(p.ctx, "new", create(1)) })
			p.want("new", create(1))
		}},
		{"Concurrent/no increment is lost", func(p *probe) {
			p.put("k", store.Write{Value: []byte("0"), Version: 1, TTL: far})
			p.together(func(i int) error {
				for n := range increments {
					if err := p.increment("k", uint64(2+i*increments+n)); err != nil {
						return err
					}
				}
				return nil
			})
			rec, err := p.store.Get(p.ctx, "k")
			if want := strconv.Itoa(writers * increments); err != nil || string(rec.Value) != want {
				p.fail("the counter is %q (error %v), want %s", rec.Value, err, want)
			}
		}},
		{"Concurrent/no create that is replaced at once is a conflict", func(p *probe) {
			for round := range 3 {
				key := fmt.Sprint("new ", round)
				p.together(func(i int) error { return p.increment(key, uint64(1+i)) })
				rec, err := p.store.Get(p.ctx, key)
				if want := strconv.Itoa(writers); err != nil || string(rec.Value) != want {
					p.fail("the counter is %q (error %v), want %s", rec.Value, err, want)
				}
			}
		}},
		{"Concurrent/readers see whole records", func(p *probe) {
			// Every byte of a value is its version, and so is its length.
			write := func(old, v uint64) store.Write {
				w := replace(old, v)
				w.Value = bytes.Repeat([]byte{byte(v)}, 100*int(v))
				return w
			}
			p.put("k", write(0, 1))
			p.together(func(i int) error {
				if i == 0 {
					for v := uint64(1); v < 100; v++ {
						if err := p.store.Put(p.ctx, "k", write(v, v+1)); err != nil {
							return err
						}
					}
					return nil
				}
				for range 20 {
					rec, err := p.store.Get(p.ctx, "k")
					if err != nil {
						return err
					}
					if !bytes.Equal(rec.Value, write(0, rec.Version).Value) {
						return fmt.Errorf("version %d with the value of another", rec.Version)
					}
				}
				return nil
			})
			p.want("k", write(99, 100))
		}},
		{"Concurrent/keys do not disturb each other", func(p *probe) {
			p.together(func(i int) error {
				key := fmt.Sprintf("k%d", i)
				for v := range uint64(10) {
					if err := p.store.Put(p.ctx, key, replace(v, v+1)); err != nil {
						return fmt.Errorf("%s: %w", key, err)
					}
				}
				if i%2 == 0 {
					return p.store.Delete(p.ctx, key)
				}
				return nil
			})
			for i := range writers {
				if key := fmt.Sprintf("k%d", i); i%2 == 0 {
					p.wantNone(key)
				} else {
					p.want(key, replace(9, 10))
				}
			}
		}},
		{"Concurrent/callers may reuse their buffers", func(p *probe) {
			p.together(func(i int) error {
				key, buf := fmt.Sprintf("k%d", i), make([]byte, 100)
				for v := range uint64(10) {
					w := replace(v, v+1)
					w.Value = append(buf[:0], w.Value...)
					if err := p.store.Put(p.ctx, key, w); err != nil {
						return err
					}
					scribble(buf)
					rec, err := p.store.Get(p.ctx, key)
					if err != nil {
						return err
					}
					if !bytes.Equal(rec.Value, replace(v, v+1).Value) {
						return fmt.Errorf("%s: value %q", key, rec.Value)
					}
					scribble(rec.Value)
				}
				return nil
			})
		}},
		{"Concurrent/Due beside Put and Delete", func(p *probe) {
			p.together(func(i int) error {
				key := fmt.Sprintf("k%d", i)
				for v := uint64(1); v <= 10; v++ {
					if err := p.store.Put(p.ctx, key, timed(create(v), far, 1)); err != nil {
						return err
					}
					keys, err := p.store.Due(p.ctx, 10)
					if err != nil {
						return err
					}
					for _, key := range keys {
						if !strings.HasPrefix(key, "k") {
							return fmt.Errorf("key %q is due and was never put", key)
						}
					}
					if v == 10 {
						break
					}
					if err := p.store.Delete(p.ctx, key); err != nil {
						return err
					}
				}
				return nil
			})
			p.pass(ms)
			var all []string
			for i := range writers {
				all = append(all, fmt.Sprintf("k%d", i))
			}
			p.wantDueAnyOrder(all...)
		}},
	}
}

// together runs f in many goroutines that begin at once. None may fail.
func (p *probe) together(f func(i int) error) {
	p.t.Helper()
	errs := make([]error, writers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		p.fail("concurrent calls: %v", err)
	}
}

// wantOneWinner puts all the writes at once. One must succeed and stay, and the
// others must conflict.
func (p *probe) wantOneWinner(key string, write func(i int) store.Write) {
	p.t.Helper()
	won := make([]bool, writers)
	p.together(func(i int) error {
		err := p.store.Put(p.ctx, key, write(i))
		if won[i] = err == nil; won[i] || errors.Is(err, store.ErrConflict) {
			return nil
		}
		return err
	})
	winners := 0
	for i := range won {
		if won[i] {
			winners++
			p.want(key, write(i))
		}
	}
	if winners != 1 {
		p.fail("%d of %d writes succeeded, want 1", winners, writers)
	}
}

// increment adds one to the number at a key. Each time that it loses against another
// goroutine, that one has won, so it cannot lose more often than there are wins.
func (p *probe) increment(key string, version uint64) error {
	for range writers * increments {
		rec, err := p.store.Get(p.ctx, key)
		n := 0 // if there is none
		if err == nil {
			n, err = strconv.Atoi(string(rec.Value))
		} else if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		if err != nil {
			return err
		}
		err = p.store.Put(p.ctx, key, store.Write{
			Value: strconv.AppendInt(nil, int64(n)+1, 10), Replaces: rec.Version, Version: version, TTL: far,
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return errors.New("a write conflicts although nobody else wins")
}
