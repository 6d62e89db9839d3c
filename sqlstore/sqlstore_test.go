package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/sqltest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
	"github.com/okidkit/okidkit/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Main(m)) }

// database is one in which a store can be.
type database struct {
	dialect Dialect
	open    func(testing.TB) *sql.DB
}

var databases = map[string]database{
	"SQLite":     {SQLite, sqltest.SQLite},
	"PostgreSQL": {Postgres, func(t testing.TB) *sql.DB { testenv.Long(t); return sqltest.Postgres(t) }},
	"MariaDB":    {MySQL, func(t testing.TB) *sql.DB { testenv.Long(t); return sqltest.MariaDB(t, "") }},
	"MariaDB, rows found count": {MySQL, func(t testing.TB) *sql.DB {
		testenv.Long(t)
		withoutRaceDetector(t)
		return sqltest.MariaDB(t, "?clientFoundRows=true")
	}},
	"MariaDB, text protocol": {MySQL, func(t testing.TB) *sql.DB {
		testenv.Long(t)
		withoutRaceDetector(t)
		return sqltest.MariaDB(t, "?interpolateParams=true&parseTime=true&loc=Local&time_zone=%27%2B05%3A00%27")
	}},
}

// withoutRaceDetector skips what takes long with it, and tries nothing that it has not seen.
func withoutRaceDetector(t testing.TB) {
	t.Helper()
	if testenv.RaceDetector {
		t.Skip("skipped: takes long with the race detector")
	}
}

// each runs a test on every database that there is here.
func each(t *testing.T, run func(t *testing.T, d database)) {
	for name, d := range databases {
		t.Run(name, func(t *testing.T) { run(t, d) })
	}
}

// migrated is a store with a table.
func (d database) migrated(t testing.TB, db *sql.DB, opts ...Option) *Store {
	t.Helper()
	s, err := New(db, d.dialect, opts...)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

func TestStore(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		if d.dialect == SQLite {
			withoutRaceDetector(t) // which looks at the database itself, too, since that is Go
		}
		db := d.open(t) // once, since making a database takes its time
		n := 0
		storetest.Run(t, func(t *testing.T) storetest.Harness {
			n++
			return storetest.Harness{Store: d.migrated(t, db, WithPrefix(fmt.Sprintf("case%d_", n)))}
		})
	})
}

func TestNewNamesEveryProblem(t *testing.T) {
	_, err := New(nil, Dialect{}, WithPrefix("a b"))
	for _, says := range []string{"db is nil", "the dialect is none of", "the prefix is not"} {
		assert.ErrorContains(t, err, says)
	}
	for prefix, ok := range map[string]bool{"": false, "a": true, "app.okidkit_": true, "a.b.c": false, "x;drop": false, "1a": false, "ü": false, `a"`: false} {
		_, err := New(new(sql.DB), SQLite, WithPrefix(prefix))
		assert.Equal(t, ok, err == nil, prefix)
	}
}

// Migrate can run again, on several replicas at once, and stores of other prefixes are apart.
func TestMigrate(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		a, err := New(db, d.dialect)
		require.NoError(t, err)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { assert.NoError(t, a.Migrate(t.Context())) })
		}
		all.Wait()
		b := d.migrated(t, db, WithPrefix("staging_"))
		require.NoError(t, a.Put(t.Context(), "key", store.Write{Version: 1, TTL: time.Hour}))
		_, err = b.Get(t.Context(), "key")
		assert.ErrorIs(t, err, store.ErrNotFound)
		assert.NoError(t, a.Check(t.Context()))
		assert.NoError(t, a.Check(t.Context()), "again")
		_, err = a.Get(t.Context(), checkKey)
		assert.ErrorIs(t, err, store.ErrNotFound, "nothing is left behind")

		c, err := New(db, d.dialect, WithPrefix("other_"))
		require.NoError(t, err)
		assert.Error(t, c.Check(t.Context()), "it has no table")
	})
	t.Run("schema", func(t *testing.T) {
		testenv.Long(t)
		db := sqltest.Postgres(t)
		_, err := db.ExecContext(t.Context(), "CREATE SCHEMA app")
		require.NoError(t, err)
		s := databases["PostgreSQL"].migrated(t, db, WithPrefix("app.okidkit_"))
		assert.NoError(t, s.Check(t.Context()))
	})
}

// A record that is to last for centuries does.
func TestLongLives(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := d.migrated(t, d.open(t))
		w := store.Write{Version: math.MaxUint64, TTL: math.MaxInt64, DueIn: math.MaxInt64}
		require.NoError(t, s.Put(t.Context(), "key", w))
		rec, err := s.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, uint64(math.MaxUint64), rec.Version)
		assert.WithinDuration(t, time.Now(), rec.Now, time.Minute)
		keys, err := s.Due(t.Context(), 9)
		require.NoError(t, err)
		assert.Empty(t, keys)
	})
}

// Rows that have ended are deleted, and no others.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := d.migrated(t, db)
		require.NoError(t, s.Put(t.Context(), "lives", store.Write{Version: 1, TTL: time.Hour}))
		for n := range 5 {
			require.NoError(t, s.Put(t.Context(), fmt.Sprint("ends ", n), store.Write{Version: 1, TTL: time.Millisecond, DueIn: time.Millisecond}))
		}
		rows := func() (n int) {
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM okidkit_records").Scan(&n))
			return n
		}
		require.Eventually(t, func() bool {
			_, err := s.Get(t.Context(), "ends 4")
			return errors.Is(err, store.ErrNotFound)
		}, time.Minute, time.Millisecond)
		assert.Equal(t, 6, rows())
		keys, err := s.Due(t.Context(), 9)
		require.NoError(t, err)
		assert.Empty(t, keys)
		assert.Equal(t, 1, rows())

		// Not more often than that.
		require.NoError(t, s.Put(t.Context(), "ends", store.Write{Version: 1, TTL: time.Millisecond}))
		require.Eventually(t, func() bool {
			_, err := s.Get(t.Context(), "ends")
			return errors.Is(err, store.ErrNotFound)
		}, time.Minute, time.Millisecond)
		_, err = s.Due(t.Context(), 9)
		require.NoError(t, err)
		assert.Equal(t, 2, rows())
	})
}

// However many processes write, each version is replaced once.
func TestManyWriters(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		d.migrated(t, db)
		const writers, each = 8, 25
		var all sync.WaitGroup
		for w := range writers {
			s, err := New(db, d.dialect)
			require.NoError(t, err)
			all.Go(func() {
				for n := 0; n < each; {
					rec, err := s.Get(t.Context(), "key")
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						assert.NoError(t, err)
						return
					}
					err = s.Put(t.Context(), "key", store.Write{
						Value: append(rec.Value, byte(w)), Replaces: rec.Version, Version: uint64(w*each+n)<<32 | uint64(len(rec.Value)+1), TTL: time.Hour,
					})
					switch {
					case err == nil:
						n++
					case !errors.Is(err, store.ErrConflict):
						assert.NoError(t, err)
						return
					}
				}
			})
		}
		all.Wait()
		s, err := New(db, d.dialect)
		require.NoError(t, err)
		rec, err := s.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Len(t, rec.Value, writers*each)
	})
}

// A call that waits for a lock ends with its context. It may take place later, as a whole.
func TestDeadlines(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := d.migrated(t, db)
		require.NoError(t, s.Put(t.Context(), "key", store.Write{Version: 1, TTL: time.Hour}))
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "UPDATE okidkit_records SET due_at = NULL")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		assert.Error(t, s.Put(ctx, "key", store.Write{Replaces: 1, Version: 2, TTL: time.Hour}))
		require.NoError(t, tx.Rollback())
		rec, err := s.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Contains(t, []uint64{1, 2}, rec.Version)
		require.NoError(t, s.Put(t.Context(), "key", store.Write{Replaces: 1, Version: 2, TTL: time.Hour}), "it may be repeated")
	})
}

// What is due, and what has ended, is found by an index, however many records there are.
func TestByIndex(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := d.migrated(t, db)
		for i := range 1000 {
			require.NoError(t, s.Put(t.Context(), fmt.Sprint(i), store.Write{Version: 1, TTL: time.Hour, DueIn: time.Hour}))
		}
		explain := map[Dialect]string{SQLite: "EXPLAIN QUERY PLAN ", Postgres: "EXPLAIN ", MySQL: "EXPLAIN "}[d.dialect]
		for statement, index := range map[string]string{s.due: "due", s.sweep: "end"} {
			rows, err := db.QueryContext(t.Context(), explain+statement, 10)
			require.NoError(t, err)
			defer rows.Close()
			columns, err := rows.Columns()
			require.NoError(t, err)
			var plan strings.Builder
			for rows.Next() {
				values := make([]sql.NullString, len(columns))
				var into []any
				for i := range values {
					into = append(into, &values[i])
				}
				require.NoError(t, rows.Scan(into...))
				fmt.Fprintln(&plan, values)
			}
			require.NoError(t, rows.Err())
			assert.Contains(t, plan.String(), "okidkit_records_"+index)
			if d.dialect == Postgres {
				assert.Contains(t, plan.String(), "Index Cond: ("+index) // it is not read from end to end
			}
		}
	})
}
