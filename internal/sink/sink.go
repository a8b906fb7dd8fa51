// Package sink is an SMTP server that takes everything, for the demonstration,
// the benchmarks and load tests: quick, with a ledger of what it took, and with
// as much of ESMTP as it is told to offer.
//
// It is no model of a server: it trusts its client. Production code never
// imports it.
package sink

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a sink offers.
type Config struct {
	Name     string      // in the greeting; default "sink.example"
	TLS      *tls.Config // offers STARTTLS when set
	Chunking bool
	Lockstep bool // do not offer PIPELINING
	// Delay passes before each flight of replies, in place of a slow network.
	Delay time.Duration
	// Keep keeps whole messages; else they are counted and forgotten.
	Keep bool
	// Took, if set, is told of each message before the client is; the answer waits
	// for it. It may be called by several goroutines at once.
	Took func(Message)
	// Transcript, if set, hears both sides, one line at a time; content is left out.
	Transcript func(line string)
}

// Message is one that was taken.
type Message struct {
	From string
	To   []string
	Body []byte // as on the wire, dot-stuffing undone
	TLS  string // "TLS 1.3", say; empty in clear
}

// Server is a running sink.
type Server struct {
	c     Config
	l     net.Listener
	conns sync.WaitGroup

	Taken    atomic.Int64 // messages accepted
	Sessions atomic.Int64
	mu       sync.Mutex
	kept     []Message         // guarded by mu
	open     map[net.Conn]bool // guarded by mu
}

// Serve answers on l until Close.
func Serve(l net.Listener, c Config) *Server {
	if c.Name == "" {
		c.Name = "sink.example"
	}
	s := &Server{c: c, l: l, open: map[net.Conn]bool{}}
	s.conns.Go(s.accept)
	return s
}

func (s *Server) accept() {
	for {
		conn, err := s.l.Accept()
		if err != nil {
			return
		}
		s.Sessions.Add(1)
		s.mu.Lock()
		s.open[conn] = true
		s.mu.Unlock()
		s.conns.Go(func() {
			(&session{Server: s, conn: conn, r: bufio.NewReaderSize(conn, 16<<10)}).run()
			conn.Close()
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
		})
	}
}

// Close ends all sessions and waits for them.
func (s *Server) Close() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.conns.Wait()
}

// Messages gives what was kept so far.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.kept...)
}

// session is one client; it is owned by its goroutine.
type session struct {
	*Server
	conn net.Conn
	r    *bufio.Reader
	out  []byte
	tls  string
	msg  Message
}

func (c *session) note(side, line string) {
	if c.c.Transcript != nil {
		c.c.Transcript(side + line)
	}
}

// reply queues one reply; it leaves when the client has nothing more to say.
func (c *session) reply(line string) {
	c.note("< ", line)
	c.out = append(append(c.out, line...), "\r\n"...)
}

func (c *session) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if c.c.Delay > 0 {
		time.Sleep(c.c.Delay)
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *session) run() {
	c.reply("220 " + c.c.Name + " ESMTP")
	for {
		if c.r.Buffered() == 0 && c.flush() != nil {
			return
		}
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		c.note("> ", line)
		if !c.command(line) {
			c.flush()
			return
		}
	}
}

// command carries one out and reports whether the session goes on.
func (c *session) command(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		c.ehlo()
	case "HELO":
		c.reply("250 " + c.c.Name)
	case "STARTTLS":
		return c.startTLS()
	case "MAIL":
		c.msg = Message{From: path(arg), TLS: c.tls}
		c.reply("250 sender ok")
	case "RCPT":
		c.msg.To = append(c.msg.To, path(arg))
		c.reply("250 recipient ok")
	case "DATA":
		c.reply("354 go ahead")
		if c.flush() != nil || !c.data() {
			return false
		}
		c.took()
	case "BDAT":
		return c.bdat(arg)
	case "RSET":
		c.reply("250 flushed")
	case "QUIT":
		c.reply("221 " + c.c.Name)
		return false
	default:
		c.reply("502 unimplemented")
	}
	return true
}

func (c *session) ehlo() {
	lines := []string{c.c.Name}
	if c.c.TLS != nil && c.tls == "" {
		lines = append(lines, "STARTTLS")
	}
	if !c.c.Lockstep {
		lines = append(lines, "PIPELINING")
	}
	if c.c.Chunking {
		lines = append(lines, "CHUNKING")
	}
	lines = append(lines, "SMTPUTF8", "8BITMIME")
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		c.reply("250" + sep + l)
	}
}

func (c *session) startTLS() bool {
	c.reply("220 ready")
	if c.flush() != nil {
		return false
	}
	t := tls.Server(c.conn, c.c.TLS)
	if err := t.Handshake(); err != nil {
		c.note("! ", err.Error())
		return false
	}
	c.conn, c.tls = t, tls.VersionName(t.ConnectionState().Version)
	c.r.Reset(t)
	c.note("! ", c.tls)
	return true
}

// data reads content up to its final dot.
func (c *session) data() bool {
	var body []byte
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return false
		}
		if bytes.Equal(line, []byte(".\r\n")) {
			c.msg.Body = body
			return true
		}
		if c.c.Keep {
			body = append(body, bytes.TrimPrefix(line, []byte("."))...)
		}
		for err == bufio.ErrBufferFull { // the rest of a long line has no dot to undo
			if line, err = c.r.ReadSlice('\n'); c.c.Keep {
				body = append(body, line...)
			}
		}
		if err != nil {
			return false
		}
	}
}

func (c *session) bdat(arg string) bool {
	size, last, _ := strings.Cut(arg, " ")
	n, err := strconv.ParseInt(size, 10, 63)
	if err != nil {
		c.reply("501 size?")
		return false
	}
	if c.c.Keep {
		chunk := make([]byte, n)
		if _, err = io.ReadFull(c.r, chunk); err == nil {
			c.msg.Body = append(c.msg.Body, chunk...)
		}
	} else {
		_, err = io.CopyN(io.Discard, c.r, n)
	}
	if err != nil {
		return false
	}
	if strings.EqualFold(last, "LAST") {
		c.took()
	} else {
		c.reply("250 chunk ok")
	}
	return true
}

func (c *session) took() {
	n := c.Taken.Add(1)
	if c.c.Took != nil {
		c.c.Took(c.msg)
	}
	if c.c.Keep {
		c.mu.Lock()
		c.kept = append(c.kept, c.msg)
		c.mu.Unlock()
	}
	c.reply("250 taken, number " + strconv.FormatInt(n, 10))
}

// path gives what stands between < and >.
func path(arg string) string {
	_, arg, _ = strings.Cut(arg, "<")
	p, _, _ := strings.Cut(arg, ">")
	return p
}
