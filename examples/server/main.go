// Command server is the reference app: a log-in, a members' page, and the kit in
// between, configured by environment variables alone. README.md beside it lists
// them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/okidkit/okidkit/examples/internal/demo"
	"github.com/okidkit/okidkit/okidhttp"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: server\n\nIs configured by its environment alone: see the README beside it.")
	}
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv, nil, os.Stdout, log); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. adjust is that of demo.Config.
func run(ctx context.Context, getenv func(string) string, adjust func(*okidhttp.Config), out *os.File, log *slog.Logger) error {
	s, settingsErr := readSettings(getenv, log)
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return errors.Join(settingsErr, err)
	}
	defer l.Close()
	if s.app.PublicURL == "" {
		s.app.PublicURL = "http://" + l.Addr().String()
	}
	s.app.Out, s.app.Log, s.app.Adjust = out, log, adjust
	// The app has complaints of its own, and whoever mends the settings wants to
	// hear all at once.
	app, err := demo.New(s.app)
	if err := errors.Join(settingsErr, err); err != nil {
		return err
	}
	if s.database != nil {
		defer s.database.Close()
		if err := s.database.migrate(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "listening on http://%s\n", l.Addr())
	return app.Serve(ctx, l)
}
