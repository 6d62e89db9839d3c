package main

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // registers "pgx"
	_ "modernc.org/sqlite"             // registers "sqlite"

	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/sqlstore"
)

// database is the host's own, in which the kit keeps its records, too.
type database struct {
	*sql.DB
	store  *sqlstore.Store
	insert string
}

var errDatabaseURL = errors.New("DATABASE_URL is not of the form postgres://…, mysql://… or sqlite:FILE")

// openSQL opens the database that DATABASE_URL names. It does no I/O. Its errors do not contain
// the URL, which may have a password in it.
func openSQL(text string) (*database, error) {
	driver, name, dialect := "", "", sqlstore.Dialect{}
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "postgres", "postgresql":
		driver, name, dialect = "pgx", text, sqlstore.Postgres
	case "mysql":
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
			return nil, errDatabaseURL
		}
		cfg := mysql.NewConfig()
		cfg.Net, cfg.Addr, cfg.DBName, cfg.User = "tcp", u.Host, strings.Trim(u.Path, "/"), u.User.Username()
		cfg.Passwd, _ = u.User.Password()
		if u.Port() == "" {
			cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
		}
		driver, name, dialect = "mysql", cfg.FormatDSN(), sqlstore.MySQL
		if u.RawQuery != "" {
			name += "?" + u.RawQuery
		}
	case "sqlite":
		if rest == "" {
			return nil, errDatabaseURL
		}
		driver, name, dialect = "sqlite", "file:"+rest+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)", sqlstore.SQLite
	default:
		return nil, errDatabaseURL
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		return nil, errDatabaseURL
	}
	d := &database{DB: db, insert: "INSERT INTO host_effects (event_id, subject, callback) VALUES (?, ?, ?)"}
	if driver == "pgx" {
		d.insert = "INSERT INTO host_effects (event_id, subject, callback) VALUES ($1, $2, $3)"
	}
	if d.store, err = sqlstore.New(db, dialect); err != nil {
		return nil, err
	}
	return d, nil
}

// migrate makes the tables, if they are not there.
func (d *database) migrate(ctx context.Context) error {
	if err := d.store.Migrate(ctx); err != nil {
		return err
	}
	var err error
	for range 10 { // another replica may be making it, which PostgreSQL minds
		_, err = d.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS host_effects (event_id varchar(64), subject varchar(128), callback varchar(16))")
		if err == nil {
			return nil
		}
	}
	return err
}

// effect is what a callback writes in its transaction.
func (d *database) effect(ctx context.Context, e okidhttp.Event) error {
	_, err := sqlstore.Tx(ctx).ExecContext(ctx, d.insert, e.ID, e.Subject, string(e.Status))
	return err
}
