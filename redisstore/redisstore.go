package redisstore

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/store"
)

var (
	_ store.Store    = (*Store)(nil)
	_ store.Notifier = (*Store)(nil)
)

const (
	// shards must never change: the records of before would not be found again.
	shards = 16
	// versionLen is the length of the version in front of each value.
	versionLen = 8
	// These visits take a week. A Cluster can say that a record is not there while
	// it is: a slot was half moved, and the server that redirects to where the rest is
	// was told to stop, or was replaced by its replica, which nobody had told. When
	// the slot is repaired, the record is in sight again.
	clusterVisits = 16
	firstPause    = 10 * time.Second
)

// Store is a [store.Store] and [store.Notifier] in Redis. Make one with [New]. It is safe for
// concurrent use.
//
// A method returns at the deadline of its context. When the context is cancelled
// before, a method of a store whose client has ContextTimeoutEnabled goes on until
// the answer, the deadline or the client's ReadTimeout; any other returns at once.
// What go-redis has begun by then ends in the background, after its ReadTimeout at
// the latest, and its pool bounds how many such calls there are. A Put or Delete
// that was given up may still take place, even later than one that follows it.
type Store struct {
	client  redis.UniversalClient
	prefix  string
	indexes [shards]string // the names of the sorted sets

	keepsDeadlines bool // whether the client does

	// How often sweepScript visits an entry without a record, before it goes, and the
	// first pause.
	visits int
	pause  time.Duration

	pingEvery time.Duration // for the connections of listeners
	mu        sync.Mutex
	listeners [shards]*listener // nil where nobody watches; a single server has only the first
}

// Option is a setting of [New].
type Option func(*Store)

// WithPrefix sets what the store's keys in Redis start with; the default is
// "okidkit:". Stores of different prefixes have nothing in common.
//
// Environments that share a Redis, such as staging and production, must each have a
// prefix of their own, or a database: with the same prefix, whoever is verified in one is verified in
// the other. Different Config.Keys of package okidhttp do not keep them apart, because that
// somebody is verified is known by the record alone and needs no key.
//
// The prefix may be empty, and must not contain braces, which would change where a
// Cluster keeps the keys.
func WithPrefix(prefix string) Option {
	return func(s *Store) { s.prefix = prefix }
}

// New returns a store that uses client, which is the caller's to close after the
// last use of the store. The error names every problem with the arguments. New
// does not talk to Redis; [Store.Check] does.
func New(client redis.UniversalClient, opts ...Option) (*Store, error) {
	s := &Store{client: client, prefix: "okidkit:", pingEvery: 5 * time.Second}
	for _, opt := range opts {
		opt(s)
	}
	var errs []error
	switch client.(type) {
	case nil:
		errs = append(errs, errors.New("redisstore: client is nil"))
	case *redis.Ring:
		errs = append(errs, errors.New("redisstore: a Ring moves keys while a server is away; use a Cluster"))
	}
	if strings.ContainsAny(s.prefix, "{}") {
		errs = append(errs, fmt.Errorf("redisstore: prefix %q contains a brace", s.prefix))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for shard := range s.indexes {
		s.indexes[shard] = s.prefix + "{" + strconv.Itoa(shard) + "}"
	}
	s.keepsDeadlines = keepsDeadlines(client)
	if _, single := client.(*redis.Client); !single {
		s.visits, s.pause = clusterVisits, firstPause
	}
	return s, nil
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Record{}, err
	}
	reply, err := s.run(ctx, "get", s.get(shardOf(key), key))
	if err != nil {
		return store.Record{}, err
	}
	return record(reply)
}

// Put implements [store.Store].
func (s *Store) Put(ctx context.Context, key string, w store.Write) error {
	if err := w.Check(key); err != nil {
		return err
	}
	reply, err := s.run(ctx, "put", s.put(shardOf(key), key, w))
	if err != nil {
		return err
	}
	return written(reply)
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	_, err := s.run(ctx, "delete", s.delete(shardOf(key), key))
	return err
}

// shardOf says which shard has the record at key.
func shardOf(key string) int {
	return int(crc32.ChecksumIEEE([]byte(key)) % shards)
}

// name is the name in Redis of the record at key.
func (s *Store) name(shard int, key string) string { return s.indexes[shard] + ":" + key }
