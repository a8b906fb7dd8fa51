package handshake

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
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

// TestSuiteNames: both names of every suite that we may offer are known.
func TestSuiteNames(t *testing.T) {
	for _, id := range suites("") {
		name := tls.CipherSuiteName(id)
		if suite(name) != id {
			t.Errorf("%s is not known", name)
		}
	}
	for _, name := range []string{"RC4-SHA", "TLS_RSA_WITH_RC4_128_SHA", "DES-CBC3-SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_AES_128_GCM_SHA256", "", "ALL"} {
		if suite(name) != 0 {
			t.Errorf("%q is known", name)
		}
	}
}

// TestRSAKeyExchange: a server that knows nothing better is still encrypted to.
func TestRSAKeyExchange(t *testing.T) {
	// RSA keys take long to make; this one was made for this test.
	pair, err := tls.LoadX509KeyPair("testdata/rsa.pem", "testdata/rsa.pem")
	if err != nil {
		t.Fatal(err)
	}
	_, info, err := handshake(t, tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_CBC_SHA}})
	if err != nil || info.Cipher != "TLS_RSA_WITH_AES_256_CBC_SHA" {
		t.Errorf("%+v, %v", info, err)
	}
}

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

func TestClientCertificate(t *testing.T) {
	root := issue(t, nil, "root", ca)
	own := issue(t, root, "we", nil)
	srv := issue(t, nil, "self", nil).tls(0)
	cert := writePEM(t, "cert.pem", "CERTIFICATE", own.cert.Raw, root.cert.Raw)
	key := writePEM(t, "key.pem", "PRIVATE KEY", own.keyDER(t))
	both := writeFile(t, "both.pem", append(readFile(t, key), readFile(t, cert)...))
	foreign := x509.NewCertPool()
	foreign.AddCert(issue(t, nil, "foreign", ca).cert)

	for _, tt := range []struct {
		why  string
		p    tlspolicy.Policy
		auth tls.ClientAuthType
		cas  *x509.CertPool
		sent int // certificates
		want tlspolicy.What
	}{
		{"not asked for", tlspolicy.Policy{Cert: cert, Key: key}, tls.NoClientCert, nil, 0, ""},
		{"asked for", tlspolicy.Policy{Cert: cert, Key: key}, tls.RequestClientCert, nil, 2, ""},
		{"required", tlspolicy.Policy{Cert: cert, Key: key}, tls.RequireAnyClientCert, nil, 2, ""},
		{"asked for by one who knows other authorities", tlspolicy.Policy{Cert: cert, Key: key}, tls.RequestClientCert, foreign, 2, ""},
		{"key in the same file", tlspolicy.Policy{Cert: both, Key: both}, tls.RequestClientCert, nil, 2, ""},
		{"key not named", tlspolicy.Policy{Cert: both}, tls.RequestClientCert, nil, 2, ""},
		{"asked for and none there", tlspolicy.Policy{}, tls.RequestClientCert, nil, 0, ""},
		{"missing certificate", tlspolicy.Policy{Cert: cert + "x", Key: key}, tls.NoClientCert, nil, 0, tlspolicy.Local},
		{"missing key", tlspolicy.Policy{Cert: cert, Key: key + "x"}, tls.NoClientCert, nil, 0, tlspolicy.Local},
		{"no key in the file", tlspolicy.Policy{Cert: cert, Key: cert}, tls.NoClientCert, nil, 0, tlspolicy.Local},
		{"somebody else's key", tlspolicy.Policy{Cert: cert, Key: writePEM(t, "k", "PRIVATE KEY", root.keyDER(t))}, tls.NoClientCert, nil, 0, tlspolicy.Local},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			sent := -1
			tt.p.Mode = tlspolicy.Opportunistic
			_, _, err := handshake(t, tt.p, &tls.Config{Certificates: []tls.Certificate{srv}, MaxVersion: version, ClientAuth: tt.auth, ClientCAs: tt.cas,
				VerifyConnection: func(s tls.ConnectionState) error { sent = len(s.PeerCertificates); return nil }})
			if tt.want != "" {
				wantFailure(t, tt.why, err, tt.want)
				if sent != -1 {
					t.Errorf("%s: there was a handshake", tt.why)
				}
				continue
			}
			if err != nil || sent != tt.sent {
				t.Errorf("%s: %d certificates sent, %v", tt.why, sent, err)
			}
		}
	}
	// Required, and none there: TLS 1.3 tells us only after the handshake.
	conn := connect(t, func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{srv}, ClientAuth: tls.RequireAnyClientCert})
		_ = s.Handshake()
		_, _ = io.Copy(io.Discard, c)
	})
	secured, _, err := Secure(t.Context(), tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, conn)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := secured.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes read", n)
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEncryptedKeys opens keys as OpenSSL 3 writes them, all of one key.
func TestEncryptedKeys(t *testing.T) {
	for _, tt := range []struct {
		file, password string
		ok             bool
	}{
		{"plain.pem", "", true},
		{"plain.pem", "ignored", true},
		{"aes256.pem", "secret", true},
		{"aes256.pem", "wrong", false},
		{"aes256.pem", "", false},
		{"aes128-sha1.pem", "secret", true},
		{"aes192-sha512.pem", "secret", true},
		{"rfc1421.pem", "secret", true},
		{"rfc1421.pem", "wrong", false},
		{"scrypt.pem", "secret", false},
		{"des3.pem", "secret", false},
	} {
		name := filepath.Join("testdata", "key-"+tt.file)
		_, err := loadKeyPair("testdata/key-cert.pem", name, tt.password)
		if (err == nil) != tt.ok {
			t.Errorf("%s with %q: %v", tt.file, tt.password, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	for _, junk := range []string{"", "\x30\x00", "\x30\x80", string(readFile(t, "testdata/key-cert.pem"))} {
		if _, err := decryptPKCS8([]byte(junk), "x"); err == nil {
			t.Errorf("%q is a key", junk)
		}
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
