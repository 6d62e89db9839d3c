package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
)

// capture is a captured request.
type capture struct {
	headers http.Header // by canonical name
	body    []byte
	notes   []string
}

var errNoRequest = errors.New(`this is neither a request as it comes over the wire ("POST /path HTTP/1.1", headers, an empty line, the body) nor JSON {"headers":{},"body":""}`)

// readCapture reads a request as it came over the wire, or as JSON.
func readCapture(dump []byte) (*capture, error) {
	dump = bytes.TrimPrefix(dump, []byte("\ufeff")) // which editors put in front
	if trimmed := bytes.TrimSpace(dump); len(trimmed) > 0 && trimmed[0] == '{' {
		return readJSON(trimmed)
	}
	return readRaw(bytes.TrimLeft(dump, "\r\n"))
}

// readJSON reads {"headers":{},"body":""}, with texts or lists of texts for headers.
func readJSON(dump []byte) (*capture, error) {
	var said struct {
		Headers map[string]json.RawMessage
		Body    *string
	}
	if err := json.Unmarshal(dump, &said); err != nil || said.Headers == nil || said.Body == nil {
		return nil, errNoRequest
	}
	c := &capture{headers: http.Header{}, body: []byte(*said.Body)}
	for name, value := range said.Headers {
		var values []string
		if json.Unmarshal(value, &values) != nil {
			values = make([]string, 1)
			if err := json.Unmarshal(value, &values[0]); err != nil {
				return nil, fmt.Errorf("header %q is neither a text nor a list of texts", name)
			}
		}
		for _, v := range values {
			c.headers.Add(name, strings.TrimSpace(v))
		}
	}
	return c, nil
}

// readRaw reads a request line, headers and a body, with lines that end as in HTTP or as in files.
func readRaw(dump []byte) (*capture, error) {
	c := &capture{headers: http.Header{}}
	line, rest := cutLine(dump)
	if !strings.Contains(line, " HTTP/") && !strings.Contains(line, ":") {
		return nil, errNoRequest
	}
	if strings.Contains(line, " HTTP/") {
		line, rest = cutLine(rest)
	}
	for ; line != ""; line, rest = cutLine(rest) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(name, " \t{\"") {
			return nil, errNoRequest
		}
		c.headers.Add(name, strings.TrimSpace(value))
	}
	c.body = rest
	c.unframe()
	return c, nil
}

func cutLine(text []byte) (line string, rest []byte) {
	before, after, _ := bytes.Cut(text, []byte("\n"))
	return string(bytes.TrimSuffix(before, []byte("\r"))), after
}

// unframe takes off the body what HTTP put around it, and what was added to the dump.
func (c *capture) unframe() {
	if strings.EqualFold(c.headers.Get("Transfer-Encoding"), "chunked") {
		whole, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(bytes.NewReader(c.body))))
		if err == nil && len(whole) > 0 {
			c.body = whole
			return
		}
	}
	length, err := strconv.Atoi(c.headers.Get("Content-Length"))
	switch {
	case err != nil || length < 0 || length == len(c.body):
	case length < len(c.body):
		c.notes = append(c.notes, fmt.Sprintf("the dump has %d bytes more than Content-Length says, which were left out", len(c.body)-length))
		c.body = c.body[:length]
	default:
		c.notes = append(c.notes, fmt.Sprintf("the body lacks %d bytes of what Content-Length says", length-len(c.body)))
	}
}

// unzipped is the body without its compression, or nil if it has none.
func (c *capture) unzipped() []byte {
	z, err := gzip.NewReader(bytes.NewReader(c.body))
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(z, maxCapture))
	if err != nil {
		return nil
	}
	return body
}
