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
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okidtest"
)

// The program in the README is built and used as it stands there.
func TestReadmeProgram(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindSubmatch(readme)
	require.NotNil(t, block, "README.md has no program")
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(file, block[1], 0o600))
	out, err := exec.Command("go", "build", "-o", binary, file).CombinedOutput()
	require.NoError(t, err, string(out))
	formatted, err := exec.Command("gofmt", "-l", file).Output()
	require.NoError(t, err)
	assert.Empty(t, string(formatted), "gofmt would change the program")

	fake, err := okidtest.NewOKID(okidtest.Config{})
	require.NoError(t, err)
	require.NoError(t, fake.Start())
	t.Cleanup(fake.Close)
	addr := freeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	program := exec.CommandContext(ctx, binary)
	var output bytes.Buffer
	program.Stdout, program.Stderr = &output, &output
	program.Env = append(os.Environ(), "ADDR="+addr, "OKID_API_URL="+fake.URL(), "OKID_FRONTEND_URL="+fake.URL(), "OKID_SDK_URL="+fake.SDKURL(), "OKID_API_KEY="+okidtest.DefaultAPIKey,
		"OKID_WEBHOOK_SECRET="+okidtest.DefaultWebhookSecret, "OKID_KEYS="+fmt.Sprintf("%x", []byte("0123456789abcdefghijklmnopqrstuv")))
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		stop()
		_ = program.Wait() // it was killed
		if t.Failed() {
			t.Log(output.String())
		}
	})

	request := func(method, path string) (int, []byte) {
		r, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
		require.NoError(t, err)
		r.SetBasicAuth("alice", "")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, nil // not up yet
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, body
	}
	up := func() bool { code, _ := request("GET", "/cellar/"); return code == 403 }
	require.Eventually(t, up, time.Minute, 20*time.Millisecond)

	code, body := request("POST", "/verify/start")
	require.Equal(t, 201, code, string(body))
	var started struct {
		Token string `json:"process_token"`
	}
	require.NoError(t, json.Unmarshal(body, &started))
	id, err := fake.Begin(started.Token)
	require.NoError(t, err)
	require.NoError(t, fake.Complete(id, okidtest.Passport(time.Now())))
	require.NoError(t, fake.Wait(ctx))
	code, body = request("GET", "/cellar/")
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
