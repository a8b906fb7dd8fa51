package main

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wire is the network as TLS reads and writes it, in one goroutine: by poll(2),
// which costs a process that lives for one connection less than the runtime's own
// event queue does. It is a net.Conn.
type wire struct {
	in, out int       // closed: they are closed
	due     time.Time // of the handshake; zero is never
	wdue    time.Time // of the last word; zero is never
	eager   bool      // Read does not wait: it fails by errAgain
	ended   bool      // Read has come to the end of the stream
	early   []byte    // what came while Write could not go on
	broken  error     // what came behind that, io.EOF or an error
}

// closed stands in a descriptor's place when there is none.
const closed = -1

// maxEarly is how much is kept of what comes while the peer does not read: a peer
// that waits for us to read its answers first gets so far (RFC 2920 §3.1).
const maxEarly = 1 << 20

// again says that Read would have to wait. TLS takes it for what a deadline says,
// and can go on after it.
type again struct{}

var errAgain net.Error = again{}

func (again) Error() string   { return "nothing to read yet" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// newWire takes both descriptors over; they may be the same. Of 0 to 2 it takes
// copies, which nothing else can replace.
func newWire(in, out int) (*wire, error) {
	w := &wire{in: closed, out: closed}
	for i, fd := range []int{in, out} {
		if fd >= 0 && fd <= 2 {
			n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				return nil, os.NewSyscallError("fcntl", err)
			}
			fd = n
		}
		if err := syscall.SetNonblock(fd, true); err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		syscall.CloseOnExec(fd)
		*[]*int{&w.in, &w.out}[i] = fd
	}
	return w, nil
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	for {
		if w.broken != nil {
			w.ended = w.ended || w.broken == io.EOF
			return 0, w.broken
		}
		// Who waits for an answer waits first.
		if !w.eager {
			if _, err := await(w.due, unix.PollFd{Fd: int32(w.in), Events: unix.POLLIN}); err != nil {
				return 0, err
			}
		}
		if n := w.take(p); n > 0 {
			return n, nil
		}
		if w.eager && w.broken == nil {
			return 0, errAgain
		}
	}
}

// take reads what is there, and notes the end.
func (w *wire) take(p []byte) int {
	n, err := syscall.Read(w.in, p)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0
	case err != nil:
		w.broken = &net.OpError{Op: "read", Net: "fd", Err: os.NewSyscallError("read", err)}
	case n == 0:
		w.broken = io.EOF
	}
	return max(n, 0)
}

// Write writes all of p. What comes meanwhile is kept for Read.
func (w *wire) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := syscall.Write(w.out, p[done:])
		switch {
		case err == syscall.EAGAIN:
			if err := w.wait(); err != nil {
				return done, err
			}
		case err != nil && err != syscall.EINTR:
			return done, &net.OpError{Op: "write", Net: "fd", Err: os.NewSyscallError("write", err)}
		default:
			done += max(n, 0)
		}
	}
	return done, nil
}

// wait waits until something can be written, and reads what it can until then.
func (w *wire) wait() error {
	due := w.due
	if !w.wdue.IsZero() {
		due = w.wdue
	}
	for {
		hears := unix.PollFd{Fd: closed, Events: unix.POLLIN}
		if w.broken == nil && len(w.early) < maxEarly {
			hears.Fd = int32(w.in)
		}
		ready, err := await(due, unix.PollFd{Fd: int32(w.out), Events: unix.POLLOUT}, hears)
		if err != nil {
			return err
		}
		if ready[1] {
			var buf [16 << 10]byte
			w.early = append(w.early, buf[:w.take(buf[:])]...)
		}
		if ready[0] {
			return nil
		}
	}
}

// await waits until one of some descriptors is ready, or until due; zero is never.
func await(due time.Time, fds ...unix.PollFd) (ready [3]bool, err error) {
	for {
		ms := -1
		if !due.IsZero() {
			if ms = int(min(time.Until(due).Milliseconds()+1, 1<<30)); ms <= 0 {
				return ready, os.ErrDeadlineExceeded
			}
		}
		n, err := unix.Poll(fds, ms)
		if err != nil && err != unix.EINTR {
			return ready, os.NewSyscallError("poll", err)
		}
		if n > 0 {
			for i := range fds {
				ready[i] = fds[i].Revents != 0
			}
			return ready, nil
		}
	}
}

// CloseWrite ends what we send: the peer reads the end of the stream, and we can
// read on.
func (w *wire) CloseWrite() error {
	err := syscall.Shutdown(w.out, syscall.SHUT_WR)
	switch {
	case err == syscall.ENOTCONN:
		return nil // the peer was quicker
	case err == syscall.ENOTSOCK && w.out != w.in:
		shut(&w.out)
		return nil
	}
	return err
}

// Close implements net.Conn.
func (w *wire) Close() error {
	if w.out == w.in {
		w.out = closed
	}
	shut(&w.in)
	shut(&w.out)
	return nil
}

// shut closes a descriptor, if there is one.
func shut(fd *int) {
	if *fd != closed {
		syscall.Close(*fd)
		*fd = closed
	}
}

// SetDeadline does nothing: the handshake's is in due, and nothing else has one.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is SetDeadline.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is what TLS bounds its last word by.
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.wdue = t
	return nil
}

// LocalAddr implements net.Conn; nobody asks.
func (w *wire) LocalAddr() net.Addr { return (*net.UnixAddr)(nil) }

// RemoteAddr is like LocalAddr.
func (w *wire) RemoteAddr() net.Addr { return (*net.UnixAddr)(nil) }
