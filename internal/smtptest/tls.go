package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"strings"
)

// terms are the arguments of !tls.
type terms struct {
	cert     string
	min, max uint16
	client   string // name of the certificate that we must be shown; "" asks for none
	sni      string
	checkSNI bool
	fails    bool // the handshake must fail
}

func parseTLS(arg string) (t terms, err error) {
	t.min, t.max = tls.VersionTLS10, tls.VersionTLS13
	for i, w := range strings.Fields(arg) {
		key, value, has := strings.Cut(w, "=")
		switch {
		case i == 0 && !has:
			t.cert = w
		case key == "max" || key == "min":
			v, ok := map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[value]
			if !ok {
				return t, fmt.Errorf("no TLS %s", value)
			}
			if key == "max" {
				t.max = v
			} else {
				t.min = v
			}
		case key == "client" && has:
			t.client = value
		case key == "sni" && has:
			t.sni, t.checkSNI = value, true
		case w == "fails":
			t.fails = true
		default:
			return t, fmt.Errorf("!tls: %s?", w)
		}
	}
	if t.cert == "" {
		return t, fmt.Errorf("!tls needs the name of a certificate")
	}
	return t, nil
}

// secure does the server's part of a handshake.
func (p *player) secure(arg string) error {
	t, err := parseTLS(arg)
	if err != nil {
		return p.deviate("%v", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{Certificate(t.cert)}, MinVersion: t.min, MaxVersion: t.max}
	if t.client != "" {
		cfg.ClientAuth = tls.RequestClientCert
	}
	conn := tls.Server(&buffered{Conn: p.raw, r: p.r}, cfg)
	err = conn.Handshake()
	if t.fails {
		if err == nil {
			return p.deviate("took the certificate of %s", t.cert)
		}
		return errOver
	}
	if err != nil {
		return p.deviate("broke the handshake: %v", err)
	}
	st := conn.ConnectionState()
	if t.checkSNI && st.ServerName != t.sni {
		p.deviate("wants server name %q, not %q", st.ServerName, t.sni)
	}
	if t.client != "" && (len(st.PeerCertificates) == 0 || !bytes.Equal(st.PeerCertificates[0].Raw, Certificate(t.client).Certificate[0])) {
		p.deviate("showed not the certificate of %s (%d shown)", t.client, len(st.PeerCertificates))
	}
	p.conn, p.r = conn, bufio.NewReaderSize(conn, 1<<16)
	return nil
}
