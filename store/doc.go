// Package store says what the kit needs from a place that keeps its records:
// four methods, small enough to write for a database of your own in an
// afternoon. Packages memstore and redisstore are two of them, and
// [github.com/okidkit/okidkit/store/storetest] proves a third.
//
// A record is an opaque value with a version. Every change is a compare-and-swap
// that names the version it replaces and the one it becomes:
//
//	rec, err := s.Get(ctx, key)
//	...
//	err = s.Put(ctx, key, store.Write{
//		Value:    next,
//		Replaces: rec.Version,
//		Version:  newVersion(), // random, never 0
//		TTL:      24 * time.Hour,
//	})
//	if errors.Is(err, store.ErrConflict) {
//		// somebody else was faster: Get again
//	}
//
// A store that is a [Notifier] as well tells when a record may have changed, to
// those who would otherwise have to ask again and again.
package store
