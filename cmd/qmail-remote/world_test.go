package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"postrider/internal/proctest"
	"postrider/internal/sink"
	"postrider/internal/smtptest"
	"postrider/internal/smtptest/stage"
)

// world is a home, a DNS server and a server that takes everything, one at a
// time, in a network that nobody else is in.
type world struct {
	bin     string // the programs, under a name of this world's own
	home    string
	l       *tap
	sink    *sink.Server
	message string
	// hook hears what happens at the server before anything comes of it: the
	// lines of both sides, "content" once half a megabyte has come, "taken".
	hook atomic.Pointer[func(what string)]
}

// newWorld makes one for this test, which keeps its thread. With TLS, STARTTLS
// is offered and wanted.
func newWorld(t *testing.T, secured bool, c sink.Config) *world {
	t.Helper()
	stage.OwnNetwork(t)
	w := &world{bin: ownPrograms(t), home: t.TempDir(), message: "Subject: x\n\nhello\n.\n"}
	stage.ServeNames(t, "example.net. MX 10 mx.example.net.\nmx.example.net. A 192.0.2.7\n")
	w.file(t, "control/me", "mail.example\n")
	c.Keep, c.Transcript = true, w.happens
	c.Took = func(sink.Message) { w.happens("taken") }
	if secured {
		w.file(t, "control/trustanchors", filepath.Join(w.home, "control/authority.pem")+"\n")
		w.file(t, "control/authority.pem", smtptest.AuthorityPEM())
		c.TLS = &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example.net")}}
	}
	l, err := net.Listen("tcp", "192.0.2.7:25")
	if err != nil {
		t.Fatal(err)
	}
	w.l = &tap{Listener: l, much: func() { w.happens("content") }}
	w.l.left.L = &w.l.mu
	w.sink = sink.Serve(w.l, c)
	t.Cleanup(w.sink.Close)
	return w
}

// ownPrograms is a directory of the same programs, by which its processes are known.
func ownPrograms(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, p := range programs {
		if err := os.Link(filepath.Join(bin, p), filepath.Join(dir, p)); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (w *world) happens(what string) {
	if hook := w.hook.Load(); hook != nil {
		(*hook)(what)
	}
}

// env is qmail-remote's environment.
func (w *world) env() []string {
	return []string{"QMAILHOME=" + w.home, "DNSCACHEIP=127.0.0.1", "PATH=" + os.Getenv("PATH")}
}

// command is a delivery by qmail-remote, with its descriptors.
func (w *world) command(files ...*os.File) proctest.Command {
	args := []string{"qmail-remote", "example.net", "me@example.com", "you@example.net"}
	return proctest.Command{Path: w.bin + "/qmail-remote", Args: args, Env: w.env(), Dir: "/", Files: files}
}

func (w *world) file(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(w.home, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// taken is what the server took behind the first before messages, when it has
// heard everybody to the end. Whatever it took must be the message, and whole.
func (w *world) taken(t *testing.T, before int) int {
	t.Helper()
	w.settle(t)
	list := w.sink.Messages()[before:]
	want := bytes.ReplaceAll([]byte(w.message), []byte("\n"), []byte("\r\n"))
	for _, m := range list {
		if !bytes.Equal(m.Body, want) {
			t.Errorf("the server took %d bytes, not %d: %.80q", len(m.Body), len(want), m.Body)
		}
	}
	return len(list)
}

// settle waits until the server has heard everybody to the end: who called
// before we do now has been let in.
func (w *world) settle(t *testing.T) {
	t.Helper()
	w.hook.Store(nil)
	last, err := net.Dial("tcp", w.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	io.WriteString(last, "QUIT\r\n")
	if _, err := io.ReadAll(last); err != nil {
		t.Fatal(err)
	}
	w.l.empty()
}

// tap is a listener that counts who is inside.
type tap struct {
	net.Listener
	much   func()
	mu     sync.Mutex
	inside int       // guarded by mu
	left   sync.Cond // signalled when inside falls
}

// enter counts one who comes, or who goes.
func (l *tap) enter(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside += n
	l.left.Broadcast()
}

// empty waits until nobody is inside.
func (l *tap) empty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.inside > 0 {
		l.left.Wait()
	}
}

func (l *tap) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn.(*net.TCPConn).SetReadBuffer(64 << 10) // what is under way stays little
	l.enter(1)
	return &tapped{Conn: conn, much: l.much, leave: sync.OnceFunc(func() { l.enter(-1) })}, nil
}

// tapped is a connection that is told of when half a megabyte has come by it.
type tapped struct {
	net.Conn
	n     int
	much  func()
	leave func()
}

func (c *tapped) Read(p []byte) (int, error) {
	const half = 1 << 19
	n, err := c.Conn.Read(p)
	if c.n < half && c.n+n >= half {
		c.much()
	}
	c.n += n
	return n, err
}

func (c *tapped) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
