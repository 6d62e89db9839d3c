package redisstore

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
)

func TestCheckOnRedis(t *testing.T) {
	addr := redistest.Server(t)
	client := connect(t, addr)
	s := open(t, client)
	require.NoError(t, s.Check(t.Context()))
	left, err := client.DBSize(t.Context()).Result()
	require.NoError(t, err)
	assert.Zero(t, left, "records of the check")

	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory-policy", "volatile-lru").Err())
	err = s.Check(t.Context())
	require.ErrorIs(t, err, ErrEviction)
	assert.ErrorContains(t, err, "volatile-lru")

	// With another problem the host must not take it for a mere risk.
	require.NoError(t, client.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
	err = s.Check(t.Context())
	require.Error(t, err)
	assert.NotErrorIs(t, err, ErrEviction)
	assert.ErrorContains(t, err, "volatile-lru")
	assert.ErrorContains(t, err, "READONLY")
}

func TestCheckOnCluster(t *testing.T) {
	addrs := redistest.SharedCluster(t)
	s := open(t, connect(t, addrs...))
	require.NoError(t, s.Check(t.Context()))
	for _, addr := range addrs[1:] {
		node := connect(t, addr)
		require.NoError(t, node.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
		t.Cleanup(func() {
			assert.NoError(t, node.ConfigSet(context.Background(), "maxmemory-policy", "noeviction").Err())
		})
	}
	err := s.Check(t.Context())
	require.ErrorIs(t, err, ErrEviction)
	assert.NotContains(t, err.Error(), addrs[0])
	assert.ErrorContains(t, err, addrs[1])
	assert.ErrorContains(t, err, addrs[2])
}

func TestCheckWithoutServer(t *testing.T) {
	s := open(t, connect(t, "127.0.0.1:1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Check(ctx), context.Canceled)
}

// answers is a server that knows two commands.
type answers struct {
	redis.Cmdable
	info, policy string
	infoErr      error
}

func (a answers) Info(context.Context, ...string) *redis.StringCmd {
	return redis.NewStringResult(a.info, a.infoErr)
}

func (a answers) ConfigGet(context.Context, string) *redis.MapStringStringCmd {
	if a.policy == "" {
		return redis.NewMapStringStringResult(nil, errors.New("NOPERM this user has no permissions"))
	}
	return redis.NewMapStringStringResult(map[string]string{"maxmemory-policy": a.policy}, nil)
}

func TestCheckServer(t *testing.T) {
	const good = "# Server\r\nredis_version:7.0.15\r\n\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n"
	tests := []struct {
		name     string
		server   answers
		evicting bool
		want     []string // what the errors name, one each
	}{
		{"good", answers{info: good}, false, nil},
		{"policy in INFO goes first", answers{info: good, policy: "allkeys-lru"}, false, nil},
		{"policy in CONFIG only", answers{info: "redis_version:6.2.0\r\n", policy: "noeviction"}, false, nil},
		{"evicts", answers{info: "redis_version:7.2.4\r\nmaxmemory_policy:allkeys-lfu\r\n"}, true, []string{"allkeys-lfu"}},
		{"evicts, in CONFIG only", answers{info: "redis_version:7.2.4\r\n", policy: "allkeys-random"}, true, []string{"allkeys-random"}},
		{"policy unknown", answers{info: "redis_version:7.2.4\r\n"}, true, []string{`is ""`}},
		{"too old", answers{info: "redis_version:6.0.16\r\nmaxmemory_policy:noeviction\r\n"}, false, []string{"6.0.16"}},
		{"much too old", answers{info: "redis_version:5.9.9\r\nmaxmemory_policy:noeviction\r\n"}, false, []string{"5.9.9"}},
		{"no version", answers{info: "maxmemory_policy:noeviction\r\n"}, false, []string{"version"}},
		{"all at once", answers{info: "redis_version:x\r\nmaxmemory_policy:y\r\n"}, true, []string{`"x"`, `"y"`}},
		{"no INFO", answers{infoErr: errors.New("NOPERM")}, false, []string{"NOPERM"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			errs := checkServer(t.Context(), tt.server)
			require.Len(t, errs, len(tt.want))
			for i, want := range tt.want {
				assert.ErrorContains(t, errs[i], want)
			}
			assert.Equal(t, tt.evicting, errors.Is(errors.Join(errs...), ErrEviction))
		})
	}
}
