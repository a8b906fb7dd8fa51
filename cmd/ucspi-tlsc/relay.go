package main

import (
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// chunk holds two whole TLS records (RFC 8446 §5.1).
const chunk = 32 << 10

// relay carries bytes both ways between a TLS session and the program, in one
// goroutine, as long as the program has something to say. A side that does not read
// holds up what is meant for it, and nothing else.
type relay struct {
	s        *session
	in, out  int    // pipes: what the program writes, what it reads; closed when that is over
	down     []byte // from the peer, not yet with the program
	room     []byte // for down
	complain func(error)
}

// run ends when the program has said all, or nobody hears it any more.
func (r *relay) run() {
	up := make([]byte, chunk)
	r.room = make([]byte, chunk)
	r.s.raw.eager = true
	for r.in != closed {
		r.deliver()
		peer, prog := unix.PollFd{Fd: closed, Events: unix.POLLIN}, unix.PollFd{Fd: closed, Events: unix.POLLOUT}
		switch {
		case len(r.down) > 0:
			prog.Fd = int32(r.out)
		case r.out != closed:
			peer.Fd = int32(r.s.raw.in)
		}
		ready, err := await(time.Time{}, unix.PollFd{Fd: int32(r.in), Events: unix.POLLIN}, peer, prog)
		if err != nil {
			time.Sleep(10 * time.Millisecond) // short of memory: not for ever
		}
		if ready[0] {
			r.send(up)
		}
	}
	r.s.raw.eager = false
}

// rest carries what the peer still says to a program that says no more, until one of
// them ends.
func (r *relay) rest() {
	for r.out != closed {
		r.deliver()
		if len(r.down) > 0 {
			await(time.Time{}, unix.PollFd{Fd: int32(r.out), Events: unix.POLLOUT})
		}
	}
}

// send says what the program has written.
func (r *relay) send(buf []byte) {
	n, err := syscall.Read(r.in, buf)
	switch {
	case err == syscall.EINTR || err == syscall.EAGAIN:
	case err != nil || n == 0:
		shut(&r.in)
		r.s.CloseWrite()
	default:
		if _, err := r.s.Write(buf[:n]); err != nil {
			shut(&r.in) // so the program is told that it is not heard
		}
	}
}

// deliver gives the program what the peer has said, as much as goes now.
func (r *relay) deliver() {
	for r.out != closed {
		if len(r.down) == 0 && !r.receive() {
			return
		}
		n, err := syscall.Write(r.out, r.down)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return
		case err != nil:
			r.down = nil
			shut(&r.out) // the program hears no more
		default:
			r.down = r.down[n:]
		}
	}
}

// receive reads from the peer, and reports whether there is something. The end, an
// error like an orderly one, is passed on.
func (r *relay) receive() bool {
	n, err := r.s.Read(r.room)
	r.down = r.room[:n]
	if n > 0 || err == nil || err == errAgain {
		return n > 0
	}
	if err != io.EOF {
		r.s.raw.Close() // TLS is broken: what the program still says fails
		r.complain(err)
	}
	shut(&r.out)
	return false
}
