package authup

import (
	"bytes"

	"postrider/inbound"
)

func (s *session) greetSMTP() {
	s.conn.Say("220 ", s.Greeting, " ESMTP")
}

// smtp obeys one command. Everything that is not about getting in waits for the
// program behind checkpassword.
func (s *session) smtp(c inbound.Command, arg []byte) outcome {
	switch {
	case c.Is("EHLO"):
		s.ehlo()
	case c.Is("HELO"):
		s.conn.Say("250 ", s.Greeting)
	case c.Is("AUTH"):
		return s.auth(arg)
	case c.Is("STARTTLS"):
		return s.startTLSCommand(arg)
	case c.Is("NOOP"):
		s.conn.Say("250 ok")
	case c.Is("HELP"):
		s.conn.Say("214 authup is Postrider's: see qmail-authup(8)")
	case c.Is("QUIT"):
		s.conn.Say("221 ", s.Greeting)
		return 0
	default:
		s.tell(wantAuth)
	}
	return goOn
}

// ehlo lists AUTH also where TLS must come first: clients then say what is
// missing instead of going on without a password.
func (s *session) ehlo() {
	list := []string{s.Greeting}
	if s.offers() {
		list = append(list, "STARTTLS")
	}
	list = append(list, "AUTH LOGIN PLAIN")
	if _, broken := s.Env.Lookup("AUTHUP_SASL_BROKEN_CLIENTS"); broken {
		list = append(list, "AUTH=LOGIN PLAIN") // before RFC 2554
	}
	list = append(list, s.Capabilities...)
	last := len(list) - 1
	for _, line := range list[:last] {
		s.conn.Say("250-", line)
	}
	s.conn.Say("250 ", list[last])
}

func (s *session) startTLSCommand(arg []byte) outcome {
	switch {
	case !s.offers():
		s.conn.Say("502 unimplemented (#5.5.1)")
		return goOn
	case len(arg) > 0: // RFC 3207 §4
		s.conn.Say("501 Syntax error (no parameters allowed) (#5.5.4)")
		return goOn
	}
	return s.startTLS("220 Ready to start TLS (#5.7.0)")
}

// auth is one AUTH command with its exchange (RFC 4954 §4).
func (s *session) auth(arg []byte) outcome {
	if s.bare() {
		s.tell(wantTLS)
		return goOn
	}
	mechanism, initial, _ := bytes.Cut(arg, []byte{' '})
	initial = bytes.TrimLeft(initial, " ")
	var who credential
	defer who.wipe()
	var err error
	switch m := (inbound.Command{Verb: string(mechanism)}); {
	case m.Is("PLAIN"):
		err = s.plain(&who, initial)
	case m.Is("LOGIN"):
		err = s.login(&who, initial)
	default:
		s.tell(noSuchAuth)
		return goOn
	}
	switch err {
	case nil:
		return s.attempt(&who)
	case errMalformed:
		s.tell(malformed)
		return goOn
	case errCancelled:
		s.tell(cancelled)
		return goOn
	}
	return s.lost(err)
}
