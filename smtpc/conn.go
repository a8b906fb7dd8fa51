package smtpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/smtp"
)

// defaultTimeout holds when Params.Timeout is not positive (qmail-remote(8),
// timeoutremote).
const defaultTimeout = 1200 * time.Second

// grace bounds the wait for replies that can change no verdict any more, and
// for what a server may have said before it stopped reading.
const grace = 5 * time.Second

// Conn is one conversation. Make it with New; it must be closed, by Close, by
// Quit or by a failure.
type Conn struct {
	nc  net.Conn
	in  *smtp.Reader // the listener's while it runs, else the owner's
	p   Params
	ext smtp.Extensions
	tls smtp.Security
	out []byte // what is said next; kept for its memory

	// What transactions have left behind, see reuse.go.
	sends int
	spoke time.Time     // when the last one ended, or its content
	took  time.Duration // from the end of content to the verdict on it, last time
	dirty bool          // the server still holds a transaction that we gave up
	// addressee is the last reply to RCPT: what comes out of step is the like of it.
	addressee smtp.Reply

	// The listener, see listen.go.
	listening sync.WaitGroup
	ears      chan heard
	owed      int          // replies asked for and not yet heard by the owner
	ear       atomic.Int32 // earClosed, earOpen or earStirred
	halted    atomic.Bool  // a reply came that makes further writing pointless
	flight    flight       // the one under way
	inline    bool         // it has no listener, see alone

	hurry  bool        // replies are heard only out of courtesy: wait for grace
	doubt  bool        // what the next reply answers may never have been read: see patienceBehind
	wrote  int         // bytes of the flight that were handed over
	werr   error       // the first failure to write; nothing is written after it
	over   bool        // nothing can be said or heard any more
	killed atomic.Bool // a context has closed the connection
}

// New begins a conversation on conn, which it owns from now on. It says and
// hears nothing yet.
func New(conn net.Conn, p Params) *Conn {
	if p.Timeout <= 0 {
		p.Timeout = defaultTimeout
	}
	c := &Conn{nc: conn, p: p, tls: p.TLS}
	c.in = smtp.NewReader(source{c})
	return c
}

// Ext is what the server offered in its last reply to EHLO.
func (c *Conn) Ext() smtp.Extensions { return c.ext }

// Release gives the connection away, with no deadlines on it, to whoever does
// the handshake after RequestTLS. Nothing that the server sent is lost: after
// RequestTLS nothing is buffered. Until Secured the conversation is over.
func (c *Conn) Release() net.Conn {
	nc := c.nc
	c.nc, c.over = nil, true
	if nc != nil {
		nc.SetDeadline(time.Time{})
	}
	return nc
}

// Quit says QUIT if the conversation is in step, waits for no answer, and
// closes: the verdict is in, and an answer could change nothing.
func (c *Conn) Quit() {
	if !c.over && c.owed == 0 && c.werr == nil {
		c.nc.SetWriteDeadline(time.Now().Add(min(c.p.Timeout, grace)))
		if _, err := c.nc.Write([]byte("QUIT\r\n")); err != nil {
			c.shut()
		}
	}
	c.Close()
}

// Close closes the connection without a word. It may be called twice.
func (c *Conn) Close() error {
	if c.nc == nil {
		return nil
	}
	var err error
	if !c.over {
		c.over = true
		err = c.nc.Close()
	}
	c.listening.Wait()
	return err
}

// shut closes a conversation that has failed, at once and below TLS: closing
// TLS writes, and may wait for a peer that has stopped reading.
func (c *Conn) shut() {
	c.over = true
	below(c.nc).Close()
	c.listening.Wait()
}

func below(nc net.Conn) net.Conn {
	if tls, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return tls.NetConn()
	}
	return nc
}

// watch makes the end of ctx the end of the connection, until the function it
// returns is called.
func (c *Conn) watch(ctx context.Context) (stop func() bool) {
	nc := c.nc
	return context.AfterFunc(ctx, func() {
		if nc != nil {
			c.killed.Store(true)
			below(nc).Close()
		}
	})
}

// fail closes the conversation because of err, which reading or writing gave.
func (c *Conn) fail(at smtp.Stage, err error) *smtp.Ending {
	c.shut()
	end := &smtp.Ending{Stage: at, Fault: smtp.Dropped}
	var odd *smtp.ProtocolError
	switch {
	case c.killed.Load() || isTimeout(err):
		end.Fault = smtp.TimedOut
	case errors.As(err, &odd):
		end.Fault, end.Detail = smtp.Garbled, odd.What
		end.Reply.Lines = []string{odd.Line}
	}
	return end
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// garbled closes the conversation because r is no answer to what was said.
func (c *Conn) garbled(at smtp.Stage, r smtp.Reply, what string) *smtp.Ending {
	c.shut()
	return &smtp.Ending{Stage: at, Fault: smtp.Garbled, Reply: r, Detail: what}
}

// refused is the ending by a reply that is not the wanted one: 4yz and 5yz are
// an answer, and the conversation stays in step; the rest is nonsense.
func (c *Conn) refused(at smtp.Stage, r smtp.Reply) *smtp.Ending {
	if !refusal(r) {
		return c.garbled(at, r, "a reply of the wrong class")
	}
	return &smtp.Ending{Stage: at, Reply: r}
}

func refusal(r smtp.Reply) bool { return r.Transient() || r.Permanent() }

// asError keeps a nil *Ending from becoming an error that is not nil.
func asError(end *smtp.Ending) error {
	if end == nil {
		return nil
	}
	return end
}
