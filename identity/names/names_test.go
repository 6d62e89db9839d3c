package names_test

import (
	"bufio"
	_ "embed"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity/names"
)

// pairs.txt is the contract: names in pairs, under the grade and the reason of each.
//
//go:embed pairs.txt
var pairs string

type pair struct {
	a, b names.Name
	want names.Result
}

// readPairs reads "Given|Family ~ Given|Family" under lines "# grade reason".
func readPairs(t testing.TB) (all []pair) {
	grades := map[string]names.Grade{}
	for g := names.Different; g <= names.Same; g++ {
		grades[g.String()] = g
	}
	name := func(s string) names.Name {
		given, family, ok := strings.Cut(strings.TrimSpace(s), "|")
		require.True(t, ok, s)
		return names.Name{Given: given, Family: family}
	}
	var want names.Result
	for lines := bufio.NewScanner(strings.NewReader(pairs)); lines.Scan(); {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			words := strings.Fields(rest)
			grade, ok := grades[words[0]]
			require.True(t, ok, line)
			want = names.Result{Grade: grade, Why: names.Reason(words[1])}
		} else if a, b, ok := strings.Cut(line, " ~ "); ok {
			all = append(all, pair{name(a), name(b), want})
		}
	}
	return all
}

func TestPairs(t *testing.T) {
	all := readPairs(t)
	assert.GreaterOrEqual(t, len(all), 200)
	for _, p := range all {
		assert.Equal(t, p.want, names.Compare(p.a, p.b), "%v ~ %v", p.a, p.b)
		assert.Equal(t, p.want, names.Compare(p.b, p.a), "%v ~ %v, the other way round", p.b, p.a)
	}
}

// Every name is its own, whatever is done to its letters that does not matter.
func TestSameName(t *testing.T) {
	for _, p := range readPairs(t) {
		for _, n := range []names.Name{p.a, p.b} {
			want := names.Result{Grade: names.Same, Why: names.Equal}
			if names.Compare(n, n).Why == names.Empty {
				continue
			}
			assert.Equal(t, want, names.Compare(n, n), n)
			if names.Compare(p.a, p.b).Why == names.Script {
				continue
			}
			assert.Equal(t, want, names.Compare(n, names.Name{Given: strings.ToUpper(n.Given), Family: strings.ToUpper(n.Family)}), n)
			assert.Equal(t, want, names.Compare(n, names.Name{Given: " " + strings.ReplaceAll(n.Given, " ", "<"), Family: strings.ReplaceAll(n.Family, "-", " ") + "\t"}), n)
		}
	}
}

// Names whose family names differ are never the same, nor likely to be.
func TestOtherFamilyNames(t *testing.T) {
	families := []string{"Jansen", "Janssen", "de Vries", "de Boer", "Müller", "Möller", "Smith", "Smyth", "Nguyễn", "Yılmaz", "García", "Wójcik"}
	for _, a := range families {
		for _, b := range families {
			if a == b {
				continue
			}
			got := names.Compare(names.Name{Given: "Anna", Family: a}, names.Name{Given: "Anna", Family: b})
			assert.Less(t, got.Grade, names.Likely, "%s, %s", a, b)
		}
	}
}

// Whatever strangers send, it takes no time.
func TestHostileNames(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("a", 1<<20), strings.Repeat("ä̈", 1<<19), strings.Repeat("́", 1<<19), strings.Repeat("a ", 1<<19),
		strings.Repeat("\xff", 1<<20), strings.Repeat("\u0344", 1<<18), strings.Repeat("ﷺ", 1<<18), "\x00", "'", "<<<",
	} {
		n, begin := names.Name{Given: s, Family: s}, time.Now()
		names.Compare(n, n)
		names.Compare(n, names.Name{Given: "Anna", Family: "Jansen"})
		assert.Less(t, time.Since(begin), time.Second)
	}
}

func FuzzCompare(f *testing.F) {
	for _, p := range readPairs(f) {
		f.Add(p.a.Given, p.a.Family, p.b.Given, p.b.Family)
	}
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		x, y := names.Name{Given: a, Family: b}, names.Name{Given: c, Family: d}
		got := names.Compare(x, y)
		if back := names.Compare(y, x); back != got {
			t.Errorf("%v one way, %v the other", got, back)
		}
		if self := names.Compare(x, x); self.Grade != names.Same && self.Grade != names.Unknown {
			t.Errorf("it is not its own: %v", self)
		}
	})
}

func ExampleCompare() {
	account := names.Name{Given: "Joost", Family: "van den Berg"}
	document := names.Name{Given: "JOOST PIETER", Family: "VAN DEN BERG"}
	fmt.Println(names.Compare(account, document))

	// In Config.Decide:
	if names.Compare(account, names.Name{Given: "Anna", Family: "Jansen"}).Grade < names.Likely {
		fmt.Println(`return okidhttp.Refuse("name_mismatch")`)
	}
	// Output:
	// {likely fewer_given}
	// return okidhttp.Refuse("name_mismatch")
}

func TestGradeString(t *testing.T) {
	assert.Equal(t, "different", names.Result{}.Grade.String())
	assert.Equal(t, "invalid", names.Grade(9).String())
}
