package sqlstore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/sqltest"
	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/store"
	"github.com/okidkit/okidkit/store/storetest"
)

// flawOf, in the environment, is the flaw of the store that TestFlawed tests.
const flawOf = "SQLSTORE_FLAW"

// flaws are what can be forgotten in a statement, and what is then in its place.
var flaws = map[string]struct {
	of                 func(*Store) *string
	forgotten, instead string
}{
	"an update looks at no version": {func(s *Store) *string { return &s.update }, "version = ? AND", "? IS NOT NULL AND"},
	"an insert replaces what lives": {func(s *Store) *string { return &s.insert }, "WHERE r.ends_at <= {now}", ""},
	"what has ended is read":        {func(s *Store) *string { return &s.get }, "AND r.ends_at > {now}", ""},
	"what has ended is replaced":    {func(s *Store) *string { return &s.update }, "AND ends_at > {now}", ""},
	"everything is due":             {func(s *Store) *string { return &s.due }, "due_at <= (SELECT {now}) AND", ""},
	"what has ended is due":         {func(s *Store) *string { return &s.due }, "AND ends_at > {now}", ""},
	"what lives is swept":           {func(s *Store) *string { return &s.sweep }, "WHERE ends_at <= {now}", ""},
}

const notRolledBack = "a transaction is not rolled back"

// autocommit is a store whose transactions are none.
type autocommit struct{ *Store }

func (autocommit) Transact(ctx context.Context, f func(context.Context) error) error { return f(ctx) }

// TestFlawed is for TestFlaws.
func TestFlawed(t *testing.T) {
	name := os.Getenv(flawOf)
	if name == "" {
		t.Skip("TestFlaws runs it")
	}
	db := sqltest.SQLite(t)
	n := 0
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		n++
		s := databases["SQLite"].migrated(t, db, WithPrefix(fmt.Sprintf("case%d_", n)))
		if flaw, ok := flaws[name]; ok {
			statement := flaw.of(s)
			forgotten := strings.ReplaceAll(flaw.forgotten, "{now}", s.dialect.now)
			require.Contains(t, *statement, forgotten)
			*statement = strings.Replace(*statement, forgotten, flaw.instead, 1)
		}
		var flawed store.Store = s
		if name == notRolledBack {
			flawed = autocommit{s}
		}
		return storetest.Harness{Store: flawed}
	})
}

// storetest finds what a SQL store can have forgotten.
func TestFlaws(t *testing.T) {
	testenv.Long(t)
	binary, err := os.Executable()
	require.NoError(t, err)
	names := []string{notRolledBack}
	for name := range flaws {
		names = append(names, name)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The first case that finds it is enough.
			cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^TestFlawed$", "-test.failfast")
			cmd.Env = append(os.Environ(), flawOf+"="+name)
			out, err := cmd.CombinedOutput()
			assert.Error(t, err)
			assert.Contains(t, string(out), "--- FAIL: TestFlawed/")
			assert.NotContains(t, string(out), "does not contain")
		})
	}
}
