package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crumbs is a connection that says everything byte by byte.
type crumbs struct{ net.Conn }

func (c crumbs) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// TestCrumbs: TLS that comes in pieces of whatever size is put together, while the
// program has its say, too.
func TestCrumbs(t *testing.T) {
	r := launch(t, func(l *line) {
		l.raw.Conn = crumbs{l.raw.Conn}
		conn := l.secure(tls.NoClientCert)
		io.Copy(conn, conn)
		conn.CloseWrite()
	}, []string{"CAFILE=" + authority(t)}, "", "-S", "sh", "-c", `seq 4000 >&7 & exec 7>&-; cat <&6`)
	var want strings.Builder
	for i := range 4000 {
		want.WriteString(strconv.Itoa(i+1) + "\n")
	}
	if r.code != 0 || r.out != want.String() {
		t.Errorf("%d, %d bytes of %d came back\n%s", r.code, len(r.out), want.Len(), r.errors)
	}
}

// wires gives a wire and the other end of it.
func wires(t *testing.T) (*wire, *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWire(fds[0], fds[0])
	if err != nil {
		t.Fatal(err)
	}
	peer := os.NewFile(uintptr(fds[1]), "peer")
	t.Cleanup(func() {
		w.Close()
		peer.Close()
	})
	return w, peer
}

// TestPeerThatSpeaksFirst: a peer that reads only when all it says is taken keeps
// nobody from writing, and nothing of what it said is lost.
func TestPeerThatSpeaksFirst(t *testing.T) {
	const size = 900 << 10 // more than the kernel keeps for either
	w, peer := wires(t)
	said, heard := bytes.Repeat([]byte("peer"), size/4), make(chan []byte, 1)
	go func() {
		peer.Write(said)
		b, _ := io.ReadAll(io.LimitReader(peer, size))
		peer.Close()
		heard <- b
	}()
	say := bytes.Repeat([]byte("wire"), size/4)
	if n, err := w.Write(say); n != size || err != nil {
		t.Fatal(n, err)
	}
	got, err := io.ReadAll(w)
	if err != nil || !bytes.Equal(got, said) || !w.ended {
		t.Errorf("%d bytes, ended %v: %v", len(got), w.ended, err)
	}
	if b := <-heard; !bytes.Equal(b, say) {
		t.Errorf("the peer heard %d bytes", len(b))
	}
}

// TestWireWaits: for reading and for writing no longer than it may; not at all where
// it is eager.
func TestWireWaits(t *testing.T) {
	w, peer := wires(t)
	buf := make([]byte, 1<<20)
	w.due = time.Now().Add(10 * time.Millisecond)
	if _, err := w.Read(buf); err != os.ErrDeadlineExceeded {
		t.Errorf("reading in vain: %v", err)
	}
	w.due = time.Time{}
	w.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := w.Write(buf); n == 0 || n == len(buf) || err != os.ErrDeadlineExceeded {
		t.Errorf("writing in vain: %d, %v", n, err)
	}
	w.eager = true
	if _, err := w.Read(buf); err != errAgain {
		t.Errorf("reading eagerly: %v", err)
	}
	peer.Close()
	if _, err := w.Read(buf); err == nil || err == errAgain {
		t.Errorf("at the end: %v", err)
	}
	if _, err := w.Write(buf[:1]); err == nil {
		t.Error("nobody reads, and no error")
	}
	w.Close()
	if _, err := w.Read(buf); err == nil || err == errAgain {
		t.Errorf("after closing: %v", err)
	}
}
