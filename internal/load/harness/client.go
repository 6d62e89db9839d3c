//go:build unix

package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// connections is how many requests are under way at a time.
const connections = 32

// patience is how long all requests of one kind may take together, on a machine
// that is very busy.
const patience = 5 * time.Minute

// Request is an HTTP request as it is on the wire. The host is of no meaning.
func Request(method, target string, header http.Header, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: app.example\r\n", method, target)
	_ = header.Write(&b) // never fails
	if body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// Response is the answer to a request.
type Response struct {
	Code int
	Body []byte
}

// Do sends every request once, and returns the answers in the same order.
func (s *Server) Do(requests [][]byte) ([]Response, error) {
	responses := make([]Response, len(requests))
	err := s.workers(func(c *conn, next func() int) error {
		for i := next(); i < len(requests); i = next() {
			code, body, err := c.exchange(requests[i])
			if err != nil {
				return err
			}
			responses[i] = Response{code, bytes.Clone(body)}
		}
		return nil
	})
	return responses, err
}

// load sends requests for d, again and again unless once is true.
func (s *Server) load(requests [][]byte, once bool, d time.Duration) (Result, error) {
	var mu sync.Mutex
	var all []time.Duration
	var began, ended time.Time
	err := s.workers(func(c *conn, next func() int) error {
		took := make([]time.Duration, 0, 1<<16)
		start := time.Now()
		now := start
		for i := next(); now.Sub(start) < d && (i < len(requests) || !once); i = next() {
			sent := now
			code, body, err := c.exchange(requests[i%len(requests)])
			if err == nil && code != http.StatusOK && code != http.StatusCreated {
				err = fmt.Errorf("answer %d: %s", code, body)
			}
			if err != nil {
				return err
			}
			now = time.Now()
			took = append(took, now.Sub(sent))
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, took...)
		if began.IsZero() || start.Before(began) {
			began = start
		}
		if now.After(ended) {
			ended = now
		}
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	slices.Sort(all)
	return Result{
		Requests: len(all),
		Rate:     float64(len(all)) / ended.Sub(began).Seconds(),
		P50:      all[len(all)/2],
		P99:      all[len(all)*99/100],
	}, nil
}

// workers runs work on every connection at once. next counts up from 0, for all
// of them together.
func (s *Server) workers(work func(c *conn, next func() int) error) error {
	conns := make([]*conn, connections)
	for i := range conns {
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		conns[i] = &conn{Conn: c, in: bufio.NewReader(c)}
	}
	var counter atomic.Int64
	next := func() int { return int(counter.Add(1)) - 1 }
	errs := make([]error, connections)
	var group sync.WaitGroup
	for i, c := range conns {
		group.Go(func() { errs[i] = work(c, next) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// conn is one HTTP connection. It costs the machine, on which the server runs as
// well, less than an http.Client.
type conn struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

var errResponse = errors.New("answer has no Content-Length, or is none")

// exchange sends a request and reads the answer. The body is good until the next
// exchange.
func (c *conn) exchange(request []byte) (code int, body []byte, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, nil, errResponse
	}
	if code, err = strconv.Atoi(string(line[len("HTTP/1.1 "):len("HTTP/1.1 200")])); err != nil {
		return 0, nil, errResponse
	}
	length := -1
	for {
		line, err = c.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, errResponse
			}
		}
	}
	if length < 0 {
		return 0, nil, errResponse
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	_, err = io.ReadFull(c.in, c.body)
	return code, c.body, err
}
