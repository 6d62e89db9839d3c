// Command rounds runs benchmarks in rounds and compares them within each round with
// the sub-benchmark "floor" beside them:
//
//	go run ./internal/load/rounds -bench 'Webhook|Status' ./okid ./okidhttp
//
// The -count of go test repeats one benchmark before it goes on to the next, so that
// what else the machine does meanwhile moves one side of a ratio alone. Here every
// benchmark runs once in every round. It prints a table in Markdown: medians over the
// rounds, and for the ratio the lowest and the highest, too.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/okidkit/okidkit/internal/load/median"
)

func main() {
	count := flag.Int("count", 9, "how many rounds there are")
	bench := flag.String("bench", ".", "which benchmarks run, as in go test")
	benchtime := flag.String("benchtime", "1s", "how long each runs in a round, as in go test")
	flag.Parse()
	if err := run(os.Stdout, *count, *bench, *benchtime, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "rounds:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, count int, bench, benchtime string, packages []string) error {
	dir, err := os.MkdirTemp("", "rounds")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs := make([]string, len(packages))
	for i, p := range packages {
		programs[i] = filepath.Join(dir, strconv.Itoa(i)+".test")
		build := exec.Command("go", "test", "-c", "-o", programs[i], p)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	var t table
	for range count {
		for i, program := range programs {
			cmd := exec.Command(program, "-test.run", "^$", "-test.bench", bench, "-test.benchtime", benchtime, "-test.timeout", "0")
			cmd.Dir = packages[i] // as go test does
			text, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", packages[i], err, text)
			}
			t.read(filepath.Base(packages[i]), text)
		}
	}
	return t.write(out)
}

// table is what every benchmark measured, round by round.
type table struct {
	names  []string
	values map[string]map[string][]float64 // by name and unit
}

var (
	errOdd = errors.New("the benchmark did not run in every round")
	line   = regexp.MustCompile(`^Benchmark(\S+?)(-\d+)?\s+\d+\s+(.*)$`)
)

func (t *table) read(folder string, text []byte) {
	if t.values == nil {
		t.values = map[string]map[string][]float64{}
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		name := folder + " " + m[1]
		if t.values[name] == nil {
			t.names = append(t.names, name)
			t.values[name] = map[string][]float64{}
		}
		pairs := strings.Fields(m[3])
		for i := 0; i+1 < len(pairs); i += 2 {
			if v, err := strconv.ParseFloat(pairs[i], 64); err == nil {
				t.values[name][pairs[i+1]] = append(t.values[name][pairs[i+1]], v)
			}
		}
	}
}

func (t *table) write(out io.Writer) error {
	fmt.Fprintln(out, "| benchmark | time | ratio to the floor | bytes | allocations | also |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- |")
	for _, name := range t.names {
		own := t.values[name]
		ratio := ""
		parent := name[:strings.LastIndexByte(name, '/')+1]
		if floor := t.values[parent+"floor"]["ns/op"]; floor != nil && name != parent+"floor" {
			ratios := make([]float64, len(own["ns/op"]))
			if len(floor) != len(ratios) {
				return fmt.Errorf("%s: %w", name, errOdd)
			}
			for i, v := range own["ns/op"] {
				ratios[i] = v / floor[i]
			}
			ratio = fmt.Sprintf("%.3f (%.3f-%.3f)", median.Of(ratios), slices.Min(ratios), slices.Max(ratios))
		}
		column := func(unit, format string) string {
			values := own[unit]
			if values == nil {
				return ""
			}
			return fmt.Sprintf(format, median.Of(values))
		}
		var also []string
		for _, unit := range slices.Sorted(maps.Keys(own)) {
			if !slices.Contains([]string{"ns/op", "B/op", "allocs/op"}, unit) {
				also = append(also, column(unit, "%.4g ")+unit)
			}
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", name, column("ns/op", "%.0f ns"), ratio,
			column("B/op", "%.0f"), column("allocs/op", "%.0f"), strings.Join(also, ", "))
	}
	return nil
}
