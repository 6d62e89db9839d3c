//go:build unix

// Package harness measures HTTP handlers over the loopback interface. Each case is
// served by a process of its own, so that none inherits the heap of another, and
// loaded by this one over 32 connections that stay open.
//
// The cases are measured one after another in every round, in an order that is
// shuffled with a fixed seed, and compared within the round: what else the machine
// does meanwhile moves both sides of a ratio.
package harness

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/okidkit/okidkit/internal/load/median"
)

// Case is a handler and the requests that it is loaded with.
type Case struct {
	Name string
	// Base is the case with which this one is compared; empty for one that is
	// compared with nothing.
	Base string
	// Redis says that the case needs a Redis server. It is empty at the start.
	Redis bool
	// Once says that a request may be sent only once. The run then ends with the
	// last one, if there is still time.
	Once bool
	// Handler runs in the process that serves. redis is the address of the Redis
	// server, if the case needs one.
	Handler func(ctx context.Context, redis string) (http.Handler, error)
	// Prepare runs in the process that loads: it brings the server into the state
	// that is to be measured, and returns at most n requests, made by [Request].
	// Each must be answered with 200, or with 201.
	Prepare func(s *Server, n int) ([][]byte, error)
}

// perSecond is how many requests are prepared for each second: more than one
// machine answers.
const perSecond = 20_000

// envCase names the case that a process is to serve, envRedis where its Redis
// server is, and envProfile where its profile is to go.
const (
	envCase    = "OKIDKIT_LOAD_CASE"
	envRedis   = "OKIDKIT_LOAD_REDIS"
	envProfile = "OKIDKIT_LOAD_PROFILE"
)

// Serving serves a case until standard input ends, and reports true, if this
// process was started for that. Call it before anything else.
func Serving(cases []Case) bool {
	name := os.Getenv(envCase)
	if name == "" {
		return false
	}
	i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })
	if i < 0 {
		fmt.Fprintln(os.Stderr, "load: there is no case", name)
		os.Exit(1)
	}
	if err := serve(cases[i], os.Getenv(envRedis), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	return true
}

// Options say how much is measured.
type Options struct {
	Rounds  int
	Seconds float64 // for each case in each round
	Only    string  // names of cases, comma separated; empty: all
	Profile string  // directory for a CPU profile of each case's server; empty: none
}

// Flags defines the flags of Options.
func (o *Options) Flags(f *flag.FlagSet) {
	f.IntVar(&o.Rounds, "rounds", 9, "how often each case is measured")
	f.Float64Var(&o.Seconds, "seconds", 1.5, "how long each case is measured in a round")
	f.StringVar(&o.Profile, "profile", "", "a directory for CPU profiles of the servers, of the last round (default none)")
	f.StringVar(&o.Only, "only", "", "the cases to be measured, comma separated, beside those they are compared with (default all)")
}

// Main measures the cases as the flags of the command line say, and prints the
// table.
func Main(cases []Case) {
	if Serving(cases) {
		return
	}
	var o Options
	o.Flags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // so that Redis is stopped
	defer stop()
	if err := Run(ctx, cases, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// Run measures the cases and writes a table to out. The program must be one that
// calls Serving with the same cases.
func Run(ctx context.Context, cases []Case, o Options, out io.Writer) error {
	cases, err := chosen(cases, o.Only)
	if err != nil {
		return err
	}
	redis, stop, err := StartRedis(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		fmt.Fprintln(os.Stderr, "load: without the cases that need redis-server, which is not installed")
		cases = slices.DeleteFunc(cases, func(c Case) bool { return c.Redis })
	} else if err != nil {
		return err
	} else {
		defer stop()
	}

	results := make([][]Result, o.Rounds)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range results {
		results[round] = make([]Result, len(cases))
		for _, i := range random.Perm(len(cases)) {
			r, err := measure(ctx, cases[i], redis, o)
			if err != nil {
				return fmt.Errorf("%s: %w", cases[i].Name, err)
			}
			results[round][i] = r
			fmt.Fprintf(os.Stderr, "round %d of %d: %-16s %8.0f requests/s\n", round+1, o.Rounds, cases[i].Name, r.Rate)
		}
	}
	return report(out, cases, results)
}

// chosen are the cases with these names, and those with which they are compared.
func chosen(cases []Case, only string) ([]Case, error) {
	if only == "" {
		return slices.Clone(cases), nil
	}
	wanted := map[string]bool{}
	var want func(name string) error
	want = func(name string) error {
		i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no case %q", name)
		}
		wanted[name] = true
		if base := cases[i].Base; base != "" {
			return want(base)
		}
		return nil
	}
	for name := range strings.SplitSeq(only, ",") {
		if err := want(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(cases), func(c Case) bool { return !wanted[c.Name] }), nil
}

// measure is one case in one round.
func measure(ctx context.Context, c Case, redis string, o Options) (Result, error) {
	s, err := start(ctx, c, redis, o.Profile)
	if err != nil {
		return Result{}, err
	}
	defer s.Stop()
	requests, err := c.Prepare(s, max(connections, int(perSecond*o.Seconds)))
	if err != nil {
		return Result{}, err
	}
	before, err := s.Usage()
	if err != nil {
		return Result{}, err
	}
	r, err := s.load(requests, c.Once, time.Duration(o.Seconds*float64(time.Second)))
	if err != nil {
		return Result{}, err
	}
	after, err := s.Usage()
	if err != nil {
		return Result{}, err
	}
	n := float64(r.Requests)
	r.Bytes = float64(after.Bytes-before.Bytes) / n
	r.Allocs = float64(after.Mallocs-before.Mallocs) / n
	r.CPU = time.Duration(float64(after.CPU-before.CPU) / n)
	return r, nil
}

// Result is what one case did in one round.
type Result struct {
	Requests      int
	Rate          float64       // requests per second
	P50, P99      time.Duration // from sending a request to having its answer
	CPU           time.Duration // of the server, for each request, the kernel's part included
	Bytes, Allocs float64       // of the server, for each request
}

// report writes medians over the rounds as a Markdown table.
func report(out io.Writer, cases []Case, rounds [][]Result) error {
	var b strings.Builder
	b.WriteString("| case | requests/s | cost | compared with | p50 | p99 | server CPU | bytes | allocations |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for i, c := range cases {
		over := func(of func(Result) float64) float64 {
			values := make([]float64, len(rounds))
			for r := range rounds {
				values[r] = of(rounds[r][i])
			}
			return median.Of(values)
		}
		micros := func(of func(Result) time.Duration) string {
			return fmt.Sprintf("%.0f µs", over(func(r Result) float64 { return float64(of(r)) / 1e3 }))
		}
		cost := ""
		if base := slices.IndexFunc(cases, func(b Case) bool { return b.Name == c.Base }); base >= 0 {
			ratios := make([]float64, len(rounds))
			for r := range rounds {
				ratios[r] = rounds[r][base].Rate / rounds[r][i].Rate
			}
			cost = fmt.Sprintf("%.2f (%.2f-%.2f)", median.Of(ratios), slices.Min(ratios), slices.Max(ratios))
		}
		fmt.Fprintf(&b, "| %s | %.0f | %s | %s | %s | %s | %s | %.0f | %.1f |\n", c.Name,
			over(func(r Result) float64 { return r.Rate }), cost, c.Base,
			micros(func(r Result) time.Duration { return r.P50 }),
			micros(func(r Result) time.Duration { return r.P99 }),
			micros(func(r Result) time.Duration { return r.CPU }),
			over(func(r Result) float64 { return r.Bytes }),
			over(func(r Result) float64 { return r.Allocs }))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// Usage is what a server has used so far.
type Usage struct {
	Mallocs, Bytes uint64        // allocated since the start
	Held           uint64        // bytes of heap and stacks after a collection
	Sys            uint64        // bytes that the Go runtime has from the system
	CPU            time.Duration // of all threads, the kernel's part included
}
