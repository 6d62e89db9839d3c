package storetest

import (
	"context"
	"errors"

	"github.com/okidkit/okidkit/store"
)

// transactCases are about Transact of a store that has it.
func transactCases() []testCase {
	var cases []testCase
	add := func(name string, test func(p *probe, s store.Transactor)) {
		cases = append(cases, testCase{"Transact/" + name, func(p *probe) {
			if s, ok := p.store.(store.Transactor); ok {
				test(p, s)
			}
		}})
	}
	errNo := errors.New("no")
	version := func(p *probe, ctx context.Context) uint64 {
		rec, err := p.store.Get(ctx, "k")
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			p.t.Fatalf("Get: %v", err)
		}
		return rec.Version
	}
	put := func(p *probe, ctx context.Context, w store.Write) {
		if err := p.store.Put(ctx, "k", w); err != nil {
			p.t.Fatalf("Put in a transaction: %v", err)
		}
	}
	add("commits", func(p *probe, s store.Transactor) {
		err := s.Transact(p.ctx, func(ctx context.Context) error {
			put(p, ctx, create(1))
			put(p, ctx, replace(1, 2))
			if got := version(p, ctx); got != 2 {
				p.t.Fatalf("in the transaction the record is at version %d instead of 2", got)
			}
			return nil
		})
		if got := version(p, p.ctx); err != nil || got != 2 {
			p.t.Fatalf("Transact: %v, and the record is at version %d instead of 2", err, got)
		}
	})
	add("undoes", func(p *probe, s store.Transactor) {
		p.put("k", create(1))
		err := s.Transact(p.ctx, func(ctx context.Context) error {
			put(p, ctx, replace(1, 2))
			return errNo
		})
		if got := version(p, p.ctx); !errors.Is(err, errNo) || got != 1 {
			p.t.Fatalf("Transact: %v, and the record is at version %d instead of 1", err, got)
		}
	})
	add("undoes Delete", func(p *probe, s store.Transactor) {
		p.put("k", create(1))
		err := s.Transact(p.ctx, func(ctx context.Context) error {
			if err := p.store.Delete(ctx, "k"); err != nil {
				p.t.Fatalf("Delete in a transaction: %v", err)
			}
			return errNo
		})
		if got := version(p, p.ctx); !errors.Is(err, errNo) || got != 1 {
			p.t.Fatalf("Transact: %v, and the record is at version %d instead of 1", err, got)
		}
	})
	add("undoes what panics", func(p *probe, s store.Transactor) {
		p.put("k", create(1))
		func() {
			defer func() { _ = recover() }()
			_ = s.Transact(p.ctx, func(ctx context.Context) error {
				put(p, ctx, replace(1, 2))
				panic("no")
			})
		}()
		if got := version(p, p.ctx); got != 1 {
			p.t.Fatalf("the record is at version %d instead of 1", got)
		}
	})
	add("tells of conflicts", func(p *probe, s store.Transactor) {
		p.put("k", create(1))
		err := s.Transact(p.ctx, func(ctx context.Context) error { return p.store.Put(ctx, "k", replace(7, 8)) })
		if got := version(p, p.ctx); !errors.Is(err, store.ErrConflict) || got != 1 {
			p.t.Fatalf("Transact: %v, and the record is at version %d instead of 1", err, got)
		}
	})
	add("is part of another", func(p *probe, s store.Transactor) {
		err := s.Transact(p.ctx, func(ctx context.Context) error {
			err := s.Transact(ctx, func(ctx context.Context) error {
				put(p, ctx, create(1))
				return nil
			})
			return errors.Join(err, errNo)
		})
		if got := version(p, p.ctx); !errors.Is(err, errNo) || got != 0 {
			p.t.Fatalf("Transact: %v, and the record is at version %d instead of none", err, got)
		}
	})
	add("begins nothing once its context has ended", func(p *probe, s store.Transactor) {
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		called := false
		err := s.Transact(ctx, func(context.Context) error { called = true; return nil })
		if err == nil || called {
			p.t.Fatalf("Transact: %v; called: %v", err, called)
		}
	})
	return cases
}
