package okidhttp_test

import (
	"context"
	"expvar"
	"fmt"

	"github.com/okidkit/okidkit/okidhttp"
)

type counter struct{ outcomes *expvar.Map }

func (counter) Begin(ctx context.Context, _ okidhttp.Operation) (context.Context, func(okidhttp.Result)) {
	return ctx, func(okidhttp.Result) {}
}
func (c counter) Count(_ context.Context, o okidhttp.Outcome) { c.outcomes.Add(string(o), 1) }
func (counter) Trace(context.Context) string                  { return "" }

// An Observer counts what comes of things.
func ExampleObserver() {
	outcomes := new(expvar.Map).Init()
	kit, fake := app(func(c *okidhttp.Config) { c.Observer = counter{outcomes} })
	defer fake.Close()
	start(kit, "alice")
	fmt.Println(outcomes)
	// Output: {"started": 1}
}

// Staff find whose attempt it is whose support code a user reads out.
func ExampleKit_Find() {
	kit, fake := app(func(c *okidhttp.Config) { c.SupportCodes = true })
	defer fake.Close()
	start(kit, "alice")
	attempts, err := kit.Attempts(context.Background(), "alice")
	if err != nil {
		panic(err)
	}
	code := attempts[0].ID // which the page shows, too
	fmt.Println(kit.Find(context.Background(), code))
	_, err = kit.Find(context.Background(), "0123456789abcdef")
	fmt.Println(err)
	// Output:
	// alice <nil>
	// okidhttp: no such attempt
}
