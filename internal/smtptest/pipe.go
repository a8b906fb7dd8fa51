package smtptest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Pipe is a connection in memory, its two ends. Unlike net.Pipe it has a
// buffer of size bytes in each direction, as a socket has: a write returns
// before the other side reads, and blocks when the buffer is full (a peer that
// stops reading). Deadlines work as on sockets, also when moved under a Read or
// Write that is waiting, and under testing/synctest.
func Pipe(size int) (client, server *End) {
	up, down := newLane(size), newLane(size)
	client = &End{in: down, out: up, name: "client"}
	server = &End{in: up, out: down, name: "server"}
	return client, server
}

// End is one end of a Pipe. Like a socket it may be read, written and closed
// from different goroutines.
type End struct {
	in, out *lane
	name    addr
}

type addr string

func (addr) Network() string  { return "pipe" }
func (a addr) String() string { return string(a) }

func (e *End) LocalAddr() net.Addr  { return e.name }
func (e *End) RemoteAddr() net.Addr { return addr("peer of " + e.name) }

func (e *End) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *End) Write(p []byte) (int, error) { return e.out.write(p) }

func (e *End) SetReadDeadline(t time.Time) error  { e.in.readBy.set(e.in, t); return nil }
func (e *End) SetWriteDeadline(t time.Time) error { e.out.writeBy.set(e.out, t); return nil }

func (e *End) SetDeadline(t time.Time) error {
	e.in.readBy.set(e.in, t)
	e.out.writeBy.set(e.out, t)
	return nil
}

// Stirred reports whether Read would return at once.
func (e *End) Stirred() bool {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return len(e.in.buf) > 0 || e.in.sealed != nil || e.in.deaf != nil || e.in.readBy.passed()
}

// Offer writes as much as there is room for.
func (e *End) Offer(p []byte) (int, error) {
	e.out.mu.Lock()
	room := e.out.size - len(e.out.buf)
	e.out.mu.Unlock()
	return e.out.write(p[:min(room, len(p))])
}

// Close is a FIN: the peer reads what was written, then io.EOF, and cannot
// write any more.
func (e *End) Close() error {
	e.out.end(&e.out.sealed, io.EOF)
	e.in.end(&e.in.deaf, syscall.EPIPE)
	e.in.hangUp()
	e.out.hangUp()
	return nil
}

// CloseWrite is a FIN of this direction alone.
func (e *End) CloseWrite() error {
	e.out.end(&e.out.sealed, io.EOF)
	return nil
}

// Reset is a RST: what is unread is lost on both sides.
func (e *End) Reset() error {
	for _, l := range []*lane{e.in, e.out} {
		l.mu.Lock()
		l.buf = nil
		l.mu.Unlock()
		l.end(&l.sealed, syscall.ECONNRESET)
		l.end(&l.deaf, syscall.ECONNRESET)
	}
	return nil
}

// Segment makes every Read of this end return at most n bytes, as if the peer's
// bytes came in packets of n; 0 is no limit.
func (e *End) Segment(n int) {
	e.in.mu.Lock()
	e.in.segment = n
	e.in.mu.Unlock()
}

// lane is one direction. mu guards all of it; moved is signalled at each change.
type lane struct {
	mu      sync.Mutex
	moved   *sync.Cond
	buf     []byte
	size    int
	segment int
	sealed  error // what a reader gets after the last byte: the writer is gone
	deaf    error // what a writer gets: the reader is gone
	readBy  deadline
	writeBy deadline
}

func newLane(size int) *lane {
	l := &lane{size: size}
	l.moved = sync.NewCond(&l.mu)
	return l
}

func (l *lane) read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.deaf == syscall.EPIPE: // this side closed it
			return 0, net.ErrClosed
		case l.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(l.buf) > 0 && len(p) > 0:
			if l.segment > 0 {
				p = p[:min(len(p), l.segment)]
			}
			n := copy(p, l.buf)
			l.buf = append(l.buf[:0], l.buf[n:]...)
			l.moved.Broadcast()
			return n, nil
		case l.sealed != nil:
			return 0, l.sealed
		case len(p) == 0:
			return 0, nil
		}
		l.moved.Wait()
	}
}

func (l *lane) write(p []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.sealed == io.EOF: // this side closed it
			return n, net.ErrClosed
		case l.deaf != nil:
			return n, l.deaf
		case len(p) == 0:
			return n, nil
		case l.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		}
		if room := min(l.size-len(l.buf), len(p)); room > 0 {
			l.buf = append(l.buf, p[:room]...)
			p, n = p[room:], n+room
			l.moved.Broadcast()
			continue
		}
		l.moved.Wait()
	}
}

// end files the first reason why a direction has ended.
func (l *lane) end(why *error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *why == nil {
		*why = err
	}
	l.moved.Broadcast()
}

// hangUp stops the clocks of a closed direction, so that no timer outlives it.
func (l *lane) hangUp() {
	l.readBy.set(l, time.Time{})
	l.writeBy.set(l, time.Time{})
}

// deadline is a moment, and the timer that wakes who waits for it.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(l *lane, t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d.at = t
	if d.timer != nil {
		d.timer.Stop()
	}
	if !t.IsZero() && !d.passed() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.moved.Broadcast()
		})
	}
	l.moved.Broadcast()
}
