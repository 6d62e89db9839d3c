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
// unsigned varints; empty values are left out. A reader keeps the fields whose
// tags it does not know and writes them back, so that an older and a newer
// version of the kit can share a store.
type coder struct {
	out     []byte // what was written
	reading bool
	tag     uint64 // of the field that is being read
	in      []byte // its bytes
	taken   bool   // some field had that tag
	err     error
}

// wants says whether the field with this tag is the one being read.
func (c *coder) wants(tag uint64) bool {
	if c.tag != tag {
		return false
	}
	c.taken = true
	return true
}

func (c *coder) bytes(tag uint64, v *[]byte) {
	if !c.reading {
		write(c, tag, *v)
	} else if c.wants(tag) {
		*v = slices.Clone(c.in)
	}
}

func (c *coder) text(tag uint64, v *string) {
	if !c.reading {
		write(c, tag, *v)
	} else if c.wants(tag) {
		*v = string(c.in)
	}
}

// array is for byte arrays, given as slices of them. A zero array is written.
func (c *coder) array(tag uint64, v []byte) {
	if !c.reading {
		write(c, tag, v)
	} else if c.wants(tag) {
		if copy(v, c.in) != len(v) || len(v) != len(c.in) {
			c.err = errCorrupt
		}
	}
}

func (c *coder) int(tag uint64, v *int64) {
	if !c.reading {
		if *v != 0 {
			var buf [binary.MaxVarintLen64]byte
			write(c, tag, buf[:binary.PutVarint(buf[:], *v)])
		}
	} else if c.wants(tag) {
		n, size := binary.Varint(c.in)
		if size <= 0 || size != len(c.in) {
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
	} else if c.wants(tag) {
		if *v, c.err = identity.ParseDate(string(c.in)); c.err != nil {
			c.err = errCorrupt
		}
	}
}

// nested is for a message within a message.
func (c *coder) nested(tag uint64, m message) {
	if !c.reading {
		c.out = binary.AppendUvarint(c.out, tag)
		c.sized(m)
	} else if c.wants(tag) {
		c.err = decode(c.in, m)
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
	} else if c.tag == tag {
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
	c := coder{reading: true}
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return errCorrupt
		}
		v, rest, err := splitSized(b[n:])
		if err != nil {
			return err
		}
		c.tag, c.in, c.taken = tag, v, false
		m.fields(&c)
		if c.err != nil {
			return c.err
		}
		if !c.taken {
			*m.unknown() = append(*m.unknown(), b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return nil
}

// splitSized splits off what sized wrote.
func splitSized(b []byte) (v, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, errCorrupt
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}
