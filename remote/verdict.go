package remote

import "postrider/internal/smtp"

// next is what follows a conversation.
type next uint8

const (
	stopHere    next = iota // its outcome is the delivery's
	nextAddress             // the host may do better at another address
	nextHost
)

// judge says who is tried after a conversation. The server that was told MAIL
// decides, whatever it said (RFC 5321 §5.1: only before MAIL is another host
// sure not to receive a second copy, and a refusal holds for the whole domain).
// All before it, a greeting of 5xx too, moves on; so do a message too large or
// addresses too modern for this host, which another may take.
func judge(t *smtp.Transaction) next {
	switch t.Fault {
	case smtp.TooLarge, smtp.NeedsUTF8:
		return nextHost
	case smtp.TLSLocal, smtp.PartialLine, smtp.Unreadable:
		return stopHere // ours to mend: every host would see the same
	}
	if t.Stage < smtp.AtMail {
		return nextAddress
	}
	return stopHere
}
