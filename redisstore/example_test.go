package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/redisstore"
	"github.com/okidkit/okidkit/store"
)

func Example() {
	server, err := miniredis.Run() // in place of a real one
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{
		Addr:                  server.Addr(),
		ContextTimeoutEnabled: true,
		ReadTimeout:           time.Second,
	})
	defer client.Close()
	s, err := redisstore.New(client, redisstore.WithPrefix("myapp:"))
	if err != nil {
		log.Fatal(err)
	}

	// Fixed versions make the example short; a program draws them at random.
	ctx := context.Background()
	err = s.Put(ctx, "greeting", store.Write{Value: []byte("hello"), Version: 7, TTL: time.Hour})
	fmt.Println(err)

	rec, err := s.Get(ctx, "greeting")
	fmt.Println(string(rec.Value), rec.Version, err)

	err = s.Put(ctx, "greeting", store.Write{Value: []byte("bye"), Replaces: 3, Version: 9, TTL: time.Hour})
	fmt.Println(errors.Is(err, store.ErrConflict))
	// Output:
	// <nil>
	// hello 7 <nil>
	// true
}

// A host that would rather risk lost records than not serve at all.
func ExampleStore_Check() {
	ready := func(ctx context.Context, s *redisstore.Store) bool {
		err := s.Check(ctx)
		if err != nil {
			log.Print(err)
		}
		return err == nil || errors.Is(err, redisstore.ErrEviction)
	}
	_ = ready
}
