package memstore

import (
	"container/heap"
	"iter"
	"time"
)

// timer is one instant in the life of a record, and its place in a queue.
type timer struct {
	at    time.Time
	rec   *record
	index int
}

const notQueued = -1

// byTime is a heap of timers, the earliest in front.
type byTime []*timer

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(t any)        { *h = append(*h, t.(*timer)) }

func (h *byTime) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil // so that the record can be freed
	*h = (*h)[:last]
	return t
}

// queue is a heap whose timers know their index, so that each can be moved and
// taken out.
type queue struct{ byTime }

func (q *queue) Swap(i, j int) {
	q.byTime.Swap(i, j)
	q.byTime[i].index, q.byTime[j].index = i, j
}

func (q *queue) Push(t any) {
	t.(*timer).index = q.Len()
	q.byTime.Push(t)
}

// set puts t into the queue, or moves it there.
func (q *queue) set(t *timer, at time.Time) {
	t.at = at
	if t.index == notQueued {
		heap.Push(q, t)
	} else {
		heap.Fix(q, t.index)
	}
}

// clear takes t out of the queue, if it is there.
func (q *queue) clear(t *timer) {
	if t.index != notQueued {
		heap.Remove(q, t.index)
		t.index = notQueued
	}
}

// first is the record of the earliest timer of a queue that is not empty.
func (q *queue) first() *record { return q.byTime[0].rec }

// inOrder yields the timers, the earliest first. The first n of them take
// O(n log n), whatever the length of the queue: after each, only its two
// children in the heap can be new candidates for the next.
func (q *queue) inOrder() iter.Seq[*timer] {
	return func(yield func(*timer) bool) {
		var next byTime
		add := func(i int) {
			if i < q.Len() {
				heap.Push(&next, q.byTime[i])
			}
		}
		for add(0); next.Len() > 0; {
			t := heap.Pop(&next).(*timer)
			if !yield(t) {
				return
			}
			add(2*t.index + 1)
			add(2*t.index + 2)
		}
	}
}
