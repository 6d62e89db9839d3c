package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/store"
)

// ledger is a store whose transactions also keep what the host writes. What is put in one
// comes into the store when it is committed.
type ledger struct {
	store.Store
	effects []string // what the host has written, in transactions that were committed
	// commit, if not nil, commits a transaction or does not, and returns the error.
	commit func(commit func() error) error
}

type ledgerTx struct {
	put     func() error
	effects []string
}

type ledgerKey struct{}

func (l *ledger) Transact(ctx context.Context, f func(context.Context) error) error {
	tx := &ledgerTx{}
	if err := f(context.WithValue(ctx, ledgerKey{}, tx)); err != nil {
		return err
	}
	commit := func() error {
		if tx.put != nil {
			if err := tx.put(); err != nil {
				return err
			}
		}
		l.effects = append(l.effects, tx.effects...)
		return nil
	}
	if l.commit != nil {
		return l.commit(commit)
	}
	return commit()
}

func (l *ledger) Put(ctx context.Context, key string, w store.Write) error {
	tx, ok := ctx.Value(ledgerKey{}).(*ledgerTx)
	if !ok {
		return l.Store.Put(ctx, key, w)
	}
	value := append([]byte(nil), w.Value...)
	w.Value = value
	tx.put = func() error { return l.Store.Put(context.WithoutCancel(ctx), key, w) }
	return nil
}

func (l *ledger) Delete(ctx context.Context, key string) error {
	if tx, ok := ctx.Value(ledgerKey{}).(*ledgerTx); ok {
		tx.put = func() error { return l.Store.Delete(context.WithoutCancel(ctx), key) }
		return nil
	}
	return l.Store.Delete(ctx, key)
}

// writer is a host that writes each event in the transaction.
type writer struct {
	*host
	during func()                // while it is told
	within func(context.Context) // the same, with the context of the callback
}

func (w *writer) Notify(ctx context.Context, e Event) error {
	if tx, ok := ctx.Value(ledgerKey{}).(*ledgerTx); ok {
		tx.effects = append(tx.effects, string(e.Status))
	}
	if w.during != nil {
		w.during()
	}
	if w.within != nil {
		w.within(ctx)
	}
	return w.host.Notify(ctx, e)
}

func newLedgerWorld(t *testing.T) (*world, *ledger, *writer) {
	w := newWorld(t)
	l, h := &ledger{Store: w.store}, &writer{host: w.host}
	w.Engine = w.replica(func(c *Config) { c.Store, c.Host = l, h })
	return w, l, h
}

var errLost = errors.New("connection lost")

// What the host writes is committed with what the kit knows, whatever becomes of transactions.
func TestTellInATransaction(t *testing.T) {
	for name, tt := range map[string]struct {
		commit func(n int, commit func() error) error // of the n-th transaction
		calls  int
		err    error
	}{
		"committed":          {func(_ int, commit func() error) error { return commit() }, 1, nil},
		"the answer is lost": {func(_ int, commit func() error) error { return errors.Join(commit(), errLost) }, 1, nil},
		"rolled back twice": {func(n int, commit func() error) error {
			return map[bool]func() error{true: commit, false: func() error { return errLost }}[n > 2]()
		}, 3, nil},
		"rolled back, and nobody asks": {func(int, func() error) error { return errLost }, maxTransactions, ErrStore},
	} {
		t.Run(name, func(t *testing.T) {
			w, l, _ := newLedgerWorld(t)
			at := w.start("alice")
			n := 0
			l.commit = func(commit func() error) error { n++; return tt.commit(n, commit) }
			_, err := w.webhook(at, identity.Verified, "")
			assert.ErrorIs(t, err, tt.err)
			assert.Len(t, w.host.heard, tt.calls)
			assert.Equal(t, tt.err == nil, w.open("alice"))
			l.commit = nil
			w.later(time.Minute) // when the lease has ended
			assert.True(t, w.open("alice"))
			assert.Equal(t, []string{"verified"}, l.effects)
		})
	}
}

// What the host writes is undone if it then fails, if somebody else has the lease, and if the
// subject is erased meanwhile.
func TestTellIsUndone(t *testing.T) {
	w, l, h := newLedgerWorld(t)
	at := w.start("alice")
	w.host.fails = errors.New("database is away")
	_, err := w.webhook(at, identity.Verified, "")
	assert.ErrorIs(t, err, attempt.ErrCallback)
	assert.Empty(t, l.effects)
	w.host.fails = nil
	w.later(time.Minute)
	assert.True(t, w.open("alice"))
	assert.Equal(t, []string{"verified"}, l.effects)

	at, l.effects = w.start("bob"), nil
	other := w.replica(func(c *Config) { c.Store, c.Host = l, &writer{host: w.host} })
	h.during = func() {
		h.during = nil
		w.clock = w.clock.Add(time.Minute)
		_, err := other.RunOnce(context.Background()) // takes the lease over, and tells the host
		require.NoError(t, err)
	}
	_, err = w.webhook(at, identity.Verified, "")
	assert.ErrorIs(t, err, attempt.ErrFenced)
	assert.True(t, w.open("bob"))
	assert.Equal(t, []string{"verified"}, l.effects)

	at, l.effects = w.start("carol"), nil
	h.during = func() { require.NoError(t, w.Erase(t.Context(), at.Subject)) }
	_, err = w.webhook(at, identity.Verified, "")
	assert.ErrorIs(t, err, ErrGone)
	assert.Empty(t, l.effects)

	// An erasure by the callback itself stands.
	w, l, h = newLedgerWorld(t)
	at = w.start("dora")
	h.within = func(ctx context.Context) { require.NoError(t, w.Erase(ctx, at.Subject)) }
	_, err = w.webhook(at, identity.Verified, "")
	assert.ErrorIs(t, err, ErrGone)
	assert.Empty(t, l.effects)
	assert.False(t, w.open("dora"))
	s, err := w.Load(t.Context(), at.Subject)
	require.NoError(t, err)
	assert.Empty(t, s.Attempts)
}

// A denial that comes while the host is told is settled after that: what the host has written
// stands, and it is told of the revocation, each once.
func TestTellBesideADenial(t *testing.T) {
	w, l, h := newLedgerWorld(t)
	at := w.start("alice")
	h.during = func() {
		h.during = nil
		_, err := w.webhook(at, identity.Failed, "")
		assert.ErrorIs(t, err, attempt.ErrInFlight)
	}
	w.provider.says["v1"] = identity.Failed
	_, err := w.webhook(at, identity.Verified, "")
	require.NoError(t, err)
	assert.False(t, w.open("alice"))
	assert.Equal(t, []string{"verified", "revoked"}, l.effects)

	// Nor is it told twice if the provider cannot be asked then.
	w, l, h = newLedgerWorld(t)
	at = w.start("alice")
	h.during = func() {
		h.during = nil
		_, _ = w.webhook(at, identity.Failed, "")
		w.provider.away = errLost
	}
	w.provider.says["v1"] = identity.Verified
	_, err = w.webhook(at, identity.Verified, "")
	assert.ErrorIs(t, err, attempt.ErrProvider)
	w.provider.away = nil
	w.later(time.Hour)
	assert.True(t, w.open("alice"))
	assert.Equal(t, []string{"verified"}, l.effects)
}
