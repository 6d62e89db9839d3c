//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/okidkit/okidkit/internal/load/cases"
	"github.com/okidkit/okidkit/internal/load/harness"
)

// patience is how long a stream may wait for what it is to be told, on a machine
// that is very busy.
const patience = time.Minute

// measureStreams opens n streams of the live status, looks for a while at what they
// cost while nothing happens, and then lets every user be verified.
func measureStreams(ctx context.Context, n int, idle time.Duration, out io.Writer) error {
	fmt.Fprintln(out, "| store | streams | memory of each | process | CPU while idle | all told after | p50 | p99 |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, c := range []harness.Case{cases.Status, cases.RedisStatus} {
		redis, stop := "", func() {}
		if c.Redis {
			var err error
			redis, stop, err = harness.StartRedis(ctx)
			if errors.Is(err, exec.ErrNotFound) {
				fmt.Fprintln(os.Stderr, "load: not with Redis, which is not installed")
				return nil
			} else if err != nil {
				return err
			}
		}
		row, err := streamsOf(ctx, c, redis, n, idle)
		stop()
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		fmt.Fprintln(out, row)
	}
	return nil
}

func streamsOf(ctx context.Context, c harness.Case, redis string, n int, idle time.Duration) (string, error) {
	s, err := harness.Start(ctx, c, redis)
	if err != nil {
		return "", err
	}
	defer s.Stop()
	references, err := cases.Attempts(s, n)
	if err != nil {
		return "", err
	}
	empty, err := s.Usage()
	if err != nil {
		return "", err
	}

	streams := make([]*stream, n)
	for i := range streams {
		if streams[i], err = openStream(s.Addr, i, references[i]); err != nil {
			return "", fmt.Errorf("stream %d: %w", i, err)
		}
		defer streams[i].Close()
	}
	var told sync.WaitGroup
	for _, stream := range streams {
		if err := stream.SetReadDeadline(time.Now().Add(idle + patience)); err != nil {
			return "", err
		}
		told.Go(stream.follow)
	}

	open, err := s.Usage()
	if err != nil {
		return "", err
	}
	<-time.After(idle)
	quiet, err := s.Usage()
	if err != nil {
		return "", err
	}

	began := time.Now()
	if err := cases.Verify(s, references); err != nil {
		return "", err
	}
	webhooks := time.Since(began)
	told.Wait()
	took := make([]time.Duration, n)
	for i, stream := range streams {
		if stream.err != nil {
			return "", fmt.Errorf("stream %d: %w", i, stream.err)
		}
		took[i] = stream.told.Sub(began)
	}
	slices.Sort(took)
	store := "memory"
	if c.Redis {
		store = "Redis"
	}
	return fmt.Sprintf("| %s | %d | %.1f KiB | %.0f MiB | %.1f %% of a core | %.2f s (webhooks: %.2f s) | %.2f s | %.2f s |", store, n,
		float64(open.Held-empty.Held)/1024/float64(n), float64(quiet.Sys)/(1<<20),
		100*float64(quiet.CPU-open.CPU)/max(1, float64(idle)),
		took[n-1].Seconds(), webhooks.Seconds(), took[n/2].Seconds(), took[n*99/100].Seconds()), nil
}

// stream is one client that follows the status of its attempt.
type stream struct {
	net.Conn
	lines *bufio.Scanner
	told  time.Time // of the verdict
	err   error
}

// openStream returns when the first status has come.
func openStream(addr string, user int, reference string) (*stream, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &stream{Conn: conn, lines: bufio.NewScanner(conn)}
	s.lines.Buffer(make([]byte, 512), 1<<10)
	header := http.Header{"User": {strconv.Itoa(user)}, "Accept": {"text/event-stream"}}
	if _, err := conn.Write(harness.Request("GET", "/verify/status?attempt="+reference, header, nil)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	err = conn.SetReadDeadline(time.Now().Add(patience))
	if err == nil {
		err = s.await("created")
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// follow reads until the verdict.
func (s *stream) follow() {
	s.err = s.await("verified")
	s.told = time.Now()
}

// await reads until an event with this status.
func (s *stream) await(status string) error {
	for s.lines.Scan() {
		if line := s.lines.Bytes(); bytes.HasPrefix(line, []byte("data: ")) {
			if bytes.Contains(line, []byte(`"status":"`+status+`"`)) {
				return nil
			}
			return fmt.Errorf("%s instead of %s", line, status)
		}
	}
	return errors.Join(s.lines.Err(), io.ErrUnexpectedEOF)
}
