package okidhttp

import (
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/okidkit/okidkit/internal/engine"
)

// What strangers send takes memory before anybody can know whether it is worth it.
// How much that is in all, and for how long, is bounded here, for each route by
// itself, so that none stands in the way of another.

const (
	// webhookTime is how long the body of a webhook may take to arrive, and userTime
	// that of a user, whose line may be slow.
	webhookTime = 5 * time.Second
	userTime    = 10 * time.Second
	// firstPiece is the memory that is made ready for a body of which nothing has come
	// yet, in bytes: enough for most webhooks.
	firstPiece = 1 << 10
	// smallBody is the largest body for which there is room beside the large ones, in
	// bytes.
	smallBody = 8 << 10

	// The room for bodies that are being read, or whose sender is not known yet, in
	// bytes.
	webhookSmall, webhookLarge   = 16 << 20, 8 << 20
	claimSmall, claimLarge       = 4 << 20, 16 << 20
	startSmall, startLarge       = 4 << 20, 4 << 20
	strangerSmall, strangerLarge = 1 << 20, 1 << 20
)

// bodies reads the bodies of requests to one route.
type bodies struct {
	most   int64 // bytes of one
	within time.Duration
	small  room // of those up to smallBody, so that large ones, however many, never keep them out
	large  room
}

// room is memory that is given out, and back.
type room struct {
	size int64
	used atomic.Int64
}

func (r *room) take(n int64) bool {
	for {
		used := r.used.Load()
		if used+n > r.size {
			return false
		}
		if r.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (r *room) give(n int64) { r.used.Add(-n) }

// body is one that was read. It takes room until it is released.
type body struct {
	bytes []byte
	room  *room // nil: none is taken
}

func (b *body) release() {
	if b.room != nil {
		b.room.give(int64(cap(b.bytes)))
		b.room = nil
	}
}

var (
	errNoRoom   = errors.New("too many bodies are on their way")
	errTooLarge = errors.New("body is too large")
)

// closedInHTTP2 is what HTTP/2 has for http.ErrBodyReadAfterClose. It has no name.
const closedInHTTP2 = "body closed by handler"

// read reads a request's body as it is on the wire, or says what is wrong with it.
// What it returns must be released.
func (in *bodies) read(w http.ResponseWriter, r *http.Request) (*body, *problem) {
	for _, encoding := range r.Header["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return nil, &problemEncodedBody
		}
	}
	if r.ContentLength > in.most {
		return nil, &problemBodyTooLarge
	}
	from, cut := io.Reader(r.Body), func() {
		// One in the past, so that no clock needs to be read.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
	if !interruptible(w, r) {
		from, cut = detached(r.Body, in.most+1)
		defer cut()
	}
	mayBeRead := r.ContentLength < 0 && !unread(r.Body)
	b := new(body)
	ok := false
	defer func() {
		if !ok {
			b.release()
		}
	}()
	timer := time.AfterFunc(in.within, cut)
	defer timer.Stop()
	err := b.readFrom(from, in, r.ContentLength)
	inTime := timer.Stop()
	if p, ok := errors.AsType[*readPanic](err); ok {
		panic(p.value)
	}
	_, limited := errors.AsType[*http.MaxBytesError](err) // by somebody in front of us
	switch length := int64(len(b.bytes)); {
	case errors.Is(err, errNoRoom):
		return nil, &problemBusy
	case errors.Is(err, errTooLarge), limited:
		return nil, &problemBodyTooLarge
	case errors.Is(err, http.ErrBodyReadAfterClose), err != nil && err.Error() == closedInHTTP2:
		return nil, &problemBodyRead
	case !inTime:
		return nil, &problemSlowBody
	case err != nil:
		return nil, &problemBadRequest
	case length < r.ContentLength, length == 0 && mayBeRead:
		return nil, &problemBodyRead
	}
	ok = true
	return b, nil
}

// readFrom reads a body of which length bytes are announced, if that is not negative.
func (b *body) readFrom(from io.Reader, in *bodies, length int64) error {
	size := int64(firstPiece)
	if length >= 0 {
		size = min(size, length+1) // so that the end shows
	}
	for {
		if len(b.bytes) == cap(b.bytes) {
			if !b.grow(size, in) {
				return errNoRoom
			}
			size = min(2*size, in.most+1)
		}
		n, err := from.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > in.most:
			return errTooLarge
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// grow gives the body a larger piece of memory, in bytes, if there is room.
func (b *body) grow(size int64, in *bodies) bool {
	room := &in.small
	if size > smallBody {
		room = &in.large
	}
	if !room.take(size) {
		return false
	}
	larger := append(make([]byte, 0, size), b.bytes...)
	b.release()
	b.bytes, b.room = larger, room
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
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct || v.Elem().Type().PkgPath() != "net/http" {
		return false
	}
	sawEOF := v.Elem().FieldByName("sawEOF")
	return sawEOF.Kind() == reflect.Bool && !sawEOF.Bool()
}

// refuse answers a request whose body could not be read, or is not wanted. What is
// left of it is not waited for.
func (k *Kit) refuse(w http.ResponseWriter, r *http.Request, p problem) {
	switch p.Code {
	case problemBodyRead.Code:
		k.engine.Observe(r.Context(), engine.BodyRead)
	case problemBusy.Code:
		k.engine.Observe(r.Context(), engine.Busy)
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	k.problem(w, r, p, nil)
}
