package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okidtest"
)

// testReadme clicks through the program in the README, which is built as it stands there.
func testReadme(t *testing.T, chromium context.Context) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	source := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindSubmatch(readme)
	require.NotNil(t, source)
	file := filepath.Join(t.TempDir(), "main.go")
	binary := strings.TrimSuffix(file, ".go")
	require.NoError(t, os.WriteFile(file, source[1], 0o600))
	out, err := exec.Command("go", "build", "-o", binary, file).CombinedOutput()
	require.NoError(t, err, string(out))

	addr := "127.0.0.1:" + testenv.FreePort(t)
	w := &world{url: "http://" + addr, starts: make(chan start, 10)}
	w.newFake(t, okidtest.Chaos{})
	ctx, stop := context.WithCancel(t.Context())
	program := exec.CommandContext(ctx, binary)
	var output bytes.Buffer
	program.Stdout, program.Stderr = &output, &output
	program.Env = append(os.Environ(), "ADDR="+addr, "OKID_API_URL="+w.fake.URL(), "OKID_FRONTEND_URL="+w.fake.URL(), "OKID_SDK_URL="+w.fake.SDKURL(),
		"OKID_API_KEY="+okidtest.DefaultAPIKey, "OKID_WEBHOOK_SECRET="+okidtest.DefaultWebhookSecret, "OKID_KEYS="+hex.EncodeToString([]byte("0123456789abcdefghijklmnopqrstuv")))
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		stop()
		_ = program.Wait() // it was killed
		if t.Failed() {
			t.Log(output.String())
		}
	})
	require.Eventually(t, func() bool {
		resp, err := http.Get(w.url + "/cellar/")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	}, time.Minute, 20*time.Millisecond)

	u := visit(t, chromium, w, "alice")
	u.forgive("status of 4") // of the program's icon, which there is not
	u.open("http://alice:any@" + addr + "/cellar/")
	u.sees("This part of the site needs to know who you are")
	u.begins()
	u.click("Verified by passport")
	u.sees("wine")
}
