package sqlstore

import (
	"database/sql"
	"embed"
	"strconv"
	"strings"
)

// Dialect is what a database understands: [Postgres], [MySQL] or [SQLite].
type Dialect struct{ *dialect }

var (
	// Postgres is PostgreSQL. Placeholders are $1, $2, as all its drivers know them.
	Postgres = Dialect{postgres}
	// MySQL is MySQL or MariaDB.
	MySQL = Dialect{mysql}
	// SQLite is SQLite.
	SQLite = Dialect{sqlite}
)

// DDL are the statements that make the table of the default prefix: a file for each dialect, for
// hosts with migrations of their own.
//
//go:embed postgres.sql mysql.sql sqlite.sql
var DDL embed.FS

// dialect is how a database says what the store needs. In its statements, {table} stands for the
// table, {now} for the database's clock in Unix milliseconds, and ? for an argument.
type dialect struct {
	ddl      string // name of the file
	now      string
	numbered bool // arguments are $1, $2
	// insert takes key, value, version, ttl and due, in milliseconds, and replaces nothing but a
	// record that has ended.
	insert string
	// ended deletes the record at a key if it has ended, for an insert that replaces nothing. It
	// is empty where insert does.
	ended string
	// sweep takes a limit.
	sweep string
	// transaction is how transactions are: a Put must see what others have written meanwhile.
	transaction *sql.TxOptions
}

var postgres = &dialect{
	ddl: "postgres.sql",
	// Not now(), which stands still in a transaction.
	now:      `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint)`,
	numbered: true,
	insert:   insertOrReplace,
	// The condition is there twice, since a row may be written anew between the two looks at it.
	sweep: `DELETE FROM {table} WHERE ends_at <= {now} AND record_key = ANY (ARRAY(
		SELECT record_key FROM {table} WHERE ends_at <= (SELECT {now}) ORDER BY ends_at LIMIT ? FOR UPDATE SKIP LOCKED))`,
	transaction: &sql.TxOptions{Isolation: sql.LevelReadCommitted},
}

var sqlite = &dialect{
	ddl:    "sqlite.sql",
	now:    `CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)`,
	insert: insertOrReplace,
	sweep: `DELETE FROM {table} WHERE record_key IN (
		SELECT record_key FROM {table} WHERE ends_at <= {now} ORDER BY ends_at LIMIT ?)`,
}

// The WHERE before ON CONFLICT keeps SQLite's parser from reading ON as part of the SELECT.
const insertOrReplace = `INSERT INTO {table} AS r (record_key, value, version, ends_at, due_at)
	VALUES (?, ?, ?, {now} + ?, {now} + ?)
	ON CONFLICT (record_key) DO UPDATE
	SET value = excluded.value, version = excluded.version, ends_at = excluded.ends_at, due_at = excluded.due_at
	WHERE r.ends_at <= {now}`

var mysql = &dialect{
	ddl: "mysql.sql",
	now: `(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000)`,
	// How many rows another way of inserting counts is a setting of the connection. No error but
	// that of a duplicate key can come of these values, so IGNORE hides none.
	insert: `INSERT IGNORE INTO {table} (record_key, value, version, ends_at, due_at)
	VALUES (?, ?, ?, {now} + ?, {now} + ?)`,
	ended:       `DELETE FROM {table} WHERE record_key = ? AND ends_at <= {now}`,
	sweep:       `DELETE FROM {table} WHERE ends_at <= {now} ORDER BY ends_at LIMIT ?`,
	transaction: &sql.TxOptions{Isolation: sql.LevelReadCommitted},
}

// The statements that are the same everywhere. What selects the clock returns a row in any case.
// PostgreSQL searches an index for (SELECT {now}), which it reads once, and not for {now}, which may
// be another time for each row.
const (
	selectRecord = `SELECT {now}, r.version, r.value FROM (SELECT 1 AS one) AS x
	LEFT JOIN {table} AS r ON r.record_key = ? AND r.ends_at > {now}`
	selectVersion = `SELECT version FROM {table} WHERE record_key = ? AND ends_at > {now}`
	updateRecord  = `UPDATE {table} SET value = ?, version = ?, ends_at = {now} + ?, due_at = {now} + ?
	WHERE record_key = ? AND version = ? AND ends_at > {now}`
	deleteRecord = `DELETE FROM {table} WHERE record_key = ?`
	selectDue    = `SELECT x.now, d.record_key FROM (SELECT {now} AS now) AS x
	LEFT JOIN (SELECT record_key, due_at FROM {table} WHERE due_at <= (SELECT {now}) AND ends_at > {now} ORDER BY due_at LIMIT ?) AS d ON 1 = 1
	ORDER BY d.due_at`
)

// statement completes a statement for a table.
func (d *dialect) statement(text, table string) string {
	text = strings.NewReplacer("{table}", table, "{now}", d.now).Replace(text)
	if !d.numbered {
		return text
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(text, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}
