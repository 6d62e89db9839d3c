// Command quickstart is the whole thing on one machine: the demo app, the kit,
// and a simulated okID to click through. It needs no account and no network.
//
//	go run ./examples/quickstart
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/okidkit/okidkit/examples/internal/demo"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okidtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run starts the simulated okID, and the app that talks to it.
func run(ctx context.Context, addr string, out io.Writer) error {
	fake, err := okidtest.NewOKID(okidtest.Config{})
	if err != nil {
		return err
	}
	defer fake.Close()
	if err := fake.Start(); err != nil {
		return err
	}
	return serve(ctx, addr, out, fake.URL(), fake.SDKURL())
}

// serve serves the app on addr until ctx ends. okidURL and sdkURL say where okID
// is, instead of at the real one's addresses.
func serve(ctx context.Context, addr string, out io.Writer, okidURL, sdkURL string) error {
	provider, err := okid.New(okid.Config{
		APIKey:         okidtest.DefaultAPIKey,
		WebhookSecrets: []string{okidtest.DefaultWebhookSecret},
		APIURL:         okidURL,
		FrontendURL:    okidURL,
		SDKURL:         sdkURL,
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (set ADDR to use another port)", err)
	}
	defer l.Close()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, says its documentation
	app, err := demo.New(demo.Config{
		PublicURL: "http://" + l.Addr().String(),
		Providers: []identity.Provider{provider},
		Store:     memstore.New(),
		Keys:      [][]byte{key},
		Out:       out,
		Log:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "open http://%s\n", l.Addr())
	return app.Serve(ctx, l)
}
