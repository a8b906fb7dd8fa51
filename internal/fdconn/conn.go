package fdconn

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Conn is one connection on one or two descriptors. It is a net.Conn; reading
// and writing may go on at the same time in two goroutines.
type Conn struct {
	r, w *os.File // the same File when one descriptor serves both ways
	ctl  *os.File // SSLCTLFD, kept open as long as the connection; nil without UCSPI-TLS
}

// New makes a connection that reads from descriptor r and writes to w; they may
// be equal. Both belong to the Conn from now on, are set non-blocking and
// close-on-exec, and have deadlines when they are sockets, pipes or terminals
// (for others SetDeadline says os.ErrNoDeadline).
//
// Descriptors 0 to 2 are duplicated first: a broken pipe on 1 would be a deadly
// SIGPIPE, and os.Stdin may be known to the poller already. The originals stay
// open and should be left alone.
func New(r, w int) (*Conn, error) {
	rf, err := open(r)
	if err != nil {
		return nil, err
	}
	if r == w {
		return &Conn{r: rf, w: rf}, nil
	}
	wf, err := open(w)
	if err != nil {
		rf.Close()
		return nil, err
	}
	if sameSocket(rf, wf) { // as tcpclient gives it; the poller wakes us once, not twice
		wf.Close()
		wf = rf
	}
	return &Conn{r: rf, w: wf}, nil
}

func sameSocket(a, b *os.File) bool {
	as, aerr := a.Stat()
	bs, berr := b.Stat()
	return aerr == nil && berr == nil && as.Mode()&fs.ModeSocket != 0 && os.SameFile(as, bs)
}

func open(fd int) (*os.File, error) {
	name := "descriptor " + strconv.Itoa(fd)
	if fd < 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EBADF}
	}
	if fd <= 2 {
		n, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 3)
		if e != 0 {
			return nil, &fs.PathError{Op: "dup", Path: name, Err: e}
		}
		fd = int(n)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name), nil
}

// Read, like Write, returns a *net.OpError for anything but the end, so that a
// deadline is a net.Error with Timeout, as on a socket of package net.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	return n, asNet("read", err)
}

func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	return n, asNet("write", err)
}

func asNet(op string, err error) error {
	var pe *fs.PathError
	if !errors.As(err, &pe) {
		return err // nil, io.EOF
	}
	if pe.Err == fs.ErrClosed {
		return &net.OpError{Op: op, Net: "fd", Err: net.ErrClosed}
	}
	return &net.OpError{Op: op, Net: "fd", Err: pe.Err}
}

// CloseWrite ends what we send: the peer reads an end of file, and we can read on.
func (c *Conn) CloseWrite() error {
	if err := shutdown(c.w, syscall.SHUT_WR); err != syscall.ENOTSOCK {
		return err
	}
	if c.r == c.w {
		return nil // a terminal, say: there is no half of it to close
	}
	return c.w.Close()
}

// CloseRead ends what we hear: a peer that goes on writing into a pipe gets EPIPE.
func (c *Conn) CloseRead() error {
	if err := shutdown(c.r, syscall.SHUT_RD); err != syscall.ENOTSOCK {
		return err
	}
	if c.r == c.w {
		return nil
	}
	return c.r.Close()
}

func shutdown(f *os.File, how int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = syscall.Shutdown(int(fd), how) }); err != nil {
		return err
	}
	if serr == syscall.ENOTCONN {
		return nil // the peer was quicker
	}
	return serr
}

// Close closes both descriptors, and wakes who waits in Read or Write.
func (c *Conn) Close() error {
	err := c.w.Close()
	if c.r != c.w {
		c.r.Close() // closed before by CloseRead, perhaps: no error of ours
	}
	if c.ctl != nil {
		c.ctl.Close()
	}
	return err
}

func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.r.SetDeadline(t), c.w.SetDeadline(t))
}
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.r.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.w.SetWriteDeadline(t) }

func (c *Conn) LocalAddr() net.Addr  { return addr{} }
func (c *Conn) RemoteAddr() net.Addr { return addr{} }

// addr says that we do not know: UCSPI gives addresses in the environment.
type addr struct{}

func (addr) Network() string { return "fd" }
func (addr) String() string  { return "descriptors" }
