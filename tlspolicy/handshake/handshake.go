package handshake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"postrider/tlspolicy"
)

// policy is a Policy as it is carried out.
type policy tlspolicy.Policy

func fail(what tlspolicy.What, err error) error { return &tlspolicy.Error{What: what, Err: err} }

// Secure is the client's handshake. conn is the connection just after the 220
// to STARTTLS, nothing of it buffered by anybody, or just made if how.Implicit;
// ctx bounds the handshake. On success the caller owns the returned connection
// and not conn any more. On failure conn is closed, nothing but TLS has been
// said over it, and the error is an *tlspolicy.Error.
//
// Our own files (anchors, certificate, key) are read before a byte is sent, so
// that our fault is never told the server as its own. Nothing is resumed and
// no session is kept: see Sessions for that. Renegotiation is refused, and so is
// TLS before 1.2.
func Secure(ctx context.Context, how tlspolicy.Policy, conn net.Conn) (net.Conn, tlspolicy.Info, error) {
	p := policy(how)
	config, err := p.config()
	if err != nil {
		conn.Close()
		return nil, tlspolicy.Info{}, fail(tlspolicy.Local, err)
	}
	secured, err := shake(ctx, config, conn)
	if err != nil {
		return nil, tlspolicy.Info{}, err
	}
	return secured, p.info(secured.ConnectionState()), nil
}

// shake shakes hands, or closes conn.
func shake(ctx context.Context, config *tls.Config, conn net.Conn) (*tls.Conn, error) {
	// A deadline of the conversation before has no business here; ctx has. That
	// a connection knows no deadlines does no harm.
	_ = conn.SetDeadline(time.Time{})
	secured := tls.Client(conn, config)
	err := secured.HandshakeContext(ctx)
	if err == nil {
		return secured, nil
	}
	conn.Close()
	var e *tlspolicy.Error
	if errors.As(err, &e) {
		return nil, e
	}
	return nil, fail(tlspolicy.Handshake, err)
}

// config is a policy in crypto/tls's terms. Verification is always our own:
// crypto/tls would load the system's root certificates (milliseconds, and not
// whom the administrator named) and knows no DANE.
func (p policy) config() (*tls.Config, error) {
	c := &tls.Config{
		// Small records first are for who shows what has come so far.
		DynamicRecordSizingDisabled: true,
		MinVersion:                  tls.VersionTLS12,
		ServerName:                  tlspolicy.Policy(p).SNI(),
		InsecureSkipVerify:          true,
		SessionTicketsDisabled:      true,
		CipherSuites:                suites(p.Ciphers),
	}
	check, err := p.checker()
	if err != nil {
		return nil, err
	}
	if check != nil {
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return fail(tlspolicy.Handshake, errors.New("the server has no certificate"))
			}
			return check(s.PeerCertificates)
		}
	}
	if p.Cert != "" {
		own, err := loadKeyPair(p.Cert, p.Key, p.KeyPass)
		if err != nil {
			return nil, err
		}
		// Whoever asks gets it, also when it lists authorities that we have no
		// certificate of: many servers list none that they mean.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	return c, nil
}

// checker is what has to be found out about the server's certificates, its own
// first; nil if nothing. Trust anchors are read here.
func (p policy) checker() (func([]*x509.Certificate) error, error) {
	switch p.Mode {
	case tlspolicy.Opportunistic, tlspolicy.Encrypt:
		return nil, nil
	case tlspolicy.Verify, tlspolicy.STS:
		a, err := loadAnchors(p.Anchors)
		if err != nil {
			return nil, err
		}
		return func(sent []*x509.Certificate) error { return p.verifyPKIX(a, sent) }, nil
	case tlspolicy.Fingerprint:
		return func(sent []*x509.Certificate) error { return verifyDigest(p.Digest, sent[0]) }, nil
	case tlspolicy.DANE:
		return func(sent []*x509.Certificate) error { return p.verifyDANE(sent) }, nil
	}
	return nil, errors.New("no handshake in mode " + p.Mode.String())
}

func (p policy) info(s tls.ConnectionState) tlspolicy.Info {
	i := tlspolicy.Info{
		Version:  strings.Replace(tls.VersionName(s.Version), "TLS ", "TLSv", 1),
		Cipher:   tls.CipherSuiteName(s.CipherSuite),
		Verified: p.verified(),
		SNI:      tlspolicy.Policy(p).SNI(),
	}
	if len(s.PeerCertificates) > 0 {
		i.Peer = s.PeerCertificates[0].Raw
	}
	return i
}

// verified is what a finished handshake proves under this policy.
func (p policy) verified() string {
	switch p.Mode {
	case tlspolicy.Verify:
		return "pkix"
	case tlspolicy.Fingerprint:
		return "pkix" // the report knows four words; this one says: by what the administrator trusts
	case tlspolicy.DANE:
		return "dane"
	case tlspolicy.STS:
		return "sts"
	}
	return "no"
}
