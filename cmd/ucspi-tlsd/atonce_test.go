package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/smtptest"
)

func TestAtOnce(t *testing.T) {
	env := append(keys(t), "SSL_CIPHER=stale", "SSL_PEER_CERT_HASH=stale", "SSLCTLFD=9", "UCSPITLS=!")
	r := serve(t, early, env, "-t", "sh", "-c", `echo $$; env | grep -E '^(SSL|CERT|KEY|UCSPI)' | sort; `+echo)
	r.secure(config("mx.example"))
	r.hears(itoa(r.cmd.Process.Pid), "SSL_CIPHER=TLS_AES_128_GCM_SHA256", "SSL_PROTOCOL=TLSv1.3", "SSL_TLS_SNI_SERVERNAME=mx.example", "SSL_VERIFIED=no")
	r.say("a\nquit\n")
	r.hears("heard a", "heard quit", "")
	if code, log := r.over(); code != 5 || log != "" {
		t.Errorf("exit %d: %s", code, log)
	}
}

// The program is started only on a session.
func TestNoSession(t *testing.T) {
	env := keys(t)
	for reason, c := range map[string]struct {
		args   []string
		client func(*served)
		says   string
	}{
		"closes":        {nil, func(r *served) { r.raw.Close() }, "EOF"},
		"says nothing":  {[]string{"-K200"}, func(r *served) { r.hear() }, "handshake: timed out"},
		"plain text":    {nil, func(r *served) { r.say("EHLO client.example\r\n"); r.hear() }, "not look like a TLS handshake"},
		"half a record": {[]string{"-K200"}, func(r *served) { r.say("\x16\x03\x01\x02\x00\x01"); r.hear() }, "handshake: timed out"},
		"empty records": {[]string{"-K60000"}, func(r *served) {
			for range 1000 {
				if _, err := r.conn.Write([]byte("\x16\x03\x01\x00\x00")); err != nil {
					return
				}
			}
			r.hear()
		}, "tls: "},
		"TLS 1.1": {nil, func(r *served) {
			c := config("mx.example")
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			if tls.Client(r.raw, c).Handshake() == nil {
				t.Error("a handshake of TLS 1.1 succeeded")
			}
		}, "unsupported versions"},
		"distrust": {nil, func(r *served) {
			if tls.Client(r.raw, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "mx.example"}).Handshake() == nil {
				t.Error("a handshake without anchors succeeded")
			}
			r.raw.Close()
		}, "tls: "},
	} {
		r := serve(t, early, env, append(append([]string{"-t"}, c.args...), "echo", "started")...)
		c.client(r)
		got, _ := io.ReadAll(r.r)
		code, log := r.end()
		if code != 98 || !strings.Contains(log, c.says) || strings.Count(log, "\n") != 1 || bytes.Contains(got, []byte("started")) {
			t.Errorf("%s: exit %d: %s", reason, code, log)
		}
	}
	r := serve(t, early, env, "-tv0", "echo", "started")
	if code, log := r.end(); code != 98 || log != "" {
		t.Errorf("-v0: exit %d: %s", code, log)
	}
	r = serve(t, early, env, "-t", "/nonexistent/prog")
	r.secure(config("mx.example"))
	r.hears("")
	if code, log := r.over(); code != 111 || !strings.Contains(log, "/nonexistent/prog") {
		t.Errorf("no program: exit %d: %s", code, log)
	}
}

// No ticket, so nothing that another service could take for its own.
func TestNoTickets(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := config("mx.example")
		c.MaxVersion, c.ClientSessionCache = version, cache{t}
		r := serve(t, early, keys(t), "-t", "sh", "-c", echo)
		conn := r.secure(c)
		r.say("a\n")
		r.hears("heard a")
		if s := conn.ConnectionState(); s.Version != version || s.DidResume {
			t.Errorf("%+v", s)
		}
		r.say("quit\n")
		r.over()
	}
}

type cache struct{ t *testing.T }

func (c cache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (c cache) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.t.Error("there is a session to be resumed")
	}
}

// The certificate is that of the name, where there is one, and of the file as it
// is now.
func TestNames(t *testing.T) {
	common, key := pair(t, smtptest.Certificate("mx.example"))
	a, akey := pair(t, smtptest.Certificate("a.example"))
	wild, wildkey := pair(t, smtptest.Certificate("*.w.example"))
	broken := file(t, []byte("nothing"))
	env := []string{"CERTFILE=" + common, "KEYFILE=" + key, "CERTFILE:A.example=" + a, "KEYFILE:A.example=" + akey,
		"CERTFILE:*.w.example=" + wild, "KEYFILE:*.w.example=" + wildkey, "CERTFILE:b.example=" + broken, "CERTFILE:c.example=/nonexistent/c"}
	for _, c := range []struct {
		level, name, want string
	}{
		{"-k1", "a.example", "a.example"}, {"-k1", "A.EXAMPLE", "a.example"}, {"-k1", "x.w.example", "*.w.example"},
		{"-k1", "x.y.w.example", "mx.example"}, {"-k1", "w.example", "mx.example"}, {"-k1", "", "mx.example"}, {"-k1", "b.example", "mx.example"},
		{"-k1", "c.example", "mx.example"}, {"-k0", "a.example", "mx.example"}, {"-k2", "a.example", "a.example"}, {"-k2", "other.example", ""}, {"-k2", "", ""},
	} {
		r := serve(t, early, env, "-t", c.level, "true")
		conn := tls.Client(r.raw, &tls.Config{ServerName: c.name, InsecureSkipVerify: true})
		got := ""
		if conn.Handshake() == nil {
			got = conn.ConnectionState().PeerCertificates[0].DNSNames[0]
		}
		if r.end(); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.level, c.name, got, c.want)
		}
	}
}

// A renewed certificate is in use with the next connection; one that is gone is
// no reason to speak in clear (S36).
func TestRenewal(t *testing.T) {
	env := keys(t)
	cert, key := strings.TrimPrefix(env[0], "CERTFILE="), strings.TrimPrefix(env[1], "KEYFILE=")
	newCert, newKey := pair(t, smtptest.Certificate("new.example"))
	for _, name := range []string{"mx.example", "new.example"} {
		r := serve(t, early, env, "-t", "true")
		r.secure(config(name))
		r.hears("")
		r.over()
		if err := errors.Join(os.Rename(newCert, cert), os.Rename(newKey, key)); name == "mx.example" && err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	r := serve(t, early, env, "-t", "echo", "started")
	r.hears("")
	if code, log := r.over(); code != 96 || !strings.Contains(log, key) {
		t.Errorf("exit %d: %s", code, log)
	}
}

// itself is a certificate that vouches for itself.
func itself(t *testing.T, name string, key crypto.Signer) []byte {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Every form in which people have keys.
func TestForms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaCert := itself(t, "rsa.example", rsaKey)
	ecCert := itself(t, "ec.example", ecKey)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	armour := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	rsaPEM, ecPEM := armour("CERTIFICATE", rsaCert), armour("CERTIFICATE", ecCert)
	pkcs1 := armour("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))
	ec := armour("EC PRIVATE KEY", sec1)
	leaf := smtptest.Certificate("mx.example")
	leafCert, leafKey := pair(t, tls.Certificate{Certificate: leaf.Certificate[:1], PrivateKey: leaf.PrivateKey})
	for form, c := range map[string]struct {
		env   []string
		chain int
	}{
		"servercert.pem, key first": {[]string{"CERTFILE=" + file(t, append(pkcs1, rsaPEM...))}, 1},
		"servercert.pem, key last":  {[]string{"CERTFILE=" + file(t, append(rsaPEM, pkcs1...))}, 1},
		"two files":                 {[]string{"CERTFILE=" + file(t, rsaPEM), "KEYFILE=" + file(t, pkcs1)}, 1},
		"EC, with its parameters":   {[]string{"CERTFILE=" + file(t, ecPEM), "KEYFILE=" + file(t, append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), ec...))}, 1},
		"DER":                       {[]string{"CERTFILE=" + file(t, ecCert), "KEYFILE=" + file(t, sec1)}, 1},
		"chain in a file":           {[]string{"CERTFILE=" + leafCert, "KEYFILE=" + leafKey, "CERTCHAINFILE=" + file(t, armour("CERTIFICATE", smtptest.Authority()))}, 2},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			r := serve(t, early, c.env, "-t", "true")
			conn := tls.Client(r.raw, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
			err := conn.Handshake()
			if n := len(conn.ConnectionState().PeerCertificates); err != nil || n != c.chain {
				t.Errorf("%s: %d certificates, %v", form, n, err)
			}
			if code, log := r.end(); code != 0 || log != "" {
				t.Errorf("%s: exit %d: %s", form, code, log)
			}
		}
	}
}

func TestClientCertificates(t *testing.T) {
	ca := "CAFILE=" + file(t, []byte(smtptest.AuthorityPEM()))
	foreign := smtptest.Certificate("self:client.example")
	ours := smtptest.Certificate("client.example")
	const none, unverified, verified, refused = "no - -", "no hash -", "pkix hash CN=client.example", ""
	for _, c := range []struct {
		option string
		env    []string
		shows  *tls.Certificate
		want   string
	}{
		{"-v1", []string{ca}, &ours, none}, {"-Y", []string{ca}, nil, none}, {"-Y", []string{ca}, &ours, verified}, {"-Y", []string{ca}, &foreign, unverified},
		{"-Y", nil, &ours, unverified}, {"-y", []string{ca}, nil, refused}, {"-y", []string{ca}, &ours, verified}, {"-y", []string{ca}, &foreign, refused},
		{"-y", []string{ca, "CADIR=" + t.TempDir()}, &ours, refused},
	} {
		env := append(keys(t), c.env...)
		r := serve(t, early, env, "-t", c.option, "sh", "-c", `echo $SSL_VERIFIED ${SSL_PEER_CERT_HASH:--} ${SSL_PEER_CERT_SUBJECT:--}`)
		cc := config("mx.example")
		cc.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c.shows == nil {
				return &tls.Certificate{}, nil
			}
			return c.shows, nil
		}
		r.conn = tls.Client(r.raw, cc)
		r.r.Reset(r.conn)
		f := strings.Fields(r.hear())
		if len(f) > 1 && strings.HasPrefix(f[1], "SHA256:") && len(f[1]) == 7+64 {
			f[1] = "hash"
		}
		code, log := r.end()
		if got := strings.Join(f, " "); got != c.want || (code != 0) != (c.want == refused) {
			t.Errorf("%s, %v: %q, want %q; exit %d: %s", c.option, c.env, got, c.want, code, log)
		}
	}
	r := serve(t, early, keys(t), "-ty", "true")
	if code, log := r.over(); code != 96 || !strings.Contains(log, "CADIR or CAFILE") {
		t.Errorf("-y without anchors: exit %d: %s", code, log)
	}
}

// Ten megabytes each way, at once, through a program that reads only what it can
// write.
func TestManyBytes(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)
	r := serve(t, early, keys(t), "-t", "cat")
	conn := r.secure(config("mx.example"))
	var sending sync.WaitGroup
	sending.Go(func() {
		conn.Write(payload)
		conn.CloseWrite()
	})
	got, err := io.ReadAll(r.r)
	sending.Wait()
	if code, log := r.over(); code != 0 || log != "" || err != nil || !bytes.Equal(got, payload) {
		t.Errorf("exit %d: %s; %d bytes came back, %v", code, log, len(got), err)
	}
}
