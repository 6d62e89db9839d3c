package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/store"
)

// All scripts run with EVALSHA, also the one that only reads: go-redis may send
// EVALSHA_RO to a replica, which may be behind.

// getScript returns the server's time in seconds, the microseconds beyond them, and
// the record or nil.
//
//	KEYS: record
var getScript = redis.NewScript(`
local reply = redis.call('TIME')
reply[3] = redis.call('GET', KEYS[1])
return reply
`)

// publish tells the watchers of a record. SPUBLISH keeps it to one shard of a Cluster,
// where PUBLISH goes to every server; before version 7 there is only the latter. The
// record is written by then, so nothing here may fail the script: a user without
// the right to publish still writes.
const publish = `
if type(redis.pcall('SPUBLISH', KEYS[1], '')) ~= 'number' then
	redis.pcall('PUBLISH', KEYS[1], '')
end
`

// putScript returns 1, or 0 if the record is at another version than the one to
// replace. Versions are compared as strings, because the numbers of Lua do not
// hold 64 bits.
//
// SET comes before the change of the index, because a server without free memory
// refuses only a script's first write. The due time is rounded up to the next
// millisecond of the clock, because Due rounds the present down.
//
//	KEYS: record, index
//	ARGV: the version to replace or "", version and value, TTL, due in or 0, key
var putScript = redis.NewScript(`
local version = redis.call('GETRANGE', KEYS[1], 0, 7)
if version == string.sub(ARGV[2], 1, 8) then
	return 1
end
if version ~= ARGV[1] then
	return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[4] == '0' then
	redis.call('ZREM', KEYS[2], ARGV[5])
else
	local now = redis.call('TIME')
	local due = now[1] * 1000 + math.ceil(now[2] / 1000) + ARGV[4]
	redis.call('ZADD', KEYS[2], due, ARGV[5])
end
` + publish + `
return 1
`)

// deleteScript deletes a record and its due time.
//
//	KEYS: record, index
//	ARGV: key
var deleteScript = redis.NewScript(`
local deleted = redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if deleted == 1 then` + publish + `end
return 1
`)

// dueScript returns a flag and then, by turns, the keys that are due and their due
// times. It takes out of the index the keys that have no record any more, or
// something that is none. The flag is 1 if they were so many that the script
// stopped there, so as not to keep the server from other work, and has to run again.
//
//	KEYS: index
//	ARGV: limit
var dueScript = redis.NewScript(`
local index, missing = KEYS[1], tonumber(ARGV[1])
local now = redis.call('TIME')
local untilNow = now[1] * 1000 + math.floor(now[2] / 1000)
local reply, found, dropped = {'0'}, 0, 0
while missing > 0 do
	local want = math.min(missing, 1000)
	local page = redis.call('ZRANGEBYSCORE', index, '-inf', untilNow, 'WITHSCORES', 'LIMIT', found, want)
	for i = 1, #page, 2 do
		local length = redis.pcall('STRLEN', index .. ':' .. page[i])
		if type(length) == 'number' and length >= 8 then
			reply[#reply + 1] = page[i]
			reply[#reply + 1] = page[i + 1]
			found, missing = found + 1, missing - 1
		else
			redis.call('ZREM', index, page[i])
			dropped = dropped + 1
		end
	end
	if #page < 2 * want then
		break
	end
	if dropped >= 1000 then
		return {'1'}
	end
end
return reply
`)

// call is one run of a script.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
}

func (s *Store) get(shard int, key string) call {
	return call{getScript, []string{s.name(shard, key)}, nil}
}

func (s *Store) put(shard int, key string, w store.Write) call {
	var replaces []byte
	if w.Replaces != 0 {
		replaces = binary.BigEndian.AppendUint64(nil, w.Replaces)
	}
	// A copy, and not only to join the two: go-redis may still be sending it when
	// the caller has given up and uses w.Value for something else.
	value := make([]byte, 0, versionLen+len(w.Value))
	value = binary.BigEndian.AppendUint64(value, w.Version)
	value = append(value, w.Value...)

	ttl, dueIn := millis(w.TTL), millis(w.DueIn)
	if dueIn >= ttl {
		dueIn = 0 // never while the record lives
	}
	return call{putScript, []string{s.name(shard, key), s.indexes[shard]}, []any{replaces, value, ttl, dueIn, key}}
}

func (s *Store) delete(shard int, key string) call {
	return call{deleteScript, []string{s.name(shard, key), s.indexes[shard]}, []any{key}}
}

func (s *Store) due(shard, limit int) call {
	return call{dueScript, []string{s.indexes[shard]}, []any{limit}}
}

// millis rounds up to milliseconds, as long as a Duration can hold them.
func millis(d time.Duration) int64 {
	const up = time.Millisecond - 1
	return (min(d, math.MaxInt64-up) + up).Milliseconds()
}

// record reads what getScript returns.
func record(reply any) (store.Record, error) {
	fields, _ := reply.([]any)
	if len(fields) != 3 {
		return store.Record{}, fmt.Errorf("redisstore: reply of %d fields", len(fields))
	}
	seconds, _ := fields[0].(string)
	micros, _ := fields[1].(string)
	sec, err1 := strconv.ParseInt(seconds, 10, 64)
	usec, err2 := strconv.ParseInt(micros, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return store.Record{}, fmt.Errorf("redisstore: time of the server: %w", err)
	}
	rec := store.Record{Now: time.Unix(sec, usec*1000)}
	if fields[2] == nil {
		return rec, store.ErrNotFound
	}
	value, _ := fields[2].(string)
	if len(value) < versionLen {
		return store.Record{}, fmt.Errorf("redisstore: %d bytes are no record", len(value))
	}
	b := []byte(value)
	rec.Version, rec.Value = binary.BigEndian.Uint64(b), b[versionLen:]
	return rec, nil
}

// written reads what putScript returns.
func written(reply any) error {
	switch reply {
	case int64(1):
		return nil
	case int64(0):
		return store.ErrConflict
	}
	return fmt.Errorf("redisstore: reply %T is neither 0 nor 1", reply)
}

// dueKey is a key and its due time in Unix milliseconds.
type dueKey struct {
	key string
	at  float64
}

// dueKeys reads what dueScript returns. Unless done, it has to run again.
func dueKeys(reply []string) (keys []dueKey, done bool, err error) {
	if len(reply)%2 != 1 {
		return nil, false, fmt.Errorf("reply of %d fields", len(reply))
	}
	for pairs := reply[1:]; len(pairs) > 0; pairs = pairs[2:] {
		at, err := strconv.ParseFloat(pairs[1], 64)
		if err != nil {
			return nil, false, fmt.Errorf("due time: %w", err)
		}
		keys = append(keys, dueKey{pairs[0], at})
	}
	return keys, reply[0] == "0", nil
}

// run makes one call. op names the method in errors.
func (s *Store) run(ctx context.Context, op string, c call) (any, error) {
	return await(ctx, s, op, func() (any, error) {
		return c.script.Run(ctx, s.client, c.keys, c.args...).Result()
	})
}

// runAll makes all calls in one pipeline and returns as many commands, each with
// its own reply or error. Unlike run it may outlast ctx.
func (s *Store) runAll(ctx context.Context, calls []call) []*redis.Cmd {
	cmds := make([]*redis.Cmd, len(calls))
	pipe := s.client.Pipeline()
	for i, c := range calls {
		cmds[i] = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx)
	for i, c := range calls {
		if redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
			cmds[i] = c.script.Eval(ctx, pipe, c.keys, c.args...)
		}
	}
	_, _ = pipe.Exec(ctx) // does nothing when no server lacked the script
	return cmds
}
