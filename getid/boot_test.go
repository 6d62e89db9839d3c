package getid_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/testenv"
)

// bootPage runs the boot function with a script that is what each scenario says,
// and writes what happens into the page.
const bootPage = `<!doctype html><pre id="log"></pre><script>
function log(what) { document.getElementById("log").textContent += "\n" + what; }
addEventListener("error", function (e) { log("uncaught " + e.message); });
let complete;
const working = {
  settings: { setLang: function (l) { log("language " + l); } },
  dataFlow: { setOnComplete: function (f) { complete = f; } },
  signUp: { open: function () { log("open"); } },
};
const scenarios = {
  ready: function (boot) { window.checkin = working; boot(); complete({ data: { ocr: { id: "1" } } }); },
  later: function (boot) { boot(); log("booted"); window.onCheckinLoad(working); complete({ data: { ocr: { id: "2" } } }); },
  unfinished: function (boot) { window.checkin = {}; boot(); log("booted"); window.onCheckinLoad(working); },
  "no ocr": function (boot) { window.checkin = working; boot(); complete({ data: {} }); },
  nothing: function (boot) { window.checkin = working; boot(); complete(); },
  broken: function (boot) { window.checkin = { dataFlow: {} }; boot(); },
};
for (const name in scenarios) {
  delete window.checkin;
  delete window.onCheckinLoad;
  log("- " + name);
  scenarios[name](function () {
    (BOOT)(CONFIG, function (data) { log("complete " + JSON.stringify(data)); }, function (e) { log("error " + (e instanceof Error)); });
  });
}
</script>`

func TestBoot(t *testing.T) {
	testenv.Long(t)
	chromium := testenv.Program(t, "chromium")
	sdk := newProvider(t, newVendor()).SDK(identity.Session{}, "nl")
	config, err := json.Marshal(sdk.Config)
	require.NoError(t, err)
	page := filepath.Join(t.TempDir(), "page.html")
	require.NoError(t, os.WriteFile(page, []byte(strings.NewReplacer("BOOT", sdk.Boot, "CONFIG", string(config)).Replace(bootPage)), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a browser that is stuck must not stop all tests
	defer cancel()
	out, err := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--no-first-run", "--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+page).Output()
	require.NoError(t, err)
	_, log, _ := strings.Cut(string(out), `<pre id="log">`)
	log, _, _ = strings.Cut(log, "</pre>")
	assert.Equal(t, strings.TrimSpace(`
- ready
language nl
open
complete {"id":"1"}
- later
booted
language nl
open
complete {"id":"2"}
- unfinished
booted
language nl
open
- no ocr
language nl
open
error true
- nothing
language nl
open
error true
- broken
error true
`), strings.TrimSpace(log))
}
