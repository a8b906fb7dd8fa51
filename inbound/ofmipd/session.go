package ofmipd

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"postrider/inbound"
	"postrider/internal/ascii"
	"postrider/internal/mess822"
	"postrider/internal/smtp"
)

// Replies of qmail-ofmipd's own.
const (
	noControls = inbound.Fatal("451 unable to read configuration (#4.3.0)")
	mixedEnds  = inbound.Fatal("451 See https://cr.yp.to/docs/smtplf.html.") // in the words of qmail-smtpd

	noNames  = inbound.Refusal("451 unable to read cdb (#4.3.0)")
	tooLarge = inbound.Refusal("552 sorry, that header is too large (#5.3.4)") // or has too many addresses

	help = "214 Postrider, a qmail: see qmail-ofmipd(8)"
	// welcome answers AUTH on behalf of qmail-authup (RFC 4954 §6), which says
	// nothing when the password was right.
	welcome = "235 ok, go ahead (#2.0.0)"
)

const (
	patience  = 20 * time.Minute
	handshake = time.Minute // that TLS may take to begin
)

// Program is qmail-ofmipd.
type Program struct {
	Wire  *inbound.Descriptors // if it has no patience, it gets ours
	Home  string               // of qmail
	Env   inbound.Env
	Names string // a cdb file made by ofmipname(8), or ""
	PID   int    // for Message-ID
}

// Serve is one session. It returns the program's exit code.
func (p *Program) Serve() int {
	if p.Wire.Patience == 0 {
		p.Wire.Patience = patience
	}
	_, authup := p.Env.Lookup("AUTHUP_USER")
	if err := p.run(authup); authup {
		return authupExit(err)
	} else if err != nil {
		return 1
	}
	return 0
}

func (p *Program) run(authup bool) error {
	conn := inbound.NewConn(p.Wire)
	c, err := load(p.Home, p.Env, p.Names)
	if err != nil {
		conn.Say(string(noControls))
		return errors.Join(noControls, err, conn.Flush())
	}
	if c.names != nil {
		defer c.names.Close()
	}
	d := inbound.Dialogue{
		Conn: conn, Name: c.greeting, Help: help,
		Level:  inbound.TakeLevel(&p.Env),
		Helper: inbound.FindHelper(p.Env, p.Wire, handshake),
		Queue:  inbound.Queue{Home: p.Home, Env: &p.Env},
		Server: newSession(c, p.PID),
	}
	if authup {
		d.First, d.Level = welcome, inbound.Unavailable
	}
	return d.Run()
}

// The exit codes that qmail-authup(8) lets through without a word of its own,
// and that for a time-out, which it reports. 1, 2 and 111 would be a wrong
// password, 18 its own control files.
const (
	exitRefusedForNow = 14
	exitRefused       = 15
	exitTimeout       = 16
)

// authupExit is the exit code of a session below qmail-authup that ended so.
func authupExit(err error) int {
	var last inbound.Fatal
	switch {
	case errors.As(err, &last) && last[0] == '4':
		return exitRefusedForNow
	case errors.As(err, &last) && last[0] == '5':
		return exitRefused
	case errors.Is(err, os.ErrDeadlineExceeded):
		return exitTimeout
	}
	return 0 // QUIT, or the client has gone
}

// session is qmail-ofmipd's side of a dialogue: an inbound.Server.
type session struct {
	*config
	now      func() time.Time
	rewriter mess822.Rewriter

	name  string // of the sender
	known bool   // the sender was found in the names
	utf8  bool   // MAIL said SMTPUTF8
}

func newSession(c *config, pid int) *session {
	return &session{
		config: c, now: time.Now,
		rewriter: mess822.Rewriter{Rules: c.rules, IDHost: c.idhost, PID: pid},
	}
}

// Extensions implements inbound.Server.
func (s *session) Extensions() []string {
	if s.smtputf8 {
		return []string{"SMTPUTF8"}
	}
	return nil
}

// settle gives an address the form that it has in an envelope.
func (s *session) settle(p smtp.Path) (string, error) {
	address := s.rules.Address(p.Address)
	if len(address) > inbound.MaxAddress {
		return "", inbound.BadSyntax
	}
	return address, nil
}

// Mail implements inbound.Server.
func (s *session) Mail(p smtp.Path) (string, error) {
	s.name, s.known, s.utf8 = "", false, false
	sender, err := s.settle(p)
	if err == nil {
		err = s.mailParams(p.Params)
	}
	if err != nil || s.names == nil {
		return sender, err
	}
	value, found, err := s.names.Get([]byte(sender))
	if err != nil {
		return "", noNames
	}
	if found {
		name, address, _ := bytes.Cut(value, []byte{0})
		sender, s.name, s.known = string(address), string(name), true
	}
	return sender, nil
}

// mailParams judges the parameters of MAIL.
func (s *session) mailParams(params []string) error {
	for _, param := range params {
		wants, err := inbound.MailParam(param, s.smtputf8)
		if err != nil {
			return err
		}
		s.utf8 = s.utf8 || wants
	}
	return nil
}

// Rcpt implements inbound.Server.
func (s *session) Rcpt(p smtp.Path) (string, error) {
	for _, param := range p.Params {
		switch keyword, _, _ := strings.Cut(param, "="); ascii.ToLower(keyword) {
		case "notify", "orcpt": // RFC 3461 §4
			return "", inbound.BadSyntax
		}
	}
	return s.settle(p)
}

// Accepted implements inbound.Server.
func (s *session) Accepted(int) string { return "250 ok" }

// Content implements inbound.Server. The header is held back until it has come
// whole; the body passes through.
func (s *session) Content(c *inbound.Conn, queue io.Writer, t *inbound.Session) error {
	var (
		began = s.now()
		text  = lines{strict: !c.BareLF()} // as DATA itself ended
		h     head
		large bool
		buf   []byte
	)
	for !text.Done() {
		in, err := c.Next()
		if err != nil {
			return err
		}
		out, n := text.Append(buf[:0], in)
		c.Used(n)
		buf = out
		if text.Mixed() {
			return mixedEnds
		}
		switch {
		case large: // heard to its end all the same
		case h.ended:
			queue.Write(out)
		default:
			large = !h.take(out) || h.ended && !s.head(queue, &h, t.Sender, began)
		}
	}
	if !large && !h.ended {
		h.finish()
		large = !s.head(queue, &h, t.Sender, began)
	}
	if large {
		return tooLarge
	}
	return nil
}

// head writes the rewritten header, and what of the body h has. It is false when
// there are too many addresses.
func (s *session) head(queue io.Writer, h *head, sender string, now time.Time) bool {
	s.rewriter.UTF8 = s.utf8
	text, ok := s.rewriter.Append(s.received(now), string(h.text), mess822.Origin{
		Sender: sender, Name: s.name, Known: s.known, Time: now,
	})
	if ok {
		queue.Write(text)
		queue.Write(h.tail)
	}
	h.text, h.tail = nil, nil
	return ok
}

// received is the field that goes before the message.
func (s *session) received(now time.Time) []byte {
	f := "Received: (ofmipd "
	if s.hasInfo {
		f += safe(s.remoteInfo) + "@"
	}
	return []byte(f + safe(s.remoteIP) + "); " + inbound.Date(now) + "\n")
}

// safe is s with "?" for every byte that could mean something in a comment.
// Compat(qmail): more bytes stay than in qmail-smtpd's field.
func safe(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c <= ' ' || c > '~' || strings.IndexByte(`()@\`, c) >= 0 {
			b[i] = '?'
		}
	}
	return string(b)
}
