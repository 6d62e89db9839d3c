package store

import "context"

// Notifier is a [Store] that can tell when a record may have changed. It is
// optional: callers find out by a type assertion, and read the record from time to
// time if the store is none.
type Notifier interface {
	// Watch returns a channel that gets a signal soon after the record at key was
	// put or deleted, by whatever process, until ctx ends. There need not be a
	// record. No signal is owed for a TTL or due time that passes, a Put that
	// changes nothing, or a Delete of nothing.
	//
	// There is a signal when the watch has begun to work, so that a caller who
	// reads the record after it has missed nothing.
	//
	// Signals are hints. The channel has room for one, so that several changes may
	// make one signal; one may come though nothing changed; and when a connection
	// is lost, one may be late or never come. A caller reads the record after each
	// signal, and from time to time without one. A watcher who does not receive
	// holds up nobody.
	//
	// Watch does not wait for the network, and what the network refuses shows only
	// by the lack of signals. It returns an error, and then no channel, if key is
	// invalid or ctx has ended. The channel is never closed. Once ctx has ended, the
	// store forgets the watch; a context that never ends keeps it for ever. Each
	// call makes a watch of its own, and keys may be watched many times.
	Watch(ctx context.Context, key string) (<-chan struct{}, error)
}
