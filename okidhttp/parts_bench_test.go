package okidhttp

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/store"
)

// The parts of which requests are made, each beside the least that does the same
// with the standard library.

func partsKit(tb testing.TB, records store.Store) *Kit {
	k, err := New(Config{
		Providers:  []identity.Provider{&fakeProvider{name: "fake"}},
		Store:      records,
		PublicURL:  "https://app.example/verify",
		Keys:       [][]byte{testKey(1)},
		Subject:    func(r *http.Request) (string, error) { return r.Header.Get("Test-User"), nil },
		AgeOver:    []int{18},
		OnVerified: func(context.Context, Event) error { return nil },
		Logger:     slog.New(slog.DiscardHandler),
	})
	require.NoError(tb, err)
	return k
}

// begun is a record with an attempt that has its token.
func begun(k *Kit, user string) (*held, *attempt) {
	h := &held{record: new(record), subject: hashSubject(user), now: time.Now(), readAt: time.Now()}
	a := k.addAttempt(h, user, "fake")
	at := address{h.subject, a.id}
	a.context = k.sealContext(at, attemptContext{locale: "en"})
	a.token = k.keys.seal(sealToken, at.place(), []byte("tok_v1_0123456789abcdef0123456789abcd"))
	a.expiresAt = h.now.Add(30 * time.Minute)
	return h, a
}

// verdict is what the provider tells of a begun attempt.
func verdict(a *attempt) identity.Notice {
	v := person
	v.ID, v.Status = "ver_0a1b2c3d4e5f6g7h8i9j", identity.Verified
	return identity.Notice{Provider: "fake", Event: "completed", Reference: a.reference, Verification: v, Digest: [32]byte{1}}
}

// ended is a record with an attempt that is verified.
func ended(k *Kit, user string) *held {
	h, a := begun(k, user)
	n := verdict(a)
	k.learn(a, n.Verification.ID, h.now)
	a.see(n.Digest)
	k.become(address{h.subject, a.id}, a, identity.Verified, n.Verification, h.now)
	return h
}

// BenchmarkDecide is the state machine alone, beside a look into a table, and with
// what stands around it: is the notice about this attempt, has it been seen.
func BenchmarkDecide(b *testing.B) {
	k := partsKit(b, memstore.New())
	at := address{subject: hashSubject("alice")}
	h, a := begun(k, "alice")
	at.attempt = a.id
	fresh := verdict(a)
	done := ended(k, "alice").attempts[0]

	b.Run("floor", func(b *testing.B) {
		next := map[[2]identity.Status]identity.Status{{identity.Created, identity.Verified}: identity.Verified}
		b.ReportAllocs()
		for b.Loop() {
			if next[[2]identity.Status{a.status, fresh.Verification.Status}] != identity.Verified {
				b.Fatal("not verified")
			}
		}
	})
	b.Run("transition", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if next, _ := transition(a, fresh.Verification.Status, fromWebhook); next != identity.Verified {
				b.Fatal("not verified")
			}
		}
	})
	b.Run("admit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			taken := *a
			if ad := k.admit(at, &taken, fresh, fromWebhook, h.now); ad.outcome != OutcomeApplied {
				b.Fatal(ad.outcome)
			}
		}
	})
	b.Run("admit a duplicate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if ad := k.admit(at, &done, fresh, fromWebhook, h.now); ad.outcome != OutcomeDuplicate {
				b.Fatal(ad.outcome)
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
	Seen                                        [][digestLen]byte
	Grant                                       *Grant
}

func plain(r *record) plainRecord {
	a := &r.attempts[0]
	return plainRecord{Subject: r.subject, Starts: r.starts, Attempts: []plainAttempt{{
		ID: a.id.String(), Reference: a.reference, Provider: a.provider, ProviderID: a.providerID, Status: string(a.status),
		CreatedAt: a.createdAt, BegunAt: a.begunAt, UpdatedAt: a.updatedAt, ExpiresAt: a.expiresAt,
		Context: a.context, Seen: a.seen, Grant: a.grant,
	}}}
}

func BenchmarkEncodeRecord(b *testing.B) {
	h := ended(partsKit(b, memstore.New()), "alice")
	b.Run("floor", func(b *testing.B) {
		r := plain(h.record)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		var out []byte // used again, as save does
		for b.Loop() {
			out = h.appendTo(out[:0], h.subject)
		}
		b.ReportMetric(float64(len(h.encode(h.subject))), "bytes-long")
	})
}

func BenchmarkDecodeRecord(b *testing.B) {
	h := ended(partsKit(b, memstore.New()), "alice")
	written := h.encode(h.subject)
	b.Run("floor", func(b *testing.B) {
		text, err := json.Marshal(plain(h.record))
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
			if _, err := decodeRecord(written, h.subject); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("grant", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if g, err := decodeGrant(written, h.subject); err != nil || g == nil {
				b.Fatal(g, err)
			}
		}
	})
}

// BenchmarkSeal seals what a webhook tells of a person. The floor has one key for
// all messages, and a random nonce.
func BenchmarkSeal(b *testing.B) {
	keys, place, box := newKeyring([][]byte{testKey(1)}), strings.Repeat("p", addressLen), floorBox(b)
	text := encode(&sealedVerification{Verification: person})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			nonce := make([]byte, 12, 12+len(text)+16)
			_, _ = rand.Read(nonce)
			_ = box.Seal(nonce, nonce, text, []byte(place))
		}
	})
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = keys.seal(sealNotice, place, text)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	keys, place, box := newKeyring([][]byte{testKey(1)}), strings.Repeat("p", addressLen), floorBox(b)
	text := encode(&sealedVerification{Verification: person})
	b.Run("floor", func(b *testing.B) {
		nonce := make([]byte, 12)
		sealed := box.Seal(nonce, nonce, text, []byte(place))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := box.Open(nil, sealed[:12], sealed[12:], []byte(place)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		sealed := keys.seal(sealNotice, place, text)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := keys.open(sealNotice, place, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpenReference is what every webhook and every status begins with.
func BenchmarkOpenReference(b *testing.B) {
	keys, box := newKeyring([][]byte{testKey(1)}), floorBox(b)
	at := address{subject: hashSubject("alice"), attempt: attemptID{1}}
	b.Run("floor", func(b *testing.B) {
		nonce := make([]byte, 12)
		text := base64.RawURLEncoding.EncodeToString(box.Seal(nonce, nonce, []byte(at.place()), nil))
		b.ReportAllocs()
		for b.Loop() {
			sealed, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := box.Open(nil, sealed[:12], sealed[12:], nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("good", func(b *testing.B) {
		text := keys.newReference(at)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := keys.openReference(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("forged", func(b *testing.B) {
		text := strings.Repeat("r", referenceLen)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := keys.openReference(text); err == nil {
				b.Fatal("it opens")
			}
		}
	})
}

func floorBox(tb testing.TB) cipher.AEAD {
	block, err := aes.NewCipher(testKey(1))
	require.NoError(tb, err)
	box, err := cipher.NewGCM(block)
	require.NoError(tb, err)
	return box
}
