package store

import "context"

// Transactor is a [Store] in a database where others write, too, and whose changes can be made
// together with theirs. It is optional: callers find out by a type assertion.
type Transactor interface {
	// Transact begins a transaction, calls f with a context that carries it, and commits. What
	// f does to the store with that context, or with one that is derived from it, and what
	// else it does in the transaction, happens as a whole or not at all. How f gets at the
	// transaction is for the implementation to say.
	//
	// If f returns an error or panics, nothing happens, and Transact returns the error. Any
	// other error means that nobody knows whether the transaction was committed: a Get tells,
	// by the version of what f has Put. The transaction ends with ctx.
	//
	// f must neither use the context after it has returned nor from several goroutines. A
	// Transact with a context that carries a transaction is part of that.
	Transact(ctx context.Context, f func(ctx context.Context) error) error
}
