package main

import (
	"context"
	"net"

	"postrider/internal/fdconn"
	"postrider/internal/smtp"
	"postrider/smtpc"
)

// converse is the whole conversation of a program on its own. Without -h the
// greeting and HELO are behind us, and nothing is known of what was offered.
//
// There is no second connection, in which DATA would do for a server that offers
// BDAT and does not understand it; so all have DATA.
func (o *options) converse(ctx context.Context, conn net.Conn, m *smtp.Message, getenv func(string) string) smtp.Transaction {
	c := smtpc.New(conn, smtpc.Params{Helo: o.helo, Timeout: o.timeout, NoChunking: true})
	defer c.Close()
	var err error
	if o.greet {
		err = c.Greet(ctx)
		fds, offered := fdconn.Offered(getenv)
		if err == nil && offered && c.Ext().StartTLS {
			err = o.startTLS(ctx, c, fds)
		}
	}
	if err != nil {
		return ended(err)
	}
	t := c.Send(ctx, o.Envelope, m)
	c.Quit()
	if t.Fault == smtp.NoParams {
		t.Fault = smtp.NoFault // nor for MAIL without its parameters: the refusal stands
	}
	return t
}

// startTLS has the UCSPI-TLS helper do the handshake. It checks certificates as
// it was told to; without a session there is no delivery.
func (o *options) startTLS(ctx context.Context, c *smtpc.Conn, fds fdconn.TLSFDs) error {
	if err := c.RequestTLS(ctx); err != nil {
		return err
	}
	raw := c.Release()
	conn, records, err := fdconn.StartTLS(fds, o.timeout)
	raw.Close() // the helper has the socket
	if err != nil {
		return &smtp.Ending{Stage: smtp.AtTLS, Fault: smtp.TLSFailed, Detail: err.Error()}
	}
	sec := security(records.Get)
	if sec.Version == "" {
		sec.Version = "TLS" // some helpers say little; TLS it is all the same
	}
	return c.Secured(ctx, conn, sec)
}

// security is a session as a TLS helper describes it. SSL_VERIFIED is
// ucspi-tlsc's own; others do not say what they checked.
func security(get func(string) string) smtp.Security {
	s := smtp.Security{Version: get("SSL_PROTOCOL"), Cipher: get("SSL_CIPHER"), Verified: get("SSL_VERIFIED")}
	if s.Verified == "" {
		s.Verified = "no"
	}
	return s
}

// ended makes the record of a conversation that did not come to MAIL.
func ended(err error) smtp.Transaction {
	if e, ok := err.(*smtp.Ending); ok {
		return smtp.Transaction{Ending: *e}
	}
	panic("qmail-remote-io: smtpc gave an error that is no Ending: " + err.Error())
}
