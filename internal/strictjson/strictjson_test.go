package strictjson_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/strictjson"
)

// accept is a function for Read that takes every document.
func accept(*strictjson.Value) (struct{}, error) { return struct{}{}, nil }

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func TestReadRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		want error
	}{
		"empty":                     {"", strictjson.ErrSyntax},
		"white space":               {" \n", strictjson.ErrSyntax},
		"not JSON":                  {"hello", strictjson.ErrSyntax},
		"truncated object":          {`{"a":1`, strictjson.ErrSyntax},
		"truncated string":          {`"abc`, strictjson.ErrSyntax},
		"wrong bracket":             {`[1}`, strictjson.ErrSyntax},
		"comma at the end":          {`[1,]`, strictjson.ErrSyntax},
		"comma at the end, object":  {`{"a":1,}`, strictjson.ErrSyntax},
		"comma at the start":        {`[,1]`, strictjson.ErrSyntax},
		"no comma":                  {`[1 2]`, strictjson.ErrSyntax},
		"no colon":                  {`{"a" 1}`, strictjson.ErrSyntax},
		"name without value":        {`{"a"}`, strictjson.ErrSyntax},
		"name is a number":          {`{1:2}`, strictjson.ErrSyntax},
		"single quotes":             {`{'a':1}`, strictjson.ErrSyntax},
		"comment":                   {`{"a":1/**/}`, strictjson.ErrSyntax},
		"leading zero":              {`01`, strictjson.ErrTrailing},
		"plus":                      {`+1`, strictjson.ErrSyntax},
		"NaN":                       {`NaN`, strictjson.ErrSyntax},
		"byte order mark":           {"\ufeff{}", strictjson.ErrSyntax},
		"raw control character":     {"\"a\nb\"", strictjson.ErrSyntax},
		"bad escape":                {`"\x41"`, strictjson.ErrSyntax},
		"half a surrogate pair":     {`"\ud800"`, strictjson.ErrSyntax},
		"invalid UTF-8":             {"\"\xff\"", strictjson.ErrSyntax},
		"invalid UTF-8 in a name":   {"{\"\xff\":1}", strictjson.ErrSyntax},
		"second value":              {`{} {}`, strictjson.ErrTrailing},
		"text after the value":      {`{}x`, strictjson.ErrTrailing},
		"NUL after the value":       {"{}\x00", strictjson.ErrTrailing},
		"too deep":                  {nested(strictjson.MaxDepth + 1), strictjson.ErrDepth},
		"ten thousand deep":         {nested(10_000), strictjson.ErrDepth},
		"deep and never closed":     {strings.Repeat(`{"a":`, 1_000_000), strictjson.ErrDepth},
		"repeated name":             {`{"a":1,"a":1}`, strictjson.ErrNames},
		"repeated name, apart":      {`{"a":1,"b":2,"c":3,"a":4}`, strictjson.ErrNames},
		"repeated by escape":        {`{"a":1,"\u0061":2}`, strictjson.ErrNames},
		"repeated deep inside":      {`{"x":[{"y":{"a":1,"a":2}}]}`, strictjson.ErrNames},
		"repeated empty name":       {`{"":1,"":2}`, strictjson.ErrNames},
		"letter case":               {`{"status":"failed","STATUS":"completed"}`, strictjson.ErrNames},
		"letter case, one letter":   {`{"status":1,"statuS":2}`, strictjson.ErrNames},
		"letter case by escape":     {`{"a":1,"\u0041":2}`, strictjson.ErrNames},
		"letter case, Kelvin sign":  {"{\"key\":1,\"\u212aey\":2}", strictjson.ErrNames},
		"letter case, long s":       {"{\"status\":1,\"\u017ftatus\":2}", strictjson.ErrNames},
		"letter case, not ASCII":    {`{"é":1,"É":2}`, strictjson.ErrNames},
		"letter case, three sigmas": {`{"aσ":1,"b":0,"aς":2}`, strictjson.ErrNames},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := strictjson.Read([]byte(tc.data), accept)
			require.ErrorIs(t, err, tc.want)
		})
	}
}

func TestReadAccepts(t *testing.T) {
	for _, data := range []string{
		`{}`, `[]`, `null`, `true`, `"x"`, `-0.5e+7`, " \t\r\n{} \n",
		`{"a":{"a":{"a":1}}}`, `[{"a":1},{"a":2}]`, `{"a":1,"aa":2,"":3}`,
		`{"a_b":1,"a-b":2,"ab":3}`, "{\"k\":1,\"\u212ax\":2}", `{"é":1,"e":2}`,
		nested(strictjson.MaxDepth),
	} {
		_, err := strictjson.Read([]byte(data), accept)
		assert.NoError(t, err, data)
	}
}

func TestValue(t *testing.T) {
	data := []byte(` {"text":"a\n\u00e9\ud83d\ude00/\/","n":1.50,"null":null,"list":["x",1,{}],"object":{"In":"y"},"\u0065sc":"z"} `)
	before := bytes.Clone(data)
	_, err := strictjson.Read(data, func(root *strictjson.Value) (int, error) {
		text, ok := root.Get("text").Text()
		assert.True(t, ok)
		assert.Equal(t, "a\né😀//", string(text))
		escaped, _ := root.Get("esc").Text()
		assert.Equal(t, "z", string(escaped))
		inner, _ := root.Get("object").Get("In").Text()
		assert.Equal(t, "y", string(inner))

		for _, none := range []*strictjson.Value{
			root.Get("Text"), root.Get("missing"), root.Get("missing").Get("x"),
			root.Get("list").Get("x"), root.Get("text").Get("text"), root.Get("list").Get(""),
		} {
			assert.Nil(t, none)
		}
		for _, name := range []string{"n", "null", "list", "object", "missing"} {
			_, ok := root.Get(name).Text()
			assert.False(t, ok, name)
		}
		assert.True(t, root.IsObject())
		assert.False(t, root.Get("list").IsObject())
		assert.False(t, root.Get("missing").IsObject())
		assert.Nil(t, root.Get("missing").Name())

		var names []string
		for m := range root.Members() {
			names = append(names, string(m.Name()))
		}
		assert.Equal(t, []string{"esc", "list", "n", "null", "object", "text"}, names)
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
			assert.Nil(t, e.Name())
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

		assert.NoError(t, root.CheckNames("text", "missing"))
		assert.NoError(t, root.Get("list").CheckNames("X"))
		assert.ErrorIs(t, root.CheckNames("Text"), strictjson.ErrNames)
		assert.ErrorIs(t, root.Get("object").CheckNames("in"), strictjson.ErrNames)
		assert.ErrorIs(t, root.CheckNames("li\u017ft"), strictjson.ErrNames)
		return 0, nil
	})
	require.NoError(t, err)
	assert.Equal(t, before, data, "the data was changed")
}

func TestErrorsQuoteNothing(t *testing.T) {
	for _, data := range []string{
		`{"canary":1,"canary":2}`, `{"canary":1,"CANARY":2}`, `canary`, `"canary`,
		`{"canary" 1}`, `{"canary":"\ud800"}`, `{} canary`, `{"canary":canary}`,
	} {
		_, err := strictjson.Read([]byte(data), accept)
		require.Error(t, err)
		assert.NotContains(t, strings.ToLower(err.Error()), "canary")
	}
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
	got, err := strictjson.Read([]byte(b.String()), func(root *strictjson.Value) (string, error) {
		text, _ := root.Get("y").Get("m19999").Text()
		return string(text), nil
	})
	require.NoError(t, err)
	assert.Equal(t, "v19999", got)
}

func canonical(t *testing.T, data string) string {
	t.Helper()
	form, err := strictjson.Read([]byte(data), func(root *strictjson.Value) (string, error) {
		return string(root.AppendCanonical(nil)), nil
	})
	require.NoError(t, err, data)
	return form
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
			assert.Equal(t, canonical(t, same[0]), canonical(t, other), "%s and %s", same[0], other)
		}
	}
	different := []string{
		"0", "1", "-1", "10", "100", "12", "21", "0.1", "0.01", "1e1000", "1e1001", "-1e1000",
		"9007199254740992", "9007199254740993", "9007199254740993.5",
		"1e1000001", "1e99999999999999999999", "2e99999999999999999999",
	}
	for i, a := range different {
		for _, b := range different[:i] {
			assert.NotEqual(t, canonical(t, a), canonical(t, b), "%s and %s", a, b)
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
	}
	for i, a := range different {
		for _, b := range different[:i] {
			assert.NotEqual(t, canonical(t, a), canonical(t, b), "%s and %s", a, b)
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
		form := canonical(t, write(r, doc))
		require.Equal(t, form, canonical(t, write(r, doc)))

		changed := r.IntN(leaves)
		require.NotEqual(t, form, canonical(t, write(r, change(doc, &changed))))
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

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.50,"x",null,true,{"b":{}}],"\u00e9":"\ud83d\ude00"}`, `{"a":1,"A":2}`, `[1e400,-0]`,
		`{"status":1,"ſtatus":2}`, "\"\xff\"", `{} {}`, nested(70), "", "{\"\u0130\":1,\"i\u0307\":2}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		form, err := strictjson.Read(data, func(root *strictjson.Value) (string, error) {
			return string(root.AppendCanonical(nil)), nil
		})
		require.Equal(t, before, data)
		if err != nil {
			return
		}
		// The library alone refuses no more than we do, and its ways to write the
		// document anew do not show.
		require.True(t, jsontext.Value(data).IsValid())
		sorted := jsontext.Value(bytes.Clone(data))
		require.NoError(t, sorted.Format(jsontext.ReorderRawObjects(true)))
		require.Equal(t, form, canonical(t, string(sorted)))
		require.NoError(t, sorted.Indent())
		require.Equal(t, form, canonical(t, string(sorted)))
	})
}
