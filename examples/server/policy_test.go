package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/okidtest"
)

// Whoever is too young is refused for good, reads why, and cannot pay for another try; of
// whom that is not known may try with another document.
func TestRefuseUnder(t *testing.T) {
	everywhere(t, func(t *testing.T, launch launcher) {
		s := launch(t, map[string]string{"REFUSE_UNDER": "18"})
		for name, tt := range map[string]struct {
			born   string
			reason string
			final  bool
		}{
			"minor":   {now().AddDate(-18, 0, 1).Format(time.DateOnly), "too_young", true},
			"adult":   {now().AddDate(-18, 0, -1).Format(time.DateOnly), "", false},
			"unknown": {"", "age_unknown", false},
			"strange": {"1.2.1990", "age_unknown", false},
		} {
			u := s.logIn(t, name)
			a := u.begin(t)
			document := okidtest.Passport(now())
			document.VerificationDetails.DateOfBirth = tt.born
			require.NoError(t, s.fake.Complete(a.id, document))
			s.settle(t)
			if tt.reason == "" {
				s.told(t, a, "verified")
				u.opened(t)
				continue
			}
			s.told(t, a, "failed")
			u.shut(t)
			got := u.do(t, "GET", "/verify/status?attempt="+a.Attempt, "")
			var status struct {
				Status, Reason string
				Final          bool
			}
			require.NoError(t, json.Unmarshal([]byte(got.body), &status))
			assert.Equal(t, "failed", status.Status)
			assert.Equal(t, tt.reason, status.Reason)
			assert.Equal(t, tt.final, status.Final)
			page := u.do(t, "GET", "/verify/page", "", "Accept: text/html").body
			if tt.final {
				assert.Contains(t, page, "You are younger than this site requires.")
				assert.NotContains(t, page, "<form")
				got := u.do(t, "POST", "/verify/start", "")
				assert.Equal(t, http.StatusForbidden, got.status)
				assert.Contains(t, got.body, `"reason":"too_young"`)
			} else {
				assert.Contains(t, page, "<form")
				u.start(t, http.StatusCreated)
			}
		}
		s.stop(t)
	})
}

// A page asks for more than the gate does, and another verification that fails takes
// nothing away.
func TestStepUp(t *testing.T) {
	everywhere(t, func(t *testing.T, launch launcher) {
		s := launch(t, nil)
		u := s.logIn(t, "teen")
		a := u.begin(t)
		document := okidtest.Passport(now())
		document.VerificationDetails.DateOfBirth = now().AddDate(-17, 0, 0).Format(time.DateOnly)
		require.NoError(t, s.fake.Complete(a.id, document))
		s.settle(t)
		s.told(t, a, "verified")
		u.opened(t)

		got := u.do(t, "GET", "/adults", "")
		assert.Equal(t, http.StatusForbidden, got.status)
		assert.Contains(t, got.body, `/requirement","requirement":"over","age":18`)
		got = u.do(t, "GET", "/adults", "", "Accept: text/html")
		require.Equal(t, http.StatusSeeOther, got.status)
		assert.Equal(t, s.url+"/verify/page?requirement=over&age=18&return_to=%2Fadults", got.header.Get("Location"))
		got = u.do(t, "GET", "/verify/page?requirement=over&age=18&return_to=%2Fadults", "", "Accept: text/html")
		assert.Contains(t, got.body, "18 or older")
		assert.Equal(t, http.StatusOK, u.do(t, "GET", "/fresh", "").status)

		assert.Equal(t, http.StatusConflict, u.do(t, "POST", "/verify/start", "").status)
		got = u.do(t, "POST", "/verify/start", `{"renew":true}`, "Content-Type: application/json", "Accept: application/json")
		require.Equal(t, http.StatusCreated, got.status, got.body)
		b := &attempt{user: u}
		require.NoError(t, json.Unmarshal([]byte(got.body), b))
		id, err := s.fake.Begin(b.ProcessToken)
		require.NoError(t, err)
		s.settle(t)
		s.told(t, b, "started")
		require.NoError(t, s.fake.Fail(id))
		s.settle(t)
		s.told(t, b, "failed")
		b.is(t, "failed")
		u.opened(t)
		s.stop(t)
	})
}
