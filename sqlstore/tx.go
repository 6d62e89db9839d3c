package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/okidkit/okidkit/store"
)

var _ store.Transactor = (*Store)(nil)

// Tx returns the transaction in which the kit will commit what a callback is being told, or nil if
// ctx is not the context of a callback of a kit on a [Store]. What the callback writes in it happens
// exactly once: together with the commit, or not at all, and then the callback is called again. The
// transaction is the kit's to commit and roll back.
//
// A callback that writes elsewhere is called at least once, as ever.
func Tx(ctx context.Context) *sql.Tx {
	if t, ok := ctx.Value(transactionKey{}).(*transaction); ok {
		return t.tx
	}
	return nil
}

type transactionKey struct{}

type transaction struct {
	store *Store
	tx    *sql.Tx
}

// beginTimeout bounds how long a transaction may take to begin.
const beginTimeout = 5 * time.Second

var errBegin = errors.New("the database did not begin the transaction in time")

// Transact implements [store.Transactor]. Its transactions read what is committed when they read
// it (with SQLite, when they first do). [Tx] returns the one that a context carries.
func (s *Store) Transact(ctx context.Context, f func(ctx context.Context) error) error {
	if s.carried(ctx) != nil {
		return f(ctx)
	}
	// A transaction ends with the context that it begins with, so that must have no deadline.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(beginTimeout, func() { cancel(errBegin) })
	tx, err := s.db.BeginTx(ctx, s.dialect.transaction)
	if err == nil && !late.Stop() {
		err = errors.Join(errBegin, tx.Rollback())
	}
	if err != nil {
		late.Stop()
		return failed("begin", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	if err := f(context.WithValue(ctx, transactionKey{}, &transaction{s, tx})); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return failed("commit", err)
	}
	return nil
}

// carried is the transaction of this store that a context carries, or nil.
func (s *Store) carried(ctx context.Context) *sql.Tx {
	if t, ok := ctx.Value(transactionKey{}).(*transaction); ok && t.store == s {
		return t.tx
	}
	return nil
}

// session is where statements run.
type session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// in is the transaction that a context carries, or else the database.
func (s *Store) in(ctx context.Context) session {
	if tx := s.carried(ctx); tx != nil {
		return tx
	}
	return s.db
}
