package okidtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Delivery is one webhook and what became of it.
type Delivery struct {
	URL   string
	Event string
	ID    string // of the verification
	State DeliveryState
	Tries []Try
}

// DeliveryState is where a [Delivery] stands.
type DeliveryState string

const (
	Sending  DeliveryState = "sending"  // waits for its turn, an answer or the next try
	Held     DeliveryState = "held"     // by Chaos.Hold, until Release
	Dropped  DeliveryState = "dropped"  // by Chaos.Drop
	Accepted DeliveryState = "accepted" // answered 200
	GivenUp  DeliveryState = "given up" // not answered 200, however often it was tried
	Stopped  DeliveryState = "stopped"  // by Close
)

// Try is one request of a [Delivery]. Header and Body must not be changed.
type Try struct {
	// At is the fake's clock at the try, without Chaos.Skew.
	At     time.Time
	Header http.Header
	Body   []byte
	// Status is that of the answer, and 0 if there was none.
	Status int
	// Err is why there was no answer.
	Err error
}

// webhooks sends webhooks and owns the goroutines that do it. Those of one
// verification go out in order: the first try of each waits for the first try
// of the one before.
type webhooks struct {
	client *http.Client
	clock  func() time.Time
	delays []time.Duration // before each further try
	sign   func(c Chaos, now time.Time, body []byte) http.Header
	log    *slog.Logger

	ctx    context.Context // ends at close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards the rest, and the Delivery of each delivery
	closed   bool
	chaos    Chaos
	all      []*delivery
	held     []*delivery
	last     map[string]*delivery // by verification
	rewrites uint64
	sending  int
	idle     chan struct{} // closed when sending becomes 0
}

type delivery struct {
	Delivery
	body  []byte
	chaos Chaos
	tried chan struct{} // closed after the first try
}

// SetChaos replaces the chaos for the webhooks from now on. The error wraps
// [ErrConfig], and then nothing is changed.
func (w *webhooks) SetChaos(c Chaos) error {
	if err := c.check(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chaos = c.clone()
	return nil
}

// Deliveries lists all webhooks so far, copies included, in the order in which
// they were made.
func (w *webhooks) Deliveries() []Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]Delivery, len(w.all))
	for i, d := range w.all {
		list[i] = d.Delivery
		list[i].Tries = slices.Clone(d.Tries)
	}
	return list
}

// Release sends webhooks that Chaos.Hold kept. Each number counts the held ones
// from 0, oldest first; the first try of each waits for the first try of the
// one named before it, so that they arrive in this order. Those that are not
// named stay held. Without a number it releases all, oldest first.
//
// A number that is out of range or named twice is an error, and then nothing is
// released.
func (w *webhooks) Release(order ...int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(order) == 0 {
		for i := range w.held {
			order = append(order, i)
		}
	}
	named := make(map[int]bool)
	for _, i := range order {
		if i < 0 || i >= len(w.held) || named[i] {
			return fmt.Errorf("%w: held webhook %d of %d, or named twice", ErrNotFound, i, len(w.held))
		}
		named[i] = true
	}
	var before *delivery
	for _, i := range order {
		w.start(w.held[i], before)
		before = w.held[i]
	}
	var rest []*delivery
	for i, d := range w.held {
		if !named[i] {
			rest = append(rest, d)
		}
	}
	w.held = rest
	return nil
}

// Wait returns nil as soon as no webhook is being sent: each is accepted, given
// up, dropped or held. It returns the context's error if that ends first.
func (w *webhooks) Wait(ctx context.Context) error {
	for {
		w.mu.Lock()
		sending, idle := w.sending, w.idle
		w.mu.Unlock()
		if sending == 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send makes a webhook and its copies.
func (w *webhooks) send(url, id, event string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	chaos := w.chaos.on(event)
	before := w.last[id]
	for range 1 + chaos.Copies {
		d := &delivery{
			Delivery: Delivery{URL: url, Event: event, ID: id},
			body:     body,
			chaos:    chaos,
			tried:    make(chan struct{}),
		}
		w.all = append(w.all, d)
		switch {
		case chaos.Drop, rand.Float64() < chaos.DropShare:
			d.State = Dropped
		case chaos.Hold:
			d.State = Held
			w.held = append(w.held, d)
		case chaos.Delay > 0:
			w.start(d, nil) // outside the order, to be overtaken
		default:
			w.start(d, before)
			w.last[id] = d
			if !chaos.Concurrent {
				before = d
			}
		}
	}
}

// start sends d in a goroutine, after the first try of before, if any. The
// caller holds mu.
func (w *webhooks) start(d, before *delivery) {
	if w.closed {
		d.State = Stopped
		return
	}
	d.State = Sending
	if w.sending == 0 {
		w.idle = make(chan struct{})
	}
	w.sending++
	w.wg.Go(func() {
		state := w.deliver(d, before)
		w.mu.Lock()
		defer w.mu.Unlock()
		d.State = state
		w.sending--
		if w.sending == 0 {
			close(w.idle)
		}
	})
}

func (w *webhooks) deliver(d, before *delivery) DeliveryState {
	if !w.pause(d.chaos.Delay) {
		return Stopped
	}
	if before != nil {
		select {
		case <-before.tried:
		case <-w.ctx.Done():
			return Stopped
		}
	}
	for n := range 1 + len(w.delays) {
		if n > 0 && !w.pause(w.delays[n-1]) {
			return Stopped
		}
		status := w.try(d)
		if n == 0 {
			close(d.tried)
		}
		if status == http.StatusOK {
			return Accepted
		}
	}
	return GivenUp
}

// pause waits, and reports false if it was closed meanwhile.
func (w *webhooks) pause(delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return w.ctx.Err() == nil
	case <-w.ctx.Done():
		return false
	}
}

// try posts d once and returns the status of the answer, or 0.
func (w *webhooks) try(d *delivery) int {
	body := d.body
	if d.chaos.Rewrite {
		body = rewrite(body, w.nextRewrite())
	}
	if d.chaos.Edit != nil {
		body = d.chaos.Edit(slices.Clone(body))
	}
	t := Try{At: w.clock(), Body: body}
	t.Header = w.sign(d.chaos, t.At.Add(d.chaos.Skew), body)
	t.Status, t.Err = w.post(d.URL, t.Header, body)

	w.mu.Lock()
	d.Tries = append(d.Tries, t)
	n := len(d.Tries)
	w.mu.Unlock()
	w.log.LogAttrs(w.ctx, slog.LevelInfo, "webhook sent",
		slog.String("event", d.Event), slog.String("id", d.ID),
		slog.Int("try", n), slog.Int("status", t.Status), slog.Any("err", t.Err))
	return t.Status
}

func (w *webhooks) nextRewrite() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rewrites++
	return w.rewrites
}

func (w *webhooks) post(url string, header http.Header, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header = header.Clone()
	res, err := w.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	// The answer is read so that the connection can be used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxBody))
	return res.StatusCode, nil
}

// close stops all sending and waits for the goroutines.
func (w *webhooks) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.wg.Wait()
}
