package fixsmtpio

import (
	"bytes"
	"errors"
	"strings"

	"postrider/inbound"
	"postrider/internal/ascii"
)

// Bounds of what a dialogue holds. Past the first two it takes no more from the
// client until the server has done its part.
const (
	maxQueue = 1000     // requests whose replies have not come
	maxAhead = 32 << 10 // bytes for the server that it has not taken
	maxReply = 64 << 10 // one whole reply
)

// Errors that end a dialogue: client and server would no longer mean the same.
var (
	errReplyTooLong = errors.New("the server's reply is too long")
	errLineTooLong  = errors.New("the client's command line is too long")
	errUnasked      = errors.New("the server waits for content that nobody has announced")
	errDisagree     = errors.New("a rule hides from the client whether the server waits for content")
	errTLS          = errors.New("the client begins TLS, not SMTP")
)

// expected is a reply that is to come from the server.
type expected struct {
	event   string
	instead string // what the client is told whatever the reply is; "" the reply
	ruled   bool   // rules apply to it
	tls     bool   // TLS begins when the client has been told
	// DATA, as the client and as the server see it. They differ when a rule
	// has put something in front.
	clientData, serverData bool
}

// awaited reports whether what the client sends next depends on this reply.
func (e *expected) awaited() bool { return e.tls || e.clientData || e.serverData }

// dialogue is the byte machine: fromClient and fromServer take bytes in any
// pieces, and what comes of them is to be taken from toServer and toClient. It
// is the same however the pieces are cut.
//
// The client is in one of three states:
//
//	commands  until a line ends there is nothing; then it becomes a request,
//	          whose reply is expected behind all others
//	awaited   after DATA and STARTTLS: nothing is taken until the reply is
//	          there. To commands, to content when it is 354, or to its end: TLS
//	content   passes as it comes, until CRLF.CRLF, whose reply is expected then
//
// The server's replies are assembled whole, and belong to what is expected
// first. Nothing is taken once over or secure is true.
type dialogue struct {
	rewriter
	level   inbound.Level
	secured bool // TLS protects it
	helper  bool // there is somebody who could

	queue   []expected
	line    []byte // a command that is not complete
	await   bool
	data    bool
	content content
	reply   []byte   // a line of the server that is not complete
	lines   []string // of its reply before that
	size    int      // of lines

	toServer, toClient []byte
	refusal            string // the last reply, when nothing more is taken from the client
	why                error  // the refusal
	ended              bool   // the client has gone, or is heard no more
	secure             bool   // TLS is due, when toClient is out
	over               bool   // the session is, when toClient is out
	err                error  // why, if the dialogue could not go on
	exit               int    // the code that a rule wants, or -1
}

func newDialogue(w rewriter, level inbound.Level, secured, helper bool) *dialogue {
	return &dialogue{rewriter: w, level: level, secured: secured, helper: helper,
		queue: []expected{{event: greeting, ruled: true}}, exit: -1}
}

// hungry reports whether bytes from the client can be taken.
func (d *dialogue) hungry() bool {
	return !d.await && d.refusal == "" && !d.ended && !d.over && !d.secure && len(d.queue) < maxQueue && len(d.toServer) < maxAhead
}

// fromClient takes bytes while it is hungry, and tells how many.
func (d *dialogue) fromClient(p []byte) (used int) {
	for used < len(p) && d.hungry() {
		if d.data {
			used += d.more(p[used:])
			continue
		}
		rest := p[used:]
		i := bytes.IndexByte(rest, '\n')
		part := rest[:i+1]
		if i < 0 {
			part = rest
		}
		used += len(part)
		switch {
		case len(d.line)+len(part) > inbound.MaxLine:
			d.refuse("500 line too long (#5.5.2)\r\n", errLineTooLong)
			return used
		case len(d.line) == 0 && part[0] == 0x16: // a handshake (RFC 8446 §5.1), whose line end may never come
			d.refuse("221 this server speaks SMTP only (#4.7.0)\r\n", errTLS)
			return used
		}
		if d.line = append(d.line, part...); i >= 0 {
			d.request(string(d.line))
			d.line = d.line[:0]
		}
	}
	return used
}

// more takes content.
func (d *dialogue) more(p []byte) int {
	n, end := d.content.scan(p)
	d.toServer = append(d.toServer, p[:n]...)
	if end {
		d.data = false
		d.queue = append(d.queue, expected{event: inData, ruled: true})
	}
	return n
}

// refuse hears the client no more, and ends the session with a reply when the
// replies to all it has asked before are there.
func (d *dialogue) refuse(reply string, err error) {
	d.refusal, d.why = reply, err
	d.part()
}

func (d *dialogue) part() {
	if d.refusal != "" && len(d.queue) == 0 && !d.over {
		d.toClient = append(d.toClient, d.refusal...)
		d.fail(d.why)
	}
}

func (d *dialogue) fail(err error) {
	d.over = true
	if d.err == nil {
		d.err = err
	}
}

// inTheWay hides a request from the server, which sees a NOOP: every request
// gets a reply from the server, so that replies stay in order.
const inTheWay = "NOOP fixsmtpio "

// request takes a whole line, its end included. With a NUL the server might see
// another command than we do; after BDAT come bytes that are no lines.
func (d *dialogue) request(line string) {
	verb, arg := divide(line)
	e := expected{event: verb, ruled: true}
	if isEvent(verb) {
		e.event = "" // the client's word for it makes nothing a timeout
	}
	switch {
	case strings.Contains(line, "\x00"):
		line = inTheWay + "NUL\r\n"
		e.instead = "500 no NUL in commands (#5.5.2)"
	case verb == "starttls":
		var why string
		why, e.instead = d.starttls(arg)
		e.ruled, e.tls = false, why == "BEGIN"
		line = inTheWay + "STARTTLS " + why + " " + line
	case d.level == inbound.Required && !d.secured && !inClear(verb):
		line = inTheWay + "STARTTLS FIRST " + line
		e.instead = "530 Must start TLS first (#5.7.0)"
	case verb == "bdat":
		line = inTheWay + "BDAT " + line
		e.instead = "502 unimplemented (#5.5.1)"
	default:
		e.clientData = verb == "data"
		line = d.rewriter.request(verb, line)
		sent, _ := divide(line)
		e.serverData = sent == "data"
	}
	d.toServer = append(d.toServer, line...)
	d.queue = append(d.queue, e)
	d.await = e.awaited()
}

// starttls judges STARTTLS: the word for the server, and the reply.
func (d *dialogue) starttls(arg string) (why, reply string) {
	switch {
	case d.secured:
		return "AGAIN", "502 unimplemented (#5.5.1)"
	case d.level == inbound.Unavailable:
		return "BLOCK", "502 unimplemented (#5.5.1)"
	case arg != "":
		return "BLOCK", "501 Syntax error (no parameters allowed) (#5.5.4)"
	case !d.helper:
		return "BLOCK", "454 TLS temporarily not available (#4.7.0)"
	}
	return "BEGIN", "220 Ready to start TLS (#5.7.0)"
}

// divide gives the verb of a line in lower case, and what follows the spaces
// after it, as qmail's servers see them.
func divide(line string) (verb, arg string) {
	c := inbound.ParseCommand(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
	return ascii.ToLower(c.Verb), c.Arg
}

func isEvent(verb string) bool {
	return verb == greeting || verb == inData || verb == timeout || verb == clientEOF
}

// inClear reports whether a verb is allowed where TLS is required and has not
// begun (RFC 3207 §4).
func inClear(verb string) bool {
	return verb == "noop" || verb == "ehlo" || verb == "quit"
}

// clientEnd is the client's end of file, or its death. Rules for it only give
// an exit code; replies that are under way may still be wanted.
func (d *dialogue) clientEnd() {
	if d.ended {
		return
	}
	d.ended = true
	d.decide(d.rewriter.ended(string(d.line)))
}

// decide keeps the first exit code.
func (d *dialogue) decide(exit int) {
	if d.exit < 0 {
		d.exit = exit
	}
}

// fromServer takes all of p.
func (d *dialogue) fromServer(p []byte) {
	for len(p) > 0 && !d.over && !d.secure {
		i := bytes.IndexByte(p, '\n')
		part := p[:i+1]
		if i < 0 {
			part = p
		}
		p = p[len(part):]
		if d.size += len(part); d.size > maxReply {
			d.fail(errReplyTooLong)
			return
		}
		if d.reply = append(d.reply, part...); i < 0 {
			return
		}
		line := string(d.reply)
		d.reply = d.reply[:0]
		d.lines = append(d.lines, line)
		if !hasCode(line) || len(line) < 4 || line[3] != '-' { // RFC 5321 §4.2.1
			lines := d.lines
			d.lines, d.size = nil, 0
			d.answer(d.next(), lines)
		}
	}
}

// next is what a reply belongs to.
func (d *dialogue) next() expected {
	if len(d.queue) > 0 {
		e := d.queue[0]
		d.queue = d.queue[1:]
		return e
	}
	if d.data && d.content.lone() {
		d.data = false // the server has seen an end where we saw none, and nothing went there since
		return expected{event: inData, ruled: true}
	}
	return expected{event: timeout, ruled: true}
}

// answer turns a whole reply into what the client hears.
func (d *dialogue) answer(e expected, lines []string) {
	serverWaits := strings.HasPrefix(lines[0], "354")
	if e.instead != "" {
		lines = []string{e.instead + "\r\n"}
	}
	var out []byte
	if e.ruled {
		var exit int
		if out, exit = d.rewriter.reply(e.event, lines, e.instead != ""); exit >= 0 {
			d.decide(exit)
			d.over = true
		}
	} else {
		out = []byte(lines[0])
	}
	d.toClient = append(d.toClient, out...)
	clientWaits := e.clientData && bytes.HasPrefix(out, []byte("354"))
	switch {
	case d.over:
	case serverWaits && !e.serverData:
		d.fail(errUnasked)
	case serverWaits != clientWaits:
		d.fail(errDisagree)
	case d.data: // it has given up the message, or else takes it for commands
		d.ended = true
	case serverWaits:
		d.data, d.content = true, newContent()
	case e.tls:
		d.secure = true
	}
	if e.awaited() {
		d.await = false
	}
	d.part()
}
