package attempt

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

// The parts of which a request is made, each beside the least that does the same with the
// standard library.

// verifiedRecord is a record with an attempt that is verified, and the webhook that did it.
func verifiedRecord(tb testing.TB, p *Policy) (*Record, *Webhook) {
	r, a := testAttempt(p)
	p.SealContext(a, &Context{Locale: "en"})
	p.SealSubject(r, "alice")
	w := webhook(identity.Verified, "")
	todo := p.Step(a, w, testTime)
	require.NotNil(tb, todo.Call)
	p.Step(a, &HostSaid{Call: todo.Call, Called: true}, testTime)
	require.Equal(tb, identity.Verified, a.Status)
	require.NotNil(tb, a.Grant)
	return r, w
}

// BenchmarkDecide decides what a webhook means, beside a look into a table. A fresh one also
// seals what the host will be told, until it knows.
func BenchmarkDecide(b *testing.B) {
	p := testPolicy()
	b.Run("floor", func(b *testing.B) {
		next := map[[2]identity.Status]identity.Status{{identity.Created, identity.Verified}: identity.Verified}
		b.ReportAllocs()
		for b.Loop() {
			if next[[2]identity.Status{identity.Created, identity.Verified}] != identity.Verified {
				b.Fatal("not verified")
			}
		}
	})
	b.Run("transition", func(b *testing.B) {
		_, a := testAttempt(p)
		b.ReportAllocs()
		for b.Loop() {
			if next, _ := a.next(identity.Verified, fromWebhook); next != identity.Verified {
				b.Fatal("not verified")
			}
		}
	})
	b.Run("admit", func(b *testing.B) {
		_, begun := testAttempt(p)
		w := webhook(identity.Verified, "")
		b.ReportAllocs()
		for b.Loop() {
			a := *begun
			if todo := p.Step(&a, w, testTime); todo.Call == nil {
				b.Fatal(todo)
			}
		}
	})
	b.Run("admit a duplicate", func(b *testing.B) {
		r, w := verifiedRecord(b, p)
		b.ReportAllocs()
		for b.Loop() {
			if todo := p.Step(&r.Attempts[0], w, testTime); todo.Outcome != Duplicate {
				b.Fatal(todo)
			}
		}
	})
}

// plainRecord is what a finished record holds, as encoding/json would keep it.
type plainRecord struct {
	Subject  []byte
	Starts   []time.Time
	Attempts []plainAttempt
}

type plainAttempt struct {
	ID, Reference, Provider, ProviderID, Status string
	CreatedAt, BegunAt, UpdatedAt, ExpiresAt    time.Time
	Context                                     []byte
	Seen                                        []Digest
	Grant                                       Grant
}

func plain(r *Record) plainRecord {
	a := &r.Attempts[0]
	return plainRecord{Subject: r.Subject, Starts: r.Starts, Attempts: []plainAttempt{{
		ID: a.ID.String(), Reference: a.Reference, Provider: a.Provider, ProviderID: a.ProviderID, Status: string(a.Status),
		CreatedAt: a.CreatedAt, BegunAt: a.BegunAt, UpdatedAt: a.UpdatedAt, ExpiresAt: a.ExpiresAt,
		Context: a.Context, Seen: a.Seen, Grant: a.Grant.Grant,
	}}}
}

func BenchmarkEncodeRecord(b *testing.B) {
	r, _ := verifiedRecord(b, testPolicy())
	b.Run("floor", func(b *testing.B) {
		r := plain(r)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		var out []byte // used again, as for a store
		for b.Loop() {
			out = r.AppendTo(out[:0])
		}
		b.ReportMetric(float64(len(out)), "bytes-long")
	})
}

func BenchmarkDecodeRecord(b *testing.B) {
	r, _ := verifiedRecord(b, testPolicy())
	written := r.AppendTo(nil)
	b.Run("floor", func(b *testing.B) {
		text, err := json.Marshal(plain(r))
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			var r plainRecord
			if err := json.Unmarshal(text, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(written, testHash); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("grant", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if g, err := DecodeGrant(written, testHash); err != nil || g == nil {
				b.Fatal(g, err)
			}
		}
	})
}
