package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs the certificates of one test.
type Authority struct {
	File string // PEM, the trust anchor
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

// KeyPair is a certificate with its key, in PEM files anybody may read.
type KeyPair struct {
	CertFile, KeyFile string
	SPKI              string // SHA-256 of the public key, in hex: the data of a TLSA record 3 1 1 (RFC 6698 §2.1)
}

// NewAuthority makes a fresh trust anchor.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{dir: directory(t, "ca"), key: newKey(t)}
	a.File = filepath.Join(a.dir, "ca.pem")
	tmpl := template("Test Authority")
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	a.cert = sign(t, a.File, signing{tmpl, tmpl, a.key, a.key})
	return a
}

// Issue makes a certificate for the given DNS names, good for servers and clients.
func (a *Authority) Issue(t testing.TB, names ...string) KeyPair {
	t.Helper()
	tmpl := template(names[0])
	tmpl.DNSNames = names
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	key := newKey(t)
	base := filepath.Join(directory(t, "cert"), names[0])
	pair := KeyPair{CertFile: base + ".pem", KeyFile: base + ".key"}
	cert := sign(t, pair.CertFile, signing{tmpl, a.cert, key, a.key})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, pair.KeyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	pair.SPKI = hex.EncodeToString(sum[:])
	return pair
}

type signing struct {
	subject, issuer *x509.Certificate
	key, by         *ecdsa.PrivateKey
}

func sign(t testing.TB, file string, s signing) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, s.subject, s.issuer, &s.key.PublicKey, s.by)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62)) // never fails: rand.Reader aborts instead
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
