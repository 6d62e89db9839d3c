package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What a [Store] answers, matched with [errors.Is]. Every other error means that
// the store could not do its work (it is away, full, read-only, or the context
// ended), and that nobody knows whether a write took place: as a whole or not at all.
var (
	// ErrNotFound: there is no live record at the key.
	ErrNotFound = errors.New("store: record not found")
	// ErrConflict: the record is not at the version that the write replaces.
	ErrConflict = errors.New("store: record was changed by somebody else")
	// ErrDegraded: the store works, at a risk. A store may have a method
	// Check(context.Context) error, whose error wraps it if there is no worse problem.
	ErrDegraded = errors.New("store: works at a risk")
	// ErrInvalid: the call is one that no store carries out. It is the caller's
	// mistake, and nothing was read or written.
	ErrInvalid = errors.New("store: invalid call")
)

// MaxKeyLen is the length of the longest key, in bytes.
const MaxKeyLen = 256

// MaxValueLen is the length of the longest value, in bytes: 1 MiB.
const MaxValueLen = 1 << 20

// Store keeps records. All methods are safe for concurrent use by many
// goroutines and, for a shared store, many processes. A method whose context has
// ended returns an error that wraps the context's, and a Put or Delete that was
// called with an ended context changes nothing.
//
// Time is the store's own: durations go in, and the store's clock turns them
// into instants, so that callers whose clocks disagree agree on the record.
// A record whose TTL has passed is gone: no method sees it any more, whether or
// not its memory is free yet. At the very instant of its end it is gone.
type Store interface {
	// Get returns the record at key. If there is none, the error wraps
	// ErrNotFound, and Record.Now is set all the same. The caller owns the value.
	Get(ctx context.Context, key string) (Record, error)

	// Put replaces the record at key, its TTL and its due time, all at once, if
	// the record is at version w.Replaces; else it changes nothing and the error
	// wraps ErrConflict. With w.Replaces 0 there must be no record; a record that
	// has expired does not count.
	//
	// A Put that finds the record at w.Version already is a repeat of itself,
	// whose answer was lost. It succeeds and changes nothing, not even the TTL. So
	// a Put never leaves half of its work behind, also when it fails: its repeat
	// would call that done.
	//
	// The store copies w.Value. A nil value and an empty one are the same.
	Put(ctx context.Context, key string, w Write) error

	// Delete removes the record at key and its due time: both or, if it fails,
	// perhaps neither. Deleting what is not there is no error.
	Delete(ctx context.Context, key string) error

	// Due returns the keys of at most limit records whose due time has come,
	// the longest due first, and all of them if limit allows. A record stays due
	// until a Put or Delete changes it. The order among records due at the same
	// instant is not defined, and a store that keeps its records in parts may
	// merge them approximately, as long as no record is passed over for ever.
	// The slice may be empty.
	//
	// Due may return keys together with an error: those of the parts that answered,
	// where others are away. The caller works on the keys and reports the error. What
	// cannot be looked at stays due: a store takes nothing for gone because of an
	// error. It may name such a key beside the error, after all others, and leave it to
	// a Get to tell whether there is a record.
	Due(ctx context.Context, limit int) ([]string, error)
}

// Record is what Get finds.
type Record struct {
	// Value is the bytes that were Put.
	Value []byte
	// Version is that of the Put that wrote them, and 0 if there is no record.
	Version uint64
	// Now is the store's clock at the read.
	Now time.Time
}

// Write is one change of one record.
type Write struct {
	// Value is the new content, of at most MaxValueLen bytes.
	Value []byte
	// Replaces is the version of the record that Value was made from; 0 if
	// there must be none.
	Replaces uint64
	// Version is the record's next version. The caller draws it at random from
	// all 64 bits, so that a repeated Put recognises its own work and a record
	// that was deleted and made anew is never mistaken for the old one. It is
	// never 0 and never equal to Replaces.
	Version uint64
	// TTL is how long the record lives from now. It must be positive. A store
	// may round it up, to milliseconds at the coarsest.
	TTL time.Duration
	// DueIn is when the record becomes due, from now. 0: never. A store may
	// round it up, to milliseconds at the coarsest.
	DueIn time.Duration
}

// Check returns an error that wraps [ErrInvalid] and names every problem, if no
// store may carry out a Put of w at key. Implementations call it first.
func (w Write) Check(key string) error {
	var errs []error
	if err := CheckKey(key); err != nil {
		errs = append(errs, err)
	}
	if len(w.Value) > MaxValueLen {
		errs = append(errs, fmt.Errorf("%w: value of %d bytes is longer than %d", ErrInvalid, len(w.Value), MaxValueLen))
	}
	if w.Version == 0 {
		errs = append(errs, fmt.Errorf("%w: version is 0", ErrInvalid))
	} else if w.Version == w.Replaces {
		errs = append(errs, fmt.Errorf("%w: version is the one it replaces", ErrInvalid))
	}
	if w.TTL <= 0 {
		errs = append(errs, fmt.Errorf("%w: TTL %v is not positive", ErrInvalid, w.TTL))
	}
	if w.DueIn < 0 {
		errs = append(errs, fmt.Errorf("%w: due in %v is negative", ErrInvalid, w.DueIn))
	}
	return errors.Join(errs...)
}

// CheckKey returns an error that wraps [ErrInvalid] if key is empty or longer
// than [MaxKeyLen]. Any bytes are allowed in a key.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: key is empty", ErrInvalid)
	case len(key) > MaxKeyLen:
		return fmt.Errorf("%w: key of %d bytes is longer than %d", ErrInvalid, len(key), MaxKeyLen)
	}
	return nil
}

// CheckLimit returns an error that wraps [ErrInvalid] if no Due may be asked
// for so many keys.
func CheckLimit(limit int) error {
	if limit <= 0 {
		return fmt.Errorf("%w: limit %d is not positive", ErrInvalid, limit)
	}
	return nil
}
