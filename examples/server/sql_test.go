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

			type effect struct{ subject, callback string }
			effects, ids := map[effect]int{}, map[string]int{}
			rows, err := db.Query("SELECT event_id, subject, callback FROM host_effects")
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
			for _, flow := range flows {
				assert.Equal(t, 1, effects[effect{flow.user.name, flow.ends}], flow.user.name)
			}
			t.Logf("%d attempts, %d kills, %d effects, %d calls", attempts, kills, len(ids), len(f.host.calls()))
		})
	}
}
