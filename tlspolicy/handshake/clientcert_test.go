package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/tlspolicy"
)

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
