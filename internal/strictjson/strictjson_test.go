package strictjson_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/strictjson"
)

// check reads nothing but the document's syntax, and as much more as the shape
// tells.
func check(data string, shape *strictjson.Shape) error {
	_, err := strictjson.Read([]byte(data), shape, func(*strictjson.Value) (struct{}, error) { return struct{}{}, nil })
	return err
}

func members(names ...string) (all []strictjson.Member) {
	for _, name := range names {
		all = append(all, strictjson.Member{Name: name})
	}
	return all
}

var (
	strict    = &strictjson.Shape{Strict: true}
	canonical = &strictjson.Shape{Canonical: true}
)

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func TestReadRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		want error
	}{
		"empty":                       {"", strictjson.ErrSyntax},
		"white space":                 {" \n", strictjson.ErrSyntax},
		"not JSON":                    {"hello", strictjson.ErrSyntax},
		"truncated object":            {`{"a":1`, strictjson.ErrSyntax},
		"truncated string":            {`"abc`, strictjson.ErrSyntax},
		"wrong bracket":               {`[1}`, strictjson.ErrSyntax},
		"comma at the end":            {`[1,]`, strictjson.ErrSyntax},
		"comma at the end, object":    {`{"a":1,}`, strictjson.ErrSyntax},
		"comma at the start":          {`[,1]`, strictjson.ErrSyntax},
		"no comma":                    {`[1 2]`, strictjson.ErrSyntax},
		"no colon":                    {`{"a" 1}`, strictjson.ErrSyntax},
		"name without value":          {`{"a"}`, strictjson.ErrSyntax},
		"name is a number":            {`{1:2}`, strictjson.ErrSyntax},
		"single quotes":               {`{'a':1}`, strictjson.ErrSyntax},
		"comment":                     {`{"a":1/**/}`, strictjson.ErrSyntax},
		"leading zero":                {`01`, strictjson.ErrTrailing},
		"plus":                        {`+1`, strictjson.ErrSyntax},
		"NaN":                         {`NaN`, strictjson.ErrSyntax},
		"byte order mark":             {"\ufeff{}", strictjson.ErrSyntax},
		"raw control character":       {"\"a\nb\"", strictjson.ErrSyntax},
		"bad escape":                  {`"\x41"`, strictjson.ErrSyntax},
		"invalid UTF-8":               {"\"\xff\"", strictjson.ErrSyntax},
		"invalid UTF-8 in a name":     {"{\"\xff\":1}", strictjson.ErrSyntax},
		"second value":                {`{} {}`, strictjson.ErrTrailing},
		"text after the value":        {`{}x`, strictjson.ErrTrailing},
		"NUL after the value":         {"{}\x00", strictjson.ErrTrailing},
		"too deep":                    {nested(strictjson.MaxDepth + 1), strictjson.ErrDepth},
		"ten thousand deep":           {nested(10_000), strictjson.ErrDepth},
		"deep and never closed":       {strings.Repeat(`{"a":`, 1_000_000), strictjson.ErrDepth},
		"repeated name":               {`{"a":1,"a":1}`, strictjson.ErrNames},
		"repeated name, apart":        {`{"a":1,"b":2,"c":3,"a":4}`, strictjson.ErrNames},
		"repeated by escape":          {`{"a":1,"\u0061":2}`, strictjson.ErrNames},
		"half a surrogate pair, name": {`{"\ud800":1}`, strictjson.ErrNames},
		"repeated empty name":         {`{"":1,"":2}`, strictjson.ErrNames},
		"letter case":                 {`{"status":"failed","STATUS":"completed"}`, strictjson.ErrNames},
		"letter case, one letter":     {`{"status":1,"statuS":2}`, strictjson.ErrNames},
		"letter case by escape":       {`{"a":1,"\u0041":2}`, strictjson.ErrNames},
		"letter case, Kelvin sign":    {"{\"key\":1,\"\u212aey\":2}", strictjson.ErrNames},
		"letter case, long s":         {"{\"status\":1,\"\u017ftatus\":2}", strictjson.ErrNames},
		"letter case, not ASCII":      {`{"é":1,"É":2}`, strictjson.ErrNames},
		"letter case, three sigmas":   {`{"aσ":1,"b":0,"aς":2}`, strictjson.ErrNames},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, check(tc.data, strict), tc.want)
			both := &strictjson.Shape{Strict: true, Canonical: true}
			require.ErrorIs(t, check(tc.data, both), tc.want)
			within := &strictjson.Shape{Members: []strictjson.Member{{Name: "in", Shape: strict}}}
			require.Error(t, check(`{"in":`+tc.data+`}`, within))
			if tc.want == strictjson.ErrNames {
				require.NoError(t, check(tc.data, nil), "it is harmless where nothing is decided")
				require.NoError(t, check(tc.data, canonical))
				require.NoError(t, check(`{"x":[`+tc.data+`]}`, strict))
				return
			}
			require.ErrorIs(t, check(tc.data, nil), tc.want)
		})
	}
}

func TestReadAccepts(t *testing.T) {
	for _, data := range []string{
		`{}`, `[]`, `null`, `true`, `"\ud800"`, `{"a":"\udc00\ud800"}`, "\"\u007f\"", `"\u0000"`, `"x"`, `-0.5e+7`, " \t\r\n{} \n",
		`{"a":{"a":{"a":1}}}`, `[{"a":1},{"a":2}]`, `{"a":1,"aa":2,"":3}`,
		`{"a_b":1,"a-b":2,"ab":3}`, "{\"k\":1,\"\u212ax\":2}", `{"é":1,"e":2}`,
		nested(strictjson.MaxDepth),
	} {
		for _, shape := range []*strictjson.Shape{nil, strict, canonical} {
			assert.NoError(t, check(data, shape), data)
		}
	}
}

func TestValue(t *testing.T) {
	data := []byte(` {"text":"a\n\u00e9\ud83d\ude00/\/","n":1.50,"null":null,"list":["x",1,{}],"object":{"In":"y","more":{}},"\u0065sc":"z","unread":"x"} `)
	before := bytes.Clone(data)
	shape := &strictjson.Shape{Members: append(members("text", "n", "null", "esc", "none", "Missing"),
		strictjson.Member{Name: "list", Shape: &strictjson.Shape{Max: 3, Elements: &strictjson.Shape{Members: members("x")}}},
		strictjson.Member{Name: "object", Shape: &strictjson.Shape{Members: members("In")}})}
	_, err := strictjson.Read(data, shape, func(root *strictjson.Value) (int, error) {
		text, ok := root.Get("text").Text()
		assert.True(t, ok)
		assert.Equal(t, "a\né😀//", string(text))
		escaped, _ := root.Get("esc").Text()
		assert.Equal(t, "z", string(escaped))
		inner, _ := root.Get("object").Get("In").Text()
		assert.Equal(t, "y", string(inner))

		for _, none := range []*strictjson.Value{
			root.Get("Text"), root.Get("missing"), root.Get("missing").Get("x"), root.Get("none"),
			root.Get("unread"), root.Get("object").Get("more"), root.Get("null").Get("x"),
		} {
			assert.Nil(t, none)
			assert.True(t, none.Absent())
		}
		assert.True(t, root.Get("null").Absent())
		for _, unreadable := range []*strictjson.Value{
			root.Get("list").Get("x"), root.Get("text").Get("text"), root.Get("list").Get(""), root.Get("n").Get("x").Get("y"),
		} {
			assert.False(t, unreadable.Absent())
			_, ok := unreadable.Text()
			assert.False(t, ok)
			assert.False(t, unreadable.IsObject())
		}
		number, ok := root.Get("n").Number()
		assert.True(t, ok)
		assert.Equal(t, "1.50", string(number))
		_, ok = root.Get("text").Number()
		assert.False(t, ok)
		for _, name := range []string{"n", "null", "list", "object", "missing"} {
			_, ok := root.Get(name).Text()
			assert.False(t, ok, name)
		}
		assert.True(t, root.IsObject())
		assert.False(t, root.Get("list").IsObject())
		assert.False(t, root.Get("missing").IsObject())
		assert.Empty(t, root.Get("missing").Name())

		var names []string
		for m := range root.Members() {
			names = append(names, m.Name())
		}
		assert.ElementsMatch(t, []string{"esc", "list", "n", "null", "object", "text"}, names)
		for range root.Members() {
			break
		}
		for range root.Get("list").Members() {
			assert.Fail(t, "a list has no members")
		}

		var elements []bool
		for e := range root.Get("list").Elements() {
			_, isText := e.Text()
			elements = append(elements, isText)
			assert.Empty(t, e.Name())
		}
		assert.Equal(t, []bool{true, false, false}, elements)
		for range root.Get("list").Elements() {
			break
		}
		for _, none := range []string{"object", "text", "missing"} {
			for range root.Get(none).Elements() {
				assert.Fail(t, "only a list has elements")
			}
		}

		return 0, nil
	})
	require.NoError(t, err)
	assert.Equal(t, before, data, "the data was changed")
}

func TestErrorsQuoteNothing(t *testing.T) {
	for _, data := range []string{
		`{"canary":1,"canary":2}`, `{"canary":1,"CANARY":2}`, `canary`, `"canary`,
		`{"canary" 1}`, `{"\ud800canary":1}`, `{"x":{"canary":1,"Canary":2}}`, `{} canary`, `{"canary":canary}`,
	} {
		err := check(data, &strictjson.Shape{Strict: true, Members: []strictjson.Member{{Name: "x", Shape: strict}}})
		require.Error(t, err)
		assert.NotContains(t, strings.ToLower(err.Error()), "canary")
	}
}

// TestAmbiguity: outside of what decides, a value that two readers could read in two
// ways is there, and cannot be read.
func TestAmbiguity(t *testing.T) {
	shape := &strictjson.Shape{Members: []strictjson.Member{{Name: "other"}, {Name: "a", Shape: &strictjson.Shape{Members: members("b")}}, {Name: "last"}}}
	for data, wantThere := range map[string]bool{
		`{}`: false, `{"a":null}`: false, `{"a":""}`: false, `{"b":1}`: false, `{"a":"x"}`: true, `{"a":1}`: true, `{"a":false}`: true,
		`{"a":1,"a":1}`: true, `{"a":null,"a":null}`: true, `{"a":"x","A":"y"}`: true, `{"A":"y","a":"x"}`: true, `{"A":"x"}`: true, `{"A":null}`: true,
		`{"a":"x","\u0061":"x"}`: true, `{"\u0041":"x"}`: true, `{"a":"\ud800"}`: true, `{"a":[]}`: true, `{"a":{}}`: true, `{"a":"x","a":"x","a":"x"}`: true,
	} {
		_, err := strictjson.Read([]byte(strings.Replace(data, "{", `{"last":"l","other":"o","x":1,"x":2,`, 1)), shape, func(root *strictjson.Value) (int, error) {
			if data == `{}` {
				return 0, nil
			}
			a := root.Get("a")
			assert.Equal(t, wantThere, !a.Absent(), data)
			text, ok := a.Text()
			assert.Equal(t, data == `{"a":"x"}` || data == `{"a":""}`, ok, "%s: %q", data, text)
			assert.False(t, a.Get("b") != nil && a.Get("b").IsObject())
			for _, name := range []string{"last", "other"} {
				text, _ := root.Get(name).Text()
				assert.Equal(t, name[:1], string(text), "the neighbours are as they were")
			}
			return 0, nil
		})
		if data != `{}` { // which has no member to be put before
			require.NoError(t, err, data)
		}
	}
	_, err := strictjson.Read([]byte(`{"a":{"b":"x"},"A":{"b":"y"}}`), shape, func(root *strictjson.Value) (int, error) {
		b := root.Get("a").Get("b")
		assert.False(t, b.Absent(), "what is in an ambiguous object is there, too")
		_, ok := b.Text()
		assert.False(t, ok)
		return 0, nil
	})
	require.NoError(t, err)
	require.ErrorIs(t, check(`{"A":1}`, &strictjson.Shape{Strict: true, Members: members("a")}), strictjson.ErrNames)
	require.ErrorIs(t, check("{\"li\u017ft\":1}", &strictjson.Shape{Strict: true, Members: members("list")}), strictjson.ErrNames)
}

// TestBounds: no more than what the shape asks for.
func TestBounds(t *testing.T) {
	shape := &strictjson.Shape{Strict: true, Others: 2, Members: []strictjson.Member{{Name: "list", Shape: &strictjson.Shape{Max: 2}}}}
	_, err := strictjson.Read([]byte(`{"c":1,"a":"x","list":[1,2,3],"b":3}`), shape, func(root *strictjson.Value) (int, error) {
		var names []string
		for m := range root.Members() {
			names = append(names, m.Name())
		}
		assert.ElementsMatch(t, []string{"c", "a", "list"}, names)
		count := 0
		for range root.Get("list").Elements() {
			count++
		}
		assert.Equal(t, 2, count)
		return 0, nil
	})
	require.NoError(t, err)
}

func TestManyMembers(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"x":[`)
	for i := range 20_000 {
		fmt.Fprintf(&b, `{"i":%d},`, i)
	}
	b.WriteString(`0],"y":{`)
	for i := range 20_000 {
		fmt.Fprintf(&b, `"m%d":"v%d",`, i, i)
	}
	b.WriteString(`"z":0}}`)
	y := &strictjson.Shape{Strict: true, Members: members("m19999")}
	shape := &strictjson.Shape{Strict: true, Canonical: true, Members: []strictjson.Member{{Name: "y", Shape: y}}}
	got, err := strictjson.Read([]byte(b.String()), shape, func(root *strictjson.Value) (string, error) {
		text, _ := root.Get("y").Get("m19999").Text()
		return string(text), nil
	})
	require.NoError(t, err)
	assert.Equal(t, "v19999", got)
}

func canonicalForm(t *testing.T, data string) string {
	t.Helper()
	form, err := canonicalOf([]byte(data))
	require.NoError(t, err, data)
	return form
}

func canonicalOf(data []byte) (string, error) {
	return strictjson.Read(data, canonical, func(root *strictjson.Value) (string, error) {
		return string(root.AppendCanonical(nil)), nil
	})
}

func TestCanonicalNumbers(t *testing.T) {
	for _, same := range [][]string{
		{"0", "-0", "0.0", "0e5", "-0.000e-99999999999999999999"},
		{"1", "1.0", "1e0", "10e-1", "0.1E+1", "1.000"},
		{"-120", "-1.2e2", "-120.0", "-0.12e3"},
		{"9007199254740993", "9007199254740993.0", "9007199254740.993e3"},
		{"1e1000", "10e999", "0.1e1001"},
		{"0.00012", "12e-5", "1.2E-4"},
	} {
		for _, other := range same[1:] {
			assert.Equal(t, canonicalForm(t, same[0]), canonicalForm(t, other), "%s and %s", same[0], other)
		}
	}
	different := []string{
		"0", "1", "-1", "10", "100", "12", "21", "0.1", "0.01", "1e1000", "1e1001", "-1e1000",
		"9007199254740992", "9007199254740993", "9007199254740993.5",
		"1e1000001", "1e99999999999999999999", "2e99999999999999999999",
	}
	for i, a := range different {
		for _, b := range different[:i] {
			assert.NotEqual(t, canonicalForm(t, a), canonicalForm(t, b), "%s and %s", a, b)
		}
	}
}

// TestCanonicalTellsApart has pairs that a form without lengths and marks would
// confuse.
func TestCanonicalTellsApart(t *testing.T) {
	different := []string{
		`null`, `true`, `false`, `{}`, `[]`, `""`, `0`, `"0"`, `"null"`, `[[]]`, `[{}]`, `[null]`, `[[],[]]`,
		`{"":""}`, `{"":{}}`, `{"a":"b"}`, `{"b":"a"}`, `{"A":"b"}`, `["a","b"]`, `["b","a"]`, `["ab"]`, `["a",["b"]]`,
		`[["a"],"b"]`, `{"a":null}`, `{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"a":{"b":1}}`, `{"a":{},"b":1}`, `[1,2]`, `[12]`,
		`["a.b"]`, `"a\u0001b"`, `"a b"`, `"é"`, `"e\u0301"`,
		`"\ud800"`, `"\udc00"`, `"\ud800\ud800"`, `"\ud800a"`, `"\ufffd"`, `{"\ud800":0}`, `{"\udc00":0}`,
		`{"a":1}`, `{"a":1,"a":1}`, `{"a":1,"A":1}`, `{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"A":1,"a":2}`, `{"a":1,"a":1,"a":2}`, `{"a":1,"a":2,"a":2}`,
	}
	for i, a := range different {
		for _, b := range different[:i] {
			assert.NotEqual(t, canonicalForm(t, a), canonicalForm(t, b), "%s and %s", a, b)
		}
	}
	assert.Empty(t, (*strictjson.Value)(nil).AppendCanonical(nil))
}

// TestCanonicalProperty writes random documents in two ways, and changes them in
// one place.
func TestCanonicalProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2_000 {
		leaves := 0
		doc := randomDoc(r, 4, &leaves)
		form := canonicalForm(t, write(r, doc))
		require.Equal(t, form, canonicalForm(t, write(r, doc)))

		changed := r.IntN(leaves)
		require.NotEqual(t, form, canonicalForm(t, write(r, change(doc, &changed))))
	}
}

type (
	member struct {
		name  string
		value any
	}
	object []member
)

// randomDoc is a string, an int, a bool, nil, an object or a []any; leaves
// counts those that are neither of the last two.
func randomDoc(r *rand.Rand, depth int, leaves *int) any {
	if depth > 0 && (*leaves == 0 || r.IntN(3) == 0) {
		if r.IntN(2) == 0 {
			list := []any{randomDoc(r, 0, leaves)}
			for range r.IntN(4) {
				list = append(list, randomDoc(r, depth-1, leaves))
			}
			return list
		}
		o := object{{"first", randomDoc(r, 0, leaves)}}
		for i := range r.IntN(5) {
			o = append(o, member{fmt.Sprintf("%c%d", "aB"[r.IntN(2)], i), randomDoc(r, depth-1, leaves)})
		}
		return o
	}
	*leaves++
	switch r.IntN(4) {
	case 0:
		return []string{"", "a", "Jane", "é", "\"\\/\n", "😀", "0"}[r.IntN(7)]
	case 1:
		return r.IntN(2_000) - 1_000
	case 2:
		return r.IntN(2) == 0
	}
	return nil
}

// change replaces leaf number n.
func change(doc any, n *int) any {
	switch doc := doc.(type) {
	case object:
		doc = slices.Clone(doc)
		for i := range doc {
			doc[i].value = change(doc[i].value, n)
		}
		return doc
	case []any:
		doc = slices.Clone(doc)
		for i := range doc {
			doc[i] = change(doc[i], n)
		}
		return doc
	}
	*n--
	if *n != -1 {
		return doc
	}
	switch doc := doc.(type) {
	case string:
		return doc + "x"
	case int:
		return doc + 1
	case bool:
		return !doc
	}
	return ""
}

// write writes a document in one of the ways that mean the same.
func write(r *rand.Rand, doc any) string {
	space := func() string { return []string{"", "", " ", "\n\t"}[r.IntN(4)] }
	switch doc := doc.(type) {
	case object:
		doc = slices.Clone(doc)
		r.Shuffle(len(doc), func(i, j int) { doc[i], doc[j] = doc[j], doc[i] })
		var parts []string
		for _, m := range doc {
			parts = append(parts, space()+write(r, m.name)+space()+":"+space()+write(r, m.value)+space())
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		var parts []string
		for _, v := range doc {
			parts = append(parts, space()+write(r, v)+space())
		}
		return "[" + strings.Join(parts, ",") + "]"
	case string:
		var b strings.Builder
		for _, c := range doc {
			switch {
			case c < 0x10000 && (c < ' ' || c == '"' || c == '\\' || r.IntN(2) == 0):
				fmt.Fprintf(&b, `\u%04x`, c)
			default:
				b.WriteRune(c)
			}
		}
		return `"` + b.String() + `"`
	case int:
		return strconv.Itoa(doc) + []string{"", ".0", "e0", "E+0"}[r.IntN(4)]
	case bool:
		return strconv.FormatBool(doc)
	}
	return "null"
}

// TestCanonicalOfOddDocuments: however the members of an ambiguous object are laid
// out, its form is the same.
func TestCanonicalOfOddDocuments(t *testing.T) {
	for _, same := range [][]string{
		{`{"a":1,"a":2,"b":3}`, `{"b":3,"a":2,"a":1}`, `{"a":2,"b":3.0,"\u0061":1}`},
		{`{"a":1,"A":2}`, `{"A":2,"a":1}`, ` { "\u0041" : 2 , "a" : 1.0 } `},
		{`{"x":{"a":[1],"a":{}},"X":0}`, `{"X":0,"x":{"a":{},"a":[1]}}`},
		{`{"\ud800":1,"\uD801":2}`, `{"\uD801":2,"\uD800":1}`},
		{`"\ud83d\ude00\ud83d"`, `"😀\uD83D"`},
	} {
		for _, other := range same[1:] {
			assert.Equal(t, canonicalForm(t, same[0]), canonicalForm(t, other), "%s and %s", same[0], other)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.50,"x",null,true,{"b":{}}],"\u00e9":"\ud83d\ude00"}`, `{"a":1,"A":2}`, `[1e400,-0]`,
		`{"status":1,"ſtatus":2}`, "\"\xff\"", `{} {}`, nested(70), nested(257), "", `{"a":1,"a":"\ud800","b":{"b":1,"B":2}}`, `{"status":{"x":1,"X":2}}`, `01`, `-`, `1.`, `"\u12"`, `{"canary":"\q"}`, "{\"\u0130\":1,\"i\u0307\":2}",
	} {
		f.Add([]byte(seed))
	}
	shape := &strictjson.Shape{Canonical: true, Members: append(members("a", "b"), strictjson.Member{Name: "status", Shape: &strictjson.Shape{Strict: true, Others: 3}})}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		form, err := canonicalOf(data)
		require.Equal(t, before, data)

		// The library takes the same documents.
		var all []jsontext.Options
		all = append(all, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) // and so half a surrogate pair
		valid := utf8.Valid(data) && jsontext.Value(data).IsValid(all...) && depthOf(data) <= strictjson.MaxDepth
		require.Equal(t, valid, err == nil, "%v", err)
		if err != nil {
			require.NotContains(t, err.Error(), "canary")
			return
		}
		// What is read beside does not change the form.
		again, err := strictjson.Read(data, shape, func(root *strictjson.Value) (string, error) {
			return string(root.AppendCanonical(nil)), nil
		})
		if err == nil {
			require.Equal(t, form, again)
		}
		// Documents without anything odd have the form that they always had.
		if strictForm, ok := reference(data); ok {
			require.Equal(t, strictForm, form)
			sorted := jsontext.Value(bytes.Clone(data))
			require.NoError(t, sorted.Format(jsontext.ReorderRawObjects(true)))
			require.Equal(t, form, canonicalForm(t, string(sorted)))
		}
		// And the library's ways to write the document anew do not show.
		indented := jsontext.Value(bytes.Clone(data))
		require.NoError(t, indented.Format(append(all, jsontext.Multiline(true), jsontext.PreserveRawStrings(true))...))
		require.Equal(t, form, canonicalForm(t, string(indented)))
	})
}

// depthOf is how deep valid JSON is nested.
func depthOf(data []byte) (most int) {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		if _, err := d.ReadToken(); err != nil {
			return most
		}
		most = max(most, d.StackDepth())
	}
}

// reference is the canonical form as it was when documents were refused that have
// repeated names, names that differ by letter case alone, or half a surrogate pair
// anywhere. It is false for those. What has been hashed once must stay the same.
func reference(data []byte) (form string, ok bool) {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	value, ok := referenceValue(d)
	if !ok {
		return "", false
	}
	_, err := d.ReadToken()
	return value, err == io.EOF
}

func referenceValue(d *jsontext.Decoder) (string, bool) {
	text := func(s string) string { return string(binary.AppendUvarint(nil, uint64(len(s)))) + s }
	kind := d.PeekKind()
	switch kind {
	case '{':
		_, _ = d.ReadToken()
		type member struct{ name, form string }
		var members []member
		for d.PeekKind() != '}' {
			name, err := d.ReadToken()
			if err != nil {
				return "", false
			}
			m := member{name: name.String()}
			var ok bool
			if m.form, ok = referenceValue(d); !ok {
				return "", false
			}
			members = append(members, m)
		}
		slices.SortFunc(members, func(a, b member) int { return slices.Compare(foldedRunes(a.name), foldedRunes(b.name)) })
		form := "{"
		for i, m := range members {
			if i > 0 && strings.EqualFold(members[i-1].name, m.name) {
				return "", false
			}
			form += "," + text(m.name) + m.form
		}
		_, err := d.ReadToken()
		return form + ".", err == nil
	case '[':
		_, _ = d.ReadToken()
		form := "["
		for d.PeekKind() != ']' {
			element, ok := referenceValue(d)
			if !ok {
				return "", false
			}
			form += element
		}
		_, err := d.ReadToken()
		return form + ".", err == nil
	}
	raw, err := d.ReadValue()
	if err != nil {
		return "", false
	}
	switch kind {
	case '"':
		unquoted, err := jsontext.AppendUnquote(nil, raw)
		return `"` + text(string(unquoted)), err == nil
	case '0':
		return "0" + text(referenceNumber(string(raw))), true
	}
	return string(raw[:1]), true
}

// referenceNumber is digits × 10^exponent.
func referenceNumber(raw string) string {
	mantissa, power, _ := strings.Cut(strings.ToLower(raw), "e")
	digits, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0"
	}
	exponent := 0
	if power != "" {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil || exponent > 1_000_000 || exponent < -1_000_000 {
			return raw
		}
	}
	exponent -= len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	if negative {
		trimmed = "-" + trimmed
		digits = "-" + digits
	}
	return fmt.Sprintf("%sx%d", trimmed, exponent+len(digits)-len(trimmed))
}

// foldedRunes replaces each rune by the smallest of those that differ from it by
// letter case alone.
func foldedRunes(s string) []rune {
	runes := []rune(s)
	for i, r := range runes {
		for folded := unicode.SimpleFold(r); folded != r; folded = unicode.SimpleFold(folded) {
			runes[i] = min(runes[i], folded)
		}
	}
	return runes
}
