package store_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/store"
	"github.com/okidkit/okidkit/store/storetest"
)

func TestCheck(t *testing.T) {
	longKey := strings.Repeat("k", store.MaxKeyLen)
	tests := []struct {
		name  string
		key   string
		spoil func(w *store.Write)
		want  []string // what the error names; none: valid
	}{
		{"plain", "k", func(*store.Write) {}, nil},
		{"replace", "k", func(w *store.Write) { w.Replaces = 1 }, nil},
		{"lower version than the last", "k", func(w *store.Write) { w.Replaces = math.MaxUint64 }, nil},
		{"greatest version", "k", func(w *store.Write) { w.Version = math.MaxUint64 }, nil},
		{"key of any bytes", "\x00\xff{}", func(*store.Write) {}, nil},
		{"longest key", longKey, func(*store.Write) {}, nil},
		{"longest value", "k", func(w *store.Write) { w.Value = make([]byte, store.MaxValueLen) }, nil},
		{"empty value", "k", func(w *store.Write) { w.Value = []byte{} }, nil},
		{"shortest TTL", "k", func(w *store.Write) { w.TTL = 1 }, nil},
		{"longest times", "k", func(w *store.Write) { w.TTL, w.DueIn = math.MaxInt64, math.MaxInt64 }, nil},
		{"due after the end", "k", func(w *store.Write) { w.DueIn = 2 * w.TTL }, nil},

		{"empty key", "", func(*store.Write) {}, []string{"key is empty"}},
		{"key too long", longKey + "k", func(*store.Write) {}, []string{"key of 257 bytes"}},
		{"value too long", "k", func(w *store.Write) { w.Value = make([]byte, store.MaxValueLen+1) }, []string{"value of 1048577 bytes"}},
		{"version 0", "k", func(w *store.Write) { w.Version = 0 }, []string{"version is 0"}},
		{"version replaces itself", "k", func(w *store.Write) { w.Replaces = w.Version }, []string{"version is the one it replaces"}},
		{"TTL 0", "k", func(w *store.Write) { w.TTL = 0 }, []string{"TTL 0s"}},
		{"TTL negative", "k", func(w *store.Write) { w.TTL = -time.Second }, []string{"TTL -1s"}},
		{"due in negative time", "k", func(w *store.Write) { w.DueIn = -1 }, []string{"due in -1ns"}},
		{"all at once", "", func(w *store.Write) {
			*w = store.Write{Value: make([]byte, store.MaxValueLen+1), DueIn: -1}
		}, []string{"key is empty", "value of", "version is 0", "TTL", "due in"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := store.Write{Value: []byte("secret value"), Version: 7, TTL: time.Hour}
			tt.spoil(&w)
			err := w.Check(tt.key)
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, store.ErrInvalid)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			assert.Len(t, strings.Split(err.Error(), "\n"), len(tt.want), "one line for each problem")
			assert.NotContains(t, err.Error(), "secret")
			assert.NotContains(t, err.Error(), "kkk", "the key may be personal")
		})
	}
}

func TestCheckKey(t *testing.T) {
	for _, key := range []string{"k", "\x00", " ", "{}", "\xff", strings.Repeat("k", store.MaxKeyLen)} {
		assert.NoError(t, store.CheckKey(key), "%q", key)
	}
	for _, key := range []string{"", strings.Repeat("k", store.MaxKeyLen+1)} {
		assert.ErrorIs(t, store.CheckKey(key), store.ErrInvalid, "%q", key)
	}
}

func TestCheckLimit(t *testing.T) {
	for _, limit := range []int{1, 2, math.MaxInt} {
		assert.NoError(t, store.CheckLimit(limit), "%d", limit)
	}
	for _, limit := range []int{0, -1, math.MinInt} {
		assert.ErrorIs(t, store.CheckLimit(limit), store.ErrInvalid, "%d", limit)
	}
}

func TestSentinelsDiffer(t *testing.T) {
	all := []error{store.ErrNotFound, store.ErrConflict, store.ErrInvalid}
	for i, a := range all {
		for j, b := range all {
			assert.Equal(t, i == j, errors.Is(a, b), "%v and %v", a, b)
		}
	}
}

// What the example shows is a store.
func TestExampleStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness {
		var past atomic.Int64 // since a fixed instant
		return storetest.Harness{
			Store:   newTable(func() time.Time { return time.UnixMilli(1767225600000).Add(time.Duration(past.Load())) }),
			Advance: func(d time.Duration) { past.Add(int64(d)) },
		}
	})
}

func ExampleWrite_Check() {
	w := store.Write{Version: 7}
	fmt.Println(w.Check("user 42"))
	// Output: store: invalid call: TTL 0s is not positive
}

func BenchmarkCheck(b *testing.B) {
	w := store.Write{Value: make([]byte, 700), Version: 7, TTL: time.Hour}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Check("subject/0123456789abcdef"); err != nil {
			b.Fatal(err)
		}
	}
}
