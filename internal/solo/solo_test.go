package solo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair is a connection of Dial's and the other end of it.
func pair(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	c, err := Dial(ctx, netip.Addr{}, l.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c.(*Conn), peer.(*net.TCPConn)
}

func TestTalk(t *testing.T) {
	c, peer := pair(t)
	if c.Stirred() {
		t.Error("stirred before anything was said")
	}
	io.WriteString(peer, "220 hello\r\n")
	c.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != "220 hello\r\n" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if n, err := c.Write([]byte("EHLO me\r\n")); n != 9 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if n, err := io.ReadFull(peer, buf[:9]); err != nil || string(buf[:n]) != "EHLO me\r\n" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	peer.Close()
	if n, err := c.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if !c.Stirred() {
		t.Error("not stirred at the end")
	}
}

// TestLong: more than any buffer holds, against a reader that takes its time.
func TestLong(t *testing.T) {
	c, peer := pair(t)
	const size = 16 << 20
	got := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, peer)
		got <- n
	}()
	if n, err := c.Write(make([]byte, size)); n != size || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	c.Close()
	if n := <-got; n != size {
		t.Errorf("%d bytes arrived", n)
	}
}

// TestOffer: what goes without waiting, and what has become of the connection.
func TestOffer(t *testing.T) {
	c, peer := pair(t)
	n, err := c.Offer([]byte("EHLO me\r\n"))
	if n != 9 || err != nil {
		t.Errorf("offered %d, %v", n, err)
	}
	if n, err := c.Offer(make([]byte, 64<<20)); n <= 0 || n >= 64<<20 || err != nil {
		t.Errorf("offered more than goes: %d, %v", n, err)
	}
	if n, err := c.Offer(make([]byte, 64<<20)); n < 0 || err != nil {
		t.Errorf("offered more than goes again: %d, %v", n, err)
	}
	peer.SetLinger(0)
	peer.Close()
	c.Read(make([]byte, 1)) // until that is known here
	if n, err := c.Offer([]byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("to nobody: %d, %v", n, err)
	}
	c.Close()
	if n, err := c.Offer([]byte("x")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("when closed: %d, %v", n, err)
	}
}

func wantTimeout(t *testing.T, what string, err error) {
	t.Helper()
	var n net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &n) || !n.Timeout() {
		t.Errorf("%s: %v", what, err)
	}
}

func TestDeadlines(t *testing.T) {
	c, peer := pair(t)
	c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	wantTimeout(t, "a silent peer", err)
	c.SetReadDeadline(time.Unix(1, 0))
	io.WriteString(peer, "x")
	_, err = c.Read(make([]byte, 1))
	wantTimeout(t, "a deadline long past", err)

	c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	_, err = c.Write(make([]byte, 64<<20))
	wantTimeout(t, "a peer that does not read", err)
	c.SetDeadline(time.Time{})
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("without a deadline: %v", err)
	}
}

func TestErrors(t *testing.T) {
	c, peer := pair(t)
	peer.SetLinger(0)
	peer.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read from a connection that was reset: %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to a connection that was reset: %v", err)
	}
	c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read when closed: %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write when closed: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := c.Shared(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("shared when closed: %v", err)
	}
}

// TestCloseWakes: the end of a delivery's time ends its wait.
func TestCloseWakes(t *testing.T) {
	c, _ := pair(t)
	time.AfterFunc(5*time.Millisecond, func() { c.Close() })
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("read from a connection that was closed meanwhile")
	}
	if err := c.enter(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("not closed after that: %v", err)
	}
}

func TestShared(t *testing.T) {
	c, peer := pair(t)
	heir, err := c.Shared()
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan error, 1)
	go func() {
		_, err := heir.Read(make([]byte, 1))
		woken <- err
	}()
	io.WriteString(heir, "x")
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the one shared is still in use: %v", err)
	}
	c.Close()
	if err := <-woken; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing the one did not close the other: %v", err)
	}
}

func TestControl(t *testing.T) {
	c, _ := pair(t)
	sc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := sc.Control(func(fd uintptr) {
		if int(fd) != c.fd {
			t.Errorf("descriptor %d, want %d", fd, c.fd)
		}
	}); err != nil {
		t.Error(err)
	}
	c.Close()
	if sc.Control(func(uintptr) { t.Error("called with a closed connection") }) == nil {
		t.Error("no error when closed")
	}
}

func TestDialErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	past, stop := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer stop()
	for _, tt := range []struct {
		why  string
		ctx  context.Context
		from string
		to   netip.AddrPort
		want error
	}{
		{"nobody listens", t.Context(), "", nobody, syscall.ECONNREFUSED},
		{"a source address that is not ours", t.Context(), "198.18.0.1", nobody, syscall.EADDRNOTAVAIL},
		{"a source address of the other family", t.Context(), "::1", nobody, syscall.EAFNOSUPPORT},
		{"no time left", past, "", nobody, context.DeadlineExceeded},
	} {
		from, _ := netip.ParseAddr(tt.from)
		_, err := Dial(tt.ctx, from, tt.to)
		var op *net.OpError
		if !errors.Is(err, tt.want) || !errors.As(err, &op) || op.Op != "dial" {
			t.Errorf("%s: %v, want %v", tt.why, err, tt.want)
		}
	}
}

// TestNotItself: the kernel may connect a socket to itself; that is nobody.
func TestNotItself(t *testing.T) {
	c, _ := pair(t)
	c.peer = addrPortOf(t, c)
	if err := c.notItself(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connected to itself: %v", err)
	}
}

func addrPortOf(t *testing.T, c *Conn) netip.AddrPort {
	t.Helper()
	sa, err := syscall.Getsockname(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	a := sa.(*syscall.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
}

// TestDialIPv6: an interface that stands beside an address, in control/domainips,
// matters to link-local addresses alone; and it may be a number.
func TestDialIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 here: %v", err)
		return
	}
	defer l.Close()
	to := l.Addr().(*net.TCPAddr).AddrPort()
	for _, from := range []string{"::1", "::1%lo", "::1%1", "::1%nosuch0"} {
		c, err := Dial(t.Context(), netip.MustParseAddr(from), to)
		if err != nil {
			t.Errorf("from %s: %v", from, err)
			continue
		}
		if c.RemoteAddr().String() != to.String() || c.LocalAddr().(*net.TCPAddr).IP.String() != "::1" {
			t.Errorf("%v to %v", c.LocalAddr(), c.RemoteAddr())
		}
		c.Close()
	}
	_, err = Dial(t.Context(), netip.MustParseAddr("fe80::1%nosuch0"), to)
	var call *os.SyscallError
	if !errors.As(err, &call) || call.Syscall != "bind" {
		t.Errorf("from an interface that is not there: %v", err)
	}
}
