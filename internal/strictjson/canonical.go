package strictjson

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// AppendCanonical appends a form of v, whose [Shape] must be Canonical, that two
// values share if, and only if, they are equal: the order of members, white space,
// escapes and the way in which a number is written do not show, and everything else
// does. Where an object has a name more than once, all the members of that name
// count, in any order. It is meant for hashing; it is not JSON.
//
// RFC 8785 would be a standard form, but it rounds numbers to 53 bits, so that
// different values share it, and knows neither repeated names nor half a surrogate
// pair. Numbers here are exact. (Those with an exponent beyond a million compare as
// they are written.)
//
// In the form, the kind of each value comes first, every text with its length, and
// the end of an object or array is marked by what is no kind: so no form is the
// beginning of another.
func (v *Value) AppendCanonical(dst []byte) []byte {
	if v == nil {
		return dst
	}
	return append(dst, v.form...)
}

// AppendText appends a text such that what follows cannot be taken for a part of
// it.
func AppendText[T ~string | ~[]byte](dst []byte, text T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// appendNumber appends a JSON number as digits × 10^exponent, with digits that
// neither begin nor end with a zero.
func appendNumber(dst, text []byte) []byte {
	const maxExponent = 1_000_000
	mantissa, power := text, []byte("0")
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		mantissa, power = text[:i], text[i+1:]
	}
	digits, negative := bytes.CutPrefix(mantissa, []byte("-"))
	whole, fraction, _ := bytes.Cut(digits, []byte("."))
	var buf [64]byte
	digits = bytes.TrimLeft(append(append(buf[:0], whole...), fraction...), "0")
	if len(digits) == 0 {
		return AppendText(dst, "0")
	}
	exponent, err := strconv.Atoi(string(power))
	if err != nil || exponent > maxExponent || exponent < -maxExponent {
		return AppendText(dst, text)
	}
	exponent -= len(fraction)
	trimmed := bytes.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)

	number := make([]byte, 0, 32)
	if negative {
		number = append(number, '-')
	}
	number = append(number, trimmed...)
	number = append(number, 'x')
	return AppendText(dst, strconv.AppendInt(number, int64(exponent), 10))
}
