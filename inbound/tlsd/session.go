package tlsd

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/internal/fdconn"
)

// linger is the Session's that Handshake makes.
const linger = 30 * time.Second

// Config is what a handshake needs.
type Config struct {
	Keys    *Keys
	Clients *Clients
	Time    time.Duration // that it may take; 0 is no limit
}

// Session is an established TLS connection.
type Session struct {
	// Linger is how long the peer may take to hear the rest of what a program had
	// said before it was gone. There is nobody left whose time-out would count.
	Linger time.Duration

	conn     *tls.Conn
	raw      *fdconn.Ending
	verified bool // the client's certificate has a chain to our anchors
}

// Handshake is the server's. conn is the session's from now on, and is closed
// after an error. Its errors are of the kinds Talk and, where no certificate
// fits, Files.
func Handshake(ctx context.Context, conn *fdconn.Conn, c Config) (*Session, error) {
	s := &Session{raw: &fdconn.Ending{Conn: conn}, Linger: linger}
	if c.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Time)
		defer cancel()
	}
	s.conn = tls.Server(s.raw, s.config(c))
	if err := s.conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("timed out")
		}
		return nil, &Error{Talk, fmt.Errorf("handshake: %w", err)}
	}
	return s, nil
}

func (s *Session) config(c Config) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.Keys.choose,
		ClientAuth:     c.Clients.auth(),
		// A ticket would be good for whatever service has its key. Ours would
		// die with this connection, so there are none.
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true, // small records first are for who shows what has come so far
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil // whether there must be one, ClientAuth says
			}
			err := c.Clients.verify(state.PeerCertificates)
			s.verified = err == nil
			return c.Clients.verdict(err)
		},
	}
}

// String tells version and suite.
func (s *Session) String() string {
	state := s.conn.ConnectionState()
	return version(state) + " " + tls.CipherSuiteName(state.CipherSuite)
}

func version(state tls.ConnectionState) string {
	return strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1)
}

// Records describes the session as s6-tlsd does: "NAME=value", or "NAME" alone
// where there is no value. SSL_PEER_CERT_HASH is there for every certificate
// that the client has proved to have the key of; SSL_PEER_CERT_SUBJECT only
// where somebody vouches for it. SSL_VERIFIED, "pkix" or "no", is ours.
func (s *Session) Records() []string {
	state := s.conn.ConnectionState()
	rs := []string{
		"SSL_PROTOCOL=" + version(state), "SSL_CIPHER=" + tls.CipherSuiteName(state.CipherSuite),
		"SSL_VERIFIED=no", "SSL_TLS_SNI_SERVERNAME", "SSL_PEER_CERT_HASH", "SSL_PEER_CERT_SUBJECT",
	}
	if isName(state.ServerName) {
		rs[3] += "=" + strings.ToLower(state.ServerName)
	}
	if len(state.PeerCertificates) == 0 {
		return rs
	}
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	rs[4] += "=SHA256:" + hex.EncodeToString(sum[:])
	if s.verified {
		rs[2] = "SSL_VERIFIED=pkix"
		rs[5] += "=" + oneLine(state.PeerCertificates[0].Subject.String())
	}
	return rs
}

// Block is records as UCSPI-TLS sends them.
func Block(records []string) []byte {
	var b []byte
	for _, r := range records {
		b = append(append(b, r...), 0)
	}
	return append(b, 0)
}

// isName tells a host name from other things that a client may have put there.
func isName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// oneLine is s without control characters: a variable's value ends at NUL.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// errTruncated is an end of the TCP stream that no close_notify announced.
var errTruncated = errors.New("the peer ended without close_notify")
