package smtp

// Stage is a place in the client's conversation: whose reply is awaited.
//
// Legal paths (RFC 5321 §3.1–§3.3, RFC 3207 §4, RFC 4954 §4):
//
//	AtGreeting → AtEHLO → [AtHELO] → [AtTLS → AtEHLO] → [AtAuth] →
//	AtMail → AtRcpt … AtRcpt → AtData → AtBody → AtDot → AtQuit
//
// Any stage may be the last. The invariant: until AtDot the server cannot have
// taken the message; at AtDot without a reply nobody knows; AtQuit means that
// it said yes. A Transaction's Stage is where the conversation ended.
type Stage uint8

const (
	AtGreeting Stage = iota // connected, nothing heard yet
	AtEHLO
	AtHELO
	AtTLS  // STARTTLS said, or the handshake under way
	AtAuth // AUTH and its challenges
	AtMail
	AtRcpt
	AtData // DATA said, 354 awaited
	AtBody // content on its way, its end not yet sent
	AtDot  // the final dot, or the last BDAT, has been handed to the kernel
	AtQuit // the message was accepted
)

var stageNames = [...]string{"greeting", "EHLO", "HELO", "TLS", "AUTH", "MAIL", "RCPT", "DATA", "body", "dot", "QUIT"}

func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return "unknown stage"
}

// Fault is why a conversation ended without a reply that decides it.
type Fault uint8

const (
	NoFault     Fault = iota // Reply decides
	Dropped                  // the connection ended before a whole reply came
	TimedOut                 // no whole reply, or no room to write, in time
	Garbled                  // what came is not SMTP, or out of step; Reply may hold it
	TooLarge                 // the message is longer than the SIZE offered (RFC 1870)
	NeedsUTF8                // SMTPUTF8 is needed and not offered (RFC 6531 §3.2)
	PartialLine              // the message does not end with a newline
	Unreadable               // the message could not be read
	NoTLS                    // STARTTLS is not offered, or was refused (Reply says how)
	TLSFailed                // the handshake, or what stood around it, broke
	NoMechanism              // AUTH is wanted, and no mechanism in common is offered
	WouldReveal              // AUTH would send a password in clear
	NoChunking               // BDAT is offered and not understood (RFC 3030); DATA may do
	TLSLocal                 // our own keys or trust anchors cannot be used
	NoParams                 // MAIL with parameters is refused, as Reply says, and there was no saying it without
)

var faultNames = [...]string{"none", "dropped", "timed out", "garbled", "too large", "needs SMTPUTF8", "partial line",
	"message unreadable", "no TLS", "TLS failed", "no mechanism", "would reveal the password", "BDAT not understood", "TLS keys or anchors unusable", "parameters refused"}

func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return "unknown fault"
}

// Security is what protected a conversation; the zero value is cleartext.
type Security struct {
	Version  string // "TLSv1.3"
	Cipher   string // IANA name of the cipher suite
	Verified string // "no", "pkix", "dane" or "sts"
}

// Ending is where and why a conversation ended.
type Ending struct {
	Stage  Stage
	Fault  Fault
	Reply  Reply  // decides when Fault is NoFault; else what was heard, maybe nothing
	Detail string // more about the fault, for people: the TLS error, say; may be empty
}

// Error makes an early Ending (greeting, EHLO, TLS, AUTH) a Go error.
func (e *Ending) Error() string {
	s := "smtp: at " + e.Stage.String()
	if e.Fault != NoFault {
		s += ": " + e.Fault.String()
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Reply.Code != 0 {
		s += ": " + e.Reply.String()
	}
	return s
}

// Transaction is the record of one conversation about one message. It crosses
// from qmail-remote-io to qmail-remote as bytes (AppendTo, ParseTransaction).
type Transaction struct {
	Ending
	// Rcpts holds the replies to RCPT, in argument order; shorter than the
	// recipients when the conversation ended before all were answered.
	Rcpts []Reply
	TLS   Security
}

// Accepted reports whether the server took the message.
func (t *Transaction) Accepted() bool { return t.Stage == AtQuit && t.Fault == NoFault }

// InDoubt reports whether the server may have taken the message without our
// knowing (RFC 1047): the end of content was sent and no verdict came back.
func (t *Transaction) InDoubt() bool { return t.Stage == AtDot && t.Fault != NoFault }
