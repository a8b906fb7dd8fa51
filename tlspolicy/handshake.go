package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"
)

// Info is what a handshake came to.
type Info struct {
	Version  string // "TLSv1.3"
	Cipher   string // IANA name, "TLS_AES_128_GCM_SHA256"
	Verified string // "no", "pkix" (anchors, or the fingerprint of a rule), "dane", "sts"
	SNI      string // the name that was sent, or ""
	Peer     []byte // the server's own certificate, DER
}

// Secure is the client's handshake. conn is the connection just after the 220
// to STARTTLS, nothing of it buffered by anybody, or just made if p.Implicit;
// ctx bounds the handshake. On success the caller owns the returned connection
// and not conn any more. On failure conn is closed, nothing but TLS has been
// said over it, and the error is an *Error.
//
// Our own files (anchors, certificate, key) are read before a byte is sent, so
// that our fault is never told the server as its own. Nothing is resumed and
// no session is kept. Renegotiation is refused, and so is TLS before 1.2.
func (p Policy) Secure(ctx context.Context, conn net.Conn) (net.Conn, Info, error) {
	config, err := p.config()
	if err != nil {
		conn.Close()
		return nil, Info{}, &Error{Local, err}
	}
	// A deadline of the conversation before has no business here; ctx has. That
	// a connection knows no deadlines does no harm.
	_ = conn.SetDeadline(time.Time{})
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		var e *Error
		if errors.As(err, &e) {
			return nil, Info{}, e
		}
		return nil, Info{}, &Error{Handshake, err}
	}
	return secured, p.info(secured.ConnectionState()), nil
}

// config is a policy in crypto/tls's terms. Verification is always our own:
// crypto/tls would load the system's root certificates (milliseconds, and not
// whom the administrator named) and knows no DANE.
func (p Policy) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		ServerName:             serverName(p.ServerName),
		InsecureSkipVerify:     true,
		SessionTicketsDisabled: true,
		CipherSuites:           suites(p.Ciphers),
	}
	check, err := p.checker()
	if err != nil {
		return nil, err
	}
	if check != nil {
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return &Error{Handshake, errors.New("the server has no certificate")}
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
func (p Policy) checker() (func([]*x509.Certificate) error, error) {
	switch p.Mode {
	case Opportunistic, Encrypt:
		return nil, nil
	case Verify, STS:
		a, err := loadAnchors(p.Anchors)
		if err != nil {
			return nil, err
		}
		return func(sent []*x509.Certificate) error { return p.verifyPKIX(a, sent) }, nil
	case Fingerprint:
		return func(sent []*x509.Certificate) error { return verifyDigest(p.Digest, sent[0]) }, nil
	case DANE:
		return func(sent []*x509.Certificate) error { return p.verifyDANE(sent) }, nil
	}
	return nil, errors.New("no handshake in mode " + p.Mode.String())
}

func (p Policy) info(s tls.ConnectionState) Info {
	i := Info{
		Version:  strings.Replace(tls.VersionName(s.Version), "TLS ", "TLSv", 1),
		Cipher:   tls.CipherSuiteName(s.CipherSuite),
		Verified: p.verified(),
		SNI:      serverName(p.ServerName),
	}
	if len(s.PeerCertificates) > 0 {
		i.Peer = s.PeerCertificates[0].Raw
	}
	return i
}

// verified is what a finished handshake proves under this policy.
func (p Policy) verified() string {
	switch p.Mode {
	case Verify:
		return "pkix"
	case Fingerprint:
		return "pkix" // the report knows four words; this one says: by what the administrator trusts
	case DANE:
		return "dane"
	case STS:
		return "sts"
	}
	return "no"
}
