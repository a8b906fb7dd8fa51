package inbound

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/fdconn"
)

// Descriptors is the client on a pair of descriptors, 0 and 1 as a UCSPI server
// gives them. They stay in blocking mode: that is a property of the socket, not
// of the descriptor, so that a program started on them later would have it too,
// and stock's programs do not know EAGAIN. Hence poll(2), and no goroutines. In
// and Out are two numbers, for TLS may put a pipe on each.
type Descriptors struct {
	In, Out  int
	Patience time.Duration // of each Read and Write; 0 is none: it waits for ever
}

// await waits until fd is ready, or gone.
func (d *Descriptors) await(fd int, events int16) error {
	deadline := time.Now().Add(d.Patience)
	for {
		wait := -1
		if d.Patience > 0 {
			wait = int(min(max(time.Until(deadline).Milliseconds()+1, 0), 1<<30))
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, wait)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if d.Patience > 0 && !time.Now().Before(deadline) {
			return os.ErrDeadlineExceeded
		}
	}
}

// Read implements io.Reader.
func (d *Descriptors) Read(p []byte) (int, error) {
	for {
		if err := d.await(d.In, unix.POLLIN); err != nil {
			return 0, err
		}
		n, err := unix.Read(d.In, p)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// pipeBuf is what a pipe that poll(2) calls writable takes at once.
const pipeBuf = 4096

// Write implements io.Writer.
func (d *Descriptors) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if err := d.await(d.Out, unix.POLLOUT); err != nil {
			return done, err
		}
		n, err := d.some(p[done:])
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return done, os.NewSyscallError("write", err)
		}
		done += n
	}
	return done, nil
}

// some writes what can be written without waiting.
func (d *Descriptors) some(p []byte) (int, error) {
	n, err := unix.SendmsgN(d.Out, p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if err == unix.ENOTSOCK {
		return unix.Write(d.Out, p[:min(len(p), pipeBuf)])
	}
	return n, err
}

// Helper is the UCSPI-TLS helper that a server was started under.
type Helper struct {
	FDs  fdconn.TLSFDs
	Wire *Descriptors  // where cleartext goes on: the helper's pipes are moved there
	Time time.Duration // that the handshake may take
}

// FindHelper returns the helper that env tells of, for a session on wire, and
// removes nothing from env: a UCSPI-TLS program further on may need it. Without
// one it is nil.
func FindHelper(env Env, wire *Descriptors, patience time.Duration) *Helper {
	fds, ok := fdconn.Offered(env.Get)
	if !ok {
		return nil
	}
	return &Helper{FDs: fds, Wire: wire, Time: patience}
}

// ErrNoHelper is a TLS that was promised (UCSPITLS) by whoever started us
// without a helper.
var ErrNoHelper = errors.New("inbound: no UCSPI-TLS helper: SSLCTLFD, SSLREADFD and SSLWRITEFD are not set")

// Start begins TLS on behalf of c, which has said so and flushed. After it c
// speaks through the helper. The records are for Env.Apply. After an error the
// client can be told nothing any more, neither in clear nor otherwise.
func (h *Helper) Start(c *Conn) (fdconn.Records, error) {
	if h == nil {
		return nil, ErrNoHelper
	}
	records, err := fdconn.Ask(h.FDs, h.Time)
	if err != nil {
		return nil, err
	}
	for _, move := range [2][2]int{{h.FDs.Read, h.Wire.In}, {h.FDs.Write, h.Wire.Out}} {
		if move[0] == move[1] {
			continue
		}
		if err := unix.Dup3(move[0], move[1], 0); err != nil {
			return nil, fmt.Errorf("moving descriptor %d to %d: %w", move[0], move[1], err)
		}
	}
	for _, fd := range [2]int{h.FDs.Read, h.FDs.Write} {
		if fd != h.Wire.In && fd != h.Wire.Out && fd != h.FDs.Ctl {
			unix.Close(fd) // the second time, of one socket, is EBADF and no matter
		}
	}
	c.Change(h.Wire)
	return records, nil
}
