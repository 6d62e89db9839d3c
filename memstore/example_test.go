package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

func Example() {
	ctx := context.Background()
	s := memstore.New()

	// Fixed versions make the example short; a program draws them at random.
	err := s.Put(ctx, "greeting", store.Write{Value: []byte("hello"), Version: 7, TTL: time.Hour})
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

// A test moves a clock of its own instead of waiting.
func ExampleWithClock() {
	ctx := context.Background()
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	s := memstore.New(memstore.WithClock(func() time.Time { return now }))

	err := s.Put(ctx, "k", store.Write{Version: 7, TTL: time.Minute})
	fmt.Println(err)

	now = now.Add(time.Minute)
	_, err = s.Get(ctx, "k")
	fmt.Println(errors.Is(err, store.ErrNotFound))
	// Output:
	// <nil>
	// true
}
