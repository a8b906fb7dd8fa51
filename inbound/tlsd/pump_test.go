package tlsd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/inbound/tlsd/options"
	"postrider/internal/fdconn"
)

// world is a session between a client and a program, all of this process.
type world struct {
	t       *testing.T
	client  *tls.Conn
	session *Session
	program *Program
	says    int // the program's ends
	hears   int
}

// newWorld makes one, with a network that holds as little as it can.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptInt(fds[0], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4096); err != nil {
		t.Fatal(err)
	}
	server, err := fdconn.New(fds[0], fds[0])
	if err != nil {
		t.Fatal(err)
	}
	client, err := fdconn.New(fds[1], fds[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	d := disk{"/both": certPEM("mx.example") + keyPEM(t, "mx.example")}
	keys, err := LoadKeys([]string{"CERTFILE=/both"}, 1, d.read, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	w.client = tls.Client(client, &tls.Config{InsecureSkipVerify: true, ServerName: "mx.example"})
	shaken := make(chan error, 1)
	go func() { shaken <- w.client.Handshake() }()
	w.session, err = Handshake(context.Background(), server, Config{Keys: keys, Clients: &Clients{}, Time: time.Minute})
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	var down, up [2]int
	if err := errors.Join(syscall.Pipe2(down[:], syscall.O_CLOEXEC), syscall.Pipe2(up[:], syscall.O_CLOEXEC)); err != nil {
		t.Fatal(err)
	}
	if w.program, err = NewProgram(up[0], down[1]); err != nil {
		t.Fatal(err)
	}
	w.says, w.hears = up[1], down[0]
	return w
}

// carry runs the pump and gives its error.
func (w *world) carry(o options.Options) <-chan error {
	over := make(chan error, 1)
	go func() { over <- w.session.Carry(w.program, o) }()
	return over
}

func (w *world) over(c <-chan error) error {
	w.t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(time.Minute):
		w.t.Fatal("the pump does not end")
		return nil
	}
}

// gone is what becomes of a program's ends when it dies.
func (w *world) gone() {
	syscall.Close(w.says)
	syscall.Close(w.hears)
}

// A program is gone; its peer takes nothing more. That lasts as long as we say,
// not for ever.
func TestLinger(t *testing.T) {
	w := newWorld(t)
	w.session.Linger = 100 * time.Millisecond
	over := w.carry(options.Options{})
	if err := fdconn.WriteAll(w.says, make([]byte, 60<<10)); err != nil {
		t.Fatal(err)
	}
	w.gone()
	if err := w.over(over); err != nil {
		t.Error(err)
	}
}

// What a program has said before it ended arrives, whole, and close_notify
// after it.
func TestLastWords(t *testing.T) {
	w := newWorld(t)
	w.session.Linger = time.Minute
	over := w.carry(options.Options{})
	text := strings.Repeat("0123456789abcdef", 60<<10/16)
	go func() {
		fdconn.WriteAll(w.says, []byte(text))
		w.gone()
	}()
	got, err := io.ReadAll(w.client)
	if err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := w.over(over); err != nil {
		t.Error(err)
	}
}
