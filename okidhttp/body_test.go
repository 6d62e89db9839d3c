package okidhttp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/internal/body"
	"github.com/okidkit/okidkit/internal/engine"
)

// opaque hides what a ResponseWriter can do beside writing, as that of many a
// middleware does.
type opaque struct{ http.ResponseWriter }

func opaquely(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(opaque{w}, r) })
}

// asIs leaves a handler as it is.
func asIs(next http.Handler) http.Handler { return next }

// pipes is a listener without a network, so that a server can live in a bubble of
// synctest.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// servePipes serves a handler until the end of the bubble.
func servePipes(t *testing.T, h http.Handler) *pipes {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(p) }()
	t.Cleanup(func() {
		_ = srv.Close()
		time.Sleep(time.Second) // of which Go 1.27 waits for half before it closes a connection
	})
	return p
}

// A body that does not come is cut off, whatever stands between the server and the
// kit, and the client is told.
func TestSlowBodies(t *testing.T) {
	for name, wrapped := range map[string]func(http.Handler) http.Handler{"server's own": asIs, "opaque": opaquely, "http.TimeoutHandler": func(next http.Handler) http.Handler {
		return http.TimeoutHandler(next, time.Minute, "")
	}} {
		for _, route := range []struct {
			name string
			most time.Duration
		}{{"webhook", 5 * time.Second}, {"claim", 10 * time.Second}, {"start", 10 * time.Second}} {
			for _, length := range []string{"Content-Length: 700", "Transfer-Encoding: chunked"} {
				t.Run(name+"/"+route.name+"/"+length, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w, _ := newClaimWorld(t, func(c *Config) {
							c.Providers = append(c.Providers, &fakeProvider{name: "signs", clock: &fakeClock{}})
						})
						c := servePipes(t, wrapped(w.kit)).dial()
						defer c.Close()
						began := time.Now()
						go func() {
							_, _ = fmt.Fprintf(c, "POST /verify/%s?provider=%s HTTP/1.1\r\nHost: x\r\nTest-User: alice\r\n%s\r\n\r\n",
								route.name, map[bool]string{true: "signs", false: "fake"}[route.name == "webhook"], length)
							_, _ = io.WriteString(c, "1")
						}()
						resp, err := http.ReadResponse(bufio.NewReader(c), nil)
						require.NoError(t, err)
						assert.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
						assert.Equal(t, route.most, time.Since(began))
						assert.True(t, resp.Close, "the connection cannot be used again")
						assert.Zero(t, w.kit.bodiesHeld())
					})
				})
			}
		}
	}
}

// However many bodies do not come to their end, a webhook gets through, and the room
// that they take is bounded.
func TestWebhookBesideUnreadBodies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		length int
		sent   int
	}{
		{"one byte of few", 700, 1},
		{"one byte of many", 256 << 10, 1},
		{"small", body.Small, body.Small - 1},
		{"large", 256 << 10, 200 << 10},
	} {
		for name, wrapped := range map[string]func(http.Handler) http.Handler{"server's own": asIs, "opaque": opaquely} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.MaxInFlight = 1 })
				n := notice{Reference: w.start("alice").Attempt, ID: "v1", Status: identity.Verified}
				synctest.Test(t, func(t *testing.T) {
					p := servePipes(t, wrapped(w.kit))
					const crowd = 300
					refused := 0
					var conns []net.Conn
					for range crowd {
						c := p.dial()
						conns = append(conns, c)
						go func() {
							_, _ = fmt.Fprintf(c, "POST /verify/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", tt.length, strings.Repeat(" ", tt.sent))
						}()
						go func() {
							if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil && resp.StatusCode == http.StatusServiceUnavailable {
								refused++
								assert.NotEmpty(t, resp.Header.Get("Retry-After"))
							}
						}()
						synctest.Wait()
					}
					assert.LessOrEqual(t, w.kit.bodiesHeld(), int64(webhookSmall+webhookLarge))
					assert.Equal(t, tt.sent > body.Small, refused > 0)
					assert.Equal(t, refused, w.outcomes.of(OutcomeBusy))
					assert.Equal(t, 200, w.webhook(n))
					for _, c := range conns {
						_ = c.Close()
					}
					synctest.Wait()
					assert.Zero(t, w.kit.bodiesHeld())
				})
			})
		}
	}
}

// Small bodies have room of their own, so that large ones never keep them out.
func TestRoomForSmallBodies(t *testing.T) {
	w := newWorld(t)
	a := w.start("alice").Attempt
	require.True(t, w.kit.webhooks.Large.Take(webhookLarge))
	assert.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started, Note: strings.Repeat("x", body.Small)}))
	assert.Equal(t, 200, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started, Note: strings.Repeat("x", body.Small-500)}))
	require.True(t, w.kit.webhooks.Small.Take(webhookSmall))
	assert.Equal(t, 503, w.webhook(notice{Reference: a, ID: "v1", Status: identity.Started}))
}

// A large webhook waits for the slow ones that are in its way, and no longer.
func TestLargeWebhookAfterSlowOnes(t *testing.T) {
	w := newWorld(t)
	large := notice{Reference: w.start("alice").Attempt, ID: "v1", Status: identity.Verified, Note: strings.Repeat("x", 200<<10)}
	synctest.Test(t, func(t *testing.T) {
		p := servePipes(t, w.kit)
		for range 100 {
			c := p.dial()
			defer c.Close()
			go func() {
				_, _ = fmt.Fprintf(c, "POST /verify/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 262144\r\n\r\n%s", strings.Repeat(" ", 200<<10))
			}()
		}
		synctest.Wait()
		assert.Equal(t, 503, w.webhook(large))
		time.Sleep(webhookTime)
		synctest.Wait()
		assert.Equal(t, 200, w.webhook(large))
	})
}

// Who has read the body is told apart from who sent none, in every version of HTTP,
// with a declared length and without.
func TestBodyReadAlready(t *testing.T) {
	drain := func(n int64) func(next http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, n)
				next.ServeHTTP(w, r)
			})
		}
	}
	closes := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.Body.Close()
			next.ServeHTTP(w, r)
		})
	}
	replaces := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body = http.NoBody
			next.ServeHTTP(w, r)
		})
	}
	wraps := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			_, _ = io.Copy(io.Discard, r.Body)
			next.ServeHTTP(w, r)
		})
	}
	const all = 1 << 20
	for _, tt := range []struct {
		name    string
		body    string
		outer   func(http.Handler) http.Handler
		code    int
		outcome Outcome
	}{
		{"read", "{}", drain(all), 500, OutcomeBodyRead},
		{"read in part", `{"ID":"v1"}`, drain(3), 500, OutcomeBodyRead},
		{"closed", "{}", closes, 500, OutcomeBodyRead},
		{"replaced", "{}", replaces, 500, OutcomeBodyRead},
		{"wrapped and read", "{}", wraps, 500, OutcomeBodyRead},
		{"empty", "", asIs, 401, OutcomeUnauthentic},
		{"not empty", "{", asIs, 401, OutcomeUnauthentic},
	} {
		for _, chunked := range []bool{false, true} {
			for _, major := range []int{1, 2} {
				if tt.name == "read in part" && chunked {
					continue // who reads on cannot know, and the signature is wrong
				}
				t.Run(fmt.Sprintf("%s/chunked %t/HTTP %d", tt.name, chunked, major), func(t *testing.T) {
					w := newWorld(t)
					srv := httptest.NewUnstartedServer(tt.outer(w.kit))
					srv.EnableHTTP2 = major == 2
					srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
					srv.StartTLS()
					defer srv.Close()
					r, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/verify/webhook", strings.NewReader(tt.body))
					require.NoError(t, err)
					if chunked {
						r.ContentLength = -1
						r.Body = struct{ io.ReadCloser }{io.NopCloser(strings.NewReader(tt.body))}
					}
					resp, err := srv.Client().Do(r)
					require.NoError(t, err)
					defer resp.Body.Close()
					require.Equal(t, major, resp.ProtoMajor)
					assert.Equal(t, tt.code, resp.StatusCode)
					assert.Equal(t, 1, w.outcomes.of(tt.outcome))
				})
			}
		}
	}
}

// A panic while the body is read is one of the handler, which the server expects.
func TestBodyPanics(t *testing.T) {
	w := newWorld(t)
	for name, rec := range map[string]http.ResponseWriter{
		"opaque":       opaque{httptest.NewRecorder()},
		"server's own": &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()},
	} {
		r := httptest.NewRequest("POST", "/verify/webhook", panics{})
		assert.PanicsWithValue(t, http.ErrAbortHandler, func() { w.kit.ServeHTTP(rec, r) }, name)
		assert.Zero(t, w.kit.bodiesHeld())
	}
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic(http.ErrAbortHandler) }

// bodiesHeld is the memory that bodies take.
func (k *Kit) bodiesHeld() (n int64) {
	for _, b := range []*body.Reader{&k.webhooks, &k.claims, &k.starts, &k.strangers} {
		n += b.Held()
	}
	return n
}

// The Read of a body that was given up ends with the handler, in both versions of HTTP,
// so that nothing is left of it.
func TestReadThatIsGivenUpEnds(t *testing.T) {
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP ", major), func(t *testing.T) {
			w := newWorld(t)
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 10)
				p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
				srv := &http.Server{Protocols: new(http.Protocols), Handler: opaquely(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					r.Body = &watchedBody{ReadCloser: r.Body, ended: ended}
					w.kit.ServeHTTP(rw, r)
				}))}
				client := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }}
				for _, protocols := range []*http.Protocols{srv.Protocols, client.Protocols} {
					protocols.SetHTTP1(major == 1)
					protocols.SetUnencryptedHTTP2(major == 2)
				}
				go func() { _ = srv.Serve(p) }()
				defer time.Sleep(time.Second) // as in servePipes
				defer srv.Close()
				defer client.CloseIdleConnections()

				began := time.Now()
				body, unsent := io.Pipe()
				defer unsent.Close()
				go func() { _, _ = io.WriteString(unsent, "{") }()
				r, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/verify/webhook", body)
				require.NoError(t, err)
				resp, err := client.RoundTrip(r)
				require.NoError(t, err)
				assert.Equal(t, major, resp.ProtoMajor)
				assert.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
				_ = resp.Body.Close()
				for err := error(nil); err == nil; {
					err = <-ended
				}
				assert.Less(t, time.Since(began), webhookTime+time.Second)
			})
		})
	}
}

// watchedBody tells when each Read has ended.
type watchedBody struct {
	io.ReadCloser
	ended chan<- error
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended <- err
	return n, err
}

// The documentation has the bounds that there are.
func TestDocumentedBounds(t *testing.T) {
	docs, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	for _, row := range []string{
		fmt.Sprintf("| time for the body of a webhook to arrive | %d s |", webhookTime/time.Second),
		fmt.Sprintf("| the same of a claim or a start | %d s |", userTime/time.Second),
		fmt.Sprintf("up to %d KiB each | %d MiB |", body.Small>>10, webhookSmall>>20),
		fmt.Sprintf("| the same for larger webhooks | %d MiB |", webhookLarge>>20),
		fmt.Sprintf("| for claims | %d and %d MiB,", claimSmall>>20, claimLarge>>20),
		fmt.Sprintf("| for starts | %d and %d MiB |", startSmall>>20, startLarge>>20),
		fmt.Sprintf("| for starts of nobody, which lead to the log-in | %d and %d MiB |", strangerSmall>>20, strangerLarge>>20),
		fmt.Sprintf("| claims of one user: %d are worked on, the others wait for up to %d s | %d |", maxClaims, userTime/time.Second, maxClaimCrowd),
		fmt.Sprintf("the others wait for up to %d s | %d |", engine.StartTime/time.Second, maxStartCrowd),
		fmt.Sprintf("| live status streams of one user | %d |", maxStreams),
	} {
		assert.Contains(t, string(docs), row)
	}
}
