package okidhttp

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// The client module is the same for everybody, also for caches, until it changes.
func TestClientModule(t *testing.T) {
	w, _ := newClaimWorld(t)
	for file, want := range map[string]struct{ mediaType, contains string }{
		"client.js":   {"text/javascript; charset=utf-8", "\nexport function start(options"},
		"client.d.ts": {"application/typescript; charset=utf-8", "\nexport function start(options"},
	} {
		ask := func(method string, headers ...string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, "/verify/"+file+"?v=anything", nil)
			for i := 0; i+1 < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			return w.do(r, "")
		}
		rec := ask("GET")
		require.Equal(t, 200, rec.Code, file)
		h := rec.Header()
		assert.Equal(t, want.mediaType, h.Get("Content-Type"))
		assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		assert.Equal(t, "public, max-age=300", h.Get("Cache-Control"))
		assert.Empty(t, h.Get("Vary"))
		assert.Contains(t, rec.Body.String(), want.contains)
		etag := h.Get("ETag")
		require.Regexp(t, `^"[0-9a-f]{16}"$`, etag)

		again := ask("GET", "If-None-Match", `"old", W/`+etag)
		assert.Equal(t, 304, again.Code, file)
		assert.Empty(t, again.Body.String())
		assert.Equal(t, etag, again.Header().Get("ETag"))
		assert.Equal(t, 200, ask("GET", "If-None-Match", `"old"`).Code)

		head := ask("HEAD")
		assert.Equal(t, 200, head.Code)
		assert.Empty(t, head.Body.String())
		assert.Equal(t, 405, ask("POST").Code)
	}
}

// The module has the functions that start the scripts of all providers, and no others.
func TestClientModuleStartsEachProvider(t *testing.T) {
	one := newWorld(t).get("", "/verify/client.js")
	w, p := newClaimWorld(t)
	two := w.get("", "/verify/client.js")
	boots := regexp.MustCompile(`(?m)^boots\["(\w+)"\] = `).FindAllStringSubmatch(two.Body.String(), -1)
	require.Len(t, boots, len(w.kit.providers))
	for i, provider := range w.kit.providers {
		assert.Equal(t, provider.Name(), boots[i][1])
	}
	assert.Contains(t, two.Body.String(), ` = `+p.SDK(identity.Session{}, "").Boot+";\n")
	assert.Equal(t, one.Header().Get("ETag") == two.Header().Get("ETag"), one.Body.String() == two.Body.String())
}

// The kit's pages ask for the module by an address that changes with it.
func TestPagesUseTheClientModule(t *testing.T) {
	w := newWorld(t)
	ref := w.start("alice").Attempt
	sdk := w.get("alice", "/verify/page?attempt="+ref).Body.String()
	require.Equal(t, 200, w.webhook(notice{Reference: ref, ID: "v1", Status: identity.Started}))
	pending := w.get("alice", "/verify/success?attempt="+ref).Body.String()
	etag := strings.Trim(w.get("", "/verify/client.js").Header().Get("ETag"), `"`)
	for _, page := range []string{sdk, pending} {
		assert.Contains(t, page, `import("https://app.example/verify/client.js?v=`+etag+`")`)
	}
}

// A client that asks for JSON gets what start answers, and no other attempt.
func TestPageAsJSON(t *testing.T) {
	w, p := newClaimWorld(t)
	ask := func(user, target string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("Accept", "application/json")
		return w.do(r, user)
	}
	started := w.tryStart("alice")
	require.Equal(t, 201, started.Code)
	var began startJSON
	require.NoError(t, json.Unmarshal(started.Body.Bytes(), &began))
	target := "/verify/page?attempt=" + began.Attempt
	rec := ask("alice", target)
	require.Equal(t, 200, rec.Code)
	assert.JSONEq(t, started.Body.String(), rec.Body.String())
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		assert.Equal(t, want, rec.Header().Get(name), name)
	}
	assert.Equal(t, 404, ask("bob", target).Code)
	assert.Equal(t, 401, ask("", target).Code)
	assert.Contains(t, ask("alice", "/verify/page").Header().Get("Content-Type"), "text/html")

	p.says("session1", identity.Verified)
	code, _ := w.claim("alice", `{"id":"session1"}`, "?attempt="+began.Attempt)
	require.Equal(t, 200, code)
	rec = ask("alice", target)
	assert.Equal(t, 303, rec.Code, "who has finished is led on")
	assert.NotContains(t, rec.Body.String(), "tok_canary")
}
