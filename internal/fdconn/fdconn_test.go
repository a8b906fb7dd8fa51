package fdconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

func socketpair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func newConn(t *testing.T, r, w int) *Conn {
	t.Helper()
	c, err := New(r, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pairs are connections in the forms in which UCSPI gives them.
func pairs(t *testing.T) map[string][2]*Conn {
	all := map[string][2]*Conn{}
	a, b := socketpair(t)
	all["one socket"] = [2]*Conn{newConn(t, a, a), newConn(t, b, b)}
	a, b = socketpair(t)
	a2, err := syscall.Dup(a)
	if err != nil {
		t.Fatal(err)
	}
	all["a socket twice"] = [2]*Conn{newConn(t, a, a2), newConn(t, b, b)}
	r1, w1 := pipe(t)
	r2, w2 := pipe(t)
	all["two pipes"] = [2]*Conn{newConn(t, r1, w2), newConn(t, r2, w1)}
	return all
}

func TestHalfClose(t *testing.T) {
	for kind, c := range pairs(t) {
		a, b := c[0], c[1]
		if _, err := a.Write([]byte("question")); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := a.CloseWrite(); err != nil {
			t.Errorf("%s: CloseWrite: %v", kind, err)
		}
		if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
			t.Errorf("%s: got %q, %v", kind, got, err)
		}
		if _, err := b.Write([]byte("answer")); err != nil {
			t.Errorf("%s: after the end of the other: %v", kind, err)
		}
		b.Close()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("%s: got %q, %v", kind, got, err)
		}
		if err := a.CloseRead(); err != nil {
			t.Errorf("%s: CloseRead: %v", kind, err)
		}
	}
}

func TestDeadlines(t *testing.T) {
	for kind, c := range pairs(t) {
		a := c[0]
		if err := a.SetDeadline(time.Unix(1, 0)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		var ne net.Error
		_, err := a.Read(make([]byte, 1))
		if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: reading: %v", kind, err)
		}
		if _, err := a.Write([]byte("x")); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%s: writing: %v", kind, err)
		}
		if a.SetReadDeadline(time.Time{}) != nil || a.SetWriteDeadline(time.Time{}) != nil {
			t.Errorf("%s: deadlines cannot be taken back", kind)
		}
		if _, err := a.Write([]byte("x")); err != nil {
			t.Errorf("%s: after the deadline: %v", kind, err)
		}
	}
}

// A full pipe keeps the writer until the deadline; the other way is not concerned.
func TestBlockedWrite(t *testing.T) {
	for kind, c := range pairs(t) {
		a, b := c[0], c[1]
		go func() {
			b.Read(make([]byte, 1)) // then the writing has begun
			a.SetWriteDeadline(time.Unix(1, 0))
		}()
		n, err := a.Write(make([]byte, 4<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == 4<<20 {
			t.Errorf("%s: %d bytes, %v", kind, n, err)
		}
		if _, err := b.Write([]byte("x")); err != nil {
			t.Errorf("%s: the other way: %v", kind, err)
		}
	}
}

func TestCloseWakes(t *testing.T) {
	for kind, c := range pairs(t) {
		a := c[0]
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", kind, err)
			}
		})
		a.Close()
		wg.Wait()
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: writing: %v", kind, err)
		}
	}
}

func TestBrokenPipe(t *testing.T) {
	for kind, c := range pairs(t) {
		c[1].Close()
		if _, err := c[0].Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestNotDescriptors(t *testing.T) {
	r, w := pipe(t)
	syscall.Close(r)
	for reason, fds := range map[string][2]int{"closed": {r, w}, "closed for writing": {w, r}, "negative": {-1, -1}} {
		if c, err := New(fds[0], fds[1]); err == nil {
			c.Close()
			t.Errorf("%s: no error", reason)
		}
		if reason == "closed for writing" {
			return // it has closed w, as its own
		}
	}
}

// Descriptor 0 stays open and what it is: os.Stdin may be known to the poller.
func TestLowDescriptors(t *testing.T) {
	c, err := New(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := os.Stdin.Stat(); err != nil {
		t.Errorf("descriptor 0: %v", err)
	}
}

// Two Copies between two pairs carry everything, both ways at once, through
// buffers much smaller than that.
func TestCopyBothWays(t *testing.T) {
	for kind, c := range pairs(t) {
		r1, w1 := pipe(t)
		r2, w2 := pipe(t)
		inner, end := newConn(t, r1, w2), newConn(t, r2, w1)
		near, far := c[0], c[1] // near | far ↔ inner | end
		var wg sync.WaitGroup
		payload := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
		send := func(c *Conn) {
			if _, err := c.Write(payload); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			c.CloseWrite()
		}
		receive := func(c *Conn) {
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%s: got %d bytes, %v", kind, len(got), err)
			}
		}
		pump := func(dst, src *Conn) {
			if r, w := Copy(dst, src); r != nil || w != nil {
				t.Errorf("%s: %v, %v", kind, r, w)
			}
		}
		for _, f := range []func(){
			func() { send(near) }, func() { send(end) }, func() { receive(near) }, func() { receive(end) },
			func() { pump(inner, far) }, func() { pump(far, inner) },
		} {
			wg.Go(f)
		}
		wg.Wait()
	}
}

// A side that takes no more is told to the other as a broken pipe.
func TestCopyToTheDead(t *testing.T) {
	for kind, c := range pairs(t) {
		r, w := pipe(t)
		syscall.Close(r)
		dead := newConn(t, w, w)
		if _, err := c[0].Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if reading, writing := Copy(dead, c[1]); reading != nil || !errors.Is(writing, syscall.EPIPE) {
			t.Errorf("%s: %v, %v", kind, reading, writing)
		}
		if kind == "one socket" || kind == "a socket twice" {
			continue // a socket shut for reading by one of us still takes bytes in Linux
		}
		if _, err := c[0].Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: the source writes on: %v", kind, err)
		}
	}
}

// A source that breaks is an end for the other side all the same.
func TestCopyFromTheBroken(t *testing.T) {
	for kind, c := range pairs(t) {
		src := newConn(t, open2(t), open2(t))
		src.Close()
		if reading, _ := Copy(c[0], src); !errors.Is(reading, net.ErrClosed) {
			t.Errorf("%s: %v", kind, reading)
		}
		if got, err := io.ReadAll(c[1]); len(got) != 0 || err != nil {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
	}
}

func open2(t *testing.T) int {
	r, w := pipe(t)
	t.Cleanup(func() { syscall.Close(w) })
	return r
}

func TestChild(t *testing.T) {
	r, w := pipe(t)
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(null)
	c := Child{
		Path: "/bin/sh", Args: []string{"sh", "-c", `echo "$X" >&5; test -e /proc/$$/fd/4 || echo none >&5; exit 7`},
		Env: []string{"X=y", "PATH=/bin:/usr/bin"}, Files: []int{null, null, 2, Closed, Closed, w}, Bound: true,
	}
	pid, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(w)
	out, err := io.ReadAll(os.NewFile(uintptr(r), "pipe"))
	if err != nil || string(out) != "y\nnone\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if code, err := Wait(pid); code != 7 || err != nil {
		t.Errorf("exit %d, %v", code, err)
	}
	if _, err := Wait(pid); err == nil {
		t.Error("it can be waited for twice")
	}
	c.Args[2] = "kill -TERM $$"
	c.Files[5] = Closed
	if pid, err = c.Start(); err != nil {
		t.Fatal(err)
	}
	if code, err := Wait(pid); code != 128+15 || err != nil {
		t.Errorf("killed: %d, %v", code, err)
	}
	c.Path = "/nonexistent"
	if _, err := c.Start(); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no program: %v", err)
	}
}

func TestInherited(t *testing.T) {
	r, w := pipe(t)
	defer syscall.Close(w)
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(r), syscall.F_SETFD, 0); e != 0 {
		t.Fatal(e)
	}
	files := Inherited(max(r, w) + 1)
	if files[0] != 0 || files[r] != r || files[w] != Closed {
		t.Errorf("%d inherited, %d not: %v", r, w, files)
	}
	syscall.Close(r)
	if slices.Contains(Inherited(max(r, w) + 1)[3:], r) {
		t.Errorf("%d is closed", r)
	}
}
