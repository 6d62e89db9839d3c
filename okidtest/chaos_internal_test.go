package okidtest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzRewrite(f *testing.F) {
	f.Add([]byte(`{"event":"verification.completed","data":{"id":"ver_0","n":1234567890123456789012,"e":1e400,"b":[true,false,null,{},[]]}}`), uint64(1))
	f.Add([]byte(`"\u0000\ud83d\ude00 \u2028 é \\ \" </script>"`), uint64(2))
	f.Add([]byte(`{"":{"":[[[]]]}}`), uint64(3))
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		if !json.Valid(body) {
			return
		}
		decode := func(b []byte) (v any) {
			d := json.NewDecoder(bytes.NewReader(b))
			d.UseNumber()
			require.NoError(t, d.Decode(&v))
			return v
		}
		again := rewrite(body, seed)
		require.True(t, json.Valid(again), "%s", again)
		require.Equal(t, decode(body), decode(again))
		require.Equal(t, again, rewrite(body, seed), "the seed decides")
	})
}
