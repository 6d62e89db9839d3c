package sqlstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/sqltest"
	"github.com/okidkit/okidkit/store"
)

// What is done in a transaction happens together or not at all.
func TestTransact(t *testing.T) {
	errRefused := errors.New("refused")
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := d.migrated(t, db)
		_, err := db.ExecContext(t.Context(), "CREATE TABLE effects (n integer)")
		require.NoError(t, err)
		effects := func() (n int) {
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM effects").Scan(&n))
			return n
		}
		both := func(ctx context.Context, version uint64) {
			_, err := Tx(ctx).ExecContext(ctx, "INSERT INTO effects VALUES (1)")
			require.NoError(t, err)
			require.NoError(t, s.Put(ctx, "key", store.Write{Replaces: version - 1, Version: version, TTL: time.Hour}))
			rec, err := s.Get(ctx, "key")
			require.NoError(t, err)
			assert.Equal(t, version, rec.Version, "it sees what it does")
		}
		require.NoError(t, s.Transact(t.Context(), func(ctx context.Context) error {
			both(ctx, 1)
			return s.Transact(ctx, func(within context.Context) error { // is part of it
				assert.Same(t, Tx(ctx), Tx(within))
				return nil
			})
		}))
		assert.Equal(t, 1, effects())

		assert.Equal(t, errRefused, s.Transact(t.Context(), func(ctx context.Context) error {
			both(ctx, 2)
			return errRefused
		}))
		assert.Panics(t, func() {
			_ = s.Transact(t.Context(), func(ctx context.Context) error {
				both(ctx, 2)
				panic("no")
			})
		})
		ended, end := context.WithCancel(t.Context())
		assert.Error(t, s.Transact(ended, func(ctx context.Context) error {
			both(ctx, 2)
			end()
			return nil
		}))
		assert.ErrorIs(t, s.Transact(t.Context(), func(ctx context.Context) error {
			_, err := Tx(ctx).ExecContext(ctx, "INSERT INTO effects VALUES (1)")
			require.NoError(t, err)
			return s.Put(ctx, "key", store.Write{Replaces: 7, Version: 8, TTL: time.Hour})
		}), store.ErrConflict)
		rec, err := s.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, uint64(1), rec.Version)
		assert.Equal(t, 1, effects())

		// Who waits reads what was committed meanwhile, and is told of the conflict.
		require.NoError(t, s.Transact(t.Context(), func(ctx context.Context) error {
			both(ctx, 2)
			return nil
		}))
		assert.Nil(t, Tx(t.Context()))
		other, err := New(db, d.dialect)
		require.NoError(t, err)
		assert.NoError(t, s.Transact(t.Context(), func(ctx context.Context) error {
			assert.Nil(t, other.carried(ctx), "another store has no part in it")
			return nil
		}))
	})
}

// A transaction that reads a record sees what others write to it meanwhile, where the database
// lets them.
func TestTransactionSeesOthers(t *testing.T) {
	for _, name := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(name, func(t *testing.T) {
			d := databases[name]
			s := d.migrated(t, d.open(t))
			require.NoError(t, s.Put(t.Context(), "key", store.Write{Version: 1, TTL: time.Hour}))
			require.NoError(t, s.Transact(t.Context(), func(ctx context.Context) error {
				_, err := s.Get(ctx, "key")
				require.NoError(t, err)
				require.NoError(t, s.Put(t.Context(), "key", store.Write{Replaces: 1, Version: 2, TTL: time.Hour}))
				assert.ErrorIs(t, s.Put(ctx, "key", store.Write{Replaces: 1, Version: 3, TTL: time.Hour}), store.ErrConflict)
				rec, err := s.Get(ctx, "key")
				require.NoError(t, err)
				return s.Put(ctx, "key", store.Write{Replaces: rec.Version, Version: 4, TTL: time.Hour})
			}))
		})
	}
}

// A database that is away begins nothing.
func TestTransactWithoutDatabase(t *testing.T) {
	db := sqltest.SQLite(t)
	s := databases["SQLite"].migrated(t, db)
	require.NoError(t, db.Close())
	err := s.Transact(t.Context(), func(context.Context) error { panic("nobody calls") })
	assert.ErrorContains(t, err, "sqlstore: begin")
}
