// Package sqlstore keeps records in a table of the host's own database: PostgreSQL, MySQL,
// MariaDB or SQLite, by database/sql and whatever driver the host uses.
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	...
//	s, err := sqlstore.New(db, sqlstore.Postgres)
//	...
//	err = s.Migrate(ctx) // or run the file of DDL with the host's own migrations
//
// The database stays the host's: the store neither configures nor closes it.
//
// # Databases
//
// PostgreSQL from version 12 on. MySQL from 8.0, and MariaDB from 10.5 on, with InnoDB. SQLite
// from version 3.42 on.
//
// With SQLite, other connections must wait for one that writes, and readers should not: open the
// database with busy_timeout and journal_mode=WAL. With the driver modernc.org/sqlite, that is
//
//	sql.Open("sqlite", "file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
//
// # Exactly once
//
// What a callback writes by [Tx] is committed together with what the kit knows of it:
//
//	OnVerified: func(ctx context.Context, e okidhttp.Event) error {
//		_, err := sqlstore.Tx(ctx).ExecContext(ctx, "UPDATE users SET verified = TRUE WHERE id = $1", e.Subject)
//		return err
//	},
//
// However often processes die, and however often an event is told, the write is there once. The
// database must let the kit have a connection beside that of the transaction, in which nothing
// happens but what the callback does by Tx: what it does with the kit, such as an Erase, stands by
// itself. With SQLite, a callback that has written by Tx must do nothing of that kind, nor write by
// another connection, which would wait for it; and a transaction that reads before it writes is
// tried again if somebody else has written in between.
//
// # What is kept
//
// One table, okidkit_records by default, has a row for each record: its key, its value, its
// version, and when it ends and becomes due, in Unix milliseconds by the database's clock. Rows
// that have ended are deleted by [Store.Due], some at a time.
//
// Each method is one statement. A Put that finds the record changed needs another one to find out
// what has become of it. No transaction and no lock outlasts a call.
package sqlstore
