// Package body reads the bodies of requests within bounds: strangers' bodies take memory
// before anybody can know whether they are worth it, so how much that is in all, and for
// how long, is limited for each route by itself.
package body

import (
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// firstPiece is the memory that is made ready for a body of which nothing has come
	// yet, in bytes: enough for most webhooks.
	firstPiece = 1 << 10
	// Small is the largest body for which there is room beside the large ones, in bytes.
	Small = 8 << 10
)

// Reader reads the bodies of requests to one route. Its fields must not change once it is
// used. It is safe for concurrent use.
type Reader struct {
	// Most is the largest body that is accepted, in bytes.
	Most int64
	// Within is how long a body may take to arrive.
	Within time.Duration
	// Small and Large are the memory for bodies up to [Small] and for larger ones, which,
	// however many there are, never keep small ones out.
	Small, Large Room
}

// Held returns the memory that bodies take now, in bytes.
func (in *Reader) Held() int64 { return in.Small.used.Load() + in.Large.used.Load() }

// Room is memory that is given out, and back. The zero value has none.
type Room struct {
	// Size is in bytes.
	Size int64
	used atomic.Int64
}

// Take takes n bytes, unless there are not so many left.
func (r *Room) Take(n int64) bool {
	for {
		used := r.used.Load()
		if used+n > r.Size {
			return false
		}
		if r.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Give gives n bytes back.
func (r *Room) Give(n int64) { r.used.Add(-n) }

// Body is a body that was read. It takes room until it is released.
type Body struct {
	Bytes []byte
	room  *Room // nil: none is taken
}

// Release gives the room back. It may be called more than once.
func (b *Body) Release() {
	if b.room != nil {
		b.room.Give(int64(cap(b.Bytes)))
		b.room = nil
	}
}

// The errors of [Reader.Read].
var (
	ErrEncoded    = errors.New("body is encoded")
	ErrTooLarge   = errors.New("body is too large")
	ErrSlow       = errors.New("body did not arrive in time")
	ErrUnreadable = errors.New("body cannot be read")
	// ErrRead is returned if something in front of the handler has read the body.
	ErrRead = errors.New("body was read already")
	// ErrBusy is returned if there is no room.
	ErrBusy = errors.New("too many bodies are on their way")
)

// closedInHTTP2 is what HTTP/2 has for http.ErrBodyReadAfterClose. It has no name.
const closedInHTTP2 = "body closed by handler"

// Read reads a request's body as it is on the wire. The errors are those above. What it
// returns must be released.
func (in *Reader) Read(w http.ResponseWriter, r *http.Request) (*Body, error) {
	for _, encoding := range r.Header["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return nil, ErrEncoded
		}
	}
	if r.ContentLength > in.Most {
		return nil, ErrTooLarge
	}
	from, cut := io.Reader(r.Body), func() {
		// One in the past, so that no clock needs to be read.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
	if !interruptible(w, r) {
		from, cut = detached(r.Body, in.Most+1)
		defer cut()
	}
	mayBeRead := r.ContentLength < 0 && !unread(r.Body)
	b := new(Body)
	ok := false
	defer func() {
		if !ok {
			b.Release()
		}
	}()
	timer := time.AfterFunc(in.Within, cut)
	defer timer.Stop()
	err := b.readFrom(from, in, r.ContentLength)
	inTime := timer.Stop()
	if p, ok := errors.AsType[*readPanic](err); ok {
		panic(p.value)
	}
	_, limited := errors.AsType[*http.MaxBytesError](err) // by somebody in front of us
	switch length := int64(len(b.Bytes)); {
	case errors.Is(err, ErrBusy):
		return nil, ErrBusy
	case errors.Is(err, ErrTooLarge), limited:
		return nil, ErrTooLarge
	case errors.Is(err, http.ErrBodyReadAfterClose), err != nil && err.Error() == closedInHTTP2:
		return nil, ErrRead
	case !inTime:
		return nil, ErrSlow
	case err != nil:
		return nil, ErrUnreadable
	case length < r.ContentLength, length == 0 && mayBeRead:
		return nil, ErrRead
	}
	ok = true
	return b, nil
}

// readFrom reads a body of which length bytes are announced, if that is not negative.
func (b *Body) readFrom(from io.Reader, in *Reader, length int64) error {
	size := int64(firstPiece)
	if length >= 0 {
		size = min(size, length+1) // so that the end shows
	}
	for {
		if len(b.Bytes) == cap(b.Bytes) {
			if !b.grow(size, in) {
				return ErrBusy
			}
			size = min(2*size, in.Most+1)
		}
		n, err := from.Read(b.Bytes[len(b.Bytes):cap(b.Bytes)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		switch {
		case int64(len(b.Bytes)) > in.Most:
			return ErrTooLarge
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// grow gives the body a larger piece of memory, in bytes, if there is room.
func (b *Body) grow(size int64, in *Reader) bool {
	room := &in.Small
	if size > Small {
		room = &in.Large
	}
	if !room.Take(size) {
		return false
	}
	larger := append(make([]byte, 0, size), b.Bytes...)
	b.Release()
	b.Bytes, b.room = larger, room
	return true
}

// interruptible reports whether reading a request's body ends by a deadline, or need
// not: if no server has received it, and it is in memory.
func interruptible(w http.ResponseWriter, r *http.Request) bool {
	for {
		switch outer := w.(type) {
		case interface{ SetReadDeadline(time.Time) error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = outer.Unwrap()
		default:
			_, inMemory := r.Body.(io.WriterTo)
			return inMemory && r.Context().Value(http.ServerContextKey) == nil
		}
	}
}

// detached reads at most so many bytes of a body in a goroutine of its own, one small
// piece ahead, so that the handler can give up a Read that does not end. That Read ends
// when the handler has returned: net/http sees to it.
func detached(of io.ReadCloser, most int64) (body io.Reader, cut func()) {
	pr, pw := io.Pipe()
	go func() {
		defer func() {
			if v := recover(); v != nil {
				pw.CloseWithError(&readPanic{v})
			}
		}()
		_, err := io.CopyBuffer(pw, io.LimitReader(of, most), make([]byte, firstPiece))
		if !errors.Is(err, io.ErrClosedPipe) {
			_ = of.Close() // at once, while the Read that net/http ended still fails: else net/http waits for the rest
		}
		pw.CloseWithError(err)
	}()
	return pr, func() { pw.CloseWithError(os.ErrDeadlineExceeded) }
}

// readPanic is a panic of a body's Read, which is brought to the handler's goroutine.
type readPanic struct{ value any }

func (*readPanic) Error() string { return "reading the body panicked" }

// unread reports whether a body without a declared length comes as net/http's server
// has made it, and nobody has read it to its end. Only the body itself knows that, and
// it does not tell: a body that was read and one that was empty answer alike.
func unread(body io.ReadCloser) bool {
	v := reflect.ValueOf(body)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return false
	}
	switch v.Elem().Type().PkgPath() {
	case "net/http", "net/http/internal/http2": // where the one of HTTP/2 is since Go 1.27
	default:
		return false
	}
	sawEOF := v.Elem().FieldByName("sawEOF")
	return sawEOF.Kind() == reflect.Bool && !sawEOF.Bool()
}
