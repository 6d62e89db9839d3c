package okidtest

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// server is the HTTP server of a fake, which listens at most once and can wait
// for every request that it serves.
type server struct {
	handler http.Handler
	log     *slog.Logger

	mu     sync.Mutex
	url    string // where browsers find the fake; "" until it listens
	http   *http.Server
	closed bool
	wg     sync.WaitGroup // the server, and its requests
}

// start listens on addr and serves there until close.
func (s *server) start(addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil || s.closed {
		return ErrStarted
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("okidtest: %w", err)
	}
	if s.url == "" {
		s.url = "http://" + listener.Addr().String()
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      2 * time.Minute, // longer than any client waits for Hang
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    1 << 14,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	s.http = server
	s.wg.Go(func() { _ = server.Serve(listener) })
	return nil
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	s.handler.ServeHTTP(w, r)
}

// close ends the server and the contexts of its requests, for which wait waits.
func (s *server) close() {
	s.mu.Lock()
	s.closed = true
	server := s.http
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

func (s *server) wait() { s.wg.Wait() }

// baseURL is where the fake is, without a slash at the end.
func (s *server) baseURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}
