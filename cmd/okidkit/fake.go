package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/okidkit/okidkit/okidtest"
)

// fakeSettings are the flags of fake.
type fakeSettings struct {
	addr    string
	latency time.Duration
	webhook string
	chaos   okidtest.Chaos
}

// fake runs a simulated okID and GetID, each in both generations, until it is stopped, or until the command ends that it was
// given.
func (t tool) fake(ctx context.Context, args []string) int {
	var s fakeSettings
	f := newFlags("fake", "[FLAGS] [COMMAND [ARGUMENTS]]\n\nPrints one NAME=VALUE for each setting that examples/server needs, and serves until it is\nstopped. With a command it runs that with these settings instead, and ends when it does.",
		"okidkit fake go run ./examples/server")
	f.StringVar(&s.addr, "addr", "127.0.0.1:0", "`address` to listen on; port 0 is any free port")
	f.DurationVar(&s.latency, "latency", 0, "how long each answer waits")
	f.StringVar(&s.webhook, "webhook", "", "the app's webhook `URL`, as http://127.0.0.1:8080/verify/webhook, to which okID's portal and\nGetID's API v1 send their hints; empty: they send none, and the app asks by itself")
	f.Float64Var(&s.chaos.DropShare, "drop", 0, "`share` of the webhooks that are never sent, 0 to 1")
	f.IntVar(&s.chaos.Copies, "duplicate", 0, "how many more `times` each webhook is sent")
	f.DurationVar(&s.chaos.Delay, "delay", 0, "how long each webhook waits, so that later ones overtake it")
	f.DurationVar(&s.chaos.Skew, "skew", 0, "added to the time of sending; negative: webhooks are stale")
	f.BoolVar(&s.chaos.Rewrite, "reformat", false, "no two deliveries have the same bytes")
	if status, ok := t.parse(f, args); !ok {
		return status
	}
	if s.latency < 0 {
		return t.fault("fake", errors.New("-latency is negative"))
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return t.failed("fake", err)
	}
	status, err := t.serveFake(ctx, l, s, f.Args())
	switch {
	case errors.Is(err, okidtest.ErrConfig):
		return t.fault("fake", err)
	case err != nil:
		return t.failed("fake", err)
	}
	return status
}

// serveFake serves the fakes on l, and returns the exit status of the command, if there is one.
func (t tool) serveFake(ctx context.Context, l net.Listener, s fakeSettings, command []string) (int, error) {
	defer l.Close()
	origin := "http://" + l.Addr().String()
	okID, err := okidtest.NewOKID(okidtest.Config{PublicURL: origin + "/okid", Chaos: s.chaos})
	if err != nil {
		return 0, err
	}
	defer okID.Close()
	getID, err := okidtest.NewGetID(okidtest.GetIDConfig{PublicURL: origin + "/getid"})
	if err != nil {
		return 0, err
	}
	defer getID.Close()

	portal, err := okidtest.NewPortal(okidtest.HostedConfig{PublicURL: origin + "/okid-portal", WebhookURL: hintsTo(s.webhook, "okidportal"), Chaos: s.chaos})
	if err != nil {
		return 0, err
	}
	defer portal.Close()
	direct, err := okidtest.NewDirect(okidtest.HostedConfig{PublicURL: origin + "/getid-direct", WebhookURL: hintsTo(s.webhook, "getiddirect"), Chaos: s.chaos})
	if err != nil {
		return 0, err
	}
	defer direct.Close()

	mux := http.NewServeMux()
	for path, fake := range map[string]http.Handler{"/okid": okID, "/getid": getID, "/okid-portal": portal, "/getid-direct": direct} {
		mux.Handle(path+"/", http.StripPrefix(path, fake))
	}
	server := &http.Server{Handler: slow(mux, s.latency), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer server.Close()

	settings := []string{
		"OKID_API_URL=" + okID.URL(),
		"OKID_FRONTEND_URL=" + okID.URL(),
		"OKID_SDK_URL=" + okID.SDKURL(),
		"OKID_API_KEY=" + okidtest.DefaultAPIKey,
		"OKID_WEBHOOK_SECRET=" + okidtest.DefaultWebhookSecret,
		"GETID_URL=" + getID.URL(),
		"GETID_API_KEY=" + okidtest.DefaultGetIDKey,
		"GETID_JWKS_URL=" + getID.JWKSURL(),
		"GETID_SCRIPT_URL=" + getID.ScriptURL(),
		"OKID_PORTAL_URL=" + portal.URL(),
		"OKID_PORTAL_KEY=" + okidtest.DefaultPortalKey,
		"GETID_DIRECT_URL=" + direct.URL(),
		"GETID_DIRECT_KEY=" + okidtest.DefaultDirectKey,
		"GETID_DIRECT_FLOW=" + okidtest.DefaultDirectFlow,
	}
	if len(command) > 0 {
		return t.command(ctx, command, settings)
	}
	fmt.Fprintln(t.out, strings.Join(settings, "\n"))
	select {
	case err := <-served:
		return 0, err
	case <-ctx.Done():
		return exitOK, nil
	}
}

// hintsTo is the webhook URL of one provider.
func hintsTo(webhook, provider string) string {
	if webhook == "" {
		return ""
	}
	return webhook + "?provider=" + provider
}

// slow lets every answer wait.
func slow(h http.Handler, latency time.Duration) http.Handler {
	if latency == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(latency):
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// commandPatience is how long a command may take to end once it was asked to.
const commandPatience = 30 * time.Second

// command runs a command with the settings, and returns its exit status.
func (t tool) command(ctx context.Context, command, settings []string) (int, error) {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Env = append(t.env(), settings...)
	c.Stdin, c.Stdout, c.Stderr = t.in, t.out, t.errs
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = commandPatience
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	if ctx.Err() != nil {
		return exitOK, nil // it was stopped, as we were
	}
	return exitOK, err
}
