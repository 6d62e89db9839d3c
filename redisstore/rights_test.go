package redisstore

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/store"
)

// allow makes or changes the user "kit".
func allow(t testing.TB, admin redis.UniversalClient, rules string) {
	args := []any{"ACL", "SETUSER", "kit"}
	for _, rule := range strings.Fields(rules) {
		args = append(args, rule)
	}
	require.NoError(t, admin.Do(t.Context(), args...).Err())
}

// connectAs returns a client of the user "kit".
func connectAs(t testing.TB, addr string) redis.UniversalClient {
	return connectWith(t, &redis.UniversalOptions{
		Addrs: []string{addr}, Username: "kit", Password: "password", ContextTimeoutEnabled: true,
	})
}

// Whatever right is missing, a write is whole or it is an error, also when repeated,
// nothing is removed, and Check names what is missing.
func TestMissingRights(t *testing.T) {
	addr := redistest.Server(t)
	admin := connect(t, addr)
	const every = "reset on >password ~okidkit:* &okidkit:* +@all "
	tests := []struct {
		rules string
		names string // what Check names; empty: it is content
		mild  bool   // the store works all the same
	}{
		{"+@all", "", false},
		{"-time", "TIME", false},
		{"-get", "GET", false},
		{"-getrange", "GETRANGE", false},
		{"-set", "SET", false},
		{"-exists", "EXISTS", false},
		{"-del", "DEL", false},
		{"-zadd", "ZADD", false},
		{"-zrem", "ZREM", false},
		{"-zscore", "ZSCORE", false},
		{"-zrangebyscore", "ZRANGEBYSCORE", false},
		{"-evalsha", "evalsha", false},
		{"-eval", "eval", false},
		{"-info", "info", true},
		{"-info -spublish", "info", true},
		{"-spublish", "publish", true},
		{"-publish", "", false}, // of use before version 7 only
		{"-ssubscribe", "subscribe", true},
		{"-subscribe", "", false},
		{"resetchannels", "publish", true},
		{"-strlen", "", false},
		{"-config", "", false},
		{"-@scripting", "eval", false},
		{"-@sortedset", "ZADD", false},
		{"-@write", "SET", false},
		{"-@read", "GET", false},
		{"resetkeys", "one of the keys", false},
		{"resetkeys ~okidkit:{*}", "one of the keys", false},
		{"resetkeys ~okidkit:{*}:*", "one of the keys", false},
		{"resetkeys %R~okidkit:*", "one of the keys", false},
		{"resetkeys %R~okidkit:{*} ~okidkit:{*}:* ~okidkit:{*}check*", "one of the keys", false},
		{"resetkeys ~okidkit:{*} %R~okidkit:{*}:* ~okidkit:{*}check*", "one of the keys", false},
	}
	for _, tt := range tests {
		t.Run(tt.rules, func(t *testing.T) {
			require.NoError(t, admin.FlushAll(t.Context()).Err())
			require.NoError(t, admin.ScriptFlush(t.Context()).Err())
			whole := open(t, admin)
			due := func(s *Store) []string {
				keys, err := s.Due(t.Context(), 100)
				require.NoError(t, err)
				return slices.Sorted(slices.Values(keys))
			}
			first := store.Write{Value: []byte("first"), Version: 1, TTL: time.Hour, DueIn: 1}
			for _, key := range []string{"deleted", "done", "put off", "stays"} {
				require.NoError(t, whole.Put(t.Context(), key, first))
			}
			require.NoError(t, whole.Put(t.Context(), "waits", store.Write{Version: 1, TTL: time.Hour}))
			dead := redis.Z{Score: 1, Member: "gone"}
			require.NoError(t, admin.ZAdd(t.Context(), whole.indexes[shardOf("gone")], dead).Err())
			require.Eventually(t, func() bool {
				keys, err := whole.Due(t.Context(), 100)
				return err == nil && len(keys) == 4
			}, time.Minute, time.Millisecond)
			require.NoError(t, admin.ZAdd(t.Context(), whole.indexes[shardOf("gone")], dead).Err())
			require.NoError(t, admin.ScriptFlush(t.Context()).Err())

			allow(t, admin, every+tt.rules)
			s := open(t, connectAs(t, addr))
			next := store.Write{Value: []byte("next"), Replaces: 1, Version: 2, TTL: time.Hour}
			soon, late := next, next
			soon.DueIn, late.DueIn = 1, time.Hour
			writes := []struct {
				key string
				do  func(key string) error
				old uint64 // the version before
				new uint64 // and after; 0: no record
				due [2]bool
			}{
				{"new", func(key string) error { return s.Put(t.Context(), key, first) }, 0, 1, [2]bool{false, true}},
				{"done", func(key string) error { return s.Put(t.Context(), key, next) }, 1, 2, [2]bool{true, false}},
				{"put off", func(key string) error { return s.Put(t.Context(), key, late) }, 1, 2, [2]bool{true, false}},
				{"waits", func(key string) error { return s.Put(t.Context(), key, soon) }, 1, 2, [2]bool{false, true}},
				{"deleted", func(key string) error { return s.Delete(t.Context(), key) }, 1, 0, [2]bool{true, false}},
			}
			worked := true
			note := func(err error) error {
				worked = worked && err == nil
				for _, answer := range []error{store.ErrNotFound, store.ErrConflict, store.ErrInvalid} {
					require.NotErrorIs(t, err, answer)
				}
				return err
			}
			keys, err := s.Due(t.Context(), 100)
			if note(err) == nil {
				assert.ElementsMatch(t, []string{"deleted", "done", "put off", "stays"}, keys)
			}
			if rec, err := s.Get(t.Context(), "stays"); note(err) == nil {
				assert.Equal(t, "first", string(rec.Value))
			}
			want := []string{"stays"}
			for _, w := range writes {
				err := note(w.do(w.key))
				for range 2 {
					if again := w.do(w.key); err != nil {
						assert.Error(t, again, "%s: a repeat of what failed", w.key)
					} else {
						assert.NoError(t, again, "%s: a repeat of what succeeded", w.key)
					}
				}
				version, isDue := w.new, w.due[1]
				if err != nil {
					version, isDue = w.old, w.due[0]
				}
				rec, err := whole.Get(t.Context(), w.key)
				assert.Equal(t, version == 0, errors.Is(err, store.ErrNotFound), w.key)
				assert.Equal(t, version, rec.Version, w.key)
				if isDue {
					want = append(want, w.key)
				}
			}
			slices.Sort(want)
			assert.Eventually(t, func() bool { return slices.Equal(want, due(whole)) }, 10*time.Second, time.Millisecond)

			err = s.Check(t.Context())
			switch {
			case tt.names == "":
				assert.NoError(t, err)
			case tt.mild:
				assert.True(t, worked)
				assert.ErrorContains(t, err, tt.names)
			default:
				assert.False(t, worked)
				assert.ErrorContains(t, err, tt.names)
				assert.False(t, isMild(err))
			}
			assert.Equal(t, tt.names == "publish" || tt.names == "subscribe", errors.Is(err, ErrNoSignals))

			// Once it has the right, what failed can be repeated.
			allow(t, admin, every)
			want = []string{"new", "stays", "waits"}
			for _, w := range writes {
				require.NoError(t, w.do(w.key))
			}
			assert.Eventually(t, func() bool { return slices.Equal(want, due(s)) }, 10*time.Second, time.Millisecond)
			assert.NoError(t, s.Check(t.Context()))
			left, err := admin.Keys(t.Context(), "*check*").Result()
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}
