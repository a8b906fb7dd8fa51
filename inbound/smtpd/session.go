package smtpd

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"postrider/inbound"
	"postrider/internal/ascii"
	"postrider/internal/smtp"
)

// Replies of qmail-smtpd's own.
const (
	noControls = inbound.Fatal("421 unable to read controls (#4.3.0)")
	timedOut   = inbound.Fatal("451 timeout (#4.4.2)")
	bareLF     = inbound.Fatal("451 See https://cr.yp.to/docs/smtplf.html.")

	badSender = inbound.Refusal("553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)")
	noRelay   = inbound.Refusal("553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)")
	looping   = inbound.Refusal("554 too many hops, this message is looping (#5.4.6)")
	tooBig    = inbound.Refusal("552 sorry, that message size exceeds my databytes limit (#5.3.4)")

	help = "214 Postrider, a qmail: see qmail-smtpd(8)"
)

const (
	maxHops = 100
	// firstPatience is how long a client may take to be told that the control
	// files cannot be read; they say how long it may take for all else.
	firstPatience = time.Minute
	// handshake is how long TLS may take to begin.
	handshake = time.Minute
)

// Serve is one session of qmail-smtpd with the client on wire, below a qmail
// home. Its error, whatever the client was told, ends in exit code 1; nil is
// for QUIT.
func Serve(wire *inbound.Descriptors, home string, env inbound.Env) error {
	wire.Patience = firstPatience
	conn := inbound.NewConn(wire)
	s, err := newSession(home, env)
	if err != nil {
		conn.Say(string(noControls))
		return errors.Join(err, conn.Flush())
	}
	wire.Patience = s.timeout
	level := inbound.TakeLevel(&env)
	d := inbound.Dialogue{
		Conn: conn, Name: s.greeting, Help: help,
		Queue:  inbound.Queue{Home: home, Env: &env},
		Level:  level,
		Helper: inbound.FindHelper(env, wire, handshake),
		Server: s,
	}
	err = d.Run()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		conn.Say(string(timedOut))
		conn.Flush() // nothing, when it was this that took too long
	}
	return err
}

// session is qmail-smtpd's side of a dialogue: an inbound.Server.
type session struct {
	*config
	now        func() time.Time
	interfaces func() ([]netip.Addr, error)
	addresses  map[netip.Addr]bool // interfaces's, once asked

	barred bool // the sender is in badmailfrom
	utf8   bool // MAIL said SMTPUTF8
}

func newSession(home string, env inbound.Env) (*session, error) {
	c, err := load(home, env)
	if err != nil {
		return nil, err
	}
	return &session{config: c, now: time.Now, interfaces: upInterfaces}, nil
}

// Extensions implements inbound.Server.
func (s *session) Extensions() []string {
	var list []string
	if s.databytes > 0 {
		list = append(list, "SIZE "+strconv.FormatUint(s.databytes, 10))
	}
	if s.smtputf8 {
		list = append(list, "SMTPUTF8")
	}
	return list
}

// Mail implements inbound.Server.
func (s *session) Mail(p smtp.Path) (string, error) {
	sender, err := s.settle(p.Address)
	if err == nil {
		err = s.mailParams(p.Params)
	}
	if err != nil {
		return "", err
	}
	_, s.barred = s.badSenders.Lookup(sender)
	if host, remote := domain(sender); remote && !s.barred {
		_, s.barred = s.badSenders.Lookup("@" + host)
	}
	return sender, nil
}

// mailParams judges the parameters of MAIL.
func (s *session) mailParams(params []string) error {
	s.utf8 = false
	for _, param := range params {
		keyword, value, _ := strings.Cut(param, "=")
		switch ascii.ToLower(keyword) {
		case "size": // RFC 1870 §6.1
			if s.databytes > 0 && (value == "" || strings.Trim(value, "0123456789") != "") {
				return inbound.BadSyntax
			}
			if s.databytes > 0 && number(value) > s.databytes {
				return tooBig
			}
		default:
			wants, err := inbound.MailParam(param, s.smtputf8)
			if err != nil {
				return err
			}
			s.utf8 = s.utf8 || wants
		}
	}
	return nil
}

// Rcpt implements inbound.Server.
func (s *session) Rcpt(p smtp.Path) (string, error) {
	rcpt, err := s.settle(p.Address)
	if err != nil {
		return "", err
	}
	if s.barred {
		return "", badSender
	}
	for _, param := range p.Params {
		switch keyword, _, _ := strings.Cut(param, "="); ascii.ToLower(keyword) {
		case "notify", "orcpt": // RFC 3461 §4
			return "", inbound.BadSyntax
		}
	}
	if s.mayRelay {
		return rcpt + s.relay, nil
	}
	allowed, err := s.rcpts.allow(rcpt)
	switch {
	case err != nil:
		return "", noControls
	case !allowed:
		return "", noRelay
	}
	return rcpt, nil
}

// Accepted implements inbound.Server.
func (s *session) Accepted(pid int) string {
	return "250 ok " + strconv.FormatInt(s.now().Unix(), 10) + " qp " + strconv.Itoa(pid)
}

// Content implements inbound.Server.
func (s *session) Content(c *inbound.Conn, queue io.Writer, t *inbound.Session) error {
	queue.Write(s.received(t))
	var (
		body smtp.Decoder
		hops inbound.Hops
		size uint64
		buf  []byte
	)
	for !body.Done() {
		in, err := c.Next()
		if err != nil {
			return err
		}
		out, n, err := body.Append(buf[:0], in)
		c.Used(n)
		if err != nil {
			return bareLF
		}
		hops.Count(out)
		if size += uint64(len(out)); s.databytes == 0 || size <= s.databytes {
			queue.Write(out)
		}
		buf = out
	}
	switch {
	case hops.N >= maxHops:
		return looping
	case s.databytes > 0 && size > s.databytes:
		return tooBig
	}
	return nil
}

// received is the field that goes before the message (RFC 5321 §4.4).
// Compat(qmail-smtputf8): qmail-remote finds "with UTF8" where it is here.
func (s *session) received(t *inbound.Session) []byte {
	f := "Received: from " + inbound.Safe(s.remoteHost)
	if t.Greeted && ascii.ToLower(t.Helo) != ascii.ToLower(s.remoteHost) {
		f += " (HELO " + inbound.Safe(t.Helo) + ")"
	}
	f += " ("
	if s.hasInfo {
		f += inbound.Safe(s.remoteInfo) + "@"
	}
	f += inbound.Safe(s.remoteIP) + ")\n  by " + inbound.Safe(s.local)
	return []byte(f + " with " + s.protocol(t) + "; " + inbound.Date(s.now()) + "\n")
}

// protocol is the word for how the message came (RFC 3848, RFC 6531 §4.3).
func (s *session) protocol(t *inbound.Session) string {
	word := "SMTP"
	switch {
	case s.utf8:
		word = "UTF8SMTP"
	case t.Extended:
		word = "ESMTP"
	}
	if (t.TLS || s.underTLS) && word != "SMTP" {
		word += "S"
	}
	return word
}
