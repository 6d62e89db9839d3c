package okidhttp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

func TestSeal(t *testing.T) {
	ring := newKeyring([][]byte{testKey(1), testKey(2)})
	sealed := ring.seal(sealToken, "here", []byte("secret"))
	assert.NotContains(t, string(sealed), "secret")
	assert.NotEqual(t, sealed, ring.seal(sealToken, "here", []byte("secret")), "never the same twice")

	plain, err := ring.open(sealToken, "here", sealed)
	require.NoError(t, err)
	assert.Equal(t, "secret", string(plain))

	other := newKeyring([][]byte{testKey(3)})
	for name, open := range map[string]func() ([]byte, error){
		"another place":   func() ([]byte, error) { return ring.open(sealToken, "there", sealed) },
		"another purpose": func() ([]byte, error) { return ring.open(sealNotice, "here", sealed) },
		"another key":     func() ([]byte, error) { return other.open(sealToken, "here", sealed) },
		"nothing":         func() ([]byte, error) { return ring.open(sealToken, "here", nil) },
		"too short":       func() ([]byte, error) { return ring.open(sealToken, "here", sealed[:31]) },
		"cut off":         func() ([]byte, error) { return ring.open(sealToken, "here", sealed[:len(sealed)-1]) },
	} {
		_, err := open()
		assert.ErrorIs(t, err, errUnsealable, name)
	}
	for i := range sealed {
		changed := append([]byte{}, sealed...)
		changed[i] ^= 1
		_, err := ring.open(sealToken, "here", changed)
		require.ErrorIs(t, err, errUnsealable, "byte %d", i)
	}
}

// The first key seals, all open; a key that is gone opens nothing.
func TestKeyRotation(t *testing.T) {
	ring := func(keys ...byte) keyring {
		var raw [][]byte
		for _, k := range keys {
			raw = append(raw, testKey(k))
		}
		r := newKeyring(raw)
		return r
	}
	at := address{hashSubject("alice"), attemptID{7}}
	old := ring(1).newReference(at)
	got, err := ring(2, 1).openReference(old)
	require.NoError(t, err)
	assert.Equal(t, at, got)
	_, err = ring(2).openReference(old)
	assert.ErrorIs(t, err, errUnsealable)
	_, err = ring(1).openReference(ring(2, 1).newReference(at))
	assert.ErrorIs(t, err, errUnsealable)
}

// No derived key seals more than maxMessages, and what the others sealed still opens.
func TestDerivedKeysChange(t *testing.T) {
	ring := newKeyring([][]byte{testKey(1)})
	master := ring.keys()[0]
	first := ring.seal(sealToken, "", []byte("first"))
	assert.Equal(t, maxMessages-1, master.left)
	master.left = 1
	last := ring.seal(sealToken, "", []byte("last"))
	next := ring.seal(sealToken, "", []byte("next"))
	assert.Equal(t, salt(first), salt(last))
	assert.NotEqual(t, salt(last), salt(next))
	clear(master.ciphers)
	for text, sealed := range map[string][]byte{"first": first, "last": last, "next": next} {
		plain, err := ring.open(sealToken, "", sealed)
		require.NoError(t, err)
		assert.Equal(t, text, string(plain))
	}
	assert.Len(t, master.ciphers, 2, "as many as have opened something")
	assert.NotEqual(t, salt(next), salt(newKeyring([][]byte{testKey(1)}).seal(sealToken, "", nil)), "another process has another one")
}

// What a stranger makes up costs no memory, and what is genuine not without end.
func TestDerivedKeysAreBounded(t *testing.T) {
	ring := newKeyring([][]byte{testKey(1)})
	master := ring.keys()[0]
	for i := range byte(10) {
		_, err := ring.open(sealToken, "", append([]byte{i}, make([]byte, sealLen)...))
		require.ErrorIs(t, err, errUnsealable)
	}
	assert.Empty(t, master.ciphers)
	for range maxCiphers + 1 {
		master.left = 0
		ring.seal(sealToken, "", nil)
		assert.LessOrEqual(t, len(master.ciphers), maxCiphers)
	}
	assert.NotEmpty(t, master.ciphers)
}

func TestReference(t *testing.T) {
	ring := newKeyring([][]byte{testKey(1)})
	at := address{hashSubject("alice"), newAttemptID()}
	ref := ring.newReference(at)
	assert.Regexp(t, `^[A-Za-z0-9_-]{96}$`, ref)
	assert.NotEqual(t, ref, ring.newReference(at))
	for _, bad := range []string{"", "x", ref + "A", ref[1:], ref + "=", ref + "\n", " " + ref, strings.ToLower(ref), strings.Repeat("A", 1<<20)} {
		_, err := ring.openReference(bad)
		assert.ErrorIs(t, err, errUnsealable)
	}
}

func FuzzOpenReference(f *testing.F) {
	ring := newKeyring([][]byte{testKey(1)})
	f.Add("")
	f.Add(ring.newReference(address{hashSubject("alice"), attemptID{1}}))
	f.Add(strings.Repeat("A", 96))
	other := newKeyring([][]byte{testKey(2)})
	f.Fuzz(func(t *testing.T, ref string) {
		if _, err := other.openReference(ref); err == nil {
			t.Fatalf("%q was never minted with this key", ref)
		}
	})
}

func TestKeyringPrintsNoKey(t *testing.T) {
	ring := newKeyring([][]byte{testKey(1)})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb, struct{ r keyring }{ring})
		assert.NotContains(t, text, fmt.Sprintf("%x", testKey(1)[:4]))
		assert.NotContains(t, text, fmt.Sprint(testKey(1)[0], testKey(1)[1]))
	}
}

func TestSubjectKey(t *testing.T) {
	h := hashSubject("alice")
	assert.Equal(t, h, hashSubject("alice"))
	assert.NotEqual(t, h, hashSubject("Alice"))
	got, err := subjectOfKey(h.key())
	require.NoError(t, err)
	assert.Equal(t, h, got)
	assert.Len(t, h.key(), 45)
	for _, bad := range []string{"", "s:", h.key()[1:], h.key() + "A", "x:" + h.key()[2:]} {
		_, err := subjectOfKey(bad)
		assert.ErrorIs(t, err, errCorrupt, bad)
	}
}

// A part of one record does not open in another: whoever can write to the store
// cannot give one subject's attempt to another.
func TestSealedPartsDoNotMove(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.start("alice"), w.start("bob")
	hash := hashSubject("bob")
	err := w.kit.rewriteAttempt(t.Context(), address{hash, w.record("bob").attempts[0].id}, func(_ *held, a *attempt) error {
		stolen := w.record("alice").attempts[0]
		a.token, a.context = stolen.token, stolen.context
		return nil
	})
	require.NoError(t, err)
	rec := w.get("bob", "/verify/page?attempt="+bob.Attempt)
	assert.Equal(t, 500, rec.Code)
	assert.NotContains(t, rec.Body.String(), alice.ProcessToken)
}

// Keys are rotated without anybody noticing: what was begun, kept or left waiting
// under the old key goes on under the new one.
func TestKeyRotationOfAKit(t *testing.T) {
	keep := func(c *Config) { c.Keep = []identity.Field{identity.FirstName} }
	w := newWorld(t, keep)
	begun, waiting, verified := w.start("alice"), w.start("bob"), w.start("carol")
	require.Equal(t, 200, w.webhook(notice{Reference: verified.Attempt, ID: "v3", Status: identity.Verified}))
	w.host.failing(func(Event) error { return errors.New("database is away") })
	require.Equal(t, 500, w.webhook(notice{Reference: waiting.Attempt, ID: "v2", Status: identity.Verified}))
	w.host.failing(nil)

	w.kit = w.replica(keep, func(c *Config) { c.Keys = [][]byte{testKey(2), testKey(1)} })
	assert.Equal(t, 200, w.tryStart("alice").Code, "resumed")
	require.Equal(t, 200, w.webhook(notice{Reference: begun.Attempt, ID: "v1", Status: identity.Verified}))
	w.later(time.Minute)
	for _, user := range []string{"alice", "bob", "carol"} {
		assert.Equal(t, 200, w.gate(user))
		v, err := w.kit.Kept(t.Context(), user)
		require.NoError(t, err)
		assert.Equal(t, "Canaryfirst", v.FirstName)
	}

	// With the old key gone the gate stays as it is, and old notices mean nothing.
	w.kit = w.replica(keep, func(c *Config) { c.Keys = [][]byte{testKey(2)} })
	assert.Equal(t, 200, w.gate("carol"))
	_, err := w.kit.Kept(t.Context(), "carol")
	assert.ErrorIs(t, err, errUnsealable)
	assert.Equal(t, 200, w.webhook(notice{Reference: verified.Attempt, ID: "v3", Status: identity.Failed}))
	assert.Equal(t, 200, w.gate("carol"))
}
