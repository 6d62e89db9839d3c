package demo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/okidkit/okidkit/okidhttp"
)

const cookieName = "session"

// sessions keeps who is logged in, in a signed cookie. A real app has its own.
type sessions struct {
	keys   [][]byte // the first signs, all verify
	secure bool
}

// user is who is logged in. It is the kit's Config.Subject.
func (s *sessions) user(r *http.Request) (string, error) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return "", okidhttp.ErrAnonymous
	}
	name, mac, ok := strings.Cut(c.Value, ".")
	if !ok {
		return "", okidhttp.ErrAnonymous
	}
	got, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil {
		return "", okidhttp.ErrAnonymous
	}
	for _, key := range s.keys {
		if hmac.Equal(got, cookieMAC(key, name)) {
			user, _ := base64.RawURLEncoding.DecodeString(name) // as it was signed
			return string(user), nil
		}
	}
	return "", okidhttp.ErrAnonymous
}

// cookie logs a user in, or out if the name is empty.
func (s *sessions) cookie(user string) *http.Cookie {
	c := &http.Cookie{Name: cookieName, Path: "/", HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode}
	if user == "" {
		c.MaxAge = -1
		return c
	}
	name := base64.RawURLEncoding.EncodeToString([]byte(user))
	c.Value = name + "." + base64.RawURLEncoding.EncodeToString(cookieMAC(s.keys[0], name))
	return c
}

func cookieMAC(key []byte, name string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("demo session\x00" + name))
	return m.Sum(nil)
}
