package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/redisstore"
)

// openRedis makes the store that REDIS_URL names: one redis:// or rediss:// URL
// for a single server, or several for the masters of a Cluster, where the first
// says how to log in and the others may be HOST:PORT alone. It does no I/O. Its
// errors do not contain the URL, which may have a password in it. If prefix is
// empty, it is the store's own.
func openRedis(text, prefix string) (*redisstore.Store, error) {
	var options []redisstore.Option
	if prefix != "" {
		options = append(options, redisstore.WithPrefix(prefix))
	}
	urls := list(text)
	first, err := redis.ParseURL(urls[0])
	if err != nil {
		return nil, errors.New("REDIS_URL is not a redis:// or rediss:// URL")
	}
	// Shorter than the kit's own patience with a store, and given up with it.
	first.ContextTimeoutEnabled = true
	first.DialTimeout, first.ReadTimeout, first.WriteTimeout = time.Second, time.Second, time.Second
	if len(urls) == 1 {
		return redisstore.New(redis.NewClient(first), options...)
	}
	addrs := []string{first.Addr}
	for i, u := range urls[1:] {
		if !strings.Contains(u, "://") {
			u = "redis://" + u
		}
		other, err := redis.ParseURL(u)
		if err != nil {
			return nil, fmt.Errorf("REDIS_URL: address %d is neither a redis:// URL nor HOST:PORT", i+2)
		}
		addrs = append(addrs, other.Addr)
	}
	return redisstore.New(redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 addrs,
		Username:              first.Username,
		Password:              first.Password,
		TLSConfig:             first.TLSConfig,
		ContextTimeoutEnabled: true,
		DialTimeout:           first.DialTimeout,
		ReadTimeout:           first.ReadTimeout,
		WriteTimeout:          first.WriteTimeout,
	}), options...)
}
