package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// drainTime is how long requests and callbacks under way may take after the
// server was told to stop.
const drainTime = 20 * time.Second

// Serve serves the app and does its background work until ctx ends, and returns
// nil when everything under way is done.
func (a *App) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           a,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	select {
	case err := <-served:
		stop()
		return errors.Join(err, <-ran)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := srv.Shutdown(drain)
	select {
	case runErr := <-ran:
		return errors.Join(err, runErr)
	case <-drain.Done():
		return errors.Join(err, errors.New("background work did not end in time"))
	}
}
