package inbound

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

// MaxLine bounds a command line, its end counted. RFC 5321 §4.5.3.1.4 asks for
// 512 bytes, RFC 4954 §4 for 12288 with AUTH; who sends more is no mail client.
const MaxLine = 64 << 10

// How long a client may take, however busy it seems to be: for a command line
// from its first byte, and for all that it does. After that reading fails with
// os.ErrDeadlineExceeded. RFC 5321 §4.5.3.2.7 asks for five minutes a command;
// a day is what qmail-queue(8) gives a message.
const (
	maxLineTime    = 20 * time.Minute
	maxSessionTime = 24 * time.Hour
)

// ErrLineTooLong is a command line of more than MaxLine bytes. The connection
// is of no more use: where the next command begins is unknown.
var ErrLineTooLong = errors.New("inbound: command line too long")

// Conn is a client, heard and answered through buffers. What was said is sent
// before anything waits for the client (RFC 2920 §3.2: replies may be gathered,
// and are never withheld while the server waits). A Conn that has failed stays
// failed. Make it with NewConn.
type Conn struct {
	wire io.ReadWriter
	in   []byte // what has come and was not yet read
	buf  []byte // in's storage
	out  []byte
	err  error // of reading, for good
	werr error // of writing, for good

	bare  bool      // the last Line ended in LF alone
	until time.Time // the end of the client's time
}

// NewConn returns a Conn over wire, whose Read and Write wait no longer than is
// decent and then return an error that wraps os.ErrDeadlineExceeded.
func NewConn(wire io.ReadWriter) *Conn {
	return &Conn{wire: wire, buf: make([]byte, 4096), until: time.Now().Add(maxSessionTime)}
}

// Say puts one line, made of parts, behind what is to be sent, and ends it.
func (c *Conn) Say(parts ...string) {
	for _, p := range parts {
		c.out = append(c.out, p...)
	}
	c.out = append(c.out, "\r\n"...)
	if len(c.out) >= 32<<10 {
		c.Flush() // its error is kept
	}
}

// Flush sends what was said.
func (c *Conn) Flush() error {
	if c.werr == nil && len(c.out) > 0 {
		_, c.werr = c.wire.Write(c.out)
	}
	c.out = c.out[:0]
	return c.werr
}

// fill waits for bytes when there are none.
func (c *Conn) fill() error {
	if len(c.in) > 0 {
		return nil
	}
	if c.err != nil {
		return c.err
	}
	if c.err = c.Flush(); c.err != nil {
		return c.err
	}
	if time.Now().After(c.until) {
		c.err = os.ErrDeadlineExceeded
		return c.err
	}
	n, err := c.wire.Read(c.buf)
	c.in = c.buf[:n]
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	c.err = err
	return err
}

// Read gives bytes as they came, for content.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.fill(); err != nil {
		return 0, err
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

// Next gives the bytes that have come and were not read, at least one, waiting
// for them if need be. They are good until the next use of c; Used tells how
// many of them were taken.
func (c *Conn) Next() ([]byte, error) {
	err := c.fill()
	return c.in, err
}

// Used takes n bytes of what Next gave.
func (c *Conn) Used(n int) {
	c.in = c.in[n:]
}

// Line reads to the next LF and returns what stands before it without one CR.
// Its error is io.EOF also where a line had begun: it was never a command.
func (c *Conn) Line() (string, error) {
	var line []byte
	var begun time.Time
	for {
		if err := c.fill(); err != nil {
			return "", err
		}
		if line == nil {
			begun = time.Now()
		} else if time.Since(begun) > maxLineTime {
			c.err, c.in = os.ErrDeadlineExceeded, nil
			return "", c.err
		}
		i := bytes.IndexByte(c.in, '\n')
		part := c.in[:i+1]
		if i < 0 {
			part = c.in
		}
		if len(line)+len(part) > MaxLine {
			c.err = ErrLineTooLong
			c.in = nil
			return "", c.err
		}
		line = append(line, part...)
		c.in = c.in[len(part):]
		if i >= 0 {
			whole, crlf := bytes.CutSuffix(line[:len(line)-1], []byte{'\r'})
			c.bare = !crlf
			return string(whole), nil
		}
	}
}

// BareLF reports whether what the last Line returned had ended in LF without CR:
// then the client is no mail server, and may end other lines so, too.
func (c *Conn) BareLF() bool { return c.bare }

// Buffered is how many bytes have come that nobody has read yet: what a client
// has sent without waiting for a reply.
func (c *Conn) Buffered() int {
	return len(c.in)
}

// Change goes on over another wire, that of TLS. What was heard on the old one
// and not read is forgotten: whoever sent it had no key (RFC 3207 §4.2). What
// was said must have been flushed.
func (c *Conn) Change(wire io.ReadWriter) {
	c.wire = wire
	c.in = nil
}
