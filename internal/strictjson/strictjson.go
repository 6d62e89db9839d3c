// Package strictjson reads a stranger's JSON into a tree, and refuses every
// document that two readers could understand in two ways: repeated member names,
// names that differ by letter case alone, invalid UTF-8, text after the value.
//
//	id, err := strictjson.Read(body, func(root *strictjson.Value) (string, error) {
//		id, _ := root.Get("data").Get("id").Text()
//		return string(id), nil
//	})
//
// Its errors never contain anything from the document.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Why a document is refused, matched with [errors.Is].
var (
	// ErrSyntax: the document is not one JSON value in valid UTF-8.
	ErrSyntax = errors.New("not valid JSON")
	// ErrTrailing: something follows the value.
	ErrTrailing = errors.New("data after the JSON value")
	// ErrDepth: objects and arrays are nested deeper than [MaxDepth].
	ErrDepth = errors.New("JSON is nested too deeply")
	// ErrNames: two members of one object have the same name, or a name differs
	// from another, or from one that the reader knows, by letter case alone.
	ErrNames = errors.New("JSON member names are repeated or differ by letter case alone")
)

// MaxDepth is how deep objects and arrays may be nested: `[[1]]` has depth 2.
const MaxDepth = 64

// Value is one value of a document. It must not be used after the [Read] that it
// belongs to. A nil *Value is one that is not there, and every method can be
// called on it.
type Value struct {
	kind jsontext.Kind
	name []byte // as a member of an object, unescaped
	text []byte // of a string, unescaped; of a number, as written

	first *Value // child of an object or array
	next  *Value // sibling; those of an object are in the order of compareFold
}

// Read calls f with data, which must be one JSON value with nothing but white
// space around it, and returns what f returns. It does not call f if data is
// refused. The values and their texts are f's until it returns; it must not keep
// or change them. Data itself is neither kept nor changed.
func Read[T any](data []byte, f func(root *Value) (T, error)) (T, error) {
	p := parsers.Get().(*parser)
	defer p.release()
	root, err := p.parse(data)
	if err != nil {
		var zero T
		return zero, err
	}
	return f(root)
}

// IsObject reports whether v is an object.
func (v *Value) IsObject() bool { return v != nil && v.kind == '{' }

// Get returns the member of an object, and nil if v has no such member or is no
// object. The name must match exactly; see CheckNames for those that nearly do.
func (v *Value) Get(name string) *Value {
	for m := v.firstMember(); m != nil; m = m.next {
		if string(m.name) == name {
			return m
		}
	}
	return nil
}

// Members are the members of an object, in an order that does not depend on the
// order in the document. There are none if v is no object.
func (v *Value) Members() iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		for m := v.firstMember(); m != nil && yield(m); m = m.next {
		}
	}
}

// Elements are the elements of an array, in their order. There are none if v is no
// array.
func (v *Value) Elements() iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		if v == nil || v.kind != '[' {
			return
		}
		for e := v.first; e != nil && yield(e); e = e.next {
		}
	}
}

func (v *Value) firstMember() *Value {
	if !v.IsObject() {
		return nil
	}
	return v.first
}

// Name is the name of a member, and nil for other values.
func (v *Value) Name() []byte {
	if v == nil {
		return nil
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

// CheckNames returns [ErrNames] if a member's name differs by letter case alone
// from one of known, the names that the caller reads: another reader might take
// the one for the other. It returns nil if v is no object.
func (v *Value) CheckNames(known ...string) error {
	for m := v.firstMember(); m != nil; m = m.next {
		if isOneOf(m.name, known) {
			continue
		}
		for _, name := range known {
			if compareFold(m.name, []byte(name)) == 0 {
				return ErrNames
			}
		}
	}
	return nil
}

func isOneOf(name []byte, known []string) bool {
	for _, k := range known {
		if string(name) == k {
			return true
		}
	}
	return false
}

// parser holds what reading a document takes, for the next document to use.
type parser struct {
	dec    jsontext.Decoder
	src    bytes.Buffer
	data   []byte
	values []Value  // of the document; those that did not fit are elsewhere
	open   []*Value // children read so far of the objects and arrays that are open
}

var parsers = sync.Pool{New: func() any { return new(parser).reset() }}

// reset makes the parser ready for a document, without any trace of the last one.
func (p *parser) reset() *parser {
	clear(p.values)
	clear(p.open[:cap(p.open)])
	p.data, p.values, p.open, p.src = nil, p.values[:0], p.open[:0], bytes.Buffer{}
	// The decoder need not look for repeated names: sortMembers sees more.
	p.dec.Reset(&p.src, jsontext.AllowDuplicateNames(true))
	return p
}

func (p *parser) release() {
	if cap(p.values) <= 1024 && cap(p.open) <= 1024 { // else a rare giant would stay for ever
		parsers.Put(p.reset())
	}
}

func (p *parser) parse(data []byte) (*Value, error) {
	p.data, p.src = data, *bytes.NewBuffer(data)
	root, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.ReadToken(); err != io.EOF {
		return nil, ErrTrailing
	}
	return root, nil
}

func (p *parser) value(depth int) (*Value, error) {
	v := p.newValue()
	v.kind = p.dec.PeekKind()
	if v.kind != '{' && v.kind != '[' {
		var err error
		v.text, err = p.scalar()
		return v, err
	}
	if depth == MaxDepth {
		return nil, ErrDepth
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, p.syntax()
	}
	start := len(p.open)
	for k := p.dec.PeekKind(); k != '}' && k != ']'; k = p.dec.PeekKind() {
		var name []byte
		if v.kind == '{' {
			var err error
			if name, err = p.scalar(); err != nil {
				return nil, err
			}
		}
		child, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		child.name = name
		p.open = append(p.open, child)
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, p.syntax()
	}
	children := p.open[start:]
	if v.kind == '{' {
		if err := sortMembers(children); err != nil {
			return nil, err
		}
	}
	for i, child := range children {
		if i == 0 {
			v.first = child
		} else {
			children[i-1].next = child
		}
	}
	p.open = p.open[:start]
	return v, nil
}

// scalar reads a string without its quotes and escapes, or anything else as it
// is written.
func (p *parser) scalar() ([]byte, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return nil, p.syntax()
	}
	// What the decoder returns may change when it reads on; data does not.
	end := p.dec.InputOffset()
	text := p.data[end-int64(len(raw)) : end]
	if text[0] != '"' {
		return text, nil
	}
	if bytes.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1], nil
	}
	if text, err = jsontext.AppendUnquote(nil, text); err != nil {
		return nil, p.syntax()
	}
	return text, nil
}

func (p *parser) syntax() error {
	return fmt.Errorf("%w after byte %d", ErrSyntax, p.dec.InputOffset())
}

func (p *parser) newValue() *Value {
	if len(p.values) == cap(p.values) {
		p.values = make([]Value, 0, 32+2*cap(p.values))
	}
	p.values = append(p.values, Value{})
	return &p.values[len(p.values)-1]
}

// sortMembers orders the members of an object by name, and returns ErrNames if
// two names are the same but for letter case.
func sortMembers(members []*Value) error {
	slices.SortFunc(members, func(a, b *Value) int { return compareFold(a.name, b.name) })
	for i := 1; i < len(members); i++ {
		if compareFold(members[i-1].name, members[i].name) == 0 {
			return ErrNames
		}
	}
	return nil
}

// compareFold orders names such that those, and only those, are equal that
// [bytes.EqualFold] calls equal.
func compareFold(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x|y >= utf8.RuneSelf {
			return slices.Compare(foldedRunes(a[i:]), foldedRunes(b[i:]))
		}
		if x != y && upper(x) != upper(y) {
			return int(upper(x)) - int(upper(y))
		}
	}
	return len(a) - len(b)
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// foldedRunes replaces each rune of s by the smallest of those that differ from
// it by letter case alone.
func foldedRunes(s []byte) []rune {
	runes := []rune(string(s))
	for i, r := range runes {
		// SimpleFold goes round from each to the next larger one, and from the
		// largest to the smallest.
		for r < unicode.SimpleFold(r) {
			r = unicode.SimpleFold(r)
		}
		runes[i] = unicode.SimpleFold(r)
	}
	return runes
}
