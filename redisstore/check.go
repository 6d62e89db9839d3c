package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/store"
)

// ErrEviction: a server may throw records away when its memory is full, or does
// not tell. Users may then have to verify themselves again. The remedy is
// "maxmemory-policy noeviction" in the server's configuration.
var ErrEviction = errors.New("server may evict records")

// Check tells whether the store can work, for a readiness probe. It asks the
// server, or every master of a Cluster, for its version and maxmemory-policy, and
// writes, reads and deletes a record in every shard.
//
// The error names all problems. It wraps [ErrEviction] only if there is no other
// problem, so that the store works and the host may take that for good enough.
func (s *Store) Check(ctx context.Context) error {
	_, err := await(ctx, s, "check", func() (struct{}, error) {
		errs := append(s.checkServers(ctx), s.checkShards(ctx)...)
		if slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, ErrEviction) }) {
			for i, err := range errs {
				if errors.Is(err, ErrEviction) {
					errs[i] = errors.New(err.Error())
				}
			}
		}
		return struct{}{}, errors.Join(errs...)
	})
	return err
}

// clusterClient is a client of a Cluster.
type clusterClient interface {
	ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
}

func (s *Store) checkServers(ctx context.Context) []error {
	cluster, ok := s.client.(clusterClient)
	if !ok {
		return checkServer(ctx, s.client)
	}
	var mu sync.Mutex // ForEachMaster asks them all at once
	var errs []error
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		problems := checkServer(ctx, master)
		mu.Lock()
		defer mu.Unlock()
		for _, err := range problems {
			errs = append(errs, fmt.Errorf("%s: %w", master.Options().Addr, err))
		}
		return nil
	})
	if err != nil {
		errs = append(errs, err)
	}
	return errs
}

func checkServer(ctx context.Context, server redis.Cmdable) []error {
	info, err := server.Info(ctx).Result()
	if err != nil {
		return []error{fmt.Errorf("info: %w", err)}
	}
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
	}
	var errs []error
	if err := checkVersion(fields["redis_version"]); err != nil {
		errs = append(errs, err)
	}
	policy := fields["maxmemory_policy"]
	if policy == "" {
		// Managed servers may leave it out there, or else forbid CONFIG.
		config, _ := server.ConfigGet(ctx, "maxmemory-policy").Result()
		policy = config["maxmemory-policy"]
	}
	if policy != "noeviction" {
		errs = append(errs, fmt.Errorf("%w: maxmemory-policy is %q, want noeviction", ErrEviction, policy))
	}
	return errs
}

// checkVersion knows Valkey by the version of Redis that it says it is.
func checkVersion(version string) error {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("server tells no version: %q", version)
	}
	if major < 6 || major == 6 && minor < 2 {
		return fmt.Errorf("server has version %s, want 6.2 or later", version)
	}
	return nil
}

// checkShards uses a record in each shard, so that each server has its turn. No
// two calls use the same record.
func (s *Store) checkShards(ctx context.Context) []error {
	key := "check " + rand.Text()
	w := store.Write{Value: []byte(key), Version: 1, TTL: time.Minute}
	steps := []struct {
		op   string
		call func(shard int) call
		read func(reply any) error
	}{
		{"put", func(shard int) call { return s.put(shard, key, w) }, written},
		{"get", func(shard int) call { return s.get(shard, key) }, func(reply any) error {
			rec, err := record(reply)
			if err == nil && string(rec.Value) != key {
				err = errors.New("value is not the one that was put")
			}
			return err
		}},
		{"delete", func(shard int) call { return s.delete(shard, key) }, func(any) error { return nil }},
		{"due", func(shard int) call { return s.due(shard, 1) }, func(any) error { return nil }},
	}
	var errs []error
	for _, step := range steps {
		var calls []call
		for shard := range shards {
			calls = append(calls, step.call(shard))
		}
		for _, cmd := range s.runAll(ctx, calls) {
			reply, err := cmd.Result()
			if err == nil {
				err = step.read(reply)
			}
			if err == nil {
				continue
			}
			err = fmt.Errorf("%s: %w", step.op, err)
			// The shards of one server fail alike.
			if !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
				errs = append(errs, err)
			}
		}
		if len(errs) > 0 {
			break // the other steps need this one
		}
	}
	return errs
}
