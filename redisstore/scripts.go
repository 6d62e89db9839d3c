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
// A repeat knows by the version that all is done, so nothing may fail once SET has
// written it. What may be refused is therefore tried before, on a member that is no
// key and not there: ZADD XX and ZREM of it change nothing, but fail without the
// right to them and where the index is something else. ZADD goes first because a server without free
// memory refuses only a script's first write, and does not refuse ZREM.
//
// The due time is rounded up to the next millisecond of the clock, because Due
// rounds the present down.
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
local now = redis.call('TIME')
redis.call('ZADD', KEYS[2], 'XX', 0, '')
redis.call('ZREM', KEYS[2], '')
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[4] == '0' then
	redis.call('ZREM', KEYS[2], ARGV[5])
else
	local due = now[1] * 1000 + math.ceil(now[2] / 1000) + ARGV[4]
	redis.call('ZADD', KEYS[2], due, ARGV[5])
end
` + publish + `
return 1
`)

// deleteScript deletes a record and its due time: both or, as in putScript, neither.
//
//	KEYS: record, index
//	ARGV: key
var deleteScript = redis.NewScript(`
redis.call('ZREM', KEYS[2], '')
local deleted = redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if deleted == 1 then` + publish + `end
return 1
`)

// dueScript returns a flag and then, by turns, the keys whose due time has come,
// their due times, and whether their record is in sight: 1, or 0 if it is not there,
// is something else, or lies where the script cannot look. What is not in sight is
// for sweepScript; this one changes nothing. The flag is 1 if there was so much of it
// that the script stopped there, so as not to keep the server from other work.
//
//	KEYS: index
//	ARGV: how many records in sight are wanted, how many entries to skip
var dueScript = redis.NewScript(`
local index, missing, from, doubts = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), 0
local now = redis.call('TIME')
local untilNow = now[1] * 1000 + math.floor(now[2] / 1000)
local reply = {'0'}
while missing > 0 do
	local want = math.min(missing, 1000)
	local page = redis.call('ZRANGEBYSCORE', index, '-inf', untilNow, 'WITHSCORES', 'LIMIT', from, want)
	for i = 1, #page, 2 do
		local version, seen = redis.pcall('GETRANGE', index .. ':' .. page[i], 0, 7), '0'
		if type(version) == 'string' and #version == 8 then
			seen, missing = '1', missing - 1
		else
			doubts = doubts + 1
		end
		reply[#reply + 1] = page[i]
		reply[#reply + 1] = page[i + 1]
		reply[#reply + 1] = seen
	end
	if #page < 2 * want then
		break
	end
	if doubts >= 1000 then
		reply[1] = '1'
		break
	end
	from = from + want
end
return reply
`)

// sweepScript looks at entries of the index whose records dueScript did not see. It
// declares these, so that a Cluster refuses it while it has not all of them in one
// place. For each it returns 1 if the record is there, 2 if something else is, which is
// put off for an hour so that it stands in nobody's way, or 0 if there is nothing to do any more.
//
// An entry without a record goes after as many visits as ARGV says, with pauses each
// twice as long as the last. The number of visits so far is the fraction of the
// entry's score, in 32nds.
//
//	KEYS: index, records
//	ARGV: visits, first pause, and for each record its key and the due time that was seen
var sweepScript = redis.NewScript(`
local index, visits, pause = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local reply = {}
for i = 2, #KEYS do
	local key, score = ARGV[2 * i - 1], ARGV[2 * i]
	reply[i - 1] = 0
	if redis.call('ZSCORE', index, key) == score then
		if redis.call('EXISTS', KEYS[i]) == 0 then
			local visit = score % 1 * 32
			if visit < visits then
				redis.call('ZADD', index, now + pause * 2 ^ visit + (visit + 1) / 32, key)
			else
				redis.call('ZREM', index, key)
			end
		else
			local version = redis.pcall('GETRANGE', KEYS[i], 0, 7)
			if type(version) == 'table' and string.sub(version.err, 1, 9) ~= 'WRONGTYPE' then
				return version
			end
			if type(version) == 'string' and #version == 8 then
				reply[i - 1] = 1
			else
				reply[i - 1] = 2
				redis.call('ZADD', index, now + 3600000, key)
			end
		end
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

func (s *Store) due(shard, limit, from int) call {
	return call{dueScript, []string{s.indexes[shard]}, []any{limit, from}}
}

func (s *Store) sweep(shard int, doubts []dueEntry) call {
	keys, args := []string{s.indexes[shard]}, []any{s.visits, millis(s.pause)}
	for _, e := range doubts {
		keys = append(keys, s.name(shard, e.key))
		args = append(args, e.key, e.score)
	}
	return call{sweepScript, keys, args}
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
