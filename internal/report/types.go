package report

import "postrider/internal/smtp"

// Cause names one sentence of the catalogue: why a delivery ended as it did.
type Cause uint8

const (
	Accepted          Cause = iota // K: the server took the message
	GaveUp                         // D "Giving up on": no recipient was accepted
	GreetingFailed                 // Z, with or without a reply
	NameRejected                   // Z "my name was rejected"
	SenderRefused                  // Z or D by the reply
	DataRefused                    // Z or D by the reply
	ContentRefused                 // Z or D by the reply: "failed after I sent the message"
	ConnectionDied                 // Z, "Possible duplicate!" if InDoubt
	NotSMTP                        // Z: what the server says is no SMTP; InDoubt as above
	NoConnection                   // Z 4.4.1
	Busy                           // Z 4.3.2: too much mail for the host waits already; nobody was asked
	NoSuchHostYet                  // Z 4.1.2 "couldn't find any host by that name": DNS failed softly
	NoSuchHost                     // D 5.1.2 "couldn't find any host named X"
	NoExchanger                    // D 5.4.4 "couldn't find a mail exchanger or IP address"
	NullMX                         // D 5.1.10
	Ambiguous                      // D 5.4.6 "best-preference MX"
	PartialLine                    // D 5.6.2
	UnreadableMessage              // Z 4.3.0
	UnreadableControl              // Z 4.3.0; Detail names the file and the line
	NoHome                         // Z 4.3.0 "Unable to switch to home directory"
	OutOfMemory                    // Z 4.3.0
	NoResources                    // Z 4.3.0 "System resources temporarily unavailable"
	NoSource                       // Z 4.3.5: the source address of control/domainips cannot be had; Detail says it and why
	Usage                          // D 5.3.5 "invoked improperly"
	Crashed                        // Z 4.3.0 "qmail-remote crashed."
	BadAddress                     // D 5.1.3: CR, LF or NUL in an address
	TLSRequired                    // Z 4.7.5: TLS was required and did not come about
	DANEFailed                     // Z 4.7.5
	STSFailed                      // Z 4.7.5
	TLSLocal                       // Z 4.3.0: our own keys or anchors cannot be used; Detail says which
	UTF8Unavailable                // D 5.6.7
	TooLarge                       // D 5.3.4
	AuthRefused                    // Z 4.7.8, with the reply
	AuthImpossible                 // Z 4.7.0: no mechanism, or the password would be revealed
	RequireTLSFailed               // D 5.7.30
)

// Outcome is what became of one delivery.
type Outcome struct {
	Cause Cause
	Host  string // the peer as the sentence names it: its address, or the host looked up
	// Reply is what the server said about it, if anything.
	Reply smtp.Reply
	// Rcpts holds the replies to RCPT in argument order, none when the
	// conversation did not come that far.
	Rcpts []smtp.Reply
	// Each says that a positive reply to a recipient is the acceptance of the message
	// for him, whatever becomes of the others (QMTP).
	Each    bool
	InDoubt bool          // the server may have the message
	TLS     smtp.Security // of the conversation that decided
	Detail  string        // more for people: a TLS error, a control file's line
}
