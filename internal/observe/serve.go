package observe

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// maxAskers is how many connections the socket has at once: descriptors are
	// for mail.
	maxAskers = 8
	// askTime is how long one may take, asking and reading.
	askTime = 10 * time.Second
)

// Serve answers at the Unix socket path, for the user of this process only,
// until the stop that it gives is called. A socket that is there already is
// replaced; anything else stays. Where there can be no socket, nothing is
// served, and the error says why.
func (o *Observer) Serve(path string) (stop func(), err error) {
	l, err := listen(path)
	if err != nil {
		return func() {}, err
	}
	own, _ := os.Lstat(path)
	server := &http.Server{Handler: o.handler(), ReadTimeout: askTime, WriteTimeout: askTime, IdleTimeout: askTime,
		MaxHeaderBytes: 8192, ErrorLog: log.New(nowhere{}, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() {
		server.Serve(&bounded{Listener: l, room: make(chan struct{}, maxAskers), end: make(chan struct{})})
	})
	return func() {
		server.Close()
		serving.Wait()
		if now, err := os.Lstat(path); err == nil && own != nil && os.SameFile(own, now) {
			os.Remove(path) // a later engine's stays
		}
	}, nil
}

func (o *Observer) handler() http.Handler {
	m := http.NewServeMux()
	m.Handle("GET /metrics", promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxAskers, DisableCompression: true}))
	m.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.MarshalIndent(o.State(), "", "  ")
		if err != nil {
			http.Error(w, "state: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(append(text, '\n'))
	})
	return m
}

// listen binds beside path and moves the socket there: it takes the place of
// another's in one step, and nobody finds it before its mode is right.
func listen(path string) (net.Listener, error) {
	if s, err := os.Lstat(path); err == nil && s.Mode().Type() != fs.ModeSocket {
		return nil, &fs.PathError{Op: "listen", Path: path, Err: errors.New("exists and is no socket")}
	}
	fresh := path + "." + strconv.Itoa(os.Getpid())
	os.Remove(fresh)
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		// Linux makes the file with the mode of the socket; elsewhere this does
		// nothing, and there is a moment between bind and chmod.
		return raw.Control(func(fd uintptr) { syscall.Fchmod(int(fd), 0o600) })
	}}
	l, err := c.Listen(context.Background(), "unix", fresh)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err = os.Chmod(fresh, 0o600); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		l.Close()
		os.Remove(fresh)
		return nil, err
	}
	return l, nil
}

// bounded accepts only so many at once; others wait in the kernel.
type bounded struct {
	net.Listener
	room chan struct{}
	end  chan struct{}
	once sync.Once
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.room <- struct{}{}:
	case <-b.end:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.room
		return nil, err
	}
	return &asker{Conn: c, left: sync.OnceFunc(func() { <-b.room })}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.end) })
	return b.Listener.Close()
}

// asker is a connection that makes room when it ends.
type asker struct {
	net.Conn
	left func()
}

func (a *asker) Close() error {
	defer a.left()
	return a.Conn.Close()
}

// nowhere is where net/http's complaints about askers go.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
