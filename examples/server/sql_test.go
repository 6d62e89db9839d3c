package main

import (
	"database/sql"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/sqltest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okidtest"
)

func TestSQLSettings(t *testing.T) {
	for url, ok := range map[string]bool{
		"postgres://u:p@db/app": true, "postgresql://db/app": true, "mysql://u:p@db/app?tls=true": true, "mysql://u:p@db:3307/app": true, "sqlite:app.db": true,
		"mysql://db": false, "sqlite:": false, "redis://db": false, "app.db": false, "": false, "mysql://%zz": false,
	} {
		_, err := openSQL(url)
		assert.Equal(t, ok, err == nil, url)
	}
	db, err := openSQL("mysql://u:pass@db/app?tls=skip-verify")
	require.NoError(t, err)
	assert.NoError(t, db.Close())
}

// With a database everything survives a restart, and each event has one effect.
func TestSQLite(t *testing.T) {
	env := map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "app.db"), "OKID_KEYS": randomKey()}
	s := launch(t, env)
	u := s.logIn(t, "alice")
	a := u.begin(t)
	require.NoError(t, s.fake.Complete(a.id, okidtest.Passport(now())))
	s.settle(t)
	told := s.told(t, a, "verified")
	u.opened(t)
	s.stop(t)

	s = launch(t, env)
	s.logIn(t, "alice").opened(t)
	s.stop(t)
	db := sqltest.Open(t, "sqlite", sqltest.SQLiteName(env["DATABASE_URL"][len("sqlite:"):]))
	var subject, callback string
	require.NoError(t, db.QueryRow("SELECT subject, callback FROM host_effects WHERE event_id = ?", told.EventID).Scan(&subject, &callback))
	assert.Equal(t, "alice verified", subject+" "+callback)
}

// Under load, replicas are killed at random and come back: each event has exactly one effect in
// the host's table, none is missing, and none is there under two ids.
func TestExactlyOnce(t *testing.T) {
	testenv.Long(t)
	for name, open := range map[string]func(*testing.T) (url string, db *sql.DB){
		"SQLite": func(t *testing.T) (string, *sql.DB) {
			file := filepath.Join(t.TempDir(), "app.db")
			return "sqlite:" + file, sqltest.Open(t, "sqlite", sqltest.SQLiteName(file))
		},
		"PostgreSQL": func(t *testing.T) (string, *sql.DB) {
			url := sqltest.PostgresURL(t)
			return url, sqltest.Open(t, "pgx", url)
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, db := open(t)
			f := newFleetOn(t, 3, "DATABASE_URL", url)
			const attempts, kills = 150, 50
			flows := f.start(t, attempts)
			for wave := range slices.Chunk(flows, attempts/kills) {
				before := len(f.host.calls())
				for _, flow := range wave {
					f.run(t, flow)
				}
				some := before + 1 + rand.IntN(attempts/kills)
				require.Eventually(t, func() bool { return len(f.host.calls()) >= some }, patience, time.Millisecond)
				i := rand.IntN(len(f.replicas))
				require.NoError(t, f.replicas[i].cmd.Process.Kill())
				f.restart(t, i)
			}
			f.settled(t, flows)

			effects, ids := effectsOf(t, db)
			for _, flow := range flows {
				assert.Equal(t, 1, effects[effect{flow.user.name, flow.ends}], flow.user.name)
			}
			t.Logf("%d attempts, %d kills, %d effects, %d calls", attempts, kills, ids, len(f.host.calls()))
		})
	}
}

// effect is what a callback has written about a subject.
type effect struct{ subject, callback string }

// effectsOf is how often there is each effect, which must be once, and once for each event.
func effectsOf(t *testing.T, db *sql.DB) (effects map[effect]int, events int) {
	t.Helper()
	effects = map[effect]int{}
	ids := map[string]int{}
	rows, err := db.QueryContext(t.Context(), "SELECT event_id, subject, callback FROM host_effects")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		var e effect
		require.NoError(t, rows.Scan(&id, &e.subject, &e.callback))
		effects[e]++
		ids[id]++
	}
	require.NoError(t, rows.Err())
	for e, n := range effects {
		assert.Equal(t, 1, n, e)
	}
	for id, n := range ids {
		assert.Equal(t, 1, n, id)
	}
	return effects, len(ids)
}

// statements is a fault that statements begin and end.
func statements(begin, end []string) fault {
	do := func(all []string) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) {
			for _, statement := range all {
				_, err := r.db.ExecContext(t.Context(), statement)
				require.NoError(t, err, statement)
			}
		}
	}
	return fault{begin: do(begin), end: do(end), reads: true}
}

// postgresFaults are those that the server's database can have. A connection begins with eight
// answers at most.
func postgresFaults() []fault {
	const full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$"
	return []fault{
		fault{
			begin: func(t *testing.T, r *rig) { r.postgres.Kill(t) },
			end:   func(t *testing.T, r *rig) { r.postgres.Restart(t) },
		}.named("killed"),
		statements(
			[]string{"ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"},
			[]string{"ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"},
		).named("read-only"),
		statements(
			[]string{full, "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON okidkit_records EXECUTE FUNCTION full_disk()"},
			[]string{"DROP TRIGGER full_disk ON okidkit_records"},
		).named("full"),
		slowly().named("slow"),
		cutOffAfter(12).named("some answers cut off"),
		cutOffAfter(0).named("all answers cut off"),
		byProxy(lost).named("no answers"),
	}
}

// sqliteFaults are those of a file.
func sqliteFaults() []fault {
	var writer *sql.Conn
	do := func(statement string) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) {
			if writer == nil {
				var err error
				writer, err = r.db.Conn(t.Context())
				require.NoError(t, err)
			}
			_, err := writer.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
	}
	return []fault{
		statements([]string{
			"CREATE TRIGGER full_disk_1 BEFORE INSERT ON okidkit_records BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
			"CREATE TRIGGER full_disk_2 BEFORE UPDATE ON okidkit_records BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
		}, []string{"DROP TRIGGER full_disk_1", "DROP TRIGGER full_disk_2"}).named("full"),
		fault{begin: do("BEGIN IMMEDIATE"), end: do("ROLLBACK"), reads: true}.named("locked by another writer"),
	}
}

// Whatever happens to the database, the same holds as for Redis; and of each event there is one
// effect when it is over.
func TestSQLFaults(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	check := func(t *testing.T, f fault, r *rig, url string) {
		t.Helper()
		s := launch(t, map[string]string{asServer: asSaboteur, "DATABASE_URL": url})
		f.strike(t, r, s)
		effects, _ := effectsOf(t, r.db)
		for _, name := range []string{"alice", "bob"} {
			assert.Equal(t, 1, effects[effect{name, "verified"}], name)
		}
	}
	for _, f := range postgresFaults() {
		t.Run("PostgreSQL/"+f.name, func(t *testing.T) {
			t.Parallel()
			r := &rig{postgres: sqltest.StartPostgres(t)}
			r.db = sqltest.Open(t, "pgx", r.postgres.URL(r.postgres.Addr))
			addr := r.postgres.Addr
			if f.proxied {
				r.proxy = newProxy(t, addr)
				addr = r.proxy.addr
			}
			check(t, f, r, r.postgres.URL(addr))
		})
	}
	for _, f := range sqliteFaults() {
		t.Run("SQLite/"+f.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "app.db")
			check(t, f, &rig{db: sqltest.Open(t, "sqlite", sqltest.SQLiteName(file))}, "sqlite:"+file)
		})
	}
}
