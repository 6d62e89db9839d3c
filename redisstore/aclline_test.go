//go:build unix

package redisstore

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/redistest"
	"github.com/okidkit/okidkit/store"
)

// The rights that docs/operations.md gives are enough.
func TestDocumentedRights(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	line := regexp.MustCompile(`ACL SETUSER okidkit [^\n]*(\n    [^\n]+)*`).FindString(string(text))
	require.NotEmpty(t, line)
	var args []any
	for _, arg := range strings.Fields(line) {
		args = append(args, arg)
	}
	servers := map[string]func(t *testing.T) []string{
		"server":  func(t *testing.T) []string { return []string{redistest.Server(t)} },
		"cluster": func(t *testing.T) []string { return redistest.SharedCluster(t) },
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			addrs := start(t)
			for _, addr := range addrs {
				node := connect(t, addr)
				require.NoError(t, node.Do(t.Context(), args...).Err())
				require.NoError(t, node.ACLLogReset(t.Context()).Err())
			}
			client := connectWith(t, &redis.UniversalOptions{Addrs: addrs, Username: "okidkit", Password: "PASSWORD", ContextTimeoutEnabled: true})
			s := open(t, client)
			use := func() {
				for shard := range shards {
					key := keysOf(shard, 1)[0]
					w := watch(t, t.Context(), s, key)
					signalled(t, w)
					require.NoError(t, s.Put(t.Context(), key, store.Write{Version: 1, TTL: 1e12, DueIn: 1}))
					signalled(t, w)
					require.NoError(t, s.Put(t.Context(), key, store.Write{Replaces: 1, Version: 2, TTL: 1e12}))
					require.NoError(t, s.Delete(t.Context(), key))
					if name == "server" {
						inIndex(t, open(t, connect(t, addrs...)), shard, "gone")
					}
				}
				_, err := s.Due(t.Context(), 10)
				require.NoError(t, err)
				require.NoError(t, s.Check(t.Context()))
			}
			use()
			if name == "cluster" {
				m := moveOf(t, s, nodesOf(t, addrs), 3)
				m.importing(t)
				m.migrating(t)
				_, err := s.Get(t.Context(), keysOf(3, 1)[0]) // which is asked for at the target
				require.ErrorIs(t, err, store.ErrNotFound)
				m.finish(t)
				use()
			}
			for _, addr := range addrs {
				refused, err := connect(t, addr).ACLLog(t.Context(), 100).Result()
				require.NoError(t, err)
				for _, entry := range refused {
					assert.Fail(t, "refused", "%s: %s", entry.Reason, entry.Object)
				}
			}
		})
	}
}
