package report

// byReply is the letter of a sentence whose class the server's reply decides:
// D for 5xx, Z for all else.
const byReply = 'r'

// sentence is one entry of the catalogue. In text, %h is the peer or host.
// Where code is empty, the reply that follows carries one, as in stock qmail.
type sentence struct {
	letter byte
	text   string
	code   string
}

// say is the catalogue: the whole of what a delivery can say in English. It is
// a switch and not a table so that a process that lives for one delivery
// builds nothing at its start. The stock causes read as in notqmail's
// qmail-remote, to the byte, since bounce parsers match them.
func (c Cause) say() sentence {
	switch c {
	case Accepted:
		return sentence{'K', "%h accepted message", ""}
	case GaveUp: // D even when every recipient is deferred: qmail-rspawn goes by the recipient's letter
		return sentence{'D', "Giving up on %h", ""}
	case GreetingFailed:
		return sentence{'Z', "Connected to %h but greeting failed", ""}
	case NameRejected:
		return sentence{'Z', "Connected to %h but my name was rejected", ""}
	case SenderRefused:
		return sentence{byReply, "Connected to %h but sender was rejected", ""}
	case DataRefused:
		return sentence{byReply, "%h failed on DATA command", ""}
	case ContentRefused:
		return sentence{byReply, "%h failed after I sent the message", ""}
	case ConnectionDied:
		return sentence{'Z', "Connected to %h but connection died", "4.4.2"}
	case NotSMTP:
		return sentence{'Z', "Connected to %h but what it says is not SMTP", "4.5.0"}
	case NoConnection:
		return sentence{'Z', "Sorry, I wasn't able to establish an SMTP connection", "4.4.1"}
	case Busy:
		return sentence{'Z', "Sorry, too much mail for %h is waiting already", "4.3.2"}
	case NoSuchHostYet:
		return sentence{'Z', "Sorry, I couldn't find any host by that name", "4.1.2"}
	case NoSuchHost:
		return sentence{'D', "Sorry, I couldn't find any host named %h", "5.1.2"}
	case NoExchanger:
		return sentence{'D', "Sorry, I couldn't find a mail exchanger or IP address", "5.4.4"}
	case NullMX:
		return sentence{'D', "Sorry, %h does not accept mail: its MX record says so", "5.1.10"}
	case Ambiguous:
		return sentence{'D', "Sorry. Although I'm listed as a best-preference MX or A for that host,\n" +
			"it isn't in my control/locals file, so I don't treat it as local", "5.4.6"}
	}
	return c.sayLocal()
}

// sayLocal is the part of the catalogue about ourselves and about policy.
func (c Cause) sayLocal() sentence {
	switch c {
	case PartialLine:
		return sentence{'D', "SMTP cannot transfer messages with partial final lines", "5.6.2"}
	case UnreadableMessage:
		return sentence{'Z', "Unable to read message", "4.3.0"}
	case UnreadableControl:
		return sentence{'Z', "Unable to read control files", "4.3.0"}
	case NoHome:
		return sentence{'Z', "Unable to switch to home directory", "4.3.0"}
	case OutOfMemory:
		return sentence{'Z', "Out of memory", "4.3.0"}
	case NoResources:
		return sentence{'Z', "System resources temporarily unavailable", "4.3.0"}
	case NoSource:
		return sentence{'Z', "Unable to send from the address that control/domainips names", "4.3.5"}
	case Usage:
		return sentence{'D', "I (qmail-remote) was invoked improperly", "5.3.5"}
	case Crashed:
		return sentence{'Z', "qmail-remote crashed", "4.3.0"}
	case BadAddress:
		return sentence{'D', "Sorry, an address contains a character that mail cannot carry", "5.1.3"}
	case TLSRequired:
		return sentence{'Z', "Connected to %h but TLS is required and I can't have it", "4.7.5"}
	case DANEFailed:
		return sentence{'Z', "Sorry, DANE protects mail to %h and I can't verify it", "4.7.5"}
	case STSFailed:
		return sentence{'Z', "Sorry, MTA-STS protects mail to %h and I can't verify it", "4.7.5"}
	case TLSLocal:
		return sentence{'Z', "Unable to set up TLS on my side", "4.3.0"}
	case UTF8Unavailable:
		return sentence{'D', "%h does not take internationalized addresses", "5.6.7"}
	case TooLarge:
		return sentence{'D', "%h says that the message is too large for it", "5.3.4"}
	case AuthRefused:
		return sentence{'Z', "Connected to %h but authentication was rejected", "4.7.8"}
	case AuthImpossible:
		return sentence{'Z', "Connected to %h but I can't authenticate to it", "4.7.0"}
	case RequireTLSFailed:
		return sentence{'D', "%h can't promise the TLS that the sender requires", "5.7.30"}
	}
	panic("report: no sentence for cause " + string(rune('0'+c/10)) + string(rune('0'+c%10)))
}
