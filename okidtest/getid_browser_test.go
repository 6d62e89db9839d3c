package okidtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/internal/testenv"
	"github.com/okidkit/okidkit/okidtest"
)

// getidHostPage starts the partner's script as a host's page does, and forges
// messages as a stranger does. What happens, it reports to the server.
const getidHostPage = `<!doctype html>
<html lang="en"><title>host</title><link rel="icon" href="data:,">
<body><script nonce="n0nce">
const report = (what) => navigator.sendBeacon("/report", what);
addEventListener("securitypolicyviolation", (e) => report("violation " + e.violatedDirective));
addEventListener("error", (e) => report("uncaught " + e.message));
window.onCheckinLoad = (checkin) => {
	if (checkin !== window.checkin) report("another checkin");
	checkin.settings.setLang("nl");
	checkin.dataFlow.setOnUpdate(({ data }) => report("update " + data.ocr.data.status));
	checkin.dataFlow.setOnComplete(({ data, completeData }) => {
		if (completeData.ocr.id !== data.ocr.id) report("completeData is of another");
		navigator.sendBeacon("/claim", JSON.stringify(data.ocr));
	});
	checkin.signUp.open();
	checkin.signUp.open();
	const frames = document.querySelectorAll("iframe");
	if (frames.length !== 1) report("open opened twice");
	report(new URL(frames[0].src).search);
	postMessage({ getid: { id: "forged" } }, "*");
	new MutationObserver(() => {
		if (!document.querySelector("dialog")) report("gone");
	}).observe(document.body, { childList: true });
	%s
};
</script><script src="%s" async></script></body></html>`

func TestGetIDBrowser(t *testing.T) {
	chromium := testenv.Program(t, "chromium")

	tests := []struct {
		name    string
		press   string // the button of the flow
		extra   string // JavaScript of the host's page
		reports []string
		status  string // of the claim; empty: there is none, or it has none
	}{
		{"approved", "approved", "", []string{"?locale=nl", "gone", "update done", "claim"}, "approved"},
		{"declined", "declined", "", []string{"?locale=nl", "gone", "update done", "claim"}, "declined"},
		{"slow", "slow", "", []string{"?locale=nl", "gone", "update processing", "claim"}, ""},
		{"close button", "", `document.querySelector("dialog button").click();`, []string{"?locale=nl", "gone"}, ""},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if i > 0 {
				testenv.Long(t)
			}
			reports, claims := make(chan string, 100), make(chan []byte, 100)
			mux := http.NewServeMux()
			host := httptest.NewServer(mux)
			defer host.Close()

			// The fake is of another origin, where the host's page presses no
			// button. A line after the page's own script does.
			var fake *okidtest.GetID
			provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fake.ServeHTTP(w, r)
				if r.URL.Path == "/flow.js" && tt.press != "" {
					_, _ = fmt.Fprintf(w, "document.querySelector('button[value=%s]')?.click();\n", tt.press)
				}
			}))
			defer provider.Close()
			fake, err := okidtest.NewGetID(okidtest.GetIDConfig{PublicURL: provider.URL})
			require.NoError(t, err)

			mux.HandleFunc("/report", func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				reports <- string(body)
			})
			mux.HandleFunc("/claim", func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				claims <- body
				reports <- "claim"
			})
			mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; connect-src 'self'; "+
					"script-src 'nonce-n0nce' "+fake.URL()+"; frame-src "+fake.URL()+"; base-uri 'none'; form-action 'none'")
				_, _ = fmt.Fprintf(w, getidHostPage, tt.extra, fake.ScriptURL())
			})

			browse(t, chromium, host.URL+"/", reports, tt.reports)
			if tt.press == "" {
				assert.Empty(t, claims)
				return
			}
			require.Len(t, claims, 1)
			handed := read(t, <-claims)
			assert.Equal(t, tt.status, handed.ApplicationStatus)
			assert.True(t, takeApart(t, handed.Signed).isSignedBy(keySet(t, fake)[fake.KeyID()]))
			code, _ := result(t, fake, handed.ID)
			assert.Equal(t, 200, code)
		})
	}
}
