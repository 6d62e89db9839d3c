package memstore

import (
	"context"

	"github.com/okidkit/okidkit/store"
)

// watches are the channels of those who watch, by key. The lock of the store
// guards them.
type watches map[string]map[chan struct{}]bool

// Watch implements [store.Notifier]. A signal is there before the Put or Delete
// returns, and there are none but those.
func (s *Store) Watch(ctx context.Context, key string) (<-chan struct{}, error) {
	if err := store.CheckKey(key); err != nil {
		return nil, err
	}
	if err := ended(ctx); err != nil {
		return nil, err
	}
	watch := make(chan struct{}, 1)
	watch <- struct{}{}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches[key] == nil {
		s.watches[key] = make(map[chan struct{}]bool)
	}
	s.watches[key][watch] = true
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches[key], watch)
		if len(s.watches[key]) == 0 {
			delete(s.watches, key)
		}
	})
	return watch, nil
}

// signal tells those who watch key. Who has a signal already needs no other.
func (w watches) signal(key string) {
	for watch := range w[key] {
		select {
		case watch <- struct{}{}:
		default:
		}
	}
}
