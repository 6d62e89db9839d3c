// Package strictjson reads a stranger's JSON: strictly where it decides something,
// and with patience everywhere else. A [Shape] says which parts are read, and which
// of them decide; nothing is built for the others, so that a hostile document costs
// no more memory than its own length or so.
//
//	var shape = strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "id"}}}
//
//	id, err := strictjson.Read(body, &shape, func(root *strictjson.Value) (string, error) {
//		id, _ := root.Get("id").Text()
//		return string(id), nil
//	})
//
// What two readers could understand in two ways is refused in an object that
// decides. In other objects it is harmless, and what it makes ambiguous cannot be
// read: such a value is there, but has no text.
//
// It has a scanner of its own, because the libraries for JSON either refuse what is
// harmless here, or build what nobody reads. Errors never contain anything from the
// document.
package strictjson

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Why a document is refused, matched with [errors.Is].
var (
	// ErrSyntax: the document is not one JSON value in valid UTF-8, or longer than
	// 256 MiB.
	ErrSyntax = errors.New("not valid JSON")
	// ErrTrailing: something follows the value.
	ErrTrailing = errors.New("data after the JSON value")
	// ErrDepth: objects and arrays are nested deeper than [MaxDepth].
	ErrDepth = errors.New("JSON is nested too deeply")
	// ErrNames: in an object that decides, two members have the same name, or a name
	// differs from another, or from one that is read, by letter case alone, or has
	// half a surrogate pair.
	ErrNames = errors.New("JSON member names are repeated, differ by letter case alone, or are not Unicode")
)

// MaxDepth is how deep objects and arrays may be nested: `[[1]]` has depth 2.
const MaxDepth = 256

// maxLength keeps offsets within 32 bits: the canonical form of a document is up to
// three times as long.
const maxLength = 256 << 20

// Shape says what is read of a value. The zero Shape, and nil: its text, if it is a
// string or a number.
type Shape struct {
	// Strict: the value, if it is an object, decides something. See [ErrNames].
	Strict bool
	// Members are the members of an object that are read.
	Members []Member
	// Others is how many further members are read, each as if its Shape were nil.
	Others int
	// Elements is what is read of each of the first Max elements of an array.
	Elements *Shape
	Max      int
	// Canonical: [Value.AppendCanonical] will be called. Nothing further inside can
	// have it, too.
	Canonical bool
}

// Member is a member that is read.
type Member struct {
	Name  string
	Shape *Shape
}

// Value is one value of a document. It must not be used after the [Read] that it
// belongs to. A nil *Value is one that is not there, and every method can be
// called on it.
type Value struct {
	kind  byte   // '{', '[', '"', '0', 't', 'f', 'n', or unreadable
	empty bool   // an array without elements
	name  string // as a member of an object
	text  []byte // of a string, unescaped; of a number, as written
	form  []byte // the canonical form, if the shape asks for it

	first *Value // of the children that are read
	next  *Value // sibling
}

// unreadable is the kind of a string that is not Unicode, and of a value that is
// ambiguous.
const unreadable = '?'

var unreadableValue = &Value{kind: unreadable}

// Read calls f with what shape says of data, which must be one JSON value with
// nothing but white space around it, and returns what f returns. It does not call f
// if data is refused. The values and their texts are f's until it returns; it must
// not keep or change them. Data itself is neither kept nor changed.
func Read[T any](data []byte, shape *Shape, f func(root *Value) (T, error)) (T, error) {
	p := parsers.Get().(*parser)
	defer p.release()
	root, err := p.parse(data, shape)
	if err != nil {
		var zero T
		return zero, err
	}
	return f(root)
}

// IsObject reports whether v is an object.
func (v *Value) IsObject() bool { return v != nil && v.kind == '{' }

// Absent reports whether there is nothing: no member, null, or "". What is there and
// cannot be read is not absent.
func (v *Value) Absent() bool {
	return v == nil || v.kind == 'n' || v.kind == '"' && len(v.text) == 0
}

// Get returns the member of an object that has exactly this name, which must be one
// that the shape reads. It is nil if there is none, or if v itself is absent or an
// array without elements, which is what some writers make of an empty object.
//
// The member is there, but cannot be read, if the object has it more than once, if
// one has a name that differs by letter case alone, or if v is not an object.
func (v *Value) Get(name string) *Value {
	switch {
	case v.IsObject():
		for m := v.first; m != nil; m = m.next {
			if m.name == name {
				return m
			}
		}
		return nil
	case v.Absent() || v.kind == '[' && v.empty:
		return nil
	}
	return unreadableValue
}

// Members are the members of an object that are read, in no particular order.
// There are none if v is no object.
func (v *Value) Members() iter.Seq[*Value] { return v.children('{') }

// Elements are the elements of an array that are read, in their order. There are
// none if v is no array.
func (v *Value) Elements() iter.Seq[*Value] { return v.children('[') }

func (v *Value) children(kind byte) iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		if v == nil || v.kind != kind {
			return
		}
		for c := v.first; c != nil && yield(c); c = c.next {
		}
	}
}

// Name is the name of a member, and "" for other values.
func (v *Value) Name() string {
	if v == nil {
		return ""
	}
	return v.name
}

// Text is the text of a string. It is false for other values.
func (v *Value) Text() ([]byte, bool) {
	if v == nil || v.kind != '"' {
		return nil, false
	}
	return v.text, true
}

// Number is a number as it is written. It is false for other values.
func (v *Value) Number() ([]byte, bool) {
	if v == nil || v.kind != '0' {
		return nil, false
	}
	return v.text, true
}

// parser holds what reading a document takes, for the next document to use.
type parser struct {
	data []byte
	at   int // how much of data is read

	values []Value // that are read; those that did not fit are elsewhere
	texts  []byte  // unescaped strings; those that did not fit are elsewhere

	canonical bool      // form grows by the canonical form of each value
	form      []byte    //
	members   []segment // of the objects that are open, if their names are compared
	scratch   []byte
}

// segment is, while the form is canonical, where a member lies in it: ",", the name
// with its length, and the value. Else it is where the name lies in the document,
// or, if from is beyond the document's end, in the form that follows.
type segment struct{ from, to uint32 }

// What a pooled parser may hold on to: a rare giant would stay for ever.
const (
	keptValues = 256
	keptBytes  = 16 << 10
)

var parsers = sync.Pool{New: func() any {
	return &parser{values: make([]Value, 0, 32), form: make([]byte, 0, 1024), scratch: make([]byte, 0, 1024), members: make([]segment, 0, 32)}
}}

// release makes the parser ready for a document, without any trace of the last one.
func (p *parser) release() {
	if cap(p.values) > keptValues || max(cap(p.texts), cap(p.form), cap(p.scratch), 8*cap(p.members)) > keptBytes {
		return
	}
	clear(p.values)
	for _, b := range [][]byte{p.texts, p.form, p.scratch} {
		clear(b[:cap(b)])
	}
	*p = parser{values: p.values[:0], texts: p.texts[:0], form: p.form[:0], scratch: p.scratch[:0], members: p.members[:0]}
	parsers.Put(p)
}

func (p *parser) parse(data []byte, shape *Shape) (*Value, error) {
	p.data = data
	if len(data) > maxLength || !utf8.Valid(data) {
		return nil, p.syntax()
	}
	root := p.newValue()
	if err := p.value(shape, root, 0); err != nil {
		return nil, err
	}
	if p.peek() != 0 || p.at < len(data) {
		return nil, ErrTrailing
	}
	return root, nil
}

// value reads a value: into v, or for its syntax alone if v is nil.
func (p *parser) value(shape *Shape, v *Value, depth int) error {
	if shape != nil && shape.Canonical && !p.canonical {
		start := len(p.form)
		p.canonical = true
		err := p.value(shape, v, depth)
		p.canonical = false
		v.form = p.form[start:]
		return err
	}
	if p.canonical {
		p.form = room(p.form, 32, 3*p.left())
	}
	kind := p.peek()
	var text []byte
	switch kind {
	case '{', '[':
		if depth == MaxDepth {
			return ErrDepth
		}
		if v != nil {
			v.kind = kind
		}
		if p.canonical {
			p.form = append(p.form, kind)
		}
		p.at++
		var err error
		if kind == '{' {
			err = p.object(shape, v, depth)
		} else {
			err = p.array(shape, v, depth)
		}
		if p.canonical {
			p.form = append(p.form, '.')
		}
		return err
	case '"':
		raw, escaped, err := p.string()
		if err != nil {
			return err
		}
		text = raw
		if escaped && (v != nil || p.canonical) {
			ok := true
			if text, ok = p.unescape(raw); !ok && v != nil {
				kind = unreadable
			}
		}
		if p.canonical {
			p.form = AppendText(append(p.form, '"'), text)
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		kind = '0'
		start := p.at
		if !p.number() {
			return p.syntax()
		}
		text = p.data[start:p.at]
		if p.canonical {
			p.form = appendNumber(append(p.form, '0'), text)
		}
	case 't', 'f', 'n':
		if !p.literal(kind) {
			return p.syntax()
		}
		if p.canonical {
			p.form = append(p.form, kind)
		}
	default:
		return p.syntax()
	}
	if v != nil {
		v.kind, v.text = kind, text
	}
	return nil
}

// object reads what follows the opening brace of an object.
func (p *parser) object(shape *Shape, v *Value, depth int) error {
	strict := shape != nil && shape.Strict
	compared := strict || p.canonical
	first, start, others := len(p.members), len(p.form), 0
	if p.peek() == '}' {
		p.at++
		return nil
	}
	for {
		if p.peek() != '"' {
			return p.syntax()
		}
		name, escaped, err := p.string()
		if err != nil {
			return err
		}
		place := segment{uint32(p.at - 1 - len(name)), uint32(p.at - 1)}
		if escaped && (compared || v != nil) {
			isUnicode := true
			if name, isUnicode = p.unescape(name); !isUnicode && strict {
				return ErrNames
			}
			if strict && !p.canonical {
				from := len(p.data) + len(p.form)
				place = segment{uint32(from), uint32(from + len(name))}
				p.form = append(room(p.form, len(name), p.left()), name...)
			}
		}
		if p.peek() != ':' {
			return p.syntax()
		}
		p.at++
		var child *Value
		var childShape *Shape
		if v != nil && shape != nil {
			if child, childShape, err = p.member(shape, v, name, &others); err != nil {
				return err
			}
		}
		if p.canonical {
			place.from = uint32(len(p.form))
			p.form = room(p.form, len(name)+8, 3*p.left())
			p.form = AppendText(append(p.form, ','), name)
		}
		if err := p.value(childShape, child, depth+1); err != nil {
			return err
		}
		if p.canonical {
			place.to = uint32(len(p.form))
		}
		if compared {
			p.members = append(room(p.members, 1, p.left()/len(`"":0,`)), place)
		}
		switch p.peek() {
		case ',':
			p.at++
			continue
		case '}':
			p.at++
		default:
			return p.syntax()
		}
		break
	}
	members := p.members[first:]
	p.members = p.members[:first]
	return p.arrange(members, start, strict)
}

// member is where to put the member of v that has this name, and what of it is
// read: nil for nothing.
func (p *parser) member(shape *Shape, v *Value, name []byte, others *int) (*Value, *Shape, error) {
	known, exact := shape.find(name)
	switch {
	case known == nil && *others < shape.Others:
		*others++
		return p.child(v, string(name)), nil, nil
	case known == nil:
		return nil, nil, nil
	case !exact && shape.Strict:
		return nil, nil, ErrNames
	}
	for m := v.first; m != nil; m = m.next {
		if m.name == known.Name {
			*m = Value{kind: unreadable, name: m.name, next: m.next}
			return nil, nil, nil
		}
	}
	child := p.child(v, known.Name)
	if !exact {
		child.kind = unreadable
		return nil, nil, nil
	}
	return child, known.Shape, nil
}

// find is the member that name is, or differs from by letter case alone.
func (s *Shape) find(name []byte) (m *Member, exact bool) {
	for i := range s.Members {
		if s.Members[i].Name == string(name) {
			return &s.Members[i], true
		}
	}
	for i := range s.Members {
		if compareFold(name, []byte(s.Members[i].Name)) == 0 {
			return &s.Members[i], false
		}
	}
	return nil, false
}

// child makes a child of an object.
func (p *parser) child(v *Value, name string) *Value {
	c := p.newValue()
	c.name, c.next, v.first = name, v.first, c
	return c
}

// array reads what follows the opening bracket of an array.
func (p *parser) array(shape *Shape, v *Value, depth int) error {
	if p.peek() == ']' {
		p.at++
		if v != nil {
			v.empty = true
		}
		return nil
	}
	var last *Value
	for n := 0; ; n++ {
		var child *Value
		var childShape *Shape
		if v != nil && shape != nil && n < shape.Max {
			child, childShape = p.newValue(), shape.Elements
			if last == nil {
				v.first = child
			} else {
				last.next = child
			}
			last = child
		}
		if err := p.value(childShape, child, depth+1); err != nil {
			return err
		}
		switch p.peek() {
		case ',':
			p.at++
			continue
		case ']':
			p.at++
			return nil
		}
		return p.syntax()
	}
}

// arrange puts the members of an object, whose form begins at start, in an order
// that does not depend on the document. In an object that decides, it returns
// ErrNames if two names are the same but for letter case.
func (p *parser) arrange(members []segment, start int, strict bool) error {
	slices.SortFunc(members, p.compare)
	if strict {
		for i := 1; i < len(members); i++ {
			if compareFold(p.name(members[i-1]), p.name(members[i])) == 0 {
				return ErrNames
			}
		}
	}
	moved := !slices.IsSortedFunc(members, func(a, b segment) int { return int(a.from) - int(b.from) })
	if p.canonical && moved {
		p.scratch = append(room(p.scratch[:0], len(p.form)-start, 0), p.form[start:]...)
		p.form = p.form[:start]
		for _, m := range members {
			p.form = append(p.form, p.scratch[int(m.from)-start:int(m.to)-start]...)
		}
	}
	return nil
}

// compare orders members by their names, and those with the same name by what
// follows.
func (p *parser) compare(a, b segment) int {
	if c := compareFold(p.name(a), p.name(b)); c != 0 || !p.canonical {
		return c
	}
	return bytes.Compare(p.form[a.from:a.to], p.form[b.from:b.to])
}

func (p *parser) name(s segment) []byte {
	if end := uint32(len(p.data)); !p.canonical && s.from < end {
		return p.data[s.from:s.to]
	} else if !p.canonical {
		return p.form[s.from-end : s.to-end]
	}
	b := p.form[s.from+1 : s.to] // without the comma
	length, size := binary.Uvarint(b)
	return b[size : size+int(length)]
}

func (p *parser) newValue() *Value {
	if len(p.values) == cap(p.values) {
		p.values = make([]Value, 0, 2*cap(p.values))
	}
	p.values = append(p.values, Value{})
	return &p.values[len(p.values)-1]
}

// left is how much of the document is still to be read.
func (p *parser) left() int { return len(p.data) - p.at }

// room is s with a capacity for at least n more. It grows in great steps, since what
// is outgrown is garbage, but not by more than it may come to need.
func room[T any](s []T, n, most int) []T {
	if cap(s)-len(s) < n {
		return slices.Grow(s, max(n, min(2*len(s), most)))
	}
	return s
}

// compareFold orders names such that those, and only those, are equal that
// [bytes.EqualFold] calls equal.
func compareFold(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		if x, y := a[0], b[0]; x|y < utf8.RuneSelf {
			if x, y = upper(x), upper(y); x != y {
				return int(x) - int(y)
			}
			a, b = a[1:], b[1:]
			continue
		}
		x, sizeX := utf8.DecodeRune(a)
		y, sizeY := utf8.DecodeRune(b)
		if x != y {
			if x, y = folded(x), folded(y); x != y {
				return int(x - y)
			}
		}
		a, b = a[sizeX:], b[sizeY:]
	}
	return len(a) - len(b)
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// folded is the smallest of the runes that differ from r by letter case alone.
func folded(r rune) rune {
	// SimpleFold goes round from each to the next larger one, and from the largest
	// to the smallest.
	for r < unicode.SimpleFold(r) {
		r = unicode.SimpleFold(r)
	}
	return unicode.SimpleFold(r)
}
