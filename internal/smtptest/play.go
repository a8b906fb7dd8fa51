package smtptest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// errOver ends a script early: the deviation is noted, or nothing is left to say.
var errOver = errors.New("smtptest: over")

// player plays one connection's steps. It is the connection's only owner.
type player struct {
	world *World
	where string // "192.0.2.7:25"
	from  string // the client's address
	raw   net.Conn
	conn  net.Conn // raw, or TLS over it
	r     *bufio.Reader
	out   []byte // said, not yet written
	drip  time.Duration
	body  []byte // what BDAT brought so far
	step  Step
	heard bool // anything from the client
	may   bool // QUIT may come before the next reply: content is behind us
	flood bool // more content may come at any time
}

// play plays steps to the end and closes the connection.
func (p *player) play(steps []Step) {
	defer p.raw.Close()
	for _, st := range steps {
		p.step = st
		if !strings.HasPrefix(st.verb, "<") {
			if p.flush() != nil {
				if st.verb != "!sink" { // that takes whatever comes, and goes
					p.deviate("is gone before it heard %.60q", p.out)
				}
				return
			}
		}
		if p.one(st) != nil {
			return
		}
	}
	if p.flush() != nil {
		p.deviate("is gone before it heard %.60q", p.out)
		return
	}
	p.farewell()
}

func (p *player) one(st Step) error {
	switch st.verb {
	case "<":
		p.out = append(p.out, st.text+"\r\n"...)
	case "<+":
		p.out = append(p.out, st.data...)
	case ">", ">~":
		return p.line(st)
	case ">+":
		return p.content(st.data)
	case ">data":
		return p.content(p.world.d.Content())
	case "!from":
		if p.from != st.text {
			p.deviate("came from %s, not %s", p.from, st.text)
		}
	case ">bdat":
		return p.chunk(st.text == "")
	case ">bytes":
		if n, err := io.CopyN(io.Discard, p.r, int64(st.n)); err != nil {
			return p.deviate("stopped after %d bytes (%v)", n, err)
		}
		p.flood = true
	case "!wait":
		time.Sleep(st.d)
	case "!drip":
		p.drip = st.d
	case "!tls":
		return p.secure(st.text)
	case "!scram":
		return p.scram(st.text)
	default:
		return p.leave(st.verb)
	}
	return nil
}

// leave ends the connection, one way or another.
func (p *player) leave(verb string) error {
	switch verb {
	case "!close", "!halfclose":
		if t, ok := p.conn.(interface{ CloseWrite() error }); ok && p.conn != p.raw {
			t.CloseWrite() // close_notify (RFC 8446 §6.1)
		}
		p.finish(verb == "!close")
	case "!cut":
		p.finish(true)
	case "!reset":
		p.world.settle() // what was said before is heard
		Reset(p.raw)
	case "!stall":
		p.farewell()
	case "!sink":
		io.Copy(io.Discard, p.r)
	case "!deaf":
		<-p.world.gone
	}
	return errOver
}

// finish sends FIN. A real close with bytes unread would be a reset to the
// client, so over TCP what it says is still read.
func (p *player) finish(closing bool) {
	t, ok := p.raw.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	t.CloseWrite()
	if _, tcp := p.raw.(*net.TCPConn); tcp || !closing {
		io.Copy(io.Discard, p.r)
	}
}

// farewell lets the client say QUIT and close, and nothing else.
func (p *player) farewell() {
	rest, _ := io.ReadAll(io.LimitReader(p.r, 1000))
	if len(rest) != 0 && string(rest) != "QUIT\r\n" {
		p.deviate("said %q, and the script is at its end", rest)
	}
}

// line hears one line.
func (p *player) line(st Step) error {
	got, err := p.hear()
	if err != nil {
		return p.deviate("said %q and then nothing (%v), not %q", got, err, st.text)
	}
	text, crlf := strings.CutSuffix(got, "\r\n")
	ok := text == st.text
	if st.verb == ">~" {
		ok = regexp.MustCompile(st.text).MatchString(text)
	}
	if !ok || !crlf {
		return p.deviate("said %q, not %q", got, st.text)
	}
	return nil
}

func (p *player) hear() (string, error) {
	b, err := p.r.ReadSlice('\n')
	p.heard = p.heard || len(b) > 0
	return string(b), err
}

// content hears a message under DATA.
func (p *player) content(want []byte) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.r, got)
	if at := differ(got[:n], want); at >= 0 {
		return p.deviate("sent other content from byte %d on: %.60q, not %.60q", at, got[at:n], want[at:])
	}
	if err != nil {
		return p.deviate("stopped after %d of %d bytes of content (%v)", n, len(want), err)
	}
	p.may, p.heard = true, true
	return nil
}

// chunk hears one BDAT command and its bytes.
func (p *player) chunk(last bool) error {
	line, err := p.hear()
	if err != nil {
		return p.deviate("said %q and then nothing (%v), not BDAT", line, err)
	}
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "BDAT" || last != (len(f) == 3 && f[2] == "LAST") || len(f) > 2 && !last {
		return p.deviate("said %q, not BDAT (last: %t)", line, last)
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return p.deviate("said %q", line)
	}
	got := make([]byte, n)
	if n, err = io.ReadFull(p.r, got); err != nil {
		return p.deviate("stopped after %d bytes of %q", n, line)
	}
	p.body = append(p.body, got...)
	if !last {
		return nil
	}
	p.may = true
	want := canonical(p.world.d.Message)
	if at := differ(p.body, want); at >= 0 || len(p.body) != len(want) {
		return p.deviate("sent %d bytes of other content by BDAT, %d wanted", len(p.body), len(want))
	}
	p.body = nil
	return nil
}

// differ is the first place where got is not a prefix of want, or -1.
func differ(got, want []byte) int {
	for i, c := range got {
		if i >= len(want) || c != want[i] {
			return i
		}
	}
	return -1
}

// flush writes what the server says, after making sure that the client waits for it.
func (p *player) flush() error {
	if len(p.out) == 0 {
		return nil
	}
	p.world.settle()
	if n := p.r.Buffered(); !p.flood && (n > 0 || pending(p.conn) > 0) {
		p.r.Peek(max(n, 1)) // so that what is pending is buffered
		more, _ := p.r.Peek(p.r.Buffered())
		if len(more) > 0 && (!p.may || string(more) != "QUIT\r\n") {
			p.deviate("said %q without waiting for %.60q", more, p.out)
		}
	}
	p.may = false
	out := p.out
	for len(out) > 0 {
		n := len(out)
		if p.drip > 0 {
			time.Sleep(p.drip)
			n = 1
		}
		if _, err := p.conn.Write(out[:n]); err != nil {
			p.out = out
			return err
		}
		out = out[n:]
	}
	p.out = nil
	return nil
}

// deviate notes that the client left the script.
func (p *player) deviate(format string, args ...any) error {
	if p.world.optional(p.where) && !p.heard {
		return errOver
	}
	p.world.deviate("%s, line %d: the client "+format, append([]any{p.where, p.step.line}, args...)...)
	return errOver
}

// Reset ends a connection as a crash of the peer would (RST).
func Reset(c net.Conn) {
	switch t := c.(type) {
	case *net.TCPConn:
		t.SetLinger(0)
	case interface{ Reset() }:
		t.Reset()
	}
	c.Close()
}
