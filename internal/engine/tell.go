package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// maxTransactions bounds how often one call of the host is tried whose transaction failed.
const maxTransactions = 3

// errUndone makes a transaction undo what the host has written in it.
var errUndone = errors.New("undone")

// tell calls the host about an attempt, and writes what comes of it. calls is the context for the
// host, which ends with the lease. If the store is a [store.Transactor], what the host writes in the
// transaction is committed together with that, or not at all.
func (e *Engine) tell(ctx, calls context.Context, at attempt.Address, s *Snapshot, c *attempt.Call) (in *attempt.HostSaid, todo attempt.Todo, written *Snapshot, err error) {
	event, in := e.decide(calls, at, s, c)
	if in == nil {
		if e.together != nil {
			t := telling{Engine: e, at: at, call: c, event: event}
			written, err = t.transact(ctx, calls, s)
			return t.said, t.todo, written, err
		}
		in = e.notify(calls, c, event)
	}
	todo, written, err = e.update(ctx, at, s, in)
	return in, todo, written, err
}

// telling is a call of the host in a transaction.
type telling struct {
	*Engine
	at    attempt.Address
	call  *attempt.Call
	event Event
	said  *attempt.HostSaid
	todo  attempt.Todo // what comes of that
}

// transact tells the host and writes what comes of it together, and tries again if the transaction
// fails. It returns the record as it was written.
func (t *telling) transact(ctx, calls context.Context, s *Snapshot) (written *Snapshot, err error) {
	for range maxTransactions {
		written = nil
		err = t.together.Transact(ctx, func(tx context.Context) (err error) {
			host, cancel := context.WithCancel(context.WithValue(tx, apartKey{}, ctx))
			defer cancel()
			defer context.AfterFunc(calls, cancel)()
			if t.said = t.notify(host, t.call, t.event); t.said.Err != nil {
				return errUndone
			}
			t.todo, written, err = t.update(tx, t.at, s, t.said)
			if err == nil && errors.Is(t.todo.Err, attempt.ErrInFlight) {
				err = errUndone // somebody else has the lease, or the attempt is gone
			}
			return err
		})
		t.grants.forget(t.at.Subject) // again, since what was written counts only now
		s = nil                       // which the try has changed
		switch {
		case err == nil, !errors.Is(err, errUndone) && t.committed(ctx, t.at, written):
			return written, nil
		case errors.Is(err, errUndone):
			t.todo, written, err = t.update(ctx, t.at, nil, t.said)
			return written, err
		case calls.Err() != nil:
			return nil, fmt.Errorf("%w: %w", ErrStore, err)
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrStore, err)
}

// committed reports whether a record was written by a transaction of which that is not known.
func (e *Engine) committed(ctx context.Context, at attempt.Address, written *Snapshot) bool {
	if written == nil {
		return false
	}
	s, err := e.Load(ctx, at.Subject)
	return err == nil && s.version == written.version
}

// apart keeps what the host does with the kit while it is told of something out of the transaction
// in which it is told: an Erase in a callback, say, stands whatever becomes of the callback. The
// context of a callback carries, at apartKey, one without the transaction.
type apart struct{ store.Store }

type apartKey struct{}

func (s apart) Get(ctx context.Context, key string) (store.Record, error) {
	return s.Store.Get(outside(ctx), key)
}

func (s apart) Put(ctx context.Context, key string, w store.Write) error {
	return s.Store.Put(outside(ctx), key, w)
}

func (s apart) Delete(ctx context.Context, key string) error {
	return s.Store.Delete(outside(ctx), key)
}

// outside is a context outside the transaction of the callback whose context it is, if it is one.
func outside(ctx context.Context) context.Context {
	values, ok := ctx.Value(apartKey{}).(context.Context)
	if !ok {
		return ctx
	}
	return outsideContext{ctx, values}
}

// outsideContext ends with one context and has the values of another.
type outsideContext struct {
	context.Context
	values context.Context
}

func (c outsideContext) Value(key any) any { return c.values.Value(key) }
