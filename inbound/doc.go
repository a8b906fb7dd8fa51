// Package inbound is what qmail's servers have in common: a client heard and
// answered through buffers, the environment that a UCSPI server gives, the
// policy of UCSPITLS, the order of commands and the hand-off to qmail-queue.
//
// It knows the server's side of SMTP and of the UCSPI conventions. It does not
// know which server it is part of, who may relay, what a header means, nor any
// cryptography. The rooms beside it (smtpd, ofmipd, authup, fixsmtpio, proxy,
// tlsd) each are one program's policy; none of them imports another.
//
// How one session of qmail-smtpd or qmail-ofmipd goes:
//
//	Dialogue   says the greeting, reads Commands and keeps their order; what
//	           the two programs do differently is its Server
//	Conn       hears and says, and flushes before it waits
//	TakeLevel  has told whether STARTTLS is offered, or demanded
//	Helper     starts TLS: from here on the Conn speaks through it, and has
//	           forgotten every byte that came in clear
//	Queue      runs qmail-queue, gives it the content and the envelope, and
//	           turns its end into a reply
//
// What an argument of MAIL or RCPT is and how content is taken out of DATA,
// package smtp knows, which the client shares: ParsePath and Decoder.
package inbound
