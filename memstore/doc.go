// Package memstore keeps records in the memory of one process: for tests, for
// a laptop, and for an app that runs as a single process and can afford to
// forget. The records are lost when the process ends, and no other process sees
// them; an app with replicas needs a shared store such as package redisstore.
//
//	s := memstore.New()
//	err := s.Put(ctx, "user 42", store.Write{
//		Value:   []byte("hello"),
//		Version: rand.Uint64(),
//		TTL:     time.Hour,
//	})
//
// It keeps no goroutine and needs no Close. Memory is bounded by the records
// that are alive at once: an expired record is freed when its key is used, and
// each Put frees up to two others.
package memstore
