package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/okidkit/okidkit/examples/internal/demo"
	"github.com/okidkit/okidkit/getid"
	"github.com/okidkit/okidkit/getid/direct"
	"github.com/okidkit/okidkit/identity"
	"github.com/okidkit/okidkit/memstore"
	"github.com/okidkit/okidkit/okid"
	"github.com/okidkit/okidkit/okid/portal"
)

// settings is what the environment says.
type settings struct {
	addr     string
	app      demo.Config
	database *database // nil: none
}

// readSettings reads the environment and reports every problem at once. What it
// returns beside an error is good enough to be looked over by demo.New.
func readSettings(getenv func(string) string, log *slog.Logger) (settings, error) {
	s := settings{addr: getenv("ADDR")}
	if s.addr == "" {
		s.addr = "127.0.0.1:8080"
	}
	var errs []error
	problem := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}

	s.app.PublicURL = strings.TrimSuffix(getenv("PUBLIC_URL"), "/")
	if u, err := url.Parse(s.app.PublicURL); err != nil || u.Path != "" {
		problem(errors.New("PUBLIC_URL must be an origin, as https://app.example.com"))
	}
	s.app.CallbackURL = getenv("CALLBACK_URL")
	if u, err := url.Parse(s.app.CallbackURL); s.app.CallbackURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		problem(errors.New("CALLBACK_URL is not an http(s) URL"))
	}

	var err error
	if text := getenv("REFUSE_UNDER"); text != "" {
		s.app.RefuseUnder, err = strconv.Atoi(text)
		if err != nil || s.app.RefuseUnder < 1 || s.app.RefuseUnder > 150 {
			problem(errors.New("REFUSE_UNDER is not an age in years, 1 to 150"))
		}
	}
	if text := getenv("GRANT_CACHE"); text != "" {
		s.app.GrantCache, err = time.ParseDuration(text)
		if err != nil || s.app.GrantCache < 0 {
			problem(errors.New("GRANT_CACHE is not a duration, as 1s"))
		}
	}
	s.app.Admins = list(getenv("ADMIN_USERS"))
	shared := ""
	switch {
	case getenv("REDIS_URL") != "" && getenv("DATABASE_URL") != "":
		problem(errors.New("REDIS_URL and DATABASE_URL are both set: the records have one place"))
		s.app.Store = memstore.New()
	case getenv("REDIS_URL") != "":
		shared = "REDIS_URL"
		s.app.Store, err = openRedis(getenv("REDIS_URL"), getenv("REDIS_PREFIX"))
		problem(err)
	case getenv("DATABASE_URL") != "":
		shared = "DATABASE_URL"
		s.database, err = openSQL(getenv("DATABASE_URL"))
		problem(err)
		if err == nil {
			s.app.Store, s.app.Effect = s.database.store, s.database.effect
		} else {
			s.app.Store = memstore.New()
		}
	default:
		s.app.Store = memstore.New()
	}
	if shared != "" && getenv("OKID_KEYS") == "" {
		problem(fmt.Errorf("OKID_KEYS is required with %s: the replicas must have the same", shared))
	} else {
		s.app.Keys, err = readKeys(getenv("OKID_KEYS"), log)
		problem(err)
	}

	for _, name := range []string{"OKID_API_KEY", "OKID_WEBHOOK_SECRET"} {
		if getenv(name) == "" {
			problem(fmt.Errorf("%s is required", name))
		}
	}
	provider, err := okid.New(okid.Config{
		APIKey:         getenv("OKID_API_KEY"),
		WebhookSecrets: list(getenv("OKID_WEBHOOK_SECRET")),
		APIURL:         getenv("OKID_API_URL"),
		FrontendURL:    getenv("OKID_FRONTEND_URL"),
		SDKURL:         getenv("OKID_SDK_URL"),
	})
	problem(err)
	s.app.Providers = []identity.Provider{provider}
	for _, read := range []func(func(string) string) (identity.Provider, error){readGetID, readPortal, readDirect} {
		if other, err := read(getenv); err != nil {
			problem(err)
		} else if other != nil {
			s.app.Providers = append(s.app.Providers, other)
		}
	}
	return s, errors.Join(errs...)
}

// readGetID is GetID in the sign-up flow, or nil if it is off.
func readGetID(getenv func(string) string) (identity.Provider, error) {
	set := 0
	for _, name := range []string{"GETID_URL", "GETID_API_KEY", "GETID_JWKS_URL", "GETID_SCRIPT_URL"} {
		if getenv(name) != "" {
			set++
		}
	}
	switch {
	case set == 0:
		return nil, nil
	case getenv("GETID_URL") == "" || getenv("GETID_API_KEY") == "":
		return nil, errors.New("GETID_URL and GETID_API_KEY are required for GetID")
	}
	return getid.New(getid.Config{
		APIKey:    getenv("GETID_API_KEY"),
		BaseURL:   getenv("GETID_URL"),
		JWKSURL:   getenv("GETID_JWKS_URL"),
		ScriptURL: getenv("GETID_SCRIPT_URL"),
	})
}

// readPortal is okID's portal, or nil if it is off.
func readPortal(getenv func(string) string) (identity.Provider, error) {
	url, key := getenv("OKID_PORTAL_URL"), getenv("OKID_PORTAL_KEY")
	switch {
	case url == "" && key == "":
		return nil, nil
	case url == "" || key == "":
		return nil, errors.New("OKID_PORTAL_URL and OKID_PORTAL_KEY are required for okID's portal")
	}
	return portal.New(portal.Config{URL: url, APIKey: key})
}

// readDirect is GetID's own API, or nil if it is off.
func readDirect(getenv func(string) string) (identity.Provider, error) {
	url, key, flow := getenv("GETID_DIRECT_URL"), getenv("GETID_DIRECT_KEY"), getenv("GETID_DIRECT_FLOW")
	switch {
	case url == "" && key == "" && flow == "":
		return nil, nil
	case url == "" || key == "" || flow == "":
		return nil, errors.New("GETID_DIRECT_URL, GETID_DIRECT_KEY and GETID_DIRECT_FLOW are required for GetID's own API")
	}
	return direct.New(direct.Config{URL: url, APIKey: key, Flow: flow})
}

// readKeys reads keys of 32 bytes in hex. Without any it makes one up, which is
// lost, with every log-in and verification under way, when the server ends.
func readKeys(text string, log *slog.Logger) ([][]byte, error) {
	if text == "" {
		log.Warn("OKID_KEYS is empty: using a random key, which is lost when this process ends")
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails, says its documentation
		return [][]byte{key}, nil
	}
	var keys [][]byte
	var errs []error
	for i, part := range list(text) {
		key, err := hex.DecodeString(part)
		if err != nil || len(key) != 32 {
			errs = append(errs, fmt.Errorf("OKID_KEYS: key %d is not 32 bytes in hex", i+1))
			continue
		}
		keys = append(keys, key)
	}
	return keys, errors.Join(errs...)
}

// list splits at commas.
func list(text string) []string {
	if text == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}
