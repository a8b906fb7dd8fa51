package proxy

import (
	"bytes"
	"strings"

	"postrider/inbound"
)

// Exit codes of the proxy, which nobody but a log may see: the server's are the
// session's.
const (
	ExitTrouble = 1   // a line too long, or no TLS after all
	ExitIdle    = 99  // nobody has said anything for too long
	ExitServer  = 100 // what the server says is not SMTP
)

// Bounds. Past the last two nothing is taken from the client until the server
// has done its part.
const (
	maxLine  = 1023 // of a line, its end included
	maxQueue = 500
	maxAhead = 32 << 10
)

// Replies of our own.
const (
	noopOK     = "250 OK\r\n"
	unknown    = "500 unimplemented (#5.5.1)\r\n"
	mailFirst  = "503 MAIL first (#5.5.1)\r\n"
	noArgument = "501 Syntax error (no parameters allowed) (#5.5.4)\r\n"
	nothingMay = "503 nothing may follow STARTTLS before its reply (#5.5.1)\r\n"
	tlsFirst   = "530 Must start TLS first (#5.7.0)\r\n"
	noReset    = "454 Server failed to reset\r\n"
	ready      = "220 Ready to start TLS\r\n"
)

// expected is what the client is to hear next.
type expected uint8

const (
	forwarded expected = iota // the server's reply
	announced                 // the same, with STARTTLS: EHLO
	reset                     // what STARTTLS makes of the reply to RSET
	ours                      // the next of dialogue.replies
)

// dialogue is the byte machine: fromClient and fromServer take bytes in any
// pieces, and what comes of them is to be taken from toServer and toClient. It is
// in one of these states, in their order:
//
//	commands  lines of the client are forwarded, or answered here
//	awaited   after STARTTLS: nothing is taken until the server has been reset;
//	          after HELO and MAIL: until all replies are there. Then secure, or
//	          copying; back to commands when the server does not want to
//	secure    TLS is due when toClient is out; its owner calls begun
//	copying   both ways, for good
type dialogue struct {
	required bool // TLS

	queue   []expected
	replies []string // what ours are
	line    []byte   // of the client, not complete
	last    string   // HELO or MAIL, not sent
	await   bool
	reply   []byte // a line of the server, not complete
	lines   int    // of its reply before that
	listed  bool   // the server has STARTTLS itself

	toServer, toClient []byte
	secure             bool
	copying            bool
	ended              bool   // the client has gone
	exit               int    // when not 0, it is over when toClient is out
	warning            string // for the log
}

func newDialogue(required bool) *dialogue {
	return &dialogue{required: required, queue: []expected{forwarded}} // the greeting
}

// hungry reports whether bytes from the client can be taken.
func (d *dialogue) hungry() bool {
	return !d.await && !d.secure && !d.ended && d.exit == 0 && len(d.queue) < maxQueue && len(d.toServer) < maxAhead
}

func (d *dialogue) fail(exit int, why string) {
	if d.exit == 0 {
		d.exit, d.warning = exit, why
	}
}

// fromClient takes bytes of p, which is all that the client is known to have
// sent, while it is hungry, and tells how many.
func (d *dialogue) fromClient(p []byte) (used int) {
	for used < len(p) && d.hungry() {
		if d.copying {
			d.toServer = append(d.toServer, p[used:]...)
			return len(p)
		}
		part := upToLF(p[used:])
		used += len(part)
		if len(d.line)+len(part) > maxLine {
			d.fail(ExitTrouble, "the client's line is too long")
			return used
		}
		if d.line = append(d.line, part...); part[len(part)-1] == '\n' {
			d.command(string(d.line), used < len(p))
			d.line = d.line[:0]
		}
	}
	return used
}

func upToLF(p []byte) []byte {
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		return p[:i+1]
	}
	return p
}

// command takes a line. more tells that the client has sent something behind it.
func (d *dialogue) command(line string, more bool) {
	verb := line[:strings.IndexAny(line, " \r\n")]
	is := func(name string) bool { return len(verb) == len(name) && strings.EqualFold(verb, name) }
	switch {
	case is("NOOP"):
		d.say(noopOK)
	case is("EHLO"):
		d.forward(line, announced)
	case is("QUIT"):
		d.forward(line, forwarded)
	case is("STARTTLS"):
		d.starttls(line, more)
	case d.required: // RFC 3207 §4
		d.say(tlsFirst)
	case is("EXPN"), is("HELP"), is("RSET"), is("VRFY"):
		d.forward(line, forwarded)
	case is("HELO"), is("MAIL"):
		d.last, d.await = line, true
		d.advance()
	case is("DATA"), is("RCPT"):
		d.say(mailFirst)
	default:
		d.say(unknown)
	}
}

func (d *dialogue) forward(line string, e expected) {
	d.toServer = append(d.toServer, line...)
	d.queue = append(d.queue, e)
}

// say answers here, when everything before has been answered.
func (d *dialogue) say(reply string) {
	d.queue = append(d.queue, ours)
	d.replies = append(d.replies, reply)
	d.advance()
}

// starttls has the server forget what it was told in clear (RFC 3207 §4.2).
func (d *dialogue) starttls(line string, more bool) {
	switch {
	case inbound.ParseCommand(strings.TrimRight(line, "\r\n")).Arg != "":
		d.say(noArgument)
	case more: // who has written it has no key, maybe
		d.say(nothingMay)
	default:
		d.forward("RSET\r\n", reset)
		d.await = true
	}
}

// advance does what waits for nothing but us.
func (d *dialogue) advance() {
	for len(d.queue) > 0 && d.queue[0] == ours {
		d.toClient = append(d.toClient, d.replies[0]...)
		d.queue, d.replies = d.queue[1:], d.replies[1:]
	}
	if len(d.queue) == 0 && d.last != "" {
		d.toServer = append(d.toServer, d.last...)
		d.copy()
	}
}

// copy steps aside.
func (d *dialogue) copy() {
	d.copying, d.await, d.secure, d.last = true, false, false, ""
	d.toClient = append(d.toClient, d.reply...)
	d.reply = nil
}

// begun tells that TLS protects what follows: what the server has said since it
// was reset, first.
func (d *dialogue) begun() {
	d.line = nil
	d.copy()
}

// fromServer takes all of p.
func (d *dialogue) fromServer(p []byte) {
	for len(p) > 0 && d.exit == 0 {
		if d.copying {
			d.toClient = append(d.toClient, p...)
			return
		}
		if d.secure { // nothing that is not said yet goes out in clear
			d.reply = append(d.reply, p...)
			return
		}
		part := upToLF(p)
		p = p[len(part):]
		if d.reply = append(d.reply, part...); len(d.reply) > maxLine {
			d.fail(ExitServer, "the server's line is too long")
		} else if part[len(part)-1] == '\n' {
			line := string(d.reply)
			d.reply = d.reply[:0]
			d.heard(line)
		}
	}
}

// heard takes a line of the server's reply to what is first in the queue, or to
// nothing: then it is tired of waiting.
func (d *dialogue) heard(line string) {
	if !isReply(line) {
		d.fail(ExitServer, "the server does not speak SMTP")
		return
	}
	what, asked := forwarded, len(d.queue) > 0
	if asked {
		what = d.queue[0]
	}
	final := line[3] == ' '
	switch what {
	case forwarded:
		d.toClient = append(d.toClient, line...)
	case announced:
		d.announce(line, final)
	case reset:
		if final {
			d.wasReset(line[0] == '2')
		}
	}
	d.lines++
	if final {
		d.lines = 0
		if asked {
			d.queue = d.queue[1:]
		}
		d.advance()
	}
}

func isReply(line string) bool {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	return len(line) >= 4 && '0' <= line[0] && line[0] <= '5' && digit(line[1]) && digit(line[2]) && (line[3] == ' ' || line[3] == '-')
}

// announce puts STARTTLS in front of the last line of a reply to EHLO, or behind
// the only one, unless the server has it already.
func (d *dialogue) announce(line string, final bool) {
	word := strings.TrimRight(line[4:], "\r\n")
	if d.lines > 0 && strings.EqualFold(word, "STARTTLS") && !d.listed {
		d.listed = true
		d.warning = "the server announces STARTTLS itself"
	}
	switch {
	case !final || d.listed || !strings.HasPrefix(line, "250"):
		d.toClient = append(d.toClient, line...)
	case d.lines == 0:
		d.toClient = append(d.toClient, "250-"+word+"\r\n250 STARTTLS\r\n"...)
	default:
		d.toClient = append(d.toClient, "250-STARTTLS\r\n"+line...)
	}
}

func (d *dialogue) wasReset(ok bool) {
	if ok {
		d.toClient = append(d.toClient, ready...)
		d.secure = true
		return
	}
	d.toClient = append(d.toClient, noReset...)
	d.await = false
}
