package authup

import (
	"bytes"
	"time"

	"golang.org/x/sys/unix"

	"postrider/inbound"
)

// maxDiscard is how much of a line that is too long is read for the sake of its
// end: a socket that is closed on unread bytes is reset, and the reply lost.
const maxDiscard = 2 << 20

// lines is the client as inbound.Conn's wire: no Read goes beyond a LF.
//
// The program behind checkpassword reads descriptor 0 itself, and what we had
// read ahead it would never see. AUTH and PASS should be the last of a group of
// commands (RFC 2920 §3.1; RFC 4954 does not say otherwise), but a client that
// does not wait must not have its commands lost, nor cut in two, after which the
// rest of a message may be taken for commands; RFC 2920 §2 warns of servers that
// do. So what follows a line stays in the kernel until somebody wants it: we,
// after a refusal, or that program.
type lines struct {
	wire  *inbound.Descriptors
	until time.Time // when the line must be complete
	whole bool      // the session is over: what comes need not be kept apart
}

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	patience := l.wire.Patience
	if patience > 0 {
		l.wire.Patience = max(time.Until(l.until), time.Millisecond)
		defer func() { l.wire.Patience = patience }()
	}
	if l.whole {
		return l.wire.Read(p)
	}
	n, err := l.wire.Read(p[:1])
	if n == 0 || err != nil || p[0] == '\n' || len(p) == 1 {
		return n, err
	}
	// A socket shows what it has; of a pipe we take one byte at a time.
	more, _, err := unix.Recvfrom(l.wire.In, p[1:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err != nil || more <= 0 {
		return n, nil
	}
	if end := bytes.IndexByte(p[1:1+more], '\n'); end >= 0 {
		clear(p[1+end+1 : 1+more]) // a password, maybe, that nobody would wipe
		more = end + 1
	}
	more, _, err = unix.Recvfrom(l.wire.In, p[1:1+more], unix.MSG_DONTWAIT)
	if err != nil {
		more = 0
	}
	return n + max(more, 0), nil
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	return l.wire.Write(p)
}

// drop forgets what has come, without waiting. Once the reply to STARTTLS is
// sent the client may begin TLS; what came before that anybody on the way may
// have written (RFC 3207 §4.2). It gives up on who sends and sends: the handshake
// will fail.
func (l *lines) drop() {
	var buf [4096]byte
	for range maxDiscard / len(buf) {
		ready := []unix.PollFd{{Fd: int32(l.wire.In), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 0); n != 1 || err != nil {
			return
		}
		if n, err := unix.Read(l.wire.In, buf[:]); n <= 0 || err != nil {
			return
		}
	}
}

// line reads the next line, without its end, into the session's own memory,
// where forget wipes it. It is good until the next call.
func (s *session) line() ([]byte, error) {
	s.wire.until = time.Now().Add(s.Patience)
	s.forget()
	for {
		part, err := s.conn.Next()
		if err != nil {
			return nil, err
		}
		end := bytes.IndexByte(part, '\n')
		if end >= 0 {
			part = part[:end+1]
		}
		if len(s.heard)+len(part) > cap(s.heard) {
			s.discard()
			return nil, inbound.ErrLineTooLong
		}
		s.heard = append(s.heard, part...)
		clear(part) // the Conn's copy
		s.conn.Used(len(part))
		if end >= 0 {
			return bytes.TrimSuffix(s.heard[:len(s.heard)-1], []byte{'\r'}), nil
		}
	}
}

// discard reads to the end of a line that is too long.
func (s *session) discard() {
	s.wire.whole = true
	for left := maxDiscard; left > 0; {
		part, err := s.conn.Next()
		if err != nil || bytes.IndexByte(part, '\n') >= 0 {
			clear(part)
			return
		}
		left -= len(part)
		clear(part)
		s.conn.Used(len(part))
	}
}

// forget wipes the last line.
func (s *session) forget() {
	clear(s.heard)
	s.heard = s.heard[:0]
}
