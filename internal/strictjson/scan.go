package strictjson

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// What follows is the grammar of RFC 8259, for data that is valid UTF-8.

// peek skips white space and returns the byte that follows, and 0 at the end.
func (p *parser) peek() byte {
	for ; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (p *parser) syntax() error { return fmt.Errorf("%w after byte %d", ErrSyntax, p.at) }

// literal reads true, false or null.
func (p *parser) literal(first byte) bool {
	word := "true"
	switch first {
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	}
	if !bytes.HasPrefix(p.data[p.at:], []byte(word)) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) number() bool {
	p.skip('-', '-')
	if !p.skip('0', '0') && !p.digits() {
		return false
	}
	if p.skip('.', '.') && !p.digits() {
		return false
	}
	if p.skip('e', 'E') {
		p.skip('+', '-')
		return p.digits()
	}
	return true
}

// skip reads one byte if it is a or b.
func (p *parser) skip(a, b byte) bool {
	if p.at == len(p.data) || p.data[p.at] != a && p.data[p.at] != b {
		return false
	}
	p.at++
	return true
}

// digits reads one digit or more.
func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.data) && '0' <= p.data[p.at] && p.data[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}

// plain are the bytes that stand for themselves in a string.
var plain = func() (plain [256]bool) {
	for c := range plain {
		plain[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return plain
}()

// string reads a string, and returns what is between its quotes.
func (p *parser) string() (raw []byte, escaped bool, err error) {
	start := p.at + 1
	for i := start; ; i++ {
		for i < len(p.data) && plain[p.data[i]] {
			i++
		}
		if i == len(p.data) {
			return nil, false, p.syntax()
		}
		if p.data[i] == '"' {
			p.at = i + 1
			return p.data[start:i], escaped, nil
		}
		escaped = true
		n := escape(p.data[i:])
		if n == 0 {
			return nil, false, p.syntax()
		}
		i += n - 1
	}
}

// escape is the length of the escape that data begins with, and 0 if it is none.
func escape(data []byte) int {
	switch {
	case data[0] != '\\' || len(data) < 2:
		return 0
	case data[1] == 'u':
		if len(data) < 6 || hex4(data[2:]) < 0 {
			return 0
		}
		return 6
	case strings.IndexByte(`"\/bfnrt`, data[1]) < 0:
		return 0
	}
	return 2
}

// unescape replaces the escapes in what string has read. It is false if one is half
// of a surrogate pair, which is no text; it is encoded as if it were a character, so
// that different strings stay different.
func (p *parser) unescape(raw []byte) ([]byte, bool) {
	if cap(p.texts)-len(p.texts) < len(raw) {
		p.texts = make([]byte, 0, max(len(raw), min(4*cap(p.texts), len(p.data)), 64)) // the texts so far stay where they are
	}
	start, isUnicode := len(p.texts), true
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			i = len(raw)
		}
		p.texts, raw = append(p.texts, raw[:i]...), raw[i:]
		if len(raw) == 0 {
			break
		}
		c := raw[1]
		raw = raw[2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(raw)
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				var second rune
				if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
					second = hex4(raw[2:])
				}
				if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
					p.texts, raw = utf8.AppendRune(p.texts, pair), raw[6:]
				} else {
					isUnicode = false
					p.texts = append(p.texts, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
				}
				continue
			}
			p.texts = utf8.AppendRune(p.texts, r)
			continue
		}
		p.texts = append(p.texts, c)
	}
	return p.texts[start:len(p.texts):len(p.texts)], isUnicode
}

// hex4 reads four hexadecimal digits; -1 is what is none. There must be four bytes.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
