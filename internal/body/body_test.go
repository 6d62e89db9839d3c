package body

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reader has room for small bodies and for one large one, also while that grows.
func reader() *Reader {
	return &Reader{Most: 3 * Small, Within: time.Second, Small: Room{Size: 2 * Small}, Large: Room{Size: 6 * Small}}
}

func TestRead(t *testing.T) {
	broken := errors.New("line is cut")
	for name, tt := range map[string]struct {
		body   io.Reader
		length int64 // -1: not declared
		header string
		err    error
	}{
		"small":                 {strings.NewReader("{}"), 2, "", nil},
		"empty":                 {http.NoBody, 0, "", nil},
		"not declared":          {strings.NewReader("{}"), -1, "", nil},
		"byte by byte":          {iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 3000))), -1, "", nil},
		"large":                 {strings.NewReader(strings.Repeat("x", 3*Small)), 3 * Small, "", nil},
		"identity":              {strings.NewReader("{}"), 2, "Identity", nil},
		"encoded":               {strings.NewReader("{}"), 2, "gzip", ErrEncoded},
		"too large":             {strings.NewReader(strings.Repeat("x", 3*Small+1)), 3*Small + 1, "", ErrTooLarge},
		"too large, later":      {strings.NewReader(strings.Repeat("x", 3*Small+1)), -1, "", ErrTooLarge},
		"too large for another": {iotest.ErrReader(&http.MaxBytesError{Limit: 1}), 2, "", ErrTooLarge},
		"read already":          {http.NoBody, 2, "", ErrRead},
		"closed":                {iotest.ErrReader(http.ErrBodyReadAfterClose), 2, "", ErrRead},
		"broken":                {iotest.ErrReader(broken), 2, "", ErrUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			in := reader()
			r := httptest.NewRequest("POST", "/", tt.body)
			r.ContentLength = tt.length
			if tt.header != "" {
				r.Header.Set("Content-Encoding", tt.header)
			}
			b, err := in.Read(httptest.NewRecorder(), r)
			require.ErrorIs(t, err, tt.err)
			if err == nil {
				if tt.length >= 0 {
					assert.Len(t, b.Bytes, int(tt.length))
				}
				assert.EqualValues(t, cap(b.Bytes), in.Held())
				b.Release()
				b.Release()
			}
			assert.Zero(t, in.Held(), "what was taken is given back")
		})
	}
}

// Large bodies, however many, leave the room of small ones alone.
func TestRooms(t *testing.T) {
	read := func(in *Reader, size int) (*Body, error) {
		return in.Read(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", size))))
	}
	in := reader()
	large, err := read(in, 2*Small)
	require.NoError(t, err)
	_, err = read(in, 2*Small)
	assert.ErrorIs(t, err, ErrBusy)
	small, err := read(in, 10)
	require.NoError(t, err)
	large.Release()
	small.Release()
	_, err = read(in, 2*Small)
	assert.NoError(t, err)
}

// A body that does not come is given up in time, though its Read does not end.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := reader()
		pr, pw := io.Pipe()
		began := time.Now()
		_, err := in.Read(httptest.NewRecorder(), httptest.NewRequest("POST", "/", pr))
		assert.ErrorIs(t, err, ErrSlow)
		assert.Equal(t, time.Second, time.Since(began))
		assert.Zero(t, in.Held())
		_ = pw.Close()
	})
}
