// Package chain carries a conversation on under TLS in processes of their own,
// so that keys and TLS records are out of qmail-remote's reach and SMTP is out
// of the reach of whoever holds the keys:
//
//	qmail-remote ── socket ──→ ucspi-tlsc ── cleartext on 6 and 7 ──→ qmail-remote-io
//	     │  policy, on a pipe ────→ ┘                                   ↑     │
//	     └─ message, on 0, and job, on a pipe ───────────────────────── ┘     │
//	     ↑ marks and record, on a socket; leave to end the content ←────────→ ┘
//
// ucspi-tlsc does the handshake first and starts qmail-remote-io only then, so
// whatever precedes the first mark is a failure of TLS or of ours, before MAIL.
// The record that comes back is the outcome, whatever becomes of the two
// afterwards. Without a whole record the last mark decides; once the end of the
// content may have left, the message is in doubt, and never accepted.
//
// Both helpers end with us: ctx ends their process group, our death ends them
// by PR_SET_PDEATHSIG and by the end of their pipes, and qmail-remote-io sends
// no end of content that it has no leave from us to send. None is given when
// nobody reads the report: Chain.Heard.
//
// It knows processes and pipes. It does not know TLS or SMTP.
package chain
