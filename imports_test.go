package okidkit_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/okidkit/okidkit"

// mayImport says what each folder may import beside the standard library. A name
// without a dot in its first part is a folder of ours.
var mayImport = map[string][]string{
	"identity":               {"internal/redact"},
	"store":                  {},
	"store/storetest":        {"store"},
	"memstore":               {"store"},
	"redisstore":             {"store", "github.com/redis/go-redis/v9"},
	"sqlstore":               {"store"},
	"identity/identitytest":  {"identity"},
	"identity/names":         {"golang.org/x/text/unicode/norm"},
	"okid":                   {"identity", "internal/apiclient", "internal/redact", "internal/strictjson", "internal/wire"},
	"okid/portal":            {"identity", "internal/apiclient", "internal/redact", "internal/strictjson", "internal/wire"},
	"getid":                  {"identity", "internal/apiclient", "internal/redact", "internal/strictjson", "internal/wire", "github.com/golang-jwt/jwt/v5"},
	"getid/direct":           {"identity", "internal/apiclient", "internal/redact", "internal/strictjson", "internal/wire"},
	"okidadmin":              {"okidhttp"},
	"okidqr":                 {"github.com/piglig/go-qr"},
	"okidhttp":               {"identity", "internal/attempt", "internal/body", "internal/engine", "internal/redact", "internal/seal", "internal/text", "store"},
	"internal/attempt":       {"identity"},
	"internal/body":          {},
	"internal/engine":        {"identity", "internal/attempt", "internal/seal", "store"},
	"internal/redact":        {},
	"internal/seal":          {},
	"okidtest":               {"getid/direct", "identity", "okid", "okid/portal"},
	"internal/strictjson":    {},
	"internal/apiclient":     {},
	"internal/text":          {},
	"internal/wire":          {"identity", "internal/apiclient", "internal/strictjson"},
	"internal/redistest":     {"internal/testenv", "github.com/redis/go-redis/v9"},
	"internal/sqltest":       {"internal/testenv", "github.com/go-sql-driver/mysql", "github.com/jackc/pgx/v5", "modernc.org/sqlite", "github.com/stretchr/testify"},
	"internal/testenv":       {},
	"internal/load":          anything,
	"internal/load/byturns":  {"internal/load/median"},
	"internal/load/median":   {},
	"internal/load/cases":    anything,
	"internal/load/harness":  {"internal/load/median", "github.com/redis/go-redis/v9"},
	"internal/load/rounds":   {"internal/load/median"},
	"cmd/okidkit":            {"okid", "okidtest"},
	"examples/internal/demo": anything,
	"examples/quickstart":    anything,
	"examples/shop":          anything,
	"examples/server":        anything,
}

var anything = []string{"*"}

// Who may import whom is fixed, so that the core stays small and what somebody
// does not use does not come along.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	require.NoError(t, err)
	listed := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := listed.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if folder == "" {
			assert.Empty(t, p.Imports, "the root holds tests alone")
			continue
		}
		allowed, ok := mayImport[folder]
		if !assert.True(t, ok, "%s has no row in the table", folder) || slices.Equal(allowed, anything) {
			continue
		}
		for _, imported := range p.Imports {
			imported = strings.TrimPrefix(imported, module+"/")
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") && mayImport[imported] == nil {
				continue // the standard library
			}
			isAllowed := slices.ContainsFunc(allowed, func(a string) bool {
				return imported == a || strings.Contains(a, ".") && strings.HasPrefix(imported, a+"/")
			})
			assert.True(t, isAllowed, "%s imports %s", folder, imported)
		}
	}
}

// A host with okID and the store in memory has no module in its binary but this one;
// GetID brings the one that checks its tokens.
func TestOtherModules(t *testing.T) {
	for packages, want := range map[string]string{
		"./okidhttp ./okid ./memstore": module,
		"./okidhttp ./okid ./sqlstore": module, // the driver is the host's
		"./getid":                      "github.com/golang-jwt/jwt/v5\n" + module,
	} {
		args := append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}, strings.Fields(packages)...)
		out, err := exec.Command("go", args...).Output()
		require.NoError(t, err)
		modules := strings.Fields(string(out))
		slices.Sort(modules)
		assert.Equal(t, want, strings.Join(slices.Compact(modules), "\n"), packages)
	}
}

// Time comes from clocks that tests can hold still: no code but that of tests,
// examples and the load command reads the wall clock or sleeps. The function time.Now itself may
// be named as a default.
func TestNobodyReadsTheWallClock(t *testing.T) {
	fset := token.NewFileSet()
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "examples" || name == filepath.FromSlash("internal/load") || d.Name() == "internal" && path.Dir(name) != "." || strings.HasPrefix(d.Name(), ".") && name != ".") {
			if d != nil && d.IsDir() && err == nil {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); ok {
				if pkg, ok := f.X.(*ast.Ident); ok && pkg.Name == "time" {
					assert.NotContains(t, []string{"Now", "Since", "Until", "Sleep", "Tick"}, f.Sel.Name, fset.Position(call.Pos()))
				}
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	assert.Greater(t, files, 30)
}
