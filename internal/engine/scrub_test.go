package engine

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// encodings are what programs make of a text that they put into an error.
var encodings = map[string]func(string) string{
	"as it is":          func(s string) string { return s },
	"upper case":        strings.ToUpper,
	"lower case":        strings.ToLower,
	"query":             url.QueryEscape,
	"path":              url.PathEscape,
	"query, lower case": func(s string) string { return strings.ToLower(url.QueryEscape(s)) },
	"every byte":        func(s string) string { return eachByte(s, "%%%02X") },
	"%uXXXX":            func(s string) string { return eachUnit(s, "%%u%04X") },
	"%q":                strconv.Quote,
	"%+q":               strconv.QuoteToASCII,
	"%+q, upper case":   func(s string) string { return strings.ToUpper(strconv.QuoteToASCII(s)) },
	"%x":                func(s string) string { return fmt.Sprintf("%x", s) },
	"%X":                func(s string) string { return fmt.Sprintf("%X", s) },
	"% x":               func(s string) string { return fmt.Sprintf("% x", s) },
	"%#x":               func(s string) string { return fmt.Sprintf("%#x", s) },
	"%# x":              func(s string) string { return fmt.Sprintf("%# x", s) },
	"%v of bytes":       func(s string) string { return fmt.Sprint([]byte(s)) },
	"%#v of bytes":      func(s string) string { return fmt.Sprintf("%#v", []byte(s)) },
	"JSON of bytes":     func(s string) string { return strings.ReplaceAll(fmt.Sprint([]byte(s)), " ", ",") },
	"%+q of words":      func(s string) string { return fmt.Sprintf("%+q", strings.Split(s, " ")) },
	`\xXX`:              func(s string) string { return eachByte(s, `\x%02x`) },
	`\NNN`:              func(s string) string { return eachByte(s, `\%03o`) },
	`\uXXXX`:            func(s string) string { return eachUnit(s, `\u%04x`) },
	`\u{X}`:             func(s string) string { return eachRune(s, `\u{%x}`) },
	"JSON":              func(s string) string { b, _ := json.Marshal(map[string]string{"name": s}); return string(b) },
	"JSON in JSON":      func(s string) string { b, _ := json.Marshal(strconv.QuoteToASCII(s)); return string(b) },
	"HTML":              func(s string) string { return html.EscapeString(s) },
	"HTML, decimal":     func(s string) string { return eachRune(s, "&#%d;") },
	"HTML, hexadecimal": func(s string) string { return eachRune(s, "&#x%X;") },
	"HTML, names": func(s string) string {
		return strings.NewReplacer("ë", "&euml;", "ü", "&uuml;", "Ø", "&Oslash;").Replace(s)
	},
	"base64":            func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, raw":       func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64, in a text": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("name=" + s + "&x=1")) },
	"base64 of JSON": func(s string) string {
		return base64.URLEncoding.EncodeToString([]byte(`{"n":` + strconv.QuoteToASCII(s) + "}"))
	},
	"base64 of UTF-16":   func(s string) string { return base64.StdEncoding.EncodeToString(utf16Bytes(s)) },
	"base64, in a path":  func(s string) string { return "/users/" + base64.RawURLEncoding.EncodeToString([]byte(s)) + "/x" },
	"base64, in a query": func(s string) string { return "?q=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) },
	"base64 of bytes": func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte("\x00\xff\x01" + s + "\x02\xfe"))
	},
	"hex of UTF-16":       func(s string) string { return hex.EncodeToString(utf16Bytes(s)) },
	"query, twice":        func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"query of JSON":       func(s string) string { return url.QueryEscape(strconv.QuoteToASCII(s)) },
	"UTF-8 as Latin-1":    func(s string) string { return latin1(s) },
	"UTF-16":              func(s string) string { return string(utf16Bytes(s)) },
	"parts":               func(s string) string { return strings.Join(strings.Fields(s), " and ") },
	"parts, hyphens":      func(s string) string { return strings.ReplaceAll(s, " ", "-") },
	"parts, underscores":  func(s string) string { return strings.ReplaceAll(s, " ", "_") },
	"parts, put together": func(s string) string { return strings.ReplaceAll(s, " ", "") },
}

func eachByte(s, form string) (out string) {
	for i := range len(s) {
		out += fmt.Sprintf(form, s[i])
	}
	return out
}

func eachRune(s, form string) (out string) {
	for _, c := range s {
		out += fmt.Sprintf(form, c)
	}
	return out
}

func eachUnit(s, form string) (out string) {
	for _, c := range utf16.Encode([]rune(s)) {
		out += fmt.Sprintf(form, c)
	}
	return out
}

func utf16Bytes(s string) (out []byte) {
	for _, c := range utf16.Encode([]rune(s)) {
		out = append(out, byte(c), byte(c>>8))
	}
	return out
}

func latin1(s string) (out string) {
	for i := range len(s) {
		out += string(rune(s[i]))
	}
	return out
}

func people(name string) Event {
	return Event{Verification: identity.Verification{FirstName: name}}
}

// However a name is written, it does not get into the log; what is around it does.
func TestScrubEncodings(t *testing.T) {
	for _, name := range []string{
		"Zoë", "Zoe\u0308", "ZOË", "Anna", "Müller", "Jean Pierre", "O'Brien", "Øyvind", "Łukasz", "Nguyễn", "Иванова", "王小明", "𠮷田健一", "محمد", "हिन्दी", "Σίσυφος",
		"Anna \"Ann\" Smith", "D\\Angelo", "<Anna>", "Yıldız", "alice@example.com",
	} {
		for how, encode := range encodings {
			if strings.Contains(how, "UTF-16") && strings.ContainsFunc(name, func(c rune) bool { return c >= utf8.RuneSelf }) {
				continue // of which only ASCII is found
			}
			encoded := encode(name)
			out := people(name).scrub(errors.New("insert: " + encoded + ": no such column, dial tcp 10.0.0.1:6379"))
			assert.Contains(t, out, redacted, "%s %s %s", name, how, encoded)
			assert.True(t, strings.HasPrefix(out, "insert: ") && strings.HasSuffix(out, ": no such column, dial tcp 10.0.0.1:6379"), "%s %s: %s", name, how, out)
			between := strings.TrimSuffix(strings.TrimPrefix(out, "insert: "), ": no such column, dial tcp 10.0.0.1:6379")
			// No letter of it is left, but for what belongs to the encoding.
			for _, rest := range strings.FieldsFunc(strings.ReplaceAll(between, redacted, " "), func(c rune) bool { return !unicode.IsLetter(c) }) {
				assert.Contains(t, []string{"name", "and", "users", "x", "q", "quot", "lt", "gt", "byte", "u", "n", "U", "C", "D", "E", "c", "e"}, rest, "%s %s: %s", name, how, out)
			}
		}
	}
}

// The same name, as systems write it that lack its letters, or have more.
func TestScrubSpellings(t *testing.T) {
	for name, texts := range map[string][]string{
		"Müller":     {"Muller", "Mueller", "MUELLER", "Mu\u0308ller", "MULLER"},
		"MULLER":     {"Müller", "müller"},
		"Großmann":   {"Grossmann", "GROSSMANN", "GROẞMANN"},
		"Søren Åse":  {"Soren Ase", "Soeren Aase", "soren"},
		"Yıldız":     {"YILDIZ", "yildiz"},
		"YILDIZ":     {"yıldız"},
		"Zoë":        {"user Zoe not found", "userZoë", "ZOË", "zoe"},
		"Anna Maria": {"anna", "MARIA", "Anna_Maria", "annamaria", "Maria, Anna", "An\u200bna Ma\u00adria"},
	} {
		for _, text := range texts {
			out := people(name).scrub(errors.New(text))
			assert.Contains(t, out, redacted, "%s: %s", name, text)
			for _, part := range strings.Fields(strings.ToLower(text)) {
				if part != "user" && part != "not" && part != "found" {
					assert.NotContains(t, strings.ToLower(out), strings.Trim(part, ","), "%s: %s", name, text)
				}
			}
		}
	}
}

func TestScrubDates(t *testing.T) {
	born := identity.Date{Year: 1990, Month: 2, Day: 3}
	at := time.Date(1990, 2, 3, 0, 0, 0, 0, time.UTC)
	e := Event{Verification: identity.Verification{DateOfBirth: born}}
	for text, want := range map[string]string{
		"born 1990-02-03.":                                   "born [redacted].",
		"born 19900203":                                      "born [redacted]",
		"born 900203/x":                                      "born [redacted]/x",
		"born 1990-2-3":                                      "born [redacted]",
		"born 1990/02/03":                                    "born [redacted]",
		"born 1990.2.3":                                      "born [redacted]",
		"born 03/02/1990":                                    "born [redacted]",
		"born 02/03/1990":                                    "born [redacted]",
		"born 3.2.1990":                                      "born [redacted]",
		"born 03-02-90":                                      "born [redacted]",
		"born 03021990":                                      "born [redacted]",
		"born 3 February 1990":                               "born [redacted]",
		"born 3rd of Feb 1990":                               "born [redacted]",
		"born Feb 3, 1990":                                   "born [redacted]",
		"born February 3rd, 1990":                            "born [redacted]",
		"born 03-FEB-90":                                     "born [redacted]",
		"born 3 février 1990":                                "born [redacted]",
		"nacido el 3 de febrero de 1990":                     "nacido el [redacted]",
		"geboren 3. Februar 1990":                            "geboren [redacted]",
		"生年月日 1990年2月3日":                                     "生年月日 [redacted]日",
		"at " + at.String():                                  "at [redacted] 00:00:00 +0000 UTC",
		"at " + at.Format(time.RFC3339):                      "at [redacted]T00:00:00Z",
		"at " + at.Format(time.RFC1123):                      "at Sat, [redacted] 00:00:00 UTC",
		"at " + at.Format(time.ANSIC):                        "at Sat [redacted]",
		"at " + at.Format(time.UnixDate):                     "at Sat [redacted]",
		"at " + fmt.Sprintf("%#v", at):                       "at time.Date([redacted], 0, 0, 0, 0, time.UTC)",
		"at " + strconv.FormatInt(at.Unix(), 10):             "at [redacted]",
		"at " + strconv.FormatInt(at.UnixMilli(), 10):        "at [redacted]",
		fmt.Sprintf("%v", struct{ y, m, d int }{1990, 2, 3}): "{[redacted]}",
		fmt.Sprintf("%+v", struct{ Year, Month, Day int }{1990, 2, 3}): "{Year:[redacted]}",
		`{"day":3,"month":2,"year":1990}`:                              `{"day":[redacted]}`,
		"q=1990%2D02%2D03&x":                                           "q=[redacted]&x",
		"q=03%2F02%2F1990":                                             "q=[redacted]",
		base64.StdEncoding.EncodeToString([]byte("b: 1990-02-03")):     "[redacted]",
		// Other days, and what is no day.
		"at 1990-02-31 and 1990-12-03, 11990-02-3": "at 1990-02-31 and 1990-12-03, 11990-02-3",
		"at 2026-11-26T06:45:59Z 13.2.1990":        "at 2026-11-26T06:45:59Z 13.2.1990",
		"in 1990, 3 of 2":                          "in 1990, 3 of 2",
		"retry 3 1990":                             "retry 3 1990",
		"10.3.2.90:1990":                           "10.[redacted]:1990", // which nobody can tell from a date
	} {
		assert.Equal(t, want, e.scrub(errors.New(text)), text)
	}
	for _, none := range []identity.Date{{}, identity.UnreadableDate} {
		e.Verification.DateOfBirth = none
		assert.Equal(t, "it is unreadable: 0000-00-00 -1", e.scrub(errors.New("it is unreadable: 0000-00-00 -1")))
	}
}

// What is short is hidden where it is a word, and shreds nothing else.
func TestScrubShortValues(t *testing.T) {
	for _, tt := range []struct{ value, text, want string }{
		{"1", "dial tcp 10.0.0.1:6379: i/o timeout", "dial tcp 10.0.0.1:6379: i/o timeout"},
		{"1", "dial tcp [::1]:6379: connect: connection refused", "dial tcp [::1]:6379: connect: connection refused"},
		{"1", "HTTP/1.1 500 at 2026-01-01T01:11:01Z, 1.1.1.1, v1, x1y, a_b1", "HTTP/1.1 500 at 2026-01-01T01:11:01Z, 1.1.1.1, v1, x1y, a_b1"},
		{"1", "no user 1, id=1, \"1\", user:1, /users/1: (1)", "no user [redacted], id=[redacted], \"[redacted]\", user:[redacted], /users/[redacted]: ([redacted])"},
		{"1042", "no user 1042 at 10.0.0.1:1042, 10425", "no user [redacted] at 10.0.0.1:1042, 10425"},
		{"123456789", "no NL123456789X", "no NL[redacted]X"},
		{"E", "connection refused: eof", "connection refused: eof"},
		{"E", "name E is too short", "name [redacted] is too short"},
		{"a", "database away: base64 decode", "database away: base64 decode"},
		{"Li", "list of Li: limit, LI", "list of [redacted]: limit, [redacted]"},
		{"Åse", "database of Åse and Ase: phase", "database of [redacted] and [redacted]: phase"},
		{"Bo", "bob_bo boolean %42%6f Qm8=", "bob_[redacted] boolean [redacted] Qm8="},
		{"Jan", "janitor JanX jan", "janitor JanX [redacted]"},
		{"", "nothing", "nothing"},
		{"-", "a - b", "a - b"},
		{"...", "and so on...", "and so on..."},
		{"\xff", "x \xff\xff z", "x \xff\xff z"},
	} {
		e := Event{Subject: tt.value}
		out := e.scrub(errors.New(tt.text))
		assert.Equal(t, tt.want, out, "%s in %s", tt.value, tt.text)
	}
	jan := Event{Verification: identity.Verification{FirstName: "Jan", LastName: "Janssen"}}
	assert.Equal(t, "user [redacted]!", jan.scrub(errors.New("user JanJanssen!")), "what is next to another value is by itself")
}

// Every value of an event is looked for.
func TestScrubValues(t *testing.T) {
	e := Event{
		Subject:  "subject-4711",
		Metadata: map[string]string{"account": "account/0815", "flag": "1"},
		Verification: identity.Verification{
			FirstName: "Firstname", LastName: "Lastname", DocumentNumber: "DOC00123", DateOfBirth: identity.Date{Year: 1990, Month: 2, Day: 3},
			Concerns: []identity.Concern{{Message: "The photo is not of Firstname"}, {Message: "blurred edge"}},
		},
	}
	for _, value := range []string{"subject-4711", "account/0815", "Firstname", "Lastname", "DOC00123", "1990-02-03", "The photo is not of Firstname", "blurred edge"} {
		assert.Equal(t, "x [redacted] y", e.scrub(errors.New("x "+value+" y")), value)
		assert.Equal(t, "x [redacted] y", e.scrub(errors.New("x "+url.QueryEscape(value)+" y")), value)
	}
	assert.Equal(t, "the photo is blurred, account of the subject", e.scrub(errors.New("the photo is blurred, account of the subject")), "the words of a sentence are no values")
}

// What cannot be looked through is not logged.
func TestScrubDrops(t *testing.T) {
	e := people("Anna")
	text := "Anna"
	for range maxEncodings {
		text = base64.StdEncoding.EncodeToString([]byte(text))
		assert.Equal(t, "x [redacted] y", e.scrub(errors.New("x "+text+" y")))
	}
	text = base64.StdEncoding.EncodeToString([]byte(text))
	assert.Equal(t, redacted, e.scrub(errors.New("x "+text+" y")))
	long := strings.Repeat("long ", maxErrorText/5)
	assert.Equal(t, long, e.scrub(errors.New(long)))
	assert.Equal(t, redacted, e.scrub(errors.New(long+"and longer")))
}

type errorThatPanics struct{}

func (errorThatPanics) Error() string { panic("Anna") }

// A stack says where a host's function panicked, also for a subject that is a number.
func TestScrubPanics(t *testing.T) {
	w := newWorld(t)
	for _, subject := range []string{"1", "go", "0", "goroutine", "panic"} {
		err := w.Call(t.Context(), func(context.Context) error { panic("user " + subject + " at 10.0.0.1") })
		var p *panicError
		require.ErrorAs(t, err, &p)
		require.ErrorIs(t, err, errPanic)
		out := Event{Subject: subject}.scrub(err)
		head, stack, ok := strings.Cut(out, "\n")
		require.True(t, ok)
		assert.Equal(t, string(p.stack), stack, subject)
		assert.Contains(t, stack, "scrub_test.go:")
		assert.Contains(t, head, "user [redacted] at 10.0.0.1")
	}
	assert.NotContains(t, people("Anna").scrub(errorThatPanics{}), "Anna")
}

// words are those of errors, of which the names below share no letter sequence.
var words = strings.Fields("dial tcp 10.0.0.1:6379: i/o timeout; pq: duplicate key (SQLSTATE 23505) \"users_pkey\" exit status 1 at=2026-11-26T06:45:59Z 0x7f3a %!d(string=x) 100% C:\\new\\users C3AB 5f3759df dead-beef/42 AAECAwQFBgcICQ== {\"a\":[1,2]} &amp; &nbsp; \\u0000 user_id=?")

// No value is left in any encoding among any words, and nothing else goes.
func TestScrubAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	alphabets := []string{"qwvzjk", "ëüøłñ", "жщюя", "明王李", "ëqwж"}
	for range 1000 {
		alphabet := []rune(alphabets[random.IntN(len(alphabets))])
		name := ""
		for range 4 + random.IntN(8) {
			name += string(alphabet[random.IntN(len(alphabet))])
		}
		some := func() (s []string) {
			for range random.IntN(5) {
				s = append(s, words[random.IntN(len(words))])
			}
			return s
		}
		before, after := some(), some()
		plain := strings.Join(append(append([]string{}, before...), after...), " ")
		require.Equal(t, plain, people(name).scrub(errors.New(plain)), name)
		for how, encode := range encodings {
			if random.IntN(8) > 0 {
				continue
			}
			encoded := encode(name)
			if strings.Contains(how, "UTF-16") && alphabet[0] >= utf8.RuneSelf {
				continue
			}
			text := strings.Join(append(append(append([]string{}, before...), "("+encoded+")"), after...), " ")
			out := people(name).scrub(errors.New(text))
			require.NotContains(t, strings.ToLower(out), strings.ToLower(encoded), "%s of %s in %s", how, name, text)
			require.Contains(t, out, redacted, text)
			require.True(t, strings.HasPrefix(out, strings.Join(before, " ")), "%s of %s in %s: %s", how, name, text, out)
			require.True(t, strings.HasSuffix(out, strings.Join(after, " ")), "%s of %s in %s: %s", how, name, text, out)
		}
	}
}

// Whatever the text and the value are, a value that is not short is not in what is left,
// and what has none is as it was.
func FuzzScrub(f *testing.F) {
	f.Add("insert Zoë: %5Ao%C3%AB", "Zoë")
	f.Add("dial tcp 10.0.0.1", "1")
	f.Add("\xff\xfe&#;\\u{}%%", "\xff")
	f.Add("SGVsbG8gd29ybGQ=", "hello")
	f.Fuzz(func(t *testing.T, text, value string) {
		out := people(value).scrub(errors.New(text))
		if out == redacted {
			return
		}
		if !strings.Contains(out, redacted) {
			require.Equal(t, text, out)
		}
		ascii := strings.IndexFunc(value, func(c rune) bool { return c >= utf8.RuneSelf || !unicode.IsLetter(c) }) < 0
		for rest := range strings.SplitSeq(out, redacted) {
			if ascii && len(value) >= 4 {
				require.NotContains(t, strings.ToLower(rest), strings.ToLower(value))
			}
		}
		require.Equal(t, out, people("").scrub(errors.New(out)))
	})
}
