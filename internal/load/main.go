//go:build unix

// Command load measures the kit over the loopback interface, beside handlers that
// do less:
//
//	go run ./internal/load
//	go run ./internal/load -only fresh,duplicate -rounds 3
//	go run ./internal/load -streams 10000
//
// It prints a table in Markdown. The cost is how many times as long a request
// takes as with the case that is named beside it: the median over the rounds, and
// the lowest and the highest.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/okidkit/okidkit/internal/load/cases"
	"github.com/okidkit/okidkit/internal/load/harness"
)

// idleTime is for how long nothing happens while idle streams are measured.
const idleTime = 20 * time.Second

func main() {
	all := cases.All()
	if harness.Serving(all) {
		return
	}
	var options harness.Options
	options.Flags(flag.CommandLine)
	streams := flag.Int("streams", 0, "open so many streams of the live status, instead of the cases")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // so that Redis is stopped
	defer stop()
	var err error
	if *streams > 0 {
		err = measureStreams(ctx, *streams, idleTime, os.Stdout)
	} else {
		err = harness.Run(ctx, all, options, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
