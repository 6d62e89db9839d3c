package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/okidkit/okidkit/store"
)

var _ store.Store = (*Store)(nil)

// Store is a [store.Store] in a database. Make one with [New]. It is safe for concurrent use by
// many goroutines and processes.
//
// A method returns when its context ends, if the driver sees to that. A Put or Delete that was
// given up may still take place.
type Store struct {
	db      *sql.DB
	dialect *dialect
	prefix  string

	get, version, insert, ended, update, delete, due, sweep string

	sweepAt atomic.Int64 // by the database's clock, in milliseconds
}

// Option is a setting of [New].
type Option func(*Store)

// WithPrefix sets what the name of the table begins with; the default is "okidkit_". It is at most
// 40 letters, digits and underscores, and may begin with a schema and a dot. Environments that
// share a database must each have a prefix of their own.
func WithPrefix(prefix string) Option { return func(s *Store) { s.prefix = prefix } }

const defaultPrefix = "okidkit_"

var prefixes = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*$`)

// New returns a store in db, which is the caller's to close after the last use of the store. The
// error names every problem with the arguments. New does not talk to the database; [Store.Migrate]
// and [Store.Check] do.
func New(db *sql.DB, d Dialect, opts ...Option) (*Store, error) {
	s := &Store{db: db, dialect: d.dialect, prefix: defaultPrefix}
	for _, opt := range opts {
		opt(s)
	}
	var errs []error
	if db == nil {
		errs = append(errs, errors.New("db is nil"))
	}
	if d.dialect == nil {
		errs = append(errs, errors.New("the dialect is none of Postgres, MySQL and SQLite"))
	}
	if !prefixes.MatchString(s.prefix) || len(s.prefix) > 40 {
		errs = append(errs, errors.New("the prefix is not of at most 40 letters, digits and underscores"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sqlstore: unusable arguments:\n%w", err)
	}
	table := s.prefix + "records"
	for statement, text := range map[*string]string{
		&s.get: selectRecord, &s.version: selectVersion, &s.ended: s.dialect.ended, &s.insert: s.dialect.insert, &s.update: updateRecord,
		&s.delete: deleteRecord, &s.due: selectDue, &s.sweep: s.dialect.sweep,
	} {
		*statement = s.dialect.statement(text, table)
	}
	return s, nil
}

// migrateTries is how often a statement of the DDL is tried again.
const migrateTries = 10

// Migrate makes the table, if it is not there yet. Several processes may do so at once. It needs
// rights that the rest of the store does not need.
func (s *Store) Migrate(ctx context.Context) error {
	file, err := DDL.ReadFile(s.dialect.ddl)
	if err != nil {
		return err
	}
	// An index is beside its table, and has no schema in its name.
	_, bare, schema := strings.Cut(s.prefix, ".")
	if !schema {
		bare = s.prefix
	}
	ddl := strings.ReplaceAll(string(file), defaultPrefix, bare)
	for _, on := range []string{"CREATE TABLE IF NOT EXISTS ", " ON "} {
		ddl = strings.ReplaceAll(ddl, on+bare, on+s.prefix)
	}
	for statement := range strings.SplitSeq(ddl, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		// Of two processes that make a table at once, PostgreSQL fails one, though it was told
		// not to mind.
		_, err := s.db.ExecContext(ctx, statement)
		for range migrateTries {
			if err != nil {
				_, err = s.db.ExecContext(ctx, statement)
			}
		}
		if err != nil {
			return failed("migrate", err)
		}
	}
	return nil
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Record{}, err
	}
	var now int64
	var version sql.NullInt64
	var rec store.Record
	err := s.in(ctx).QueryRowContext(ctx, s.get, []byte(key)).Scan(&now, &version, &rec.Value)
	if err != nil {
		return store.Record{}, failed("get", err)
	}
	rec.Now = time.UnixMilli(now)
	if !version.Valid {
		return store.Record{Now: rec.Now}, store.ErrNotFound
	}
	rec.Version = uint64(version.Int64)
	return rec, nil
}

// Put implements [store.Store].
func (s *Store) Put(ctx context.Context, key string, w store.Write) error {
	if err := w.Check(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return failed("put", err)
	}
	value := w.Value
	if value == nil {
		value = []byte{} // which is not NULL
	}
	ttl, due := milliseconds(w.TTL), sql.NullInt64{Int64: milliseconds(w.DueIn), Valid: w.DueIn > 0}
	var n int64
	var err error
	if w.Replaces == 0 {
		n, err = s.create(ctx, []byte(key), value, int64(w.Version), ttl, due)
	} else {
		n, err = s.exec(ctx, s.update, value, int64(w.Version), ttl, due, []byte(key), int64(w.Replaces))
	}
	switch {
	case err != nil:
		return failed("put", err)
	case n > 0:
		return nil
	}
	// Somebody else has changed the record, or it is what an earlier try of this Put has made.
	var version int64
	err = s.in(ctx).QueryRowContext(ctx, s.version, []byte(key)).Scan(&version)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrConflict
	case err != nil:
		return failed("put", err)
	case uint64(version) != w.Version:
		return store.ErrConflict
	}
	return nil
}

// create inserts a record, in place of one that has ended. It returns 0 if there is another one.
func (s *Store) create(ctx context.Context, key []byte, args ...any) (n int64, err error) {
	args = append([]any{key}, args...)
	n, err = s.exec(ctx, s.insert, args...)
	if err != nil || n > 0 || s.ended == "" {
		return n, err
	}
	if n, err = s.exec(ctx, s.ended, key); err != nil || n == 0 {
		return 0, err
	}
	return s.exec(ctx, s.insert, args...)
}

// exec returns how many rows a statement has changed.
func (s *Store) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	res, err := s.in(ctx).ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return failed("delete", err)
	}
	if _, err := s.in(ctx).ExecContext(ctx, s.delete, []byte(key)); err != nil {
		return failed("delete", err)
	}
	return nil
}

const (
	// sweepEvery is how often each process deletes what has ended, in milliseconds.
	sweepEvery = 60_000
	// sweepSize bounds how many rows that are at a time, so that nobody waits for long.
	sweepSize = 1000
)

// Due implements [store.Store]. Once a minute it also deletes rows that have ended, at most a
// thousand.
func (s *Store) Due(ctx context.Context, limit int) ([]string, error) {
	if err := store.CheckLimit(limit); err != nil {
		return nil, err
	}
	keys, now, err := s.readDue(ctx, limit)
	if err != nil {
		return nil, failed("due", err)
	}
	if at := s.sweepAt.Load(); now >= at && s.sweepAt.CompareAndSwap(at, now+sweepEvery) {
		if _, err := s.db.ExecContext(ctx, s.sweep, sweepSize); err != nil {
			return keys, failed("sweep", err)
		}
	}
	return keys, nil
}

func (s *Store) readDue(ctx context.Context, limit int) (keys []string, now int64, err error) {
	rows, err := s.in(ctx).QueryContext(ctx, s.due, limit)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&now, &key); err != nil {
			return nil, 0, err
		}
		if key != nil { // else there is none
			keys = append(keys, string(key))
		}
	}
	return keys, now, rows.Err()
}

// checkKey is that of a record which is there for a moment. No key of the kit's is like it.
const checkKey = "\x00sqlstore check"

// Check tells whether the store can work, for a readiness probe: it puts, reads and deletes a
// record.
func (s *Store) Check(ctx context.Context) error {
	rec, err := s.Get(ctx, checkKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	w := store.Write{Replaces: rec.Version, Version: rec.Version + 1, TTL: time.Minute}
	if w.Version == 0 {
		w.Version = 1
	}
	if err := s.Put(ctx, checkKey, w); err != nil && !errors.Is(err, store.ErrConflict) { // of another process
		return err
	}
	if _, _, err := s.readDue(ctx, 1); err != nil {
		return failed("due", err)
	}
	return s.Delete(ctx, checkKey)
}

// milliseconds rounds up.
func milliseconds(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

func failed(what string, err error) error { return fmt.Errorf("sqlstore: %s: %w", what, err) }
