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

// What [Store.Check] finds while the store works all the same. Each wraps [store.ErrDegraded].
var (
	// ErrEviction: a server may throw records away when its memory is full, or does
	// not tell. Users may then have to verify themselves again. The remedy is
	// "maxmemory-policy noeviction" in the server's configuration.
	ErrEviction = fmt.Errorf("server may evict records: %w", store.ErrDegraded)
	// ErrNoSignals: the user of the client has no right to publish or to subscribe. Nobody
	// hears of changes by Watch, so that a live status, for instance, follows by polling
	// alone. The remedy is the channels with the store's prefix and the commands of Pub/Sub.
	ErrNoSignals = fmt.Errorf("server refuses signals: %w", store.ErrDegraded)
)

// Check tells whether the store can work, for a readiness probe. It asks the
// server, or every master of a Cluster, for its version and maxmemory-policy, and does
// in every shard what the store does, with every command that it needs: a record is put
// with a due time, read, found to be due, and deleted, and a change is published. It
// subscribes to one channel. Its records are kept apart from the others, so that no Due
// finds them.
//
// The error names all problems. It wraps [ErrEviction] or [ErrNoSignals] only if there
// is no problem but those, so that the store works and the host may take that for good
// enough.
func (s *Store) Check(ctx context.Context) error {
	_, err := await(ctx, s, "check", func() (struct{}, error) {
		errs := s.checkServers(ctx)
		if err := s.checkShards(ctx); err != nil {
			errs = append(errs, err)
		} else if err := s.checkSignals(ctx); err != nil {
			errs = append(errs, err)
		}
		if slices.ContainsFunc(errs, func(err error) bool { return !isMild(err) }) {
			for i, err := range errs {
				if isMild(err) {
					errs[i] = errors.New(err.Error())
				}
			}
		}
		return struct{}{}, errors.Join(errs...)
	})
	return err
}

func isMild(err error) bool { return errors.Is(err, ErrEviction) || errors.Is(err, ErrNoSignals) }

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

// rightsScript tries every command that the other scripts use, in ways that leave
// everything as it was if there is no such record, and returns those that fail and why. What Redis
// says of them does not always name the command.
//
//	KEYS: record, index
var rightsScript = redis.NewScript(`
local refused = {}
local function try(...)
	local reply = redis.pcall(...)
	if type(reply) == 'table' and reply.err then
		refused[#refused + 1] = (...)
		refused[#refused + 1] = reply.err
	end
end
try('TIME')
try('SET', KEYS[1], '', 'PX', 1)
try('GET', KEYS[1])
try('GETRANGE', KEYS[1], 0, 7)
try('EXISTS', KEYS[1])
try('DEL', KEYS[1])
try('ZADD', KEYS[2], 'XX', 0, '')
try('ZREM', KEYS[2], '')
try('ZSCORE', KEYS[2], '')
try('ZRANGEBYSCORE', KEYS[2], 0, 0)
return refused
`)

// signalScript publishes as the other scripts do, and fails if that does.
//
//	KEYS: record
var signalScript = redis.NewScript(`
local reply = redis.pcall('SPUBLISH', KEYS[1], '')
if type(reply) == 'table' and string.find(reply.err, 'nknown') then
	reply = redis.pcall('PUBLISH', KEYS[1], '')
end
return reply
`)

// checkShards does in each shard what the store does, so that each server has its
// turn. No two calls use the same record.
func (s *Store) checkShards(ctx context.Context) error {
	apart := &Store{client: s.client}
	for shard, index := range s.indexes {
		apart.indexes[shard] = index + "check" // in the same slot, and no record's name
	}
	key := "check " + rand.Text()
	w := store.Write{Value: []byte(key), Version: 1, TTL: time.Minute, DueIn: time.Millisecond}
	var entries [shards][]dueEntry
	steps := []struct {
		op   string
		call func(shard int) call
		read func(shard int, reply any) error
	}{
		{"put", func(shard int) call {
			c := apart.put(shard, key, w)
			c.args[3] = -1000 // due a second ago, so that nobody has to wait
			return c
		}, func(_ int, reply any) error { return written(reply) }},
		{"get", func(shard int) call { return apart.get(shard, key) }, func(_ int, reply any) error {
			rec, err := record(reply)
			if err == nil && string(rec.Value) != key {
				err = errors.New("value is not the one that was put")
			}
			return err
		}},
		{"due", func(shard int) call { return apart.due(shard, 1000, 0) }, func(shard int, reply any) (err error) {
			entries[shard], _, err = dueEntries(reply, nil)
			if err == nil && !slices.ContainsFunc(entries[shard], func(e dueEntry) bool { return e.key == key }) {
				err = errors.New("record is not due")
			}
			return err
		}},
		// Also what a check left behind that was given up.
		{"sweep", func(shard int) call { return apart.sweep(shard, entries[shard]) }, func(shard int, reply any) error {
			looks, err := looksOf(reply, nil)
			i := slices.IndexFunc(entries[shard], func(e dueEntry) bool { return e.key == key })
			if err == nil && (len(looks) <= i || looks[i] != isThere) {
				err = errors.New("record is not there")
			}
			return err
		}},
		{"delete", func(shard int) call { return apart.delete(shard, key) }, func(int, any) error { return nil }},
		{"due after delete", func(shard int) call { return apart.due(shard, 1000, 0) }, func(shard int, reply any) error {
			left, _, err := dueEntries(reply, nil)
			if err == nil && slices.ContainsFunc(left, func(e dueEntry) bool { return e.key == key }) {
				err = errors.New("record is due though deleted")
			}
			return err
		}},
	}
	var failed shardErrors
	pipe := s.client.Pipeline()
	var rights [shards]*redis.Cmd
	for shard := range shards { // EVAL is needed wherever a server has forgotten a script
		rights[shard] = rightsScript.Eval(ctx, pipe, []string{s.name(shard, key), s.indexes[shard]})
	}
	_, _ = pipe.Exec(ctx)
	for shard, cmd := range rights {
		refused, err := cmd.StringSlice()
		if err != nil {
			failed.add(shard, err)
		}
		for ; len(refused) >= 2; refused = refused[2:] {
			failed.add(shard, fmt.Errorf("%s: %s", refused[0], refused[1]))
		}
	}
	for _, step := range steps {
		if len(failed) > 0 {
			break // the other steps need this one
		}
		var calls []call
		for shard := range shards {
			calls = append(calls, step.call(shard))
		}
		for shard, cmd := range s.runAll(ctx, calls) {
			reply, err := cmd.Result()
			if err == nil {
				err = step.read(shard, reply)
			}
			if err != nil {
				failed.add(shard, fmt.Errorf("%s: %w", step.op, err))
			}
		}
	}
	return failed.join()
}

// checkSignals publishes in each shard, and subscribes in one.
func (s *Store) checkSignals(ctx context.Context) error {
	key := "check " + rand.Text()
	var calls []call
	for shard := range shards {
		calls = append(calls, call{signalScript, []string{s.name(shard, key)}, nil})
	}
	var failed shardErrors
	for shard, cmd := range s.runAll(ctx, calls) {
		if err := cmd.Err(); err != nil {
			failed.add(shard, fmt.Errorf("publish: %w", err))
		}
	}
	for _, subscribe := range []func(context.Context, ...string) *redis.PubSub{s.client.SSubscribe, s.client.Subscribe} {
		pubsub := subscribe(ctx, s.name(0, key))
		_, err := pubsub.ReceiveTimeout(ctx, commandLimit)
		_ = pubsub.Close()
		if err == nil {
			break
		}
		if !redis.HasErrorPrefix(err, "unknown command") {
			failed.add(0, fmt.Errorf("subscribe: %w", err))
			break
		}
	}
	if err := failed.join(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSignals, err)
	}
	return nil
}
