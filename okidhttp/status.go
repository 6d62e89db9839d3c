package okidhttp

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/okidkit/okidkit/internal/attempt"
	"github.com/okidkit/okidkit/internal/engine"
)

const (
	// statusEvery is how often a client should ask for a status that may change,
	// and how often a stream looks by itself.
	statusEvery = time.Second
	// watchedEvery is how often a stream looks by itself when the store tells of
	// changes, since it may miss one.
	watchedEvery = 5 * time.Second
	// statusRefreshEvery is how often clients that ask for the status of an
	// attempt whose user has come back may make the kit ask the provider.
	statusRefreshEvery = 5 * time.Second
	// heartbeatEvery keeps proxies from closing a stream on which nothing happens.
	heartbeatEvery = 15 * time.Second
	// maxStreams bounds the streams of one subject in one process.
	maxStreams = 3
)

// Status tells the user how an attempt of theirs stands. It takes a GET with the attempt in the
// query, and answers in JSON. While the status may change, retry_after is the number of seconds
// after which to ask again:
//
//	{"status":"started","updated_at":"2026-01-02T15:04:05Z","retry_after":1}
//
// A failed or revoked attempt also has the reason, if it is known (see [Event.Reason]), and
// "final":true if no other attempt is allowed:
//
//	{"status":"failed","reason":"too_young","final":true,"updated_at":"2026-01-02T15:04:05Z"}
//
// The answer has an ETag, and If-None-Match is answered with 304 while it stands.
//
// With "Accept: text/event-stream" the answer is a stream, which sends the same object whenever
// it changes and ends when the status is final. A client that reconnects with Last-Event-ID is
// not sent what it knows, and gets 204 if that was the end, so that an EventSource gives up.
//
// An attempt that is not the user's and one that does not exist get the same 404. The other
// answers are 405; 429 if the user has three open streams; and 503 with Retry-After if the
// store cannot be reached.
func (k *Kit) Status() http.Handler { return k.route("status", k.status) }

// statusBody is the answer. Pages that ask for it know no more than this.
type statusBody struct {
	Status     string    `json:"status"`
	Reason     string    `json:"reason,omitempty"`
	Final      bool      `json:"final,omitempty"`
	UpdatedAt  time.Time `json:"updated_at"`
	RetryAfter int       `json:"retry_after,omitempty"` // seconds
}

// tag stands for what the body says, in ETag and in the ids of events.
func (b statusBody) tag() string {
	return b.Status + "-" + strconv.FormatInt(b.UpdatedAt.UnixMilli(), 36)
}

func (k *Kit) status(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", privateNoStore)
	h.Add("Vary", varyByUser)
	if !k.allow(w, r, http.MethodGet) {
		return
	}
	at, ok, err := k.ownAttempt(r)
	if err != nil {
		k.subjectFailed(w, r, err)
		return
	}
	if !ok {
		k.problem(w, r, problemNotFound, nil)
		return
	}
	body, p := k.readStatus(r.Context(), at)
	if p != nil {
		k.problem(w, r, *p, nil)
		return
	}
	if wantsStream(r) {
		k.stream(w, r, at, body)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	etag := `"` + body.tag() + `"`
	h.Set("ETag", etag)
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		// A proxy that compresses makes the tag a weak one.
		if strings.TrimPrefix(strings.TrimSpace(known), "W/") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

// wantsStream reports whether a request for the status is for a live one.
func wantsStream(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// readStatus is how an attempt stands. If its user has come back and the verdict
// is still out, the provider is asked from time to time.
func (k *answers) readStatus(ctx context.Context, at attempt.Address) (statusBody, *problem) {
	s, err := k.engine.Load(ctx, at.Subject)
	if err != nil {
		k.engine.Failed(ctx, engine.StoreFailed, err)
		return statusBody{}, &problemStoreAway
	}
	a := s.Find(at.Attempt)
	if a == nil {
		return statusBody{}, &problemNotFound
	}
	k.engine.Concerns(ctx, a)
	if !a.Status.Final() && a.Returned && s.Now.Sub(a.FetchedAt) >= statusRefreshEvery && a.ProviderID != "" {
		a = k.engine.Refresh(ctx, at, a, attempt.Refresh{ID: a.ProviderID, Every: statusRefreshEvery})
	}
	body := statusBody{Status: string(a.Status), Reason: a.Reason, Final: a.RuledOut, UpdatedAt: a.UpdatedAt}
	if !a.Status.Final() {
		body.RetryAfter = int(statusEvery / time.Second)
	}
	return body, nil
}

// stream sends the status as server-sent events.
func (k *Kit) stream(w http.ResponseWriter, r *http.Request, at attempt.Address, body statusBody) {
	sent := r.Header.Get("Last-Event-ID")
	if body.RetryAfter == 0 && sent == body.tag() {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	ended, ok := k.streams.enter(at.Subject)
	if !ok {
		k.problem(w, r, problemTooManyStream, nil)
		return
	}
	defer k.streams.leave(at.Subject)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{}) // a stream outlives the server's write timeout

	changed := k.engine.Watch(r.Context(), at.Subject) // nil: the stream looks more often
	look, beat := time.NewTicker(statusEvery), time.NewTicker(heartbeatEvery)
	defer look.Stop()
	defer beat.Stop()
	if sent == body.tag() && !push(w, rc, ":\n\n") { // the client waits for a sign of life
		return
	}
	for {
		if id := body.tag(); id != sent {
			data, err := json.Marshal(body)
			if err != nil || !push(w, rc, "event: status\ndata: "+string(data)+"\nid: "+id+"\nretry: 1000\n\n") {
				return
			}
			sent = id
		}
		if body.RetryAfter == 0 {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ended:
			return
		case <-beat.C:
			if !push(w, rc, ":\n\n") {
				return
			}
			continue
		case <-changed:
			look.Reset(watchedEvery)
		case <-look.C:
		}
		if _, hash, err := k.cfg.subject(r); err != nil || hash != at.Subject {
			return // logged out meanwhile, or nobody can tell
		}
		next, p := k.readStatus(r.Context(), at)
		if p != nil {
			return // the client connects again, and is told what is wrong
		}
		body = next
	}
}

// pushTimeout is how long a client may take to receive one event.
const pushTimeout = 10 * time.Second

// push sends text at once, and reports whether it could be sent.
func push(w http.ResponseWriter, rc *http.ResponseController, text string) bool {
	// As in readBody: a deadline in the past when the time is up.
	deadline := time.AfterFunc(pushTimeout, func() { _ = rc.SetWriteDeadline(time.Unix(1, 0)) })
	defer deadline.Stop()
	_, err := io.WriteString(w, text)
	return err == nil && rc.Flush() == nil
}

// streams are the live status streams of one process.
type streams struct {
	mu    sync.Mutex
	open  map[attempt.SubjectHash]int
	ended chan struct{} // closed to end those that are open; nil: none were yet
}

// enter counts a stream, unless the subject has too many. The stream must end when
// ended is closed.
func (s *streams) enter(of attempt.SubjectHash) (ended <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[of] >= maxStreams {
		return nil, false
	}
	if s.open == nil {
		s.open = map[attempt.SubjectHash]int{}
	}
	if s.ended == nil {
		s.ended = make(chan struct{})
	}
	s.open[of]++
	return s.ended, true
}

func (s *streams) leave(of attempt.SubjectHash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[of]--; s.open[of] == 0 {
		delete(s.open, of)
	}
}

// end ends the streams that are open now.
func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		close(s.ended)
		s.ended = nil
	}
}
