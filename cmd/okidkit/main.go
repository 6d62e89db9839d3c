// Command okidkit helps those who build, test and look after an app with okidkit.
//
//	okidkit fake     a simulated okID and GetID, and the settings with which an app talks to them
//	okidkit trigger  sends signed webhooks, as okID does
//	okidkit doctor   finds out how a captured webhook is signed, or why it is not accepted
//	okidkit key      prints a key
//
// "okidkit COMMAND -h" tells more. The exit status is 0 for success, 1 for what did not succeed,
// and 2 for arguments that mean nothing.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], tool{in: os.Stdin, out: os.Stdout, errs: os.Stderr, env: os.Environ, now: time.Now}))
}

// tool is what the commands have of the world.
type tool struct {
	in        io.Reader
	out, errs io.Writer
	env       func() []string
	now       func() time.Time
}

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// command is one of the commands. It gets its arguments, and returns the exit status.
type command struct {
	name, does string
	run        func(t tool, ctx context.Context, args []string) int
}

func commands() []command {
	return []command{
		{"fake", "runs a simulated okID and GetID, and prints the settings for an app", tool.fake},
		{"trigger", "sends signed webhooks, as okID does", tool.trigger},
		{"doctor", "says how a captured webhook is signed, or why it is not accepted", tool.doctor},
		{"key", "prints a key of 32 random bytes in hex", tool.key},
	}
}

func run(ctx context.Context, args []string, t tool) int {
	if len(args) > 0 {
		for _, c := range commands() {
			if c.name == args[0] {
				return c.run(t, ctx, args[1:])
			}
		}
	}
	usage := t.errs
	status := exitUsage
	if len(args) > 0 && (args[0] == "help" || args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		usage, status = t.out, exitOK
	} else if len(args) > 0 {
		fmt.Fprintf(t.errs, "okidkit: there is no command %q\n", args[0])
		return exitUsage
	}
	fmt.Fprintln(usage, "usage: okidkit COMMAND [FLAGS]")
	for _, c := range commands() {
		fmt.Fprintf(usage, "  %-8s %s\n", c.name, c.does)
	}
	return status
}

// flags are the flags of a command, and what its help says.
type flags struct {
	*flag.FlagSet
	synopsis, example string
}

func newFlags(name, synopsis, example string) flags {
	f := flags{flag.NewFlagSet(name, flag.ContinueOnError), synopsis, example}
	f.SetOutput(io.Discard) // a fault is one line, which parse prints
	f.Usage = func() {}
	return f
}

// parse parses the arguments. If ok is false, the command ends with the status.
func (t tool) parse(f flags, args []string) (status int, ok bool) {
	err := f.Parse(args)
	switch {
	case err == nil:
		return exitOK, true
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(t.out, "usage: okidkit %s %s\n\n", f.Name(), f.synopsis)
		f.SetOutput(t.out)
		f.PrintDefaults()
		fmt.Fprintf(t.out, "\nfor example:\n  %s\n", f.example)
		return exitOK, false
	}
	return t.fault(f.Name(), err), false
}

// fault says in one line why the arguments mean nothing.
func (t tool) fault(name string, err error) int {
	fmt.Fprintf(t.errs, "okidkit %s: %v\n", name, err)
	return exitUsage
}

// failed says in one line why a command did not succeed.
func (t tool) failed(name string, err error) int {
	t.fault(name, err)
	return exitFailed
}

// key prints a key for okidhttp.Config.Keys.
func (t tool) key(_ context.Context, args []string) int {
	f := newFlags("key", "", "export OKID_KEYS=$(okidkit key)")
	if status, ok := t.parse(f, args); !ok {
		return status
	}
	if f.NArg() > 0 {
		return t.fault("key", fmt.Errorf("takes no %q", f.Arg(0)))
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, says its documentation
	fmt.Fprintf(t.out, "%x\n", key)
	return exitOK
}
