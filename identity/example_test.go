package identity_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/okidkit/okidkit/identity"
)

// deskclerk is a provider at which a clerk looks at the passport.
type deskclerk struct {
	verdicts map[string]identity.Verification
}

var _ identity.Provider = (*deskclerk)(nil)

func (*deskclerk) Name() string { return "deskclerk" }

func (*deskclerk) EchoesReference() bool { return true }

func (*deskclerk) Start(_ context.Context, r identity.StartRequest) (identity.Session, error) {
	if r.Reference == "" {
		return identity.Session{}, fmt.Errorf("deskclerk: %w: reference is empty", identity.ErrMalformed)
	}
	return identity.Session{Token: "ticket", ExpiresAt: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}, nil
}

func (*deskclerk) SDK(s identity.Session, locale string) identity.SDK {
	return identity.SDK{
		ScriptURL: "https://desk.example/sdk.js",
		Config:    map[string]any{"ticket": s.Token, "locale": locale},
		Boot:      "function (config, onComplete, onError) { desk.show(config, onComplete, onError); }",
		Sources:   identity.Sources{Script: []string{"https://desk.example"}},
	}
}

func (d *deskclerk) Fetch(_ context.Context, id string) (identity.Notice, error) {
	v, ok := d.verdicts[id]
	if !ok {
		return identity.Notice{}, fmt.Errorf("deskclerk: %w", identity.ErrNotFound)
	}
	return identity.Notice{Provider: "deskclerk", Verification: v}, nil
}

// A provider translates somebody's API into the words of this package.
func ExampleProvider() {
	ctx := context.Background()
	desk := &deskclerk{verdicts: map[string]identity.Verification{
		"visit-1": {ID: "visit-1", Status: identity.Verified, FirstName: "Jane"},
	}}
	session, err := desk.Start(ctx, identity.StartRequest{Reference: "r-1"})
	fmt.Println(session, err)

	notice, err := desk.Fetch(ctx, "visit-1")
	fmt.Println(notice.Verification.Status, notice.Verification.Status.Final(), err)
	_, err = desk.Fetch(ctx, "visit-2")
	fmt.Println(errors.Is(err, identity.ErrNotFound))
	// Output:
	// session until 2026-01-02T00:00:00Z <nil>
	// verified true <nil>
	// true
}

// A verification prints without its personal fields. Name one to have it.
func ExampleVerification() {
	birth, err := identity.ParseDate("1990-05-17")
	if err != nil {
		panic(err)
	}
	v := identity.Verification{ID: "ver_1", Status: identity.Verified, FirstName: "Jane", DateOfBirth: birth}
	fmt.Printf("%+v\n", v)
	fmt.Println(v.FirstName, v.Get(identity.DateOfBirth))
	// Output:
	// ver_1 verified
	// Jane 1990-05-17
}

func ExampleDate_YearsUntil() {
	birth := identity.Date{Year: 2008, Month: time.March, Day: 2}
	fmt.Println(birth.YearsUntil(identity.Date{Year: 2026, Month: time.March, Day: 1}))
	fmt.Println(birth.YearsUntil(identity.Date{Year: 2026, Month: time.March, Day: 2}))
	// Output:
	// 17
	// 18
}
