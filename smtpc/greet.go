package smtpc

import (
	"context"
	"net"

	"postrider/internal/smtp"
)

// Greet hears the greeting and says EHLO. Only 220 is a greeting (RFC 5321
// §3.1); nothing is said before it, and nothing may come behind it.
func (c *Conn) Greet(ctx context.Context) error {
	if c.over {
		return gone(smtp.AtGreeting)
	}
	defer c.watch(ctx)()
	c.listen(flight{replies: 1})
	r, end := c.hear(smtp.AtGreeting)
	if end == nil && r.Code != 220 {
		end = c.refused(smtp.AtGreeting, r)
	}
	if end == nil {
		end = c.hello()
	}
	return asError(end)
}

// Hello says EHLO, or HELO to a server that does not know EHLO, after somebody
// else has heard the greeting.
func (c *Conn) Hello(ctx context.Context) error {
	if c.over {
		return gone(smtp.AtEHLO)
	}
	defer c.watch(ctx)()
	return asError(c.hello())
}

// hello forgets what was offered before. Field: servers say all kinds of 5yz
// to EHLO when they mean 500 (RFC 5321 §3.2).
func (c *Conn) hello() *smtp.Ending {
	c.ext = smtp.Extensions{}
	if !c.p.HeloOnly {
		r, end := c.ask(smtp.AtEHLO, "EHLO "+c.p.Helo)
		if end != nil {
			return end
		}
		if r.Positive() {
			c.ext = smtp.ParseExtensions(r)
			if c.secured() {
				c.ext.StartTLS = false // RFC 3207 §4.2: never twice
			}
			return nil
		}
		if !r.Permanent() {
			return c.refused(smtp.AtEHLO, r)
		}
	}
	r, end := c.ask(smtp.AtHELO, "HELO "+c.p.Helo)
	if end == nil && !r.Positive() {
		end = c.refused(smtp.AtHELO, r)
	}
	return end
}

// secured reports whether TLS protects what is said.
func (c *Conn) secured() bool { return c.tls.Version != "" }

// RequestTLS says STARTTLS and hears its 220 (RFC 3207 §4). Then Release the
// connection for the handshake. After NoTLS the conversation can go on in
// clear, if that is allowed; after any other failure it is over.
func (c *Conn) RequestTLS(ctx context.Context) error {
	if c.over {
		return gone(smtp.AtTLS)
	}
	if !c.ext.StartTLS {
		return &smtp.Ending{Stage: smtp.AtTLS, Fault: smtp.NoTLS}
	}
	defer c.watch(ctx)()
	c.ext.StartTLS = false
	r, end := c.ask(smtp.AtTLS, "STARTTLS")
	switch {
	case end != nil && r.Code == 220:
		// Somebody on the path wants his words to be heard as if they came
		// under TLS (CVE-2011-0411).
		end.Fault, end.Detail = smtp.TLSFailed, "bytes in clear behind the reply to STARTTLS"
	case end != nil || r.Code == 220:
	case refusal(r):
		end = &smtp.Ending{Stage: smtp.AtTLS, Fault: smtp.NoTLS, Reply: r}
	default:
		end = c.garbled(smtp.AtTLS, r, "not a reply to STARTTLS")
		end.Fault = smtp.TLSFailed
	}
	return asError(end)
}

// Secured carries the conversation on over conn, which the handshake made of
// the released connection. All that was heard in clear is forgotten.
func (c *Conn) Secured(ctx context.Context, conn net.Conn, sec smtp.Security) error {
	c.nc, c.tls = conn, sec
	c.in.Reset(source{c})
	c.owed, c.werr, c.hurry, c.over = 0, nil, false, false
	defer c.watch(ctx)()
	return asError(c.hello())
}

// gone is the answer of a conversation that is over already.
func gone(at smtp.Stage) *smtp.Ending {
	return &smtp.Ending{Stage: at, Fault: smtp.Dropped, Detail: "the conversation is over"}
}
