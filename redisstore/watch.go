package redisstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/okidkit/okidkit/store"
)

const (
	// commandLimit is for connecting and sending one command.
	commandLimit = 5 * time.Second
	// A connection that failed is replaced after minPause, and later ones after
	// ever longer ones.
	minPause = 100 * time.Millisecond
	maxPause = 10 * time.Second
)

// Watch implements [store.Notifier] with Pub/Sub. All watches of a Store share one
// connection, or one for each of the 16 shards of a Cluster, which is opened for the
// first of them and closed after the last. It is not one of the client's PoolSize.
// From Redis 7 on, a user of ACLs needs the channels with the store's prefix; without
// them there are no signals.
//
// Each record has a channel of its own, with the record's name. One channel for a
// whole shard would need fewer subscriptions, but send every change to every process
// that watches anything, so that a write would cost the more the more processes there
// are. A channel that nobody watches costs the server one look at a table.
func (s *Store) Watch(ctx context.Context, key string) (<-chan struct{}, error) {
	if err := store.CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("redisstore: watch: %w", err)
	}
	shard := shardOf(key)
	name, place := s.name(shard, key), 0
	if _, ok := s.client.(clusterClient); ok {
		place = shard // its slot is on one server, the others may be elsewhere
	}
	watch := make(chan struct{}, 1)

	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listeners[place]
	if l == nil {
		l = s.listen()
		s.listeners[place] = l
	}
	l.add(name, watch)
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		l.remove(name, watch)
		if len(l.watches) == 0 {
			l.stop()
			s.listeners[place] = nil
		}
	})
	return watch, nil
}

// listener keeps one connection for as long as there are watches on it. After the
// last of them it is not used again.
type listener struct {
	client    redis.UniversalClient
	pingEvery time.Duration
	stop      context.CancelFunc
	wake      chan struct{} // gets a signal when something is in changed

	mu      *sync.Mutex // the store's, for what follows
	watches map[string]map[chan struct{}]bool
	changed map[string]bool // names to subscribe to, or to unsubscribe from
	sharded bool            // whether to use SSUBSCRIBE
}

// listen starts a listener, which its stop ends.
func (s *Store) listen() *listener {
	ctx, stop := context.WithCancel(context.Background())
	l := &listener{
		client: s.client, pingEvery: s.pingEvery, stop: stop, wake: make(chan struct{}, 1),
		mu: &s.mu, watches: make(map[string]map[chan struct{}]bool), changed: make(map[string]bool),
	}
	go l.run(ctx)
	return l
}

// add and remove are called with the lock. Each watch subscribes, also to what is
// subscribed to already: the answer is its first signal.
func (l *listener) add(name string, watch chan struct{}) {
	if l.watches[name] == nil {
		l.watches[name] = make(map[chan struct{}]bool)
	}
	l.watches[name][watch] = true
	l.change(name)
}

func (l *listener) remove(name string, watch chan struct{}) {
	delete(l.watches[name], watch)
	if len(l.watches[name]) == 0 {
		delete(l.watches, name)
		l.change(name)
	}
}

func (l *listener) change(name string) {
	l.changed[name] = true
	signal(l.wake)
}

// signal leaves a signal in c, which has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run uses one connection after the other until ctx ends.
func (l *listener) run(ctx context.Context) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		if l.connection(ctx) {
			pause = minPause
		}
		if ctx.Err() == nil {
			reload(ctx, l.client) // else it may be the same server again, which has the slot no more
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// connection uses one connection until it fails or ctx ends, and reports whether it
// worked. go-redis would reconnect by itself, but to a Cluster's server that has the
// slot no more, and with the commands of a server that may be of another version by now.
func (l *listener) connection(ctx context.Context) (worked bool) {
	ctx, cancel := context.WithCancel(ctx)
	pubsub := l.client.Subscribe(ctx) // connects with the first channel, whose server it has to be
	l.begin(true)
	if err := l.update(ctx, pubsub); err != nil {
		cancel()
		_ = pubsub.Close()
		return false
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		l.write(ctx, pubsub)
		_ = pubsub.Close() // ends the Receive below
	})
	defer writer.Wait()
	defer cancel()
	for {
		// A read that timed out may have taken half a message, so it is the last.
		msg, err := pubsub.ReceiveTimeout(ctx, 3*l.pingEvery)
		switch {
		case err == nil:
			worked = true
			l.received(msg)
		case redis.HasErrorPrefix(err, "unknown command"):
			l.begin(false)
		default:
			return worked
		}
	}
}

// begin has all names subscribed to, with SSUBSCRIBE or, where that is unknown, with
// SUBSCRIBE. The script that publishes chooses in the same way.
func (l *listener) begin(sharded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !sharded && !l.sharded {
		return // the answer to one more SSUBSCRIBE that was on its way
	}
	l.sharded = sharded
	for name := range l.watches {
		l.change(name)
	}
}

// write sends what the connection has to say until ctx ends or that fails.
func (l *listener) write(ctx context.Context, pubsub *redis.PubSub) {
	ping := time.NewTicker(l.pingEvery)
	defer ping.Stop()
	var err error
	for err == nil {
		select {
		case <-l.wake:
			err = l.update(ctx, pubsub)
		case <-ping.C:
			err = within(ctx, func(ctx context.Context) error { return pubsub.Ping(ctx) })
		case <-ctx.Done():
			return
		}
	}
}

// update makes the subscriptions those that are wanted.
func (l *listener) update(ctx context.Context, pubsub *redis.PubSub) error {
	var join, leave []string
	l.mu.Lock()
	for name := range l.changed {
		if l.watches[name] != nil {
			join = append(join, name)
		} else {
			leave = append(leave, name)
		}
	}
	clear(l.changed)
	subscribe, unsubscribe := pubsub.Subscribe, pubsub.Unsubscribe
	if l.sharded {
		subscribe, unsubscribe = pubsub.SSubscribe, pubsub.SUnsubscribe
	}
	l.mu.Unlock()

	return within(ctx, func(ctx context.Context) error {
		if len(join) > 0 {
			if err := subscribe(ctx, join...); err != nil {
				return err
			}
		}
		if len(leave) > 0 { // no names would mean all of them
			return unsubscribe(ctx, leave...)
		}
		return nil
	})
}

func within(ctx context.Context, command func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	return command(ctx)
}

// received passes on what came over the connection.
func (l *listener) received(msg any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch msg := msg.(type) {
	case *redis.Message:
		l.signal(msg.Channel)
	case *redis.Subscription:
		if !strings.HasSuffix(msg.Kind, "unsubscribe") {
			l.signal(msg.Channel)
		} else if l.watches[msg.Channel] != nil {
			// A Cluster has moved the slot. To subscribe again is to be told so.
			l.change(msg.Channel)
		}
	}
}

func (l *listener) signal(name string) {
	for watch := range l.watches[name] {
		signal(watch)
	}
}
