package attempt

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

var ErrCorrupt = errors.New("record cannot be read")

// message is a struct that goes into a record. It lists its fields once, by
// handing every one of them to the coder with its tag:
//
//	func (p *pending) fields(c *coder) {
//		c.int(6, &p.tries)
//		c.time(7, &p.due)
//	}
type message interface {
	fields(*coder)
	unknown() *[]byte
}

// unknownFields holds the fields that a newer version of the kit wrote. Every message
// embeds it.
type unknownFields struct{ raw []byte }

func (f *unknownFields) unknown() *[]byte { return &f.raw }

// coder writes and reads the fields of messages.
//
// On the wire a field is its tag, a length and that many bytes, both numbers as
// unsigned varints; empty values are left out. Fields stand in the order in which
// they are listed. A reader keeps the fields whose tags it does not know and writes
// them back, so that an older and a newer version of the kit can share a store.
type coder struct {
	out     []byte // what was written
	reading bool
	data    []byte // what is read
	chars   string // data again, so that strings need no memory of their own
	end     int    // of the message in data
	tag     uint64 // of the field that is to be read next; 0: there is none
	start   int    // where it begins in data,
	from    int    // its bytes,
	to      int    // and where it ends
	err     error
}

// wants says whether the field with this tag is the one to be read, which it then
// is: its bytes are those from here to there, and the coder goes on to the next.
func (c *coder) wants(tag uint64) (from, to int, ok bool) {
	if c.tag != tag || c.err != nil {
		return 0, 0, false
	}
	from, to = c.from, c.to
	c.next()
	return from, to, true
}

// next goes on to the next field.
func (c *coder) next() {
	c.tag, c.start = 0, c.to
	if c.start == c.end {
		return
	}
	tag, n := binary.Uvarint(c.data[c.start:c.end])
	if n <= 0 || tag == 0 {
		c.err = ErrCorrupt
		return
	}
	size, m := binary.Uvarint(c.data[c.start+n : c.end])
	c.from = c.start + n + m
	if m <= 0 || size > uint64(c.end-c.from) {
		c.err = ErrCorrupt
		return
	}
	c.tag, c.to = tag, c.from+int(size)
}

func (c *coder) bytes(tag uint64, v *[]byte) {
	if !c.reading {
		write(c, tag, *v)
	} else if from, to, ok := c.wants(tag); ok {
		*v = c.data[from:to:to]
	}
}

func (c *coder) text(tag uint64, v *string) {
	if !c.reading {
		write(c, tag, *v)
	} else if from, to, ok := c.wants(tag); ok {
		*v = c.chars[from:to]
	}
}

// array is for byte arrays, given as slices of them. A zero array is written.
func (c *coder) array(tag uint64, v []byte) {
	if !c.reading {
		write(c, tag, v)
	} else if from, to, ok := c.wants(tag); ok && copy(v, c.data[from:to]) != max(len(v), to-from) {
		c.err = ErrCorrupt
	}
}

func (c *coder) int(tag uint64, v *int64) {
	if !c.reading {
		if *v != 0 {
			var buf [binary.MaxVarintLen64]byte
			write(c, tag, buf[:binary.PutVarint(buf[:], *v)])
		}
	} else if from, to, ok := c.wants(tag); ok {
		n, size := binary.Varint(c.data[from:to])
		if size <= 0 || size != to-from {
			c.err = ErrCorrupt
		}
		*v = n
	}
}

func (c *coder) flag(tag uint64, v *bool) {
	var n int64
	if *v {
		n = 1
	}
	c.int(tag, &n)
	*v = n != 0
}

// time keeps milliseconds.
func (c *coder) time(tag uint64, v *time.Time) {
	var ms int64
	if !v.IsZero() {
		ms = v.UnixMilli()
	}
	c.int(tag, &ms)
	if c.reading && ms != 0 {
		*v = time.UnixMilli(ms).UTC()
	}
}

// date is a number, YYYYMMDD, and -1 for one that cannot be read, as is any that does
// not exist.
func (c *coder) date(tag uint64, v *identity.Date) {
	var n int64
	switch {
	case v.Exists():
		n = int64(v.Year)*10000 + int64(v.Month)*100 + int64(v.Day)
	case !v.IsZero():
		n = -1
	}
	c.int(tag, &n)
	switch {
	case !c.reading || n == 0:
		return
	case n == -1:
		*v = identity.UnreadableDate
		return
	}
	*v = identity.Date{Year: int(n / 10000), Month: time.Month(n / 100 % 100), Day: int(n % 100)}
	if !v.Exists() {
		c.err = ErrCorrupt
	}
}

// nested is for a message within a message.
func (c *coder) nested(tag uint64, m message) {
	if !c.reading {
		c.out = binary.AppendUvarint(c.out, tag)
		c.sized(m)
	} else if from, to, ok := c.wants(tag); ok {
		outer := *c
		c.to, c.end = from, to
		err := c.read(m)
		*c = outer
		c.err = err
	}
}

// maxList bounds a list, so that a few hostile bytes do not become much memory.
const maxList = 1024

// each is for a field that stands once for every element of a list.
func each[T any](c *coder, tag uint64, list *[]T, field func(*T)) {
	if !c.reading {
		for i := range *list {
			field(&(*list)[i])
		}
		return
	}
	for c.tag == tag && c.err == nil {
		if len(*list) == maxList {
			c.err = ErrCorrupt
			return
		}
		*list = append(*list, *new(T))
		field(&(*list)[len(*list)-1])
	}
}

// sized writes the length of a message, and then the message.
func (c *coder) sized(m message) {
	start := len(c.out)
	c.message(m)
	var buf [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(buf[:], uint64(len(c.out)-start))
	c.out = slices.Insert(c.out, start, buf[:n]...)
}

func (c *coder) message(m message) {
	m.fields(c)
	c.out = append(c.out, *m.unknown()...)
}

func write[T string | []byte](c *coder, tag uint64, v T) {
	if len(v) == 0 {
		return
	}
	c.out = binary.AppendUvarint(c.out, tag)
	c.out = binary.AppendUvarint(c.out, uint64(len(v)))
	c.out = append(c.out, v...)
}

// encode writes a message by itself.
func encode(m message) []byte {
	c := coder{out: make([]byte, 0, 256)}
	c.message(m)
	return c.out
}

// decode reads what encode wrote. The message keeps parts of b, which nobody may
// change any more.
func decode(b []byte, m message) error {
	c := coder{reading: true, data: b, chars: string(b), end: len(b)}
	return c.read(m)
}

func (c *coder) read(m message) error {
	for c.next(); c.tag != 0 && c.err == nil; {
		start := c.start
		m.fields(c) // reads all, if nothing is unknown and all are in order
		if c.start == start && c.tag != 0 && c.err == nil {
			*m.unknown() = append(*m.unknown(), c.data[c.start:c.to]...)
			c.next()
		}
	}
	return c.err
}

// splitSized splits off what sized wrote.
func splitSized(b []byte) (v, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, ErrCorrupt
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}
