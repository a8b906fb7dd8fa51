package handshake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postrider/tlspolicy"
)

// identity is a certificate with its key and all the certificates above it.
type identity struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	above []*x509.Certificate // nearest first
}

// issue makes a certificate signed by parent, or by itself if that is nil.
func issue(t testing.TB, parent *identity, name string, change func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	if change != nil {
		change(template)
	}
	id := &identity{key: key}
	signer, by := template, key
	if parent != nil {
		signer, by = parent.cert, parent.key
		id.above = append([]*x509.Certificate{parent.cert}, parent.above...)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	if id.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return id
}

// ca makes a template one of an authority.
func ca(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
}

// server makes a template one of a mail server with these dNSNames.
func server(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.DNSNames = names
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
}

func expired(change func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		change(c)
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
}

// tls is the identity as a server presents it, with so many of those above.
func (id *identity) tls(above int) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{id.cert.Raw}, PrivateKey: id.key}
	for _, a := range id.above[:above] {
		c.Certificate = append(c.Certificate, a.Raw)
	}
	return c
}

// record is a TLSA record in the order of its text.
func record(usage, selector, matching uint8, data []byte) tlspolicy.TLSA {
	return tlspolicy.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

// record is a TLSA record of the identity's certificate.
func (id *identity) record(usage, selector, matching uint8) tlspolicy.TLSA {
	data := id.cert.Raw
	if selector == 1 {
		data = id.cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return record(usage, selector, matching, data)
}

// writePEM writes blocks of one type into a file of the test's, and names it.
func writePEM(t testing.TB, name, kind string, ders ...[]byte) string {
	t.Helper()
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	return writeFile(t, name, out)
}

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (id *identity) keyDER(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
