package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sealedText is as long as what a webhook usually tells of a person.
var sealedText = []byte(strings.Repeat("x", 160))

// BenchmarkSeal seals what a webhook tells of a person. The floor has one key for all
// messages, and a random nonce.
func BenchmarkSeal(b *testing.B) {
	ring, box := New([][]byte{testKey(1)}), floorBox(b)
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			nonce := make([]byte, 12, 12+len(sealedText)+16)
			_, _ = rand.Read(nonce)
			_ = box.Seal(nonce, nonce, sealedText, []byte(place))
		}
	})
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = ring.Seal("notice", place, sealedText)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	ring, box := New([][]byte{testKey(1)}), floorBox(b)
	b.Run("floor", func(b *testing.B) {
		nonce := make([]byte, 12)
		sealed := box.Seal(nonce, nonce, sealedText, []byte(place))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := box.Open(nil, sealed[:12], sealed[12:], []byte(place)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		sealed := ring.Seal("notice", place, sealedText)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ring.Open("notice", place, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpenReference is what every webhook and every status begins with.
func BenchmarkOpenReference(b *testing.B) {
	ring, box := New([][]byte{testKey(1)}), floorBox(b)
	b.Run("floor", func(b *testing.B) {
		nonce := make([]byte, 12)
		text := base64.RawURLEncoding.EncodeToString(box.Seal(nonce, nonce, []byte(place), nil))
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
		text := ring.NewReference(place)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ring.OpenReference(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("forged", func(b *testing.B) {
		text := strings.Repeat("r", len(ring.NewReference(place)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ring.OpenReference(text); err == nil {
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
