package smtpc

import (
	"errors"
	"net"
	"runtime"
	"time"

	"postrider/internal/smtp"
)

// Whatever is said is a flight: bytes, and the number of replies they ask for.
// A listener reads exactly that many replies beside the writing, and ends. So
//
//   - a server that cannot write its replies never keeps us from writing
//     (RFC 2920 §3.1), because they are read as they come;
//   - what arrives before we have spoken is seen before we speak: a reply that
//     nobody asked for can never be taken for the answer to what follows it,
//     least of all for the acceptance of a message;
//   - a server that refuses in the middle of content is heard at once.
//
// Between flights nobody reads, and nothing is outstanding.
//
// Over a connection that can tell whether something has come (see alone), a
// small flight needs no listener: it is in the kernel's hands at once, whatever
// the server does, and its replies are read after it. That spares a process
// that lives for one delivery most of what its conversation costs. Should the
// kernel not take it all, a listener begins then.
type flight struct {
	replies int
	size    int                   // bytes that will be said; below 0: unknown
	ehlo    bool                  // the reply may be as long as one to EHLO
	halts   func(smtp.Reply) bool // after such a reply, or none, stop writing
}

// heard is what the listener passes on: a reply, or why there is none.
type heard struct {
	reply smtp.Reply
	err   error
}

// What the listener has come to, in Conn.ear.
const (
	earClosed  = iota // it has not begun to read
	earOpen           // it reads, nothing has come
	earStirred        // something has come, a whole reply or not
)

// alone is a connection for a process that does nothing else (internal/solo).
type alone interface {
	net.Conn
	// Stirred reports whether Read would return at once.
	Stirred() bool
	// Offer writes as much as goes without waiting, which may be nothing.
	Offer(p []byte) (int, error)
	// Shared gives the connection to package net, for several goroutines.
	Shared() (net.Conn, error)
}

// smallFlight is what the send buffer of nearly any system takes at once, when all
// that was sent before has been answered.
const smallFlight = 12 << 10

var errHalted = errors.New("smtpc: halted by a reply")

// source is the connection as the listener reads it.
type source struct{ *Conn }

func (s source) Read(p []byte) (int, error) {
	s.ear.CompareAndSwap(earClosed, earOpen)
	n, err := s.nc.Read(p)
	if n > 0 || err != nil {
		s.ear.Store(earStirred)
	}
	return n, err
}

// listen starts the listener for f. It ends with the last reply, at the first
// failure to read, or when the connection is closed.
func (c *Conn) listen(f flight) {
	if c.owed != 0 {
		panic("smtpc: a flight before the last one was answered")
	}
	c.flight, c.owed, c.wrote = f, f.replies, 0
	conn, ok := c.nc.(alone)
	if c.inline = ok && 0 <= f.size && f.size <= smallFlight; c.inline {
		return
	}
	if !ok || c.share(conn) {
		c.attend()
	}
}

// attend begins to listen beside the writing.
func (c *Conn) attend() {
	f := c.flight
	if cap(c.ears) < f.replies {
		c.ears = make(chan heard, f.replies) // sending never blocks
	}
	c.ear.Store(earClosed)
	c.halted.Store(false)
	c.nc.SetReadDeadline(time.Time{}) // nothing is due while we speak
	c.listening.Go(func() { c.hearken(f) })
}

// share makes the connection one that several goroutines may use. If that fails,
// nothing can be said, and hear finds the connection closed.
func (c *Conn) share(conn alone) bool {
	shared, err := conn.Shared()
	if c.inline = err != nil; c.inline {
		c.werr = err
		return false
	}
	c.nc = shared
	return true
}

// offer says what the kernel takes at once of a flight without a listener, and
// returns the rest, which has one: the server may have to be heard before it
// reads any more.
func (c *Conn) offer(b []byte) []byte {
	conn, ok := c.nc.(alone)
	if !c.inline || !ok || c.werr != nil {
		return b
	}
	n, err := conn.Offer(b)
	c.wrote += n
	if b, c.werr = b[n:], err; len(b) > 0 && err == nil && c.share(conn) {
		c.attend()
	}
	return b
}

// read reads one reply.
func (c *Conn) read(ehlo bool) (h heard) {
	if ehlo {
		h.reply, h.err = c.in.ReadEHLO()
	} else {
		h.reply, h.err = c.in.ReadReply()
	}
	return h
}

func (c *Conn) hearken(f flight) {
	for range f.replies {
		h := c.read(f.ehlo)
		c.ear.Store(earStirred) // also where an error was kept from the read before
		halts := f.halts != nil && (h.err != nil || f.halts(h.reply))
		if halts {
			c.halted.Store(true)
		}
		c.ears <- h
		if halts {
			// After halted: see write, which looks there after it has set
			// its own deadline. One of us is the last.
			c.nc.SetWriteDeadline(time.Unix(1, 0))
		}
		if h.err != nil {
			return
		}
	}
}

// early reports whether something has come in this flight already. It lets the
// listener look first; what is still on its way nobody can know.
func (c *Conn) early() bool {
	if c.inline {
		conn, ok := c.nc.(alone)
		return c.in.Buffered() > 0 || !ok || conn.Stirred()
	}
	for c.ear.Load() == earClosed {
		runtime.Gosched()
	}
	runtime.Gosched()
	return c.ear.Load() == earStirred
}

// hear waits for the next reply of the flight, which has the whole time-out to
// come in. Where none is outstanding after it, nothing more may have come: then
// the reply is returned together with an Ending.
func (c *Conn) hear(at smtp.Stage) (smtp.Reply, *smtp.Ending) {
	patience := c.p.Timeout
	if c.hurry || c.werr != nil {
		patience = min(patience, grace)
	}
	if c.doubt {
		patience, c.doubt = min(patience, patienceBehind), false
	}
	c.nc.SetReadDeadline(time.Now().Add(patience))
	var h heard
	if c.inline {
		h = c.read(c.flight.ehlo)
	} else {
		h = <-c.ears
	}
	c.owed--
	if h.err != nil {
		if c.werr != nil && isTimeout(h.err) {
			h.err = c.werr
		}
		return smtp.Reply{}, c.fail(at, h.err)
	}
	if c.owed > 0 {
		return h.reply, nil
	}
	c.listening.Wait()
	if c.in.Buffered() > 0 {
		return h.reply, c.garbled(at, h.reply, "more replies than commands")
	}
	if c.werr != nil && !refusal(h.reply) {
		return h.reply, c.fail(at, c.werr) // it answers what was not wholly said
	}
	return h.reply, nil
}

// mute returns how the conversation ended if something came before we spoke. A
// server may say 421 at any time (RFC 5321 §3.8).
func (c *Conn) mute(at smtp.Stage) *smtp.Ending {
	if !c.early() {
		return nil
	}
	c.hurry = true
	r, end := c.hear(at)
	switch {
	case r.Code == 421:
		c.shut()
		return &smtp.Ending{Stage: at, Reply: r}
	case end != nil:
		return end
	}
	return c.garbled(at, r, "a reply that nobody asked for")
}

// pieceSize is about how much must be handed over within one time-out.
const pieceSize = 32 << 10

// write says b, in pieces that each have the whole time-out. The last one is
// never shorter than the others: see content. After a failure it says nothing
// more.
func (c *Conn) write(b []byte) error {
	b = c.offer(b)
	for len(b) > 0 && c.werr == nil {
		piece := b
		if len(b) >= 2*pieceSize {
			piece = b[:pieceSize]
		}
		c.nc.SetWriteDeadline(time.Now().Add(c.p.Timeout))
		if c.halted.Load() {
			c.werr = errHalted
			break
		}
		var n int
		n, c.werr = c.nc.Write(piece)
		c.wrote += n
		b = b[len(piece):]
	}
	return c.werr
}

// ask says one command, without its line end, and hears its reply.
func (c *Conn) ask(at smtp.Stage, command string) (smtp.Reply, *smtp.Ending) {
	c.listen(flight{replies: 1, size: len(command), ehlo: at == smtp.AtEHLO})
	if end := c.mute(at); end != nil {
		return smtp.Reply{}, end
	}
	c.out = append(append(c.out[:0], command...), '\r', '\n')
	c.write(c.out)
	return c.hear(at)
}
