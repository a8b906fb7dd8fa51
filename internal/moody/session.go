package moody

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// longest is how long a server waits for anybody, lest a test wait for ever.
const longest = time.Minute

// offer is what a server says in its EHLO reply.
type offer struct{ pipelining, chunking, tls bool }

// session is one client; its goroutine owns it.
type session struct {
	*Servers
	offer
	raw, conn net.Conn // conn is raw, or TLS over it
	r         *bufio.Reader

	secure bool
	open   bool // a transaction
	rcpts  []string
	chunks []byte // of BDAT
	took   int    // messages
}

func (c *session) run() {
	on, _ := c.say("220 moody", c.mood(append(bad, Long, Later, Bye)...))
	for on {
		c.raw.SetDeadline(time.Now().Add(longest))
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		on = c.command(strings.TrimRight(line, "\r\n"))
	}
}

// say answers, or has its mood. It reports whether the session goes on, and
// whether the answer was the wanted one.
func (c *session) say(wanted string, m Mood) (on, ok bool) {
	code := wanted[:3]
	switch m {
	case Drop:
		return false, false
	case Reset:
		c.raw.(*net.TCPConn).SetLinger(0)
		return false, false
	case Half:
		io.WriteString(c.conn, wanted[:len(wanted)/2])
		return false, false
	case Stall:
		io.Copy(io.Discard, c.r)
		return false, false
	case Garbage:
		io.WriteString(c.conn, "\x16\x03 what is this\r\n")
		io.Copy(io.Discard, c.r)
		return false, false
	case Later:
		wanted = "451 4.3.0 later"
	case Never:
		wanted = "550 5.7.1 never"
	case Bye:
		wanted = "421 4.3.2 bye"
	case Long:
		wanted = strings.Repeat(code+"-a line of many\r\n", 30) + wanted
	}
	_, err := io.WriteString(c.conn, wanted+"\r\n")
	return err == nil && m != Bye && m != Leave, m == Fine || m == Long || m == Leave
}

// command carries one out and reports whether the session goes on.
func (c *session) command(line string) (on bool) {
	ok := false
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO", "HELO":
		c.open = false
		on, _ = c.say(c.ehlo(verb), c.mood(append(bad, Bye)...))
	case "STARTTLS":
		return c.startTLS()
	case "MAIL":
		if c.open {
			c.wrong("MAIL inside a transaction")
		}
		c.rcpts, c.chunks = nil, nil
		on, c.open = c.say("250 sender ok", c.mood(append(bad, Long, Leave, Later, Never, Bye)...))
	case "RCPT":
		on, ok = c.say("250 recipient ok", c.mood(append(bad, Long, Leave, Later, Never, Bye)...))
		if ok && c.open {
			_, arg, _ = strings.Cut(arg, "<")
			arg, _, _ = strings.Cut(arg, ">")
			c.rcpts = append(c.rcpts, arg)
		}
	case "DATA":
		if !c.open || len(c.rcpts) == 0 {
			on, _ = c.say("503 nobody to have it", Fine)
			return on
		}
		if on, ok = c.say("354 go", c.mood(append(bad, Long, Later, Never, Bye)...)); ok {
			return c.data()
		}
	case "BDAT":
		return c.bdat(arg)
	case "RSET":
		c.open = false
		on, _ = c.say("250 flushed", c.mood(Drop, Reset, Bye, Stall))
	case "QUIT":
		c.say("221 bye", c.mood(bad...))
	default:
		c.wrong("%q", line)
	}
	return on
}

func (c *session) ehlo(verb string) string {
	if verb == "HELO" {
		return "250 moody"
	}
	reply := "250-moody\r\n"
	if c.tls && !c.secure {
		reply += "250-STARTTLS\r\n"
	}
	if c.pipelining {
		reply += "250-PIPELINING\r\n"
	}
	if c.chunking {
		reply += "250-CHUNKING\r\n"
	}
	return reply + "250 8BITMIME"
}

func (c *session) startTLS() bool {
	on, ok := c.say("220 go ahead", c.mood(append(bad, Later, Never)...))
	if !ok {
		return on
	}
	if c.mood(Drop) == Drop {
		return false
	}
	t := tls.Server(c.conn, c.c.TLS)
	if t.Handshake() != nil {
		return false
	}
	if t.ConnectionState().DidResume {
		c.count(func(n *Counts) { n.Resumed++ })
	}
	c.conn, c.secure, c.open = t, true, false
	c.r.Reset(t)
	return true
}

func (c *session) data() bool {
	var body []byte
	for {
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			return c.content(body)
		}
		body = append(body, line...)
	}
}

func (c *session) bdat(arg string) bool {
	size, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 {
		c.wrong("BDAT %s", arg)
		return false
	}
	chunk := make([]byte, n)
	if _, err := io.ReadFull(c.r, chunk); err != nil {
		return false
	}
	c.chunks = append(c.chunks, chunk...)
	switch {
	case !c.open || len(c.rcpts) == 0:
		on, _ := c.say("503 nobody to have it", Fine)
		return on
	case last != "LAST":
		on, ok := c.say("250 more", c.mood(append(bad, Later, Never, Bye)...))
		c.open = c.open && ok
		return on
	}
	c.count(func(n *Counts) { n.Chunks++ })
	return c.content(c.chunks)
}

// content decides about a message. In a bad mood, chance decides what the
// answer would have been.
func (c *session) content(body []byte) (on bool) {
	c.open = false
	m := c.mood(append(bad, Long, Leave, Later, Never, Bye)...)
	switch m {
	case Later, Never, Bye:
	case Fine, Long, Leave:
		c.take(subject(body), c)
	default:
		if c.coin() {
			c.take(subject(body), c)
		}
	}
	on, _ = c.say("250 taken", m)
	return on
}

// subject is that of a message.
func subject(body []byte) string {
	_, after, _ := bytes.Cut(body, []byte("Subject: "))
	line, _, _ := bytes.Cut(after, []byte("\r\n"))
	return string(line)
}
