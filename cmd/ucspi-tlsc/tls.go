package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"postrider/internal/fdconn"
	"postrider/tlspolicy"
	"postrider/tlspolicy/handshake"
)

// maxPolicy bounds the policy that arrives on a pipe; TLSA records are its bulk.
const maxPolicy = 1 << 20

// client is one run of ucspi-tlsc.
type client struct {
	options
	rules tlspolicy.Policy
}

// prepare finds the policy. A code other than 0 says why there is none.
func prepare(o options, env []string) (*client, int) {
	c := &client{options: o}
	if o.policy < 0 {
		c.rules = policyOf(o, func(name string) string { return lookup(env, name) })
		if c.rules.Mode == tlspolicy.Verify && c.rules.Anchors == "" {
			complain("neither CADIR nor CAFILE is set")
			return nil, exitConfig
		}
		if o.sendCert && (c.rules.Cert == "" || c.rules.Key == "") {
			complain("-y needs CERTFILE and KEYFILE")
			return nil, exitConfig
		}
		return c, 0
	}
	f := os.NewFile(uintptr(o.policy), "policy")
	text, err := io.ReadAll(io.LimitReader(f, maxPolicy))
	f.Close()
	if err == nil {
		err = c.rules.UnmarshalText(text)
	}
	if err != nil {
		complain("policy: " + err.Error())
		return nil, exitUsage
	}
	return c, 0
}

// policyOf makes a policy of s6-tlsc's environment and options: a chain to
// CADIR (or else CAFILE), and the server's name if -k gives one.
func policyOf(o options, getenv func(string) string) tlspolicy.Policy {
	p := tlspolicy.Policy{Mode: tlspolicy.Verify, ServerName: o.servername, Wildcards: true}
	if o.noVerify {
		p.Mode = tlspolicy.Encrypt
	}
	if o.servername == "" {
		p.ChainOnly = true
	} else {
		p.Names = []string{o.servername}
	}
	p.Anchors = getenv("CAFILE")
	if dir := getenv("CADIR"); dir != "" {
		p.Anchors = strings.TrimSuffix(dir, "/") + "/"
	}
	if o.sendCert {
		p.Cert, p.Key = getenv("CERTFILE"), getenv("KEYFILE")
	}
	return p
}

// session is an established TLS connection, as a side of a pump.
type session struct {
	net.Conn
	raw     *fdconn.Ending
	notify  bool
	records []string
}

// CloseWrite says that we send no more, by close_notify (RFC 8446 §6.1) if -S,
// and in any case by the end of the TCP stream.
func (s *session) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok && s.notify {
		c.CloseWrite()
	}
	return s.raw.CloseWrite()
}

// CloseRead has nothing to do: TLS has no way to say that we hear no more.
func (s *session) CloseRead() error { return nil }

// truncated reports an end of the TCP stream that no close_notify announced.
// crypto/tls doesn't say so; but after a close_notify it reads no further.
func (s *session) truncated() bool { return s.raw.Ended() }

// secure makes a session on the network descriptors.
func (c *client) secure() (*session, int) {
	conn, err := fdconn.New(c.in, c.out)
	if err != nil {
		complain(err.Error())
		return nil, exitSystem
	}
	ctx, cancel := context.Background(), func() {}
	if c.handshake > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.handshake)
	}
	defer cancel()
	raw := &fdconn.Ending{Conn: conn}
	secured, info, err := handshake.Secure(ctx, c.rules, raw)
	if err != nil {
		conn.Close()
		return nil, c.refused(err)
	}
	return &session{Conn: secured, raw: raw, notify: c.closeNotify, records: c.records(info)}, 0
}

func (c *client) refused(err error) int {
	if c.verbosity > 0 {
		what := err.Error()
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
			what = "handshake timed out"
		}
		complain(what)
	}
	if e := (*tlspolicy.Error)(nil); errors.As(err, &e) && e.What == tlspolicy.Local {
		return exitConfig
	}
	return exitTLS
}

// records describes the session as s6-tlsc does, and by SSL_VERIFIED ("no",
// "pkix", "dane" or "sts"), which is ours.
func (c *client) records(info tlspolicy.Info) []string {
	rs := []string{
		"SSL_PROTOCOL=" + info.Version, "SSL_CIPHER=" + info.Cipher, "SSL_VERIFIED=" + info.Verified,
		"SSL_TLS_SNI_SERVERNAME", "SSL_PEER_CERT_HASH", "SSL_PEER_CERT_SUBJECT",
	}
	if info.SNI != "" {
		rs[3] += "=" + info.SNI
	}
	if len(info.Peer) == 0 || c.policy >= 0 { // qmail-remote-io doesn't look at these
		return rs
	}
	sum := sha256.Sum256(info.Peer)
	rs[4] += "=SHA256:" + hex.EncodeToString(sum[:])
	if cert, err := x509.ParseCertificate(info.Peer); err == nil {
		rs[5] += "=" + strings.ReplaceAll(cert.Subject.String(), "\x00", "?")
	}
	return rs
}
