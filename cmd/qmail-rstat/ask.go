package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"postrider/internal/observe/state"
)

const (
	// patience is how long the engine may take to answer.
	patience = 10 * time.Second
	// maxAnswer is the longest answer, in bytes.
	maxAnswer = 8 << 20
)

// errNone says that nobody listens.
var errNone = errors.New("no engine: it begins with the first delivery")

// engine is one that may be asked.
type engine struct {
	path   string
	client http.Client
}

func newEngine(path string) *engine {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &engine{path: path, client: http.Client{Timeout: patience,
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// ask gives the engine's state, as it says it and as it is. Errors name the socket.
func (e *engine) ask(ctx context.Context) (text []byte, s state.State, err error) {
	text, err = e.get(ctx)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	switch {
	case err == nil:
		return text, s, nil
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		err = errNone
	case errors.Is(err, fs.ErrPermission):
		err = errors.New("permission denied: it is for root and the user of qmail-rspawn, qmailr")
	}
	return nil, s, fmt.Errorf("%s: %w", e.path, err)
}

func (e *engine) get(ctx context.Context) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/state", nil)
	if err != nil {
		return nil, err
	}
	r, err := e.client.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, errors.New("the engine answers " + r.Status)
	}
	return io.ReadAll(io.LimitReader(r.Body, maxAnswer))
}
