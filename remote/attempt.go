package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"postrider/internal/qmtp"
	"postrider/internal/smtp"
	"postrider/smtpc"
	"postrider/tlspolicy"
)

// manner is how one address is spoken to. Each of its parts weakens at most
// once, on a fresh connection, so that an address hears from us a few times at
// the most.
type manner struct {
	policy     *tlspolicy.Policy // nobody changes what it points to
	key        string            // of conversations held so, see trial.key; "" where none is kept
	heloOnly   bool              // it dropped us for EHLO
	noChunking bool              // it offers BDAT and doesn't understand it
	plain      bool              // it refused MAIL with parameters, and was gone
	// session is the chance to resume an earlier TLS session; nil where none is
	// kept. It weakens to a full handshake.
	session *tlspolicy.Session
}

// weaker makes m the manner in which the same address may still take the message
// after t, and reports whether there is one.
func (m *manner) weaker(t *smtp.Transaction) bool {
	switch {
	case brokeTLS(t) && m.session != nil && m.session.Offered:
		// Without the offer nothing is known of the server's TLS; least of all
		// that there is none.
		m.session = &tlspolicy.Session{Key: m.session.Key, Afresh: true}
		return true
	case brokeTLS(t) && m.policy.MayPlain():
		// Opportunistic TLS never strands a message (RFC 7435 §3).
		m.policy = &tlspolicy.Policy{Mode: tlspolicy.None}
		return true
	case t.Stage == smtp.AtHELO && t.Fault == smtp.Dropped && !m.heloOnly:
		m.heloOnly = true // Field: some close the connection at EHLO's refusal
		return true
	case t.Fault == smtp.NoChunking && !m.noChunking:
		m.noChunking = true
		return true
	case t.Fault == smtp.NoParams && !m.plain:
		m.plain = true
		return true
	}
	return false
}

// brokeTLS reports whether TLS is what a conversation died of. Under TLS 1.3 a
// server's refusal of the handshake is heard only after it, in place of the
// reply to EHLO (RFC 8446 §4.4).
func brokeTLS(t *smtp.Transaction) bool {
	switch t.Stage {
	case smtp.AtTLS:
		return t.Fault != smtp.TLSLocal
	case smtp.AtGreeting, smtp.AtEHLO:
		return t.TLS.Version != "" && t.Fault == smtp.Dropped
	}
	return false
}

// converse speaks to one address on conn, and again on fresh connections while
// a weaker manner may help, and closes them.
func (t *trial) converse(ctx context.Context, c *Candidate, conn net.Conn, peer netip.AddrPort) *smtp.Transaction {
	m := t.manner(&c.Policy, peer)
	if t.Sessions {
		m.session = &tlspolicy.Session{Key: m.key}
	}
	for {
		tx := t.attempt(ctx, m, c, conn, peer)
		if !m.weaker(tx) {
			return tx
		}
		if m.policy.Mode != c.Policy.Mode {
			m.key = t.manner(m.policy, peer).key
		}
		var err error
		if conn, err = t.alone(ctx, t.from, peer); err != nil {
			return tx
		}
	}
}

// manner is how peer is spoken to at first.
func (t *trial) manner(p *tlspolicy.Policy, peer netip.AddrPort) *manner {
	m := &manner{policy: p}
	if t.Conns != nil || t.Sessions {
		m.key = t.key(p, peer)
	}
	return m
}

// attempt is one conversation on one connection.
func (t *trial) attempt(ctx context.Context, m *manner, to *Candidate, conn net.Conn, peer netip.AddrPort) *smtp.Transaction {
	h := t.handover(m, to, peer)
	h.Conn = conn
	if m.policy.Implicit {
		h.Envelope = t.job.envelope()
		return t.UnderTLS.Converse(ctx, h)
	}
	if h.QMTP {
		if m.policy.Required() { // QMTP has no STARTTLS
			conn.Close()
			return &smtp.Transaction{Ending: smtp.Ending{Stage: smtp.AtTLS, Fault: smtp.NoTLS}}
		}
		return t.byQMTP(ctx, h)
	}
	c, tx := h.open(ctx)
	if tx != nil {
		return tx
	}
	h.Envelope = t.job.envelope()
	if c == nil {
		return t.UnderTLS.Converse(ctx, h)
	}
	return finish(ctx, c, h)
}

// open has a connection greeted. The conversation goes on in clear, or, where c
// is nil, under TLS on h.Conn; or it has ended as tx says.
func (h *Handover) open(ctx context.Context) (c *smtpc.Conn, tx *smtp.Transaction) {
	c = smtpc.New(h.Conn, h.Params)
	if err := c.Greet(ctx); err != nil {
		c.Close()
		return nil, ended(err)
	}
	if h.Policy.Mode == tlspolicy.None || !c.Ext().StartTLS && !h.Policy.Required() {
		return c, nil
	}
	err := c.RequestTLS(ctx)
	if err == nil {
		h.Conn = c.Release()
		return nil, nil
	}
	// A server that refuses STARTTLS and stays is spoken to in clear.
	if tx := ended(err); h.Policy.Required() || tx.Fault != smtp.NoTLS || tx.Reply.Code == 421 {
		c.Quit()
		return nil, tx
	}
	return c, nil
}

func (t *trial) byQMTP(ctx context.Context, h *Handover) *smtp.Transaction {
	tx := qmtp.Send(ctx, h.Conn, t.job.envelope(), h.Message, h.Params.Timeout, smtp.Security{})
	return &tx
}

// old reports whether the message has waited for so long that it may have been
// tried before: qmail-send tries again after 400 seconds at the soonest. A server
// or a firewall that drops us at BDAT leaves the outcome open each time, and there
// is nobody to remember it; so what is old goes by DATA, which all understand.
func (t *trial) old() bool {
	modified := t.job.Message.Modified
	return !modified.IsZero() && time.Since(modified) > 5*time.Minute
}

// handover is what a conversation with peer needs, but for the connection and
// the envelope, which is sealed as late as can be.
func (t *trial) handover(m *manner, c *Candidate, peer netip.AddrPort) *Handover {
	h := &Handover{Policy: m.policy, Session: m.session, Message: t.job.Message, QMTP: t.hop.route.QMTP, Creds: t.creds(peer),
		Params: smtpc.Params{Helo: t.from.HeloHost, Timeout: t.Control.TimeoutRemote, HeloOnly: m.heloOnly, NoChunking: m.noChunking || t.old(), Plain: m.plain}}
	if t.Conns != nil && !h.QMTP {
		h.Peer, h.Key = peer, m.key
		h.Keep = func(c *smtpc.Conn) { t.Conns.Keep(h.Key, c) }
		h.Follow = t.follow(m, c)
	}
	return h
}

// finish is what follows the EHLO that counts, in clear or under TLS.
func finish(ctx context.Context, c *smtpc.Conn, h *Handover) *smtp.Transaction {
	if h.Creds != nil {
		if err := c.Auth(ctx, *h.Creds); err != nil {
			c.Quit()
			return ended(err)
		}
	}
	return send(ctx, c, h)
}

// send carries out the transaction, and keeps the conversation if it may.
func send(ctx context.Context, c *smtpc.Conn, h *Handover) *smtp.Transaction {
	return h.transact(c, func(next func() (smtpc.Following, bool)) (*smtp.Transaction, *smtpc.Begun) {
		return c.SendThen(ctx, h.Envelope, h.Message, next)
	})
}

// ended makes the record of a conversation that did not come to MAIL.
func ended(err error) *smtp.Transaction {
	if e, ok := err.(*smtp.Ending); ok {
		return &smtp.Transaction{Ending: *e}
	}
	panic("remote: smtpc gave an error that is no Ending: " + err.Error())
}

// creds are those of the route. In clear they may go to this machine itself,
// which has nobody on the line.
func (t *trial) creds(peer netip.AddrPort) *smtpc.Credentials {
	r := t.hop.route
	if r.User == "" {
		return nil
	}
	return &smtpc.Credentials{User: r.User, Password: r.Password, Clear: r.Clear || peer.Addr().IsLoopback()}
}

// InProcess is a Converser that does the handshake in this process.
type InProcess struct {
	// Secure is the handshake: that of tlspolicy/handshake, which qmail-remote
	// is spared from linking.
	Secure func(context.Context, tlspolicy.Policy, net.Conn) (net.Conn, tlspolicy.Info, error)
	// Resume is Secure where a session may be resumed; nil where none is kept.
	Resume func(context.Context, *tlspolicy.Session, tlspolicy.Policy, net.Conn) (net.Conn, tlspolicy.Info, error)
}

func (p InProcess) secure(ctx context.Context, h *Handover) (net.Conn, tlspolicy.Info, error) {
	ctx, stop := context.WithTimeout(ctx, h.Params.Timeout)
	defer stop()
	if p.Resume != nil && h.Session != nil {
		return p.Resume(ctx, h.Session, *h.Policy, h.Conn)
	}
	return p.Secure(ctx, *h.Policy, h.Conn)
}

// Converse implements Converser.
func (p InProcess) Converse(ctx context.Context, h *Handover) *smtp.Transaction {
	c, tx := p.open(ctx, h)
	if tx != nil {
		return tx
	}
	return finish(ctx, c, h)
}

// open begins the conversation anew under TLS, unless it has ended as tx says.
func (p InProcess) open(ctx context.Context, h *Handover) (c *smtpc.Conn, tx *smtp.Transaction) {
	secured, info, err := p.secure(ctx, h)
	if err != nil {
		h.Conn.Close()
		fault := smtp.TLSFailed
		if e := new(tlspolicy.Error); errors.As(err, &e) && e.What == tlspolicy.Local {
			fault = smtp.TLSLocal
		}
		return nil, &smtp.Transaction{Ending: smtp.Ending{Stage: smtp.AtTLS, Fault: fault, Detail: err.Error()}}
	}
	h.Params.TLS = smtp.Security{Version: info.Version, Cipher: info.Cipher, Verified: info.Verified}
	if h.QMTP {
		tx := qmtp.Send(ctx, secured, h.Envelope, h.Message, h.Params.Timeout, h.Params.TLS)
		return nil, &tx
	}
	c = smtpc.New(secured, h.Params)
	hello := c.Hello
	if h.Policy.Implicit {
		hello = c.Greet
	}
	if err := hello(ctx); err != nil {
		c.Close()
		tx := ended(err)
		tx.TLS = h.Params.TLS
		return nil, tx
	}
	return c, nil
}
