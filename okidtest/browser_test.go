package okidtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

// hostPage starts the SDK as a host's page does, forges messages as a stranger
// does, and presses the flow's buttons where it may look into the frame. What
// happens, it reports to the server.
const hostPage = `<!doctype html>
<html lang="en"><title>host</title><link rel="icon" href="data:,">
<script src="%s"></script>
<script nonce="n0nce">
const report = (what) => navigator.sendBeacon("/report", what);
addEventListener("securitypolicyviolation", (e) => report("violation " + e.violatedDirective));
addEventListener("error", (e) => report("uncaught " + e.message));
addEventListener("DOMContentLoaded", () => {
	const client = new okID({
		apiUrl: "%[2]s", frontendUrl: "%[2]s", processToken: "%s", flowName: "standard", locale: "nl",
		onComplete: (data) => report("complete " + data.status),
		onError: (error) => report("error " + error.code),
	});
	client.init();
	client.init();
	if (document.querySelectorAll("iframe").length !== 1) report("init opened twice");
	postMessage({ okid: "complete", data: { status: "forged" } }, "*");
	const choices = %s;
	document.querySelector("iframe").addEventListener("load", (e) => {
		if (choices.length) e.target.contentDocument.querySelector("button[value=" + choices.shift() + "]").click();
	});
	const closed = new MutationObserver(() => {
		if (!document.querySelector("dialog")) report("gone");
	});
	closed.observe(document.body, { childList: true });
	%s
});
</script><body></body></html>`

func TestBrowser(t *testing.T) {
	chromium := testenv.Program(t, "chromium")

	tests := []struct {
		name    string
		as      string
		choices string // pressed in the frame
		before  func(*testing.T, *okidtest.OKID, string)
		extra   string // JavaScript of the host's page
		reports []string
		lands   string // where the browser goes afterwards
	}{
		{"class", "class", `["begin", "passport"]`, nil, "", []string{"gone", "complete completed"}, "/success"},
		{"var", "var", `["begin", "id-card"]`, nil, "", []string{"gone", "complete completed"}, "/success"},
		{"window", "window", `["begin", "fail"]`, nil, "", []string{"gone", "error verification_failed"}, "/error"},
		{"leave", "class", `["begin", "leave"]`, nil, "", []string{"gone"}, ""},
		{"close button", "class", `[]`, nil, `document.querySelector("dialog button").click();`, []string{"gone"}, ""},
		{"other origin", "class", `[]`, func(t *testing.T, fake *okidtest.OKID, token string) {
			id, err := fake.Begin(token)
			require.NoError(t, err)
			require.NoError(t, fake.Complete(id, okidtest.Passport(noon)))
		}, "", []string{"gone", "complete completed"}, "/success"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if i > 0 {
				testenv.Long(t)
			}
			var fake *okidtest.OKID
			reports := make(chan string, 100)
			mux := http.NewServeMux()
			host := httptest.NewServer(mux)
			defer host.Close()

			if tt.before != nil {
				fake = start(t, okidtest.Config{})
			} else {
				var err error
				fake, err = okidtest.NewOKID(okidtest.Config{PublicURL: host.URL + "/okid"})
				require.NoError(t, err)
				defer fake.Close()
				mux.Handle("/okid/", http.StripPrefix("/okid", fake))
			}
			mux.HandleFunc("/report", func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				reports <- string(body)
			})
			for _, path := range []string{"/success", "/error"} {
				mux.HandleFunc(path, func(http.ResponseWriter, *http.Request) { reports <- path })
			}

			body := fmt.Sprintf(`{"metadata":{},"success_url":"%[1]s/success","error_url":"%[1]s/error"}`, host.URL)
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", "/v1/verification/generate", bytes.NewBufferString(body))
			r.Header.Set(okid.KeyHeader, okidtest.DefaultAPIKey)
			r.Header.Set("Content-Type", "application/json")
			fake.ServeHTTP(w, r)
			token := processToken(t, w.Body.Bytes())
			if tt.before != nil {
				tt.before(t, fake, token)
			}
			mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; connect-src 'self'; "+
					"script-src 'nonce-n0nce' "+fake.SDKURL()+"; frame-src "+fake.URL()+"/; base-uri 'none'; form-action 'none'")
				_, _ = fmt.Fprintf(w, hostPage, fake.SDKURL()+"?as="+tt.as, fake.URL(), token, tt.choices, tt.extra)
			})

			want := tt.reports
			if tt.lands != "" {
				want = append(want, tt.lands)
			}
			browse(t, chromium, host.URL+"/", reports, want)
		})
	}
}

// browse opens a page in Chromium, and asserts that it reports what is wanted, in
// whatever order, as beacons overtake one another, and that the console says
// nothing.
func browse(t *testing.T, chromium, page string, reports <-chan string, want []string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute) // a browser that is stuck must not stop all tests
	defer stop()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--no-first-run", "--user-data-dir="+t.TempDir(),
		"--enable-logging=stderr", "--remote-debugging-port=0", page)
	cmd.Stderr = &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it takes its children along
	cmd.WaitDelay = 10 * time.Second
	require.NoError(t, cmd.Start())

	var got []string
	for len(got) < len(want) && ctx.Err() == nil {
		select {
		case report := <-reports:
			got = append(got, report)
		case <-ctx.Done():
		}
	}
	stop()
	if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Logf("chromium: %v", err)
	}
	assert.ElementsMatch(t, want, got)
	assert.Empty(t, reports)
	assert.Empty(t, strings.Join(regexp.MustCompile(`(?m)^.*:CONSOLE.*$`).FindAllString(stderr.String(), -1), "\n"))
}
