package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/sqltest"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidtest"
	"github.com/okidkit/okidkit/sqlstore"
)

// counted are the statements and transactions that a database was asked for.
type counted struct{ statements, transactions atomic.Int64 }

// connector counts what its connections do.
type connector struct {
	driver driver.Driver
	name   string
	count  *counted
}

func (c connector) Driver() driver.Driver { return c.driver }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.name)
	if err != nil {
		return nil, err
	}
	return countingConn{conn, c.count}, nil
}

type countingConn struct {
	driver.Conn
	count *counted
}

func (c countingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.count.statements.Add(1)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.count.statements.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c countingConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.count.transactions.Add(1)
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
}

// A fresh webhook with a callback takes three statements beside the host's own, in one transaction;
// a duplicate takes one, and so does the gate.
func TestStatements(t *testing.T) {
	name := sqltest.SQLiteName(filepath.Join(t.TempDir(), "test.db"))
	var count counted
	db := sql.OpenDB(connector{sqltest.Open(t, "sqlite", name).Driver(), name, &count})
	t.Cleanup(func() { _ = db.Close() })
	records, err := sqlstore.New(db, sqlstore.SQLite)
	require.NoError(t, err)
	require.NoError(t, records.Migrate(t.Context()))
	_, err = db.ExecContext(t.Context(), "CREATE TABLE members (subject text)")
	require.NoError(t, err)

	fake, err := okidtest.NewOKID(okidtest.Config{})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	defer fake.Close()
	provider, err := okid.New(fake.ProviderConfig())
	require.NoError(t, err)
	kit, err := okidhttp.New(okidhttp.Config{
		Providers: []identity.Provider{provider},
		Store:     records,
		PublicURL: "https://app.example/verify",
		Keys:      [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")},
		Subject:   func(*http.Request) (string, error) { return "alice", nil },
		OnVerified: func(ctx context.Context, e okidhttp.Event) error {
			_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO members VALUES (?)", e.Subject)
			return err
		},
	})
	require.NoError(t, err)
	gate := kit.RequireVerified(http.NotFoundHandler())

	request := func(h http.Handler, method, path string, header http.Header, body []byte, want int) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest(method, "https://app.example"+path, bytes.NewReader(body))
		for name, values := range header {
			r.Header[name] = values
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, w.Body)
		return w
	}
	var started struct {
		Attempt string `json:"attempt"`
	}
	w := request(kit, "POST", "/verify/start", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept": {"application/json"}}, nil, http.StatusCreated)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &started))
	found := okidtest.Passport(time.Now())
	found.ID, found.Status = "ver_1", okid.StatusCompleted
	found.Metadata = map[string]string{okid.MetadataReference: started.Attempt}
	header, body := okidtest.NewWebhook(okidtest.DefaultWebhookSecret, time.Now(), okid.WebhookBody{Event: okid.EventCompleted, Data: found})

	takes := func(what string, statements, transactions int64, do func()) {
		t.Helper()
		count.statements.Store(0)
		count.transactions.Store(0)
		do()
		assert.Equal(t, statements, count.statements.Load(), "statements of %s", what)
		assert.Equal(t, transactions, count.transactions.Load(), "transactions of %s", what)
	}
	takes("a fresh webhook", 3+1, 1, func() { request(kit, "POST", "/verify/webhook", header, body, http.StatusOK) })
	takes("a duplicate", 1, 0, func() { request(kit, "POST", "/verify/webhook", header, body, http.StatusOK) })
	takes("the gate", 1, 0, func() { request(gate, "GET", "/members", nil, nil, http.StatusNotFound) })
}
