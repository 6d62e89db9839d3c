// Command quickstart is the whole thing on one machine: the demo app, the kit,
// and a simulated okID and GetID to click through, each in both generations. It needs no account and no
// network.
//
//	go run ./examples/quickstart
//
// Who is verified is forgotten when it ends, unless there is a file to keep that in:
//
//	go run ./examples/quickstart -data quickstart.db
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/okidkit/okidkit/examples/internal/demo"
	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/identity/names"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okid/portal"
	"github.com/okidkit/okidkit/okidhttp"
	"github.com/okidkit/okidkit/okidqr"
	"github.com/okidkit/okidkit/okidtest"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: quickstart [-data FILE]\n\nServes a demo app, the kit, and a simulated okID and GetID to click through.\nADDR says where, if not on 127.0.0.1:8080.")
		flag.PrintDefaults()
	}
	file := flag.String("data", "", "keep the app's records in this SQLite `FILE`, and their key in FILE.key")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), *file, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run starts the simulated providers, and the app that talks to them.
func run(ctx context.Context, addr, file string, out io.Writer) error {
	okID, err := okidtest.NewOKID(okidtest.Config{})
	if err != nil {
		return err
	}
	defer okID.Close()
	getID, err := okidtest.NewGetID(okidtest.GetIDConfig{})
	if err != nil {
		return err
	}
	defer getID.Close()
	okIDPortal, err := okidtest.NewPortal(okidtest.HostedConfig{})
	if err != nil {
		return err
	}
	defer okIDPortal.Close()
	getIDDirect, err := okidtest.NewDirect(okidtest.HostedConfig{})
	if err != nil {
		return err
	}
	defer getIDDirect.Close()
	if err := errors.Join(okID.Start(), getID.Start(), okIDPortal.Start(), getIDDirect.Start()); err != nil {
		return err
	}
	return serve(ctx, addr, file, out, providers{
		okid:   okid.Config{APIURL: okID.URL(), FrontendURL: okID.URL(), SDKURL: okID.SDKURL()},
		getid:  getid.Config{BaseURL: getID.URL(), JWKSURL: getID.JWKSURL(), ScriptURL: getID.ScriptURL()},
		portal: okIDPortal.ProviderConfig(),
		direct: getIDDirect.ProviderConfig(),
	})
}

// providers says where the providers are, instead of at the real ones' addresses. The newer two have
// none of their own, and are left out without a URL.
type providers struct {
	okid   okid.Config
	getid  getid.Config
	portal portal.Config
	direct direct.Config
}

func (p providers) open() (all []identity.Provider, err error) {
	var errs []error
	add := func(provider identity.Provider, err error) {
		all, errs = append(all, provider), append(errs, err)
	}
	p.okid.APIKey, p.okid.WebhookSecrets = okidtest.DefaultAPIKey, []string{okidtest.DefaultWebhookSecret}
	p.getid.APIKey = okidtest.DefaultGetIDKey
	okID, err := okid.New(p.okid)
	add(okID, err)
	getID, err := getid.New(p.getid)
	add(getID, err)
	if p.portal.URL != "" {
		okIDPortal, err := portal.New(p.portal)
		add(okIDPortal, err)
	}
	if p.direct.URL != "" {
		getIDDirect, err := direct.New(p.direct)
		add(getIDDirect, err)
	}
	return all, errors.Join(errs...)
}

// isTheirName refuses whoever logged in with a given and a family name and shows a document with
// another one. A single word is a nickname, which says nothing.
func isTheirName(_ context.Context, e okidhttp.Event) error {
	account := names.Name{Given: e.Subject}
	document := names.Name{Given: e.Verification.FirstName, Family: e.Verification.LastName}
	if strings.Contains(e.Subject, " ") && names.Compare(account, document).Grade < names.Likely {
		return okidhttp.Refuse("name_mismatch")
	}
	return nil
}

// serve serves the app on addr until ctx ends. Its records are in a file, or with "" in memory.
func serve(ctx context.Context, addr, file string, out io.Writer, p providers) (err error) {
	all, err := p.open()
	if err != nil {
		return err
	}
	kept, err := openData(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.close()) }()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (set ADDR to use another port)", err)
	}
	defer l.Close()
	app, err := demo.New(demo.Config{
		PublicURL: "http://" + l.Addr().String(),
		Providers: all,
		Store:     kept.records,
		Keys:      [][]byte{kept.key},
		Admins:    []string{"staff"},
		Out:       out,
		Log:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Adjust: func(c *okidhttp.Config) {
			c.Decide = isTheirName
			c.QRCode = okidqr.SVG
			c.Texts = map[string]map[string]string{"en": {"name_mismatch": "The name on the document is not the one that you logged in with."}}
		},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "open http://%s\n", l.Addr())
	return app.Serve(ctx, l)
}
