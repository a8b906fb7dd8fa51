package solo

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipes gives a connection by pipes, and what its peer reads and writes.
func pipes(t *testing.T, share func(in, out int) (net.Conn, error)) (c *Conn, reads, writes *os.File) {
	t.Helper()
	var in, out [2]int
	if err := errors.Join(unix.Pipe2(in[:], unix.O_CLOEXEC), unix.Pipe2(out[:], unix.O_CLOEXEC)); err != nil {
		t.Fatal(err)
	}
	reads, writes = os.NewFile(uintptr(out[0]), "reads"), os.NewFile(uintptr(in[1]), "writes")
	c, err := Pipes(in[0], out[1], func() (net.Conn, error) { return share(in[0], out[1]) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		reads.Close()
		writes.Close()
	})
	return c, reads, writes
}

// TestPipes: what is said goes out by the one pipe, what is heard comes in by the
// other, and neither waits beyond its time.
func TestPipes(t *testing.T) {
	c, reads, writes := pipes(t, nil)
	if n, err := c.Write([]byte("EHLO\r\n")); n != 6 || err != nil {
		t.Fatal(n, err)
	}
	if c.Stirred() {
		t.Error("stirred before anything was said")
	}
	if _, err := writes.WriteString("250 ok\r\n"); err != nil {
		t.Fatal(err)
	}
	if !c.Stirred() {
		t.Error("not stirred")
	}
	buf := make([]byte, 64)
	if n, err := reads.Read(buf); string(buf[:n]) != "EHLO\r\n" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if n, err := c.Read(buf); string(buf[:n]) != "250 ok\r\n" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Millisecond))
	var late net.Error
	if _, err := c.Read(buf); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("reading in vain: %v", err)
	}
	offered, err := c.Offer(make([]byte, 1<<20))
	if offered == 0 || offered == 1<<20 || err != nil {
		t.Errorf("a pipe took %d bytes at once: %v", offered, err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Write([]byte("more")); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("writing in vain: %v", err)
	}
	c.SetDeadline(time.Time{})
	writes.Close()
	if _, err := c.Read(buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	reads.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("nobody reads: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
}

// TestPipesShared: what package net makes of them gets both, once.
func TestPipesShared(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	asked := 0
	c, _, _ := pipes(t, func(in, out int) (net.Conn, error) {
		asked++
		return near, errors.Join(unix.Close(in), unix.Close(out))
	})
	if got, err := c.Shared(); got != near || err != nil || asked != 1 {
		t.Errorf("%v, %v, asked %d times", got, err, asked)
	}
	if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the pipes are still ours: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := near.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("the heir was not closed: %v", err)
	}
}
