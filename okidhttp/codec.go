package okidhttp

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/okidkit/okidkit/identity"
)

var errCorrupt = errors.New("record cannot be read")

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

// later holds the fields that a newer version of the kit wrote. Every message
// embeds it.
type later struct{ raw []byte }

func (l *later) unknown() *[]byte { return &l.raw }

// coder writes and reads the fields of messages.
//
// On the wire a field is its tag, a length and that many bytes, both numbers as
// unsigned varints; empty values are left out. Fields stand in the order in which
// they are listed. A reader keeps the fields whose tags it does not know and writes
// them back, so that an older and a newer version of the kit can share a store.
type coder struct {
	out     []byte // what was written
	reading bool
	tag     uint64 // of the field that is to be read next; 0: there is none
	in      []byte // its bytes
	whole   []byte // it, with tag and length
	rest    []byte // what comes after it
	err     error
}

// wants says whether the field with this tag is the one to be read, which it then
// is: in comes back with its bytes, and the coder goes on to the next.
func (c *coder) wants(tag uint64) (in []byte, ok bool) {
	if c.tag != tag || c.err != nil {
		return nil, false
	}
	in = c.in
	c.next()
	return in, true
}

// next goes on to the next field.
func (c *coder) next() {
	c.tag, c.in, c.whole = 0, nil, nil
	if len(c.rest) == 0 {
		return
	}
	tag, n := binary.Uvarint(c.rest)
	if n <= 0 || tag == 0 {
		c.err = errCorrupt
		return
	}
	in, rest, err := splitSized(c.rest[n:])
	if err != nil {
		c.err = err
		return
	}
	c.tag, c.in, c.whole, c.rest = tag, in, c.rest[:len(c.rest)-len(rest)], rest
}

func (c *coder) bytes(tag uint64, v *[]byte) {
	if !c.reading {
		write(c, tag, *v)
	} else if in, ok := c.wants(tag); ok {
		*v = slices.Clone(in)
	}
}

func (c *coder) text(tag uint64, v *string) {
	if !c.reading {
		write(c, tag, *v)
	} else if in, ok := c.wants(tag); ok {
		*v = string(in)
	}
}

// array is for byte arrays, given as slices of them. A zero array is written.
func (c *coder) array(tag uint64, v []byte) {
	if !c.reading {
		write(c, tag, v)
	} else if in, ok := c.wants(tag); ok && copy(v, in) != max(len(v), len(in)) {
		c.err = errCorrupt
	}
}

func (c *coder) int(tag uint64, v *int64) {
	if !c.reading {
		if *v != 0 {
			var buf [binary.MaxVarintLen64]byte
			write(c, tag, buf[:binary.PutVarint(buf[:], *v)])
		}
	} else if in, ok := c.wants(tag); ok {
		n, size := binary.Varint(in)
		if size <= 0 || size != len(in) {
			c.err = errCorrupt
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

// date is YYYY-MM-DD.
func (c *coder) date(tag uint64, v *identity.Date) {
	if !c.reading {
		if _, err := identity.ParseDate(v.String()); err == nil { // others could not be read again
			write(c, tag, v.String())
		}
	} else if in, ok := c.wants(tag); ok {
		var err error
		if *v, err = identity.ParseDate(string(in)); err != nil {
			c.err = errCorrupt
		}
	}
}

// nested is for a message within a message.
func (c *coder) nested(tag uint64, m message) {
	if !c.reading {
		c.out = binary.AppendUvarint(c.out, tag)
		c.sized(m)
	} else if in, ok := c.wants(tag); ok {
		if err := decode(in, m); err != nil {
			c.err = err
		}
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
			c.err = errCorrupt
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
	var c coder
	c.message(m)
	return c.out
}

// decode reads what encode wrote.
func decode(b []byte, m message) error {
	c := coder{reading: true, rest: b}
	for c.next(); c.tag != 0 && c.err == nil; {
		left := len(c.rest)
		m.fields(&c) // reads all, if nothing is unknown and all are in order
		if len(c.rest) == left && c.tag != 0 && c.err == nil {
			*m.unknown() = append(*m.unknown(), c.whole...)
			c.next()
		}
	}
	return c.err
}

// splitSized splits off what sized wrote.
func splitSized(b []byte) (v, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, errCorrupt
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}
