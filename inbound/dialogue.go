package inbound

import (
	"errors"
	"io"
	"strings"
	"syscall"

	"postrider/internal/smtp"
)

// Server is what qmail-smtpd and qmail-ofmipd each decide in their dialogue. An
// error that is a Refusal or a Fatal is said to the client; any other ends the
// session in silence.
type Server interface {
	// Extensions are the lines that EHLO announces beside STARTTLS, PIPELINING
	// and 8BITMIME, without their "250-".
	Extensions() []string
	// Mail and Rcpt judge an address and give it the form that it shall have
	// in the envelope. Mail begins a transaction and so forgets the last one.
	Mail(smtp.Path) (sender string, err error)
	Rcpt(smtp.Path) (rcpt string, err error)
	// Content reads from c what follows "354", to its end and no further, and
	// writes to queue what shall be queued. Writing never fails: a queue that
	// is gone makes itself known later. After a Refusal nothing is queued.
	Content(c *Conn, queue io.Writer, s *Session) error
	// Accepted is the reply when the queue program, a process of that number,
	// has the message.
	Accepted(pid int) string
}

// Refusal is a reply that refuses, code and all. The dialogue goes on.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Fatal is a reply that is the last one. Run returns it when it has been said.
type Fatal string

func (f Fatal) Error() string { return string(f) }

// Replies of more than one place.
const (
	BadSyntax   = Refusal("555 syntax error (#5.5.4)")
	mailFirst   = Refusal("503 MAIL first (#5.5.1)")
	rcptFirst   = Refusal("503 RCPT first (#5.5.1)")
	tooManyRcpt = Refusal("452 too many recipients (#4.5.3)")
	noQueue     = Refusal("451 qqt failure (#4.3.0)")
	tlsFirst    = Refusal("530 Must start TLS first (#5.7.0)")
	noCommand   = Refusal("502 unimplemented (#5.5.1)")
	noHelper    = Refusal("454 TLS temporarily not available (#4.7.0)")
	noArgument  = Refusal("501 Syntax error (no parameters allowed) (#5.5.4)")

	lineTooLong = Fatal("500 line too long (#5.5.2)")
	notMail     = Fatal("221 this server speaks SMTP only (#4.7.0)")
	crashed     = "421 internal error (#4.3.0)"
)

// maxEnvelope bounds what a transaction's recipients may take, in bytes.
// RFC 5321 §4.5.3.1.8 asks for 100 recipients; this is 18 000 of the longest.
const maxEnvelope = 16 << 20

// Session is what a dialogue has heard. A new HELO or EHLO, and TLS, begin it
// anew.
type Session struct {
	Greeted  bool   // by HELO or EHLO
	Helo     string // what the client calls itself, as it came
	Extended bool   // it was EHLO
	TLS      bool

	mail   bool // there was MAIL
	Sender string
	Rcpts  []string
	size   int // of Rcpts, in bytes
}

// reset forgets the transaction.
func (s *Session) reset() {
	s.mail, s.Sender, s.Rcpts, s.size = false, "", nil, 0
}

// Dialogue is the dialogue that qmail-smtpd and qmail-ofmipd share: the order
// of RFC 5321 §4.1.4, as qmail keeps it, with STARTTLS (RFC 3207), which leaves its
// SSL_ variables in the environment of the queue program.
type Dialogue struct {
	Conn   *Conn
	Name   string // of the server: what smtpgreeting says
	First  string // the first line; "220 Name ESMTP" when empty
	Help   string // the reply to HELP, code and all
	Queue  Queue
	Level  Level
	Helper *Helper
	Server Server

	s Session
}

// Run greets and serves the client. It returns nil after QUIT, a Fatal after
// that was said, and otherwise what became of the connection: io.EOF, an error
// that wraps os.ErrDeadlineExceeded, and so on. The caller may say more to it.
//
// A panic becomes a last reply and goes on.
func (d *Dialogue) Run() error {
	defer func() {
		if p := recover(); p != nil {
			d.Conn.Say(crashed)
			d.Conn.Flush()
			panic(p)
		}
	}()
	if d.Helper != nil { // its descriptors are no business of the queue program
		for _, fd := range []int{d.Helper.FDs.Ctl, d.Helper.FDs.Read, d.Helper.FDs.Write} {
			syscall.CloseOnExec(fd)
		}
	}
	first := d.First
	if first == "" {
		first = "220 " + d.Name + " ESMTP"
	}
	d.Conn.Say(first)
	err := d.Conn.Flush()
	for err == nil {
		var quit, gathers bool
		if quit, gathers, err = d.next(); err != nil {
			err = d.say(err)
		}
		if err == nil && !gathers {
			err = d.Conn.Flush()
		}
		if quit {
			break
		}
	}
	return err
}

// say says an error that is a reply; what it returns ends the session.
func (d *Dialogue) say(err error) error {
	switch e := err.(type) {
	case Refusal:
		d.Conn.Say(string(e))
		return nil
	case Fatal:
		d.Conn.Say(string(e))
		d.Conn.Flush()
	}
	return err
}

// next hears a command and answers it. The reply to one that gathers waits for
// others.
func (d *Dialogue) next() (quit, gathers bool, err error) {
	if ahead, err := d.Conn.Next(); err != nil {
		return false, false, err
	} else if ahead[0] == 0x16 { // a TLS handshake (RFC 8446 §5.1), of which no line end need ever come
		return false, false, notMail
	}
	cmd, err := d.Conn.Command()
	if errors.Is(err, ErrLineTooLong) {
		return false, false, lineTooLong
	}
	if err != nil {
		return false, false, err
	}
	v, known := cmd.find()
	switch {
	case foreign(cmd.Verb):
		return false, false, notMail
	case d.Level == Required && !d.s.TLS && !v.inClear:
		return false, false, tlsFirst
	case !known:
		return false, false, noCommand
	case v.do == nil:
		d.Conn.Say("221 ", d.Name)
		return true, false, nil
	}
	return false, v.gathers, v.do(d, cmd.Arg)
}

// verb is an entry of the command table.
type verb struct {
	name    string
	do      func(d *Dialogue, arg string) error // nil: QUIT
	gathers bool                                // its reply waits for others (RFC 2920 §3.2)
	inClear bool                                // allowed where TLS is demanded and not there yet
}

// verbs is the command table of qmail-smtpd, and STARTTLS.
var verbs = [...]verb{
	{name: "MAIL", do: (*Dialogue).mail, gathers: true},
	{name: "RCPT", do: (*Dialogue).rcpt, gathers: true},
	{name: "DATA", do: (*Dialogue).data},
	{name: "RSET", do: (*Dialogue).rset, gathers: true},
	{name: "QUIT", inClear: true},
	{name: "EHLO", do: (*Dialogue).ehlo, inClear: true},
	{name: "HELO", do: (*Dialogue).helo},
	{name: "STARTTLS", do: (*Dialogue).starttls, inClear: true},
	{name: "NOOP", do: (*Dialogue).noop, inClear: true},
	{name: "VRFY", do: (*Dialogue).vrfy},
	{name: "HELP", do: (*Dialogue).help},
}

// find is the entry of a command, and whether it has one.
func (c Command) find() (verb, bool) {
	for _, v := range verbs {
		if c.Is(v.name) {
			return v, true
		}
	}
	return verb{}, false
}

// foreign reports whether a verb is that of a client of something else, which
// would go on for a while and understand none of our replies.
func foreign(verb string) bool {
	switch verb {
	case "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI": // HTTP
		return true
	}
	return strings.HasPrefix(verb, "SSH-") // RFC 4253 §4.2
}

func (d *Dialogue) helo(arg string) error {
	d.greeted(arg, false)
	d.Conn.Say("250 ", d.Name)
	return nil
}

func (d *Dialogue) ehlo(arg string) error {
	d.greeted(arg, true)
	d.Conn.Say("250-", d.Name)
	if d.Level != Unavailable && !d.s.TLS {
		d.Conn.Say("250-STARTTLS")
	}
	d.Conn.Say("250-PIPELINING")
	for _, line := range d.Server.Extensions() {
		d.Conn.Say("250-", line)
	}
	d.Conn.Say("250 8BITMIME")
	return nil
}

func (d *Dialogue) greeted(helo string, extended bool) {
	d.s = Session{Greeted: true, Helo: helo, Extended: extended, TLS: d.s.TLS}
}

func (d *Dialogue) mail(arg string) error {
	d.s.reset() // also of a MAIL that fails: what follows it must not join an older one
	path, ok := smtp.ParsePath(arg)
	if !ok {
		return BadSyntax
	}
	sender, err := d.Server.Mail(path)
	if err != nil {
		return err
	}
	d.s.mail, d.s.Sender = true, sender
	d.Conn.Say("250 ok")
	return nil
}

func (d *Dialogue) rcpt(arg string) error {
	if !d.s.mail {
		return mailFirst
	}
	path, ok := smtp.ParsePath(arg)
	if !ok {
		return BadSyntax
	}
	rcpt, err := d.Server.Rcpt(path)
	if err != nil {
		return err
	}
	if d.s.size += len(rcpt) + 2; d.s.size > maxEnvelope {
		return tooManyRcpt
	}
	d.s.Rcpts = append(d.s.Rcpts, rcpt)
	d.Conn.Say("250 ok")
	return nil
}

func (d *Dialogue) rset(string) error {
	d.s.reset()
	d.Conn.Say("250 flushed")
	return nil
}

func (d *Dialogue) noop(string) error {
	d.Conn.Say("250 ok")
	return nil
}

func (d *Dialogue) vrfy(string) error {
	d.Conn.Say("252 send some mail, i'll try my best")
	return nil
}

func (d *Dialogue) help(string) error {
	d.Conn.Say(d.Help)
	return nil
}

// data is DATA, from its command to the last reply.
func (d *Dialogue) data(string) error {
	switch {
	case !d.s.mail:
		return mailFirst
	case len(d.s.Rcpts) == 0:
		return rcptFirst
	}
	q, err := d.Queue.Open()
	if err != nil {
		return noQueue
	}
	defer q.Abandon()
	d.Conn.Say("354 go ahead")
	s := d.s
	d.s.reset() // whatever follows, the next message needs its own MAIL
	if err := d.Server.Content(d.Conn, q, &s); err != nil {
		return err
	}
	if trouble := q.Close(s.Sender, s.Rcpts); trouble != "" {
		return d.troubled(trouble)
	}
	d.Conn.Say(d.Server.Accepted(q.PID))
	return nil
}

// troubled turns the queue's answer, "D" or "Z" and a text, into a reply.
func (d *Dialogue) troubled(trouble string) Refusal {
	if trouble[0] == 'D' {
		return Refusal("554 " + trouble[1:])
	}
	return Refusal("451 " + trouble[1:])
}

// starttls is STARTTLS. When it was promised and then fails, the client can be
// told nothing.
func (d *Dialogue) starttls(arg string) error {
	switch {
	case d.Level == Unavailable || d.s.TLS:
		return noCommand
	case arg != "":
		return noArgument
	case d.Helper == nil:
		return noHelper
	}
	d.Conn.Say("220 Ready to start TLS (#5.7.0)")
	if err := d.Conn.Flush(); err != nil {
		return err
	}
	records, err := d.Helper.Start(d.Conn)
	if err != nil {
		return err
	}
	d.Queue.Env.Apply(records)
	d.s = Session{TLS: true}
	return nil
}
