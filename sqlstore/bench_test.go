package sqlstore

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/load/byturns"
	"github.com/okidkit/okidkit/store"
)

// perInsert is how many records one statement fills in.
const perInsert = 100

// filled is a store with n records of 700 bytes of which none is due, and their keys in random
// order. Beside it is a table that a host would make: a key, a value.
func filled(b *testing.B, d database, db *sql.DB, n int) (*Store, []string) {
	b.Helper()
	prefix := fmt.Sprintf("b%d_", rand.Uint32())
	s := d.migrated(b, db, WithPrefix(prefix))
	blob := map[Dialect]string{Postgres: "bytea", SQLite: "blob", MySQL: "blob"}[d.dialect]
	_, err := db.ExecContext(b.Context(), fmt.Sprintf("CREATE TABLE %splain (k varchar(64) PRIMARY KEY, v %s NOT NULL, n bigint NOT NULL)", prefix, blob))
	require.NoError(b, err)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("subject/%032x", i)
	}
	value := make([]byte, 700)
	row := fmt.Sprintf("(?, ?, 1, %[1]s + 86400000, %[1]s + 3600000), ", d.dialect.now)
	tx, err := db.BeginTx(b.Context(), nil)
	require.NoError(b, err)
	for i := 0; i < n; i += perInsert {
		some := keys[i:min(i+perInsert, n)]
		var records, plain []any
		for _, key := range some {
			records = append(records, []byte(key), value)
			plain = append(plain, key, value)
		}
		fill := func(into, row string, args []any) {
			text := "INSERT INTO {table} " + into + " VALUES " + strings.TrimSuffix(strings.Repeat(row, len(some)), ", ")
			_, err := tx.ExecContext(b.Context(), d.dialect.statement(text, prefix+"records"), args...)
			require.NoError(b, err)
		}
		fill("(record_key, value, version, ends_at, due_at)", row, records)
		text := "INSERT INTO " + prefix + "plain VALUES " + strings.TrimSuffix(strings.Repeat("(?, ?, 1), ", len(some)), ", ")
		_, err := tx.ExecContext(b.Context(), d.dialect.statement(text, ""), plain...)
		require.NoError(b, err)
	}
	require.NoError(b, tx.Commit())
	rand.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return s, keys
}

// benchEach runs a benchmark on every database that there is here, each with its usual connection.
func benchEach(b *testing.B, run func(b *testing.B, d database, db *sql.DB)) {
	for _, name := range []string{"SQLite", "PostgreSQL", "MariaDB"} {
		b.Run(name, func(b *testing.B) {
			d := databases[name]
			run(b, d, d.open(b))
		})
	}
}

// writer replaces records one after the other.
func writer(b *testing.B, s *Store, keys []string, dueIn time.Duration) func(i int) error {
	versions := map[string]uint64{}
	value := make([]byte, 700)
	return func(i int) error {
		key := keys[i%len(keys)]
		old := max(versions[key], 1)
		versions[key] = old + 1
		return s.Put(b.Context(), key, store.Write{Value: value, Replaces: old, Version: old + 1, TTL: 24 * time.Hour, DueIn: dueIn})
	}
}

// BenchmarkStore has each method by turns with the plain statement that is its floor: a SELECT by
// key, an UPDATE by key and number.
func BenchmarkStore(b *testing.B) {
	benchEach(b, func(b *testing.B, d database, db *sql.DB) {
		few, _ := byturns.Sizes(b)
		s, keys := filled(b, d, db, few)
		plain := s.prefix + "plain"
		statement := func(text string) string { return d.dialect.statement(text, plain) }
		read, write := statement("SELECT v, n FROM {table} WHERE k = ?"), statement("UPDATE {table} SET v = ?, n = ? WHERE k = ? AND n >= ?")
		value := make([]byte, 700)
		update := byturns.Do("statement", func(i int) error {
			_, err := db.ExecContext(b.Context(), write, value, i+2, keys[i%len(keys)], 1)
			return err
		})
		b.Run("Get", func(b *testing.B) {
			byturns.Compare(b, byturns.Do("statement", func(i int) error {
				var v []byte
				var n int64
				return db.QueryRowContext(b.Context(), read, keys[i%len(keys)]).Scan(&v, &n)
			}), byturns.Do("Get", func(i int) error {
				_, err := s.Get(b.Context(), keys[i%len(keys)])
				return err
			}))
		})
		b.Run("Put", func(b *testing.B) {
			byturns.Compare(b, update, byturns.Do("Put", writer(b, s, keys[:len(keys)/2], 0)))
		})
		b.Run("Put that waits", func(b *testing.B) {
			byturns.Compare(b, update, byturns.Do("Put", writer(b, s, keys[len(keys)/2:], time.Hour)))
		})
	})
}

// BenchmarkGrowth has each method by turns among few records and among many.
func BenchmarkGrowth(b *testing.B) {
	benchEach(b, func(b *testing.B, d database, db *sql.DB) {
		few, many := byturns.Sizes(b)
		inFew, fewKeys := filled(b, d, db, few)
		inMany, manyKeys := filled(b, d, db, many)
		compare := func(name string, of func(b *testing.B, s *Store, keys []string) func(i int) error) {
			b.Run(name, func(b *testing.B) {
				byturns.Compare(b, byturns.Do("few", of(b, inFew, fewKeys)), byturns.Do("many", of(b, inMany, manyKeys)))
			})
		}
		compare("Get", func(b *testing.B, s *Store, keys []string) func(i int) error {
			return func(i int) error {
				_, err := s.Get(b.Context(), keys[i%len(keys)])
				return err
			}
		})
		compare("Put", func(b *testing.B, s *Store, keys []string) func(i int) error { return writer(b, s, keys, time.Hour) })
		for _, s := range []*Store{inFew, inMany} {
			for i := range 10 {
				require.NoError(b, s.Put(b.Context(), fmt.Sprint("due", i), store.Write{Version: 1, TTL: time.Hour, DueIn: time.Nanosecond}))
			}
		}
		compare("Due", func(b *testing.B, s *Store, _ []string) func(i int) error {
			return func(int) error {
				keys, err := s.Due(b.Context(), 100)
				if err == nil && len(keys) < 10 {
					err = fmt.Errorf("%d are due", len(keys))
				}
				return err
			}
		})
	})
}
