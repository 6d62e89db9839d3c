// Package sqltest starts database servers for tests.
package sqltest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // registers "mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // registers "pgx"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // registers "sqlite"

	"github.com/okidkit/okidkit/internal/testenv"
)

// Main runs the tests of a package, and then stops the servers that they have started.
func Main(m *testing.M) int {
	defer func() {
		for _, s := range []*server{&postgres, &mariadb} {
			s.stop()
		}
	}()
	return m.Run()
}

// SQLite returns a database in a new file.
func SQLite(t testing.TB) *sql.DB {
	t.Helper()
	return Open(t, "sqlite", SQLiteName(filepath.Join(t.TempDir(), "test.db")))
}

// SQLiteName is the data source name of a file, with what package sqlstore asks for.
func SQLiteName(file string) string {
	return "file:" + file + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
}

// Postgres returns a new database on a PostgreSQL server, which the first call starts.
func Postgres(t testing.TB) *sql.DB {
	t.Helper()
	postgres.start(t)
	return Open(t, "pgx", postgres.database(t, "host=%s user=postgres dbname=%s", "postgres"))
}

// PostgresURL is the URL of a new database on that server, for another process.
func PostgresURL(t testing.TB) string {
	t.Helper()
	postgres.start(t)
	name := postgres.database(t, "host=%s user=postgres dbname=%s", "postgres")
	_, name, _ = strings.Cut(name, "dbname=")
	return "postgres:///" + name + "?user=postgres&host=" + url.QueryEscape(postgres.dir)
}

// MariaDB returns a new database on a MariaDB server, which the first call starts.
func MariaDB(t testing.TB, options string) *sql.DB {
	t.Helper()
	mariadb.start(t)
	return Open(t, "mysql", mariadb.database(t, "root@unix(%s/socket)/%s", "mysql")+options)
}

// Process is a PostgreSQL server of its own, for tests that treat the process itself.
type Process struct {
	// Addr is its host:port.
	Addr string

	server *server
}

// StartPostgres starts a server with an empty database, until the test ends.
func StartPostgres(t testing.TB) *Process {
	t.Helper()
	port := testenv.FreePort(t)
	s := &server{driver: "pgx", commands: postgresCommands("-h", "127.0.0.1", "-p", port)}
	t.Cleanup(s.stop)
	s.start(t)
	p := &Process{Addr: net.JoinHostPort("127.0.0.1", port), server: s}
	require.True(t, p.answers(t), "the server has ended")
	return p
}

// URL is that of the database, at an address that may be a proxy's.
func (p *Process) URL(addr string) string {
	return "postgres://postgres@" + addr + "/postgres?sslmode=disable"
}

// Kill ends the process as a crash does, and with it those that it has started.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	require.NoError(t, p.server.process.Process.Kill())
	<-p.server.ended
}

// Restart starts the process again, with the data of the one before. What that had started may take
// a moment to end, and until then PostgreSQL refuses to start.
func (p *Process) Restart(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		p.server.serve(t)
		return p.answers(t)
	}, time.Minute, 50*time.Millisecond)
}

// answers waits until the server does, or has ended.
func (p *Process) answers(t testing.TB) bool {
	t.Helper()
	db := Open(t, "pgx", p.URL(p.Addr))
	defer db.Close()
	for db.PingContext(t.Context()) != nil {
		select {
		case <-p.server.ended:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return true
}

// Open opens a database until the test ends.
func Open(t testing.TB, driver, name string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// server is a database server of its own, in a folder.
type server struct {
	driver   string
	commands func(t testing.TB, dir string) (prepare, serve *exec.Cmd)

	once    sync.Once
	dir     string
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	made    atomic.Int64  // databases
}

var postgres = server{driver: "pgx", commands: postgresCommands("-h", "")}

// postgresCommands are those of a PostgreSQL server with further arguments.
func postgresCommands(args ...string) func(t testing.TB, dir string) (prepare, serve *exec.Cmd) {
	return func(t testing.TB, dir string) (prepare, serve *exec.Cmd) {
		data := filepath.Join(dir, "data")
		prepare = exec.Command(postgresProgram(t, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C")
		serve = exec.Command(postgresProgram(t, "postgres"), append([]string{"-D", data, "-k", dir, "-c", "max_connections=200"}, args...)...)
		return prepare, serve
	}
}

// postgresProgram is a program of PostgreSQL's, which Debian does not put into PATH.
func postgresProgram(t testing.TB, name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well formed
	if len(found) > 0 {
		return found[len(found)-1]
	}
	return testenv.Program(t, name)
}

var mariadb = server{driver: "mysql", commands: func(t testing.TB, dir string) (prepare, serve *exec.Cmd) {
	data := "--datadir=" + filepath.Join(dir, "data")
	prepare = exec.Command(testenv.Program(t, "mariadb-install-db"), "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db")
	serve = exec.Command(testenv.Program(t, "mariadbd"), "--no-defaults", data, "--socket="+filepath.Join(dir, "socket"), "--skip-networking",
		"--pid-file="+filepath.Join(dir, "pid"), "--skip-grant-tables", "--innodb-flush-log-at-trx-commit=2", "--max-connections=200")
	return prepare, serve
}}

// start starts the server, if it does not run yet. A test that cannot have it is skipped.
func (s *server) start(t testing.TB) {
	t.Helper()
	s.commands(t, "") // skips
	s.once.Do(func() {
		dir, err := os.MkdirTemp("", "sql")
		require.NoError(t, err)
		s.dir = dir
		prepare, _ := s.commands(t, dir)
		asSomebody(t, dir, prepare)
		out, err := prepare.CombinedOutput()
		require.NoError(t, err, string(out))
		s.serve(t)
	})
	require.NotNil(t, s.process, "the server did not start")
}

// serve starts the process.
func (s *server) serve(t testing.TB) {
	t.Helper()
	_, serve := s.commands(t, s.dir)
	asSomebody(t, s.dir, serve)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	serve.Stdout, serve.Stderr = log, log
	require.NoError(t, serve.Start())
	ended := make(chan struct{})
	s.process, s.ended = serve, ended
	go func() {
		_ = serve.Wait()
		close(ended)
	}()
}

// asSomebody lets commands run as somebody else, if we are root: as that, no such server runs.
func asSomebody(t testing.TB, dir string, commands ...*exec.Cmd) {
	if os.Getuid() != 0 {
		return
	}
	somebody, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.Atoi(somebody.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(somebody.Gid)
	require.NoError(t, err)
	require.NoError(t, os.Chown(dir, uid, gid))
	for _, c := range commands {
		c.Dir = dir
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
}

// database makes a new database, and returns its data source name.
func (s *server) database(t testing.TB, format, first string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db := Open(t, s.driver, fmt.Sprintf(format, s.dir, first))
	require.Eventually(t, func() bool { return db.PingContext(ctx) == nil }, time.Minute, 50*time.Millisecond)
	name := fmt.Sprintf("test%d", s.made.Add(1))
	_, err := db.ExecContext(ctx, "CREATE DATABASE "+name)
	require.NoError(t, err)
	return fmt.Sprintf(format, s.dir, name)
}

// stop ends the server at once, and removes what it has kept.
func (s *server) stop() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		<-s.ended
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
