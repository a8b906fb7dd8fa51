package remote

import (
	"context"
	"net"

	"postrider/internal/smtp"
	"postrider/smtpc"
	"postrider/tlspolicy"
)

// Handover is a conversation at the moment when TLS begins: Conn is just after
// the 220 to STARTTLS, or just connected when Policy.Implicit.
type Handover struct {
	Conn     net.Conn
	Policy   tlspolicy.Policy
	Params   smtpc.Params
	Creds    *smtpc.Credentials // nil: no AUTH
	Envelope smtp.Envelope
	Message  *smtp.Message
	QMTP     bool // speak QMTP instead of SMTP
}

// Converser carries a conversation on under TLS, to the end of its one
// transaction, and closes the connection. A handshake that fails is an Ending
// at AtTLS with TLSFailed. qmail-remote runs it in processes of their own
// (internal/chain), the engine in this one (InProcess).
type Converser interface {
	Converse(ctx context.Context, h Handover) smtp.Transaction
}
