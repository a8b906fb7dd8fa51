package handshake

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"postrider/tlspolicy"
)

// connect is a loopback connection whose other end serve has, and which is
// closed when that returns.
func connect(t testing.TB, serve func(net.Conn)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		l.Close() // not before: it would reset what is not accepted yet
		if err == nil {
			defer c.Close()
			serve(c)
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		l.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn
}

// handshake runs p against a server of crypto/tls, which then says "220".
func handshake(t testing.TB, p tlspolicy.Policy, c *tls.Config) (net.Conn, tlspolicy.Info, error) {
	t.Helper()
	conn := connect(t, func(c2 net.Conn) {
		s := tls.Server(c2, c)
		if s.Handshake() == nil {
			_, _ = io.WriteString(s, "220\r\n")
		}
		_, _ = io.Copy(io.Discard, s)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	secured, info, err := Secure(ctx, p, conn)
	if err != nil {
		if _, e := conn.Write([]byte("x")); !errors.Is(e, net.ErrClosed) {
			t.Errorf("the connection outlived %v: %v", err, e)
		}
		return nil, info, err
	}
	line := make([]byte, 5)
	if _, err := io.ReadFull(secured, line); err != nil || string(line) != "220\r\n" {
		t.Errorf("after the handshake: %q, %v", line, err)
	}
	t.Cleanup(func() { secured.Close() })
	return secured, info, nil
}

func TestInfo(t *testing.T) {
	id := issue(t, nil, "self", server("mx.example.net"))
	for _, tt := range []struct {
		server          *tls.Config
		p               tlspolicy.Policy
		version, cipher string
	}{
		{&tls.Config{}, tlspolicy.Policy{}, "TLSv1.3", "TLS_AES_128_GCM_SHA256"},
		{&tls.Config{MaxVersion: tls.VersionTLS12}, tlspolicy.Policy{}, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
		{&tls.Config{MaxVersion: tls.VersionTLS12}, tlspolicy.Policy{Ciphers: "HIGH:!aNULL"}, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
		{&tls.Config{MaxVersion: tls.VersionTLS12}, tlspolicy.Policy{Ciphers: "HIGH:ECDHE-ECDSA-AES256-GCM-SHA384"}, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
		{&tls.Config{MaxVersion: tls.VersionTLS12}, tlspolicy.Policy{Ciphers: "tls_ecdhe_ecdsa_with_aes_256_cbc_sha, nonsense"}, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"},
	} {
		var sni string
		tt.server.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			sni = h.ServerName
			c := id.tls(0)
			return &c, nil
		}
		tt.p.Mode, tt.p.ServerName = tlspolicy.Opportunistic, "mx.example.net"
		_, info, err := handshake(t, tt.p, tt.server)
		if err != nil || info.Version != tt.version || info.Cipher != tt.cipher || info.SNI != "mx.example.net" || !bytes.Equal(info.Peer, id.cert.Raw) {
			t.Errorf("%+v, %v", info, err)
		}
		if sni != "mx.example.net" {
			t.Errorf("SNI %q", sni)
		}
	}
	_, info, err := handshake(t, tlspolicy.Policy{Mode: tlspolicy.Encrypt, ServerName: "192.0.2.1"}, &tls.Config{Certificates: []tls.Certificate{id.tls(0)}})
	if err != nil || info.SNI != "" {
		t.Errorf("an address as SNI: %+v, %v", info, err)
	}
}

func TestNoHandshake(t *testing.T) {
	for why, p := range map[string]tlspolicy.Policy{
		"mode none":          {Mode: tlspolicy.None},
		"unknown mode":       {Mode: tlspolicy.STS + 1},
		"no anchors":         {Mode: tlspolicy.Verify},
		"missing anchors":    {Mode: tlspolicy.Verify, Anchors: "/nonexistent/a.pem"},
		"missing directory":  {Mode: tlspolicy.STS, Anchors: "/nonexistent/"},
		"file for directory": {Mode: tlspolicy.Verify, Anchors: writeFile(t, "a.pem", nil) + "/"},
		"empty anchors":      {Mode: tlspolicy.Verify, Anchors: writeFile(t, "b.pem", []byte("# nothing\n"))},
		"a key for anchors":  {Mode: tlspolicy.Verify, Anchors: "testdata/key-plain.pem"},
	} {
		conn := connect(t, func(c net.Conn) {
			if b, _ := io.ReadAll(c); len(b) > 0 {
				t.Errorf("%s: the server heard %d bytes", why, len(b))
			}
		})
		_, _, err := Secure(t.Context(), p, conn)
		wantFailure(t, why, err, tlspolicy.Local)
		if _, err := conn.Write(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the connection is open, %v", why, err)
		}
	}
}

func BenchmarkSecure(b *testing.B) {
	root := issue(b, nil, "root", ca)
	id := issue(b, root, "mx.example.net", server("mx.example.net"))
	dir := writePEM(b, "root.pem", "CERTIFICATE", root.cert.Raw)
	for name, p := range map[string]tlspolicy.Policy{
		"opportunistic": {Mode: tlspolicy.Opportunistic},
		"dane-ee":       {Mode: tlspolicy.DANE, TLSA: []tlspolicy.TLSA{id.record(3, 1, 1)}},
		"dane-ta":       {Mode: tlspolicy.DANE, TLSA: []tlspolicy.TLSA{root.record(2, 0, 1)}, Names: []string{"mx.example.net"}},
		"verify":        {Mode: tlspolicy.Verify, Anchors: dir, Names: []string{"mx.example.net"}},
	} {
		b.Run(name, func(b *testing.B) {
			config := &tls.Config{Certificates: []tls.Certificate{id.tls(1)}}
			for b.Loop() {
				conn := connect(b, func(c net.Conn) { _ = tls.Server(c, config).Handshake() })
				if _, _, err := Secure(b.Context(), p, conn); err != nil {
					b.Fatal(err)
				}
				conn.Close()
			}
		})
	}
}
