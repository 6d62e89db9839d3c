package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okid/portal"
	"github.com/okidkit/okidkit/okidtest"
)

const secret = "9f2c61d07be84a35"

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// call runs the tool, and returns the exit status and what it prints.
func call(t *testing.T, in string, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, tool{in: strings.NewReader(in), out: &o, errs: &e, env: os.Environ, now: func() time.Time { return testTime }})
	return status, o.String(), e.String()
}

// Arguments that mean nothing are told in one line, and help is no fault.
func TestArguments(t *testing.T) {
	for args, says := range map[string]string{
		"nonsense":                        `there is no command "nonsense"`,
		"key extra":                       `takes no "extra"`,
		"fake -latency x":                 "invalid value",
		"fake -latency -1s":               "-latency is negative",
		"fake -drop 1.5":                  "Chaos.DropShare is not between 0 and 1",
		"fake -drop NaN":                  "Chaos.DropShare is not between 0 and 1",
		"fake -duplicate -1":              "Chaos.Copies is negative",
		"fake -webhook x":                 "WebhookURL is not an http(s) URL",
		"fake -nothing":                   "flag provided but not defined",
		"trigger":                         "-url is not an http(s) URL",
		"trigger -url ftp://x":            "-url is not an http(s) URL",
		"trigger -url http://x":           "-secret is missing",
		"trigger -url http://x -secret s": "-reference is missing",
		"trigger -url http://x -secret s -reference r -times 0":     "-times is less than 1",
		"trigger -url http://x -secret s -reference r -event a,":    "-event has an empty one",
		"trigger -url http://x -secret s -reference r -signs x":     "-signs is none of body, timestamp.body",
		"trigger -url http://x -secret s -reference r -encoding x":  "-encoding is none of hex, base64",
		"trigger -url http://x -secret s -reference r -timestamp x": "-timestamp is none of seconds",
		"trigger -url http://x -secret s -reference r extra":        `takes no "extra"`,
		"doctor":                   "-secret is missing",
		"doctor -secret s one two": "takes one file",
	} {
		status, out, errs := call(t, "", strings.Fields(args)...)
		assert.Equal(t, exitUsage, status, args)
		assert.Empty(t, out, args)
		assert.Contains(t, errs, says, args)
		assert.Equal(t, 1, strings.Count(errs, "\n"), args)
	}
	status, _, errs := call(t, "")
	assert.Equal(t, exitUsage, status)
	for _, c := range commands() {
		assert.Contains(t, errs, c.name)
		status, out, errs := call(t, "", c.name, "-h")
		assert.Equal(t, exitOK, status)
		assert.Contains(t, out, "for example:\n")
		assert.Empty(t, errs)
	}
	status, out, _ := call(t, "", "help")
	assert.Equal(t, exitOK, status)
	assert.Contains(t, out, "usage: okidkit COMMAND")
}

func TestKey(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		status, out, _ := call(t, "", "key")
		require.Equal(t, exitOK, status)
		key, err := hex.DecodeString(strings.TrimSpace(out))
		require.NoError(t, err)
		assert.Len(t, key, 32)
		seen[out] = true
	}
	assert.Len(t, seen, 3)
}

// capturing is a writer on which somebody waits for lines.
type capturing struct {
	mu   sync.Mutex
	text string
	more chan struct{}
}

func (c *capturing) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.text += string(b)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

// An app that has only the printed settings talks to both providers; a script chooses the
// outcome as a person does.
func TestFake(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out := &capturing{more: make(chan struct{}, 1)}
	ended := make(chan int, 1)
	hints := make(chan string, 9)
	dashboard := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hints <- r.URL.String() }))
	defer dashboard.Close()
	go func() {
		ended <- run(ctx, []string{"fake", "-latency", "1ms", "-webhook", dashboard.URL + "/webhook"}, tool{out: out, errs: io.Discard, env: os.Environ, now: time.Now})
	}()
	<-out.more
	settings := map[string]string{}
	for line := range strings.Lines(out.text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		require.True(t, ok, line)
		settings[name] = value
	}

	hooks := make(chan string, 9)
	var provider *okid.Provider
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n, err := provider.VerifyWebhook(r.Header, body, time.Now())
		assert.NoError(t, err)
		hooks <- n.Reference + " " + string(n.Verification.Status)
	}))
	defer app.Close()
	provider, err := okid.New(okid.Config{
		APIKey: settings["OKID_API_KEY"], WebhookSecrets: []string{settings["OKID_WEBHOOK_SECRET"]},
		APIURL: settings["OKID_API_URL"], FrontendURL: settings["OKID_FRONTEND_URL"], SDKURL: settings["OKID_SDK_URL"],
	})
	require.NoError(t, err)
	session, err := provider.Start(ctx, identity.StartRequest{Reference: "ref", CallbackURL: app.URL})
	require.NoError(t, err)
	flow := settings["OKID_FRONTEND_URL"] + "/flow?process_token=" + session.Token
	for _, step := range [][2]string{{"begin", "ref started"}, {"passport", "ref verified"}} {
		res, err := http.PostForm(flow, url.Values{"choice": {step[0]}})
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, step[1], <-hooks)
	}
	for _, name := range []string{"OKID_SDK_URL", "GETID_JWKS_URL", "GETID_SCRIPT_URL"} {
		res, err := http.Get(settings[name])
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, 200, res.StatusCode, name)
	}
	assert.NotEmpty(t, settings["GETID_URL"])
	assert.NotEmpty(t, settings["GETID_API_KEY"])

	newer, err := portal.New(portal.Config{URL: settings["OKID_PORTAL_URL"], APIKey: settings["OKID_PORTAL_KEY"]})
	require.NoError(t, err)
	own, err := direct.New(direct.Config{URL: settings["GETID_DIRECT_URL"], APIKey: settings["GETID_DIRECT_KEY"], Flow: settings["GETID_DIRECT_FLOW"]})
	require.NoError(t, err)
	for choice, p := range map[string]identity.Provider{"verified": newer, "approved": own} {
		session, err := p.Start(ctx, identity.StartRequest{Reference: "ref-" + p.Name(), SuccessURL: app.URL})
		require.NoError(t, err)
		form, err := http.NewRequest(http.MethodPost, p.SDK(session, "en").URL, strings.NewReader("choice="+choice))
		require.NoError(t, err)
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultTransport.RoundTrip(form)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		n, err := p.Fetch(ctx, session.ID)
		require.NoError(t, err)
		assert.Equal(t, identity.Verified, n.Verification.Status)
		assert.Equal(t, "/webhook?provider="+p.Name(), <-hints)
		assert.Equal(t, "/webhook?provider="+p.Name(), <-hints)
	}
	stop()
	assert.Equal(t, exitOK, <-ended)
}

// A command gets the settings, and its exit status is the tool's.
func TestFakeWithACommand(t *testing.T) {
	status, out, _ := call(t, "", "fake", "sh", "-c", `echo "key $OKID_API_KEY"; exit 7`)
	assert.Equal(t, 7, status)
	assert.Equal(t, "key "+okidtest.DefaultAPIKey+"\n", out)
	status, _, errs := call(t, "", "fake", "/nowhere/to/be/found")
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, errs, "okidkit fake: ")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	status, _, errs = call(t, "", "fake", "-addr", l.Addr().String())
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, errs, "in use")
}

// Triggered webhooks are as genuine as okID's, in every way that it may sign them.
func TestTrigger(t *testing.T) {
	for name, tt := range map[string]struct {
		args    []string
		config  func(*okid.Config)
		age     time.Duration // of the timestamp when it arrives
		want    string        // what the tool prints, without ids
		got     []identity.Status
		status  int
		answers []int
	}{
		"as okID":             {nil, func(*okid.Config) {}, 0, "200 verification.completed", []identity.Status{identity.Verified}, 0, nil},
		"several":             {[]string{"-event", "verification.started,verification.failed", "-times", "2"}, func(*okid.Config) {}, 0, "200 verification.started 200 verification.failed 200 verification.started 200 verification.failed", []identity.Status{identity.Started, identity.Failed, identity.Started, identity.Failed}, 0, nil},
		"expired, reformated": {[]string{"-event", "verification.expired", "-reformat"}, func(*okid.Config) {}, 0, "200 verification.expired", []identity.Status{identity.Expired}, 0, nil},
		"another scheme": {[]string{"-signs", "timestamp.body", "-encoding", "base64", "-timestamp", "ms"}, func(c *okid.Config) {
			c.SignedContent, c.SignatureEncoding = okid.SignedTimestampDotBody, okid.Base64
		}, 0, "200 verification.completed", []identity.Status{identity.Verified}, 0, nil},
		"and another": {[]string{"-signs", "timestamp+body", "-timestamp", "rfc3339"}, func(c *okid.Config) {
			c.SignedContent = okid.SignedTimestampBody
		}, 0, "200 verification.completed", []identity.Status{identity.Verified}, 0, nil},
		"in the past": {[]string{"-skew", "4m"}, func(*okid.Config) {}, 4 * time.Minute, "200 verification.completed", []identity.Status{identity.Verified}, 0, nil},
		"refused":     {[]string{"-event", "verification.started,verification.failed"}, func(*okid.Config) {}, 0, "503 verification.started 200 verification.failed", []identity.Status{identity.Started, identity.Failed}, 1, []int{503}},
	} {
		t.Run(name, func(t *testing.T) {
			config := okid.Config{APIKey: "an-api-key-0123456789", WebhookSecrets: []string{secret}}
			tt.config(&config)
			provider, err := okid.New(config)
			require.NoError(t, err)
			var got []identity.Status
			digests := map[[32]byte]bool{}
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				n, err := provider.VerifyWebhook(r.Header, body, testTime)
				assert.NoError(t, err)
				assert.Equal(t, "ref", n.Reference)
				got = append(got, n.Verification.Status)
				digests[n.Digest] = true
				if len(tt.answers) >= len(got) {
					w.WriteHeader(tt.answers[len(got)-1])
				}
			}))
			defer app.Close()
			status, out, errs := call(t, "", append([]string{"trigger", "-url", app.URL, "-secret", secret, "-reference", "ref", "-id", "ver_x"}, tt.args...)...)
			assert.Equal(t, tt.status, status, errs)
			assert.Equal(t, tt.want, strings.Join(strings.Fields(strings.ReplaceAll(out, " ver_x", "")), " "))
			assert.Equal(t, tt.got, got)
		})
	}
	status, out, errs := call(t, "", "trigger", "-url", "http://127.0.0.1:1/x", "-secret", secret, "-reference", "r")
	assert.Equal(t, exitFailed, status)
	assert.True(t, strings.HasPrefix(out, "0 verification.completed ver_"), out)
	assert.Contains(t, errs, "okidkit trigger: ")
	assert.NotContains(t, out+errs, secret)
}

// captured is a webhook as a dump has it.
type captured struct {
	headers [][2]string
	body    string
	secret  string // that is given to the doctor
}

func (c captured) raw(end string) string {
	var b strings.Builder
	b.WriteString("POST /verify/webhook HTTP/1.1" + end)
	for _, h := range c.headers {
		b.WriteString(h[0] + ": " + h[1] + end)
	}
	b.WriteString(end + c.body)
	return b.String()
}

func (c captured) json(t *testing.T) string {
	headers := map[string][]string{}
	for _, h := range c.headers {
		headers[strings.ToLower(h[0])] = append(headers[strings.ToLower(h[0])], h[1])
	}
	out, err := json.Marshal(map[string]any{"headers": headers, "body": c.body})
	require.NoError(t, err)
	return string(out)
}

// schemes are all ways of signing that okid.Config can express, as webhooks, with the line that
// names each.
func schemes(t *testing.T, sent time.Time) map[string]captured {
	all := map[string]captured{}
	webhook, err := json.Marshal(okid.WebhookBody{Event: okid.EventCompleted, Data: okidtest.Passport(sent)})
	require.NoError(t, err)
	for i, content := range []okidtest.Content{okidtest.Body, okidtest.TimestampDotBody, okidtest.TimestampBody} {
		for j, encoding := range []okidtest.Encoding{okidtest.Hex, okidtest.Base64} {
			for k, format := range []okidtest.TimestampFormat{okidtest.UnixSeconds, okidtest.UnixMillis, okidtest.RFC3339} {
				for _, prefix := range []string{"", "sha256="} {
					h := okidtest.Signing{Content: content, Encoding: encoding, Timestamp: format}.Header(secret, sent, webhook)
					c := captured{body: string(webhook), secret: secret, headers: [][2]string{
						{"Host", "app.example"}, {"Content-Type", "application/json"},
						{"X-okID-Signature", prefix + h.Get(okid.SignatureHeader)}, {"X-okID-Timestamp", h.Get(okid.TimestampHeader)},
					}}
					name := prefix
					if name == "" {
						name = "none"
					}
					all[fmt.Sprintf("scheme: signs %s, %s, prefix %s, timestamp %s", contentNames[i], encodingNames[j], name, timestampNames[k])] = c
				}
			}
		}
	}
	require.Len(t, all, 36)
	return all
}

func TestDoctorKnowsEveryScheme(t *testing.T) {
	for line, c := range schemes(t, testTime.Add(-2*time.Hour)) {
		for form, dump := range map[string]string{"CRLF": c.raw("\r\n"), "LF": c.raw("\n"), "JSON": c.json(t)} {
			status, out, errs := call(t, dump, "doctor", "-secret", secret)
			require.Equal(t, exitOK, status, "%s %s: %s%s", line, form, out, errs)
			first, rest, _ := strings.Cut(out, "\n")
			assert.Equal(t, line, first, form)
			assert.Contains(t, rest, "okid.Config{")
			assert.Contains(t, rest, "2h0m0s old, which is no fault")
			assert.NotContains(t, out, "Jane")
			assert.NotContains(t, out, secret)
		}
	}
	file := filepath.Join(t.TempDir(), "webhook.txt")
	for line, c := range schemes(t, testTime) {
		require.NoError(t, os.WriteFile(file, []byte(c.raw("\n")), 0o600))
		status, out, _ := call(t, "", "doctor", "-secret", secret, file)
		assert.Equal(t, exitOK, status)
		assert.True(t, strings.HasPrefix(out, line+"\n"), out)
		assert.NotContains(t, out, " old")
	}
}

// Of every usual accident, whatever the scheme, the doctor names the reason, and no scheme.
func TestDoctorKnowsAccidents(t *testing.T) {
	header := func(c captured, name string, change func(string) string) captured {
		c.headers = slices.Clone(c.headers)
		for i := range c.headers {
			if c.headers[i][0] == name {
				c.headers[i][1] = change(c.headers[i][1])
			}
		}
		return c
	}
	rename := func(c captured, from, to string) captured {
		c.headers = slices.Clone(c.headers)
		for i := range c.headers {
			if c.headers[i][0] == from {
				c.headers[i][0] = to
			}
		}
		return c
	}
	for name, tt := range map[string]struct {
		happens func(captured) captured
		says    string
	}{
		"written again, indented": {func(c captured) captured {
			var b bytes.Buffer
			require.NoError(t, json.Indent(&b, []byte(c.body), "", "  "))
			c.body = b.String()
			return c
		}, "was read as JSON and written again"},
		"newline added":       {func(c captured) captured { c.body += "\n"; return c }, "other line ends, or none at its end"},
		"secret with a space": {func(c captured) captured { c.secret = " " + secret + "\n"; return c }, "spaces or line ends around it"},
		"secret in quotes":    {func(c captured) captured { c.secret = `"` + secret + `"`; return c }, "quotation marks"},
		"secret in hex":       {func(c captured) captured { c.secret = hex.EncodeToString([]byte(secret)); return c }, "the secret is the hex form of the key"},
		"API key":             {func(c captured) captured { c.secret = "simulated-okid-api-key"; return c }, "the API key in its place"},
		"truncated signature": {func(c captured) captured {
			return header(c, "X-okID-Signature", func(s string) string { return s[:len(s)-8] })
		}, "it is cut off, or made in another way"},
		"signature renamed": {func(c captured) captured { return rename(c, "X-okID-Signature", "X-Forwarded-Signature") }, "the signature stands in the header X-Forwarded-Signature"},
		"timestamp renamed": {func(c captured) captured { return rename(c, "X-okID-Timestamp", "X-Original-Timestamp") }, "the timestamp stands in the header X-Original-Timestamp"},
		"no signature":      {func(c captured) captured { return rename(c, "X-okID-Signature", "X-Nothing") }, ""},
		"signature twice": {func(c captured) captured {
			c.headers = append(slices.Clone(c.headers), c.headers[2])
			return c
		}, "is there 2 times"},
		"body read": {func(c captured) captured { c.body = ""; return c }, "the body is empty"},
		"changed":   {func(c captured) captured { c.body = strings.Replace(c.body, "Jane", "Joan", 1); return c }, "in a manner that cannot be guessed"},
	} {
		for line, c := range schemes(t, testTime) {
			c := tt.happens(c)
			status, out, errs := call(t, c.raw("\r\n"), "doctor", "-secret", c.secret)
			assert.Equal(t, exitFailed, status, "%s: %s: %s", name, line, errs)
			assert.Contains(t, out, tt.says, "%s: %s", name, line)
			assert.NotContains(t, out, "scheme:", name)
			for _, private := range []string{"Jane", "Roe", "Z000001", "1990"} {
				assert.NotContains(t, out, private)
			}
		}
	}
}

// The unit of a timestamp that is not signed is found to be wrong, too.
func TestDoctorKnowsWrongUnits(t *testing.T) {
	body := `{"event":"verification.started","data":{"id":"x"}}`
	h := okidtest.Signing{}.Header(secret, testTime, []byte(body))
	for _, stamp := range []string{"1772366400000000", "1772366400.5", "yesterday", "Sun, 01 Mar 2026 12:00:00 GMT", ""} {
		c := captured{body: body, headers: [][2]string{{"X-okID-Signature", h.Get(okid.SignatureHeader)}, {"X-okID-Timestamp", stamp}}}
		status, out, _ := call(t, c.raw("\n"), "doctor", "-secret", secret)
		assert.Equal(t, exitFailed, status, stamp)
		assert.Contains(t, out, "none of the units", stamp)
	}
	c := captured{body: body, headers: [][2]string{{"X-okID-Signature", h.Get(okid.SignatureHeader)}}}
	status, out, _ := call(t, c.raw("\n"), "doctor", "-secret", secret)
	assert.Equal(t, exitOK, status)
	assert.Contains(t, out, "scheme: signs body, hex, prefix none, timestamp none\n")
	assert.Contains(t, out, "there is no header X-okID-Timestamp")
}

// Whatever is captured, a wrong scheme is never named.
func TestDoctorIsNeverWrong(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := schemes(t, testTime)
	for _, line := range slices.Sorted(maps.Keys(all)) {
		for range 30 {
			dump := []byte(all[line].raw("\r\n"))
			for range 1 + random.IntN(3) {
				i := random.IntN(len(dump))
				switch random.IntN(3) {
				case 0:
					dump[i] = byte(random.IntN(256))
				case 1:
					dump = slices.Delete(dump, i, i+1)
				case 2:
					dump = slices.Insert(dump, i, byte(random.IntN(256)))
				}
			}
			status, out, _ := call(t, string(dump), "doctor", "-secret", secret)
			if first, _, _ := strings.Cut(out, "\n"); status == exitOK && first != line {
				// A timestamp that is not signed may have become one of another form.
				assert.Contains(t, line, "signs body,")
				assert.Equal(t, strings.Split(line, ", timestamp")[0], strings.Split(first, ", timestamp")[0])
			}
		}
	}
}

func TestReadCapture(t *testing.T) {
	for name, dump := range map[string]string{
		"nothing": "", "a text": "hello", "JSON of another kind": `{"event":"x"}`, "no body": `{"headers":{}}`, "odd header": `{"headers":{"a":1},"body":""}`,
		"odd line": "POST / HTTP/1.1\r\nnonsense\r\n\r\n",
	} {
		status, out, errs := call(t, dump, "doctor", "-secret", secret)
		assert.Equal(t, exitFailed, status, name)
		assert.Empty(t, out, name)
		assert.NotEmpty(t, errs, name)
	}
	c, err := readCapture([]byte("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
	require.NoError(t, err)
	assert.Equal(t, "abcde", string(c.body))
	c, err = readCapture([]byte("POST / HTTP/1.1\nContent-Length: 3\n\nabc\n"))
	require.NoError(t, err)
	assert.Equal(t, "abc", string(c.body))
	assert.Len(t, c.notes, 1)
	c, err = readCapture([]byte("POST / HTTP/1.1\nContent-Length: 9\n\nabc"))
	require.NoError(t, err)
	assert.Equal(t, []string{"the body lacks 6 bytes of what Content-Length says"}, c.notes)
	status, _, errs := call(t, "", "doctor", "-secret", secret, "/nowhere")
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, errs, "/nowhere")
}
