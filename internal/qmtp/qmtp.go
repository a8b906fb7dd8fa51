// Package qmtp is the client of the Quick Mail Transfer Protocol: one package
// of netstrings to the server, one netstring for each recipient back
// (D. J. Bernstein, QMTP, 1997). The record of it is an smtp.Transaction, so
// that whoever judges needs to know one kind of conversation.
//
// It knows netstrings. It does not know how the connection came about; under
// QMTPS it is handed one that TLS protects.
package qmtp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"postrider/internal/smtp"
)

const (
	// maxAnswer is the longest answer for one recipient, in bytes.
	maxAnswer = 64 << 10
	// maxStream is how much of a message that can be read only once is held in
	// memory: QMTP says the length first.
	maxStream = 64 << 20
)

// Send sends one message and waits for all answers. timeout bounds each write
// and all answers together. The recipients' answers become replies 250, 450 and
// 550, for K, Z and D; the connection is closed.
func Send(ctx context.Context, conn net.Conn, env smtp.Envelope, m *smtp.Message, timeout time.Duration, tls smtp.Security) (t smtp.Transaction) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // a deadline would be set anew
	defer func() {
		if t.Fault == smtp.Dropped && ctx.Err() != nil {
			t.Fault = smtp.TimedOut
		}
	}()
	t.TLS = tls
	t.Stage = smtp.AtBody
	body, size, err := content(m)
	if err != nil {
		t.Fault, t.Detail = smtp.Unreadable, err.Error()
		return t
	}
	w := &patient{conn, timeout}
	if t.Fault = send(w, env, body, size); t.Fault != smtp.NoFault {
		return t
	}
	t.Stage = smtp.AtDot
	conn.SetReadDeadline(time.Now().Add(timeout))
	r := bufio.NewReader(conn)
	for range env.Rcpts {
		reply, err := answer(r)
		if err != nil {
			t.Fault = faultOf(err)
			return t
		}
		t.Rcpts = append(t.Rcpts, reply)
	}
	t.Stage = smtp.AtRcpt
	for _, reply := range t.Rcpts {
		if reply.Positive() {
			t.Stage, t.Reply = smtp.AtQuit, reply
			break
		}
	}
	return t
}

// content gives the message and its length.
func content(m *smtp.Message) (io.Reader, int64, error) {
	if m.Again() {
		return m.Reader(), m.Size, nil
	}
	b, err := io.ReadAll(io.LimitReader(m.Reader(), maxStream+1))
	if err == nil && len(b) > maxStream {
		err = errors.New("qmtp: message from a pipe is too long to hold")
	}
	return bytes.NewReader(b), int64(len(b)), err
}

// send writes the package: the message with LF line ends as it stands, which
// its first byte says, then sender and recipients.
func send(w io.Writer, env smtp.Envelope, body io.Reader, size int64) smtp.Fault {
	b := bufio.NewWriterSize(w, 32<<10)
	b.WriteString(strconv.FormatInt(size+1, 10))
	b.WriteString(":\n")
	src := &source{r: body}
	if n, err := io.CopyN(b, src, size); err != nil || n != size {
		if src.err != nil {
			return smtp.Unreadable
		}
		return faultOf(err)
	}
	b.WriteByte(',')
	b.Write(netstring(nil, env.Sender))
	var rcpts []byte
	for _, r := range env.Rcpts {
		rcpts = netstring(rcpts, r)
	}
	b.Write(netstring(nil, string(rcpts)))
	if err := b.Flush(); err != nil {
		return faultOf(err)
	}
	return smtp.NoFault
}

func netstring(dst []byte, s string) []byte {
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, ':')
	dst = append(dst, s...)
	return append(dst, ',')
}

var errGarbled = errors.New("qmtp: not an answer")

// answer reads one recipient's netstring.
func answer(r *bufio.Reader) (smtp.Reply, error) {
	n := 0
	for digits := 0; ; digits++ {
		c, err := r.ReadByte()
		if err != nil {
			return smtp.Reply{}, err
		}
		if c == ':' && digits > 0 {
			break
		}
		if c < '0' || c > '9' || n > maxAnswer {
			return smtp.Reply{}, errGarbled
		}
		n = n*10 + int(c-'0')
	}
	if n == 0 || n > maxAnswer {
		return smtp.Reply{}, errGarbled
	}
	text := make([]byte, n+1)
	if _, err := io.ReadFull(r, text); err != nil {
		return smtp.Reply{}, err
	}
	reply := smtp.Reply{Lines: []string{string(text[1:n])}}
	switch {
	case text[n] != ',':
		return smtp.Reply{}, errGarbled
	case text[0] == 'K':
		reply.Code = 250
	case text[0] == 'Z':
		reply.Code = 450
	case text[0] == 'D':
		reply.Code = 550
	default:
		return smtp.Reply{}, errGarbled
	}
	return reply, nil
}

func faultOf(err error) smtp.Fault {
	switch {
	case errors.Is(err, errGarbled):
		return smtp.Garbled
	case errors.Is(err, os.ErrDeadlineExceeded):
		return smtp.TimedOut
	}
	return smtp.Dropped
}

// patient gives each write its own time.
type patient struct {
	net.Conn
	timeout time.Duration
}

func (p *patient) Write(b []byte) (int, error) {
	p.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.Conn.Write(b)
}

// source tells a message that cannot be read from a server that won't take it.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil {
		s.err = err // an early end is as bad: the length has been promised
	}
	return n, err
}
