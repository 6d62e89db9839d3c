package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"

	_ "modernc.org/sqlite" // registers "sqlite"

	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/sqlstore"
	"github.com/okidkit/okidkit/store"
)

// data is what the app keeps, and the key that what waits for a callback is sealed with.
type data struct {
	records store.Store
	key     []byte
	close   func() error
}

// openData opens a file for the records. Without the key there would be attempts in it that nobody
// can read, so that is kept beside it, in file.key. If file is "", all is kept in memory.
func openData(ctx context.Context, file string) (data, error) {
	if file == "" {
		return data{records: memstore.New(), key: newKey(), close: func() error { return nil }}, nil
	}
	key, err := keyIn(file + ".key")
	if err != nil {
		return data{}, err
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		return data{}, err
	}
	records, err := sqlstore.New(db, sqlstore.SQLite)
	if err == nil {
		err = records.Migrate(ctx)
	}
	if err != nil {
		return data{}, fmt.Errorf("%s: %w", file, errors.Join(err, db.Close()))
	}
	return data{records: records, key: key, close: db.Close}, nil
}

// keyIn is the key in a file, which is made if it is not there.
func keyIn(file string) ([]byte, error) {
	key, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		key = newKey()
		return key, os.WriteFile(file, key, 0o600)
	case err == nil && len(key) != keySize:
		return nil, fmt.Errorf("%s has %d bytes instead of %d", file, len(key), keySize)
	}
	return key, err
}

const keySize = 32

func newKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails, says its documentation
	return key
}
