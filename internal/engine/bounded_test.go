package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func isDone(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// Once asked, it is what context.WithTimeout returns.
func TestBounded(t *testing.T) {
	type key struct{}
	for name, tt := range map[string]struct {
		happens func(parent, end func())
		want    error
	}{
		"nothing":         {func(_, _ func()) {}, nil},
		"time passes":     {func(_, _ func()) { time.Sleep(time.Second - 1) }, nil},
		"time is up":      {func(_, _ func()) { time.Sleep(time.Second) }, context.DeadlineExceeded},
		"it ends":         {func(_, end func()) { end() }, context.Canceled},
		"the parent ends": {func(parent, _ func()) { parent() }, context.Canceled},
	} {
		for asked, ask := range map[string]func(context.Context){
			"Done":     func(ctx context.Context) { assert.False(t, isDone(ctx)) },
			"Deadline": func(ctx context.Context) { _, _ = ctx.Deadline() },
			"Err":      func(ctx context.Context) { assert.NoError(t, ctx.Err()); assert.NoError(t, ctx.Err()) },
			"a child":  func(ctx context.Context) { _, stop := context.WithCancel(ctx); stop() },
		} {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
				defer cancel()
				b, end := withTimeout(parent, time.Second)
				defer end()
				ask(b)
				began := time.Now()
				tt.happens(cancel, end)
				synctest.Wait()
				assert.Equal(t, tt.want, b.Err(), "%s after %s", name, asked)
				assert.Equal(t, tt.want != nil, isDone(b), "%s after %s", name, asked)
				deadline, ok := b.Deadline()
				assert.True(t, ok)
				assert.Equal(t, began.Add(time.Second), deadline)
				child, stop := context.WithCancel(b)
				defer stop()
				assert.Equal(t, tt.want, child.Err())
				assert.Equal(t, "value", child.Value(key{}))
			})
		}
	}
}

// What nobody waits for takes no timer, and is over all the same.
func TestBoundedWithoutATimer(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	b, end := withTimeout(parent, time.Hour)
	assert.NoError(t, b.Err())
	assert.Nil(t, b.(*bounded).timed)
	end()
	assert.Nil(t, b.(*bounded).timed)
	assert.Equal(t, context.Canceled, b.Err())
	assert.True(t, isDone(b))

	cancel()
	b, end = withTimeout(parent, time.Hour)
	defer end()
	assert.Equal(t, context.Canceled, b.Err(), "its parent's end is seen at once")
}

// The time of a callback runs whether or not it looks at its context.
func TestBoundedFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b, end := withTimeoutFromNow(t.Context(), time.Second)
		defer end()
		time.Sleep(time.Second)
		assert.Equal(t, context.DeadlineExceeded, b.Err())
		assert.True(t, isDone(b))
		deadline, _ := b.Deadline()
		assert.Equal(t, began.Add(time.Second), deadline)
	})
}
