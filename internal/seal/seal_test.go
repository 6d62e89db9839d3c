package seal

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testKey(n byte) []byte {
	key := sha256.Sum256([]byte{n})
	return key[:]
}

// place is as long as what references hold.
var place = strings.Repeat("x", placeLen)

func TestSeal(t *testing.T) {
	ring := New([][]byte{testKey(1), testKey(2)})
	sealed := ring.Seal("token", "here", []byte("secret"))
	assert.NotContains(t, string(sealed), "secret")
	assert.NotEqual(t, sealed, ring.Seal("token", "here", []byte("secret")), "never the same twice")

	plain, err := ring.Open("token", "here", sealed)
	require.NoError(t, err)
	assert.Equal(t, "secret", string(plain))

	other := New([][]byte{testKey(3)})
	for name, open := range map[string]func() ([]byte, error){
		"another place":   func() ([]byte, error) { return ring.Open("token", "there", sealed) },
		"another purpose": func() ([]byte, error) { return ring.Open("notice", "here", sealed) },
		"another key":     func() ([]byte, error) { return other.Open("token", "here", sealed) },
		"nothing":         func() ([]byte, error) { return ring.Open("token", "here", nil) },
		"too short":       func() ([]byte, error) { return ring.Open("token", "here", sealed[:31]) },
		"cut off":         func() ([]byte, error) { return ring.Open("token", "here", sealed[:len(sealed)-1]) },
	} {
		_, err := open()
		assert.ErrorIs(t, err, ErrUnsealable, name)
	}
	for i := range sealed {
		changed := append([]byte{}, sealed...)
		changed[i] ^= 1
		_, err := ring.Open("token", "here", changed)
		require.ErrorIs(t, err, ErrUnsealable, "byte %d", i)
	}
}

// The first key seals, all open; a key that is gone opens nothing.
func TestKeyRotation(t *testing.T) {
	ring := func(keys ...byte) Keyring {
		var raw [][]byte
		for _, k := range keys {
			raw = append(raw, testKey(k))
		}
		r := New(raw)
		return r
	}
	old := ring(1).NewReference(place)
	got, err := ring(2, 1).OpenReference(old)
	require.NoError(t, err)
	assert.Equal(t, place, string(got))
	_, err = ring(2).OpenReference(old)
	assert.ErrorIs(t, err, ErrUnsealable)
	_, err = ring(1).OpenReference(ring(2, 1).NewReference(place))
	assert.ErrorIs(t, err, ErrUnsealable)
}

// No derived key seals more than maxMessages, and what the others sealed still opens.
func TestDerivedKeysChange(t *testing.T) {
	ring := New([][]byte{testKey(1)})
	master := ring.keys()[0]
	first := ring.Seal("token", "", []byte("first"))
	assert.Equal(t, maxMessages-1, master.left)
	master.left = 1
	last := ring.Seal("token", "", []byte("last"))
	next := ring.Seal("token", "", []byte("next"))
	assert.Equal(t, salt(first), salt(last))
	assert.NotEqual(t, salt(last), salt(next))
	clear(master.ciphers)
	for text, sealed := range map[string][]byte{"first": first, "last": last, "next": next} {
		plain, err := ring.Open("token", "", sealed)
		require.NoError(t, err)
		assert.Equal(t, text, string(plain))
	}
	assert.Len(t, master.ciphers, 2, "as many as have opened something")
	assert.NotEqual(t, salt(next), salt(New([][]byte{testKey(1)}).Seal("token", "", nil)), "another process has another one")
}

// What a stranger makes up costs no memory, and what is genuine not without end.
func TestDerivedKeysAreBounded(t *testing.T) {
	ring := New([][]byte{testKey(1)})
	master := ring.keys()[0]
	for i := range byte(10) {
		_, err := ring.Open("token", "", append([]byte{i}, make([]byte, sealLen)...))
		require.ErrorIs(t, err, ErrUnsealable)
	}
	assert.Empty(t, master.ciphers)
	for range maxCiphers + 1 {
		master.left = 0
		ring.Seal("token", "", nil)
		assert.LessOrEqual(t, len(master.ciphers), maxCiphers)
	}
	assert.NotEmpty(t, master.ciphers)
}

func TestReference(t *testing.T) {
	ring := New([][]byte{testKey(1)})
	ref := ring.NewReference(place)
	assert.Regexp(t, `^[A-Za-z0-9_-]{96}$`, ref)
	assert.NotEqual(t, ref, ring.NewReference(place))
	for _, bad := range []string{"", "x", ref + "A", ref[1:], ref + "=", ref + "\n", " " + ref, strings.ToLower(ref), strings.Repeat("A", 1<<20)} {
		_, err := ring.OpenReference(bad)
		assert.ErrorIs(t, err, ErrUnsealable)
	}
}

func FuzzOpenReference(f *testing.F) {
	ring := New([][]byte{testKey(1)})
	f.Add("")
	f.Add(ring.NewReference(place))
	f.Add(strings.Repeat("A", 96))
	other := New([][]byte{testKey(2)})
	f.Fuzz(func(t *testing.T, ref string) {
		if _, err := other.OpenReference(ref); err == nil {
			t.Fatalf("%q was never minted with this key", ref)
		}
	})
}

func TestKeyringPrintsNoKey(t *testing.T) {
	ring := New([][]byte{testKey(1)})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb, struct{ r Keyring }{ring})
		assert.NotContains(t, text, fmt.Sprintf("%x", testKey(1)[:4]))
		assert.NotContains(t, text, fmt.Sprint(testKey(1)[0], testKey(1)[1]))
	}
}
