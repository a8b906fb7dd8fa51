package authup

// reply is what can go wrong, as SMTP and POP3 say it.
type reply struct {
	code, text, enhanced string // POP3 says the text alone
}

// Fatals: they end the session with exit code 1.
var (
	noControls = reply{"421", "unable to read controls", "4.3.0"}
	timedOut   = reply{"451", "timeout", "4.4.2"}
	noPipe     = reply{"454", "unable to open pipe", "4.3.0"}
	noRead     = reply{"454", "unable to read pipe", "4.3.0"}
	noWrite    = reply{"454", "unable to write pipe", "4.3.0"}
	noFork     = reply{"454", "unable to fork", "4.3.0"}
	noWait     = reply{"454", "unable to wait for child", "4.3.0"}
	crashed    = reply{"454", "aack, child crashed", "4.3.0"}
	noSense    = reply{"501", "protocol exchange ended", "5.0.0"}
	noTLS      = reply{"454", "TLS temporarily not available", "5.7.3"}
)

// Refusals: the session goes on, but for badAuth after the last attempt.
var (
	badAuth    = reply{"535", "authorization failed", "5.7.0"}
	malformed  = reply{"501", "malformed auth input", "5.5.4"}
	cancelled  = reply{"501", "auth exchange cancelled", "5.0.0"}
	noSuchAuth = reply{"504", "auth type unimplemented", "5.5.1"}
	wantTLS    = reply{"530", "Must start TLS first", "5.7.0"}
	wantAuth   = reply{"530", "authentication required", "5.7.1"}
	wantLogin  = reply{"", "authorization first", ""}
	wantUser   = reply{"", "USER first", ""}
	badSyntax  = reply{"", "syntax error", ""}
)

// tell says r as the protocol has it.
func (s *session) tell(r reply) {
	switch {
	case s.Popup:
		s.conn.Say("-ERR ", r.text)
	case s.Protocol == POP3:
		s.conn.Say("-ERR authup ", r.text)
	default:
		s.conn.Say(r.code, " authup ", r.text, " (#", r.enhanced, ")")
	}
}

// fatal says r and ends the session.
func (s *session) fatal(r reply) outcome {
	s.tell(r)
	return 1
}
