package engine

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/smtptest"
)

// cut is how the first connection of a world ends, or what its server says
// instead of what it should.
type cut struct {
	upAt   int  // bytes of the client's until its writes fail; below 0: they never do
	eaten  bool // then they do not fail, but are lost
	downAt int  // bytes of the server's until the client's reads end; below 0: never
	reset  bool // they end with RST
	alone  bool // the connection is of smtpc's kind that needs no listener
	odd    int  // the reply, counted from 1, that is another; 0: none
	answer string
	leaves bool // the server, with it
}

var uncut = cut{upAt: -1, downAt: -1}

// severed is the client's end of a connection that ends as a cut says.
type severed struct {
	*smtptest.End
	cut
	mu       sync.Mutex
	up, down int // under mu: bytes so far
}

func (s *severed) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := len(p)
	if s.upAt >= 0 {
		room = min(len(p), s.upAt-s.up)
	}
	n, err := s.End.Write(p[:room])
	s.up += n
	if room == len(p) || err != nil {
		return n, err
	}
	s.CloseWrite()
	if s.eaten {
		return len(p), nil
	}
	return n, syscall.EPIPE
}

func (s *severed) Read(p []byte) (int, error) {
	if s.downAt >= 0 {
		s.mu.Lock()
		p = p[:min(len(p), s.downAt-s.down)]
		s.mu.Unlock()
	}
	if len(p) == 0 && s.reset {
		s.Reset()
		return 0, syscall.ECONNRESET
	}
	if len(p) == 0 {
		return 0, io.EOF
	}
	n, err := s.End.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down += n
	return n, err
}

// solitary is severed as smtpc likes it best.
type solitary struct{ *severed }

func (s solitary) Offer(p []byte) (int, error)   { return s.Write(p) }
func (s solitary) Shared() (net.Conn, error)     { return struct{ net.Conn }{s.severed}, nil }
func (s solitary) SetDeadline(t time.Time) error { return s.End.SetDeadline(t) }

func (s solitary) Stirred() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.End.Stirred() || s.downAt == s.down
}

// honest is a server with a ledger, which says what it does except where a cut
// has it say something else: a refusal it means, whatever else it does not.
type honest struct {
	cut
	t        *testing.T
	tls      *tls.Config // nil: no STARTTLS
	chunking bool
	forgets  bool // what comes in one piece with content, behind its end

	mu    sync.Mutex
	taken map[string]int // under mu: by recipient
}

// visit is one connection.
type visit struct {
	*honest
	conn  net.Conn
	r     *bufio.Reader
	first bool // the cut is for this one
	said  int
	rcpts []string
	open  bool
}

// say says a reply, and reports whether it was meant, and whether to go on.
func (v *visit) say(wanted string) (ok, on bool) {
	v.said++
	leaves, ok := false, true
	if v.first && v.said == v.odd {
		leaves = v.leaves
		ok = v.answer == "" || v.answer[0] != '4' && v.answer[0] != '5'
		wanted = v.answer
	}
	if wanted != "" {
		if _, err := io.WriteString(v.conn, wanted+"\r\n"); err != nil {
			return ok, false
		}
	}
	return ok, !leaves
}

func (v *visit) run() {
	defer func() { v.conn.Close() }()
	v.r = bufio.NewReader(v.conn)
	_, on := v.say("220 honest")
	for on {
		line, err := v.r.ReadString('\n')
		if err != nil {
			return
		}
		on = v.command(strings.TrimRight(line, "\r\n"))
	}
}

// command carries one out and reports whether to go on.
func (v *visit) command(line string) (on bool) {
	ok := false
	verb, arg, _ := strings.Cut(line, ":")
	switch {
	case line == "EHLO mail.example":
		offers := "250-honest\r\n250-PIPELINING\r\n"
		if _, secure := v.conn.(*tls.Conn); v.tls != nil && !secure {
			offers += "250-STARTTLS\r\n"
		}
		if v.chunking {
			offers += "250-CHUNKING\r\n"
		}
		_, on = v.say(offers + "250 8BITMIME")
	case line == "HELO mail.example":
		_, on = v.say("250 honest")
	case line == "STARTTLS":
		if ok, on = v.say("220 go"); ok && on {
			v.conn = tls.Server(v.conn, v.tls)
			v.r = bufio.NewReader(v.conn)
		}
	case verb == "MAIL FROM":
		if v.open {
			v.t.Errorf("MAIL inside a transaction")
		}
		v.rcpts = nil
		v.open, on = v.say("250 ok")
	case verb == "RCPT TO":
		if !v.open {
			_, on = v.say("503 no MAIL")
			break
		}
		if ok, on = v.say("250 ok"); ok {
			v.rcpts = append(v.rcpts, strings.Trim(arg, "<>"))
		}
	case line == "DATA" && len(v.rcpts) == 0:
		_, on = v.say("554 for nobody")
	case line == "DATA":
		if ok, on = v.say("354 go"); ok && on {
			on = v.data()
		}
	case line == "RSET":
		v.open, v.rcpts = false, nil
		_, on = v.say("250 ok")
	case line == "QUIT":
	case strings.HasPrefix(line, "BDAT "):
		on = v.bdat(line)
	default:
		v.t.Errorf("heard %q", line)
	}
	return on
}

// data hears a message to its end, and has it unless it says otherwise.
func (v *visit) data() (on bool) {
	for {
		line, err := v.r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			if v.forgets {
				v.r.Discard(v.r.Buffered())
			}
			return v.verdict()
		}
	}
}

// bdat hears a whole message that comes as one chunk.
func (v *visit) bdat(line string) (on bool) {
	size, last := strings.CutSuffix(strings.TrimPrefix(line, "BDAT "), " LAST")
	n := 0
	for _, c := range size {
		n = 10*n + int(c-'0')
	}
	if _, err := io.CopyN(io.Discard, v.r, int64(n)); err != nil {
		return false
	}
	if !last {
		v.t.Errorf("heard %q", line)
	}
	if len(v.rcpts) == 0 {
		_, on = v.say("503 for nobody")
		return on
	}
	return v.verdict()
}

func (v *visit) verdict() (on bool) {
	ok, on := v.say("250 taken")
	if ok {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, rcpt := range v.rcpts {
			v.taken[rcpt]++
		}
	}
	v.open, v.rcpts = false, nil
	return on
}
