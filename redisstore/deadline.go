package redisstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
)

// keepsDeadlines reports whether the calls of client end with the deadline of
// their context. By default go-redis waits for its own timeouts.
func keepsDeadlines(client redis.UniversalClient) bool {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	}
	return false
}

// await calls f, which uses the client of s with ctx, and returns what f returns,
// or an error that wraps that of ctx. op names the method in errors.
func await[T any](ctx context.Context, s *Store, op string, f func() (T, error)) (T, error) {
	var value T
	err := ctx.Err()
	if err == nil && s.keepsDeadlines {
		value, err = f()
	} else if err == nil {
		value, err = detach(ctx, f)
	}
	if err == nil {
		return value, nil
	}
	reload(ctx, s.client)
	if ended := endOf(ctx, err); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	return value, fmt.Errorf("redisstore: %s: %w", op, err)
}

// reload has the client of a Cluster ask anew which server has which slot, in the
// background and a few times a second at most. By itself go-redis does so where a server
// redirects it, and once a minute: a master that is gone redirects nobody.
func reload(ctx context.Context, client redis.UniversalClient) {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// detach calls f in a goroutine, and leaves it alone when ctx ends first. The
// goroutine ends by the timeouts of go-redis. There are never more of them than
// connections in its pool, because to wait for one of these does end with ctx.
func detach[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// endOf is the error of ctx if it has ended. A socket with the deadline of ctx may
// time out a moment before ctx itself does.
func endOf(ctx context.Context, err error) error {
	deadline, ok := ctx.Deadline()
	if !ok || !errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	return ctx.Err()
}
