package okidkit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okidtest"
)

// The program in the README is built and used as it stands there.
func TestReadmeProgram(t *testing.T) {
	p := newReadmeProgram(t, readmeProgram(t))
	p.start(t)
	p.verifyAlice(t)
}

// With the lines for a file in it, what was verified survives the process.
func TestReadmeProgramOnAFile(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	lines := regexp.MustCompile("(?s)```go\n(\tdb, err := sql.Open.*?)```").FindSubmatch(readme)
	require.NotNil(t, lines, "README.md does not show how to keep the records in a file")
	source := readmeProgram(t)
	for old, put := range map[string]string{
		"\tkit, err := okidhttp.New":                   string(lines[1]) + "\tkit, err := okidhttp.New",
		"memstore.New(),":                              "records,",
		"\t\"github.com/okidkit/okidkit/memstore\"\n":  "",
		"\"context\"\n":                                "\"context\"\n\t\"database/sql\"\n",
		"\t\"github.com/okidkit/okidkit/okidhttp\"\n)": "\t\"github.com/okidkit/okidkit/okidhttp\"\n\t\"github.com/okidkit/okidkit/sqlstore\"\n\n\t_ \"modernc.org/sqlite\"\n)",
	} {
		require.Contains(t, source, old)
		source = strings.Replace(source, old, put, 1)
	}
	p := newReadmeProgram(t, source)
	p.start(t)
	p.verifyAlice(t)
	p.stop()
	p.start(t)
	code, body := p.request(t, "GET", "/cellar/")
	assert.Equal(t, 200, code)
	assert.Equal(t, "wine\n", string(body))
}

// The program is built in a module of its own, from this module and the standard library alone: no
// other module is downloaded, let alone a driver, and none is in the binary.
func TestReadmeProgramStandsAlone(t *testing.T) {
	root, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(readmeProgram(t)), 0o600))
	goCommand := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -modcacherw", "GOPROXY=off", "GOWORK=off", "GOMODCACHE="+filepath.Join(dir, "modules"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	goCommand("mod", "init", "example.com/program")
	goCommand("mod", "edit", "-require=github.com/okidkit/okidkit@v0.0.0", "-replace=github.com/okidkit/okidkit="+root)
	goCommand("build", "-o", "program", ".")
	modules := regexp.MustCompile(`(?m)^\tdep\t(\S+)`).FindAllStringSubmatch(goCommand("version", "-m", "program"), -1)
	require.Len(t, modules, 1)
	assert.Equal(t, "github.com/okidkit/okidkit", modules[0][1])
}

// readmeProgram is the program in the README.
func readmeProgram(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindSubmatch(readme)
	require.NotNil(t, block, "README.md has no program")
	return string(block[1])
}

// program is one that was built, beside a simulated okID.
type program struct {
	dir, addr string
	fake      *okidtest.OKID
	stop      func() // ends the process
}

func newReadmeProgram(t *testing.T, source string) *program {
	t.Helper()
	p := &program{dir: t.TempDir(), addr: freeAddr(t)}
	file := filepath.Join(p.dir, "main.go")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	out, err := exec.Command("go", "build", "-o", filepath.Join(p.dir, "program"), file).CombinedOutput()
	require.NoError(t, err, string(out))
	formatted, err := exec.Command("gofmt", "-l", file).Output()
	require.NoError(t, err)
	assert.Empty(t, string(formatted), "gofmt would change the program")
	p.fake, err = okidtest.NewOKID(okidtest.Config{})
	require.NoError(t, err)
	require.NoError(t, p.fake.Start())
	t.Cleanup(p.fake.Close)
	return p
}

// start starts the program, until the test ends.
func (p *program) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, filepath.Join(p.dir, "program"))
	cmd.Dir = p.dir
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Env = append(os.Environ(), "ADDR="+p.addr, "OKID_API_URL="+p.fake.URL(), "OKID_FRONTEND_URL="+p.fake.URL(), "OKID_SDK_URL="+p.fake.SDKURL(), "OKID_API_KEY="+okidtest.DefaultAPIKey,
		"OKID_WEBHOOK_SECRET="+okidtest.DefaultWebhookSecret, "OKID_KEYS="+fmt.Sprintf("%x", []byte("0123456789abcdefghijklmnopqrstuv")))
	require.NoError(t, cmd.Start())
	p.stop = sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(output.String())
		}
	})
	t.Cleanup(p.stop)
	require.Eventually(t, func() bool { code, _ := p.request(t, "GET", "/cellar/"); return code != 0 }, time.Minute, 20*time.Millisecond)
}

// request is one of Alice's. The status is 0 while the program is not up yet.
func (p *program) request(t *testing.T, method, path string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.addr+path, nil)
	require.NoError(t, err)
	r.SetBasicAuth("alice", "")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, body
}

// verifyAlice lets Alice be verified, who is let in then and was not before.
func (p *program) verifyAlice(t *testing.T) {
	t.Helper()
	code, _ := p.request(t, "GET", "/cellar/")
	require.Equal(t, 403, code)
	code, body := p.request(t, "POST", "/verify/start")
	require.Equal(t, 201, code, string(body))
	var started struct {
		Token string `json:"process_token"`
	}
	require.NoError(t, json.Unmarshal(body, &started))
	id, err := p.fake.Begin(started.Token)
	require.NoError(t, err)
	require.NoError(t, p.fake.Complete(id, okidtest.Passport(time.Now())))
	require.NoError(t, p.fake.Wait(t.Context()))
	code, body = p.request(t, "GET", "/cellar/")
	assert.Equal(t, 200, code)
	assert.Equal(t, "wine\n", string(body))
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Whoever comes by sees how to get it without scrolling, and a program soon after.
func TestReadmeFirstScreen(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	line := func(text string) int {
		before, _, found := strings.Cut(string(readme), text)
		require.True(t, found, text)
		return strings.Count(before, "\n") + 1
	}
	for _, text := range []string{"go get github.com/okidkit/okidkit", "Go 1.26 or newer", "There is no release yet", "go run ./examples/quickstart"} {
		assert.LessOrEqual(t, line(text), 45, text)
	}
	assert.LessOrEqual(t, line("package main"), 60)
}

// The guide to providers shows code that runs as it stands.
func TestProviderGuide(t *testing.T) {
	guide, err := os.ReadFile("docs/providers.md")
	require.NoError(t, err)
	code, err := os.ReadFile("identity/identitytest/acme_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(guide, -1)
	require.Greater(t, len(blocks), 3)
	for _, block := range blocks {
		assert.Contains(t, string(code), string(block[1]))
	}
}

// The observer in the guide to telemetry is that of an example.
func TestTelemetryGuide(t *testing.T) {
	guide, err := os.ReadFile("docs/telemetry.md")
	require.NoError(t, err)
	code, err := os.ReadFile("okidhttp/observer_example_test.go")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```go\n(type counter.*?)```").FindSubmatch(guide)
	require.NotNil(t, block)
	assert.Contains(t, string(code), string(block[1]))
}

// Links of the documentation to files lead somewhere.
func TestDocumentationLinks(t *testing.T) {
	files, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	files = append(files, "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples/server/README.md")
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	checked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(match[1], "https://") {
				continue
			}
			checked++
			_, err := os.Stat(filepath.Join(filepath.Dir(file), match[1]))
			assert.NoError(t, err, "%s links to %s", file, match[1])
		}
	}
	assert.Greater(t, checked, 5)
}
