package remote

import (
	"context"
	"net"
	"net/netip"

	"postrider/internal/smtp"
	"postrider/smtpc"
	"postrider/tlspolicy"
)

// Handover is a conversation at the moment when TLS begins: Conn is just after
// the 220 to STARTTLS, or just connected when Policy.Implicit.
type Handover struct {
	Conn     net.Conn
	Policy   *tlspolicy.Policy
	Params   smtpc.Params
	Creds    *smtpc.Credentials // nil: no AUTH
	Envelope smtp.Envelope
	Message  *smtp.Message
	QMTP     bool // speak QMTP instead of SMTP
	// Session is the chance to resume a TLS session; nil: none is kept.
	Session *tlspolicy.Session
	// Keep, if set, takes the conversation over when it ended in step, for
	// another message to the same place.
	Keep func(*smtpc.Conn)
	// Follow, if set, gives what may begin behind the content, or nil, when so many
	// transactions have gone over the conversation; see Next. Peer and Key go along.
	Follow func(transactions int) *Next
	Peer   netip.AddrPort
	Key    string
}

// Conns keeps conversations between deliveries, under a key of all that could
// change their meaning: address, TLS policy, credentials, source, HELO name.
type Conns interface {
	// Take gives one that is idle, or nil. It is the caller's from then on.
	Take(key string) *smtpc.Conn
	// Keep takes one over.
	Keep(key string, c *smtpc.Conn)
}

// Converser carries a conversation on under TLS, to the end of its one
// transaction, and closes the connection. A handshake that fails is an Ending
// at AtTLS with TLSFailed. qmail-remote runs it in processes of their own
// (internal/chain), the engine in this one (InProcess).
type Converser interface {
	Converse(ctx context.Context, h *Handover) *smtp.Transaction
}
