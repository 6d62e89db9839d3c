package okidhttp

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/okidkit/okidkit/identity"
)

var (
	//go:embed client.js
	clientModule string
	//go:embed client.d.ts
	clientTypes string
)

// clientFile is one file of the client module.
type clientFile struct {
	mediaType, tag string
	content        []byte
}

func newClientFile(mediaType, content string) clientFile {
	sum := sha256.Sum256([]byte(content))
	return clientFile{mediaType, hex.EncodeToString(sum[:8]), []byte(content)}
}

// newClientModule is client.js with the functions that start the providers' scripts, so that
// no page needs to evaluate what it is sent.
func newClientModule(providers []identity.Provider) clientFile {
	var b strings.Builder
	b.WriteString(clientModule)
	for _, p := range providers {
		if boot := p.SDK(identity.Session{}, "").Boot; boot != "" {
			b.WriteString("\nboots[" + strconv.QuoteToASCII(p.Name()) + "] = " + boot + ";\n")
		}
	}
	return newClientFile("text/javascript; charset=utf-8", b.String())
}

// Client serves the client module, with which a page of the host's own starts a verification,
// resumes it and follows it. The kit's pages use it too. It takes a GET, and serves the types
// of the module if the path ends in client.d.ts. The answer is the same for everybody, and may
// be cached.
func (k *Kit) Client() http.Handler { return k.route("client", k.client) }

func (k *Kit) client(w http.ResponseWriter, r *http.Request) {
	f := k.clientModule
	if route, _ := lastSegment(r.URL.Path); route == "client.d.ts" {
		f = k.clientTypes
	}
	if !k.allow(w, r, http.MethodGet) {
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("ETag", `"`+f.tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}

// clientURL is where the kit's pages find the module. It changes with the module, of which a
// browser may have kept an older one.
func (k *answers) clientURL() string { return k.mount.url("client.js", "v", k.clientModule.tag) }
