package handshake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/tlspolicy"
)

// TestServersThatCannot (C44): no TLS comes about, in order.
func TestServersThatCannot(t *testing.T) {
	id := issue(t, nil, "self", nil)
	rsa, err := tls.LoadX509KeyPair("testdata/rsa.pem", "testdata/rsa.pem")
	if err != nil {
		t.Fatal(err)
	}
	for why, c := range map[string]*tls.Config{
		"TLS 1.1":        {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, Certificates: []tls.Certificate{id.tls(0)}},
		"TLS 1.0":        {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, Certificates: []tls.Certificate{id.tls(0)}},
		"RC4":            {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}, Certificates: []tls.Certificate{rsa}},
		"triple DES":     {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}, Certificates: []tls.Certificate{rsa}},
		"no certificate": {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }},
	} {
		for _, mode := range []tlspolicy.Mode{tlspolicy.Opportunistic, tlspolicy.Encrypt} {
			_, _, err := handshake(t, tlspolicy.Policy{Mode: mode}, c)
			wantFailure(t, why, err, tlspolicy.Handshake)
		}
	}
}

// TestGarbage (C40, C44): whatever comes instead of a ServerHello is a failed
// handshake, at once and with bounded reading.
func TestGarbage(t *testing.T) {
	record := func(kind byte, body ...byte) string {
		return string([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}) + string(body)
	}
	for why, said := range map[string]string{
		"close at once":             "",
		"SMTP (C39)":                "250 ok\r\n250 ok\r\n",
		"SSH":                       "SSH-2.0-OpenSSH_9.9\r\n",
		"zeros":                     strings.Repeat("\x00", 1000),
		"alert":                     record(21, 2, 40),
		"close_notify":              record(21, 1, 0),
		"half an alert":             record(21, 2, 40)[:6],
		"warnings without end":      strings.Repeat(record(21, 1, 90), 1000),
		"empty records without end": strings.Repeat(record(22), 1000),
		"half a ServerHello":        record(22, 2, 0, 0, 70, 3, 3),
		"16 MB ServerHello":         strings.Repeat(record(22, append([]byte{2, 0xff, 0xff, 0xff}, make([]byte, 16000)...)...), 10),
		"too long a record":         "\x16\x03\x03\xff\xff" + strings.Repeat("x", 70000),
		"wrong message":             record(22, 14, 0, 0, 0),
		"application data":          record(23, make([]byte, 100)...),
		"change of cipher":          strings.Repeat(record(20, 1), 100),
	} {
		conn := connect(t, func(c net.Conn) {
			hello := make([]byte, 4096)
			_, _ = c.Read(hello)
			_, _ = io.WriteString(c, said)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, _, err := Secure(ctx, tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, conn)
		cancel()
		wantFailure(t, why, err, tlspolicy.Handshake)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: only the deadline ended it", why)
		}
	}
}

// TestHang (C40): ctx alone ends a handshake with a server that says nothing,
// or that stops in the middle.
func TestHang(t *testing.T) {
	for _, said := range []string{"", "\x16\x03\x03", "\x16\x03\x03\x10\x00\x02"} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = theirs.Read(make([]byte, 4096))
				_, _ = io.WriteString(theirs, said)
				_, _ = io.Copy(io.Discard, theirs)
			}()
			// A deadline that the conversation left behind must not count.
			if err := ours.SetDeadline(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, _, err := Secure(ctx, tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, ours)
			wantFailure(t, "hang", err, tlspolicy.Handshake)
			if took := time.Since(begun); took != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after %q: %v after %v", said, err, took)
			}
		})
	}
}

// TestLongChains (C44): what crypto/tls takes does no harm, what it does not
// take ends the handshake.
func TestLongChains(t *testing.T) {
	root := issue(t, nil, "root", ca)
	chain := root
	for i := range 99 {
		chain = issue(t, chain, "middle "+strconv.Itoa(i), ca)
	}
	knot := root
	for range 49 {
		knot = issue(t, knot, "middle", ca)
	}
	maze := issue(t, knot, "maze", server("mx.example.net"))
	leaf := issue(t, chain, "leaf", server("mx.example.net"))
	junk := func(size int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			server("mx.example.net")(c)
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: make([]byte, size)}}
		}
	}
	many := leaf.tls(100)
	for range 10 {
		many.Certificate = append(many.Certificate, many.Certificate...)
	}
	anchors := writePEM(t, "root.pem", "CERTIFICATE", root.cert.Raw)
	verify := tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: anchors, Names: []string{"mx.example.net"}}
	dane := tlspolicy.Policy{Mode: tlspolicy.DANE, TLSA: []tlspolicy.TLSA{root.record(2, 1, 0), root.record(2, 0, 1)}, Names: []string{"mx.example.net"}}
	for _, tt := range []struct {
		why  string
		p    tlspolicy.Policy
		sent tls.Certificate
		want tlspolicy.What
	}{
		{"100 certificates", tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, leaf.tls(100), ""},
		{"100 certificates, verified", verify, leaf.tls(100), ""},
		{"100 certificates, not that deep", tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: anchors, ChainOnly: true, Depth: 5}, leaf.tls(100), tlspolicy.PKIX},
		{"100 certificates under DANE", dane, leaf.tls(100), ""},
		{"50 authorities of one name", verify, maze.tls(50), tlspolicy.PKIX},
		{"50 authorities of one name under DANE", dane, maze.tls(50), tlspolicy.DANEMismatch},
		{"100000 certificates", tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, many, tlspolicy.Handshake},
		{"64 kB extension", tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, issue(t, root, "junk", junk(64<<10)).tls(0), ""},
		{"64 kB extension, verified", verify, issue(t, root, "junk", junk(64<<10)).tls(0), ""},
		{"1 MB extension", tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, issue(t, root, "junk", junk(1<<20)).tls(0), tlspolicy.Handshake},
	} {
		_, _, err := handshake(t, tt.p, &tls.Config{Certificates: []tls.Certificate{tt.sent}})
		if tt.want != "" {
			wantFailure(t, tt.why, err, tt.want)
		} else if err != nil {
			t.Errorf("%s: %v", tt.why, err)
		}
	}
}
