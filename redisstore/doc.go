// Package redisstore keeps records in Redis, for an app that runs as several
// processes. It works with a single server, with Sentinel and with Redis
// Cluster, from Redis 6.2 on, and with Valkey.
//
//	client := redis.NewClient(&redis.Options{
//		Addr:                  "localhost:6379",
//		ContextTimeoutEnabled: true,
//		ReadTimeout:           time.Second,
//	})
//	defer client.Close()
//
//	s, err := redisstore.New(client)
//
// # The client
//
// The client stays the host's: the store neither changes nor closes it. It
// should be set up like this:
//
//   - ContextTimeoutEnabled: true. go-redis then keeps the deadlines of contexts.
//     Without it the store keeps them itself, with a goroutine for each call; that
//     costs about twice as long, and a call that was given up
//     holds its connection until ReadTimeout.
//   - ReadTimeout and WriteTimeout: about a second, more than the server ever
//     takes and less than the 5 seconds of go-redis. Never -1: a connection to a
//     server that hangs would never come back.
//   - MaxRetries: as it is, 3. To repeat a Put is safe, because it carries the
//     version that it writes. A failover is bridged by the retries.
//   - PoolSize: as many as there are calls at once. The default, 10 for each CPU,
//     suits most apps. More callers than that wait for each other.
//   - ReadOnly, RouteByLatency and RouteRandomly of Cluster have no effect on the
//     store: it reads from masters only, as a replica may be behind.
//
// A [redis.Ring] is refused. It moves keys to another server while theirs is
// away, and so loses and revives records.
//
// # The server
//
// The server must not throw records away: maxmemory-policy noeviction. [Store.Check]
// tells whether it does, among other things. A user of Redis ACLs needs the keys
// with the store's prefix, for Watch the channels with that prefix, and the commands
// that docs/operations.md lists, with what resharding and failover need.
//
// # What is kept
//
// Records are spread over 16 shards, a number that is part of the format and does
// not change. With the default prefix, shard 3 has these keys:
//
//	okidkit:{3}:KEY  a string: 8 bytes of version, big endian, then the value
//	okidkit:{3}      a sorted set: the keys with a due time, by Unix milliseconds
//
// Each change is published, without content, to the channel okidkit:{3}:KEY: with
// SPUBLISH, or before Redis 7 with PUBLISH.
//
// The braces put a shard's keys into one slot of a Cluster, so that one script
// can change a record and its due time together. Each method runs scripts by
// their digest and is one round trip, also in a Cluster; Due asks all shards in
// one pipeline, or one for each master. Only where a server does not know a
// script, as after a restart, or where Due does not see the record of an entry, does
// it take one more.
//
// The script of Due finds the names of records in the sorted set, and cannot
// declare them beforehand. They are always in the slot of the one key that it
// does declare, which is what Redis and Valkey ask for. Servers that refuse
// undeclared keys altogether cannot run it.
package redisstore
