package authup

import (
	"bytes"

	"postrider/inbound"
)

// greetPOP3 shows the timestamp that the original shows, though it promises APOP
// (RFC 1939 §7), which we have not. Not so where TLS is offered or under way:
// there passwords are safe without, and curl(1), for one, takes the promise at
// its word and gives up.
func (s *session) greetPOP3() {
	if s.offers() || s.Env.Get("SSL_PROTOCOL") != "" {
		s.conn.Say("+OK ", s.Greeting)
		return
	}
	s.conn.Say("+OK ", s.stamp)
}

// pop3 obeys one command of the AUTHORIZATION state (RFC 1939 §4). There is no
// APOP: checkpassword would need the passwords themselves.
func (s *session) pop3(c inbound.Command, arg []byte) outcome {
	switch {
	case c.Is("USER"):
		s.userCommand(arg)
	case c.Is("PASS"):
		return s.pass(arg)
	case c.Is("CAPA"):
		s.capa()
	case c.Is("STLS"): // RFC 2595 §4
		if !s.offers() {
			s.conn.Say("-ERR STLS not available")
			return goOn
		}
		return s.startTLS("+OK starting TLS negotiation")
	case c.Is("NOOP"):
		s.conn.Say("+OK ")
	case c.Is("QUIT"):
		s.conn.Say("+OK ")
		if s.Popup {
			return 1 // Compat(qmail)
		}
		return 0
	default:
		s.tell(wantLogin)
	}
	return goOn
}

func (s *session) capa() {
	s.conn.Say("+OK capability list follows")
	if s.offers() {
		s.conn.Say("STLS")
	}
	s.conn.Say("USER")
	for _, line := range s.Capabilities {
		s.conn.Say(line)
	}
	s.conn.Say(".")
}

// fits reports whether arg can be one of checkpassword's strings.
func fits(arg []byte) bool {
	return len(arg) > 0 && bytes.IndexByte(arg, 0) < 0
}

func (s *session) userCommand(arg []byte) {
	switch {
	case s.bare():
		s.tell(wantTLS)
	case !fits(arg):
		s.tell(badSyntax)
	default:
		s.forgetUser()
		s.user = bytes.Clone(arg)
		s.conn.Say("+OK ")
	}
}

// pass takes the rest of the line, its spaces too, for the password.
func (s *session) pass(arg []byte) outcome {
	if s.user == nil {
		s.tell(wantUser)
		return goOn
	}
	if !fits(arg) {
		s.tell(badSyntax)
		return goOn
	}
	return s.attempt(&credential{user: s.user, pass: arg})
}
