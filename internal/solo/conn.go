package solo

import (
	"cmp"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a connected socket, or a pair of pipes, that one goroutine reads and
// writes. Only Close may be called beside that, and ends it; of pipes, when nobody
// waits for them any more. It is a net.Conn and a syscall.Conn.
type Conn struct {
	fd          int                      // of the socket, or of the pipe that we read
	out         int                      // of the pipe that we write; 0: of a socket
	share       func() (net.Conn, error) // makes package net's of pipes
	local, peer netip.AddrPort
	rdue, wdue  time.Time // zero is never

	mu     sync.Mutex
	busy   int  // who uses fd just now
	closed bool // fd is shut, and closed when nobody uses it
	gone   bool // fd is not ours any more
	heir   net.Conn
}

// Pipes is a connection by two pipes, as a UCSPI client has it from one that does
// TLS. Both descriptors belong to it from now on. share makes of them, later, what
// several goroutines may use.
func Pipes(in, out int, share func() (net.Conn, error)) (*Conn, error) {
	for _, fd := range []int{in, out} {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		unix.CloseOnExec(fd)
	}
	return &Conn{fd: in, out: out, share: share}, nil
}

// enter keeps fd from being closed, and so from becoming somebody else's.
func (c *Conn) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.gone {
		return net.ErrClosed
	}
	c.busy++
	return nil
}

func (c *Conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy--; c.busy == 0 && c.closed && !c.gone {
		c.shut()
	}
}

// shut closes descriptors; mu is held.
func (c *Conn) shut() error {
	c.gone = true
	err := unix.Close(c.fd)
	if c.out != 0 {
		err = unix.Close(c.out)
	}
	return os.NewSyscallError("close", err)
}

// Close implements net.Conn. Who waits in Read or Write is woken.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.heir != nil:
		return c.heir.Close()
	case c.closed:
		return net.ErrClosed
	}
	c.closed = true
	if c.busy > 0 {
		unix.Shutdown(c.fd, unix.SHUT_RDWR) // close(2) would wake nobody
		return nil
	}
	return c.shut()
}

// wait until fd is ready for events, or in trouble, but not beyond due.
func wait(fd int, events int16, due time.Time) error {
	for {
		ms := -1
		if !due.IsZero() {
			left := time.Until(due)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			ms = int(min(left.Milliseconds()+1, 1<<30))
		}
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(fds[:], ms)
		switch {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return os.NewSyscallError("poll", err)
		}
	}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.enter(); err != nil {
		return 0, c.failed("read", err)
	}
	defer c.leave()
	for {
		// Whoever reads waits for an answer, mostly: so wait first.
		if err := wait(c.fd, unix.POLLIN, c.rdue); err != nil {
			return 0, c.failed("read", err)
		}
		n, err := unix.Read(c.fd, p)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil:
			return 0, c.failed("read", os.NewSyscallError("read", err))
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Offer writes as much as goes without waiting, which may be nothing.
func (c *Conn) Offer(p []byte) (int, error) {
	if err := c.enter(); err != nil {
		return 0, c.failed("write", err)
	}
	defer c.leave()
	n, err := c.push(p)
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, c.failed("write", os.NewSyscallError("write", err))
	}
	return n, nil
}

// push writes what goes; the error is a syscall.Errno.
func (c *Conn) push(p []byte) (int, error) {
	if c.out != 0 {
		return unix.Write(c.out, p)
	}
	return unix.SendmsgN(c.fd, p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// Write implements net.Conn. A peer that is gone is an error, never a signal.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.enter(); err != nil {
		return 0, c.failed("write", err)
	}
	defer c.leave()
	done := 0
	for {
		if !c.wdue.IsZero() && !time.Now().Before(c.wdue) {
			return done, c.failed("write", os.ErrDeadlineExceeded)
		}
		n, err := c.push(p[done:])
		if err == nil {
			if done += n; done >= len(p) {
				return done, nil
			}
		}
		if err == nil || err == unix.EAGAIN {
			err = wait(cmp.Or(c.out, c.fd), unix.POLLOUT, c.wdue)
		} else if err == unix.EINTR {
			err = nil
		} else {
			err = os.NewSyscallError("write", err)
		}
		if err != nil {
			return done, c.failed("write", err)
		}
	}
}

// Stirred reports whether Read has something to say at once: bytes, the end, or
// an error.
func (c *Conn) Stirred() bool {
	if c.enter() != nil {
		return true
	}
	defer c.leave()
	fds := [1]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds[:], 0)
	return n > 0
}

// Shared makes c a connection of package net, which any number of goroutines may
// use. c is of no use after it, but for Close, which closes the other; it is so
// too after an error.
func (c *Conn) Shared() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.gone {
		return nil, c.failed("dup", net.ErrClosed)
	}
	c.gone = true
	if c.share == nil {
		c.share = c.ofSocket
	}
	heir, err := c.share()
	if err != nil {
		c.closed = true
		return nil, err
	}
	heir.SetReadDeadline(c.rdue)
	heir.SetWriteDeadline(c.wdue)
	c.heir = heir
	return heir, nil
}

func (c *Conn) ofSocket() (net.Conn, error) {
	f := os.NewFile(uintptr(c.fd), "socket")
	defer f.Close()
	return net.FileConn(f)
}

func (c *Conn) failed(op string, err error) error {
	network := "tcp"
	if c.out != 0 {
		network = "pipe"
	}
	return &net.OpError{Op: op, Net: network, Source: tcp(c.local), Addr: tcp(c.peer), Err: err}
}

func tcp(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(a)
}

// LocalAddr is nil where nobody has asked for a source address.
func (c *Conn) LocalAddr() net.Addr { return tcp(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return tcp(c.peer) }

// SetDeadline implements net.Conn, for reads and writes that begin later.
func (c *Conn) SetDeadline(t time.Time) error {
	c.rdue, c.wdue = t, t
	return nil
}

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.rdue = t
	return nil
}

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.wdue = t
	return nil
}

// SyscallConn implements syscall.Conn; only Control works.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return raw{c}, nil }

type raw struct{ *Conn }

func (r raw) Control(f func(fd uintptr)) error {
	if err := r.enter(); err != nil {
		return r.failed("raw-control", err)
	}
	defer r.leave()
	f(uintptr(r.fd))
	return nil
}

func (r raw) Read(func(uintptr) bool) error  { return r.failed("raw-read", syscall.ENOTSUP) }
func (r raw) Write(func(uintptr) bool) error { return r.failed("raw-write", syscall.ENOTSUP) }
